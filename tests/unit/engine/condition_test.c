/* condition_test.c - what each piece of evidence weighs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/condition.h"

#define NOW SWG_SECONDS(1000)

/* Closed since NOW - 500 s. */
static struct swg_breaker_stats closed(void) {
    return (struct swg_breaker_stats){.state = SWG_CLOSED, .since_ns = NOW - SWG_SECONDS(500)};
}

static struct swg__finding found(struct swg_breaker_stats s, enum swg__check check) {
    return swg__condition_of_endpoint(&s, check, NOW);
}

static void is(struct swg__finding f, enum swg__condition c, enum swg__because b) {
    assert_string_equal(swg__condition_word(f.condition), swg__condition_word(c));
    assert_string_equal(swg__because_word(f.because), swg__because_word(b));
}

static void nothing_known_is_working(void **state) {
    (void)state;
    is(found(closed(), SWG__CHECK_NONE), SWG__WORKING, SWG__BECAUSE_NOTHING);
    is(found(closed(), SWG__CHECK_GOOD), SWG__WORKING, SWG__BECAUSE_NOTHING);
    assert_false(found(closed(), SWG__CHECK_GOOD).serves);
}

/* A check that succeeds does not make it work, nor does a success of the time before. */
static void a_breaker_is_believed_first(void **state) {
    (void)state;
    struct swg_breaker_stats s = closed();
    s.last_success_ns = NOW - 1;
    s.state = SWG_OPEN;
    is(found(s, SWG__CHECK_GOOD), SWG__DOWN, SWG__BECAUSE_OPEN);
    assert_false(found(s, SWG__CHECK_GOOD).serves);
    s.manual = SWG_FORCED_OPEN;
    is(found(s, SWG__CHECK_GOOD), SWG__DOWN, SWG__BECAUSE_FORCED_OPEN);
    s.manual = SWG_AUTOMATIC;
    s.state = SWG_HALF_OPEN;
    is(found(s, SWG__CHECK_GOOD), SWG__DOWN, SWG__BECAUSE_HALF_OPEN);
}

static void real_calls_outweigh_a_check(void **state) {
    (void)state;
    struct swg_breaker_stats s = closed();
    is(found(s, SWG__CHECK_BAD), SWG__DOWN, SWG__BECAUSE_CHECK);
    s.last_success_ns = NOW - SWG__RECENT_NS;
    is(found(s, SWG__CHECK_BAD), SWG__IMPAIRED, SWG__BECAUSE_CHECK);
    assert_true(found(s, SWG__CHECK_BAD).serves);
    s.last_success_ns--; /* too long ago */
    is(found(s, SWG__CHECK_BAD), SWG__DOWN, SWG__BECAUSE_CHECK);
    s.last_success_ns = NOW + 1; /* another thread is a little ahead */
    is(found(s, SWG__CHECK_BAD), SWG__IMPAIRED, SWG__BECAUSE_CHECK);
    s.consecutive = SWG__FAILING; /* and nothing came through since */
    is(found(s, SWG__CHECK_BAD), SWG__DOWN, SWG__BECAUSE_CHECK);
}

/* The success that closed the breaker may have been the check's own. */
static void what_closed_it_is_no_real_call(void **state) {
    (void)state;
    struct swg_breaker_stats s = closed();
    s.since_ns = s.last_success_ns = NOW - SWG_SECONDS(1);
    is(found(s, SWG__CHECK_BAD), SWG__DOWN, SWG__BECAUSE_CHECK);
    s.last_success_ns++;
    is(found(s, SWG__CHECK_BAD), SWG__IMPAIRED, SWG__BECAUSE_CHECK);
}

static void failing_without_a_rule(void **state) {
    (void)state;
    struct swg_breaker_stats s = closed();
    s.last_failure_ns = NOW - 1;
    s.consecutive = SWG__FAILING - 1;
    is(found(s, SWG__CHECK_GOOD), SWG__WORKING, SWG__BECAUSE_NOTHING);
    s.consecutive = SWG__FAILING;
    is(found(s, SWG__CHECK_GOOD), SWG__IMPAIRED, SWG__BECAUSE_FAILING);
    s.last_failure_ns = NOW - SWG__RECENT_NS - 1; /* nobody asks any more */
    is(found(s, SWG__CHECK_GOOD), SWG__WORKING, SWG__BECAUSE_NOTHING);
}

