/* metrics.c - see metrics.h. */
#include "gateway/metrics.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "gateway/database.h"
#include "gateway/drills.h"
#include "gateway/exchange.h"
#include "gateway/gateway.h"
#include "gateway/health.h"
#include "gateway/manager.h"
#include "gateway/queue.h"
#include "gateway/request_log.h"
#include "gateway/stores.h"
#include "gateway/tcp.h"
#include "gateway/token_stream.h"
#include "gateway/trace_export.h"

enum { TIERS_MAX = 32, STATUSES = 600 };

/* ---- the table ------------------------------------------------------------- */

#define SERVICE \
    { "service", "name of the service in the configuration" }
#define ENDPOINT \
    { "endpoint", "URL of the endpoint in the configuration" }
#define METHOD \
    { "method", "a registered HTTP method, or OTHER" }
#define REASON \
    { "reason", "why, in the word that responses, logs and events use" }
#define STORE \
    { "store", "disk or redis" }
#define TIER \
    { "tier", "position and kind of the fallback tier, such as 1-stale" }

#define DATABASE \
    { "database", "name of the database in the configuration, or its URL without password" }

/* id, type, name, unit, help, labels */
#define FAMILIES(X)                                                                                \
    X(REQUESTS, COUNTER, "gateway_proxy_requests_total", NULL,                                     \
      "Requests answered, by whatever answered them.", SERVICE, METHOD,                            \
      {"status", "HTTP status of the answer"})                                                     \
    X(DURATION, HISTOGRAM, "gateway_proxy_request_duration_seconds", "seconds",                    \
      "Time from a request's head to the end of its answer.", SERVICE, METHOD)                     \
    X(BROKEN, COUNTER, "gateway_proxy_broken_answers_total", NULL,                                 \
      "Answers that broke off after their head had gone to the client.", SERVICE)                  \
    X(ATTEMPTS, COUNTER, "gateway_proxy_attempts_total", NULL, "Attempts made on an endpoint.",    \
      SERVICE, ENDPOINT)                                                                           \
    X(RETRIES, COUNTER, "gateway_proxy_retries_total", NULL, "Retries made.", SERVICE)             \
    X(SKIPPED, COUNTER, "gateway_proxy_retries_skipped_total", NULL,                               \
      "Retries that were due and not made.", SERVICE, REASON)                                      \
    X(CHANGES, COUNTER, "gateway_circuit_breaker_state_changes_total", NULL,                       \
      "Changes of an endpoint's breaker into a state.", SERVICE,                                   \
      {"state", "closed, open or half_open"})                                                      \
    X(STATE, GAUGE, "circuit_breaker_state", NULL,                                                 \
      "State of the service's breaker: 0 closed, 1 open, 2 half-open.", SERVICE)                   \
    X(ENDPOINT_STATE, GAUGE, "circuit_breaker_endpoint_state", NULL,                               \
      "State of one endpoint's breaker: 0 closed, 1 open, 2 half-open.", SERVICE, ENDPOINT)        \
    X(FORCED, GAUGE, "circuit_breaker_forced", NULL,                                               \
      "1 for the state that an operator has forced, else 0.", SERVICE,                             \
      {"state", "forced_open, forced_closed or disabled"})                                         \
    X(FAILURES, COUNTER, "circuit_breaker_failures_total", NULL,                                   \
      "Attempts that failed by the service's fault.", SERVICE)                                     \
    X(SLOW, COUNTER, "circuit_breaker_slow_calls_total", NULL, "Attempts slower than slow_call.",  \
      SERVICE)                                                                                     \
    X(OVERLOADS, COUNTER, "circuit_breaker_overloads_total", NULL,                                 \
      "Attempts that the service answered with 429.", SERVICE)                                     \
    X(REJECTIONS, COUNTER, "circuit_breaker_rejections_total", NULL,                               \
      "Calls refused without an attempt.", SERVICE, REASON)                                        \
    X(SHADOW_STATE, GAUGE, "circuit_breaker_shadow_state", NULL,                                   \
      "State that the shadow of the service's breaker is in: 0 closed, 1 open, 2 half-open.",      \
      SERVICE)                                                                                     \
    X(SHADOW_OPENED, COUNTER, "circuit_breaker_shadow_opened_total", NULL,                         \
      "Times that the shadow of an endpoint's breaker would have opened.", SERVICE)                \
    X(SHADOW_REJECTIONS, COUNTER, "circuit_breaker_shadow_rejections_total", NULL,                 \
      "Calls that went through and that the shadow would have refused.", SERVICE)                  \
    X(SHADOW_DISAGREEMENTS, COUNTER, "circuit_breaker_shadow_disagreements_total", NULL,           \
      "Calls of which the breaker and its shadow decided differently, either way.", SERVICE)       \
    X(TRIED, COUNTER, "fallback_tried_total", NULL, "Times a fallback tier was asked.", SERVICE,   \
      TIER)                                                                                        \
    X(ANSWERED, COUNTER, "fallback_answered_total", NULL, "Times a fallback tier answered.",       \
      SERVICE, TIER)                                                                               \
    X(TIER_DURATION, HISTOGRAM, "fallback_tier_duration_seconds", "seconds",                       \
      "Time from a fallback tier being asked to its answer or failure.", SERVICE, TIER)            \
    X(CHECKS, COUNTER, "health_checks_total", NULL, "Active checks made of an endpoint.", SERVICE, \
      ENDPOINT, {"result", "good or failed"})                                                      \
    X(DRILLS, GAUGE, "drills_active", NULL,                                                        \
      "Drills that inject faults into attempts on the service.", SERVICE)                          \
    X(DRILL_HITS, COUNTER, "drill_hits_total", NULL, "Attempts that a drill has hit.", SERVICE,    \
      {"kind", "delay, error or abort"})                                                           \
    X(CONDITION, GAUGE, "service_condition", NULL,                                                 \
      "Condition of the service: 0 working, 1 impaired, 2 down.", SERVICE)                         \
    X(OVERALL, GAUGE, "resilience_state", NULL,                                                    \
      "Overall state: 0 healthy, 1 degraded, 2 critical, 3 emergency.", {NULL, NULL})              \
    X(ACTIONS, GAUGE, "resilience_emergency_actions", NULL,                                        \
      "1 while this is done because of an emergency, else 0.", {"action", "read_only or shed"})    \
    X(IN_USE, GAUGE, "bulkhead_in_use", NULL, "Attempts under way.", SERVICE)                      \
    X(WAITING, GAUGE, "bulkhead_waiting", NULL, "Calls that wait for a free slot.", SERVICE)       \
    X(LIMIT, GAUGE, "bulkhead_limit", NULL, "Attempts that may be under way at once.", SERVICE)    \
    X(SQL_QUERIES, COUNTER, "sql_queries_total", NULL,                                             \
      "Queries of sql tiers, each counted once with its retries.", DATABASE,                       \
      {"result", "ok, not_found, unavailable, timeout, refused or too_large"})                     \
    X(SQL_DURATION, HISTOGRAM, "sql_query_duration_seconds", "seconds",                            \
      "Time of a query, with its retries.", DATABASE)                                              \
    X(SQL_CONNECTIONS, GAUGE, "sql_connections", NULL, "Connections to a database.", DATABASE,     \
      {"state", "idle, busy or connecting"})                                                       \
    X(SQL_WAITING, GAUGE, "sql_waiting", NULL, "Queries that wait for a connection.", DATABASE)    \
    X(CACHE_ENTRIES, GAUGE, "cache_entries", NULL, "Answers in the memory store.", {NULL, NULL})   \
    X(CACHE_BYTES, GAUGE, "cache_size_bytes", "bytes", "Bytes in the memory store.", {NULL, NULL}) \
    X(CACHE_LOOKUPS, COUNTER, "cache_lookups_total", NULL, "Look-ups in the memory store.",        \
      {"result", "fresh, stale, miss or coalesced"})                                               \
    X(CACHE_EVICTIONS, COUNTER, "cache_evictions_total", NULL, "Answers thrown out to make room.", \
      {NULL, NULL})                                                                                \
    X(OUTBOX_ENTRIES, GAUGE, "outbox_entries", NULL, "Writes that wait for the service.", SERVICE) \
    X(OUTBOX_BYTES, GAUGE, "outbox_size_bytes", "bytes", "Their content.", SERVICE)                \
    X(OUTBOX_OLDEST, GAUGE, "outbox_oldest_age_seconds", "seconds",                                \
      "How long the oldest of them waits.", SERVICE)                                               \
    X(OUTBOX_OUT, GAUGE, "outbox_in_flight", NULL, "Queued writes that are being sent.", SERVICE)  \
    X(OUTBOX_LEASE, GAUGE, "outbox_lease_held", NULL,                                              \
      "Whether this process sends the queued writes, where several share the store (1, 0).",       \
      SERVICE)                                                                                     \
    X(OUTBOX_ACCEPTED, COUNTER, "outbox_accepted_total", NULL,                                     \
      "Writes promised: they are on stable storage.", SERVICE)                                     \
    X(OUTBOX_REFUSED, COUNTER, "outbox_refused_total", NULL, "Writes that could not be promised.", \
      SERVICE, {"reason", "full, too_large, key_reused or store_failed"})                          \
    X(OUTBOX_SETTLED, COUNTER, "outbox_settled_total", NULL, "Queued writes whose fate is known.", \
      SERVICE, {"state", "sent, dead, expired or dropped"})                                        \
    X(OUTBOX_ATTEMPTS, COUNTER, "outbox_attempts_total", NULL,                                     \
      "Attempts to deliver a queued write.", SERVICE, {"result", "good or failed"})                \
    X(STORE_REQUESTS, COUNTER, "cache_store_requests_total", NULL,                                 \
      "Questions to a store behind the memory.", STORE,                                            \
      {"result", "hit, miss, error, timeout or skipped"})                                          \
    X(STORE_BYTES, GAUGE, "cache_store_bytes", "bytes", "Bytes in a store.", STORE)                \
    X(STORE_ENTRIES, GAUGE, "cache_store_entries", NULL, "Answers in a store.", STORE)             \
    X(STORE_DAMAGED, COUNTER, "cache_store_damaged_total", NULL,                                   \
      "Answers that a store had and that were damaged: never served.", STORE)                      \
    X(STORE_UNSAVED, COUNTER, "cache_store_unsaved_total", NULL,                                   \
      "Answers that could not be written to a store, or not in time.", STORE)                      \
    X(TRACE_SPANS, COUNTER, "trace_spans_total", NULL, "Spans of sampled requests.",               \
      {"result", "sent, dropped (the queue was full) or failed (the collector refused)"})          \
    X(CONNECTIONS, GAUGE, "gateway_client_connections", NULL, "Open client connections.",          \
      {NULL, NULL})                                                                                \
    X(TCP_OPEN, GAUGE, "gateway_tcp_connections", NULL,                                            \
      "Open client connections to a tcp service.", SERVICE)                                        \
    X(TCP_RESULTS, COUNTER, "gateway_tcp_connections_total", NULL,                                 \
      "Connections to a tcp service that have ended.", SERVICE,                                    \
      {"result", "done, client_reset, service_reset, closed_early, idle, cut, refused, failed, "   \
                 "timed_out, left or limited"})                                                    \
    X(TCP_BYTES, COUNTER, "gateway_tcp_bytes_total", "bytes", "Bytes passed on.", SERVICE,         \
      {"direction", "in: from clients; out: to them"})                                             \
    X(TCP_CONNECT, HISTOGRAM, "gateway_tcp_connect_duration_seconds", "seconds",                   \
      "Time from a connection being accepted to its being connected, with waits and retries.",     \
      SERVICE)                                                                                     \
    X(IN_FLIGHT, GAUGE, "gateway_requests_in_flight", NULL, "Requests under way.", {NULL, NULL})   \
    X(DRAIN_LEFT, GAUGE, "gateway_drain_remaining_seconds", "seconds",                             \
      "How long until what still runs is cut off; +Inf while not draining.", {NULL, NULL})         \
    X(RELOADS, COUNTER, "gateway_config_reloads_total", NULL, "Reloads of the configuration.",     \
      {"result", "success or failure"})                                                            \
    X(UPGRADE_FAILURES, COUNTER, "gateway_upgrade_failures_total", NULL,                           \
      "Upgrades after which this process went on.", {NULL, NULL})                                  \
    X(INFO, GAUGE, "gateway_version", NULL, "Always 1.", {"version", "of the running program"})

