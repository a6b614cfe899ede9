/* peers_test.c - what the tests and the bug reports of other libraries say about
 * breakers, held against this one.
 *
 * The first part plays scenarios of their own tests with their settings; where
 * ours decides otherwise on purpose, the case says so. The second takes the
 * bugs that hurt their users; where one is proven elsewhere, this is where:
 *
 *   permit lost or doubled, exactly once    manual_test.c, call_property_test.c, threads_test.c
 *   slot lost when a wait times out         bulkhead_test.c who_gives_up_…, threads_lose_no_slot…
 *   limits overshot by check-then-add       bulkhead_test.c threads_in_a_rush_…, rate_limit_test.c
 *   budgets that miscount                   budget_test.c the_promise_holds_for_every_ten_seconds
 *   state lost when reconfigured            renew_test.c, manual_test.c test_configure_…
 *   memory by names that attackers choose   registry_test.c */
#include "rig.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include <switchgear/retry.h>

#define NO_JITTER .jitter_percent = 101

static void open_it(struct rig *r) {
    while (rig_state(r) == SWG_CLOSED)
        rig_feed(r, "F");
}

/* ---- resilience4j: rate 50, minimum 5, 20 s, open 5 s, 4 probes, slow over 4 s --------- */

static const struct swg_breaker_options r4 = {.failure_percent = 50,
                                              .calls_min = 5,
                                              .window_ns = SWG_SECONDS(20),
                                              .open_ns = SWG_SECONDS(5),
                                              .open_max_ns = SWG_SECONDS(5),
                                              .probes = 4,
                                              .close_after = 3,
                                              .probe_lease_ns = SWG_SECONDS(1),
                                              NO_JITTER};

static void r4_a_success_completes_the_minimum(void **state) {
    struct rig r;
    rig_make(&r, &r4);
    rig_feed(&r, "FFFS");
    assert_int_equal(rig_state(&r), SWG_CLOSED);
    rig_feed(&r, "S");
    assert_int_equal(rig_state(&r), SWG_OPEN);
    assert_int_equal(rig_ask(&r), SWG_REFUSED_OPEN);
    assert_int_equal(rig_read(&r).refused[SWG_REFUSED_OPEN], 1);
    rig_free(&r);
}

static void r4_four_probes_and_one_more_when_one_is_given_back(void **state) {
    struct rig r;
    struct swg_permit p[5];
    rig_make(&r, &r4);
    open_it(&r);
    r.now_ns += SWG_SECONDS(5);
    for (int i = 0; i < 4; i++)
        assert_int_equal(rig_admit(&r, &p[i]), SWG_ADMITTED);
    assert_int_equal(rig_admit(&r, &p[4]), SWG_REFUSED_HALF_OPEN_FULL);
    rig_record(&r, &p[0], SWG_IGNORED);
    assert_int_equal(rig_admit(&r, &p[4]), SWG_ADMITTED);
    assert_int_equal(rig_ask(&r), SWG_REFUSED_HALF_OPEN_FULL);
    for (int i = 1; i < 5; i++)
        rig_record(&r, &p[i], SWG_IGNORED);
    rig_free(&r);
}

static void r4_open_until_its_time_is_over_and_then_a_clean_start(void **state) {
    struct rig r;
    struct swg_permit p;
    rig_make(&r, &r4);
    open_it(&r);
    assert_int_equal(rig_ask(&r), SWG_REFUSED_OPEN);
    r.now_ns += SWG_SECONDS(3);
    assert_int_equal(rig_ask(&r), SWG_REFUSED_OPEN);
    r.now_ns += SWG_SECONDS(2); /* theirs wants a moment more; ours opens the door on time */
    assert_int_equal(rig_admit(&r, &p), SWG_ADMITTED);
    assert_int_equal(rig_state(&r), SWG_HALF_OPEN);
    rig_record(&r, &p, SWG_SUCCESS);
    rig_feed(&r, "SS");
    assert_int_equal(rig_state(&r), SWG_CLOSED);
    assert_int_equal(rig_read(&r).window_calls, 0);
    rig_free(&r);
}

/* Theirs waits for all four results and takes their rate; any failure decides ours, as
 * a service that fails one probe of four is not well. */
static void r4_a_failed_probe_opens_it_again(void **state) {
    struct rig r;
    rig_make(&r, &r4);
    open_it(&r);
    r.now_ns += SWG_SECONDS(5);
    rig_feed(&r, "SF");
    assert_int_equal(rig_state(&r), SWG_OPEN);
    rig_free(&r);
}

