/* call_retry_test.c - what the end of an attempt means, and when it is tried
 * again. */
#include "call_scene.h"

/* ---- what counts --------------------------------------------------------------- */

static void statuses_count_as_they_should(void **state) {
    static const struct {
        int status;
        uint64_t successes, failures, overloads;
    } cases[] = {
        {101, 1, 0, 0}, {200, 1, 0, 0}, {204, 1, 0, 0}, {304, 1, 0, 0}, {404, 1, 0, 0},
        {429, 0, 0, 1}, {499, 1, 0, 0}, {500, 0, 1, 0}, {501, 1, 0, 0}, {502, 0, 1, 0},
        {503, 0, 1, 0}, {504, 0, 1, 0}, {505, 1, 0, 0}, {507, 0, 1, 0}, {599, 0, 1, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct scene s;
        struct swg_policy_options o = scene_options();
        o.retry.max = SWG_RETRY_OFF;
        scene_open(&s, &o);
        start(&s);
        assert_int_equal(answer(&s, cases[i].status), SWG_DO_RELAY);
        end(&s, true);
        struct swg_breaker_stats b = breaker_stats(&s, 0);
        assert_int_equal(b.successes, cases[i].successes);
        assert_int_equal(b.failures, cases[i].failures);
        assert_int_equal(b.overloads, cases[i].overloads);
        assert_int_equal(story(&s)->source, SWG_FROM_SERVICE);
        scene_close(&s);
    }
}

static void other_ends_count_as_they_should(void **state) {
    static const struct {
        enum swg_answer_kind kind;
        uint64_t failures, ignored;
    } cases[] = {
        {SWG_CONNECT_FAILED, 1, 0}, {SWG_RESET, 1, 0},     {SWG_RESET_IDLE, 0, 1},
        {SWG_GARBLED, 1, 0},        {SWG_TIMED_OUT, 1, 0}, {SWG_UNAVAILABLE_LOCALLY, 0, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct scene s;
        struct swg_policy_options o = scene_options();
        o.retry.max = SWG_RETRY_OFF;
        scene_open(&s, &o);
        s.request.idempotent = false;
        start(&s);
        assert_int_equal(failed(&s, cases[i].kind), SWG_DO_FINISH);
        assert_false(s.step.abandon);
        struct swg_breaker_stats b = breaker_stats(&s, 0);
        assert_int_equal(b.failures, cases[i].failures);
        assert_int_equal(b.ignored, cases[i].ignored);
        assert_int_equal(b.successes, 0);
        assert_int_equal(story(&s)->source, SWG_FROM_NOWHERE);
        assert_int_equal(story(&s)->last.kind, cases[i].kind);
        scene_close(&s);
    }
}

/* ---- a retry --------------------------------------------------------------------- */

static void a_503_is_given_up_and_tried_again_after_a_wait(void **state) {
    struct scene s;
    struct swg_policy_options o = scene_options();
    scene_open(&s, &o);
    start(&s);
    pass(&s, 10);
    assert_int_equal(answer(&s, 503), SWG_DO_WAIT);
    assert_true(s.step.abandon);
    assert_int_equal(s.step.wake_ns, s.now + SWG_MS(100));
    assert_int_equal(slots(&s), 0); /* a wait holds nothing */
    assert_int_equal(in_flight(&s), 0);
    assert_int_equal(timer(&s), SWG_DO_WAIT);
    assert_int_equal(wake(&s), SWG_DO_ATTEMPT);
    assert_false(s.step.abandon);
    assert_int_equal(slots(&s), 1);
    assert_int_equal(answer(&s, 200), SWG_DO_RELAY);
    end(&s, true);
    assert_int_equal(story(&s)->attempts, 2);
    assert_int_equal(story(&s)->retries, 1);
    assert_int_equal(story(&s)->no_retry, SWG_ADMITTED);
    assert_int_equal(story(&s)->first_attempt_ns, START);
    assert_int_equal(stats(&s).retries, 1);
    assert_int_equal(stats(&s).attempts, 2);
    assert_int_equal(stats(&s).budget_calls, 1);
    assert_int_equal(stats(&s).budget_retries, 1);
    scene_close(&s);
}

static void waits_grow_until_the_retries_are_used_up(void **state) {
    struct scene s;
    struct swg_policy_options o = scene_options();
    o.retry.max = 3;
    scene_open(&s, &o);
    start(&s);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(answer(&s, 500), SWG_DO_WAIT);
        assert_int_equal(s.step.wake_ns, s.now + (SWG_MS(100) << i));
        assert_int_equal(wake(&s), SWG_DO_ATTEMPT);
    }
    assert_int_equal(answer(&s, 500), SWG_DO_RELAY); /* its own words are better than ours */
    assert_int_equal(end(&s, true), SWG_DO_FINISH);
    assert_int_equal(story(&s)->attempts, 4);
    assert_int_equal(story(&s)->retries, 3);
    assert_int_equal(story(&s)->no_retry, SWG_REFUSED_MAX_RETRIES);
    assert_int_equal(stats(&s).retries_skipped[SWG_REFUSED_MAX_RETRIES], 1);
    assert_int_equal(breaker_stats(&s, 0).failures, 4);
    scene_close(&s);
}

static void full_jitter_is_drawn_anew_for_each_call(void **state) {
    uint64_t waits[8], distinct = 0;
    for (uint64_t i = 0; i < 8; i++) {
        struct scene s;
        struct swg_policy_options o = scene_options();
        o.retry.jitter = SWG_JITTER_FULL;
        scene_open(&s, &o);
        s.request.seed = i;
        start(&s);
        assert_int_equal(answer(&s, 500), SWG_DO_WAIT);
        waits[i] = s.step.wake_ns - s.now;
        assert_true(waits[i] <= SWG_MS(100));
        distinct += i > 0 && waits[i] != waits[i - 1];
        scene_break_up(&s);
    }
    assert_int_equal(distinct, 7);
}

static void decorrelated_waits_build_on_the_one_before(void **state) {
    uint64_t longest = 0;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct scene s;
        struct swg_policy_options o = scene_options();
        o.retry.jitter = SWG_JITTER_DECORRELATED;
        scene_open(&s, &o);
        s.request.seed = seed;
        start(&s);
        answer(&s, 500);
        uint64_t first = s.step.wake_ns - s.now;
        wake(&s);
        answer(&s, 500);
        uint64_t second = s.step.wake_ns - s.now;
        assert_in_range(first, SWG_MS(100), SWG_MS(300));
        assert_in_range(second, SWG_MS(100), 3 * first);
        longest = second > longest ? second : longest;
        scene_break_up(&s);
    }
    assert_true(longest > SWG_MS(300));
}

