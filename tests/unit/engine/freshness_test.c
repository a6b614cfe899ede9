/* freshness_test.c - what may be stored, how long, and how stale it may be used. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <switchgear/time.h>

#include "engine/freshness.h"

#define S(n)    SWG_SECONDS(n)
#define CAME    S(5000)
#define NOTHING SWG__DIRECTIVES_NONE

static const struct swg__cache_terms no_terms;
static const struct swg__cache_terms usual = {.fresh_ns = S(60), .stale_ns = S(3600)};
static const struct swg__cache_terms forced = {
    .fresh_ns = S(60), .stale_ns = S(3600), .force_stale = true};

/* A 200 that says nothing. */
static struct swg__answer answer(void) {
    return (struct swg__answer){
        .status = 200, .control = NOTHING, .asked_ns = CAME, .came_ns = CAME};
}

static struct swg__answer with_max_age(int32_t max_age) {
    struct swg__answer a = answer();
    a.control.max_age = max_age;
    return a;
}

static enum swg__storable ask(const struct swg__answer *a, const struct swg__cache_terms *terms) {
    struct swg__freshness f;
    return swg__freshness_of(a, terms, &f);
}

static struct swg__freshness store(const struct swg__answer *a,
                                   const struct swg__cache_terms *terms) {
    struct swg__freshness f;
    assert_string_equal(swg__storable_name(swg__freshness_of(a, terms, &f)), "ok");
    return f;
}

static enum swg__usable judge(const struct swg__freshness *f, uint64_t after_ns) {
    struct swg__directives wish = NOTHING;
    return swg__freshness_judge(f, &wish, CAME + after_ns);
}

/* ---- may it be stored -------------------------------------------------- */

static void only_known_statuses_are_stored_unsaid(void **state) {
    static const int stored[] = {200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501};
    for (int status = 100; status < 600; status++) {
        struct swg__answer a = answer();
        bool expected = false;
        a.status = status;
        for (size_t i = 0; i < sizeof(stored) / sizeof(stored[0]); i++)
            expected = expected || stored[i] == status;
        if ((ask(&a, &usual) == SWG__STORE_OK) != expected)
            fail_msg("status %d", status);
    }
}

static void with_a_lifetime_other_statuses_are_stored_too(void **state) {
    struct swg__answer a = with_max_age(60);
    for (int status = 200; status < 1000; status++) {
        a.status = status;
        enum swg__storable expected = SWG__STORE_OK;
        if (status == 304)
            expected = SWG__STORE_STATUS;
        else if (status == 206)
            expected = SWG__STORE_PARTIAL;
        else if (status == 408 || status == 425 || status == 429 ||
                 (status >= 500 && status != 501))
            expected = SWG__STORE_FAILURE;
        if (ask(&a, &no_terms) != expected)
            fail_msg("status %d", status);
    }
    a.status = 103;
    assert_int_equal(ask(&a, &no_terms), SWG__STORE_STATUS);
}

static void public_counts_as_a_known_status(void **state) {
    struct swg__answer a = answer();
    a.status = 302;
    assert_int_equal(ask(&a, &usual), SWG__STORE_NO_LIFETIME);
    a.control.public_ = true;
    assert_int_equal(ask(&a, &usual), SWG__STORE_OK);
}

static void what_forbids_storing(void **state) {
    struct swg__answer a = with_max_age(60);
    a.control.no_store = true;
    assert_int_equal(ask(&a, &usual), SWG__STORE_NO_STORE);
    a = with_max_age(60);
    a.control.private_ = true;
    assert_int_equal(ask(&a, &usual), SWG__STORE_PRIVATE);
    a = with_max_age(60);
    a.sets_cookie = true;
    assert_int_equal(ask(&a, &usual), SWG__STORE_SET_COOKIE);
    a = with_max_age(60);
    a.varies_on_all = true;
    assert_int_equal(ask(&a, &usual), SWG__STORE_VARIES);
    a = with_max_age(60);
    a.endless = true;
    assert_int_equal(ask(&a, &usual), SWG__STORE_ENDLESS);
    a = with_max_age(60);
    a.request_no_store = true;
    assert_int_equal(ask(&a, &usual), SWG__STORE_REQUEST);
    a = with_max_age(60);
    a.ranged = true;
    assert_int_equal(ask(&a, &usual), SWG__STORE_PARTIAL);
}

