/* run_test.c - the blocking driver, on the real clock but never timed by it. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <switchgear/switchgear.h>

/* An attempt that answers by a script. */
struct script {
    const struct swg_answer *answers;
    unsigned made;
    uint64_t deadlines[8];
    bool fallback_answers;
    unsigned fallbacks;
    enum swg_refusal why;
};

static struct swg_answer play(void *arg, uint64_t deadline_ns) {
    struct script *s = arg;
    s->deadlines[s->made % 8] = deadline_ns;
    return s->answers[s->made++];
}

static bool fall_back(void *arg, enum swg_refusal why) {
    struct script *s = arg;
    s->fallbacks++;
    s->why = why;
    return s->fallback_answers;
}

static struct swg_policy *make(const struct swg_policy_options *o) {
    struct swg_policy *p;
    assert_int_equal(swg_policy_create(&p, o, 1, swg_now()), SWG_OK);
    return p;
}

static struct swg_policy_options quick(void) {
    return (struct swg_policy_options){.retry = {.base_ns = 1, .cap_ns = 1}};
}

static void released(struct swg_policy *p) {
    struct swg_policy_stats s;
    swg_policy_read(p, &s, swg_now());
    assert_int_equal(s.bulkhead.in_use, 0);
    assert_int_equal(s.bulkhead.waiting, 0);
    swg_policy_check(p);
    swg_policy_release(p);
}

static void a_function_that_succeeds_runs_once(void **state) {
    struct swg_policy *p = make(NULL);
    struct script s = {.answers = (struct swg_answer[]){SWG_OK_ANSWER}};
    uint64_t before = swg_now();
    assert_int_equal(swg_run(p, play, &s, NULL), SWG_OK);
    assert_int_equal(s.made, 1);
    assert_true(s.deadlines[0] >= before + SWG_SECONDS(30)); /* the default attempt timeout */
    assert_true(s.deadlines[0] <= swg_now() + SWG_SECONDS(30));
    released(p);
}

static void a_function_that_fails_is_run_again(void **state) {
    struct swg_policy_options o = quick();
    struct swg_policy *p = make(&o);
    struct swg_story story;
    struct script s = {
        .answers = (struct swg_answer[]){SWG_FAILED_ANSWER, {SWG_RESET, 0, 0}, SWG_OK_ANSWER}};
    assert_int_equal(swg_run(p, play, &s, &(struct swg_run_options){.story = &story}), SWG_OK);
    assert_int_equal(s.made, 3);
    assert_int_equal(story.attempts, 3);
    assert_int_equal(story.retries, 2);
    assert_int_equal(story.source, SWG_FROM_SERVICE);
    released(p);
}

static void what_may_not_be_repeated_is_not(void **state) {
    struct swg_policy_options o = quick();
    struct swg_policy *p = make(&o);
    struct swg_story story;
    struct swg_run_options once = {.not_idempotent = true, .story = &story};
    struct script s = {.answers = (struct swg_answer[]){SWG_TIMED_OUT_ANSWER, SWG_OK_ANSWER}};
    assert_int_equal(swg_run(p, play, &s, &once), SWG_ERR_FAILED);
    assert_int_equal(s.made, 1);
    assert_int_equal(story.no_retry, SWG_REFUSED_NOT_IDEMPOTENT);
    assert_true(story.timed_out);
    released(p);
}

static void failures_and_overload_are_failed(void **state) {
    static const struct swg_answer bad[] = {
        SWG_FAILED_ANSWER,          {SWG_ANSWERED, 429, 0}, {SWG_ANSWERED, 503, 0},
        {SWG_CONNECT_FAILED, 0, 0}, {SWG_GARBLED, 0, 0},    {SWG_UNAVAILABLE_LOCALLY, 0, 0}};
    static const struct swg_answer good[] = {
        SWG_OK_ANSWER, {SWG_ANSWERED, 404, 0}, {SWG_ANSWERED, 501, 0}};
    struct swg_policy_options o = quick();
    o.no_retry = true;
    struct swg_policy *p = make(&o);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct script s = {.answers = &bad[i]};
        assert_int_equal(swg_run(p, play, &s, NULL), SWG_ERR_FAILED);
    }
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct script s = {.answers = &good[i]};
        assert_int_equal(swg_run(p, play, &s, NULL), SWG_OK);
    }
    released(p);
}

