/* cache_fill.c - an answer on its way into the cache, while it streams past.
 *
 * The fill is the leader's own until commit: no lock is needed to append to
 * it, and nobody can be served an unfinished one. Room is made by eviction as
 * the body grows. Whatever makes the answer unfit ends the flight at once, so
 * that those who wait do not wait for nothing. */
#include "gateway/cache_priv.h"

#include <errno.h>

#include <switchgear/time.h>

/* For so long requests for an answer that nobody else can have are not
 * coalesced. What is too large is so for longer, and costs more to find out. */
static const uint64_t MARK_NS = SWG_SECONDS(5), MARK_TOO_LARGE_NS = SWG_SECONDS(60);

/* And so long nobody refreshes in vain what a failing service has left stale:
 * its breaker looks after the service, this after each single answer. */
static const uint64_t REFRESH_AGAIN_NS = SWG_SECONDS(1);

enum { ROOM_FIRST = 4096 }; /* for a body of unknown length */

/* ---- ends -------------------------------------------------------------- */

/* Takes the flight from its leader, and drops the fill. */
static struct cache_flight *take_flight(struct cache_flight **flight) {
    struct cache_flight *f = *flight;
    *flight = NULL;
    memory_block_release(f->fill);
    f->fill = NULL;
    return f;
}

/* What is the request's or the moment's fault says nothing about the next one;
 * of statuses only 304 comes here, which answers a condition of the request. */
static enum swg__flight_end end_of(enum swg__storable reason) {
    switch (reason) {
    case SWG__STORE_FAILURE:
    case SWG__STORE_INCOMPLETE:
        return SWG__FLIGHT_FAILED;
    case SWG__STORE_REQUEST:
    case SWG__STORE_AUTHORIZED:
    case SWG__STORE_STATUS:
        return SWG__FLIGHT_CANCELLED;
    default:
        return SWG__FLIGHT_UNSHARED;
    }
}

/* The shard is locked. */
static void mark_failure(struct cache_flight *f, enum swg__flight_end end, uint64_t mark_ns,
                         uint64_t now_ns) {
    struct swg__flight_marks *marks = &f->shard->marks;
    if (end == SWG__FLIGHT_UNSHARED)
        swg__flight_mark(marks, f->hash, now_ns + mark_ns);
    if (f->refreshes && end != SWG__FLIGHT_CANCELLED)
        swg__flight_mark(marks, cache_refresh_hash(f->hash), now_ns + REFRESH_AGAIN_NS);
}

static enum swg__storable refuse(struct cache_flight **flight, enum swg__storable reason,
                                 uint64_t now_ns) {
    struct cache_flight *f = take_flight(flight);
    enum swg__flight_end end = end_of(reason);
    uint64_t mark_ns = reason == SWG__STORE_TOO_LARGE ? MARK_TOO_LARGE_NS : MARK_NS;
    pthread_mutex_lock(&f->shard->lock);
    f->shard->stats.refused[reason]++;
    mark_failure(f, end, mark_ns, now_ns);
    cache_flight_end_unlock(f, end);
    return reason;
}

void cache_abandon(struct cache_flight **flight, enum swg__flight_end end, uint64_t now_ns) {
    if (!*flight)
        return;
    bool filling = (*flight)->fill != NULL;
    struct cache_flight *f = take_flight(flight);
    pthread_mutex_lock(&f->shard->lock);
    if (filling)
        f->shard->stats.refused[SWG__STORE_INCOMPLETE]++;
    mark_failure(f, end, MARK_NS, now_ns);
    cache_flight_end_unlock(f, end);
}

/* ---- begin ------------------------------------------------------------- */

static size_t entry_max(const struct cache *c) {
    return atomic_load_explicit(&c->entry_max, memory_order_relaxed);
}

struct sizes {
    size_t varied, head; /* head: everything before the body */
};

static enum swg__storable measure(const struct cache *c, const struct cache_answer *a,
                                  const struct cache_request *request, struct sizes *out) {
    size_t max = entry_max(c);
    if (!cache_vary_measure(a, request, &out->varied))
        return SWG__STORE_VARIES;
    if (a->lines.len > max || a->etag.len > max)
        return SWG__STORE_TOO_LARGE;
    out->head = out->varied + a->etag.len + a->lines.len;
    if (out->head > max || (a->length != UINT64_MAX && a->length > max - out->head))
        return SWG__STORE_TOO_LARGE;
    return SWG__STORE_OK;
}

static bool create_block(struct cache_flight *f, size_t room) {
    struct cache *c = f->cache;
    int failed;
    while ((failed = memory_block_create(c->memory, sizeof(struct cache_entry), room, &f->fill)) ==
           -ENOSPC)
        if (!cache_evict_one(c, f->shard))
            break;
    return !failed;
}

/* Into room that is there already. */
static bool write_head(struct cache_flight *f, const struct cache_request *request,
                       const struct cache_answer *a) {
    return cache_vary_write(&f->fill, a, request) == 0 &&
           memory_block_append(&f->fill, a->etag.at, a->etag.len) == 0 &&
           memory_block_append(&f->fill, a->lines.at, a->lines.len) == 0;
}

