/* balance.h - which of several endpoints gets the next call.
 *
 * Pure functions over a list of candidates: all of them are healthy, the best
 * is wanted. Weights are relative; 0 is not a weight. */
#ifndef SWG_ENGINE_BALANCE_H
#define SWG_ENGINE_BALANCE_H

#include <stdint.h>

struct swg__candidate {
    uint32_t endpoint;
    uint32_t in_flight;
    uint64_t weight; /* 1…1,000,000 */
};

/* All return an index into the list; n is at least 1. */

/* In proportion to the weights: `point` 0…2^64-1 falls on one of them. */
uint32_t swg__balance_weighted(const struct swg__candidate *, uint32_t n, uint64_t point);

/* One after another; evenly mixed where weights differ. */
uint32_t swg__balance_round_robin(const struct swg__candidate *, uint32_t n, uint64_t turn);

/* The one that would have the fewest calls in flight for its weight. */
uint32_t swg__balance_least_request(const struct swg__candidate *, uint32_t n, uint64_t random);

#endif
