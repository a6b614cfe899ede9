/* breaker_test.c - what trips a closed breaker, and what does not. */
#include "rig.h"

#include <string.h>

#define NO_JITTER .jitter_percent = 101

/* ---- scenarios: options, letters, state after them ---- */

struct scenario {
    const char *name;
    struct swg_breaker_options options;
    const char *letters;
    enum swg_breaker_state after;
    const char *cause; /* of the last event */
};

static const struct scenario scenarios[] = {
    /* rates are judged at the minimum of calls, also by a success */
    {"two of three below the minimum",
     {.failure_percent = 50, .calls_min = 5},
     "FFFS",
     SWG_CLOSED,
     NULL},
    {"a success completes the minimum",
     {.failure_percent = 50, .calls_min = 5},
     "FFFSS",
     SWG_OPEN,
     "failure_rate"},
    {"the same in a window of calls",
     {.failure_percent = 50, .calls_min = 5, .window_calls = 10},
     "FFFSS",
     SWG_OPEN,
     "failure_rate"},
    {"exactly at the rate trips",
     {.failure_percent = 50, .calls_min = 10},
     "SSSSSFFFFF",
     SWG_OPEN,
     "failure_rate"},
    {"one below the rate does not",
     {.failure_percent = 50, .calls_min = 10},
     "SSSSSSFFFF",
     SWG_CLOSED,
     NULL},
    {"one below the minimum does not",
     {.failure_percent = 10, .calls_min = 10},
     "FFFFFFFFF",
     SWG_CLOSED,
     NULL},
    {"three of ten at thirty percent",
     {.failure_percent = 30, .calls_min = 10, .window_calls = 10},
     "FFFSSSSSSS",
     SWG_OPEN,
     "failure_rate"},
    {"failures leave a window of calls",
     {.failure_percent = 30, .calls_min = 10, .window_calls = 10},
     "FFSSSSSSSSSSF",
     SWG_CLOSED,
     NULL},
    /* the other rules */
    {"five in a row", {.consecutive = 5}, "FFFFF", SWG_OPEN, "consecutive"},
    {"a success ends the row", {.consecutive = 5}, "FFFFSFFFF", SWG_CLOSED, NULL},
    {"neutral results do not end the row", {.consecutive = 3}, "FOFICF", SWG_OPEN, "consecutive"},
    {"failures in the window", {.failures = 3}, "FSSFSSSF", SWG_OPEN, "failures"},
    {"failures need no minimum", {.failures = 1}, "F", SWG_OPEN, "failures"},
    {"failures among the last calls",
     {.failures = 3, .window_calls = 5},
     "FSFSSSFSSF",
     SWG_CLOSED,
     NULL},
    {"failures among the last calls trip",
     {.failures = 3, .window_calls = 5},
     "FSFSSSFFSF",
     SWG_OPEN,
     "failures"},
    {"slow calls",
     {.slow_percent = 50, .slow_call_ns = RIG_SLOW_NS, .calls_min = 4},
     "SsSs",
     SWG_OPEN,
     "slow_rate"},
    {"slow calls below",
     {.slow_percent = 50, .slow_call_ns = RIG_SLOW_NS, .calls_min = 4},
     "SSSsSsSS",
     SWG_CLOSED,
     NULL},
    {"slow calls in a window of calls",
     {.slow_percent = 50, .slow_call_ns = RIG_SLOW_NS, .calls_min = 4, .window_calls = 4},
     "sSSSSss",
     SWG_OPEN,
     "slow_rate"},
    {"slow by default after one second",
     {.slow_percent = 50, .calls_min = 2},
     "Ss",
     SWG_OPEN,
     "slow_rate"},
    {"a slow failure is both",
     {.slow_percent = 50, .slow_call_ns = RIG_SLOW_NS, .calls_min = 2},
     "Sf",
     SWG_OPEN,
     "slow_rate"},
    {"without the rule slow is nothing",
     {.failure_percent = 50, .calls_min = 2, .slow_call_ns = RIG_SLOW_NS},
     "ssss",
     SWG_CLOSED,
     NULL},
    {"rules combine: the rate is not reached, the row is",
     {.consecutive = 3, .failure_percent = 90, .calls_min = 2},
     "SSSSSFFF",
     SWG_OPEN,
     "consecutive"},
    {"a rule not given is off", {.consecutive = 100}, "FSFSFSFSFSFSFSFSFSFSFSFS", SWG_CLOSED, NULL},
    {"no rule at all: half of twenty",
     {.consecutive = 0},
     "SSSSSSSSSSFFFFFFFFFF",
     SWG_OPEN,
     "failure_rate"},
    /* what counts */
    {"overload, ignored and young cancelled count as nothing",
     {.failure_percent = 10, .calls_min = 1},
     "OOOOICCCC",
     SWG_CLOSED,
     NULL},
    {"they do not fill the minimum either",
     {.failure_percent = 50, .calls_min = 4},
     "FOICSF",
     SWG_CLOSED,
     NULL},
    {"old cancelled fail where no slow rule is set", {.failures = 2}, "cc", SWG_OPEN, "failures"},
    {"old cancelled are slow where one is set",
     {.failures = 2, .slow_percent = 100, .calls_min = 3},
     "ccc",
     SWG_OPEN,
     "slow_rate"},
    {"old cancelled never count where slow is off",
     {.failures = 1, .slow_call_ns = SWG_OFF},
     "cccc",
     SWG_CLOSED,
     NULL},
};

