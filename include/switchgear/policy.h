/* policy.h - all that protects the calls to one service, and its endpoints.
 *
 * A policy is what calls share: the options, one breaker an endpoint, the
 * balance between endpoints, the bulkhead, the retry budget, the rate limit,
 * and the shape of the fallback chain. One call is a struct swg_call (call.h).
 *
 * The service's own state, as users see it, stands for all endpoints: closed
 * while any endpoint is, half-open while one is being tried and none is
 * closed, open when none can serve.
 *
 * Where an attempt goes. An endpoint whose open time is over gets its probes from
 * calls that could be repeated, though others serve. Then those that serve, by
 * balance; a retry prefers one that the call has not tried. Least request: the
 * fewest calls in flight for the weight; above 16 endpoints, the best of three
 * drawn at random. When more than ejection_max_percent (but always one) are out
 * while others serve, those that left last beyond that are used all the same,
 * past their breakers. Forced open endpoints never are.
 *
 * Threading: any thread. Endpoints, bulkhead and budget are shared by a policy
 * and the policies made from it by swg_policy_renew(), so a reload keeps their
 * state while old calls finish on the old policy. */
#ifndef SWITCHGEAR_POLICY_H
#define SWITCHGEAR_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#include <switchgear/breaker.h>
#include <switchgear/bulkhead.h>
#include <switchgear/rate_limit.h>
#include <switchgear/retry.h>
#include <switchgear/shadow.h>

struct swg_policy;

enum swg_balance { SWG_LEAST_REQUEST, SWG_ROUND_ROBIN, SWG_RANDOM };

enum {
    SWG_ENDPOINTS_MAX = 64,
    SWG_TIERS_MAX = 8,
};

/* One endpoint of the service: name unique in the policy, copied. */
struct swg_endpoint_options {
    const char *name;
    uint32_t weight; /* 1…1000; default 1 */
};

struct swg_timeout_options {
    uint64_t connect_ns;    /* default 5 s */
    uint64_t first_byte_ns; /* from the request being sent to the first byte; default off */
    uint64_t attempt_ns;    /* default 30 s */
    uint64_t total_ns;      /* default 60 s */
};

/* Tiers of the fallback chain, in order; the engine knows only what it must:
 * whether a tier needs time, and how much of the rest it may use. */
struct swg_tier_options {
    bool instant;           /* answers from memory: is tried even when no time is left */
    uint32_t share_percent; /* of the time left, 1…100; default 100 */
    uint64_t floor_ns;      /* has at least so much time, also when none is left; default 0 */
    bool for_reads_only;    /* skipped for requests that are not safe to repeat */
    bool for_writes_only;   /* skipped for those that are */
    bool asks_again;        /* does what the service was to do: skipped for requests that may
                               not be done twice, once the service may have seen them */
};

struct swg_policy_options {
    struct swg_timeout_options timeout;
    struct swg_retry_options retry;
    struct swg_budget_options budget;
    struct swg_breaker_options breaker;
    struct swg_shadow_options shadow; /* default: none; see shadow.h */
    struct swg_bulkhead_options bulkhead;
    struct swg_rate_options rate;
    enum swg_balance balance;
    uint32_t ejection_max_percent; /* of the endpoints taken out while others serve; default 50;
                                      one always may be */
    uint64_t slow_start_ns;        /* a new or recovered endpoint's share grows from 10% to all;
                                      default 0: at once */
    uint32_t endpoint_count;       /* 0: one without a name */
    const struct swg_endpoint_options *endpoints;
    uint32_t tier_count;
    const struct swg_tier_options *tiers;
    bool cache; /* calls look into a cache first */
    /* Switched off. Without breaker results count in totals only, and only forced
     * open refuses. */
    bool no_breaker, no_retry, no_fallback, no_cache;
};

struct swg_policy_stats {
    enum swg_breaker_state state;   /* of the service, see above */
    enum swg_breaker_manual manual; /* when all endpoints have it */
    uint64_t since_ns;              /* of the state */
    uint64_t retry_in_ns;           /* as swg_policy_state() */
    struct swg_breaker_stats total; /* sums, earliest and latest over the endpoints */
    struct swg_bulkhead_stats bulkhead;
    uint64_t budget_calls, budget_retries; /* of the last ten seconds */
    /* Since create, kept by renew. */
    uint64_t calls, attempts, retries;
    uint64_t refused[SWG_REFUSAL_COUNT];         /* calls that got no answer of the service, by
                                                    reason: rate_limited, bulkhead_full, open, … */
    uint64_t retries_skipped[SWG_REFUSAL_COUNT]; /* retries that were due and not made, by reason */
};

SWG_BEGIN_DECLS

/* `options` may be NULL: one endpoint, all defaults. Errors: SWG_ERR_RANGE,
 * SWG_ERR_INVALID (names twice), SWG_ERR_NOMEM; *out is then NULL. */
SWG_API enum swg_error swg_policy_create(struct swg_policy **out, const struct swg_policy_options *,
                                         uint64_t seed, uint64_t now_ns);
/* How options change at run time: a policy with new options and endpoints that takes
 * over, by name, what `old` has: breakers with state and windows, manual control,
 * bulkhead with who is inside and waits, budget, rate limit, counts. They have the
 * new options at once, also for calls of the old policy. Give it to those who begin calls,
 * and release `old`. On an error nothing has changed. New
 * endpoints begin closed, in slow start, under the manual control that is on
 * all old ones. `old` stays valid for the calls that began on it. */
SWG_API enum swg_error swg_policy_renew(struct swg_policy **out, struct swg_policy *old,
                                        const struct swg_policy_options *, uint64_t seed,
                                        uint64_t now_ns);
/* Counted references; create and renew give one. */
SWG_API struct swg_policy *swg_policy_hold(struct swg_policy *);
SWG_API void swg_policy_release(struct swg_policy *);

SWG_API uint32_t swg_policy_endpoint_count(const struct swg_policy *);
SWG_API const char *swg_policy_endpoint_name(const struct swg_policy *, uint32_t endpoint);
/* The endpoint's breaker: valid as long as the policy. */
SWG_API struct swg_breaker *swg_policy_breaker(const struct swg_policy *, uint32_t endpoint);
SWG_API uint32_t swg_policy_endpoint_in_flight(const struct swg_policy *, uint32_t endpoint);

/* The service's state; retry_in_ns (may be NULL): when asking again may help,
 * 0 when closed. */
SWG_API enum swg_breaker_state swg_policy_state(const struct swg_policy *, uint64_t now_ns,
                                                uint64_t *retry_in_ns);
SWG_API void swg_policy_read(const struct swg_policy *, struct swg_policy_stats *, uint64_t now_ns);
/* On all endpoints. */
SWG_API void swg_policy_force(struct swg_policy *, enum swg_breaker_manual, uint64_t for_ns,
                              uint64_t now_ns);
SWG_API void swg_policy_reset(struct swg_policy *, uint64_t now_ns);
SWG_API void swg_policy_tick(struct swg_policy *, uint64_t now_ns);
/* Changes of any endpoint's breaker; `endpoint` is its name. Policies renewed from
 * one another share one listener, the one set last; it may be called for a
 * moment after it was replaced. NULL: none. */
typedef void swg_policy_listener(void *arg, const char *endpoint, const struct swg_breaker_event *);
SWG_API void swg_policy_listen(struct swg_policy *, swg_policy_listener *, void *arg);
SWG_API void swg_policy_check(const struct swg_policy *);

SWG_END_DECLS

#endif
