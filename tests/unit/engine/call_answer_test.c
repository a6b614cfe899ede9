/* call_answer_test.c - who answers the caller: the service, while its answer
 * is relayed, or the tiers of the fallback chain. */
#include "call_scene.h"

/* ---- relaying ------------------------------------------------------------------ */

static void an_answer_holds_its_slot_until_it_ends(void **state) {
    struct scene s;
    struct swg_policy_options o = scene_options();
    o.timeout = (struct swg_timeout_options){.attempt_ns = SWG_MS(500), .total_ns = SWG_SECONDS(1)};
    scene_open(&s, &o);
    start(&s);
    pass(&s, 100);
    answer(&s, 200);
    assert_int_equal(s.step.wake_ns, START + SWG_MS(1100)); /* no deadline any more */
    pass(&s, 60000);
    assert_int_equal(timer(&s), SWG_DO_WAIT);
    assert_int_equal(slots(&s), 1);
    assert_int_equal(in_flight(&s), 1);
    end(&s, true);
    assert_int_equal(story(&s)->source, SWG_FROM_SERVICE);
    scene_close(&s);
}

static void an_answer_that_ends_well_is_a_success(void **state) {
    struct scene s;
    struct swg_policy_options o = scene_options();
    scene_open(&s, &o);
    start(&s);
    answer(&s, 200);
    assert_int_equal(breaker_stats(&s, 0).successes, 0); /* not before its end */
    pass(&s, 500);
    end(&s, true);
    assert_int_equal(breaker_stats(&s, 0).successes, 1);
    scene_close(&s);
}

static void an_answer_that_breaks_off_is_a_failure(void **state) {
    struct scene s;
    struct swg_policy_options o = scene_options();
    scene_open(&s, &o);
    start(&s);
    answer(&s, 200);
    pass(&s, 500);
    assert_int_equal(end(&s, false), SWG_DO_FINISH);
    assert_true(story(&s)->broke_off);
    assert_int_equal(story(&s)->source, SWG_FROM_SERVICE);
    assert_int_equal(breaker_stats(&s, 0).failures, 1);
    assert_int_equal(breaker_stats(&s, 0).successes, 0);
    assert_int_equal(breaker_stats(&s, 0).consecutive, 1);
    scene_close(&s);
}

static void a_long_answer_is_judged_a_second_after_its_head(void **state) {
    struct scene s;
    struct swg_policy_options o = scene_options();
    scene_open(&s, &o);
    start(&s);
    pass(&s, 20);
    answer(&s, 200);
    assert_int_equal(wake(&s), SWG_DO_WAIT);
    assert_int_equal(s.now, START + SWG_MS(1020));
    assert_int_equal(s.step.wake_ns, SWG_NEVER);
    assert_int_equal(breaker_stats(&s, 0).successes, 1);
    assert_int_equal(slots(&s), 1);
    end(&s, true);
    assert_int_equal(breaker_stats(&s, 0).successes, 1);
    scene_close(&s);
}

static void if_it_breaks_off_after_that_it_is_one_more_failure(void **state) {
    struct scene s;
    struct swg_policy_options o = scene_options();
    scene_open(&s, &o);
    start(&s);
    answer(&s, 200);
    wake(&s);
    pass(&s, 5000);
    end(&s, false);
    assert_int_equal(breaker_stats(&s, 0).successes, 1);
    assert_int_equal(breaker_stats(&s, 0).failures, 1);
    assert_int_equal(breaker_stats(&s, 0).consecutive, 1);
    scene_close(&s);
}

static void a_probe_is_free_again_a_second_after_the_head(void **state) {
    struct scene s;
    struct swg_policy_options o = scene_options();
    o.breaker = (struct swg_breaker_options){.consecutive = 1,
                                             .open_ns = SWG_SECONDS(1),
                                             .probes = 1,
                                             .close_after = 1,
                                             .jitter_percent = 101};
    o.no_retry = true;
    scene_open(&s, &o);
    start(&s);
    answer(&s, 500);
    end(&s, true);
    pass(&s, 1000);
    start(&s);
    assert_true(s.step.probe);
    answer(&s, 200);
    assert_int_equal(breaker_stats(&s, 0).state, SWG_HALF_OPEN);
    wake(&s);
    assert_int_equal(breaker_stats(&s, 0).state, SWG_CLOSED);
    end(&s, true);
    scene_close(&s);
}

