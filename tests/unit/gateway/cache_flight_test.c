/* cache_flight_test.c - one upstream request for many equal ones. */
#include "cache_scene.h"

static struct cache *make(void) {
    struct cache *c;
    assert_int_equal(cache_create(&c, 1 << 20, 4), 0);
    return c;
}

static void end(struct cache *c) {
    struct cache_stats s;
    cache_read(c, &s);
    assert_int_equal(s.flights, 0);
    cache_check(c);
    cache_destroy(c);
}

static struct cache_flight *lead(struct cache *c, const char *path, const char *request) {
    struct cache_result r;
    assert_int_equal(look(c, path, request, NULL, T0, &r), CACHE_MISS_LEAD);
    assert_null(r.entry);
    return r.flight;
}

static enum cache_found ask(struct cache *c, const char *path, const char *request, struct guest *g,
                            struct cache_result *r) {
    return look(c, path, request, &g->waiter, T0, r);
}

static void wait_for(struct cache *c, const char *path, struct guest *g) {
    struct cache_result r;
    assert_int_equal(ask(c, path, "", g, &r), CACHE_WAIT);
    assert_true(!r.entry && !r.flight);
    assert_int_equal(g->woken, 0);
}

static void store(struct cache_flight **f, const char *body) {
    assert_int_equal(begin(f, "", 200, "", UINT64_MAX, T0), SWG__STORE_OK);
    assert_int_equal(cache_fill_append(f, bytes_of(body)), SWG__STORE_OK);
    assert_int_equal(cache_fill_commit(f, T0), SWG__STORE_OK);
}

static void those_who_wait_find_what_the_leader_stored(void **state) {
    struct cache *c = make();
    struct cache_result r;
    struct cache_flight *f = lead(c, "/a", "");
    struct guest g[3] = {GUEST, GUEST, GUEST};
    for (int i = 0; i < 3; i++)
        wait_for(c, "/a", &g[i]);
    struct cache_flight *other = lead(c, "/other", "");
    store(&f, "x");
    for (int i = 0; i < 3; i++) {
        assert_int_equal(g[i].woken, 1);
        assert_int_equal(ask(c, "/a", "", &g[i], &r), CACHE_FRESH);
        cache_entry_release(r.entry);
        assert_true(cache_leave(c, &g[i].waiter));
    }
    struct cache_stats s;
    cache_read(c, &s);
    assert_int_equal(s.waits, 3);
    assert_int_equal(s.coalesced, 3);
    assert_int_equal(s.misses, 2);
    assert_int_equal(s.flights, 1);
    cache_abandon(&other, SWG__FLIGHT_CANCELLED, T0);
    end(c);
}

static void an_answer_for_the_leader_alone_lets_them_go_at_its_head(void **state) {
    struct cache *c = make();
    struct cache_result r;
    struct cache_flight *f = lead(c, "/a", "");
    struct guest g[2] = {GUEST, GUEST}, late = GUEST;
    wait_for(c, "/a", &g[0]);
    wait_for(c, "/a", &g[1]);
    assert_int_equal(begin(&f, "", 200, "Cache-Control: private", 9, T0), SWG__STORE_PRIVATE);
    assert_null(f);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(g[i].woken, 1);
        assert_int_equal(ask(c, "/a", "", &g[i], &r), CACHE_MISS_ALONE);
    }
    /* Nobody waits, or leads, for some seconds. */
    assert_int_equal(look(c, "/a", "", &late.waiter, T0 + S(5) - 1, &r), CACHE_MISS_ALONE);
    assert_int_equal(look(c, "/a", "", &late.waiter, T0 + S(5), &r), CACHE_MISS_LEAD);
    cache_abandon(&r.flight, SWG__FLIGHT_CANCELLED, T0);
    end(c);
}

static void what_is_the_requests_fault_says_nothing_of_the_next(void **state) {
    struct cache *c = make();
    struct cache_result r;
    struct cache_flight *f = lead(c, "/a", "Authorization: Basic eA==");
    struct guest g[2] = {GUEST, GUEST};
    wait_for(c, "/a", &g[0]);
    wait_for(c, "/a", &g[1]);
    assert_int_equal(begin(&f, "Authorization: Basic eA==", 200, "", 9, T0), SWG__STORE_AUTHORIZED);
    assert_int_equal(g[0].woken, 1);
    assert_int_equal(g[1].woken, 0);
    assert_int_equal(ask(c, "/a", "", &g[0], &r), CACHE_MISS_LEAD);
    store(&r.flight, "x");
    assert_int_equal(g[1].woken, 1);
    assert_int_equal(ask(c, "/a", "", &g[1], &r), CACHE_FRESH);
    cache_entry_release(r.entry);
    end(c);
}