enum {
#define X(id, ...) FAMILY_##id,
    FAMILIES(X)
#undef X
        FAMILY_COUNT
};

#define X(id, kind, title, unit_, sentence, ...)                          \
    static const struct metric_desc desc_##id = {.name = title,           \
                                                 .type = METRIC_##kind,   \
                                                 .help = sentence,        \
                                                 .unit = unit_,           \
                                                 .labels = {__VA_ARGS__}, \
                                                 .series_max = 20000};
FAMILIES(X)
#undef X

static const struct metric_desc *const table[] = {
#define X(id, ...) &desc_##id,
    FAMILIES(X)
#undef X
        NULL};

const struct metric_desc *const *gateway_metric_table(void) {
    return table;
}

/* ---- objects ------------------------------------------------------------------ */

struct named_tally {
    char name[40];
    struct tier_tally tally;
};

/* Series are looked up at their first use and remembered: rows are published
 * with release and read with acquire; two threads that look up the same series
 * find the same one, so it does not matter who stores last. */
struct service_metrics {
    struct service_metrics *next;
    struct gateway_metrics *all;
    char *name;
    _Atomic(_Atomic(struct metric_series *) *) requests[HTTP_METHODS];
    _Atomic(struct metric_series *) duration[HTTP_METHODS];
    _Atomic(struct metric_series *) broken;
    _Atomic uint64_t changes[3]; /* any thread adds, the scrape reads; relaxed */
    struct tcp_tally tcp;
    uint32_t tier_count; /* under the lock of `all` */
    struct named_tally *tiers[TIERS_MAX];
};

