/* cache.h - answers kept in memory, and one upstream request for many equal
 * ones.
 *
 * The decisions are the engine's: what may be stored and how long it may be
 * used (engine/freshness.h), what goes when room is needed (engine/s3fifo.h),
 * who fetches and who waits (engine/flight.h). The bytes are the store's
 * (store/memory.h). This carries them out, shared by all workers.
 *
 *   look_up ─▶ FRESH, STALE          an entry: send it, release it
 *           ─▶ STALE_REFRESH         the same, and a flight: lead it besides
 *           ─▶ MISS_LEAD             a flight: fetch and fill; perhaps an ───┐
 *                                    entry: ask whether it is still good     │
 *           ─▶ WAIT                  on_ready comes; look up again           │
 *           ─▶ MISS_ALONE            fetch, tell the cache nothing           │
 *           ─▶ UNAVAILABLE           the client wants nothing fetched: 504   │
 *                                                                            │
 *     fill_begin ─▶ fill_append … ─▶ fill_commit     stored, waiters woken ◀─┤
 *     abandon, at any time                           the next one leads    ◀─┘
 *
 * Threading: any thread. A flight belongs to its leader: one thread at a time.
 * No callback runs under a lock.
 * Memory: everything, tables and unfinished fills and entries that are still
 * being sent included, is counted against one strict bound.
 * Time: `now_ns` is the monotonic clock. */
#ifndef SWG_GATEWAY_CACHE_H
#define SWG_GATEWAY_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/list.h"
#include "engine/flight.h"
#include "engine/freshness.h"
#include "gateway/cache_key.h"
#include "wire/http.h"

struct cache;
struct cache_entry;
struct cache_flight;

/* At most bytes_max altogether. One entry may have an eighth of it. `shards`,
 * at most 64, each with a lock of its own: rounded down to a power of two, and
 * fewer where bytes_max is small. A bound that does not hold even the tables
 * (some KiB; 0, say) makes a cache that stores nothing. 0 or -ENOMEM. */
int cache_create(struct cache **out, size_t bytes_max, uint32_t shards);
/* Nobody uses it any more: all entries released, all flights ended, no one
 * waits. */
void cache_destroy(struct cache *);
/* Evicts down to a smaller bound at once, as far as entries are not in use. */
void cache_resize(struct cache *, size_t bytes_max);
/* And at most so many entries (0: no matter), an equal part of them in each shard. */
void cache_limit_entries(struct cache *, uint64_t entries_max);

/* ---- looking up -------------------------------------------------------- */

/* What the cache must know about a request; views, valid during the call.
 * cache_request_read() fills it (cache_meta.h). */
struct cache_request {
    const struct http_field *fields; /* all of them, for Vary */
    uint16_t field_count;
    struct swg__directives wish; /* Cache-Control, or Pragma */
    bool authorized, ranged;
    bool alone; /* neither fetches for others nor waits for them: hit or MISS_ALONE */
};

/* One who waits, embedded in the caller's object and zeroed, but for on_ready,
 * before the request's first look-up. */
struct cache_waiter {
    /* Called once after CACHE_WAIT, on the thread of whoever ended the wait,
     * outside all locks: hand it to your own thread, and there look up again
     * or leave. */
    void (*on_ready)(struct cache_waiter *);
    struct list link; /* the cache's, from here */
    struct cache_flight *flight;
    void *home;
    uint8_t state;
    bool again; /* may wait, or has waited, a second time */
};

enum cache_found {
    CACHE_FRESH,         /* entry */
    CACHE_STALE,         /* entry; the client accepts it, or somebody else refreshes it */
    CACHE_STALE_REFRESH, /* entry and flight */
    CACHE_MISS_LEAD,     /* flight; and an entry where one is there that may not be used */
    CACHE_MISS_ALONE,    /* nothing */
    CACHE_WAIT,          /* nothing; the waiter is queued */
    CACHE_UNAVAILABLE,   /* nothing, and only-if-cached: answer 504 */
};

struct cache_result {
    struct cache_entry *entry;   /* cache_entry_release() it */
    struct cache_flight *flight; /* end it: commit, abandon, or a fill that was refused */
};

/* `waiter` may be NULL: then it never says CACHE_WAIT. After on_ready, pass
 * the same waiter; it does not wait again, unless the answer it waited for was
 * invalidated meanwhile or is not its variant, and then once. */
enum cache_found cache_look_up(struct cache *, const struct cache_key *,
                               const struct cache_request *, struct cache_waiter *waiter,
                               uint64_t now_ns, struct cache_result *);

/* The request will not look up again. True: on_ready will not be called (any
 * more); the waiter is the caller's. False: it is being called or was: the
 * waiter's memory must stay until the caller has seen it. If the waiter was to
 * lead next, another one is. Harmless where nothing was waited for. */
bool cache_leave(struct cache *, struct cache_waiter *);

/* For the fallback tier: the newest entry for this request that may be used
 * instead of an error (swg__freshness_on_error), or NULL. */
struct cache_entry *cache_find_stale(struct cache *, const struct cache_key *,
                                     const struct cache_request *, uint64_t max_stale_ns,
                                     bool force, uint64_t now_ns);

/* An unsafe method succeeded (RFC 9111 section 4.4): forgets all that is
 * stored under the key of the GET, and what is being fetched at the moment
 * will not be stored. */
void cache_invalidate(struct cache *, const struct cache_key *);

/* ---- fetching for all -------------------------------------------------- */