/* How long the body takes says nothing about the service: the reader may be
 * slow. What counts is the time to the head. */
static void slowness_is_measured_at_the_head(void **state) {
    static const struct { uint64_t head_ms, slow; } cases[] = {{100, 0}, {300, 1}};
    for (int by_end = 0; by_end < 2; by_end++) {
        for (int i = 0; i < 2; i++) {
            struct scene s;
            struct swg_policy_options o = scene_options();
            o.breaker =
                (struct swg_breaker_options){.slow_percent = 100, .slow_call_ns = SWG_MS(200)};
            scene_open(&s, &o);
            start(&s);
            pass(&s, cases[i].head_ms);
            answer(&s, 200);
            if (!by_end)
                wake(&s);
            pass(&s, 900);
            end(&s, true);
            assert_int_equal(breaker_stats(&s, 0).slow, cases[i].slow);
            assert_int_equal(breaker_stats(&s, 0).successes, 1);
            scene_close(&s);
        }
    }
}

static void a_caller_that_leaves_a_good_answer_had_a_success(void **state) {
    struct scene s;
    struct swg_policy_options o = scene_options();
    scene_open(&s, &o);
    start(&s);
    answer(&s, 200);
    pass(&s, 500);
    assert_int_equal(cancel(&s), SWG_DO_FINISH);
    assert_true(s.step.abandon);
    assert_int_equal(breaker_stats(&s, 0).successes, 1);
    assert_int_equal(breaker_stats(&s, 0).cancelled, 0);
    scene_close(&s);
}

static void a_failing_answer_counts_once_however_it_ends(void **state) {
    for (int whole = 0; whole < 2; whole++) {
        struct scene s;
        struct swg_policy_options o = scene_options();
        o.no_retry = true;
        scene_open(&s, &o);
        start(&s);
        answer(&s, 500);
        assert_int_equal(breaker_stats(&s, 0).failures, 1); /* at once */
        assert_int_equal(s.step.wake_ns, SWG_NEVER);
        end(&s, whole);
        assert_int_equal(breaker_stats(&s, 0).failures, 1);
        scene_close(&s);
    }
}

static void without_a_breaker_a_broken_answer_opens_nothing(void **state) {
    struct scene s;
    struct swg_policy_options o = scene_options();
    o.no_breaker = true;
    o.breaker = (struct swg_breaker_options){.consecutive = 1};
    scene_open(&s, &o);
    start(&s);
    answer(&s, 200);
    wake(&s);
    end(&s, false);
    start(&s);
    answer(&s, 200);
    end(&s, false);
    assert_int_equal(breaker_stats(&s, 0).state, SWG_CLOSED);
    scene_close(&s);
}

/* ---- the fallback chain ------------------------------------------------------------- */

static const struct swg_tier_options plain[3];

static struct swg_policy_options with_tiers(uint32_t count, const struct swg_tier_options *tiers) {
    struct swg_policy_options o = scene_options();
    o.no_retry = true;
    o.timeout.total_ns = SWG_SECONDS(10);
    o.tier_count = count;
    o.tiers = tiers;
    return o;
}