static void r4_slow_calls_open_it_without_a_failure(void **state) {
    struct swg_breaker_options o = {.slow_percent = 50,
                                    .slow_call_ns = RIG_SLOW_NS,
                                    .calls_min = 5,
                                    .window_calls = 5,
                                    NO_JITTER};
    struct rig r;
    rig_make(&r, &o);
    rig_feed(&r, "sssSS");
    assert_int_equal(rig_state(&r), SWG_OPEN);
    assert_int_equal(rig_read(&r).failures, 0);
    rig_free(&r);
}

static void r4_forced_open_stays_and_disabled_counts_nothing(void **state) {
    struct rig r;
    rig_make(&r, &r4);
    swg_breaker_force(r.b, SWG_FORCED_OPEN, SWG_NEVER, r.now_ns);
    r.now_ns += SWG_SECONDS(6);
    assert_int_equal(rig_ask(&r), SWG_REFUSED_FORCED_OPEN);
    swg_breaker_force(r.b, SWG_DISABLED, SWG_NEVER, r.now_ns);
    rig_feed(&r, "FFFFFFFFFF");
    assert_int_equal(rig_read(&r).calls, 0);
    swg_breaker_reset(r.b, r.now_ns);
    rig_free(&r);
}

/* ---- Polly: ratio 0.5, minimum 10, 10 s, break 1 s, one probe --------------------------- */

static const struct swg_breaker_options polly = {.failure_percent = 50,
                                                 .calls_min = 10,
                                                 .window_ns = SWG_SECONDS(10),
                                                 .open_ns = SWG_SECONDS(1),
                                                 .open_max_ns = SWG_SECONDS(1),
                                                 .probes = 1,
                                                 .close_after = 1,
                                                 NO_JITTER};

static void polly_opens_half_opens_reopens_closes(void **state) {
    struct rig r;
    uint64_t retry_in_ns;
    rig_make(&r, &polly);
    rig_feed(&r, "FFFFFFFFFF");
    assert_int_equal(swg_breaker_peek(r.b, r.now_ns, &retry_in_ns), SWG_REFUSED_OPEN);
    assert_int_equal(retry_in_ns, SWG_SECONDS(1));
    r.now_ns += SWG_MS(500);
    swg_breaker_peek(r.b, r.now_ns, &retry_in_ns);
    assert_int_equal(retry_in_ns, SWG_MS(500));
    r.now_ns += SWG_MS(500);
    rig_feed(&r, "F");
    swg_breaker_peek(r.b, r.now_ns, &retry_in_ns);
    assert_int_equal(retry_in_ns, SWG_SECONDS(1));
    r.now_ns += SWG_SECONDS(1);
    rig_feed(&r, "S");
    assert_int_equal(rig_state(&r), SWG_CLOSED);
    uint32_t opened = 0, half_opened = 0, closed = 0;
    for (uint32_t i = 0; i < r.events; i++) {
        opened += r.event[i].to == SWG_OPEN;
        half_opened += r.event[i].to == SWG_HALF_OPEN;
        closed += r.event[i].to == SWG_CLOSED;
    }
    assert_true(opened == 2 && half_opened == 2 && closed == 1);
    rig_free(&r);
}

static void polly_one_below_the_minimum_never_breaks(void **state) {
    struct rig r;
    rig_make(&r, &polly);
    rig_feed(&r, "FFFFFFFFF");
    assert_int_equal(rig_state(&r), SWG_CLOSED);
    rig_feed(&r, "S"); /* nine of ten are above; theirs judges failures only */
    assert_int_equal(rig_state(&r), SWG_OPEN);
    rig_free(&r);
}

/* ---- gobreaker: six in a row, 60 s ------------------------------------------------------- */

static void gobreaker_six_in_a_row(void **state) {
    struct swg_breaker_options o = {.consecutive = 6, .open_ns = SWG_SECONDS(60), NO_JITTER};
    struct rig r;
    rig_make(&r, &o);
    rig_feed(&r, "FFFFFSFFFFF");
    assert_int_equal(rig_state(&r), SWG_CLOSED);
    rig_feed(&r, "F");
    assert_int_equal(rig_state(&r), SWG_OPEN);
    r.now_ns += SWG_SECONDS(60) - SWG_MS(1);
    assert_int_equal(rig_ask(&r), SWG_REFUSED_OPEN);
    r.now_ns += SWG_MS(2);
    rig_feed(&r, "F");
    assert_int_equal(rig_state(&r), SWG_OPEN);
    rig_free(&r);
}

/* ---- cockatiel: ten calls, 30% ------------------------------------------------------------ */

