/* cache_test.c - what is found, for whom, and that the bound holds. */
#include "cache_scene.h"

static struct cache *make(size_t bytes_max) {
    struct cache *c;
    assert_int_equal(cache_create(&c, bytes_max, 4), 0);
    return c;
}

static void end(struct cache *c) {
    cache_check(c);
    cache_destroy(c);
}

static struct cache_stats stats(struct cache *c) {
    struct cache_stats s;
    cache_read(c, &s);
    return s;
}

/* ---- finding ----------------------------------------------------------- */

static void what_was_stored_is_found_until_it_is_stale(void **state) {
    struct cache *c = make(1 << 20);
    assert_string_equal(got(c, "/a", "", T0), "");
    assert_int_equal(put(c, "/a", "", "Cache-Control: max-age=10", "hello", T0), SWG__STORE_OK);
    assert_string_equal(got(c, "/a", "", T0 + S(10) - 1), "hello");
    assert_string_equal(got(c, "/b", "", T0), "");
    assert_string_equal(got(c, "/a", "", T0 + S(10)), "");
    struct cache_stats s = stats(c);
    assert_int_equal(s.hits_fresh, 1);
    assert_int_equal(s.misses, 4);
    assert_int_equal(s.stored, 1);
    assert_int_equal(s.entries, 1);
    end(c);
}

static void an_entry_tells_all_its_parts(void **state) {
    struct cache *c = make(1 << 20);
    struct cache_result r;
    const char *lines = "ETag: \"v1\"\nContent-Type: text/plain\nAge: 3";
    assert_int_equal(put(c, "/a", "", lines, "hello", T0), SWG__STORE_OK);
    assert_int_equal(look(c, "/a", "", NULL, T0 + S(4), &r), CACHE_FRESH);
    assert_int_equal(cache_entry_status(r.entry), 200);
    assert_true(bytes_equal(cache_entry_lines(r.entry), bytes_of(lines)));
    assert_true(bytes_equal(cache_entry_etag(r.entry), BYTES("\"v1\"")));
    assert_true(bytes_equal(cache_entry_body(r.entry), BYTES("hello")));
    assert_int_equal(cache_entry_age_s(r.entry, T0 + S(4)), 7);
    assert_int_equal(cache_entry_left_s(r.entry, T0 + S(4)), 53);
    assert_true(cache_entry_is_fresh(r.entry, T0 + S(4)));
    assert_false(cache_entry_is_fresh(r.entry, T0 + S(57)));
    cache_entry_release(r.entry);
    end(c);
}

static void a_newer_answer_replaces_the_older(void **state) {
    struct cache *c = make(1 << 20);
    put(c, "/a", "", "", "one", T0);
    assert_int_equal(put(c, "/a", "Cache-Control: no-cache", "", "two", T0 + S(1)), SWG__STORE_OK);
    assert_string_equal(got(c, "/a", "", T0 + S(1)), "two");
    assert_int_equal(stats(c).entries, 1);
    end(c);
}

static void an_entry_in_use_outlives_its_place(void **state) {
    struct cache *c = make(1 << 20);
    struct cache_result r;
    put(c, "/a", "", "", "one", T0);
    assert_int_equal(look(c, "/a", "", NULL, T0, &r), CACHE_FRESH);
    struct cache_key key = key_of("/a");
    cache_invalidate(c, &key);
    assert_string_equal(got(c, "/a", "", T0), "");
    assert_true(bytes_equal(cache_entry_body(r.entry), BYTES("one")));
    cache_entry_hold(r.entry);
    cache_entry_release(r.entry);
    assert_true(bytes_equal(cache_entry_body(r.entry), BYTES("one")));
    cache_entry_release(r.entry);
    end(c);
}

static void what_is_over_is_dropped(void **state) {
    struct cache *c = make(1 << 20);
    put(c, "/a", "", "Cache-Control: max-age=10, must-revalidate", "x", T0);
    assert_int_equal(stats(c).entries, 1);
    assert_string_equal(got(c, "/a", "", T0 + S(10)), "");
    assert_int_equal(stats(c).entries, 0);
    end(c);
}

