/* metrics_scrape.c - what a scrape reads: states, lengths, ages. */
#include <math.h>
#include <time.h>

#include "gateway/drills.h"
#include "gateway/gateway.h"
#include "gateway/health.h"
#include "gateway/manager.h"
#include "gateway/metrics_priv.h"
#include "gateway/queue.h"
#include "gateway/stores.h"
#include "gateway/trace_export.h"

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

void gateway_metrics_collect(struct metrics_scrape *scrape, void *arg) {
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
