/* engine_works.c - the operations of the engine that a protected call is made of. */
#include <stdio.h>
#include <stdlib.h>

#include <switchgear/switchgear.h>

#include "base/random.h"
#include "engine/policy_priv.h"
#include "engine_bench.h"

/* ---- breaker ---- */

static void *make_breaker(const struct swg_breaker_options *o) {
    struct swg_breaker *b;
    return swg_breaker_create(&b, o, 1, SWG_SECONDS(1)) ? NULL : b;
}
static void *make_time(void) {
    return make_breaker(NULL);
}
static void *make_calls(void) {
    return make_breaker(&(struct swg_breaker_options){.failure_percent = 50, .window_calls = 100});
}
static void *make_forced_open(void) {
    struct swg_breaker *b = make_breaker(NULL);
    swg_breaker_force(b, SWG_FORCED_OPEN, SWG_NEVER, SWG_SECONDS(1));
    return b;
}
static void *make_open(void) {
    struct swg_breaker *b =
        make_breaker(&(struct swg_breaker_options){.consecutive = 1, .open_ns = SWG_HOURS(100)});
    struct swg_permit p;
    swg_breaker_admit(b, &p, 0, SWG_SECONDS(1));
    swg_breaker_record(b, &p, SWG_FAILURE, 0, SWG_SECONDS(1));
    return b;
}
static void unmake_breaker(void *b) {
    swg_breaker_destroy(b);
}

static inline void call_breaker(struct thread *t, uint32_t fail_permille) {
    struct swg_breaker *b = t->object;
    for (int i = 0; i < BATCH; i++) {
        struct swg_permit p;
        t->now_ns += 1000;
        if (swg_breaker_admit(b, &p, 0, t->now_ns) != SWG_ADMITTED)
            continue;
        enum swg_outcome_kind kind = SWG_SUCCESS;
        if (fail_permille) {
            t->random = t->random * UINT64_C(6364136223846793005) + 1;
            if ((t->random >> 32) % 1000 < fail_permille)
                kind = SWG_FAILURE;
        }
        swg_breaker_record(b, &p, kind, 0, t->now_ns);
    }
}
static void run_healthy(struct thread *t) {
    call_breaker(t, 0);
}
static void run_1_percent(struct thread *t) {
    call_breaker(t, 10);
}
static void run_10_percent(struct thread *t) {
    call_breaker(t, 100);
}

/* ---- policy ---- */

static void *make_policy(uint32_t endpoints) {
    struct swg_endpoint_options e[8] = {{"a", 1}, {"b", 1}, {"c", 1}, {"d", 1},
                                        {"e", 1}, {"f", 1}, {"g", 1}, {"h", 1}};
    struct swg_policy *p;
    return swg_policy_create(
               &p, &(struct swg_policy_options){.endpoints = e, .endpoint_count = endpoints}, 1,
               SWG_SECONDS(1))
               ? NULL
               : p;
}
static void *make_policy_1(void) {
    return make_policy(1);
}
static void *make_policy_2(void) {
    return make_policy(2);
}
static void *make_policy_8(void) {
    return make_policy(8);
}
/* The same with a shadow that is as healthy as the live breaker. */
static void *make_policy_shadow(void) {
    struct swg_policy *p;
    return swg_policy_create(&p, &(struct swg_policy_options){.shadow = {.enabled = true}}, 1,
                             SWG_SECONDS(1))
               ? NULL
               : p;
}
static void unmake_policy(void *p) {
    swg_policy_release(p);
}
static void run_policy(struct thread *t) {
    struct swg_policy *p = t->object;
    for (int i = 0; i < BATCH; i++) {
        struct swg_permit permit;
        uint64_t tried = 0;
        uint32_t endpoint;
        bool probe;
        t->now_ns += 1000;
        if (swg__policy_pick(p, &tried, true, random_next(&t->random), t->now_ns, &permit,
                             &endpoint, &probe) != SWG_ADMITTED)
            continue;
        swg_breaker_record(swg_policy_breaker(p, endpoint), &permit, SWG_SUCCESS, 0, t->now_ns);
        swg__policy_leave(p, endpoint);
    }
}

static struct swg_answer do_nothing(void *arg, uint64_t deadline_ns) {
    (void)arg;
    (void)deadline_ns;
    return SWG_OK_ANSWER;
}
static void run_whole(struct thread *t) {
    for (int i = 0; i < BATCH; i++)
        swg_run(t->object, do_nothing, NULL, NULL);
}

