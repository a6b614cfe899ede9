/* metrics_priv.h - the layout of the registry, for metrics.c and
 * metrics_text.c.
 *
 * Everything is only ever added. A new family, series or collector is made
 * whole under the lock and then published by a release store of the pointer
 * that leads to it; whoever walks the lists loads these pointers with acquire
 * and needs no lock. */
#ifndef SWG_OBSERVE_METRICS_PRIV_H
#define SWG_OBSERVE_METRICS_PRIV_H

#include <pthread.h>

#include "observe/metrics.h"

enum { METRIC_BUCKETS_MAX = 256, METRIC_CELLS = HISTOGRAM_BUCKETS + 1 };

struct series {
    struct metric_series public;
    struct series *in_bucket;       /* fixed before it is published */
    _Atomic(struct series *) later; /* next in order of creation */
    const char *text;               /* `service="a",status="200"`, escaped; "" without labels */
    const char *values[];           /* one a label */
};

struct metric_family {
    struct metrics *metrics;
    const struct metric_desc *desc;
    unsigned index;  /* its place in the output */
    unsigned labels; /* how many */
    _Atomic(struct metric_family *) later;
    _Atomic(struct series *) first;
    struct series *last;     /* under the lock */
    uint32_t series_count;   /* under the lock */
    struct series *overflow; /* of a family without labels: its only series */
    /* Lookups that ended there; any thread adds, the scrape reads. Relaxed: a
     * count on its own. */
    _Atomic uint64_t overflowed;
    uint32_t bucket_mask;
    _Atomic(struct series *) buckets[];
};

struct collector {
    void (*fn)(struct metrics_scrape *, void *arg);
    void *arg;
    _Atomic(struct collector *) later;
};

struct cell_block {
    struct cell_block *next;
    _Atomic uint64_t *cells; /* METRIC_STRIP for each thread, each strip on lines of its own */
    unsigned used;           /* of the strip */
};

struct metrics {
    unsigned threads;     /* workers and the control thread */
    pthread_mutex_t lock; /* taken by whoever adds something */
    _Atomic(struct metric_family *) families;
    struct metric_family *last_family;
    /* Written under the lock, after the family is in the list. */
    _Atomic unsigned family_count;
    _Atomic(struct collector *) collectors;
    struct collector *last_collector;
    struct cell_block *blocks;
};

#endif
