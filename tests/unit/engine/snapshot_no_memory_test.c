/* snapshot_no_memory_test.c - each allocation of a snapshot and of a restore fails
 * once: an error is told, and what there was is as it was. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <switchgear/snapshot.h>

#include "failing_memory.h"

static const struct swg_breaker_options calls_and_slow = {
    .failures = 3, .slow_percent = 50, .window_calls = 10};

static unsigned char bytes[4096];

static struct swg_breaker *make_breaker(const char *results) {
    struct swg_breaker *b;
    assert_int_equal(swg_breaker_create(&b, &calls_and_slow, 0, 0), SWG_OK);
    for (; *results; results++) {
        struct swg_permit p;
        assert_int_equal(swg_breaker_admit(b, &p, 0, 0), SWG_ADMITTED);
        swg_breaker_record(b, &p, *results == 'F' ? SWG_FAILURE : SWG_SUCCESS, 0, 0);
    }
    return b;
}

static void test_breaker(void **state) {
    struct swg_breaker *from = make_breaker("FSF"), *to = make_breaker("SF");
    struct swg_snapshot_buffer buffer;
    struct swg_breaker_stats s;
    enum swg_error error = SWG_ERR_NOMEM;
    int n = 0;
    (void)state;
    for (; error; n++) {
        buffer = (struct swg_snapshot_buffer){bytes, sizeof(bytes), 0};
        allocations_left = n;
        error = swg_breaker_snapshot(from, swg_snapshot_to_buffer, &buffer, 0, 0);
        allocations_left = -1;
        assert_true(error == SWG_OK || error == SWG_ERR_NOMEM);
        swg_breaker_check(from);
    }
    assert_int_equal(n, 3); /* two windows */
    error = SWG_ERR_NOMEM;
    for (n = 0; error; n++) {
        swg_breaker_read(to, &s, 0);
        assert_int_equal(s.calls, 2);
        assert_int_equal(s.window_failures, 1);
        allocations_left = n;
        error = swg_breaker_restore(to, bytes, buffer.length, 0, 0);
        allocations_left = -1;
        assert_true(error == SWG_OK || error == SWG_ERR_NOMEM);
        swg_breaker_check(to);
    }
    assert_int_equal(n, 5); /* a window to check, one to read, two to have */
    swg_breaker_read(to, &s, 0);
    assert_int_equal(s.window_failures, 2);
    assert_int_equal(s.calls, 5);
    swg_breaker_destroy(from);
    swg_breaker_destroy(to);
}

static void test_registry(void **state) {
    static const uint64_t key[2] = {1, 2};
    const struct swg_registry_options o = {.max = 40, .breaker = calls_and_slow};
    struct swg_registry *r;
    struct swg_breaker *from = make_breaker("FSF");
    struct swg_snapshot_buffer buffer = {bytes, sizeof(bytes), 0};
    (void)state;
    assert_int_equal(swg_breaker_snapshot(from, swg_snapshot_to_buffer, &buffer, 0, 0), SWG_OK);
    swg_breaker_destroy(from);
    uint32_t count = 0;
    for (int n = 0; count == 0; n++) {
        assert_int_equal(swg_registry_create(&r, &o, key, 0), SWG_OK);
        allocations_left = n;
        enum swg_error error = swg_registry_restore(r, bytes, buffer.length, 0, 0, &count);
        allocations_left = -1;
        assert_true(error == SWG_OK || error == SWG_ERR_NOMEM);
        swg_registry_check(r);
        swg_registry_destroy(r);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_breaker),
        cmocka_unit_test(test_registry),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
