/* keys_test.c - what terminals send, in whatever pieces. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/keys.h"

/* The keys as letters: those of the enum, and characters as they are. */
static void type(struct keys *k, const char *bytes, char *out) {
    static const char letters[] = "TUDPNHEREBCIZL";
    struct key_event e;
    for (; *bytes; bytes++) {
        if (keys_feed(k, *bytes, &e)) {
            if (e.key == KEY_TEXT)
                strcat(out, e.text);
            else
                strncat(out, &letters[e.key], 1);
        }
    }
}

#define assert_types(bytes, expected)       \
    do {                                    \
        struct keys k = {0};                \
        char out[64] = "";                  \
        type(&k, bytes, out);               \
        assert_string_equal(out, expected); \
    } while (0)

static void arrows_and_pages_of_all_terminals(void **state) {
    assert_types("\033[A\033[B\033OA\033OB", "UDUD");
    assert_types("\033[5~\033[6~", "PN");
    assert_types("\033[H\033[F\033[1~\033[4~\033[7~\033[8~\033OH\033OF", "HEHEHEHE");
    assert_types("\033[1;5A", "U"); /* with ctrl */
}

static void control_characters(void **state) {
    assert_types("\r\n\x7f\b\x15\x03\x1a\x0c", "RRBBCIZL");
    assert_types("\x01\x02\x07\x1c", "");
}

static void text_is_utf_8_or_nothing(void **state) {
    assert_types("a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80z", "aä€😀z");
    assert_types("\xc0\x80"
                 "a\x80"
                 "b\xff\xff\xff\xff"
                 "c",
                 "abc");
    assert_types("\xc3q", "q");      /* cut off by another character */
    assert_types("\xc3\033[A", "U"); /* by a key */
}

static void what_is_not_known_is_passed_over(void **state) {
    assert_types("\033[15~x", "x");                   /* F5 */
    assert_types("\033[<0;10;20Mx", "x");             /* a mouse */
    assert_types("\033[99999999999999999999~x", "x"); /* a number without end */
    assert_types("\033OQx", "x");
    assert_types("\033qx", "x"); /* alt-q is not q */
}

static void escape_is_a_key_when_nothing_follows(void **state) {
    struct keys k = {0};
    struct key_event e;
    char out[64] = "";
    type(&k, "\033", out);
    assert_true(keys_waits(&k));
    assert_true(keys_idle(&k, &e));
    assert_int_equal(e.key, KEY_ESCAPE);
    assert_false(keys_waits(&k));
    assert_false(keys_idle(&k, &e));
    type(&k, "[A", out); /* too late */
    assert_string_equal(out, "[A");
    assert_true(!keys_feed(&k, '\033', &e) && keys_feed(&k, '\033', &e));
    assert_int_equal(e.key, KEY_ESCAPE);
}

static void any_bytes_are_harmless(void **state) {
    struct keys k = {0};
    struct key_event e;
    uint32_t seed = 7;
    for (int i = 0; i < 200000; i++) {
        seed = seed * 1664525 + 1013904223;
        if (keys_feed(&k, (char)(seed >> 24), &e))
            assert_true(e.key <= KEY_REDRAW && strlen(e.text) <= 4);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arrows_and_pages_of_all_terminals),
        cmocka_unit_test(control_characters),
        cmocka_unit_test(text_is_utf_8_or_nothing),
        cmocka_unit_test(what_is_not_known_is_passed_over),
        cmocka_unit_test(escape_is_a_key_when_nothing_follows),
        cmocka_unit_test(any_bytes_are_harmless),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