static void a_304_is_for_the_leader_and_marks_nothing(void **state) {
    struct cache *c = make();
    struct cache_result r;
    struct cache_flight *f = lead(c, "/a", "If-None-Match: \"x\"");
    assert_int_equal(begin(&f, "If-None-Match: \"x\"", 304, "", 0, T0), SWG__STORE_STATUS);
    assert_null(f);
    assert_int_equal(look(c, "/a", "", NULL, T0, &r), CACHE_MISS_LEAD);
    cache_abandon(&r.flight, SWG__FLIGHT_CANCELLED, T0);
    end(c);
}

static void a_failure_wakes_one_then_more(void **state) {
    enum { GUESTS = 10 };
    struct cache *c = make();
    struct cache_result r;
    struct cache_flight *f = lead(c, "/a", "");
    struct guest g[GUESTS], late = GUEST;
    for (int i = 0; i < GUESTS; i++) {
        g[i] = GUEST;
        wait_for(c, "/a", &g[i]);
    }
    int next = 0;
    for (int batch = 1; batch <= 4; batch *= 2) {
        cache_abandon(&f, SWG__FLIGHT_FAILED, T0);
        assert_null(f);
        for (int i = 0; i < GUESTS; i++)
            assert_int_equal(g[i].woken, i < next + batch);
        assert_int_equal(ask(c, "/a", "", &g[next], &r), CACHE_MISS_LEAD);
        f = r.flight;
        for (int i = next + 1; i < next + batch; i++)
            assert_int_equal(ask(c, "/a", "", &g[i], &r), CACHE_MISS_ALONE);
        next += batch;
    }
    wait_for(c, "/a", &late); /* newcomers join as ever */
    store(&f, "x");
    for (int i = next; i < GUESTS; i++) {
        assert_int_equal(ask(c, "/a", "", &g[i], &r), CACHE_FRESH);
        cache_entry_release(r.entry);
    }
    assert_int_equal(late.woken, 1);
    assert_false(cache_leave(c, &late.waiter));
    end(c);
}

static void a_leader_that_goes_away_is_followed_by_one(void **state) {
    struct cache *c = make();
    struct cache_result r;
    struct cache_flight *f = lead(c, "/a", "");
    struct guest g[3] = {GUEST, GUEST, GUEST};
    for (int i = 0; i < 3; i++)
        wait_for(c, "/a", &g[i]);
    for (int i = 0; i < 3; i++) {
        cache_abandon(&f, SWG__FLIGHT_CANCELLED, T0);
        assert_int_equal(g[i].woken, 1);
        assert_int_equal(i < 2 ? g[i + 1].woken : 0, 0);
        assert_int_equal(ask(c, "/a", "", &g[i], &r), CACHE_MISS_LEAD);
        f = r.flight;
    }
    cache_abandon(&f, SWG__FLIGHT_CANCELLED, T0);
    end(c);
}

static void who_leaves_is_not_called(void **state) {
    struct cache *c = make();
    struct cache_flight *f = lead(c, "/a", "");
    struct guest g[2] = {GUEST, GUEST}, never = GUEST;
    wait_for(c, "/a", &g[0]);
    wait_for(c, "/a", &g[1]);
    assert_true(cache_leave(c, &g[0].waiter));
    assert_true(cache_leave(c, &g[0].waiter));
    assert_true(cache_leave(c, &never.waiter));
    store(&f, "x");
    assert_int_equal(g[0].woken, 0);
    assert_int_equal(g[1].woken, 1);
    assert_false(cache_leave(c, &g[1].waiter));
    assert_false(cache_leave(c, &g[1].waiter));
    end(c);
}

static void who_leaves_before_leading_hands_on(void **state) {
    struct cache *c = make();
    struct cache_result r;
    struct cache_flight *f = lead(c, "/a", "");
    struct guest g[3] = {GUEST, GUEST, GUEST};
    for (int i = 0; i < 3; i++)
        wait_for(c, "/a", &g[i]);
    cache_abandon(&f, SWG__FLIGHT_FAILED, T0);
    assert_int_equal(g[0].woken, 1);
    assert_false(cache_leave(c, &g[0].waiter));
    assert_int_equal(g[1].woken, 1);
    assert_int_equal(g[2].woken, 0);
    assert_false(cache_leave(c, &g[0].waiter));
    assert_int_equal(ask(c, "/a", "", &g[1], &r), CACHE_MISS_LEAD);
    assert_true(cache_leave(c, &g[1].waiter)); /* it is a leader now: it abandons */
    assert_true(cache_leave(c, &g[2].waiter));
    cache_abandon(&r.flight, SWG__FLIGHT_CANCELLED, T0);
    end(c);
}

