#include "load_stats.h"

#include <stdlib.h>

static const char *const end_names[] = {
#define X(code, name) name,
    LOAD_ENDS(X)
#undef X
};

struct load_stats *load_stats_create(void) {
    struct load_stats *s = calloc(1, sizeof(*s));

    if (s != NULL)
        s->first_local_ns = -1;
    return s;
}

void load_stats_destroy(struct load_stats *s) {
    free(s);
}

static void add_to_second(struct load_stats *s, const struct load_result *r, bool good,
                          bool local) {
    uint64_t index = r->due_ns / 1000000000ull;
    if (index >= LOAD_SECONDS_MAX)
        index = LOAD_SECONDS_MAX - 1;
    struct load_second *t = &s->timeline[index];

    if (index >= s->seconds)
        s->seconds = (unsigned)index + 1;
    t->requests++;
    t->good += good;
    t->bad += r->end == LOAD_ANSWERED && !good;
    t->errors += r->end != LOAD_ANSWERED;
    t->local += local;
    t->slow += r->took_ns > LOAD_SLOW_NS;
    t->very_slow += r->took_ns > LOAD_VERY_SLOW_NS;
    if (r->took_ns > t->max_ns)
        t->max_ns = r->took_ns;
}

static void add_to_method(struct load_method *m, const struct load_result *r, bool good,
                          bool local) {
    m->requests++;
    m->good += good;
    m->bad += r->end == LOAD_ANSWERED && !good;
    m->errors += r->end != LOAD_ANSWERED;
    m->local += local;
    m->slow += r->took_ns > LOAD_SLOW_NS;
    m->very_slow += r->took_ns > LOAD_VERY_SLOW_NS;
}

void load_stats_add(struct load_stats *s, const struct load_result *r) {
    bool answered = r->end == LOAD_ANSWERED;
    bool good = answered && r->status >= 200 && r->status < 300;
    bool local = answered && r->source == '-';

    s->ends[r->end]++;
    if (answered) {
        s->statuses[r->status >= 0 && r->status < LOAD_STATUS_MAX ? r->status : 0]++;
        s->sources[(unsigned char)r->source & 127]++;
    }
    if (local && s->first_local_ns < 0)
        s->first_local_ns = (int64_t)(r->due_ns + r->took_ns);
    histogram_add(&s->took, r->took_ns);
    add_to_method(&s->methods[r->is_post], r, good, local);
    add_to_second(s, r, good, local);
}

static double us(uint64_t ns) {
    return (double)ns / 1e3;
}

static double per_second(const struct load_stats *s) {
    return s->measured_ns > 0 ? (double)s->took.total * 1e9 / (double)s->measured_ns : 0;
}

static double share(uint64_t part, uint64_t whole) {
    return whole > 0 ? 100.0 * (double)part / (double)whole : 0;
}

static void method_text(const char *name, const struct load_method *m, FILE *out) {
    if (m->requests == 0)
        return;
    fprintf(out,
            "%-5s %9llu requests  %7.3f%% good  %llu bad  %llu errors  %llu local  "
            "%llu over 250 ms  %llu over 1 s\n",
            name, (unsigned long long)m->requests, share(m->good, m->requests),
            (unsigned long long)m->bad, (unsigned long long)m->errors, (unsigned long long)m->local,
            (unsigned long long)m->slow, (unsigned long long)m->very_slow);
}

void load_stats_text(const struct load_stats *s, FILE *out) {
    fprintf(out, "%llu requests in %.2f s: %.0f a second, %llu connections opened\n",
            (unsigned long long)s->took.total, (double)s->measured_ns / 1e9, per_second(s),
            (unsigned long long)s->connects);
    method_text("GET", &s->methods[0], out);
    method_text("POST", &s->methods[1], out);
    fprintf(out, "took  p50 %.0f  p90 %.0f  p99 %.0f  p99.9 %.0f  max %.0f  mean %.0f us\n",
            us(histogram_percentile(&s->took, 50)), us(histogram_percentile(&s->took, 90)),
            us(histogram_percentile(&s->took, 99)), us(histogram_percentile(&s->took, 99.9)),
            us(s->took.max), histogram_mean(&s->took) / 1e3);
    for (unsigned i = 0; i < LOAD_STATUS_MAX; i++)
        if (s->statuses[i] > 0)
            fprintf(out, "  status %u: %llu\n", i, (unsigned long long)s->statuses[i]);
    for (unsigned i = 1; i < LOAD_END_KINDS; i++)
        if (s->ends[i] > 0)
            fprintf(out, "  %s: %llu\n", end_names[i], (unsigned long long)s->ends[i]);
}

