/* policy_priv.h - the layout of a policy, for the engine's own files.
 *
 * A policy is immutable after create but for counters; what it shares with the
 * policies renewed from it is counted and hangs on pointers: the core (limits
 * and counters of the service) and the endpoints.
 *
 *   policy (old) ──┬──▶ core: bulkhead, budget, rate limiter, counters, listener
 *   policy (new) ──┤
 *                  └──▶ endpoint "a", endpoint "b": breaker, calls in flight */
#ifndef SWG_ENGINE_POLICY_PRIV_H
#define SWG_ENGINE_POLICY_PRIV_H

#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>

#include <switchgear/policy.h>

#include "engine/slot.h"

/* Counters of the whole service, one set a slot. */
struct swg__policy_shard {
    alignas(SWG__LINE) _Atomic uint64_t calls;
    _Atomic uint64_t attempts, retries;
    _Atomic uint64_t refused[SWG_REFUSAL_COUNT];
    _Atomic uint64_t retries_skipped[SWG_REFUSAL_COUNT];
};

struct swg__endpoint;

/* What all policies of one service share. */
struct swg__core {
    atomic_uint references; /* of policies; the last release frees, so acquire-release */
    struct swg_bulkhead *bulkhead;
    struct swg_budget *budget;
    struct swg_rate_limiter rate; /* service-wide; used by swg_rate_admit() only */
    _Atomic uint64_t turn;        /* round robin: whose turn; any thread adds, order is no matter */

    pthread_mutex_t listener_lock; /* guards the four below; not held while calling */
    swg_policy_listener *listener;
    void *listener_arg;
    swg_shadow_listener *shadow_listener;
    void *shadow_listener_arg;

    struct swg__policy_shard shards[SWG__SLOTS];
};

struct swg_policy {
    atomic_uint references; /* holders; the last release frees, so acquire-release */
    struct swg__core *core;
    struct swg_bulkhead *bulkhead; /* the core's, for short */
    struct swg_budget *budget;
    /* With all defaults filled in: 0 stands nowhere for "default" any more.
     * SWG_OFF remains in durations that are off; retry.max is the number of
     * retries (0: none); retry.on_… and on_status say what is retried. */
    struct swg_policy_options options;
    struct swg_tier_options tiers[SWG_TIERS_MAX]; /* options.tiers points here */
    uint32_t endpoint_count;                      /* 1…SWG_ENDPOINTS_MAX */
    struct swg__endpoint *endpoints[SWG_ENDPOINTS_MAX];
    uint32_t weights[SWG_ENDPOINTS_MAX];
};

/* Counts one of the call's deeds; any thread. */
static inline void swg__policy_count_call(struct swg_policy *p) {
    unsigned slot = swg__slot();
    swg__slot_add(&p->core->shards[slot].calls, slot, 1);
}
static inline void swg__policy_count_attempt(struct swg_policy *p) {
    unsigned slot = swg__slot();
    swg__slot_add(&p->core->shards[slot].attempts, slot, 1);
}
static inline void swg__policy_count_retry(struct swg_policy *p) {
    unsigned slot = swg__slot();
    swg__slot_add(&p->core->shards[slot].retries, slot, 1);
}
/* A call refused as a whole. */
static inline void swg__policy_count_refused(struct swg_policy *p, enum swg_refusal why) {
    unsigned slot = swg__slot();
    swg__slot_add(&p->core->shards[slot].refused[why], slot, 1);
}
/* A retry that was due and not made. */
static inline void swg__policy_count_skipped(struct swg_policy *p, enum swg_refusal why) {
    unsigned slot = swg__slot();
    swg__slot_add(&p->core->shards[slot].retries_skipped[why], slot, 1);
}

/* Chooses an endpoint and takes its breaker's permit; pick.c tells how. On
 * SWG_ADMITTED the call is counted as in flight there until
 * swg__policy_leave(), *permit is to be recorded in
 * swg_policy_breaker(p, *endpoint), *probe tells whether it is a half-open
 * probe, and the endpoint's bit is set in *tried. Endpoints whose bit is set
 * already are taken only if no other admits. `repeatable`: a failure could be
 * tried again. Otherwise the reason: OPEN, FORCED_OPEN, HALF_OPEN_FULL or
 * RAMPING; *endpoint is then unchanged. */
enum swg_refusal swg__policy_pick(struct swg_policy *, uint64_t *tried, bool repeatable,
                                  uint64_t random, uint64_t now_ns, struct swg_permit *,
                                  uint32_t *endpoint, bool *probe);
/* The shadow that is to be asked about calls to the endpoint; NULL: none. */
struct swg__shadow *swg__policy_shadow(const struct swg_policy *, uint32_t endpoint);

/* One call less in flight at the endpoint. */
void swg__policy_leave(struct swg_policy *, uint32_t endpoint);

/* policy_options.c: sets options, tiers, weights and endpoint_count, with
 * defaults filled in. SWG_ERR_RANGE, SWG_ERR_INVALID. */
enum swg_error swg__policy_options_take(struct swg_policy *, const struct swg_policy_options *);

#endif
