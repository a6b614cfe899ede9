/* cache_meta_test.c - what heads say to a cache. */
#include "cache_scene.h"

static struct cache_answer read_answer(const char *request, int status, const char *lines) {
    static struct head asked, said;
    struct cache_answer a;
    request_of(&asked, request);
    head_read(&said, lines);
    cache_answer_read(&a, status, said.fields, said.count, &asked.request, SCENE_WALL);
    return a;
}

static void an_answers_fields_are_read(void **state) {
    struct cache_answer a =
        read_answer("", 203,
                    "Cache-Control: max-age=5, public\n"
                    "Cache-Control: stale-if-error=6, stale-while-revalidate=7, s-maxage=8\n"
                    "Date: Sun, 06 Nov 1994 08:49:37 GMT\nExpires: Sun, 06 Nov 1994 08:49:47 GMT\n"
                    "Last-Modified: Sun, 06 Nov 1994 08:49:17 GMT\nAge: 9\nETag: \"x\"");
    assert_int_equal(a.facts.status, 203);
    assert_int_equal(a.facts.control.max_age, 5);
    assert_int_equal(a.facts.control.stale_if_error, 6);
    assert_int_equal(a.facts.control.stale_while_revalidate, 7);
    assert_int_equal(a.facts.control.s_maxage, 8);
    assert_true(a.facts.control.public_);
    assert_int_equal(a.facts.date_s, 784111777);
    assert_int_equal(a.facts.expires_s, 784111787);
    assert_true(a.facts.has_date && a.facts.has_expires && a.has_last_modified);
    assert_int_equal(a.last_modified_s, 784111757);
    assert_int_equal(a.facts.age_s, 9);
    assert_int_equal(a.facts.wall_s, SCENE_WALL);
    assert_true(bytes_equal(a.etag, BYTES("\"x\"")));
    assert_true(a.length == UINT64_MAX);
    assert_false(a.facts.sets_cookie || a.facts.varies_on_all || a.facts.endless);
}

static void what_cannot_be_read_is_read_with_caution(void **state) {
    struct cache_answer a =
        read_answer("", 200, "Expires: 0\nDate: now\nLast-Modified: x\nAge: -1");
    assert_true(a.facts.has_expires && a.facts.expires_s == INT64_MIN);
    assert_false(a.facts.has_date || a.has_last_modified);
    assert_int_equal(a.facts.age_s, 0);
    a = read_answer("", 200, "Age: 99999999999999999999999");
    assert_int_equal(a.facts.age_s, INT32_MAX);
    a = read_answer("", 200, "Age: 7, 8");
    assert_int_equal(a.facts.age_s, 7);
    a = read_answer("", 200, "Age: ");
    assert_int_equal(a.facts.age_s, 0);
    a = read_answer("", 200, "Expires: Sun, 06 Nov 1994 08:49:37 GMT\nExpires: 0");
    assert_int_equal(a.facts.expires_s, 784111777);
}

static void lists_of_fields_count_as_all(void **state) {
    struct cache_answer a = read_answer("", 200, "Cache-Control: no-cache=\"Set-Cookie\"");
    assert_true(a.facts.control.no_cache);
    a = read_answer("", 200, "Cache-Control: private=\"X\"");
    assert_true(a.facts.control.private_);
}

static void what_keeps_an_answer_out_is_seen(void **state) {
    assert_true(read_answer("", 200, "Set-Cookie: a=b").facts.sets_cookie);
    assert_true(read_answer("", 200, "Vary: Accept\nVary: *").facts.varies_on_all);
    assert_false(read_answer("", 200, "Vary: Accept").facts.varies_on_all);
    assert_true(
        read_answer("", 200, "Content-Type: Text/Event-Stream; charset=utf-8").facts.endless);
    assert_false(read_answer("", 200, "Content-Type: text/event-streams").facts.endless);
    assert_true(read_answer("Authorization: x", 200, "").facts.authorized);
    assert_true(read_answer("Range: bytes=0-", 200, "").facts.ranged);
    assert_true(read_answer("Cache-Control: no-store", 200, "").facts.request_no_store);
}

static void a_requests_wishes_are_read(void **state) {
    struct head h;
    assert_true(request_of(&h, "Pragma: no-cache")->wish.no_cache);
    assert_false(request_of(&h, "Pragma: no-cache\nCache-Control: max-age=5")->wish.no_cache);
    assert_true(request_of(&h, "Cache-Control: max-age=0")->wish.no_cache);
    assert_false(request_of(&h, "Cache-Control: max-age=0, max-stale=5")->wish.no_cache);
    assert_false(request_of(&h, "")->wish.no_cache);
    struct cache_request *r =
        request_of(&h, "Cache-Control: min-fresh=3, max-stale, only-if-cached\nHost: x");
    assert_int_equal(r->wish.min_fresh, 3);
    assert_int_equal(r->wish.max_stale, INT32_MAX);
    assert_int_equal(r->wish.max_age, -1);
    assert_true(r->wish.only_if_cached);
    assert_int_equal(r->field_count, 2);
    assert_false(r->alone || r->authorized || r->ranged);
}

static void terms_are_the_operators(void **state) {
    struct cache_options o = {.fresh_ns = 1, .stale_ns = 2, .force_stale = true};
    struct swg__cache_terms t = cache_terms_of(&o);
    assert_true(t.fresh_ns == 1 && t.stale_ns == 2 && t.force_stale);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answers_fields_are_read),
        cmocka_unit_test(what_cannot_be_read_is_read_with_caution),
        cmocka_unit_test(lists_of_fields_count_as_all),
        cmocka_unit_test(what_keeps_an_answer_out_is_seen),
        cmocka_unit_test(a_requests_wishes_are_read),
        cmocka_unit_test(terms_are_the_operators),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
