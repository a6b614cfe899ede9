/* call_test.c - the frame of a call: the order of what may refuse it, its
 * clocks, and how it is cancelled and drained. */
#include "call_scene.h"

static enum swg_action occupy(struct scene *other, struct scene *s) {
    *other = *s;
    return start(other);
}

/* ---- the plain way ------------------------------------------------------------ */

static void a_call_that_succeeds(void **state) {
    struct scene s;
    struct swg_policy_options o = scene_options();
    scene_open(&s, &o);
    assert_int_equal(start(&s), SWG_DO_ATTEMPT);
    assert_int_equal(s.step.endpoint, 0);
    assert_false(s.step.probe);
    assert_int_equal(slots(&s), 1);
    assert_int_equal(in_flight(&s), 1);
    pass(&s, 3);
    assert_int_equal(connected(&s), SWG_DO_WAIT);
    assert_int_equal(sent(&s), SWG_DO_WAIT);
    pass(&s, 4);
    assert_int_equal(answer(&s, 200), SWG_DO_RELAY);
    assert_int_equal(slots(&s), 1);
    pass(&s, 5);
    assert_int_equal(end(&s, true), SWG_DO_FINISH);
    assert_false(s.step.abandon);

    const struct swg_story *t = story(&s);
    assert_int_equal(t->source, SWG_FROM_SERVICE);
    assert_int_equal(t->attempts, 1);
    assert_int_equal(t->retries, 0);
    assert_int_equal(t->reason, SWG_ADMITTED);
    assert_int_equal(t->no_retry, SWG_ADMITTED);
    assert_int_equal(t->breaker, SWG_CLOSED);
    assert_int_equal(t->last.status, 200);
    assert_false(t->timed_out || t->broke_off);
    assert_int_equal(t->started_ns, START);
    assert_int_equal(t->first_attempt_ns, START);
    assert_int_equal(t->head_ns, START + SWG_MS(7));
    assert_int_equal(t->finished_ns, START + SWG_MS(12));
    assert_int_equal(stats(&s).calls, 1);
    assert_int_equal(stats(&s).attempts, 1);
    assert_int_equal(stats(&s).budget_calls, 1);
    assert_int_equal(breaker_stats(&s, 0).successes, 1);
    scene_close(&s);
}

static void events_that_come_too_late_change_nothing(void **state) {
    struct scene s;
    struct swg_policy_options o = scene_options();
    scene_open(&s, &o);
    start(&s);
    assert_int_equal(timer(&s), SWG_DO_WAIT); /* early */
    assert_int_equal(end(&s, true), SWG_DO_WAIT);
    assert_int_equal(tier(&s, true), SWG_DO_WAIT);
    assert_int_equal(cache(&s, true), SWG_DO_WAIT);
    assert_int_equal(granted(&s), SWG_DO_WAIT);
    answer(&s, 200);
    assert_int_equal(answer(&s, 500), SWG_DO_WAIT);
    end(&s, true);
    assert_int_equal(answer(&s, 500), SWG_DO_FINISH);
    assert_int_equal(end(&s, false), SWG_DO_FINISH);
    assert_int_equal(cancel(&s), SWG_DO_FINISH);
    assert_int_equal(timer(&s), SWG_DO_FINISH);
    assert_int_equal(story(&s)->reason, SWG_ADMITTED);
    assert_int_equal(breaker_stats(&s, 0).failures, 0);
    scene_close(&s);
}

/* ---- the order of refusals ------------------------------------------------------- */

static void a_deadline_that_has_passed_comes_before_all_else(void **state) {
    struct scene s;
    struct swg_policy_options o = scene_options();
    o.rate = (struct swg_rate_options){.calls = 1, .per_ns = SWG_SECONDS(1), .burst = 1};
    o.cache = true;
    scene_open(&s, &o);
    struct swg_rate_limiter mine = {0};
    s.request.rate = &mine;
    s.request.cacheable = true;
    s.request.deadline_ns = START;
    assert_int_equal(start(&s), SWG_DO_FINISH);
    assert_int_equal(story(&s)->reason, SWG_REFUSED_DEADLINE);
    assert_int_equal(mine.theoretical_arrival_ns, 0); /* the limiter was not asked */
    assert_int_equal(stats(&s).refused[SWG_REFUSED_DEADLINE], 1);
    assert_int_equal(stats(&s).bulkhead.admitted, 0);
    scene_close(&s);
}

