/* breaker_life.c - how breakers come and go, and get new options.
 *
 * All that can fail, which is memory, happens before anything changes: a
 * change is prepared outside the lock, takes effect under it, and what the
 * breaker had before is freed with the change. */
#include "engine/breaker_priv.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"

/* ---- options, shared ---- */

enum swg_error swg__rules_create(struct swg__rules **out,
                                 const struct swg_breaker_options *options) {
    struct swg_breaker_options filled;
    *out = NULL;
    enum swg_error error = swg__breaker_options_fill(&filled, options);
    if (error)
        return error;
    struct swg__rules *rules = calloc(1, sizeof(*rules));
    if (!rules)
        return SWG_ERR_NOMEM;
    rules->options = filled;
    atomic_init(&rules->references, 1);
    *out = rules;
    return SWG_OK;
}

struct swg__rules *swg__rules_hold(struct swg__rules *rules) {
    /* relaxed: whoever holds gives to another */
    atomic_fetch_add_explicit(&rules->references, 1, memory_order_relaxed);
    return rules;
}

void swg__rules_release(struct swg__rules *rules) {
    if (rules && atomic_fetch_sub_explicit(&rules->references, 1, memory_order_acq_rel) == 1)
        free(rules);
}

/* ---- changes ---- */

static enum swg_error prepare(struct swg__breaker_change *change, struct swg__rules *rules) {
    const struct swg_breaker_options *o = &rules->options;
    *change = (struct swg__breaker_change){.rules = rules};
    enum swg_error error = swg__window_init(&change->window, o->window_calls, o->window_ns,
                                            o->slow_percent != 0, 0, 0);
    if (error) {
        swg__rules_release(rules);
        return error;
    }
    if (o->probes <= SWG__LEASES_FEW)
        return SWG_OK;
    change->leases = calloc(o->probes, sizeof(*change->leases));
    if (change->leases)
        return SWG_OK;
    swg__breaker_discard(change);
    return SWG_ERR_NOMEM;
}

enum swg_error swg__breaker_prepare(struct swg__breaker_change *change,
                                    const struct swg_breaker_options *options) {
    struct swg__rules *rules;
    enum swg_error error = swg__rules_create(&rules, options);
    return error ? error : prepare(change, rules);
}

enum swg_error swg__breaker_prepare_shared(struct swg__breaker_change *change,
                                           struct swg__rules *rules) {
    return prepare(change, swg__rules_hold(rules));
}

void swg__breaker_discard(struct swg__breaker_change *change) {
    swg__rules_release(change->rules);
    swg__window_free(&change->window);
    free(change->leases);
}

/* The room for leases only grows: slots beyond a smaller limit may be out still. */
static void take_leases(struct swg_breaker *b, struct swg__breaker_change *change) {
    uint32_t probes = change->rules->options.probes;
    uint64_t *before = b->lease_end_ns;
    if (!change->leases || b->lease_capacity >= probes)
        return;
    memcpy(change->leases, before, b->lease_capacity * sizeof(*before));
    b->lease_end_ns = change->leases;
    b->lease_capacity = probes;
    change->leases = before == b->leases_few ? NULL : before;
}

static struct swg__rules *rules_of(const struct swg_breaker *b) {
    static_assert(offsetof(struct swg__rules, options) == 0,
                  "a pointer to one is one to the other");
    return (struct swg__rules *)b->options;
}

void swg__breaker_commit(struct swg_breaker *b, struct swg__breaker_change *change,
                         uint64_t now_ns) {
    struct swg__events events = {0};
    pthread_mutex_lock(b->lock);
    swg__breaker_advance(b, &events, now_ns);
    struct swg__window old = b->window;
    struct swg__rules *rules = rules_of(b);
    swg__window_move(&change->window, &old, swg__breaker_successes(b), now_ns);
    take_leases(b, change);
    b->window = change->window;
    b->options = &change->rules->options;
    swg__breaker_publish(b, now_ns);
    if (b->options->stay_open != rules->options.stay_open)
        swg__breaker_follow_stay_open(b);
    change->window = old;
    change->rules = rules;
    swg__breaker_unlock_and_tell(b, &events);
}