static void test_scenarios(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++) {
        const struct scenario *s = &scenarios[i];
        struct rig r;
        size_t length = strlen(s->letters);
        char letters[64];
        rig_make(&r, &s->options);
        print_message("          %s\n", s->name);
        /* all but the last leave it closed: it trips at the last, not before */
        memcpy(letters, s->letters, length - 1);
        letters[length - 1] = '\0';
        rig_feed(&r, letters);
        assert_int_equal(rig_state(&r), SWG_CLOSED);
        rig_feed(&r, s->letters + length - 1);
        assert_int_equal(rig_state(&r), s->after);
        assert_int_equal(r.events, s->cause ? 1 : 0);
        if (s->cause)
            assert_string_equal(r.event[0].cause, s->cause);
        rig_free(&r);
    }
}

/* 99 of 200 is 49.5%: arithmetic that rounds would trip. */
static void test_rate_is_exact(void **state) {
    (void)state;
    struct rig r;
    rig_make(&r, &(struct swg_breaker_options){.failure_percent = 50, .calls_min = 200});
    for (int i = 0; i < 101; i++)
        rig_feed(&r, "S");
    for (int i = 0; i < 99; i++)
        rig_feed(&r, "F");
    assert_int_equal(rig_state(&r), SWG_CLOSED);
    rig_feed(&r, "F");
    assert_int_equal(rig_state(&r), SWG_CLOSED);
    rig_feed(&r, "F"); /* 101 of 202 */
    assert_int_equal(rig_state(&r), SWG_OPEN);
    rig_free(&r);
}

static void test_event_tells_the_window(void **state) {
    (void)state;
    struct rig r;
    rig_make(&r, &(struct swg_breaker_options){
                     .failure_percent = 50, .slow_percent = 90, .calls_min = 4, NO_JITTER});
    rig_feed(&r, "SsFf");
    assert_int_equal(r.events, 1);
    assert_int_equal(r.event[0].calls, 4);
    assert_int_equal(r.event[0].bad_calls, 2);
    assert_int_equal(r.event[0].slow_calls, 2);
    assert_int_equal(r.event[0].now_ns, r.now_ns);
    assert_int_equal(r.event[0].open_until_ns, r.now_ns + SWG_SECONDS(5));
    assert_int_equal(r.event[0].from, SWG_CLOSED);
    assert_int_equal(r.event[0].to, SWG_OPEN);
    rig_free(&r);
}

/* ---- time ---- */

static void test_time_window_expires(void **state) {
    (void)state;
    struct rig r;
    rig_make(&r, &(struct swg_breaker_options){.failures = 3, .window_ns = SWG_SECONDS(10)});
    rig_feed(&r, "FF");
    assert_int_equal(rig_read(&r).window_failures, 2);
    r.now_ns += SWG_SECONDS(10) - 1;
    assert_int_equal(rig_read(&r).window_failures, 2);
    r.now_ns += 1; /* expires when read, without a call */
    assert_int_equal(rig_read(&r).window_failures, 0);
    assert_int_equal(rig_read(&r).window_calls, 0);
    rig_feed(&r, "FF");
    assert_int_equal(rig_state(&r), SWG_CLOSED);
    rig_feed(&r, "F");
    assert_int_equal(rig_state(&r), SWG_OPEN);
    rig_free(&r);
}

