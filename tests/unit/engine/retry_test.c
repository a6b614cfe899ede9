/* retry_test.c - waits between attempts; the tables of errors and reasons. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <switchgear/error.h>
#include <switchgear/refusal.h>
#include <switchgear/retry.h>

#include "base/random.h"

static const struct swg_retry_options full = {.base_ns = SWG_MS(100), .cap_ns = SWG_SECONDS(10)};

static uint64_t wait_of(const struct swg_retry_options *o, uint32_t retry, uint64_t random) {
    return swg_retry_wait_ns(o, retry, 0, 0, random);
}

static void full_jitter_spans_zero_to_the_doubled_base(void **state) {
    assert_int_equal(wait_of(&full, 0, 0), 0);
    assert_int_equal(wait_of(&full, 0, UINT64_MAX), SWG_MS(100));
    assert_int_equal(wait_of(&full, 1, UINT64_MAX), SWG_MS(200));
    assert_int_equal(wait_of(&full, 5, UINT64_MAX), SWG_MS(3200));
    assert_int_equal(wait_of(&full, 5, 0), 0);
}

static void waits_stop_growing_at_the_cap(void **state) {
    assert_int_equal(wait_of(&full, 7, UINT64_MAX), SWG_SECONDS(10));
    assert_int_equal(wait_of(&full, 63, UINT64_MAX), SWG_SECONDS(10));
    assert_int_equal(wait_of(&full, 64, UINT64_MAX), SWG_SECONDS(10));
    assert_int_equal(wait_of(&full, UINT32_MAX, UINT64_MAX), SWG_SECONDS(10));
}

static void zero_options_are_100_ms_and_10_s(void **state) {
    struct swg_retry_options o = {.jitter = SWG_JITTER_NONE};
    assert_int_equal(wait_of(&o, 0, 0), SWG_MS(100));
    assert_int_equal(wait_of(&o, 100, 0), SWG_SECONDS(10));
    o.base_ns = SWG_SECONDS(20); /* beyond the default cap */
    assert_int_equal(wait_of(&o, 0, 0), SWG_SECONDS(20));
    assert_int_equal(wait_of(&o, 1, 0), SWG_SECONDS(20));
}

static void equal_jitter_keeps_half(void **state) {
    struct swg_retry_options o = full;
    o.jitter = SWG_JITTER_EQUAL;
    assert_int_equal(wait_of(&o, 2, 0), SWG_MS(200));
    assert_int_equal(wait_of(&o, 2, UINT64_MAX), SWG_MS(400));
}

static void no_jitter_is_the_exponential_itself(void **state) {
    struct swg_retry_options o = full;
    o.jitter = SWG_JITTER_NONE;
    assert_int_equal(wait_of(&o, 3, 12345), SWG_MS(800));
}

static void decorrelated_jitter_grows_from_the_previous_wait(void **state) {
    struct swg_retry_options o = full;
    o.jitter = SWG_JITTER_DECORRELATED;
    assert_int_equal(swg_retry_wait_ns(&o, 0, 0, 0, 0), SWG_MS(100));
    assert_int_equal(swg_retry_wait_ns(&o, 0, 0, 0, UINT64_MAX), SWG_MS(300));
    assert_int_equal(swg_retry_wait_ns(&o, 9, SWG_MS(300), 0, UINT64_MAX), SWG_MS(900));
    assert_int_equal(swg_retry_wait_ns(&o, 9, SWG_MS(300), 0, 0), SWG_MS(100));
    assert_int_equal(swg_retry_wait_ns(&o, 9, SWG_SECONDS(9), 0, UINT64_MAX), SWG_SECONDS(10));
    assert_int_equal(swg_retry_wait_ns(&o, 9, UINT64_MAX, 0, UINT64_MAX), SWG_SECONDS(10));
}

