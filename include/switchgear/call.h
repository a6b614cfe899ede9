/* call.h - one protected call, as a state machine that any event loop can drive.
 *
 * The call decides; a driver does. The driver tells what happened (on_…), each
 * time with the time, and gets back one step: what to do now, and when to come
 * back at the latest. The call never blocks, reads no clock and opens nothing.
 *
 *   start ─▶ [LOOK_UP] ─▶ ATTEMPT ⇄ WAIT ─▶ RELAY ─▶ FINISH
 *                            └────▶ FALL_BACK(tier 0, 1, …) ─▶ FINISH
 *
 * The order inside a call is fixed: deadline, rate limit, fresh cache, then
 * for each attempt bulkhead, endpoint and its breaker, attempt timeout; then
 * the fallback chain. A cache hit takes no bulkhead slot; a wait between
 * attempts holds none.
 *
 * A blocking program wants swg_run() (run.h) instead.
 *
 * Threading: a call belongs to one thread at a time; what it shares with
 * others is in the policy. Memory: the caller's, no allocation; a call must
 * come to FINISH (or be cancelled) before its memory goes. */
#ifndef SWITCHGEAR_CALL_H
#define SWITCHGEAR_CALL_H

#include <stdbool.h>
#include <stdint.h>

#include <switchgear/policy.h>

enum swg_action {
    SWG_DO_LOOK_UP,   /* look for a fresh answer in the cache, then on_cache() */
    SWG_DO_ATTEMPT,   /* begin one at step.endpoint; on_connected(), on_sent(), on_answer() */
    SWG_DO_WAIT,      /* nothing new: go on with what is under way, if anything is */
    SWG_DO_RELAY,     /* give the caller the answer that on_answer() told of, then on_end() */
    SWG_DO_FALL_BACK, /* try step.tier, by step.tier_deadline_ns at the latest; then on_tier() */
    SWG_DO_FINISH,    /* over; swg_call_story() tells how. All slots are given back. */
};

struct swg_step {
    enum swg_action action;
    /* First give up what is under way and the action does not need: the attempt
     * (close its connection), the tier, or, where a tier has answered, the
     * service's answer that was kept unread meanwhile. It must tell nothing any
     * more. A kept answer stays kept while tiers give way to each other. */
    bool abandon;
    bool probe; /* this attempt is a half-open probe */
    uint32_t endpoint;
    uint64_t attempt_deadline_ns; /* ATTEMPT: its head must be here by then; the call sees to it */
    uint32_t tier;
    uint64_t tier_deadline_ns;
    uint64_t wake_ns; /* call on_timer() at this time; SWG_NEVER: no need */
};

/* How an attempt went. */
enum swg_answer_kind {
    SWG_ANSWERED,            /* a head with `status` came */
    SWG_CONNECT_FAILED,      /* refused, unreachable, name unknown: nothing was sent */
    SWG_RESET,               /* the connection broke before a whole head came */
    SWG_RESET_IDLE,          /* the same on a reused connection, before any byte of the answer: the
                                service had closed it meanwhile. Not its fault; tried again at once,
                                one time, if that is safe */
    SWG_GARBLED,             /* what came is no valid answer */
    SWG_UNAVAILABLE_LOCALLY, /* we could not even try (no descriptor, no memory): our fault */
    SWG_TIMED_OUT,           /* it took too long, for attempts that watch their time themselves */
};

struct swg_answer {
    enum swg_answer_kind kind;
    int status;              /* HTTP-like: 500…599 but 501 and 505 are failures, 429 overload */
    uint64_t retry_after_ns; /* the service's wish; 0: none */
};

/* What the caller wants; zero is a call of which nothing is known. */
struct swg_request {
    bool idempotent;     /* may be sent twice (method, or an idempotency key) */
    bool safe;           /* only reads: GET, HEAD, … (tiers that are for_reads_only need it) */
    bool not_replayable; /* there is no second copy of its body */
    bool cacheable;      /* ask for LOOK_UP where the policy has a cache */
    bool good_only;      /* an answer that failed (5xx, 429) is of no use: FINISH, not RELAY.
                            For a call that is itself somebody's fallback */
    bool once;           /* whoever calls tries again by itself: no retry and no chain */
    bool uncounted;      /* a rehearsal: in no count, and under no rate limit */
    enum swg_refusal refuse; /* not 0: the driver has a reason not to ask the service, nor the
                                cache; straight to the fallback chain */
    uint64_t deadline_ns;    /* the caller's own, a time, if earlier than the policy's; 0: none */
    struct swg_rate_limiter *rate; /* this caller's own limiter, where the policy has a rate;
                                      NULL: the one that all callers share */
    uint64_t seed;                 /* randomness of this call: another for each */
};

enum swg_source { SWG_FROM_NOWHERE, SWG_FROM_SERVICE, SWG_FROM_CACHE, SWG_FROM_TIER };

/* How a call went; valid at any time, complete at FINISH. */
struct swg_story {
    enum swg_source source;
    uint32_t tier;     /* when from a tier */
    uint32_t endpoint; /* last tried */
    uint32_t attempts;
    uint32_t retries;          /* all attempts but the first, and but the one after a RESET_IDLE */
    enum swg_refusal reason;   /* why the service did not answer, if a refusal was it */
    enum swg_refusal no_retry; /* why a retry that was due was not made; 0: none was due */
    bool timed_out;            /* the last attempt was ended by a timeout of ours */
    bool broke_off;            /* the answer began to reach the caller, and broke off */
    enum swg_breaker_state breaker; /* the service's state as this call met it */
    struct swg_answer last;         /* of the last attempt that ended */
    uint64_t retry_in_ns;           /* what to tell the caller; 0: not known */
    uint64_t started_ns, first_attempt_ns, head_ns, finished_ns;
};

