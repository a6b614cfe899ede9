/* cache.c - look-ups: what is there, who fetches, who waits.
 *
 * A look-up decides under the shard's lock and acts there, but for one thing:
 * a new flight needs memory, memory may need eviction, and the victim may be
 * in another shard. So a look-up that wants to lead lets go of the lock, makes
 * its flight, and decides again; what was a miss may then be a hit. */
#include "gateway/cache_priv.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

enum {
    ENTRY_SHARE = 8,              /* one entry has at most an eighth */
    SHARD_BYTES_MIN = 512 * 1024, /* rather fewer shards than smaller ones */
    ENTRY_BYTES_USUAL = 4 * 1024, /* what the tables are sized for */
    BUCKETS_MIN = 16,
    BUCKETS_MAX = 1 << 16,
    GHOSTS_PER_BUCKET = 2,
};

/* ---- life -------------------------------------------------------------- */

static uint32_t power_of_two_up_to(size_t n) {
    uint32_t p = 1;
    while (p <= n / 2 && p < BUCKETS_MAX)
        p *= 2;
    return p;
}

static size_t buckets_cost(uint32_t count) {
    return memory_cost(count * sizeof(struct cache_entry *));
}

static size_t ghosts_cost(uint32_t count) {
    return memory_cost(count * sizeof(struct swg__s3_ghost));
}

static size_t shards_cost(uint32_t count) {
    return memory_cost(count * sizeof(struct cache_shard));
}

static int shard_create(struct cache *c, struct cache_shard *s, uint32_t buckets) {
    uint32_t ghosts = GHOSTS_PER_BUCKET * buckets;
    s->buckets = calloc(buckets, sizeof(*s->buckets));
    s->ghosts = calloc(ghosts, sizeof(*s->ghosts));
    if (!s->buckets || !s->ghosts) {
        free(s->buckets);
        free(s->ghosts);
        return -ENOMEM;
    }
    memory_charge(c->memory, buckets_cost(buckets) + ghosts_cost(ghosts));
    s->bucket_mask = buckets - 1;
    swg__s3_init(&s->order, s->ghosts, ghosts);
    swg__flight_marks_init(&s->marks, s->mark_places, CACHE_MARKS);
    pthread_mutex_init(&s->lock, NULL);
    return 0;
}

static void shard_destroy(struct cache *c, struct cache_shard *s) {
    assert(s->flight_count == 0);
    for (struct swg__s3_node *n; (n = swg__s3_evict(&s->order)) != NULL;)
        cache_entry_release(container_of(n, struct cache_entry, order));
    memory_uncharge(c->memory,
                    buckets_cost(s->bucket_mask + 1) + ghosts_cost(s->order.ghost_mask + 1));
    free(s->buckets);
    free(s->ghosts);
    pthread_mutex_destroy(&s->lock);
}

static int create_shards(struct cache *c, size_t bytes_max, uint32_t count) {
    uint32_t buckets = power_of_two_up_to(bytes_max / count / ENTRY_BYTES_USUAL);
    if (buckets < BUCKETS_MIN)
        buckets = BUCKETS_MIN;
    c->shards = aligned_alloc(_Alignof(struct cache_shard), count * sizeof(*c->shards));
    if (!c->shards)
        return -ENOMEM;
    memory_charge(c->memory, shards_cost(count));
    memset(c->shards, 0, count * sizeof(*c->shards));
    int failed = 0;
    for (; !failed && c->shard_count < count; c->shard_count += !failed)
        failed = shard_create(c, &c->shards[c->shard_count], buckets);
    if (!failed)
        return 0;
    while (c->shard_count)
        shard_destroy(c, &c->shards[--c->shard_count]);
    memory_uncharge(c->memory, shards_cost(count));
    free(c->shards);
    return failed;
}

static void set_bound(struct cache *c, size_t bytes_max) {
    memory_resize(c->memory, bytes_max);
    atomic_store_explicit(&c->entry_max, bytes_max / ENTRY_SHARE, memory_order_relaxed);
}

