/* policy.c - the life of a policy, and control over all its endpoints.
 *
 * A renewal builds the new policy completely, with all that can fail, before
 * it touches anything the old one uses: options are checked and memory is
 * taken first, then bulkhead, budget and breakers change, which cannot fail
 * any more. So on an error nothing has changed. */
#include "engine/policy_priv.h"

#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "engine/breaker_priv.h"
#include "engine/endpoint.h"
#include "engine/shadow.h"

/* ---- the core ---- */

static void core_release(struct swg__core *core) {
    if (!core || atomic_fetch_sub_explicit(&core->references, 1, memory_order_acq_rel) != 1)
        return;
    swg_bulkhead_destroy(core->bulkhead);
    swg_budget_destroy(core->budget);
    pthread_mutex_destroy(&core->listener_lock);
    free(core);
}

static enum swg_error core_create(struct swg__core **out, const struct swg_policy_options *o,
                                  uint64_t now_ns) {
    struct swg__core *core = NULL;
    *out = NULL;
    if (posix_memalign((void **)&core, alignof(struct swg__core), sizeof(*core)) != 0)
        return SWG_ERR_NOMEM;
    memset(core, 0, sizeof(*core));
    atomic_init(&core->references, 1);
    pthread_mutex_init(&core->listener_lock, NULL);
    enum swg_error error = swg_bulkhead_create(&core->bulkhead, &o->bulkhead);
    if (!error)
        error = swg_budget_create(&core->budget, &o->budget, now_ns);
    if (error)
        core_release(core);
    else
        *out = core;
    return error;
}

static void share_core(struct swg_policy *p, struct swg__core *core) {
    p->core = core;
    p->bulkhead = core->bulkhead;
    p->budget = core->budget;
}

/* ---- names ---- */

static const char *name_of(const struct swg_policy_options *o, uint32_t i) {
    return o->endpoint_count && o->endpoints[i].name ? o->endpoints[i].name : "";
}

static enum swg_error check_names(const struct swg_policy_options *o) {
    for (uint32_t i = 0; i < o->endpoint_count; i++) {
        for (uint32_t j = 0; j < i; j++) {
            if (strcmp(name_of(o, i), name_of(o, j)) == 0)
                return SWG_ERR_INVALID;
        }
    }
    return SWG_OK;
}

static struct swg__endpoint *find_endpoint(const struct swg_policy *p, const char *name) {
    for (uint32_t i = 0; p && i < p->endpoint_count; i++) {
        if (strcmp(p->endpoints[i]->name, name) == 0)
            return p->endpoints[i];
    }
    return NULL;
}

/* ---- create, hold, release ---- */

static void destroy(struct swg_policy *p) {
    for (uint32_t i = 0; i < SWG_ENDPOINTS_MAX; i++)
        swg__endpoint_release(p->endpoints[i]);
    core_release(p->core);
    free(p);
}

/* A policy with options, but without core and endpoints yet. */
static enum swg_error make_bare(struct swg_policy **out, const struct swg_policy_options *o) {
    struct swg_policy *p = calloc(1, sizeof(*p));
    *out = NULL;
    if (!p)
        return SWG_ERR_NOMEM;
    atomic_init(&p->references, 1);
    enum swg_error error = swg__policy_options_take(p, o);
    if (!error)
        error = check_names(o);
    if (error)
        free(p);
    else
        *out = p;
    return error;
}

/* Endpoints of `old` by name, and new ones for the rest. */
static enum swg_error gather_endpoints(struct swg_policy *p, const struct swg_policy *old,
                                       const struct swg_policy_options *o, uint64_t seed,
                                       uint64_t now_ns) {
    for (uint32_t i = 0; i < p->endpoint_count; i++) {
        struct swg__endpoint *same = find_endpoint(old, name_of(o, i));
        enum swg_error error = SWG_OK;
        if (same)
            swg__endpoint_hold(p->endpoints[i] = same);
        else
            error = swg__endpoint_create(&p->endpoints[i], p->core, name_of(o, i), &o->breaker,
                                         random_mix(seed + i), old ? now_ns : 0, now_ns);
        if (error)
            return error;
    }
    return SWG_OK;
}

/* ---- shadows: prepared for each endpoint, all or none ---- */