static void the_rate_limit_comes_before_the_cache(void **state) {
    struct scene s, first;
    struct swg_policy_options o = scene_options();
    o.rate = (struct swg_rate_options){.calls = 1, .per_ns = SWG_SECONDS(1), .burst = 1};
    o.cache = true;
    scene_open(&s, &o);
    s.request.cacheable = true;
    assert_int_equal(occupy(&first, &s), SWG_DO_LOOK_UP);
    cancel(&first);
    pass(&s, 400);
    assert_int_equal(start(&s), SWG_DO_FINISH);
    assert_int_equal(story(&s)->reason, SWG_REFUSED_RATE_LIMITED);
    assert_int_equal(story(&s)->retry_in_ns, SWG_MS(600));
    assert_int_equal(stats(&s).refused[SWG_REFUSED_RATE_LIMITED], 1);
    assert_int_equal(breaker_stats(&s, 0).calls, 0);
    scene_close(&s);
}

static void a_caller_may_have_a_limiter_of_its_own(void **state) {
    struct scene s, other;
    struct swg_policy_options o = scene_options();
    o.rate = (struct swg_rate_options){.calls = 1, .per_ns = SWG_SECONDS(1), .burst = 1};
    scene_open(&s, &o);
    struct swg_rate_limiter mine = {0}, yours = {0};
    s.request.rate = &yours;
    assert_int_equal(occupy(&other, &s), SWG_DO_ATTEMPT);
    s.request.rate = &mine;
    assert_int_equal(start(&s), SWG_DO_ATTEMPT);
    cancel(&other);
    scene_break_up(&s);
}

static void a_fresh_cache_takes_no_slot(void **state) {
    struct scene s;
    struct swg_policy_options o = scene_options();
    o.cache = true;
    scene_open(&s, &o);
    s.request.cacheable = true;
    assert_int_equal(start(&s), SWG_DO_LOOK_UP);
    assert_int_equal(s.step.wake_ns, START + SWG_SECONDS(60));
    assert_int_equal(cache(&s, true), SWG_DO_FINISH);
    assert_int_equal(story(&s)->source, SWG_FROM_CACHE);
    assert_int_equal(story(&s)->attempts, 0);
    assert_int_equal(stats(&s).bulkhead.admitted, 0);
    assert_int_equal(stats(&s).budget_calls, 0); /* no call of the service pays for a retry */
    assert_int_equal(breaker_stats(&s, 0).calls, 0);
    scene_close(&s);
}

static void also_a_call_without_an_attempt_tells_the_state_it_met(void **state) {
    struct scene s;
    struct swg_policy_options o = scene_options();
    o.cache = true;
    scene_open(&s, &o);
    s.request.cacheable = true;
    swg_policy_force(s.policy, SWG_FORCED_OPEN, SWG_NEVER, s.now);
    start(&s);
    cache(&s, true);
    assert_int_equal(story(&s)->breaker, SWG_OPEN);
    scene_close(&s);
}

static void a_cache_that_is_not_fresh_leads_to_an_attempt(void **state) {
    struct scene s;
    struct swg_policy_options o = scene_options();
    o.cache = true;
    scene_open(&s, &o);
    s.request.cacheable = true;
    start(&s);
    assert_int_equal(cache(&s, false), SWG_DO_ATTEMPT);
    scene_break_up(&s);
}

static void no_look_up_without_a_cache_for_this_request(void **state) {
    for (int i = 0; i < 3; i++) {
        struct scene s;
        struct swg_policy_options o = scene_options();
        o.cache = i != 0;
        o.no_cache = i == 1;
        scene_open(&s, &o);
        s.request.cacheable = i != 2;
        assert_int_equal(start(&s), SWG_DO_ATTEMPT);
        scene_break_up(&s);
    }
}

static void a_look_up_ends_with_the_deadline(void **state) {
    struct scene s;
    struct swg_policy_options o = scene_options();
    o.cache = true;
    scene_open(&s, &o);
    s.request.cacheable = true;
    s.request.deadline_ns = START + SWG_MS(50);
    start(&s);
    assert_int_equal(wake(&s), SWG_DO_FINISH);
    assert_int_equal(s.now, START + SWG_MS(50));
    assert_true(s.step.abandon);
    assert_int_equal(story(&s)->reason, SWG_REFUSED_DEADLINE);
    scene_close(&s);
}

static void the_bulkhead_comes_before_the_breaker(void **state) {
    struct scene s, other;
    struct swg_policy_options o = scene_options();
    o.bulkhead.concurrent = 1;
    scene_open(&s, &o);
    occupy(&other, &s);
    swg_policy_force(s.policy, SWG_FORCED_OPEN, SWG_NEVER, s.now);
    assert_int_equal(start(&s), SWG_DO_FINISH);
    assert_int_equal(story(&s)->reason, SWG_REFUSED_BULKHEAD_FULL);
    assert_int_equal(stats(&s).refused[SWG_REFUSED_BULKHEAD_FULL], 1);
    assert_int_equal(breaker_stats(&s, 0).refused[SWG_REFUSED_FORCED_OPEN], 0);
    cancel(&other);
    scene_close(&s);
}

