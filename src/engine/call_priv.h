/* call_priv.h - what the two halves of a call tell each other.
 *
 * call.c has the frame: the start, the fallback chain, the end. attempt.c has
 * what repeats: an attempt begins, is timed, ends, and is made again. */
#ifndef SWG_ENGINE_CALL_PRIV_H
#define SWG_ENGINE_CALL_PRIV_H

#include <switchgear/call.h>

#include "engine/policy_priv.h"

enum call_state {
    CALL_NEW,
    CALL_LOOKING_UP,
    CALL_QUEUED,    /* in the bulkhead's queue */
    CALL_GRANT_DUE, /* was granted a slot, and waits for on_grant to reach it */
    CALL_ATTEMPTING,
    CALL_WAITING, /* between attempts */
    CALL_RELAYING,
    CALL_FALLING_BACK,
    CALL_FINISHED,
};

/* Of an attempt. */
enum call_phase { PHASE_CONNECTING, PHASE_SENDING, PHASE_SENT };

/* ---- times ---- */

static inline uint64_t swg__earlier(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

/* SWG_OFF and sums beyond the end of time give SWG_NEVER. */
static inline uint64_t swg__after(uint64_t now_ns, uint64_t duration_ns) {
    uint64_t sum;
    return __builtin_add_overflow(now_ns, duration_ns, &sum) ? SWG_NEVER : sum;
}

static inline uint64_t swg__caller_deadline(const struct swg_call *c) {
    return c->request.deadline_ns ? c->request.deadline_ns : SWG_NEVER;
}

static inline uint64_t swg__deadline(const struct swg_call *c) {
    return swg__earlier(c->total_ns, swg__caller_deadline(c));
}

/* Whether it does no harm to have it done twice. */
static inline bool swg__call_may_repeat(const struct swg_call *c) {
    return c->request.idempotent || c->policy->options.retry.any_method;
}

/* ---- call.c ---- */

/* The step that tells what to do now, with all that the driver must know. */
struct swg_step swg__call_step(struct swg_call *, enum swg_action);
/* The event changed nothing that the driver would have to do. */
struct swg_step swg__call_nothing_new(struct swg_call *);
/* Gives the caller the answer whose head has come. */
struct swg_step swg__call_relay(struct swg_call *);
/* The service does not answer this call: the tiers may. `reason`: the refusal
 * that is the cause, or SWG_ADMITTED if an attempt failed. */
struct swg_step swg__call_give_way(struct swg_call *, enum swg_refusal reason, uint64_t now_ns);
/* Notes the service's state as this call met it; a permit that is no probe
 * tells that it is closed, without a look at all endpoints. */
void swg__call_meet_service(struct swg_call *, bool closed, uint64_t now_ns);
/* A retry that was due is not made. */
void swg__call_skip_retry(struct swg_call *, enum swg_refusal why);

/* ---- attempt.c ---- */

/* Into the bulkhead, and on from there to an attempt. */
struct swg_step swg__call_enter(struct swg_call *, uint64_t now_ns);
/* To an endpoint; the call holds a slot of the bulkhead. */
struct swg_step swg__call_attempt(struct swg_call *, uint64_t now_ns);
/* on_timer() during an attempt. */
struct swg_step swg__call_attempt_timer(struct swg_call *, uint64_t now_ns);
/* The clocks run again, if they stood still. */
void swg__call_resume(struct swg_call *, uint64_t now_ns);
struct swg_breaker *swg__call_breaker(const struct swg_call *);
/* Tells the breaker, if it does not know yet. */
void swg__call_answer_permit(struct swg_call *, enum swg_outcome_kind, uint64_t retry_after_ns,
                             uint64_t now_ns);
/* The answer broke off after the permit was answered with success. */
void swg__call_note_failure(struct swg_call *, uint64_t now_ns);
/* Gives back what an attempt holds; harmless if nothing. */
void swg__call_leave_endpoint(struct swg_call *);
void swg__call_leave_bulkhead(struct swg_call *);

#endif