static void a_clients_wishes_are_heard(void **state) {
    struct cache *c = make(1 << 20);
    struct cache_result r;
    put(c, "/a", "", "Cache-Control: max-age=60", "x", T0);
    assert_string_equal(got(c, "/a", "Cache-Control: max-age=5", T0 + S(4)), "x");
    assert_string_equal(got(c, "/a", "Cache-Control: max-age=5", T0 + S(6)), "");
    assert_string_equal(got(c, "/a", "Cache-Control: no-cache", T0), "");
    assert_string_equal(got(c, "/a", "Pragma: no-cache", T0), "");
    assert_string_equal(got(c, "/a", "Pragma: no-cache\nCache-Control: max-age=9", T0), "x");
    assert_string_equal(got(c, "/a", "Cache-Control: no-store", T0), "x");
    assert_int_equal(look(c, "/a", "Cache-Control: max-stale", NULL, T0 + S(99), &r), CACHE_STALE);
    cache_entry_release(r.entry);
    assert_int_equal(look(c, "/a", "Cache-Control: only-if-cached", NULL, T0 + S(99), &r),
                     CACHE_UNAVAILABLE);
    assert_null(r.flight);
    end(c);
}

/* ---- stale ------------------------------------------------------------- */

static void one_refreshes_the_others_are_served_stale(void **state) {
    struct cache *c = make(1 << 20);
    struct cache_result first, second;
    put(c, "/a", "", "Cache-Control: max-age=10, stale-while-revalidate=20", "old", T0);
    assert_int_equal(look(c, "/a", "", NULL, T0 + S(11), &first), CACHE_STALE_REFRESH);
    assert_int_equal(look(c, "/a", "", NULL, T0 + S(11), &second), CACHE_STALE);
    assert_true(bytes_equal(cache_entry_body(first.entry), BYTES("old")));
    assert_ptr_equal(first.entry, second.entry);
    assert_null(second.flight);
    cache_entry_release(first.entry);
    cache_entry_release(second.entry);
    assert_int_equal(begin(&first.flight, "", 200, "", 3, T0 + S(12)), SWG__STORE_OK);
    cache_fill_append(&first.flight, BYTES("new"));
    assert_int_equal(cache_fill_commit(&first.flight, T0 + S(12)), SWG__STORE_OK);
    assert_string_equal(got(c, "/a", "", T0 + S(12)), "new");
    end(c);
}

/* What is old when it comes lets nobody wait; it is refreshed all the same. */
static void an_answer_that_is_stale_at_once_is_refreshed_each_time(void **state) {
    struct cache *c = make(1 << 20);
    struct cache_result r;
    put(c, "/a", "", "Cache-Control: max-age=0, stale-while-revalidate=20", "old", T0);
    assert_int_equal(look(c, "/a", "", NULL, T0 + S(1), &r), CACHE_STALE_REFRESH);
    cache_entry_release(r.entry);
    cache_abandon(&r.flight, SWG__FLIGHT_FAILED, T0 + S(1));
    assert_int_equal(look(c, "/a", "", NULL, T0 + S(2), &r), CACHE_STALE_REFRESH);
    cache_entry_release(r.entry);
    cache_abandon(&r.flight, SWG__FLIGHT_FAILED, T0 + S(2));
    end(c);
}

