/* call.c - the order of one protected call.
 *
 *            start
 *              │ deadline, rate limit
 *              ├───────────▶ LOOKING_UP ──fresh──▶ FINISHED
 *              ▼               │ not
 *    ┌───▶ bulkhead ◀──────────┘
 *    │         ├─full─▶ QUEUED ──time over──▶ GRANT_DUE (granted meanwhile)
 *    │         ▼          │ on_grant             │ on_grant
 *    │     pick endpoint ◀┴──────────────────────┘
 *    │         ▼
 *    │     ATTEMPTING ──good head──▶ RELAYING ──end──▶ FINISHED
 *    │         │ failed                  ▲
 *    └─WAITING◀┤ retry                   │ no tier answered, an answer is held
 *              ▼ none                    │
 *        FALLING_BACK (tier 0, 1, …) ────┴──answered, or nothing held──▶ FINISHED
 *
 * Any refusal on the way down leads to FALLING_BACK; on_cancel() leads to
 * FINISHED from everywhere.
 *
 * True in these states              slot      endpoint   permit under way
 *   ATTEMPTING                      held      held       yes
 *   RELAYING                        held      held       until the answer is judged
 *   FALLING_BACK with held answer   held      held       no
 *   all others                      -         -          no
 *
 * Every permit is answered once: at a failing head at once; at a good head
 * when the answer has come to its end or broken off, but at the latest one
 * second after the head, so that a long stream does not hold a probe.
 *
 * A public function is one event. It looks at the state, because events may
 * cross (a timer that was due when the answer came), and an event that does
 * not concern the state changes nothing. */
#include <switchgear/call.h>

#include <assert.h>
#include <stdlib.h>

#include "engine/breaker_priv.h"
#include "engine/call_priv.h"

/* A good head is judged a success so long after it, if its end has not come. */
#define JUDGE_HEAD_AFTER_NS SWG_SECONDS(1)
#define TIER_TIME_MIN_NS    SWG_MS(1)

static struct swg_step fall_back(struct swg_call *c, uint64_t now_ns);

/* ---- times ---------------------------------------------------------------- */

/* When on_timer() has something to do, in the present state. */
static uint64_t wake_time(const struct swg_call *c) {
    switch ((enum call_state)c->state) {
    case CALL_LOOKING_UP:
        return swg__deadline(c);
    case CALL_QUEUED:
    case CALL_WAITING:
    case CALL_FALLING_BACK:
        return c->wake_ns;
    case CALL_ATTEMPTING:
        if (c->paused)
            return swg__caller_deadline(c);
        return swg__earlier(
            swg__earlier(c->attempt_ns, c->phase_ns),
            swg__earlier(swg__earlier(c->overdue_ns, c->shadow_overdue_ns), swg__deadline(c)));
    case CALL_RELAYING:
        return c->permit.state == SWG__PERMIT_OUT
                   ? swg__after(c->story.head_ns, JUDGE_HEAD_AFTER_NS)
                   : SWG_NEVER;
    case CALL_NEW:
    case CALL_GRANT_DUE:
    case CALL_FINISHED:
        break;
    }
    return SWG_NEVER;
}

/* ---- steps ----------------------------------------------------------------- */

struct swg_step swg__call_step(struct swg_call *c, enum swg_action action) {
    struct swg_step s = {
        .action = action,
        .abandon = c->abandon,
        .endpoint = c->story.endpoint,
        .tier = c->story.tier,
        .wake_ns = wake_time(c),
    };
    c->abandon = false;
    return s;
}

struct swg_step swg__call_nothing_new(struct swg_call *c) {
    return swg__call_step(c, c->state == CALL_FINISHED ? SWG_DO_FINISH : SWG_DO_WAIT);
}

/* ---- judging an answer that is relayed ---------------------------------------------------- */

/* Answers the permit of an answer whose head came a while ago. How long its
 * body took must not make it a slow call, so the time since the head is taken
 * out, as a pause is. */
static void answer_relayed(struct swg_call *c, enum swg_outcome_kind outcome, uint64_t now_ns) {
    if (c->permit.state == SWG__PERMIT_OUT && now_ns > c->story.head_ns)
        c->permit.started_ns += now_ns - c->story.head_ns;
    swg__call_answer_permit(c, outcome, 0, now_ns);
}

