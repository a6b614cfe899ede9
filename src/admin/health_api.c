/* health_api.c - probes for whoever runs the process, and the state of the
 * whole for whoever is responsible for it.
 *
 * The two are kept apart: a probe that failed because a dependency did would
 * have the gateway restarted, or taken out of service, exactly when it is the
 * one that still answers. */
#include <unistd.h>

#include "admin/handlers.h"
#include "admin/service_json.h"
#include "admin/system_json.h"
#include "gateway/cache.h"
#include "gateway/manager.h"

/* ---- probes ------------------------------------------------------------------ */

static void probe(struct response *a, bool passes, const char *word) {
    struct json_out *j = response_json(a, passes ? 200 : 503);
    json_object(j);
    json_key_string(j, "status", word);
    json_object_end(j);
    response_end_json(a);
}

void handle_live(struct request *r, struct response *a) {
    const char *ailment = r->admin->host.ailment(r->admin->host.arg);
    probe(a, !ailment, ailment ? ailment : "alive");
}

void handle_ready(struct request *r, struct response *a) {
    bool ready = r->admin->host.is_ready(r->admin->host.arg);
    probe(a, ready, ready ? "ready" : "draining");
}

/* Whoever gets an answer asks a gateway that has started: the listening
 * sockets are open before this one is. */
void handle_startup(struct request *r, struct response *a) {
    (void)r;
    probe(a, true, "started");
}

/* ---- the whole --------------------------------------------------------------- */

static bool is_closed(const struct service *s, uint64_t now_ns) {
    return swg_policy_state(s->policy, now_ns, NULL) == SWG_CLOSED;
}

static bool is_open(const struct service *s, uint64_t now_ns) {
    return swg_policy_state(s->policy, now_ns, NULL) == SWG_OPEN;
}

static void write_breaker(struct json_out *j, const struct moment *m, const struct service *s) {
    struct swg_policy_stats stats;
    swg_policy_read(s->policy, &stats, m->now_ns);
    json_key_object(j, s->options->name);
    json_key_string(j, "state", swg_breaker_word(stats.state, stats.manual));
    json_key_uint(j, "failure_count", stats.total.window_failures);
    json_key_time(j, "opened_at", m, stats.total.opened_ns);
    json_key_bool(j, "is_closed", stats.state == SWG_CLOSED);
    json_key_bool(j, "is_open", stats.state == SWG_OPEN);
    json_object_end(j);
}

static void write_breakers(struct json_out *j, const struct moment *m, const struct plan *plan) {
    bool all_closed = true;
    json_key_object(j, "circuit_breakers");
    for (uint32_t i = 0; i < plan->service_count; i++)
        all_closed = all_closed && is_closed(&plan->services[i], m->now_ns);
    json_key_bool(j, "all_closed", all_closed);
    json_key_array(j, "open_breakers");
    for (uint32_t i = 0; i < plan->service_count; i++) {
        if (is_open(&plan->services[i], m->now_ns))
            json_string(j, plan->services[i].options->name);
    }
    json_array_end(j);
    json_key_object(j, "details");
    for (uint32_t i = 0; i < plan->service_count; i++)
        write_breaker(j, m, &plan->services[i]);
    json_object_end(j);
    json_object_end(j);
}

static void write_services(struct json_out *j, const struct moment *m, struct admin *a,
                           const struct plan *plan) {
    json_key_object(j, "services");
    for (uint32_t i = 0; i < plan->service_count; i++) {
        const struct service *s = &plan->services[i];
        const struct record *r = records_of(a->records, s);
        enum swg_breaker_state state = swg_policy_state(s->policy, m->now_ns, NULL);
        json_key_object(j, s->options->name);
        service_write_condition(j, m, a, s);
        json_key_uint(j, "endpoints", s->target_count);
        service_write_answering(j, r, state);
        service_write_recent(j, m, r, s);
        json_object_end(j);
    }
    json_object_end(j);
}