static void a_tier_answers_in_place_of_a_failing_answer(void **state) {
    struct scene s;
    struct swg_policy_options o = with_tiers(2, plain);
    scene_open(&s, &o);
    start(&s);
    assert_int_equal(answer(&s, 503), SWG_DO_FALL_BACK);
    assert_false(s.step.abandon); /* the answer is kept, unread */
    assert_int_equal(s.step.tier, 0);
    assert_int_equal(s.step.tier_deadline_ns, START + SWG_SECONDS(10));
    assert_int_equal(breaker_stats(&s, 0).failures, 1); /* known at once */
    assert_int_equal(slots(&s), 1);
    assert_int_equal(tier(&s, false), SWG_DO_FALL_BACK);
    assert_int_equal(s.step.tier, 1);
    assert_false(s.step.abandon);
    assert_int_equal(tier(&s, true), SWG_DO_FINISH);
    assert_true(s.step.abandon); /* now it is not needed any more */
    assert_int_equal(story(&s)->source, SWG_FROM_TIER);
    assert_int_equal(story(&s)->tier, 1);
    assert_int_equal(story(&s)->no_retry, SWG_REFUSED_SWITCHED_OFF);
    assert_int_equal(story(&s)->last.status, 503);
    scene_close(&s);
}

static void the_kept_answer_is_relayed_when_no_tier_can(void **state) {
    struct scene s;
    struct swg_policy_options o = with_tiers(2, plain);
    scene_open(&s, &o);
    start(&s);
    pass(&s, 30);
    answer(&s, 500);
    pass(&s, 70);
    tier(&s, false);
    assert_int_equal(tier(&s, false), SWG_DO_RELAY);
    assert_false(s.step.abandon);
    assert_int_equal(slots(&s), 1);
    assert_int_equal(end(&s, true), SWG_DO_FINISH);
    assert_int_equal(story(&s)->source, SWG_FROM_SERVICE);
    assert_int_equal(story(&s)->head_ns, START + SWG_MS(30));
    assert_int_equal(breaker_stats(&s, 0).failures, 1);
    assert_int_equal(breaker_stats(&s, 0).successes, 0);
    scene_close(&s);
}

static void overload_falls_back_as_well(void **state) {
    struct scene s;
    struct swg_policy_options o = with_tiers(1, plain);
    scene_open(&s, &o);
    start(&s);
    assert_int_equal(answer(&s, 429), SWG_DO_FALL_BACK);
    assert_int_equal(tier(&s, true), SWG_DO_FINISH);
    scene_close(&s);
}

/* The call is somebody's fallback: another one may do better. */
static void a_failing_answer_that_is_of_no_use_is_not_relayed(void **state) {
    struct scene s;
    struct swg_policy_options o = with_tiers(1, plain);
    scene_open(&s, &o);
    s.request.good_only = true;
    start(&s);
    assert_int_equal(answer(&s, 500), SWG_DO_FALL_BACK);
    assert_int_equal(tier(&s, false), SWG_DO_FINISH);
    assert_true(s.step.abandon);
    assert_int_equal(story(&s)->source, SWG_FROM_NOWHERE);
    start(&s);
    assert_int_equal(answer(&s, 429), SWG_DO_FALL_BACK);
    assert_int_equal(tier(&s, true), SWG_DO_FINISH);
    start(&s);
    assert_int_equal(answer(&s, 404), SWG_DO_RELAY);
    end(&s, true);
    scene_close(&s);
}

static void a_good_answer_needs_no_tier(void **state) {
    static const int statuses[] = {200, 301, 404, 501, 505};
    for (size_t i = 0; i < 5; i++) {
        struct scene s;
        struct swg_policy_options o = with_tiers(1, plain);
        scene_open(&s, &o);
        start(&s);
        assert_int_equal(answer(&s, statuses[i]), SWG_DO_RELAY);
        end(&s, true);
        scene_close(&s);
    }
}

static void a_failure_without_an_answer_keeps_nothing(void **state) {
    struct scene s;
    struct swg_policy_options o = with_tiers(1, plain);
    scene_open(&s, &o);
    start(&s);
    assert_int_equal(failed(&s, SWG_RESET), SWG_DO_FALL_BACK);
    assert_int_equal(slots(&s), 0);
    assert_int_equal(in_flight(&s), 0);
    assert_int_equal(tier(&s, false), SWG_DO_FINISH);
    assert_int_equal(story(&s)->source, SWG_FROM_NOWHERE);
    scene_close(&s);
}

