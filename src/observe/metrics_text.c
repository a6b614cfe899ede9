/* A family's samples must stand together, but a collector emits samples of
 * many families in whatever order it comes by them. So a scrape first runs the
 * collectors, each sample going, already as text, into a buffer of its family,
 * and then writes family after family. */
#include "observe/metrics_text.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/json_out.h"
#include "observe/metrics_priv.h"

struct metrics_scrape {
    unsigned families;     /* those that were there when the scrape began */
    struct buf *collected; /* for each, what collectors emitted */
    struct buf labels;     /* of the sample being emitted */
};

static void write_family(struct buf *, struct metric_family *, const struct buf *collected,
                         enum metrics_format);
static void write_head(struct buf *, const struct metric_desc *, enum metrics_format);
static void write_series(struct buf *, const struct metric_family *, const struct series *);
static void write_sample_head(struct buf *, const char *name, const char *labels);
static void write_number(struct buf *, double);
static void write_histogram(struct buf *, const char *name, const char *labels,
                            const struct histogram *);
static void write_seconds(struct buf *, uint64_t ns);
static void write_escaped(struct buf *, const char *text, bool quotes_too);
static struct buf *begin_emit(struct metrics_scrape *, const struct metric_family *,
                              const char *const *values);
static bool ends_with(const char *, const char *suffix);
static bool is_name(const char *);

static const char *const bound_names[HISTOGRAM_BOUNDS] = {
    "0.0005", "0.001", "0.0025", "0.005", "0.01", "0.025", "0.05", "0.1",
    "0.25",   "0.5",   "1.0",    "2.5",   "5.0",  "10.0",  "30.0",
};

/* ---- a scrape ------------------------------------------------------------ */

const char *metrics_content_type(enum metrics_format format) {
    return format == METRICS_OPENMETRICS
               ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
               : "text/plain; version=0.0.4; charset=utf-8";
}

int metrics_write(struct metrics *m, struct buf *to, enum metrics_format format) {
    struct metrics_scrape scrape;
    scrape.families = atomic_load_explicit(&m->family_count, memory_order_acquire);
    scrape.collected = calloc(scrape.families + 1, sizeof(struct buf));
    if (!scrape.collected)
        return -ENOMEM;
    for (unsigned i = 0; i < scrape.families; i++)
        buf_init(&scrape.collected[i], to->max);

    buf_init(&scrape.labels, to->max);
    struct collector *c = atomic_load_explicit(&m->collectors, memory_order_acquire);
    for (; c; c = atomic_load_explicit(&c->later, memory_order_acquire))
        c->fn(&scrape, c->arg);

    struct metric_family *f = atomic_load_explicit(&m->families, memory_order_acquire);
    bool failed = false;
    for (unsigned i = 0; i < scrape.families; i++) {
        write_family(to, f, &scrape.collected[i], format);
        failed |= scrape.collected[i].failed;
        buf_free(&scrape.collected[i]);
        f = atomic_load_explicit(&f->later, memory_order_acquire);
    }
    free(scrape.collected);
    buf_free(&scrape.labels);
    if (format == METRICS_OPENMETRICS)
        buf_literal(to, "# EOF\n");
    return to->failed || failed ? -ENOMEM : 0;
}

void metrics_emit(struct metrics_scrape *scrape, struct metric_family *f, const char *const *values,
                  double value) {
    assert(f->desc->type != METRIC_HISTOGRAM);
    struct buf *to = begin_emit(scrape, f, values);
    if (!to)
        return;
    write_sample_head(to, f->desc->name, buf_cstr(&scrape->labels));
    write_number(to, value);
    buf_char(to, '\n');
}

void metrics_emit_uint(struct metrics_scrape *scrape, struct metric_family *f,
                       const char *const *values, uint64_t value) {
    assert(f->desc->type != METRIC_HISTOGRAM);
    struct buf *to = begin_emit(scrape, f, values);
    if (!to)
        return;
    write_sample_head(to, f->desc->name, buf_cstr(&scrape->labels));
    buf_uint(to, value);
    buf_char(to, '\n');
}