struct database_metrics {
    struct database_metrics *next;
    struct gateway_metrics *all;
    char *name;
    _Atomic(struct metric_series *) results[SQL_RESULTS];
    _Atomic(struct metric_series *) duration;
};

struct gateway_metrics {
    struct gateway *gateway;
    struct metrics *metrics;
    struct metric_family *family[FAMILY_COUNT];
    pthread_mutex_t lock; /* guards the list of services and their tiers */
    struct service_metrics *services;
    struct database_metrics *databases;
    struct service_metrics *none; /* requests that no route took */
};

static struct service_metrics *get(struct gateway_metrics *all, const char *name) {
    pthread_mutex_lock(&all->lock);
    struct service_metrics *s = all->services;
    while (s && strcmp(s->name, name) != 0)
        s = s->next;
    if (!s && (s = calloc(1, sizeof *s))) {
        s->name = strdup(name);
        s->all = all;
        s->next = all->services;
        if (s->name) {
            all->services = s;
        } else {
            free(s);
            s = NULL;
        }
    }
    pthread_mutex_unlock(&all->lock);
    return s;
}

struct service_metrics *service_metrics_get(struct gateway *g, const char *name) {
    return get(g->counters, name);
}

static void collect(struct metrics_scrape *, void *arg);

struct gateway_metrics *gateway_metrics_create(struct gateway *g, struct metrics *m) {
    struct gateway_metrics *all = calloc(1, sizeof *all);
    if (!all)
        return NULL;
    all->gateway = g;
    all->metrics = m;
    pthread_mutex_init(&all->lock, NULL);
    bool ok = true;
    for (int i = 0; i < FAMILY_COUNT; i++) {
        all->family[i] = metrics_family(m, table[i]);
        ok = ok && all->family[i];
    }
    all->none = get(all, "");
    if (!ok || !all->none || metrics_collect(m, collect, all) < 0) {
        gateway_metrics_destroy(all);
        return NULL;
    }
    return all;
}

