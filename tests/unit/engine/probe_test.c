/* probe_test.c - open and half-open: probes, leases, how long it stays open,
 * and how traffic comes back. */
#include "rig.h"

#define NO_JITTER .jitter_percent = 101

/* Open since r.now_ns, for five seconds unless told otherwise. */
static void make_open(struct rig *r, struct swg_breaker_options o) {
    o.consecutive = 1;
    if (!o.jitter_percent)
        o.jitter_percent = 101;
    rig_make(r, &o);
    rig_feed(r, "F");
    assert_int_equal(rig_state(r), SWG_OPEN);
}

static uint64_t open_for(const struct rig *r) {
    struct swg_breaker_stats s = rig_read(r);
    return s.open_until_ns - s.opened_ns;
}

static uint64_t retry_in(const struct rig *r, enum swg_refusal expected) {
    uint64_t wait_ns = 12345;
    assert_int_equal(swg_breaker_peek(r->b, r->now_ns, &wait_ns), expected);
    return wait_ns;
}

/* ---- open ---- */

static void test_open_refuses_until_its_end(void **state) {
    (void)state;
    struct rig r;
    make_open(&r, (struct swg_breaker_options){.open_ns = SWG_SECONDS(5)});
    assert_int_equal(rig_ask(&r), SWG_REFUSED_OPEN);
    assert_int_equal(retry_in(&r, SWG_REFUSED_OPEN), SWG_SECONDS(5));
    r.now_ns += SWG_SECONDS(5) - 1;
    assert_int_equal(rig_ask(&r), SWG_REFUSED_OPEN);
    assert_int_equal(retry_in(&r, SWG_REFUSED_OPEN), 1);
    assert_false(rig_read(&r).probe_due);
    r.now_ns += 1;
    /* silence is not failure: without a call it stays open, and says it is due */
    swg_breaker_tick(r.b, r.now_ns);
    assert_int_equal(rig_state(&r), SWG_OPEN);
    assert_true(rig_read(&r).probe_due);
    assert_int_equal(retry_in(&r, SWG_ADMITTED), 0);
    assert_int_equal(r.events, 1);
    assert_int_equal(rig_ask(&r), SWG_ADMITTED);
    assert_int_equal(rig_state(&r), SWG_HALF_OPEN);
    assert_string_equal(r.event[1].cause, "probe_due");
    assert_int_equal(rig_read(&r).refused[SWG_REFUSED_OPEN], 2);
    assert_int_equal(rig_read(&r).failures, 1); /* our own refusals do not count */
    rig_free(&r);
}

static void test_probe_now(void **state) {
    (void)state;
    struct rig r;
    make_open(&r, (struct swg_breaker_options){.open_ns = SWG_HOURS(1)});
    r.now_ns += SWG_SECONDS(1);
    swg_breaker_probe_now(r.b, r.now_ns);
    assert_int_equal(rig_ask(&r), SWG_ADMITTED);
    rig_feed(&r, "SS");
    assert_int_equal(rig_state(&r), SWG_CLOSED);
    swg_breaker_probe_now(r.b, r.now_ns); /* nothing to do */
    assert_int_equal(rig_state(&r), SWG_CLOSED);
    rig_free(&r);
}

/* ---- half-open ---- */

