/* cache_record.c - see cache_record.h.
 *
 *   offset  bytes
 *        0      4  "SWGr"
 *        4      1  version, 1
 *        5      1  kind
 *        6      2  status
 *        8     32  key
 *       40      8  flags: 1 stale_forbidden, 2 has_last_modified
 *       48      8  last_modified_s
 *       56      8  came_ms
 *       64   5× 8  age, lifetime, revalidate, stale, stale_forced, in ms
 *      104   4× 8  lengths of varied, etag, lines, body
 *      136     16  0
 *      152      8  checksum: the beginning of SHA-256 of what is before it */
#include "store/cache_record.h"

#include <errno.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <string.h>

enum {
    VERSION = 1,
    AT_KEY = 8,
    AT_FLAGS = 40,
    AT_MODIFIED = 48,
    AT_CAME = 56,
    AT_TIMES = 64,
    AT_LENGTHS = 104,
    AT_SPARE = 136,
    AT_CHECK = 152,
    FLAG_STALE_FORBIDDEN = 1,
    FLAG_LAST_MODIFIED = 2,
    SHA256 = 32,
};

static const char magic[4] = {'S', 'W', 'G', 'r'};

/* Looked up once, as EVP_sha256() would do so each time. Written under the
 * once, read after it; never freed. */
static EVP_MD *sha256;
static pthread_once_t sha256_once = PTHREAD_ONCE_INIT;

static void fetch_sha256(void) {
    sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
}

static bool digest_of(const struct bytes *pieces, int count, uint8_t out[SHA256]) {
    pthread_once(&sha256_once, fetch_sha256);
    EVP_MD_CTX *hash = sha256 ? EVP_MD_CTX_new() : NULL;
    bool ok = hash && EVP_DigestInit_ex2(hash, sha256, NULL) == 1;
    for (int i = 0; ok && i < count; i++)
        ok = !pieces[i].len || EVP_DigestUpdate(hash, pieces[i].at, pieces[i].len) == 1;
    ok = ok && EVP_DigestFinal_ex(hash, out, NULL) == 1;
    EVP_MD_CTX_free(hash);
    return ok;
}

/* ---- numbers --------------------------------------------------------------- */

