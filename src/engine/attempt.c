/* attempt.c - the half of a call that repeats: an attempt.
 *
 *     bulkhead ─▶ endpoint ─▶ attempting ─▶ settle ─┬▶ relay
 *         ▲                                         ├▶ give way (the fallback chain)
 *         └───────────── at once, or waiting ◀──────┘
 *
 * The slot of the bulkhead is kept for a retry that is made at once, and given
 * back before a wait. See call.c for the states and what is held in which. */
#include <switchgear/call.h>

#include "base/random.h"
#include "engine/breaker_priv.h"
#include "engine/call_priv.h"
#include "engine/endpoint.h"
#include "engine/shadow.h"
#include "engine/verdict.h"

/* How often an overdue attempt looks whether its endpoint's breaker has opened. */
#define LOOK_AGAIN_MIN_NS SWG_MS(5)
#define LOOK_AGAIN_MAX_NS SWG_MS(100)

/* ---- what an attempt holds ------------------------------------------------ */

void swg__call_leave_endpoint(struct swg_call *c) {
    if (c->holds_endpoint)
        swg__policy_leave(c->policy, c->story.endpoint);
    c->holds_endpoint = false;
}

void swg__call_leave_bulkhead(struct swg_call *c) {
    if (c->holds_slot)
        swg_bulkhead_leave(c->policy->bulkhead);
    c->holds_slot = false;
}

struct swg_breaker *swg__call_breaker(const struct swg_call *c) {
    return swg_policy_breaker(c->policy, c->story.endpoint);
}

static struct swg_breaker *shadow_of(const struct swg_call *c) {
    return swg__endpoint_shadow(c->policy->endpoints[c->story.endpoint])->breaker;
}

void swg__call_answer_permit(struct swg_call *c, enum swg_outcome_kind outcome,
                             uint64_t retry_after_ns, uint64_t now_ns) {
    if (c->permit.state != SWG__PERMIT_OUT)
        return;
    swg_breaker_record(swg__call_breaker(c), &c->permit, outcome, retry_after_ns, now_ns);
    if (c->shadow.state == SWG__PERMIT_OUT) {
        c->shadow.started_ns = c->permit.started_ns; /* may have been moved */
        swg_breaker_record(shadow_of(c), &c->shadow, outcome, retry_after_ns, now_ns);
    }
}

void swg__call_note_failure(struct swg_call *c, uint64_t now_ns) {
    if (!(c->permit.flags & SWG__BESIDE))
        swg_breaker_note_failure(swg__call_breaker(c), c->permit.generation, now_ns);
    if (c->shadow.state == SWG__PERMIT_ANSWERED)
        swg_breaker_note_failure(shadow_of(c), c->shadow.generation, now_ns);
}

/* Asks the endpoint's shadow what it would have said to this attempt. */
static void ask_shadow(struct swg_call *c, uint64_t now_ns) {
    struct swg__shadow *s = swg__policy_shadow(c->policy, c->story.endpoint);
    c->shadow.state = 0;
    c->shadow_overdue_ns = SWG_NEVER;
    if (s && !swg_breaker_admit(s->breaker, &c->shadow, random_mix(c->random), now_ns))
        c->shadow_overdue_ns = swg__after(now_ns, swg_breaker_slow_call_ns(s->breaker));
}

/* No endpoint's breaker let the attempt through; counted where a shadow would have. */
static void tell_shadow_refused(const struct swg_call *c, uint64_t now_ns) {
    for (uint32_t i = 0; i < c->policy->endpoint_count; i++) {
        struct swg__shadow *s = swg__policy_shadow(c->policy, i);
        if (s && swg__shadow_refused(s, now_ns))
            return;
    }
}

/* ---- an attempt begins ---------------------------------------------------------------- */

static void count_attempt(struct swg_call *c, uint64_t now_ns) {
    if (!c->story.attempts++) {
        c->story.first_attempt_ns = now_ns;
        swg_budget_count_call(c->policy->budget, now_ns);
    }
    swg__policy_count_attempt(c->policy);
    if (c->retrying) {
        c->retrying = false;
        c->story.retries++;
        swg__policy_count_retry(c->policy);
    }
}

static void set_timeouts(struct swg_call *c, uint64_t now_ns) {
    const struct swg_timeout_options *t = &c->policy->options.timeout;
    c->attempt_ns = swg__after(now_ns, t->attempt_ns);
    c->phase_ns = swg__after(now_ns, t->connect_ns);
    c->overdue_ns =
        swg__after(c->permit.started_ns, swg_breaker_slow_call_ns(swg__call_breaker(c)));
    c->phase = PHASE_CONNECTING;
}

