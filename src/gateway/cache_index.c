/* cache_index.c - what one shard holds: entries by key, their eviction order,
 * and the flights under way. Everything here runs under the shard's lock, but
 * for cache_evict_one(), which takes it. */
#include "gateway/cache_priv.h"

#include <stdlib.h>

#include "base/random.h"

/* So many entries in use are passed over before another shard is asked. */
enum { SPARES_MAX = 16 };

/* ---- places ------------------------------------------------------------ */

/* The key is a SHA-256 of what a client sent, so a client could search for
 * keys that share a bucket; it cannot when the place depends on a secret. */
uint64_t cache_hash(const struct cache *c, const struct cache_key *key) {
    uint64_t words[2];
    memcpy(words, key->bytes, sizeof(words));
    unsigned __int128 product =
        (unsigned __int128)(words[0] ^ c->seed[0]) * (words[1] ^ c->seed[1]);
    return random_mix((uint64_t)(product >> 64) ^ (uint64_t)product);
}

/* Different bits than those that choose a bucket. */
struct cache_shard *cache_shard_of(struct cache *c, uint64_t hash) {
    return &c->shards[(hash >> 40) & (c->shard_count - 1)];
}

static struct cache_entry **bucket_of(struct cache_shard *s, uint64_t hash) {
    return &s->buckets[(uint32_t)hash & s->bucket_mask];
}

static struct cache_flight **flights_of(struct cache_shard *s, uint64_t hash) {
    return &s->flights[(uint32_t)hash % CACHE_FLIGHT_BUCKETS];
}

static struct cache_entry *evict_here(struct cache_shard *);

/* ---- entries ----------------------------------------------------------- */

static bool is_variant_of(const struct cache_entry *e, uint64_t hash, const struct cache_key *key) {
    return e->order.hash == hash && cache_key_equal(&e->key, key);
}

/* `at` is the link that leads to it. */
static void drop(struct cache_shard *s, struct cache_entry **at) {
    struct cache_entry *e = *at;
    *at = e->next;
    swg__s3_remove(&s->order, &e->order);
    cache_entry_release(e);
}

struct cache_entry *cache_index_find(struct cache_shard *s, uint64_t hash,
                                     const struct cache_key *key,
                                     const struct cache_request *request, uint64_t now_ns) {
    struct cache_entry *newest = NULL;
    for (struct cache_entry **at = bucket_of(s, hash), *e; (e = *at) != NULL;) {
        if (!is_variant_of(e, hash, key)) {
            at = &e->next;
            continue;
        }
        if (swg__freshness_over(&e->life, now_ns)) {
            drop(s, at);
            continue;
        }
        if ((!newest || cache_entry_born_ns(e) > cache_entry_born_ns(newest)) &&
            cache_vary_matches(cache_entry_varied(e), request))
            newest = e;
        at = &e->next;
    }
    return newest;
}

uint32_t cache_index_remove_all(struct cache_shard *s, uint64_t hash, const struct cache_key *key) {
    uint32_t removed = 0;
    for (struct cache_entry **at = bucket_of(s, hash); *at;) {
        if (is_variant_of(*at, hash, key)) {
            drop(s, at);
            removed++;
        } else {
            at = &(*at)->next;
        }
    }
    return removed;
}

/* Whether `e`, which came later, will be selected wherever `old` would be. */
static bool supersedes(const struct cache_entry *e, const struct cache_entry *old) {
    return !e->varied_len || bytes_equal(cache_entry_varied(e), cache_entry_varied(old));
}

/* Drops what the new entry supersedes, and the oldest of too many variants. */
static void make_place(struct cache_shard *s, const struct cache_entry *e) {
    struct cache_entry **oldest = NULL;
    uint32_t variants = 0;
    for (struct cache_entry **at = bucket_of(s, e->order.hash), *old; (old = *at) != NULL;) {
        bool variant = is_variant_of(old, e->order.hash, &e->key);
        if (variant && supersedes(e, old)) {
            drop(s, at);
            continue;
        }
        if (variant) {
            variants++;
            if (!oldest || cache_entry_born_ns(old) < cache_entry_born_ns(*oldest))
                oldest = at;
        }
        at = &old->next;
    }
    /* Links before a dropped entry stay, so this one still leads to its entry. */
    if (variants >= CACHE_VARIANTS_MAX)
        drop(s, oldest);
}

