/* shadow_test.c - a breaker beside the live one: what it counts, and that it decides
 * nothing. */
#include "call_scene.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "base/random.h"

static struct swg_policy_options shadowed(struct swg_breaker_options shadow) {
    struct swg_policy_options o = scene_options();
    o.retry.max = SWG_RETRY_OFF;
    o.shadow = (struct swg_shadow_options){.enabled = true, .breaker = shadow};
    o.shadow.breaker.jitter_percent = 101;
    o.shadow.breaker.open_ns = SWG_SECONDS(5);
    return o;
}

static struct swg_shadow_stats read_shadow(const struct scene *s) {
    struct swg_shadow_stats out;
    swg_policy_read_shadow(s->policy, SWG_ALL_ENDPOINTS, &out, s->now);
    return out;
}

static void renew(struct scene *s, const struct swg_policy_options *o) {
    struct swg_policy *next;
    assert_int_equal(swg_policy_renew(&next, s->policy, o, 2, s->now), SWG_OK);
    swg_policy_release(s->policy);
    s->policy = next;
}

/* One call from beginning to end; why it was refused, if it was. */
static enum swg_refusal call_once(struct scene *s, int status) {
    struct swg_call c;
    const struct swg_request request = {.seed = 1};
    struct swg_step step = swg_call_start(&c, s->policy, &request, NULL, s->now);
    if (step.action == SWG_DO_ATTEMPT) {
        const struct swg_answer answer = {SWG_ANSWERED, status, 0};
        swg_call_on_connected(&c, s->now);
        step = swg_call_on_answer(&c, &answer, s->now);
    }
    if (step.action == SWG_DO_RELAY)
        step = swg_call_on_end(&c, true, s->now);
    assert_int_equal(step.action, SWG_DO_FINISH);
    swg_policy_check(s->policy);
    return swg_call_story(&c)->reason;
}

static void fail_times(struct scene *s, int n) {
    while (n-- > 0)
        assert_int_equal(call_once(s, 500), SWG_ADMITTED);
}

/* ---- what it counts ---- */

static void test_it_opens_and_nothing_is_refused(void **state) {
    struct scene s;
    struct swg_policy_options o = shadowed((struct swg_breaker_options){.consecutive = 3});
    (void)state;
    scene_open(&s, &o);
    assert_true(read_shadow(&s).agrees && read_shadow(&s).enabled);
    fail_times(&s, 3);
    struct swg_shadow_stats t = read_shadow(&s);
    assert_int_equal(t.shadow.now.state, SWG_OPEN);
    assert_int_equal(t.live.now.state, SWG_CLOSED);
    assert_false(t.agrees);
    assert_int_equal(t.shadow.opened, 1);
    pass(&s, 2000);
    fail_times(&s, 4); /* not its to hear: it would have refused them */
    t = read_shadow(&s);
    assert_int_equal(t.would_refuse, 4);
    assert_int_equal(t.would_admit, 0);
    assert_int_equal(t.shadow.now.failures, 3);
    assert_int_equal(t.live.now.failures, 7);
    assert_int_equal(t.differences, 1);
    assert_int_equal(t.differed_ns, SWG_SECONDS(2));
    assert_int_equal(t.shadow.out_ns, SWG_SECONDS(2));
    assert_int_equal(t.live.out_ns, 0);
    swg_policy_release(s.policy);
}

static void test_calls_that_are_made_anyway_are_its_probes(void **state) {
    struct scene s;
    struct swg_policy_options o = shadowed((struct swg_breaker_options){.consecutive = 3});
    (void)state;
    scene_open(&s, &o);
    fail_times(&s, 3);
    pass(&s, 5000);
    fail_times(&s, 1); /* its probe fails: open again, for twice the time */
    assert_int_equal(read_shadow(&s).shadow.opened, 2);
    pass(&s, 9999);
    assert_int_equal(call_once(&s, 200), SWG_ADMITTED);
    assert_int_equal(read_shadow(&s).would_refuse, 1);
    pass(&s, 1);
    assert_int_equal(call_once(&s, 200), SWG_ADMITTED);
    assert_int_equal(read_shadow(&s).shadow.now.state, SWG_HALF_OPEN);
    assert_int_equal(call_once(&s, 200), SWG_ADMITTED);
    struct swg_shadow_stats t = read_shadow(&s);
    assert_int_equal(t.shadow.now.state, SWG_CLOSED);
    assert_true(t.agrees);
    assert_int_equal(t.differences, 1);
    assert_int_equal(t.differed_ns, SWG_SECONDS(15));
    swg_policy_release(s.policy);
}

