/* registry_table.c - one shard of a registry's table: chains, memory, and who
 * has to go. All of it under the shard's lock, but readers look on (see
 * registry_priv.h): whatever they may meet is written atomically, an entry is
 * in its chain only after it is filled, and is marked gone before anything of
 * it changes.
 *
 * An entry's way: slab → in use ⇄ free list. The search for one that can go
 * moves a hand around the shard's slabs, as CLOCK has it, and continues where
 * the last one ended; so a full registry of troubled names is not searched from
 * the beginning by every new name. */
#include "engine/registry_priv.h"

#include <stdlib.h>
#include <string.h>

enum swg_error swg__shard_init(struct swg__registry_shard *s, uint32_t chains) {
    pthread_mutex_init(&s->lock, NULL);
    s->chains = calloc(chains, sizeof(*s->chains));
    return s->chains ? SWG_OK : SWG_ERR_NOMEM;
}

static void free_name(struct swg__entry *e) {
    if (e->name_length > SWG__NAME_FEW)
        free(e->name.many);
    e->name_length = 0;
}

static bool is_gone(const struct swg__entry *e) {
    return atomic_load_explicit(&e->references, memory_order_relaxed) == SWG__GONE;
}

/* Also of one that init has not reached. */
void swg__shard_deinit(struct swg__registry_shard *s) {
    struct swg__slab *slab = atomic_load_explicit(&s->slabs, memory_order_relaxed);
    while (slab) {
        struct swg__slab *next = atomic_load_explicit(&slab->next, memory_order_relaxed);
        for (uint32_t i = 0; i < slab->used; i++) {
            if (is_gone(&slab->entries[i]))
                continue;
            free_name(&slab->entries[i]);
            swg__breaker_deinit(&slab->entries[i].breaker);
        }
        free(slab);
        slab = next;
    }
    if (s->chains)
        pthread_mutex_destroy(&s->lock);
    free((void *)s->chains);
}

struct swg__entry *swg__shard_find(const struct swg_registry *r, struct swg__registry_shard *s,
                                   const struct swg__name *name) {
    struct swg__entry *e = s->chains[name->hash & r->chain_mask];
    for (; e; e = atomic_load_explicit(&e->next, memory_order_relaxed)) {
        if (e->hash == name->hash && e->name_length == name->length &&
            (name->length == 0 || memcmp(swg__entry_name(e), name->at, name->length) == 0))
            return e;
    }
    return NULL;
}

/* ---- memory ---- */

/* One more in use, if the registry has room. */
static bool reserve(struct swg_registry *r) {
    uint32_t n = atomic_load_explicit(&r->entries, memory_order_relaxed);
    do {
        if (n >= r->options.max)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&r->entries, &n, n + 1, memory_order_relaxed,
                                                    memory_order_relaxed));
    return true;
}

static void unreserve(struct swg_registry *r) {
    atomic_fetch_sub_explicit(&r->entries, 1, memory_order_relaxed);
}

static struct swg__slab *add_slab(struct swg__registry_shard *s) {
    struct swg__slab *slab = calloc(1, sizeof(*slab));
    if (!slab)
        return NULL;
    for (unsigned i = 0; i < SWG__SLAB; i++)
        atomic_init(&slab->entries[i].references, SWG__GONE);
    atomic_store_explicit(s->last ? &s->last->next : &s->slabs, slab, memory_order_release);
    s->last = slab;
    return slab;
}

static struct swg__entry *take_memory(struct swg__registry_shard *s) {
    struct swg__entry *e = s->free;
    if (e) {
        s->free = atomic_load_explicit(&e->next, memory_order_relaxed);
        return e;
    }
    struct swg__slab *slab = s->last;
    if (!slab || slab->used == SWG__SLAB)
        slab = add_slab(s);
    if (!slab)
        return NULL;
    uint32_t used = slab->used;
    atomic_store_explicit(&slab->used, used + 1, memory_order_release);
    return &slab->entries[used];
}

static void give_memory(struct swg__registry_shard *s, struct swg__entry *e) {
    atomic_store_explicit(&e->next, s->free, memory_order_release);
    s->free = e;
}

/* ---- evict ---- */

static void unlink_entry(const struct swg_registry *r, struct swg__registry_shard *s,
                         struct swg__entry *e) {
    struct swg__entry *_Atomic *at = &s->chains[e->hash & r->chain_mask];
    while (atomic_load_explicit(at, memory_order_relaxed) != e)
        at = &atomic_load_explicit(at, memory_order_relaxed)->next;
    atomic_store_explicit(at, atomic_load_explicit(&e->next, memory_order_relaxed),
                          memory_order_release);
}

/* A thread whose clock is a little behind leaves a time of use ahead of ours. */
static bool is_idle(const struct swg__entry *e, uint64_t idle_ns, uint64_t now_ns) {
    uint32_t now = (uint32_t)(now_ns >> SWG__USED_SHIFT);
    int32_t units = (int32_t)(now - atomic_load_explicit(&e->used, memory_order_relaxed));
    if (idle_ns == 0)
        return true;
    /* the unit that runs does not count */
    return units > 1 && ((uint64_t)units - 1) << SWG__USED_SHIFT >= idle_ns;
}

