/* balance.c - see balance.h.
 *
 * Least request compares (in_flight + 1) / weight, the load an endpoint would
 * have with the new call, as integers multiplied crosswise. Alone that is
 * unfair where traffic is thin: with nothing in flight anywhere the heaviest
 * endpoint would get every call, and one in slow start none until its share
 * jumps. So one favourite is drawn in proportion to the weights, and its own
 * new call is not held against it. With thin traffic calls then follow the
 * weights exactly; with thick traffic the drawing hardly matters; and between
 * equal weights an endpoint with fewer calls always wins, as the favourite
 * loses a tie. A hung endpoint fills up and is left alone long before its
 * breaker knows. */
#include "engine/balance.h"

#include <stdbool.h>

#include "base/random.h"

uint32_t swg__balance_weighted(const struct swg__candidate *c, uint32_t n, uint64_t point) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += c[i].weight;
    uint64_t at = random_up_to(point, sum - 1);
    for (uint32_t i = 0; i + 1 < n; i++) {
        if (at < c[i].weight)
            return i;
        at -= c[i].weight;
    }
    return n - 1;
}

static bool equal_weights(const struct swg__candidate *c, uint32_t n) {
    for (uint32_t i = 1; i < n; i++) {
        if (c[i].weight != c[0].weight)
            return false;
    }
    return true;
}

/* Multiples of the golden ratio fall evenly into [0, 1) wherever one stops,
 * so different weights are mixed (A A B A …) without a state to share. */
uint32_t swg__balance_round_robin(const struct swg__candidate *c, uint32_t n, uint64_t turn) {
    if (equal_weights(c, n))
        return (uint32_t)(turn % n);
    return swg__balance_weighted(c, n, turn * UINT64_C(0x9e3779b97f4a7c15));
}

/* Whether a with `more_a` calls added is less loaded than b: <0, 0, >0. */
static int compare_load(const struct swg__candidate *a, uint32_t more_a,
                        const struct swg__candidate *b, uint32_t more_b) {
    uint64_t left = ((uint64_t)a->in_flight + more_a) * b->weight;
    uint64_t right = ((uint64_t)b->in_flight + more_b) * a->weight;
    return left < right ? -1 : left > right;
}

uint32_t swg__balance_least_request(const struct swg__candidate *c, uint32_t n, uint64_t random) {
    uint32_t favourite = swg__balance_weighted(c, n, random);
    uint32_t best = UINT32_MAX, ties = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (i == favourite)
            continue;
        int order = best == UINT32_MAX ? -1 : compare_load(&c[i], 1, &c[best], 1);
        ties = order == 0 ? ties + 1 : order < 0 ? 0 : ties;
        /* the k-th of equals replaces the one before with probability 1/k */
        if (order < 0 || (order == 0 && random_up_to(random_mix(random + i), ties) == 0))
            best = i;
    }
    if (best == UINT32_MAX || compare_load(&c[favourite], 0, &c[best], 1) < 0)
        return favourite;
    return best;
}