static void an_open_breaker_refuses_and_tells_when_to_come_back(void **state) {
    struct scene s;
    struct swg_policy_options o = scene_options();
    o.breaker = (struct swg_breaker_options){
        .consecutive = 1, .open_ns = SWG_SECONDS(5), .jitter_percent = 101};
    o.no_retry = true;
    scene_open(&s, &o);
    start(&s);
    answer(&s, 500);
    end(&s, true);
    assert_int_equal(story(&s)->breaker, SWG_CLOSED); /* as the call met it */
    pass(&s, 1000);
    assert_int_equal(start(&s), SWG_DO_FINISH);
    const struct swg_story *t = story(&s);
    assert_int_equal(t->reason, SWG_REFUSED_OPEN);
    assert_int_equal(t->breaker, SWG_OPEN);
    assert_int_equal(t->attempts, 0);
    assert_int_equal(t->source, SWG_FROM_NOWHERE);
    assert_int_equal(t->retry_in_ns, SWG_SECONDS(4));
    assert_int_equal(stats(&s).refused[SWG_REFUSED_OPEN], 1);
    pass(&s, 4000);
    assert_int_equal(start(&s), SWG_DO_ATTEMPT);
    assert_true(s.step.probe);
    assert_int_equal(story(&s)->breaker, SWG_HALF_OPEN);
    scene_break_up(&s);
}

static void forced_open_without_end_promises_nothing(void **state) {
    struct scene s;
    struct swg_policy_options o = scene_options();
    scene_open(&s, &o);
    swg_policy_force(s.policy, SWG_FORCED_OPEN, SWG_NEVER, s.now);
    assert_int_equal(start(&s), SWG_DO_FINISH);
    assert_int_equal(story(&s)->reason, SWG_REFUSED_FORCED_OPEN);
    assert_int_equal(story(&s)->retry_in_ns, 0);
    scene_close(&s);
}

/* ---- the bulkhead's queue ------------------------------------------------------------ */

static void open_full(struct scene *s, struct scene *other) {
    struct swg_policy_options o = scene_options();
    o.bulkhead = (struct swg_bulkhead_options){1, 1, SWG_MS(30)};
    scene_open(s, &o);
    s->queues = true;
    assert_int_equal(occupy(other, s), SWG_DO_ATTEMPT);
    assert_int_equal(start(s), SWG_DO_WAIT);
    assert_int_equal(s->step.wake_ns, START + SWG_MS(30));
}

static void a_call_waits_in_the_queue_for_a_grant(void **state) {
    struct scene s, other;
    open_full(&s, &other);
    assert_int_equal(s.grants, 0);
    cancel(&other);
    assert_int_equal(s.grants, 1);
    pass(&s, 5);
    assert_int_equal(granted(&s), SWG_DO_ATTEMPT);
    scene_break_up(&s);
}

static void the_wait_in_the_queue_ends(void **state) {
    struct scene s, other;
    open_full(&s, &other);
    assert_int_equal(wake(&s), SWG_DO_FINISH);
    assert_int_equal(story(&s)->reason, SWG_REFUSED_QUEUE_TIMEOUT);
    assert_int_equal(stats(&s).bulkhead.refused_timeout, 1);
    cancel(&other);
    assert_int_equal(s.grants, 0);
    scene_close(&s);
}

static void the_wait_in_the_queue_never_passes_the_deadline(void **state) {
    struct scene s, other, third;
    struct swg_policy_options o = scene_options();
    o.bulkhead = (struct swg_bulkhead_options){1, 1, SWG_MS(30)};
    scene_open(&s, &o);
    s.queues = true;
    occupy(&other, &s);
    s.request.deadline_ns = START + SWG_MS(20);
    start(&s);
    assert_int_equal(s.step.wake_ns, START + SWG_MS(20));
    assert_int_equal(occupy(&third, &s), SWG_DO_FINISH); /* the queue is full as well */
    assert_int_equal(story(&third)->reason, SWG_REFUSED_BULKHEAD_FULL);
    assert_int_equal(wake(&s), SWG_DO_FINISH);
    assert_int_equal(story(&s)->reason, SWG_REFUSED_DEADLINE);
    cancel(&other);
    scene_close(&s);
}