void metrics_emit_histogram(struct metrics_scrape *scrape, struct metric_family *f,
                            const char *const *values, const struct histogram *h) {
    assert(f->desc->type == METRIC_HISTOGRAM);
    struct buf *to = begin_emit(scrape, f, values);
    if (to)
        write_histogram(to, f->desc->name, buf_cstr(&scrape->labels), h);
}

/* Fills scrape->labels. NULL for a family that came up during this scrape; it
 * is a part of the next. */
static struct buf *begin_emit(struct metrics_scrape *scrape, const struct metric_family *f,
                              const char *const *values) {
    if (f->index >= scrape->families)
        return NULL;
    struct buf *to = &scrape->collected[f->index];
    buf_clear(&scrape->labels);
    metric_labels_write(&scrape->labels, f->desc, values);
    to->failed |= scrape->labels.failed;
    return to;
}

/* ---- families ------------------------------------------------------------ */

/* Nothing at all for a family that has no samples yet. */
static void write_family(struct buf *to, struct metric_family *f, const struct buf *collected,
                         enum metrics_format format) {
    struct series *s = atomic_load_explicit(&f->first, memory_order_acquire);
    bool overflowed = atomic_load_explicit(&f->overflowed, memory_order_relaxed);
    bool only = f->labels == 0 && collected->len == 0;
    if (!s && !overflowed && !only && collected->len == 0)
        return;
    write_head(to, f->desc, format);
    for (; s; s = atomic_load_explicit(&s->later, memory_order_acquire))
        write_series(to, f, s);
    if (overflowed || only)
        write_series(to, f, f->overflow);
    buf_bytes(to, buf_view(collected));
}

static void write_head(struct buf *to, const struct metric_desc *desc, enum metrics_format format) {
    static const char *const types[] = {"counter", "gauge", "histogram"};
    bool open = format == METRICS_OPENMETRICS;
    struct bytes name = bytes_of(desc->name);
    if (open && desc->type == METRIC_COUNTER)
        name.len -= strlen("_total");
    buf_literal(to, "# HELP ");
    buf_bytes(to, name);
    buf_char(to, ' ');
    write_escaped(to, desc->help, open);
    buf_literal(to, "\n# TYPE ");
    buf_bytes(to, name);
    buf_char(to, ' ');
    buf_string(to, types[desc->type]);
    buf_char(to, '\n');
    if (open && desc->unit) {
        buf_literal(to, "# UNIT ");
        buf_bytes(to, name);
        buf_char(to, ' ');
        buf_string(to, desc->unit);
        buf_char(to, '\n');
    }
}

static void write_series(struct buf *to, const struct metric_family *f, const struct series *s) {
    if (f->desc->type == METRIC_HISTOGRAM) {
        struct histogram h = {{0}, 0};
        histogram_read(&s->public, &h);
        write_histogram(to, f->desc->name, s->text, &h);
        return;
    }
    write_sample_head(to, f->desc->name, s->text);
    if (f->desc->type == METRIC_COUNTER)
        buf_uint(to, counter_read(&s->public));
    else
        buf_int(to, gauge_read(&s->public));
    buf_char(to, '\n');
}

/* ---- samples ------------------------------------------------------------- */

static void write_sample_head(struct buf *to, const char *name, const char *labels) {
    buf_string(to, name);
    if (*labels) {
        buf_char(to, '{');
        buf_string(to, labels);
        buf_char(to, '}');
    }
    buf_char(to, ' ');
}

static void write_number(struct buf *to, double n) {
    if (isfinite(n))
        buf_double(to, n);
    else
        buf_string(to, isnan(n) ? "NaN" : n > 0 ? "+Inf" : "-Inf");
}

