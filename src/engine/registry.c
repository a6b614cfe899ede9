/* registry.c - the life of a registry, and finding a name without a lock. */
#include "engine/registry_priv.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "engine/siphash.h"

/* ---- life ---- */

static enum swg_error fill_options(struct swg_registry_options *o) {
    if (o->max == 0)
        o->max = 100000;
    if (o->name_max == 0)
        o->name_max = 255;
    if (o->idle_ns == 0)
        o->idle_ns = SWG_SECONDS(60);
    return o->max <= UINT32_C(1) << 24 && o->name_max <= UINT16_MAX ? SWG_OK : SWG_ERR_RANGE;
}

static uint32_t power_of_two_up_to(uint32_t n, uint32_t max) {
    uint32_t p = 1;
    while (p < max && p * 2 <= n)
        p *= 2;
    return p;
}

/* A shard of a small registry must not run full while others are empty. */
static uint32_t shards_for(uint32_t max) {
    return power_of_two_up_to(max / 256, SWG__SHARDS_MAX);
}

/* At most one entry a chain on average, at least half. */
static uint32_t chains_for(uint32_t max, uint32_t shards) {
    uint32_t share = (max + shards - 1) / shards;
    uint32_t chains = power_of_two_up_to(share, UINT32_C(1) << 24);
    return chains < share ? chains * 2 : chains;
}

static struct swg__stripe *stripe_of(struct swg_registry *r, uint64_t hash) {
    return &r->stripes[(hash >> 32) % SWG__STRIPES];
}

static void hear(void *arg, const struct swg_breaker_event *event) {
    struct swg__entry *e = arg;
    struct swg_registry *r = swg__registry_of(&e->breaker);
    bool shared = e >= r->shared_entries && e < r->shared_entries + SWG__SHARED;
    if (r->listener)
        r->listener(r->listener_arg, shared ? NULL : swg__entry_name(e), e->name_length, event);
}

/* The breaker that was in this memory before may have left permits behind, by
 * mistake of a caller: they will be of a generation that is over. */
enum swg_error swg__entry_begin(struct swg_registry *r, struct swg__entry *e, uint64_t hash,
                                uint64_t now_ns) {
    struct swg__breaker_change change;
    enum swg_error error = swg__breaker_prepare_shared(&change, r->rules);
    if (error)
        return error;
    uint64_t generation = swg__control_generation(swg__control(&e->breaker)) + 1;
    swg__breaker_init(&e->breaker, &change, &stripe_of(r, hash)->lock, generation, hash ^ r->key[0],
                      now_ns);
    swg_breaker_listen(&e->breaker, hear, e);
    e->busy = 0;
    swg__entry_touch(e, now_ns);
    return SWG_OK;
}

static void init_locks(struct swg_registry *r) {
    pthread_mutex_init(&r->configure_lock, NULL);
    for (unsigned i = 0; i < SWG__STRIPES; i++) {
        pthread_mutex_init(&r->stripes[i].lock, NULL);
        r->stripes[i].registry = r;
    }
}

static enum swg_error init_parts(struct swg_registry *r, uint64_t now_ns) {
    enum swg_error error = swg__rules_create(&r->rules, &r->options.breaker);
    for (uint32_t i = 0; !error && i < r->shard_count; i++)
        error = swg__shard_init(&r->shards[i], r->chain_mask + 1);
    for (uint64_t i = 0; !error && i < SWG__SHARED; i++) {
        error = swg__entry_begin(r, &r->shared_entries[i], random_mix(r->key[1] + i), now_ns);
        if (!error) /* is held for ever */
            atomic_store_explicit(&r->shared_entries[i].references, 1, memory_order_release);
    }
    return error;
}

enum swg_error swg_registry_create(struct swg_registry **out,
                                   const struct swg_registry_options *options,
                                   const uint64_t key[2], uint64_t now_ns) {
    struct swg_registry_options o = options ? *options : (struct swg_registry_options){0};
    struct swg_registry *r = NULL;
    *out = NULL;
    if (!key)
        return SWG_ERR_INVALID;
    enum swg_error error = fill_options(&o);
    if (error)
        return error;
    uint32_t shards = shards_for(o.max);
    size_t size = sizeof(*r) + shards * sizeof(r->shards[0]);
    if (posix_memalign((void **)&r, alignof(struct swg_registry), size) != 0)
        return SWG_ERR_NOMEM;
    memset(r, 0, size);
    r->options = o;
    r->key[0] = key[0];
    r->key[1] = key[1];
    r->shard_count = shards;
    r->chain_mask = chains_for(o.max, shards) - 1;
    init_locks(r);
    error = init_parts(r, now_ns);
    if (error)
        swg_registry_destroy(r);
    else
        *out = r;
    return error;
}