static void who_is_granted_as_its_time_ends_has_been_granted(void **state) {
    struct scene s, other;
    open_full(&s, &other);
    cancel(&other); /* grants; the call has not been told yet */
    assert_int_equal(wake(&s), SWG_DO_WAIT);
    assert_int_equal(s.step.wake_ns, SWG_NEVER);
    assert_int_equal(granted(&s), SWG_DO_ATTEMPT);
    assert_int_equal(stats(&s).bulkhead.refused_timeout, 0);
    scene_break_up(&s);
}

static void a_grant_after_the_deadline_is_given_back(void **state) {
    struct scene s, other;
    struct swg_policy_options o = scene_options();
    o.bulkhead = (struct swg_bulkhead_options){1, 1, SWG_MS(30)};
    scene_open(&s, &o);
    s.queues = true;
    occupy(&other, &s);
    s.request.deadline_ns = START + SWG_MS(20);
    start(&s);
    cancel(&other);
    pass(&s, 20);
    assert_int_equal(granted(&s), SWG_DO_FINISH);
    assert_int_equal(story(&s)->reason, SWG_REFUSED_DEADLINE);
    assert_int_equal(story(&s)->attempts, 0);
    scene_close(&s);
}

static void without_an_on_grant_a_call_never_queues(void **state) {
    struct scene s, other;
    struct swg_policy_options o = scene_options();
    o.bulkhead = (struct swg_bulkhead_options){1, 1, SWG_MS(30)};
    scene_open(&s, &o);
    occupy(&other, &s);
    assert_int_equal(start(&s), SWG_DO_FINISH);
    assert_int_equal(story(&s)->reason, SWG_REFUSED_BULKHEAD_FULL);
    cancel(&other);
    scene_close(&s);
}

/* ---- clocks ----------------------------------------------------------------------------- */

static struct swg_policy_options timed(void) {
    struct swg_policy_options o = scene_options();
    o.timeout = (struct swg_timeout_options){.connect_ns = SWG_MS(100),
                                             .first_byte_ns = SWG_MS(300),
                                             .attempt_ns = SWG_MS(1000),
                                             .total_ns = SWG_MS(1500)};
    o.no_retry = true;
    return o;
}

static void connecting_has_its_own_timeout(void **state) {
    struct scene s;
    struct swg_policy_options o = timed();
    scene_open(&s, &o);
    start(&s);
    assert_int_equal(s.step.wake_ns, START + SWG_MS(100));
    assert_int_equal(s.step.attempt_deadline_ns, START + SWG_MS(1000));
    assert_int_equal(wake(&s), SWG_DO_FINISH);
    assert_true(s.step.abandon);
    assert_true(story(&s)->timed_out);
    assert_int_equal(story(&s)->last.kind, SWG_TIMED_OUT);
    assert_int_equal(breaker_stats(&s, 0).failures, 1);
    scene_close(&s);
}

static void the_first_byte_has_its_own_timeout(void **state) {
    struct scene s;
    struct swg_policy_options o = timed();
    scene_open(&s, &o);
    start(&s);
    pass(&s, 50);
    connected(&s);
    assert_int_equal(s.step.wake_ns, START + SWG_MS(1000)); /* neither while sending */
    pass(&s, 150);
    sent(&s);
    assert_int_equal(s.step.wake_ns, START + SWG_MS(500));
    pass(&s, 100);
    sent(&s); /* told again: nothing moves */
    assert_int_equal(s.step.wake_ns, START + SWG_MS(500));
    assert_int_equal(wake(&s), SWG_DO_FINISH);
    assert_true(story(&s)->timed_out);
    scene_close(&s);
}

static void the_attempt_has_its_own_timeout(void **state) {
    struct scene s;
    struct swg_policy_options o = timed();
    scene_open(&s, &o);
    start(&s);
    connected(&s);
    assert_int_equal(wake(&s), SWG_DO_FINISH);
    assert_int_equal(s.now, START + SWG_MS(1000));
    assert_true(story(&s)->timed_out);
    assert_int_equal(story(&s)->reason, SWG_ADMITTED);
    assert_int_equal(breaker_stats(&s, 0).failures, 1);
    scene_close(&s);
}

static void the_total_cuts_an_attempt_and_counts_as_failure(void **state) {
    struct scene s;
    struct swg_policy_options o = timed();
    o.timeout.attempt_ns = SWG_SECONDS(9);
    scene_open(&s, &o);
    start(&s);
    assert_int_equal(s.step.attempt_deadline_ns, START + SWG_MS(1500));
    connected(&s);
    assert_int_equal(wake(&s), SWG_DO_FINISH);
    assert_int_equal(s.now, START + SWG_MS(1500));
    assert_int_equal(story(&s)->reason, SWG_REFUSED_DEADLINE);
    assert_true(story(&s)->timed_out);
    assert_int_equal(breaker_stats(&s, 0).failures, 1);
    scene_close(&s);
}

