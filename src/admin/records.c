/* records.c - see records.h. */
#include "admin/records.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "gateway/metrics.h"

/* A refusal is told again only after it has been quiet for so long. */
#define REFUSALS_QUIET_NS SWG_SECONDS(60)

enum { EVENTS_BATCH = 32 };

struct records {
    struct gateway *gateway;
    uint64_t heard;             /* sequence of the last event taken note of */
    uint64_t samples, point_ns; /* taken so far; when the newest point ended */
    uint32_t count, size;
    struct record **all; /* those of the plan mostly at their service's index */
    struct event batch[EVENTS_BATCH];
};

/* ---- life ------------------------------------------------------------------ */

int records_create(struct records **out, struct gateway *g) {
    *out = calloc(1, sizeof **out);
    if (!*out)
        return -ENOMEM;
    (*out)->gateway = g;
    records_sample(*out);
    return 0;
}

void records_destroy(struct records *rs) {
    if (!rs)
        return;
    for (uint32_t i = 0; i < rs->count; i++)
        free(rs->all[i]);
    free(rs->all);
    free(rs);
}

/* ---- readings --------------------------------------------------------------- */

static void read_now(const struct record *r, const struct service *s, uint64_t now_ns,
                     struct reading *out) {
    *out = (struct reading){.at_ns = now_ns};
    out->requests = service_metrics_requests(r->metrics, 0);
    out->server_errors = service_metrics_requests(r->metrics, 5);
    service_metrics_latency(r->metrics, &out->latency);
    for (uint32_t t = 0; t < s->options->tier_count; t++)
        out->tiers[t] = atomic_load_explicit(&s->tally[t]->answered, memory_order_relaxed);
}

/* Workers count while they are read, one counter after the other, and a chain
 * may have been replaced: never below nothing. */
static uint64_t less(uint64_t a, uint64_t b) {
    return a > b ? a - b : 0;
}

static void subtract(struct reading *from, const struct reading *before) {
    from->at_ns = less(from->at_ns, before->at_ns);
    from->requests = less(from->requests, before->requests);
    from->server_errors = less(from->server_errors, before->server_errors);
    for (unsigned t = 0; t < SWG_TIERS_MAX; t++)
        from->tiers[t] = less(from->tiers[t], before->tiers[t]);
    histogram_subtract(&from->latency, &before->latency);
}

static const struct reading *oldest(const struct record *r) {
    return &r->readings[r->reading_count < RECORD_READINGS ? 0 : r->reading_next];
}

static const struct reading *latest(const struct record *r) {
    return &r->readings[(r->reading_next + RECORD_READINGS - 1) % RECORD_READINGS];
}

static void keep(struct record *r, const struct reading *now) {
    r->readings[r->reading_next] = *now;
    r->reading_next = (r->reading_next + 1) % RECORD_READINGS;
    if (r->reading_count < RECORD_READINGS)
        r->reading_count++;
}

void record_recent(const struct record *r, const struct service *s, uint64_t now_ns,
                   struct reading *out) {
    read_now(r, s, now_ns, out);
    subtract(out, oldest(r));
}

/* ---- finding ------------------------------------------------------------------ */

static struct record *make_record(struct records *rs, const struct service *s) {
    if (rs->count == rs->size) {
        uint32_t size = rs->size ? rs->size * 2 : 16;
        struct record **all = realloc(rs->all, size * sizeof(struct record *));
        if (!all)
            return NULL;
        rs->all = all;
        rs->size = size;
    }
    struct record *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    r->metrics = s->metrics;
    snprintf(r->source, sizeof r->source, "upstream");
    memcpy(r->tally, s->tally, sizeof r->tally);
    struct reading now;
    read_now(r, s, gateway_now(rs->gateway), &now);
    keep(r, &now);
    rs->all[rs->count++] = r;
    return r;
}

/* A reload may bring another chain of tiers: what the readings have about the
 * old one means nothing for it. */
static void follow_tiers(struct record *r, const struct service *s) {
    if (!memcmp(r->tally, s->tally, sizeof r->tally))
        return;
    memcpy(r->tally, s->tally, sizeof r->tally);
    struct reading now;
    read_now(r, s, 0, &now);
    for (unsigned i = 0; i < RECORD_READINGS; i++)
        memcpy(r->readings[i].tiers, now.tiers, sizeof now.tiers);
}

struct record *records_of(struct records *rs, const struct service *s) {
    struct record *r = NULL;
    if (s->index < rs->count && rs->all[s->index]->metrics == s->metrics)
        r = rs->all[s->index];
    for (uint32_t i = 0; !r && i < rs->count; i++) {
        if (rs->all[i]->metrics == s->metrics)
            r = rs->all[i];
    }
    if (!r)
        return make_record(rs, s);
    follow_tiers(r, s);
    return r;
}

/* ---- what a difference tells ----------------------------------------------------- */

static uint64_t unix_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