static bool may_go(const struct swg__entry *e, bool troubled, uint64_t now_ns) {
    return troubled ? !swg__breaker_is_manual(&e->breaker, now_ns)
                    : swg__breaker_is_spare(&e->breaker, now_ns);
}

static void retire(struct swg_registry *r, struct swg__registry_shard *s, struct swg__entry *e,
                   uint64_t now_ns) {
    struct swg_breaker_stats stats;
    unlink_entry(r, s, e);
    swg_breaker_read(&e->breaker, &stats, now_ns);
    swg__stats_add_totals(&s->gone, &stats);
    if (atomic_load_explicit(&e->breaker.wide, memory_order_relaxed))
        atomic_fetch_sub_explicit(&r->wide, 1, memory_order_relaxed);
    swg__breaker_deinit(&e->breaker);
    free_name(e);
    s->evicted++;
}

static bool evict(struct swg_registry *r, struct swg__registry_shard *s, struct swg__entry *e,
                  uint64_t idle_ns, bool troubled, uint64_t now_ns) {
    uint32_t none = 0;
    if (atomic_load_explicit(&e->references, memory_order_relaxed) != 0 ||
        !is_idle(e, idle_ns, now_ns))
        return false;
    if (!atomic_compare_exchange_strong_explicit(&e->references, &none, SWG__GONE,
                                                 memory_order_acquire, memory_order_relaxed))
        return false;
    if (!may_go(e, troubled, now_ns)) {
        atomic_store_explicit(&e->references, 0, memory_order_release);
        return false;
    }
    retire(r, s, e, now_ns);
    return true;
}

bool swg__shard_evict(struct swg_registry *r, struct swg__registry_shard *s, struct swg__entry *e,
                      uint64_t idle_ns, bool troubled, uint64_t now_ns) {
    if (!evict(r, s, e, idle_ns, troubled, now_ns))
        return false;
    give_memory(s, e);
    unreserve(r);
    return true;
}

static struct swg__entry *under_hand(struct swg__registry_shard *s) {
    if (s->hand && ++s->hand_at >= s->hand->used) {
        s->hand = atomic_load_explicit(&s->hand->next, memory_order_relaxed);
        s->hand_at = 0;
    }
    if (!s->hand) {
        s->hand = atomic_load_explicit(&s->slabs, memory_order_relaxed);
        s->hand_at = 0;
    }
    return s->hand ? &s->hand->entries[s->hand_at] : NULL;
}

/* The memory of one that could go; its reservation is the new one's. */
static struct swg__entry *replace_one(struct swg_registry *r, struct swg__registry_shard *s,
                                      uint64_t now_ns) {
    if (r->options.idle_ns == SWG_OFF)
        return NULL;
    for (int looks = 0; looks < SWG__LOOKS; looks++) {
        struct swg__entry *e = under_hand(s);
        if (!e)
            return NULL;
        if (evict(r, s, e, r->options.idle_ns, false, now_ns))
            return e;
    }
    return NULL;
}

/* ---- insert ---- */

static enum swg_error set_name(struct swg__entry *e, const struct swg__name *name) {
    char *at = e->name.few;
    if (name->length > SWG__NAME_FEW) {
        at = e->name.many = calloc(1, name->length);
        if (!at)
            return SWG_ERR_NOMEM;
    }
    if (name->length)
        memcpy(at, name->at, name->length);
    e->name_length = (uint32_t)name->length;
    return SWG_OK;
}

static enum swg_error fill(struct swg_registry *r, struct swg__entry *e,
                           const struct swg__name *name, uint64_t now_ns) {
    enum swg_error error = set_name(e, name);
    if (error)
        return error;
    error = swg__entry_begin(r, e, name->hash, now_ns);
    if (error)
        free_name(e);
    return error;
}

static void link_entry(const struct swg_registry *r, struct swg__registry_shard *s,
                       struct swg__entry *e, uint64_t hash) {
    struct swg__entry *_Atomic *chain = &s->chains[hash & r->chain_mask];
    atomic_store_explicit(&e->hash, hash, memory_order_relaxed);
    atomic_store_explicit(&e->references, 1, memory_order_release);
    atomic_store_explicit(&e->next, atomic_load_explicit(chain, memory_order_relaxed),
                          memory_order_release);
    atomic_store_explicit(chain, e, memory_order_release);
    s->created++;
}

enum swg_error swg__shard_insert(struct swg_registry *r, struct swg__registry_shard *s,
                                 const struct swg__name *name, uint64_t now_ns,
                                 struct swg__entry **out) {
    struct swg__entry *e;
    *out = NULL;
    if (reserve(r)) {
        e = take_memory(s);
        if (!e) {
            unreserve(r);
            return SWG_ERR_NOMEM;
        }
    } else {
        e = replace_one(r, s, now_ns);
        if (!e)
            return SWG_ERR_FULL;
    }
    enum swg_error error = fill(r, e, name, now_ns);
    if (error) {
        give_memory(s, e);
        unreserve(r);
        return error;
    }
    link_entry(r, s, e, name->hash);
    *out = e;
    return SWG_OK;
}