void gateway_metrics_destroy(struct gateway_metrics *all) {
    if (!all)
        return;
    for (struct service_metrics *s = all->services, *next; s; s = next) {
        next = s->next;
        for (int m = 0; m < HTTP_METHODS; m++)
            free(atomic_load_explicit(&s->requests[m], memory_order_relaxed));
        for (uint32_t t = 0; t < s->tier_count; t++)
            free(s->tiers[t]);
        free(s->name);
        free(s);
    }
    for (struct database_metrics *d = all->databases, *next; d; d = next) {
        next = d->next;
        free(d->name);
        free(d);
    }
    pthread_mutex_destroy(&all->lock);
    free(all);
}

struct tier_tally *service_metrics_tier(struct service_metrics *s, const char *tier) {
    struct tier_tally *found = NULL;
    pthread_mutex_lock(&s->all->lock);
    for (uint32_t i = 0; !found && i < s->tier_count; i++) {
        if (!strcmp(s->tiers[i]->name, tier))
            found = &s->tiers[i]->tally;
    }
    if (!found && s->tier_count == TIERS_MAX) {
        found = &s->tiers[TIERS_MAX - 1]->tally; /* reloaded with ever new chains */
    } else if (!found) {
        struct named_tally *t = calloc(1, sizeof *t);
        if (t) {
            snprintf(t->name, sizeof t->name, "%s", tier);
            s->tiers[s->tier_count++] = t;
            found = &t->tally;
        }
    }
    pthread_mutex_unlock(&s->all->lock);
    return found;
}

const char *service_metrics_name(const struct service_metrics *s) {
    return s->name;
}

struct gateway *service_metrics_gateway(const struct service_metrics *s) {
    return s->all->gateway;
}

void service_metrics_state_changed(struct service_metrics *s, enum swg_breaker_state to) {
    atomic_fetch_add_explicit(&s->changes[to], 1, memory_order_relaxed);
}

/* ---- counting a request ---------------------------------------------------------- */

static struct metric_series *requests_series(struct service_metrics *s, enum http_method method,
                                             int status) {
    _Atomic(struct metric_series *) *row =
        atomic_load_explicit(&s->requests[method], memory_order_acquire);
    if (!row) {
        _Atomic(struct metric_series *) *fresh = calloc(STATUSES, sizeof *fresh);
        if (!fresh)
            return NULL;
        if (atomic_compare_exchange_strong_explicit(&s->requests[method], &row, fresh,
                                                    memory_order_acq_rel, memory_order_acquire))
            row = fresh;
        else
            free(fresh);
    }
    if (status < 0 || status >= STATUSES)
        status = 0;
    struct metric_series *series = atomic_load_explicit(&row[status], memory_order_acquire);
    if (!series) {
        char text[16];
        snprintf(text, sizeof text, "%d", status);
        series = metrics_series(s->all->family[FAMILY_REQUESTS],
                                (const char *[]){s->name, http_method_name(method), text});
        atomic_store_explicit(&row[status], series, memory_order_release);
    }
    return series;
}

static struct metric_series *remembered(_Atomic(struct metric_series *) *where,
                                        struct metric_family *family, const char *const *labels) {
    struct metric_series *series = atomic_load_explicit(where, memory_order_acquire);
    if (!series) {
        series = metrics_series(family, labels);
        atomic_store_explicit(where, series, memory_order_release);
    }
    return series;
}

struct tcp_tally *service_metrics_tcp(struct service_metrics *s) {
    return &s->tcp;
}

