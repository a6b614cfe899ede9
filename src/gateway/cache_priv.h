/* cache_priv.h - the layout of the cache, for its own files.
 *
 *   cache ─▶ shards, chosen by the key's hash; each a lock and, under it,
 *              entries: buckets of chains, an eviction order
 *              flights: buckets of chains
 *              marks: what is known to be unshared
 *         ─▶ memory: one account for all shards
 *
 * Locks: a shard's lock is a leaf and only one is held at a time. Memory is
 * taken without a lock where it may need evicting, because the victim may be
 * in any shard. */
#ifndef SWG_GATEWAY_CACHE_PRIV_H
#define SWG_GATEWAY_CACHE_PRIV_H

#include <pthread.h>
#include <stdatomic.h>

#include "engine/s3fifo.h"
#include "gateway/cache.h"
#include "store/memory.h"

enum {
    CACHE_SHARDS_MAX = 64,
    CACHE_FLIGHT_BUCKETS = 64, /* of one shard */
    CACHE_MARKS = 64,          /* of one shard */
    CACHE_VARIANTS_MAX = 16,   /* entries with one key */
    CACHE_VARIED_NAMES_MAX = 16,
    CACHE_VARIED_BYTES_MAX = 8 * 1024,
};

/* The owner part of a memory block, whose bytes are: varied, etag, lines, body.
 * After commit only `order` and `next` change, under the shard's lock. */
struct cache_entry {
    struct swg__s3_node order;
    struct cache_entry *next; /* in its bucket */
    struct cache_key key;
    struct swg__freshness life;
    int64_t last_modified_s;
    bool has_last_modified;
    int status;
    uint32_t varied_len, etag_len, lines_len;
};

struct cache_flight {
    /* under the shard's lock */
    struct swg__flight waiting;
    struct cache_flight *next; /* in its bucket */
    bool open;                 /* others can join */
    bool doomed;               /* invalidated: its answer is not stored; never open */
    bool refreshes;            /* for what is served stale meanwhile; set when it is led */
    bool varies;               /* its answer has turned out to be one of several */
    /* fixed */
    struct cache *cache;
    struct cache_shard *shard;
    struct cache_key key;
    uint64_t hash;
    uint64_t variant; /* of the leader's request, as far as known when it began */
    /* the leader's */
    struct memory_block *fill;
    uint64_t length; /* of the body, if known beforehand */
};

struct cache_shard {
    _Alignas(64) pthread_mutex_t lock; /* guards all below; nothing is called under it */
    struct cache_entry **buckets;
    uint32_t bucket_mask;
    struct cache_flight *flights[CACHE_FLIGHT_BUCKETS];
    uint32_t flight_count;
    struct swg__s3 order;
    struct swg__s3_ghost *ghosts;
    struct swg__flight_marks marks;
    struct swg__flight_mark mark_places[CACHE_MARKS];
    struct cache_stats stats; /* counters only */
};

struct cache {
    struct memory *memory;
    /* Set by resize, read by fills; either value will do for a fill that is
     * under way. Relaxed. */
    atomic_size_t entry_max;
    /* Entries that one shard may have. Set by limit_entries, read by inserts; the
     * same. Relaxed. */
    atomic_uint shard_entries_max;
    uint64_t seed[2]; /* secret: places in tables cannot be chosen from outside */
    uint32_t shard_count;
    struct cache_shard *shards;
};

/* When the answer was made, on the monotonic clock, perhaps before its zero. */
static inline int64_t cache_entry_born_ns(const struct cache_entry *e) {
    return (int64_t)(e->life.at_ns - e->life.age_ns);
}

enum waiter_state {
    WAITER_IDLE,   /* never queued; zero */
    WAITER_QUEUED, /* in a flight's list */
    WAITER_WOKEN,  /* on_ready is due or was called; looks up again */
    WAITER_LEADS,  /* the same, and leads waiter->flight then */
    WAITER_RETRY,  /* woken, and may wait once more */
    WAITER_GONE,   /* left after it was woken */
    WAITER_DONE,   /* has waited and looked up */
};

/* ---- cache_index.c: what a shard holds. All under its lock. -------------- */

uint64_t cache_hash(const struct cache *, const struct cache_key *);
struct cache_shard *cache_shard_of(struct cache *, uint64_t hash);

/* The newest entry for this request; drops those that are over on the way. */
struct cache_entry *cache_index_find(struct cache_shard *, uint64_t hash, const struct cache_key *,
                                     const struct cache_request *, uint64_t now_ns);
/* Takes over the caller's reference, and replaces what the entry supersedes. */
void cache_index_insert(struct cache *, struct cache_shard *, struct cache_entry *);
/* All variants of the key; how many there were. */
uint32_t cache_index_remove_all(struct cache_shard *, uint64_t hash, const struct cache_key *);
/* Tells the variants of a key apart as far as those known differ; 0: all alike. */
uint64_t cache_index_variant(struct cache_shard *, uint64_t hash, const struct cache_key *,
                             const struct cache_request *);

/* The flight that a request for this can join, or NULL. */
struct cache_flight *cache_index_flight(struct cache_shard *, uint64_t hash,
                                        const struct cache_key *, uint64_t variant);
void cache_index_doom_all(struct cache_shard *, uint64_t hash, const struct cache_key *);
void cache_index_add_flight(struct cache_shard *, struct cache_flight *);
void cache_index_remove_flight(struct cache_shard *, struct cache_flight *);

/* Takes and gives back the locks of shards, one after the other; the caller
 * holds none. False: nothing can be evicted now. */
bool cache_evict_one(struct cache *, struct cache_shard *first);

/* ---- cache_vary.c: the request fields an entry was selected by ----------- */

/* Appends the comparable form of what `answer` varies on, as `request` has it. */
int cache_vary_write(struct memory_block **, const struct cache_answer *,
                     const struct cache_request *);
/* Its length beforehand; false: more than can be compared. */
bool cache_vary_measure(const struct cache_answer *, const struct cache_request *, size_t *len);
bool cache_vary_matches(struct bytes varied, const struct cache_request *);
/* Whether bytes from outside can be compared and hashed. */
bool cache_vary_is_sound(struct bytes varied);
/* A hash of the request's values of those fields; never 0. */
uint64_t cache_vary_hash(struct bytes varied, const struct cache_request *);

/* Beside a key's own mark stands, under this, that a refresh came to nothing. */
static inline uint64_t cache_refresh_hash(uint64_t hash) {
    return hash ^ UINT64_C(0x9e3779b97f4a7c15);
}

/* ---- cache_flight.c: beginnings and ends of flights --------------------- */

/* Evicts for it where it must; NULL: no room. Nobody knows it yet. */
struct cache_flight *cache_flight_create(struct cache *, struct cache_shard *, uint64_t hash,
                                         const struct cache_key *);
void cache_flight_free(struct cache_flight *);
/* Its leader is done with it and has dropped the fill; the shard is locked.
 * Ends it or hands it on, unlocks, frees it when it is over, and then calls
 * those who are woken. */
void cache_flight_end_unlock(struct cache_flight *, enum swg__flight_end);
/* Lets those who wait go and nobody join any more, while the leader goes on.
 * The shard is locked; unlocks, then calls. */
void cache_flight_close_unlock(struct cache_flight *);

static inline struct bytes cache_entry_varied(const struct cache_entry *e) {
    const struct memory_block *b = memory_block_of((void *)(uintptr_t)e);
    return (struct bytes){memory_block_bytes(b), e->varied_len};
}

#endif
