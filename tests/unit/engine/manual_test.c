/* manual_test.c - operators: force, disable, reset; new options; events. */
#include "rig.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define NO_JITTER .jitter_percent = 101

static const struct swg_breaker_options touchy = {.failures = 2, NO_JITTER};

static void force(struct rig *r, enum swg_breaker_manual manual, uint64_t for_ns) {
    swg_breaker_force(r->b, manual, for_ns, r->now_ns);
    swg_breaker_check(r->b);
}

static void expect(const struct rig *r, enum swg_breaker_state state,
                   enum swg_breaker_manual manual) {
    assert_int_equal(rig_read(r).state, state);
    assert_int_equal(rig_read(r).manual, manual);
}

static void test_forced_open(void **state) {
    (void)state;
    struct rig r;
    uint64_t wait_ns;
    rig_make(&r, &touchy);
    force(&r, SWG_FORCED_OPEN, SWG_NEVER);
    expect(&r, SWG_OPEN, SWG_FORCED_OPEN);
    r.now_ns += SWG_HOURS(100);
    assert_int_equal(rig_ask(&r), SWG_REFUSED_FORCED_OPEN);
    assert_int_equal(swg_breaker_peek(r.b, r.now_ns, &wait_ns), SWG_REFUSED_FORCED_OPEN);
    assert_int_equal(wait_ns, SWG_NEVER);
    assert_int_equal(rig_read(&r).refused[SWG_REFUSED_FORCED_OPEN], 1);
    swg_breaker_probe_now(r.b, r.now_ns); /* not an operator's open time */
    assert_int_equal(rig_ask(&r), SWG_REFUSED_FORCED_OPEN);
    force(&r, SWG_AUTOMATIC, SWG_NEVER);
    expect(&r, SWG_HALF_OPEN, SWG_AUTOMATIC);
    rig_feed(&r, "SS");
    expect(&r, SWG_CLOSED, SWG_AUTOMATIC);
    rig_free(&r);
}

static void test_forced_open_expires_into_half_open(void **state) {
    (void)state;
    struct rig r;
    uint64_t wait_ns;
    rig_make(&r, &touchy);
    uint64_t end_ns = r.now_ns + SWG_MINUTES(5);
    force(&r, SWG_FORCED_OPEN, SWG_MINUTES(5));
    assert_int_equal(swg_breaker_peek(r.b, r.now_ns, &wait_ns), SWG_REFUSED_FORCED_OPEN);
    assert_int_equal(wait_ns, SWG_MINUTES(5));
    r.now_ns = end_ns - 1;
    assert_int_equal(rig_ask(&r), SWG_REFUSED_FORCED_OPEN);
    r.now_ns = end_ns + SWG_SECONDS(1);
    expect(&r, SWG_HALF_OPEN, SWG_AUTOMATIC); /* read so before anybody noticed */
    assert_int_equal(r.events, 1);
    swg_breaker_tick(r.b, r.now_ns);
    assert_int_equal(r.events, 2);
    assert_string_equal(r.event[1].cause, "expired");
    assert_int_equal(r.event[1].now_ns, end_ns);
    assert_int_equal(r.event[1].manual_from, SWG_FORCED_OPEN);
    expect(&r, SWG_HALF_OPEN, SWG_AUTOMATIC);
    rig_feed(&r, "F");
    expect(&r, SWG_OPEN, SWG_AUTOMATIC);
    rig_free(&r);
}

static void test_forced_closed_counts_and_never_trips(void **state) {
    (void)state;
    struct rig r;
    rig_make(&r, &touchy);
    rig_feed(&r, "FF");
    force(&r, SWG_FORCED_CLOSED, SWG_MINUTES(1));
    expect(&r, SWG_CLOSED, SWG_FORCED_CLOSED);
    rig_feed(&r, "FFFFSFFFF");
    expect(&r, SWG_CLOSED, SWG_FORCED_CLOSED);
    assert_int_equal(rig_read(&r).window_calls, 9);
    assert_int_equal(rig_read(&r).window_failures, 8);
    r.now_ns += SWG_MINUTES(1);
    rig_feed(&r, "F"); /* expired: an empty window, and it judges again */
    expect(&r, SWG_CLOSED, SWG_AUTOMATIC);
    assert_int_equal(rig_read(&r).window_failures, 1);
    rig_feed(&r, "F");
    expect(&r, SWG_OPEN, SWG_AUTOMATIC);
    rig_free(&r);
}

/* The one who records is the first to see that the time is over. */
static void test_expiry_makes_results_late(void **state) {
    (void)state;
    struct rig r;
    struct swg_permit p[2];
    rig_make(&r, &touchy);
    force(&r, SWG_FORCED_CLOSED, SWG_MINUTES(1));
    rig_admit(&r, &p[0]);
    rig_admit(&r, &p[1]);
    r.now_ns += SWG_MINUTES(1);
    rig_record(&r, &p[0], SWG_SUCCESS);
    rig_record(&r, &p[1], SWG_FAILURE);
    assert_int_equal(rig_read(&r).late, 2);
    assert_int_equal(rig_read(&r).window_calls, 0);
    rig_free(&r);
}