static void an_open_breaker_refuses_without_an_attempt(void **state) {
    struct swg_policy *p = make(NULL);
    struct swg_story story;
    struct swg_run_options o = {.story = &story};
    struct script s = {.answers = (struct swg_answer[]){SWG_OK_ANSWER}};
    swg_policy_force(p, SWG_FORCED_OPEN, SWG_NEVER, swg_now());
    assert_int_equal(swg_run(p, play, &s, &o), SWG_ERR_REFUSED);
    assert_int_equal(s.made, 0);
    assert_int_equal(story.reason, SWG_REFUSED_FORCED_OPEN);
    released(p);
}

static void the_fallback_answers_after_all_else(void **state) {
    struct swg_policy_options o = quick();
    o.no_retry = true;
    struct swg_policy *p = make(&o);
    struct swg_story story;
    struct swg_run_options run = {.story = &story, .fallback = fall_back};
    struct script failing = {.answers = (struct swg_answer[]){SWG_FAILED_ANSWER, SWG_OK_ANSWER},
                             .fallback_answers = true};
    assert_int_equal(swg_run(p, play, &failing, &run), SWG_OK);
    assert_int_equal(failing.why, SWG_ADMITTED);
    assert_int_equal(story.source, SWG_FROM_TIER);
    assert_int_equal(swg_run(p, play, &failing, &run), SWG_OK);
    assert_int_equal(failing.fallbacks, 1); /* not where the function answers */
    assert_int_equal(story.source, SWG_FROM_SERVICE);

    swg_policy_force(p, SWG_FORCED_OPEN, SWG_NEVER, swg_now());
    assert_int_equal(swg_run(p, play, &failing, &run), SWG_OK);
    assert_int_equal(failing.why, SWG_REFUSED_FORCED_OPEN);
    failing.fallback_answers = false;
    assert_int_equal(swg_run(p, play, &failing, &run), SWG_ERR_REFUSED);
    assert_int_equal(failing.made, 2);
    released(p);
}

static void the_callers_deadline_is_kept(void **state) {
    struct swg_policy *p = make(NULL);
    struct swg_story story;
    uint64_t soon = swg_now() + SWG_SECONDS(5);
    struct swg_run_options o = {.deadline_ns = soon, .story = &story};
    struct script s = {.answers = (struct swg_answer[]){SWG_OK_ANSWER}};
    assert_int_equal(swg_run(p, play, &s, &o), SWG_OK);
    assert_int_equal(s.deadlines[0], soon);
    o.deadline_ns = 1; /* long ago */
    assert_int_equal(swg_run(p, play, &s, &o), SWG_ERR_REFUSED);
    assert_int_equal(story.reason, SWG_REFUSED_DEADLINE);
    assert_int_equal(s.made, 1);
    released(p);
}

static void the_rate_limit_holds(void **state) {
    struct swg_policy_options o = quick();
    o.rate = (struct swg_rate_options){.calls = 1, .per_ns = SWG_HOURS(1), .burst = 2};
    struct swg_policy *p = make(&o);
    struct swg_rate_limiter mine = {0};
    struct swg_run_options own = {.rate = &mine};
    struct script s = {.answers =
                           (struct swg_answer[]){SWG_OK_ANSWER, SWG_OK_ANSWER, SWG_OK_ANSWER}};
    assert_int_equal(swg_run(p, play, &s, NULL), SWG_OK);
    assert_int_equal(swg_run(p, play, &s, NULL), SWG_OK);
    assert_int_equal(swg_run(p, play, &s, NULL), SWG_ERR_REFUSED);
    assert_int_equal(swg_run(p, play, &s, &own), SWG_OK);
    released(p);
}