static void a_short_deadline_of_the_caller_is_not_the_services_fault(void **state) {
    struct scene s;
    struct swg_policy_options o = timed();
    scene_open(&s, &o);
    s.request.deadline_ns = START + SWG_MS(300);
    start(&s);
    connected(&s);
    assert_int_equal(s.step.wake_ns, START + SWG_MS(300));
    assert_int_equal(wake(&s), SWG_DO_FINISH);
    assert_true(s.step.abandon);
    assert_int_equal(story(&s)->reason, SWG_REFUSED_DEADLINE);
    assert_false(story(&s)->timed_out);
    assert_int_equal(breaker_stats(&s, 0).failures, 0);
    assert_int_equal(breaker_stats(&s, 0).cancelled, 1);
    assert_int_equal(breaker_stats(&s, 0).window_failures, 0);
    scene_close(&s);
}

static void a_caller_with_no_less_patience_than_we_have_is_no_excuse(void **state) {
    struct scene s;
    struct swg_policy_options o = timed();
    o.timeout.attempt_ns = SWG_SECONDS(9);
    scene_open(&s, &o);
    s.request.deadline_ns = START + SWG_MS(1500);
    start(&s);
    connected(&s);
    wake(&s);
    assert_true(story(&s)->timed_out);
    assert_int_equal(breaker_stats(&s, 0).failures, 1);
    scene_close(&s);
}

static void what_the_story_tells_is_of_the_last_attempt(void **state) {
    struct scene s;
    struct swg_policy_options o = timed();
    o.no_retry = false;
    scene_open(&s, &o);
    s.request.deadline_ns = START + SWG_MS(1300);
    start(&s);
    connected(&s);
    assert_int_equal(wake(&s), SWG_DO_WAIT); /* our timeout; a retry in 100 ms */
    assert_true(story(&s)->timed_out);
    wake(&s);
    connected(&s);
    assert_int_equal(wake(&s), SWG_DO_FINISH); /* the caller's deadline */
    assert_false(story(&s)->timed_out);
    assert_int_equal(story(&s)->last.kind, SWG_TIMED_OUT);
    assert_int_equal(story(&s)->attempts, 2);
    scene_close(&s);
}

static void unless_the_service_had_been_slow_for_it(void **state) {
    struct scene s;
    struct swg_policy_options o = timed();
    o.timeout.attempt_ns = SWG_SECONDS(9);
    scene_open(&s, &o);
    s.request.deadline_ns = START + SWG_MS(1200); /* no slow rule: a second is slow */
    start(&s);
    connected(&s);
    wake(&s);
    assert_int_equal(story(&s)->reason, SWG_REFUSED_DEADLINE);
    assert_int_equal(breaker_stats(&s, 0).consecutive, 1);
    scene_close(&s);
}

/* The attempt's own time is over as well: that it was, the caller's haste does
 * not excuse. */
static void a_timeout_of_ours_at_the_same_time_counts(void **state) {
    struct scene s;
    struct swg_policy_options o = timed();
    scene_open(&s, &o);
    s.request.deadline_ns = START + SWG_MS(1000);
    start(&s);
    connected(&s);
    wake(&s);
    assert_true(story(&s)->timed_out);
    assert_int_equal(breaker_stats(&s, 0).failures, 1);
    scene_close(&s);
}

static void an_attempt_may_tell_its_timeout_itself(void **state) {
    struct scene s;
    struct swg_policy_options o = timed();
    scene_open(&s, &o);
    s.request.deadline_ns = START + SWG_MS(300);
    start(&s);
    pass(&s, 300);
    assert_int_equal(failed(&s, SWG_TIMED_OUT), SWG_DO_FINISH);
    assert_false(s.step.abandon);
    assert_int_equal(breaker_stats(&s, 0).cancelled, 1); /* the caller's deadline was it */
    s.request.deadline_ns = 0;
    start(&s);
    pass(&s, 400);
    failed(&s, SWG_TIMED_OUT);
    assert_true(story(&s)->timed_out);
    assert_int_equal(breaker_stats(&s, 0).failures, 1);
    scene_close(&s);
}

static void an_answer_that_comes_late_is_still_an_answer(void **state) {
    struct scene s;
    struct swg_policy_options o = timed();
    scene_open(&s, &o);
    start(&s);
    pass(&s, 5000);
    assert_int_equal(answer(&s, 200), SWG_DO_RELAY);
    end(&s, true);
    assert_int_equal(breaker_stats(&s, 0).successes, 1);
    scene_close(&s);
}

