/* record_scene.h - stored answers that tell by their content whose they are. */
#ifndef SWG_TESTS_RECORD_SCENE_H
#define SWG_TESTS_RECORD_SCENE_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store/cache_record.h"

static const int64_t scene_now_ms = INT64_C(1700000000000);

static inline void scene_key(uint8_t key[CACHE_RECORD_KEY], uint32_t number) {
    memset(key, 0x5a, CACHE_RECORD_KEY);
    memcpy(key, &number, sizeof(number));
    memcpy(key + 8, &number, sizeof(number));
}

/* The body of version `version` of answer `number`: any byte tells both. */
static inline void scene_fill(char *body, size_t len, uint32_t number, uint32_t version) {
    uint32_t x = number * 2654435761u + version * 40503u + 1;
    for (size_t i = 0; i < len; i++) {
        x = x * 1664525 + 1013904223;
        body[i] = (char)(x >> 24);
    }
}

static inline struct cache_record scene_record(uint32_t number, uint32_t version, char *body,
                                               size_t len) {
    struct cache_record r = {.kind = CACHE_RECORD_ANSWER,
                             .status = 200,
                             .came_ms = scene_now_ms,
                             .last_modified_s = version,
                             .has_last_modified = true,
                             .age_ms = 5,
                             .lifetime_ms = 60000,
                             .stale_ms = 600000,
                             .etag = BYTES("\"tag\""),
                             .lines = BYTES("Content-Type: text/plain\r\n"),
                             .body = {body, len}};
    scene_key(r.key, number);
    scene_fill(body, len, number, version);
    return r;
}

/* Whether a record is what scene_record() made of this number and version. */
static inline bool scene_is(const struct cache_record *r, uint32_t number, uint32_t version) {
    uint8_t key[CACHE_RECORD_KEY];
    char *body = malloc(r->body.len + 1);
    scene_key(key, number);
    scene_fill(body, r->body.len, number, version);
    bool same = memcmp(key, r->key, sizeof(key)) == 0 && r->last_modified_s == version &&
                r->status == 200 && r->came_ms == scene_now_ms &&
                bytes_equal(r->etag, BYTES("\"tag\"")) &&
                bytes_equal(r->lines, BYTES("Content-Type: text/plain\r\n")) &&
                memcmp(body, r->body.at, r->body.len) == 0;
    free(body);
    return same;
}

/* Whole, in memory to be freed. */
static inline struct bytes scene_bytes(const struct cache_record *r) {
    size_t size = (size_t)cache_record_size(r), at = CACHE_RECORD_HEADER;
    char *all = malloc(size);
    const struct bytes parts[] = {r->varied, r->etag, r->lines, r->body};
    assert_int_equal(
        cache_record_write(r, (uint8_t *)all, (uint8_t *)all + size - CACHE_RECORD_DIGEST), 0);
    for (int i = 0; i < 4; i++) {
        if (parts[i].len)
            memcpy(all + at, parts[i].at, parts[i].len);
        at += parts[i].len;
    }
    return (struct bytes){all, size};
}

#endif
