/* policy_test.c - a service of several endpoints: who is picked, when it is
 * open, what ejection allows, and what a renewal keeps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "engine/policy_priv.h"

enum { MANY = 4000 };

struct service {
    struct swg_policy *p;
    uint64_t now_ns, random;
    struct swg_permit permit;
    uint32_t endpoint;
    bool probe;
};

static const struct swg_endpoint_options names[] = {{"a", 1}, {"b", 1}, {"c", 1}, {"d", 1}};

static struct swg_policy_options options(uint32_t count) {
    return (struct swg_policy_options){
        .endpoints = names,
        .endpoint_count = count,
        .breaker = {.consecutive = 1, .open_ns = SWG_SECONDS(5), .jitter_percent = 101},
    };
}

static void make(struct service *s, struct swg_policy_options o) {
    *s = (struct service){.now_ns = SWG_SECONDS(100), .random = 1};
    assert_int_equal(swg_policy_create(&s->p, &o, 1, s->now_ns), SWG_OK);
}

static void unmake(struct service *s) {
    swg_policy_check(s->p);
    swg_policy_release(s->p);
}

static enum swg_refusal pick_from(struct service *s, uint64_t *tried, bool repeatable) {
    enum swg_refusal refusal = swg__policy_pick(s->p, tried, repeatable, random_next(&s->random),
                                                s->now_ns, &s->permit, &s->endpoint, &s->probe);
    swg_policy_check(s->p);
    return refusal;
}

static enum swg_refusal pick(struct service *s) {
    uint64_t tried = 0;
    return pick_from(s, &tried, true);
}

static void answer(struct service *s, enum swg_outcome_kind kind) {
    swg_breaker_record(swg_policy_breaker(s->p, s->endpoint), &s->permit, kind, 0, s->now_ns);
    swg__policy_leave(s->p, s->endpoint);
}

/* Opens that endpoint by a failure of its own. */
static void break_endpoint(struct service *s, uint32_t i) {
    struct swg_breaker *b = swg_policy_breaker(s->p, i);
    struct swg_permit p;
    assert_int_equal(swg_breaker_admit(b, &p, 0, s->now_ns), SWG_ADMITTED);
    swg_breaker_record(b, &p, SWG_FAILURE, 0, s->now_ns);
}

static enum swg_breaker_state state_of(const struct service *s) {
    return swg_policy_state(s->p, s->now_ns, NULL);
}

static struct swg_breaker_stats read_endpoint(const struct service *s, uint32_t i) {
    struct swg_breaker_stats stats;
    swg_breaker_read(swg_policy_breaker(s->p, i), &stats, s->now_ns);
    return stats;
}

/* How many of MANY successful calls each endpoint gets. */
static void share(struct service *s, uint32_t *counts) {
    memset(counts, 0, SWG_ENDPOINTS_MAX * sizeof(*counts));
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(pick(s), SWG_ADMITTED);
        counts[s->endpoint]++;
        answer(s, SWG_SUCCESS);
    }
}

/* ---- one endpoint ---- */

static void test_defaults(void **state) {
    (void)state;
    struct swg_policy *p;
    assert_int_equal(swg_policy_create(&p, NULL, 0, 0), SWG_OK);
    const struct swg_policy_options *o = &p->options;
    assert_int_equal(swg_policy_endpoint_count(p), 1);
    assert_string_equal(swg_policy_endpoint_name(p, 0), "");
    assert_int_equal(o->timeout.connect_ns, SWG_SECONDS(5));
    assert_int_equal(o->timeout.first_byte_ns, SWG_OFF);
    assert_int_equal(o->timeout.attempt_ns, SWG_SECONDS(30));
    assert_int_equal(o->timeout.total_ns, SWG_SECONDS(60));
    assert_int_equal(o->retry.max, 3);
    assert_int_equal(o->retry.base_ns, SWG_MS(100));
    assert_true(o->retry.on_connect && o->retry.on_reset && o->retry.on_timeout);
    assert_true(swg_status_in(o->retry.on_status, 503));
    assert_false(swg_status_in(o->retry.on_status, 501));
    assert_int_equal(o->ejection_max_percent, 50);
    assert_int_equal(o->breaker.failure_percent, 50);
    assert_int_equal(o->breaker.calls_min, 20);
    swg_policy_check(p);
    swg_policy_release(p);
}

