/* Holds the table of chars.c against the grammar, and the skip functions, which
 * read 16 bytes at a time, against the table at every alignment and length. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "wire/chars.h"

static bool is_alnum(int c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_one_of(int c, const char *set) {
    return c && strchr(set, c);
}

static bool is_hex(int c) {
    return is_one_of(c, "0123456789abcdefABCDEF");
}

static void test_classes(void **state) {
    (void)state;
    for (int c = 0; c < 256; c++) {
        char byte = (char)c;
        bool control = c < 0x20 || c == 0x7f;
        assert_int_equal(char_is(byte, CHAR_TOKEN), is_alnum(c) || is_one_of(c, "!#$%&'*+-.^_`|~"));
        assert_int_equal(char_is(byte, CHAR_VALUE), c == '\t' || !control);
        assert_int_equal(char_is(byte, CHAR_TARGET), c > 0x20 && c < 0x7f && c != '#');
        assert_int_equal(char_is(byte, CHAR_HOST), is_alnum(c) || is_one_of(c, "-._~!$&'()*+;="));
        assert_int_equal(char_is(byte, CHAR_HEX), is_hex(c));
        assert_int_equal(char_is(byte, CHAR_IPV6), is_hex(c) || is_one_of(c, ":."));
        assert_int_equal(char_is(byte, CHAR_DECIDES), control && c != '\t' && c != '\r');
        assert_int_equal(char_is(byte, CHAR_DIGIT), c >= '0' && c <= '9');
    }
}

/* A byte of every value at every place of runs of every length up to 40. */
static void check_skip(const char *(*past)(const char *, const char *), unsigned class) {
    for (size_t len = 0; len <= 40; len++) {
        char *run = malloc(len ? len : 1);
        assert_non_null(run);
        memset(run, 'a', len);
        assert_ptr_equal(past(run, run + len), run + len);
        for (size_t at = 0; at < len; at++) {
            for (int c = 0; c < 256; c++) {
                run[at] = (char)c;
                const char *expected = char_is((char)c, class) ? run + len : run + at;
                assert_ptr_equal(past(run, run + len), expected);
            }
            run[at] = 'a';
        }
        free(run);
    }
}

static void test_find_colon(void **state) {
    (void)state;
    char run[] = "0123456789012345678901234567890123456789";
    size_t len = sizeof run - 1;
    for (size_t from = 0; from <= len; from++) {
        assert_ptr_equal(chars_find_colon(run + from, run + len), run + len);
        for (size_t at = 0; at < len; at++) {
            run[at] = ':';
            const char *expected = at >= from ? run + at : run + len;
            assert_ptr_equal(chars_find_colon(run + from, run + len), expected);
            run[at] = '0';
        }
    }
}

static void test_skips(void **state) {
    (void)state;
    check_skip(chars_skip_token, CHAR_TOKEN);
    check_skip(chars_skip_value, CHAR_VALUE);
    check_skip(chars_skip_target, CHAR_TARGET);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_classes),
        cmocka_unit_test(test_skips),
        cmocka_unit_test(test_find_colon),
    };
    return cmocka_run_group_tests_name("chars", tests, NULL, NULL);
}
