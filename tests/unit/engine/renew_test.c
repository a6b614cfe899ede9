/* renew_test.c - options that change while calls are under way: nothing that was
 * learnt or promised before is lost. */
#include "call_scene.h"

#include <stdio.h>

#include "base/random.h"

/* Calls go on under the new policy; a call that is under way keeps the old. */
static void renew(struct scene *s, const struct swg_policy_options *o) {
    struct swg_policy *next;
    assert_int_equal(swg_policy_renew(&next, s->policy, o, 2, s->now), SWG_OK);
    swg_policy_release(s->policy);
    s->policy = next;
    swg_policy_check(s->policy);
}

/* One call from beginning to end; why it was refused, if it was. */
static enum swg_refusal call_once(struct scene *s, int status) {
    struct swg_call c;
    const struct swg_request request = {.seed = 1};
    struct swg_step step = swg_call_start(&c, s->policy, &request, NULL, s->now);
    if (step.action == SWG_DO_ATTEMPT) {
        const struct swg_answer answer = {SWG_ANSWERED, status, 0};
        step = swg_call_on_answer(&c, &answer, s->now);
    }
    if (step.action == SWG_DO_RELAY)
        step = swg_call_on_end(&c, true, s->now);
    assert_int_equal(step.action, SWG_DO_FINISH);
    return swg_call_story(&c)->reason;
}

static struct swg_policy_stats read_policy(const struct scene *s) {
    struct swg_policy_stats stats;
    swg_policy_read(s->policy, &stats, s->now);
    return stats;
}

static void test_the_rate_limit_is_kept(void **state) {
    struct scene s;
    struct swg_policy_options o = scene_options();
    (void)state;
    o.rate = (struct swg_rate_options){.calls = 2, .per_ns = SWG_HOURS(1), .burst = 2};
    scene_open(&s, &o);
    assert_int_equal(call_once(&s, 200), SWG_ADMITTED);
    assert_int_equal(call_once(&s, 200), SWG_ADMITTED);
    renew(&s, &o); /* a reload is not a way around it */
    assert_int_equal(call_once(&s, 200), SWG_REFUSED_RATE_LIMITED);
    o.rate.burst = 3; /* one more at once */
    renew(&s, &o);
    assert_int_equal(call_once(&s, 200), SWG_ADMITTED);
    assert_int_equal(call_once(&s, 200), SWG_REFUSED_RATE_LIMITED);
    o.rate.calls = 0; /* none */
    renew(&s, &o);
    assert_int_equal(call_once(&s, 200), SWG_ADMITTED);
    assert_int_equal(read_policy(&s).refused[SWG_REFUSED_RATE_LIMITED], 2);
    assert_int_equal(read_policy(&s).calls, 6);
    swg_policy_release(s.policy);
}

static void test_the_window_is_kept(void **state) {
    struct scene s;
    struct swg_policy_options o = scene_options();
    struct swg_policy_stats stats;
    (void)state;
    o.breaker = (struct swg_breaker_options){.failures = 100, .window_calls = 50};
    o.breaker.failures = 50;
    o.retry.max = SWG_RETRY_OFF;
    scene_open(&s, &o);
    for (int i = 0; i < 30; i++)
        call_once(&s, i % 3 ? 200 : 500);
    for (uint32_t failures = 49; failures > 10; failures--) {
        o.breaker.failures = failures;
        renew(&s, &o);
        stats = read_policy(&s);
        assert_int_equal(stats.total.window_calls, 30);
        assert_int_equal(stats.total.window_failures, 10);
        assert_int_equal(stats.total.calls, 30);
        assert_int_equal(stats.state, SWG_CLOSED);
    }
    o.breaker.failures = 10; /* bad enough by the new rules: whatever comes next decides it */
    renew(&s, &o);
    assert_int_equal(call_once(&s, 200), SWG_ADMITTED);
    assert_int_equal(read_policy(&s).state, SWG_OPEN);
    swg_policy_release(s.policy);
}

static void test_the_budget_is_kept(void **state) {
    struct scene s;
    struct swg_policy_options o = scene_options();
    (void)state;
    o.budget = (struct swg_budget_options){.percent = SWG_BUDGET_NONE, .floor_per_s = 1};
    o.retry.max = 1;
    scene_open(&s, &o);
    uint64_t made = 0;
    for (int i = 0; i < 30; i++) {
        struct swg_call c;
        const struct swg_request request = {.idempotent = true, .seed = 1};
        const struct swg_answer bad = {SWG_ANSWERED, 500, 0};
        struct swg_step step = swg_call_start(&c, s.policy, &request, NULL, s.now);
        step = swg_call_on_answer(&c, &bad, s.now);
        if (step.action == SWG_DO_WAIT) {
            made++;
            step = swg_call_on_cancel(&c, s.now);
        } else if (step.action == SWG_DO_RELAY) {
            step = swg_call_on_end(&c, true, s.now);
        }
        assert_int_equal(step.action, SWG_DO_FINISH);
        if (i % 3 == 0)
            renew(&s, &o);
    }
    assert_int_equal(made, 10); /* 1/s for ten seconds, however often it was renewed */
    assert_int_equal(read_policy(&s).budget_calls, 30);
    swg_policy_release(s.policy);
}