static void test_it_takes_no_probe_of_the_live_one(void **state) {
    struct scene s;
    struct swg_policy_options o = shadowed((struct swg_breaker_options){.consecutive = 100});
    struct swg_call first, second;
    const struct swg_request request = {.seed = 1};
    (void)state;
    o.breaker = (struct swg_breaker_options){
        .consecutive = 1, .probes = 1, .close_after = 2, .jitter_percent = 101};
    scene_open(&s, &o);
    fail_times(&s, 1);
    assert_int_equal(call_once(&s, 200), SWG_REFUSED_OPEN);
    struct swg_shadow_stats t = read_shadow(&s);
    assert_int_equal(t.would_admit, 1);
    assert_int_equal(t.shadow.now.calls, 1); /* and hears nothing meanwhile */
    pass(&s, 5000);
    assert_int_equal(swg_call_start(&first, s.policy, &request, NULL, s.now).action,
                     SWG_DO_ATTEMPT);
    assert_int_equal(swg_call_start(&second, s.policy, &request, NULL, s.now).action,
                     SWG_DO_FINISH);
    assert_int_equal(read_shadow(&s).would_admit, 2);
    swg_call_on_cancel(&first, s.now);
    assert_int_equal(call_once(&s, 200), SWG_ADMITTED);
    assert_int_equal(call_once(&s, 200), SWG_ADMITTED);
    assert_int_equal(stats(&s).state, SWG_CLOSED);
    t = read_shadow(&s);
    assert_int_equal(t.live.opened, 1);
    assert_int_equal(t.live.out_ns, SWG_SECONDS(5));
    assert_int_equal(t.shadow.opened, 0);
    /* an operator's refusal is no opinion about the service */
    swg_policy_force(s.policy, SWG_FORCED_OPEN, SWG_NEVER, s.now);
    assert_int_equal(call_once(&s, 200), SWG_REFUSED_FORCED_OPEN);
    assert_int_equal(read_shadow(&s).would_admit, 2);
    swg_policy_release(s.policy);
}

static void test_what_hangs_is_slow_to_it_in_its_own_time(void **state) {
    struct scene s;
    struct swg_policy_options o = shadowed((struct swg_breaker_options){
        .slow_percent = 100, .slow_call_ns = SWG_SECONDS(1), .calls_min = 1});
    (void)state;
    o.timeout.attempt_ns = SWG_SECONDS(10);
    scene_open(&s, &o);
    assert_int_equal(start(&s), SWG_DO_ATTEMPT);
    connected(&s);
    assert_int_equal(wake(&s), SWG_DO_WAIT); /* not abandoned */
    assert_false(s.step.abandon);
    assert_int_equal(s.now, START + SWG_SECONDS(1));
    assert_int_equal(read_shadow(&s).shadow.now.state, SWG_OPEN);
    assert_int_equal(s.step.wake_ns, START + SWG_SECONDS(10));
    assert_int_equal(answer(&s, 200), SWG_DO_RELAY);
    assert_int_equal(end(&s, true), SWG_DO_FINISH);
    assert_int_equal(stats(&s).state, SWG_CLOSED);
    scene_close(&s);
}

static void test_a_stream_that_broke_off_late_counts(void **state) {
    struct scene s;
    struct swg_policy_options o = shadowed((struct swg_breaker_options){.consecutive = 1});
    (void)state;
    scene_open(&s, &o);
    start(&s);
    assert_int_equal(answer(&s, 200), SWG_DO_RELAY);
    wake(&s); /* judged: a success so far */
    assert_int_equal(read_shadow(&s).shadow.now.successes, 1);
    assert_int_equal(end(&s, false), SWG_DO_FINISH);
    assert_int_equal(read_shadow(&s).shadow.now.state, SWG_OPEN);
    scene_close(&s);
}

static void test_it_works_where_the_live_one_is_switched_off(void **state) {
    struct scene s;
    struct swg_policy_options o = shadowed((struct swg_breaker_options){.consecutive = 2});
    (void)state;
    o.no_breaker = true;
    scene_open(&s, &o);
    fail_times(&s, 3);
    assert_int_equal(read_shadow(&s).shadow.opened, 1);
    assert_int_equal(read_shadow(&s).would_refuse, 1);
    swg_policy_release(s.policy);
}

/* ---- on, off, and other options ---- */