static void every_refusal_falls_back(void **state) {
    enum { DEADLINE, RATE, BULKHEAD, BREAKER, CASES };
    static const enum swg_refusal reasons[] = {SWG_REFUSED_DEADLINE, SWG_REFUSED_RATE_LIMITED,
                                               SWG_REFUSED_BULKHEAD_FULL, SWG_REFUSED_FORCED_OPEN};
    static const struct swg_tier_options instant = {.instant = true};
    for (int i = 0; i < CASES; i++) {
        struct scene s, other;
        struct swg_policy_options o = with_tiers(1, &instant);
        o.bulkhead.concurrent = i == BULKHEAD ? 1 : 5;
        o.rate = (struct swg_rate_options){.calls = i == RATE, .burst = 1};
        scene_open(&s, &o);
        other = s;
        start(&other);
        s.request.deadline_ns = i == DEADLINE ? START : 0;
        if (i == BREAKER)
            swg_policy_force(s.policy, SWG_FORCED_OPEN, SWG_NEVER, s.now);
        assert_int_equal(start(&s), SWG_DO_FALL_BACK);
        assert_int_equal(tier(&s, true), SWG_DO_FINISH);
        assert_false(s.step.abandon); /* nothing is kept */
        assert_int_equal(story(&s)->reason, reasons[i]);
        assert_int_equal(story(&s)->source, SWG_FROM_TIER);
        assert_int_equal(story(&s)->attempts, 0);
        cancel(&other);
        scene_close(&s);
    }
}

static void a_tier_has_its_share_of_what_is_left(void **state) {
    static const struct swg_tier_options tiers[] = {
        {.share_percent = 50}, {.share_percent = 25}, {.share_percent = 0}};
    struct scene s;
    struct swg_policy_options o = with_tiers(3, tiers);
    scene_open(&s, &o);
    start(&s);
    pass(&s, 2000);
    failed(&s, SWG_RESET);
    assert_int_equal(s.step.tier_deadline_ns, START + SWG_SECONDS(6));
    assert_int_equal(s.step.wake_ns, START + SWG_SECONDS(6));
    assert_int_equal(wake(&s), SWG_DO_FALL_BACK);
    assert_true(s.step.abandon); /* the tier */
    assert_int_equal(s.step.tier, 1);
    assert_int_equal(s.step.tier_deadline_ns, START + SWG_SECONDS(7));
    assert_int_equal(timer(&s), SWG_DO_WAIT);
    tier(&s, false);
    assert_int_equal(s.step.tier_deadline_ns, START + SWG_SECONDS(10));
    assert_int_equal(wake(&s), SWG_DO_FINISH);
    assert_true(s.step.abandon);
    scene_close(&s);
}

static void a_share_is_exact(void **state) {
    static const struct swg_tier_options half = {.share_percent = 50};
    struct scene s;
    struct swg_policy_options o = with_tiers(1, &half);
    o.timeout.total_ns = SWG_SECONDS(10) + 99;
    scene_open(&s, &o);
    start(&s);
    failed(&s, SWG_RESET);
    assert_int_equal(s.step.tier_deadline_ns, START + SWG_SECONDS(5) + 49);
    scene_break_up(&s);
}

static void a_tier_has_at_least_a_millisecond_within_the_deadline(void **state) {
    static const struct swg_tier_options tiers[] = {{.share_percent = 1}, {0}};
    struct scene s;
    struct swg_policy_options o = with_tiers(2, tiers);
    scene_open(&s, &o);
    start(&s);
    pass(&s, 9998);
    failed(&s, SWG_RESET);
    assert_int_equal(s.step.tier_deadline_ns, START + SWG_MS(9999));
    s.now = START + SWG_SECONDS(10) - 1000;
    tier(&s, false);
    assert_int_equal(s.step.tier_deadline_ns, START + SWG_SECONDS(10));
    tier(&s, false);
    scene_close(&s);
}

static void a_kept_answer_survives_a_tier_that_takes_too_long(void **state) {
    struct scene s;
    struct swg_policy_options o = with_tiers(1, plain);
    scene_open(&s, &o);
    start(&s);
    answer(&s, 502);
    assert_int_equal(wake(&s), SWG_DO_RELAY);
    assert_true(s.step.abandon); /* the tier, not the answer */
    end(&s, true);
    assert_int_equal(story(&s)->source, SWG_FROM_SERVICE);
    scene_close(&s);
}

