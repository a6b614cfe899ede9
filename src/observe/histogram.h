/* histogram.h - how long things took: counts in fixed buckets, and the sum.
 *
 * The bounds are the same for every histogram of the program, so that they can
 * be added and compared. Observed and summed in integer nanoseconds: exact.
 *
 * This is the plain value, as read at one moment; the live one, written by
 * many threads, is a series of metrics.h. Threading: the caller's. */
#ifndef SWG_OBSERVE_HISTOGRAM_H
#define SWG_OBSERVE_HISTOGRAM_H

#include <stdint.h>

enum { HISTOGRAM_BOUNDS = 15, HISTOGRAM_BUCKETS = HISTOGRAM_BOUNDS + 1 };

struct histogram {
    uint64_t buckets[HISTOGRAM_BUCKETS]; /* not cumulative; the last has no upper bound */
    uint64_t sum_ns;
};

/* Upper bounds, inclusive, ascending: 500 us to 30 s. */
extern const uint64_t histogram_bounds_ns[HISTOGRAM_BOUNDS];

/* The bucket that `ns` falls into. */
static inline unsigned histogram_bucket(uint64_t ns) {
    unsigned i = 0;
    while (i < HISTOGRAM_BOUNDS && ns > histogram_bounds_ns[i])
        i++;
    return i;
}

uint64_t histogram_count(const struct histogram *);
void histogram_add(struct histogram *to, const struct histogram *more);
/* What came since `before`, an earlier reading of the same histogram. */
void histogram_subtract(struct histogram *from, const struct histogram *before);
/* An estimate: the bucket is exact, inside it values are taken as spread
 * evenly; beyond the last bound, that bound. 500 is the median; 0 when empty. */
uint64_t histogram_quantile_ns(const struct histogram *, unsigned permille);

#endif
