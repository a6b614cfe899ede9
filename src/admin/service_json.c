/* service_json.c - see service_json.h. */
#include "admin/service_json.h"

#include "admin/breaker_json.h"
#include "admin/shadow_json.h"
#include "base/rfc3339.h"
#include "config/print.h"
#include "gateway/manager.h"
#include "gateway/metrics.h"
#include "gateway/queue.h"
#include "gateway/tcp.h"

static void write_quantiles(struct json_out *j, const struct histogram *h) {
    static const struct {
        const char *key;
        unsigned permille;
    } quantiles[] = {{"p50_ms", 500}, {"p95_ms", 950}, {"p99_ms", 990}};
    uint64_t count = histogram_count(h);
    for (unsigned i = 0; i < 3; i++) {
        if (count)
            json_key_ms(j, quantiles[i].key, histogram_quantile_ns(h, quantiles[i].permille));
        else
            json_key_null(j, quantiles[i].key);
    }
}

void service_write_answering(struct json_out *j, const struct record *r,
                             enum swg_breaker_state state) {
    bool known = r && (state != SWG_OPEN || strcmp(r->source, "upstream") != 0);
    json_key_string(j, "answering", known ? r->source : NULL);
}

void service_write_recent(struct json_out *j, const struct moment *m, const struct record *r,
                          const struct service *s) {
    struct reading recent;
    if (!r) {
        json_key_null(j, "recent");
        return;
    }
    record_recent(r, s, m->now_ns, &recent);
    double seconds = (double)recent.at_ns / 1e9;
    json_key_object(j, "recent");
    json_key(j, "seconds");
    json_fixed(j, seconds, 3);
    json_key_uint(j, "requests", recent.requests);
    json_key(j, "per_second");
    json_fixed(j, seconds > 0 ? (double)recent.requests / seconds : 0, 2);
    json_key_uint(j, "server_errors", recent.server_errors);
    uint64_t good =
        recent.requests > recent.server_errors ? recent.requests - recent.server_errors : 0;
    json_key_ratio(j, "success_rate", good, recent.requests);
    write_quantiles(j, &recent.latency);
    json_key_object(j, "tiers");
    for (uint32_t t = 0; t < s->options->tier_count; t++)
        json_key_uint(j, s->options->tiers[t].name, recent.tiers[t]);
    json_object_end(j);
    json_object_end(j);
}

void service_write_tiers(struct json_out *j, const struct service *s) {
    json_key_array(j, "tiers");
    for (uint32_t t = 0; t < s->options->tier_count; t++) {
        const struct tier_tally *tally = s->tally[t];
        uint64_t tried = atomic_load_explicit(&tally->tried, memory_order_relaxed);
        uint64_t answered = atomic_load_explicit(&tally->answered, memory_order_relaxed);
        json_object(j);
        json_key_string(j, "name", s->options->tiers[t].name);
        json_key_string(j, "kind", tier_kind_word(s->options->tiers[t].kind));
        json_key_uint(j, "tried", tried);
        json_key_uint(j, "answered", answered);
        json_key_ratio(j, "success_rate", answered < tried ? answered : tried, tried);
        json_object_end(j);
    }
    json_array_end(j);
}

static void write_requests(struct json_out *j, const struct service *s) {
    static const char *const classes[] = {"1xx", "2xx", "3xx", "4xx", "5xx"};
    json_key_object(j, "requests");
    json_key_uint(j, "total", service_metrics_requests(s->metrics, 0));
    for (int i = 1; i <= 5; i++)
        json_key_uint(j, classes[i - 1], service_metrics_requests(s->metrics, i));
    json_object_end(j);
}

static void write_latency(struct json_out *j, const struct service *s) {
    struct histogram all = {0};
    service_metrics_latency(s->metrics, &all);
    json_key_object(j, "latency");
    json_key_uint(j, "count", histogram_count(&all));
    write_quantiles(j, &all);
    json_object_end(j);
}

void service_write_condition(struct json_out *j, const struct moment *m, struct admin *a,
                             const struct service *s) {
    struct manager_reading r;
    manager_read(a->gateway->manager, s, &r);
    json_key_bool(j, "working", r.condition != SWG__DOWN);
    json_key_string(j, "condition", swg__condition_word(r.condition));
    json_key_string(j, "because", *r.because ? r.because : NULL);
    json_key_time(j, "condition_since", m, r.since_ns);
    json_key_bool(j, "flapping", r.flapping);
    json_key_bool(j, "critical", s->options->critical);
    json_key_bool(j, "essential", s->options->essential);
}

static void write_dependencies(struct json_out *j, struct admin *a, const struct service *s) {
    const struct service_options *o = s->options;
    json_key_array(j, "depends_on");
    for (uint32_t i = 0; i < o->depends_count; i++)
        json_string(j, o->depends_on[i].service);
    json_array_end(j);
    json_key_array(j, "dependencies");
    for (uint32_t i = 0; i < o->depends_count; i++) {
        const struct dependency_options *d = &o->depends_on[i];
        struct manager_reading r;
        manager_read(a->gateway->manager, plan_service(s->plan, bytes_of(d->service)), &r);
        json_object(j);
        json_key_string(j, "service", d->service);
        json_key_bool(j, "soft", d->soft);
        json_key_string(j, "condition", swg__condition_word(r.condition));
        json_object_end(j);
    }
    json_array_end(j);
}

/* A tcp service's requests are its connections. */
static void write_protocol(struct json_out *j, const struct service *s) {
    json_key_string(j, "protocol", s->options->tcp ? "tcp" : "http");
    if (s->options->tcp)
        json_key_uint(
            j, "connections_open",
            atomic_load_explicit(&service_metrics_tcp(s->metrics)->open, memory_order_relaxed));
}

/* What waits to be replayed; null where the service has no queue. */
static void write_queue(struct json_out *j, const struct service *s) {
    struct queue_stats q;
    char oldest[RFC3339_SIZE];
    if (!s->queue) {
        json_key_null(j, "queue");
        return;
    }
    queue_read(s->queue, &q);
    if (q.oldest_ms > 0)
        rfc3339_ms(oldest, (uint64_t)q.oldest_ms);
    json_key_object(j, "queue");
    json_key_uint(j, "entries", q.entries);
    json_key_uint(j, "in_flight", q.out);
    json_key_string(j, "oldest_at", q.oldest_ms > 0 ? oldest : NULL);
    json_object_end(j);
}

void service_write_members(struct json_out *j, const struct moment *m, struct admin *a,
                           const struct service *s, bool details) {
    const struct service_options *o = s->options;
    const struct record *r = records_of(a->records, s);
    json_key_string(j, "name", o->name);
    service_write_condition(j, m, a, s);
    write_dependencies(j, a, s);
    service_write_answering(j, r, swg_policy_state(s->policy, m->now_ns, NULL));
    service_write_recent(j, m, r, s);
    write_requests(j, s);
    write_latency(j, s);
    service_write_tiers(j, s);
    write_protocol(j, s);
    write_queue(j, s);
    json_key(j, "breaker");
    breaker_write_json(j, m, a, s);
    shadow_write_summary(j, m, s);
    if (details) {
        json_key_object(j, "policy");
        print_scope(j, "services.*", o);
        json_object_end(j);
    }
}