/* ---- the story ---------------------------------------------------------------- */

static void note_state(struct swg_call *c, enum swg_breaker_state state) {
    if (!c->met_service)
        c->story.breaker = state;
    c->met_service = true;
}

void swg__call_meet_service(struct swg_call *c, bool closed, uint64_t now_ns) {
    if (!c->met_service)
        note_state(c, closed ? SWG_CLOSED : swg_policy_state(c->policy, now_ns, NULL));
}

/* When asking again may help: what the limiter said, else the breakers, else
 * the service itself. */
static void note_refusal(struct swg_call *c, enum swg_refusal reason, uint64_t now_ns) {
    uint64_t retry_in = 0;
    note_state(c, swg_policy_state(c->policy, now_ns, &retry_in));
    if (retry_in == SWG_NEVER) /* until an operator changes it: nobody knows */
        retry_in = 0;
    if (!c->story.retry_in_ns)
        c->story.retry_in_ns = retry_in ? retry_in : c->story.last.retry_after_ns;
    if (!reason)
        return;
    c->story.reason = reason;
    if (!c->request.uncounted)
        swg__policy_count_refused(c->policy, reason);
    if (c->retrying)
        swg__call_skip_retry(c, reason);
}

void swg__call_skip_retry(struct swg_call *c, enum swg_refusal why) {
    c->retrying = false;
    c->story.no_retry = why;
    swg__policy_count_skipped(c->policy, why);
}

/* ---- the end --------------------------------------------------------------------- */

static void let_go(struct swg_call *c) {
    swg__call_leave_endpoint(c);
    swg__call_leave_bulkhead(c);
}

static struct swg_step finish(struct swg_call *c, uint64_t now_ns) {
    swg__call_meet_service(c, false, now_ns);
    let_go(c);
    assert(c->permit.state != SWG__PERMIT_OUT);
    c->held_answer = false;
    c->state = CALL_FINISHED;
    c->story.finished_ns = now_ns;
    swg_policy_release(c->policy);
    c->policy = NULL;
    return swg__call_step(c, SWG_DO_FINISH);
}

struct swg_step swg__call_relay(struct swg_call *c) {
    c->state = CALL_RELAYING;
    c->story.source = SWG_FROM_SERVICE;
    c->held_answer = false;
    c->committed = true;
    return swg__call_step(c, SWG_DO_RELAY);
}

struct swg_step swg__call_give_way(struct swg_call *c, enum swg_refusal reason, uint64_t now_ns) {
    if (!c->held_answer)
        let_go(c);
    note_refusal(c, reason, now_ns);
    return fall_back(c, now_ns);
}

/* ---- the fallback chain ------------------------------------------------------------ */

/* Its share of what is left, at least its floor or TIER_TIME_MIN_NS; only an
 * instant tier, or one with a floor, may go beyond the deadline with that. */
static uint64_t tier_deadline(const struct swg_call *c, const struct swg_tier_options *tier,
                              uint64_t now_ns) {
    uint64_t end = swg__deadline(c);
    uint64_t left = end > now_ns ? end - now_ns : 0;
    uint64_t share = tier->share_percent ? tier->share_percent : 100;
    if (share < 100 && end != SWG_NEVER)
        left = left / 100 * share + left % 100 * share / 100;
    uint64_t floor = tier->floor_ns ? tier->floor_ns : TIER_TIME_MIN_NS;
    uint64_t until = swg__after(now_ns, left > floor ? left : floor);
    return tier->instant || tier->floor_ns ? until : swg__earlier(until, end);
}

static bool can_try(const struct swg_call *c, const struct swg_tier_options *tier,
                    uint64_t now_ns) {
    if (c->request.safe ? tier->for_writes_only : tier->for_reads_only)
        return false;
    if (tier->asks_again && c->seen && !swg__call_may_repeat(c))
        return false;
    return tier->instant || tier->floor_ns || now_ns < swg__deadline(c);
}

