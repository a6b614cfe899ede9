/* template_test.c - what holes are, and that a value stays a value wherever it
 * is put. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/template.h"

struct scene {
    struct arena arena;
    struct template_fault fault;
    struct template t;
    struct buf out;
};

static struct scene s;

static int begin(void **state) {
    s = (struct scene){0};
    arena_init(&s.arena, NULL, 0, 1 << 20);
    buf_init(&s.out, 4096);
    return 0;
}

static int end(void **state) {
    arena_reset(&s.arena);
    buf_free(&s.out);
    return 0;
}

/* A request whose values are: query.x the `arg`; body.n 5; body.o {"a":1};
 * body.z null; nothing else. */
static struct value reader(void *arg, const struct value_source *from) {
    struct value v = {VALUE_MISSING};
    if (from->from == VALUE_FROM_QUERY && !strcmp(from->name, "x") && arg)
        v = (struct value){.kind = VALUE_TEXT, .text = *(struct bytes *)arg};
    else if (from->from == VALUE_FROM_BODY && !strcmp(from->name, "n"))
        v = (struct value){.kind = VALUE_INTEGER, .text = BYTES("5"), .integer = 5};
    else if (from->from == VALUE_FROM_BODY && !strcmp(from->name, "o"))
        v = (struct value){.kind = VALUE_JSON, .text = BYTES("{\"a\":1}")};
    else if (from->from == VALUE_FROM_BODY && !strcmp(from->name, "z"))
        v = (struct value){.kind = VALUE_NULL};
    else if (from->otherwise)
        v = (struct value){.kind = VALUE_TEXT, .text = bytes_of(from->otherwise)};
    return v;
}

static int compile(enum template_as as, const char *text) {
    return template_compile(&s.t, as, bytes_of(text), &s.arena, &s.fault);
}

static bool render(enum template_as as, const char *text, struct bytes x) {
    assert_int_equal(compile(as, text), 0);
    buf_clear(&s.out);
    return template_render(&s.t, reader, &x, &s.out);
}

static void gives(enum template_as as, const char *text, struct bytes x, const char *expected) {
    assert_true(render(as, text, x));
    assert_string_equal(buf_cstr(&s.out), expected);
}

static void refused(enum template_as as, const char *text, size_t offset) {
    assert_int_equal(compile(as, text), -EINVAL);
    assert_int_equal(s.fault.offset, offset);
    assert_non_null(s.fault.expected);
}

/* ---- cutting ----------------------------------------------------------------- */

static void text_is_cut_at_holes(void **state) {
    gives(TEMPLATE_TEXT, "", BYTES("v"), "");
    gives(TEMPLATE_TEXT, "plain } text { }}", BYTES("v"), "plain } text { }}");
    gives(TEMPLATE_TEXT, "{{query.x}}", BYTES("v"), "v");
    gives(TEMPLATE_TEXT, "a{{ query.x }}b{{query.x}}", BYTES("v"), "avbv");
    gives(TEMPLATE_TEXT, "{{query.y|10}}", BYTES("v"), "10");
    gives(TEMPLATE_TEXT, "{{query.y|}}-{{query.y}}", BYTES("v"), "-");
    gives(TEMPLATE_TEXT, "{{{{query.x}}", BYTES("v"), "{{query.x}}");
    gives(TEMPLATE_TEXT, "{{{{{{query.x}}", BYTES("v"), "{{v");
}

static void a_value_is_not_read_again(void **state) {
    gives(TEMPLATE_TEXT, "{{query.x}}", BYTES("{{body.n}}"), "{{body.n}}");
}

static void what_is_no_hole_is_told(void **state) {
    refused(TEMPLATE_TEXT, "ab{{nothing}}", 2);
    refused(TEMPLATE_TEXT, "{{}}", 0);
    refused(TEMPLATE_TEXT, "{{query.}}", 0);
    refused(TEMPLATE_TEXT, "{{query}}", 0);
    refused(TEMPLATE_TEXT, "x{{query.x", 1);
    refused(TEMPLATE_TEXT, "x{{query.x}", 1);
    refused(TEMPLATE_JSON, "{\"a\": {{query.x}}}", 6);
    refused(TEMPLATE_JSON, "{\"a\": \"{{query.x\"}", 7);
    refused(TEMPLATE_JSON, "{\"a\": \"{{query.\\u0078}}\"}", 7);
}

static void a_template_knows_what_it_needs(void **state) {
    assert_int_equal(compile(TEMPLATE_TEXT, "{{service}} {{method}}"), 0);
    assert_false(s.t.of_caller || s.t.needs_body);
    assert_int_equal(compile(TEMPLATE_TEXT, "{{path.id}}"), 0);
    assert_true(s.t.of_caller && !s.t.needs_body);
    assert_int_equal(compile(TEMPLATE_TEXT, "{{body.id}}"), 0);
    assert_true(s.t.of_caller && s.t.needs_body);
}

static void there_is_a_bound_on_holes(void **state) {
    static char text[(TEMPLATE_HOLES_MAX + 1) * 11 + 1];
    for (int i = 0; i <= TEMPLATE_HOLES_MAX; i++)
        memcpy(text + 11 * i, "{{query.x}}", 11);
    refused(TEMPLATE_TEXT, text, 0);
    text[TEMPLATE_HOLES_MAX * 11] = '\0';
    assert_int_equal(compile(TEMPLATE_TEXT, text), 0);
    static char longer[TEMPLATE_HOLE_MAX + 16] = "{{query.";
    memset(longer + 8, 'a', TEMPLATE_HOLE_MAX - 4);
    memcpy(longer + 8 + TEMPLATE_HOLE_MAX - 4, "}}", 3);
    refused(TEMPLATE_TEXT, longer, 0);
}

