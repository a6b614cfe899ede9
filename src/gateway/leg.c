/* leg.c - a leg of an exchange: carries out what its call says.
 *
 * A step leads to an attempt, to a look into the cache, or to a tier of the
 * fallback chain; whatever comes of it is told to the call, which says the next
 * step. A tier answers at once, fails at once, or has work under way that tells
 * later; one that needs the request's body begins when that is here. */
#include "gateway/caching.h"
#include "gateway/dry_run.h"
#include "gateway/exchange.h"
#include "gateway/gateway.h"
#include "gateway/metrics.h"
#include "gateway/tracing.h"

/* ---- legs -------------------------------------------------------------------- */

void leg_init(struct leg *leg, struct exchange *x, struct leg *parent, struct service *service) {
    leg->x = x;
    leg->parent = parent;
    leg->service = service;
    leg->wake_ns = SWG_NEVER;
    x->leg = leg;
}

/* Ends the legs below `leg`: its tier is given up. */
void leg_cancel_below(struct leg *leg) {
    struct exchange *x = leg->x;
    while (x->leg != leg) {
        struct leg *inner = x->leg;
        x->leg = inner->parent;
        leg_cancel(inner);
        if (inner->up) /* it had finished, and was relaying */
            upstream_close(inner->up);
        inner->up = NULL;
    }
}

static void drop_work(struct leg *leg) {
    struct tier_work *work = leg->work;
    leg->work = NULL;
    leg->awaits_body = false;
    if (work)
        work->cancel(work);
}

static void abandon_tier(struct leg *leg) {
    leg_cancel_below(leg);
    drop_work(leg);
    caching_leave(leg->x);
}

void leg_abandon(struct leg *leg) {
    abandon_tier(leg);
    tracing_attempt_over(leg);
    if (leg->up)
        upstream_close(leg->up);
    leg->up = NULL;
    leg->held = false;
    leg->held_until_ns = 0;
}

/* Where a tier's time is over and the chain goes on, it is the tier that is given
 * up: the service's own answer stays held until the chain has come to an end. */
static void abandon(struct leg *leg, enum swg_action next) {
    if (leg->held && (next == SWG_DO_FALL_BACK || next == SWG_DO_RELAY))
        abandon_tier(leg);
    else
        leg_abandon(leg);
}

static void tier_begins(struct leg *leg, uint32_t tier) {
    dry_begin(leg, tier);
    leg->tier = tier;
    leg->tier_began_ns = gateway_now(leg->x->worker->gateway);
    if (!exchange_is_rehearsal(leg->x))
        atomic_fetch_add_explicit(&leg->service->tally[tier]->tried, 1, memory_order_relaxed);
}

/* Harmless where none is under way. */
static void tier_ended(struct leg *leg, bool answered) {
    struct worker *w = leg->x->worker;
    if (!leg->tier_began_ns)
        return;
    uint64_t took_ns = gateway_now(w->gateway) - leg->tier_began_ns;
    tracing_tier(leg, answered);
    leg->tier_began_ns = 0;
    dry_end(leg, answered ? DRY_ANSWERED : DRY_FAILED, NULL);
    if (exchange_is_rehearsal(leg->x))
        return;
    metrics_of_tier(leg->service, leg->tier, w->index, took_ns);
    if (answered)
        atomic_fetch_add_explicit(&leg->service->tally[leg->tier]->answered, 1,
                                  memory_order_relaxed);
}

void leg_answered_by_tier(struct leg *leg) {
    struct exchange *x = leg->x;
    for (; leg; leg = leg->parent) {
        tier_ended(leg, true);
        (void)swg_call_on_tier(&leg->call, true, exchange_now(x));
        leg->over = true;
        if (leg->up)
            upstream_close(leg->up);
        leg->up = NULL;
    }
}

void tier_begin_answer(struct leg *leg) {
    leg->work = NULL;
    leg_answered_by_tier(leg);
}

void tier_failed(struct leg *leg) {
    leg->work = NULL;
    leg_run(leg, swg_call_on_tier(&leg->call, false, exchange_now(leg->x)));
}

static enum tier_result begin_tier(struct leg *leg, uint64_t deadline_ns) {
    const struct tier_options *tier = &leg->service->options->tiers[leg->tier];
    switch (tier->kind) {
    case TIER_STALE:
        return tier_stale(leg, tier);
    case TIER_QUEUE:
        return tier_queue(leg);
    case TIER_SERVICE:
        if (swg_call_story(&leg->call)->reason == SWG_REFUSED_BACKLOG)
            return TIER_FAILED; /* it would overtake there, too */
        return tier_service(leg, tier, leg->service->tier_service[leg->tier], deadline_ns);
    case TIER_STATIC:
        return tier_fixed(leg, tier);
    case TIER_SQL:
        return tier_sql(leg, tier, deadline_ns);
    }
    return TIER_FAILED;
}

/* Who has asked whether to send the body gets no word from a service that is
 * not asked. */
