/* rate_limit.c - the generic cell rate algorithm (ITU-T I.371, Annex A).
 *
 * A limiter is the theoretical arrival time (TAT) of the next call, if calls
 * came evenly. A call moves it on by one interval T = per / calls; it fits
 * while TAT is at most burst * T ahead of now after that. Compared with a token
 * bucket there is nothing to refill and one word to swap.
 *
 * T is rounded up to whole nanoseconds, so a limit is never exceeded by
 * rounding; a rate above 10^9 a second is held to 10^9. */
#include <switchgear/rate_limit.h>

#include <stddef.h>

#include <switchgear/time.h>

/* A reload may have made the rate or the burst smaller: a TAT that lies further
 * ahead than the present options can bring about is taken back to where an
 * empty bucket would be. The slack is for threads whose now is slightly apart. */
#define AHEAD_SLACK_NS SWG_SECONDS(1)

static uint64_t interval_ns(const struct swg_rate_options *o) {
    uint64_t per = o->per_ns ? o->per_ns : SWG_SECONDS(1);
    return per / o->calls + (per % o->calls != 0);
}

static uint64_t burst_of(const struct swg_rate_options *o) {
    if (o->burst)
        return o->burst;
    uint64_t per = o->per_ns ? o->per_ns : SWG_SECONDS(1);
    unsigned __int128 second = (unsigned __int128)o->calls * SWG_SECONDS(1) / per;
    if (second > UINT64_MAX)
        return UINT64_MAX;
    return second ? (uint64_t)second : 1;
}

/* How far TAT may be ahead of now; capped so that sums below cannot overflow. */
static uint64_t tolerance_ns(const struct swg_rate_options *o, uint64_t interval) {
    uint64_t ahead;
    if (__builtin_mul_overflow(burst_of(o), interval, &ahead) || ahead > UINT64_MAX / 4)
        ahead = UINT64_MAX / 4;
    return ahead > interval ? ahead : interval;
}

bool swg_rate_admit(struct swg_rate_limiter *l, const struct swg_rate_options *o, uint64_t now_ns,
                    uint64_t *retry_in_ns) {
    if (retry_in_ns)
        *retry_in_ns = 0;
    if (!o->calls)
        return true;
    uint64_t interval = interval_ns(o), ahead = tolerance_ns(o, interval);

    /* theoretical_arrival_ns: written and read by any thread. Relaxed is
     * enough: the word is all there is, nothing else is published through it. */
    uint64_t *word = &l->theoretical_arrival_ns;
    uint64_t seen = __atomic_load_n(word, __ATOMIC_RELAXED);
    for (;;) {
        uint64_t tat = seen > now_ns ? seen : now_ns;
        if (tat - now_ns > ahead && tat - now_ns - ahead > AHEAD_SLACK_NS)
            tat = now_ns + ahead;
        if (tat - now_ns > ahead - interval) {
            if (retry_in_ns)
                *retry_in_ns = tat - now_ns - (ahead - interval);
            if (tat == seen || tat == now_ns)
                return false;
            if (__atomic_compare_exchange_n(word, &seen, tat, true, __ATOMIC_RELAXED,
                                            __ATOMIC_RELAXED))
                return false;
        } else if (__atomic_compare_exchange_n(word, &seen, tat + interval, true, __ATOMIC_RELAXED,
                                               __ATOMIC_RELAXED)) {
            return true;
        }
    }
}