/* A whole call as an event loop drives it. */
static void run_call(struct thread *t) {
    static const struct swg_answer good = {SWG_ANSWERED, 200, 0};
    for (int i = 0; i < BATCH; i++) {
        struct swg_call call;
        t->now_ns += 1000;
        swg_call_start(&call, t->object,
                       &(struct swg_request){.idempotent = true, .seed = t->now_ns}, NULL,
                       t->now_ns);
        swg_call_on_connected(&call, t->now_ns);
        swg_call_on_answer(&call, &good, t->now_ns);
        swg_call_on_end(&call, true, t->now_ns);
    }
}

/* ---- the rest ---- */

static void *make_bulkhead(void) {
    struct swg_bulkhead *b;
    return swg_bulkhead_create(&b, &(struct swg_bulkhead_options){.concurrent = 100}) ? NULL : b;
}
static void run_bulkhead(struct thread *t) {
    for (int i = 0; i < BATCH; i++) {
        uint64_t wait_ns;
        if (swg_bulkhead_enter(t->object, NULL, &wait_ns) == SWG_ENTERED)
            swg_bulkhead_leave(t->object);
    }
}
static void unmake_bulkhead(void *b) {
    swg_bulkhead_destroy(b);
}

static void *make_limiter(void) {
    return calloc(1, sizeof(struct swg_rate_limiter));
}
static void run_limiter(struct thread *t) {
    static const struct swg_rate_options o = {.calls = 1000000000, .burst = 1000000};
    for (int i = 0; i < BATCH; i++) {
        uint64_t retry_in_ns;
        t->now_ns += 1000;
        swg_rate_admit(t->object, &o, t->now_ns, &retry_in_ns);
    }
}

enum { NAMES = 100000, HOT = 16 };

static void *make_registry(void) {
    static const uint64_t key[2] = {1, 2};
    struct swg_registry *r;
    char name[16];
    if (swg_registry_create(&r, &(struct swg_registry_options){.max = NAMES + 10}, key,
                            SWG_SECONDS(1)))
        return NULL;
    for (int i = 0; i < NAMES; i++) {
        struct swg_breaker *b;
        int len = snprintf(name, sizeof name, "host-%d", i);
        if (swg_registry_hold(r, name, (size_t)len, SWG_SECONDS(1), &b) == SWG_OK)
            swg_registry_release(b);
    }
    return r;
}
static void unmake_registry(void *r) {
    swg_registry_destroy(r);
}
static void run_registry(struct thread *t) {
    static const char names[HOT][8] = {
        "host-0", "host-1", "host-2",  "host-3",  "host-4",  "host-5",  "host-6",  "host-7",
        "host-8", "host-9", "host-10", "host-11", "host-12", "host-13", "host-14", "host-15"};
    for (int i = 0; i < BATCH; i++) {
        const char *name = names[(i + t->random) % HOT];
        struct swg_breaker *b;
        struct swg_permit p;
        t->now_ns += 1000;
        if (swg_registry_hold(t->object, name, 6 + (name[6] != 0), t->now_ns, &b) != SWG_OK)
            continue;
        if (swg_breaker_admit(b, &p, 0, t->now_ns) == SWG_ADMITTED)
            swg_breaker_record(b, &p, SWG_SUCCESS, 0, t->now_ns);
        swg_registry_release(b);
    }
}

const struct work engine_works[] = {
    {"admit+record, closed, time window", make_time, run_healthy, unmake_breaker},
    {"admit+record, closed, 100 calls", make_calls, run_healthy, unmake_breaker},
    {"  with 1% failures, time window", make_time, run_1_percent, unmake_breaker},
    {"  with 1% failures, 100 calls", make_calls, run_1_percent, unmake_breaker},
    {"  with 10% failures, time window", make_time, run_10_percent, unmake_breaker},
    {"refusal, open", make_open, run_healthy, unmake_breaker},
    {"refusal, forced open", make_forced_open, run_healthy, unmake_breaker},
    {"pick+record+leave, 1 endpoint", make_policy_1, run_policy, unmake_policy},
    {"pick+record+leave, 2 endpoints", make_policy_2, run_policy, unmake_policy},
    {"pick+record+leave, 8 endpoints", make_policy_8, run_policy, unmake_policy},
    {"a whole call, event by event", make_policy_1, run_call, unmake_policy},
    {"the same, with a shadow", make_policy_shadow, run_call, unmake_policy},
    {"swg_run() of nothing, two clocks", make_policy_1, run_whole, unmake_policy},
    {"bulkhead: enter+leave", make_bulkhead, run_bulkhead, unmake_bulkhead},
    {"rate limiter: admit", make_limiter, run_limiter, free},
    {"registry of 100,000: hold … release", make_registry, run_registry, unmake_registry},
    {0},
};
