/* The registry. Looking up a series is on the path of every request, so found
 * series cost a hash and a walk along one chain, without a lock; only a new
 * one takes it. Chains do not grow long: a family has at most series_max. */
#include "observe/metrics.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "observe/metrics_priv.h"
#include "observe/metrics_text.h"

enum { CACHE_LINE = 64, LABEL_TEXT_MAX = 16384 };

static struct metric_family *find_family(struct metrics *, const char *name);
static struct metric_family *make_family(struct metrics *, const struct metric_desc *);
static unsigned count_labels(const struct metric_desc *);
static void free_family(struct metric_family *);
static uint32_t hash_values(const struct metric_family *, const char *const *values);
static struct series *find_series(struct metric_family *, uint32_t hash, const char *const *values);
static struct series *add_series(struct metric_family *, uint32_t hash, const char *const *values);
static struct series *make_series(struct metric_family *, const char *const *values);
static _Atomic uint64_t *take_cells(struct metrics *, unsigned count);
static uint64_t sum_cells(const struct metric_series *, unsigned at);

/* ---- the registry -------------------------------------------------------- */

int metrics_create(struct metrics **out, unsigned workers) {
    struct metrics *m = calloc(1, sizeof(*m));
    if (!m)
        return -ENOMEM;
    int error = pthread_mutex_init(&m->lock, NULL);
    if (error) {
        free(m);
        return -error;
    }
    m->threads = workers + 1;
    *out = m;
    return 0;
}

void metrics_destroy(struct metrics *m) {
    if (!m)
        return;
    for (struct metric_family *f = m->families, *next; f; f = next) {
        next = f->later;
        free_family(f);
    }
    for (struct collector *c = m->collectors, *next; c; c = next) {
        next = c->later;
        free(c);
    }
    for (struct cell_block *b = m->blocks, *next; b; b = next) {
        next = b->next;
        free(b->cells);
        free(b);
    }
    pthread_mutex_destroy(&m->lock);
    free(m);
}

struct metric_family *metrics_family(struct metrics *m, const struct metric_desc *desc) {
    pthread_mutex_lock(&m->lock);
    struct metric_family *f = find_family(m, desc->name);
    if (f) {
        assert(f->desc == desc); /* two descriptors of one name: a bug */
    } else if ((f = make_family(m, desc))) {
        f->index = m->family_count;
        if (m->last_family)
            atomic_store_explicit(&m->last_family->later, f, memory_order_release);
        else
            atomic_store_explicit(&m->families, f, memory_order_release);
        m->last_family = f;
        atomic_store_explicit(&m->family_count, f->index + 1, memory_order_release);
    }
    pthread_mutex_unlock(&m->lock);
    return f;
}

struct metric_series *metrics_series(struct metric_family *f, const char *const *values) {
    if (f->labels == 0)
        return &f->overflow->public;
    uint32_t hash = hash_values(f, values);
    struct series *s = find_series(f, hash, values);
    if (!s) {
        pthread_mutex_lock(&f->metrics->lock);
        s = find_series(f, hash, values); /* another thread may have made it */
        if (!s)
            s = add_series(f, hash, values);
        pthread_mutex_unlock(&f->metrics->lock);
    }
    if (!s) {
        atomic_fetch_add_explicit(&f->overflowed, 1, memory_order_relaxed);
        s = f->overflow;
    }
    return &s->public;
}

int metrics_collect(struct metrics *m, void (*fn)(struct metrics_scrape *, void *arg), void *arg) {
    struct collector *c = calloc(1, sizeof(*c));
    if (!c)
        return -ENOMEM;
    c->fn = fn;
    c->arg = arg;
    pthread_mutex_lock(&m->lock);
    if (m->last_collector)
        atomic_store_explicit(&m->last_collector->later, c, memory_order_release);
    else
        atomic_store_explicit(&m->collectors, c, memory_order_release);
    m->last_collector = c;
    pthread_mutex_unlock(&m->lock);
    return 0;
}

/* ---- reading ------------------------------------------------------------- */

uint64_t counter_read(const struct metric_series *s) {
    return sum_cells(s, 0);
}

int64_t gauge_read(const struct metric_series *s) {
    return (int64_t)sum_cells(s, 0);
}

void histogram_read(const struct metric_series *s, struct histogram *into) {
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
        into->buckets[i] += sum_cells(s, i);
    into->sum_ns += sum_cells(s, HISTOGRAM_BUCKETS);
}

uint64_t metrics_overflowed(const struct metric_family *f) {
    return atomic_load_explicit(&f->overflowed, memory_order_relaxed);
}

const struct metric_desc *metric_family_desc(const struct metric_family *f) {
    return f->desc;
}

void metrics_each_family(struct metrics *m, void (*fn)(struct metric_family *, void *arg),
                         void *arg) {
    struct metric_family *f = atomic_load_explicit(&m->families, memory_order_acquire);
    for (; f; f = atomic_load_explicit(&f->later, memory_order_acquire))
        fn(f, arg);
}

void metrics_each(struct metric_family *f,
                  void (*fn)(struct metric_series *, const char *const *values, void *arg),
                  void *arg) {
    struct series *s = atomic_load_explicit(&f->first, memory_order_acquire);
    for (; s; s = atomic_load_explicit(&s->later, memory_order_acquire))
        fn(&s->public, s->values, arg);
    if (f->labels == 0 || atomic_load_explicit(&f->overflowed, memory_order_relaxed))
        fn(&f->overflow->public, f->overflow->values, arg);
}

static uint64_t sum_cells(const struct metric_series *s, unsigned at) {
    uint64_t sum = 0;
    for (unsigned i = 0; i < s->threads; i++)
        sum += atomic_load_explicit(metric_cell(s, i) + at, memory_order_relaxed);
    return sum;
}