/* Also where it brings what may not be stored. */
static void a_refresh_in_vain_is_not_tried_again_at_once(void **state) {
    struct cache *c = make(1 << 20);
    struct cache_result r;
    put(c, "/a", "", "Cache-Control: max-age=10, stale-while-revalidate=90", "old", T0);
    for (int i = 0; i < 3; i++) {
        uint64_t now_ns = T0 + S(20 + i);
        assert_int_equal(look(c, "/a", "", NULL, now_ns, &r), CACHE_STALE_REFRESH);
        cache_entry_release(r.entry);
        if (i == 0)
            cache_abandon(&r.flight, SWG__FLIGHT_FAILED, now_ns);
        else if (i == 1)
            begin(&r.flight, "", 503, "", 3, now_ns);
        else
            begin(&r.flight, "", 200, "Cache-Control: no-store", 3, now_ns);
        assert_null(r.flight);
        assert_int_equal(look(c, "/a", "", NULL, now_ns + S(1) - 1, &r), CACHE_STALE);
        assert_null(r.flight);
        cache_entry_release(r.entry);
    }
    /* who gave up says nothing about the service */
    assert_int_equal(look(c, "/a", "", NULL, T0 + S(30), &r), CACHE_STALE_REFRESH);
    cache_entry_release(r.entry);
    cache_abandon(&r.flight, SWG__FLIGHT_CANCELLED, T0 + S(30));
    assert_int_equal(look(c, "/a", "", NULL, T0 + S(30), &r), CACHE_STALE_REFRESH);
    cache_entry_release(r.entry);
    cache_abandon(&r.flight, SWG__FLIGHT_CANCELLED, T0 + S(30));
    end(c);
}

static enum swg__storable renew(struct cache_flight **f, const char *lines,
                                const struct cache_entry *old, uint64_t now_ns,
                                struct cache_entry **out) {
    struct head asked, said;
    struct cache_answer a;
    request_of(&asked, "");
    head_read(&said, lines);
    cache_answer_read(&a, 200, said.fields, said.count, &asked.request, SCENE_WALL);
    a.length = cache_entry_body(old).len;
    a.lines = bytes_of(lines);
    a.facts.asked_ns = a.facts.came_ns = now_ns;
    *out = NULL;
    return cache_fill_renewed(f, &asked.request, &a, &scene_terms, old, out);
}

static void who_fetches_is_told_what_is_there_and_may_renew_it(void **state) {
    struct cache *c = make(1 << 20);
    struct cache_result r;
    struct cache_entry *e;
    put(c, "/a", "", "Cache-Control: max-age=10\nETag: \"v\"", "old", T0);
    assert_int_equal(look(c, "/a", "", NULL, T0 + S(20), &r), CACHE_MISS_LEAD);
    assert_true(bytes_equal(cache_entry_etag(r.entry), BYTES("\"v\"")));
    assert_int_equal(renew(&r.flight, "Cache-Control: max-age=5\nX: 1", r.entry, T0 + S(20), &e),
                     SWG__STORE_OK);
    assert_null(r.flight);
    assert_true(bytes_equal(cache_entry_body(e), BYTES("old")));
    assert_true(bytes_equal(cache_entry_lines(e), BYTES("Cache-Control: max-age=5\nX: 1")));
    cache_entry_release(e);
    cache_entry_release(r.entry);
    assert_string_equal(got(c, "/a", "", T0 + S(24)), "old");
    assert_int_equal(stats(c).entries, 1);

    /* nor does it come back where it may not be kept, or was written to */
    assert_int_equal(look(c, "/a", "", NULL, T0 + S(30), &r), CACHE_MISS_LEAD);
    assert_int_equal(renew(&r.flight, "Cache-Control: no-store", r.entry, T0 + S(30), &e),
                     SWG__STORE_NO_STORE);
    assert_null(e);
    cache_entry_release(r.entry);
    assert_string_equal(got(c, "/a", "", T0 + S(30)), "");
    assert_int_equal(look(c, "/a", "", NULL, T0 + S(40), &r), CACHE_MISS_LEAD);
    struct cache_key key = key_of("/a");
    cache_invalidate(c, &key);
    assert_int_equal(renew(&r.flight, "", r.entry, T0 + S(40), &e), SWG__STORE_OK);
    assert_null(e);
    cache_entry_release(r.entry);
    assert_string_equal(got(c, "/a", "", T0 + S(40)), "");
    end(c);
}

static struct cache_entry *find_stale(struct cache *c, const char *path, const char *request,
                                      uint64_t max_ns, uint64_t now_ns) {
    struct head h;
    struct cache_key key = key_of(path);
    return cache_find_stale(c, &key, request_of(&h, request), max_ns, false, now_ns);
}