static void test_probes_are_a_concurrency(void **state) {
    (void)state;
    struct rig r;
    struct swg_permit p[4];
    make_open(&r, (struct swg_breaker_options){.probes = 3, .close_after = 5});
    r.now_ns += SWG_SECONDS(5);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(rig_admit(&r, &p[i]), SWG_ADMITTED);
        assert_int_equal(p[i].probe, i + 1);
    }
    assert_int_equal(rig_admit(&r, &p[3]), SWG_REFUSED_HALF_OPEN_FULL);
    assert_int_equal(rig_read(&r).probes_out, 3);
    assert_in_range(retry_in(&r, SWG_REFUSED_HALF_OPEN_FULL), 1, SWG_SECONDS(1));
    rig_record(&r, &p[1], SWG_SUCCESS); /* its slot comes back */
    assert_int_equal(rig_admit(&r, &p[3]), SWG_ADMITTED);
    assert_int_equal(rig_ask(&r), SWG_REFUSED_HALF_OPEN_FULL);
    rig_record(&r, &p[3], SWG_SUCCESS);
    rig_record(&r, &p[0], SWG_SUCCESS);
    rig_record(&r, &p[2], SWG_SUCCESS);
    assert_int_equal(rig_state(&r), SWG_HALF_OPEN);
    rig_feed(&r, "S");
    assert_int_equal(rig_state(&r), SWG_CLOSED);
    assert_string_equal(r.event[2].cause, "probes_succeeded");
    assert_int_equal(r.event[2].calls, 5);
    assert_int_equal(rig_read(&r).window_calls, 0);
    assert_int_equal(rig_read(&r).refused[SWG_REFUSED_HALF_OPEN_FULL], 2);
    rig_free(&r);
}

struct verdict {
    const char *letters;
    enum swg_breaker_state after;
    bool slow_rule;
};

/* close_after is 3 */
static const struct verdict verdicts[] = {
    {"SSS", SWG_CLOSED, false},       {"SS", SWG_HALF_OPEN, false},
    {"SSF", SWG_OPEN, false},         {"F", SWG_OPEN, false},
    {"SOIS", SWG_HALF_OPEN, false}, /* neutral: gives the slot back, decides nothing */
    {"SOISCS", SWG_CLOSED, false},    {"OOOOOO", SWG_HALF_OPEN, false},
    {"CCCCCC", SWG_HALF_OPEN, false}, {"Sc", SWG_OPEN, false},
    {"sss", SWG_CLOSED, false}, /* slow is nothing without the rule */
    {"SSs", SWG_OPEN, true},          {"SSS", SWG_CLOSED, true},
    {"Sc", SWG_OPEN, true},
};

static void test_verdicts_of_probes(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof(verdicts) / sizeof(verdicts[0]); i++) {
        struct rig r;
        make_open(&r, (struct swg_breaker_options){.close_after = 3,
                                                   .slow_percent = verdicts[i].slow_rule ? 50 : 0});
        r.now_ns += SWG_SECONDS(5);
        rig_feed(&r, verdicts[i].letters);
        assert_int_equal(rig_state(&r), verdicts[i].after);
        assert_int_equal(rig_read(&r).probes_out, 0);
        rig_free(&r);
    }
}

static void test_overdue_probe_fails(void **state) {
    (void)state;
    struct rig r;
    struct swg_permit p;
    make_open(&r, (struct swg_breaker_options){.slow_call_ns = SWG_MS(200)});
    r.now_ns += SWG_SECONDS(5);
    rig_admit(&r, &p);
    r.now_ns += SWG_MS(200);
    swg_breaker_overdue(r.b, &p, r.now_ns);
    assert_int_equal(rig_state(&r), SWG_OPEN);
    rig_record(&r, &p, SWG_SUCCESS);
    assert_int_equal(rig_state(&r), SWG_OPEN);
    assert_int_equal(rig_read(&r).late, 1);
    rig_free(&r);
}

static void test_note_failure_reopens(void **state) {
    (void)state;
    struct rig r;
    make_open(&r, (struct swg_breaker_options){.close_after = 3});
    r.now_ns += SWG_SECONDS(5);
    rig_feed(&r, "S");
    swg_breaker_note_failure(r.b, rig_read(&r).generation, r.now_ns);
    assert_int_equal(rig_state(&r), SWG_OPEN);
    rig_free(&r);
}

/* ---- leases: half-open cannot wedge ---- */

/* All probes hang for ever. The lease brings the slot back as a failure, and
 * the next probe decides. */