static void retry_after_is_a_floor(void **state) {
    assert_int_equal(swg_retry_wait_ns(&full, 0, 0, SWG_SECONDS(2), UINT64_MAX), SWG_SECONDS(2));
    assert_int_equal(swg_retry_wait_ns(&full, 5, 0, SWG_SECONDS(2), UINT64_MAX), SWG_MS(3200));
}

/* Full jitter that favoured one end would bunch the callers it is to spread. */
static void full_jitter_is_even(void **state) {
    uint64_t seed = 2, sum = 0, below_quarter = 0;
    enum { SAMPLES = 100000 };
    for (int i = 0; i < SAMPLES; i++) {
        uint64_t w = wait_of(&full, 0, random_next(&seed));
        assert_true(w <= SWG_MS(100));
        sum += w;
        below_quarter += w < SWG_MS(25);
    }
    assert_in_range(sum / SAMPLES, SWG_MS(49), SWG_MS(51));
    assert_in_range(below_quarter, SAMPLES * 23 / 100, SAMPLES * 27 / 100);
}

static void random_up_to_stays_within(void **state) {
    assert_int_equal(random_up_to(UINT64_MAX, 0), 0);
    assert_int_equal(random_up_to(UINT64_MAX, 9), 9);
    assert_int_equal(random_up_to(0, 9), 0);
    assert_int_equal(random_up_to(UINT64_MAX / 2, 9), 4);
    assert_int_equal(random_up_to(UINT64_MAX, UINT64_MAX), UINT64_MAX);
    assert_int_equal(random_up_to(UINT64_MAX, UINT64_MAX - 1), UINT64_MAX - 1);
}

static void every_error_and_every_reason_has_words(void **state) {
    assert_string_equal(swg_error_name(SWG_OK), "SWG_OK");
    assert_string_equal(swg_error_name(SWG_ERR_NOMEM), "SWG_ERR_NOMEM");
    assert_string_equal(swg_error_name(SWG_ERR_CANCELLED), "SWG_ERR_CANCELLED");
    assert_string_equal(swg_error_sentence(SWG_ERR_NOMEM), "out of memory");
    assert_string_equal(swg_error_name((enum swg_error)999), "SWG_ERR_UNKNOWN");
    assert_string_equal(swg_refusal_word(SWG_ADMITTED), "admitted");
    assert_string_equal(swg_refusal_word(SWG_REFUSED_HALF_OPEN_FULL), "half_open_full");
    assert_string_equal(swg_refusal_word((enum swg_refusal)999), "unknown");
    for (int i = 0; i < SWG_REFUSAL_COUNT; i++) {
        assert_true(strlen(swg_refusal_word((enum swg_refusal)i)) > 0);
        assert_true(strlen(swg_refusal_sentence((enum swg_refusal)i)) > 0);
        assert_string_not_equal(swg_refusal_word((enum swg_refusal)i), "unknown");
    }
}

static void status_sets_hold_what_was_set(void **state) {
    uint64_t set[10] = {0};
    swg_status_set(set, 503);
    swg_status_set(set, 639);
    swg_status_set(set, 640);
    swg_status_set(set, -1);
    assert_true(swg_status_in(set, 503));
    assert_true(swg_status_in(set, 639));
    assert_false(swg_status_in(set, 502));
    assert_false(swg_status_in(set, 640));
    assert_false(swg_status_in(set, -1));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(full_jitter_spans_zero_to_the_doubled_base),
        cmocka_unit_test(waits_stop_growing_at_the_cap),
        cmocka_unit_test(zero_options_are_100_ms_and_10_s),
        cmocka_unit_test(equal_jitter_keeps_half),
        cmocka_unit_test(no_jitter_is_the_exponential_itself),
        cmocka_unit_test(decorrelated_jitter_grows_from_the_previous_wait),
        cmocka_unit_test(retry_after_is_a_floor),
        cmocka_unit_test(full_jitter_is_even),
        cmocka_unit_test(random_up_to_stays_within),
        cmocka_unit_test(every_error_and_every_reason_has_words),
        cmocka_unit_test(status_sets_hold_what_was_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
