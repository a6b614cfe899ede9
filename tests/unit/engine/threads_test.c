/* threads_test.c - one breaker, one policy, and many threads.
 *
 * What must hold whatever the order: every answered permit is in the totals
 * exactly once, never more probes are out than allowed, events have no gaps,
 * and the breaker is sound at the end. To be run under ThreadSanitizer too. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/random.h"
#include "engine/policy_priv.h"

enum { THREADS = 12, CALLS = 8000, PROBES = 3, EVENTS_MAX = 200000 };

/* What a thread counted; summed up after it ended. */
struct tally {
    uint64_t kind[SWG_IGNORED + 1];
    uint64_t uncounted, refused[SWG_REFUSAL_COUNT];
};

struct crowd {
    struct swg_breaker *b;
    struct swg_policy *policy;
    atomic_uint probes_out; /* as the callers see it */
    atomic_uint probes_too_many;
    atomic_ullong time_ns; /* moved on by everybody */
    atomic_uchar *seen;    /* events told, by sequence */
    atomic_uint events;
};

struct member {
    struct crowd *crowd;
    pthread_t id;
    uint64_t random;
    struct tally tally;
};

static void hear(void *arg, const struct swg_breaker_event *e) {
    struct crowd *crowd = arg;
    if (e->sequence < EVENTS_MAX)
        atomic_fetch_add(&crowd->seen[e->sequence], 1);
    atomic_fetch_add(&crowd->events, 1);
}

static uint64_t tick_on(struct member *m) {
    return atomic_fetch_add(&m->crowd->time_ns, random_next(&m->random) % 20000) + 1;
}

/* A probe is out from its admission to its record. Counted after the one and
 * before the other, so never more than really are. */
static void one_call(struct member *m) {
    struct crowd *crowd = m->crowd;
    struct swg_permit p;
    uint64_t random = random_next(&m->random), now_ns = tick_on(m);
    enum swg_refusal refusal = swg_breaker_admit(crowd->b, &p, random, now_ns);
    if (refusal) {
        m->tally.refused[refusal]++;
        return;
    }
    uint32_t probe = p.probe;
    if (probe && atomic_fetch_add(&crowd->probes_out, 1) >= PROBES)
        atomic_fetch_add(&crowd->probes_too_many, 1);
    uint64_t dice = random % 100;
    bool sick = now_ns / SWG_MS(20) % 2;
    enum swg_outcome_kind kind = dice < 6                   ? SWG_OVERLOAD + (dice % 3)
                                 : dice < (sick ? 70u : 8u) ? SWG_FAILURE
                                                            : SWG_SUCCESS;
    if (dice == 99)
        swg_breaker_overdue(crowd->b, &p, now_ns + SWG_MS(10));
    if (probe)
        atomic_fetch_sub(&crowd->probes_out, 1);
    swg_breaker_record(crowd->b, &p, kind, 0, tick_on(m));
    m->tally.kind[kind]++;
}

static void *call_often(void *arg) {
    struct member *m = arg;
    for (int i = 0; i < CALLS; i++) {
        one_call(m);
        if (i % 1000 == 999) {
            struct swg_breaker_stats s;
            swg_breaker_read(m->crowd->b, &s, tick_on(m));
            swg_breaker_check(m->crowd->b);
        }
    }
    return NULL;
}