static enum swg_error prepare_shadows(struct swg_policy *p, struct swg__shadow_change *changes,
                                      uint64_t seed, uint64_t now_ns) {
    for (uint32_t i = 0; i < p->endpoint_count; i++) {
        enum swg_error error = swg__shadow_prepare(&changes[i], p->endpoints[i], &p->options.shadow,
                                                   random_mix(~seed + i), now_ns);
        if (error) {
            while (i > 0)
                swg__shadow_discard(&changes[--i]);
            return error;
        }
    }
    return SWG_OK;
}

static void commit_shadows(struct swg_policy *p, struct swg__shadow_change *changes,
                           uint64_t now_ns) {
    for (uint32_t i = 0; i < p->endpoint_count; i++) {
        swg__shadow_commit(&changes[i], p->endpoints[i], now_ns);
        swg__shadow_discard(&changes[i]);
    }
}

static const struct swg_policy_options no_options;

enum swg_error swg_policy_create(struct swg_policy **out, const struct swg_policy_options *options,
                                 uint64_t seed, uint64_t now_ns) {
    struct swg__shadow_change shadows[SWG_ENDPOINTS_MAX];
    struct swg_policy *p;
    struct swg__core *core;
    *out = NULL;
    if (!options)
        options = &no_options;
    enum swg_error error = make_bare(&p, options);
    if (error)
        return error;
    error = core_create(&core, options, now_ns);
    if (!error) {
        share_core(p, core);
        error = gather_endpoints(p, NULL, options, seed, now_ns);
    }
    if (!error)
        error = prepare_shadows(p, shadows, seed, now_ns);
    if (error) {
        destroy(p);
        return error;
    }
    commit_shadows(p, shadows, now_ns);
    *out = p;
    return SWG_OK;
}

struct swg_policy *swg_policy_hold(struct swg_policy *p) {
    /* relaxed: whoever holds gives to another */
    atomic_fetch_add_explicit(&p->references, 1, memory_order_relaxed);
    return p;
}

void swg_policy_release(struct swg_policy *p) {
    if (p && atomic_fetch_sub_explicit(&p->references, 1, memory_order_acq_rel) == 1)
        destroy(p);
}

/* ---- renew ---- */

/* Asks those that check their own options whether they would take these, on
 * throw-away objects: what they refuse must be refused before anything changes. */
static enum swg_error try_limits(const struct swg_policy_options *o, uint64_t now_ns) {
    struct swg_bulkhead *bulkhead = NULL;
    struct swg_budget *budget = NULL;
    enum swg_error error = swg_bulkhead_create(&bulkhead, &o->bulkhead);
    if (!error)
        error = swg_budget_create(&budget, &o->budget, now_ns);
    swg_bulkhead_destroy(bulkhead);
    swg_budget_destroy(budget);
    return error;
}

/* Prepares a change for each endpoint; all or none. */
static enum swg_error prepare_changes(const struct swg_policy *p,
                                      const struct swg_policy_options *o,
                                      struct swg__breaker_change *changes) {
    for (uint32_t i = 0; i < p->endpoint_count; i++) {
        enum swg_error error = swg__breaker_prepare(&changes[i], &o->breaker);
        if (error) {
            while (i > 0)
                swg__breaker_discard(&changes[--i]);
            return error;
        }
    }
    return SWG_OK;
}

/* The manual control that is on all endpoints, and until when. */
static enum swg_breaker_manual common_manual(const struct swg_policy *p, uint64_t *until_ns,
                                             uint64_t now_ns) {
    enum swg_breaker_manual common = SWG_AUTOMATIC;
    *until_ns = 0;
    for (uint32_t i = 0; i < p->endpoint_count; i++) {
        struct swg_breaker_stats s;
        swg_breaker_read(p->endpoints[i]->breaker, &s, now_ns);
        if (i > 0 && s.manual != common)
            return SWG_AUTOMATIC;
        common = s.manual;
        if (s.manual_until_ns > *until_ns)
            *until_ns = s.manual_until_ns;
    }
    return common;
}

static void pass_on_manual(struct swg_policy *p, const struct swg_policy *old, uint64_t now_ns) {
    uint64_t until_ns;
    enum swg_breaker_manual manual = common_manual(old, &until_ns, now_ns);
    if (manual == SWG_AUTOMATIC)
        return;
    for (uint32_t i = 0; i < p->endpoint_count; i++) {
        if (!find_endpoint(old, p->endpoints[i]->name))
            swg_breaker_force(p->endpoints[i]->breaker, manual,
                              until_ns == SWG_NEVER ? SWG_NEVER : until_ns - now_ns, now_ns);
    }
}

/* From here on nothing fails. New endpoints have these options already; to
 * give them again does no harm. */