static void test_who_is_inside_or_waits_stays(void **state) {
    struct scene s, waits;
    struct swg_policy_options o = scene_options();
    (void)state;
    o.bulkhead =
        (struct swg_bulkhead_options){.concurrent = 1, .queue = 2, .wait_ns = SWG_HOURS(1)};
    o.timeout.total_ns = SWG_HOURS(2);
    scene_open(&s, &o);
    struct swg_call inside;
    const struct swg_request request = {.seed = 1};
    assert_int_equal(swg_call_start(&inside, s.policy, &request, NULL, s.now).action,
                     SWG_DO_ATTEMPT);
    waits = s;
    struct swg_step step = swg_call_start(&waits.call, s.policy, &request, scene_on_grant, s.now);
    assert_int_equal(step.action, SWG_DO_WAIT);
    renew(&s, &o);
    assert_int_equal(read_policy(&s).bulkhead.in_use, 1);
    assert_int_equal(read_policy(&s).bulkhead.waiting, 1);
    assert_int_equal(call_once(&s, 200), SWG_REFUSED_BULKHEAD_FULL); /* has no on_grant */
    o.bulkhead.concurrent = 2; /* room: the waiter, begun on the old policy, gets it */
    renew(&s, &o);
    assert_int_equal(waits.grants, 1);
    assert_int_equal(swg_call_on_grant(&waits.call, s.now).action, SWG_DO_ATTEMPT);
    o.bulkhead.concurrent = 1; /* less: who is inside finishes, and nobody else gets in */
    renew(&s, &o);
    assert_int_equal(swg_call_on_cancel(&inside, s.now).action, SWG_DO_FINISH);
    assert_int_equal(read_policy(&s).bulkhead.in_use, 1);
    assert_int_equal(call_once(&s, 200), SWG_REFUSED_BULKHEAD_FULL);
    assert_int_equal(swg_call_on_cancel(&waits.call, s.now).action, SWG_DO_FINISH);
    assert_int_equal(read_policy(&s).bulkhead.in_use, 0);
    assert_int_equal(call_once(&s, 200), SWG_ADMITTED);
    swg_policy_release(s.policy);
}

/* ---- one breaker: configure in the midst of anything ---- */

/* Options that decide the same, given anew at every other step, change nothing:
 * windows, runs, probes and leases go on as if nobody had touched them. */
static void test_the_same_options_again_change_nothing(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        const struct swg_breaker_options o = {
            .failures = 3 + (uint32_t)seed % 5,
            .slow_percent = seed % 2 ? 50 : 0,
            .slow_call_ns = SWG_MS(100),
            .calls_min = 5,
            .window_calls = seed % 3 ? 0 : 20,
            .window_ns = SWG_MS(700),
            .open_ns = SWG_MS(300),
            .jitter_percent = 101,
            .probes = 1 + (uint32_t)seed % 6,
            .probe_lease_ns = SWG_MS(500),
            .ramp_ns = seed % 5 ? 0 : SWG_MS(200),
        };
        struct swg_breaker *b[2];
        uint64_t random = seed, now_ns = SWG_SECONDS(5);
        assert_int_equal(swg_breaker_create(&b[0], &o, 1, now_ns), SWG_OK);
        assert_int_equal(swg_breaker_create(&b[1], &o, 1, now_ns), SWG_OK);
        struct swg_permit out[2][8] = {0};
        for (int i = 0; i < 400; i++) {
            uint64_t dice = random_next(&random), chance = random_next(&random);
            unsigned slot = dice % 8;
            now_ns += dice % SWG_MS(40);
            for (int k = 0; k < 2; k++) {
                struct swg_permit *p = &out[k][slot];
                if (p->state == 1)
                    swg_breaker_record(b[k], p, (dice >> 8) % 3 ? SWG_SUCCESS : SWG_FAILURE, 0,
                                       now_ns);
                else
                    swg_breaker_admit(b[k], p, chance, now_ns);
            }
            if (i % 2)
                assert_int_equal(swg_breaker_configure(b[1], &o, now_ns), SWG_OK);
            struct swg_breaker_stats s[2];
            swg_breaker_read(b[0], &s[0], now_ns);
            swg_breaker_read(b[1], &s[1], now_ns);
            assert_memory_equal(&s[0], &s[1], sizeof(s[0]));
            swg_breaker_check(b[1]);
        }
        swg_breaker_destroy(b[0]);
        swg_breaker_destroy(b[1]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_rate_limit_is_kept),
        cmocka_unit_test(test_the_window_is_kept),
        cmocka_unit_test(test_the_budget_is_kept),
        cmocka_unit_test(test_who_is_inside_or_waits_stays),
        cmocka_unit_test(test_the_same_options_again_change_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