static void an_authorized_answer_is_shared_only_where_it_says_so(void **state) {
    struct swg__answer a = with_max_age(60);
    a.authorized = true;
    assert_int_equal(ask(&a, &usual), SWG__STORE_AUTHORIZED);
    a.control.public_ = true;
    assert_int_equal(ask(&a, &usual), SWG__STORE_OK);
    a.control.public_ = false;
    a.control.must_revalidate = true;
    assert_int_equal(ask(&a, &usual), SWG__STORE_OK);
    a.control.must_revalidate = false;
    a.control.s_maxage = 5;
    assert_int_equal(ask(&a, &usual), SWG__STORE_OK);
    a.control.s_maxage = -1;
    a.control.proxy_revalidate = true;
    assert_int_equal(ask(&a, &usual), SWG__STORE_AUTHORIZED);
}

static void must_understand_decides_over_no_store(void **state) {
    struct swg__answer a = with_max_age(60);
    a.control.no_store = a.control.must_understand = true;
    assert_int_equal(ask(&a, &usual), SWG__STORE_OK);
    a.control.no_store = false;
    a.status = 299;
    assert_int_equal(ask(&a, &usual), SWG__STORE_NO_STORE);
}

static void without_lifetime_or_terms_nothing_is_stored(void **state) {
    struct swg__answer a = answer();
    struct swg__cache_terms off = {.fresh_ns = SWG_OFF, .stale_ns = SWG_OFF};
    assert_int_equal(ask(&a, &no_terms), SWG__STORE_NO_LIFETIME);
    assert_int_equal(ask(&a, &off), SWG__STORE_NO_LIFETIME);
    a = with_max_age(0);
    assert_int_equal(ask(&a, &no_terms), SWG__STORE_EXPIRED);
    assert_int_equal(ask(&a, &off), SWG__STORE_EXPIRED);
}

static void every_reason_has_a_name(void **state) {
    for (int i = 0; i < SWG__STORABLE_COUNT; i++) {
        assert_true(swg__storable_name(i)[0] >= 'a');
        assert_true(swg__storable_sentence(i)[0] >= 'a');
    }
    assert_string_equal(swg__storable_name(SWG__STORABLE_COUNT), "?");
}

/* ---- how long ---------------------------------------------------------- */

static void the_more_precise_lifetime_wins(void **state) {
    struct swg__answer a = answer();
    assert_int_equal(store(&a, &usual).lifetime_ns, S(60));
    a.has_date = a.has_expires = true;
    a.date_s = 1000000;
    a.expires_s = 1000020;
    a.wall_s = 5; /* does not matter where there is a Date */
    assert_int_equal(store(&a, &usual).lifetime_ns, S(20));
    a.control.max_age = 10;
    assert_int_equal(store(&a, &usual).lifetime_ns, S(10));
    a.control.s_maxage = 5;
    assert_int_equal(store(&a, &usual).lifetime_ns, S(5));
}

static void expires_is_taken_against_date(void **state) {
    struct swg__answer a = answer();
    a.has_expires = true;
    a.wall_s = 100;
    a.expires_s = 130;
    assert_int_equal(store(&a, &usual).lifetime_ns, S(30));
    a.expires_s = INT64_MIN; /* "Expires: 0" */
    assert_int_equal(store(&a, &usual).lifetime_ns, 0);
    assert_int_equal(ask(&a, &no_terms), SWG__STORE_EXPIRED);
    a.expires_s = INT64_MAX;
    a.has_date = true;
    a.date_s = INT64_MIN;
    assert_int_equal(store(&a, &usual).lifetime_ns, S(INT32_MAX));
}