void swg_registry_destroy(struct swg_registry *r) {
    if (!r)
        return;
    for (uint32_t i = 0; i < r->shard_count; i++)
        swg__shard_deinit(&r->shards[i]);
    for (unsigned i = 0; i < SWG__SHARED; i++) {
        if (r->shared_entries[i].breaker.lock)
            swg__breaker_deinit(&r->shared_entries[i].breaker);
    }
    swg__rules_release(r->rules);
    for (unsigned i = 0; i < SWG__STRIPES; i++)
        pthread_mutex_destroy(&r->stripes[i].lock);
    pthread_mutex_destroy(&r->configure_lock);
    free(r);
}

void swg_registry_listen(struct swg_registry *r, swg_registry_listener *listener, void *arg) {
    r->listener = listener;
    r->listener_arg = arg;
}

/* ---- hold ---- */

static struct swg__registry_shard *shard_of(struct swg_registry *r, uint64_t hash) {
    return &r->shards[(hash >> 40) & (r->shard_count - 1)];
}

static bool is_named(const struct swg__entry *e, const struct swg__name *name) {
    return e->name_length == name->length &&
           (name->length == 0 || memcmp(swg__entry_name(e), name->at, name->length) == 0);
}

static struct swg__entry *find_unlocked(const struct swg_registry *r,
                                        struct swg__registry_shard *shard,
                                        const struct swg__name *name) {
    struct swg__entry *_Atomic *chain = &shard->chains[name->hash & r->chain_mask];
    struct swg__entry *e = atomic_load_explicit(chain, memory_order_acquire);
    for (int hops = 0; e && hops < SWG__HOPS; hops++) {
        if (atomic_load_explicit(&e->hash, memory_order_relaxed) == name->hash &&
            swg__entry_take(e)) {
            if (is_named(e, name))
                return e;
            swg__entry_put(e); /* has become another's meanwhile */
        }
        e = atomic_load_explicit(&e->next, memory_order_acquire);
    }
    return NULL;
}

/* For a name that can have no breaker of its own. */
static enum swg_error hold_shared(struct swg_registry *r, uint64_t hash, enum swg_error why,
                                  struct swg__entry **out) {
    struct swg__entry *e = &r->shared_entries[(hash >> 48) % SWG__SHARED];
    if (r->options.refuse_when_full || !swg__entry_take(e)) {
        atomic_fetch_add_explicit(&r->refused_full, 1, memory_order_relaxed);
        return why;
    }
    atomic_fetch_add_explicit(&r->shared, 1, memory_order_relaxed);
    *out = e;
    return SWG_OK;
}

static enum swg_error hold_locked(struct swg_registry *r, struct swg__registry_shard *shard,
                                  const struct swg__name *name, uint64_t now_ns,
                                  struct swg__entry **out) {
    enum swg_error error = SWG_OK;
    pthread_mutex_lock(&shard->lock);
    *out = swg__shard_find(r, shard, name);
    if (!*out)
        error = swg__shard_insert(r, shard, name, now_ns, out);
    else if (!swg__entry_take(*out)) /* two thousand million holders */
        error = SWG_ERR_FULL;
    pthread_mutex_unlock(&shard->lock);
    return error ? hold_shared(r, name->hash, error, out) : SWG_OK;
}

enum swg_error swg_registry_hold(struct swg_registry *r, const char *at, size_t length,
                                 uint64_t now_ns, struct swg_breaker **out) {
    *out = NULL;
    if (!at && length)
        return SWG_ERR_INVALID;
    if (length > r->options.name_max)
        return SWG_ERR_RANGE;
    struct swg__name name = {at, length, siphash(r->key, at, length)};
    struct swg__registry_shard *shard = shard_of(r, name.hash);
    struct swg__entry *e = find_unlocked(r, shard, &name);
    if (!e) {
        enum swg_error error = hold_locked(r, shard, &name, now_ns, &e);
        if (error)
            return error;
    }
    swg__entry_touch(e, now_ns);
    *out = &e->breaker;
    return SWG_OK;
}

struct swg_breaker *swg_registry_find(struct swg_registry *r, const char *at, size_t length) {
    if ((!at && length) || length > r->options.name_max)
        return NULL;
    struct swg__name name = {at, length, siphash(r->key, at, length)};
    struct swg__registry_shard *shard = shard_of(r, name.hash);
    struct swg__entry *e = find_unlocked(r, shard, &name);
    if (e)
        return &e->breaker;
    pthread_mutex_lock(&shard->lock);
    e = swg__shard_find(r, shard, &name);
    bool held = e && swg__entry_take(e);
    pthread_mutex_unlock(&shard->lock);
    return held ? &e->breaker : NULL;
}

void swg_registry_release(struct swg_breaker *b) {
    if (b)
        swg__entry_put(swg__entry_of(b));
}

const char *swg_registry_name(const struct swg_breaker *b, size_t *length) {
    const struct swg_registry *r = swg__registry_of(b);
    const struct swg__entry *e = swg__entry_of((struct swg_breaker *)b);
    bool shared = e >= r->shared_entries && e < r->shared_entries + SWG__SHARED;
    if (length)
        *length = e->name_length;
    return shared ? NULL : swg__entry_name(e);
}

uint32_t swg_registry_entries(const struct swg_registry *r) {
    return atomic_load_explicit(&r->entries, memory_order_relaxed);
}
