/* What the cases in tests/wire/ do not show: pointers, resuming, limits of the
 * decoder's state. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "wire/http1.h"

static const struct http1_limits limits = {
    .head_bytes = 1024, .target = 256, .fields = 8, .trailer_bytes = 64};
static const char request[] = "GET /a HTTP/1.1\r\nHost: example.com\r\nX-Request-Id: 7\r\n\r\nrest";

static void test_error_table(void **state) {
    (void)state;
    assert_string_equal(http1_error_name(HTTP1_OK), "OK");
    assert_string_equal(http1_error_name(HTTP1_LENGTH_AND_CHUNKED), "LENGTH_AND_CHUNKED");
    assert_int_equal(http1_error_status(HTTP1_UNKNOWN_TRANSFER_CODING), 501);
    for (int i = HTTP1_BAD_REQUEST_LINE; i <= HTTP1_BAD_TRAILER; i++) {
        assert_true(http1_error_status(i) >= 400);
        assert_true(strlen(http1_error_sentence(i)) > 10);
    }
    assert_string_equal(http1_error_name(9999), "OK");
}

static void test_head_points_into_input(void **state) {
    (void)state;
    struct http_field fields[8];
    struct http1_head head = {.fields = fields};
    size_t used;
    assert_int_equal(http1_parse_request(request, sizeof request - 1, 0, &limits, &head, &used),
                     HTTP1_OK);
    assert_int_equal(used, sizeof request - 1 - 4);
    assert_int_equal(head.method, HTTP_GET);
    assert_ptr_equal(head.method_text.at, request);
    assert_ptr_equal(head.target.at, request + 4);
    assert_int_equal(head.target.len, 2);
    assert_ptr_equal(head.fields, fields);
    assert_int_equal(head.field_count, 2);
    assert_int_equal(fields[0].id, HTTP_HOST);
    assert_ptr_equal(fields[0].value.at, strstr(request, "example"));
    assert_int_equal(fields[1].id, HTTP_X_REQUEST_ID);
    assert_int_equal(fields[1].value.len, 1);
}

/* Every prefix asks for more, whatever `seen` is, and the head of the caller is
 * not touched when nothing new could have ended a line. */
static void test_prefixes_ask_for_more(void **state) {
    (void)state;
    struct http_field fields[8];
    const size_t whole = sizeof request - 1 - 4;
    for (size_t len = 0; len < whole; len++)
        for (size_t seen = 0; seen <= len; seen++) {
            struct http1_head head = {.fields = fields};
            size_t used = 99;
            assert_int_equal(http1_parse_request(request, len, seen, &limits, &head, &used),
                             HTTP1_OK);
            assert_int_equal(used, 0);
        }
}

static void test_seen_skips_what_cannot_matter(void **state) {
    (void)state;
    struct http_field fields[8];
    struct http1_head head = {.fields = fields, .status = -7};
    size_t used;
    http1_parse_request(request, 40, 39, &limits, &head, &used);
    assert_int_equal(head.status, -7); /* not even started */
    http1_parse_request(request, 40, 0, &limits, &head, &used);
    assert_int_equal(head.status, 0);
}

static void test_no_bytes(void **state) {
    (void)state;
    struct http_field fields[8];
    struct http1_head head = {.fields = fields};
    size_t used = 99;
    assert_int_equal(http1_parse_request(NULL, 0, 0, &limits, &head, &used), HTTP1_OK);
    assert_int_equal(used, 0);
    assert_int_equal(http1_parse_response(NULL, 0, 0, HTTP_GET, &limits, &head, &used), HTTP1_OK);
    assert_int_equal(used, 0);
}

/* ---- bodies ------------------------------------------------------------- */

static void test_bodies_that_are_done_at_once(void **state) {
    (void)state;
    struct http1_body body;
    struct bytes payload;
    size_t used = 99;
    http1_body_init(&body, HTTP1_BODY_NONE, 5, NULL, 0);
    assert_true(body.done);
    assert_int_equal(http1_body_next(&body, "x", 1, &payload, &used), HTTP1_OK);
    assert_int_equal(used, 0);
    assert_int_equal(payload.len, 0);
    http1_body_init(&body, HTTP1_BODY_LENGTH, 0, NULL, 0);
    assert_true(body.done);
    http1_body_init(&body, HTTP1_BODY_CHUNKED, 0, NULL, 0);
    assert_false(body.done);
    http1_body_init(&body, HTTP1_BODY_UNTIL_CLOSE, 0, NULL, 0);
    assert_false(body.done);
}

