/* registry_walk.c - what is done to all breakers of a registry: visits, ticks,
 * new options, sums.
 *
 * A walk needs no lock: slabs are never freed, and an entry that can be taken
 * is in use. It takes a reference to each in turn, so that listeners and
 * visitors run outside all locks and may hold, release and evict. */
#include "engine/registry_priv.h"

#include <assert.h>
#include <stdlib.h>

/* ---- visits ---- */

typedef void visit_entry(struct swg_registry *, struct swg__entry *, void *arg);

static void walk(struct swg_registry *r, visit_entry *visit, void *arg) {
    for (uint32_t i = 0; i < r->shard_count; i++) {
        struct swg__slab *slab = atomic_load_explicit(&r->shards[i].slabs, memory_order_acquire);
        for (; slab; slab = atomic_load_explicit(&slab->next, memory_order_acquire)) {
            uint32_t used = atomic_load_explicit(&slab->used, memory_order_acquire);
            for (uint32_t k = 0; k < used; k++) {
                if (!swg__entry_take(&slab->entries[k]))
                    continue;
                visit(r, &slab->entries[k], arg);
                swg__entry_put(&slab->entries[k]);
            }
        }
    }
    for (unsigned i = 0; i < SWG__SHARED; i++)
        visit(r, &r->shared_entries[i], arg);
}

struct visit {
    swg_registry_visitor *visitor;
    void *arg;
};

static void visit_one(struct swg_registry *r, struct swg__entry *e, void *arg) {
    const struct visit *v = arg;
    size_t length;
    const char *name = swg_registry_name(&e->breaker, &length);
    v->visitor(v->arg, name, length, &e->breaker);
}

void swg_registry_each(struct swg_registry *r, swg_registry_visitor *visitor, void *arg) {
    struct visit v = {visitor, arg};
    walk(r, visit_one, &v);
}

/* ---- tick ---- */

/* A slim breaker that many threads use makes them meet at one cache line. */
static void widen_if_busy(struct swg_registry *r, struct swg__entry *e) {
    uint32_t successes = (uint32_t)swg__get(&e->breaker.home.successes);
    uint32_t more = successes - e->busy;
    e->busy = successes;
    if (more < SWG__BUSY || swg__is_wide(&e->breaker) ||
        atomic_load_explicit(&r->wide, memory_order_relaxed) >= SWG__WIDE_MAX)
        return;
    swg__breaker_widen(&e->breaker);
    if (swg__is_wide(&e->breaker))
        atomic_fetch_add_explicit(&r->wide, 1, memory_order_relaxed);
}

static void tick_one(struct swg_registry *r, struct swg__entry *e, void *arg) {
    const uint64_t *now_ns = arg;
    /* time alone changes nothing that is closed, automatic and not ramping */
    if (swg__control(&e->breaker) & (SWG__STATE | SWG__MANUAL | SWG__RAMP))
        swg_breaker_tick(&e->breaker, *now_ns);
    widen_if_busy(r, e);
}

void swg_registry_tick(struct swg_registry *r, uint64_t now_ns) {
    /* Somebody ticks already: then that is enough; and a listener that ticks must
     * not wait for itself. */
    if (pthread_mutex_trylock(&r->configure_lock) != 0)
        return;
    walk(r, tick_one, &now_ns);
    pthread_mutex_unlock(&r->configure_lock);
}

/* ---- trim ---- */

static uint32_t trim_slab(struct swg_registry *r, struct swg__registry_shard *s,
                          struct swg__slab *slab, uint64_t idle_ns, bool troubled,
                          uint64_t now_ns) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < slab->used; i++)
        count += swg__shard_evict(r, s, &slab->entries[i], idle_ns, troubled, now_ns);
    return count;
}

/* The lock is given back between slabs, so that new names do not wait long. */
void swg_registry_trim(struct swg_registry *r, uint64_t idle_ns, bool troubled, uint64_t now_ns,
                       uint32_t *count) {
    uint32_t sum = 0;
    for (uint32_t i = 0; i < r->shard_count; i++) {
        struct swg__registry_shard *s = &r->shards[i];
        struct swg__slab *slab = atomic_load_explicit(&s->slabs, memory_order_acquire);
        for (; slab; slab = atomic_load_explicit(&slab->next, memory_order_acquire)) {
            pthread_mutex_lock(&s->lock);
            sum += trim_slab(r, s, slab, idle_ns, troubled, now_ns);
            pthread_mutex_unlock(&s->lock);
        }
    }
    if (count)
        *count = sum;
}

/* ---- new options ---- */

/* One that is held, and what it will be. */
struct pending {
    struct swg__entry *entry;
    struct swg__breaker_change change;
};

struct pendings {
    struct pending *at;
    uint32_t count;
    struct swg__rules *rules;
    enum swg_error error;
};

static void lock_all(struct swg_registry *r) {
    for (uint32_t i = 0; i < r->shard_count; i++)
        pthread_mutex_lock(&r->shards[i].lock);
}

static void unlock_all(struct swg_registry *r) {
    for (uint32_t i = r->shard_count; i > 0; i--)
        pthread_mutex_unlock(&r->shards[i - 1].lock);
}

