/* stay_open_test.c - a breaker that waits for somebody to say that it may try. */
#include "rig.h"

#define ONE_HOUR SWG_HOURS(1)

static const struct swg_breaker_options stays = {
    .consecutive = 1, .open_ns = SWG_SECONDS(5), .jitter_percent = 101, .stay_open = true};
static const struct swg_breaker_options by_itself = {
    .consecutive = 1, .open_ns = SWG_SECONDS(5), .jitter_percent = 101};

static void test_time_does_not_end_it(void **state) {
    (void)state;
    struct rig r;
    uint64_t wait_ns = 0;
    rig_make(&r, &stays);
    rig_feed(&r, "F");
    r.now_ns += 1000 * ONE_HOUR;
    swg_breaker_tick(r.b, r.now_ns);
    assert_int_equal(rig_ask(&r), SWG_REFUSED_OPEN);
    assert_int_equal(swg_breaker_peek(r.b, r.now_ns, &wait_ns), SWG_REFUSED_OPEN);
    assert_int_equal(wait_ns, SWG_NEVER);
    assert_false(rig_read(&r).probe_due);
    assert_int_equal(rig_read(&r).open_until_ns, SWG_NEVER);
    rig_free(&r);
}

/* Asked to try, it tries; a try that fails opens it for good again. */
static void test_an_operator_does(void **state) {
    (void)state;
    struct rig r;
    rig_make(&r, &stays);
    rig_feed(&r, "F");
    swg_breaker_probe_now(r.b, r.now_ns);
    assert_true(rig_read(&r).probe_due);
    rig_feed(&r, "F");
    r.now_ns += ONE_HOUR;
    assert_int_equal(rig_ask(&r), SWG_REFUSED_OPEN);
    swg_breaker_probe_now(r.b, r.now_ns);
    rig_feed(&r, "SS");
    assert_int_equal(rig_state(&r), SWG_CLOSED);
    rig_feed(&r, "F");
    swg_breaker_reset(r.b, r.now_ns);
    assert_int_equal(rig_state(&r), SWG_CLOSED);
    rig_free(&r);
}

/* Nor does a try that was forgotten. */
static void test_a_lease_that_runs_out(void **state) {
    (void)state;
    struct rig r;
    struct swg_permit p;
    rig_make(&r, &stays);
    rig_feed(&r, "F");
    swg_breaker_probe_now(r.b, r.now_ns);
    assert_int_equal(rig_admit(&r, &p), SWG_ADMITTED);
    r.now_ns += ONE_HOUR;
    assert_int_equal(rig_ask(&r), SWG_REFUSED_OPEN);
    rig_record(&r, &p, SWG_SUCCESS); /* late */
    assert_int_equal(rig_state(&r), SWG_OPEN);
    rig_free(&r);
}

/* The option also changes what is open; the same options again change nothing. */
static void test_changed_while_open(void **state) {
    (void)state;
    struct rig r;
    rig_make(&r, &by_itself);
    rig_feed(&r, "F");
    assert_int_equal(swg_breaker_configure(r.b, &stays, r.now_ns), SWG_OK);
    r.now_ns += ONE_HOUR;
    assert_int_equal(rig_ask(&r), SWG_REFUSED_OPEN);
    swg_breaker_probe_now(r.b, r.now_ns);
    assert_int_equal(swg_breaker_configure(r.b, &stays, r.now_ns), SWG_OK);
    assert_true(rig_read(&r).probe_due); /* the operator's word still holds */
    rig_feed(&r, "F");
    assert_int_equal(swg_breaker_configure(r.b, &by_itself, r.now_ns), SWG_OK);
    assert_int_equal(rig_read(&r).open_until_ns, r.now_ns + SWG_SECONDS(10)); /* the second time */
    assert_int_equal(rig_ask(&r), SWG_REFUSED_OPEN);
    r.now_ns += SWG_SECONDS(10);
    rig_feed(&r, "SS");
    assert_int_equal(rig_state(&r), SWG_CLOSED);
    rig_free(&r);
}

/* What an operator has opened ends as he said. */
static void test_manual_control_is_another_matter(void **state) {
    (void)state;
    struct rig r;
    rig_make(&r, &by_itself);
    swg_breaker_force(r.b, SWG_FORCED_OPEN, SWG_SECONDS(60), r.now_ns);
    assert_int_equal(swg_breaker_configure(r.b, &stays, r.now_ns), SWG_OK);
    r.now_ns += SWG_SECONDS(60);
    rig_feed(&r, "SS");
    assert_int_equal(rig_state(&r), SWG_CLOSED);
    rig_free(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_time_does_not_end_it),
        cmocka_unit_test(test_an_operator_does),
        cmocka_unit_test(test_a_lease_that_runs_out),
        cmocka_unit_test(test_changed_while_open),
        cmocka_unit_test(test_manual_control_is_another_matter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