/* A hang opens the breaker before any timeout, even without one. */
static void an_attempt_under_way_counts_as_slow_in_time(void **state) {
    struct scene s;
    struct swg_policy_options o = timed();
    o.breaker = (struct swg_breaker_options){
        .slow_percent = 100, .slow_call_ns = SWG_MS(200), .calls_min = 1};
    scene_open(&s, &o);
    start(&s);
    connected(&s);
    assert_int_equal(s.step.wake_ns, START + SWG_MS(200));
    assert_int_equal(wake(&s), SWG_DO_WAIT);
    assert_int_equal(s.step.wake_ns, START + SWG_MS(1000));
    assert_int_equal(breaker_stats(&s, 0).state, SWG_OPEN);
    answer(&s, 200); /* and its answer is still good for the caller */
    assert_int_equal(end(&s, true), SWG_DO_FINISH);
    assert_int_equal(story(&s)->source, SWG_FROM_SERVICE);
    scene_close(&s);
}

/* ---- a caller that is slow to send ---------------------------------------------------------- */

static void the_clocks_stand_still_while_the_caller_is_waited_for(void **state) {
    struct scene s;
    struct swg_policy_options o = timed();
    o.timeout.total_ns = SWG_MS(900);
    o.breaker = (struct swg_breaker_options){.slow_percent = 100, .slow_call_ns = SWG_MS(200)};
    scene_open(&s, &o);
    start(&s);
    connected(&s);
    pass(&s, 50);
    upload(&s, true);
    assert_int_equal(s.step.wake_ns, SWG_NEVER);
    pass(&s, 5000);
    upload(&s, true); /* told again: the pause began before */
    assert_int_equal(timer(&s), SWG_DO_WAIT);
    pass(&s, 5000);
    upload(&s, false);
    assert_int_equal(s.step.wake_ns, START + SWG_MS(10200)); /* overdue */
    wake(&s);
    assert_int_equal(breaker_stats(&s, 0).window_slow, 1);
    assert_int_equal(s.step.wake_ns, START + SWG_MS(10900)); /* total */
    assert_int_equal(wake(&s), SWG_DO_FINISH);
    assert_true(story(&s)->timed_out);
    scene_close(&s);
}

static void a_pause_does_not_make_a_call_slow(void **state) {
    struct scene s;
    struct swg_policy_options o = timed();
    o.breaker = (struct swg_breaker_options){.slow_percent = 100, .slow_call_ns = SWG_MS(200)};
    scene_open(&s, &o);
    start(&s);
    connected(&s);
    upload(&s, true);
    pass(&s, 5000);
    sent(&s); /* ends the pause */
    assert_int_equal(s.step.wake_ns, s.now + SWG_MS(200));
    pass(&s, 100);
    answer(&s, 200);
    end(&s, true);
    assert_int_equal(breaker_stats(&s, 0).slow, 0);
    assert_int_equal(breaker_stats(&s, 0).successes, 1);
    scene_close(&s);
}

static void a_caller_that_leaves_after_a_pause_is_young(void **state) {
    struct scene s;
    struct swg_policy_options o = timed();
    scene_open(&s, &o);
    start(&s);
    connected(&s);
    upload(&s, true);
    pass(&s, 5000);
    cancel(&s);
    assert_int_equal(breaker_stats(&s, 0).cancelled, 1);
    assert_int_equal(breaker_stats(&s, 0).consecutive, 0);
    scene_close(&s);
}

static void until_connected_the_service_is_waited_for(void **state) {
    struct scene s;
    struct swg_policy_options o = timed();
    scene_open(&s, &o);
    start(&s);
    upload(&s, true);
    assert_int_equal(s.step.wake_ns, START + SWG_MS(100));
    pass(&s, 80);
    connected(&s); /* the pause begins here */
    assert_int_equal(s.step.wake_ns, SWG_NEVER);
    pass(&s, 1000);
    upload(&s, false);
    assert_int_equal(s.step.wake_ns, START + SWG_MS(2000));
    scene_break_up(&s);
}

static void the_callers_own_deadline_does_not_stand_still(void **state) {
    struct scene s;
    struct swg_policy_options o = timed();
    scene_open(&s, &o);
    s.request.deadline_ns = START + SWG_MS(400);
    start(&s);
    connected(&s);
    upload(&s, true);
    assert_int_equal(s.step.wake_ns, START + SWG_MS(400));
    assert_int_equal(wake(&s), SWG_DO_FINISH);
    assert_int_equal(story(&s)->reason, SWG_REFUSED_DEADLINE);
    assert_int_equal(breaker_stats(&s, 0).failures, 0);
    scene_close(&s);
}

/* ---- the caller goes away ------------------------------------------------------------------ */

