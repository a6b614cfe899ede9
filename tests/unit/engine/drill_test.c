/* drill_test.c - which attempts drills hit, and what several do together. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <switchgear/time.h>

#include "base/random.h"
#include "engine/drill.h"

static const struct swg__drill delay = {.kind = SWG__DRILL_DELAY, .delay_ns = SWG_MS(200)},
                               error = {.kind = SWG__DRILL_ERROR, .status = 503},
                               other = {.kind = SWG__DRILL_ERROR, .status = 429},
                               reset = {.kind = SWG__DRILL_ABORT, .delay_ns = SWG_MS(50)};

static uint32_t hits_of(uint32_t share, uint32_t attempts, uint64_t seed) {
    const struct swg__drill d = {.share = share, .until_ns = SWG_SECONDS(1)};
    uint32_t hits = 0;
    for (uint32_t i = 0; i < attempts; i++)
        hits += swg__drill_hits(&d, random_next(&seed), 0);
    return hits;
}

/* Within five standard deviations, for whatever seed. */
static void a_share_is_right_on_average(void **state) {
    enum { ATTEMPTS = 100000 };
    const uint32_t shares[] = {1000, 100000, 300000, 999000};
    for (size_t i = 0; i < sizeof shares / sizeof shares[0]; i++) {
        double p = shares[i] / 1e6, mean = ATTEMPTS * p, variance = mean * (1 - p);
        double off = hits_of(shares[i], ATTEMPTS, i + 7) - mean;
        assert_true(off * off < 25 * variance);
    }
}

static void none_and_all_are_exact(void **state) {
    assert_int_equal(hits_of(0, 10000, 1), 0);
    assert_int_equal(hits_of(SWG__DRILL_ALWAYS, 10000, 1), 10000);
    const struct swg__drill least = {.share = 1, .until_ns = 1};
    assert_true(swg__drill_hits(&least, 0, 0));
    assert_false(swg__drill_hits(&least, UINT64_MAX, 0));
    const struct swg__drill most = {.share = SWG__DRILL_ALWAYS - 1, .until_ns = 1};
    assert_false(swg__drill_hits(&most, UINT64_MAX, 0));
}

static void nothing_is_hit_from_the_end_on(void **state) {
    const struct swg__drill d = {.share = SWG__DRILL_ALWAYS, .until_ns = SWG_SECONDS(60)};
    assert_true(swg__drill_hits(&d, 0, SWG_SECONDS(60) - 1));
    assert_false(swg__drill_hits(&d, 0, SWG_SECONDS(60)));
    assert_false(swg__drill_hits(&d, 0, UINT64_MAX));
}

static void delays_add_up_and_go_before_a_fault(void **state) {
    struct swg__drill_effect e = {0};
    assert_true(swg__drill_add(&e, &delay));
    assert_int_equal(e.kind, SWG__DRILL_DELAY);
    assert_true(swg__drill_add(&e, &delay));
    assert_int_equal(e.delay_ns, SWG_MS(400));
    assert_true(swg__drill_add(&e, &reset));
    assert_int_equal(e.kind, SWG__DRILL_ABORT);
    assert_int_equal(e.delay_ns, SWG_MS(450));
    assert_true(swg__drill_add(&e, &delay));
    assert_int_equal(e.kind, SWG__DRILL_ABORT);
    assert_int_equal(e.delay_ns, SWG_MS(650));
}

static void the_first_fault_is_the_one_that_happens(void **state) {
    struct swg__drill_effect e = {0};
    assert_true(swg__drill_add(&e, &error));
    assert_false(swg__drill_add(&e, &other));
    assert_false(swg__drill_add(&e, &reset));
    assert_true(e.hit);
    assert_int_equal(e.kind, SWG__DRILL_ERROR);
    assert_int_equal(e.status, 503);
    assert_int_equal(e.delay_ns, 0); /* of a fault that does not happen */
}

static void a_delay_never_wraps_around(void **state) {
    const struct swg__drill long_one = {.kind = SWG__DRILL_DELAY, .delay_ns = UINT64_MAX - 5};
    struct swg__drill_effect e = {0};
    swg__drill_add(&e, &long_one);
    swg__drill_add(&e, &long_one);
    assert_true(e.delay_ns == UINT64_MAX);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_share_is_right_on_average),
        cmocka_unit_test(none_and_all_are_exact),
        cmocka_unit_test(nothing_is_hit_from_the_end_on),
        cmocka_unit_test(delays_add_up_and_go_before_a_fault),
        cmocka_unit_test(the_first_fault_is_the_one_that_happens),
        cmocka_unit_test(a_delay_never_wraps_around),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