static void saying_no_is_not_kept_long(void **state) {
    static const int no[] = {404, 405, 414, 501};
    struct swg__answer a = answer();
    for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++) {
        a.status = no[i];
        assert_int_equal(store(&a, &usual).lifetime_ns, S(5));
    }
    a.status = 410;
    assert_int_equal(store(&a, &usual).lifetime_ns, S(60));
    a.status = 404;
    a.control.max_age = 60;
    assert_int_equal(store(&a, &usual).lifetime_ns, S(60));
}

static void age_is_what_came_plus_the_time_since_we_asked(void **state) {
    struct swg__answer a = with_max_age(60);
    a.age_s = 20;
    a.asked_ns = CAME - S(3);
    struct swg__freshness f = store(&a, &usual);
    assert_int_equal(swg__freshness_age(&f, CAME), S(23));
    assert_int_equal(swg__freshness_age(&f, CAME + S(7)), S(30));
    assert_int_equal(swg__freshness_age(&f, CAME - S(7)), S(23)); /* never younger */
    assert_int_equal(swg__freshness_left(&f, CAME + S(7)), S(30));
    assert_int_equal(swg__freshness_left(&f, CAME + S(47)), -(int64_t)S(10));
    a.age_s = 60;
    assert_int_equal(ask(&a, &no_terms), SWG__STORE_EXPIRED);
}

static void a_wrong_wall_clock_does_not_matter(void **state) {
    struct swg__answer a = with_max_age(60);
    a.has_date = true;
    a.date_s = 1000;
    a.wall_s = 1000 + 86400;
    struct swg__freshness f = store(&a, &no_terms);
    assert_int_equal(judge(&f, S(59)), SWG__FRESH);
}

/* ---- may it be used ---------------------------------------------------- */

static void fresh_until_its_lifetime(void **state) {
    struct swg__answer a = with_max_age(60);
    struct swg__freshness f = store(&a, &no_terms);
    assert_int_equal(judge(&f, S(60) - 1), SWG__FRESH);
    assert_int_equal(judge(&f, S(60)), SWG__UNUSABLE);
}

static void stale_while_revalidate_has_its_window(void **state) {
    struct swg__answer a = with_max_age(60);
    a.control.stale_while_revalidate = 30;
    struct swg__freshness f = store(&a, &usual);
    assert_int_equal(judge(&f, S(60)), SWG__STALE_REFRESHED);
    assert_int_equal(judge(&f, S(90) - 1), SWG__STALE_REFRESHED);
    assert_int_equal(judge(&f, S(90)), SWG__UNUSABLE);
}

static void stale_on_error_has_its_window(void **state) {
    struct swg__answer a = with_max_age(60);
    struct swg__freshness f = store(&a, &usual);
    assert_true(swg__freshness_on_error(&f, S(86400), false, CAME + S(59)));
    assert_true(swg__freshness_on_error(&f, S(86400), false, CAME + S(3660) - 1));
    assert_false(swg__freshness_on_error(&f, S(86400), false, CAME + S(3660)));
    assert_true(swg__freshness_on_error(&f, S(100), false, CAME + S(160) - 1));
    assert_false(swg__freshness_on_error(&f, S(100), false, CAME + S(160)));
    assert_false(swg__freshness_on_error(&f, 0, false, CAME + S(60)));
}

static void the_answers_own_window_replaces_the_operators(void **state) {
    struct swg__answer a = with_max_age(60);
    a.control.stale_if_error = 10;
    struct swg__freshness f = store(&a, &usual);
    assert_false(swg__freshness_on_error(&f, SWG_OFF, false, CAME + S(70)));
    a.control.stale_if_error = 86400;
    f = store(&a, &usual);
    assert_true(swg__freshness_on_error(&f, SWG_OFF, false, CAME + S(80000)));
    a.control.stale_if_error = 10;
    f = store(&a, &forced);
    assert_true(swg__freshness_on_error(&f, SWG_OFF, true, CAME + S(3600)));
}