void exchange_invite_body(struct exchange *x) {
    static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
    struct iovec iov = {(void *)text, sizeof text - 1};
    if (x->expects_continue && x->request.minor)
        (void)io_send(&x->client->stream, &iov, 1);
    x->expects_continue = false;
    x->moved_ns = exchange_now(x);
}

/* The tier begins when the body is here, or as much of it as is kept. */
static enum tier_result await_body(struct leg *leg) {
    struct exchange *x = leg->x;
    leg->awaits_body = true;
    exchange_invite_body(x);
    exchange_set_timer(x);
    if (x->upload_paused && !x->client->feeding)
        client_resume_upload(x->client);
    return TIER_PENDING;
}

void leg_body_came(struct leg *leg) {
    leg->awaits_body = false;
    if (begin_tier(leg, leg->wake_ns) == TIER_FAILED)
        tier_failed(leg);
}

static enum tier_result try_tier(struct leg *leg, const struct swg_step *step) {
    tier_begins(leg, step->tier);
    if (dry_judge(leg, step->tier))
        return TIER_FAILED;
    if (leg->service->options->tiers[step->tier].needs_body && attempt_wants_body(leg->x))
        return await_body(leg);
    return begin_tier(leg, step->tier_deadline_ns);
}

/* The call is over and nobody answered through it. */
static void leg_failed(struct leg *leg) {
    struct exchange *x = leg->x;
    leg->over = true;
    if (leg->parent) {
        x->leg = leg->parent;
        leg_run(leg->parent, swg_call_on_tier(&leg->parent->call, false, exchange_now(x)));
        return;
    }
    reply_failure(x, swg_call_story(&leg->call));
}

void leg_look_up(struct leg *leg) {
    struct exchange *x = leg->x;
    struct cache_entry *entry = NULL;
    switch (caching_look_up(leg, &entry)) {
    case CACHING_WAIT:
    case CACHING_ASKED:
        exchange_set_timer(x);
        return;
    case CACHING_FRESH:
        (void)swg_call_on_cache(&leg->call, true, exchange_now(x));
        leg->over = true;
        caching_reply(x, entry, "cache", false);
        return;
    case CACHING_MISS:
        leg_run(leg, swg_call_on_cache(&leg->call, false, exchange_now(x)));
        return;
    case CACHING_UNAVAILABLE:
        leg_cancel(leg);
        reply_error(x, 504, "only_if_cached", "There is no stored answer to this request.");
        return;
    }
}

void leg_run(struct leg *leg, struct swg_step step) {
    struct exchange *x = leg->x;
    for (;;) {
        if (step.action != SWG_DO_WAIT)
            tier_ended(leg, false);
        if (step.abandon)
            abandon(leg, step.action);
        leg->wake_ns = step.wake_ns;
        switch (step.action) {
        case SWG_DO_WAIT:
            exchange_set_timer(x);
            return;
        case SWG_DO_LOOK_UP:
            leg_look_up(leg);
            return;
        case SWG_DO_ATTEMPT:
            leg->endpoint = step.endpoint;
            attempt_begin(leg);
            return;
        case SWG_DO_RELAY:
            if (leg->up) {
                upstream_release_held(leg->up);
                return;
            }
            /* it was too long to be held, or there was no memory */
            step = swg_call_on_end(&leg->call, false, exchange_now(x));
            continue;
        case SWG_DO_FALL_BACK:
            if (leg == &x->root)
                caching_failed(x);
            /* a refresh has nobody to be consoled */
            switch (x->client->sink && !x->inner ? TIER_FAILED : try_tier(leg, &step)) {
            case TIER_ANSWERED:
                return;
            case TIER_PENDING: /* perhaps even over */
                return;
            case TIER_FAILED:
                step = swg_call_on_tier(&leg->call, false, exchange_now(x));
                continue;
            }
            return;
        case SWG_DO_FINISH:
            leg_failed(leg);
            return;
        }
    }
}

/* ---- bulkhead ------------------------------------------------------------------ */

static void on_granted(struct io_task *task) {
    struct leg *leg = container_of(task, struct leg, granted);
    struct exchange *x = leg->x;
    struct swg_step step = swg_call_on_grant(&leg->call, exchange_now(x));
    if (!leg->over) {
        leg_run(leg, step);
        return;
    }
    exchange_memory_seen(x); /* it had been cancelled: the call has given the slot back */
}

void exchange_on_grant(struct swg_waiter *waiter) {
    struct swg_call *call = container_of(waiter, struct swg_call, waiter);
    struct leg *leg = container_of(call, struct leg, call);
    leg->granted = (struct io_task){NULL, on_granted};
    io_post(leg->x->worker->io, &leg->granted);
}

void leg_cancel(struct leg *leg) {
    if (leg->over)
        return;
    struct swg_step step = swg_call_on_cancel(&leg->call, exchange_now(leg->x));
    leg->over = true;
    leg->held_until_ns = 0;
    leg->x->memory_held += step.action == SWG_DO_WAIT;
    tracing_attempt_over(leg);
    drop_work(leg);
    if (leg->up)
        upstream_close(leg->up);
    leg->up = NULL;
}