/* Old successes leave the window: the rate rises without a failure, and the
 * next result, here a success, is judged by it. */
static void test_success_trips_when_successes_expire(void **state) {
    (void)state;
    struct rig r;
    rig_make(&r, &(struct swg_breaker_options){
                     .failure_percent = 50, .calls_min = 5, .window_ns = SWG_SECONDS(10)});
    rig_feed(&r, "SSSSSSSSSS");
    r.now_ns += SWG_SECONDS(5);
    rig_feed(&r, "FFFFFF");
    assert_int_equal(rig_state(&r), SWG_CLOSED);
    r.now_ns += SWG_SECONDS(5);
    rig_feed(&r, "S");
    assert_int_equal(rig_state(&r), SWG_OPEN);
    rig_free(&r);
}

static void test_time_that_steps_back_is_harmless(void **state) {
    (void)state;
    struct rig r;
    rig_make(&r, &(struct swg_breaker_options){.failures = 4, .window_ns = SWG_SECONDS(10)});
    rig_feed(&r, "FF");
    r.now_ns -= SWG_SECONDS(3);
    rig_feed(&r, "SF");
    assert_int_equal(rig_read(&r).window_calls, 4);
    r.now_ns += SWG_SECONDS(3);
    rig_feed(&r, "F");
    assert_int_equal(rig_state(&r), SWG_OPEN);
    rig_free(&r);
}

/* ---- permits ---- */

static void test_late_result_decides_nothing(void **state) {
    (void)state;
    struct rig r;
    struct swg_permit old[4];
    rig_make(&r, &(struct swg_breaker_options){.failures = 2, .close_after = 2, NO_JITTER});
    for (int i = 0; i < 4; i++)
        rig_admit(&r, &old[i]);
    rig_feed(&r, "FF");
    assert_int_equal(rig_state(&r), SWG_OPEN);
    rig_record(&r, &old[0], SWG_SUCCESS); /* while open */
    assert_int_equal(rig_state(&r), SWG_OPEN);
    r.now_ns += SWG_SECONDS(5);
    assert_int_equal(rig_ask(&r), SWG_ADMITTED);
    rig_record(&r, &old[1], SWG_SUCCESS); /* while half-open: would be one of two */
    rig_feed(&r, "S");
    assert_int_equal(rig_state(&r), SWG_HALF_OPEN);
    rig_record(&r, &old[2], SWG_FAILURE); /* would reopen */
    assert_int_equal(rig_state(&r), SWG_HALF_OPEN);
    rig_feed(&r, "S");
    assert_int_equal(rig_state(&r), SWG_CLOSED);
    rig_feed(&r, "F");
    rig_record(&r, &old[3], SWG_FAILURE); /* closed again: would trip */
    assert_int_equal(rig_state(&r), SWG_CLOSED);

    struct swg_breaker_stats s = rig_read(&r);
    assert_int_equal(s.late, 4);
    assert_int_equal(s.successes, 4);
    assert_int_equal(s.failures, 5);
    assert_int_equal(s.calls, 10); /* and the one ignored */
    assert_int_equal(s.window_failures, 1);
    rig_free(&r);
}

static void test_totals_by_kind(void **state) {
    (void)state;
    struct rig r;
    rig_make(&r, &(struct swg_breaker_options){.failures = 100, .slow_call_ns = RIG_SLOW_NS});
    rig_feed(&r, "SSS.FFsfOOOICCc");
    struct swg_breaker_stats s = rig_read(&r);
    assert_int_equal(s.successes, 4);
    assert_int_equal(s.failures, 3);
    assert_int_equal(s.overloads, 3);
    assert_int_equal(s.ignored, 1);
    assert_int_equal(s.cancelled, 3);
    assert_int_equal(s.slow, 3);
    assert_int_equal(s.calls, 14);
    assert_int_equal(s.late, 0);
    assert_int_equal(s.window_calls, 8);
    assert_int_equal(s.window_failures, 4);
    assert_int_equal(s.consecutive, 2);
    assert_int_equal(s.last_success_ns, RIG_START_NS + SWG_MS(1));
    assert_int_equal(s.last_failure_ns, RIG_START_NS + SWG_MS(1));
    rig_free(&r);
}