/* Whether a failure of the coming attempt could be tried again: only then it
 * should be the one that tries out a sick endpoint. */
static bool is_repeatable(const struct swg_call *c) {
    const struct swg_policy_options *o = &c->policy->options;
    if (c->request.once)
        return swg__call_may_repeat(c);
    return swg__call_may_repeat(c) && !c->request.not_replayable && !o->no_retry &&
           c->story.retries < o->retry.max;
}

/* The slot is ours. */
struct swg_step swg__call_attempt(struct swg_call *c, uint64_t now_ns) {
    bool probe = false;
    enum swg_refusal refusal = SWG_REFUSED_DEADLINE;
    if (now_ns < swg__deadline(c))
        refusal = swg__policy_pick(c->policy, c->tried, is_repeatable(c), random_next(&c->random),
                                   now_ns, &c->permit, &c->story.endpoint, &probe);
    if (refusal) {
        if (refusal != SWG_REFUSED_DEADLINE && refusal != SWG_REFUSED_FORCED_OPEN)
            tell_shadow_refused(c, now_ns);
        return swg__call_give_way(c, refusal, now_ns);
    }

    ask_shadow(c, now_ns);
    c->holds_endpoint = true;
    c->state = CALL_ATTEMPTING;
    swg__call_meet_service(c, !probe, now_ns);
    count_attempt(c, now_ns);
    set_timeouts(c, now_ns);
    struct swg_step s = swg__call_step(c, SWG_DO_ATTEMPT);
    s.probe = probe;
    s.attempt_deadline_ns = swg__earlier(c->attempt_ns, swg__deadline(c));
    return s;
}

struct swg_step swg__call_enter(struct swg_call *c, uint64_t now_ns) {
    if (c->holds_slot)
        return swg__call_attempt(c, now_ns);
    if (now_ns >= swg__deadline(c))
        return swg__call_give_way(c, SWG_REFUSED_DEADLINE, now_ns);

    bool may_wait = c->waiter.on_grant && !c->shutting_down;
    uint64_t wait_ns = 0;
    switch (swg_bulkhead_enter(c->policy->bulkhead, may_wait ? &c->waiter : NULL, &wait_ns)) {
    case SWG_ENTERED:
        c->holds_slot = true;
        return swg__call_attempt(c, now_ns);
    case SWG_QUEUED:
        c->state = CALL_QUEUED;
        c->wake_ns = swg__earlier(swg__after(now_ns, wait_ns), swg__deadline(c));
        return swg__call_step(c, SWG_DO_WAIT);
    case SWG_TURNED_AWAY:
        break;
    }
    return swg__call_give_way(c, SWG_REFUSED_BULKHEAD_FULL, now_ns);
}

/* ---- an attempt ends -------------------------------------------------------------------- */

/* The clocks stand still while the caller is waited for; not before there is a
 * connection, because until then the service is waited for as well. */
static void pause_if_caller_slow(struct swg_call *c, uint64_t now_ns) {
    if (c->paused || !c->caller_sending || c->phase != PHASE_SENDING)
        return;
    c->paused = true;
    c->paused_ns = now_ns;
}

/* The clocks run again: all of the attempt's times move by the pause (phase_ns
 * is none while the request is being sent). */
void swg__call_resume(struct swg_call *c, uint64_t now_ns) {
    if (!c->paused)
        return;
    c->paused = false;
    uint64_t pause = now_ns > c->paused_ns ? now_ns - c->paused_ns : 0;
    c->total_ns = swg__after(c->total_ns, pause);
    c->attempt_ns = swg__after(c->attempt_ns, pause);
    c->overdue_ns = swg__after(c->overdue_ns, pause);
    c->shadow_overdue_ns = swg__after(c->shadow_overdue_ns, pause);
    if (c->permit.state == SWG__PERMIT_OUT)
        c->permit.started_ns += pause;
}

/* What the breakers would say at that time to a retry: SWG_ADMITTED if one of
 * them may admit it. Spares waiting for a refusal. */
static enum swg_refusal refused_at(const struct swg_call *c, uint64_t at_ns) {
    enum swg_refusal last = SWG_ADMITTED;
    if (c->policy->options.no_breaker)
        return SWG_ADMITTED;
    for (uint32_t i = 0; i < c->policy->endpoint_count; i++) {
        last = swg_breaker_peek(swg_policy_breaker(c->policy, i), at_ns, NULL);
        if (last != SWG_REFUSED_OPEN && last != SWG_REFUSED_FORCED_OPEN)
            return SWG_ADMITTED;
    }
    return last;
}