static struct swg_step fall_back(struct swg_call *c, uint64_t now_ns) {
    const struct swg_policy_options *o = &c->policy->options;
    uint32_t count = o->no_fallback || c->request.once ? 0 : o->tier_count;
    for (; c->next_tier < count; c->next_tier++) {
        const struct swg_tier_options *tier = &o->tiers[c->next_tier];
        if (!can_try(c, tier, now_ns))
            continue;
        c->state = CALL_FALLING_BACK;
        c->wake_ns = tier_deadline(c, tier, now_ns);
        c->story.tier = c->next_tier++;
        struct swg_step s = swg__call_step(c, SWG_DO_FALL_BACK);
        s.tier_deadline_ns = c->wake_ns;
        return s;
    }
    if (c->held_answer && !c->request.good_only)
        return swg__call_relay(c);
    c->abandon |= c->held_answer;
    return finish(c, now_ns);
}

/* ---- timers ------------------------------------------------------------------------------- */

static struct swg_step queue_timer(struct swg_call *c, uint64_t now_ns) {
    if (!swg_bulkhead_give_up(c->policy->bulkhead, &c->waiter, true)) {
        c->state = CALL_GRANT_DUE;
        return swg__call_nothing_new(c);
    }
    return swg__call_give_way(
        c, now_ns >= swg__deadline(c) ? SWG_REFUSED_DEADLINE : SWG_REFUSED_QUEUE_TIMEOUT, now_ns);
}

struct swg_step swg_call_on_timer(struct swg_call *c, uint64_t now_ns) {
    if (c->state == CALL_ATTEMPTING)
        return swg__call_attempt_timer(c, now_ns);
    if (now_ns < wake_time(c))
        return swg__call_nothing_new(c);
    switch ((enum call_state)c->state) {
    case CALL_LOOKING_UP:
        c->abandon = true;
        return swg__call_give_way(c, SWG_REFUSED_DEADLINE, now_ns);
    case CALL_QUEUED:
        return queue_timer(c, now_ns);
    case CALL_WAITING:
        return swg__call_enter(c, now_ns);
    case CALL_RELAYING:
        answer_relayed(c, SWG_SUCCESS, now_ns);
        break;
    case CALL_FALLING_BACK:
        c->abandon = true;
        return fall_back(c, now_ns);
    default:
        break;
    }
    return swg__call_nothing_new(c);
}

/* ---- events --------------------------------------------------------------------------------- */

static bool rate_allows(struct swg_call *c, uint64_t now_ns) {
    struct swg_policy *p = c->policy;
    struct swg_rate_limiter *l = c->request.rate ? c->request.rate : &p->core->rate;
    return swg_rate_admit(l, &p->options.rate, now_ns, &c->story.retry_in_ns);
}

struct swg_step swg_call_start(struct swg_call *c, struct swg_policy *policy,
                               const struct swg_request *request,
                               void (*on_grant)(struct swg_waiter *), uint64_t now_ns) {
    *c = (struct swg_call){
        .policy = swg_policy_hold(policy),
        .request = *request,
        .story.started_ns = now_ns,
        .waiter.on_grant = on_grant,
        .random = request->seed,
        .total_ns = swg__after(now_ns, policy->options.timeout.total_ns),
    };
    if (!request->uncounted)
        swg__policy_count_call(policy);
    if (now_ns >= swg__deadline(c))
        return swg__call_give_way(c, SWG_REFUSED_DEADLINE, now_ns);
    if (!request->uncounted && !rate_allows(c, now_ns))
        return swg__call_give_way(c, SWG_REFUSED_RATE_LIMITED, now_ns);
    if (request->refuse)
        return swg__call_give_way(c, request->refuse, now_ns);
    if (request->cacheable && policy->options.cache && !policy->options.no_cache) {
        c->state = CALL_LOOKING_UP;
        return swg__call_step(c, SWG_DO_LOOK_UP);
    }
    return swg__call_enter(c, now_ns);
}

struct swg_step swg_call_on_cache(struct swg_call *c, bool fresh, uint64_t now_ns) {
    if (c->state != CALL_LOOKING_UP)
        return swg__call_nothing_new(c);
    if (!fresh)
        return swg__call_enter(c, now_ns);
    c->story.source = SWG_FROM_CACHE;
    return finish(c, now_ns);
}

struct swg_step swg_call_on_grant(struct swg_call *c, uint64_t now_ns) {
    if (c->state != CALL_QUEUED && c->state != CALL_GRANT_DUE)
        return swg__call_nothing_new(c);
    c->holds_slot = true;
    return c->cancelled ? finish(c, now_ns) : swg__call_attempt(c, now_ns);
}