static void what_is_not_on_the_list_is_not_tried_again(void **state) {
    static const int statuses[] = {501, 505, 507, 404};
    for (size_t i = 0; i < 4; i++) {
        struct scene s;
        struct swg_policy_options o = scene_options();
        scene_open(&s, &o);
        start(&s);
        assert_int_equal(answer(&s, statuses[i]), SWG_DO_RELAY);
        assert_int_equal(story(&s)->no_retry, SWG_ADMITTED); /* none was due */
        end(&s, true);
        scene_close(&s);
    }
}

static void the_list_may_name_what_is_no_failure(void **state) {
    struct scene s;
    struct swg_policy_options o = scene_options();
    swg_status_set(o.retry.on_status, 409);
    o.retry.max = 1;
    scene_open(&s, &o);
    start(&s);
    assert_int_equal(answer(&s, 409), SWG_DO_WAIT);
    assert_int_equal(breaker_stats(&s, 0).successes, 1);
    wake(&s);
    assert_int_equal(answer(&s, 409), SWG_DO_RELAY);
    end(&s, true);
    assert_int_equal(breaker_stats(&s, 0).successes, 2);
    start(&s); /* connect is not on this list, nor reset, nor timeout */
    assert_int_equal(failed(&s, SWG_CONNECT_FAILED), SWG_DO_FINISH);
    start(&s);
    assert_int_equal(failed(&s, SWG_RESET), SWG_DO_FINISH);
    start(&s);
    assert_int_equal(failed(&s, SWG_TIMED_OUT), SWG_DO_FINISH);
    assert_int_equal(story(&s)->no_retry, SWG_ADMITTED);
    scene_close(&s);
}

static void each_kind_of_failure_is_tried_again(void **state) {
    static const enum swg_answer_kind kinds[] = {SWG_CONNECT_FAILED, SWG_RESET, SWG_GARBLED,
                                                 SWG_TIMED_OUT};
    for (size_t i = 0; i < 4; i++) {
        struct scene s;
        struct swg_policy_options o = scene_options();
        scene_open(&s, &o);
        start(&s);
        assert_int_equal(failed(&s, kinds[i]), SWG_DO_WAIT);
        assert_false(s.step.abandon); /* it is over by itself */
        assert_int_equal(s.step.wake_ns, s.now + SWG_MS(100));
        assert_int_equal(wake(&s), SWG_DO_ATTEMPT);
        scene_break_up(&s);
    }
}

