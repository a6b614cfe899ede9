/* histogram.h - counts of durations, log-linear as in HdrHistogram.
 *
 * A value is kept with its 8 most significant bits, so a percentile is at most
 * 0.8% above the true one, over the whole range of 64 bits. 58 KiB each,
 * fixed, no allocation.  Threading: one thread.  Units: nanoseconds. */
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_SUB_BITS 7
#define HISTOGRAM_BUCKETS  ((64 - HISTOGRAM_SUB_BITS + 1) << HISTOGRAM_SUB_BITS)

/* All zeroes is an empty histogram. */
struct histogram {
    uint64_t counts[HISTOGRAM_BUCKETS];
    uint64_t total;
    uint64_t max;
    double sum;
};

void histogram_add(struct histogram *, uint64_t value);
/* The smallest recorded value that at least `percent` of all values do not
 * exceed, rounded up to its bucket's end but never above max; 0 when empty. */
uint64_t histogram_percentile(const struct histogram *, double percent);
double histogram_mean(const struct histogram *);

#endif
