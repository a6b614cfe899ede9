/* metrics.c - see metrics.h. */
#include "gateway/metrics.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/exchange.h"
#include "gateway/gateway.h"
#include "gateway/metrics_priv.h"
#include "gateway/request_log.h"
#include "gateway/token_stream.h"

enum { STATUSES = 600 };

/* ---- objects ------------------------------------------------------------------ */

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

struct gateway_metrics *gateway_metrics_create(struct gateway *g, struct metrics *m) {
    struct gateway_metrics *all = calloc(1, sizeof *all);
    if (!all)
        return NULL;
    all->gateway = g;
    all->metrics = m;
    pthread_mutex_init(&all->lock, NULL);
    bool ok = true;
    for (int i = 0; i < FAMILY_COUNT; i++) {
        all->family[i] = metrics_family(m, gateway_metric_rows[i]);
        ok = ok && all->family[i];
    }
    all->none = get(all, "");
    if (!ok || !all->none || metrics_collect(m, gateway_metrics_collect, all) < 0) {
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
