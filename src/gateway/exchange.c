/* exchange.c - see exchange.h. */
#include "gateway/exchange.h"

#include <stdio.h>
#include <stdlib.h>

#include "gateway/aggregate.h"
#include "gateway/caching.h"
#include "gateway/dry_run.h"
#include "gateway/fields.h"
#include "gateway/gateway.h"
#include "gateway/inner.h"
#include "gateway/metrics.h"
#include "gateway/queueing.h"
#include "gateway/read_only.h"
#include "gateway/token_stream.h"
#include "gateway/value.h"

enum {
    FREE_EXCHANGES_MAX = 256,
    TRAILERS_KEPT = 2048,
    LOOKS = 4, /* at a slow reader, in the time after which it would be idle */
};

static void on_timer(struct io_timer *);
static void upload_broken(struct exchange *, int status, const char *reason, const char *sentence);

/* ---- memory ---------------------------------------------------------------- */

static struct exchange *exchange_get(struct worker *w) {
    struct list *l = list_pop_front(&w->free_exchanges);
    struct exchange *x;
    if (l) {
        x = container_of(l, struct exchange, link);
        w->free_exchange_count--;
    } else {
        x = malloc(sizeof *x);
        if (!x)
            return NULL;
        x->serial = 0;
    }
    uint64_t serial = x->serial + 1;
    memset(x, 0, offsetof(struct exchange, arena));
    x->serial = serial;
    arena_init(&x->arena, x->first_block, sizeof x->first_block, EXCHANGE_ARENA_MAX);
    x->worker = w;
    list_init(&x->link);
    io_timer_init(&x->timer, on_timer);
    return x;
}

static void exchange_recycle(struct exchange *x) {
    struct worker *w = x->worker;
    arena_reset(&x->arena);
    buf_free(&x->kept);
    x->serial++;
    if (w->free_exchange_count < FREE_EXCHANGES_MAX) {
        list_push_front(&w->free_exchanges, &x->link);
        w->free_exchange_count++;
    } else {
        free(x);
    }
}

void exchange_memory_seen(struct exchange *x) {
    x->memory_held--;
    if (x->over && !x->memory_held)
        exchange_recycle(x);
}

/* ---- legs -------------------------------------------------------------------- */

static void leg_init(struct leg *leg, struct exchange *x, struct leg *parent,
                     struct service *service) {
    leg->x = x;
    leg->parent = parent;
    leg->service = service;
    leg->wake_ns = SWG_NEVER;
    x->leg = leg;
}

/* Ends the legs below `leg`: its tier is given up. */
static void cancel_below(struct leg *leg) {
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
    cancel_below(leg);
    drop_work(leg);
    caching_leave(leg->x);
}

void leg_abandon(struct leg *leg) {
    abandon_tier(leg);
    if (leg->up)
        upstream_close(leg->up);
    leg->up = NULL;
    leg->held = false;
}

/* Where a tier's time is over and the chain goes on, it is the tier that is given
 * up: the service's own answer stays held until the chain has come to an end. */
static void abandon(struct leg *leg, enum swg_action next) {
    if (leg->held && (next == SWG_DO_FALL_BACK || next == SWG_DO_RELAY))
        abandon_tier(leg);
    else
        leg_abandon(leg);
}

static bool is_rehearsal(const struct exchange *x) {
    return x->inner && x->inner->dry;
}

static void tier_begins(struct leg *leg, uint32_t tier) {
    dry_begin(leg, tier);
    leg->tier = tier;
    leg->tier_began_ns = gateway_now(leg->x->worker->gateway);
    if (!is_rehearsal(leg->x))
        atomic_fetch_add_explicit(&leg->service->tally[tier]->tried, 1, memory_order_relaxed);
}

