/* no_memory_test.c - each allocation of breaker, policy, bulkhead and budget
 * fails once:
 * an error is told, nothing leaks, and what there was is as it was. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <switchgear/policy.h>

#include "failing_memory.h"

static const struct swg_breaker_options calls_and_slow = {
    .failures = 3, .slow_percent = 50, .window_calls = 10};
static const struct swg_endpoint_options names[] = {{"a", 1}, {"b", 1}, {"c", 1}};

static void test_breaker_create(void **state) {
    (void)state;
    struct swg_breaker *b = NULL;
    int n = 0;
    for (; !b; n++) {
        allocations_left = n;
        enum swg_error error = swg_breaker_create(&b, &calls_and_slow, 0, 0);
        allocations_left = -1;
        assert_int_equal(error, b ? SWG_OK : SWG_ERR_NOMEM);
    }
    assert_int_equal(n - 1, 4); /* options, two windows, the breaker */
    swg_breaker_destroy(b);
}

static void test_breaker_configure(void **state) {
    (void)state;
    struct swg_breaker *b;
    struct swg_breaker_stats s;
    enum swg_error error = SWG_ERR_NOMEM;
    assert_int_equal(swg_breaker_create(&b, NULL, 0, 0), SWG_OK);
    for (int n = 0; error; n++) {
        struct swg_permit p;
        allocations_left = n;
        error = swg_breaker_configure(b, &calls_and_slow, 0);
        allocations_left = -1;
        assert_true(error == SWG_OK || error == SWG_ERR_NOMEM);
        swg_breaker_check(b);
        if (error) {
            swg_breaker_admit(b, &p, 0, 0);
            swg_breaker_record(b, &p, SWG_FAILURE, 0, 0);
        }
    }
    swg_breaker_read(b, &s, 0);
    assert_int_equal(s.state, SWG_CLOSED);
    assert_int_equal(s.failures, 3);
    swg_breaker_destroy(b);
}

static void test_policy_create(void **state) {
    (void)state;
    struct swg_policy *p = NULL;
    const struct swg_policy_options o = {.endpoints = names,
                                         .endpoint_count = 3,
                                         .breaker = calls_and_slow,
                                         .shadow = {.enabled = true, .breaker = calls_and_slow}};
    int n = 0;
    for (; !p; n++) {
        allocations_left = n;
        enum swg_error error = swg_policy_create(&p, &o, 0, 0);
        allocations_left = -1;
        assert_int_equal(error, p ? SWG_OK : SWG_ERR_NOMEM);
    }
    assert_true(n > 12);
    swg_policy_check(p);
    swg_policy_release(p);
}

static void test_policy_renew(void **state) {
    (void)state;
    struct swg_policy *old, *next = NULL;
    const struct swg_policy_options before = {.endpoints = names, .endpoint_count = 2};
    const struct swg_policy_options after = {.endpoints = names,
                                             .endpoint_count = 3,
                                             .breaker = calls_and_slow,
                                             .bulkhead.concurrent = 7};
    assert_int_equal(swg_policy_create(&old, &before, 0, 0), SWG_OK);
    for (int n = 0; !next; n++) {
        struct swg_policy_stats s;
        allocations_left = n;
        enum swg_error error = swg_policy_renew(&next, old, &after, 0, 0);
        allocations_left = -1;
        assert_int_equal(error, next ? SWG_OK : SWG_ERR_NOMEM);
        swg_policy_check(old);
        swg_policy_read(old, &s, 0);
        assert_int_equal(s.bulkhead.concurrent, next ? 7 : 1024);
    }
    swg_policy_check(next);
    swg_policy_release(old);
    swg_policy_release(next);
}

/* The shadow of one endpoint changes, that of another is new: all or none. */
static void test_shadows_renew(void **state) {
    (void)state;
    struct swg_policy *old, *next = NULL;
    struct swg_shadow_stats s;
    const struct swg_policy_options before = {
        .endpoints = names, .endpoint_count = 1, .shadow = {.enabled = true}};
    const struct swg_policy_options after = {
        .endpoints = names,
        .endpoint_count = 2,
        .shadow = {.enabled = true, .breaker = calls_and_slow}};
    assert_int_equal(swg_policy_create(&old, &before, 0, 5), SWG_OK);
    for (int n = 0; !next; n++) {
        allocations_left = n;
        enum swg_error error = swg_policy_renew(&next, old, &after, 0, 9);
        allocations_left = -1;
        assert_int_equal(error, next ? SWG_OK : SWG_ERR_NOMEM);
        swg_policy_read_shadow(old, 0, &s, 9);
        assert_true(s.enabled && s.begun_ns == (next ? 9 : 5));
    }
    swg_policy_read_shadow(next, 1, &s, 9);
    assert_true(s.enabled);
    swg_policy_release(old);
    swg_policy_release(next);
}

static void test_bulkhead_create(void **state) {
    struct swg_bulkhead *b = NULL;
    for (int n = 0; !b; n++) {
        allocations_left = n;
        enum swg_error error = swg_bulkhead_create(&b, NULL);
        allocations_left = -1;
        assert_int_equal(error, b ? SWG_OK : SWG_ERR_NOMEM);
        assert_true(b || n == 0); /* one allocation is all it makes */
    }
    swg_bulkhead_check(b);
    swg_bulkhead_destroy(b);
}

static void test_budget_create(void **state) {
    struct swg_budget *b = NULL;
    for (int n = 0; !b; n++) {
        allocations_left = n;
        enum swg_error error = swg_budget_create(&b, NULL, 0);
        allocations_left = -1;
        assert_int_equal(error, b ? SWG_OK : SWG_ERR_NOMEM);
        assert_true(b || n == 0);
    }
    assert_true(swg_budget_withdraw(b, 1));
    swg_budget_destroy(b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_breaker_create), cmocka_unit_test(test_breaker_configure),
        cmocka_unit_test(test_policy_create),  cmocka_unit_test(test_policy_renew),
        cmocka_unit_test(test_shadows_renew),  cmocka_unit_test(test_bulkhead_create),
        cmocka_unit_test(test_budget_create),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
