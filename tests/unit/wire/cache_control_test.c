#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wire/http.h"

static struct http_cache_control read_control(const char *value) {
    struct http_cache_control control;
    http_cache_control_init(&control);
    http_cache_control_add(&control, bytes_of(value));
    return control;
}

static void test_nothing(void **state) {
    (void)state;
    struct http_cache_control control = read_control("");
    assert_int_equal(control.max_age, -1);
    assert_int_equal(control.s_maxage, -1);
    assert_int_equal(control.stale_while_revalidate, -1);
    assert_int_equal(control.stale_if_error, -1);
    assert_int_equal(control.max_stale, -1);
    assert_int_equal(control.min_fresh, -1);
    assert_false(control.no_store || control.no_cache || control.private_ || control.public_);
}

static void test_numbers(void **state) {
    (void)state;
    struct http_cache_control control =
        read_control("max-age=1, S-MaxAge=2,stale-while-revalidate=3 , stale-if-error=4,"
                     "max-stale=5, min-fresh=6");
    assert_int_equal(control.max_age, 1);
    assert_int_equal(control.s_maxage, 2);
    assert_int_equal(control.stale_while_revalidate, 3);
    assert_int_equal(control.stale_if_error, 4);
    assert_int_equal(control.max_stale, 5);
    assert_int_equal(control.min_fresh, 6);
    assert_int_equal(read_control("max-stale").max_stale, INT32_MAX);
}

static void test_odd_numbers(void **state) {
    (void)state;
    const struct {
        const char *value;
        int32_t max_age;
    } rows[] = {
        {"max-age=0", 0},
        {"max-age=\"60\"", 60},
        {"max-age=2147483647", INT32_MAX},
        {"max-age=2147483648", INT32_MAX},
        {"max-age=99999999999999999999999", INT32_MAX},
        {"max-age=-1", 0},
        {"max-age=1.5", 0},
        {"max-age=1x", 0},
        {"max-age= 1", 0},
        {"max-age=", 0},
        {"max-age", 0},
        {"max-age=\"", 0},
        {"max-age=10, max-age=20", 10},
        {"x-max-age=1", -1},
        {"max-age =1", -1},
        {"ext=\"a, max-age=5\"", -1},
        {"ext=\"a, max-age=5\", max-age=7", 7},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (read_control(rows[i].value).max_age != rows[i].max_age)
            fail_msg("%s: %d", rows[i].value, read_control(rows[i].value).max_age);
}

static void test_flags(void **state) {
    (void)state;
    struct http_cache_control control =
        read_control("no-store, NO-CACHE, private, public, must-revalidate, proxy-revalidate,"
                     "must-understand, only-if-cached, no-transform, immutable");
    assert_true(control.no_store && control.no_cache && control.private_ && control.public_);
    assert_true(control.must_revalidate && control.proxy_revalidate && control.must_understand);
    assert_true(control.only_if_cached && control.no_transform && control.immutable);
    assert_false(control.no_cache_fields || control.private_fields);
}

static void test_field_lists(void **state) {
    (void)state;
    struct http_cache_control control =
        read_control("private=\"set-cookie, no-store\", no-cache=\"x\"");
    assert_true(control.private_ && control.private_fields);
    assert_true(control.no_cache && control.no_cache_fields);
    assert_false(control.no_store);
}

static void test_several_fields_add_up(void **state) {
    (void)state;
    struct http_cache_control control = read_control("max-age=5");
    http_cache_control_add(&control, BYTES("no-store, max-age=9"));
    http_cache_control_add(&control, BYTES("public"));
    assert_int_equal(control.max_age, 5);
    assert_true(control.no_store && control.public_);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing),     cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_odd_numbers), cmocka_unit_test(test_flags),
        cmocka_unit_test(test_field_lists), cmocka_unit_test(test_several_fields_add_up),
    };
    return cmocka_run_group_tests_name("cache_control", tests, NULL, NULL);
}
