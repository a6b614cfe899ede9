/* command_body_test.c - what the body of a command may be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "admin/command_body.h"

static char said[512];

static bool reads(const char *text, struct command_body *body) {
    struct buf wrong;
    buf_init_fixed(&wrong, said, sizeof said);
    said[0] = '\0';
    return command_body_read(bytes_of(text), body, &wrong);
}

static void all_of_it(void **state) {
    struct command_body b;
    (void)state;
    assert_true(reads("{\"reason\":\"\\u00e4 b\",\"author\":\"ada\",\"for\":\"10m\","
                      "\"endpoint\":\"http://a:1\"}",
                      &b));
    assert_string_equal(b.reason, "\xc3\xa4 b");
    assert_string_equal(b.author, "ada");
    assert_string_equal(b.duration, "10m");
    assert_string_equal(b.endpoint, "http://a:1");
}

static void nothing(void **state) {
    struct command_body b;
    (void)state;
    assert_true(reads("", &b));
    assert_string_equal(b.reason, "");
    assert_true(reads(" {} ", &b));
    assert_string_equal(b.duration, "");
}

static void wrong(void **state) {
    static const struct {
        const char *text, *about;
    } cases[] = {
        {"[]", "not a JSON object"},
        {"x", "not a JSON object"},
        {"{\"for\":\"1m\"} x", "not a JSON object"},
        {"{\"for\":\"1m\",\"for\":\"2m\"}", "duplicate"},
        {"{\"for\":10}", "for is a string"},
        {"{\"for\":null}", "for is a string"},
        {"{\"duration\":\"10m\"}", "\"duration\" is not known"},
        {"{\"reason\":\"a\\u0000b\"}", "not a JSON object"},
        {"{\"reason\":\"\xff\"}", "not a JSON object"},
    };
    struct command_body b;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_false(reads(cases[i].text, &b));
        if (!strstr(said, cases[i].about))
            fail_msg("%s: said: %s", cases[i].text, said);
    }
}

/* Exactly what the history can hold, and not a byte more. */
static void lengths(void **state) {
    struct command_body b;
    char text[400];
    (void)state;
    snprintf(text, sizeof text, "{\"reason\":\"%0*d\"}", BODY_REASON_MAX, 0);
    assert_true(reads(text, &b));
    assert_int_equal(strlen(b.reason), BODY_REASON_MAX);
    snprintf(text, sizeof text, "{\"reason\":\"%0*d\"}", BODY_REASON_MAX + 1, 0);
    assert_false(reads(text, &b));
    snprintf(text, sizeof text, "{\"author\":\"%0*d\"}", BODY_AUTHOR_MAX + 1, 0);
    assert_false(reads(text, &b));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_of_it),
        cmocka_unit_test(nothing),
        cmocka_unit_test(wrong),
        cmocka_unit_test(lengths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