/* Tiers and the cache are for drivers that have some. */
static void what_the_driver_has_not_is_passed_over(void **state) {
    static const struct swg_tier_options tiers[2] = {{.instant = true}, {0}};
    struct swg_policy_options o = quick();
    o.no_retry = true;
    o.cache = true;
    o.tier_count = 2;
    o.tiers = tiers;
    struct swg_policy *p = make(&o);
    struct swg_story story;
    struct swg_run_options run = {.story = &story, .fallback = fall_back};
    struct script s = {.answers = (struct swg_answer[]){{SWG_ANSWERED, 503, 0}, {SWG_RESET, 0, 0}}};
    assert_int_equal(swg_run(p, play, &s, &run), SWG_ERR_FAILED);
    assert_int_equal(story.last.status, 503);
    assert_int_equal(swg_run(p, play, &s, &run), SWG_ERR_FAILED);
    assert_int_equal(s.fallbacks, 2);
    released(p);
}

static void nothing_to_run_is_an_error(void **state) {
    struct swg_policy *p = make(NULL);
    assert_int_equal(swg_run(NULL, play, NULL, NULL), SWG_ERR_INVALID);
    assert_int_equal(swg_run(p, NULL, NULL, NULL), SWG_ERR_INVALID);
    released(p);
}

/* ---- threads: they wait for each other in the bulkhead's queue -------------------- */

enum { THREADS = 6, RUNS = 400, LIMIT = 2 };

struct crowd {
    struct swg_policy *policy;
    atomic_uint inside, overshot, ok, refused;
};

static struct swg_answer work(void *arg, uint64_t deadline_ns) {
    struct crowd *c = arg;
    if (atomic_fetch_add(&c->inside, 1) >= LIMIT)
        atomic_fetch_add(&c->overshot, 1);
    sched_yield();
    atomic_fetch_sub(&c->inside, 1);
    return SWG_OK_ANSWER;
}

static void *run_many(void *arg) {
    struct crowd *c = arg;
    for (int i = 0; i < RUNS; i++) {
        enum swg_error e = swg_run(c->policy, work, c, NULL);
        atomic_fetch_add(e ? &c->refused : &c->ok, 1);
    }
    return NULL;
}

static void run_crowd(struct crowd *c) {
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run_many, c), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(c->overshot, 0);
    assert_int_equal(c->ok + c->refused, THREADS * RUNS);
}

static void threads_wait_their_turn(void **state) {
    struct swg_policy_options o = quick();
    o.bulkhead = (struct swg_bulkhead_options){LIMIT, THREADS, SWG_MINUTES(5)};
    struct crowd c = {.policy = make(&o)};
    run_crowd(&c);
    assert_int_equal(c.refused, 0);
    released(c.policy);
}

/* With so little patience grants and timeouts meet all the time. */
static void or_give_up_and_no_slot_is_lost(void **state) {
    struct swg_policy_options o = quick();
    o.bulkhead = (struct swg_bulkhead_options){LIMIT, THREADS, 1000};
    struct crowd c = {.policy = make(&o)};
    run_crowd(&c);
    struct swg_policy_stats s;
    swg_policy_read(c.policy, &s, swg_now());
    assert_int_equal(s.refused[SWG_REFUSED_QUEUE_TIMEOUT] + s.refused[SWG_REFUSED_BULKHEAD_FULL],
                     c.refused);
    released(c.policy);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_function_that_succeeds_runs_once),
        cmocka_unit_test(a_function_that_fails_is_run_again),
        cmocka_unit_test(what_may_not_be_repeated_is_not),
        cmocka_unit_test(failures_and_overload_are_failed),
        cmocka_unit_test(an_open_breaker_refuses_without_an_attempt),
        cmocka_unit_test(the_fallback_answers_after_all_else),
        cmocka_unit_test(the_callers_deadline_is_kept),
        cmocka_unit_test(the_rate_limit_holds),
        cmocka_unit_test(what_the_driver_has_not_is_passed_over),
        cmocka_unit_test(nothing_to_run_is_an_error),
        cmocka_unit_test(threads_wait_their_turn),
        cmocka_unit_test(or_give_up_and_no_slot_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