static void test_lost_probes_do_not_wedge(void **state) {
    (void)state;
    struct rig r;
    struct swg_permit lost[2], p;
    make_open(&r, (struct swg_breaker_options){.probes = 2, .probe_lease_ns = SWG_SECONDS(30)});
    r.now_ns += SWG_SECONDS(5);
    rig_admit(&r, &lost[0]);
    r.now_ns += SWG_SECONDS(1);
    rig_admit(&r, &lost[1]);
    uint64_t lease_end_ns = r.now_ns + SWG_SECONDS(29);
    r.now_ns = lease_end_ns - 1;
    assert_int_equal(rig_ask(&r), SWG_REFUSED_HALF_OPEN_FULL);
    r.now_ns = lease_end_ns;
    assert_int_equal(rig_ask(&r), SWG_REFUSED_OPEN);
    assert_string_equal(r.event[2].cause, "probe_lease");
    assert_int_equal(rig_read(&r).reopenings, 1);
    assert_int_equal(open_for(&r), SWG_SECONDS(10));

    r.now_ns += SWG_SECONDS(10);
    assert_int_equal(rig_admit(&r, &p), SWG_ADMITTED);
    rig_record(&r, &lost[0], SWG_FAILURE); /* comes back after all: late */
    assert_int_equal(rig_state(&r), SWG_HALF_OPEN);
    assert_int_equal(rig_read(&r).probes_out, 1);
    rig_record(&r, &p, SWG_SUCCESS);
    rig_feed(&r, "S");
    assert_int_equal(rig_state(&r), SWG_CLOSED);
    rig_record(&r, &lost[1], SWG_FAILURE);
    assert_int_equal(rig_read(&r).window_failures, 0);
    rig_free(&r);
}

/* Nobody looked for an hour: it has been open since the lease ended, so its
 * time is over by now. */
static void test_lease_ends_at_its_own_time(void **state) {
    (void)state;
    struct rig r;
    struct swg_permit lost;
    make_open(&r, (struct swg_breaker_options){.probes = 1, .probe_lease_ns = SWG_SECONDS(30)});
    r.now_ns += SWG_SECONDS(5);
    rig_admit(&r, &lost);
    uint64_t lease_end_ns = r.now_ns + SWG_SECONDS(30);
    r.now_ns += SWG_HOURS(1);
    assert_int_equal(rig_ask(&r), SWG_ADMITTED);
    assert_int_equal(r.events, 4);
    assert_int_equal(r.event[2].to, SWG_OPEN);
    assert_int_equal(r.event[2].now_ns, lease_end_ns);
    assert_int_equal(r.event[3].to, SWG_HALF_OPEN);
    assert_int_equal(r.event[3].now_ns, r.now_ns);
    rig_record(&r, &lost, SWG_IGNORED);
    rig_free(&r);
}

/* A slot is free all the while, so no call is refused; the lease still ends. */
static void test_lease_ends_beside_free_slots(void **state) {
    (void)state;
    struct rig r;
    struct swg_permit lost;
    make_open(&r, (struct swg_breaker_options){
                      .probes = 2, .close_after = 9, .probe_lease_ns = SWG_SECONDS(3)});
    r.now_ns += SWG_SECONDS(5);
    rig_admit(&r, &lost);
    rig_feed(&r, "SS");
    r.now_ns += SWG_SECONDS(3);
    swg_breaker_tick(r.b, r.now_ns);
    assert_int_equal(rig_state(&r), SWG_OPEN);
    rig_record(&r, &lost, SWG_IGNORED);
    rig_free(&r);
}

/* A result that arrives after its lease ended is late even if nobody noticed. */
static void test_result_after_its_lease_is_late(void **state) {
    (void)state;
    struct rig r;
    struct swg_permit p;
    make_open(&r, (struct swg_breaker_options){.close_after = 1, .probe_lease_ns = SWG_SECONDS(3)});
    r.now_ns += SWG_SECONDS(5);
    rig_admit(&r, &p);
    r.now_ns += SWG_SECONDS(3);
    rig_record(&r, &p, SWG_SUCCESS);
    assert_int_equal(rig_state(&r), SWG_OPEN);
    assert_int_equal(rig_read(&r).late, 1);
    rig_free(&r);
}

/* ---- how long it stays open ---- */