int cache_create(struct cache **out, size_t bytes_max, uint32_t shards) {
    struct cache *c = calloc(1, sizeof(*c));
    if (!c)
        return -ENOMEM;
    /* The tables are charged whatever the bound; it holds for all that comes. */
    int failed = memory_create(&c->memory, SIZE_MAX);
    if (failed) {
        free(c);
        return failed;
    }
    /* Where the kernel gives no secret (it always does, once booted), places in
     * the tables can be guessed, which costs time only. */
    if (getrandom(c->seed, sizeof(c->seed), GRND_NONBLOCK) != sizeof(c->seed))
        c->seed[0] = c->seed[1] = (uint64_t)(uintptr_t)c;
    shards = shards > CACHE_SHARDS_MAX ? CACHE_SHARDS_MAX : power_of_two_up_to(shards);
    while (shards > 1 && bytes_max / shards < SHARD_BYTES_MIN)
        shards /= 2;
    failed = create_shards(c, bytes_max, shards);
    if (failed) {
        memory_destroy(c->memory);
        free(c);
        return failed;
    }
    set_bound(c, bytes_max);
    cache_limit_entries(c, 0);
    *out = c;
    return 0;
}

void cache_destroy(struct cache *c) {
    if (!c)
        return;
    for (uint32_t i = 0; i < c->shard_count; i++)
        shard_destroy(c, &c->shards[i]);
    memory_uncharge(c->memory, shards_cost(c->shard_count));
    memory_destroy(c->memory);
    free(c->shards);
    free(c);
}

void cache_limit_entries(struct cache *c, uint64_t entries_max) {
    uint64_t each = entries_max ? entries_max / c->shard_count : UINT32_MAX;
    each = each < 1 ? 1 : each > UINT32_MAX ? UINT32_MAX : each;
    atomic_store_explicit(&c->shard_entries_max, (unsigned)each, memory_order_relaxed);
}

void cache_resize(struct cache *c, size_t bytes_max) {
    set_bound(c, bytes_max);
    while (memory_used(c->memory) > bytes_max)
        if (!cache_evict_one(c, c->shards))
            break;
}

/* ---- looking up: the decision ------------------------------------------ */

struct look {
    struct cache *cache;
    struct cache_shard *shard;
    const struct cache_key *key;
    const struct cache_request *request;
    struct cache_waiter *waiter; /* NULL: cannot wait */
    uint64_t hash, now_ns;
    struct cache_flight *ready; /* made beforehand, in case we lead */
    bool no_room;               /* for a flight */

    /* what the decision found */
    struct cache_entry *entry;
    uint64_t variant;
    struct cache_flight *under_way; /* somebody's, that can be joined */
    struct cache_flight *ours;      /* that we were named to lead */
};

static bool has_waited(const struct look *l) {
    return l->waiter && (l->waiter->state == WAITER_WOKEN || l->waiter->state == WAITER_LEADS ||
                         l->waiter->state == WAITER_DONE);
}

/* What is known to be unshared is not waited for; but who refreshes what is
 * served meanwhile keeps nobody waiting. A refresh that came to nothing is not
 * tried again by whoever comes next, but after a while. */
static enum swg__flight_role role_of(const struct look *l, bool refresh) {
    const struct cache_request *r = l->request;
    bool leads = !r->alone && !r->ranged && !r->wish.no_store;
    uint64_t mark = refresh ? cache_refresh_hash(l->hash) : l->hash;
    struct swg__flight_facts facts = {
        .under_way = l->under_way != NULL,
        .unshared = swg__flight_marked(&l->shard->marks, mark, l->now_ns),
        .may_lead = leads && !l->no_room,
        .may_wait = leads && !r->wish.no_cache && !r->authorized && l->waiter && !has_waited(l),
    };
    return swg__flight_role(&facts);
}

/* Changes nothing but what it found, so that it can be taken again. */
static enum cache_found decide(struct look *l) {
    enum swg__usable usable = SWG__UNUSABLE;
    l->ours = l->waiter && l->waiter->state == WAITER_LEADS ? l->waiter->flight : NULL;
    l->entry = cache_index_find(l->shard, l->hash, l->key, l->request, l->now_ns);
    if (l->entry)
        usable = swg__freshness_judge(&l->entry->life, &l->request->wish, l->now_ns);
    if (usable == SWG__FRESH)
        return CACHE_FRESH;
    if (usable == SWG__STALE_ACCEPTED)
        return CACHE_STALE;

