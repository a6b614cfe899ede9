/* stores.h - the second level of the cache: on a disk, or in a Redis.
 *
 * The cache in memory stays in front of it, with all that makes a cache:
 * coalescing, freshness, variants, eviction. Whoever would fetch for all asks
 * the service's store first; what it has comes into memory, and is judged there
 * as anything else. What is stored in memory is stored there too, behind. An
 * entry of the second level is one answer a key: where an answer varies, the
 * variant that came last.
 *
 * A store that is slow costs its timeout, for a few requests; then its breaker
 * opens and it costs nothing. One that is gone costs nothing.
 *
 * Threading: create, stop and destroy on the control thread; read from any;
 * everything else on a worker's. */
#ifndef SWG_GATEWAY_STORES_H
#define SWG_GATEWAY_STORES_H

#include "gateway/cache.h"
#include "gateway/options.h"
#include "store/cache_store.h"

struct exchange;
struct gateway;
struct leg;
struct stores;
struct target;
struct worker;

/* 0 or -errno. */
int stores_create(struct stores **out, struct gateway *, struct gateway_options *);
/* The stores' threads end; what was asked is answered by the next turn of the
 * workers' loops. Workers' threads have ended. */
void stores_stop(struct stores *);
void stores_destroy(struct stores *); /* NULL is fine */

/* A worker begins and ends. */
int stores_attach(struct worker *);
void stores_detach(struct worker *);

/* Asks the store of the exchange's service for its key, as work of the leg
 * (leg->work). Once, later, `told` gets what it has, valid during the call, or
 * NULL; not after the work was cancelled. False: there is none, or it cannot be
 * asked now; nobody is told. */
typedef void stores_told(struct leg *, const struct cache_stored *);
bool stores_ask(struct leg *, stores_told *);
/* Behind; the entry is the caller's still. */
void stores_put(struct exchange *, struct cache_entry *);
/* What any store has under this key is void. */
void stores_remove(struct exchange *, const struct cache_key *);

/* Where the Redis is, for who resolves names; NULL: there is none. */
struct target *stores_target(struct stores *);

struct stores_stats {
    struct cache_store_stats store;
    uint64_t hits, misses, errors, timeouts, skipped;
};
/* False: there is no such store. */
bool stores_read(struct stores *, enum cache_store_kind, struct stores_stats *);
const char *cache_store_name(enum cache_store_kind);

#endif