struct metric_series *service_metrics_series(struct service_metrics *s, enum service_series which,
                                             const char *label,
                                             _Atomic(struct metric_series *) *where) {
    static const int families[] = {[SERVICE_TCP_RESULT] = FAMILY_TCP_RESULTS,
                                   [SERVICE_TCP_BYTES] = FAMILY_TCP_BYTES,
                                   [SERVICE_TCP_CONNECT] = FAMILY_TCP_CONNECT};
    return remembered(where, s->all->family[families[which]], (const char *[]){s->name, label});
}

void metrics_of_exchange(struct exchange *x, bool whole) {
    struct gateway_metrics *all = x->worker->gateway->counters;
    struct service_metrics *s = x->service ? x->service->metrics : all->none;
    enum http_method method = x->request.method;
    unsigned worker = x->worker->index;
    uint64_t took_ns = exchange_now(x) - x->started_ns;
    int status = x->answer == ANSWER_NONE ? 499 : x->status;
    if (x->client->sink && !(x->inner && x->inner->counted)) /* nobody's request */
        return;
    if (s) {
        struct metric_series *series = requests_series(s, method, status);
        if (series)
            counter_add(series, worker, 1);
        histogram_observe(remembered(&s->duration[method], all->family[FAMILY_DURATION],
                                     (const char *[]){s->name, http_method_name(method)}),
                          worker, took_ns);
        if ((!whole && x->answer == ANSWER_BODY) || (x->tokens && x->tokens->cut))
            counter_add(
                remembered(&s->broken, all->family[FAMILY_BROKEN], (const char *[]){s->name}),
                worker, 1);
    }
    if (!x->client->sink) /* those of our own are parts of another's line */
        request_log(x, status, took_ns, whole);
}

/* ---- counting a query ---------------------------------------------------------------- */

struct database_metrics *database_metrics_get(struct gateway *g, const char *name) {
    struct gateway_metrics *all = g->counters;
    pthread_mutex_lock(&all->lock);
    struct database_metrics *d = all->databases;
    while (d && strcmp(d->name, name) != 0)
        d = d->next;
    if (!d && (d = calloc(1, sizeof *d))) {
        *d = (struct database_metrics){.next = all->databases, .all = all, .name = strdup(name)};
        if (d->name) {
            all->databases = d;
        } else {
            free(d);
            d = NULL;
        }
    }
    pthread_mutex_unlock(&all->lock);
    return d;
}

void database_metrics_count(struct database_metrics *d, unsigned worker, enum sql_result result,
                            uint64_t took_ns) {
    static const char *const words[SQL_RESULTS] = {"ok",      "not_found", "unavailable",
                                                   "timeout", "refused",   "too_large"};
    const struct gateway_metrics *all = d->all;
    struct metric_series *series = remembered(&d->results[result], all->family[FAMILY_SQL_QUERIES],
                                              (const char *[]){d->name, words[result]});
    if (series)
        counter_add(series, worker, 1);
    histogram_observe(
        remembered(&d->duration, all->family[FAMILY_SQL_DURATION], (const char *[]){d->name}),
        worker, took_ns);
}

void metrics_of_tier(const struct service *s, uint32_t tier, unsigned worker, uint64_t took_ns) {
    struct service_metrics *m = s->metrics;
    histogram_observe(remembered(&s->tally[tier]->duration, m->all->family[FAMILY_TIER_DURATION],
                                 (const char *[]){m->name, s->options->tiers[tier].name}),
                      worker, took_ns);
}

void metrics_of_drill(const struct service *s, const char *kind, unsigned worker) {
    struct service_metrics *m = s->metrics;
    counter_add(metrics_series(m->all->family[FAMILY_DRILL_HITS], (const char *[]){m->name, kind}),
                worker, 1);
}

/* ---- for people -------------------------------------------------------------------- */

void service_metrics_latency(const struct service_metrics *s, struct histogram *into) {
    for (int m = 0; m < HTTP_METHODS; m++) {
        struct metric_series *series =
            atomic_load_explicit(&((struct service_metrics *)s)->duration[m], memory_order_acquire);
        if (series)
            histogram_read(series, into);
    }
    struct metric_series *connecting =
        atomic_load_explicit(&((struct service_metrics *)s)->tcp.connecting, memory_order_acquire);
    if (connecting)
        histogram_read(connecting, into);
}

/* Connections of a tcp service count as requests: those that could be made as good
 * ones, the rest as errors. */
static uint64_t tcp_requests(const struct tcp_tally *t, int status_class) {
    uint64_t good = atomic_load_explicit(&t->connected, memory_order_relaxed);
    uint64_t bad = atomic_load_explicit(&t->turned_away, memory_order_relaxed);
    return (!status_class || status_class == 2 ? good : 0) +
           (!status_class || status_class == 5 ? bad : 0);
}