/* ---- overdue ---- */

static void mark(struct rig *r, struct swg_permit *p) {
    swg_breaker_overdue(r->b, p, r->now_ns);
    swg_breaker_check(r->b);
}

/* A service that hangs opens its breaker before anybody's timeout. */
static void test_overdue_trips_while_under_way(void **state) {
    (void)state;
    struct rig r;
    struct swg_permit p[3];
    rig_make(&r, &(struct swg_breaker_options){.failures = 3, .slow_call_ns = SWG_MS(200)});
    assert_int_equal(swg_breaker_slow_call_ns(r.b), SWG_MS(200));
    for (int i = 0; i < 3; i++)
        rig_admit(&r, &p[i]);
    r.now_ns += SWG_MS(200) - 1;
    mark(&r, &p[0]);
    assert_int_equal(rig_read(&r).window_calls, 0);
    r.now_ns += 1;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(rig_state(&r), SWG_CLOSED);
        mark(&r, &p[i]);
        if (i < 2)
            mark(&r, &p[i]); /* again: nothing */
    }
    assert_int_equal(rig_state(&r), SWG_OPEN);
    for (int i = 0; i < 3; i++)
        rig_record(&r, &p[i], SWG_CANCELLED);
    assert_int_equal(rig_read(&r).late, 3);
    rig_free(&r);
}

static void test_overdue_counts_once(void **state) {
    (void)state;
    struct rig r;
    struct swg_permit p[4];
    rig_make(&r, &(struct swg_breaker_options){
                     .failures = 10, .slow_percent = 100, .slow_call_ns = SWG_MS(200)});
    for (int i = 0; i < 4; i++)
        rig_admit(&r, &p[i]);
    r.now_ns += SWG_MS(200);
    for (int i = 0; i < 4; i++)
        mark(&r, &p[i]);
    struct swg_breaker_stats s = rig_read(&r);
    assert_int_equal(s.window_calls, 4);
    assert_int_equal(s.window_slow, 4);
    assert_int_equal(s.window_failures, 0);
    r.now_ns += SWG_SECONDS(1);
    rig_record(&r, &p[0], SWG_SUCCESS);
    rig_record(&r, &p[1], SWG_CANCELLED);
    rig_record(&r, &p[2], SWG_IGNORED);
    rig_record(&r, &p[3], SWG_FAILURE);
    s = rig_read(&r);
    assert_int_equal(s.window_calls, 4); /* nothing more but the failure */
    assert_int_equal(s.window_slow, 4);
    assert_int_equal(s.window_failures, 1);
    assert_int_equal(s.slow, 4);
    assert_int_equal(s.successes, 1);
    rig_free(&r);
}

static void test_overdue_without_slow_rule_is_the_failure(void **state) {
    (void)state;
    struct rig r;
    struct swg_permit p;
    rig_make(&r, &(struct swg_breaker_options){.failures = 10, .slow_call_ns = SWG_MS(200)});
    rig_admit(&r, &p);
    r.now_ns += SWG_MS(200);
    mark(&r, &p);
    assert_int_equal(rig_read(&r).window_failures, 1);
    rig_record(&r, &p, SWG_FAILURE);
    assert_int_equal(rig_read(&r).window_failures, 1);
    assert_int_equal(rig_read(&r).window_calls, 1);
    assert_int_equal(rig_read(&r).failures, 1);
    rig_free(&r);
}

/* Nobody said what slow is: a call that takes its time is no failure. */
static void test_overdue_needs_a_slow_call(void **state) {
    (void)state;
    struct rig r;
    struct swg_permit p;
    rig_make(&r, &(struct swg_breaker_options){.failures = 1});
    assert_int_equal(swg_breaker_slow_call_ns(r.b), SWG_OFF);
    rig_admit(&r, &p);
    r.now_ns += SWG_SECONDS(30);
    mark(&r, &p);
    assert_int_equal(rig_state(&r), SWG_CLOSED);
    rig_record(&r, &p, SWG_SUCCESS);
    assert_int_equal(rig_read(&r).window_failures, 0);
    rig_free(&r);
}

