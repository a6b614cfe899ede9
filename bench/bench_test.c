/* The parts of the bench whose mistakes would pass for measurements. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fault.h"
#include "histogram.h"
#include "message.h"
#include "posts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void percentiles_are_within_a_bucket(void **state) {
    struct histogram *h = calloc(1, sizeof(*h));

    assert_int_equal(histogram_percentile(h, 50), 0);
    for (uint64_t i = 1; i <= 1000000; i++)
        histogram_add(h, i * 1000);
    uint64_t p50 = histogram_percentile(h, 50), p99 = histogram_percentile(h, 99);
    assert_in_range(p50, 500000000ull, 504000000ull);
    assert_in_range(p99, 990000000ull, 998000000ull);
    assert_int_equal(histogram_percentile(h, 100), 1000000000ull);
    assert_int_equal(h->max, 1000000000ull);
    free(h);
}

static void small_values_are_exact(void **state) {
    struct histogram *h = calloc(1, sizeof(*h));

    for (uint64_t i = 0; i < 100; i++)
        histogram_add(h, i);
    assert_int_equal(histogram_percentile(h, 1), 0);
    assert_int_equal(histogram_percentile(h, 50), 49);
    assert_int_equal(histogram_percentile(h, 99), 98);
    free(h);
}

/* The rank is rounded up: of 10 values the 99th percentile is the last one. */
static void few_values_do_not_hide_the_worst(void **state) {
    struct histogram *h = calloc(1, sizeof(*h));

    for (int i = 0; i < 9; i++)
        histogram_add(h, 1);
    histogram_add(h, UINT64_MAX);
    assert_int_equal(histogram_percentile(h, 90), 1);
    assert_true(histogram_percentile(h, 99) == UINT64_MAX);
    free(h);
}

struct message_case {
    enum message_kind kind;
    const char *bytes;
    int status;
    uint64_t body;
    char source;
    bool close;
};

static const struct message_case messages[] = {
    {MESSAGE_RESPONSE, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Upstream: a\r\n\r\nhello", 200, 5,
     'a', false},
    {MESSAGE_RESPONSE, "HTTP/1.1 503 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n", 503, 0,
     '-', true},
    {MESSAGE_RESPONSE,
     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1A;x=y\r\n"
     "abcdefghijklmnopqrstuvwxyz\r\n0\r\nTrailer: 1\r\n\r\n",
     200, 31, '-', false},
    {MESSAGE_RESPONSE, "HTTP/1.1 204 No Content\r\nX-Upstream: b\r\n\r\n", 204, 0, 'b', false},
    {MESSAGE_RESPONSE,
     "HTTP/1.1 103 Early\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", 200, 1, '-',
     false},
    {MESSAGE_REQUEST, "POST /x HTTP/1.1\r\nX-Request-Number: 42\r\nContent-Length: 3\r\n\r\nabc", 0,
     3, '-', false},
    {MESSAGE_REQUEST, "GET / HTTP/1.0\r\n\r\n", 0, 0, '-', true},
};

static void check_message(const struct message_case *c, size_t split) {
    struct message m = {0};
    size_t len = strlen(c->bytes);

    message_begin(&m, c->kind);
    assert_int_equal(message_feed(&m, c->bytes, split), split);
    if (split < len)
        assert_int_not_equal(m.state, MESSAGE_DONE);
    assert_int_equal(message_feed(&m, c->bytes + split, len - split), len - split);
    assert_int_equal(m.state, MESSAGE_DONE);
    assert_int_equal(m.status, c->status);
    assert_int_equal(m.body, c->body);
    assert_int_equal(m.source, c->source);
    assert_int_equal(m.close, c->close);
    message_end(&m);
}

static void messages_read_the_same_however_they_are_split(void **state) {
    for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++)
        for (size_t split = 0; split <= strlen(messages[i].bytes); split++)
            check_message(&messages[i], split);
}