uint64_t service_metrics_requests(const struct service_metrics *s, int status_class) {
    uint64_t sum = tcp_requests(&s->tcp, status_class);
    for (int m = 0; m < HTTP_METHODS; m++) {
        _Atomic(struct metric_series *) *row =
            atomic_load_explicit(&((struct service_metrics *)s)->requests[m], memory_order_acquire);
        for (int i = 0; row && i < STATUSES; i++) {
            struct metric_series *series = atomic_load_explicit(&row[i], memory_order_acquire);
            if (series && (!status_class || i / 100 == status_class))
                sum += counter_read(series);
        }
    }
    return sum;
}

/* ---- scraping ------------------------------------------------------------------------ */

struct collector {
    struct gateway_metrics *all;
    struct metrics_scrape *scrape;
};

static void emit(struct collector *c, int family, const char *const *labels, uint64_t value) {
    metrics_emit_uint(c->scrape, c->all->family[family], labels, value);
}

static void emit_breaker(struct collector *c, const char *name, struct swg_policy *policy,
                         uint64_t now_ns) {
    struct swg_policy_stats stats;
    swg_policy_read(policy, &stats, now_ns);
    emit(c, FAMILY_STATE, (const char *[]){name}, stats.state);
    for (int manual = SWG_FORCED_OPEN; manual <= SWG_DISABLED; manual++)
        emit(c, FAMILY_FORCED,
             (const char *[]){name, swg_breaker_word(SWG_CLOSED, (enum swg_breaker_manual)manual)},
             (int)stats.manual == manual);
    emit(c, FAMILY_FAILURES, (const char *[]){name}, stats.total.failures);
    emit(c, FAMILY_SLOW, (const char *[]){name}, stats.total.slow);
    emit(c, FAMILY_OVERLOADS, (const char *[]){name}, stats.total.overloads);
    emit(c, FAMILY_RETRIES, (const char *[]){name}, stats.retries);
    for (int why = 1; why < SWG_REFUSAL_COUNT; why++) {
        const char *word = swg_refusal_word((enum swg_refusal)why);
        if (stats.refused[why])
            emit(c, FAMILY_REJECTIONS, (const char *[]){name, word}, stats.refused[why]);
        if (stats.retries_skipped[why])
            emit(c, FAMILY_SKIPPED, (const char *[]){name, word}, stats.retries_skipped[why]);
    }
    emit(c, FAMILY_IN_USE, (const char *[]){name}, stats.bulkhead.in_use);
    emit(c, FAMILY_WAITING, (const char *[]){name}, stats.bulkhead.waiting);
    if (stats.bulkhead.concurrent != SWG_BULKHEAD_UNLIMITED)
        emit(c, FAMILY_LIMIT, (const char *[]){name}, stats.bulkhead.concurrent);
}

/* A counter stays when the shadow goes: it may come back. */
static void emit_shadow(struct collector *c, const char *name, const struct swg_policy *policy,
                        uint64_t now_ns) {
    struct swg_shadow_stats s;
    swg_policy_read_shadow(policy, SWG_ALL_ENDPOINTS, &s, now_ns);
    if (!s.begun_ns)
        return;
    if (s.enabled)
        emit(c, FAMILY_SHADOW_STATE, (const char *[]){name}, s.shadow.now.state);
    emit(c, FAMILY_SHADOW_OPENED, (const char *[]){name}, s.opened_total);
    emit(c, FAMILY_SHADOW_REJECTIONS, (const char *[]){name}, s.would_refuse_total);
    emit(c, FAMILY_SHADOW_DISAGREEMENTS, (const char *[]){name},
         s.would_refuse_total + s.would_admit_total);
}

static void emit_endpoints(struct collector *c, const struct service *s, uint64_t now_ns) {
    for (uint32_t i = 0; i < swg_policy_endpoint_count(s->policy); i++) {
        struct swg_breaker_stats stats;
        const char *labels[] = {s->options->name, swg_policy_endpoint_name(s->policy, i)};
        swg_breaker_read(swg_policy_breaker(s->policy, i), &stats, now_ns);
        emit(c, FAMILY_ENDPOINT_STATE, labels, stats.state);
        emit(c, FAMILY_ATTEMPTS, labels, stats.calls);
    }
}

static void emit_check(struct collector *c, const char *name, const char *endpoint,
                       const struct health_reading *r) {
    emit(c, FAMILY_CHECKS, (const char *[]){name, endpoint, "good"}, r->checks - r->failures);
    emit(c, FAMILY_CHECKS, (const char *[]){name, endpoint, "failed"}, r->failures);
}

static void emit_checks(struct collector *c, const struct service *s) {
    for (uint32_t i = 0; i < swg_policy_endpoint_count(s->policy); i++) {
        struct health_reading r;
        health_read(c->all->gateway->health, s, i, &r);
        emit_check(c, s->options->name, swg_policy_endpoint_name(s->policy, i), &r);
    }
}

static void emit_changes(struct collector *c, const struct service_metrics *s) {
    for (int state = 0; state < 3; state++)
        emit(c, FAMILY_CHANGES,
             (const char *[]){s->name, swg_breaker_state_word((enum swg_breaker_state)state)},
             atomic_load_explicit(&s->changes[state], memory_order_relaxed));
}

