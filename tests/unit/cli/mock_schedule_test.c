/* mock_schedule_test.c - which step is in force at which time, and what it does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <switchgear/time.h>

#include "cli/mock_schedule.h"

static bool read_schedule(struct mock_schedule *s, const char *text) {
    char memory[512];
    struct buf why;
    buf_init_fixed(&why, memory, sizeof memory);
    bool good = mock_schedule_read(s, bytes_of(text), &why);
    assert_true(good || why.len > 0);
    return good;
}

static const char *step_at(const struct mock_schedule *s, uint64_t ns, uint64_t *ends) {
    const struct mock_step *step = mock_schedule_at(s, ns, ends);
    return step ? step->text : "none";
}

static void steps_follow_each_other(void **state) {
    struct mock_schedule s;
    uint64_t ends;
    (void)state;
    assert_true(read_schedule(&s, "ok 30s, errors 50% 10s, hang 5s , down 5s,ok"));
    assert_int_equal(s.count, 5);
    assert_string_equal(step_at(&s, 0, &ends), "ok");
    assert_int_equal(ends, SWG_SECONDS(30));
    assert_string_equal(step_at(&s, SWG_SECONDS(30) - 1, &ends), "ok");
    assert_string_equal(step_at(&s, SWG_SECONDS(30), &ends), "errors 50%");
    assert_int_equal(ends, SWG_SECONDS(40));
    assert_string_equal(step_at(&s, SWG_SECONDS(44), &ends), "hang");
    assert_string_equal(step_at(&s, SWG_SECONDS(49), &ends), "down");
    assert_string_equal(step_at(&s, SWG_SECONDS(50), &ends), "ok");
    assert_true(ends == UINT64_MAX); /* the last one stays */
    assert_string_equal(step_at(&s, SWG_HOURS(1000), &ends), "ok");
}

static void without_an_end_it_begins_anew(void **state) {
    struct mock_schedule s;
    uint64_t ends;
    (void)state;
    assert_true(read_schedule(&s, "down 1s, ok 2s"));
    assert_string_equal(step_at(&s, SWG_SECONDS(300), &ends), "down");
    assert_int_equal(ends, SWG_SECONDS(301));
    assert_string_equal(step_at(&s, SWG_SECONDS(302), &ends), "ok");
    assert_int_equal(ends, SWG_SECONDS(303));
    assert_string_equal(step_at(&s, UINT64_MAX, &ends), "down"); /* and no overflow */
}

static void none_is_none(void **state) {
    struct mock_schedule s;
    uint64_t ends;
    (void)state;
    assert_true(read_schedule(&s, ""));
    assert_null(mock_schedule_at(&s, 5, &ends));
    assert_true(ends == UINT64_MAX);
}

static struct mock_behaviour after(const char *text, struct mock_behaviour base) {
    struct mock_schedule s;
    assert_true(read_schedule(&s, text));
    mock_step_apply(&s.steps[0], &base);
    return base;
}

static void a_step_comes_on_top_of_the_base(void **state) {
    struct mock_behaviour base = {.status = 500, .latency.a_ns = SWG_MS(20)};
    struct mock_behaviour b = after("errors 25% 503 10s", base);
    (void)state;
    assert_int_equal(b.errors, 250000);
    assert_int_equal(b.status, 503);
    assert_int_equal(b.latency.a_ns, SWG_MS(20));
    b = after("ok", base);
    assert_memory_equal(&b, &base, sizeof b);
    b = after("down 5s", base);
    assert_true(b.down);
    b = after("hang 5s", base);
    assert_int_equal(b.hang, MOCK_ALL);
    b = after("status 429 + retry-after 7", base);
    assert_true(b.errors == MOCK_ALL && b.status == 429 && b.retry_after == 7);
    b = after("slow 2s 1m", base);
    assert_int_equal(b.latency.a_ns, SWG_SECONDS(2));
    b = after("latency normal 2s 100ms 1m", base);
    assert_true(b.latency.kind == MOCK_LATENCY_NORMAL && b.latency.b_ns == SWG_MS(100));
    b = after("errors 10% + slow 1s + slow-body 1KiB/s 5s", base);
    assert_true(b.errors == 100000 && b.latency.a_ns == SWG_SECONDS(1) && b.slow_body == 1024);
    b = after("reset 3% + truncate 4%", base);
    assert_true(b.reset == 30000 && b.truncate == 40000);
}

static void what_is_wrong_is_refused(void **state) {
    static const char *const bad[] = {"ok, errors 5s", "sleep 5s",          "ok 5",
                                      "ok 0",          "errors 101% 5s",    ",",
                                      "ok 5s,,ok",     "latency 5s normal", "latency",
                                      "slow-body",     "ok 1s ok",          "errors 50% +",
                                      "down 5s 5s",    "status 5s",         "errors 50% 700 1s"};
    struct mock_schedule s;
    (void)state;
    assert_true(read_schedule(&s, "hang 1s, ok"));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(read_schedule(&s, bad[i]));
        assert_int_equal(s.count, 2); /* unchanged */
    }
}

static void there_is_a_maximum(void **state) {
    char text[8 * (MOCK_STEPS_MAX + 2)] = "";
    struct mock_schedule s;
    (void)state;
    for (int i = 0; i < MOCK_STEPS_MAX; i++)
        strcat(text, i ? ", ok 1s" : "ok 1s");
    assert_true(read_schedule(&s, text));
    strcat(text, ", ok");
    assert_false(read_schedule(&s, text));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_follow_each_other),
        cmocka_unit_test(without_an_end_it_begins_anew),
        cmocka_unit_test(none_is_none),
        cmocka_unit_test(a_step_comes_on_top_of_the_base),
        cmocka_unit_test(what_is_wrong_is_refused),
        cmocka_unit_test(there_is_a_maximum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
