/* Appending, the maximum, and what is left after a failure. */
#include "base/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void appends_and_grows(void **state) {
    struct buf b;
    buf_init(&b, SIZE_MAX);
    assert_string_equal(buf_cstr(&b), "");
    for (int i = 0; i < 10000; i++)
        buf_literal(&b, "0123456789");
    assert_false(b.failed);
    assert_int_equal(b.len, 100000);
    for (size_t i = 0; i < b.len; i++)
        assert_int_equal(b.at[i], '0' + (int)(i % 10));
    assert_int_equal(b.at[b.len], '\0');
    buf_free(&b);
    assert_null(b.at);
    buf_literal(&b, "again");
    assert_string_equal(buf_cstr(&b), "again");
    buf_free(&b);
}

static void stops_at_the_maximum(void **state) {
    struct buf b;
    buf_init(&b, 5);
    buf_literal(&b, "abc");
    buf_literal(&b, "de");
    assert_false(b.failed);
    assert_string_equal(buf_cstr(&b), "abcde");
    buf_char(&b, 'f');
    assert_true(b.failed);
    buf_clear(&b);
    buf_literal(&b, "abcdef");
    assert_true(b.failed);
    assert_int_equal(b.len, 0);
    buf_literal(&b, "a"); /* would fit, but a piece before it is missing */
    assert_string_equal(buf_cstr(&b), "");
    buf_clear(&b);
    buf_literal(&b, "a");
    assert_string_equal(buf_cstr(&b), "a");
    buf_free(&b);
}

static void stays_in_fixed_memory(void **state) {
    char memory[9] = "........";
    struct buf b;
    buf_init_fixed(&b, memory, 8);
    buf_literal(&b, "1234567");
    assert_false(b.failed);
    assert_string_equal(memory, "1234567");
    buf_literal(&b, "8");
    assert_true(b.failed);
    assert_int_equal(memory[8], '\0');
    buf_free(&b);
    assert_ptr_equal(b.at, memory);
    assert_false(b.failed);
}

static void prints_whole_or_not_at_all(void **state) {
    struct buf b;
    buf_init(&b, 300);
    buf_printf(&b, "%s-%d", "one", 2);
    assert_string_equal(buf_cstr(&b), "one-2");
    buf_printf(&b, "%290s", "x"); /* beyond the first size: grows */
    assert_false(b.failed);
    assert_int_equal(b.len, 295);
    buf_printf(&b, "%d", 123456);
    assert_true(b.failed);
    assert_int_equal(b.len, 295);
    assert_int_equal(b.at[295], '\0');
    buf_free(&b);
}

static void prints_into_fixed_memory(void **state) {
    char memory[8];
    struct buf b;
    buf_init_fixed(&b, memory, sizeof(memory));
    buf_printf(&b, "%d", 1234567);
    assert_string_equal(buf_cstr(&b), "1234567");
    buf_clear(&b);
    buf_printf(&b, "%d", 12345678);
    assert_true(b.failed);
    assert_string_equal(memory, "");
}

static void writes_integers(void **state) {
    struct buf b;
    buf_init(&b, 1000);
    buf_int(&b, INT64_MIN);
    buf_char(&b, ' ');
    buf_int(&b, INT64_MAX);
    buf_char(&b, ' ');
    buf_int(&b, 0);
    buf_char(&b, ' ');
    buf_uint(&b, UINT64_MAX);
    assert_string_equal(buf_cstr(&b),
                        "-9223372036854775808 9223372036854775807 0 18446744073709551615");
    buf_free(&b);
}

static void takes_nothing(void **state) {
    struct buf b;
    buf_init(&b, 0);
    buf_append(&b, NULL, 0);
    assert_false(b.failed);
    assert_string_equal(buf_cstr(&b), "");
    buf_char(&b, 'a');
    assert_true(b.failed);
    buf_free(&b);
}

static void cuts_back(void **state) {
    struct buf b;
    buf_init(&b, 100);
    buf_literal(&b, "keep, drop");
    buf_truncate(&b, 4);
    assert_string_equal(buf_cstr(&b), "keep");
    assert_true(bytes_equal(buf_view(&b), BYTES("keep")));
    buf_free(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appends_and_grows),
        cmocka_unit_test(stops_at_the_maximum),
        cmocka_unit_test(stays_in_fixed_memory),
        cmocka_unit_test(prints_whole_or_not_at_all),
        cmocka_unit_test(prints_into_fixed_memory),
        cmocka_unit_test(writes_integers),
        cmocka_unit_test(takes_nothing),
        cmocka_unit_test(cuts_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