static void a_timeout_of_ours_is_tried_again(void **state) {
    struct scene s;
    struct swg_policy_options o = scene_options();
    o.timeout.attempt_ns = SWG_MS(500);
    scene_open(&s, &o);
    start(&s);
    connected(&s);
    assert_int_equal(wake(&s), SWG_DO_WAIT);
    assert_true(s.step.abandon);
    assert_int_equal(wake(&s), SWG_DO_ATTEMPT);
    assert_int_equal(s.step.wake_ns, START + SWG_MS(1100));
    answer(&s, 200);
    end(&s, true);
    assert_false(story(&s)->timed_out); /* of the last attempt */
    scene_close(&s);
}

/* ---- what cannot be sent twice ---------------------------------------------------- */

static void a_post_is_not_sent_twice(void **state) {
    static const enum swg_answer_kind kinds[] = {SWG_RESET, SWG_GARBLED, SWG_TIMED_OUT};
    for (size_t i = 0; i < 4; i++) {
        struct scene s;
        struct swg_policy_options o = scene_options();
        scene_open(&s, &o);
        s.request.idempotent = false;
        start(&s);
        if (i == 3)
            assert_int_equal(answer(&s, 503), SWG_DO_RELAY);
        else
            assert_int_equal(failed(&s, kinds[i]), SWG_DO_FINISH);
        end(&s, true);
        assert_int_equal(story(&s)->no_retry, SWG_REFUSED_NOT_IDEMPOTENT);
        assert_int_equal(stats(&s).retries_skipped[SWG_REFUSED_NOT_IDEMPOTENT], 1);
        scene_close(&s);
    }
}

static void unless_the_policy_says_that_any_method_may_be(void **state) {
    struct scene s;
    struct swg_policy_options o = scene_options();
    o.retry.any_method = true;
    scene_open(&s, &o);
    s.request.idempotent = false;
    start(&s);
    assert_int_equal(answer(&s, 503), SWG_DO_WAIT);
    scene_break_up(&s);
}

static void what_was_never_sent_is_tried_again_whatever_the_method(void **state) {
    struct scene s;
    struct swg_policy_options o = scene_options();
    scene_open(&s, &o);
    s.request.idempotent = false;
    start(&s);
    assert_int_equal(failed(&s, SWG_CONNECT_FAILED), SWG_DO_WAIT);
    wake(&s);
    assert_int_equal(wake(&s), SWG_DO_WAIT); /* the connect timeout: the same */
    assert_int_equal(story(&s)->retries, 1);
    assert_int_equal(wake(&s), SWG_DO_ATTEMPT);
    assert_int_equal(answer_after(&s, SWG_RESET, 0, 0), SWG_DO_WAIT); /* in the handshake, say */
    wake(&s);
    connected(&s);
    assert_int_equal(answer_after(&s, SWG_RESET, 0, 0), SWG_DO_FINISH);
    assert_int_equal(story(&s)->no_retry, SWG_REFUSED_NOT_IDEMPOTENT);
    scene_close(&s);
}

/* A driver that cannot tell when it is connected says so beforehand. */
static void a_failed_connect_is_one_whenever_it_is_told(void **state) {
    struct scene s;
    struct swg_policy_options o = scene_options();
    scene_open(&s, &o);
    s.request.idempotent = false;
    start(&s);
    connected(&s);
    assert_int_equal(answer_after(&s, SWG_CONNECT_FAILED, 0, 0), SWG_DO_WAIT);
    scene_break_up(&s);
}

static void whatever_ends_an_attempt_while_connecting_is_one(void **state) {
    struct scene s;
    struct swg_policy_options o = scene_options();
    o.retry.on_connect = true; /* and nothing else */
    scene_open(&s, &o);
    start(&s);
    assert_int_equal(wake(&s), SWG_DO_WAIT); /* the connect timeout */
    wake(&s);
    connected(&s);
    assert_int_equal(wake(&s), SWG_DO_FINISH); /* the attempt's */
    assert_int_equal(story(&s)->no_retry, SWG_ADMITTED);
    scene_close(&s);
}

