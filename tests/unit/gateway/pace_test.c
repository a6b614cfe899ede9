/* pace_test.c - the rate that a sender must keep up, in virtual time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <switchgear/time.h>

#include "gateway/pace.h"

enum { RATE = 100 };

#define GRACE SWG_SECONDS(5)

static void a_silent_sender_is_due_after_the_grace(void **state) {
    (void)state;
    struct pace p;
    pace_init(&p, RATE, GRACE);
    assert_true(pace_due_ns(&p) == SWG_NEVER); /* nobody waits for it yet */
    pace_run(&p, SWG_SECONDS(7));
    assert_true(pace_due_ns(&p) == SWG_SECONDS(12));
}

static void nothing_is_due_without_a_rate(void **state) {
    (void)state;
    struct pace p;
    pace_init(&p, 0, GRACE);
    pace_run(&p, 1);
    pace_count(&p, 10, SWG_SECONDS(100));
    assert_true(pace_due_ns(&p) == SWG_NEVER);
}

static void a_sender_at_the_rate_is_never_due(void **state) {
    (void)state;
    struct pace p;
    uint64_t now = 0;
    pace_init(&p, RATE, GRACE);
    pace_run(&p, now);
    for (int i = 0; i < 10000; i++) {
        now += SWG_MS(10);
        assert_true(now < pace_due_ns(&p));
        pace_count(&p, 1, now);
    }
    assert_true(pace_due_ns(&p) == now + GRACE);
}

/* At half the rate each second costs half a second of the allowance. */
static void a_trickle_is_due_in_the_end(void **state) {
    (void)state;
    struct pace p;
    uint64_t now = 0;
    pace_init(&p, RATE, GRACE);
    pace_run(&p, now);
    while (now < pace_due_ns(&p)) {
        now += SWG_MS(20);
        pace_count(&p, 1, now);
    }
    assert_in_range(now, 2 * GRACE - SWG_MS(100), 2 * GRACE + SWG_MS(100));
}

static void a_burst_is_no_credit(void **state) {
    (void)state;
    struct pace p;
    pace_init(&p, RATE, GRACE);
    pace_run(&p, 0);
    pace_count(&p, 1000000, SWG_SECONDS(1));
    assert_true(pace_due_ns(&p) == SWG_SECONDS(1) + GRACE);
}

static void the_clock_stands_still_while_nobody_waits(void **state) {
    (void)state;
    struct pace p;
    pace_init(&p, RATE, GRACE);
    pace_run(&p, 0);
    pace_hold(&p, SWG_SECONDS(2));
    assert_true(pace_due_ns(&p) == SWG_NEVER);
    pace_hold(&p, SWG_SECONDS(50)); /* told twice */
    pace_run(&p, SWG_SECONDS(100));
    pace_run(&p, SWG_SECONDS(101)); /* told twice */
    assert_true(pace_due_ns(&p) == SWG_SECONDS(103));
}

static void bytes_of_any_number_and_any_rate(void **state) {
    (void)state;
    static const uint64_t rates[] = {1, 3, 999999999, 1000000001, UINT64_MAX / 2, UINT64_MAX};
    static const size_t bytes[] = {0, 1, 1000, SIZE_MAX / 3, SIZE_MAX};
    for (size_t r = 0; r < sizeof rates / sizeof *rates; r++) {
        for (size_t b = 0; b < sizeof bytes / sizeof *bytes; b++) {
            struct pace p;
            pace_init(&p, rates[r], GRACE);
            pace_run(&p, 0);
            pace_count(&p, bytes[b], GRACE); /* all of it was used up */
            uint64_t worth = pace_due_ns(&p) - GRACE;
            assert_true(worth <= GRACE);
            long double exact = (long double)bytes[b] / (long double)rates[r] * 1e9L;
            long double wanted = exact < (long double)GRACE ? exact : (long double)GRACE;
            assert_true((long double)worth <= wanted + 1 &&
                        (long double)worth >= wanted * 0.999L - 1);
        }
    }
}

static void a_clock_that_stands_takes_nothing(void **state) {
    (void)state;
    struct pace p;
    pace_init(&p, RATE, GRACE);
    pace_run(&p, SWG_SECONDS(9));
    pace_count(&p, 0, SWG_SECONDS(8)); /* nor one that is behind */
    assert_true(pace_due_ns(&p) == SWG_SECONDS(14));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_silent_sender_is_due_after_the_grace),
        cmocka_unit_test(nothing_is_due_without_a_rate),
        cmocka_unit_test(a_sender_at_the_rate_is_never_due),
        cmocka_unit_test(a_trickle_is_due_in_the_end),
        cmocka_unit_test(a_burst_is_no_credit),
        cmocka_unit_test(the_clock_stands_still_while_nobody_waits),
        cmocka_unit_test(bytes_of_any_number_and_any_rate),
        cmocka_unit_test(a_clock_that_stands_takes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