static void test_bad_options(void **state) {
    (void)state;
    static const struct swg_endpoint_options twice[] = {{"a", 1}, {"b", 1}, {"a", 2}};
    static const struct swg_endpoint_options heavy[] = {{"a", 1001}};
    static const struct swg_tier_options tier[] = {{.share_percent = 101}};
    static const struct {
        struct swg_policy_options options;
        enum swg_error error;
    } bad[] = {
        {{.endpoints = twice, .endpoint_count = 3}, SWG_ERR_INVALID},
        {{.endpoint_count = 1}, SWG_ERR_INVALID},
        {{.tier_count = 1}, SWG_ERR_INVALID},
        {{.tier_count = 1, .tiers = tier}, SWG_ERR_RANGE},
        {{.endpoints = heavy, .endpoint_count = 1}, SWG_ERR_RANGE},
        {{.endpoints = names, .endpoint_count = SWG_ENDPOINTS_MAX + 1}, SWG_ERR_RANGE},
        {{.ejection_max_percent = 101}, SWG_ERR_RANGE},
        {{.retry.max = 101}, SWG_ERR_RANGE},
        {{.timeout.total_ns = SWG_OFF - 1}, SWG_ERR_RANGE},
        {{.breaker.probes = 65}, SWG_ERR_RANGE},
        {{.bulkhead.concurrent = 1000001}, SWG_ERR_RANGE},
        {{.budget.percent = 1001}, SWG_ERR_RANGE},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct swg_policy *p = (struct swg_policy *)1;
        assert_int_equal(swg_policy_create(&p, &bad[i].options, 0, 0), bad[i].error);
        assert_null(p);
    }
}

static void test_single_endpoint(void **state) {
    (void)state;
    struct service s;
    uint64_t retry_in_ns;
    make(&s, options(1));
    assert_int_equal(pick(&s), SWG_ADMITTED);
    assert_int_equal(swg_policy_endpoint_in_flight(s.p, 0), 1);
    answer(&s, SWG_FAILURE);
    assert_int_equal(swg_policy_endpoint_in_flight(s.p, 0), 0);
    assert_int_equal(pick(&s), SWG_REFUSED_OPEN);
    assert_int_equal(swg_policy_endpoint_in_flight(s.p, 0), 0);
    assert_int_equal(swg_policy_state(s.p, s.now_ns, &retry_in_ns), SWG_OPEN);
    assert_int_equal(retry_in_ns, SWG_SECONDS(5));
    s.now_ns += SWG_SECONDS(5);
    assert_int_equal(pick(&s), SWG_ADMITTED);
    assert_true(s.probe);
    assert_int_equal(state_of(&s), SWG_HALF_OPEN);
    answer(&s, SWG_SUCCESS);
    unmake(&s);
}

/* ---- balance ---- */

static void test_each_way_of_balance(void **state) {
    (void)state;
    static const struct swg_endpoint_options weighted[] = {{"a", 3}, {"b", 1}};
    for (int balance = SWG_LEAST_REQUEST; balance <= SWG_RANDOM; balance++) {
        struct service s;
        uint32_t counts[SWG_ENDPOINTS_MAX];
        struct swg_policy_options o = options(2);
        o.endpoints = weighted;
        o.balance = (enum swg_balance)balance;
        make(&s, o);
        share(&s, counts);
        assert_in_range(counts[0], MANY * 70 / 100, MANY * 80 / 100);
        unmake(&s);
    }
}

