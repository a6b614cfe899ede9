/* registry_no_memory_test.c - each allocation of a registry fails once: an error
 * or a shared breaker, nothing leaks, and what there was is as it was. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <switchgear/registry.h>

#include "failing_memory.h"

static const uint64_t key[2] = {1, 2};
static const struct swg_registry_options small = {
    .max = 40, .breaker = {.failures = 3, .slow_percent = 50, .window_calls = 10, .probes = 5}};
static const struct swg_registry_options strict = {
    .max = 40,
    .refuse_when_full = true,
    .breaker = {.failures = 3, .slow_percent = 50, .window_calls = 10, .probes = 5}};
static const char long_name[] = "a name that is longer than what an entry has room for";

static void test_create(void **state) {
    struct swg_registry *r = NULL;
    int n = 0;
    (void)state;
    for (; !r; n++) {
        allocations_left = n;
        enum swg_error error = swg_registry_create(&r, &small, key, 0);
        allocations_left = -1;
        assert_int_equal(error, r ? SWG_OK : SWG_ERR_NOMEM);
    }
    assert_true(n > 64);
    swg_registry_check(r);
    swg_registry_destroy(r);
}

/* True: an allocation failed. */
static bool hold_with_failure(const struct swg_registry_options *o, int n,
                              enum swg_error expected) {
    struct swg_registry *r;
    struct swg_breaker *b = NULL;
    struct swg_registry_stats stats;
    assert_int_equal(swg_registry_create(&r, o, key, 0), SWG_OK);
    allocations_left = n;
    enum swg_error error = swg_registry_hold(r, long_name, sizeof(long_name), 0, &b);
    bool failed = allocations_left < 0;
    allocations_left = -1;
    swg_registry_check(r);
    assert_int_equal(error, failed ? expected : SWG_OK);
    assert_int_equal(b == NULL, error != SWG_OK);
    assert_int_equal(swg_registry_entries(r), !failed);
    assert_int_equal(b && swg_registry_name(b, NULL), !failed);
    swg_registry_read(r, &stats, 0);
    assert_int_equal(stats.shared + stats.refused_full, failed);
    swg_registry_release(b);
    /* the next attempt finds memory again */
    assert_int_equal(swg_registry_hold(r, long_name, sizeof(long_name), 0, &b), SWG_OK);
    assert_non_null(swg_registry_name(b, NULL));
    swg_registry_release(b);
    swg_registry_destroy(r);
    return failed;
}

static void hold_with_failures(const struct swg_registry_options *o, enum swg_error expected) {
    int n = 0;
    while (hold_with_failure(o, n, expected))
        n++;
    assert_int_equal(n, 5); /* slab, name, two windows, leases */
}

static void test_hold(void **state) {
    (void)state;
    hold_with_failures(&small, SWG_OK);
    hold_with_failures(&strict, SWG_ERR_NOMEM);
}

static void fail_twice(struct swg_registry *r, int count) {
    for (int i = 0; i < 2 * count; i++) {
        char name[12];
        struct swg_breaker *b;
        struct swg_permit p;
        int length = snprintf(name, sizeof(name), "n%d", i / 2);
        assert_int_equal(swg_registry_hold(r, name, (size_t)length, 0, &b), SWG_OK);
        assert_int_equal(swg_breaker_admit(b, &p, 0, 0), SWG_ADMITTED);
        swg_breaker_record(b, &p, SWG_FAILURE, 0, 0);
        swg_registry_release(b);
    }
}

static void test_configure(void **state) {
    const struct swg_breaker_options o = {
        .failures = 2, .slow_percent = 10, .window_calls = 20, .probes = 9};
    struct swg_registry *r;
    struct swg_registry_stats stats;
    enum swg_error error = SWG_ERR_NOMEM;
    int n = 0;
    (void)state;
    assert_int_equal(swg_registry_create(&r, &small, key, 0), SWG_OK);
    fail_twice(r, 5);
    for (; error; n++) {
        allocations_left = n;
        error = swg_registry_configure(r, &o, 0);
        allocations_left = -1;
        assert_true(error == SWG_OK || error == SWG_ERR_NOMEM);
        swg_registry_check(r);
        swg_registry_read(r, &stats, 0);
        assert_int_equal(stats.total.window_failures, 10);
        assert_int_equal(stats.states[SWG_CLOSED], 5);
    }
    assert_int_equal(n, 2 + 3 * (5 + 64) + 1);
    swg_registry_destroy(r);
}

/* Short of memory, a busy breaker stays as it is and goes on. */
static void test_widen(void **state) {
    struct swg_registry *r;
    struct swg_breaker *b;
    struct swg_registry_stats stats;
    (void)state;
    assert_int_equal(swg_registry_create(&r, NULL, key, 0), SWG_OK);
    assert_int_equal(swg_registry_hold(r, "a", 1, 0, &b), SWG_OK);
    for (uint32_t round = 0; round < 2; round++) {
        for (int i = 0; i < 100001; i++) {
            struct swg_permit p;
            swg_breaker_admit(b, &p, 0, 0);
            swg_breaker_record(b, &p, SWG_SUCCESS, 0, 0);
        }
        allocations_left = round == 0 ? 0 : -1;
        swg_registry_tick(r, 0);
        allocations_left = -1;
        swg_registry_read(r, &stats, 0);
        assert_int_equal(stats.wide, round);
        assert_int_equal(stats.total.calls, 100001 * (round + 1));
    }
    swg_registry_release(b);
    swg_registry_destroy(r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_create),
        cmocka_unit_test(test_hold),
        cmocka_unit_test(test_configure),
        cmocka_unit_test(test_widen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
