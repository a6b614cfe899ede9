/* manager.c - see manager.h.
 *
 * An update looks at the services in the order of their dependencies, each once, so that
 * a condition goes all the way up in one go. What follows from it is done after that,
 * with everything known. */
#include "gateway/manager.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "gateway/health.h"
#include "gateway/manager_priv.h"

/* So many services that flap could keep the control thread from everything else: an update
 * that was asked for comes so long after the last one at the earliest. */
#define REST_NS SWG_MS(10)

/* Rung by whoever changed a breaker, on any thread; answered on the control thread.
 * Memory of its own, because a ring may still be on its way through the loop when the
 * manager ends: the last to see it frees it. */
struct manager_bell {
    struct io_task task;
    struct io *io;
    struct manager *manager; /* control thread; NULL: it has ended */
    /* Set by the ringers, cleared by the control thread before it looks. acq_rel on both
     * sides: who finds it set knows that a look which will see his change is to come. */
    _Atomic bool rung;
};

/* ---- one service --------------------------------------------------------------- */

static enum swg__check check_word(const struct gateway *g, const struct service *s,
                                  uint32_t endpoint) {
    struct health_reading r;
    if (!g->health || !s->options->health.enabled)
        return SWG__CHECK_NONE;
    health_read(g->health, s, endpoint, &r);
    return r.state == HEALTH_GOOD  ? SWG__CHECK_GOOD
           : r.state == HEALTH_BAD ? SWG__CHECK_BAD
                                   : SWG__CHECK_NONE;
}

static struct swg__finding look_at(const struct manager *m, const struct service *s,
                                   uint64_t now_ns) {
    struct swg__finding endpoints[SWG_ENDPOINTS_MAX];
    uint32_t count = swg_policy_endpoint_count(s->policy);
    for (uint32_t i = 0; i < count; i++) {
        struct swg_breaker_stats stats;
        swg_breaker_read(swg_policy_breaker(s->policy, i), &stats, now_ns);
        endpoints[i] = swg__condition_of_endpoint(&stats, check_word(m->gateway, s, i), now_ns);
    }
    return swg__condition_of_service(endpoints, count);
}

static void write_because(const struct manager *m, struct managed *s) {
    const char *word = swg__because_word(s->finding.because);
    bool held = s->condition != s->finding.condition;
    if (held)
        snprintf(s->because, sizeof s->because, "flapping");
    else if (s->finding.because == SWG__BECAUSE_DEPENDENCY)
        snprintf(s->because, sizeof s->because, "%s %s", word,
                 m->services[s->finding.dependency].name);
    else
        snprintf(s->because, sizeof s->because, "%s", word);
}

static void update_service(struct manager *m, struct managed *s, const struct service *service,
                           const struct swg__damper_options *flap, uint64_t now_ns) {
    enum swg__condition before = s->condition;
    bool was_held = s->damper.holding;
    s->finding = look_at(m, service, now_ns);
    for (uint32_t i = 0; i < s->dependency_count; i++) {
        const struct dependency *d = &s->dependencies[i];
        swg__condition_depend(&s->finding, d->on, m->services[d->on].condition, d->soft);
    }
    s->condition = swg__damper_feed(&s->damper, flap, s->finding.condition, now_ns);
    s->is_back = before == SWG__DOWN && s->condition != SWG__DOWN;
    write_because(m, s);
    if (s->condition != before) {
        s->since_ns = now_ns;
        manager_tell_condition(m, s, before, flap);
    } else if (s->damper.holding && !was_held) {
        manager_tell_flapping(m, s, flap);
    }
}

/* ---- what follows ---------------------------------------------------------------- */

/* True: there was something to try. */
static bool try_breakers(const struct service *s, uint64_t now_ns) {
    bool tried = false;
    for (uint32_t i = 0; i < swg_policy_endpoint_count(s->policy); i++) {
        struct swg_breaker *b = swg_policy_breaker(s->policy, i);
        struct swg_breaker_stats stats;
        swg_breaker_read(b, &stats, now_ns);
        if (stats.state != SWG_OPEN || stats.manual != SWG_AUTOMATIC || stats.probe_due)
            continue;
        swg_breaker_probe_now(b, now_ns);
        tried = true;
    }
    return tried;
}

/* By the next health check, where there is one, else by the next call. */
static void try_dependents(struct manager *m, struct plan *plan, uint64_t now_ns) {
    for (uint32_t i = 0; i < m->count; i++) {
        const struct managed *s = &m->services[i];
        for (uint32_t d = 0; d < s->dependency_count; d++) {
            const struct managed *on = &m->services[s->dependencies[d].on];
            if (on->is_back && try_breakers(&plan->services[i], now_ns))
                manager_tell_retry(m, s, on);
        }
    }
}

static void count_services(struct manager *m, const struct plan *plan) {
    m->tally = (struct swg__overall_count){.services = m->count};
    for (uint32_t i = 0; i < m->count; i++) {
        enum swg__condition c = m->services[i].condition;
        m->tally.working += c != SWG__DOWN;
        m->tally.impaired += c == SWG__IMPAIRED;
        m->tally.critical_down += c == SWG__DOWN && plan->services[i].options->critical;
    }
}