static void without_its_body_nothing_is_tried_again(void **state) {
    struct scene s;
    struct swg_policy_options o = scene_options();
    scene_open(&s, &o);
    s.request.not_replayable = true;
    start(&s);
    assert_int_equal(failed(&s, SWG_CONNECT_FAILED), SWG_DO_FINISH);
    assert_int_equal(story(&s)->no_retry, SWG_REFUSED_BODY_TOO_LARGE);
    s.request.not_replayable = false;
    start(&s);
    swg_call_not_replayable(&s.call); /* it outgrew what is kept */
    assert_int_equal(answer(&s, 503), SWG_DO_RELAY);
    end(&s, true);
    assert_int_equal(stats(&s).retries_skipped[SWG_REFUSED_BODY_TOO_LARGE], 2);
    scene_close(&s);
}

static void nothing_is_tried_again_once_the_caller_has_had_a_byte(void **state) {
    struct scene s;
    struct swg_policy_options o = scene_options();
    scene_open(&s, &o);
    start(&s);
    swg_call_committed(&s.call);
    assert_int_equal(failed(&s, SWG_RESET), SWG_DO_FINISH);
    assert_int_equal(story(&s)->no_retry, SWG_REFUSED_COMMITTED);
    scene_close(&s);
}

static void retries_can_be_switched_off(void **state) {
    struct scene s;
    struct swg_policy_options o = scene_options();
    o.no_retry = true;
    scene_open(&s, &o);
    start(&s);
    assert_int_equal(answer(&s, 503), SWG_DO_RELAY);
    assert_int_equal(story(&s)->no_retry, SWG_REFUSED_SWITCHED_OFF);
    end(&s, true);
    scene_close(&s);
}

/* ---- time and budget ----------------------------------------------------------------- */

static void retry_after_is_waited_for(void **state) {
    struct scene s;
    struct swg_policy_options o = scene_options();
    scene_open(&s, &o);
    start(&s);
    connected(&s);
    assert_int_equal(answer_after(&s, SWG_ANSWERED, 503, SWG_SECONDS(2)), SWG_DO_WAIT);
    assert_int_equal(s.step.wake_ns, START + SWG_SECONDS(2));
    assert_int_equal(breaker_stats(&s, 0).failures, 1); /* it counts all the same */
    scene_break_up(&s);
}

static void but_not_longer_than_the_policy_allows(void **state) {
    struct scene s;
    struct swg_policy_options o = scene_options();
    o.retry.retry_after_max_ns = SWG_SECONDS(10);
    scene_open(&s, &o);
    start(&s);
    connected(&s);
    assert_int_equal(answer_after(&s, SWG_ANSWERED, 503, SWG_SECONDS(10) + 1), SWG_DO_RELAY);
    assert_int_equal(story(&s)->no_retry, SWG_REFUSED_RETRY_AFTER);
    assert_int_equal(story(&s)->retry_in_ns, SWG_SECONDS(10) + 1);
    end(&s, true);
    start(&s);
    connected(&s);
    assert_int_equal(answer_after(&s, SWG_ANSWERED, 503, SWG_SECONDS(10)), SWG_DO_WAIT);
    scene_break_up(&s);
}

static void a_wait_that_does_not_fit_is_not_begun(void **state) {
    struct scene s;
    struct swg_policy_options o = scene_options();
    o.timeout.total_ns = SWG_SECONDS(2);
    scene_open(&s, &o);
    start(&s);
    connected(&s);
    assert_int_equal(answer_after(&s, SWG_ANSWERED, 503, SWG_SECONDS(2)), SWG_DO_RELAY);
    assert_int_equal(story(&s)->no_retry, SWG_REFUSED_DEADLINE);
    end(&s, true);
    s.request.deadline_ns = s.now + SWG_MS(100);
    start(&s);
    assert_int_equal(failed(&s, SWG_RESET), SWG_DO_FINISH); /* 100 ms of 100 left */
    assert_int_equal(story(&s)->no_retry, SWG_REFUSED_DEADLINE);
    assert_int_equal(story(&s)->reason, SWG_ADMITTED); /* it failed; time was not the cause */
    s.request.deadline_ns = s.now + SWG_MS(100) + 1;
    start(&s);
    assert_int_equal(failed(&s, SWG_RESET), SWG_DO_WAIT);
    assert_int_equal(stats(&s).retries_skipped[SWG_REFUSED_DEADLINE], 2);
    assert_int_equal(stats(&s).budget_retries, 1); /* refused ones cost nothing */
    scene_break_up(&s);
}

