/* cache_entry.c - reading a stored answer. */
#include "gateway/cache_priv.h"

#include <switchgear/time.h>

static const struct memory_block *block_of(const struct cache_entry *e) {
    return memory_block_of((void *)(uintptr_t)e);
}

void cache_entry_hold(struct cache_entry *e) {
    memory_block_hold(memory_block_of(e));
}

void cache_entry_release(struct cache_entry *e) {
    if (e)
        memory_block_release(memory_block_of(e));
}

/* ---- parts ------------------------------------------------------------- */

const struct cache_key *cache_entry_key(const struct cache_entry *e) {
    return &e->key;
}

int cache_entry_status(const struct cache_entry *e) {
    return e->status;
}

struct bytes cache_entry_etag(const struct cache_entry *e) {
    return (struct bytes){memory_block_bytes(block_of(e)) + e->varied_len, e->etag_len};
}

bool cache_entry_last_modified(const struct cache_entry *e, int64_t *unix_s) {
    *unix_s = e->last_modified_s;
    return e->has_last_modified;
}

struct bytes cache_entry_lines(const struct cache_entry *e) {
    struct bytes etag = cache_entry_etag(e);
    return (struct bytes){etag.at + etag.len, e->lines_len};
}

struct bytes cache_entry_body(const struct cache_entry *e) {
    struct bytes lines = cache_entry_lines(e);
    size_t before = (size_t)e->varied_len + e->etag_len + e->lines_len;
    return (struct bytes){lines.at + lines.len, memory_block_len(block_of(e)) - before};
}

uint64_t cache_entry_age_s(const struct cache_entry *e, uint64_t now_ns) {
    return swg__freshness_age(&e->life, now_ns) / SWG_SECONDS(1);
}

int64_t cache_entry_left_s(const struct cache_entry *e, uint64_t now_ns) {
    return swg__freshness_left(&e->life, now_ns) / (int64_t)SWG_SECONDS(1);
}

bool cache_entry_is_fresh(const struct cache_entry *e, uint64_t now_ns) {
    return swg__freshness_left(&e->life, now_ns) > 0;
}

/* ---- preconditions ----------------------------------------------------- */

static struct bytes without_weak(struct bytes tag) {
    if (bytes_starts(tag, BYTES("W/")))
        return (struct bytes){tag.at + 2, tag.len - 2};
    return tag;
}

/* Takes one entity-tag off a list. Not by the splitter of other lists: inside
 * an entity-tag a backslash is just a backslash (RFC 9110 section 8.8.3). */
static bool next_tag(struct bytes *rest, struct bytes *tag) {
    while (rest->len && (rest->at[0] == ',' || rest->at[0] == ' ' || rest->at[0] == '\t')) {
        rest->at++;
        rest->len--;
    }
    struct bytes quoted = without_weak(*rest);
    if (quoted.len < 2 || quoted.at[0] != '"')
        return false;
    const char *end = memchr(quoted.at + 1, '"', quoted.len - 1);
    if (!end)
        return false;
    *tag = (struct bytes){quoted.at, (size_t)(end + 1 - quoted.at)};
    size_t used = (size_t)(end + 1 - rest->at);
    *rest = (struct bytes){rest->at + used, rest->len - used};
    return true;
}

/* Weak comparison, as RFC 9110 section 13.1.2 wants it here. */
static bool names_tag(struct bytes list, struct bytes etag) {
    struct bytes tag;
    if (bytes_equal(bytes_trim(list), BYTES("*")))
        return true;
    while (etag.len && next_tag(&list, &tag))
        if (bytes_equal(tag, without_weak(etag)))
            return true;
    return false;
}

bool cache_entry_matches(const struct cache_entry *e, const struct http_field *fields,
                         uint16_t field_count) {
    bool by_tag = false, not_newer = false;
    if (e->status != 200)
        return false;
    for (uint16_t i = 0; i < field_count; i++) {
        int64_t since_s;
        if (fields[i].id == HTTP_IF_NONE_MATCH) {
            if (names_tag(fields[i].value, cache_entry_etag(e)))
                return true;
            by_tag = true;
        } else if (fields[i].id == HTTP_IF_MODIFIED_SINCE && e->has_last_modified &&
                   http_date_read(fields[i].value, &since_s)) {
            not_newer = e->last_modified_s <= since_s;
        }
    }
    return !by_tag && not_newer;
}