/* Doubles the buckets when chains grow; where there is no room they stay. */
static void grow(struct cache *c, struct cache_shard *s) {
    uint32_t count = s->bucket_mask + 1;
    if (swg__s3_count(&s->order) <= count || count > UINT32_MAX / 4)
        return;
    size_t before = memory_cost(count * sizeof(*s->buckets));
    size_t after = memory_cost(2 * count * sizeof(*s->buckets));
    if (!memory_charge(c->memory, after))
        return;
    struct cache_entry **old = s->buckets, **buckets = calloc(2 * count, sizeof(*buckets));
    if (!buckets) {
        memory_uncharge(c->memory, after);
        return;
    }
    s->buckets = buckets;
    s->bucket_mask = 2 * count - 1;
    for (uint32_t i = 0; i < count; i++) {
        for (struct cache_entry *e = old[i], *next; e; e = next) {
            next = e->next;
            struct cache_entry **to = bucket_of(s, e->order.hash);
            e->next = *to;
            *to = e;
        }
    }
    free(old);
    memory_uncharge(c->memory, before);
}

/* Those in use are spared, so that for moments there may be some more. */
static void make_number(struct cache_shard *s, uint32_t entries_max) {
    while (swg__s3_count(&s->order) >= entries_max) {
        struct cache_entry *e = evict_here(s);
        if (!e)
            return;
        cache_entry_release(e);
    }
}

void cache_index_insert(struct cache *c, struct cache_shard *s, struct cache_entry *e) {
    uint64_t hash = cache_hash(c, &e->key);
    e->order.hash = hash;
    make_place(s, e);
    make_number(s, atomic_load_explicit(&c->shard_entries_max, memory_order_relaxed));
    struct cache_entry **to = bucket_of(s, hash);
    e->next = *to;
    *to = e;
    swg__s3_add(&s->order, &e->order, hash, memory_block_cost(memory_block_of(e)));
    grow(c, s);
}

uint64_t cache_index_variant(struct cache_shard *s, uint64_t hash, const struct cache_key *key,
                             const struct cache_request *request) {
    for (const struct cache_entry *e = *bucket_of(s, hash); e; e = e->next)
        if (e->varied_len && is_variant_of(e, hash, key))
            return cache_vary_hash(cache_entry_varied(e), request);
    return 0;
}

/* ---- eviction ---------------------------------------------------------- */

static void unlink_entry(struct cache_shard *s, struct cache_entry *e) {
    struct cache_entry **at = bucket_of(s, e->order.hash);
    while (*at != e)
        at = &(*at)->next;
    *at = e->next;
}

/* Entries that somebody is sending are spared: their memory would not come
 * back now, and they are in use by any measure. */
static struct cache_entry *evict_here(struct cache_shard *s) {
    for (int spared = 0; spared < SPARES_MAX; spared++) {
        struct swg__s3_node *n = swg__s3_evict(&s->order);
        if (!n)
            return NULL;
        struct cache_entry *e = container_of(n, struct cache_entry, order);
        if (memory_block_alone(memory_block_of(e))) {
            unlink_entry(s, e);
            s->stats.evictions++;
            return e;
        }
        swg__s3_spare(&s->order, n);
    }
    return NULL;
}

bool cache_evict_one(struct cache *c, struct cache_shard *first) {
    uint32_t n = c->shard_count, from = (uint32_t)(first - c->shards);
    /* First from a shard that has its share or more, so that all keep the same
     * chance; then from any that has something. */
    for (uint32_t i = 0; i < 2 * n; i++) {
        struct cache_shard *s = &c->shards[(from + i) & (n - 1)];
        size_t share = memory_used(c->memory) / n;
        pthread_mutex_lock(&s->lock);
        bool rich = swg__s3_cost(&s->order) >= share;
        struct cache_entry *e = rich || i >= n ? evict_here(s) : NULL;
        pthread_mutex_unlock(&s->lock);
        if (e) {
            cache_entry_release(e);
            return true;
        }
    }
    return false;
}

/* ---- flights ----------------------------------------------------------- */

struct cache_flight *cache_index_flight(struct cache_shard *s, uint64_t hash,
                                        const struct cache_key *key, uint64_t variant) {
    for (struct cache_flight *f = *flights_of(s, hash); f; f = f->next)
        if (f->open && f->hash == hash && f->variant == variant && cache_key_equal(&f->key, key))
            return f;
    return NULL;
}

void cache_index_doom_all(struct cache_shard *s, uint64_t hash, const struct cache_key *key) {
    for (struct cache_flight *f = *flights_of(s, hash); f; f = f->next) {
        if (f->hash != hash || !cache_key_equal(&f->key, key))
            continue;
        f->doomed = true;
        f->open = false;
    }
}

void cache_index_add_flight(struct cache_shard *s, struct cache_flight *f) {
    struct cache_flight **to = flights_of(s, f->hash);
    f->next = *to;
    *to = f;
    s->flight_count++;
}

void cache_index_remove_flight(struct cache_shard *s, struct cache_flight *f) {
    struct cache_flight **at = flights_of(s, f->hash);
    while (*at != f)
        at = &(*at)->next;
    *at = f->next;
    s->flight_count--;
}