static void put(uint8_t *at, uint64_t value, int bytes) {
    for (int i = 0; i < bytes; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

static uint64_t get(const uint8_t *at, int bytes) {
    uint64_t value = 0;
    for (int i = 0; i < bytes; i++)
        value |= (uint64_t)at[i] << (8 * i);
    return value;
}

uint64_t cache_record_size(const struct cache_record *r) {
    return CACHE_RECORD_EXTRA + (uint64_t)r->varied.len + r->etag.len + r->lines.len + r->body.len;
}

static uint64_t larger(uint64_t a, uint64_t b) {
    return a > b ? a : b;
}

int64_t cache_record_over_ms(const struct cache_record *r) {
    uint64_t window = larger(larger(r->revalidate_ms, r->stale_ms), r->stale_forced_ms);
    uint64_t life = r->lifetime_ms + window; /* each at most a hundred years */
    uint64_t left = life > r->age_ms ? life - r->age_ms : 0;
    return r->came_ms > INT64_MAX - (int64_t)left ? INT64_MAX : r->came_ms + (int64_t)left;
}

/* ---- writing ----------------------------------------------------------------- */

static void put_times(uint8_t *at, const struct cache_record *r) {
    const uint64_t times[] = {r->age_ms, r->lifetime_ms, r->revalidate_ms, r->stale_ms,
                              r->stale_forced_ms};
    for (int i = 0; i < 5; i++)
        put(at + 8 * i, times[i] < CACHE_RECORD_LIFE_MAX ? times[i] : CACHE_RECORD_LIFE_MAX, 8);
}

static void put_lengths(uint8_t *at, const struct cache_record *r) {
    const uint64_t lengths[] = {r->varied.len, r->etag.len, r->lines.len, r->body.len};
    for (int i = 0; i < 4; i++)
        put(at + 8 * i, lengths[i], 8);
}

static bool is_too_long(const struct cache_record *r) {
    return r->varied.len > CACHE_RECORD_MAX || r->etag.len > CACHE_RECORD_MAX ||
           r->lines.len > CACHE_RECORD_MAX || r->body.len > CACHE_RECORD_MAX ||
           cache_record_size(r) > CACHE_RECORD_MAX;
}

int cache_record_write(const struct cache_record *r, uint8_t header[CACHE_RECORD_HEADER],
                       uint8_t digest[CACHE_RECORD_DIGEST]) {
    uint8_t hash[SHA256];
    if (is_too_long(r))
        return -E2BIG;
    memset(header, 0, CACHE_RECORD_HEADER);
    memcpy(header, magic, sizeof(magic));
    header[4] = VERSION;
    header[5] = (uint8_t)r->kind;
    put(header + 6, r->status, 2);
    memcpy(header + AT_KEY, r->key, CACHE_RECORD_KEY);
    put(header + AT_FLAGS,
        (r->stale_forbidden ? FLAG_STALE_FORBIDDEN : 0) |
            (r->has_last_modified ? FLAG_LAST_MODIFIED : 0),
        8);
    put(header + AT_MODIFIED, (uint64_t)r->last_modified_s, 8);
    put(header + AT_CAME, (uint64_t)r->came_ms, 8);
    put_times(header + AT_TIMES, r);
    put_lengths(header + AT_LENGTHS, r);
    struct bytes head = {(const char *)header, AT_CHECK};
    if (!digest_of(&head, 1, hash))
        return -EIO;
    memcpy(header + AT_CHECK, hash, CACHE_RECORD_HEADER - AT_CHECK);
    head.len = CACHE_RECORD_HEADER;
    if (!digest_of((struct bytes[]){head, r->varied, r->etag, r->lines, r->body}, 5, hash))
        return -EIO;
    memcpy(digest, hash, CACHE_RECORD_DIGEST);
    return 0;
}

/* ---- reading ------------------------------------------------------------------- */

static bool get_times(const uint8_t *at, struct cache_record *r) {
    uint64_t *const times[] = {&r->age_ms, &r->lifetime_ms, &r->revalidate_ms, &r->stale_ms,
                               &r->stale_forced_ms};
    bool ok = true;
    for (int i = 0; i < 5; i++) {
        *times[i] = get(at + 8 * i, 8);
        ok = ok && *times[i] <= CACHE_RECORD_LIFE_MAX;
    }
    return ok;
}

static bool get_lengths(const uint8_t *at, struct cache_record *r) {
    struct bytes *const parts[] = {&r->varied, &r->etag, &r->lines, &r->body};
    uint64_t all = CACHE_RECORD_EXTRA;
    for (int i = 0; i < 4; i++) {
        uint64_t len = get(at + 8 * i, 8);
        if (len > CACHE_RECORD_MAX - all)
            return false;
        all += len;
        *parts[i] = (struct bytes){NULL, (size_t)len};
    }
    return true;
}

static bool is_sound(const uint8_t *header) {
    uint8_t hash[SHA256];
    struct bytes head = {(const char *)header, AT_CHECK};
    return memcmp(header, magic, sizeof(magic)) == 0 && header[4] == VERSION &&
           (header[5] == CACHE_RECORD_ANSWER || header[5] == CACHE_RECORD_REMOVED) &&
           !get(header + AT_SPARE, 8) && !get(header + AT_SPARE + 8, 8) &&
           digest_of(&head, 1, hash) &&
           memcmp(header + AT_CHECK, hash, CACHE_RECORD_HEADER - AT_CHECK) == 0;
}

int cache_record_read_header(const uint8_t header[CACHE_RECORD_HEADER], struct cache_record *out) {
    uint64_t flags = get(header + AT_FLAGS, 8);
    *out = (struct cache_record){0};
    if (!is_sound(header) || (flags & ~(uint64_t)(FLAG_STALE_FORBIDDEN | FLAG_LAST_MODIFIED)))
        return -EBADMSG;
    out->kind = (enum cache_record_kind)header[5];
    out->status = (uint16_t)get(header + 6, 2);
    memcpy(out->key, header + AT_KEY, CACHE_RECORD_KEY);
    out->stale_forbidden = flags & FLAG_STALE_FORBIDDEN;
    out->has_last_modified = flags & FLAG_LAST_MODIFIED;
    out->last_modified_s = (int64_t)get(header + AT_MODIFIED, 8);
    out->came_ms = (int64_t)get(header + AT_CAME, 8);
    bool ok = get_times(header + AT_TIMES, out) && get_lengths(header + AT_LENGTHS, out);
    return ok && out->came_ms >= 0 ? 0 : -EBADMSG;
}

static void set_views(struct cache_record *r, const char *at) {
    struct bytes *const parts[] = {&r->varied, &r->etag, &r->lines, &r->body};
    for (int i = 0; i < 4; i++) {
        parts[i]->at = at;
        at += parts[i]->len;
    }
}

int cache_record_read(struct bytes all, struct cache_record *out) {
    uint8_t hash[SHA256];
    if (all.len < CACHE_RECORD_EXTRA)
        return -EBADMSG;
    int failed = cache_record_read_header((const uint8_t *)all.at, out);
    if (failed || cache_record_size(out) != all.len)
        return -EBADMSG;
    struct bytes before = {all.at, all.len - CACHE_RECORD_DIGEST};
    if (!digest_of(&before, 1, hash))
        return -EIO;
    if (memcmp(hash, before.at + before.len, CACHE_RECORD_DIGEST) != 0)
        return -EBADMSG;
    set_views(out, all.at + CACHE_RECORD_HEADER);
    return 0;
}