/* For each service that says what it needs: how that is. */
static void write_dependencies(struct json_out *j, struct admin *a, struct plan *plan) {
    json_key_object(j, "dependencies");
    for (uint32_t i = 0; i < plan->service_count; i++) {
        const struct service_options *o = plan->services[i].options;
        if (!o->depends_count)
            continue;
        json_key_object(j, o->name);
        for (uint32_t d = 0; d < o->depends_count; d++) {
            const char *name = o->depends_on[d].service;
            struct manager_reading r;
            manager_read(a->gateway->manager, plan_service(plan, bytes_of(name)), &r);
            json_key_string(j, name, swg__condition_word(r.condition));
        }
        json_object_end(j);
    }
    json_object_end(j);
}

/* What is being done, since when, and until when at least. */
static void write_emergency(struct json_out *j, const struct moment *m,
                            const struct manager_summary *all) {
    bool on = all->emergency.on;
    json_key_object(j, "emergency");
    json_key_bool(j, "active", on);
    json_key_time(j, "since", m, on ? all->emergency.since_ns : 0);
    json_key_time(j, "ends_at", m, on ? all->ends_ns : 0);
    json_key_array(j, "actions");
    for (unsigned a = EMERGENCY_READ_ONLY; a <= EMERGENCY_SHED; a <<= 1) {
        if (all->actions & a)
            json_string(j, emergency_action_word((enum emergency_action)a));
    }
    json_array_end(j);
    json_object_end(j);
}

static void write_cache(struct json_out *j, struct gateway *g) {
    struct cache_stats s;
    cache_read(g->cache, &s);
    json_key_object(j, "cache");
    json_key_uint(j, "entries", s.entries);
    json_key_uint(j, "bytes", s.bytes);
    json_key_uint(j, "bytes_max", s.bytes_max);
    json_key_uint(j, "evictions", s.evictions);
    json_object_end(j);
}

static void write_system(struct json_out *j, const struct moment *m, struct admin *a,
                         const struct plan *plan) {
    struct gateway *g = a->gateway;
    json_key_object(j, "system");
    json_key_string(j, "version", SWG_VERSION);
    json_key_int(j, "pid", getpid());
    json_key_time(j, "started_at", m, g->started_ns);
    json_key(j, "uptime_seconds");
    json_fixed(j, (double)(m->now_ns - g->started_ns) / 1e9, 3);
    system_write(j, a);
    json_key_uint(j, "workers", g->worker_count);
    json_key_uint(j, "connections", atomic_load_explicit(&g->clients, memory_order_relaxed));
    json_key_uint(j, "requests_in_flight",
                  atomic_load_explicit(&g->exchanges, memory_order_relaxed));
    json_key_bool(j, "draining", atomic_load_explicit(&g->draining, memory_order_relaxed));
    json_key_uint(j, "generation", plan->generation);
    json_key_uint(j, "reloads", atomic_load_explicit(&g->reloads, memory_order_relaxed));
    json_key_uint(j, "reload_errors",
                  atomic_load_explicit(&g->reload_errors, memory_order_relaxed));
    write_cache(j, g);
    json_object_end(j);
}

static void write_count(struct json_out *j, const struct swg__overall_count *c) {
    json_key_object(j, "count");
    json_key_uint(j, "services", c->services);
    json_key_uint(j, "working", c->working);
    json_key_uint(j, "impaired", c->impaired);
    json_key_uint(j, "critical_down", c->critical_down);
    json_object_end(j);
}

void handle_health(struct request *r, struct response *a) {
    struct manager *manager = r->admin->gateway->manager;
    struct manager_summary all;
    manager_update(manager);
    manager_read_all(manager, &all);
    struct plan *plan = gateway_plan(r->admin->gateway);
    struct json_out *j = response_json(a, all.overall >= SWG__CRITICAL ? 503 : 200);
    json_object(j);
    json_key_string(j, "status", swg__overall_word(all.overall));
    json_key_time(j, "since", &r->moment, all.since_ns);
    json_key_time(j, "timestamp", &r->moment, r->moment.now_ns);
    json_key_object(j, "details");
    write_count(j, &all.count);
    write_emergency(j, &r->moment, &all);
    write_breakers(j, &r->moment, plan);
    write_services(j, &r->moment, r->admin, plan);
    write_dependencies(j, r->admin, plan);
    drills_write_member(j, &r->moment, r->admin);
    write_system(j, &r->moment, r->admin, plan);
    json_object_end(j);
    json_object_end(j);
    response_end_json(a);
    plan_release(plan);
}
