/* registry_priv.h - the layout of a registry, and what its files share.
 *
 *   registry.c         create, hold, find, release: the paths without a lock
 *   registry_table.c   one shard of the table, under its lock: insert, evict
 *   registry_walk.c    each, tick, trim, configure, read, check
 *
 * How a name is found without a lock. An entry's memory is never freed and never
 * anything but an entry of its shard, until destroy. A reader may therefore
 * follow pointers into an entry that is being evicted, or has become another
 * name's: it trusts nothing but what it finds after it has taken a reference,
 * which is only given while the entry is in use. Then it compares the name, and
 * if that is another one, goes on. A reader led astray by an entry that moved to
 * another chain may miss a name that is there; a miss is asked again under the
 * lock, so that does no harm.
 *
 * Chosen over epochs and hazard pointers because nothing is ever waiting to be
 * freed: the bound on memory holds at every moment, whatever threads do.
 *
 * Lock arrow: shard (several: by ascending number) → breaker. */
#ifndef SWG_ENGINE_REGISTRY_PRIV_H
#define SWG_ENGINE_REGISTRY_PRIV_H

#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stddef.h>

#include <switchgear/registry.h>

#include "engine/breaker_priv.h"

enum {
    SWG__SHARDS_MAX = 32, /* check() holds all their locks: tools that watch locks know 64 */
    SWG__SLAB = 32,       /* entries a piece of memory */
    SWG__NAME_FEW = 24,   /* bytes of a name that need no memory of their own */
    SWG__STRIPES = 128,   /* locks that the breakers share */
    SWG__SHARED = 64,     /* breakers for names that have none */
    SWG__LOOKS = 64,      /* entries looked at to find one that can go */
    SWG__HOPS = 64,       /* a reader that came so far is lost, and asks under the lock */
    SWG__WIDE_MAX = 1024, /* breakers widened for being busy */
    SWG__BUSY = 100000,   /* successes between two ticks that make it so */
    SWG__USED_SHIFT = 24, /* time of use is kept in units of 17 ms */
};

/* references: this bit means "not to be taken": free, or being evicted. */
#define SWG__GONE        UINT32_C(0x80000000)
#define SWG__HOLDERS_MAX UINT32_C(0x7ffffff0)

struct swg__entry {
    /* In its chain, or the list of free ones. Written under the shard's lock, with
     * release after what it points to is filled; read by anybody, with acquire. */
    struct swg__entry *_Atomic next;
    /* Written before references is released, read by anybody: relaxed, it is only
     * a hint of what to look at. */
    _Atomic uint64_t hash;
    /* Holders. Any thread adds (acquire: it sees the entry filled) and takes off
     * (release: whoever evicts sees its work done). Evicting turns 0 into GONE, so
     * a holder and an eviction never both succeed. */
    _Atomic uint32_t references;
    /* Time of the last hold, in units. Written by holders when it differs, read by
     * evictions: relaxed, a moment more or less does not matter. */
    _Atomic uint32_t used;
    /* The rest is for holders and the shard's lock. */
    struct swg_breaker breaker;
    uint32_t name_length;
    uint32_t busy; /* successes at the last tick, modulo 2^32; for the one that ticks */
    union {
        char few[SWG__NAME_FEW];
        char *many;
    } name;
};

/* Lists of slabs only grow: `next` and `used` are written under the shard's lock
 * with release, and read by walks with acquire. */
struct swg__slab {
    struct swg__slab *_Atomic next;
    atomic_uint used; /* entries from the first that were ever in use */
    struct swg__entry entries[SWG__SLAB];
};

struct swg__registry_shard {
    alignas(2 * SWG__LINE) pthread_mutex_t lock;
    struct swg__entry *_Atomic *chains; /* of chain_mask + 1; as `next` of entries */
    struct swg__slab *_Atomic slabs;    /* the oldest first, where the hand begins */
    struct swg__slab *last;
    struct swg__entry *free;
    struct swg__slab *hand; /* where the search for one that can go stands */
    uint32_t hand_at;
    uint64_t created, evicted;
    struct swg_breaker_stats gone; /* sums over those evicted */
};