static void memory_that_fails_is_told(void **state) {
    struct arena small;
    for (size_t max = 0; max < 400; max += 8) {
        arena_init(&small, NULL, 0, max);
        int error =
            template_compile(&s.t, TEMPLATE_TEXT, BYTES("a{{query.x|9}}b"), &small, &s.fault);
        assert_true(error == 0 || error == -ENOMEM || error == -EINVAL);
        arena_reset(&small);
    }
}

/* ---- contexts ---------------------------------------------------------------------- */

static void json_keeps_types(void **state) {
    gives(TEMPLATE_JSON, "{\"a\":\"{{body.n}}\"}", BYTES(""), "{\"a\":5}");
    gives(TEMPLATE_JSON, "{\"a\":\"{{body.o}}\"}", BYTES(""), "{\"a\":{\"a\":1}}");
    gives(TEMPLATE_JSON, "{\"a\":\"{{body.z}}\"}", BYTES(""), "{\"a\":null}");
    gives(TEMPLATE_JSON, "[\"{{query.y}}\"]", BYTES(""), "[null]");
    gives(TEMPLATE_JSON, "[\"{{query.x}}\"]", BYTES("5"), "[\"5\"]");
    gives(TEMPLATE_JSON, "[\"n={{body.n}}\"]", BYTES(""), "[\"n=5\"]");
    gives(TEMPLATE_JSON, "[\"{{query.y|say \\\"hi\\\"}}\"]", BYTES(""), "[\"say \\\"hi\\\"\"]");
    gives(TEMPLATE_JSON, "{\"{{body.n}}\" : 1}", BYTES(""), "{\"5\" : 1}");
    gives(TEMPLATE_JSON, "[\"\\\\\",\"{{query.x}}\"]", BYTES("v"), "[\"\\\\\",\"v\"]");
}

static void json_stays_json(void **state) {
    gives(TEMPLATE_JSON, "[\"{{query.x}}\"]", BYTES("\",\"admin\":\"1"),
          "[\"\\\",\\\"admin\\\":\\\"1\"]");
    gives(TEMPLATE_JSON, "[\"a {{query.x}}\"]", BYTES("\\\"\n\0"), "[\"a \\\\\\\"\\n\\u0000\"]");
    gives(TEMPLATE_JSON, "[\"{{query.x}}\"]", BYTES("\xff\xc0\xaf"), "[\"\\ufffd\\ufffd\\ufffd\"]");
}

static void markup_stays_text(void **state) {
    gives(TEMPLATE_MARKUP, "<p title='{{query.x}}'>", BYTES("'><script>&\""),
          "<p title='&#39;&gt;&lt;script&gt;&amp;&quot;'>");
}

static void a_field_stays_one_line(void **state) {
    gives(TEMPLATE_FIELD, "id {{query.x}}", BYTES("7"), "id 7");
    assert_false(render(TEMPLATE_FIELD, "id {{query.x}}", BYTES("7\r\nSet-Cookie: a=b")));
    assert_false(render(TEMPLATE_FIELD, "id {{query.x}}", BYTES("7\n")));
    assert_false(render(TEMPLATE_FIELD, "id {{query.x}}", BYTES("a\0b")));
    assert_false(render(TEMPLATE_FIELD, "id {{query.x}}", BYTES("a\x7f")));
}

static void a_path_stays_where_it_is(void **state) {
    gives(TEMPLATE_PATH, "/a/{{query.x}}/b?c={{query.x}}", BYTES("x y/&%\xc3\xa9"),
          "/a/x%20y%2F%26%25%C3%A9/b?c=x%20y%2F%26%25%C3%A9");
    assert_false(render(TEMPLATE_PATH, "/a/{{query.x}}", BYTES("..")));
    assert_false(render(TEMPLATE_PATH, "/a/.{{query.x}}/b", BYTES(".")));
    assert_false(render(TEMPLATE_PATH, "/a/{{query.x}}", BYTES("")));
    assert_false(render(TEMPLATE_PATH, "/a/{{query.y}}", BYTES("v")));
    gives(TEMPLATE_PATH, "/a/{{query.x}}", BYTES("..."), "/a/...");
    gives(TEMPLATE_PATH, "/a?b={{query.x}}", BYTES(".."), "/a?b=..");
}

static void what_is_too_long_is_not_cut(void **state) {
    char memory[8];
    struct buf small;
    struct bytes x = BYTES("12345678");
    assert_int_equal(compile(TEMPLATE_TEXT, "{{query.x}}"), 0);
    buf_init_fixed(&small, memory, sizeof memory);
    assert_false(template_render(&s.t, reader, &x, &small));
}

int main(void) {
#define SCENE(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        SCENE(text_is_cut_at_holes),      SCENE(a_value_is_not_read_again),
        SCENE(what_is_no_hole_is_told),   SCENE(a_template_knows_what_it_needs),
        SCENE(there_is_a_bound_on_holes), SCENE(memory_that_fails_is_told),
        SCENE(json_keeps_types),          SCENE(json_stays_json),
        SCENE(markup_stays_text),         SCENE(a_field_stays_one_line),
        SCENE(a_path_stays_where_it_is),  SCENE(what_is_too_long_is_not_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