static void prepare_one(struct swg_registry *r, struct swg__entry *e, void *arg) {
    struct pendings *all = arg;
    if (all->error)
        return;
    struct pending *p = &all->at[all->count];
    all->error = swg__breaker_prepare_shared(&p->change, all->rules);
    if (all->error)
        return;
    if (!swg__entry_take(e)) { /* as many holders as can be: let it be */
        swg__breaker_discard(&p->change);
        return;
    }
    p->entry = e;
    all->count++;
}

/* With all shards locked no entry comes or goes; so each is either prepared here,
 * or comes later and finds the new rules. */
static void prepare_all(struct swg_registry *r, struct pendings *all) {
    lock_all(r);
    uint32_t entries = swg_registry_entries(r) + SWG__SHARED;
    all->at = calloc(entries, sizeof(*all->at));
    if (all->at)
        walk(r, prepare_one, all);
    else
        all->error = SWG_ERR_NOMEM;
    if (!all->error) {
        swg__rules_release(r->rules);
        r->rules = swg__rules_hold(all->rules);
    }
    unlock_all(r);
}

enum swg_error swg_registry_configure(struct swg_registry *r,
                                      const struct swg_breaker_options *options, uint64_t now_ns) {
    struct pendings all = {0};
    enum swg_error error = swg__rules_create(&all.rules, options);
    if (error)
        return error;
    pthread_mutex_lock(&r->configure_lock);
    prepare_all(r, &all);
    for (uint32_t i = 0; i < all.count; i++) {
        struct pending *p = &all.at[i];
        if (!all.error)
            swg__breaker_commit(&p->entry->breaker, &p->change, now_ns);
        swg__breaker_discard(&p->change);
        swg__entry_put(p->entry);
    }
    pthread_mutex_unlock(&r->configure_lock);
    swg__rules_release(all.rules);
    free(all.at);
    return all.error;
}

/* ---- sums ---- */

struct reading {
    struct swg_registry_stats *out;
    uint64_t now_ns;
};

static void read_one(struct swg_registry *r, struct swg__entry *e, void *arg) {
    const struct reading *reading = arg;
    struct swg_registry_stats *out = reading->out;
    struct swg_breaker_stats s;
    swg_breaker_read(&e->breaker, &s, reading->now_ns);
    swg__stats_add(&out->total, &s);
    if (swg_registry_name(&e->breaker, NULL)) {
        out->states[s.state]++;
        out->manual += s.manual != SWG_AUTOMATIC;
    }
}

static void read_shard(struct swg__registry_shard *s, struct swg_registry_stats *out) {
    pthread_mutex_lock(&s->lock);
    out->created += s->created;
    out->evicted += s->evicted;
    swg__stats_add_totals(&out->total, &s->gone);
    pthread_mutex_unlock(&s->lock);
}

void swg_registry_read(struct swg_registry *r, struct swg_registry_stats *out, uint64_t now_ns) {
    struct reading reading = {out, now_ns};
    *out = (struct swg_registry_stats){.entries = swg_registry_entries(r), .max = r->options.max};
    out->wide = atomic_load_explicit(&r->wide, memory_order_relaxed);
    out->shared = atomic_load_explicit(&r->shared, memory_order_relaxed);
    out->refused_full = atomic_load_explicit(&r->refused_full, memory_order_relaxed);
    for (uint32_t i = 0; i < r->shard_count; i++)
        read_shard(&r->shards[i], out);
    walk(r, read_one, &reading);
}

/* ---- check ---- */

static uint32_t check_chain(const struct swg__entry *e, uint32_t chain, uint32_t mask) {
    uint32_t count = 0;
    for (; e; e = atomic_load_explicit(&e->next, memory_order_relaxed)) {
        assert((e->hash & mask) == chain);
        assert(!(e->references & SWG__GONE));
        swg_breaker_check(&e->breaker);
        count++;
    }
    return count;
}

static uint32_t count_slabs(const struct swg__registry_shard *s, uint32_t *gone) {
    uint32_t count = 0;
    const struct swg__slab *slab = s->slabs;
    for (; slab; slab = slab->next) {
        for (uint32_t i = 0; i < slab->used; i++, count++)
            *gone += slab->entries[i].references == SWG__GONE;
    }
    return count;
}

static uint32_t count_free(const struct swg__registry_shard *s) {
    uint32_t count = 0;
    for (const struct swg__entry *e = s->free; e; e = e->next, count++)
        assert(e->references == SWG__GONE && e->name_length == 0);
    return count;
}

void swg_registry_check(struct swg_registry *r) {
    uint32_t sum = 0;
    lock_all(r);
    for (uint32_t i = 0; i < r->shard_count; i++) {
        const struct swg__registry_shard *s = &r->shards[i];
        uint32_t gone = 0, linked = 0;
        for (uint32_t c = 0; c <= r->chain_mask; c++)
            linked += check_chain(s->chains[c], c, r->chain_mask);
        assert(count_slabs(s, &gone) == linked + gone);
        assert(count_free(s) == gone);
        sum += linked;
    }
    assert(sum == swg_registry_entries(r) && sum <= r->options.max);
    unlock_all(r);
    for (unsigned i = 0; i < SWG__SHARED; i++)
        swg_breaker_check(&r->shared_entries[i].breaker);
}
