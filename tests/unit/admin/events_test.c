/* events_test.c - following what happens. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "observe/events.h"
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

static struct fake_stream *follow(const char *query, const char *fields) {
    char request[512];
    struct fake_stream *c = scene_connect(&s);
    snprintf(request, sizeof request, "GET /api/v1/events%s HTTP/1.1\r\nHost: localhost\r\n%s\r\n",
             query, fields);
    scene_say(c, request);
    return c;
}

static void say(const char *service, const char *text) {
    events_add(s.events, &(struct event_info){.kind = "test", .service = service, .text = text});
    fake_io_run_tasks(&s.io);
}

static bool has(struct fake_stream *c, const char *part) {
    return strstr(buf_cstr(&c->sent), part) != NULL;
}

static void follows_from_now(void **state) {
    (void)state;
    say("shop", "before");
    struct fake_stream *c = follow("", "");
    assert_int_equal(scene_status(buf_cstr(&c->sent)), 200);
    assert_true(has(c, "Content-Type: text/event-stream\r\n"));
    assert_false(has(c, "Content-Length"));
    assert_false(has(c, "before"));
    say("shop", "after");
    assert_true(has(c, "id: 2\nevent: test\ndata: {\"sequence\":2,"));
    assert_true(has(c, "\"text\":\"after\"}\n\n"));
}

static void resumes(void **state) {
    (void)state;
    for (int i = 0; i < 40; i++) { /* more than one batch */
        char text[8];
        snprintf(text, sizeof text, "e%d", i);
        say("shop", text);
    }
    struct fake_stream *c = follow("", "Last-Event-ID: 2\r\n");
    assert_false(has(c, "\"e1\""));
    assert_true(has(c, "\"e2\""));
    assert_true(has(c, "\"e39\""));
    assert_false(has(c, "event: gap"));
    c = follow("?after=39", "");
    assert_false(has(c, "\"e38\""));
    assert_true(has(c, "\"e39\""));
    assert_int_equal(scene_status(buf_cstr(&follow("?after=x", "")->sent)), 400);
    assert_int_equal(scene_status(buf_cstr(&follow("", "Last-Event-ID: -1\r\n")->sent)), 400);
}

static void of_one_service(void **state) {
    (void)state;
    struct fake_stream *c = follow("?service=pay", "");
    say("shop", "of shop");
    say("pay", "of pay");
    assert_false(has(c, "of shop"));
    assert_true(has(c, "of pay"));
}

/* The history has moved on, or began anew with the process. */
static void gaps(void **state) {
    (void)state;
    for (int i = 0; i < 300; i++)
        say("shop", "x");
    struct fake_stream *c = follow("?after=1", "");
    assert_true(has(c, "event: gap\ndata: {\"after\":1}\n\n"));
    assert_true(has(c, "id: 300\n"));
    c = follow("?after=100000", "");
    assert_true(has(c, "event: gap"));
    assert_true(has(c, "id: 300\n"));
    size_t before = c->sent.len;
    say("shop", "y");
    assert_true(has(c, "id: 301\n"));
    assert_null(strstr(c->sent.at + before, "event: gap"));
}

static void a_gap_and_nothing_left(void **state) {
    (void)state;
    struct fake_stream *c = follow("?after=7", ""); /* there were none at all */
    assert_true(has(c, "event: gap"));
    say("shop", "first");
    assert_true(has(c, "id: 1\n"));
}

static void heart_beats(void **state) {
    (void)state;
    struct fake_stream *c = follow("", "");
    fake_io_pass(&s.io, SWG_SECONDS(14));
    assert_false(has(c, ": heartbeat\n\n"));
    fake_io_pass(&s.io, SWG_SECONDS(2));
    assert_true(has(c, ": heartbeat\n\n"));
    fake_io_pass(&s.io, SWG_SECONDS(3600));
    assert_false(c->closed);
}

/* What waits for a slow follower is bounded; the rest stays in the history. */
static void slow_follower(void **state) {
    (void)state;
    struct fake_stream *c = follow("", "");
    s.io.stuck = true;
    char text[150];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    for (int i = 0; i < 1000; i++)
        say("shop", text);
    size_t waiting = io_pending(c->stream);
    assert_true(waiting > 32 * 1024 && waiting < 80 * 1024);
    s.io.stuck = false;
    fake_io_drain(c);
    assert_true(has(c, "event: gap")); /* a thousand do not fit into the history */
    assert_true(has(c, "id: 1000\n"));
    assert_int_equal(io_pending(c->stream), 0);
}