static void fail_probe_after(struct rig *r, uint64_t wait_ns) {
    r->now_ns += wait_ns;
    rig_feed(r, "F");
    assert_int_equal(rig_state(r), SWG_OPEN);
}

static void test_open_time_doubles_up_to_its_maximum(void **state) {
    (void)state;
    struct rig r;
    static const uint64_t seconds[] = {5, 10, 20, 40, 60, 60};
    make_open(&r, (struct swg_breaker_options){.open_ns = SWG_SECONDS(5)});
    for (size_t i = 0; i < sizeof(seconds) / sizeof(seconds[0]); i++) {
        assert_int_equal(open_for(&r), SWG_SECONDS(seconds[i]));
        assert_int_equal(rig_read(&r).reopenings, i);
        fail_probe_after(&r, SWG_SECONDS(seconds[i]));
    }
    rig_free(&r);
}

static void close_after_wait(struct rig *r, uint64_t wait_ns) {
    r->now_ns += wait_ns;
    rig_feed(r, "SS");
    assert_int_equal(rig_state(r), SWG_CLOSED);
}

/* Closed for no longer than it was open: the trouble goes on. */
static void test_open_time_is_remembered_for_as_long(void **state) {
    (void)state;
    struct rig r;
    make_open(&r, (struct swg_breaker_options){.open_ns = SWG_SECONDS(5)});
    close_after_wait(&r, SWG_SECONDS(5));
    r.now_ns += SWG_SECONDS(5);
    rig_feed(&r, "F");
    assert_int_equal(open_for(&r), SWG_SECONDS(10));
    close_after_wait(&r, SWG_SECONDS(10));
    r.now_ns += SWG_SECONDS(10) + 1;
    rig_feed(&r, "F");
    assert_int_equal(open_for(&r), SWG_SECONDS(5));
    rig_free(&r);
}

static void test_jitter_stays_in_its_bounds(void **state) {
    (void)state;
    uint64_t low = SWG_NEVER, high = 0;
    for (uint64_t seed = 0; seed < 500; seed++) {
        struct swg_breaker *b;
        struct swg_permit p;
        struct swg_breaker_stats s;
        swg_breaker_create(&b,
                           &(struct swg_breaker_options){.consecutive = 1,
                                                         .open_ns = SWG_SECONDS(10),
                                                         .open_max_ns = SWG_SECONDS(12),
                                                         .jitter_percent = 20},
                           seed, 0);
        swg_breaker_admit(b, &p, 0, 1);
        swg_breaker_record(b, &p, SWG_FAILURE, 0, 1);
        swg_breaker_read(b, &s, 1);
        uint64_t d = s.open_until_ns - 1;
        low = d < low ? d : low;
        high = d > high ? d : high;
        swg_breaker_destroy(b);
    }
    assert_in_range(low, SWG_SECONDS(8), SWG_MS(8100));
    assert_in_range(high, SWG_MS(11900), SWG_SECONDS(12));
}

/* At the cap breakers must not all end together. */
static void test_jitter_at_the_maximum(void **state) {
    (void)state;
    uint32_t at_maximum = 0;
    for (uint64_t seed = 0; seed < 100; seed++) {
        struct swg_breaker *b;
        struct swg_permit p;
        struct swg_breaker_stats s;
        swg_breaker_create(&b,
                           &(struct swg_breaker_options){.consecutive = 1,
                                                         .open_ns = SWG_SECONDS(10),
                                                         .open_max_ns = SWG_SECONDS(10)},
                           seed, 0);
        swg_breaker_admit(b, &p, 0, 1);
        swg_breaker_record(b, &p, SWG_FAILURE, 0, 1);
        swg_breaker_read(b, &s, 1);
        assert_in_range(s.open_until_ns - 1, SWG_SECONDS(9), SWG_SECONDS(10));
        at_maximum += s.open_until_ns - 1 == SWG_SECONDS(10);
        swg_breaker_destroy(b);
    }
    assert_true(at_maximum <= 1);
}

