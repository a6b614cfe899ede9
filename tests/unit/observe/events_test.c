/* Histories, gaps, and readers beside writers. */
#include "observe/events.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { PER_SERVICE = 20, SERVICES = 3 };

static struct events *e;
static struct event got[1000];
static bool gap;

static int set_up(void **state) {
    return events_create(
        &e, &(struct events_options){.per_service = PER_SERVICE, .services = SERVICES});
}

static int tear_down(void **state) {
    events_destroy(e);
    return 0;
}

static void add(const char *service, unsigned times) {
    for (unsigned i = 0; i < times; i++)
        events_add(e, &(struct event_info){.service = service, .kind = "state_change"});
}

static void assert_ascends(size_t count) {
    for (size_t i = 1; i < count; i++)
        assert_true(got[i].sequence > got[i - 1].sequence);
}

static void reads_what_was_added(void **state) {
    struct event_info info = {.unix_ms = 1795221500123,
                              .kind = "manual",
                              .service = "reco",
                              .endpoint = "127.0.0.1:8001",
                              .from = "closed",
                              .to = "forced_open",
                              .cause = "manual",
                              .author = "ann",
                              .text = "a \"reason\""};
    assert_int_equal(events_add(e, &info), 1);
    assert_int_equal(events_add(e, &(struct event_info){.kind = "reload"}), 2);
    assert_int_equal(events_last(e), 2);
    assert_int_equal(events_read(e, 0, NULL, got, 10, &gap), 2);
    assert_false(gap);

    char text[1024];
    struct buf b;
    struct json_out j;
    buf_init_fixed(&b, text, sizeof(text));
    json_init(&j, &b);
    json_array(&j);
    event_write_json(&j, &got[0]);
    event_write_json(&j, &got[1]);
    json_array_end(&j);
    assert_true(json_done(&j));
    assert_string_equal(text,
                        "[{\"sequence\":1,\"time\":\"2026-11-21T00:38:20.123Z\","
                        "\"kind\":\"manual\",\"service\":\"reco\",\"endpoint\":\"127.0.0.1:8001\","
                        "\"from\":\"closed\",\"to\":\"forced_open\",\"cause\":\"manual\","
                        "\"author\":\"ann\",\"text\":\"a \\\"reason\\\"\"},"
                        "{\"sequence\":2,\"time\":\"1970-01-01T00:00:00.000Z\","
                        "\"kind\":\"reload\"}]");
}

static void one_noisy_service_leaves_the_others_their_history(void **state) {
    add("quiet", 3);
    add("noisy", 1000);
    assert_int_equal(events_read(e, 0, "quiet", got, 100, &gap), 3);
    assert_false(gap);
    assert_int_equal(events_read(e, 0, "noisy", got, 100, &gap), PER_SERVICE);
    assert_true(gap);
    assert_int_equal(got[0].sequence, 1003 - PER_SERVICE + 1);
    assert_int_equal(events_read(e, 0, NULL, got, 100, &gap), PER_SERVICE + 3);
    assert_true(gap);
    assert_ascends(PER_SERVICE + 3);
    assert_int_equal(events_read(e, 0, "unknown", got, 100, &gap), 0);
}

static void a_gap_is_told_exactly(void **state) {
    add("a", PER_SERVICE);
    add("a", 5); /* 1 to 5 are gone */
    events_read(e, 4, "a", got, 100, &gap);
    assert_true(gap);
    assert_int_equal(events_read(e, 5, "a", got, 100, &gap), PER_SERVICE);
    assert_false(gap);
    events_read(e, 4, "b", got, 100, &gap);
    assert_false(gap);
}

static void follows_in_steps(void **state) {
    uint64_t after = 0;
    unsigned seen = 0;
    for (unsigned round = 0; round < 50; round++) {
        add("a", 3);
        add("b", 2);
        add(NULL, 1);
        for (size_t n; (n = events_read(e, after, NULL, got, 4, &gap)) > 0;) {
            assert_false(gap);
            for (size_t i = 0; i < n; i++)
                assert_int_equal(got[i].sequence, ++after);
            seen += (unsigned)n;
        }
    }
    assert_int_equal(seen, 300);
}