static void test_hung_endpoint_gets_few_calls(void **state) {
    (void)state;
    struct service s;
    struct swg_permit hung[8];
    uint32_t hung_count = 0;
    make(&s, options(2));
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(pick(&s), SWG_ADMITTED);
        if (s.endpoint == 0) {
            assert_true(hung_count < 8);
            hung[hung_count++] = s.permit;
        } else {
            answer(&s, SWG_SUCCESS);
        }
    }
    assert_int_equal(hung_count, 1);
    s.endpoint = 0;
    s.permit = hung[0];
    answer(&s, SWG_IGNORED);
    unmake(&s);
}

static void test_many_endpoints_are_all_used(void **state) {
    (void)state;
    static char name[SWG_ENDPOINTS_MAX][8];
    static struct swg_endpoint_options many[SWG_ENDPOINTS_MAX];
    struct service s;
    uint32_t counts[SWG_ENDPOINTS_MAX];
    struct swg_policy_options o = options(SWG_ENDPOINTS_MAX);
    for (unsigned i = 0; i < SWG_ENDPOINTS_MAX; i++) {
        snprintf(name[i], sizeof(name[i]), "e%u", i);
        many[i].name = name[i];
    }
    o.endpoints = many;
    make(&s, o);
    break_endpoint(&s, 63);
    share(&s, counts);
    for (int i = 0; i < 63; i++)
        assert_in_range(counts[i], MANY / 63 / 3, MANY / 63 * 3);
    assert_int_equal(counts[63], 0);
    unmake(&s);
}

static void test_slow_start_of_a_recovered_endpoint(void **state) {
    (void)state;
    struct service s;
    uint32_t counts[SWG_ENDPOINTS_MAX];
    struct swg_policy_options o = options(2);
    o.slow_start_ns = SWG_SECONDS(10);
    make(&s, o);
    share(&s, counts); /* all there from the beginning: evenly */
    assert_in_range(counts[0], MANY * 45 / 100, MANY * 55 / 100);
    break_endpoint(&s, 0);
    s.now_ns += SWG_SECONDS(5);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pick(&s), SWG_ADMITTED);
        assert_true(s.probe && s.endpoint == 0);
        answer(&s, SWG_SUCCESS);
    }
    share(&s, counts); /* 10 : 100 */
    assert_in_range(counts[0], MANY * 6 / 100, MANY * 12 / 100);
    s.now_ns += SWG_SECONDS(5);
    share(&s, counts); /* 55 : 100 */
    assert_in_range(counts[0], MANY * 30 / 100, MANY * 40 / 100);
    s.now_ns += SWG_SECONDS(5);
    share(&s, counts);
    assert_in_range(counts[0], MANY * 45 / 100, MANY * 55 / 100);
    unmake(&s);
}

/* ---- retries ---- */

static void test_a_retry_goes_elsewhere(void **state) {
    (void)state;
    struct service s;
    struct swg_policy_options o = options(3);
    o.breaker.consecutive = 100;
    make(&s, o);
    for (int round = 0; round < 100; round++) {
        uint64_t tried = 0;
        for (int attempt = 0; attempt < 3; attempt++) {
            assert_int_equal(pick_from(&s, &tried, true), SWG_ADMITTED);
            assert_int_equal(__builtin_popcountll(tried), attempt + 1);
            assert_true(tried >> s.endpoint & 1);
            answer(&s, SWG_OVERLOAD);
        }
        assert_int_equal(pick_from(&s, &tried, true), SWG_ADMITTED); /* then any again */
        answer(&s, SWG_OVERLOAD);
    }
    unmake(&s);
}

static void test_a_retry_prefers_the_healthy_one_to_a_probe(void **state) {
    (void)state;
    struct service s;
    uint64_t tried = 4;
    make(&s, options(3));
    break_endpoint(&s, 0);
    s.now_ns += SWG_SECONDS(5);
    assert_int_equal(pick_from(&s, &tried, true), SWG_ADMITTED);
    assert_int_equal(s.endpoint, 1);
    answer(&s, SWG_SUCCESS);
    tried = 6; /* both healthy ones tried: the probe, before a second time */
    assert_int_equal(pick_from(&s, &tried, true), SWG_ADMITTED);
    assert_int_equal(s.endpoint, 0);
    assert_true(s.probe);
    answer(&s, SWG_SUCCESS);
    unmake(&s);
}