/* Each of them forbids staleness of every kind, unless forced. */
static void check_forbids(struct swg__directives control) {
    struct swg__answer a = answer();
    a.control = control;
    struct swg__freshness f = store(&a, &forced);
    uint64_t stale_ns = CAME + f.lifetime_ns + S(1);
    struct swg__directives takes_stale = NOTHING;
    takes_stale.max_stale = INT32_MAX;
    assert_int_equal(swg__freshness_judge(&f, &takes_stale, stale_ns), SWG__UNUSABLE);
    assert_int_equal(judge(&f, f.lifetime_ns + S(1)), SWG__UNUSABLE);
    assert_false(swg__freshness_on_error(&f, SWG_OFF, false, stale_ns));
    assert_true(swg__freshness_on_error(&f, SWG_OFF, true, stale_ns));
}

static void what_forbids_staleness(void **state) {
    struct swg__directives c = NOTHING;
    c.max_age = 60;
    c.must_revalidate = true;
    c.stale_while_revalidate = c.stale_if_error = 60;
    check_forbids(c);
    c.must_revalidate = false;
    c.proxy_revalidate = true;
    check_forbids(c);
    c = NOTHING;
    c.s_maxage = 60;
    check_forbids(c);
    c = NOTHING;
    c.no_cache = true;
    c.max_age = 60;
    check_forbids(c);
}

static void force_needs_terms_that_force(void **state) {
    struct swg__answer a = with_max_age(60);
    a.control.must_revalidate = true;
    struct swg__freshness f = store(&a, &usual);
    assert_false(swg__freshness_on_error(&f, SWG_OFF, true, CAME + S(61)));
    assert_true(swg__freshness_over(&f, CAME + S(60)));
}

static void no_cache_is_stored_only_to_be_forced(void **state) {
    struct swg__answer a = with_max_age(60);
    a.control.no_cache = true;
    assert_int_equal(ask(&a, &usual), SWG__STORE_EXPIRED);
    struct swg__freshness f = store(&a, &forced);
    assert_int_equal(judge(&f, 0), SWG__UNUSABLE);
}

static void s_maxage_with_windows_of_its_own_may_be_stale(void **state) {
    struct swg__answer a = answer();
    a.control.s_maxage = 60;
    a.control.stale_while_revalidate = 30;
    struct swg__freshness f = store(&a, &usual);
    assert_int_equal(judge(&f, S(61)), SWG__STALE_REFRESHED);
    assert_false(swg__freshness_on_error(&f, SWG_OFF, false, CAME + S(61)));
    a.control.stale_if_error = 40;
    f = store(&a, &usual);
    assert_true(swg__freshness_on_error(&f, SWG_OFF, false, CAME + S(99)));
    assert_false(swg__freshness_on_error(&f, SWG_OFF, false, CAME + S(100)));
}

static void what_a_client_may_wish(void **state) {
    struct swg__answer a = with_max_age(60);
    a.control.stale_while_revalidate = 30;
    struct swg__freshness f = store(&a, &usual);
    struct swg__directives wish = NOTHING;

    wish.no_cache = true;
    assert_int_equal(swg__freshness_judge(&f, &wish, CAME), SWG__UNUSABLE);
    wish = NOTHING;
    wish.max_age = 10;
    assert_int_equal(swg__freshness_judge(&f, &wish, CAME + S(9)), SWG__FRESH);
    assert_int_equal(swg__freshness_judge(&f, &wish, CAME + S(11)), SWG__UNUSABLE);
    wish.max_stale = 5; /* older than it wished, by not more than it accepts */
    assert_int_equal(swg__freshness_judge(&f, &wish, CAME + S(15)), SWG__STALE_ACCEPTED);
    assert_int_equal(swg__freshness_judge(&f, &wish, CAME + S(16)), SWG__UNUSABLE);
    wish = NOTHING;
    wish.max_age = 65; /* does not make it live longer, nor accept it stale */
    assert_int_equal(swg__freshness_judge(&f, &wish, CAME + S(61)), SWG__UNUSABLE);
    wish = NOTHING;
    wish.min_fresh = 20;
    assert_int_equal(swg__freshness_judge(&f, &wish, CAME + S(40)), SWG__FRESH);
    assert_int_equal(swg__freshness_judge(&f, &wish, CAME + S(41)), SWG__UNUSABLE);
    assert_int_equal(swg__freshness_judge(&f, &wish, CAME + S(61)), SWG__UNUSABLE);
    wish = NOTHING;
    wish.max_stale = INT32_MAX;
    assert_int_equal(swg__freshness_judge(&f, &wish, CAME + S(3000)), SWG__STALE_ACCEPTED);
}

