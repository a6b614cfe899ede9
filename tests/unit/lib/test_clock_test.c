/* test_clock_test.c - the clock for tests, and what a user's test with it looks
 * like: an outage of two hours, a queue, a deadline; none of it waits. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <switchgear/switchgear.h>

/* ---- an outage of two hours: the example ---- */

/* The service under test: down during a time, and each call takes 20 ms. */
struct service {
    struct swg_test_clock *clock;
    uint64_t down_from_ns, down_until_ns;
    uint32_t calls;
};

static struct swg_answer call_service(void *arg, uint64_t deadline_ns) {
    struct service *s = arg;
    (void)deadline_ns;
    s->calls++;
    uint64_t now_ns = swg_test_clock_now(s->clock);
    swg_test_clock_advance(s->clock, SWG_MS(20));
    bool down = now_ns >= s->down_from_ns && now_ns < s->down_until_ns;
    return down ? SWG_FAILED_ANSWER : SWG_OK_ANSWER;
}

/* One request a second for three hours: what the outage did. */
struct outcome {
    uint32_t ok, failed, refused;
    uint32_t calls_while_down;
    uint64_t recovered_ns; /* the first good answer after it */
};

static struct outcome live_through(uint64_t seed) {
    struct swg_test_clock *t;
    struct swg_policy *p;
    struct outcome o = {0};
    assert_int_equal(swg_test_clock_create(&t, SWG_SECONDS(1), true), SWG_OK);
    struct service s = {t, SWG_MINUTES(30), SWG_MINUTES(150), 0};
    struct swg_run_options options = {.clock = swg_test_clock_interface(t), .seed = seed};
    assert_int_equal(swg_policy_create(&p, NULL, seed, swg_test_clock_now(t)), SWG_OK);
    while (swg_test_clock_now(t) < SWG_HOURS(3)) {
        uint64_t now_ns = swg_test_clock_now(t);
        uint32_t before = s.calls;
        enum swg_error e = swg_run(p, call_service, &s, &options);
        options.seed++;
        o.ok += e == SWG_OK;
        o.failed += e == SWG_ERR_FAILED;
        o.refused += e == SWG_ERR_REFUSED;
        if (now_ns >= s.down_from_ns && now_ns < s.down_until_ns)
            o.calls_while_down += s.calls - before;
        else if (now_ns >= s.down_until_ns && e == SWG_OK && !o.recovered_ns)
            o.recovered_ns = now_ns;
        swg_test_clock_advance(t, SWG_SECONDS(1));
    }
    swg_policy_check(p);
    swg_policy_release(p);
    swg_test_clock_destroy(t);
    return o;
}

static void an_outage_of_two_hours(void **state) {
    (void)state;
    struct outcome o = live_through(1);
    assert_true(o.calls_while_down < 500); /* of about 7000 requests */
    assert_true(o.refused > 3000);         /* at once */
    assert_true(o.recovered_ns < SWG_MINUTES(150) + SWG_SECONDS(2 * 61)); /* open_max_ns twice */
    assert_true(o.ok > 3000);
}

static void the_same_seed_is_the_same_outage(void **state) {
    (void)state;
    struct outcome a = live_through(7), b = live_through(7), c = live_through(8);
    assert_memory_equal(&a, &b, sizeof(a));
    assert_true(a.ok != c.ok || a.refused != c.refused || a.recovered_ns != c.recovered_ns);
}

/* ---- by hand, with threads ---- */

struct runner {
    struct swg_policy *policy;
    struct swg_test_clock *clock;
    pthread_t id;
    enum swg_error error;
    struct swg_story story;
    swg_attempt *attempt;
};

static struct swg_answer answer_at_once(void *arg, uint64_t deadline_ns) {
    (void)arg, (void)deadline_ns;
    return SWG_OK_ANSWER;
}

/* Keeps its slot for a minute of the clock. */
static struct swg_answer take_a_minute(void *arg, uint64_t deadline_ns) {
    struct runner *r = arg;
    struct swg_clock *clock = swg_test_clock_interface(r->clock);
    struct swg_sleep sleep = SWG_SLEEP_INIT;
    (void)deadline_ns;
    assert_false(clock->sleep(clock, &sleep, clock->now_ns(clock) + SWG_MINUTES(1)));
    return SWG_OK_ANSWER;
}

static void *run_one(void *arg) {
    struct runner *r = arg;
    r->error = swg_run(
        r->policy, r->attempt, r,
        &(struct swg_run_options){.clock = swg_test_clock_interface(r->clock), .story = &r->story});
    return NULL;
}

static struct swg_policy *one_at_a_time(struct swg_test_clock *t, uint64_t wait_ns) {
    struct swg_policy *p;
    const struct swg_policy_options o = {
        .bulkhead = {.concurrent = 1, .queue = 5, .wait_ns = wait_ns},
        .timeout = {.attempt_ns = SWG_MINUTES(10), .total_ns = SWG_MINUTES(20)}};
    assert_int_equal(swg_policy_create(&p, &o, 1, swg_test_clock_now(t)), SWG_OK);
    return p;
}

