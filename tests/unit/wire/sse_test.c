/* Each stream is read whole, cut in two at every byte, and byte by byte: what
 * its events mean may not depend on that. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "wire/sse.h"

/* A letter an event. */
static const char letters[] = {[TOKEN_NOTHING] = '-', [TOKEN_OTHER] = 'o', [TOKEN_CONTENT] = 'c',
                               [TOKEN_FINISH] = 'f',  [TOKEN_DONE] = 'd',  [TOKEN_ERROR] = 'e'};

struct reading {
    struct sse sse;
    char kinds[64];
    size_t count;
};

/* In a buffer of its own size, so that reading past it is seen. */
static void feed(struct reading *r, const char *data, size_t len) {
    char *copy = malloc(len + 1);
    memcpy(copy, data, len);
    copy = realloc(copy, len ? len : 1);
    for (size_t at = 0; at < len;) {
        enum token_kind kind;
        size_t used = sse_next(&r->sse, copy + at, len - at, &kind);
        assert_true(used > 0 && used <= len - at);
        assert_true(kind != TOKEN_MORE || used == len - at);
        if (kind != TOKEN_MORE)
            r->kinds[r->count++] = letters[kind];
        at += used;
    }
    free(copy);
}

static void expect(enum sse_form form, const char *text, size_t len, const char *kinds) {
    for (size_t cut = 0; cut <= len + 1; cut++) {
        struct reading r = {0};
        sse_init(&r.sse, form);
        if (cut <= len) {
            feed(&r, text, cut);
            feed(&r, text + cut, len - cut);
        } else {
            for (size_t i = 0; i < len; i++)
                feed(&r, text + i, 1);
        }
        assert_string_equal(r.kinds, kinds);
    }
}

#define EVENTS(text, kinds) expect(SSE_EVENTS, text, sizeof(text) - 1, kinds)
#define LINES(text, kinds)  expect(SSE_LINES, text, sizeof(text) - 1, kinds)
#define CHAT(delta)         "data: {\"choices\":[{\"index\":0,\"delta\":" delta "}]}\n\n"

static void test_ends_of_lines(void **state) {
    (void)state;
    EVENTS("data: a\n\ndata: b\n\n", "cc");
    EVENTS("data: a\r\rdata: b\r\r", "cc");
    EVENTS("data: a\r\n\r\ndata: b\r\n\r\n", "cc");
    EVENTS("data: a\r\n\ndata: b\n\r\n", "cc");
    EVENTS("\xef\xbb\xbf"
           "data: a\n\n",
           "c");
    EVENTS("\xef\xbb"
           "data: a\n\n",
           "-");
    EVENTS("data: half", "");
    EVENTS("data: half\n", "");
    EVENTS("", "");
    EVENTS("\n\n", "--");
}

static void test_fields(void **state) {
    (void)state;
    EVENTS(": comment\n\n", "-");
    EVENTS(":\n\n", "-");
    EVENTS("id: 1\nretry: 5\n\n", "-");
    EVENTS("data\n\n", "-");
    EVENTS("data:\n\n", "-");
    EVENTS("data:a\n\n", "c");
    EVENTS("datax: a\n\ndat: a\n\n", "--");
    EVENTS("event: error\ndata: x\n\n", "e");
    EVENTS("event: error\nevent: fine\ndata: x\n\n", "c");
    EVENTS("event: ping\ndata: {\"type\": \"ping\"}\n\n", "-");
    EVENTS("data: {\ndata: \"error\"\ndata: : {\"a\":1}}\n\n", "e");
    EVENTS("data\ndata: \n\n", "-");
}

static void test_chat(void **state) {
    (void)state;
    EVENTS(CHAT("{\"role\":\"assistant\",\"content\":\"\"}"), "o");
    EVENTS(CHAT("{\"role\":\"assistant\",\"content\":null}"), "o");
    EVENTS(CHAT("{\"content\":\"Hello\"}"), "c");
    EVENTS(CHAT("{\"content\":\"\\\"\"}"), "c");
    EVENTS(CHAT("{\"reasoning_content\":\"Hm\"}"), "c");
    EVENTS(CHAT("{\"tool_calls\":[]}"), "o");
    EVENTS(CHAT("{\"tool_calls\":[{\"index\":0}]}"), "c");
    EVENTS(CHAT("{\"function_call\":{\"name\":\"f\"}}"), "c");
    EVENTS(CHAT("{},\"finish_reason\":\"stop\""), "f");
    EVENTS(CHAT("{},\"finish_reason\":null"), "o");
    EVENTS("data: {\"choices\":[],\"usage\":{\"content\":\"no\"}}\n\n", "o");
    EVENTS("data: {\"choices\":[{\"text\":\"Hello\"}]}\n\n", "c");
    EVENTS("data: {\"other\":{\"delta\":{\"content\":\"x\"}},\"choices\":[]}\n\n", "o");
    EVENTS("data: [DONE]\n\n", "d");
    EVENTS("data: {\"error\":{\"message\":\"overloaded\"}}\n\n", "e");
    EVENTS("data: {\"error\":null,\"choices\":[]}\n\n", "o");
    EVENTS("data: {\"error\":\"\",\"choices\":[]}\n\n", "o");
    EVENTS("data: {\"choices\":[{\"delta\":{\"content\":\"\\u0000\"}}],\"a\":\"\\\\\"}\n\n", "c");
}