static void emit_database(struct collector *c, const struct database *db, uint64_t now_ns) {
    const char *name = db->options->name;
    struct sql_stats s;
    database_read(db, &s);
    emit(c, FAMILY_SQL_CONNECTIONS, (const char *[]){name, "idle"}, s.idle);
    emit(c, FAMILY_SQL_CONNECTIONS, (const char *[]){name, "busy"}, s.busy);
    emit(c, FAMILY_SQL_CONNECTIONS, (const char *[]){name, "connecting"}, s.connecting);
    emit(c, FAMILY_SQL_WAITING, (const char *[]){name}, s.waiting);
    emit_breaker(c, db->changes->name, db->policy, now_ns);
    emit_changes(c, db->changes);
    if (db->options->health.enabled && c->all->gateway->health) {
        struct health_reading r;
        health_read_database(c->all->gateway->health, db, &r);
        emit_check(c, db->changes->name, swg_policy_endpoint_name(db->policy, 0), &r);
    }
}

static void emit_service(struct collector *c, struct service *s, uint64_t now_ns) {
    const char *name = s->options->name;
    emit_breaker(c, name, s->policy, now_ns);
    emit_shadow(c, name, s->policy, now_ns);
    emit_endpoints(c, s, now_ns);
    if (s->options->health.enabled && c->all->gateway->health)
        emit_checks(c, s);
    if (s->options->tcp)
        emit(c, FAMILY_TCP_OPEN, (const char *[]){name},
             atomic_load_explicit(&s->metrics->tcp.open, memory_order_relaxed));
    emit_changes(c, s->metrics);
    emit(c, FAMILY_DRILLS, (const char *[]){name}, drills_count(c->all->gateway->drills, name));
    for (uint32_t t = 0; t < s->options->tier_count; t++) {
        const char *labels[] = {name, s->options->tiers[t].name};
        emit(c, FAMILY_TRIED, labels,
             atomic_load_explicit(&s->tally[t]->tried, memory_order_relaxed));
        emit(c, FAMILY_ANSWERED, labels,
             atomic_load_explicit(&s->tally[t]->answered, memory_order_relaxed));
    }
}

static void emit_resilience(struct collector *c, const struct plan *plan) {
    const struct manager *m = c->all->gateway->manager;
    struct manager_summary all;
    manager_read_all(m, &all);
    emit(c, FAMILY_OVERALL, NULL, all.overall);
    for (unsigned a = EMERGENCY_READ_ONLY; a <= EMERGENCY_SHED; a <<= 1)
        emit(c, FAMILY_ACTIONS, (const char *[]){emergency_action_word((enum emergency_action)a)},
             (all.actions & a) != 0);
    for (uint32_t i = 0; plan && i < plan->service_count; i++) {
        struct manager_reading r;
        manager_read(m, &plan->services[i], &r);
        emit(c, FAMILY_CONDITION, (const char *[]){plan->services[i].options->name}, r.condition);
    }
}

static void emit_cache(struct collector *c, struct cache *cache) {
    struct cache_stats s;
    cache_read(cache, &s);
    emit(c, FAMILY_CACHE_ENTRIES, NULL, s.entries);
    emit(c, FAMILY_CACHE_BYTES, NULL, s.bytes);
    emit(c, FAMILY_CACHE_LOOKUPS, (const char *[]){"fresh"}, s.hits_fresh);
    emit(c, FAMILY_CACHE_LOOKUPS, (const char *[]){"stale"}, s.hits_stale);
    emit(c, FAMILY_CACHE_LOOKUPS, (const char *[]){"miss"}, s.misses);
    emit(c, FAMILY_CACHE_LOOKUPS, (const char *[]){"coalesced"}, s.coalesced);
    emit(c, FAMILY_CACHE_EVICTIONS, NULL, s.evictions);
}

static double age_s(int64_t unix_ms) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    double age = (double)t.tv_sec + (double)t.tv_nsec / 1e9 - (double)unix_ms / 1e3;
    return unix_ms && age > 0 ? age : 0;
}

