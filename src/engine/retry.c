/* retry.c - how long to wait before the next attempt.
 *
 * Full jitter is the default because it empties a crowd of retrying callers
 * fastest (Brooker 2015): equal jitter is for those who need a minimum gap,
 * decorrelated for long contention. Whether a retry may be made at all is
 * decided where the whole call is known, in call.c. */
#include <switchgear/retry.h>

#include "base/random.h"

static uint64_t base_of(const struct swg_retry_options *o) {
    return o->base_ns ? o->base_ns : SWG_MS(100);
}

/* Never below the base, so that a large base alone is a valid configuration. */
static uint64_t cap_of(const struct swg_retry_options *o) {
    uint64_t cap = o->cap_ns ? o->cap_ns : SWG_SECONDS(10);
    return cap > base_of(o) ? cap : base_of(o);
}

/* min(cap, base * 2^retry), whatever retry is. */
static uint64_t exponential(const struct swg_retry_options *o, uint32_t retry) {
    uint64_t base = base_of(o), cap = cap_of(o);
    if (retry >= 64 || base > cap >> retry)
        return cap;
    return base << retry;
}

/* min(cap, uniform in base…3 * previous); the first wait is its own previous. */
static uint64_t decorrelated(const struct swg_retry_options *o, uint64_t previous,
                             uint64_t random) {
    uint64_t base = base_of(o), cap = cap_of(o);
    if (previous < base)
        previous = base;
    uint64_t top = previous > UINT64_MAX / 3 ? UINT64_MAX : previous * 3;
    uint64_t wait = base + random_up_to(random, top - base);
    return wait < cap ? wait : cap;
}

static uint64_t jittered(const struct swg_retry_options *o, uint32_t retry, uint64_t previous,
                         uint64_t random) {
    uint64_t d = exponential(o, retry);
    switch (o->jitter) {
    case SWG_JITTER_FULL:
        return random_up_to(random, d);
    case SWG_JITTER_EQUAL:
        return d - d / 2 + random_up_to(random, d / 2);
    case SWG_JITTER_DECORRELATED:
        return decorrelated(o, previous, random);
    case SWG_JITTER_NONE:
        break;
    }
    return d;
}

uint64_t swg_retry_wait_ns(const struct swg_retry_options *o, uint32_t retry, uint64_t previous_ns,
                           uint64_t retry_after_ns, uint64_t random) {
    uint64_t wait = jittered(o, retry, previous_ns, random);
    return wait > retry_after_ns ? wait : retry_after_ns;
}