    l->variant = cache_index_variant(l->shard, l->hash, l->key, l->request);
    l->under_way = l->ours ? NULL : cache_index_flight(l->shard, l->hash, l->key, l->variant);
    enum swg__flight_role role =
        l->ours ? SWG__FLIGHT_LEAD : role_of(l, usable == SWG__STALE_REFRESHED);
    if (usable == SWG__STALE_REFRESHED)
        return role == SWG__FLIGHT_LEAD ? CACHE_STALE_REFRESH : CACHE_STALE;
    if (l->request->wish.only_if_cached)
        return CACHE_UNAVAILABLE;
    if (role == SWG__FLIGHT_LEAD)
        return CACHE_MISS_LEAD;
    return role == SWG__FLIGHT_WAIT ? CACHE_WAIT : CACHE_MISS_ALONE;
}

/* ---- looking up: the deed ---------------------------------------------- */

static bool is_lead(enum cache_found found) {
    return found == CACHE_MISS_LEAD || found == CACHE_STALE_REFRESH;
}

static void count(struct look *l, enum cache_found found) {
    struct cache_stats *stats = &l->shard->stats;
    if (found == CACHE_FRESH && l->waiter && l->waiter->state != WAITER_IDLE) {
        stats->coalesced++;
        return;
    }
    switch (found) {
    case CACHE_FRESH:
        stats->hits_fresh++;
        break;
    case CACHE_STALE:
    case CACHE_STALE_REFRESH:
        stats->hits_stale++;
        break;
    case CACHE_MISS_LEAD:
    case CACHE_MISS_ALONE:
    case CACHE_UNAVAILABLE:
        stats->misses++;
        break;
    case CACHE_WAIT:
        stats->waits++;
        break;
    }
}

static void join(struct look *l) {
    struct cache_waiter *w = l->waiter;
    w->home = l->shard;
    w->state = WAITER_QUEUED;
    list_push_back(&l->under_way->waiting.waiters, &w->link);
}

static struct cache_flight *lead(struct look *l) {
    if (l->ours)
        return l->ours;
    struct cache_flight *f = l->ready;
    l->ready = NULL;
    f->variant = l->variant;
    cache_index_add_flight(l->shard, f);
    return f;
}

/* The shard is locked; unlocks. */
static void act_unlock(struct look *l, enum cache_found found, struct cache_result *out) {
    count(l, found);
    bool served = found == CACHE_FRESH || found == CACHE_STALE || found == CACHE_STALE_REFRESH;
    if (served || (found == CACHE_MISS_LEAD && l->entry)) {
        swg__s3_use(&l->entry->order);
        cache_entry_hold(l->entry);
        out->entry = l->entry;
    }
    if (is_lead(found)) {
        out->flight = lead(l);
        out->flight->refreshes = found == CACHE_STALE_REFRESH;
    }
    if (found == CACHE_WAIT)
        join(l);
    else if (l->waiter && l->waiter->state != WAITER_IDLE)
        l->waiter->state = WAITER_DONE;
    /* Named to lead, but served by what somebody else has stored meanwhile: so
     * may the others be. */
    if (l->ours && !out->flight)
        cache_flight_end_unlock(l->ours, SWG__FLIGHT_STORED);
    else
        pthread_mutex_unlock(&l->shard->lock);
}

enum cache_found cache_look_up(struct cache *c, const struct cache_key *key,
                               const struct cache_request *request, struct cache_waiter *waiter,
                               uint64_t now_ns, struct cache_result *out) {
    struct look l = {.cache = c, .key = key, .request = request, .now_ns = now_ns};
    enum cache_found found;
    l.waiter = waiter;
    l.hash = cache_hash(c, key);
    l.shard = cache_shard_of(c, l.hash);
    *out = (struct cache_result){NULL, NULL};
    for (;;) {
        pthread_mutex_lock(&l.shard->lock);
        found = decide(&l);
        if (!is_lead(found) || l.ours || l.ready)
            break;
        pthread_mutex_unlock(&l.shard->lock);
        l.ready = cache_flight_create(c, l.shard, l.hash, key);
        l.no_room = !l.ready;
    }
    act_unlock(&l, found, out);
    if (l.ready)
        cache_flight_free(l.ready);
    return found;
}