static void the_last_one_to_leave_ends_the_flight(void **state) {
    struct cache *c = make();
    struct cache_flight *f = lead(c, "/a", "");
    struct guest g = GUEST;
    wait_for(c, "/a", &g);
    cache_abandon(&f, SWG__FLIGHT_FAILED, T0);
    assert_false(cache_leave(c, &g.waiter));
    f = lead(c, "/a", "");
    cache_abandon(&f, SWG__FLIGHT_CANCELLED, T0);
    end(c);
}

static void who_may_not_share_goes_alone(void **state) {
    struct cache *c = make();
    struct cache_result r;
    struct guest g = GUEST;
    static const char *const alone[] = {"Cache-Control: no-store", "Range: bytes=0-1"};
    for (int i = 0; i < 2; i++)
        assert_int_equal(ask(c, "/a", alone[i], &g, &r), CACHE_MISS_ALONE);
    struct cache_flight *f = lead(c, "/a", "");
    static const char *const no_wait[] = {"Cache-Control: no-store", "Range: bytes=0-1",
                                          "Cache-Control: no-cache", "Cache-Control: max-age=0",
                                          "Authorization: Bearer x"};
    for (int i = 0; i < 5; i++)
        assert_int_equal(ask(c, "/a", no_wait[i], &g, &r), CACHE_MISS_ALONE);
    assert_int_equal(look(c, "/a", "", NULL, T0, &r), CACHE_MISS_ALONE);
    cache_abandon(&f, SWG__FLIGHT_CANCELLED, T0);
    end(c);
}

static void nobody_waits_twice(void **state) {
    struct cache *c = make();
    struct cache_result r;
    struct cache_flight *f = lead(c, "/a", ""), *other;
    struct guest g = GUEST;
    wait_for(c, "/a", &g);
    cache_abandon(&f, SWG__FLIGHT_UNSHARED, T0);
    assert_int_equal(look(c, "/a", "", NULL, T0 + S(9), &r), CACHE_MISS_LEAD);
    other = r.flight;
    assert_int_equal(look(c, "/a", "", &g.waiter, T0 + S(9), &r), CACHE_MISS_ALONE);
    assert_int_equal(look(c, "/a", "", &g.waiter, T0 + S(9), &r), CACHE_MISS_ALONE);
    cache_abandon(&other, SWG__FLIGHT_CANCELLED, T0);
    end(c);
}

static void who_waited_for_an_invalidated_answer_waits_anew(void **state) {
    struct cache *c = make();
    struct cache_result r;
    struct cache_key key = key_of("/a");
    struct cache_flight *f = lead(c, "/a", ""), *next;
    struct guest g[2] = {GUEST, GUEST};
    wait_for(c, "/a", &g[0]);
    wait_for(c, "/a", &g[1]);
    cache_invalidate(c, &key);
    cache_abandon(&f, SWG__FLIGHT_FAILED, T0);
    assert_int_equal(g[0].woken + g[1].woken, 2);
    assert_int_equal(ask(c, "/a", "", &g[0], &r), CACHE_MISS_LEAD);
    next = r.flight;
    g[1].woken = 0;
    wait_for(c, "/a", &g[1]);
    store(&next, "new");
    assert_int_equal(ask(c, "/a", "", &g[1], &r), CACHE_FRESH);
    cache_entry_release(r.entry);
    end(c);
}

static void an_answer_that_is_only_good_stale_keeps_nobody_waiting(void **state) {
    struct cache *c = make();
    struct cache_result r;
    struct cache_key key = key_of("/a");
    struct cache_flight *f = lead(c, "/a", "");
    struct guest g = GUEST;
    struct head h;
    wait_for(c, "/a", &g);
    assert_int_equal(begin(&f, "", 200, "Cache-Control: max-age=0", 1, T0), SWG__STORE_OK);
    assert_int_equal(g.woken, 1);
    assert_int_equal(ask(c, "/a", "", &g, &r), CACHE_MISS_ALONE);
    cache_fill_append(&f, BYTES("x"));
    assert_int_equal(cache_fill_commit(&f, T0), SWG__STORE_OK);
    struct cache_entry *e = cache_find_stale(c, &key, request_of(&h, ""), S(60), false, T0 + S(59));
    assert_non_null(e);
    cache_entry_release(e);
    /* Nor is such a fill stored when it is invalidated meanwhile. */
    assert_int_equal(look(c, "/b", "", NULL, T0, &r), CACHE_MISS_LEAD);
    assert_int_equal(begin(&r.flight, "", 200, "Cache-Control: max-age=0", 1, T0), SWG__STORE_OK);
    key = key_of("/b");
    cache_invalidate(c, &key);
    cache_fill_append(&r.flight, BYTES("x"));
    cache_fill_commit(&r.flight, T0);
    assert_null(cache_find_stale(c, &key, request_of(&h, ""), S(60), false, T0));
    end(c);
}