static void the_stale_tier_finds_what_may_be_used(void **state) {
    struct cache *c = make(1 << 20);
    struct cache_entry *e;
    put(c, "/a", "", "Cache-Control: max-age=10", "old", T0);
    put(c, "/strict", "", "Cache-Control: max-age=10, must-revalidate", "old", T0);
    e = find_stale(c, "/a", "Cache-Control: no-cache", SWG_OFF, T0 + S(609));
    assert_non_null(e);
    assert_false(cache_entry_is_fresh(e, T0 + S(609)));
    cache_entry_release(e);
    assert_null(find_stale(c, "/a", "", S(5), T0 + S(15)));
    assert_null(find_stale(c, "/b", "", SWG_OFF, T0 + S(15)));
    assert_null(find_stale(c, "/strict", "", SWG_OFF, T0 + S(11)));
    assert_null(find_stale(c, "/a", "", SWG_OFF, T0 + S(610)));
    assert_int_equal(stats(c).hits_stale, 1);
    end(c);
}

static void a_failed_fetch_leaves_the_old_answer(void **state) {
    struct cache *c = make(1 << 20);
    struct cache_result r;
    put(c, "/a", "", "Cache-Control: max-age=10", "old", T0);
    assert_int_equal(look(c, "/a", "", NULL, T0 + S(20), &r), CACHE_MISS_LEAD);
    cache_entry_release(r.entry);
    assert_int_equal(begin(&r.flight, "", 503, "Cache-Control: max-age=99", 0, T0 + S(20)),
                     SWG__STORE_FAILURE);
    struct cache_entry *e = find_stale(c, "/a", "", SWG_OFF, T0 + S(20));
    assert_non_null(e);
    cache_entry_release(e);
    end(c);
}

/* ---- variants ---------------------------------------------------------- */

static void variants_are_told_apart(void **state) {
    struct cache *c = make(1 << 20);
    const char *vary = "Vary: Accept-Language, X-Plan";
    put(c, "/a", "Accept-Language: de\nX-Plan: gold", vary, "de gold", T0);
    put(c, "/a", "Accept-Language: en\nX-Plan: gold", vary, "en gold", T0);
    put(c, "/a", "Accept-Language: de", vary, "de", T0);
    assert_int_equal(stats(c).entries, 3);
    assert_string_equal(got(c, "/a", "accept-language: de\nX-PLAN: gold", T0), "de gold");
    assert_string_equal(got(c, "/a", "X-Plan: gold\nAccept-Language: en", T0), "en gold");
    assert_string_equal(got(c, "/a", "Accept-Language: de\nOther: x", T0), "de");
    assert_string_equal(got(c, "/a", "Accept-Language: de\nX-Plan:", T0), "");
    assert_string_equal(got(c, "/a", "Accept-Language: d", T0), "");
    assert_string_equal(got(c, "/a", "Accept-Language: de, en", T0), "");
    assert_string_equal(got(c, "/a", "", T0), "");
    end(c);
}

static void several_values_of_a_field_count_as_one_list(void **state) {
    struct cache *c = make(1 << 20);
    put(c, "/a", "X: 1\nX: 2", "Vary: X", "both", T0);
    assert_string_equal(got(c, "/a", "X: 1\nY: 0\nX: 2", T0), "both");
    assert_string_equal(got(c, "/a", "X: 1, 2", T0), "both");
    assert_string_equal(got(c, "/a", "X: 2\nX: 1", T0), "");
    assert_string_equal(got(c, "/a", "X: 1", T0), "");
    assert_string_equal(got(c, "/a", "X: 1\nX: 2\nX: 3", T0), "");
    end(c);
}

static void an_answer_that_no_longer_varies_replaces_all(void **state) {
    struct cache *c = make(1 << 20);
    put(c, "/a", "X: 1", "Vary: X", "1", T0);
    put(c, "/a", "X: 2", "Vary: X", "2", T0);
    put(c, "/a", "X: 3", "", "all", T0 + S(1));
    assert_int_equal(stats(c).entries, 1);
    assert_string_equal(got(c, "/a", "X: 1", T0 + S(1)), "all");
    put(c, "/a", "Cache-Control: no-cache\nX: 1", "Vary: X", "1 again", T0 + S(2));
    assert_string_equal(got(c, "/a", "X: 1", T0 + S(2)), "1 again");
    assert_string_equal(got(c, "/a", "X: 2", T0 + S(2)), "all");
    end(c);
}