static void overload_is_relayed_unless_it_names_a_time(void **state) {
    struct scene s;
    struct swg_policy_options o = scene_options();
    scene_open(&s, &o);
    start(&s);
    assert_int_equal(answer(&s, 429), SWG_DO_RELAY);
    assert_int_equal(story(&s)->no_retry, SWG_ADMITTED);
    end(&s, true);
    start(&s);
    connected(&s);
    assert_int_equal(answer_after(&s, SWG_ANSWERED, 429, SWG_SECONDS(3)), SWG_DO_WAIT);
    assert_int_equal(s.step.wake_ns, s.now + SWG_SECONDS(3));
    cancel(&s);
    start(&s);
    connected(&s);
    assert_int_equal(answer_after(&s, SWG_ANSWERED, 429, SWG_SECONDS(31)), SWG_DO_RELAY);
    assert_int_equal(story(&s)->no_retry, SWG_REFUSED_RETRY_AFTER);
    end(&s, true);
    assert_int_equal(breaker_stats(&s, 0).overloads, 3);
    assert_int_equal(breaker_stats(&s, 0).window_failures, 0);
    scene_close(&s);
}

static void overload_may_be_on_the_list(void **state) {
    struct scene s;
    struct swg_policy_options o = scene_options();
    swg_status_set(o.retry.on_status, 429);
    scene_open(&s, &o);
    start(&s);
    assert_int_equal(answer(&s, 429), SWG_DO_WAIT);
    assert_int_equal(s.step.wake_ns, s.now + SWG_MS(100));
    scene_break_up(&s);
}

static void without_budget_there_is_no_retry(void **state) {
    struct scene s;
    struct swg_policy_options o = scene_options();
    o.budget = (struct swg_budget_options){.percent = 50, .floor_per_s = SWG_BUDGET_NONE};
    scene_open(&s, &o);
    start(&s);
    assert_int_equal(answer(&s, 503), SWG_DO_RELAY); /* half a retry for one call */
    assert_int_equal(story(&s)->no_retry, SWG_REFUSED_BUDGET);
    end(&s, true);
    start(&s);
    assert_int_equal(answer(&s, 503), SWG_DO_WAIT);
    assert_int_equal(wake(&s), SWG_DO_ATTEMPT);
    assert_int_equal(answer(&s, 503), SWG_DO_RELAY);
    end(&s, true);
    assert_int_equal(stats(&s).retries_skipped[SWG_REFUSED_BUDGET], 2);
    scene_close(&s);
}

/* ---- endpoints -------------------------------------------------------------------------- */

static void the_next_attempt_goes_elsewhere(void **state) {
    struct scene s;
    struct swg_policy_options o = scene_options();
    o.endpoint_count = 3;
    scene_open(&s, &o);
    start(&s);
    unsigned seen = 1u << s.step.endpoint;
    for (int i = 0; i < 2; i++) {
        answer(&s, 503);
        assert_int_equal(wake(&s), SWG_DO_ATTEMPT);
        seen |= 1u << s.step.endpoint;
    }
    assert_int_equal(seen, 7);
    scene_break_up(&s);
}

static void who_cannot_be_reached_is_replaced_at_once(void **state) {
    static const enum swg_answer_kind kinds[] = {SWG_CONNECT_FAILED, SWG_RESET};
    for (size_t i = 0; i < 2; i++) {
        struct scene s, other;
        struct swg_policy_options o = scene_options();
        o.endpoint_count = 2;
        o.bulkhead.concurrent = 1;
        scene_open(&s, &o);
        start(&s);
        uint32_t first = s.step.endpoint;
        assert_int_equal(failed(&s, kinds[i]), SWG_DO_ATTEMPT);
        assert_int_not_equal(s.step.endpoint, first);
        assert_int_equal(story(&s)->retries, 1);
        assert_int_equal(stats(&s).budget_retries, 1);
        assert_int_equal(stats(&s).bulkhead.admitted, 1); /* the slot was kept */
        other = s;
        assert_int_equal(start(&other), SWG_DO_FINISH);
        assert_int_equal(failed(&s, kinds[i]), SWG_DO_WAIT); /* both have been tried */
        scene_break_up(&s);
    }
}

static void also_who_does_not_let_us_connect(void **state) {
    struct scene s;
    struct swg_policy_options o = scene_options();
    o.endpoint_count = 3;
    scene_open(&s, &o);
    start(&s);
    assert_int_equal(wake(&s), SWG_DO_ATTEMPT); /* the connect timeout */
    assert_true(s.step.abandon);
    assert_int_equal(answer_after(&s, SWG_GARBLED, 0, 0), SWG_DO_ATTEMPT);
    scene_break_up(&s);
}