static void emit_queue(struct collector *c, struct queue *q) {
    struct queue_stats s;
    const char *name = queue_service(q);
    queue_read(q, &s);
    emit(c, FAMILY_OUTBOX_ENTRIES, (const char *[]){name}, s.entries);
    emit(c, FAMILY_OUTBOX_BYTES, (const char *[]){name}, s.bytes);
    metrics_emit(c->scrape, c->all->family[FAMILY_OUTBOX_OLDEST], (const char *[]){name},
                 age_s(s.oldest_ms));
    emit(c, FAMILY_OUTBOX_OUT, (const char *[]){name}, s.out);
    if (s.shared)
        emit(c, FAMILY_OUTBOX_LEASE, (const char *[]){name}, s.sends);
    emit(c, FAMILY_OUTBOX_ACCEPTED, (const char *[]){name}, s.accepted);
    const struct {
        int family;
        const char *label;
        uint64_t count;
    } rows[] = {{FAMILY_OUTBOX_REFUSED, "full", s.refused_full},
                {FAMILY_OUTBOX_REFUSED, "too_large", s.refused_too_large},
                {FAMILY_OUTBOX_REFUSED, "key_reused", s.key_reused},
                {FAMILY_OUTBOX_REFUSED, "store_failed", s.store_failed},
                {FAMILY_OUTBOX_SETTLED, "sent", s.delivered},
                {FAMILY_OUTBOX_SETTLED, "dead", s.dead},
                {FAMILY_OUTBOX_SETTLED, "expired", s.expired},
                {FAMILY_OUTBOX_SETTLED, "dropped", s.dropped},
                {FAMILY_OUTBOX_ATTEMPTS, "good", s.attempts - s.failed_attempts},
                {FAMILY_OUTBOX_ATTEMPTS, "failed", s.failed_attempts}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        emit(c, rows[i].family, (const char *[]){name, rows[i].label}, rows[i].count);
}

static void emit_store(struct collector *c, enum cache_store_kind kind) {
    const char *name = cache_store_name(kind);
    struct stores_stats s;
    if (!stores_read(c->all->gateway->stores, kind, &s))
        return;
    emit(c, FAMILY_STORE_REQUESTS, (const char *[]){name, "hit"}, s.hits);
    emit(c, FAMILY_STORE_REQUESTS, (const char *[]){name, "miss"}, s.misses);
    emit(c, FAMILY_STORE_REQUESTS, (const char *[]){name, "error"}, s.errors);
    emit(c, FAMILY_STORE_REQUESTS, (const char *[]){name, "timeout"}, s.timeouts);
    emit(c, FAMILY_STORE_REQUESTS, (const char *[]){name, "skipped"}, s.skipped);
    emit(c, FAMILY_STORE_DAMAGED, (const char *[]){name}, s.store.damaged);
    emit(c, FAMILY_STORE_UNSAVED, (const char *[]){name}, s.store.unsaved);
    if (kind == CACHE_STORE_REDIS) /* it knows neither what others store there */
        return;
    emit(c, FAMILY_STORE_BYTES, (const char *[]){name}, s.store.bytes);
    emit(c, FAMILY_STORE_ENTRIES, (const char *[]){name}, s.store.entries);
}

static void emit_drain(struct collector *c, uint64_t now_ns) {
    uint64_t until_ns = c->all->gateway->drain_until_ns;
    double left = until_ns > now_ns ? (double)(until_ns - now_ns) / 1e9 : 0;
    metrics_emit(c->scrape, c->all->family[FAMILY_DRAIN_LEFT], NULL, until_ns ? left : INFINITY);
}

static void emit_traces(struct collector *c, const struct trace_export *traces) {
    for (int result = 0; result < TRACE_RESULTS; result++)
        emit(c, FAMILY_TRACE_SPANS, (const char *[]){trace_result_word((enum trace_result)result)},
             trace_export_count(traces, (enum trace_result)result));
}

static void collect(struct metrics_scrape *scrape, void *arg) {
    struct gateway_metrics *all = arg;
    struct gateway *g = all->gateway;
    struct collector c = {all, scrape};
    uint64_t now_ns = gateway_now(g);
    manager_update(g->manager);
    struct plan *plan = gateway_plan(g);
    emit_resilience(&c, plan);
    for (uint32_t i = 0; plan && i < plan->service_count; i++)
        emit_service(&c, &plan->services[i], now_ns);
    for (uint32_t i = 0; plan && i < plan->database_count; i++)
        emit_database(&c, &plan->databases[i], now_ns);
    plan_release(plan);
    if (g->cache)
        emit_cache(&c, g->cache);
    for (struct queue *q = queue_first(g); q; q = queue_next(q))
        emit_queue(&c, q);
    for (int kind = CACHE_STORE_DISK; g->stores && kind < CACHE_STORE_KINDS; kind++)
        emit_store(&c, (enum cache_store_kind)kind);
    emit(&c, FAMILY_CONNECTIONS, NULL, atomic_load_explicit(&g->clients, memory_order_relaxed));
    emit(&c, FAMILY_IN_FLIGHT, NULL, atomic_load_explicit(&g->exchanges, memory_order_relaxed));
    emit_drain(&c, now_ns);
    if (g->trace_export)
        emit_traces(&c, g->trace_export);
    emit(&c, FAMILY_RELOADS, (const char *[]){"success"},
         atomic_load_explicit(&g->reloads, memory_order_relaxed));
    emit(&c, FAMILY_RELOADS, (const char *[]){"failure"},
         atomic_load_explicit(&g->reload_errors, memory_order_relaxed));
    emit(&c, FAMILY_UPGRADE_FAILURES, NULL,
         atomic_load_explicit(&g->upgrade_errors, memory_order_relaxed));
    emit(&c, FAMILY_INFO, (const char *[]){SWG_VERSION}, 1);
}
