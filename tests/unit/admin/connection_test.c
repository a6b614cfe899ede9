/* connection_test.c - HTTP as clients speak it, well and badly; limits; time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "scene.h"

static struct scene s;

static int setup(void **state) {
    (void)state;
    scene_init(&s, "127.0.0.1", NULL);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    scene_free(&s);
    return 0;
}

static unsigned count(const char *text, const char *part) {
    unsigned n = 0;
    while ((text = strstr(text, part))) {
        n++;
        text += strlen(part);
    }
    return n;
}

#define GET "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"

static void kept_alive(void **state) {
    (void)state;
    struct fake_stream *c = scene_connect(&s);
    for (unsigned i = 1; i <= 3; i++) {
        scene_say(c, GET);
        assert_int_equal(count(buf_cstr(&c->sent), "HTTP/1.1 200 OK"), i);
        assert_int_equal(count(buf_cstr(&c->sent), "Connection: keep-alive"), i);
    }
    assert_false(c->shut);
    fake_io_finish(c);
    assert_true(c->closed);
}

static void pipelined(void **state) {
    (void)state;
    struct fake_stream *c = scene_connect(&s);
    scene_say(c, GET GET GET "GET /startupz HTTP/1.1\r\nHo");
    assert_int_equal(count(buf_cstr(&c->sent), "alive\"}"), 3);
    scene_say(c, "st: localhost\r\nConnection: close\r\n\r\nmore that is not looked at");
    assert_int_equal(count(buf_cstr(&c->sent), "started"), 1);
    assert_int_equal(count(buf_cstr(&c->sent), "HTTP/1.1"), 4);
    assert_true(c->shut);
}

/* The answer does not depend on how the bytes came. */
static void cut_anywhere(void **state) {
    static const char request[] =
        "POST /api/v1/circuit-breakers/shop/force-open HTTP/1.1\r\nHost: localhost\r\n"
        "Transfer-Encoding: chunked\r\n\r\n6\r\n{\"for\"\r\n7;a=b\r\n:\"10m\"}\r\n0\r\n\r\n";
    (void)state;
    for (size_t cut = 1; cut < sizeof request - 1; cut++) {
        struct fake_stream *c = scene_connect(&s);
        fake_io_receive(c, request, cut);
        assert_int_equal(c->sent.len, 0);
        fake_io_receive(c, request + cut, sizeof request - 1 - cut);
        assert_int_equal(scene_status(buf_cstr(&c->sent)), 200);
        assert_non_null(strstr(buf_cstr(&c->sent), "forced_open"));
        fake_io_finish(c);
    }
}

static void byte_by_byte(void **state) {
    static const char request[] = "POST /api/v1/drain HTTP/1.1\r\nHost: localhost\r\n"
                                  "Content-Length: 16\r\n\r\n{\"author\":\"ada\"}" GET;
    (void)state;
    struct fake_stream *c = scene_connect(&s);
    for (size_t i = 0; i < sizeof request - 1; i++)
        fake_io_receive(c, request + i, 1);
    assert_int_equal(s.drains, 1);
    assert_string_equal(s.author, "ada");
    assert_int_equal(count(buf_cstr(&c->sent), "alive\"}"), 1);
}