static void cockatiel_the_fourth_failure_of_ten(void **state) {
    struct swg_breaker_options o = {
        .failure_percent = 31, .calls_min = 10, .window_calls = 10, NO_JITTER};
    struct rig r;
    rig_make(&r, &o);
    rig_feed(&r, "FFFSSSSSSS");
    assert_int_equal(rig_state(&r), SWG_CLOSED); /* "above 30%" is 31 here: ours trip at it */
    rig_feed(&r, "F");
    assert_int_equal(rig_state(&r), SWG_CLOSED); /* one of the three has left */
    rig_feed(&r, "FF");
    assert_int_equal(rig_state(&r), SWG_CLOSED);
    rig_feed(&r, "F");
    assert_int_equal(rig_state(&r), SWG_OPEN);
    rig_free(&r);
}

/* ---- wedged half-open: the bug that everybody had ------------------------------------------ */

static const struct swg_breaker_options short_lease = {.consecutive = 1,
                                                       .open_ns = SWG_SECONDS(1),
                                                       .open_max_ns = SWG_SECONDS(1),
                                                       .probes = 1,
                                                       .close_after = 1,
                                                       .probe_lease_ns = SWG_SECONDS(3),
                                                       NO_JITTER};

static void half_open(struct rig *r, struct swg_permit *probe) {
    rig_make(r, &short_lease);
    open_it(r);
    r->now_ns += SWG_SECONDS(1);
    assert_int_equal(rig_admit(r, probe), SWG_ADMITTED);
}

static void a_probe_that_never_comes_back_does_not_wedge(void **state) {
    struct rig r;
    struct swg_permit hung;
    half_open(&r, &hung);
    assert_int_equal(rig_ask(&r), SWG_REFUSED_HALF_OPEN_FULL);
    r.now_ns += SWG_SECONDS(3);
    assert_int_equal(rig_ask(&r), SWG_REFUSED_OPEN); /* it counts as failed */
    r.now_ns += SWG_SECONDS(1);
    rig_feed(&r, "S");
    assert_int_equal(rig_state(&r), SWG_CLOSED);
    /* and when it comes back after all, it decides nothing */
    rig_record(&r, &hung, SWG_FAILURE);
    assert_int_equal(rig_state(&r), SWG_CLOSED);
    assert_int_equal(rig_read(&r).late, 1);
    rig_free(&r);
}

static void neither_does_one_that_is_cancelled_or_ignored(void **state) {
    static const enum swg_outcome_kind kinds[] = {SWG_CANCELLED, SWG_IGNORED, SWG_OVERLOAD};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        struct rig r;
        struct swg_permit probe;
        half_open(&r, &probe);
        rig_record(&r, &probe, kinds[i]);
        /* theirs closed on it, or kept the slot for ever */
        assert_int_equal(rig_state(&r), SWG_HALF_OPEN);
        rig_feed(&r, "S");
        assert_int_equal(rig_state(&r), SWG_CLOSED);
        rig_free(&r);
    }
}

static void without_traffic_it_waits_and_is_not_stuck(void **state) {
    struct rig r;
    rig_make(&r, &short_lease);
    open_it(&r);
    for (int day = 0; day < 30; day++) {
        r.now_ns += SWG_HOURS(24);
        swg_breaker_tick(r.b, r.now_ns);
    }
    assert_true(rig_read(&r).probe_due);
    rig_feed(&r, "S");
    assert_int_equal(rig_state(&r), SWG_CLOSED);
    rig_free(&r);
}

/* ---- late results ---------------------------------------------------------------------------- */

static void results_of_before_decide_nothing_now(void **state) {
    struct rig r;
    struct swg_permit early[3], probe;
    rig_make(&r, &short_lease);
    for (int i = 0; i < 3; i++)
        assert_int_equal(rig_admit(&r, &early[i]), SWG_ADMITTED);
    open_it(&r);
    rig_record(&r, &early[0], SWG_SUCCESS); /* does not close what is open */
    assert_int_equal(rig_state(&r), SWG_OPEN);
    r.now_ns += SWG_SECONDS(1);
    assert_int_equal(rig_admit(&r, &probe), SWG_ADMITTED);
    rig_record(&r, &early[1], SWG_SUCCESS); /* nor half-open, */
    assert_int_equal(rig_state(&r), SWG_HALF_OPEN);
    assert_int_equal(rig_ask(&r), SWG_REFUSED_HALF_OPEN_FULL); /* nor frees it a slot */
    rig_record(&r, &early[2], SWG_FAILURE);
    assert_int_equal(rig_state(&r), SWG_HALF_OPEN);
    rig_record(&r, &probe, SWG_SUCCESS);
    assert_int_equal(rig_state(&r), SWG_CLOSED);
    assert_int_equal(rig_read(&r).late, 3);
    rig_free(&r);
}