void swg_call_not_replayable(struct swg_call *c) {
    c->request.not_replayable = true;
}

void swg_call_committed(struct swg_call *c) {
    c->committed = true;
}

struct swg_step swg_call_on_end(struct swg_call *c, bool whole, uint64_t now_ns) {
    if (c->state != CALL_RELAYING)
        return swg__call_nothing_new(c);
    c->story.broke_off = !whole;
    if (c->permit.state == SWG__PERMIT_OUT)
        answer_relayed(c, whole ? SWG_SUCCESS : SWG_FAILURE, now_ns);
    else if (!whole && c->good_head)
        swg__call_note_failure(c, now_ns);
    return finish(c, now_ns);
}

struct swg_step swg_call_on_tier(struct swg_call *c, bool answered, uint64_t now_ns) {
    if (c->state != CALL_FALLING_BACK)
        return swg__call_nothing_new(c);
    if (!answered)
        return fall_back(c, now_ns);
    c->story.source = SWG_FROM_TIER;
    c->abandon |= c->held_answer;
    return finish(c, now_ns);
}

/* False: a slot is on its way to us. */
static bool leave_queue(struct swg_call *c) {
    if (c->state == CALL_QUEUED && swg_bulkhead_give_up(c->policy->bulkhead, &c->waiter, false))
        return true;
    c->state = CALL_GRANT_DUE;
    return false;
}

struct swg_step swg_call_on_cancel(struct swg_call *c, uint64_t now_ns) {
    if (c->state == CALL_FINISHED || c->cancelled)
        return swg__call_nothing_new(c);
    c->cancelled = true;
    c->story.reason = SWG_REFUSED_CANCELLED;
    if (c->retrying)
        swg__call_skip_retry(c, SWG_REFUSED_CANCELLED);
    if (!c->request.uncounted)
        swg__policy_count_refused(c->policy, SWG_REFUSED_CANCELLED);
    if ((c->state == CALL_QUEUED || c->state == CALL_GRANT_DUE) && !leave_queue(c))
        return swg__call_nothing_new(c);
    swg__call_resume(c, now_ns);
    if (c->state == CALL_RELAYING)
        answer_relayed(c, SWG_SUCCESS, now_ns);
    else
        swg__call_answer_permit(c, SWG_CANCELLED, 0, now_ns);
    c->abandon = true;
    return finish(c, now_ns);
}

struct swg_step swg_call_on_shutdown(struct swg_call *c, uint64_t now_ns) {
    c->shutting_down = true;
    if (c->state == CALL_WAITING || (c->state == CALL_QUEUED && leave_queue(c)))
        return swg__call_give_way(c, SWG_REFUSED_SHUTTING_DOWN, now_ns);
    return swg__call_nothing_new(c);
}

/* ---- look -------------------------------------------------------------------------------------
 */

const struct swg_story *swg_call_story(const struct swg_call *c) {
    return &c->story;
}

/* Also where assert() is off: whoever calls check wants to know. */
static void must(bool holds) {
    if (!holds)
        abort();
}

void swg_call_check(const struct swg_call *c) {
    const struct swg_story *s = &c->story;
    bool attempting = c->state == CALL_ATTEMPTING, relaying = c->state == CALL_RELAYING;
    bool holding = c->state == CALL_FALLING_BACK && c->held_answer;
    must(c->state != CALL_NEW && c->state <= CALL_FINISHED);
    must(c->holds_slot == (attempting || relaying || holding));
    must(c->holds_endpoint == c->holds_slot);
    must(c->permit.state != SWG__PERMIT_OUT || attempting || relaying);
    must(c->shadow.state != SWG__PERMIT_OUT || c->permit.state == SWG__PERMIT_OUT);
    must((c->policy == NULL) == (c->state == CALL_FINISHED));
    must(!c->held_answer || holding);
    must(!c->retrying || c->state == CALL_WAITING || c->state == CALL_QUEUED ||
         c->state == CALL_GRANT_DUE);
    must(!c->paused || attempting);
    must(s->attempts == 0 || s->attempts <= 1 + s->retries + c->idle_retry_used);
    must(s->retries < s->attempts || s->attempts == 0);
    must(s->source != SWG_FROM_SERVICE || c->committed);
    must(c->state != CALL_FINISHED || !c->abandon);
}