/* ---- probes beside healthy endpoints ---- */

static void test_due_endpoint_gets_its_probes_and_no_more(void **state) {
    (void)state;
    struct service s, first, second;
    make(&s, options(2));
    break_endpoint(&s, 0);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(pick(&s), SWG_ADMITTED);
        assert_int_equal(s.endpoint, 1);
        answer(&s, SWG_SUCCESS);
    }
    s.now_ns += SWG_SECONDS(5);
    assert_int_equal(pick(&s), SWG_ADMITTED);
    assert_true(s.probe && s.endpoint == 0);
    first = s;
    assert_int_equal(pick(&s), SWG_ADMITTED);
    assert_true(s.probe && s.endpoint == 0);
    second = s;
    for (int i = 0; i < 100; i++) {
        assert_int_equal(pick(&s), SWG_ADMITTED);
        assert_true(!s.probe && s.endpoint == 1);
        answer(&s, SWG_SUCCESS);
    }
    assert_int_equal(state_of(&s), SWG_CLOSED);
    answer(&first, SWG_SUCCESS);
    answer(&second, SWG_SUCCESS);
    assert_int_equal(read_endpoint(&s, 0).state, SWG_CLOSED);
    unmake(&s);
}

/* What cannot be sent twice is not risked on a sick endpoint, unless nobody
 * else would ever try it. */
static void test_unrepeatable_calls_leave_probes_to_others(void **state) {
    (void)state;
    struct service s;
    uint64_t tried = 0;
    make(&s, options(2));
    break_endpoint(&s, 0);
    s.now_ns += SWG_SECONDS(5);
    assert_int_equal(pick_from(&s, &tried, false), SWG_ADMITTED);
    assert_int_equal(s.endpoint, 1);
    answer(&s, SWG_SUCCESS);
    s.now_ns += SWG_SECONDS(1);
    tried = 0;
    assert_int_equal(pick_from(&s, &tried, false), SWG_ADMITTED);
    assert_true(s.probe && s.endpoint == 0);
    answer(&s, SWG_SUCCESS);
    assert_int_equal(read_endpoint(&s, 0).state, SWG_HALF_OPEN);
    s.now_ns += SWG_SECONDS(1);
    tried = 0; /* half-open alike */
    assert_int_equal(pick_from(&s, &tried, false), SWG_ADMITTED);
    assert_true(s.probe && s.endpoint == 0);
    answer(&s, SWG_SUCCESS);
    unmake(&s);
}

static void test_unrepeatable_call_probes_when_nobody_serves(void **state) {
    (void)state;
    struct service s;
    uint64_t tried = 0;
    make(&s, options(2));
    break_endpoint(&s, 0);
    break_endpoint(&s, 1);
    s.now_ns += SWG_SECONDS(5);
    assert_int_equal(pick_from(&s, &tried, false), SWG_ADMITTED);
    assert_true(s.probe);
    answer(&s, SWG_SUCCESS);
    unmake(&s);
}

/* ---- the state of the service, and ejection ---- */