/* ---- time --------------------------------------------------------------------------------------
 */

/* A step back of two seconds kept a window of ten from ever filling again. */
static void a_clock_that_steps_back_does_not_blind_it(void **state) {
    struct swg_breaker_options o = {
        .failure_percent = 50, .calls_min = 100, .window_ns = SWG_SECONDS(10), NO_JITTER};
    struct rig r;
    rig_make(&r, &o);
    rig_feed(&r, "S");
    r.now_ns -= SWG_SECONDS(2);
    for (int i = 0; i < 150 && rig_state(&r) == SWG_CLOSED; i++) {
        rig_feed(&r, "F");
        r.now_ns += SWG_MS(20); /* fifty a second */
    }
    assert_int_equal(rig_state(&r), SWG_OPEN);
    rig_free(&r);
}

static void a_suspended_machine_is_a_gap_and_nothing_more(void **state) {
    struct rig r;
    struct swg_permit p;
    rig_make(&r, &r4);
    rig_feed(&r, "FFFF");
    r.now_ns += SWG_HOURS(24 * 365);
    rig_feed(&r, "F"); /* alone in its window: four of last year do not count */
    assert_int_equal(rig_state(&r), SWG_CLOSED);
    assert_int_equal(rig_admit(&r, &p), SWG_ADMITTED);
    r.now_ns += SWG_HOURS(24);
    rig_record(&r, &p, SWG_SUCCESS);
    assert_int_equal(rig_state(&r), SWG_CLOSED);
    rig_free(&r);
}

static void times_at_the_end_of_the_scale_do_not_wrap(void **state) {
    struct rig r;
    struct swg_permit p;
    rig_make(&r, &short_lease);
    r.now_ns = UINT64_MAX - 10;
    assert_int_equal(rig_admit(&r, &p), SWG_ADMITTED);
    swg_breaker_record(r.b, &p, SWG_FAILURE, UINT64_MAX, r.now_ns);
    assert_int_equal(rig_state(&r), SWG_OPEN);
    r.now_ns = UINT64_MAX - 1;
    assert_int_equal(rig_ask(&r), SWG_REFUSED_OPEN);
    rig_free(&r);
}

/* ---- arithmetic
 * ----------------------------------------------------------------------------------- */

static void rates_are_not_rounded(void **state) {
    struct swg_breaker_options o = {
        .failure_percent = 50, .calls_min = 200, .window_calls = 200, NO_JITTER};
    struct rig r;
    rig_make(&r, &o);
    for (int i = 0; i < 101; i++)
        rig_feed(&r, "S");
    for (int i = 0; i < 99; i++)
        rig_feed(&r, "F");
    assert_int_equal(rig_state(&r), SWG_CLOSED); /* 99 of 200 is 0.495, and not 0.5 */
    rig_feed(&r, "F");
    assert_int_equal(rig_state(&r), SWG_OPEN); /* 100 of the last 200 */
    rig_free(&r);
}

static void our_own_refusals_are_not_failures(void **state) {
    struct rig r;
    rig_make(&r, &r4);
    open_it(&r);
    struct swg_breaker_stats before = rig_read(&r);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(rig_ask(&r), SWG_REFUSED_OPEN);
    struct swg_breaker_stats after = rig_read(&r);
    assert_int_equal(after.calls, before.calls);
    assert_int_equal(after.failures, before.failures);
    rig_free(&r);
}

/* "Come back in 484,289 hours", said a registry, and clients did as told. */
static void a_wish_of_the_service_is_capped(void **state) {
    struct rig r;
    struct swg_permit p;
    uint64_t retry_in_ns;
    rig_make(&r, &short_lease);
    assert_int_equal(rig_admit(&r, &p), SWG_ADMITTED);
    swg_breaker_record(r.b, &p, SWG_FAILURE, SWG_HOURS(484289), r.now_ns);
    swg_breaker_peek(r.b, r.now_ns, &retry_in_ns);
    assert_true(retry_in_ns <= SWG_SECONDS(1));
    rig_free(&r);
    struct swg_retry_options o = {0};
    for (uint64_t random = 0; random < 5; random++)
        assert_true(swg_retry_wait_ns(&o, 63, UINT64_MAX, 0, random << 61) <= SWG_SECONDS(10));
}

/* ---- threads
 * ----------------------------------------------------------------------------------------- */

enum { THREADS = 4, ROUNDS = 4000, GENERATIONS = 2 * THREADS * ROUNDS };