/* Harmless where none is under way. */
static void tier_ended(struct leg *leg, bool answered) {
    struct worker *w = leg->x->worker;
    if (!leg->tier_began_ns)
        return;
    uint64_t took_ns = gateway_now(w->gateway) - leg->tier_began_ns;
    leg->tier_began_ns = 0;
    dry_end(leg, answered ? DRY_ANSWERED : DRY_FAILED, NULL);
    if (is_rehearsal(leg->x))
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
static void invite_body(struct exchange *x) {
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
    invite_body(x);
    exchange_set_timer(x);
    if (x->upload_paused && !x->client->feeding)
        client_resume_upload(x->client);
    return TIER_PENDING;
}

static void body_came(struct leg *leg) {
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

static void keep_pace(struct exchange *x) {
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
    keep_pace(x);
    uint64_t due = pace_due_ns(&x->pace);
    for (const struct leg *leg = x->leg; leg; leg = leg->parent) {
        if (!leg->over && leg->wake_ns < due)
            due = leg->wake_ns;
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

static void on_timer(struct io_timer *t) {
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
            cancel_below(leg);
        leg_run(leg, step);
        return;
    }
    if (x->waiting_for_cache && x->wait_until_ns <= exchange_now(x)) {
        caching_leave(x);
        leg_run(x->leg, swg_call_on_cache(&x->leg->call, false, exchange_now(x)));
        return;
    }
    if (pace_due_ns(&x->pace) <= exchange_now(x))
        upload_broken(x, 408, "body_too_slow", "The request's body came too slowly.");
    else if (token_stream_due_ns(x) <= exchange_now(x))
        relay_timed_out(x->leg);
    else if (idle_due_ns(x) <= exchange_now(x) && is_idle(x))
        on_idle(x);
    else
        exchange_set_timer(x);
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
    leg->x->memory_held += step.action == SWG_DO_WAIT;
    drop_work(leg);
    if (leg->up)
        upstream_close(leg->up);
    leg->up = NULL;
}

/* ---- beginning ------------------------------------------------------------------- */

/* Moves the head's views from where it was parsed to the exchange's own copy. */
static bool copy_head(struct exchange *x, const struct http1_head *head, struct bytes raw) {
    char *copy = arena_copy(&x->arena, raw);
    struct http_field *fields =
        arena_alloc(&x->arena, (head->field_count + 1u) * sizeof *head->fields);
    if (!copy || !fields)
        return false;
    x->request = *head;
    x->request.fields = fields;
    x->request.method_text.at = copy + (head->method_text.at - raw.at);
    x->request.target.at = copy + (head->target.at - raw.at);
    for (uint16_t i = 0; i < head->field_count; i++) {
        fields[i] = head->fields[i];
        fields[i].name.at = copy + (head->fields[i].name.at - raw.at);
        fields[i].value.at = copy + (head->fields[i].value.at - raw.at);
    }
    x->head_end = copy + raw.len - 2;
    return true;
}

static struct bytes make_id(struct exchange *x) {
    static const char digits[] = "0123456789abcdef";
    char *id = arena_alloc(&x->arena, 24);
    if (!id)
        return BYTES("-");
    uint64_t a = worker_random(x->worker), b = worker_random(x->worker);
    for (int i = 0; i < 16; i++)
        id[i] = digits[a >> (4 * i) & 15];
    for (int i = 0; i < 8; i++)
        id[16 + i] = digits[b >> (4 * i) & 15];
    return (struct bytes){id, 24};
}

/* An id that a client sends is passed on if it is harmless, else replaced. */
static bool is_good_id(struct bytes id) {
    if (!id.len || id.len > 128)
        return false;
    for (size_t i = 0; i < id.len; i++) {
        if (id.at[i] <= ' ' || id.at[i] > '~' || id.at[i] == '"' || id.at[i] == '\\')
            return false;
    }
    return true;
}

static void set_ids(struct exchange *x) {
    struct bytes request = fields_find(&x->request, HTTP_X_REQUEST_ID);
    struct bytes correlation = fields_find(&x->request, HTTP_X_CORRELATION_ID);
    x->request_id = is_good_id(request) ? request : make_id(x);
    x->correlation_id = is_good_id(correlation) ? correlation : x->request_id;
}

static struct bytes host_without_port(struct bytes host) {
    if (host.len && host.at[0] == '[') {
        const char *end = memchr(host.at, ']', host.len);
        return end ? (struct bytes){host.at, (size_t)(end + 1 - host.at)} : host;
    }
    const char *colon = host.len ? memchr(host.at, ':', host.len) : NULL;
    return colon ? (struct bytes){host.at, (size_t)(colon - host.at)} : host;
}

/* OPTIONS that asks about the gateway, or was to go no further than here. */
static bool is_for_gateway(const struct http1_head *r) {
    if (r->method != HTTP_OPTIONS)
        return false;
    return bytes_equal(r->target, BYTES("*")) ||
           bytes_equal(fields_find(r, HTTP_MAX_FORWARDS), BYTES("0"));
}

/* What a gateway answers or refuses without asking anybody; true if it did. */
static bool refuse(struct exchange *x) {
    const struct http1_head *r = &x->request;
    const struct limit_options *limits = &x->plan->options->limits;
    if (r->method == HTTP_CONNECT || r->method == HTTP_TRACE) {
        reply_error(x, 501, "method_not_implemented", "This gateway does not do this method.");
        return true;
    }
    if (!path_split(r->target, &x->arena, &x->parts)) {
        reply_error(x, 400, "bad_target", "The request target is malformed.");
        return true;
    }
    if (x->parts.authority.at)
        x->host = x->parts.authority;
    if (is_for_gateway(r)) {
        reply_options(x);
        return true;
    }
    if (x->parts.path.at[0] != '/') {
        reply_error(x, 400, "bad_target", "Only OPTIONS has the target *.");
        return true;
    }
    if (r->expect_unknown) {
        reply_error(x, 417, "expectation_failed", "Only 100-continue can be expected.");
        return true;
    }
    if (limits->body != SWG_OFF && r->framing == HTTP1_BODY_LENGTH &&
        r->content_length > limits->body) {
        reply_error(x, 413, "body_too_large", "The request body is larger than the limit.");
        return true;
    }
    if (queueing_status(x))
        return true;
    if (!router_match(x->plan->router, r->method, host_without_port(x->host), x->parts.path,
                      &x->route)) {
        if (x->route.methods)
            reply_error(x, 405, "method_not_allowed", "This path does not take this method.");
        else
            reply_error(x, 404, "no_route", "No route leads from this path to a service.");
        return true;
    }
    return false;
}

static struct swg_request describe(struct exchange *x) {
    const struct http1_head *r = &x->request;
    return (struct swg_request){
        .idempotent = http_method_is_idempotent(r->method) || x->write_key.at ||
                      fields_find(r, HTTP_IDEMPOTENCY_KEY).len > 0,
        .safe = http_method_is_safe(r->method),
        .cacheable = caching_wanted(x),
        .once = x->inner && x->inner->once,
        .uncounted = is_rehearsal(x),
        .refuse = is_rehearsal(x)         ? x->inner->dry->assume
                  : queueing_is_behind(x) ? SWG_REFUSED_BACKLOG
                  : read_only_refuses(x)  ? SWG_REFUSED_READ_ONLY
                                          : SWG_ADMITTED,
        .rate = x->service->options->rate_per_client
                    ? gateway_client_limiter(x->worker->gateway, x->service, x->client)
                    : NULL,
        .seed = worker_random(x->worker),
    };
}

static void start(struct exchange *x) {
    leg_init(&x->root, x, NULL, x->service);
    struct swg_request request = describe(x);
    leg_run(&x->root, swg_call_start(&x->root.call, x->service->policy, &request, exchange_on_grant,
                                     exchange_now(x)));
}

void exchange_asked(struct exchange *x) {
    start(x);
}

/* Where only the outbox knows whether the write would overtake others, it is asked
 * first. */
static void start_or_ask(struct exchange *x) {
    if (!queueing_asks(x))
        start(x);
}

static struct exchange *make(struct client *c, const struct http1_head *head, struct bytes raw) {
    struct worker *w = c->worker;
    struct exchange *x = exchange_get(w);
    if (!x || !copy_head(x, head, raw)) {
        if (x)
            exchange_recycle(x);
        return NULL;
    }
    x->client = c;
    c->exchange = x;
    worker_catch_up(w);
    x->plan = plan_hold(w->plan);
    x->started_ns = x->moved_ns = exchange_now(x);
    list_push_back(&w->exchanges, &x->link);
    atomic_fetch_add_explicit(&w->gateway->exchanges, 1, memory_order_relaxed);
    x->host = fields_find(&x->request, HTTP_HOST);
    x->head_only = head->method == HTTP_HEAD;
    x->nominated = fields_are_nominated(&x->request);
    x->expects_continue = head->expect_continue;
    const struct limit_options *limits = &x->plan->options->limits;
    pace_init(&x->pace, limits->body_rate, limits->header_timeout_ns);
    set_ids(x);
    buf_init(&x->kept, SIZE_MAX / 2);
    return x;
}

void exchange_begin(struct client *c, const struct http1_head *head, struct bytes raw) {
    struct exchange *x = make(c, head, raw);
    if (!x) {
        client_close(c);
        return;
    }
    if (head->framing == HTTP1_BODY_CHUNKED)
        x->trailers = arena_alloc(&x->arena, TRAILERS_KEPT);
    http1_body_init(&x->upload, head->framing, head->content_length, x->trailers,
                    x->trailers ? TRAILERS_KEPT : 0);
    x->upload_done = x->upload.done;
    if (refuse(x))
        return;
    if (x->route.route->part_count) {
        aggregate_begin(x);
        return;
    }
    x->service = &x->plan->services[x->route.route->service_index];
    queueing_begin(x);
    x->gathering =
        (caching_needs_body(x) || x->write_key.at || read_only_needs_body(x)) && !x->upload_done;
    if (!x->gathering) {
        start_or_ask(x);
        return;
    }
    invite_body(x);
    exchange_set_timer(x);
}

/* Its client is a sink: what is sent there goes nowhere. */
void exchange_begin_refresh(const struct exchange *from, struct cache_flight *flight,
                            struct cache_entry *old) {
    struct client *sink = client_create_sink(from->worker, from->client);
    const char *raw = from->request.method_text.at;
    struct exchange *x =
        sink ? make(sink, &from->request, (struct bytes){raw, (size_t)(from->head_end + 2 - raw)})
             : NULL;
    if (!x) {
        cache_abandon(&flight, SWG__FLIGHT_CANCELLED, exchange_now(from));
        if (sink)
            client_close(sink);
        return;
    }
    x->flight = flight;
    cache_entry_hold(x->old = old);
    x->cache_status = "fwd=stale";
    x->upload_done = true;
    if (from->kept.len)
        buf_append(&x->kept, from->kept.at, from->kept.len);
    if (refuse(x))
        return;
    x->service = &x->plan->services[x->route.route->service_index];
    start(x);
}

/* The route that a client would have come by, for what it captures. */
static void find_own_route(struct exchange *x) {
    bool found = router_match(x->plan->router, x->request.method, host_without_port(x->host),
                              x->parts.path, &x->route);
    if (!found || x->route.route->part_count ||
        &x->plan->services[x->route.route->service_index] != x->service)
        x->route = (struct route_match){0};
}

/* Its client is a sink, too; what would be sent to it is told to `in`. */
void exchange_begin_inner(struct inner *in, struct worker *w, const struct inner_request *r,
                          const struct http1_head *head, struct bytes raw) {
    struct client *sink = client_create_sink(w, r->client);
    struct exchange *x = sink ? make(sink, head, raw) : NULL;
    if (!x) {
        if (sink)
            client_close(sink);
        inner_end(in, false);
        return;
    }
    in->x = x;
    x->inner = in;
    x->upload_done = true;
    buf_bytes(&x->kept, r->body);
    x->service = plan_service(x->plan, bytes_of(r->service));
    if (!x->service || x->kept.failed || !path_split(x->request.target, &x->arena, &x->parts)) {
        exchange_finish(x, false);
        return;
    }
    if (in->dry)
        find_own_route(x);
    start(x);
}

/* ---- the request's body ------------------------------------------------------------ */

/* Keeps one more piece for another attempt, or gives that up. */
static void keep_piece(struct exchange *x, struct bytes piece) {
    struct leg *leg = x->leg;
    if (x->kept_dropped)
        return;
    if (x->gathering) {
        buf_bytes(&x->kept, piece);
        return;
    }
    size_t limit = queueing_body_max(x);
    bool sending = leg->up && leg->up->state != UPSTREAM_HELD;
    if (sending && x->kept.len + piece.len > limit) {
        x->kept_dropped = true;
        buf_free(&x->kept);
        for (; leg; leg = leg->parent)
            swg_call_not_replayable(&leg->call);
        return;
    }
    buf_bytes(&x->kept, piece);
    if (sending)
        leg->kept_sent = x->kept.len;
}

static bool tunnel_upload(struct exchange *x, const char *data, size_t len, size_t *used) {
    struct leg *leg = x->leg;
    *used = len;
    x->moved_ns = exchange_now(x);
    if (!len) { /* the client has ended its direction */
        if (leg->up->eof)
            relay_end(leg, true);
        else
            io_shut(&leg->up->stream);
        return true;
    }
    struct iovec iov = {(void *)data, len};
    x->in_bytes += len;
    if (io_send(&leg->up->stream, &iov, 1) < 0)
        relay_end(leg, false);
    else
        x->upload_paused = io_pending(&leg->up->stream) > 0;
    return true;
}

static void upload_finished(struct exchange *x) {
    struct leg *leg = x->leg;
    x->upload_done = true;
    x->upload_paused = true; /* what follows is the next request */
    if (x->gathering) {
        x->gathering = false;
        start_or_ask(x);
        return;
    }
    if (leg->awaits_body) {
        body_came(leg);
        return;
    }
    if (!leg->up || leg->up->state == UPSTREAM_HELD)
        return;
    attempt_send_end(leg);
    if (leg->up->state == UPSTREAM_HEAD && !io_pending(&leg->up->stream))
        leg_run(leg, attempt_sent(leg));
    else
        leg_run(leg, swg_call_on_upload(&leg->call, false, exchange_now(x)));
}

static void upload_broken(struct exchange *x, int status, const char *reason,
                          const char *sentence) {
    struct client *c = x->client;
    if (x->answer != ANSWER_NONE) {
        client_close(c);
        return;
    }
    for (struct leg *leg = x->leg; leg; leg = leg->parent)
        leg_cancel(leg);
    x->close_client = true;
    reply_error(x, status, reason, sentence);
}

bool exchange_upload(struct exchange *x, const char *data, size_t len, size_t *used) {
    *used = 0;
    if (x->tunnel)
        return tunnel_upload(x, data, len, used);
    if (x->upload_done || !attempt_wants_body(x)) {
        x->upload_paused = true;
        keep_pace(x);
        return true;
    }
    struct leg *leg = x->leg;
    bool resumes = x->upload_paused || x->expects_continue;
    x->upload_paused = false;
    x->moved_ns = exchange_now(x);
    x->expects_continue = false;
    if (resumes)
        exchange_set_timer(x);
    pace_count(&x->pace, len, exchange_now(x));
    struct bytes payload;
    size_t piece;
    while (len > *used && !x->upload.done) {
        enum http1_error e =
            http1_body_next(&x->upload, data + *used, len - *used, &payload, &piece);
        if (e != HTTP1_OK) {
            *used = len;
            upload_broken(x, http1_error_status(e), http1_error_name(e), http1_error_sentence(e));
            return true;
        }
        *used += piece;
        if (!payload.len)
            continue;
        x->in_bytes += payload.len;
        if (x->in_bytes > x->plan->options->limits.body) {
            *used = len;
            upload_broken(x, 413, "body_too_large", "The request body is larger than the limit.");
            return true;
        }
        if (leg && leg->up && leg->up->state != UPSTREAM_HELD)
            attempt_send_piece(leg, payload);
        keep_piece(x, payload);
    }
    if (x->upload.done) {
        upload_finished(x);
    } else if (x->gathering && x->kept.len > queueing_body_max(x)) {
        x->gathering = false; /* too long to have a name: it passes as it comes */
        start(x);
    } else if (!attempt_wants_body(x)) {
        x->upload_paused = true;
        if (leg && leg->awaits_body)
            body_came(leg);
        else
            exchange_set_timer(x);
    }
    return true;
}

/* What waited is looked at after this; the time in which nobody read is not
 * the client's. */
void exchange_upload_resumed(struct exchange *x) {
    x->upload_paused = false;
    x->moved_ns = exchange_now(x);
    exchange_set_timer(x);
}

/* ---- the client's side of the answer ------------------------------------------------- */

void exchange_client_drained(struct exchange *x) {
    struct leg *leg = x->leg;
    x->moved_ns = exchange_now(x);
    x->unsent_seen = 0;
    if (leg && leg->up && leg->up->paused) {
        leg->up->paused = false;
        token_stream_resumed(x);
        io_want_data(&leg->up->stream, true);
    }
}

void exchange_cancel(struct exchange *x) {
    struct leg *leg = x->leg;
    if (leg) {
        cancel_below(&x->root);
        leg_cancel(&x->root);
    }
    exchange_finish(x, false);
}

/* ---- the end --------------------------------------------------------------------------- */

void exchange_finish(struct exchange *x, bool whole) {
    struct worker *w = x->worker;
    struct client *c = x->client;
    io_timer_clear(w->io, &x->timer);
    aggregate_drop(x);
    caching_done(x);
    if (x->leg)
        leg_abandon(&x->root);
    x->leg = NULL;
    metrics_of_exchange(x, whole);
    list_remove(&x->link);
    atomic_fetch_sub_explicit(&w->gateway->exchanges, 1, memory_order_relaxed);
    bool keep = whole && !x->close_client && !x->tunnel && x->upload_done && x->request.keep_alive;
    bool cut = !whole && x->answer == ANSWER_BODY;
    bool by_reset = cut && x->out_framing == HTTP1_BODY_UNTIL_CLOSE;
    bool tunnel = x->tunnel;
    struct inner *inner = x->inner;
    if (inner)
        inner->answer.story = *swg_call_story(&x->root.call);
    value_forget(x);
    if (x->question)
        x->question->cancel(x->question);
    token_stream_done(x);
    c->exchange = NULL;
    plan_release(x->plan);
    x->plan = NULL;
    x->client = NULL;
    x->over = true;
    if (!x->memory_held)
        exchange_recycle(x);
    if (by_reset || (tunnel && !whole))
        client_cut_off(c);
    client_exchange_done(c, keep);
    if (inner)
        inner_end(inner, whole);
}
