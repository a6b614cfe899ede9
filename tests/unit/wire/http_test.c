#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wire/http.h"

static void test_methods(void **state) {
    (void)state;
    for (int i = 1; i < HTTP_METHODS; i++) {
        struct bytes name = bytes_of(http_method_name(i));
        assert_int_equal(http_method_of(name), i);
        char changed[16];
        memcpy(changed, name.at, name.len);
        for (size_t at = 0; at < name.len; at++) {
            changed[at] ^= 0x20;
            assert_int_equal(http_method_of((struct bytes){changed, name.len}), HTTP_METHOD_OTHER);
            changed[at] ^= 0x20;
        }
        assert_int_equal(http_method_of((struct bytes){name.at, name.len - 1}), HTTP_METHOD_OTHER);
    }
    assert_int_equal(http_method_of(BYTES("")), HTTP_METHOD_OTHER);
    assert_int_equal(http_method_of(BYTES("OTHER")), HTTP_METHOD_OTHER);
    assert_string_equal(http_method_name(HTTP_METHOD_OTHER), "OTHER");
    assert_string_equal(http_method_name(HTTP_METHODS), "OTHER");
}

static void test_method_properties(void **state) {
    (void)state;
    const struct {
        enum http_method method;
        bool safe, idempotent;
    } rows[] = {
        {HTTP_METHOD_OTHER, false, false}, {HTTP_GET, true, true},     {HTTP_HEAD, true, true},
        {HTTP_POST, false, false},         {HTTP_PUT, false, true},    {HTTP_DELETE, false, true},
        {HTTP_CONNECT, false, false},      {HTTP_OPTIONS, true, true}, {HTTP_TRACE, true, true},
        {HTTP_PATCH, false, false},
    };
    assert_int_equal(sizeof rows / sizeof rows[0], HTTP_METHODS);
    for (size_t i = 0; i < HTTP_METHODS; i++) {
        assert_int_equal(http_method_is_safe(rows[i].method), rows[i].safe);
        assert_int_equal(http_method_is_idempotent(rows[i].method), rows[i].idempotent);
    }
}

/* Every known name in three spellings, and with any byte of it changed to any
 * other: the fast comparison must be exact. */
static void test_field_names(void **state) {
    (void)state;
    for (int id = 1; id < HTTP_FIELD_IDS; id++) {
        struct bytes name = http_field_name(id);
        char text[64];
        assert_true(name.len > 0 && name.len <= 24); /* http1_body keeps 24 of a trailer's name */
        assert_int_equal(http_field_of(name), id);
        for (size_t i = 0; i < name.len; i++)
            text[i] = (char)(name.at[i] | (name.at[i] == '-' ? 0 : 0x20));
        assert_int_equal(http_field_of((struct bytes){text, name.len}), id);
        for (size_t at = 0; at < name.len; at++) {
            char was = text[at];
            for (int c = 0; c < 256; c++) {
                text[at] = (char)c;
                enum http_field_id found = http_field_of((struct bytes){text, name.len});
                bool same = bytes_equal_nocase((struct bytes){text, name.len}, name);
                assert_int_equal(found == (enum http_field_id)id, same);
            }
            text[at] = was;
        }
    }
}

static void test_unknown_field_names(void **state) {
    (void)state;
    assert_int_equal(http_field_of(BYTES("")), HTTP_FIELD_OTHER);
    assert_int_equal(http_field_of(BYTES("X")), HTTP_FIELD_OTHER);
    assert_int_equal(http_field_of(BYTES("User-Agent")), HTTP_FIELD_OTHER);
    assert_int_equal(http_field_of(BYTES("Content-Length ")), HTTP_FIELD_OTHER);
    assert_int_equal(http_field_of(BYTES("a-name-that-is-much-longer-than-any-known-one")),
                     HTTP_FIELD_OTHER);
    assert_int_equal(http_field_name(HTTP_FIELD_OTHER).len, 0);
    assert_int_equal(http_field_name(HTTP_FIELD_IDS).len, 0);
}

static void test_reasons(void **state) {
    (void)state;
    assert_string_equal(http_status_reason(200), "OK");
    assert_string_equal(http_status_reason(404), "Not Found");
    assert_string_equal(http_status_reason(503), "Service Unavailable");
    assert_string_equal(http_status_reason(511), "Network Authentication Required");
    assert_string_equal(http_status_reason(299), "");
    assert_string_equal(http_status_reason(512), "");
    assert_string_equal(http_status_reason(-1), "");
    assert_string_equal(http_status_reason(99999), "");
}

static void check_list(const char *list, const char *joined) {
    struct bytes rest = bytes_of(list), element;
    char text[128];
    size_t len = 0;
    while (http_list_next(&rest, &element)) {
        assert_true(element.len > 0);
        memcpy(text + len, element.at, element.len);
        len += element.len;
        text[len++] = '|';
    }
    text[len] = '\0';
    assert_string_equal(text, joined);
    assert_int_equal(rest.len, 0);
}

static void test_lists(void **state) {
    (void)state;
    check_list("", "");
    check_list(" , ,\t", "");
    check_list("a", "a|");
    check_list(" a , b\t,c ", "a|b|c|");
    check_list(",a,,b,", "a|b|");
    check_list("a=\"b,c\", d", "a=\"b,c\"|d|");
    check_list("\"a\\\"b,c\", d", "\"a\\\"b,c\"|d|"); /* an escaped quote */
    check_list("\"a\\\\\",b", "\"a\\\\\"|b|");        /* an escaped backslash, then the end */
    check_list("\"open, b", "\"open, b|");
    check_list("\"end\\", "\"end\\|");
}

static void test_list_has(void **state) {
    (void)state;
    struct bytes list = BYTES("Accept-Encoding, COOKIE,\t*");
    assert_true(http_list_has(list, BYTES("accept-encoding")));
    assert_true(http_list_has(list, BYTES("cookie")));
    assert_true(http_list_has(list, BYTES("*")));
    assert_false(http_list_has(list, BYTES("accept")));
    assert_false(http_list_has(list, BYTES("encoding")));
    assert_false(http_list_has(list, BYTES("")));
    assert_false(http_list_has((struct bytes){NULL, 0}, BYTES("a")));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_methods),     cmocka_unit_test(test_method_properties),
        cmocka_unit_test(test_field_names), cmocka_unit_test(test_unknown_field_names),
        cmocka_unit_test(test_reasons),     cmocka_unit_test(test_lists),
        cmocka_unit_test(test_list_has),
    };
    return cmocka_run_group_tests_name("http", tests, NULL, NULL);
}