static void test_disabled_counts_nothing(void **state) {
    (void)state;
    struct rig r;
    struct swg_permit p;
    rig_make(&r, &touchy);
    force(&r, SWG_DISABLED, SWG_NEVER);
    rig_feed(&r, "FFFFFSOc");
    rig_admit(&r, &p);
    force(&r, SWG_AUTOMATIC, SWG_NEVER);
    rig_record(&r, &p, SWG_FAILURE); /* admitted while disabled: leaves no trace */
    struct swg_breaker_stats s = rig_read(&r);
    assert_int_equal(s.calls, 0);
    assert_int_equal(s.failures, 0);
    assert_int_equal(s.late, 0);
    assert_int_equal(s.window_calls, 0);
    rig_feed(&r, "FF");
    expect(&r, SWG_OPEN, SWG_AUTOMATIC);
    rig_free(&r);
}

static void test_reset(void **state) {
    (void)state;
    struct rig r;
    rig_make(&r, &(struct swg_breaker_options){.consecutive = 2, NO_JITTER});
    rig_feed(&r, "FF");
    r.now_ns += SWG_SECONDS(5);
    rig_feed(&r, "F");
    assert_int_equal(rig_read(&r).reopenings, 1);
    force(&r, SWG_FORCED_OPEN, SWG_NEVER);
    swg_breaker_reset(r.b, r.now_ns);
    expect(&r, SWG_CLOSED, SWG_AUTOMATIC);
    assert_int_equal(rig_read(&r).window_failures, 0);
    assert_int_equal(rig_read(&r).consecutive, 0);
    assert_int_equal(rig_read(&r).failures, 3); /* totals stay */
    assert_string_equal(r.event[r.events - 1].cause, "reset");
    rig_feed(&r, "FF"); /* and the open time begins anew */
    assert_int_equal(rig_read(&r).open_until_ns, r.now_ns + SWG_SECONDS(5));
    rig_free(&r);
}

static void test_force_automatic_when_automatic(void **state) {
    (void)state;
    struct rig r;
    rig_make(&r, &touchy);
    rig_feed(&r, "F");
    force(&r, SWG_AUTOMATIC, SWG_NEVER);
    assert_int_equal(r.events, 0);
    assert_int_equal(rig_read(&r).window_failures, 1);
    rig_free(&r);
}

static void test_events_have_no_gaps(void **state) {
    (void)state;
    struct rig r;
    rig_make(&r, &touchy); /* the rig asserts the sequence */
    rig_feed(&r, "FF");
    r.now_ns += SWG_SECONDS(5);
    rig_feed(&r, "SSFF");
    force(&r, SWG_DISABLED, SWG_SECONDS(1));
    r.now_ns += SWG_SECONDS(1);
    rig_feed(&r, "S");
    swg_breaker_reset(r.b, r.now_ns);
    assert_int_equal(r.events, 7);
    assert_int_equal(rig_read(&r).events, 7);
    for (uint32_t i = 1; i < r.events; i++) {
        assert_int_equal(r.event[i].from, r.event[i - 1].to);
        assert_int_equal(r.event[i].manual_from, r.event[i - 1].manual_to);
    }
    rig_free(&r);
}

/* A listener may ask the breaker that calls it: no lock is held. */
static void ask_back(void *arg, const struct swg_breaker_event *e) {
    struct rig *r = arg;
    struct swg_permit p;
    r->events++;
    if (e->to == SWG_OPEN)
        assert_int_equal(rig_admit(r, &p), SWG_REFUSED_OPEN);
    if (e->to == SWG_OPEN)
        swg_breaker_reset(r->b, r->now_ns);
}

static void test_listener_runs_outside_the_lock(void **state) {
    (void)state;
    struct rig r;
    rig_make(&r, &touchy);
    swg_breaker_listen(r.b, ask_back, &r);
    rig_feed(&r, "FF");
    expect(&r, SWG_CLOSED, SWG_AUTOMATIC);
    assert_int_equal(r.events, 2);
    rig_free(&r);
}

/* ---- new options ---- */

static void configure(struct rig *r, struct swg_breaker_options o) {
    assert_int_equal(swg_breaker_configure(r->b, &o, r->now_ns), SWG_OK);
    swg_breaker_check(r->b);
}

static void test_configure_keeps_what_is(void **state) {
    (void)state;
    struct rig r;
    struct swg_permit p;
    rig_make(&r, &(struct swg_breaker_options){.failures = 5, NO_JITTER});
    rig_feed(&r, "SSFFF");
    rig_admit(&r, &p);
    configure(&r, (struct swg_breaker_options){.failures = 4, NO_JITTER});
    assert_int_equal(rig_read(&r).window_failures, 3);
    assert_int_equal(rig_read(&r).consecutive, 3);
    assert_int_equal(r.events, 0);
    rig_record(&r, &p, SWG_FAILURE); /* of this generation still */
    expect(&r, SWG_OPEN, SWG_AUTOMATIC);
    configure(&r, (struct swg_breaker_options){.failures = 4, .open_ns = SWG_SECONDS(1)});
    assert_int_equal(rig_ask(&r), SWG_REFUSED_OPEN); /* the time it has stands */
    rig_free(&r);
}