static void queue_for(uint64_t wait_ns, enum swg_error expected, uint64_t took_ns) {
    struct swg_test_clock *t;
    assert_int_equal(swg_test_clock_create(&t, SWG_SECONDS(1), false), SWG_OK);
    assert_true(swg_test_clock_next_ns(t) == SWG_NEVER);
    struct swg_policy *p = one_at_a_time(t, wait_ns);
    struct runner inside = {.policy = p, .clock = t, .attempt = take_a_minute};
    struct runner queued = {.policy = p, .clock = t, .attempt = answer_at_once};
    pthread_create(&inside.id, NULL, run_one, &inside);
    swg_test_clock_await_sleepers(t, 1);
    assert_true(swg_test_clock_next_ns(t) == SWG_SECONDS(61));
    pthread_create(&queued.id, NULL, run_one, &queued);
    swg_test_clock_await_sleepers(t, 2);
    uint64_t first_ns = wait_ns < SWG_MINUTES(1) ? wait_ns : SWG_MINUTES(1);
    swg_test_clock_advance(t, first_ns - 1);
    swg_test_clock_await_sleepers(t, 2); /* not yet */
    swg_test_clock_advance(t, 1);
    pthread_join(queued.id, NULL);
    swg_test_clock_advance(t, SWG_MINUTES(1));
    pthread_join(inside.id, NULL);
    assert_int_equal(inside.error, SWG_OK);
    assert_int_equal(queued.error, expected);
    assert_true(queued.story.finished_ns - queued.story.started_ns == took_ns);
    swg_policy_check(p);
    swg_policy_release(p);
    swg_test_clock_destroy(t);
}

static void a_waiter_is_granted_by_who_leaves(void **state) {
    (void)state;
    queue_for(SWG_MINUTES(5), SWG_OK, SWG_MINUTES(1));
}

static void a_waiter_gives_up_in_time(void **state) {
    (void)state;
    queue_for(SWG_SECONDS(30), SWG_ERR_REFUSED, SWG_SECONDS(30));
}

/* ---- the interface ---- */

static void *wake_it(void *arg) {
    struct swg_test_clock *t = ((void **)arg)[0];
    struct swg_clock *clock = swg_test_clock_interface(t);
    swg_test_clock_await_sleepers(t, 1);
    clock->wake(clock, ((void **)arg)[1]);
    return NULL;
}

static void wakes_are_not_lost(void **state) {
    struct swg_test_clock *t;
    struct swg_sleep sleep = SWG_SLEEP_INIT;
    pthread_t id;
    (void)state;
    assert_int_equal(swg_test_clock_create(&t, 5, true), SWG_OK);
    struct swg_clock *clock = swg_test_clock_interface(t);
    clock->wake(clock, &sleep); /* before: kept, and time stands still */
    assert_true(clock->sleep(clock, &sleep, 1000));
    assert_true(clock->now_ns(clock) == 5);
    assert_false(clock->sleep(clock, &sleep, 1000)); /* used up */
    assert_true(clock->now_ns(clock) == 1000);
    assert_false(clock->sleep(clock, &sleep, 10)); /* over already */
    assert_true(clock->now_ns(clock) == 1000);
    void *arg[] = {t, &sleep};
    pthread_create(&id, NULL, wake_it, arg);
    assert_true(clock->sleep(clock, &sleep, SWG_NEVER)); /* during */
    pthread_join(id, NULL);
    swg_test_clock_advance(t, SWG_NEVER);
    assert_true(clock->now_ns(clock) == SWG_NEVER - 1);
    swg_test_clock_destroy(t);
    swg_test_clock_destroy(NULL);
}

static void the_real_clock(void **state) {
    struct swg_clock *clock = swg_real_clock();
    struct swg_sleep sleep = SWG_SLEEP_INIT;
    (void)state;
    uint64_t before_ns = swg_now(), now_ns = clock->now_ns(clock);
    assert_true(before_ns <= now_ns && now_ns <= swg_now());
    clock->wake(clock, &sleep);
    assert_true(clock->sleep(clock, &sleep, SWG_NEVER));
    assert_false(clock->sleep(clock, &sleep, now_ns + SWG_MS(1)));
    assert_true(swg_now() >= now_ns + SWG_MS(1));
    assert_true(swg_seed() != swg_seed());
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_outage_of_two_hours),
        cmocka_unit_test(the_same_seed_is_the_same_outage),
        cmocka_unit_test(a_waiter_is_granted_by_who_leaves),
        cmocka_unit_test(a_waiter_gives_up_in_time),
        cmocka_unit_test(wakes_are_not_lost),
        cmocka_unit_test(the_real_clock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
