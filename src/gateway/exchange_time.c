/* exchange_time.c - when something of an exchange is late, and what is done then.
 *
 * One timer an exchange stands for all that may become due: what the calls of
 * its legs want, how long the cache is waited for, how fast the client must
 * send, how long a body may stand still. */
#include "gateway/caching.h"
#include "gateway/drilling.h"
#include "gateway/exchange.h"
#include "gateway/token_stream.h"

enum { LOOKS = 4 }; /* at a slow reader, in the time after which it would be idle */

/* ---- time --------------------------------------------------------------------- */

static uint64_t idle_limit_ns(const struct exchange *x) {
    const struct service *s = x->leg ? x->leg->service : x->service;
    if (!s)
        return SWG_OFF; /* its parts have limits of their own */
    const struct transport_options *t = &s->options->transport;
    uint64_t attempt_ns = s->options->policy.timeout.attempt_ns;
    if (attempt_is_stuck(x) && attempt_ns && attempt_ns < t->idle_ns)
        return attempt_ns;
    return x->tunnel ? t->upgrade_idle_ns : t->idle_ns;
}

/* Whether bodies move (or should): the idle limit watches them. */
static bool is_moving(const struct exchange *x) {
    return x->answer == ANSWER_BODY || (!x->upload_done && !x->upload_paused) ||
           attempt_is_stuck(x);
}

/* Whether it is the client that is waited for. Once the answer is on its way
 * the two sides may be talking to each other, and only the idle limit rules. */
static bool is_client_awaited(const struct exchange *x) {
    return !x->upload_done && !x->upload_paused && !x->expects_continue && x->answer == ANSWER_NONE;
}

void exchange_keep_pace(struct exchange *x) {
    if (is_client_awaited(x))
        pace_run(&x->pace, exchange_now(x));
    else
        pace_hold(&x->pace, exchange_now(x));
}

/* What was sent and not taken, where a side takes less than is there; 0 where
 * nobody is slow. */
static size_t unsent(const struct exchange *x) {
    const struct upstream *u = x->leg ? x->leg->up : NULL;
    size_t bytes = 0;
    if (io_pending(&x->client->stream))
        bytes += io_unsent(&x->client->stream);
    if (u && io_pending(&u->stream))
        bytes += io_unsent(&u->stream);
    return bytes;
}

static bool is_backed_up(const struct exchange *x) {
    const struct upstream *u = x->leg ? x->leg->up : NULL;
    return io_pending(&x->client->stream) || (u && io_pending(&u->stream));
}

/* When the idle limit has something to do. A reader that is slow moves no byte
 * here for a long time, so it is looked several times what it has taken. */
static uint64_t idle_due_ns(const struct exchange *x) {
    uint64_t limit = idle_limit_ns(x);
    if (!is_moving(x) || limit == SWG_OFF)
        return SWG_NEVER;
    if (!is_backed_up(x))
        return x->moved_ns + limit;
    uint64_t seen_ns = x->looked_ns > x->moved_ns ? x->looked_ns : x->moved_ns;
    uint64_t look = seen_ns + limit / LOOKS, end = x->moved_ns + limit;
    return look < end ? look : end;
}

void exchange_set_timer(struct exchange *x) {
    exchange_keep_pace(x);
    uint64_t due = pace_due_ns(&x->pace);
    for (const struct leg *leg = x->leg; leg; leg = leg->parent) {
        if (!leg->over && leg->wake_ns < due)
            due = leg->wake_ns;
        if (leg->held_until_ns && leg->held_until_ns < due)
            due = leg->held_until_ns;
    }
    if (x->waiting_for_cache && x->wait_until_ns < due)
        due = x->wait_until_ns;
    uint64_t idle = idle_due_ns(x), token = token_stream_due_ns(x);
    due = idle < due ? idle : due;
    due = token < due ? token : due;
    if (due != x->timer.due_ns)
        io_timer_set(x->worker->io, &x->timer, due);
}

/* The outermost leg whose time has come. */
static struct leg *due_leg(const struct exchange *x) {
    struct leg *due = NULL;
    for (struct leg *leg = x->leg; leg; leg = leg->parent) {
        if (!leg->over && leg->wake_ns <= exchange_now(x))
            due = leg;
    }
    return due;
}

/* False: a slow reader has taken something since the last look, or has time left. */
static bool is_idle(struct exchange *x) {
    size_t left = unsent(x);
    if (left && left != x->unsent_seen)
        x->moved_ns = exchange_now(x);
    x->unsent_seen = left;
    x->looked_ns = exchange_now(x);
    return x->moved_ns + idle_limit_ns(x) <= exchange_now(x);
}

static void on_idle(struct exchange *x) {
    size_t pending = io_pending(&x->client->stream);
    if (attempt_is_stuck(x))
        attempt_failed(x->leg, SWG_TIMED_OUT);
    else if (x->answer == ANSWER_BODY && x->leg->up && !pending && !x->tunnel)
        relay_timed_out(x->leg);
    else if (x->answer == ANSWER_NONE) {
        for (struct leg *leg = x->leg; leg; leg = leg->parent)
            leg_cancel(leg);
        reply_error(x, 408, "request_timeout", "The request's body did not come in time.");
    } else {
        client_abort(x->client);
    }
}

void exchange_on_timer(struct io_timer *t) {
    struct exchange *x = container_of(t, struct exchange, timer);
    struct leg *leg = due_leg(x);
    if (leg) {
        struct swg_step step = swg_call_on_timer(&leg->call, exchange_now(x));
        if (step.action == SWG_DO_WAIT && !step.abandon) {
            leg->wake_ns = step.wake_ns;
            exchange_set_timer(x);
            return;
        }
        if (step.action != SWG_DO_WAIT)
            leg_cancel_below(leg);
        leg_run(leg, step);
        return;
    }
    if ((leg = drilling_due(x))) {
        attempt_go_on(leg);
        return;
    }
    if (x->waiting_for_cache && x->wait_until_ns <= exchange_now(x)) {
        caching_leave(x);
        leg_run(x->leg, swg_call_on_cache(&x->leg->call, false, exchange_now(x)));
        return;
    }
    if (pace_due_ns(&x->pace) <= exchange_now(x))
        exchange_upload_broken(x, 408, "body_too_slow", "The request's body came too slowly.");
    else if (token_stream_due_ns(x) <= exchange_now(x))
        relay_timed_out(x->leg);
    else if (idle_due_ns(x) <= exchange_now(x) && is_idle(x))
        on_idle(x);
    else
        exchange_set_timer(x);
}