static void update_actions(struct manager *m, const struct resilience_options *o, bool was_on) {
    uint32_t actions = (o->emergency_read_only ? EMERGENCY_READ_ONLY : 0u) |
                       (o->emergency_shed ? EMERGENCY_SHED : 0u);
    if (!m->emergency.on)
        actions = 0;
    uint32_t before =
        atomic_exchange_explicit(&m->gateway->emergency, actions, memory_order_relaxed);
    if (m->emergency.on != was_on || actions != before)
        manager_tell_emergency(m, actions);
}

static void update_overall(struct manager *m, const struct resilience_options *o, uint64_t now_ns) {
    enum swg__overall before = m->overall;
    bool was_on = m->emergency.on;
    m->overall = swg__overall_judge(&o->overall, &m->tally);
    m->hold_ns = o->overall.hold_ns;
    if (m->overall != before) {
        m->overall_since_ns = now_ns;
        manager_tell_overall(m, before);
    }
    swg__emergency_feed(&m->emergency, &o->overall, m->overall, now_ns);
    update_actions(m, o, was_on);
}

static void update(struct manager *m, struct plan *plan, uint64_t now_ns) {
    static const struct swg__damper_options no_damping = {0};
    const struct resilience_options *o = &plan->options->resilience;
    for (uint32_t i = 0; i < m->count; i++) {
        uint32_t at = m->order[i];
        update_service(m, &m->services[at], &plan->services[at],
                       o->flap_off ? &no_damping : &o->flap, now_ns);
    }
    if (!o->manual_recovery)
        try_dependents(m, plan, now_ns);
    count_services(m, plan);
    update_overall(m, o, now_ns);
}

void manager_update(struct manager *m) {
    struct plan *plan = gateway_plan(m->gateway);
    uint64_t now_ns = gateway_now(m->gateway);
    /* without memory for the new plan's services nothing is known until there is some */
    if (plan && (m->generation == plan->generation || manager_follow(m, plan, now_ns) == 0))
        update(m, plan, now_ns);
    m->updated_ns = now_ns;
    plan_release(plan);
}

/* ---- the bell -------------------------------------------------------------------- */

static void on_ring(struct io_task *task) {
    struct manager_bell *b = container_of(task, struct manager_bell, task);
    if (!b->manager) {
        free(b);
        return;
    }
    atomic_exchange_explicit(&b->rung, false, memory_order_acq_rel);
    if (io_now(b->io) >= b->manager->updated_ns + REST_NS)
        manager_update(b->manager);
    else
        io_timer_set(b->io, &b->manager->again, b->manager->updated_ns + REST_NS);
}

static void on_again(struct io_timer *t) {
    manager_update(container_of(t, struct manager, again));
}

void manager_wake(struct manager *m) {
    struct manager_bell *b = m ? m->bell : NULL;
    if (b && !atomic_exchange_explicit(&b->rung, true, memory_order_acq_rel))
        io_post(b->io, &b->task);
}

static void bell_destroy(struct manager_bell *b) {
    if (!b)
        return;
    b->manager = NULL;
    if (!atomic_load_explicit(&b->rung, memory_order_acquire))
        free(b);
}

/* ---- life ------------------------------------------------------------------------ */

int manager_create(struct manager **out, struct gateway *g) {
    struct manager *m = calloc(1, sizeof *m);
    *out = NULL;
    if (!m)
        return -ENOMEM;
    m->gateway = g;
    m->overall_since_ns = g->started_ns;
    io_timer_init(&m->again, on_again);
    if (g->io) {
        m->bell = calloc(1, sizeof *m->bell);
        if (!m->bell) {
            free(m);
            return -ENOMEM;
        }
        *m->bell = (struct manager_bell){.task = {NULL, on_ring}, .io = g->io, .manager = m};
        atomic_init(&m->bell->rung, false);
    }
    *out = m;
    return 0;
}

void manager_destroy(struct manager *m) {
    if (!m)
        return;
    if (m->bell)
        io_timer_clear(m->bell->io, &m->again);
    bell_destroy(m->bell);
    manager_forget(m);
    free(m);
}

/* ---- reading ----------------------------------------------------------------------- */

void manager_read(const struct manager *m, const struct service *s, struct manager_reading *out) {
    *out = (struct manager_reading){.because = "", .since_ns = m->gateway->started_ns};
    if (!s || s->index >= m->count || strcmp(m->services[s->index].name, s->options->name) != 0)
        return;
    const struct managed *found = &m->services[s->index];
    *out = (struct manager_reading){found->condition, found->because, found->damper.holding,
                                    found->since_ns};
}

void manager_read_all(const struct manager *m, struct manager_summary *out) {
    *out = (struct manager_summary){
        .overall = m->overall,
        .since_ns = m->overall_since_ns,
        .count = m->tally,
        .emergency = m->emergency,
        .ends_ns = m->overall == SWG__EMERGENCY ? SWG_NEVER : m->emergency.seen_ns + m->hold_ns,
        .actions = atomic_load_explicit(&m->gateway->emergency, memory_order_relaxed)};
}

const char *emergency_action_word(enum emergency_action a) {
    return a == EMERGENCY_SHED ? "shed" : "read_only";
}