static void without_time_left_only_instant_tiers_are_tried(void **state) {
    static const struct swg_tier_options tiers[] = {{0}, {.instant = true}, {0}, {.instant = true}};
    struct scene s;
    struct swg_policy_options o = with_tiers(4, tiers);
    scene_open(&s, &o);
    start(&s);
    connected(&s);
    assert_int_equal(wake(&s), SWG_DO_FALL_BACK); /* the total is over */
    assert_true(s.step.abandon);
    assert_int_equal(s.step.tier, 1);
    assert_true(s.step.tier_deadline_ns >= s.now + SWG_MS(1));
    assert_int_equal(tier(&s, false), SWG_DO_FALL_BACK);
    assert_int_equal(s.step.tier, 3);
    tier(&s, true);
    assert_int_equal(story(&s)->reason, SWG_REFUSED_DEADLINE);
    assert_int_equal(story(&s)->tier, 3);
    scene_close(&s);
}

static void a_tier_with_a_floor_has_it_also_when_no_time_is_left(void **state) {
    static const struct swg_tier_options tiers[] = {{0}, {.floor_ns = SWG_SECONDS(2)}};
    struct scene s;
    struct swg_policy_options o = with_tiers(2, tiers);
    scene_open(&s, &o);
    start(&s);
    connected(&s);
    assert_int_equal(wake(&s), SWG_DO_FALL_BACK);
    assert_int_equal(s.step.tier, 1);
    assert_int_equal(s.step.tier_deadline_ns, s.now + SWG_SECONDS(2));
    tier(&s, true);
    scene_close(&s);
}

static void tiers_for_writes_serve_writes(void **state) {
    static const struct swg_tier_options tiers[] = {{.for_writes_only = true}, {0}};
    for (int safe = 0; safe < 2; safe++) {
        struct scene s;
        struct swg_policy_options o = with_tiers(2, tiers);
        scene_open(&s, &o);
        s.request.safe = safe;
        start(&s);
        failed(&s, SWG_RESET);
        assert_int_equal(s.step.tier, safe);
        tier(&s, true);
        scene_close(&s);
    }
}

static void a_driver_can_have_a_reason_not_to_ask(void **state) {
    struct scene s;
    static const struct swg_tier_options tiers[] = {{0}};
    struct swg_policy_options o = with_tiers(1, tiers);
    o.cache = true;
    scene_open(&s, &o);
    s.request.cacheable = true;
    s.request.refuse = SWG_REFUSED_BACKLOG;
    assert_int_equal(start(&s), SWG_DO_FALL_BACK);
    assert_int_equal(tier(&s, false), SWG_DO_FINISH);
    assert_int_equal(story(&s)->reason, SWG_REFUSED_BACKLOG);
    assert_int_equal(story(&s)->attempts, 0);
    scene_close(&s);
}

static void a_rehearsal_leaves_no_trace(void **state) {
    static const struct swg_tier_options tiers[] = {{0}, {0}};
    struct scene s;
    struct swg_policy_options o = with_tiers(2, tiers);
    struct swg_policy_stats before, after;
    o.rate = (struct swg_rate_options){.calls = 1, .per_ns = SWG_HOURS(1), .burst = 1};
    scene_open(&s, &o);
    swg_policy_read(s.policy, &before, s.now);
    s.request.refuse = SWG_REFUSED_OPEN;
    s.request.uncounted = true;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(start(&s), SWG_DO_FALL_BACK);
        assert_int_equal(tier(&s, false), SWG_DO_FALL_BACK);
        assert_int_equal(tier(&s, i > 0), SWG_DO_FINISH);
    }
    swg_policy_read(s.policy, &after, s.now);
    assert_memory_equal(&before, &after, sizeof before);
    s.request = (struct swg_request){.idempotent = true};
    assert_int_equal(start(&s), SWG_DO_ATTEMPT); /* the one that the rate allows */
    cancel(&s);
    scene_close(&s);
}