static void test_service_state(void **state) {
    (void)state;
    struct service s;
    uint64_t retry_in_ns;
    make(&s, options(2));
    assert_int_equal(swg_policy_state(s.p, s.now_ns, &retry_in_ns), SWG_CLOSED);
    assert_int_equal(retry_in_ns, 0);
    break_endpoint(&s, 0);
    assert_int_equal(state_of(&s), SWG_CLOSED); /* one sick of two */
    s.now_ns += SWG_SECONDS(2);
    break_endpoint(&s, 1);
    assert_int_equal(swg_policy_state(s.p, s.now_ns, &retry_in_ns), SWG_OPEN);
    assert_int_equal(retry_in_ns, SWG_SECONDS(3)); /* the sooner of both */
    assert_int_equal(pick(&s), SWG_REFUSED_OPEN);
    assert_int_equal(read_endpoint(&s, 0).refused[SWG_REFUSED_OPEN], 1);
    s.now_ns += SWG_SECONDS(3);
    assert_int_equal(state_of(&s), SWG_OPEN); /* until somebody tries */
    assert_int_equal(pick(&s), SWG_ADMITTED);
    assert_int_equal(state_of(&s), SWG_HALF_OPEN);
    struct service first = s;
    assert_int_equal(pick(&s), SWG_ADMITTED);
    struct service second = s;
    assert_int_equal(pick(&s), SWG_REFUSED_HALF_OPEN_FULL);
    answer(&first, SWG_SUCCESS);
    answer(&second, SWG_SUCCESS);
    assert_int_equal(state_of(&s), SWG_CLOSED);
    unmake(&s);
}

static void test_forced_open_service(void **state) {
    (void)state;
    struct service s;
    struct swg_policy_stats stats;
    make(&s, options(2));
    swg_policy_force(s.p, SWG_FORCED_OPEN, SWG_NEVER, s.now_ns);
    assert_int_equal(pick(&s), SWG_REFUSED_FORCED_OPEN);
    assert_int_equal(state_of(&s), SWG_OPEN);
    swg_policy_read(s.p, &stats, s.now_ns);
    assert_int_equal(stats.manual, SWG_FORCED_OPEN);
    swg_breaker_reset(swg_policy_breaker(s.p, 1), s.now_ns);
    swg_policy_read(s.p, &stats, s.now_ns);
    assert_int_equal(stats.manual, SWG_AUTOMATIC); /* not on all any more */
    assert_int_equal(pick(&s), SWG_ADMITTED);
    assert_int_equal(s.endpoint, 1);
    answer(&s, SWG_SUCCESS);
    break_endpoint(&s, 1); /* the milder reason is told */
    assert_int_equal(pick(&s), SWG_REFUSED_OPEN);
    swg_policy_reset(s.p, s.now_ns);
    assert_int_equal(state_of(&s), SWG_CLOSED);
    unmake(&s);
}

/* Of four, two may be ejected. The third that opens is used all the same. */
static void test_ejection_has_a_limit(void **state) {
    (void)state;
    struct service s;
    uint32_t counts[SWG_ENDPOINTS_MAX];
    make(&s, options(4));
    for (uint32_t i = 0; i < 3; i++) {
        break_endpoint(&s, i);
        s.now_ns += SWG_MS(1);
    }
    uint64_t calls = read_endpoint(&s, 2).calls;
    share(&s, counts);
    assert_int_equal(counts[0] + counts[1], 0);
    assert_in_range(counts[2], MANY * 45 / 100, MANY * 55 / 100);
    assert_int_equal(read_endpoint(&s, 2).calls, calls + counts[2]); /* totals only */
    assert_int_equal(read_endpoint(&s, 2).window_calls, 1);
    assert_int_equal(read_endpoint(&s, 2).state, SWG_OPEN);
    break_endpoint(&s, 3); /* nobody serves any more: open */
    assert_int_equal(pick(&s), SWG_REFUSED_OPEN);
    unmake(&s);
}

static void test_one_may_always_be_ejected(void **state) {
    (void)state;
    struct service s;
    uint32_t counts[SWG_ENDPOINTS_MAX];
    struct swg_policy_options o = options(3);
    o.ejection_max_percent = 1;
    make(&s, o);
    break_endpoint(&s, 1);
    share(&s, counts);
    assert_int_equal(counts[1], 0);
    s.now_ns += SWG_MS(1);
    break_endpoint(&s, 0);
    share(&s, counts);
    assert_int_equal(counts[1], 0);
    assert_true(counts[0] > 0);
    unmake(&s);
}

