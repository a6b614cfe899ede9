/* loop_watch.c - see loop_watch.h. */
#include "cli/loop_watch.h"

static uint64_t less(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

static void follow_turn(struct loop_watch *w, const struct loop_sight *s, uint64_t now_ns,
                        uint64_t passed_ns) {
    if (!s->busy_since_ns) {
        w->turn_ns = 0;
    } else if (w->turn_ns && w->begun_ns == s->busy_since_ns) {
        w->turn_ns += passed_ns;
        return;
    } else { /* begun since the last look: not longer than that is ago */
        uint64_t age_ns = now_ns > s->busy_since_ns ? now_ns - s->busy_since_ns : 0;
        w->turn_ns = less(age_ns, passed_ns) + 1;
    }
    w->begun_ns = s->busy_since_ns;
    w->slow_told = false;
}

static bool may_say(struct loop_watch *w, uint64_t now_ns) {
    if (w->said_ns && now_ns - w->said_ns < LOOP_SAY_EVERY_NS) {
        w->unsaid++;
        return false;
    }
    w->said_ns = now_ns;
    return true;
}

enum loop_finding loop_watch_look(struct loop_watch *w, const struct loop_sight *s, uint64_t now_ns,
                                  uint64_t passed_ns, uint64_t limit_ns, uint64_t *slowest_ns) {
    bool told = w->slow_told; /* the turn that may have ended since */
    follow_turn(w, s, now_ns, passed_ns);
    *slowest_ns = w->turn_ns > s->longest_ns ? w->turn_ns : s->longest_ns;
    bool hangs = w->turn_ns >= limit_ns;
    if (hangs)
        w->hung_ns = w->turn_ns;
    if (hangs != w->hangs) {
        w->hangs = hangs;
        w->slow_told = true;
        *slowest_ns = w->hung_ns;
        return hangs ? LOOP_HANGS : LOOP_BACK;
    }
    if (w->turn_ns >= LOOP_SLOW_NS && !w->slow_told) {
        w->slow_told = true;
        *slowest_ns = w->turn_ns;
        return may_say(w, now_ns) ? LOOP_SLOW : LOOP_WELL;
    }
    if (s->longest_ns >= LOOP_SLOW_NS && !told)
        return may_say(w, now_ns) ? LOOP_SLOW : LOOP_WELL;
    return LOOP_WELL;
}