static void who_repeats_by_himself_gets_no_retry_and_no_tier(void **state) {
    struct scene s;
    static const struct swg_tier_options tiers[] = {{0}};
    struct swg_policy_options o = with_tiers(1, tiers);
    o.no_retry = false;
    scene_open(&s, &o);
    s.request.once = true;
    start(&s);
    assert_int_equal(failed(&s, SWG_RESET), SWG_DO_FINISH);
    assert_int_equal(story(&s)->attempts, 1);
    assert_int_equal(story(&s)->no_retry, SWG_REFUSED_MAX_RETRIES);
    start(&s);
    assert_int_equal(failed(&s, SWG_RESET_IDLE), SWG_DO_ATTEMPT); /* nobody has seen it */
    assert_int_equal(answer(&s, 503), SWG_DO_RELAY);
    end(&s, true);
    scene_close(&s);
}

static void tiers_for_reads_serve_reads(void **state) {
    static const struct swg_tier_options tiers[] = {{.for_reads_only = true}, {0}};
    struct scene s;
    struct swg_policy_options o = with_tiers(2, tiers);
    scene_open(&s, &o);
    start(&s);
    failed(&s, SWG_RESET);
    assert_int_equal(s.step.tier, 0);
    tier(&s, true);
    s.request.safe = false; /* PUT, say: idempotent, and still no read */
    start(&s);
    failed(&s, SWG_RESET);
    assert_int_equal(s.step.tier, 1);
    tier(&s, true);
    scene_close(&s);
}

static void a_tier_that_does_the_same_is_not_for_what_may_not_be_done_twice(void **state) {
    static const struct swg_tier_options again[2] = {{.asks_again = true}, {0}};
    struct scene s;
    struct swg_policy_options o = with_tiers(2, again);
    scene_open(&s, &o);
    s.request.idempotent = false;
    /* The service may have done it, whatever it says. */
    start(&s);
    connected(&s);
    assert_int_equal(answer(&s, 500), SWG_DO_FALL_BACK);
    assert_int_equal(s.step.tier, 1);
    tier(&s, true);
    start(&s);
    connected(&s);
    assert_int_equal(failed(&s, SWG_RESET), SWG_DO_FALL_BACK);
    assert_int_equal(s.step.tier, 1);
    tier(&s, true);
    /* It cannot have. */
    start(&s);
    assert_int_equal(failed(&s, SWG_CONNECT_FAILED), SWG_DO_FALL_BACK);
    assert_int_equal(s.step.tier, 0);
    tier(&s, true);
    s.request.idempotent = true;
    start(&s);
    connected(&s);
    assert_int_equal(answer(&s, 500), SWG_DO_FALL_BACK);
    assert_int_equal(s.step.tier, 0);
    tier(&s, true);
    scene_close(&s);
    /* Or the policy says that it does no harm. */
    o.retry.any_method = true;
    scene_open(&s, &o);
    s.request.idempotent = false;
    start(&s);
    connected(&s);
    assert_int_equal(answer(&s, 500), SWG_DO_FALL_BACK);
    assert_int_equal(s.step.tier, 0);
    tier(&s, true);
    scene_close(&s);
}

static void the_chain_can_be_switched_off(void **state) {
    struct scene s;
    struct swg_policy_options o = with_tiers(1, plain);
    o.no_fallback = true;
    scene_open(&s, &o);
    start(&s);
    assert_int_equal(answer(&s, 503), SWG_DO_RELAY);
    end(&s, true);
    scene_close(&s);
}

static void retries_come_before_tiers(void **state) {
    struct scene s;
    struct swg_policy_options o = with_tiers(1, plain);
    o.no_retry = false;
    o.retry.max = 1;
    scene_open(&s, &o);
    start(&s);
    assert_int_equal(answer(&s, 503), SWG_DO_WAIT);
    wake(&s);
    assert_int_equal(answer(&s, 503), SWG_DO_FALL_BACK);
    assert_int_equal(story(&s)->no_retry, SWG_REFUSED_MAX_RETRIES);
    tier(&s, true);
    assert_int_equal(story(&s)->attempts, 2);
    scene_close(&s);
}

