/* cache_json_test.c - equal bodies give equal text, different ones do not. */
#include "cache_scene.h"

#include <errno.h>
#include <stdlib.h>

#include "gateway/cache_json.h"

/* Valid until the next; NULL: nothing is there. */
static const char *text_at(const char *body, const char *path) {
    static char *last;
    struct cache_json *j;
    free(last);
    last = NULL;
    assert_int_equal(cache_json_create(&j, bytes_of(body)), 0);
    assert_int_equal(cache_json_text(j, path, &last), 0);
    cache_json_destroy(j);
    return last;
}

static bool same(const char *a, const char *b) {
    char first[4096];
    snprintf(first, sizeof(first), "%s", text_at(a, "a"));
    return strcmp(first, text_at(b, "a")) == 0;
}

static void the_writing_does_not_matter(void **state) {
    assert_true(same("{\"a\":{\"x\":1,\"y\":[true,null]}}",
                     " { \"b\" : 0, \"a\" : { \"y\" : [ true , null ] ,\n\t\"x\" : 1 } } "));
    assert_true(same("{\"a\":\"\\u00e9\\/\\\"\\\\\"}", "{\"a\":\"\xc3\xa9/\\u0022\\u005c\"}"));
    assert_true(same("{\"\\u0061\":1}", "{\"a\":1}"));
    assert_true(same("{\"a\":[]}", "{\"a\":[ ]}"));
}

static void the_meaning_does(void **state) {
    static const char *const all[] = {"{\"a\":1}",
                                      "{\"a\":1.0}",
                                      "{\"a\":10e-1}",
                                      "{\"a\":\"1\"}",
                                      "{\"a\":\"n1\"}",
                                      "{\"a\":\"s1\"}",
                                      "{\"a\":true}",
                                      "{\"a\":\"true\"}",
                                      "{\"a\":null}",
                                      "{\"a\":[1]}",
                                      "{\"a\":[[1]]}",
                                      "{\"a\":[1,1]}",
                                      "{\"a\":{}}",
                                      "{\"a\":{\"\":1}}",
                                      "{\"a\":{\"1\":1}}",
                                      "{\"a\":\"\"}",
                                      "{\"a\":\"\\u0000\"}",
                                      "{\"a\":\"\\\"\"}",
                                      "{\"a\":-1}",
                                      "{\"a\":-0}",
                                      "{\"a\":0}",
                                      "{\"a\":1E5}",
                                      "{\"a\":1e5}",
                                      "{\"a\":\"\\\\\"}",
                                      "{\"a\":9007199254740993}",
                                      "{\"a\":9007199254740992}",
                                      "{\"a\":92233720368547758079}",
                                      "{\"a\":0.1000000000000000000001}",
                                      "{\"a\":0.1}"};
    enum { COUNT = sizeof(all) / sizeof(all[0]) };
    for (int i = 0; i < COUNT; i++)
        for (int k = 0; k < i; k++)
            if (same(all[i], all[k]))
                fail_msg("%s is as %s", all[i], all[k]);
}

static void paths_lead_through_objects_and_arrays(void **state) {
    const char *body = "{\"m\":[{\"r\":\"u\"},2],\"0\":{\"1\":3},\"\":{\"x\":4}}";
    assert_string_equal(text_at(body, "m.0.r"), "\"su\"");
    assert_string_equal(text_at(body, "m.1"), "\"n2\"");
    assert_string_equal(text_at(body, "0.1"), "\"n3\"");
    static const char *const none[] = {"m.2", "m.-1", "m.00000000000", "m.x", "m.0.r.x",
                                       "x",   "M",    "m.0.s",         "sm",  "m.1.0"};
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
        assert_null(text_at(body, none[i]));
    assert_null(text_at("", "m"));
    assert_null(text_at("7", "m"));
}

static void what_is_not_json_is_refused(void **state) {
    static const char *const bad[] = {" ",
                                      "{",
                                      "{\"a\":1",
                                      "{\"a\":01}",
                                      "{\"a\":+1}",
                                      "{\"a\":1.}",
                                      "[1,]",
                                      "nul",
                                      "\"\\x\"",
                                      "\"\n\"",
                                      "\xff",
                                      "{\"a\":\"\xc3\"}",
                                      "1 2",
                                      "{a:1}",
                                      "[1e999]",
                                      "{'a':1}",
                                      "\"\\ud800\"",
                                      "[0x10]",
                                      "[NaN]",
                                      "[--1]",
                                      "[1e]",
                                      "{\"a\":1}x",
                                      "\"\\",
                                      "\"",
                                      "{\"a\":1,\"a\":1}",
                                      "{\"a\":1,\"\\u0061\":2}",
                                      "[{\"x\":{\"y\":1,\"y\":1}}]"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct cache_json *j;
        if (cache_json_create(&j, bytes_of(bad[i])) != -EBADMSG)
            fail_msg("%s is taken", bad[i]);
        assert_null(j);
    }
}

static void depth_is_bounded(void **state) {
    enum { DEEP = 100000 };
    char *body = malloc(DEEP);
    struct cache_json *j;
    memset(body, '[', DEEP / 2);
    memset(body + DEEP / 2, ']', DEEP / 2);
    assert_int_equal(cache_json_create(&j, (struct bytes){body, DEEP}), -EBADMSG);
    free(body);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_writing_does_not_matter),
        cmocka_unit_test(the_meaning_does),
        cmocka_unit_test(paths_lead_through_objects_and_arrays),
        cmocka_unit_test(what_is_not_json_is_refused),
        cmocka_unit_test(depth_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