static void a_message_ends_where_it_ends(void **state) {
    static const char two[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1";
    struct message m = {0};

    message_begin(&m, MESSAGE_RESPONSE);
    assert_int_equal(message_feed(&m, two, sizeof(two) - 1), sizeof(two) - 1 - 8);
    assert_int_equal(m.state, MESSAGE_DONE);
    message_end(&m);
}

static void a_shortened_answer_is_not_whole(void **state) {
    static const char counted[] = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort";
    static const char open_end[] = "HTTP/1.1 200 OK\r\n\r\nwhatever";
    struct message m = {0};

    message_begin(&m, MESSAGE_RESPONSE);
    message_feed(&m, counted, sizeof(counted) - 1);
    assert_false(message_close(&m));
    message_begin(&m, MESSAGE_RESPONSE);
    message_feed(&m, open_end, sizeof(open_end) - 1);
    assert_true(message_close(&m));
    message_end(&m);
}

static void nonsense_is_refused(void **state) {
    static const char *const bad[] = {
        "HTTP/2.0 200 OK\r\n\r\n",
        "HTTP/1.1 2x0 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabX",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1111111111111111\r\n",
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct message m = {0};
        message_begin(&m, MESSAGE_RESPONSE);
        assert_int_equal(message_feed(&m, bad[i], strlen(bad[i])), -EBADMSG);
        message_end(&m);
    }
}

static void request_numbers_and_paths_are_kept(void **state) {
    static const char post[] = "POST /orders HTTP/1.1\r\nX-Request-Number: 1234567\r\n\r\n";
    struct message m = {0};

    message_begin(&m, MESSAGE_REQUEST);
    message_feed(&m, post, sizeof(post) - 1);
    assert_string_equal(m.method, "POST");
    assert_string_equal(m.path, "/orders");
    assert_true(m.numbered);
    assert_int_equal(m.number, 1234567);
    message_end(&m);
}

static void posts_seen_again_are_counted_once_each(void **state) {
    struct posts p = {0};

    for (uint64_t i = 0; i < 200000; i++)
        assert_int_equal(posts_add(&p, i), 0);
    posts_add(&p, 7);
    posts_add(&p, 7);
    posts_add(&p, 199999);
    assert_int_equal(p.distinct, 200000);
    assert_int_equal(p.twice, 2);
    posts_add(&p, UINT64_MAX);
    assert_int_equal(p.unnumbered, 1);
    posts_clear(&p);
}

#define S(x) ((uint64_t)((x)*1e9))

static void fault_windows_begin_and_end(void **state) {
    struct fault_window w;

    assert_int_equal(fault_window_parse("hung:5:20", &w), 0);
    assert_int_equal(fault_now(&w, S(4.999)), FAULT_OK);
    assert_int_equal(fault_now(&w, S(5)), FAULT_HUNG);
    assert_int_equal(fault_now(&w, S(20)), FAULT_OK);
    assert_int_equal(fault_next_change(&w, 0), S(5));
    assert_int_equal(fault_next_change(&w, S(5)), S(20));
    assert_true(fault_next_change(&w, S(20)) == UINT64_MAX);
}

static void flapping_turns_each_second(void **state) {
    struct fault_window w;

    assert_int_equal(fault_window_parse("flap:5:7.5", &w), 0);
    assert_int_equal(fault_now(&w, S(5.5)), FAULT_KILLED);
    assert_int_equal(fault_now(&w, S(6.5)), FAULT_OK);
    assert_int_equal(fault_now(&w, S(7.2)), FAULT_KILLED);
    assert_int_equal(fault_now(&w, S(7.5)), FAULT_OK);
    assert_int_equal(fault_next_change(&w, S(5.5)), S(6));
    assert_int_equal(fault_next_change(&w, S(7.2)), S(7.5));
}

static void wrong_windows_are_refused(void **state) {
    static const char *const bad[] = {"",         "hung",      "hung:5",    "hung:5:5",
                                      "hung:9:5", "bad:1:2",   "hung:a:2",  "hung:1:2x",
                                      ":1:2",     "hung:-1:2", "hung:nan:2"};
    struct fault_window w;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(fault_window_parse(bad[i], &w), -EINVAL);
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(percentiles_are_within_a_bucket),
        cmocka_unit_test(small_values_are_exact),
        cmocka_unit_test(few_values_do_not_hide_the_worst),
        cmocka_unit_test(messages_read_the_same_however_they_are_split),
        cmocka_unit_test(a_message_ends_where_it_ends),
        cmocka_unit_test(a_shortened_answer_is_not_whole),
        cmocka_unit_test(nonsense_is_refused),
        cmocka_unit_test(request_numbers_and_paths_are_kept),
        cmocka_unit_test(posts_seen_again_are_counted_once_each),
        cmocka_unit_test(fault_windows_begin_and_end),
        cmocka_unit_test(flapping_turns_each_second),
        cmocka_unit_test(wrong_windows_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