static void apply(struct swg_policy *p, const struct swg_policy *old,
                  const struct swg_policy_options *o, struct swg__breaker_change *changes,
                  uint64_t now_ns) {
    pass_on_manual(p, old, now_ns);
    for (uint32_t i = 0; i < p->endpoint_count; i++) {
        swg__breaker_commit(p->endpoints[i]->breaker, &changes[i], now_ns);
        swg__breaker_discard(&changes[i]);
    }
    swg_bulkhead_configure(p->bulkhead, &o->bulkhead);
    swg_budget_configure(p->budget, &o->budget);
}

enum swg_error swg_policy_renew(struct swg_policy **out, struct swg_policy *old,
                                const struct swg_policy_options *options, uint64_t seed,
                                uint64_t now_ns) {
    struct swg__breaker_change changes[SWG_ENDPOINTS_MAX];
    struct swg__shadow_change shadows[SWG_ENDPOINTS_MAX];
    struct swg_policy *p;
    *out = NULL;
    if (!options)
        options = &no_options;
    enum swg_error error = make_bare(&p, options);
    if (error)
        return error;
    atomic_fetch_add_explicit(&old->core->references, 1, memory_order_relaxed);
    share_core(p, old->core);
    error = try_limits(options, now_ns);
    if (!error)
        error = gather_endpoints(p, old, options, seed, now_ns);
    if (!error)
        error = prepare_shadows(p, shadows, seed, now_ns);
    if (!error && (error = prepare_changes(p, options, changes)) != SWG_OK) {
        for (uint32_t i = 0; i < p->endpoint_count; i++)
            swg__shadow_discard(&shadows[i]);
    }
    if (error) {
        destroy(p);
        return error;
    }
    apply(p, old, options, changes, now_ns);
    commit_shadows(p, shadows, now_ns);
    *out = p;
    return SWG_OK;
}

/* ---- its endpoints ---- */

uint32_t swg_policy_endpoint_count(const struct swg_policy *p) {
    return p->endpoint_count;
}

const char *swg_policy_endpoint_name(const struct swg_policy *p, uint32_t endpoint) {
    return p->endpoints[endpoint]->name;
}

struct swg_breaker *swg_policy_breaker(const struct swg_policy *p, uint32_t endpoint) {
    return p->endpoints[endpoint]->breaker;
}

uint32_t swg_policy_endpoint_in_flight(const struct swg_policy *p, uint32_t endpoint) {
    return atomic_load_explicit(&p->endpoints[endpoint]->in_flight, memory_order_relaxed);
}

void swg_policy_force(struct swg_policy *p, enum swg_breaker_manual manual, uint64_t for_ns,
                      uint64_t now_ns) {
    for (uint32_t i = 0; i < p->endpoint_count; i++)
        swg_breaker_force(p->endpoints[i]->breaker, manual, for_ns, now_ns);
}

void swg_policy_reset(struct swg_policy *p, uint64_t now_ns) {
    for (uint32_t i = 0; i < p->endpoint_count; i++)
        swg_breaker_reset(p->endpoints[i]->breaker, now_ns);
}

void swg_policy_tick(struct swg_policy *p, uint64_t now_ns) {
    for (uint32_t i = 0; i < p->endpoint_count; i++) {
        struct swg__shadow *shadow = swg__policy_shadow(p, i);
        swg_breaker_tick(p->endpoints[i]->breaker, now_ns);
        if (shadow)
            swg_breaker_tick(shadow->breaker, now_ns);
    }
}

void swg_policy_listen(struct swg_policy *p, swg_policy_listener *listener, void *arg) {
    pthread_mutex_lock(&p->core->listener_lock);
    p->core->listener = listener;
    p->core->listener_arg = arg;
    pthread_mutex_unlock(&p->core->listener_lock);
}

/* ---- shadows ---- */

struct swg__shadow *swg__policy_shadow(const struct swg_policy *p, uint32_t endpoint) {
    struct swg__shadow *s = swg__endpoint_shadow(p->endpoints[endpoint]);
    return s && atomic_load_explicit(&s->on, memory_order_relaxed) ? s : NULL;
}

void swg_policy_listen_shadow(struct swg_policy *p, swg_shadow_listener *listener, void *arg) {
    pthread_mutex_lock(&p->core->listener_lock);
    p->core->shadow_listener = listener;
    p->core->shadow_listener_arg = arg;
    pthread_mutex_unlock(&p->core->listener_lock);
}
