/* plan.c - see plan.h. */
#include "gateway/plan.h"

#include <errno.h>
#include <stdlib.h>

#include "gateway/database.h"
#include "gateway/gateway.h"
#include "gateway/metrics.h"

static struct target *find_target(struct service *old, const char *name) {
    for (uint32_t i = 0; old && i < old->target_count; i++) {
        if (!strcmp(old->targets[i]->name, name))
            return target_hold(old->targets[i]);
    }
    return NULL;
}

static bool make_targets(struct service *s, struct service *old, uint32_t workers) {
    s->targets = calloc(s->options->endpoint_count, sizeof *s->targets);
    if (!s->targets)
        return false;
    for (; s->target_count < s->options->endpoint_count; s->target_count++) {
        const struct endpoint_options *e = &s->options->endpoints[s->target_count];
        struct target *t = find_target(old, e->name);
        if (!t)
            t = target_create(e, workers);
        if (!t)
            return false;
        s->targets[s->target_count] = t;
    }
    return true;
}

static int make_policy(struct service *s, struct service *old, uint64_t seed, uint64_t now_ns) {
    struct swg_policy_options o = s->options->policy;
    if (s->options->transport.first_token_ns != SWG_OFF) /* see token_stream.h */
        o.timeout.first_byte_ns = s->options->transport.first_token_ns;
    enum swg_error e = old ? swg_policy_renew(&s->policy, old->policy, &o, seed, now_ns)
                           : swg_policy_create(&s->policy, &o, seed, now_ns);
    return e == SWG_OK ? 0 : e == SWG_ERR_NOMEM ? -ENOMEM : -EINVAL;
}

/* A service name as an RFC 8941 value: a token where it is one. */
static struct bytes proxy_name(const char *name) {
    return bytes_of(name);
}

static int make_service(struct plan *p, uint32_t index, struct plan *old, uint64_t now_ns) {
    struct service *s = &p->services[index];
    s->plan = p;
    s->index = index;
    s->options = &p->options->services[index];
    s->proxy_name = proxy_name(s->options->name);
    struct service *before = old ? plan_service(old, bytes_of(s->options->name)) : NULL;
    if (!make_targets(s, before, p->gateway->worker_count))
        return -ENOMEM;
    int error = make_policy(s, before, p->gateway->seed ^ index, now_ns);
    if (error)
        return error;
    s->metrics = service_metrics_get(p->gateway, s->options->name);
    if (!s->metrics)
        return -ENOMEM;
    for (uint32_t t = 0; t < s->options->tier_count; t++) {
        s->tally[t] = service_metrics_tier(s->metrics, s->options->tiers[t].name);
        if (!s->tally[t])
            return -ENOMEM;
    }
    gateway_listen(p->gateway, s->policy, s->metrics);
    return 0;
}

static void link_tiers(struct plan *p) {
    for (uint32_t i = 0; i < p->service_count; i++) {
        struct service *s = &p->services[i];
        for (uint32_t t = 0; t < s->options->tier_count; t++) {
            if (s->options->tiers[t].kind == TIER_QUEUE)
                s->queue_options = &s->options->tiers[t].queue;
            if (s->options->tiers[t].kind == TIER_SERVICE)
                s->tier_service[t] =
                    plan_service(p, bytes_of(s->options->tiers[t].service.service));
        }
    }
}

/* What listens is settled at the start; where it leads is looked up in each plan. */
static int link_listeners(struct plan *p) {
    const struct gateway_options *o = p->gateway->listening;
    p->listen_services = calloc(o->listen_count + 1, sizeof(struct service *));
    if (!p->listen_services)
        return -ENOMEM;
    for (uint32_t i = 0; i < o->listen_count; i++) {
        const struct listen_options *l = &o->listens[i];
        struct service *s =
            l->protocol == PROTOCOL_TCP ? plan_service(p, bytes_of(l->service)) : NULL;
        p->listen_services[i] = s && s->options->tcp ? s : NULL;
    }
    return 0;
}

static const struct database *find_database(const struct plan *old, const char *name) {
    for (uint32_t i = 0; old && i < old->database_count; i++) {
        if (!strcmp(old->databases[i].options->name, name))
            return &old->databases[i];
    }
    return NULL;
}

static int make_databases(struct plan *p, struct plan *old, uint64_t now_ns) {
    const struct gateway_options *o = p->options;
    int error = 0;
    p->databases = calloc(o->database_count + 1, sizeof *p->databases);
    if (!p->databases)
        return -ENOMEM;
    while (!error && p->database_count < o->database_count) {
        uint32_t i = p->database_count++; /* also counted when it fails half-way */
        error =
            database_open(&p->databases[i], p->gateway, &o->databases[i],
                          find_database(old, o->databases[i].name), p->gateway->seed ^ ~i, now_ns);
    }
    return error;
}

int plan_create(struct plan **out, struct gateway *g, struct gateway_options *o, struct plan *old,
                uint64_t now_ns) {
    *out = NULL;
    struct plan *p = calloc(1, sizeof *p);
    if (!p)
        return -ENOMEM;
    atomic_init(&p->references, 1);
    p->gateway = g;
    p->options = gateway_options_hold(o);
    p->generation = old ? old->generation + 1 : 1;
    p->services = calloc(o->service_count + 1, sizeof *p->services);
    p->router = router_create(o);
    int error = p->services && p->router ? make_databases(p, old, now_ns) : -ENOMEM;
    for (; !error && p->service_count < o->service_count; p->service_count++)
        error = make_service(p, p->service_count, old, now_ns);
    if (!error)
        error = link_listeners(p);
    if (error) {
        plan_release(p); /* the service that failed half-way is among those counted */
        return error;
    }
    link_tiers(p);
    *out = p;
    return 0;
}

struct plan *plan_hold(struct plan *p) {
    atomic_fetch_add_explicit(&p->references, 1, memory_order_relaxed);
    return p;
}

void plan_release(struct plan *p) {
    if (!p || atomic_fetch_sub_explicit(&p->references, 1, memory_order_acq_rel) != 1)
        return;
    for (uint32_t i = 0; p->services && i < p->service_count; i++) {
        struct service *s = &p->services[i];
        if (s->policy)
            swg_policy_release(s->policy);
        for (uint32_t t = 0; t < s->target_count; t++)
            target_release(s->targets[t]);
        free(s->targets);
    }
    for (uint32_t i = 0; p->databases && i < p->database_count; i++)
        database_close(&p->databases[i]);
    router_destroy(p->router);
    free(p->databases);
    free(p->listen_services);
    free(p->services);
    gateway_options_release(p->options);
    free(p);
}

struct service *plan_service(struct plan *p, struct bytes name) {
    for (uint32_t i = 0; i < p->service_count; i++) {
        if (bytes_equal(bytes_of(p->options->services[i].name), name))
            return &p->services[i];
    }
    return NULL;
}