static void test_other_services(void **state) {
    (void)state;
    EVENTS(
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"content\":[]}}\n\n"
        "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"content_block\":"
        "{\"type\":\"text\",\"text\":\"\"}}\n\n"
        "event: ping\ndata: {\"type\":\"ping\"}\n\n"
        "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"delta\":{\"type\":"
        "\"text_delta\",\"text\":\"Hi\"}}\n\n"
        "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":"
        "\"end_turn\"}}\n\n"
        "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
        "oo-cod");
    EVENTS("event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}\n\n",
           "e");
    EVENTS("data: {\"type\":\"response.created\",\"response\":{\"error\":null,\"output\":[]}}\n\n"
           "data: {\"type\":\"response.output_text.delta\",\"delta\":\"Hi\"}\n\n"
           "data: {\"type\":\"response.completed\",\"response\":{\"output\":[{}]}}\n\n",
           "ocd");
    EVENTS("data: {\"type\":\"response.failed\",\"response\":{}}\n\n", "e");
    EVENTS("data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"Hi\"}]}}]}\n\n"
           "data: {\"candidates\":[{\"finishReason\":\"STOP\"}]}\n\n",
           "cf");
    LINES("{\"model\":\"m\",\"message\":{\"role\":\"assistant\",\"content\":\"\"},\"done\":false}\n"
          "{\"model\":\"m\",\"message\":{\"content\":\"Hi\"},\"done\":false}\r\n"
          "\r\n"
          "{\"model\":\"m\",\"response\":\"Hi\",\"done\":false}\n"
          "{\"model\":\"m\",\"done\":true}\n"
          "{\"error\":\"out of memory\"}\n",
          "oc-cde");
}

static void test_what_is_not_known_is_content(void **state) {
    (void)state;
    EVENTS("data: {\"event\":1}\n\n", "c");
    EVENTS("data: 1\n\ndata: [1]\n\ndata: }]{\n\ndata: \"choices\"\n\n", "cccc");
    EVENTS("data: {\"type\":\"tick\"}\n\n", "c");
    LINES("{\"a\":1}\nplain\n", "cc");
}

static void test_depth_is_bounded(void **state) {
    char text[8192] = "data: {\"choices\":[", *p = text + strlen(text);
    (void)state;
    for (int i = 0; i < 1000; i++)
        p = stpcpy(p, i % 2 ? "[" : "{\"error\":");
    stpcpy(p, "\n\n");
    struct reading r = {0};
    sse_init(&r.sse, SSE_EVENTS);
    feed(&r, text, strlen(text));
    assert_string_equal(r.kinds, "o");
    feed(&r, CHAT("{\"content\":\"x\"}"), sizeof CHAT("{\"content\":\"x\"}") - 1);
    assert_string_equal(r.kinds, "oc");
}

static void test_shape_is_remembered(void **state) {
    (void)state;
    struct reading r = {0};
    sse_init(&r.sse, SSE_EVENTS);
    assert_int_equal(r.sse.event.shape, TOKEN_UNKNOWN);
    feed(&r, CHAT("{}"), sizeof CHAT("{}") - 1);
    assert_int_equal(r.sse.event.shape, TOKEN_CHAT);
    feed(&r, "data: [DONE]\n\n", 14);
    assert_int_equal(r.sse.event.shape, TOKEN_CHAT);
    assert_false(r.sse.mid_event);
    feed(&r, "d", 1);
    assert_true(r.sse.mid_event);
}

static void test_forms(void **state) {
    enum sse_form form = SSE_LINES;
    (void)state;
    assert_true(sse_form_of(BYTES("text/event-stream; charset=utf-8"), &form));
    assert_int_equal(form, SSE_EVENTS);
    assert_true(sse_form_of(BYTES("Application/X-NDJSON"), &form));
    assert_int_equal(form, SSE_LINES);
    assert_false(sse_form_of(BYTES("application/json"), &form));
    assert_false(sse_form_of(BYTES(""), &form));
    assert_false(sse_form_of((struct bytes){0}, &form));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ends_of_lines),
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_chat),
        cmocka_unit_test(test_other_services),
        cmocka_unit_test(test_what_is_not_known_is_content),
        cmocka_unit_test(test_depth_is_bounded),
        cmocka_unit_test(test_shape_is_remembered),
        cmocka_unit_test(test_forms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
