/* call_move_test.c - an attempt that waits on an endpoint whose breaker has
 * opened is made elsewhere, or gives way to the fallback, if it may be made
 * twice. */
#include "call_scene.h"

/* Opens after so many overdue or failed attempts in a row. */
static struct swg_policy_options hanging(uint32_t consecutive, uint32_t endpoints) {
    struct swg_policy_options o = scene_options();
    o.breaker =
        (struct swg_breaker_options){.consecutive = consecutive, .slow_call_ns = SWG_MS(200)};
    o.timeout.attempt_ns = SWG_SECONDS(1);
    o.endpoint_count = endpoints;
    return o;
}

static void begin(struct scene *s) {
    assert_int_equal(start(s), SWG_DO_ATTEMPT);
    scene_took(s, swg_call_on_connected(&s->call, s->now));
    scene_took(s, swg_call_on_sent(&s->call, s->now));
    assert_true(s->step.wake_ns == s->now + SWG_MS(200));
}

static void end_by_cancel(struct scene *s) {
    scene_took(s, swg_call_on_cancel(&s->call, s->now));
    swg_policy_release(s->policy);
}

static void the_attempt_that_opens_the_breaker_moves(void **state) {
    (void)state;
    struct swg_policy_options o = hanging(1, 2);
    struct scene s;
    scene_open(&s, &o);
    begin(&s);
    uint32_t sick = s.step.endpoint;
    assert_int_equal(wake(&s), SWG_DO_ATTEMPT);
    assert_true(s.step.abandon);
    assert_int_not_equal(s.step.endpoint, sick);
    assert_true(s.now == START + SWG_MS(200));
    assert_int_equal(swg_call_story(&s.call)->retries, 1);
    struct swg_breaker_stats stats;
    swg_breaker_read(swg_policy_breaker(s.policy, sick), &stats, s.now);
    assert_int_equal(stats.state, SWG_OPEN);
    end_by_cancel(&s);
}

static void others_on_the_same_endpoint_move_when_they_look_again(void **state) {
    (void)state;
    struct swg_policy_options o = hanging(1, 2);
    struct scene s;
    scene_open(&s, &o);
    begin(&s);
    uint32_t sick = s.step.endpoint;
    /* forced open just after it has looked: nothing tells it, so it looks again */
    swg_breaker_force(swg_policy_breaker(s.policy, sick), SWG_FORCED_CLOSED, SWG_NEVER, s.now);
    assert_int_equal(wake(&s), SWG_DO_WAIT);
    swg_breaker_force(swg_policy_breaker(s.policy, sick), SWG_FORCED_OPEN, SWG_NEVER, s.now);
    assert_int_equal(wake(&s), SWG_DO_ATTEMPT);
    assert_true(s.now == START + SWG_MS(225));
    assert_int_not_equal(s.step.endpoint, sick);
    end_by_cancel(&s);
}

static void stays_while_the_breaker_is_closed(void **state) {
    (void)state;
    struct swg_policy_options o = hanging(2, 2);
    struct scene s;
    scene_open(&s, &o);
    begin(&s);
    while (s.now < START + SWG_MS(950))
        assert_int_equal(wake(&s), SWG_DO_WAIT);
    end_by_cancel(&s);
}

static void stays_if_it_must_not_be_sent_twice(void **state) {
    (void)state;
    struct swg_policy_options o = hanging(1, 2);
    struct scene s;
    scene_open(&s, &o);
    s.request.idempotent = s.request.safe = false;
    begin(&s);
    while (s.now < START + SWG_MS(950))
        assert_int_equal(wake(&s), SWG_DO_WAIT);
    end_by_cancel(&s);
}

static void stays_once_the_caller_has_had_a_byte(void **state) {
    (void)state;
    struct swg_policy_options o = hanging(1, 2);
    struct scene s;
    scene_open(&s, &o);
    begin(&s);
    swg_call_committed(&s.call);
    assert_int_equal(wake(&s), SWG_DO_WAIT);
    end_by_cancel(&s);
}

static void stays_where_there_is_no_other_endpoint(void **state) {
    (void)state;
    struct swg_policy_options o = hanging(1, 1);
    struct scene s;
    scene_open(&s, &o);
    begin(&s);
    assert_int_equal(wake(&s), SWG_DO_WAIT);
    assert_true(s.step.wake_ns == START + SWG_SECONDS(1));
    end_by_cancel(&s);
}

static void falls_back_where_there_is_no_other_endpoint(void **state) {
    (void)state;
    static const struct swg_tier_options tiers[] = {{.instant = true}};
    struct swg_policy_options o = hanging(1, 1);
    o.tiers = tiers;
    o.tier_count = 1;
    struct scene s;
    scene_open(&s, &o);
    begin(&s);
    assert_int_equal(wake(&s), SWG_DO_FALL_BACK);
    assert_true(s.step.abandon);
    assert_true(s.now == START + SWG_MS(200));
    assert_int_equal(swg_call_story(&s.call)->reason, SWG_REFUSED_OPEN);
    end_by_cancel(&s);
}

static void what_must_not_be_sent_twice_waits_for_its_answer(void **state) {
    (void)state;
    static const struct swg_tier_options tiers[] = {{.instant = true}};
    struct swg_policy_options o = hanging(1, 1);
    o.tiers = tiers;
    o.tier_count = 1;
    struct scene s;
    scene_open(&s, &o);
    s.request.idempotent = s.request.safe = false;
    begin(&s);
    while (s.now < START + SWG_MS(950))
        assert_int_equal(wake(&s), SWG_DO_WAIT);
    end_by_cancel(&s);
}

static void needs_the_budget(void **state) {
    (void)state;
    struct swg_policy_options o = hanging(1, 2);
    o.budget =
        (struct swg_budget_options){.percent = SWG_BUDGET_NONE, .floor_per_s = SWG_BUDGET_NONE};
    struct scene s;
    scene_open(&s, &o);
    begin(&s);
    assert_int_equal(wake(&s), SWG_DO_WAIT);
    assert_int_equal(swg_call_story(&s.call)->retries, 0);
    end_by_cancel(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_attempt_that_opens_the_breaker_moves),
        cmocka_unit_test(others_on_the_same_endpoint_move_when_they_look_again),
        cmocka_unit_test(stays_while_the_breaker_is_closed),
        cmocka_unit_test(stays_if_it_must_not_be_sent_twice),
        cmocka_unit_test(stays_once_the_caller_has_had_a_byte),
        cmocka_unit_test(stays_where_there_is_no_other_endpoint),
        cmocka_unit_test(falls_back_where_there_is_no_other_endpoint),
        cmocka_unit_test(what_must_not_be_sent_twice_waits_for_its_answer),
        cmocka_unit_test(needs_the_budget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