static void old_clients(void **state) {
    (void)state;
    struct fake_stream *c = scene_connect(&s);
    scene_say(c, "GET /livez HTTP/1.0\r\n\r\n");
    assert_int_equal(scene_status(buf_cstr(&c->sent)), 200);
    assert_true(c->shut);
    c = scene_connect(&s);
    scene_say(c, "GET /livez HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert_non_null(strstr(buf_cstr(&c->sent), "Connection: keep-alive"));
    assert_false(c->shut);
}

static void continues(void **state) {
    (void)state;
    struct fake_stream *c = scene_connect(&s);
    scene_say(c, "POST /api/v1/drain HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n"
                 "Expect: 100-continue\r\n\r\n");
    assert_string_equal(buf_cstr(&c->sent), "HTTP/1.1 100 Continue\r\n\r\n");
    scene_say(c, "{}");
    assert_non_null(strstr(buf_cstr(&c->sent), "HTTP/1.1 202 Accepted"));
    c = scene_connect(&s); /* who does not wait need not be told */
    scene_say(c, "POST /api/v1/drain HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n"
                 "Expect: 100-continue\r\n\r\n{");
    scene_say(c, "}");
    assert_int_equal(scene_status(buf_cstr(&c->sent)), 202);
}

/* ---- what is refused -------------------------------------------------------------- */

static void refused(const char *request, int status) {
    struct fake_stream *c = scene_connect(&s);
    scene_say(c, request);
    if (scene_status(buf_cstr(&c->sent)) != status)
        fail_msg("expected %d: %.100s -> %.60s", status, request, buf_cstr(&c->sent));
    assert_non_null(strstr(buf_cstr(&c->sent), "application/problem+json"));
    assert_non_null(strstr(buf_cstr(&c->sent), "Connection: close"));
    assert_true(c->shut);
    assert_false(c->closed); /* what still comes is read, so that no reset eats the answer */
    assert_true(c->wanted);
    fake_io_receive(c, GET, strlen(GET));
    assert_int_equal(count(buf_cstr(&c->sent), "\r\nDate: "), 1);
    fake_io_pass(&s.io, SWG_SECONDS(3));
    assert_true(c->closed);
}

static void bad_requests(void **state) {
    (void)state;
    refused("nonsense\r\n\r\n", 400);
    refused("GET / HTTP/2.0\r\nHost: localhost\r\n\r\n", 505);
    refused("GET / HTTP/1.1\r\n\r\n", 400);
    refused("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400);
    refused("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            400);
    refused("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501);
    refused("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxx\r\n", 400);
    refused("POST / HTTP/1.1\r\nHost: a\r\nExpect: magic\r\nContent-Length: 1\r\n\r\n", 417);
    refused("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 32769\r\n\r\n", 413);
}

static void too_much(void **state) {
    (void)state;
    char *big = malloc(80000);
    memset(big, 'a', 80000);
    struct fake_stream *c = scene_connect(&s);
    scene_say(c, "GET /");
    fake_io_receive(c, big, 20000);
    assert_true(scene_status(buf_cstr(&c->sent)) == 414 || scene_status(buf_cstr(&c->sent)) == 431);
    c = scene_connect(&s);
    scene_say(c, "GET / HTTP/1.1\r\nHost: a\r\nX: ");
    fake_io_receive(c, big, 20000);
    assert_int_equal(scene_status(buf_cstr(&c->sent)), 431);
    c = scene_connect(&s);
    scene_say(c, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n11170\r\n");
    fake_io_receive(c, big, 70000);
    assert_int_equal(scene_status(buf_cstr(&c->sent)), 413);
    free(big);
}

/* A body of just the size that is taken, in chunks of one byte. */
static void largest_body(void **state) {
    (void)state;
    struct fake_stream *c = scene_connect(&s);
    scene_say(c, "POST /api/v1/drain HTTP/1.1\r\nHost: localhost\r\nContent-Length: 32768\r\n\r\n");
    char *spaces = malloc(32766);
    memset(spaces, ' ', 32766);
    fake_io_receive(c, spaces, 32766);
    assert_int_equal(c->sent.len, 0);
    scene_say(c, "{}");
    assert_int_equal(scene_status(buf_cstr(&c->sent)), 202);
    free(spaces);
}

/* ---- time ------------------------------------------------------------------------------ */

static void slow_request(void **state) {
    (void)state;
    struct fake_stream *c = scene_connect(&s);
    for (int i = 0; i < 9; i++) { /* each byte in good time does not help */
        scene_say(c, i ? "a" : "GET /");
        fake_io_pass(&s.io, SWG_SECONDS(1));
    }
    assert_int_equal(c->sent.len, 0);
    fake_io_pass(&s.io, SWG_SECONDS(2));
    assert_int_equal(scene_status(buf_cstr(&c->sent)), 408);
    fake_io_pass(&s.io, SWG_SECONDS(3));
    assert_true(c->closed);
}

static void silent_clients(void **state) {
    (void)state;
    struct fake_stream *never = scene_connect(&s), *once = scene_connect(&s);
    scene_say(once, GET);
    fake_io_pass(&s.io, SWG_SECONDS(11));
    assert_true(never->closed);
    assert_int_equal(never->sent.len, 0);
    assert_false(once->closed);
    fake_io_pass(&s.io, SWG_SECONDS(50));
    assert_true(once->closed);
}

static void client_that_takes_nothing(void **state) {
    (void)state;
    struct fake_stream *c = scene_connect(&s);
    s.io.stuck = true;
    scene_say(c, GET GET);
    assert_int_equal(count(buf_cstr(&c->sent), "HTTP/1.1 200"), 1); /* the second has to wait */
    assert_false(c->wanted);
    fake_io_drain(c);
    assert_int_equal(count(buf_cstr(&c->sent), "HTTP/1.1 200"), 2);
    fake_io_finish(c); /* sends no more, but has not got all */
    assert_false(c->closed);
    fake_io_pass(&s.io, SWG_SECONDS(61));
    assert_true(c->closed);
}

static void last_answer_is_waited_for(void **state) {
    (void)state;
    struct fake_stream *c = scene_connect(&s);
    s.io.stuck = true;
    scene_say(c, "GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    fake_io_finish(c);
    assert_false(c->closed);
    fake_io_pass(&s.io, SWG_SECONDS(10));
    assert_false(c->closed);
    fake_io_drain(c);
    assert_true(c->closed);
}

static void half_a_request_then_gone(void **state) {
    (void)state;
    struct fake_stream *c = scene_connect(&s);
    scene_say(c, "POST /api/v1/drain HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{");
    fake_io_finish(c);
    assert_true(c->closed);
    assert_int_equal(s.drains, 0);
}

static void no_memory_to_answer(void **state) {
    (void)state;
    struct fake_stream *c = scene_connect(&s);
    s.io.broken = true;
    scene_say(c, GET);
    assert_true(c->closed);
    c = scene_connect(&s);
    scene_say(c, "nonsense\r\n\r\n");
    assert_true(c->closed);
}

/* ---- too many ------------------------------------------------------------------------------ */

/* Who only keeps a connection open gives way; who is in the middle does not. */
static void sixty_five(void **state) {
    struct fake_stream *clients[ADMIN_CONNECTIONS_MAX];
    (void)state;
    for (int i = 0; i < ADMIN_CONNECTIONS_MAX; i++)
        clients[i] = scene_connect(&s);
    scene_say(clients[0], "GET /li");
    struct fake_stream *another = scene_connect(&s);
    assert_non_null(another);
    assert_false(clients[0]->closed);
    assert_true(clients[1]->closed);
    scene_say(another, GET);
    assert_int_equal(scene_status(buf_cstr(&another->sent)), 200);
    for (int i = 2; i < ADMIN_CONNECTIONS_MAX; i++)
        scene_say(clients[i], "GET /li");
    scene_say(another, "GET /li");
    assert_null(scene_connect(&s)); /* turned away */
    assert_int_equal(s.admin->connection_count, ADMIN_CONNECTIONS_MAX);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(kept_alive),
        TEST(pipelined),
        TEST(cut_anywhere),
        TEST(byte_by_byte),
        TEST(old_clients),
        TEST(continues),
        TEST(bad_requests),
        TEST(too_much),
        TEST(largest_body),
        TEST(slow_request),
        TEST(silent_clients),
        TEST(client_that_takes_nothing),
        TEST(last_answer_is_waited_for),
        TEST(half_a_request_then_gone),
        TEST(no_memory_to_answer),
        TEST(sixty_five),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
