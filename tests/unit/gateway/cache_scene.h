/* cache_scene.h - a cache with requests and answers written as field lines. */
#ifndef SWG_TESTS_CACHE_SCENE_H
#define SWG_TESTS_CACHE_SCENE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <switchgear/time.h>

#include "gateway/cache.h"
#include "gateway/cache_meta.h"

#define S(n) SWG_SECONDS(n)
#define T0   S(1000)

enum { SCENE_FIELDS = 24, SCENE_WALL = 1700000000 };

/* A head; the fields point into the text it was made from. */
struct head {
    struct http_field fields[SCENE_FIELDS];
    uint16_t count;
    struct cache_request request;
};

/* "Name: value" lines, separated by "\n". */
static inline void head_read(struct head *h, const char *text) {
    struct bytes rest = bytes_of(text), line, name;
    h->count = 0;
    while (bytes_split(&rest, '\n', &line)) {
        assert_true(h->count < SCENE_FIELDS && bytes_split(&line, ':', &name));
        h->fields[h->count++] = (struct http_field){
            .name = name, .value = bytes_trim(line), .id = (uint8_t)http_field_of(name)};
    }
}

static inline struct cache_request *request_of(struct head *h, const char *text) {
    head_read(h, text);
    cache_request_read(&h->request, h->fields, h->count);
    return &h->request;
}

static inline struct cache_key key_of(const char *path) {
    static const char *const none[1];
    struct cache_options o = {.key = KEY_PATH, .headers = none};
    struct cache_key key;
    assert_int_equal(cache_key_make(&key, &(struct cache_key_parts){.path = bytes_of(path)}, &o),
                     0);
    return key;
}

/* One look-up. `waiter` may be NULL. */
static inline enum cache_found look(struct cache *c, const char *path, const char *request,
                                    struct cache_waiter *waiter, uint64_t now_ns,
                                    struct cache_result *r) {
    struct head h;
    struct cache_key key = key_of(path);
    return cache_look_up(c, &key, request_of(&h, request), waiter, now_ns, r);
}

static const struct swg__cache_terms scene_terms = {.fresh_ns = S(60), .stale_ns = S(600)};

/* Begins to fill: the answer's status and lines, its request's lines. */
static inline enum swg__storable begin(struct cache_flight **f, const char *request, int status,
                                       const char *lines, uint64_t length, uint64_t now_ns) {
    struct head asked, said;
    struct cache_answer a;
    request_of(&asked, request);
    head_read(&said, lines);
    cache_answer_read(&a, status, said.fields, said.count, &asked.request, SCENE_WALL);
    a.length = length;
    a.lines = bytes_of(lines);
    a.facts.asked_ns = a.facts.came_ns = now_ns;
    return cache_fill_begin(f, &asked.request, &a, &scene_terms);
}

/* Looks up, must lead, and stores; what storing says. */
static inline enum swg__storable put(struct cache *c, const char *path, const char *request,
                                     const char *lines, const char *body, uint64_t now_ns) {
    struct cache_result r;
    assert_int_equal(look(c, path, request, NULL, now_ns, &r), CACHE_MISS_LEAD);
    cache_entry_release(r.entry);
    enum swg__storable refused = begin(&r.flight, request, 200, lines, UINT64_MAX, now_ns);
    if (!refused)
        refused = cache_fill_append(&r.flight, bytes_of(body));
    if (!refused)
        refused = cache_fill_commit(&r.flight, now_ns);
    assert_null(r.flight);
    return refused;
}

/* The body found there, fresh, or "" where there is none. Valid until the next. */
static inline const char *got(struct cache *c, const char *path, const char *request,
                              uint64_t now_ns) {
    static char body[256];
    struct cache_result r;
    struct head h;
    struct cache_key key = key_of(path);
    request_of(&h, request);
    h.request.alone = true;
    if (cache_look_up(c, &key, &h.request, NULL, now_ns, &r) != CACHE_FRESH)
        return "";
    struct bytes b = cache_entry_body(r.entry);
    snprintf(body, sizeof(body), "%.*s", (int)b.len, b.at);
    cache_entry_release(r.entry);
    return body;
}

/* One who waits, and what it was told. */
struct guest {
    struct cache_waiter waiter;
    int woken;
};

static inline void guest_woken(struct cache_waiter *w) {
    container_of(w, struct guest, waiter)->woken++;
}

#define GUEST ((struct guest){.waiter = {.on_ready = guest_woken}})

#endif