static void variants_of_one_key_are_bounded(void **state) {
    struct cache *c = make(1 << 20);
    char field[32];
    for (int i = 0; i < 40; i++) {
        snprintf(field, sizeof(field), "X: %d", i);
        put(c, "/a", field, "Vary: X", field, T0 + (uint64_t)i);
    }
    assert_int_equal(stats(c).entries, 16);
    assert_string_equal(got(c, "/a", "X: 39", T0 + 50), "X: 39");
    assert_string_equal(got(c, "/a", "X: 24", T0 + 50), "X: 24");
    assert_string_equal(got(c, "/a", "X: 23", T0 + 50), "");
    end(c);
}

static void what_varies_too_much_is_not_stored(void **state) {
    struct cache *c = make(1 << 20);
    static char request[9000] = "X: ";
    assert_int_equal(put(c, "/star", "", "Vary: Accept, *", "", T0), SWG__STORE_VARIES);
    assert_int_equal(put(c, "/many", "", "Vary: a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p", "", T0),
                     SWG__STORE_OK);
    assert_int_equal(put(c, "/more", "", "Vary: a,b,c,d,e,f,g,h,i\nVary: j,k,l,m,n,o,p,q", "", T0),
                     SWG__STORE_VARIES);
    memset(request + 3, 'x', sizeof(request) - 4);
    assert_int_equal(put(c, "/long", request, "Vary: X", "", T0), SWG__STORE_VARIES);
    assert_int_equal(stats(c).refused[SWG__STORE_VARIES], 3);
    end(c);
}

/* ---- filling ----------------------------------------------------------- */

static void an_unfinished_answer_is_never_found(void **state) {
    struct cache *c = make(1 << 20);
    struct cache_result r;
    assert_int_equal(look(c, "/a", "", NULL, T0, &r), CACHE_MISS_LEAD);
    assert_int_equal(begin(&r.flight, "", 200, "", 10, T0), SWG__STORE_OK);
    assert_int_equal(cache_fill_append(&r.flight, BYTES("12345")), SWG__STORE_OK);
    assert_string_equal(got(c, "/a", "", T0), "");
    assert_int_equal(cache_fill_commit(&r.flight, T0), SWG__STORE_INCOMPLETE);
    assert_null(r.flight);
    assert_string_equal(got(c, "/a", "", T0), "");

    assert_int_equal(look(c, "/a", "", NULL, T0, &r), CACHE_MISS_LEAD);
    assert_int_equal(begin(&r.flight, "", 200, "", UINT64_MAX, T0), SWG__STORE_OK);
    cache_fill_append(&r.flight, BYTES("12345"));
    cache_abandon(&r.flight, SWG__FLIGHT_FAILED, T0);
    assert_null(r.flight);
    assert_string_equal(got(c, "/a", "", T0), "");
    assert_int_equal(stats(c).refused[SWG__STORE_INCOMPLETE], 2);

    assert_int_equal(look(c, "/a", "", NULL, T0, &r), CACHE_MISS_LEAD);
    assert_int_equal(cache_fill_commit(&r.flight, T0), SWG__STORE_INCOMPLETE);
    end(c);
}

static void calls_after_the_end_do_nothing(void **state) {
    struct cache *c = make(1 << 20);
    struct cache_flight *none = NULL;
    assert_int_equal(begin(&none, "", 200, "", 1, T0), SWG__STORE_OK);
    assert_int_equal(cache_fill_append(&none, BYTES("x")), SWG__STORE_OK);
    assert_int_equal(cache_fill_commit(&none, T0), SWG__STORE_OK);
    cache_abandon(&none, SWG__FLIGHT_FAILED, T0);
    assert_int_equal(stats(c).entries, 0);
    end(c);
}