enum swg_error swg_breaker_configure(struct swg_breaker *b,
                                     const struct swg_breaker_options *options, uint64_t now_ns) {
    struct swg__breaker_change change;
    enum swg_error error = swg__breaker_prepare(&change, options);
    if (error)
        return error;
    swg__breaker_commit(b, &change, now_ns);
    swg__breaker_discard(&change);
    return SWG_OK;
}

/* ---- slim ---- */

void swg__breaker_init(struct swg_breaker *b, struct swg__breaker_change *change,
                       pthread_mutex_t *lock, uint64_t generation, uint64_t seed, uint64_t now_ns) {
    *b = (struct swg_breaker){.lock = lock,
                              .options = &change->rules->options,
                              .window = change->window,
                              .lease_end_ns = b->leases_few,
                              .lease_capacity = SWG__LEASES_FEW};
    take_leases(b, change);
    b->random = random_mix(seed ^ UINT64_C(0x6272656b6572));
    swg__set(&b->since_ns, now_ns);
    swg__window_clear(&b->window, 0, now_ns);
    swg__set(&b->manual_until_ns, SWG_NEVER);
    atomic_store_explicit(&b->control, generation << SWG__GENERATION_SHIFT, memory_order_release);
    swg__breaker_publish(b, now_ns);
}

static void free_leases(struct swg_breaker *b) {
    if (b->lease_end_ns != b->leases_few)
        free(b->lease_end_ns);
}

void swg__breaker_deinit(struct swg_breaker *b) {
    free(atomic_load_explicit(&b->wide, memory_order_relaxed));
    free_leases(b);
    swg__window_free(&b->window);
    swg__rules_release(rules_of(b));
}

void swg__breaker_widen(struct swg_breaker *b) {
    struct swg__breaker_wide *wide = NULL, *none = NULL;
    if (atomic_load_explicit(&b->wide, memory_order_relaxed))
        return;
    if (posix_memalign((void **)&wide, alignof(struct swg__breaker_wide),
                       SWG__SLOTS * sizeof(*wide)) != 0)
        return;
    memset(wide, 0, SWG__SLOTS * sizeof(*wide));
    if (!atomic_compare_exchange_strong_explicit(&b->wide, &none, wide, memory_order_release,
                                                 memory_order_relaxed))
        free(wide);
}

/* ---- wide ---- */

struct wide_breaker {
    alignas(2 * SWG__LINE) struct swg_breaker breaker; /* first */
    pthread_mutex_t lock;
    struct swg__breaker_wide shards[SWG__SLOTS];
};

enum swg_error swg_breaker_create(struct swg_breaker **out,
                                  const struct swg_breaker_options *options, uint64_t seed,
                                  uint64_t now_ns) {
    struct swg__breaker_change change;
    struct wide_breaker *w = NULL;
    *out = NULL;
    enum swg_error error = swg__breaker_prepare(&change, options);
    if (error)
        return error;
    if (posix_memalign((void **)&w, alignof(struct wide_breaker), sizeof(*w)) != 0) {
        swg__breaker_discard(&change);
        return SWG_ERR_NOMEM;
    }
    memset(w, 0, sizeof(*w));
    pthread_mutex_init(&w->lock, NULL);
    swg__breaker_init(&w->breaker, &change, &w->lock, 1, seed, now_ns);
    atomic_store_explicit(&w->breaker.wide, w->shards, memory_order_release);
    *out = &w->breaker;
    return SWG_OK;
}

void swg_breaker_destroy(struct swg_breaker *b) {
    if (!b)
        return;
    struct wide_breaker *w = (struct wide_breaker *)b;
    assert(b->lock == &w->lock && "a breaker of a registry goes with that");
    free_leases(b);
    swg__window_free(&b->window);
    swg__rules_release(rules_of(b));
    pthread_mutex_destroy(&w->lock);
    free(w);
}
