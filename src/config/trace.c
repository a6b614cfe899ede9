/* trace.c - where traces go, and which. */
#include <string.h>

#include "config/fill.h"
#include "config/types.h"
#include "observe/trace_context.h"

/* ---- the collector ------------------------------------------------------------ */

static bool read_collector(struct fill *f, const struct directive *d, const struct node *n,
                           void *base) {
    struct trace_options *o = &((struct gateway_options *)base)->trace;
    if (!type_url.read(f, d, n, &o->collector))
        return false;
    return o->collector.scheme != SCHEME_TCP ||
           fill_wrong_but(f, n, "http://host:port or unix:/path", NULL);
}

static void write_collector(struct json_out *out, const struct directive *d, const char *key,
                            const void *base) {
    const struct trace_options *o = &((const struct gateway_options *)base)->trace;
    if (o->collector.name)
        json_key_string(out, key, o->collector.name);
}

const struct directive_type type_collector = {"URL", "http://host:port/base or unix:/path",
                                              read_collector, write_collector};

/* ---- how many ------------------------------------------------------------------- */

enum { DECIMALS = 4 }; /* of a percentage: one in a million */

/* "1%", "0.25%", exact. */
static bool parse_share(struct bytes text, uint32_t *per_million) {
    uint32_t value = 0, decimals = 0;
    bool point = false, any = false;
    if (text.len < 2 || text.len > 9 || text.at[text.len - 1] != '%')
        return false;
    for (size_t i = 0; i < text.len - 1; i++) {
        char c = text.at[i];
        if (c == '.' && !point && any) {
            point = true;
            any = false;
            continue;
        }
        if (c < '0' || c > '9' || (point && ++decimals > DECIMALS))
            return false;
        any = true;
        value = value * 10 + (uint32_t)(c - '0');
    }
    for (; decimals < DECIMALS; decimals++)
        value *= 10;
    *per_million = value;
    return any && value <= TRACE_PER_MILLION;
}

static bool read_sample(struct fill *f, const struct directive *d, const struct node *n,
                        void *base) {
    struct bytes text;
    uint32_t share;
    if (!fill_text(f, d, n, &text))
        return false;
    if (!parse_share(text, &share))
        return fill_wrong(f, d, n, NULL);
    field_set(d, base, share);
    return true;
}

static void write_sample(struct json_out *out, const struct directive *d, const char *key,
                         const void *base) {
    uint32_t share = (uint32_t)field_get(d, base), whole = share / 10000, rest = share % 10000;
    char text[16];
    int n = snprintf(text, sizeof text, rest ? "%u.%04u" : "%u", whole, rest);
    while (rest && text[n - 1] == '0')
        n--;
    snprintf(text + n, sizeof text - (size_t)n, "%%");
    json_key_string(out, key, text);
}

const struct directive_type type_sample = {
    "percentage", "a percentage from 0% to 100%, such as 1% or 0.05%", read_sample, write_sample};

/* ---- fields ------------------------------------------------------------------------ */

static bool has_holes(const struct header_value *all, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        if (all[i].filled)
            return true;
    }
    return false;
}

static bool read_headers(struct fill *f, const struct directive *d, const struct node *n,
                         void *base) {
    struct trace_options *o = &((struct gateway_options *)base)->trace;
    if (!fill_headers(f, d, n, true, &o->headers, &o->header_count))
        return false;
    if (has_holes(o->headers, o->header_count))
        return fill_wrong_but(f, n, "text without {…}: there is no request to take values of",
                              NULL);
    return true;
}

/* Whatever is said to a collector there is to get in. */
static void write_headers(struct json_out *out, const struct directive *d, const char *key,
                          const void *base) {
    const struct trace_options *o = &((const struct gateway_options *)base)->trace;
    if (!o->header_count)
        return;
    json_key_object(out, key);
    for (uint32_t i = 0; i < o->header_count; i++)
        json_key_string(out, o->headers[i].name, o->headers[i].value ? "***" : NULL);
    json_object_end(out);
}

const struct directive_type type_trace_headers = {"mapping of field to value", "a mapping",
                                                  read_headers, write_headers};

void check_trace(struct fill *f) {
    struct trace_options *o = &f->options->trace;
    if (!o->enabled || o->collector.name || f->report->error_count)
        return;
    o->enabled = false;
    report_warning(f->report, named_at(&f->top, "trace"),
                   "otlp, as in trace: {otlp: \"http://127.0.0.1:4318\"}",
                   "trace has no otlp: nothing is told to anybody");
}
