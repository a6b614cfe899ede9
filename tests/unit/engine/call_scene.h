/* call_scene.h - plays one call in virtual time, for the tests of a call.
 *
 * A scene is a policy, a call, and a clock that stands still until moved. Each
 * event returns the action; the whole step is in scene->step. After each event
 * the call's and the policy's invariants are checked. */
#ifndef SWG_TEST_CALL_SCENE_H
#define SWG_TEST_CALL_SCENE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <switchgear/call.h>

#include "base/list.h"

#define START SWG_SECONDS(1000)

struct scene {
    struct swg_policy *policy;
    struct swg_call call;
    struct swg_request request;
    struct swg_step step;
    uint64_t now;
    bool queues;     /* start with an on_grant */
    unsigned grants; /* how often it was called */
};

static const struct swg_endpoint_options scene_endpoints[] = {{"a", 0}, {"b", 0}, {"c", 0}};

/* Waits that can be foretold: 100 ms, 200 ms, …; a breaker that never opens by
 * itself; one endpoint. Tests change what they are about. */
static inline struct swg_policy_options scene_options(void) {
    return (struct swg_policy_options){
        .retry = {.jitter = SWG_JITTER_NONE},
        .breaker = {.consecutive = 1000000},
        .endpoints = scene_endpoints,
        .endpoint_count = 1,
    };
}

static inline void scene_open(struct scene *s, const struct swg_policy_options *o) {
    *s = (struct scene){.now = START, .request = {.idempotent = true, .safe = true}};
    assert_int_equal(swg_policy_create(&s->policy, o, 1, START), SWG_OK);
}

static inline void scene_on_grant(struct swg_waiter *w) {
    struct swg_call *c = container_of(w, struct swg_call, waiter);
    container_of(c, struct scene, call)->grants++;
}

static inline enum swg_action scene_took(struct scene *s, struct swg_step step) {
    s->step = step;
    swg_call_check(&s->call);
    swg_policy_check(s->policy);
    return step.action;
}

static inline enum swg_action start(struct scene *s) {
    return scene_took(s, swg_call_start(&s->call, s->policy, &s->request,
                                        s->queues ? scene_on_grant : NULL, s->now));
}

static inline void pass(struct scene *s, uint64_t ms) {
    s->now += SWG_MS(ms);
}

static inline enum swg_action timer(struct scene *s) {
    return scene_took(s, swg_call_on_timer(&s->call, s->now));
}

/* Moves the clock to the time the step asked for, and tells it. */
static inline enum swg_action wake(struct scene *s) {
    assert_true(s->step.wake_ns != SWG_NEVER && s->step.wake_ns >= s->now);
    s->now = s->step.wake_ns;
    return timer(s);
}

static inline enum swg_action connected(struct scene *s) {
    return scene_took(s, swg_call_on_connected(&s->call, s->now));
}

static inline enum swg_action sent(struct scene *s) {
    return scene_took(s, swg_call_on_sent(&s->call, s->now));
}

static inline enum swg_action upload(struct scene *s, bool caller_is_sending) {
    return scene_took(s, swg_call_on_upload(&s->call, caller_is_sending, s->now));
}

static inline enum swg_action answer_after(struct scene *s, enum swg_answer_kind kind, int status,
                                           uint64_t retry_after_ns) {
    struct swg_answer a = {kind, status, retry_after_ns};
    return scene_took(s, swg_call_on_answer(&s->call, &a, s->now));
}

static inline enum swg_action answer(struct scene *s, int status) {
    connected(s);
    return answer_after(s, SWG_ANSWERED, status, 0);
}

/* A failure before the connection stood, or after. */
static inline enum swg_action failed(struct scene *s, enum swg_answer_kind kind) {
    if (kind != SWG_CONNECT_FAILED)
        connected(s);
    return answer_after(s, kind, 0, 0);
}

static inline enum swg_action end(struct scene *s, bool whole) {
    return scene_took(s, swg_call_on_end(&s->call, whole, s->now));
}

static inline enum swg_action cache(struct scene *s, bool fresh) {
    return scene_took(s, swg_call_on_cache(&s->call, fresh, s->now));
}

static inline enum swg_action tier(struct scene *s, bool answered) {
    return scene_took(s, swg_call_on_tier(&s->call, answered, s->now));
}

static inline enum swg_action granted(struct scene *s) {
    return scene_took(s, swg_call_on_grant(&s->call, s->now));
}

static inline enum swg_action cancel(struct scene *s) {
    return scene_took(s, swg_call_on_cancel(&s->call, s->now));
}

static inline enum swg_action shut_down(struct scene *s) {
    return scene_took(s, swg_call_on_shutdown(&s->call, s->now));
}

static inline const struct swg_story *story(const struct scene *s) {
    return swg_call_story(&s->call);
}

static inline struct swg_policy_stats stats(const struct scene *s) {
    struct swg_policy_stats out;
    swg_policy_read(s->policy, &out, s->now);
    return out;
}

static inline struct swg_breaker_stats breaker_stats(const struct scene *s, uint32_t endpoint) {
    struct swg_breaker_stats out;
    swg_breaker_read(swg_policy_breaker(s->policy, endpoint), &out, s->now);
    return out;
}

/* What calls hold: slots of the bulkhead, and calls in flight at an endpoint. */
static inline uint32_t slots(const struct scene *s) {
    return stats(s).bulkhead.in_use;
}

static inline uint32_t in_flight(const struct scene *s) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < swg_policy_endpoint_count(s->policy); i++)
        n += swg_policy_endpoint_in_flight(s->policy, i);
    return n;
}

/* The call has finished, gave all back, and so goes the policy. */
static inline void scene_close(struct scene *s) {
    assert_int_equal(s->step.action, SWG_DO_FINISH);
    assert_int_equal(slots(s), 0);
    assert_int_equal(stats(s).bulkhead.waiting, 0);
    assert_int_equal(in_flight(s), 0);
    swg_policy_release(s->policy);
}

/* Ends whatever the call is at, and the scene. */
static inline void scene_break_up(struct scene *s) {
    cancel(s);
    scene_close(s);
}

#endif