struct swg__stripe {
    alignas(SWG__LINE) pthread_mutex_t lock;
    struct swg_registry *registry;
};

struct swg_registry {
    struct swg_registry_options options; /* filled in */
    uint64_t key[2];
    uint32_t shard_count, chain_mask;
    struct swg__rules *rules;        /* guarded by every shard's lock: written under all of them */
    swg_registry_listener *listener; /* set before the first hold */
    void *listener_arg;
    pthread_mutex_t configure_lock; /* one configure or tick at a time; before all others */

    /* Entries in use, at most options.max: added to by compare and swap, so it is
     * never overshot. Any thread reads: relaxed. */
    _Atomic uint32_t entries;
    _Atomic uint32_t wide;                 /* breakers widened; under configure_lock or a shard's */
    _Atomic uint64_t shared, refused_full; /* counted by any thread: relaxed */
    struct swg__stripe stripes[SWG__STRIPES];
    struct swg__entry shared_entries[SWG__SHARED];
    struct swg__registry_shard shards[];
};

static inline struct swg__entry *swg__entry_of(struct swg_breaker *b) {
    return (struct swg__entry *)((char *)b - offsetof(struct swg__entry, breaker));
}
static inline struct swg_registry *swg__registry_of(const struct swg_breaker *b) {
    return ((const struct swg__stripe *)(const void *)b->lock)->registry;
}
static inline const char *swg__entry_name(const struct swg__entry *e) {
    return e->name_length <= SWG__NAME_FEW ? e->name.few : e->name.many;
}

/* One more holder; false: it is gone, or has more than it can count. */
static inline bool swg__entry_take(struct swg__entry *e) {
    uint32_t n = atomic_load_explicit(&e->references, memory_order_relaxed);
    do {
        if (n >= SWG__HOLDERS_MAX)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&e->references, &n, n + 1, memory_order_acquire,
                                                    memory_order_relaxed));
    return true;
}
static inline void swg__entry_put(struct swg__entry *e) {
    atomic_fetch_sub_explicit(&e->references, 1, memory_order_release);
}

/* ---- registry_table.c: under the shard's lock ---- */

struct swg__name {
    const char *at;
    size_t length;
    uint64_t hash;
};

enum swg_error swg__shard_init(struct swg__registry_shard *, uint32_t chains);
void swg__shard_deinit(struct swg__registry_shard *);
struct swg__entry *swg__shard_find(const struct swg_registry *, struct swg__registry_shard *,
                                   const struct swg__name *);
/* A new entry for the name, held once; SWG_ERR_FULL, SWG_ERR_NOMEM. */
enum swg_error swg__shard_insert(struct swg_registry *, struct swg__registry_shard *,
                                 const struct swg__name *, uint64_t now_ns,
                                 struct swg__entry **out);
/* Takes the entry out of the table if nobody holds it and it is idle, and clean
 * unless `troubled`. */
bool swg__shard_evict(struct swg_registry *, struct swg__registry_shard *, struct swg__entry *,
                      uint64_t idle_ns, bool troubled, uint64_t now_ns);

/* ---- registry.c ---- */

/* Fills the breaker of an entry whose lock is that of the hash. */
enum swg_error swg__entry_begin(struct swg_registry *, struct swg__entry *, uint64_t hash,
                                uint64_t now_ns);
static inline void swg__entry_touch(struct swg__entry *e, uint64_t now_ns) {
    uint32_t used = (uint32_t)(now_ns >> SWG__USED_SHIFT);
    if (atomic_load_explicit(&e->used, memory_order_relaxed) != used)
        atomic_store_explicit(&e->used, used, memory_order_relaxed);
}

#endif
