/* stored.h - an entry of the cache as a record for a store, and back.
 *
 * The clock of the wall is used here only, and believed as little as possible:
 * time that passed between storing and finding is never less than nothing, and
 * an answer that came in the future was just made, but is asked about soon. */
#ifndef SWG_GATEWAY_STORED_H
#define SWG_GATEWAY_STORED_H

#include "base/arena.h"
#include "gateway/cache.h"
#include "store/cache_record.h"

struct worker;

/* An answer from the future is fresh for so long at most. */
#define STORED_FUTURE_MAX_MS 60000

/* Views of the entry's parts. */
void stored_to_record(struct cache_record *, const struct cache_stored *, const struct cache_key *,
                      int64_t wall_ms, uint64_t now_ns);
/* False: it is not what a cache of ours stores, whoever has written it: a status,
 * a field or a tag that is never stored, or cannot be sent. Views of the record. */
bool stored_from_record(struct cache_stored *, const struct cache_record *, int64_t wall_ms,
                        uint64_t now_ns, struct arena *, struct worker *);

#endif