static void write_histogram(struct buf *to, const char *name, const char *labels,
                            const struct histogram *h) {
    uint64_t count = 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        count += h->buckets[i];
        buf_string(to, name);
        buf_literal(to, "_bucket{");
        buf_string(to, labels);
        buf_string(to, *labels ? ",le=\"" : "le=\"");
        buf_string(to, i < HISTOGRAM_BOUNDS ? bound_names[i] : "+Inf");
        buf_literal(to, "\"} ");
        buf_uint(to, count);
        buf_char(to, '\n');
    }
    char part[256];
    struct buf part_name;
    buf_init_fixed(&part_name, part, sizeof(part));
    buf_printf(&part_name, "%s_sum", name);
    write_sample_head(to, buf_cstr(&part_name), labels);
    write_seconds(to, h->sum_ns);
    buf_char(to, '\n');
    buf_clear(&part_name);
    buf_printf(&part_name, "%s_count", name);
    write_sample_head(to, buf_cstr(&part_name), labels);
    buf_uint(to, count);
    buf_char(to, '\n');
}

/* Exact: nanoseconds as seconds with as many decimals as are needed. */
static void write_seconds(struct buf *to, uint64_t ns) {
    char decimals[] = ".000000000";
    uint64_t rest = ns % 1000000000;
    for (int i = 9; i > 0; i--, rest /= 10)
        decimals[i] = (char)('0' + rest % 10);
    size_t len = 10;
    while (len > 2 && decimals[len - 1] == '0')
        len--;
    buf_uint(to, ns / 1000000000);
    buf_append(to, decimals, len);
}

void metric_labels_write(struct buf *to, const struct metric_desc *desc,
                         const char *const *values) {
    for (unsigned i = 0; i < METRIC_LABELS_MAX && desc->labels[i].name; i++) {
        if (i)
            buf_char(to, ',');
        buf_string(to, desc->labels[i].name);
        buf_literal(to, "=\"");
        write_escaped(to, values[i] ? values[i] : "", true);
        buf_char(to, '"');
    }
}

/* Backslash and newline, and the quote where the text stands in quotes or the
 * format asks for it; what is not UTF-8 becomes U+FFFD. */
static void write_escaped(struct buf *to, const char *text, bool quotes_too) {
    const char *end = text + strlen(text);
    while (text < end) {
        unsigned len = utf8_length(text, end);
        if (*text == '\\')
            buf_literal(to, "\\\\");
        else if (*text == '\n')
            buf_literal(to, "\\n");
        else if (*text == '"' && quotes_too)
            buf_literal(to, "\\\"");
        else if (len)
            buf_append(to, text, len);
        else
            buf_literal(to, "\xef\xbf\xbd");
        text += len ? len : 1;
    }
}

/* ---- descriptors --------------------------------------------------------- */

void metric_desc_check(const struct metric_desc *desc) {
    assert(is_name(desc->name) && strlen(desc->name) < 200);
    assert(desc->help && *desc->help);
    assert(ends_with(desc->name, "_total") == (desc->type == METRIC_COUNTER));
    assert(!ends_with(desc->name, "_count") && !ends_with(desc->name, "_sum"));
    assert(!ends_with(desc->name, "_bucket") && !ends_with(desc->name, "_info"));
    assert(desc->type != METRIC_HISTOGRAM || (desc->unit && strcmp(desc->unit, "seconds") == 0));
    if (desc->unit) {
        char suffix[64];
        snprintf(suffix, sizeof(suffix), "_%s%s", desc->unit,
                 desc->type == METRIC_COUNTER ? "_total" : "");
        assert(ends_with(desc->name, suffix));
    }
    for (unsigned i = 0; i < METRIC_LABELS_MAX && desc->labels[i].name; i++) {
        const char *name = desc->labels[i].name;
        assert(is_name(name) && strcmp(name, "le") != 0 && strncmp(name, "__", 2) != 0);
        assert(desc->labels[i].meaning && *desc->labels[i].meaning);
    }
}

static bool ends_with(const char *text, const char *suffix) {
    size_t len = strlen(text), end = strlen(suffix);
    return len >= end && strcmp(text + len - end, suffix) == 0;
}

static bool is_name(const char *name) {
    return name && *name >= 'a' && *name <= 'z' &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == strlen(name);
}