static void a_retry_that_has_no_time_falls_back_now(void **state) {
    struct scene s;
    struct swg_policy_options o = with_tiers(1, plain);
    o.no_retry = false;
    scene_open(&s, &o);
    start(&s);
    connected(&s);
    assert_int_equal(answer_after(&s, SWG_ANSWERED, 503, SWG_SECONDS(20)), SWG_DO_FALL_BACK);
    assert_int_equal(s.now, START);
    assert_int_equal(story(&s)->no_retry, SWG_REFUSED_DEADLINE);
    tier(&s, true);
    scene_close(&s);
}

static void draining_and_leaving_find_the_chain(void **state) {
    struct scene s;
    struct swg_policy_options o = with_tiers(1, plain);
    o.no_retry = false;
    scene_open(&s, &o);
    start(&s);
    assert_int_equal(answer(&s, 503), SWG_DO_WAIT);
    assert_int_equal(shut_down(&s), SWG_DO_FALL_BACK);
    assert_int_equal(shut_down(&s), SWG_DO_WAIT); /* what is under way goes on */
    assert_int_equal(tier(&s, true), SWG_DO_FINISH);
    assert_int_equal(story(&s)->reason, SWG_REFUSED_SHUTTING_DOWN);
    scene_close(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_holds_its_slot_until_it_ends),
        cmocka_unit_test(an_answer_that_ends_well_is_a_success),
        cmocka_unit_test(an_answer_that_breaks_off_is_a_failure),
        cmocka_unit_test(a_long_answer_is_judged_a_second_after_its_head),
        cmocka_unit_test(if_it_breaks_off_after_that_it_is_one_more_failure),
        cmocka_unit_test(a_probe_is_free_again_a_second_after_the_head),
        cmocka_unit_test(slowness_is_measured_at_the_head),
        cmocka_unit_test(a_caller_that_leaves_a_good_answer_had_a_success),
        cmocka_unit_test(a_failing_answer_counts_once_however_it_ends),
        cmocka_unit_test(without_a_breaker_a_broken_answer_opens_nothing),
        cmocka_unit_test(a_tier_answers_in_place_of_a_failing_answer),
        cmocka_unit_test(the_kept_answer_is_relayed_when_no_tier_can),
        cmocka_unit_test(overload_falls_back_as_well),
        cmocka_unit_test(a_good_answer_needs_no_tier),
        cmocka_unit_test(a_failing_answer_that_is_of_no_use_is_not_relayed),
        cmocka_unit_test(a_failure_without_an_answer_keeps_nothing),
        cmocka_unit_test(every_refusal_falls_back),
        cmocka_unit_test(a_tier_has_its_share_of_what_is_left),
        cmocka_unit_test(a_share_is_exact),
        cmocka_unit_test(a_tier_has_at_least_a_millisecond_within_the_deadline),
        cmocka_unit_test(a_kept_answer_survives_a_tier_that_takes_too_long),
        cmocka_unit_test(without_time_left_only_instant_tiers_are_tried),
        cmocka_unit_test(a_rehearsal_leaves_no_trace),
        cmocka_unit_test(a_tier_with_a_floor_has_it_also_when_no_time_is_left),
        cmocka_unit_test(tiers_for_writes_serve_writes),
        cmocka_unit_test(a_driver_can_have_a_reason_not_to_ask),
        cmocka_unit_test(who_repeats_by_himself_gets_no_retry_and_no_tier),
        cmocka_unit_test(tiers_for_reads_serve_reads),
        cmocka_unit_test(a_tier_that_does_the_same_is_not_for_what_may_not_be_done_twice),
        cmocka_unit_test(the_chain_can_be_switched_off),
        cmocka_unit_test(retries_come_before_tiers),
        cmocka_unit_test(a_retry_that_has_no_time_falls_back_now),
        cmocka_unit_test(draining_and_leaving_find_the_chain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