/* Whether an endpoint serves that this call has not tried yet. */
static bool has_untried_endpoint(const struct swg_call *c, uint64_t now_ns) {
    bool any = c->policy->options.no_breaker;
    for (uint32_t i = 0; i < c->policy->endpoint_count; i++) {
        if (c->tried[i / 64] >> (i % 64) & 1)
            continue;
        enum swg__standing s = swg__breaker_standing(swg_policy_breaker(c->policy, i), now_ns);
        if (s == SWG__SERVING || (any && s != SWG__FORCED))
            return true;
    }
    return false;
}

/* Whoever could not be reached, or hung up, will not be better in a moment,
 * but another may be well: that needs no wait. All else is backed off. */
static uint64_t wait_before_retry(struct swg_call *c, const struct swg_answer *a, uint64_t now_ns) {
    bool unreachable = c->phase == PHASE_CONNECTING || a->kind == SWG_CONNECT_FAILED ||
                       a->kind == SWG_RESET || a->kind == SWG_RESET_IDLE;
    if (unreachable && has_untried_endpoint(c, now_ns))
        return 0;
    return swg_retry_wait_ns(&c->policy->options.retry, c->story.retries, c->last_wait_ns,
                             a->retry_after_ns, random_next(&c->random));
}

/* SWG_ADMITTED and how long to wait before it; or why the retry that is due is
 * not made. The budget comes last, as asking takes from it. */
static enum swg_refusal why_no_retry(struct swg_call *c, const struct swg__verdict *v,
                                     const struct swg_answer *a, uint64_t now_ns,
                                     uint64_t *wait_ns) {
    const struct swg_policy_options *o = &c->policy->options;
    if (o->no_retry)
        return SWG_REFUSED_SWITCHED_OFF;
    if (c->shutting_down)
        return SWG_REFUSED_SHUTTING_DOWN;
    if (c->committed)
        return SWG_REFUSED_COMMITTED;
    if (c->request.once)
        return SWG_REFUSED_MAX_RETRIES;
    enum swg_refusal why = swg__retry_refusal(&o->retry, &c->request, v, a, c->story.retries);
    if (why)
        return why;
    *wait_ns = wait_before_retry(c, a, now_ns);
    uint64_t end = swg__deadline(c);
    if (now_ns >= end || *wait_ns >= end - now_ns)
        return SWG_REFUSED_DEADLINE;
    why = refused_at(c, now_ns + *wait_ns);
    if (why)
        return why;
    return swg_budget_withdraw(c->policy->budget, now_ns) ? SWG_ADMITTED : SWG_REFUSED_BUDGET;
}

static struct swg_step retry_after_wait(struct swg_call *c, uint64_t wait_ns, uint64_t now_ns) {
    c->retrying = true;
    c->last_wait_ns = wait_ns;
    swg__call_leave_endpoint(c);
    if (!wait_ns)
        return swg__call_enter(c, now_ns);
    swg__call_leave_bulkhead(c);
    c->state = CALL_WAITING;
    c->wake_ns = now_ns + wait_ns;
    return swg__call_step(c, SWG_DO_WAIT);
}

/* The service had closed the idle connection as we began to use it. */
static bool may_retry_idle(const struct swg_call *c, uint64_t now_ns) {
    if (c->idle_retry_used || c->shutting_down || c->committed || c->request.not_replayable)
        return false;
    return swg__call_may_repeat(c) && now_ns < swg__deadline(c);
}

static struct swg_step retry_idle(struct swg_call *c, uint64_t now_ns) {
    c->idle_retry_used = true;
    swg__call_answer_permit(c, SWG_IGNORED, 0, now_ns);
    swg__call_leave_endpoint(c);
    c->tried[c->story.endpoint / 64] &= ~(UINT64_C(1) << (c->story.endpoint % 64));
    return swg__call_enter(c, now_ns);
}

/* Neither relayed at once nor retried. An answer is held while tiers are
 * tried, in case that none of them can do better. */
static struct swg_step do_without(struct swg_call *c, const struct swg__verdict *v,
                                  const struct swg_answer *a, uint64_t now_ns) {
    if (a->kind == SWG_ANSWERED) {
        c->held_answer = true;
        return v->failed ? swg__call_give_way(c, SWG_ADMITTED, now_ns) : swg__call_relay(c);
    }
    enum swg_refusal reason = SWG_ADMITTED;
    if (a->kind == SWG_UNAVAILABLE_LOCALLY)
        reason = SWG_REFUSED_UNAVAILABLE_LOCALLY;
    else if (now_ns >= swg__deadline(c))
        reason = SWG_REFUSED_DEADLINE;
    return swg__call_give_way(c, reason, now_ns);
}