static void test_all_may_be_ejected_at_100_percent(void **state) {
    (void)state;
    struct service s;
    uint32_t counts[SWG_ENDPOINTS_MAX];
    struct swg_policy_options o = options(4);
    o.ejection_max_percent = 100;
    make(&s, o);
    for (uint32_t i = 0; i < 3; i++)
        break_endpoint(&s, i);
    share(&s, counts);
    assert_int_equal(counts[3], MANY);
    unmake(&s);
}

/* What an operator opened is no part of the limit and never used. */
static void test_forced_open_endpoint_is_never_used(void **state) {
    (void)state;
    struct service s;
    uint32_t counts[SWG_ENDPOINTS_MAX];
    make(&s, options(4));
    for (uint32_t i = 0; i < 3; i++)
        swg_breaker_force(swg_policy_breaker(s.p, i), SWG_FORCED_OPEN, SWG_NEVER, s.now_ns);
    share(&s, counts);
    assert_int_equal(counts[3], MANY);
    unmake(&s);
}

static void test_no_breaker(void **state) {
    (void)state;
    struct service s;
    struct swg_policy_options o = options(2);
    o.no_breaker = true;
    make(&s, o);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(pick(&s), SWG_ADMITTED);
        answer(&s, i % 2 ? SWG_FAILURE : SWG_SUCCESS);
    }
    assert_int_equal(state_of(&s), SWG_CLOSED);
    assert_int_equal(read_endpoint(&s, 0).calls + read_endpoint(&s, 1).calls, 100);
    assert_int_equal(read_endpoint(&s, 0).failures + read_endpoint(&s, 1).failures, 50);
    assert_int_equal(read_endpoint(&s, 0).window_calls, 0); /* not held against it later */
    assert_int_equal(read_endpoint(&s, 0).events, 0);
    unmake(&s);
}

static void test_ramping_endpoint_hands_over(void **state) {
    (void)state;
    struct service s;
    uint32_t counts[SWG_ENDPOINTS_MAX];
    struct swg_policy_options o = options(2);
    o.breaker.ramp_ns = SWG_SECONDS(10);
    o.breaker.close_after = 1;
    make(&s, o);
    break_endpoint(&s, 0);
    s.now_ns += SWG_SECONDS(5);
    assert_int_equal(pick(&s), SWG_ADMITTED);
    answer(&s, SWG_SUCCESS);
    share(&s, counts); /* none is refused */
    assert_in_range(counts[0], MANY * 3 / 100, MANY * 8 / 100);
    unmake(&s);
}

/* ---- reading ---- */

static void test_read_sums_up(void **state) {
    (void)state;
    struct service s;
    struct swg_policy_stats stats;
    uint32_t counts[SWG_ENDPOINTS_MAX];
    make(&s, options(2));
    share(&s, counts);
    break_endpoint(&s, 0);
    swg__policy_count_call(s.p);
    swg__policy_count_attempt(s.p);
    swg__policy_count_retry(s.p);
    swg__policy_count_refused(s.p, SWG_REFUSED_RATE_LIMITED);
    swg__policy_count_skipped(s.p, SWG_REFUSED_BUDGET);
    swg_policy_read(s.p, &stats, s.now_ns);
    assert_int_equal(stats.total.successes, MANY);
    assert_int_equal(stats.total.failures, 1);
    assert_int_equal(stats.total.window_calls, MANY + 1);
    assert_int_equal(stats.total.open_until_ns, s.now_ns + SWG_SECONDS(5));
    assert_int_equal(stats.state, SWG_CLOSED);
    assert_int_equal(stats.since_ns, SWG_SECONDS(100));
    assert_int_equal(stats.calls, 1);
    assert_int_equal(stats.attempts, 1);
    assert_int_equal(stats.retries, 1);
    assert_int_equal(stats.refused[SWG_REFUSED_RATE_LIMITED], 1);
    assert_int_equal(stats.retries_skipped[SWG_REFUSED_BUDGET], 1);
    unmake(&s);
}

