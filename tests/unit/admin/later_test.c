/* later_test.c - answers that come later: to those who wait, and to those who have gone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "gateway/queue.h"
#include "scene.h"

/* A gateway whose outbox is real, and tells when the test lets it: what it posts to
 * the control loop runs by fake_io_run_tasks(). */
static struct scene s;
static char directory[] = "/tmp/later_testXXXXXX";

static int setup(void **state) {
    char file[64], why[256];
    (void)state;
    strcpy(directory + sizeof directory - 7, "XXXXXX");
    assert_non_null(mkdtemp(directory));
    scene_init(&s, "127.0.0.1", NULL);
    snprintf(file, sizeof file, "%s/outbox.db", directory);
    const struct outbox_options o = {.file = file};
    assert_int_equal(outbox_open(&s.gateway->outbox, &o, why, sizeof why), 0);
    return 0;
}

static int teardown(void **state) {
    static const char *const ends[] = {"", "-wal", "-shm", "-owner"};
    char file[80];
    (void)state;
    gateway_close_store(s.gateway);
    scene_free(&s);
    for (int i = 0; i < 4; i++) {
        snprintf(file, sizeof file, "%s/outbox.db%s", directory, ends[i]);
        unlink(file);
    }
    rmdir(directory);
    return 0;
}

/* All that was submitted so far has been told, though not yet heard. The fake io
 * takes posts from one thread at a time only, as here: each side waits for the other. */
static void settle(void) {
    struct outbox_op op;
    outbox_op_init(&op, OUTBOX_FIND, NULL, NULL);
    outbox_do(s.gateway->outbox, &op);
    outbox_op_free(&op);
}

#define LIST "GET /api/v1/outbox HTTP/1.1\r\nHost: localhost\r\n\r\n"
#define LIVE "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
#define HEAD "HEAD /api/v1/outbox HTTP/1.1\r\nHost: localhost\r\n\r\n"

static unsigned count(const char *text, const char *part) {
    unsigned n = 0;
    for (; (text = strstr(text, part)); text += strlen(part))
        n++;
    return n;
}

static void answered_when_it_is_known(void **state) {
    (void)state;
    struct fake_stream *c = scene_connect(&s);
    scene_say(c, LIST);
    settle();
    assert_int_equal(c->sent.len, 0);
    assert_false(c->wanted);
    fake_io_run_tasks(&s.io);
    assert_int_equal(scene_status(buf_cstr(&c->sent)), 200);
    assert_non_null(strstr(buf_cstr(&c->sent), "{\"entries\":[],\"next\":null}"));
    assert_true(c->wanted);
    fake_io_finish(c);
    assert_true(c->closed);
}

static void pipelined_in_order(void **state) {
    (void)state;
    struct fake_stream *c = scene_connect(&s);
    scene_say(c, LIST LIVE LIST LIVE);
    assert_int_equal(c->sent.len, 0);
    for (unsigned i = 1; i <= 2; i++) { /* the second may be known while the first is told */
        settle();
        fake_io_run_tasks(&s.io);
    }
    const char *at = buf_cstr(&c->sent);
    for (unsigned i = 1; i <= 2; i++) {
        const char *list = strstr(at, "\"entries\""), *live = strstr(at, "alive\"}");
        assert_non_null(list);
        assert_non_null(live);
        assert_true(list < live);
        at = live + 1;
    }
    assert_int_equal(count(buf_cstr(&c->sent), "\"entries\""), 2);
}

static void head_has_no_body(void **state) {
    (void)state;
    struct fake_stream *c = scene_connect(&s);
    scene_say(c, HEAD LIVE);
    settle();
    fake_io_run_tasks(&s.io);
    assert_int_equal(count(buf_cstr(&c->sent), "HTTP/1.1 200"), 2);
    assert_int_equal(count(buf_cstr(&c->sent), "\"entries\""), 0);
}

static void half_closed_is_still_answered(void **state) {
    (void)state;
    struct fake_stream *c = scene_connect(&s);
    scene_say(c, LIST);
    fake_io_finish(c);
    assert_false(c->closed);
    settle();
    fake_io_run_tasks(&s.io);
    assert_int_equal(scene_status(buf_cstr(&c->sent)), 200);
    fake_io_finish(c); /* the loop tells it again */
    assert_true(c->closed);
}

static void gone_meanwhile(void **state) {
    (void)state;
    struct fake_stream *c = scene_connect(&s);
    scene_say(c, LIST);
    c->stream->ops->on_end(c->stream, IO_END_RESET, 0);
    assert_true(c->closed);
    settle();
    fake_io_run_tasks(&s.io);
    assert_int_equal(c->sent.len, 0);
}

static void too_slow(void **state) {
    (void)state;
    struct fake_stream *c = scene_connect(&s);
    struct io_task *told;
    scene_say(c, LIST);
    settle();
    told = s.io.tasks; /* it is told, and nobody has heard it yet */
    s.io.tasks = NULL;
    fake_io_pass(&s.io, SWG_SECONDS(31));
    assert_int_equal(scene_status(buf_cstr(&c->sent)), 504);
    s.io.tasks = told;
    fake_io_run_tasks(&s.io);
    assert_int_equal(count(buf_cstr(&c->sent), "HTTP/1.1"), 1);
}

static void a_client_without_memory(void **state) {
    (void)state;
    struct fake_stream *c = scene_connect(&s);
    scene_say(c, LIST);
    settle();
    s.io.broken = true;
    fake_io_run_tasks(&s.io);
    assert_true(c->closed);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(answered_when_it_is_known, setup, teardown),
        cmocka_unit_test_setup_teardown(pipelined_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(head_has_no_body, setup, teardown),
        cmocka_unit_test_setup_teardown(half_closed_is_still_answered, setup, teardown),
        cmocka_unit_test_setup_teardown(gone_meanwhile, setup, teardown),
        cmocka_unit_test_setup_teardown(too_slow, setup, teardown),
        cmocka_unit_test_setup_teardown(a_client_without_memory, setup, teardown),
    };
    return cmocka_run_group_tests_name("admin/later", tests, NULL, NULL);
}