static void run_crowd(struct crowd *crowd, void *(*body)(void *), struct tally *sum) {
    struct member members[THREADS];
    *sum = (struct tally){0};
    for (uint64_t i = 0; i < THREADS; i++) {
        members[i] = (struct member){.crowd = crowd, .random = random_mix(i)};
        assert_int_equal(pthread_create(&members[i].id, NULL, body, &members[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(members[i].id, NULL);
        for (int k = 0; k <= SWG_IGNORED; k++)
            sum->kind[k] += members[i].tally.kind[k];
        for (int k = 0; k < SWG_REFUSAL_COUNT; k++)
            sum->refused[k] += members[i].tally.refused[k];
    }
}

static void expect_totals(const struct swg_breaker_stats *s, const struct tally *sum) {
    assert_int_equal(s->successes, sum->kind[SWG_SUCCESS]);
    assert_int_equal(s->failures, sum->kind[SWG_FAILURE]);
    assert_int_equal(s->overloads, sum->kind[SWG_OVERLOAD]);
    assert_int_equal(s->cancelled, sum->kind[SWG_CANCELLED]);
    assert_int_equal(s->ignored, sum->kind[SWG_IGNORED]);
    for (int i = 0; i < SWG_REFUSAL_COUNT; i++)
        assert_int_equal(s->refused[i], sum->refused[i]);
}

static void expect_events_without_gaps(const struct crowd *crowd, uint64_t events) {
    assert_int_equal(atomic_load(&crowd->events), events);
    for (uint64_t i = 1; i <= events && i < EVENTS_MAX; i++)
        assert_int_equal(atomic_load(&crowd->seen[i]), 1);
}

static void crowd_on(const struct swg_breaker_options *o) {
    struct crowd crowd = {.seen = calloc(EVENTS_MAX, sizeof(atomic_uchar))};
    struct tally sum;
    struct swg_breaker_stats s;
    assert_non_null(crowd.seen);
    atomic_store(&crowd.time_ns, SWG_SECONDS(1));
    assert_int_equal(swg_breaker_create(&crowd.b, o, 1, SWG_SECONDS(1)), SWG_OK);
    swg_breaker_listen(crowd.b, hear, &crowd);
    run_crowd(&crowd, call_often, &sum);
    swg_breaker_check(crowd.b);
    swg_breaker_read(crowd.b, &s, atomic_load(&crowd.time_ns));
    expect_totals(&s, &sum);
    expect_events_without_gaps(&crowd, s.events);
    assert_int_equal(atomic_load(&crowd.probes_too_many), 0);
    assert_true(s.events > 10); /* it did open and close */
    swg_breaker_destroy(crowd.b);
    free(crowd.seen);
}

static void test_crowd_with_a_time_window(void **state) {
    (void)state;
    crowd_on(&(struct swg_breaker_options){
        .failure_percent = 40,
        .slow_percent = 80,
        .slow_call_ns = SWG_MS(5),
        .window_ns = SWG_MS(10),
        .open_ns = SWG_MS(1),
        .open_max_ns = SWG_MS(2),
        .probes = PROBES,
        .close_after = 4,
        .ramp_ns = SWG_MS(3),
        .probe_lease_ns = SWG_SECONDS(100),
    });
}

static void test_crowd_with_a_window_of_calls(void **state) {
    (void)state;
    crowd_on(&(struct swg_breaker_options){
        .consecutive = 20,
        .failure_percent = 40,
        .window_calls = 50,
        .open_ns = SWG_MS(1),
        .open_max_ns = SWG_MS(2),
        .probes = PROBES,
        .close_after = 4,
        .probe_lease_ns = SWG_SECONDS(100),
    });
}

/* Healthy, no lock: nothing is lost between the slots, and the window is exact
 * when the threads are gone. */
static void *succeed_often(void *arg) {
    struct member *m = arg;
    for (int i = 0; i < CALLS; i++) {
        struct swg_permit p;
        if (swg_breaker_admit(m->crowd->b, &p, 0, SWG_SECONDS(1)) != SWG_ADMITTED)
            abort();
        swg_breaker_record(m->crowd->b, &p, SWG_SUCCESS, 0, SWG_SECONDS(1));
        m->tally.kind[SWG_SUCCESS]++;
    }
    return NULL;
}

static void test_successes_are_not_lost(void **state) {
    (void)state;
    struct crowd crowd = {0};
    struct tally sum;
    struct swg_breaker_stats s;
    assert_int_equal(swg_breaker_create(&crowd.b, NULL, 1, SWG_SECONDS(1)), SWG_OK);
    for (int round = 1; round <= 3; round++) { /* slots go from thread to thread */
        run_crowd(&crowd, succeed_often, &sum);
        swg_breaker_read(crowd.b, &s, SWG_SECONDS(1));
        assert_int_equal(s.successes, (uint64_t)round * THREADS * CALLS);
        assert_int_equal(s.window_calls, (uint64_t)round * THREADS * CALLS);
    }
    swg_breaker_destroy(crowd.b);
}

/* ---- operators and reloads in the midst of it ---- */

static void *call_policy(void *arg) {
    struct member *m = arg;
    struct swg_policy *p = m->crowd->policy;
    for (int i = 0; i < CALLS; i++) {
        struct swg_permit permit;
        uint64_t tried = 0, random = random_next(&m->random), now_ns = tick_on(m);
        uint32_t endpoint = 0;
        bool probe;
        swg__policy_count_call(p);
        enum swg_refusal refusal =
            swg__policy_pick(p, &tried, true, random, now_ns, &permit, &endpoint, &probe);
        if (refusal) {
            m->tally.refused[refusal]++;
            continue;
        }
        enum swg_outcome_kind kind = random % 100 < 30 ? SWG_FAILURE : SWG_SUCCESS;
        swg_breaker_record(swg_policy_breaker(p, endpoint), &permit, kind, 0, now_ns);
        swg__policy_leave(p, endpoint);
        m->tally.kind[kind]++;
    }
    return NULL;
}

static void *operate(void *arg) {
    struct member *m = arg;
    struct swg_policy *p = swg_policy_hold(m->crowd->policy);
    static const struct swg_endpoint_options endpoints[] = {{"b", 2}, {"c", 1}, {"a", 1}};
    for (int i = 0; i < 300; i++) {
        struct swg_policy *next;
        uint64_t now_ns = tick_on(m);
        struct swg_policy_stats s;
        struct swg_policy_options o = {.endpoints = endpoints,
                                       .endpoint_count = 2 + (uint32_t)i % 2,
                                       .breaker.window_ns = SWG_MS(10 + (uint64_t)i % 3)};
        if (swg_policy_renew(&next, p, &o, 1, now_ns) != SWG_OK)
            abort();
        swg_policy_release(p);
        p = next;
        swg_policy_force(p, (enum swg_breaker_manual)(i % 4), SWG_MS(1), now_ns);
        if (i % 7 == 0)
            swg_policy_reset(p, now_ns);
        swg_policy_tick(p, now_ns);
        swg_policy_read(p, &s, now_ns);
        swg_policy_check(p);
    }
    swg_policy_release(p);
    return NULL;
}

static void test_policy_under_operators(void **state) {
    (void)state;
    struct crowd crowd = {0};
    struct tally sum;
    struct swg_policy_stats s;
    struct member boss = {.crowd = &crowd, .random = 99};
    static const struct swg_endpoint_options endpoints[] = {{"a", 1}, {"b", 1}};
    atomic_store(&crowd.time_ns, SWG_SECONDS(1));
    assert_int_equal(swg_policy_create(&crowd.policy,
                                       &(struct swg_policy_options){
                                           .endpoints = endpoints,
                                           .endpoint_count = 2,
                                           .breaker.window_ns = SWG_MS(10),
                                           .breaker.open_ns = SWG_MS(1),
                                       },
                                       1, SWG_SECONDS(1)),
                     SWG_OK);
    assert_int_equal(pthread_create(&boss.id, NULL, operate, &boss), 0);
    run_crowd(&crowd, call_policy, &sum);
    pthread_join(boss.id, NULL);
    swg_policy_check(crowd.policy);
    swg_policy_read(crowd.policy, &s, atomic_load(&crowd.time_ns));
    assert_int_equal(s.calls, THREADS * CALLS);
    assert_int_equal(swg_policy_endpoint_in_flight(crowd.policy, 0), 0);
    assert_int_equal(swg_policy_endpoint_in_flight(crowd.policy, 1), 0);
    /* what was admitted while disabled leaves no trace: at most as many */
    assert_true(s.total.calls <= sum.kind[SWG_SUCCESS] + sum.kind[SWG_FAILURE]);
    assert_true(s.total.calls > 0);
    swg_policy_release(crowd.policy);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crowd_with_a_time_window),
        cmocka_unit_test(test_crowd_with_a_window_of_calls),
        cmocka_unit_test(test_successes_are_not_lost),
        cmocka_unit_test(test_policy_under_operators),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
