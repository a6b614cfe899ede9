/* What is written, compared byte by byte; hostile strings above all. */
#include "base/json_out.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static char memory[4096];
static struct buf out;
static struct json_out j;

static int begin(void **state) {
    buf_init_fixed(&out, memory, sizeof(memory));
    json_init(&j, &out);
    return 0;
}

static void nests_and_separates(void **state) {
    json_object(&j);
    json_key_string(&j, "name", "reco");
    json_key_array(&j, "list");
    json_int(&j, -1);
    json_array(&j);
    json_array_end(&j);
    json_object(&j);
    json_object_end(&j);
    json_uint(&j, UINT64_MAX);
    json_array_end(&j);
    json_key_object(&j, "in");
    json_key_bool(&j, "yes", true);
    json_key_bool(&j, "no", false);
    json_key_null(&j, "nothing");
    json_key_string(&j, "absent", NULL);
    json_object_end(&j);
    json_key(&j, "raw");
    json_raw(&j, BYTES("{\"x\":1}"));
    json_key_int(&j, "n", 5);
    json_key_uint(&j, "u", 6);
    json_object_end(&j);
    assert_true(json_done(&j));
    assert_string_equal(memory, "{\"name\":\"reco\",\"list\":[-1,[],{},18446744073709551615],"
                                "\"in\":{\"yes\":true,\"no\":false,\"nothing\":null,"
                                "\"absent\":null},\"raw\":{\"x\":1},\"n\":5,\"u\":6}");
}

static void writes_doubles(void **state) {
    json_array(&j);
    json_double(&j, 0.1);
    json_double(&j, 1.0 / 3);
    json_double(&j, 5);
    json_double(&j, -1e300);
    json_double(&j, NAN);
    json_double(&j, INFINITY);
    json_fixed(&j, 0.25, 3);
    json_fixed(&j, NAN, 3);
    json_array_end(&j);
    assert_true(json_done(&j));
    assert_string_equal(memory, "[0.1,0.33333333333333331,5,-1e+300,null,null,0.250,null]");
}

static void escapes(void **state) {
    json_bytes(&j, (struct bytes){"a\"b\\c\n\r\t\b\f\x01\x00\x1f\x7f/<", 16});
    assert_string_equal(memory, "\"a\\\"b\\\\c\\n\\r\\t\\b\\f\\u0001\\u0000\\u001f\\u007f/<\"");
}

static void escapes_keys(void **state) {
    json_object(&j);
    json_key_bytes(&j, BYTES("a\"\xff"));
    json_null(&j);
    json_object_end(&j);
    assert_string_equal(memory, "{\"a\\\"\\ufffd\":null}");
}

struct utf8_case {
    const char *in, *out;
};

static void replaces_what_is_not_utf8(void **state) {
    static const struct utf8_case cases[] = {
        {"\xc3\xa9", "\xc3\xa9"},
        {"\xe2\x82\xac", "\xe2\x82\xac"},
        {"\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80"},
        {"\xf4\x8f\xbf\xbf", "\xf4\x8f\xbf\xbf"},
        {"\xed\x9f\xbf", "\xed\x9f\xbf"},
        {"\xff", "\\ufffd"},
        {"\x80", "\\ufffd"},
        {"\xc3", "\\ufffd"},                       /* cut short */
        {"\xc3(", "\\ufffd("},                     /* no continuation */
        {"\xe2\x82", "\\ufffd\\ufffd"},            /* cut short */
        {"\xc0\xaf", "\\ufffd\\ufffd"},            /* overlong / */
        {"\xe0\x80\xaf", "\\ufffd\\ufffd\\ufffd"}, /* overlong / */
        {"\xf0\x80\x80\xaf", "\\ufffd\\ufffd\\ufffd\\ufffd"},
        {"\xed\xa0\x80", "\\ufffd\\ufffd\\ufffd"},            /* surrogate */
        {"\xf4\x90\x80\x80", "\\ufffd\\ufffd\\ufffd\\ufffd"}, /* beyond U+10FFFF */
        {"\xf5\x80\x80\x80", "\\ufffd\\ufffd\\ufffd\\ufffd"},
        {"x\xf0\x9f\x98y", "x\\ufffd\\ufffd\\ufffdy"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        buf_clear(&out);
        json_escape(&out, bytes_of(cases[i].in));
        assert_string_equal(memory, cases[i].out);
    }
}

/* Plain bytes are found eight at a time: each byte at each place of two words
 * must come out the same as alone. */
static void finds_each_byte_at_each_place(void **state) {
    for (int c = 0; c < 256; c++) {
        char byte = (char)c, alone[8], expected[64], in[16];
        buf_clear(&out);
        json_escape(&out, (struct bytes){&byte, 1});
        strcpy(alone, memory);
        bool plain = c >= ' ' && c < 0x7f && c != '"' && c != '\\';
        assert_int_equal(strlen(alone) == 1, plain);
        for (int at = 0; at < 16; at++) {
            memcpy(in, "aaaaaaaaaaaaaaaa", 16);
            in[at] = byte;
            snprintf(expected, sizeof(expected), "%.*s%s%.*s", at, "aaaaaaaaaaaaaaaa", alone,
                     15 - at, "aaaaaaaaaaaaaaaa");
            buf_clear(&out);
            json_escape(&out, (struct bytes){in, 16});
            assert_string_equal(memory, expected);
        }
    }
}

static void cuts_between_characters(void **state) {
    const char *text = "a\xc3\xa9\xf0\x9f\x98\x80z"; /* of 1, 2, 4 and 1 bytes */
    static const size_t cuts[] = {0, 1, 1, 3, 3, 3, 3, 7, 8};
    for (size_t len = 0; len < sizeof(cuts) / sizeof(*cuts); len++)
        assert_int_equal(utf8_cut(text, len), cuts[len]);
    assert_int_equal(utf8_cut("\x80\x80\x80\x80\x80\x80", 5), 5); /* no character anywhere */
}

static void tells_when_it_did_not_fit(void **state) {
    char little[8];
    buf_init_fixed(&out, little, sizeof(little));
    json_init(&j, &out);
    json_array(&j);
    for (int i = 0; i < 10; i++)
        json_int(&j, 100);
    json_array_end(&j);
    assert_false(json_done(&j));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(nests_and_separates, begin),
        cmocka_unit_test_setup(writes_doubles, begin),
        cmocka_unit_test_setup(escapes, begin),
        cmocka_unit_test_setup(escapes_keys, begin),
        cmocka_unit_test_setup(replaces_what_is_not_utf8, begin),
        cmocka_unit_test_setup(finds_each_byte_at_each_place, begin),
        cmocka_unit_test_setup(cuts_between_characters, begin),
        cmocka_unit_test_setup(tells_when_it_did_not_fit, begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
