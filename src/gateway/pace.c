/* pace.c - see pace.h. */
#include "gateway/pace.h"

#include <switchgear/time.h>

void pace_init(struct pace *p, uint64_t rate, uint64_t grace_ns) {
    *p = (struct pace){.rate = rate,
                       .grace_ns = grace_ns,
                       .allowance_ns = (int64_t)grace_ns,
                       .since_ns = SWG_NEVER};
}

/* Takes the time since the last look from the allowance. */
static void settle(struct pace *p, uint64_t now_ns) {
    if (p->since_ns == SWG_NEVER || now_ns <= p->since_ns)
        return;
    p->allowance_ns -= (int64_t)(now_ns - p->since_ns);
    p->since_ns = now_ns;
}

void pace_run(struct pace *p, uint64_t now_ns) {
    if (p->rate && p->since_ns == SWG_NEVER)
        p->since_ns = now_ns;
}

void pace_hold(struct pace *p, uint64_t now_ns) {
    settle(p, now_ns);
    p->since_ns = SWG_NEVER;
}

/* How long so many bytes may take, at most `max`. */
static int64_t worth_ns(uint64_t rate, size_t bytes, int64_t max) {
    double worth = (double)bytes * 1e9 / (double)rate;
    return worth < (double)max ? (int64_t)worth : max;
}

void pace_count(struct pace *p, size_t bytes, uint64_t now_ns) {
    if (!p->rate)
        return;
    settle(p, now_ns);
    p->allowance_ns += worth_ns(p->rate, bytes, (int64_t)p->grace_ns - p->allowance_ns);
}

uint64_t pace_due_ns(const struct pace *p) {
    if (!p->rate || p->since_ns == SWG_NEVER)
        return SWG_NEVER;
    return p->since_ns + (uint64_t)p->allowance_ns;
}