static void without_breakers_all_others_are_good(void **state) {
    struct scene s;
    struct swg_policy_options o = scene_options();
    o.no_breaker = true;
    o.endpoint_count = 2;
    scene_open(&s, &o);
    start(&s);
    assert_int_equal(failed(&s, SWG_CONNECT_FAILED), SWG_DO_ATTEMPT);
    cancel(&s);
    start(&s);
    uint32_t other = 1 - s.step.endpoint; /* but what an operator has opened */
    swg_breaker_force(swg_policy_breaker(s.policy, other), SWG_FORCED_OPEN, SWG_NEVER, s.now);
    assert_int_equal(failed(&s, SWG_CONNECT_FAILED), SWG_DO_WAIT);
    scene_break_up(&s);
}

static void what_can_be_repeated_tries_out_a_sick_endpoint(void **state) {
    enum { GET, POST, BODY_GONE, NO_RETRIES, ANY_METHOD, CASES };
    static const bool probes[CASES] = {true, false, false, false, true};
    for (int i = 0; i < CASES; i++) {
        struct scene s;
        struct swg_policy_options o = scene_options();
        o.endpoint_count = 2;
        o.no_retry = i == NO_RETRIES;
        o.retry.any_method = i == ANY_METHOD;
        scene_open(&s, &o);
        swg_breaker_force(swg_policy_breaker(s.policy, 0), SWG_FORCED_OPEN, SWG_MS(100), s.now);
        pass(&s, 100); /* over: a probe is due */
        s.request.idempotent = i == GET || i == BODY_GONE || i == NO_RETRIES;
        s.request.not_replayable = i == BODY_GONE;
        assert_int_equal(start(&s), SWG_DO_ATTEMPT);
        assert_int_equal(s.step.probe, probes[i]);
        scene_break_up(&s);
    }
}

static void but_an_answer_is_always_waited_after(void **state) {
    struct scene s;
    struct swg_policy_options o = scene_options();
    o.endpoint_count = 2;
    scene_open(&s, &o);
    start(&s);
    assert_int_equal(answer(&s, 500), SWG_DO_WAIT);
    cancel(&s);
    start(&s);
    assert_int_equal(failed(&s, SWG_TIMED_OUT), SWG_DO_WAIT);
    scene_break_up(&s);
}

static void nor_is_a_sick_endpoint_tried_in_haste(void **state) {
    struct scene s;
    struct swg_policy_options o = scene_options();
    o.endpoint_count = 2;
    scene_open(&s, &o);
    start(&s);
    uint32_t other = 1 - s.step.endpoint;
    swg_breaker_force(swg_policy_breaker(s.policy, other), SWG_FORCED_OPEN, SWG_NEVER, s.now);
    assert_int_equal(failed(&s, SWG_CONNECT_FAILED), SWG_DO_WAIT);
    scene_break_up(&s);
}

/* ---- the breaker opens meanwhile ----------------------------------------------------------- */

static void a_retry_that_would_be_refused_is_not_waited_for(void **state) {
    struct scene s;
    struct swg_policy_options o = scene_options();
    o.breaker = (struct swg_breaker_options){.consecutive = 2};
    scene_open(&s, &o);
    start(&s);
    assert_int_equal(answer(&s, 503), SWG_DO_WAIT);
    wake(&s);
    assert_int_equal(answer(&s, 503), SWG_DO_RELAY); /* opened: the answer is kept for the caller */
    assert_int_equal(story(&s)->no_retry, SWG_REFUSED_OPEN);
    assert_int_equal(stats(&s).retries_skipped[SWG_REFUSED_OPEN], 1);
    assert_int_equal(stats(&s).budget_retries, 1);
    end(&s, true);
    scene_close(&s);
}

static void nor_one_that_an_operator_refuses(void **state) {
    struct scene s;
    struct swg_policy_options o = scene_options();
    scene_open(&s, &o);
    start(&s);
    swg_policy_force(s.policy, SWG_FORCED_OPEN, SWG_NEVER, s.now);
    assert_int_equal(answer(&s, 503), SWG_DO_RELAY);
    assert_int_equal(story(&s)->no_retry, SWG_REFUSED_FORCED_OPEN);
    end(&s, true);
    scene_close(&s);
}