static void test_a_renewal_keeps_it_and_other_options_begin_anew(void **state) {
    struct scene s;
    struct swg_policy_options o = shadowed((struct swg_breaker_options){.consecutive = 3});
    (void)state;
    scene_open(&s, &o);
    fail_times(&s, 4);
    o.breaker.consecutive = 500; /* the live one's change is none of its */
    renew(&s, &o);
    assert_int_equal(read_shadow(&s).would_refuse, 1);
    assert_int_equal(read_shadow(&s).shadow.now.state, SWG_OPEN);
    pass(&s, 1000);
    o.shadow.breaker.consecutive = 2;
    renew(&s, &o);
    struct swg_shadow_stats t = read_shadow(&s);
    assert_int_equal(t.shadow.now.state, SWG_CLOSED);
    assert_int_equal(t.begun_ns, s.now);
    assert_true(t.agrees);
    assert_int_equal(t.would_refuse + t.shadow.opened + t.shadow.now.calls + t.live.now.calls, 0);
    assert_int_equal(t.differed_ns + t.differences, 0);
    assert_int_equal(t.opened_total, 1);
    assert_int_equal(t.would_refuse_total, 1);
    fail_times(&s, 3);
    t = read_shadow(&s);
    assert_int_equal(t.would_refuse, 1);
    assert_int_equal(t.would_refuse_total, 2);
    assert_int_equal(t.opened_total, 2);
    swg_policy_release(s.policy);
}

static void test_it_goes_while_calls_are_under_way(void **state) {
    struct scene s;
    struct swg_policy_options o = shadowed((struct swg_breaker_options){.consecutive = 1});
    (void)state;
    scene_open(&s, &o);
    start(&s);
    o.shadow.enabled = false;
    renew(&s, &o);
    assert_false(read_shadow(&s).enabled);
    assert_int_equal(answer(&s, 500), SWG_DO_RELAY);
    assert_int_equal(end(&s, true), SWG_DO_FINISH);
    fail_times(&s, 2);
    assert_int_equal(read_shadow(&s).would_refuse_total, 0);
    o.shadow.enabled = true;
    renew(&s, &o);
    assert_int_equal(read_shadow(&s).shadow.now.state, SWG_CLOSED);
    fail_times(&s, 1);
    assert_int_equal(read_shadow(&s).shadow.now.state, SWG_OPEN);
    scene_close(&s);
}

static void test_options_that_are_wrong_change_nothing(void **state) {
    struct scene s;
    struct swg_policy *p;
    struct swg_policy_options o = shadowed((struct swg_breaker_options){.consecutive = 3});
    (void)state;
    scene_open(&s, &o);
    o.shadow.breaker.failures = 10001;
    o.breaker.consecutive = 1;
    assert_int_equal(swg_policy_renew(&p, s.policy, &o, 1, s.now), SWG_ERR_RANGE);
    assert_int_equal(swg_policy_create(&p, &o, 1, s.now), SWG_ERR_RANGE);
    fail_times(&s, 3);
    assert_int_equal(read_shadow(&s).shadow.opened, 1);
    assert_int_equal(stats(&s).state, SWG_CLOSED);
    swg_policy_release(s.policy);
}

struct heard {
    unsigned count;
    enum swg_breaker_state to;
    char endpoint[8];
};

static void hear(void *arg, const char *endpoint, const struct swg_breaker_event *e) {
    struct heard *h = arg;
    h->count++;
    h->to = e->to;
    snprintf(h->endpoint, sizeof h->endpoint, "%s", endpoint);
}

static void test_its_changes_are_told_apart(void **state) {
    struct scene s;
    struct heard live = {0}, shadow = {0};
    struct swg_policy_options o = shadowed((struct swg_breaker_options){.consecutive = 1});
    (void)state;
    scene_open(&s, &o);
    swg_policy_listen(s.policy, hear, &live);
    swg_policy_listen_shadow(s.policy, hear, &shadow);
    fail_times(&s, 1);
    assert_int_equal(live.count, 0);
    assert_int_equal(shadow.count, 1);
    assert_int_equal(shadow.to, SWG_OPEN);
    assert_string_equal(shadow.endpoint, "a");
    o.shadow.breaker.consecutive = 9; /* to begin anew is no change of state */
    renew(&s, &o);
    assert_int_equal(shadow.count, 1);
    swg_policy_release(s.policy);
}

/* ---- it decides nothing ---- */

/* The same calls with and without: every step is the same. */
static void play(uint64_t seed) {
    struct swg_policy_options o = scene_options();
    struct scene with, without;
    uint64_t random = seed;
    o.endpoint_count = 3;
    o.retry = (struct swg_retry_options){.max = 2};
    o.breaker =
        (struct swg_breaker_options){.failure_percent = 50, .calls_min = 4, .open_ns = SWG_MS(300)};
    scene_open(&without, &o);
    o.shadow = (struct swg_shadow_options){
        .enabled = true,
        .breaker = {.consecutive = 1 + (uint32_t)random_up_to(random_next(&random), 4),
                    .open_ns = SWG_MS(100),
                    .ramp_ns = SWG_MS(200)}};
    scene_open(&with, &o);
    for (int i = 0; i < 200; i++) {
        struct scene *both[] = {&with, &without};
        bool good = random_up_to(random_next(&random), 2) > 0;
        uint64_t ms = random_up_to(random_next(&random), 40);
        for (int k = 0; k < 2; k++) {
            struct scene *s = both[k];
            s->request.seed = seed + (uint64_t)i;
            start(s);
            for (int turn = 0; turn < 20 && s->step.action != SWG_DO_FINISH; turn++) {
                if (s->step.action == SWG_DO_ATTEMPT)
                    answer(s, good ? 200 : 500);
                else if (s->step.action == SWG_DO_RELAY)
                    end(s, true);
                else
                    wake(s);
            }
            assert_int_equal(s->step.action, SWG_DO_FINISH);
            pass(s, ms);
        }
        assert_int_equal(with.now, without.now);
        assert_memory_equal(story(&with), story(&without), sizeof(struct swg_story));
        for (uint32_t e = 0; e < 3; e++) {
            struct swg_breaker_stats a = breaker_stats(&with, e), b = breaker_stats(&without, e);
            assert_memory_equal(&a, &b, sizeof a);
        }
    }
    struct swg_shadow_stats t = read_shadow(&with);
    assert_int_equal(t.shadow.now.calls + t.would_refuse, t.live.now.calls);
    swg_policy_release(with.policy);
    swg_policy_release(without.policy);
}