static const struct swg__finding working = {0}, serving = {.serves = true},
                                 open = {SWG__DOWN, SWG__BECAUSE_OPEN, 0, false},
                                 tried = {SWG__DOWN, SWG__BECAUSE_HALF_OPEN, 0, false},
                                 forced = {SWG__DOWN, SWG__BECAUSE_FORCED_OPEN, 0, false},
                                 sick = {SWG__DOWN, SWG__BECAUSE_CHECK, 0, false},
                                 failing = {SWG__IMPAIRED, SWG__BECAUSE_FAILING, 0, false};

static struct swg__finding of(struct swg__finding a, struct swg__finding b) {
    const struct swg__finding both[] = {a, b}, turned[] = {b, a};
    struct swg__finding f = swg__condition_of_service(both, 2);
    struct swg__finding same = swg__condition_of_service(turned, 2);
    assert_int_equal(f.condition, same.condition);
    assert_int_equal(f.because, same.because);
    assert_int_equal(f.serves, same.serves);
    return f;
}

static void a_service_is_its_endpoints(void **state) {
    (void)state;
    is(of(working, working), SWG__WORKING, SWG__BECAUSE_NOTHING);
    is(of(working, failing), SWG__IMPAIRED, SWG__BECAUSE_FAILING);
    is(of(working, open), SWG__IMPAIRED, SWG__BECAUSE_ENDPOINT);
    is(of(failing, open), SWG__IMPAIRED, SWG__BECAUSE_ENDPOINT);
    is(of(open, open), SWG__DOWN, SWG__BECAUSE_OPEN);
    is(of(open, tried), SWG__DOWN, SWG__BECAUSE_HALF_OPEN);
    is(of(open, forced), SWG__DOWN, SWG__BECAUSE_OPEN);
    is(of(forced, forced), SWG__DOWN, SWG__BECAUSE_FORCED_OPEN);
    is(of(open, sick), SWG__DOWN, SWG__BECAUSE_CHECK); /* its breaker is closed */
    assert_true(of(serving, open).serves);
    assert_false(of(working, open).serves);
    is(swg__condition_of_service(&sick, 1), SWG__DOWN, SWG__BECAUSE_CHECK);
}

static struct swg__finding without(struct swg__finding f, enum swg__condition of_it, bool soft) {
    swg__condition_depend(&f, 7, of_it, soft);
    return f;
}

static void dependencies(void **state) {
    (void)state;
    is(without(working, SWG__WORKING, false), SWG__WORKING, SWG__BECAUSE_NOTHING);
    is(without(working, SWG__IMPAIRED, false), SWG__WORKING, SWG__BECAUSE_NOTHING);
    is(without(working, SWG__DOWN, false), SWG__DOWN, SWG__BECAUSE_DEPENDENCY);
    assert_int_equal(without(working, SWG__DOWN, false).dependency, 7);
    is(without(working, SWG__DOWN, true), SWG__IMPAIRED, SWG__BECAUSE_DEPENDENCY);
    is(without(serving, SWG__DOWN, false), SWG__IMPAIRED, SWG__BECAUSE_DEPENDENCY);
    is(without(failing, SWG__DOWN, false), SWG__DOWN, SWG__BECAUSE_DEPENDENCY);
    /* its own trouble comes first */
    is(without(failing, SWG__DOWN, true), SWG__IMPAIRED, SWG__BECAUSE_FAILING);
    is(without(open, SWG__DOWN, false), SWG__DOWN, SWG__BECAUSE_OPEN);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_known_is_working),
        cmocka_unit_test(a_breaker_is_believed_first),
        cmocka_unit_test(real_calls_outweigh_a_check),
        cmocka_unit_test(what_closed_it_is_no_real_call),
        cmocka_unit_test(failing_without_a_rule),
        cmocka_unit_test(a_service_is_its_endpoints),
        cmocka_unit_test(dependencies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