static void test_length_leaves_the_next_message(void **state) {
    (void)state;
    const char data[] = "helloGET /";
    struct http1_body body;
    struct bytes payload;
    size_t used;
    http1_body_init(&body, HTTP1_BODY_LENGTH, 5, NULL, 0);
    assert_int_equal(http1_body_next(&body, data, 3, &payload, &used), HTTP1_OK);
    assert_ptr_equal(payload.at, data);
    assert_int_equal(payload.len, 3);
    assert_false(body.done);
    assert_int_equal(http1_body_next(&body, data + 3, 7, &payload, &used), HTTP1_OK);
    assert_int_equal(used, 2);
    assert_int_equal(payload.len, 2);
    assert_true(body.done);
}

static void test_chunk_payload_is_not_copied(void **state) {
    (void)state;
    const char data[] = "5\r\nhello\r\n0\r\n\r\nnext";
    struct http1_body body;
    struct bytes payload;
    size_t used;
    http1_body_init(&body, HTTP1_BODY_CHUNKED, 0, NULL, 0);
    assert_int_equal(http1_body_next(&body, data, sizeof data - 1, &payload, &used), HTTP1_OK);
    assert_ptr_equal(payload.at, data + 3);
    assert_int_equal(payload.len, 5);
    assert_int_equal(used, 8);
    assert_int_equal(http1_body_next(&body, data + 8, sizeof data - 9, &payload, &used), HTTP1_OK);
    assert_int_equal(payload.len, 0);
    assert_int_equal(used, 7);
    assert_true(body.done);
}

static void test_an_error_stays(void **state) {
    (void)state;
    struct http1_body body;
    struct bytes payload;
    size_t used = 99;
    http1_body_init(&body, HTTP1_BODY_CHUNKED, 0, NULL, 0);
    assert_int_equal(http1_body_next(&body, "5x", 2, &payload, &used), HTTP1_BAD_CHUNK_SIZE);
    assert_int_equal(used, 0);
    assert_int_equal(payload.len, 0);
    assert_int_equal(http1_body_next(&body, "5\r\n", 3, &payload, &used), HTTP1_BAD_CHUNK_SIZE);
    assert_int_equal(http1_body_next(&body, "", 0, &payload, &used), HTTP1_BAD_CHUNK_SIZE);
    assert_false(body.done);
}

static void test_until_close_never_ends(void **state) {
    (void)state;
    struct http1_body body;
    struct bytes payload;
    size_t used;
    http1_body_init(&body, HTTP1_BODY_UNTIL_CLOSE, 0, NULL, 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(http1_body_next(&body, "abc", 3, &payload, &used), HTTP1_OK);
        assert_int_equal(payload.len, 3);
        assert_int_equal(used, 3);
        assert_false(body.done);
    }
}

static enum http1_error feed(struct http1_body *body, const char *text) {
    struct bytes rest = bytes_of(text), payload;
    while (rest.len && !body->done) {
        size_t used;
        enum http1_error error = http1_body_next(body, rest.at, rest.len, &payload, &used);
        if (error)
            return error;
        assert_true(used > 0);
        rest.at += used;
        rest.len -= used;
    }
    return HTTP1_OK;
}

/* Each chunk excuses 16 bytes of extension and as many as it is long. */
static void test_chunks_excuse_their_extensions(void **state) {
    (void)state;
    char chunk[1024];
    struct http1_body body;
    int len = snprintf(chunk, sizeof chunk, "f0;%0255d\r\n%0240d\r\n", 0, 0);
    assert_int_equal(len, 2 + 256 + 2 + 240 + 2);
    http1_body_init(&body, HTTP1_BODY_CHUNKED, 0, NULL, 0);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(feed(&body, chunk), HTTP1_OK);
    assert_int_equal(body.extension_debt, 0);
}

static void test_an_extension_counts_once(void **state) {
    (void)state;
    char chunk[512];
    struct http1_body body;
    snprintf(chunk, sizeof chunk, "1;%0255d\r\n!\r\n", 0);
    http1_body_init(&body, HTTP1_BODY_CHUNKED, 0, NULL, 0);
    assert_int_equal(feed(&body, chunk), HTTP1_OK);
    assert_int_equal(body.extension_debt, 256 - 17);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(feed(&body, "1\r\n!\r\n"), HTTP1_OK);
    assert_int_equal(body.extension_debt, 0);
}

static void test_trailers_are_kept_as_lines(void **state) {
    (void)state;
    char kept[64];
    struct http1_body body;
    http1_body_init(&body, HTTP1_BODY_CHUNKED, 0, kept, sizeof kept);
    assert_int_equal(feed(&body, "0\r\nA:\t b c \t\r\nB:\r\n\r\n"), HTTP1_OK);
    assert_true(body.done);
    assert_int_equal(body.trailers_len, strlen("A: b c\r\nB: \r\n"));
    assert_memory_equal(kept, "A: b c\r\nB: \r\n", body.trailers_len);
}