/* Fields are private. Times are SWG_NEVER where there is none. */
struct swg_call {
    struct swg_policy *policy;
    struct swg_request request;
    struct swg_story story;
    struct swg_permit permit;
    struct swg_permit shadow; /* of the endpoint's shadow, if it admitted the attempt */
    struct swg_waiter waiter;
    uint64_t random;
    uint64_t total_ns;          /* the policy's deadline for the whole call */
    uint64_t attempt_ns;        /* the running attempt must have its head by then */
    uint64_t phase_ns;          /* the same for connecting, or for the first byte */
    uint64_t overdue_ns;        /* the running attempt counts as slow from then on */
    uint64_t shadow_overdue_ns; /* the same for the shadow */
    uint64_t wake_ns;           /* end of a wait, of waiting in the queue, of a tier's time */
    uint64_t paused_ns;         /* since when the clocks stand still, if paused */
    uint64_t last_wait_ns;
    uint64_t tried[(SWG_ENDPOINTS_MAX + 63) / 64];
    uint32_t next_tier;
    uint8_t state, phase;            /* of the call; of its attempt */
    bool holds_slot, holds_endpoint; /* in the bulkhead; in flight at story.endpoint */
    bool retrying;                   /* a retry is decided and not yet made */
    bool idle_retry_used;
    bool caller_sending; /* as told by on_upload() */
    bool paused;         /* and therefore the clocks stand still */
    bool seen;           /* the service may have seen the request */
    bool committed;      /* the caller has begun to get an answer */
    bool held_answer;    /* the service's answer is kept unread while tiers are tried */
    bool good_head;      /* the answer that is relayed began as a success */
    bool met_service;    /* story.breaker is filled */
    bool cancelled, shutting_down;
    bool abandon; /* to be told with the next step */
};

SWG_BEGIN_DECLS

/* Begins a call under `policy` (a reference is held until FINISH). on_grant is
 * called, on any thread, when the call waited for a bulkhead slot and got one:
 * hand over to the call's own thread and call swg_call_on_grant(). NULL: the
 * call never queues. FINISH never comes while on_grant is still due, so at
 * FINISH nobody else knows the call's memory. */
SWG_API struct swg_step swg_call_start(struct swg_call *, struct swg_policy *policy,
                                       const struct swg_request *,
                                       void (*on_grant)(struct swg_waiter *), uint64_t now_ns);
SWG_API struct swg_step swg_call_on_cache(struct swg_call *, bool fresh, uint64_t now_ns);
SWG_API struct swg_step swg_call_on_grant(struct swg_call *, uint64_t now_ns);
/* May be told early or often. During an attempt it may also say ATTEMPT or
 * FALL_BACK, with abandon: not only when its time is over, but when it is slow
 * and the breaker of its endpoint has opened meanwhile. */
SWG_API struct swg_step swg_call_on_timer(struct swg_call *, uint64_t now_ns);

/* The attempt's phases; may be told often. on_connected: from now on the
 * service may get to see the request. To be told before the first byte is sent
 * (at once on a connection that stood already, or by a driver that cannot
 * tell), because an attempt that fails before is one that sent nothing.
 * on_sent: the whole request is sent; who cannot tell leaves it out. */
SWG_API struct swg_step swg_call_on_connected(struct swg_call *, uint64_t now_ns);
SWG_API struct swg_step swg_call_on_sent(struct swg_call *, uint64_t now_ns);
/* The attempt's head, or its failure; never an interim (1xx) answer but 101. */
SWG_API struct swg_step swg_call_on_answer(struct swg_call *, const struct swg_answer *,
                                           uint64_t now_ns);
/* Whether it is the caller who is waited for, because it is still sending its
 * body and no more of that is here to send on. While so, and from when the
 * attempt is connected, the clocks of the attempt and of the policy's total
 * stand still: a slow caller is not a slow service. (The caller's own deadline
 * does not move.) Holds until told otherwise, or on_sent(); at first: no. */
SWG_API struct swg_step swg_call_on_upload(struct swg_call *, bool caller_is_sending,
                                           uint64_t now_ns);
/* The body outgrew what is kept: no retry any more. Cannot be undone. */
SWG_API void swg_call_not_replayable(struct swg_call *);
/* The first byte of an answer has gone to the caller. Implied by RELAY. */
SWG_API void swg_call_committed(struct swg_call *);

/* After RELAY: the answer came to its end, or broke off. */
SWG_API struct swg_step swg_call_on_end(struct swg_call *, bool whole, uint64_t now_ns);
/* After FALL_BACK: the tier answered, or could not. When no tier could and an
 * answer of the service (an error, say) is still held, RELAY follows. */
SWG_API struct swg_step swg_call_on_tier(struct swg_call *, bool answered, uint64_t now_ns);
/* The caller went away. FINISH; but where a slot has been granted and on_grant
 * is on its way, WAIT, and FINISH with swg_call_on_grant(). */
SWG_API struct swg_step swg_call_on_cancel(struct swg_call *, uint64_t now_ns);
/* The process is draining: no retries and no waits any more; what is under
 * way goes on. */
SWG_API struct swg_step swg_call_on_shutdown(struct swg_call *, uint64_t now_ns);

SWG_API const struct swg_story *swg_call_story(const struct swg_call *);
/* Aborts if an invariant does not hold; for tests. */
SWG_API void swg_call_check(const struct swg_call *);

SWG_END_DECLS

#endif