/* Whether the service can have begun to do what it was asked. */
static void note_seen(struct swg_call *c, enum swg_answer_kind kind) {
    if (c->phase != PHASE_CONNECTING && kind != SWG_CONNECT_FAILED &&
        kind != SWG_UNAVAILABLE_LOCALLY)
        c->seen = true;
}

/* The attempt has ended, with an answer or without. */
static struct swg_step settle(struct swg_call *c, const struct swg_answer *a, uint64_t now_ns) {
    swg__call_resume(c, now_ns);
    note_seen(c, a->kind);
    c->story.last = *a;
    if (a->kind == SWG_ANSWERED)
        c->story.head_ns = now_ns;
    struct swg__verdict v = swg__judge(&c->policy->options.retry, a, c->phase == PHASE_CONNECTING);
    c->good_head = v.outcome == SWG_SUCCESS;
    if (!v.failed && !v.retryable)
        return swg__call_relay(c);

    swg__call_answer_permit(c, v.outcome, a->retry_after_ns, now_ns);
    if (v.retryable) {
        uint64_t wait_ns = 0;
        enum swg_refusal why = why_no_retry(c, &v, a, now_ns, &wait_ns);
        if (!why) {
            c->abandon |= a->kind == SWG_ANSWERED;
            return retry_after_wait(c, wait_ns, now_ns);
        }
        swg__call_skip_retry(c, why);
    }
    return do_without(c, &v, a, now_ns);
}

/* One of our timeouts has ended the attempt. */
static struct swg_step time_out(struct swg_call *c, uint64_t now_ns) {
    c->story.timed_out = true;
    return settle(c, &(struct swg_answer){.kind = SWG_TIMED_OUT}, now_ns);
}

/* The caller's own deadline has ended the attempt: not the service's failure,
 * unless the breaker finds that it was slow already. */
static struct swg_step cut_short(struct swg_call *c, uint64_t now_ns) {
    swg__call_resume(c, now_ns);
    note_seen(c, SWG_TIMED_OUT);
    c->story.timed_out = false;
    c->story.last = (struct swg_answer){.kind = SWG_TIMED_OUT};
    swg__call_answer_permit(c, SWG_CANCELLED, 0, now_ns);
    return swg__call_give_way(c, SWG_REFUSED_DEADLINE, now_ns);
}

/* Whether it is the caller's own deadline that has ended the attempt, because
 * it is shorter than the time we would have given it.
 * While the clocks stand still it is the only one that can be. */
static bool caller_ended_it(const struct swg_call *c, uint64_t now_ns) {
    if (now_ns < swg__caller_deadline(c))
        return false;
    return c->paused || (now_ns < c->attempt_ns && now_ns < c->phase_ns &&
                         swg__caller_deadline(c) < c->total_ns);
}

/* Whether an attempt that is overdue is better given up: its endpoint's breaker
 * has left closed meanwhile (perhaps because of this very attempt), and the
 * request may be answered in another way. To wait for the end of the attempt's
 * time would be to wait for what everybody else is spared. */
static bool is_stranded(const struct swg_call *c, uint64_t now_ns) {
    const struct swg_policy_options *o = &c->policy->options;
    return !o->no_breaker && !c->committed && swg__call_may_repeat(c) &&
           now_ns < swg__deadline(c) &&
           swg__breaker_standing(swg__call_breaker(c), now_ns) != SWG__SERVING;
}

/* A retry is allowed, and an endpoint that serves is left. */
static bool may_move(const struct swg_call *c, uint64_t now_ns) {
    const struct swg_policy_options *o = &c->policy->options;
    const struct swg_answer a = {.kind = SWG_TIMED_OUT};
    struct swg__verdict v = swg__judge(&o->retry, &a, c->phase == PHASE_CONNECTING);
    return !o->no_retry && !c->shutting_down && has_untried_endpoint(c, now_ns) && v.retryable &&
           !swg__retry_refusal(&o->retry, &c->request, &v, &a, c->story.retries) &&
           swg_budget_withdraw(c->policy->budget, now_ns);
}

static bool has_fallback(const struct swg_call *c) {
    const struct swg_policy_options *o = &c->policy->options;
    return !o->no_fallback && o->tier_count > c->next_tier;
}

