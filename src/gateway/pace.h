/* pace.h - whether a sender keeps up a rate: the client that sends a body.
 *
 * A sender has an allowance of time. Waiting for it takes from the allowance,
 * each byte gives back its share of a second, and the allowance never grows
 * beyond the grace it began with. So a pause of up to the grace is forgiven at
 * any time, a trickle is not however long it goes on, and what came quickly in
 * the beginning is no credit for a later stop. (Apache's MinRate extends a
 * deadline by each byte without that bound; Kestrel judges the mean since the
 * beginning, so that a long body may stop for long near its end.)
 *
 * While nobody waits for the sender, because what it sends cannot be taken,
 * the clock stands still: back-pressure is not its fault.
 *
 * Pure: time comes in. No memory. */
#ifndef SWG_GATEWAY_PACE_H
#define SWG_GATEWAY_PACE_H

#include <stddef.h>
#include <stdint.h>

struct pace {
    uint64_t rate;        /* bytes a second; 0: none is asked for, and nothing is ever due */
    uint64_t grace_ns;    /* bound of the allowance; at most an hour or so */
    int64_t allowance_ns; /* left, as of since_ns; below 0 it is due */
    uint64_t since_ns;    /* SWG_NEVER: the clock stands still */
};

/* The clock does not run yet. */
void pace_init(struct pace *, uint64_t rate, uint64_t grace_ns);
/* It is waited for, or is not; may be told often. */
void pace_run(struct pace *, uint64_t now_ns);
void pace_hold(struct pace *, uint64_t now_ns);
/* Bytes came. */
void pace_count(struct pace *, size_t bytes, uint64_t now_ns);
/* When its allowance will be used up if no more comes; SWG_NEVER: never. */
uint64_t pace_due_ns(const struct pace *);

#endif