static void a_large_answer_is_refused_as_soon_as_that_is_known(void **state) {
    enum { MAX = 1 << 20 };
    static char piece[MAX / 16];
    struct cache *c = make(MAX);
    struct cache_result r;
    struct bytes p = {piece, sizeof(piece)};
    assert_int_equal(look(c, "/a", "", NULL, T0, &r), CACHE_MISS_LEAD);
    assert_int_equal(begin(&r.flight, "", 200, "", MAX / 8 + 1, T0), SWG__STORE_TOO_LARGE);
    assert_int_equal(look(c, "/b", "", NULL, T0, &r), CACHE_MISS_LEAD);
    assert_int_equal(begin(&r.flight, "", 200, "", UINT64_MAX - 1, T0), SWG__STORE_TOO_LARGE);
    assert_int_equal(look(c, "/c", "", NULL, T0, &r), CACHE_MISS_LEAD);
    assert_int_equal(begin(&r.flight, "", 200, "", UINT64_MAX, T0), SWG__STORE_OK);
    assert_int_equal(cache_fill_append(&r.flight, p), SWG__STORE_OK);
    assert_int_equal(cache_fill_append(&r.flight, p), SWG__STORE_OK);
    assert_int_equal(cache_fill_append(&r.flight, BYTES("x")), SWG__STORE_TOO_LARGE);
    assert_null(r.flight);
    /* It is known for a while, and then found out again. */
    assert_int_equal(look(c, "/c", "", NULL, T0 + S(59), &r), CACHE_MISS_ALONE);
    assert_int_equal(look(c, "/c", "", NULL, T0 + S(60), &r), CACHE_MISS_LEAD);
    cache_abandon(&r.flight, SWG__FLIGHT_CANCELLED, T0);
    end(c);
}

static void the_bound_holds_and_the_useful_stays(void **state) {
    enum { MAX = 1 << 20 };
    static char body[4000];
    struct cache *c = make(MAX);
    char path[32];
    memset(body, 'x', sizeof(body) - 1);
    put(c, "/useful", "", "", "useful", T0);
    for (int i = 0; i < 2000; i++) {
        snprintf(path, sizeof(path), "/%d", i);
        assert_int_equal(put(c, path, "", "", body, T0), SWG__STORE_OK);
        assert_true(stats(c).bytes <= MAX);
        if (i % 20 == 0)
            assert_string_equal(got(c, "/useful", "", T0), "useful");
    }
    cache_check(c);
    struct cache_stats s = stats(c);
    assert_true(s.entries > 200 && s.entries < 262);
    assert_int_equal(s.evictions, 2001 - s.entries);
    assert_true(s.bytes > MAX - MAX / 10);
    end(c);
}

static void small_entries_are_counted_with_their_overhead(void **state) {
    enum { MAX = 1 << 20 };
    struct cache *c = make(MAX);
    char path[32];
    for (int i = 0; i < 10000; i++) {
        snprintf(path, sizeof(path), "/%d", i);
        assert_int_equal(put(c, path, "", "", "", T0), SWG__STORE_OK);
    }
    cache_check(c);
    struct cache_stats s = stats(c);
    assert_true(s.bytes <= MAX);
    assert_true(s.entries > 2000 && s.entries < MAX / 200);
    end(c);
}

static void entries_in_use_keep_their_room(void **state) {
    enum { MAX = 1 << 20, HELD = 9 };
    static char body[MAX / 10];
    struct cache *c = make(MAX);
    struct cache_result r;
    struct cache_entry *held[HELD];
    char path[32];
    memset(body, 'x', sizeof(body) - 1);
    for (int i = 0; i < HELD; i++) {
        snprintf(path, sizeof(path), "/held/%d", i);
        assert_int_equal(put(c, path, "", "", body, T0), SWG__STORE_OK);
        assert_int_equal(look(c, path, "", NULL, T0, &r), CACHE_FRESH);
        held[i] = r.entry;
    }
    assert_int_equal(put(c, "/more", "", "", body, T0), SWG__STORE_NO_ROOM);
    assert_true(stats(c).bytes <= MAX);
    assert_string_equal(got(c, "/held/0", "", T0)[0] ? "there" : "gone", "there");
    for (int i = 0; i < HELD; i++)
        cache_entry_release(held[i]);
    assert_int_equal(put(c, "/again", "", "", body, T0), SWG__STORE_OK);
    end(c);
}

