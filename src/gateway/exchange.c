/* exchange.c - see exchange.h: how an exchange begins and ends. What goes on between
 * is in leg.c (what the call says is done), upload.c (the request's body), relay.c
 * (the answer) and exchange_time.c (when something is late). */
#include "gateway/exchange.h"

#include <stdio.h>
#include <stdlib.h>

#include "gateway/aggregate.h"
#include "gateway/caching.h"
#include "gateway/dry_run.h"
#include "gateway/fields.h"
#include "gateway/gateway.h"
#include "gateway/manager.h"
#include "gateway/metrics.h"
#include "gateway/queueing.h"
#include "gateway/read_only.h"
#include "gateway/token_stream.h"
#include "gateway/tracing.h"
#include "gateway/value.h"

enum { FREE_EXCHANGES_MAX = 256, TRAILERS_KEPT = 2048 };

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
    io_timer_init(&x->timer, exchange_on_timer);
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

/* What replays does so when it suits the service. */
static bool is_shed(const struct exchange *x) {
    return emergency_sheds(x->worker->gateway, x->service) && !(x->inner && x->inner->once);
}

static struct swg_request describe(struct exchange *x) {
    const struct http1_head *r = &x->request;
    return (struct swg_request){
        .idempotent = http_method_is_idempotent(r->method) || x->write_key.at ||
                      fields_find(r, HTTP_IDEMPOTENCY_KEY).len > 0,
        .safe = http_method_is_safe(r->method),
        .cacheable = caching_wanted(x),
        .once = x->inner && x->inner->once,
        .uncounted = exchange_is_rehearsal(x),
        .refuse = exchange_is_rehearsal(x) ? x->inner->dry->assume
                  : is_shed(x)             ? SWG_REFUSED_EMERGENCY
                  : queueing_is_behind(x)  ? SWG_REFUSED_BACKLOG
                  : read_only_refuses(x)   ? SWG_REFUSED_READ_ONLY
                                           : SWG_ADMITTED,
        .rate = x->service->options->rate_per_client
                    ? gateway_client_limiter(x->worker->gateway, x->service, &x->client->address)
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
void exchange_start(struct exchange *x) {
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
    tracing_begin(x, TRACING_CLIENT);
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
        exchange_start(x);
        return;
    }
    exchange_invite_body(x);
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
    tracing_begin_refresh(x, from);
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
    tracing_begin(x, in->verbatim ? TRACING_REPLAY : TRACING_PART);
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
        leg_cancel_below(&x->root);
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
    tracing_end(x, whole);
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