static void describe(struct cache_entry *e, const struct cache_flight *f,
                     const struct cache_answer *a, const struct swg__freshness *life,
                     const struct sizes *sizes) {
    e->key = f->key;
    e->life = *life;
    e->status = a->facts.status;
    e->has_last_modified = a->has_last_modified;
    e->last_modified_s = a->last_modified_s;
    e->varied_len = (uint32_t)sizes->varied;
    e->etag_len = (uint32_t)a->etag.len;
    e->lines_len = (uint32_t)a->lines.len;
}

enum swg__storable cache_fill_begin(struct cache_flight **flight,
                                    const struct cache_request *request,
                                    const struct cache_answer *a,
                                    const struct swg__cache_terms *terms) {
    struct cache_flight *f = *flight;
    struct swg__freshness life;
    struct sizes sizes;
    if (!f)
        return SWG__STORE_OK;
    uint64_t now_ns = a->facts.came_ns;
    enum swg__storable refused = swg__freshness_of(&a->facts, terms, &life);
    if (!refused)
        refused = measure(f->cache, a, request, &sizes);
    if (refused)
        return refuse(flight, refused, now_ns);

    size_t body = a->length == UINT64_MAX ? ROOM_FIRST : (size_t)a->length;
    if (!create_block(f, sizes.head + body) || !write_head(f, request, a))
        return refuse(flight, SWG__STORE_NO_ROOM, now_ns);
    describe(memory_block_owner(f->fill), f, a, &life, &sizes);
    f->length = a->length;

    /* Good only as a stale answer later: nobody can be given it now. */
    if (swg__freshness_left(&life, now_ns) <= 0) {
        pthread_mutex_lock(&f->shard->lock);
        swg__flight_mark(&f->shard->marks, f->hash, now_ns + MARK_NS);
        cache_flight_close_unlock(f);
    }
    return SWG__STORE_OK;
}

/* ---- body and end ------------------------------------------------------ */

static uint64_t came_ns(const struct cache_flight *f) {
    return ((struct cache_entry *)memory_block_owner(f->fill))->life.at_ns;
}

enum swg__storable cache_fill_append(struct cache_flight **flight, struct bytes piece) {
    struct cache_flight *f = *flight;
    if (!f || !f->fill || !piece.len)
        return SWG__STORE_OK;
    size_t len = memory_block_len(f->fill), max = entry_max(f->cache);
    if (len > max || piece.len > max - len)
        return refuse(flight, SWG__STORE_TOO_LARGE, came_ns(f));
    int failed;
    while ((failed = memory_block_append(&f->fill, piece.at, piece.len)) == -ENOSPC)
        if (!cache_evict_one(f->cache, f->shard))
            break;
    return failed ? refuse(flight, SWG__STORE_NO_ROOM, came_ns(f)) : SWG__STORE_OK;
}

static enum swg__storable commit(struct cache_flight **flight, struct cache_entry **out,
                                 uint64_t now_ns) {
    struct cache_flight *f = *flight;
    if (!f->fill ||
        (f->length != UINT64_MAX && f->length != cache_entry_body(memory_block_owner(f->fill)).len))
        return refuse(flight, SWG__STORE_INCOMPLETE, now_ns);
    memory_block_trim(&f->fill);
    struct cache_entry *e = memory_block_owner(f->fill);
    struct cache_shard *s = f->shard;
    *flight = NULL;
    pthread_mutex_lock(&s->lock);
    if (!f->doomed) {
        f->fill = NULL;
        cache_index_insert(f->cache, s, e);
        f->varies = e->varied_len > 0;
        s->stats.stored++;
        if (cache_entry_is_fresh(e, now_ns))
            swg__flight_unmark(&s->marks, f->hash);
        if (out)
            cache_entry_hold(*out = e);
    }
    cache_flight_end_unlock(f, SWG__FLIGHT_STORED);
    return SWG__STORE_OK;
}

enum swg__storable cache_fill_commit(struct cache_flight **flight, uint64_t now_ns) {
    return *flight ? commit(flight, NULL, now_ns) : SWG__STORE_OK;
}

enum swg__storable cache_fill_commit_held(struct cache_flight **flight, uint64_t now_ns,
                                          struct cache_entry **out) {
    *out = NULL;
    return *flight ? commit(flight, out, now_ns) : SWG__STORE_OK;
}

enum swg__storable cache_fill_renewed(struct cache_flight **flight,
                                      const struct cache_request *request,
                                      const struct cache_answer *answer,
                                      const struct swg__cache_terms *terms,
                                      const struct cache_entry *old, struct cache_entry **out) {
    enum swg__storable refused = cache_fill_begin(flight, request, answer, terms);
    if (!refused)
        refused = cache_fill_append(flight, cache_entry_body(old));
    return refused || !*flight ? refused : commit(flight, out, answer->facts.came_ns);
}