/* ---- renewal ---- */

struct log {
    uint32_t count;
    char last[8];
};

static void listen_to(void *arg, const char *endpoint, const struct swg_breaker_event *e) {
    struct log *log = arg;
    (void)e;
    log->count++;
    snprintf(log->last, sizeof(log->last), "%s", endpoint);
}

static void renew(struct service *s, struct swg_policy_options o) {
    struct swg_policy *next;
    assert_int_equal(swg_policy_renew(&next, s->p, &o, 2, s->now_ns), SWG_OK);
    swg_policy_release(s->p);
    s->p = next;
    swg_policy_check(s->p);
}

static void test_renew_keeps_endpoints_by_name(void **state) {
    (void)state;
    static const struct swg_endpoint_options other[] = {{"x", 1}, {"b", 5}, {"a", 1}};
    struct service s;
    struct log log = {0};
    make(&s, options(3));
    swg_policy_listen(s.p, listen_to, &log);
    break_endpoint(&s, 1);
    assert_int_equal(log.count, 1);
    assert_string_equal(log.last, "b");
    struct swg_policy *old = swg_policy_hold(s.p);
    struct swg_breaker *a = swg_policy_breaker(old, 0), *b = swg_policy_breaker(old, 1);
    struct swg_policy_options o = options(3);
    o.endpoints = other;
    o.breaker.consecutive = 2;
    renew(&s, o);
    assert_string_equal(swg_policy_endpoint_name(s.p, 0), "x");
    assert_ptr_equal(swg_policy_breaker(s.p, 1), b);
    assert_ptr_equal(swg_policy_breaker(s.p, 2), a);
    assert_int_equal(read_endpoint(&s, 1).state, SWG_OPEN);
    assert_int_equal(read_endpoint(&s, 1).open_until_ns, s.now_ns + SWG_SECONDS(5));

    break_endpoint(&s, 2); /* one failure is no longer enough */
    assert_int_equal(read_endpoint(&s, 2).state, SWG_CLOSED);
    break_endpoint(&s, 0);
    break_endpoint(&s, 0); /* the new one is listened to as well */
    assert_int_equal(log.count, 2);
    assert_string_equal(log.last, "x");
    assert_string_equal(swg_policy_endpoint_name(old, 2), "c"); /* the old stays valid */
    swg_policy_release(old);
    unmake(&s);
}

static void test_renew_starts_new_endpoints_slowly(void **state) {
    (void)state;
    struct service s;
    uint32_t counts[SWG_ENDPOINTS_MAX];
    struct swg_policy_options o = options(2);
    o.slow_start_ns = SWG_SECONDS(10);
    make(&s, o);
    o.endpoint_count = 3;
    renew(&s, o);
    share(&s, counts);
    assert_in_range(counts[2], MANY * 3 / 100, MANY * 7 / 100);
    s.now_ns += SWG_SECONDS(10);
    share(&s, counts);
    assert_in_range(counts[2], MANY * 29 / 100, MANY * 37 / 100);
    unmake(&s);
}

static void test_renew_passes_manual_control_on(void **state) {
    (void)state;
    struct service s;
    make(&s, options(2));
    swg_policy_force(s.p, SWG_FORCED_OPEN, SWG_MINUTES(1), s.now_ns);
    s.now_ns += SWG_SECONDS(20);
    renew(&s, options(3));
    assert_int_equal(read_endpoint(&s, 2).manual, SWG_FORCED_OPEN);
    assert_int_equal(read_endpoint(&s, 2).manual_until_ns, s.now_ns + SWG_SECONDS(40));
    assert_int_equal(pick(&s), SWG_REFUSED_FORCED_OPEN);
    swg_breaker_reset(swg_policy_breaker(s.p, 0), s.now_ns);
    renew(&s, options(4)); /* no longer on all: the fourth begins closed */
    assert_int_equal(read_endpoint(&s, 3).manual, SWG_AUTOMATIC);
    unmake(&s);
}

