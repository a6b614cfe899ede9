/* metrics.h - the program's counters, gauges and histograms.
 *
 * A family is declared once, by a static descriptor; its series, one for each
 * combination of label values, come into being as they are first used:
 *
 *     static const struct metric_desc requests = {
 *         .name = "gateway_proxy_requests_total", .type = METRIC_COUNTER,
 *         .help = "Requests answered.",
 *         .labels = {{"service", "name of the service"}, {"status", "of the answer"}}};
 *
 *     family = metrics_family(m, &requests);
 *     series = metrics_series(family, (const char *[]){"search", "200"});
 *     counter_add(series, worker, 1);
 *
 * Threading: any thread may look up series and read. Each worker thread writes
 *            by its own index, 0 to workers - 1; index `workers` belongs to
 *            the control thread. Every series has a cell for each of them, and
 *            one thread writes to a cell, so adding takes no lock, no locked
 *            instruction and no cache line of another thread.
 * Memory:    families and series live until metrics_destroy(). A family holds
 *            at most series_max series; what comes after is counted in one
 *            whose labels all are "overflow", so that a label that grows
 *            without bound costs its detail and not the memory. Looking up
 *            never fails.
 * Time:      durations in nanoseconds; written in seconds. */
#ifndef SWG_OBSERVE_METRICS_H
#define SWG_OBSERVE_METRICS_H

#include <assert.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "observe/histogram.h"

enum { METRIC_LABELS_MAX = 6, METRIC_SERIES_DEFAULT = 2000 };

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

struct metric_label {
    const char *name;
    const char *meaning; /* for the reference page */
};

struct metric_desc {
    const char *name; /* as users see it: a counter's ends in _total */
    enum metric_type type;
    const char *help; /* one sentence */
    const char *unit; /* "seconds", "bytes"; the name then has it as its suffix; or NULL */
    struct metric_label labels[METRIC_LABELS_MAX]; /* the first without a name ends them */
    uint32_t series_max;                           /* default METRIC_SERIES_DEFAULT */
};

struct metrics;
struct metric_family;

/* Cells lie in blocks of one strip a thread; from a cell of one thread to the
 * cell of the same series of the next thread it is this many cells. */
enum { METRIC_STRIP = 512 };

struct metric_series {
    /* Of thread 0. Each is written by one thread (load, add, store) and read
     * by any. Relaxed: readers need each value, not an order between them. */
    _Atomic uint64_t *cells;
    unsigned threads;
};

int metrics_create(struct metrics **out, unsigned workers);
void metrics_destroy(struct metrics *);

/* The family of this descriptor, made at the first call. NULL: no memory. The
 * order of first calls is the order of the output. */
struct metric_family *metrics_family(struct metrics *, const struct metric_desc *);

/* The series with these values, one for each label, made at the first call.
 * Never NULL. A found one takes no lock. NULL values count as "". */
struct metric_series *metrics_series(struct metric_family *, const char *const *label_values);

static inline _Atomic uint64_t *metric_cell(const struct metric_series *s, unsigned thread) {
    assert(thread < s->threads);
    return s->cells + (size_t)thread * METRIC_STRIP;
}

static inline void metric_cell_add(_Atomic uint64_t *cell, uint64_t n) {
    uint64_t old = atomic_load_explicit(cell, memory_order_relaxed);
    atomic_store_explicit(cell, old + n, memory_order_relaxed);
}

static inline void counter_add(struct metric_series *s, unsigned worker, uint64_t n) {
    metric_cell_add(metric_cell(s, worker), n);
}

/* A gauge shows the sum of what each thread has added or set. */
static inline void gauge_add(struct metric_series *s, unsigned worker, int64_t n) {
    metric_cell_add(metric_cell(s, worker), (uint64_t)n);
}

static inline void gauge_set(struct metric_series *s, unsigned worker, int64_t value) {
    atomic_store_explicit(metric_cell(s, worker), (uint64_t)value, memory_order_relaxed);
}

static inline void histogram_observe(struct metric_series *s, unsigned worker, uint64_t ns) {
    _Atomic uint64_t *cells = metric_cell(s, worker);
    metric_cell_add(cells + histogram_bucket(ns), 1);
    metric_cell_add(cells + HISTOGRAM_BUCKETS, ns);
}

/* How many lookups of a full family were counted under "overflow". */
uint64_t metrics_overflowed(const struct metric_family *);

/* What all threads have added together, now. */
uint64_t counter_read(const struct metric_series *);
int64_t gauge_read(const struct metric_series *);
/* Adds to *into, so that several series can be read into one. */
void histogram_read(const struct metric_series *, struct histogram *into);

const struct metric_desc *metric_family_desc(const struct metric_family *);
/* Calls fn for every family, in the order of the output. */
void metrics_each_family(struct metrics *, void (*fn)(struct metric_family *, void *arg),
                         void *arg);
/* Calls fn for every series of the family, oldest first. */
void metrics_each(struct metric_family *,
                  void (*fn)(struct metric_series *, const char *const *label_values, void *arg),
                  void *arg);

/* ---- values that live elsewhere ------------------------------------------ */

struct metrics_scrape;

/* Has fn called at every scrape, on the scraping thread and under no lock, to
 * emit what it reads somewhere else, such as the states of breakers. 0 or
 * -ENOMEM. Lasts until metrics_destroy(). */
int metrics_collect(struct metrics *, void (*fn)(struct metrics_scrape *, void *arg), void *arg);

/* Inside a collector: one sample of a family. A combination of label values is
 * emitted at most once a scrape, and is not also kept as a series. */
void metrics_emit(struct metrics_scrape *, struct metric_family *, const char *const *label_values,
                  double value);
void metrics_emit_uint(struct metrics_scrape *, struct metric_family *,
                       const char *const *label_values, uint64_t value);
void metrics_emit_histogram(struct metrics_scrape *, struct metric_family *,
                            const char *const *label_values, const struct histogram *);

#endif