/* "A:b" comes as 5 bytes and is kept as 6. */
static void test_trailers_fit_exactly(void **state) {
    (void)state;
    struct http1_body body;
    char *kept = malloc(6);
    assert_non_null(kept);
    http1_body_init(&body, HTTP1_BODY_CHUNKED, 0, kept, 6);
    assert_int_equal(feed(&body, "0\r\nA:b\r\n\r\n"), HTTP1_OK);
    assert_true(body.done);
    http1_body_init(&body, HTTP1_BODY_CHUNKED, 0, kept, 5);
    assert_int_equal(feed(&body, "0\r\nA:b\r\n\r\n"), HTTP1_TRAILERS_TOO_LARGE);
    free(kept);
}

static void test_no_room_for_trailers_is_no_error_without_any(void **state) {
    (void)state;
    char kept[1];
    struct http1_body body;
    http1_body_init(&body, HTTP1_BODY_CHUNKED, 0, kept, 0);
    assert_int_equal(feed(&body, "0\r\n\r\n"), HTTP1_OK);
    assert_true(body.done);
    http1_body_init(&body, HTTP1_BODY_CHUNKED, 0, kept, 0);
    assert_int_equal(feed(&body, "0\r\nA"), HTTP1_TRAILERS_TOO_LARGE);
}

static void test_dropped_trailers_are_limited(void **state) {
    (void)state;
    struct http1_body body;
    http1_body_init(&body, HTTP1_BODY_CHUNKED, 0, NULL, 0);
    enum http1_error error = feed(&body, "0\r\n");
    unsigned lines = 0;
    for (; !error && lines < 10000; lines++)
        error = feed(&body, "Name: value\r\n");
    assert_int_equal(error, HTTP1_TRAILERS_TOO_LARGE);
    assert_true(lines > 8192 / 13 - 1 && lines <= 8192 / 13 + 1);
}

/* A forbidden name must be seen however the bytes are cut. */
static void test_forbidden_trailers(void **state) {
    (void)state;
    for (int id = 1; id < HTTP_FIELD_IDS; id++) {
        struct http1_body body;
        char line[64];
        struct bytes name = http_field_name(id), payload;
        int len = snprintf(line, sizeof line, "0\r\n%.*s: x\r\n\r\n", (int)name.len, name.at);
        enum http1_error error = HTTP1_OK;
        http1_body_init(&body, HTTP1_BODY_CHUNKED, 0, NULL, 0);
        for (int i = 0; i < len && !error; i++) {
            size_t used;
            error = http1_body_next(&body, line + i, 1, &payload, &used);
        }
        assert_int_equal(error, http1_may_be_trailer(id) ? HTTP1_OK : HTTP1_BAD_TRAILER);
    }
    assert_false(http1_may_be_trailer(HTTP_TRANSFER_ENCODING));
    assert_false(http1_may_be_trailer(HTTP_CONTENT_LENGTH));
    assert_false(http1_may_be_trailer(HTTP_HOST));
    assert_false(http1_may_be_trailer(HTTP_TRAILER));
    assert_true(http1_may_be_trailer(HTTP_ETAG));
    assert_true(http1_may_be_trailer(HTTP_FIELD_OTHER));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_error_table),
        cmocka_unit_test(test_head_points_into_input),
        cmocka_unit_test(test_prefixes_ask_for_more),
        cmocka_unit_test(test_seen_skips_what_cannot_matter),
        cmocka_unit_test(test_no_bytes),
        cmocka_unit_test(test_bodies_that_are_done_at_once),
        cmocka_unit_test(test_length_leaves_the_next_message),
        cmocka_unit_test(test_chunk_payload_is_not_copied),
        cmocka_unit_test(test_an_error_stays),
        cmocka_unit_test(test_until_close_never_ends),
        cmocka_unit_test(test_chunks_excuse_their_extensions),
        cmocka_unit_test(test_an_extension_counts_once),
        cmocka_unit_test(test_trailers_are_kept_as_lines),
        cmocka_unit_test(test_trailers_fit_exactly),
        cmocka_unit_test(test_no_room_for_trailers_is_no_error_without_any),
        cmocka_unit_test(test_dropped_trailers_are_limited),
        cmocka_unit_test(test_forbidden_trailers),
    };
    return cmocka_run_group_tests_name("http1", tests, NULL, NULL);
}