static void but_one_that_comes_when_the_open_time_is_over_is_a_probe(void **state) {
    struct scene s;
    struct swg_policy_options o = scene_options();
    o.breaker = (struct swg_breaker_options){
        .consecutive = 1, .open_ns = SWG_MS(60), .jitter_percent = 101};
    scene_open(&s, &o);
    start(&s);
    assert_int_equal(answer(&s, 503), SWG_DO_WAIT);
    assert_int_equal(wake(&s), SWG_DO_ATTEMPT);
    assert_true(s.step.probe);
    scene_break_up(&s);
}

static void a_breaker_that_opens_during_the_wait_refuses_the_retry(void **state) {
    struct scene s;
    struct swg_policy_options o = scene_options();
    scene_open(&s, &o);
    start(&s);
    answer(&s, 503);
    swg_policy_force(s.policy, SWG_FORCED_OPEN, SWG_NEVER, s.now);
    assert_int_equal(wake(&s), SWG_DO_FINISH);
    assert_int_equal(story(&s)->reason, SWG_REFUSED_FORCED_OPEN);
    assert_int_equal(story(&s)->no_retry, SWG_REFUSED_FORCED_OPEN);
    assert_int_equal(story(&s)->attempts, 1);
    assert_int_equal(story(&s)->retries, 0);
    assert_int_equal(stats(&s).retries, 0);
    assert_int_equal(stats(&s).retries_skipped[SWG_REFUSED_FORCED_OPEN], 1);
    assert_int_equal(story(&s)->last.status, 503);
    scene_close(&s);
}

static void a_full_bulkhead_refuses_the_retry(void **state) {
    struct scene s, other;
    struct swg_policy_options o = scene_options();
    o.bulkhead.concurrent = 1;
    scene_open(&s, &o);
    start(&s);
    answer(&s, 503);
    other = s;
    assert_int_equal(start(&other), SWG_DO_ATTEMPT);
    assert_int_equal(wake(&s), SWG_DO_FINISH);
    assert_int_equal(story(&s)->reason, SWG_REFUSED_BULKHEAD_FULL);
    assert_int_equal(story(&s)->no_retry, SWG_REFUSED_BULKHEAD_FULL);
    cancel(&other);
    scene_close(&s);
}

/* ---- an idle connection that had been closed --------------------------------------------------
 */

static void a_closed_idle_connection_is_replaced_once_at_once(void **state) {
    struct scene s;
    struct swg_policy_options o = scene_options();
    scene_open(&s, &o);
    start(&s);
    assert_int_equal(failed(&s, SWG_RESET_IDLE), SWG_DO_ATTEMPT);
    assert_int_equal(story(&s)->attempts, 2);
    assert_int_equal(story(&s)->retries, 0);
    assert_int_equal(stats(&s).budget_retries, 0);
    assert_int_equal(stats(&s).retries, 0);
    assert_int_equal(breaker_stats(&s, 0).ignored, 1);
    assert_int_equal(failed(&s, SWG_RESET_IDLE), SWG_DO_WAIT); /* again: a retry like others */
    assert_int_equal(stats(&s).budget_retries, 1);
    assert_int_equal(breaker_stats(&s, 0).ignored, 2);
    assert_int_equal(breaker_stats(&s, 0).failures, 0);
    wake(&s);
    assert_int_equal(story(&s)->attempts, 3);
    assert_int_equal(story(&s)->retries, 1);
    scene_break_up(&s);
}

static void also_where_retries_are_off_but_not_what_cannot_be_repeated(void **state) {
    struct scene s;
    struct swg_policy_options o = scene_options();
    o.no_retry = true;
    scene_open(&s, &o);
    start(&s);
    assert_int_equal(failed(&s, SWG_RESET_IDLE), SWG_DO_ATTEMPT);
    cancel(&s);
    s.request.not_replayable = true;
    start(&s);
    assert_int_equal(failed(&s, SWG_RESET_IDLE), SWG_DO_FINISH);
    s.request = (struct swg_request){.idempotent = false};
    start(&s);
    assert_int_equal(failed(&s, SWG_RESET_IDLE), SWG_DO_FINISH);
    s.request.idempotent = true;
    start(&s);
    shut_down(&s);
    assert_int_equal(failed(&s, SWG_RESET_IDLE), SWG_DO_FINISH);
    scene_close(&s);
}