bool cache_leave(struct cache *c, struct cache_waiter *w) {
    struct cache_shard *s = w->home;
    if (!s)
        return true;
    bool ours = true;
    pthread_mutex_lock(&s->lock);
    switch ((enum waiter_state)w->state) {
    case WAITER_QUEUED:
        list_remove(&w->link);
        w->state = WAITER_IDLE;
        break;
    case WAITER_LEADS:
        w->state = WAITER_GONE;
        cache_flight_end_unlock(w->flight, SWG__FLIGHT_CANCELLED);
        return false;
    case WAITER_WOKEN:
    case WAITER_RETRY:
    case WAITER_GONE:
        w->state = WAITER_GONE;
        ours = false;
        break;
    case WAITER_IDLE:
    case WAITER_DONE:
        break;
    }
    pthread_mutex_unlock(&s->lock);
    return ours;
}

/* ---- other questions --------------------------------------------------- */

struct cache_entry *cache_find_stale(struct cache *c, const struct cache_key *key,
                                     const struct cache_request *request, uint64_t max_stale_ns,
                                     bool force, uint64_t now_ns) {
    uint64_t hash = cache_hash(c, key);
    struct cache_shard *s = cache_shard_of(c, hash);
    pthread_mutex_lock(&s->lock);
    struct cache_entry *e = cache_index_find(s, hash, key, request, now_ns);
    if (e && !swg__freshness_on_error(&e->life, max_stale_ns, force, now_ns))
        e = NULL;
    if (e) {
        swg__s3_use(&e->order);
        cache_entry_hold(e);
        if (cache_entry_is_fresh(e, now_ns))
            s->stats.hits_fresh++;
        else
            s->stats.hits_stale++;
    }
    pthread_mutex_unlock(&s->lock);
    return e;
}

void cache_invalidate(struct cache *c, const struct cache_key *key) {
    uint64_t hash = cache_hash(c, key);
    struct cache_shard *s = cache_shard_of(c, hash);
    pthread_mutex_lock(&s->lock);
    s->stats.invalidated += cache_index_remove_all(s, hash, key);
    cache_index_doom_all(s, hash, key);
    pthread_mutex_unlock(&s->lock);
}

/* ---- looking at it ----------------------------------------------------- */

static void add_stats(struct cache_stats *sum, const struct cache_stats *one) {
    sum->hits_fresh += one->hits_fresh;
    sum->hits_stale += one->hits_stale;
    sum->misses += one->misses;
    sum->waits += one->waits;
    sum->coalesced += one->coalesced;
    sum->stored += one->stored;
    sum->evictions += one->evictions;
    sum->invalidated += one->invalidated;
    for (int i = 0; i < SWG__STORABLE_COUNT; i++)
        sum->refused[i] += one->refused[i];
}

void cache_read(struct cache *c, struct cache_stats *out) {
    *out =
        (struct cache_stats){.bytes = memory_used(c->memory), .bytes_max = memory_max(c->memory)};
    for (uint32_t i = 0; i < c->shard_count; i++) {
        struct cache_shard *s = &c->shards[i];
        pthread_mutex_lock(&s->lock);
        out->entries += swg__s3_count(&s->order);
        out->flights += s->flight_count;
        add_stats(out, &s->stats);
        pthread_mutex_unlock(&s->lock);
    }
}

void cache_check(struct cache *c) {
    assert(memory_used(c->memory) <= memory_max(c->memory));
    for (uint32_t i = 0; i < c->shard_count; i++) {
        struct cache_shard *s = &c->shards[i];
        uint32_t entries = 0, flights = 0;
        pthread_mutex_lock(&s->lock);
        swg__s3_check(&s->order);
        for (uint32_t b = 0; b <= s->bucket_mask; b++)
            for (struct cache_entry *e = s->buckets[b]; e; e = e->next, entries++)
                assert(cache_shard_of(c, e->order.hash) == s);
        for (uint32_t b = 0; b < CACHE_FLIGHT_BUCKETS; b++)
            for (struct cache_flight *f = s->flights[b]; f; f = f->next, flights++)
                assert(f->shard == s && !(f->open && f->doomed));
        assert(entries == swg__s3_count(&s->order) && flights == s->flight_count);
        pthread_mutex_unlock(&s->lock);
    }
}
