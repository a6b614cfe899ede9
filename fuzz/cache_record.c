/* cache_record.c - bytes that a store of the cache says are an answer. Once as
 * they are, and once with checksums that are right, since those are hard to guess:
 * whatever comes through must be what a cache can keep, compare and send. */
#include "fuzz.h"

#include <openssl/evp.h>

#include "base/arena.h"
#include "gateway/cache.h"
#include "gateway/stored.h"
#include "gateway/worker.h"
#include "store/cache_record.h"

#include <switchgear/time.h>

enum { AT_LENGTHS = 104, AT_SPARE = 136, AT_CHECK = 152 };

static const int64_t wall_ms = INT64_C(1700000000000);
static const uint64_t now_ns = SWG_SECONDS(1000);

static void digest(const char *bytes, size_t len, char *out, size_t out_len) {
    unsigned char hash[EVP_MAX_MD_SIZE];
    MUST(EVP_Digest(bytes, len, hash, NULL, EVP_sha256(), NULL) == 1);
    memcpy(out, hash, out_len);
}

/* Keeps it, looks it up again, and lets it go. */
static void keep(const struct cache_stored *s) {
    struct http_field fields[] = {{BYTES("Accept"), BYTES("text/html"), 0}};
    struct cache_request request = {.fields = fields, .field_count = 1};
    struct cache_key key = {{1}};
    struct cache_result found;
    struct cache *cache;
    request.wish = SWG__DIRECTIVES_NONE;
    MUST(cache_create(&cache, 1 << 20, 1) == 0);
    struct cache_entry *e = cache_restore(cache, NULL, &key, &request, s, now_ns);
    if (e) {
        struct cache_stored again;
        cache_entry_describe(e, &again);
        MUST(bytes_equal(again.body, s->body) && bytes_equal(again.lines, s->lines));
        (void)cache_entry_left_s(e, now_ns);
        (void)cache_entry_age_s(e, now_ns + SWG_HOURS(1));
        (void)cache_entry_matches(e, fields, 1);
        cache_entry_release(e);
        request.wish.only_if_cached = true;
        request.alone = true;
        cache_look_up(cache, &key, &request, NULL, now_ns, &found);
        cache_entry_release(found.entry);
        MUST(!found.flight);
    }
    cache_check(cache);
    cache_destroy(cache);
}

static bool read_record(struct bytes bytes) {
    static struct http_field fields[WORKER_FIELDS];
    struct worker worker = {.request_fields = fields};
    struct cache_record r;
    struct cache_stored s;
    struct arena arena;
    char block[512];
    if (cache_record_read(bytes, &r) < 0)
        return false;
    MUST(cache_record_size(&r) == bytes.len);
    MUST(cache_record_over_ms(&r) >= r.came_ms);
    arena_init(&arena, block, sizeof block, 1 << 20);
    if (stored_from_record(&s, &r, wall_ms, now_ns, &arena, &worker)) {
        MUST(s.status >= 200 && s.status <= 599);
        MUST(!memchr(s.etag.at, '\n', s.etag.len) && !memchr(s.etag.at, '\0', s.etag.len));
        MUST(!memmem(s.lines.at, s.lines.len, "\r\n\r\n", 4));
        MUST(!s.lines.len || s.lines.at[s.lines.len - 1] == '\n');
        keep(&s);
    }
    arena_reset(&arena);
    return true;
}

/* The header's frame, the lengths of the parts and the checksums made right. */
static void read_framed(const uint8_t *data, size_t size, uint32_t hash) {
    if (size < CACHE_RECORD_HEADER)
        return;
    char *copy = malloc(size + CACHE_RECORD_DIGEST);
    size_t left = size - CACHE_RECORD_HEADER;
    MUST(copy != NULL);
    memcpy(copy, data, size);
    memcpy(copy, "SWGr\1\1", 6);
    memset(copy + 41, 0, 7); /* flags */
    copy[40] &= 3;
    memset(copy + AT_SPARE, 0, 16);
    copy[55] = copy[63] = 0; /* times of this age */
    for (int i = 0; i < 5; i++)
        memset(copy + 64 + 8 * i + 5, 0, 3);
    for (int i = 0; i < 4; i++) { /* shares of what is there */
        size_t len = i == 3 ? left : left * (hash >> 8 * i & 7) / 16;
        uint64_t word = len;
        memcpy(copy + AT_LENGTHS + 8 * i, &word, sizeof word);
        left -= len;
    }
    digest(copy, AT_CHECK, copy + AT_CHECK, CACHE_RECORD_HEADER - AT_CHECK);
    digest(copy, size, copy + size, CACHE_RECORD_DIGEST);
    MUST(read_record((struct bytes){copy, size + CACHE_RECORD_DIGEST}));
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *copy = fuzz_copy(data, size);
    read_record((struct bytes){copy, size});
    free(copy);
    read_framed(data, size, fuzz_hash(data, size));
    return 0;
}