static void a_number_from_before_a_restart_starts_over(void **state) {
    add("a", 3);
    assert_int_equal(events_read(e, 3, NULL, got, 10, &gap), 0);
    assert_false(gap);
    assert_int_equal(events_read(e, 99, NULL, got, 10, &gap), 3);
    assert_true(gap);
}

static void services_beyond_the_limit_share(void **state) {
    add("a", 1);
    add("b", 1);
    add("c", 1);
    add("late", 1); /* a fourth of three */
    add("later", 2);
    add(NULL, 1);
    assert_int_equal(events_read(e, 0, "late", got, 10, &gap), 1);
    assert_string_equal(got[0].service, "late");
    assert_int_equal(events_read(e, 0, "later", got, 10, &gap), 2);
    assert_int_equal(events_read(e, 0, "", got, 10, &gap), 1);
    assert_int_equal(got[0].sequence, 7);
    assert_int_equal(events_read_latest(e, "later", got, 1), 1);
    assert_int_equal(got[0].sequence, 6);
    add("a", 1000);
    assert_int_equal(events_read(e, 0, "late", got, 10, &gap), 1);
}

static void reads_the_latest(void **state) {
    assert_int_equal(events_read_latest(e, NULL, got, 10), 0);
    add("a", 3);
    add("b", 2);
    add("a", 1);
    assert_int_equal(events_read_latest(e, NULL, got, 4), 4);
    assert_int_equal(got[0].sequence, 3);
    assert_ascends(4);
    assert_int_equal(events_read_latest(e, "a", got, 2), 2);
    assert_int_equal(got[0].sequence, 3);
    assert_int_equal(got[1].sequence, 6);
    assert_int_equal(events_read_latest(e, NULL, got, 100), 6);
    assert_ascends(6);
}

static void cuts_long_text_at_a_character(void **state) {
    char text[400];
    memset(text, 'x', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    memcpy(text + sizeof(got->text) - 2, "\xe2\x82\xac", 3); /* the cut falls into it */
    events_add(e, &(struct event_info){.text = text, .service = text, .kind = "k"});
    assert_int_equal(events_read(e, 0, text, got, 10, &gap), 1); /* by its long name */
    assert_int_equal(strlen(got[0].text), sizeof(got->text) - 2);
    assert_int_equal(strlen(got[0].service), sizeof(got->service) - 1);
}

/* ---- many threads ---------------------------------------------------------- */

enum { THREADS = 4, EACH = 3000 };

static _Atomic unsigned bells;

static void ring_bell(void *arg) {
    events_last(e); /* would deadlock under the lock */
    atomic_fetch_add(&bells, 1);
}

static void *add_many(void *service) {
    add(service, EACH);
    return NULL;
}

static void readers_see_order_while_threads_add(void **state) {
    static char names[THREADS][2] = {"a", "b", "c", "d"};
    pthread_t threads[THREADS];
    atomic_store(&bells, 0);
    events_watch(e, ring_bell, NULL);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, add_many, names[i]), 0);
    uint64_t after = 0;
    while (after < THREADS * EACH) {
        size_t n = events_read(e, after, NULL, got, 100, &gap);
        assert_true(n == 0 || gap || got[0].sequence == after + 1);
        assert_ascends(n);
        if (n)
            after = got[n - 1].sequence;
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&bells), THREADS * EACH);
}

#define EVENTS_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        EVENTS_TEST(reads_what_was_added),
        EVENTS_TEST(one_noisy_service_leaves_the_others_their_history),
        EVENTS_TEST(a_gap_is_told_exactly),
        EVENTS_TEST(follows_in_steps),
        EVENTS_TEST(a_number_from_before_a_restart_starts_over),
        EVENTS_TEST(services_beyond_the_limit_share),
        EVENTS_TEST(reads_the_latest),
        EVENTS_TEST(cuts_long_text_at_a_character),
        EVENTS_TEST(readers_see_order_while_threads_add),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
