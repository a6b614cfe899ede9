/* cache_restore.c - entries that go to other stores, and come back from them. */
#include "gateway/cache_priv.h"

#include <errno.h>

#include <switchgear/time.h>

void cache_entry_describe(const struct cache_entry *e, struct cache_stored *out) {
    *out = (struct cache_stored){.status = e->status,
                                 .life = e->life,
                                 .has_last_modified = e->has_last_modified,
                                 .last_modified_s = e->last_modified_s,
                                 .varied = cache_entry_varied(e),
                                 .etag = cache_entry_etag(e),
                                 .lines = cache_entry_lines(e),
                                 .body = cache_entry_body(e)};
}

enum swg__usable cache_entry_usable(const struct cache_entry *e,
                                    const struct cache_request *request, uint64_t now_ns) {
    return swg__freshness_judge(&e->life, &request->wish, now_ns);
}

bool cache_entry_on_error(const struct cache_entry *e, uint64_t max_stale_ns, bool force,
                          uint64_t now_ns) {
    return swg__freshness_on_error(&e->life, max_stale_ns, force, now_ns);
}

/* ---- coming back ------------------------------------------------------------- */

static bool fits(const struct cache *c, const struct cache_stored *s) {
    size_t left = atomic_load_explicit(&c->entry_max, memory_order_relaxed);
    const size_t parts[] = {s->varied.len, s->etag.len, s->lines.len, s->body.len};
    for (int i = 0; i < 4; i++) {
        if (parts[i] > left)
            return false;
        left -= parts[i];
    }
    return true;
}

static struct memory_block *create_block(struct cache *c, struct cache_shard *s, size_t room) {
    struct memory_block *block;
    int failed;
    while ((failed = memory_block_create(c->memory, sizeof(struct cache_entry), room, &block)) ==
           -ENOSPC)
        if (!cache_evict_one(c, s))
            break;
    return failed ? NULL : block;
}

/* Into room that is there already. */
static bool write_parts(struct memory_block **block, const struct cache_stored *s) {
    const struct bytes parts[] = {s->varied, s->etag, s->lines, s->body};
    bool ok = true;
    for (int i = 0; ok && i < 4; i++)
        ok = memory_block_append(block, parts[i].at, parts[i].len) == 0;
    return ok;
}

static struct cache_entry *make_entry(struct cache *c, struct cache_shard *shard,
                                      const struct cache_key *key, const struct cache_stored *s) {
    size_t room = s->varied.len + s->etag.len + s->lines.len + s->body.len;
    struct memory_block *block = create_block(c, shard, room);
    if (!block)
        return NULL;
    if (!write_parts(&block, s)) {
        memory_block_release(block);
        return NULL;
    }
    struct cache_entry *e = memory_block_owner(block);
    e->key = *key;
    e->life = s->life;
    e->status = s->status;
    e->has_last_modified = s->has_last_modified;
    e->last_modified_s = s->last_modified_s;
    e->varied_len = (uint32_t)s->varied.len;
    e->etag_len = (uint32_t)s->etag.len;
    e->lines_len = (uint32_t)s->lines.len;
    return e;
}

struct cache_entry *cache_restore(struct cache *c, const struct cache_flight *flight,
                                  const struct cache_key *key, const struct cache_request *request,
                                  const struct cache_stored *stored, uint64_t now_ns) {
    uint64_t hash = cache_hash(c, key);
    struct cache_shard *shard = cache_shard_of(c, hash);
    if (!cache_vary_is_sound(stored->varied) || !cache_vary_matches(stored->varied, request) ||
        swg__freshness_over(&stored->life, now_ns) || !fits(c, stored))
        return NULL;
    struct cache_entry *e = make_entry(c, shard, key, stored), *in_vain = e;
    if (!e)
        return NULL;
    pthread_mutex_lock(&shard->lock);
    struct cache_entry *there = cache_index_find(shard, hash, key, request, now_ns);
    if (flight && flight->doomed) {
        e = NULL;
    } else if (there && cache_entry_born_ns(there) >= cache_entry_born_ns(e)) {
        e = there;
        cache_entry_hold(e);
    } else {
        in_vain = NULL;
        cache_entry_hold(e);
        cache_index_insert(c, shard, e);
    }
    pthread_mutex_unlock(&shard->lock);
    cache_entry_release(in_vain);
    return e;
}