static void a_smaller_bound_evicts_at_once(void **state) {
    static char body[4000];
    struct cache *c = make(4 << 20);
    char path[32];
    memset(body, 'x', sizeof(body) - 1);
    for (int i = 0; i < 500; i++) {
        snprintf(path, sizeof(path), "/%d", i);
        put(c, path, "", "", body, T0);
    }
    assert_int_equal(stats(c).entries, 500);
    cache_resize(c, 1 << 20);
    struct cache_stats s = stats(c);
    assert_true(s.bytes <= 1 << 20);
    assert_true(s.entries > 200);
    cache_resize(c, 4 << 20);
    assert_int_equal(put(c, "/x", "", "", body, T0), SWG__STORE_OK);
    cache_resize(c, 0);
    assert_int_equal(stats(c).entries, 0);
    struct cache_result r;
    assert_int_equal(look(c, "/x", "", NULL, T0, &r), CACHE_MISS_ALONE);
    cache_destroy(c);
}

static void a_bound_too_small_for_anything_stores_nothing(void **state) {
    struct cache *c;
    struct cache_result r;
    assert_int_equal(cache_create(&c, 0, 64), 0);
    assert_int_equal(look(c, "/x", "", NULL, T0, &r), CACHE_MISS_ALONE);
    cache_destroy(c);
}

/* ---- invalidation ------------------------------------------------------ */

static void a_write_makes_what_is_being_fetched_unfit(void **state) {
    struct cache *c = make(1 << 20);
    struct cache_result before, after;
    struct cache_key key = key_of("/a");
    assert_int_equal(look(c, "/a", "", NULL, T0, &before), CACHE_MISS_LEAD);
    assert_int_equal(begin(&before.flight, "", 200, "", UINT64_MAX, T0), SWG__STORE_OK);
    cache_invalidate(c, &key);
    assert_int_equal(look(c, "/a", "", NULL, T0, &after), CACHE_MISS_LEAD);
    assert_int_equal(cache_fill_commit(&before.flight, T0), SWG__STORE_OK);
    assert_string_equal(got(c, "/a", "", T0), "");
    assert_int_equal(begin(&after.flight, "", 200, "", UINT64_MAX, T0), SWG__STORE_OK);
    cache_fill_append(&after.flight, BYTES("new"));
    assert_int_equal(cache_fill_commit(&after.flight, T0), SWG__STORE_OK);
    assert_string_equal(got(c, "/a", "", T0), "new");
    cache_invalidate(c, &key);
    assert_string_equal(got(c, "/a", "", T0), "");
    assert_int_equal(stats(c).invalidated, 1);
    end(c);
}

/* ---- preconditions ----------------------------------------------------- */

static bool matches(struct cache *c, const char *path, const char *request) {
    struct cache_result r;
    struct head h;
    assert_int_equal(look(c, path, "", NULL, T0, &r), CACHE_FRESH);
    head_read(&h, request);
    bool matched = cache_entry_matches(r.entry, h.fields, h.count);
    cache_entry_release(r.entry);
    return matched;
}