static void test_every_step_is_as_without_it(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 50; seed++)
        play(seed);
}

/* ---- threads ---- */

struct crowd {
    struct swg_policy *policy;
    _Atomic uint64_t now_ns;
    uint64_t seed;
};

static void *make_calls(void *arg) {
    struct crowd *crowd = arg;
    uint64_t random = __atomic_add_fetch(&crowd->seed, 1, __ATOMIC_RELAXED);
    for (int i = 0; i < 5000; i++) {
        uint64_t now_ns = atomic_fetch_add(&crowd->now_ns, SWG_MS(1));
        const struct swg_answer a = {SWG_ANSWERED,
                                     random_up_to(random_next(&random), 3) ? 200 : 500, 0};
        struct swg_call c;
        struct swg_step step =
            swg_call_start(&c, crowd->policy, &(struct swg_request){.seed = random}, NULL, now_ns);
        if (step.action == SWG_DO_ATTEMPT)
            step = swg_call_on_answer(&c, &a, now_ns);
        if (step.action == SWG_DO_RELAY)
            swg_call_on_end(&c, true, now_ns);
    }
    return NULL;
}

static void test_many_threads(void **state) {
    struct swg_policy_options o = shadowed((struct swg_breaker_options){.consecutive = 3});
    struct crowd crowd = {.now_ns = START};
    struct swg_policy *next;
    struct swg_shadow_stats t;
    pthread_t threads[3];
    (void)state;
    o.shadow.breaker.open_ns = SWG_MS(20);
    assert_int_equal(swg_policy_create(&crowd.policy, &o, 1, START), SWG_OK);
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, make_calls, &crowd), 0);
    for (uint32_t i = 0; i < 300; i++) {
        uint64_t now_ns = atomic_load(&crowd.now_ns);
        o.shadow.enabled = i % 5 != 4;
        o.shadow.breaker.consecutive = 2 + i / 10 % 3;
        assert_int_equal(swg_policy_renew(&next, crowd.policy, &o, 1, now_ns), SWG_OK);
        swg_policy_release(next);
        swg_policy_read_shadow(crowd.policy, SWG_ALL_ENDPOINTS, &t, now_ns);
        swg_policy_tick(crowd.policy, now_ns);
    }
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    /* whatever the threads saw of the shadows that came and went, the last one works */
    o.shadow.enabled = true;
    o.shadow.breaker.consecutive = 2;
    assert_int_equal(swg_policy_renew(&next, crowd.policy, &o, 1, atomic_load(&crowd.now_ns)),
                     SWG_OK);
    swg_policy_release(next);
    make_calls(&crowd);
    swg_policy_read_shadow(crowd.policy, SWG_ALL_ENDPOINTS, &t, atomic_load(&crowd.now_ns));
    assert_true(t.opened_total > 0);
    swg_policy_check(crowd.policy);
    swg_policy_release(crowd.policy);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_it_opens_and_nothing_is_refused),
        cmocka_unit_test(test_calls_that_are_made_anyway_are_its_probes),
        cmocka_unit_test(test_it_takes_no_probe_of_the_live_one),
        cmocka_unit_test(test_what_hangs_is_slow_to_it_in_its_own_time),
        cmocka_unit_test(test_a_stream_that_broke_off_late_counts),
        cmocka_unit_test(test_it_works_where_the_live_one_is_switched_off),
        cmocka_unit_test(test_a_renewal_keeps_it_and_other_options_begin_anew),
        cmocka_unit_test(test_it_goes_while_calls_are_under_way),
        cmocka_unit_test(test_options_that_are_wrong_change_nothing),
        cmocka_unit_test(test_its_changes_are_told_apart),
        cmocka_unit_test(test_every_step_is_as_without_it),
        cmocka_unit_test(test_many_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
