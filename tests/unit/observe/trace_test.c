#include "observe/trace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "observe/trace_json.h"

static const struct trace_context context = {
    {0x4bf92f3577b34da6u, 0xa3ce929d0e0e4736u}, 0x00f067aa0ba902b7u, TRACE_SAMPLED};

static struct trace_parcel *parcel(void) {
    struct trace_parcel *p = trace_parcel_create(&context, BYTES("a=b"), 1000);
    assert_non_null(p);
    return p;
}

static struct trace_span *span(struct trace_parcel *p, uint64_t id) {
    return trace_span_add(p, TRACE_SERVER, id, 0, BYTES("GET /x"), 5);
}

static const char *json_of(const struct trace_parcel *p, struct buf *to) {
    const struct trace_resource self = {.service_name = "shop", .version = "", .host = NULL};
    struct json_out j;
    buf_init(to, 1 << 20);
    json_init(&j, to);
    trace_json_begin(&j, &self);
    trace_json_parcel(&j, p);
    trace_json_end(&j);
    assert_true(json_done(&j));
    return to->at;
}

static void is_told_as_otlp_has_it(void **state) {
    struct trace_parcel *p = parcel();
    struct trace_span *s = span(p, 0xab);
    struct trace_event *e = trace_event_add(p, s, "retry", 6);
    struct buf text;
    s->parent = 0xcd;
    s->ended_ns = 7;
    s->failed = true;
    s->link = context;
    trace_text(&s->attributes, "k", BYTES("\"v\xff"));
    trace_number(&s->attributes, "n", -5);
    trace_yes_or_no(&s->attributes, "y", true);
    trace_text(&s->attributes, "none", BYTES(""));
    trace_word(&s->attributes, "nor this", NULL);
    trace_word(&e->attributes, "why", "timeout");
    assert_string_equal(
        json_of(p, &text),
        "{\"resourceSpans\":[{\"resource\":{\"attributes\":[{\"key\":\"service.name\",\"value\":{"
        "\"stringValue\":\"shop\"}}]},\"scopeSpans\":[{\"scope\":{\"name\":\"switchgear\"},"
        "\"spans\":[{\"traceId\":\"4bf92f3577b34da6a3ce929d0e0e4736\","
        "\"spanId\":\"00000000000000ab\",\"traceState\":\"a=b\","
        "\"parentSpanId\":\"00000000000000cd\",\"flags\":1,\"name\":\"GET /x\",\"kind\":2,"
        "\"startTimeUnixNano\":\"1005\",\"endTimeUnixNano\":\"1007\",\"attributes\":["
        "{\"key\":\"k\",\"value\":{\"stringValue\":\"\\\"v\\ufffd\"}},"
        "{\"key\":\"n\",\"value\":{\"intValue\":\"-5\"}},"
        "{\"key\":\"y\",\"value\":{\"boolValue\":true}}],\"events\":[{\"timeUnixNano\":\"1006\","
        "\"name\":\"retry\",\"attributes\":[{\"key\":\"why\",\"value\":{\"stringValue\":"
        "\"timeout\"}}]}],\"links\":[{\"traceId\":\"4bf92f3577b34da6a3ce929d0e0e4736\","
        "\"spanId\":\"00f067aa0ba902b7\"}],\"status\":{\"code\":2}}]}]}]}");
    buf_free(&text);
    trace_parcel_destroy(p);
}

static void what_does_not_fit_is_counted(void **state) {
    struct trace_parcel *p = parcel();
    struct trace_span *s = span(p, 1);
    struct buf text;
    for (int i = 0; i < TRACE_SPAN_ATTRIBUTES + 3; i++)
        trace_number(&s->attributes, "n", i);
    assert_int_equal(s->attributes.dropped, 3);
    for (int i = 0; i < TRACE_EVENTS_MAX + 2; i++)
        assert_true((trace_event_add(p, s, "e", 1) != NULL) == (i < TRACE_EVENTS_MAX));
    assert_int_equal(s->dropped_events, 2);
    for (int i = 1; i < TRACE_SPANS_MAX; i++)
        (void)span(p, 2);
    assert_null(span(p, 3));
    assert_true(p->dropped_spans > 0);
    assert_non_null(strstr(json_of(p, &text), "\"droppedAttributesCount\":3"));
    assert_non_null(strstr(text.at, "\"droppedEventsCount\":2"));
    buf_free(&text);
    trace_parcel_destroy(p);
}

static void long_texts_are_cut_between_characters(void **state) {
    char text[3 * TRACE_TEXT_MAX];
    struct trace_parcel *p = parcel();
    struct trace_span *s = span(p, 1);
    for (size_t i = 0; i + 1 < sizeof text; i += 2)
        memcpy(text + i, "\xc3\xbc", 2);
    trace_text(&s->attributes, "even", (struct bytes){text, sizeof text});
    trace_text(&s->attributes, "odd", (struct bytes){text + 1, sizeof text - 1});
    trace_text(&s->attributes, "exact", (struct bytes){text, TRACE_TEXT_MAX});
    trace_text(&s->attributes, "one more", (struct bytes){text, TRACE_TEXT_MAX + 1});
    assert_int_equal(s->attributes.at[0].text.len, TRACE_TEXT_MAX);
    assert_int_equal(s->attributes.at[1].text.len, TRACE_TEXT_MAX - 1);
    assert_int_equal(s->attributes.at[2].text.len, TRACE_TEXT_MAX);
    assert_int_equal(s->attributes.at[3].text.len, TRACE_TEXT_MAX);
    trace_parcel_destroy(p);
}

/* Bytes are bounded whatever is told: what does not fit is left out, cleanly. */
static void a_parcel_is_bounded(void **state) {
    char text[TRACE_TEXT_MAX];
    struct trace_parcel *p = parcel();
    memset(text, 'x', sizeof text);
    for (int i = 0; i < TRACE_SPANS_MAX; i++) {
        struct trace_span *s = span(p, 1);
        for (int n = 0; s && n < TRACE_SPAN_ATTRIBUTES; n++)
            trace_text(&s->attributes, "k", (struct bytes){text, sizeof text});
    }
    assert_true(p->arena.used <= TRACE_PARCEL_MAX);
    assert_true(p->dropped_spans > 0 && p->span_count + p->dropped_spans == TRACE_SPANS_MAX);
    struct buf to;
    assert_non_null(json_of(p, &to));
    buf_free(&to);
    trace_parcel_destroy(p);
    trace_parcel_destroy(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_told_as_otlp_has_it),
        cmocka_unit_test(what_does_not_fit_is_counted),
        cmocka_unit_test(long_texts_are_cut_between_characters),
        cmocka_unit_test(a_parcel_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