/* The attempt has counted as slow already; giving it up adds nothing to that. */
static void give_up(struct swg_call *c, uint64_t now_ns) {
    note_seen(c, SWG_TIMED_OUT);
    c->story.timed_out = true;
    c->story.last = (struct swg_answer){.kind = SWG_TIMED_OUT};
    c->abandon = true;
    swg__call_answer_permit(c, SWG_CANCELLED, 0, now_ns);
}

/* Tells the breaker, and looks again after a while: others that are overdue on
 * the same endpoint may open it. */
static void be_overdue(struct swg_call *c, uint64_t now_ns) {
    uint64_t again_ns = swg_breaker_slow_call_ns(swg__call_breaker(c)) / 8;
    swg_breaker_overdue(swg__call_breaker(c), &c->permit, now_ns);
    c->overdue_ns = SWG_NEVER;
    if (c->policy->endpoint_count == 1 && !has_fallback(c))
        return; /* there is nothing else to do */
    if (again_ns < LOOK_AGAIN_MIN_NS)
        again_ns = LOOK_AGAIN_MIN_NS;
    if (again_ns > LOOK_AGAIN_MAX_NS)
        again_ns = LOOK_AGAIN_MAX_NS;
    c->overdue_ns = swg__after(now_ns, again_ns);
}

static void be_overdue_in_shadow(struct swg_call *c, uint64_t now_ns) {
    c->shadow.started_ns = c->permit.started_ns;
    if (c->shadow.state == SWG__PERMIT_OUT)
        swg_breaker_overdue(shadow_of(c), &c->shadow, now_ns);
    c->shadow_overdue_ns = SWG_NEVER;
}

struct swg_step swg__call_attempt_timer(struct swg_call *c, uint64_t now_ns) {
    if (!c->paused && now_ns >= c->shadow_overdue_ns)
        be_overdue_in_shadow(c, now_ns);
    if (!c->paused && now_ns >= c->overdue_ns) {
        be_overdue(c, now_ns);
        if (is_stranded(c, now_ns) && may_move(c, now_ns)) {
            give_up(c, now_ns);
            return retry_after_wait(c, 0, now_ns);
        }
        if (is_stranded(c, now_ns) && has_fallback(c)) {
            give_up(c, now_ns);
            return swg__call_give_way(c, SWG_REFUSED_OPEN, now_ns);
        }
    }
    uint64_t ours = swg__earlier(swg__earlier(c->attempt_ns, c->phase_ns), c->total_ns);
    bool callers = caller_ended_it(c, now_ns);
    if (!callers && (c->paused || now_ns < ours))
        return swg__call_nothing_new(c);
    c->abandon = true;
    return callers ? cut_short(c, now_ns) : time_out(c, now_ns);
}

struct swg_step swg_call_on_connected(struct swg_call *c, uint64_t now_ns) {
    if (c->state == CALL_ATTEMPTING && c->phase == PHASE_CONNECTING) {
        c->phase = PHASE_SENDING;
        c->phase_ns = SWG_NEVER;
        pause_if_caller_slow(c, now_ns);
    }
    return swg__call_nothing_new(c);
}

struct swg_step swg_call_on_sent(struct swg_call *c, uint64_t now_ns) {
    c->caller_sending = false;
    if (c->state == CALL_ATTEMPTING && c->phase != PHASE_SENT) {
        swg__call_resume(c, now_ns);
        c->phase = PHASE_SENT;
        c->phase_ns = swg__after(now_ns, c->policy->options.timeout.first_byte_ns);
    }
    return swg__call_nothing_new(c);
}

struct swg_step swg_call_on_answer(struct swg_call *c, const struct swg_answer *a,
                                   uint64_t now_ns) {
    if (c->state != CALL_ATTEMPTING)
        return swg__call_nothing_new(c);
    if (a->kind == SWG_RESET_IDLE) {
        swg__call_resume(c, now_ns);
        if (may_retry_idle(c, now_ns))
            return retry_idle(c, now_ns);
    }
    if (a->kind == SWG_TIMED_OUT)
        return caller_ended_it(c, now_ns) ? cut_short(c, now_ns) : time_out(c, now_ns);
    c->story.timed_out = false;
    return settle(c, a, now_ns);
}

struct swg_step swg_call_on_upload(struct swg_call *c, bool caller_is_sending, uint64_t now_ns) {
    c->caller_sending = caller_is_sending;
    if (!caller_is_sending)
        swg__call_resume(c, now_ns);
    else if (c->state == CALL_ATTEMPTING)
        pause_if_caller_slow(c, now_ns);
    return swg__call_nothing_new(c);
}
