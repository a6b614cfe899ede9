#include "histogram.h"

#include <math.h>

/* Values below 128 have a bucket each. Above, each power of two is divided
 * into 128 buckets: the exponent picks the row, the 7 bits below the leading
 * one the place in it. */
static unsigned bucket_of(uint64_t value) {
    if (value < (1u << HISTOGRAM_SUB_BITS))
        return (unsigned)value;
    unsigned shift = 63 - (unsigned)__builtin_clzll(value) - HISTOGRAM_SUB_BITS;
    unsigned place = (unsigned)(value >> shift) & ((1u << HISTOGRAM_SUB_BITS) - 1);
    return ((shift + 1) << HISTOGRAM_SUB_BITS) + place;
}

static uint64_t bucket_end(unsigned bucket) {
    unsigned row = bucket >> HISTOGRAM_SUB_BITS;
    uint64_t place = bucket & ((1u << HISTOGRAM_SUB_BITS) - 1);

    if (row == 0)
        return place;
    uint64_t start = ((1ull << HISTOGRAM_SUB_BITS) + place) << (row - 1);
    return start + ((1ull << (row - 1)) - 1);
}

void histogram_add(struct histogram *h, uint64_t value) {
    h->counts[bucket_of(value)]++;
    h->total++;
    h->sum += (double)value;
    if (value > h->max)
        h->max = value;
}

uint64_t histogram_percentile(const struct histogram *h, double percent) {
    uint64_t wanted = (uint64_t)ceil((double)h->total * percent / 100.0);
    uint64_t seen = 0;

    if (h->total == 0)
        return 0;
    if (wanted == 0)
        wanted = 1;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += h->counts[i];
        if (seen >= wanted)
            return bucket_end(i) < h->max ? bucket_end(i) : h->max;
    }
    return h->max;
}

double histogram_mean(const struct histogram *h) {
    return h->total > 0 ? h->sum / (double)h->total : 0;
}