static void preconditions_are_answered_from_the_entry(void **state) {
    struct cache *c = make(1 << 20);
    const char *modified = "Last-Modified: Tue, 15 Nov 1994 12:45:26 GMT";
    put(c, "/tag", "", "ETag: \"a,\\\"\nLast-Modified: Tue, 15 Nov 1994 12:45:26 GMT", "", T0);
    put(c, "/weak", "", "ETag: W/\"w\"", "", T0);
    put(c, "/date", "", modified, "", T0);
    put(c, "/none", "", "", "", T0);

    struct cache_result r;
    assert_int_equal(look(c, "/404", "", NULL, T0, &r), CACHE_MISS_LEAD);
    assert_int_equal(begin(&r.flight, "", 404, "ETag: \"x\"", 0, T0), SWG__STORE_OK);
    cache_fill_commit(&r.flight, T0);
    assert_false(matches(c, "/404", "If-None-Match: \"x\""));

    assert_false(matches(c, "/tag", ""));
    assert_true(matches(c, "/tag", "If-None-Match: \"a,\\\""));
    assert_true(matches(c, "/tag", "If-None-Match: W/\"a,\\\""));
    assert_true(matches(c, "/tag", "If-None-Match: \"x\" , \"a,\\\""));
    assert_true(matches(c, "/tag", "If-None-Match: \"x\"\nIf-None-Match: \"a,\\\""));
    assert_true(matches(c, "/tag", "If-None-Match: *"));
    assert_false(matches(c, "/tag", "If-None-Match: \"a\""));
    assert_false(matches(c, "/tag", "If-None-Match: a,\\"));
    assert_false(matches(c, "/tag", "If-None-Match: \"a,\\"));
    assert_false(matches(c, "/tag", "If-None-Match: W/"));
    assert_true(matches(c, "/weak", "If-None-Match: \"w\""));
    assert_true(matches(c, "/none", "If-None-Match: *"));
    assert_false(matches(c, "/none", "If-None-Match: \"\""));

    assert_true(matches(c, "/date", "If-Modified-Since: Tue, 15 Nov 1994 12:45:26 GMT"));
    assert_true(matches(c, "/date", "If-Modified-Since: Wed, 16 Nov 1994 12:45:26 GMT"));
    assert_false(matches(c, "/date", "If-Modified-Since: Mon, 14 Nov 1994 12:45:26 GMT"));
    assert_false(matches(c, "/date", "If-Modified-Since: yesterday"));
    assert_false(matches(c, "/none", "If-Modified-Since: Wed, 16 Nov 1994 12:45:26 GMT"));
    /* The tag is the better witness. */
    assert_false(matches(c, "/tag",
                         "If-Modified-Since: Wed, 16 Nov 1994 12:45:26 GMT\nIf-None-Match: \"x\""));
    end(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_stored_is_found_until_it_is_stale),
        cmocka_unit_test(an_entry_tells_all_its_parts),
        cmocka_unit_test(a_newer_answer_replaces_the_older),
        cmocka_unit_test(an_entry_in_use_outlives_its_place),
        cmocka_unit_test(what_is_over_is_dropped),
        cmocka_unit_test(a_clients_wishes_are_heard),
        cmocka_unit_test(one_refreshes_the_others_are_served_stale),
        cmocka_unit_test(an_answer_that_is_stale_at_once_is_refreshed_each_time),
        cmocka_unit_test(a_refresh_in_vain_is_not_tried_again_at_once),
        cmocka_unit_test(who_fetches_is_told_what_is_there_and_may_renew_it),
        cmocka_unit_test(the_stale_tier_finds_what_may_be_used),
        cmocka_unit_test(a_failed_fetch_leaves_the_old_answer),
        cmocka_unit_test(variants_are_told_apart),
        cmocka_unit_test(several_values_of_a_field_count_as_one_list),
        cmocka_unit_test(an_answer_that_no_longer_varies_replaces_all),
        cmocka_unit_test(variants_of_one_key_are_bounded),
        cmocka_unit_test(what_varies_too_much_is_not_stored),
        cmocka_unit_test(an_unfinished_answer_is_never_found),
        cmocka_unit_test(calls_after_the_end_do_nothing),
        cmocka_unit_test(a_large_answer_is_refused_as_soon_as_that_is_known),
        cmocka_unit_test(the_bound_holds_and_the_useful_stays),
        cmocka_unit_test(small_entries_are_counted_with_their_overhead),
        cmocka_unit_test(entries_in_use_keep_their_room),
        cmocka_unit_test(a_smaller_bound_evicts_at_once),
        cmocka_unit_test(a_bound_too_small_for_anything_stores_nothing),
        cmocka_unit_test(a_write_makes_what_is_being_fetched_unfit),
        cmocka_unit_test(preconditions_are_answered_from_the_entry),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
