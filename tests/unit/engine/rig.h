/* rig.h - a breaker on a bench: virtual time, a log of events, and results
 * written as letters.
 *
 *   S F  success, failure           s f  the same, but slow (after SLOW_NS)
 *   O I  overload, ignored          C c  cancelled young, cancelled after SLOW_NS
 *   .    a millisecond passes
 *
 * Each letter is one call, admitted and answered; it must be admitted. */
#ifndef SWG_TEST_RIG_H
#define SWG_TEST_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <switchgear/breaker.h>

#define RIG_SLOW_NS  SWG_SECONDS(2)
#define RIG_START_NS SWG_SECONDS(1000)

enum { RIG_EVENTS = 64 };

struct rig {
    struct swg_breaker *b;
    uint64_t now_ns;
    uint32_t events;
    struct swg_breaker_event event[RIG_EVENTS];
};

static inline void rig_listen(void *arg, const struct swg_breaker_event *e) {
    struct rig *r = arg;
    assert_true(r->events < RIG_EVENTS);
    assert_int_equal(e->sequence, r->events + 1);
    r->event[r->events++] = *e;
}

static inline struct rig rig_make(struct rig *r, const struct swg_breaker_options *o) {
    *r = (struct rig){.now_ns = RIG_START_NS};
    assert_int_equal(swg_breaker_create(&r->b, o, 1, r->now_ns), SWG_OK);
    swg_breaker_listen(r->b, rig_listen, r);
    return *r;
}

static inline void rig_free(struct rig *r) {
    swg_breaker_check(r->b);
    swg_breaker_destroy(r->b);
}

static inline struct swg_breaker_stats rig_read(const struct rig *r) {
    struct swg_breaker_stats s;
    swg_breaker_read(r->b, &s, r->now_ns);
    return s;
}

static inline enum swg_breaker_state rig_state(const struct rig *r) {
    return rig_read(r).state;
}

static inline enum swg_refusal rig_admit(struct rig *r, struct swg_permit *p) {
    enum swg_refusal refusal = swg_breaker_admit(r->b, p, 0, r->now_ns);
    swg_breaker_check(r->b);
    return refusal;
}

static inline void rig_record(struct rig *r, struct swg_permit *p, enum swg_outcome_kind kind) {
    swg_breaker_record(r->b, p, kind, 0, r->now_ns);
    swg_breaker_check(r->b);
}

/* Admission asked and given back at once: tells what a call would get. */
static inline enum swg_refusal rig_ask(struct rig *r) {
    struct swg_permit p;
    enum swg_refusal refusal = rig_admit(r, &p);
    if (refusal == SWG_ADMITTED)
        rig_record(r, &p, SWG_IGNORED);
    return refusal;
}

static inline enum swg_outcome_kind rig_kind(char letter) {
    switch (letter) {
    case 'S':
    case 's':
        return SWG_SUCCESS;
    case 'F':
    case 'f':
        return SWG_FAILURE;
    case 'O':
        return SWG_OVERLOAD;
    case 'I':
        return SWG_IGNORED;
    case 'C':
    case 'c':
        return SWG_CANCELLED;
    }
    fail_msg("no such letter: %c", letter);
    return SWG_IGNORED;
}

static inline void rig_feed(struct rig *r, const char *letters) {
    for (; *letters; letters++) {
        struct swg_permit p;
        if (*letters == '.') {
            r->now_ns += SWG_MS(1);
            continue;
        }
        assert_int_equal(rig_admit(r, &p), SWG_ADMITTED);
        /* admitted earlier, so that the clock need not move */
        if (*letters == 's' || *letters == 'f' || *letters == 'c')
            p.started_ns -= RIG_SLOW_NS;
        rig_record(r, &p, rig_kind(*letters));
    }
}

#endif