static struct {
    struct swg_breaker *b;
    _Atomic uint64_t now_ns;
    _Atomic int32_t inside[GENERATIONS], most;
    _Atomic uint64_t probes;
} rush;

/* Goes round the states all the time; never may more than two probes of one half-open
 * time be inside. (One of an earlier time may still be: a thread that was not run
 * meanwhile. Its slot went with that time.) */
static void *probe_often(void *arg) {
    uint64_t random = (uint64_t)(uintptr_t)arg;
    for (int i = 0; i < ROUNDS; i++) {
        struct swg_permit p;
        uint64_t now_ns = atomic_fetch_add(&rush.now_ns, SWG_MS(1));
        if (swg_breaker_admit(rush.b, &p, 0, now_ns) != SWG_ADMITTED)
            continue;
        _Atomic int32_t *mine = &rush.inside[p.generation % GENERATIONS];
        if (p.probe) {
            int32_t inside = atomic_fetch_add(mine, 1) + 1;
            int32_t most = atomic_load(&rush.most);
            while (inside > most && !atomic_compare_exchange_weak(&rush.most, &most, inside))
                ;
            atomic_fetch_add(&rush.probes, 1);
        }
        random = random * 6364136223846793005u + 1;
        bool good = random >> 62;
        if (p.probe)
            atomic_fetch_sub(mine, 1);
        swg_breaker_record(rush.b, &p, good ? SWG_SUCCESS : SWG_FAILURE, 0, now_ns);
    }
    return NULL;
}

static void threads_never_get_more_probes_than_allowed(void **state) {
    struct swg_breaker_options o = {.consecutive = 1,
                                    .open_ns = SWG_MS(1),
                                    .open_max_ns = SWG_MS(1),
                                    .probes = 2,
                                    .close_after = 2,
                                    NO_JITTER};
    pthread_t threads[THREADS];
    assert_int_equal(swg_breaker_create(&rush.b, &o, 1, SWG_SECONDS(1)), SWG_OK);
    atomic_store(&rush.now_ns, SWG_SECONDS(1));
    for (uintptr_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, probe_often, (void *)(i + 1)), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    swg_breaker_check(rush.b);
    assert_true(atomic_load(&rush.most) <= 2);
    assert_true(atomic_load(&rush.probes) > 100);
    swg_breaker_destroy(rush.b);
}

/* The lock is not held while the call is made: another one can be made meanwhile. */
static void calls_do_not_wait_for_each_other(void **state) {
    struct rig r;
    struct swg_permit a, b;
    rig_make(&r, &r4);
    assert_int_equal(rig_admit(&r, &a), SWG_ADMITTED);
    assert_int_equal(rig_admit(&r, &b), SWG_ADMITTED);
    rig_record(&r, &b, SWG_SUCCESS);
    rig_record(&r, &a, SWG_SUCCESS);
    rig_free(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(r4_a_success_completes_the_minimum),
        cmocka_unit_test(r4_four_probes_and_one_more_when_one_is_given_back),
        cmocka_unit_test(r4_open_until_its_time_is_over_and_then_a_clean_start),
        cmocka_unit_test(r4_a_failed_probe_opens_it_again),
        cmocka_unit_test(r4_slow_calls_open_it_without_a_failure),
        cmocka_unit_test(r4_forced_open_stays_and_disabled_counts_nothing),
        cmocka_unit_test(polly_opens_half_opens_reopens_closes),
        cmocka_unit_test(polly_one_below_the_minimum_never_breaks),
        cmocka_unit_test(gobreaker_six_in_a_row),
        cmocka_unit_test(cockatiel_the_fourth_failure_of_ten),
        cmocka_unit_test(a_probe_that_never_comes_back_does_not_wedge),
        cmocka_unit_test(neither_does_one_that_is_cancelled_or_ignored),
        cmocka_unit_test(without_traffic_it_waits_and_is_not_stuck),
        cmocka_unit_test(results_of_before_decide_nothing_now),
        cmocka_unit_test(a_clock_that_steps_back_does_not_blind_it),
        cmocka_unit_test(a_suspended_machine_is_a_gap_and_nothing_more),
        cmocka_unit_test(times_at_the_end_of_the_scale_do_not_wrap),
        cmocka_unit_test(rates_are_not_rounded),
        cmocka_unit_test(our_own_refusals_are_not_failures),
        cmocka_unit_test(a_wish_of_the_service_is_capped),
        cmocka_unit_test(threads_never_get_more_probes_than_allowed),
        cmocka_unit_test(calls_do_not_wait_for_each_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