static void dropped_follower(void **state) {
    (void)state;
    struct fake_stream *c = follow("", "");
    s.io.stuck = true;
    say("shop", "x");
    fake_io_pass(&s.io, SWG_SECONDS(20));
    assert_false(c->closed);
    fake_io_pass(&s.io, SWG_SECONDS(20));
    assert_true(c->closed);
    assert_int_equal(s.admin->follower_count, 0);
}

static void follower_leaves(void **state) {
    (void)state;
    struct fake_stream *c = follow("", ""), *other = follow("", "");
    assert_int_equal(s.admin->follower_count, 2);
    fake_io_finish(c);
    assert_true(c->closed);
    say("shop", "x");
    assert_true(has(other, "id: 1\n"));
}

/* One whose connection breaks while all are being fed. */
static void broken_while_feeding(void **state) {
    (void)state;
    struct fake_stream *a = follow("", ""), *b = follow("", "");
    s.io.broken = true;
    say("shop", "x");
    assert_true(a->closed && b->closed);
    assert_int_equal(s.admin->connection_count, 0);
}

static void too_many(void **state) {
    (void)state;
    for (int i = 0; i < ADMIN_FOLLOWERS_MAX; i++)
        assert_int_equal(scene_status(buf_cstr(&follow("", "")->sent)), 200);
    struct fake_stream *c = follow("", "");
    assert_int_equal(scene_status(buf_cstr(&c->sent)), 503);
    assert_true(has(c, "Retry-After: 5"));
    assert_int_equal(scene_status(scene_ask(&s, "GET", "/livez", "", "")), 200);
}

static void head_of_a_stream(void **state) {
    (void)state;
    const char *answer = scene_ask(&s, "HEAD", "/api/v1/events", "", "");
    assert_int_equal(scene_status(answer), 200);
    assert_int_equal(s.admin->follower_count, 0);
}

static void as_a_list(void **state) {
    (void)state;
    say("shop", "alpha");
    say("pay", "beta");
    const char *answer = scene_ask(&s, "GET", "/api/v1/events", "Accept: application/json\r\n", "");
    assert_non_null(strstr(answer, "alpha"));
    assert_non_null(strstr(answer, "],\"last\":2}"));
    answer = scene_ask(&s, "GET", "/api/v1/events?service=pay&limit=5",
                       "Accept: application/json\r\n", "");
    assert_null(strstr(answer, "alpha"));
    assert_non_null(strstr(answer, "beta"));
    answer = scene_ask(&s, "GET", "/api/v1/events?limit=0", "Accept: application/json\r\n", "");
    assert_int_equal(scene_status(answer), 400);
}

/* Many rings before the first is answered are one. */
static void rings_are_gathered(void **state) {
    (void)state;
    events_add(s.events, &(struct event_info){.kind = "test"});
    events_add(s.events, &(struct event_info){.kind = "test"});
    assert_non_null(s.io.tasks);
    assert_null(s.io.tasks->next);
    fake_io_run_tasks(&s.io);
    assert_null(s.io.tasks);
    events_add(s.events, &(struct event_info){.kind = "test"});
    assert_non_null(s.io.tasks);
}

/* A ring that is on its way when the admin side ends finds nobody; the scene's
 * end runs it, and the sanitizer looks on. */
static void ended_with_a_ring_under_way(void **state) {
    (void)state;
    follow("", "");
    events_add(s.events, &(struct event_info){.kind = "test"});
    assert_non_null(s.io.tasks);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(follows_from_now),
        TEST(resumes),
        TEST(of_one_service),
        TEST(gaps),
        TEST(a_gap_and_nothing_left),
        TEST(heart_beats),
        TEST(slow_follower),
        TEST(dropped_follower),
        TEST(follower_leaves),
        TEST(broken_while_feeding),
        TEST(too_many),
        TEST(head_of_a_stream),
        TEST(as_a_list),
        TEST(rings_are_gathered),
        TEST(ended_with_a_ring_under_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