static void known_variants_are_fetched_side_by_side(void **state) {
    struct cache *c = make();
    struct cache_result r;
    struct guest g = GUEST;
    put(c, "/a", "X: 0", "Vary: X", "0", T0);
    struct cache_flight *one = lead(c, "/a", "X: 1"), *two = lead(c, "/a", "X: 2");
    assert_int_equal(ask(c, "/a", "X: 1", &g, &r), CACHE_WAIT);
    cache_abandon(&two, SWG__FLIGHT_CANCELLED, T0);
    assert_int_equal(g.woken, 0);
    cache_abandon(&one, SWG__FLIGHT_CANCELLED, T0);
    assert_int_equal(g.woken, 1);
    assert_int_equal(ask(c, "/a", "X: 1", &g, &r), CACHE_MISS_LEAD);
    cache_abandon(&r.flight, SWG__FLIGHT_CANCELLED, T0);
    end(c);
}

static void an_answer_that_is_stored_takes_the_mark_away(void **state) {
    struct cache *c = make();
    struct cache_result r;
    put(c, "/a", "X: 0", "Vary: X", "0", T0);
    struct cache_flight *one = lead(c, "/a", "X: 1"), *two = lead(c, "/a", "X: 2");
    assert_int_equal(begin(&one, "X: 1", 200, "Cache-Control: private", 0, T0), SWG__STORE_PRIVATE);
    assert_int_equal(look(c, "/a", "X: 3", NULL, T0, &r), CACHE_MISS_ALONE);
    assert_int_equal(begin(&two, "X: 2", 200, "Vary: X", 0, T0), SWG__STORE_OK);
    assert_int_equal(cache_fill_commit(&two, T0), SWG__STORE_OK);
    one = lead(c, "/a", "X: 3");
    cache_abandon(&one, SWG__FLIGHT_CANCELLED, T0);
    end(c);
}

/* A fill that keeps nobody waiting may still end well, beside a newer flight. */
static void a_named_leader_may_find_what_another_stored(void **state) {
    struct cache *c = make();
    struct cache_result r;
    struct guest g[2] = {GUEST, GUEST};
    struct cache_flight *slow = lead(c, "/a", "");
    const char *short_lived = "Cache-Control: max-age=0, stale-while-revalidate=60";
    assert_int_equal(begin(&slow, "", 200, short_lived, 1, T0), SWG__STORE_OK);
    assert_int_equal(cache_fill_append(&slow, BYTES("x")), SWG__STORE_OK);
    assert_int_equal(look(c, "/a", "", NULL, T0 + S(6), &r), CACHE_MISS_LEAD);
    struct cache_flight *f = r.flight;
    for (int i = 0; i < 2; i++)
        assert_int_equal(look(c, "/a", "", &g[i].waiter, T0 + S(6), &r), CACHE_WAIT);
    cache_abandon(&f, SWG__FLIGHT_FAILED, T0 + S(6));
    assert_int_equal(g[0].woken, 1);
    assert_int_equal(cache_fill_commit(&slow, T0 + S(6)), SWG__STORE_OK);
    /* Named to lead, it leads the refresh; one that takes what is there ends it. */
    assert_int_equal(look(c, "/a", "Cache-Control: max-stale", &g[0].waiter, T0 + S(6), &r),
                     CACHE_STALE);
    cache_entry_release(r.entry);
    assert_int_equal(g[1].woken, 1);
    assert_int_equal(look(c, "/a", "", &g[1].waiter, T0 + S(6), &r), CACHE_STALE_REFRESH);
    cache_entry_release(r.entry);
    cache_abandon(&r.flight, SWG__FLIGHT_CANCELLED, T0 + S(6));
    end(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(those_who_wait_find_what_the_leader_stored),
        cmocka_unit_test(an_answer_for_the_leader_alone_lets_them_go_at_its_head),
        cmocka_unit_test(what_is_the_requests_fault_says_nothing_of_the_next),
        cmocka_unit_test(a_304_is_for_the_leader_and_marks_nothing),
        cmocka_unit_test(a_failure_wakes_one_then_more),
        cmocka_unit_test(a_leader_that_goes_away_is_followed_by_one),
        cmocka_unit_test(who_leaves_is_not_called),
        cmocka_unit_test(who_leaves_before_leading_hands_on),
        cmocka_unit_test(the_last_one_to_leave_ends_the_flight),
        cmocka_unit_test(who_may_not_share_goes_alone),
        cmocka_unit_test(nobody_waits_twice),
        cmocka_unit_test(who_waited_for_an_invalidated_answer_waits_anew),
        cmocka_unit_test(an_answer_that_is_only_good_stale_keeps_nobody_waiting),
        cmocka_unit_test(known_variants_are_fetched_side_by_side),
        cmocka_unit_test(an_answer_that_is_stored_takes_the_mark_away),
        cmocka_unit_test(a_named_leader_may_find_what_another_stored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