/* ---- families ------------------------------------------------------------ */

static struct metric_family *find_family(struct metrics *m, const char *name) {
    for (struct metric_family *f = m->families; f; f = f->later)
        if (strcmp(f->desc->name, name) == 0)
            return f;
    return NULL;
}

static struct metric_family *make_family(struct metrics *m, const struct metric_desc *desc) {
    static const char *const overflow[METRIC_LABELS_MAX] = {"overflow", "overflow", "overflow",
                                                            "overflow", "overflow", "overflow"};
    metric_desc_check(desc);
    uint32_t series_max = desc->series_max ? desc->series_max : METRIC_SERIES_DEFAULT;
    uint32_t buckets = 1;
    while (count_labels(desc) && buckets < series_max && buckets < METRIC_BUCKETS_MAX)
        buckets *= 2;
    struct metric_family *f = calloc(1, sizeof(*f) + buckets * sizeof(f->buckets[0]));
    if (!f)
        return NULL;
    f->metrics = m;
    f->desc = desc;
    f->labels = count_labels(desc);
    f->bucket_mask = buckets - 1;
    f->overflow = make_series(f, overflow);
    if (!f->overflow) {
        free(f);
        return NULL;
    }
    return f;
}

static unsigned count_labels(const struct metric_desc *desc) {
    unsigned n = 0;
    while (n < METRIC_LABELS_MAX && desc->labels[n].name)
        n++;
    return n;
}

static void free_family(struct metric_family *f) {
    for (struct series *s = f->first, *next; s; s = next) {
        next = s->later;
        free(s);
    }
    free(f->overflow);
    free(f);
}

/* ---- series -------------------------------------------------------------- */

/* FNV-1a, each value with its end, so that "ab","c" is not "a","bc". Names and
 * label values come from the configuration, so nobody gains by collisions. */
static uint32_t hash_values(const struct metric_family *f, const char *const *values) {
    uint32_t hash = 2166136261u;
    for (unsigned i = 0; i < f->labels; i++) {
        for (const char *p = values[i] ? values[i] : ""; *p; p++)
            hash = (hash ^ (unsigned char)*p) * 16777619u;
        hash *= 16777619u;
    }
    return hash ^ hash >> 16;
}

static struct series *find_series(struct metric_family *f, uint32_t hash,
                                  const char *const *values) {
    struct series *s =
        atomic_load_explicit(&f->buckets[hash & f->bucket_mask], memory_order_acquire);
    for (; s; s = s->in_bucket) {
        unsigned same = 0;
        while (same < f->labels && strcmp(s->values[same], values[same] ? values[same] : "") == 0)
            same++;
        if (same == f->labels)
            return s;
    }
    return NULL;
}

/* With the lock held; NULL when the family is full, or there is no memory. */
static struct series *add_series(struct metric_family *f, uint32_t hash,
                                 const char *const *values) {
    uint32_t max = f->desc->series_max ? f->desc->series_max : METRIC_SERIES_DEFAULT;
    if (f->series_count >= max)
        return NULL;
    struct series *s = make_series(f, values);
    if (!s)
        return NULL;
    f->series_count++;
    _Atomic(struct series *) *bucket = &f->buckets[hash & f->bucket_mask];
    s->in_bucket = atomic_load_explicit(bucket, memory_order_relaxed);
    atomic_store_explicit(bucket, s, memory_order_release);
    if (f->last)
        atomic_store_explicit(&f->last->later, s, memory_order_release);
    else
        atomic_store_explicit(&f->first, s, memory_order_release);
    f->last = s;
    return s;
}

/* One allocation: the series, its values, the text of its labels. */
static struct series *make_series(struct metric_family *f, const char *const *values) {
    struct buf text;
    buf_init(&text, LABEL_TEXT_MAX);
    metric_labels_write(&text, f->desc, values);
    size_t size = sizeof(struct series) + f->labels * sizeof(char *) + text.len + 1;
    for (unsigned i = 0; i < f->labels; i++)
        size += values[i] ? strlen(values[i]) + 1 : 1;
    struct series *s = text.failed ? NULL : calloc(1, size);
    if (s)
        s->public.cells =
            take_cells(f->metrics, f->desc->type == METRIC_HISTOGRAM ? METRIC_CELLS : 1);
    if (!s || !s->public.cells) {
        free(s);
        buf_free(&text);
        return NULL;
    }
    s->public.threads = f->metrics->threads;
    char *at = (char *)&s->values[f->labels];
    s->text = memcpy(at, buf_cstr(&text), text.len + 1);
    at += text.len + 1;
    for (unsigned i = 0; i < f->labels; i++) {
        const char *value = values[i] ? values[i] : "";
        size_t len = strlen(value) + 1;
        s->values[i] = memcpy(at, value, len);
        at += len;
    }
    buf_free(&text);
    return s;
}

/* The cells of one series: `count` neighbours in the strip of every thread. */
static _Atomic uint64_t *take_cells(struct metrics *m, unsigned count) {
    struct cell_block *b = m->blocks;
    if (!b || METRIC_STRIP - b->used < count) {
        size_t size = (size_t)m->threads * METRIC_STRIP * sizeof(uint64_t);
        b = calloc(1, sizeof(*b));
        void *cells = b ? aligned_alloc(CACHE_LINE, size) : NULL;
        if (!cells) {
            free(b);
            return NULL;
        }
        memset(cells, 0, size);
        b->cells = cells;
        b->next = m->blocks;
        m->blocks = b;
    }
    b->used += count;
    return b->cells + b->used - count;
}