static void a_caller_may_leave_at_any_time(void **state) {
    struct swg_tier_options slow_tier = {0};
    enum { LOOKING_UP, ATTEMPTING, WAITING, RELAYING, FALLING_BACK, STATES };
    for (int at = 0; at < STATES; at++) {
        struct scene s;
        struct swg_policy_options o = scene_options();
        o.cache = at == LOOKING_UP;
        o.tier_count = at == FALLING_BACK;
        o.tiers = &slow_tier;
        scene_open(&s, &o);
        s.request.cacheable = true;
        s.request.not_replayable = at == FALLING_BACK;
        start(&s);
        if (at == WAITING || at == FALLING_BACK)
            answer(&s, 503);
        if (at == RELAYING)
            answer(&s, 200);
        assert_int_equal(cancel(&s), SWG_DO_FINISH);
        assert_true(s.step.abandon);
        assert_int_equal(story(&s)->reason, SWG_REFUSED_CANCELLED);
        assert_int_equal(stats(&s).refused[SWG_REFUSED_CANCELLED], 1);
        assert_int_equal(breaker_stats(&s, 0).cancelled, at == ATTEMPTING);
        assert_int_equal(breaker_stats(&s, 0).successes, at == RELAYING);
        assert_int_equal(stats(&s).retries_skipped[SWG_REFUSED_CANCELLED], at == WAITING);
        scene_close(&s);
    }
}

static void a_caller_that_leaves_early_counts_as_nothing_and_late_as_slow(void **state) {
    struct scene s;
    struct swg_policy_options o = scene_options();
    scene_open(&s, &o);
    start(&s);
    connected(&s);
    pass(&s, 999);
    cancel(&s);
    assert_int_equal(breaker_stats(&s, 0).consecutive, 0);
    start(&s);
    connected(&s);
    pass(&s, 1000);
    cancel(&s);
    assert_int_equal(breaker_stats(&s, 0).consecutive, 1);
    scene_close(&s);
}

static void a_caller_that_leaves_the_queue_takes_no_slot(void **state) {
    struct scene s, other;
    open_full(&s, &other);
    assert_int_equal(cancel(&s), SWG_DO_FINISH);
    assert_int_equal(stats(&s).bulkhead.refused_timeout, 0);
    cancel(&other);
    assert_int_equal(s.grants, 0);
    scene_close(&s);
}

/* FINISH must wait for on_grant: until then somebody else knows the call. */
static void a_caller_that_leaves_as_it_is_granted_gives_the_slot_back(void **state) {
    struct scene s, other;
    open_full(&s, &other);
    cancel(&other);
    assert_int_equal(cancel(&s), SWG_DO_WAIT);
    assert_int_equal(cancel(&s), SWG_DO_WAIT);
    assert_int_equal(s.step.wake_ns, SWG_NEVER);
    assert_int_equal(granted(&s), SWG_DO_FINISH);
    assert_int_equal(story(&s)->reason, SWG_REFUSED_CANCELLED);
    assert_int_equal(story(&s)->attempts, 0);
    assert_int_equal(stats(&s).refused[SWG_REFUSED_CANCELLED], 2);
    scene_close(&s);
}

/* ---- draining ---------------------------------------------------------------------------------
 */

static void draining_ends_a_wait_between_attempts(void **state) {
    struct scene s;
    struct swg_policy_options o = scene_options();
    scene_open(&s, &o);
    start(&s);
    assert_int_equal(answer(&s, 503), SWG_DO_WAIT);
    assert_int_equal(shut_down(&s), SWG_DO_FINISH);
    assert_int_equal(story(&s)->reason, SWG_REFUSED_SHUTTING_DOWN);
    assert_int_equal(story(&s)->no_retry, SWG_REFUSED_SHUTTING_DOWN);
    assert_int_equal(stats(&s).retries_skipped[SWG_REFUSED_SHUTTING_DOWN], 1);
    scene_close(&s);
}

static void draining_empties_the_queue(void **state) {
    struct scene s, other;
    open_full(&s, &other);
    assert_int_equal(shut_down(&s), SWG_DO_FINISH);
    assert_int_equal(story(&s)->reason, SWG_REFUSED_SHUTTING_DOWN);
    cancel(&other);
    scene_close(&s);
}

static void draining_honours_a_grant_that_is_on_its_way(void **state) {
    struct scene s, other;
    open_full(&s, &other);
    cancel(&other);
    assert_int_equal(shut_down(&s), SWG_DO_WAIT);
    assert_int_equal(granted(&s), SWG_DO_ATTEMPT);
    scene_break_up(&s);
}