static void method_json(const char *name, const struct load_method *m, FILE *out) {
    fprintf(out,
            " \"%s\": {\"requests\": %llu, \"good\": %llu, \"bad\": %llu, \"errors\": %llu, "
            "\"local\": %llu, \"over_250ms\": %llu, \"over_1s\": %llu},\n",
            name, (unsigned long long)m->requests, (unsigned long long)m->good,
            (unsigned long long)m->bad, (unsigned long long)m->errors, (unsigned long long)m->local,
            (unsigned long long)m->slow, (unsigned long long)m->very_slow);
}

static void counts_json(const struct load_stats *s, FILE *out) {
    const char *comma = "";

    fprintf(out, " \"statuses\": {");
    for (unsigned i = 0; i < LOAD_STATUS_MAX; i++)
        if (s->statuses[i] > 0) {
            fprintf(out, "%s\"%u\": %llu", comma, i, (unsigned long long)s->statuses[i]);
            comma = ", ";
        }
    fprintf(out, "},\n \"sources\": {");
    comma = "";
    for (unsigned i = 0; i < 128; i++)
        if (s->sources[i] > 0 && i > ' ' && i != '"' && i != '\\') {
            fprintf(out, "%s\"%c\": %llu", comma, (char)i, (unsigned long long)s->sources[i]);
            comma = ", ";
        }
    fprintf(out, "},\n \"errors\": {");
    comma = "";
    for (unsigned i = 1; i < LOAD_END_KINDS; i++) {
        fprintf(out, "%s\"%s\": %llu", comma, end_names[i], (unsigned long long)s->ends[i]);
        comma = ", ";
    }
    fprintf(out, "},\n");
}

static void timeline_json(const struct load_stats *s, FILE *out) {
    fprintf(out, " \"timeline\": [");
    for (unsigned i = 0; i < s->seconds; i++) {
        const struct load_second *t = &s->timeline[i];
        fprintf(out,
                "%s\n  {\"second\": %u, \"requests\": %u, \"good\": %u, \"bad\": %u, "
                "\"errors\": %u, \"local\": %u, \"over_250ms\": %u, \"over_1s\": %u, "
                "\"max_us\": %.1f}",
                i > 0 ? "," : "", i, t->requests, t->good, t->bad, t->errors, t->local, t->slow,
                t->very_slow, us(t->max_ns));
    }
    fprintf(out, "]\n");
}

void load_stats_json(const struct load_stats *s, FILE *out) {
    fprintf(out, "{\"requests_all\": %llu, \"requests\": %llu, \"seconds\": %.6f,\n",
            (unsigned long long)s->requests, (unsigned long long)s->took.total,
            (double)s->measured_ns / 1e9);
    fprintf(out,
            " \"per_second\": %.1f, \"connects\": %llu, \"held\": %llu, \"lost\": %llu, "
            "\"late_max_us\": %.1f,\n",
            per_second(s), (unsigned long long)s->connects, (unsigned long long)s->held,
            (unsigned long long)s->lost, us(s->late_max_ns));
    method_json("get", &s->methods[0], out);
    method_json("post", &s->methods[1], out);
    fprintf(out,
            " \"took_us\": {\"p50\": %.2f, \"p90\": %.2f, \"p99\": %.2f, \"p99_9\": %.2f, "
            "\"max\": %.2f, \"mean\": %.2f},\n",
            us(histogram_percentile(&s->took, 50)), us(histogram_percentile(&s->took, 90)),
            us(histogram_percentile(&s->took, 99)), us(histogram_percentile(&s->took, 99.9)),
            us(s->took.max), histogram_mean(&s->took) / 1e3);
    if (s->first_local_ns >= 0)
        fprintf(out, " \"first_local_ms\": %.3f,\n", (double)s->first_local_ns / 1e6);
    counts_json(s, out);
    timeline_json(s, out);
    fprintf(out, "}\n");
}