const char *record_source(const struct service *s, const struct reading *d, bool open) {
    uint64_t by_tiers = 0;
    uint32_t first = 0;
    for (uint32_t t = 0; t < s->options->tier_count; t++) {
        by_tiers += d->tiers[t];
        if (d->tiers[t] > d->tiers[first])
            first = t;
    }
    uint64_t rest = less(d->requests, by_tiers), good = less(rest, d->server_errors);
    uint64_t best = by_tiers ? d->tiers[first] : 0;
    if (best && best >= good && best >= rest - good)
        return s->options->tiers[first].name;
    return open && rest - good > good ? "nobody" : "upstream";
}

static void see_source(struct records *rs, struct record *r, const struct service *s,
                       const struct reading *d, bool open) {
    if (!d->requests)
        return;
    const char *source = record_source(s, d, open);
    if (!strncmp(source, r->source, sizeof r->source - 1))
        return;
    events_add(rs->gateway->events, &(struct event_info){.unix_ms = unix_ms(),
                                                         .kind = "tier_change",
                                                         .service = s->options->name,
                                                         .from = r->source,
                                                         .to = source,
                                                         .cause = open ? "open" : "answers"});
    snprintf(r->source, sizeof r->source, "%s", source);
}

static void see_refusals(struct records *rs, struct record *r, const struct service *s,
                         const struct swg_policy_stats *stats, uint64_t now_ns) {
    for (int why = 1; why < SWG_REFUSAL_COUNT; why++) {
        uint64_t more = less(stats->refused[why], r->refused[why]);
        r->refused[why] = stats->refused[why];
        if (!more)
            continue;
        bool news = !r->refused_ns[why] || now_ns - r->refused_ns[why] >= REFUSALS_QUIET_NS;
        r->refused_ns[why] = now_ns;
        if (!news)
            continue;
        char text[64];
        snprintf(text, sizeof text, "%llu calls in %u s, and counting", (unsigned long long)more,
                 (unsigned)(RECORD_INTERVAL_NS / SWG_SECONDS(1)));
        events_add(rs->gateway->events,
                   &(struct event_info){.unix_ms = unix_ms(),
                                        .kind = "refusals",
                                        .service = s->options->name,
                                        .cause = swg_refusal_word((enum swg_refusal)why),
                                        .text = text});
    }
}

/* A point goes back SERIES_SAMPLES samples, or as far as the record does. */
static void add_point(struct record *r, const struct service *s, const struct reading *now,
                      uint64_t number) {
    uint32_t back = r->reading_count < SERIES_SAMPLES ? r->reading_count : SERIES_SAMPLES;
    struct reading d = *now;
    uint64_t fallback = 0;
    subtract(&d, &r->readings[(r->reading_next + RECORD_READINGS - back) % RECORD_READINGS]);
    for (uint32_t t = 0; t < s->options->tier_count; t++)
        fallback += d.tiers[t];
    struct series_point p = series_point_make(d.requests, d.server_errors, fallback, &d.latency);
    series_add(&r->series, number, &p);
}

static void sample(struct records *rs, const struct service *s, uint64_t now_ns) {
    struct record *r = records_of(rs, s);
    if (!r)
        return;
    struct swg_policy_stats stats;
    struct reading now, difference;
    swg_policy_read(s->policy, &stats, now_ns);
    read_now(r, s, now_ns, &now);
    difference = now;
    subtract(&difference, latest(r));
    see_source(rs, r, s, &difference, stats.state == SWG_OPEN);
    see_refusals(rs, r, s, &stats, now_ns);
    if (rs->samples % SERIES_SAMPLES == 0)
        add_point(r, s, &now, rs->samples / SERIES_SAMPLES);
    keep(r, &now);
}

uint64_t records_points(const struct records *rs, uint64_t *ends_ns) {
    *ends_ns = rs->point_ns;
    return rs->samples / SERIES_SAMPLES;
}

void records_sample(struct records *rs) {
    uint64_t now_ns = gateway_now(rs->gateway);
    struct plan *plan = gateway_plan(rs->gateway);
    if (++rs->samples % SERIES_SAMPLES == 0)
        rs->point_ns = now_ns;
    for (uint32_t i = 0; plan && i < plan->service_count; i++)
        sample(rs, &plan->services[i], now_ns);
    plan_release(plan);
}

/* ---- what is said -------------------------------------------------------------------- */

/* Names longer than an event can hold are compared as far as it can. */
static struct record *record_named(struct records *rs, const char *name) {
    for (uint32_t i = 0; *name && i < rs->count; i++) {
        const char *other = service_metrics_name(rs->all[i]->metrics);
        if (!strncmp(other, name, sizeof((struct event){0}.service) - 1))
            return rs->all[i];
    }
    return NULL;
}

static void hear(struct records *rs, const struct event *e) {
    struct record *r = record_named(rs, e->service);
    if (r && !strcmp(e->kind, "state_change"))
        r->change = *e;
    else if (r && !strcmp(e->kind, "manual") && strcmp(e->to, "probe-now") != 0)
        r->manual = *e;
}

void records_listen(struct records *rs) {
    size_t got;
    do {
        bool gap;
        got = events_read(rs->gateway->events, rs->heard, NULL, rs->batch, EVENTS_BATCH, &gap);
        for (size_t i = 0; i < got; i++)
            hear(rs, &rs->batch[i]);
        if (got)
            rs->heard = rs->batch[got - 1].sequence;
    } while (got == EVENTS_BATCH);
}