static void it_says_nothing_about_the_endpoint(void **state) {
    struct scene s;
    struct swg_policy_options o = scene_options();
    o.endpoint_count = 2;
    scene_open(&s, &o);
    start(&s);
    uint32_t first = s.step.endpoint, other = 1 - first;
    swg_breaker_force(swg_policy_breaker(s.policy, other), SWG_FORCED_OPEN, SWG_NEVER, s.now);
    assert_int_equal(failed(&s, SWG_RESET_IDLE), SWG_DO_ATTEMPT);
    assert_int_equal(s.step.endpoint, first);
    scene_break_up(&s);
}

/* ---- our own fault
 * -------------------------------------------------------------------------------- */

static void what_we_could_not_even_try_is_not_tried_again(void **state) {
    struct scene s;
    struct swg_policy_options o = scene_options();
    scene_open(&s, &o);
    start(&s);
    assert_int_equal(answer_after(&s, SWG_UNAVAILABLE_LOCALLY, 0, 0), SWG_DO_FINISH);
    assert_int_equal(story(&s)->reason, SWG_REFUSED_UNAVAILABLE_LOCALLY);
    assert_int_equal(story(&s)->no_retry, SWG_ADMITTED);
    assert_int_equal(breaker_stats(&s, 0).ignored, 1);
    assert_int_equal(stats(&s).refused[SWG_REFUSED_UNAVAILABLE_LOCALLY], 1);
    scene_close(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(statuses_count_as_they_should),
        cmocka_unit_test(other_ends_count_as_they_should),
        cmocka_unit_test(a_503_is_given_up_and_tried_again_after_a_wait),
        cmocka_unit_test(waits_grow_until_the_retries_are_used_up),
        cmocka_unit_test(full_jitter_is_drawn_anew_for_each_call),
        cmocka_unit_test(decorrelated_waits_build_on_the_one_before),
        cmocka_unit_test(what_is_not_on_the_list_is_not_tried_again),
        cmocka_unit_test(the_list_may_name_what_is_no_failure),
        cmocka_unit_test(each_kind_of_failure_is_tried_again),
        cmocka_unit_test(a_timeout_of_ours_is_tried_again),
        cmocka_unit_test(a_post_is_not_sent_twice),
        cmocka_unit_test(unless_the_policy_says_that_any_method_may_be),
        cmocka_unit_test(what_was_never_sent_is_tried_again_whatever_the_method),
        cmocka_unit_test(a_failed_connect_is_one_whenever_it_is_told),
        cmocka_unit_test(whatever_ends_an_attempt_while_connecting_is_one),
        cmocka_unit_test(without_its_body_nothing_is_tried_again),
        cmocka_unit_test(nothing_is_tried_again_once_the_caller_has_had_a_byte),
        cmocka_unit_test(retries_can_be_switched_off),
        cmocka_unit_test(retry_after_is_waited_for),
        cmocka_unit_test(but_not_longer_than_the_policy_allows),
        cmocka_unit_test(a_wait_that_does_not_fit_is_not_begun),
        cmocka_unit_test(overload_is_relayed_unless_it_names_a_time),
        cmocka_unit_test(overload_may_be_on_the_list),
        cmocka_unit_test(without_budget_there_is_no_retry),
        cmocka_unit_test(the_next_attempt_goes_elsewhere),
        cmocka_unit_test(who_cannot_be_reached_is_replaced_at_once),
        cmocka_unit_test(also_who_does_not_let_us_connect),
        cmocka_unit_test(without_breakers_all_others_are_good),
        cmocka_unit_test(what_can_be_repeated_tries_out_a_sick_endpoint),
        cmocka_unit_test(but_an_answer_is_always_waited_after),
        cmocka_unit_test(nor_is_a_sick_endpoint_tried_in_haste),
        cmocka_unit_test(a_retry_that_would_be_refused_is_not_waited_for),
        cmocka_unit_test(nor_one_that_an_operator_refuses),
        cmocka_unit_test(but_one_that_comes_when_the_open_time_is_over_is_a_probe),
        cmocka_unit_test(a_breaker_that_opens_during_the_wait_refuses_the_retry),
        cmocka_unit_test(a_full_bulkhead_refuses_the_retry),
        cmocka_unit_test(a_closed_idle_connection_is_replaced_once_at_once),
        cmocka_unit_test(also_where_retries_are_off_but_not_what_cannot_be_repeated),
        cmocka_unit_test(it_says_nothing_about_the_endpoint),
        cmocka_unit_test(what_we_could_not_even_try_is_not_tried_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