static void over_when_no_window_is_left(void **state) {
    struct swg__answer a = with_max_age(60);
    a.control.stale_while_revalidate = 30;
    a.control.stale_if_error = 20;
    struct swg__freshness f = store(&a, &usual);
    assert_false(swg__freshness_over(&f, CAME + S(90) - 1));
    assert_true(swg__freshness_over(&f, CAME + S(90)));
}

static void nothing_overflows(void **state) {
    struct swg__answer a = answer();
    struct swg__cache_terms endless = {.fresh_ns = SWG_OFF - 1, .stale_ns = SWG_OFF - 1};
    a.age_s = UINT32_MAX;
    struct swg__freshness f = store(&a, &endless);
    assert_int_equal(judge(&f, 0), SWG__FRESH);
    assert_false(swg__freshness_over(&f, CAME + S(1)));
    assert_int_equal(swg__freshness_left(&f, CAME), INT64_MAX);
    a = with_max_age(0);
    f = store(&a, &usual);
    f.age_ns = UINT64_MAX - 1;
    assert_int_equal(swg__freshness_age(&f, UINT64_MAX), UINT64_MAX);
    assert_int_equal(swg__freshness_left(&f, UINT64_MAX), -INT64_MAX);
}

static void what_says_nothing_is_kept_for_when_the_service_fails(void **state) {
    const struct swg__cache_terms only_stale = {.fresh_ns = 0, .stale_ns = S(3600)};
    struct swg__freshness f;
    struct swg__answer a = answer();
    assert_int_equal(swg__freshness_of(&a, &only_stale, &f), SWG__STORE_OK);
    assert_int_equal(f.lifetime_ns, 0);
    assert_int_equal(f.stale_ns, S(3600));
    /* "Not found" would keep better tiers from answering; a 302 is never kept unsaid. */
    a.status = 404;
    assert_int_equal(swg__freshness_of(&a, &only_stale, &f), SWG__STORE_NO_LIFETIME);
    a.status = 302;
    assert_int_equal(swg__freshness_of(&a, &only_stale, &f), SWG__STORE_NO_LIFETIME);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_known_statuses_are_stored_unsaid),
        cmocka_unit_test(with_a_lifetime_other_statuses_are_stored_too),
        cmocka_unit_test(public_counts_as_a_known_status),
        cmocka_unit_test(what_forbids_storing),
        cmocka_unit_test(an_authorized_answer_is_shared_only_where_it_says_so),
        cmocka_unit_test(must_understand_decides_over_no_store),
        cmocka_unit_test(without_lifetime_or_terms_nothing_is_stored),
        cmocka_unit_test(every_reason_has_a_name),
        cmocka_unit_test(the_more_precise_lifetime_wins),
        cmocka_unit_test(expires_is_taken_against_date),
        cmocka_unit_test(saying_no_is_not_kept_long),
        cmocka_unit_test(age_is_what_came_plus_the_time_since_we_asked),
        cmocka_unit_test(a_wrong_wall_clock_does_not_matter),
        cmocka_unit_test(fresh_until_its_lifetime),
        cmocka_unit_test(stale_while_revalidate_has_its_window),
        cmocka_unit_test(stale_on_error_has_its_window),
        cmocka_unit_test(the_answers_own_window_replaces_the_operators),
        cmocka_unit_test(what_forbids_staleness),
        cmocka_unit_test(force_needs_terms_that_force),
        cmocka_unit_test(no_cache_is_stored_only_to_be_forced),
        cmocka_unit_test(s_maxage_with_windows_of_its_own_may_be_stale),
        cmocka_unit_test(what_a_client_may_wish),
        cmocka_unit_test(over_when_no_window_is_left),
        cmocka_unit_test(what_says_nothing_is_kept_for_when_the_service_fails),
        cmocka_unit_test(nothing_overflows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