static void trip_with_retry_after(struct rig *r, uint64_t retry_after_ns) {
    struct swg_permit p;
    rig_admit(r, &p);
    swg_breaker_record(r->b, &p, SWG_FAILURE, retry_after_ns, r->now_ns);
}

static void test_retry_after_is_a_floor_with_a_cap(void **state) {
    (void)state;
    static const uint64_t wish_and_time[][2] = {{3, 5}, {17, 17}, {1000000000, 60}};
    for (size_t i = 0; i < 3; i++) {
        struct rig r;
        rig_make(&r, &(struct swg_breaker_options){.consecutive = 1, NO_JITTER});
        trip_with_retry_after(&r, SWG_SECONDS(wish_and_time[i][0]));
        assert_int_equal(open_for(&r), SWG_SECONDS(wish_and_time[i][1]));
        r.now_ns += SWG_SECONDS(wish_and_time[i][1]);
        trip_with_retry_after(&r, SWG_SECONDS(31)); /* a probe's wish alike */
        assert_int_equal(open_for(&r), SWG_SECONDS(31));
        rig_free(&r);
    }
}

/* ---- closed again ---- */

static uint32_t share_admitted(struct rig *r) {
    uint32_t admitted = 0;
    for (uint64_t i = 0; i < 1000; i++) {
        struct swg_permit p;
        uint64_t random = i * (UINT64_MAX / 1000);
        enum swg_refusal refusal = swg_breaker_admit(r->b, &p, random, r->now_ns);
        assert_true(refusal == SWG_ADMITTED || refusal == SWG_REFUSED_RAMPING);
        if (refusal == SWG_ADMITTED) {
            swg_breaker_record(r->b, &p, SWG_SUCCESS, 0, r->now_ns);
            admitted++;
        }
    }
    return admitted;
}

static void test_ramp(void **state) {
    (void)state;
    struct rig r;
    make_open(&r, (struct swg_breaker_options){.ramp_ns = SWG_SECONDS(10)});
    close_after_wait(&r, SWG_SECONDS(5));
    assert_in_range(share_admitted(&r), 99, 101);
    r.now_ns += SWG_SECONDS(5);
    assert_in_range(share_admitted(&r), 549, 551);
    r.now_ns += SWG_SECONDS(5) - 1;
    assert_in_range(share_admitted(&r), 998, 1000);
    r.now_ns += 1;
    assert_int_equal(share_admitted(&r), 1000);
    assert_true(rig_read(&r).refused[SWG_REFUSED_RAMPING] > 1000);
    rig_feed(&r, "F"); /* while ramping or after, it trips as ever */
    assert_int_equal(rig_state(&r), SWG_OPEN);
    rig_free(&r);
}

static void test_no_ramp_after_a_reset(void **state) {
    (void)state;
    struct rig r;
    make_open(&r, (struct swg_breaker_options){.ramp_ns = SWG_SECONDS(10)});
    swg_breaker_reset(r.b, r.now_ns);
    assert_int_equal(share_admitted(&r), 1000);
    rig_free(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_open_refuses_until_its_end),
        cmocka_unit_test(test_probe_now),
        cmocka_unit_test(test_probes_are_a_concurrency),
        cmocka_unit_test(test_verdicts_of_probes),
        cmocka_unit_test(test_overdue_probe_fails),
        cmocka_unit_test(test_note_failure_reopens),
        cmocka_unit_test(test_lost_probes_do_not_wedge),
        cmocka_unit_test(test_lease_ends_at_its_own_time),
        cmocka_unit_test(test_lease_ends_beside_free_slots),
        cmocka_unit_test(test_result_after_its_lease_is_late),
        cmocka_unit_test(test_open_time_doubles_up_to_its_maximum),
        cmocka_unit_test(test_open_time_is_remembered_for_as_long),
        cmocka_unit_test(test_jitter_stays_in_its_bounds),
        cmocka_unit_test(test_jitter_at_the_maximum),
        cmocka_unit_test(test_retry_after_is_a_floor_with_a_cap),
        cmocka_unit_test(test_ramp),
        cmocka_unit_test(test_no_ramp_after_a_reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
