#include "observe/histogram.h"

#define US(n) ((uint64_t)(n)*1000)
#define MS(n) ((uint64_t)(n)*1000000)

const uint64_t histogram_bounds_ns[HISTOGRAM_BOUNDS] = {
    US(500), MS(1),   MS(2) + US(500), MS(5),    MS(10),   MS(25),    MS(50),    MS(100),
    MS(250), MS(500), MS(1000),        MS(2500), MS(5000), MS(10000), MS(30000),
};

uint64_t histogram_count(const struct histogram *h) {
    uint64_t count = 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
        count += h->buckets[i];
    return count;
}

void histogram_add(struct histogram *to, const struct histogram *more) {
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
        to->buckets[i] += more->buckets[i];
    to->sum_ns += more->sum_ns;
}

void histogram_subtract(struct histogram *from, const struct histogram *before) {
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
        from->buckets[i] -= before->buckets[i];
    from->sum_ns -= before->sum_ns;
}

uint64_t histogram_quantile_ns(const struct histogram *h, unsigned permille) {
    uint64_t count = histogram_count(h);
    if (count == 0)
        return 0;
    double rank = (double)count * permille / 1000, below = 0;
    unsigned i = 0;
    while (i < HISTOGRAM_BOUNDS && (!h->buckets[i] || below + (double)h->buckets[i] < rank))
        below += (double)h->buckets[i++];
    if (i == HISTOGRAM_BOUNDS)
        return histogram_bounds_ns[HISTOGRAM_BOUNDS - 1];
    uint64_t low = i ? histogram_bounds_ns[i - 1] : 0, high = histogram_bounds_ns[i];
    return low + (uint64_t)((double)(high - low) * (rank - below) / (double)h->buckets[i]);
}
