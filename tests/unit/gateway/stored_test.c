/* stored_test.c - an entry as a record and back, at other times and by other
 * clocks; and records that come into a cache where something is already. */
#include "cache_scene.h"

#include <stdlib.h>

#include "gateway/stored.h"
#include "gateway/worker.h"

#define WALL INT64_C(1700000000000)

static struct http_field room[WORKER_FIELDS];
static struct worker worker = {.request_fields = room};

static struct cache_stored usual(void) {
    return (struct cache_stored){.status = 200,
                                 .life = {.at_ns = S(1000),
                                          .age_ns = S(7),
                                          .lifetime_ns = S(3600),
                                          .revalidate_ns = S(30),
                                          .stale_ns = S(600),
                                          .stale_forced_ns = S(900),
                                          .stale_forbidden = true},
                                 .has_last_modified = true,
                                 .last_modified_s = 12345,
                                 .etag = BYTES("\"a\""),
                                 .lines = BYTES("X-Own: 1\r\n"),
                                 .body = BYTES("body")};
}

static struct cache_record record_of(const struct cache_stored *s, int64_t wall_ms,
                                     uint64_t now_ns) {
    struct cache_record r;
    struct cache_key key = {{7}};
    stored_to_record(&r, s, &key, wall_ms, now_ns);
    return r;
}

static bool back(struct cache_stored *s, const struct cache_record *r, int64_t wall_ms,
                 uint64_t now_ns) {
    static char block[4096];
    struct arena arena;
    arena_init(&arena, block, sizeof block, 1 << 20);
    bool good = stored_from_record(s, r, wall_ms, now_ns, &arena, &worker);
    arena_reset(&arena);
    return good;
}

static void ages_go_on_in_between(void **state) {
    struct cache_stored s = usual(), t;
    /* Written 3 s after it came; found a minute later, by a process as old as 5 s. */
    struct cache_record r = record_of(&s, WALL + 3000, S(1003));
    assert_int_equal(r.came_ms, WALL);
    assert_true(back(&t, &r, WALL + 60000, S(5)));
    assert_int_equal(swg__freshness_age(&t.life, S(5)), S(67));
    assert_int_equal(swg__freshness_left(&t.life, S(5)), S(3533));
    assert_int_equal(t.life.revalidate_ns, S(30));
    assert_int_equal(t.life.stale_ns, S(600));
    assert_int_equal(t.life.stale_forced_ns, S(900));
    assert_true(t.life.stale_forbidden && t.has_last_modified && t.last_modified_s == 12345);
    assert_true(bytes_equal(t.body, s.body) && bytes_equal(t.lines, s.lines));
}

static void a_clock_that_jumped_back_makes_nothing_younger(void **state) {
    struct cache_stored s = usual(), t;
    struct cache_record r = record_of(&s, WALL, S(1000));
    for (int64_t back_ms = 1; back_ms < WALL; back_ms *= 10) {
        assert_true(back(&t, &r, WALL - back_ms, S(5)));
        assert_int_equal(swg__freshness_age(&t.life, S(5)), S(7));
        assert_int_equal(swg__freshness_left(&t.life, S(5)), SWG_MS(STORED_FUTURE_MAX_MS));
    }
}

static void a_clock_that_jumped_on_makes_it_old(void **state) {
    struct cache_stored s = usual(), t;
    struct cache_record r = record_of(&s, WALL, S(1000));
    static const int64_t clocks[] = {WALL * 2, INT64_MAX / 2, INT64_MAX};
    for (size_t i = 0; i < sizeof(clocks) / sizeof(clocks[0]); i++) {
        assert_true(back(&t, &r, clocks[i], S(5)));
        assert_true(swg__freshness_over(&t.life, S(5)));
    }
}

static void times_never_overflow(void **state) {
    struct cache_stored s = usual(), t;
    s.life = (struct swg__freshness){.at_ns = S(1),
                                     .age_ns = UINT64_MAX,
                                     .lifetime_ns = UINT64_MAX,
                                     .revalidate_ns = UINT64_MAX,
                                     .stale_ns = UINT64_MAX,
                                     .stale_forced_ns = UINT64_MAX};
    struct cache_record r = record_of(&s, 0, S(500));
    assert_int_equal(r.came_ms, 0);
    uint8_t header[CACHE_RECORD_HEADER], digest[CACHE_RECORD_DIGEST];
    struct cache_record again;
    assert_int_equal(cache_record_write(&r, header, digest), 0);
    assert_int_equal(cache_record_read_header(header, &again), 0);
    again.lines = BYTES("X-Own: 1\r\n");
    again.etag = BYTES("");
    assert_true(back(&t, &again, INT64_MAX, S(1)));
    assert_true(cache_record_over_ms(&again) >= again.came_ms);
    (void)swg__freshness_left(&t.life, UINT64_MAX);
}

static void what_cannot_be_sent_is_not_taken(void **state) {
    struct cache_stored s = usual(), t;
    struct cache_record good = record_of(&s, WALL, S(1000)), r;
#define REFUSED(change) \
    r = good;           \
    change;             \
    assert_false(back(&t, &r, WALL, S(5)))
    assert_true(back(&t, &good, WALL, S(5)));
    REFUSED(r.kind = CACHE_RECORD_REMOVED);
    REFUSED(r.status = 199);
    REFUSED(r.status = 206);
    REFUSED(r.status = 304);
    REFUSED(r.status = 600);
    REFUSED(r.etag = BYTES("\"a\"\r\nX: y"));
    REFUSED(r.etag = BYTES("\"\0\""));
    REFUSED(r.lines = BYTES("X-Own: 1"));
    REFUSED(r.lines = BYTES("X-Own: 1\r\n\r\n"));
    REFUSED(r.lines = BYTES("X-Own: 1\r\n\r\nbody"));
    REFUSED(r.lines = BYTES("Connection: close\r\n"));
    REFUSED(r.lines = BYTES("Content-Length: 4\r\n"));
    REFUSED(r.lines = BYTES("Age: 4\r\n"));
    REFUSED(r.lines = BYTES("Set-Cookie: a=b\r\n"));
    REFUSED(r.lines = BYTES("Bad Name: 1\r\n"));
    r = good;
    r.last_modified_s = INT64_MAX;
    assert_true(back(&t, &r, WALL, S(5)) && !t.has_last_modified);
}

