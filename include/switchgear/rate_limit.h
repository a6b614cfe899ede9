/* rate_limit.h - at most so many calls a second, with bursts.
 *
 * GCRA (ITU-T I.371): one 64-bit compare-and-swap, no lock, no timer.
 * The limiter is one word of the caller's, zero at first, so that a table of
 * them (one a client) costs 8 bytes each. Threading: any thread. */
#ifndef SWITCHGEAR_RATE_LIMIT_H
#define SWITCHGEAR_RATE_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

#include <switchgear/export.h>

struct swg_rate_options {
    uint64_t calls;  /* so many … */
    uint64_t per_ns; /* … in so much time, default 1 s; 0 calls: no limit */
    uint64_t burst;  /* at once; default: calls of one second, at least 1 */
};

struct swg_rate_limiter {
    uint64_t theoretical_arrival_ns; /* used only by atomic operations */
};

SWG_BEGIN_DECLS
/* Whether one more call fits now; if not, *retry_in_ns is when it will. */
SWG_API bool swg_rate_admit(struct swg_rate_limiter *, const struct swg_rate_options *,
                            uint64_t now_ns, uint64_t *retry_in_ns);
SWG_END_DECLS

#endif