/* The first rule made the bit that says "look at successes" wrong. */
static void test_configure_judges_by_the_new_rules(void **state) {
    (void)state;
    struct rig r;
    rig_make(&r, &(struct swg_breaker_options){.failures = 5});
    rig_feed(&r, "FFS");
    configure(&r, (struct swg_breaker_options){.failure_percent = 40, .calls_min = 5});
    rig_feed(&r, "S");
    expect(&r, SWG_CLOSED, SWG_AUTOMATIC);
    rig_feed(&r, "S");
    expect(&r, SWG_OPEN, SWG_AUTOMATIC);
    rig_free(&r);
}

static void test_configure_half_open(void **state) {
    (void)state;
    struct rig r;
    struct swg_permit p[3];
    rig_make(&r, &(struct swg_breaker_options){
                     .consecutive = 1, .probes = 3, .close_after = 9, NO_JITTER});
    rig_feed(&r, "F");
    r.now_ns += SWG_SECONDS(5);
    for (int i = 0; i < 3; i++)
        assert_int_equal(rig_admit(&r, &p[i]), SWG_ADMITTED);
    configure(&r, (struct swg_breaker_options){.consecutive = 1, .probes = 1, .close_after = 3});
    rig_record(&r, &p[0], SWG_SUCCESS);
    rig_record(&r, &p[1], SWG_SUCCESS);
    assert_int_equal(rig_ask(&r), SWG_REFUSED_HALF_OPEN_FULL);
    configure(&r, (struct swg_breaker_options){.consecutive = 1, .probes = 1, .close_after = 1});
    expect(&r, SWG_HALF_OPEN, SWG_AUTOMATIC);
    rig_record(&r, &p[2], SWG_SUCCESS);
    expect(&r, SWG_CLOSED, SWG_AUTOMATIC);
    rig_free(&r);
}

static void test_configure_refused_changes_nothing(void **state) {
    (void)state;
    struct rig r;
    rig_make(&r, &touchy);
    rig_feed(&r, "F");
    assert_int_equal(
        swg_breaker_configure(r.b, &(struct swg_breaker_options){.probes = 1000}, r.now_ns),
        SWG_ERR_RANGE);
    assert_int_equal(rig_read(&r).window_failures, 1);
    rig_feed(&r, "F");
    expect(&r, SWG_OPEN, SWG_AUTOMATIC);
    rig_free(&r);
}

/* ---- a permit is answered once ---- */

static int run_in_child(void (*body)(void)) {
    int status;
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        signal(SIGABRT, SIG_DFL);
        if (!freopen("/dev/null", "w", stderr))
            _exit(3);
        body();
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void answer_twice(void) {
    struct swg_breaker *b;
    struct swg_permit p;
    swg_breaker_create(&b, NULL, 0, 0);
    swg_breaker_admit(b, &p, 0, 0);
    swg_breaker_record(b, &p, SWG_SUCCESS, 0, 0);
    swg_breaker_record(b, &p, SWG_SUCCESS, 0, 0);
}

static void answer_refused(void) {
    struct swg_breaker *b;
    struct swg_permit p;
    swg_breaker_create(&b, NULL, 0, 0);
    swg_breaker_force(b, SWG_FORCED_OPEN, SWG_NEVER, 0);
    swg_breaker_admit(b, &p, 0, 0);
    swg_breaker_record(b, &p, SWG_SUCCESS, 0, 0);
}

static void test_answering_twice_aborts(void **state) {
    (void)state;
#ifdef NDEBUG
    assert_int_equal(run_in_child(answer_twice), 0);
#else
    void (*const bodies[])(void) = {answer_twice, answer_refused};
    for (int i = 0; i < 2; i++) {
        int status = run_in_child(bodies[i]);
        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), SIGABRT);
    }
#endif
    (void)answer_refused;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forced_open),
        cmocka_unit_test(test_forced_open_expires_into_half_open),
        cmocka_unit_test(test_forced_closed_counts_and_never_trips),
        cmocka_unit_test(test_expiry_makes_results_late),
        cmocka_unit_test(test_disabled_counts_nothing),
        cmocka_unit_test(test_reset),
        cmocka_unit_test(test_force_automatic_when_automatic),
        cmocka_unit_test(test_events_have_no_gaps),
        cmocka_unit_test(test_listener_runs_outside_the_lock),
        cmocka_unit_test(test_configure_keeps_what_is),
        cmocka_unit_test(test_configure_judges_by_the_new_rules),
        cmocka_unit_test(test_configure_half_open),
        cmocka_unit_test(test_configure_refused_changes_nothing),
        cmocka_unit_test(test_answering_twice_aborts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