/* ---- into a cache ---------------------------------------------------------------- */

static struct cache_entry *restore(struct cache *c, const struct cache_flight *f, const char *path,
                                   const char *lines, const struct cache_stored *s,
                                   uint64_t now_ns) {
    struct head h;
    struct cache_key key = key_of(path);
    struct cache_entry *e = cache_restore(c, f, &key, request_of(&h, lines), s, now_ns);
    cache_check(c);
    return e;
}

static void the_newer_one_stays(void **state) {
    struct cache *c;
    struct cache_stored s = usual();
    assert_int_equal(cache_create(&c, 1 << 20, 4), 0);
    put(c, "/a", "", "Cache-Control: max-age=60", "newer", S(1005));
    struct cache_entry *e = restore(c, NULL, "/a", "", &s, S(1006)); /* 13 s old */
    assert_true(bytes_equal(cache_entry_body(e), BYTES("newer")));
    cache_entry_release(e);
    assert_string_equal(got(c, "/a", "", S(1006)), "newer");
    s.life.age_ns = 0;
    s.life.at_ns = S(1006);
    e = restore(c, NULL, "/a", "", &s, S(1006));
    assert_true(bytes_equal(cache_entry_body(e), s.body));
    cache_entry_release(e);
    assert_string_equal(got(c, "/a", "", S(1006)), "body");
    cache_destroy(c);
}

static void what_was_invalidated_does_not_come_back(void **state) {
    struct cache *c;
    struct cache_result r;
    struct cache_stored s = usual();
    struct cache_key key = key_of("/a");
    assert_int_equal(cache_create(&c, 1 << 20, 4), 0);
    assert_int_equal(look(c, "/a", "", NULL, S(1001), &r), CACHE_MISS_LEAD);
    cache_invalidate(c, &key);
    assert_null(restore(c, r.flight, "/a", "", &s, S(1001)));
    assert_string_equal(got(c, "/a", "", S(1001)), "");
    cache_abandon(&r.flight, SWG__FLIGHT_CANCELLED, S(1001));
    cache_destroy(c);
}

static void what_is_not_for_this_request_is_not_taken(void **state) {
    struct cache *c;
    struct cache_stored s = usual();
    static const char varied[] = "\x06\0\0\0Accept\x01\0\0\0a";
    s.varied = (struct bytes){varied, sizeof(varied) - 1};
    assert_int_equal(cache_create(&c, 1 << 20, 4), 0);
    assert_null(restore(c, NULL, "/a", "Accept: b", &s, S(1001)));
    assert_null(restore(c, NULL, "/a", "", &s, S(1001)));
    for (size_t len = 1; len < s.varied.len; len++) {
        struct cache_stored cut = s;
        char *copy = malloc(len);
        memcpy(copy, varied, len);
        cut.varied = (struct bytes){copy, len};
        assert_null(restore(c, NULL, "/a", "Accept: a", &cut, S(1001)));
        free(copy);
    }
    struct cache_entry *e = restore(c, NULL, "/a", "Accept: a", &s, S(1001));
    assert_non_null(e);
    cache_entry_release(e);
    s.life.lifetime_ns = s.life.revalidate_ns = s.life.stale_ns = s.life.stale_forced_ns = 0;
    assert_null(restore(c, NULL, "/b", "Accept: a", &s, S(1001))); /* over */
    s = usual();
    s.body.len = SIZE_MAX / 2;
    assert_null(restore(c, NULL, "/b", "", &s, S(1001))); /* too large */
    cache_destroy(c);
}

static void entries_are_bounded(void **state) {
    struct cache *c;
    struct cache_stats stats;
    char path[32];
    assert_int_equal(cache_create(&c, 16 << 20, 4), 0);
    cache_limit_entries(c, 400);
    for (int i = 0; i < 3000; i++) {
        snprintf(path, sizeof(path), "/%d", i);
        put(c, path, "", "Cache-Control: max-age=60", "x", S(1000));
        cache_read(c, &stats);
        assert_true(stats.entries <= 400);
    }
    cache_check(c);
    assert_true(stats.entries > 300 && stats.evictions > 2000);
    cache_limit_entries(c, 0);
    for (int i = 0; i < 1000; i++) {
        snprintf(path, sizeof(path), "/again%d", i);
        put(c, path, "", "Cache-Control: max-age=60", "x", S(1000));
    }
    cache_read(c, &stats);
    assert_true(stats.entries > 1000);
    cache_destroy(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ages_go_on_in_between),
        cmocka_unit_test(a_clock_that_jumped_back_makes_nothing_younger),
        cmocka_unit_test(a_clock_that_jumped_on_makes_it_old),
        cmocka_unit_test(times_never_overflow),
        cmocka_unit_test(what_cannot_be_sent_is_not_taken),
        cmocka_unit_test(the_newer_one_stays),
        cmocka_unit_test(what_was_invalidated_does_not_come_back),
        cmocka_unit_test(what_is_not_for_this_request_is_not_taken),
        cmocka_unit_test(entries_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