/* ---- notes ---- */

static void test_note_failure(void **state) {
    (void)state;
    struct rig r;
    rig_make(&r, &(struct swg_breaker_options){.failures = 2});
    rig_feed(&r, "SS");
    uint64_t generation = rig_read(&r).generation;
    swg_breaker_note_failure(r.b, generation + 1, r.now_ns);
    assert_int_equal(rig_read(&r).window_failures, 0);
    swg_breaker_note_failure(r.b, generation, r.now_ns);
    struct swg_breaker_stats s = rig_read(&r);
    assert_int_equal(s.window_failures, 1);
    assert_int_equal(s.window_calls, 2);
    assert_int_equal(s.failures, 1);
    assert_int_equal(s.calls, 2);
    swg_breaker_note_failure(r.b, generation, r.now_ns);
    assert_int_equal(rig_state(&r), SWG_OPEN);
    swg_breaker_note_failure(r.b, generation, r.now_ns); /* of the past by now */
    assert_int_equal(rig_read(&r).failures, 2);
    rig_free(&r);
}

/* ---- options ---- */

static void test_options_out_of_range(void **state) {
    (void)state;
    static const struct swg_breaker_options bad[] = {
        {.consecutive = 1000001},
        {.failures = 10001},
        {.failure_percent = 101},
        {.slow_percent = 101},
        {.window_calls = 10001},
        {.window_ns = SWG_MS(10) - 1},
        {.window_ns = SWG_HOURS(24) + 1},
        {.failures = 11, .window_calls = 10},
        {.slow_percent = 1, .slow_call_ns = SWG_OFF},
        {.open_ns = SWG_SECONDS(10), .open_max_ns = SWG_SECONDS(9)},
        {.open_ns = SWG_OFF},
        {.jitter_percent = 102},
        {.probes = 65},
        {.close_after = 1000001},
        {.probe_lease_ns = SWG_OFF},
        {.ramp_ns = SWG_HOURS(25)},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct swg_breaker *b = (struct swg_breaker *)1;
        assert_int_equal(swg_breaker_create(&b, &bad[i], 0, 0), SWG_ERR_RANGE);
        assert_null(b);
    }
}

/* The default minimum of 20 calls would never be reached in a window of 5. */
static void test_minimum_fits_into_the_window(void **state) {
    (void)state;
    struct rig r;
    rig_make(&r, &(struct swg_breaker_options){.failure_percent = 60, .window_calls = 5});
    rig_feed(&r, "SSFF");
    assert_int_equal(rig_state(&r), SWG_CLOSED);
    rig_feed(&r, "F");
    assert_int_equal(rig_state(&r), SWG_OPEN);
    rig_free(&r);
}

static void test_words(void **state) {
    (void)state;
    assert_string_equal(swg_breaker_state_word(SWG_HALF_OPEN), "half_open");
    assert_string_equal(swg_breaker_word(SWG_OPEN, SWG_AUTOMATIC), "open");
    assert_string_equal(swg_breaker_word(SWG_OPEN, SWG_FORCED_OPEN), "forced_open");
    assert_string_equal(swg_breaker_word(SWG_CLOSED, SWG_FORCED_CLOSED), "forced_closed");
    assert_string_equal(swg_breaker_word(SWG_CLOSED, SWG_DISABLED), "disabled");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scenarios),
        cmocka_unit_test(test_rate_is_exact),
        cmocka_unit_test(test_event_tells_the_window),
        cmocka_unit_test(test_time_window_expires),
        cmocka_unit_test(test_success_trips_when_successes_expire),
        cmocka_unit_test(test_time_that_steps_back_is_harmless),
        cmocka_unit_test(test_late_result_decides_nothing),
        cmocka_unit_test(test_totals_by_kind),
        cmocka_unit_test(test_overdue_trips_while_under_way),
        cmocka_unit_test(test_overdue_counts_once),
        cmocka_unit_test(test_overdue_without_slow_rule_is_the_failure),
        cmocka_unit_test(test_overdue_needs_a_slow_call),
        cmocka_unit_test(test_note_failure),
        cmocka_unit_test(test_options_out_of_range),
        cmocka_unit_test(test_minimum_fits_into_the_window),
        cmocka_unit_test(test_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