static void draining_lets_an_attempt_go_on_but_not_again(void **state) {
    struct scene s;
    struct swg_policy_options o = scene_options();
    scene_open(&s, &o);
    start(&s);
    assert_int_equal(shut_down(&s), SWG_DO_WAIT);
    assert_int_equal(answer(&s, 503), SWG_DO_RELAY);
    assert_int_equal(story(&s)->no_retry, SWG_REFUSED_SHUTTING_DOWN);
    end(&s, true);
    scene_close(&s);
}

static void draining_a_look_up_leads_to_an_attempt_without_queueing(void **state) {
    struct scene s, other;
    struct swg_policy_options o = scene_options();
    o.bulkhead = (struct swg_bulkhead_options){1, 1, SWG_MS(30)};
    o.cache = true;
    scene_open(&s, &o);
    s.queues = true;
    occupy(&other, &s);
    s.request.cacheable = true;
    start(&s);
    assert_int_equal(shut_down(&s), SWG_DO_WAIT);
    assert_int_equal(cache(&s, false), SWG_DO_FINISH);
    assert_int_equal(story(&s)->reason, SWG_REFUSED_BULKHEAD_FULL);
    cancel(&other);
    scene_close(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_that_succeeds),
        cmocka_unit_test(events_that_come_too_late_change_nothing),
        cmocka_unit_test(a_deadline_that_has_passed_comes_before_all_else),
        cmocka_unit_test(the_rate_limit_comes_before_the_cache),
        cmocka_unit_test(a_caller_may_have_a_limiter_of_its_own),
        cmocka_unit_test(a_fresh_cache_takes_no_slot),
        cmocka_unit_test(also_a_call_without_an_attempt_tells_the_state_it_met),
        cmocka_unit_test(a_cache_that_is_not_fresh_leads_to_an_attempt),
        cmocka_unit_test(no_look_up_without_a_cache_for_this_request),
        cmocka_unit_test(a_look_up_ends_with_the_deadline),
        cmocka_unit_test(the_bulkhead_comes_before_the_breaker),
        cmocka_unit_test(an_open_breaker_refuses_and_tells_when_to_come_back),
        cmocka_unit_test(forced_open_without_end_promises_nothing),
        cmocka_unit_test(a_call_waits_in_the_queue_for_a_grant),
        cmocka_unit_test(the_wait_in_the_queue_ends),
        cmocka_unit_test(the_wait_in_the_queue_never_passes_the_deadline),
        cmocka_unit_test(who_is_granted_as_its_time_ends_has_been_granted),
        cmocka_unit_test(a_grant_after_the_deadline_is_given_back),
        cmocka_unit_test(without_an_on_grant_a_call_never_queues),
        cmocka_unit_test(connecting_has_its_own_timeout),
        cmocka_unit_test(the_first_byte_has_its_own_timeout),
        cmocka_unit_test(the_attempt_has_its_own_timeout),
        cmocka_unit_test(the_total_cuts_an_attempt_and_counts_as_failure),
        cmocka_unit_test(a_short_deadline_of_the_caller_is_not_the_services_fault),
        cmocka_unit_test(a_caller_with_no_less_patience_than_we_have_is_no_excuse),
        cmocka_unit_test(what_the_story_tells_is_of_the_last_attempt),
        cmocka_unit_test(unless_the_service_had_been_slow_for_it),
        cmocka_unit_test(a_timeout_of_ours_at_the_same_time_counts),
        cmocka_unit_test(an_attempt_may_tell_its_timeout_itself),
        cmocka_unit_test(an_answer_that_comes_late_is_still_an_answer),
        cmocka_unit_test(an_attempt_under_way_counts_as_slow_in_time),
        cmocka_unit_test(the_clocks_stand_still_while_the_caller_is_waited_for),
        cmocka_unit_test(a_pause_does_not_make_a_call_slow),
        cmocka_unit_test(a_caller_that_leaves_after_a_pause_is_young),
        cmocka_unit_test(until_connected_the_service_is_waited_for),
        cmocka_unit_test(the_callers_own_deadline_does_not_stand_still),
        cmocka_unit_test(a_caller_may_leave_at_any_time),
        cmocka_unit_test(a_caller_that_leaves_early_counts_as_nothing_and_late_as_slow),
        cmocka_unit_test(a_caller_that_leaves_the_queue_takes_no_slot),
        cmocka_unit_test(a_caller_that_leaves_as_it_is_granted_gives_the_slot_back),
        cmocka_unit_test(draining_ends_a_wait_between_attempts),
        cmocka_unit_test(draining_empties_the_queue),
        cmocka_unit_test(draining_honours_a_grant_that_is_on_its_way),
        cmocka_unit_test(draining_lets_an_attempt_go_on_but_not_again),
        cmocka_unit_test(draining_a_look_up_leads_to_an_attempt_without_queueing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