/* An answer whose head has come; cache_answer_read() fills all but `lines` and
 * the request's times (cache_meta.h). Views, valid during the call. */
struct cache_answer {
    struct swg__answer facts;
    const struct http_field *fields; /* for Vary */
    uint16_t field_count;
    uint64_t length; /* of the body; UINT64_MAX: not known yet */
    struct bytes etag;
    bool has_last_modified;
    int64_t last_modified_s;
    /* To be sent as they are: "Name: value\r\n" each, without hop-by-hop
     * fields, Content-Length, Transfer-Encoding and Age. */
    struct bytes lines;
};

/* Each takes the leader's pointer; when the flight is over, or was handed to
 * another leader, the pointer is NULL, and the calls do nothing and say OK.
 *
 * What may not be stored ends the flight at once, so that nobody waits for it:
 * the reason is returned. If it is the answer's, requests for this key are not
 * coalesced for some seconds. An answer that can be used only stale lets the
 * waiters go, and is filled. */
enum swg__storable cache_fill_begin(struct cache_flight **, const struct cache_request *,
                                    const struct cache_answer *, const struct swg__cache_terms *);
/* Body bytes. */
enum swg__storable cache_fill_append(struct cache_flight **, struct bytes);
/* The body is whole. Where the answer said its length, that is checked. */
enum swg__storable cache_fill_commit(struct cache_flight **, uint64_t now_ns);
/* Begin, append and commit at once, where a 304 said that the body of `old` is
 * still good; `answer` is what is known of it now. Where it is stored, and not
 * invalidated meanwhile, *out is the new entry, to be released. */
enum swg__storable cache_fill_renewed(struct cache_flight **, const struct cache_request *,
                                      const struct cache_answer *, const struct swg__cache_terms *,
                                      const struct cache_entry *old, struct cache_entry **out);
/* The same as commit; where it is stored, and not invalidated meanwhile, *out is
 * the entry, to be released. */
enum swg__storable cache_fill_commit_held(struct cache_flight **, uint64_t now_ns,
                                          struct cache_entry **out);
/* No answer to be stored came of it: SWG__FLIGHT_FAILED (the service failed),
 * SWG__FLIGHT_CANCELLED (this leader gave up), SWG__FLIGHT_UNSHARED. */
void cache_abandon(struct cache_flight **, enum swg__flight_end, uint64_t now_ns);

/* ---- other stores ------------------------------------------------------- */

/* All there is to an entry; views into it. */
struct cache_stored {
    int status;
    struct swg__freshness life;
    bool has_last_modified;
    int64_t last_modified_s;
    struct bytes varied, etag, lines, body;
};
void cache_entry_describe(const struct cache_entry *, struct cache_stored *out);

/* Puts in what another store has kept. The entry, held, or a newer one that is
 * there already; NULL where it is not for this request, over, invalidated since
 * the flight (which may be NULL, and goes on) began, or has no room. What it is
 * told is checked as far as the cache itself relies on it: the lines are not. */
struct cache_entry *cache_restore(struct cache *, const struct cache_flight *,
                                  const struct cache_key *, const struct cache_request *,
                                  const struct cache_stored *, uint64_t now_ns);
/* Whether a request may have this entry now, as look_up says. */
enum swg__usable cache_entry_usable(const struct cache_entry *, const struct cache_request *,
                                    uint64_t now_ns);
/* Whether it may be used instead of an error, as find_stale says. */
bool cache_entry_on_error(const struct cache_entry *, uint64_t max_stale_ns, bool force,
                          uint64_t now_ns);

/* ---- entries ----------------------------------------------------------- */

/* Immutable; valid, with all that points into it, until released. */
void cache_entry_hold(struct cache_entry *);
void cache_entry_release(struct cache_entry *); /* NULL is fine */

const struct cache_key *cache_entry_key(const struct cache_entry *);
int cache_entry_status(const struct cache_entry *);
struct bytes cache_entry_lines(const struct cache_entry *); /* as in cache_answer */
struct bytes cache_entry_body(const struct cache_entry *);
struct bytes cache_entry_etag(const struct cache_entry *); /* empty: none */
bool cache_entry_last_modified(const struct cache_entry *, int64_t *unix_s);
/* For Age, in seconds. */
uint64_t cache_entry_age_s(const struct cache_entry *, uint64_t now_ns);
/* Seconds still fresh, or negative: stale; for the ttl of Cache-Status. */
int64_t cache_entry_left_s(const struct cache_entry *, uint64_t now_ns);
bool cache_entry_is_fresh(const struct cache_entry *, uint64_t now_ns);

/* Whether a GET or HEAD with these fields is answered 304 from this entry
 * (RFC 9110 section 13.2.2). Only a 200 can be. If-Modified-Since counts only
 * where there is no If-None-Match. */
bool cache_entry_matches(const struct cache_entry *, const struct http_field *fields,
                         uint16_t field_count);

/* ---- looking at it ----------------------------------------------------- */

struct cache_stats {
    uint64_t entries, bytes, bytes_max, flights; /* now */
    /* Look-ups, each counted once, but for one that waits and looks up again. */
    uint64_t hits_fresh, hits_stale, misses;
    uint64_t coalesced; /* fresh after a wait */
    uint64_t waits;     /* began */
    uint64_t stored, evictions, invalidated;
    uint64_t refused[SWG__STORABLE_COUNT]; /* by reason; OK stays 0 */
};
void cache_read(struct cache *, struct cache_stats *);
/* Asserts every invariant; for tests. */
void cache_check(struct cache *);

#endif