static void test_renew_in_midst_of_a_call(void **state) {
    (void)state;
    struct service s;
    make(&s, options(2));
    assert_int_equal(pick(&s), SWG_ADMITTED);
    struct service begun = s;
    swg_policy_hold(begun.p);
    renew(&s, options(2));
    assert_int_equal(swg_policy_endpoint_in_flight(s.p, begun.endpoint), 1);
    answer(&begun, SWG_FAILURE);
    assert_int_equal(swg_policy_endpoint_in_flight(s.p, begun.endpoint), 0);
    assert_int_equal(read_endpoint(&s, begun.endpoint).state, SWG_OPEN);
    swg_policy_release(begun.p);
    unmake(&s);
}

static void test_renew_refused_changes_nothing(void **state) {
    (void)state;
    struct service s;
    struct swg_policy *next;
    struct swg_policy_options o = options(2);
    make(&s, o);
    o.breaker.consecutive = 5;
    o.bulkhead.concurrent = 1000001;
    assert_int_equal(swg_policy_renew(&next, s.p, &o, 0, s.now_ns), SWG_ERR_RANGE);
    assert_null(next);
    o.bulkhead.concurrent = 7;
    o.budget.percent = 1001;
    assert_int_equal(swg_policy_renew(&next, s.p, &o, 0, s.now_ns), SWG_ERR_RANGE);
    struct swg_policy_stats stats;
    swg_policy_read(s.p, &stats, s.now_ns);
    assert_int_equal(stats.bulkhead.concurrent, 1024);
    break_endpoint(&s, 0); /* still one failure */
    assert_int_equal(read_endpoint(&s, 0).state, SWG_OPEN);
    unmake(&s);
}

static void test_tick_expires_manual_control(void **state) {
    (void)state;
    struct service s;
    struct log log = {0};
    make(&s, options(2));
    swg_policy_listen(s.p, listen_to, &log);
    swg_policy_force(s.p, SWG_DISABLED, SWG_SECONDS(1), s.now_ns);
    s.now_ns += SWG_SECONDS(1);
    assert_int_equal(log.count, 2);
    swg_policy_tick(s.p, s.now_ns);
    assert_int_equal(log.count, 4);
    unmake(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_bad_options),
        cmocka_unit_test(test_single_endpoint),
        cmocka_unit_test(test_each_way_of_balance),
        cmocka_unit_test(test_hung_endpoint_gets_few_calls),
        cmocka_unit_test(test_many_endpoints_are_all_used),
        cmocka_unit_test(test_slow_start_of_a_recovered_endpoint),
        cmocka_unit_test(test_a_retry_goes_elsewhere),
        cmocka_unit_test(test_a_retry_prefers_the_healthy_one_to_a_probe),
        cmocka_unit_test(test_due_endpoint_gets_its_probes_and_no_more),
        cmocka_unit_test(test_unrepeatable_calls_leave_probes_to_others),
        cmocka_unit_test(test_unrepeatable_call_probes_when_nobody_serves),
        cmocka_unit_test(test_service_state),
        cmocka_unit_test(test_forced_open_service),
        cmocka_unit_test(test_ejection_has_a_limit),
        cmocka_unit_test(test_one_may_always_be_ejected),
        cmocka_unit_test(test_all_may_be_ejected_at_100_percent),
        cmocka_unit_test(test_forced_open_endpoint_is_never_used),
        cmocka_unit_test(test_no_breaker),
        cmocka_unit_test(test_ramping_endpoint_hands_over),
        cmocka_unit_test(test_read_sums_up),
        cmocka_unit_test(test_renew_keeps_endpoints_by_name),
        cmocka_unit_test(test_renew_starts_new_endpoints_slowly),
        cmocka_unit_test(test_renew_passes_manual_control_on),
        cmocka_unit_test(test_renew_in_midst_of_a_call),
        cmocka_unit_test(test_renew_refused_changes_nothing),
        cmocka_unit_test(test_tick_expires_manual_control),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
