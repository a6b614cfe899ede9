/* tracing.c - see tracing.h. Names of attributes are those of OpenTelemetry's
 * semantic conventions for HTTP, and switchgear.* for what these do not have. */
#include "gateway/tracing.h"

#include <stdio.h>
#include <time.h>

#include "gateway/fields.h"
#include "gateway/gateway.h"
#include "gateway/trace_export.h"

enum { URL_MAX = 1024, STATE_MAX = TRACESTATE_MAX + 1 };

/* ---- the context ---------------------------------------------------------------- */

static uint64_t new_id(struct worker *w) {
    uint64_t id = worker_random(w);
    return id ? id : 1;
}

/* Of two of them nobody knows which is meant: then it is none. */
static struct bytes only_field(const struct http1_head *head, enum http_field_id id) {
    struct bytes found = {0};
    for (uint16_t i = 0; i < head->field_count; i++) {
        if (head->fields[i].id != id)
            continue;
        if (found.at)
            return (struct bytes){0};
        found = head->fields[i].value;
    }
    return found;
}

/* May come in several fields, which are one list. */
static struct bytes read_state(struct exchange *x) {
    char memory[STATE_MAX];
    struct buf all;
    buf_init_fixed(&all, memory, sizeof memory);
    for (uint16_t i = 0; i < x->request.field_count; i++) {
        const struct http_field *f = &x->request.fields[i];
        if (f->id != HTTP_TRACESTATE || !f->value.len)
            continue;
        if (all.len)
            buf_char(&all, ',');
        buf_bytes(&all, f->value);
    }
    if (all.failed || !tracestate_is_good(buf_view(&all)))
        return (struct bytes){0};
    const char *copy = arena_copy(&x->arena, buf_view(&all));
    return (struct bytes){copy, copy ? all.len : 0};
}

static bool is_believed(const struct exchange *x, enum tracing_of of) {
    const struct gateway_options *o = x->plan->options;
    return of != TRACING_CLIENT || !o->trace.trusted_only || client_is_trusted(x->client, o);
}

static void begin_trace(struct exchange *x, struct trace_context *c) {
    *c = (struct trace_context){.trace = {worker_random(x->worker), new_id(x->worker)}};
    if (trace_is_chosen(c->trace, x->plan->options->trace.sample))
        c->flags = TRACE_SAMPLED;
}

/* ---- the parcel ------------------------------------------------------------------- */

static int64_t to_unix_ns(const struct exchange *x) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * (int64_t)SWG_SECONDS(1) + t.tv_nsec -
           (int64_t)gateway_now(x->worker->gateway);
}

static const char *method_name(enum http_method m) {
    return m == HTTP_METHOD_OTHER ? "_OTHER" : http_method_name(m);
}

/* A method that nobody knows is no name: there could be any number of them. */
static struct bytes span_name(char *memory, size_t size, enum http_method m, const char *route) {
    struct buf b;
    buf_init_fixed(&b, memory, size);
    buf_string(&b, m == HTTP_METHOD_OTHER ? "HTTP" : http_method_name(m));
    if (route) {
        buf_char(&b, ' ');
        buf_string(&b, route);
    }
    return buf_view(&b);
}

/* The name follows when it is known whereto the request goes. */
static void open_parcel(struct exchange *x, struct tracing *t, enum trace_kind kind,
                        uint64_t parent) {
    if (!(t->context.flags & TRACE_SAMPLED))
        return;
    t->parcel = trace_parcel_create(&t->context, t->state, to_unix_ns(x));
    if (!t->parcel)
        return;
    t->span =
        trace_span_add(t->parcel, kind, t->context.span, parent, BYTES("HTTP"), x->started_ns);
    if (!t->span) {
        trace_parcel_destroy(t->parcel);
        t->parcel = NULL;
    }
}

static struct tracing *make(struct exchange *x) {
    if (!x->plan->options->trace.enabled || exchange_is_rehearsal(x))
        return NULL;
    return x->tracing = arena_zalloc(&x->arena, sizeof *x->tracing);
}

/* A replay is a trace of its own: the one that it belongs to ended when the write was
 * promised, perhaps days ago. It is told of if that one was. */
static void begin_replay(struct exchange *x, struct tracing *t) {
    struct trace_context origin;
    bool known = traceparent_read(only_field(&x->request, HTTP_TRACEPARENT), &origin);
    begin_trace(x, &t->context);
    t->context.span = new_id(x->worker);
    if (known)
        t->context.flags = origin.flags & TRACE_SAMPLED;
    open_parcel(x, t, TRACE_CONSUMER, 0);
    if (t->span && known)
        t->span->link = origin;
}

void tracing_begin(struct exchange *x, enum tracing_of of) {
    struct tracing *t = make(x);
    uint64_t parent = 0;
    if (!t)
        return;
    if (of == TRACING_REPLAY) {
        begin_replay(x, t);
        return;
    }
    if (is_believed(x, of) &&
        traceparent_read(only_field(&x->request, HTTP_TRACEPARENT), &t->context)) {
        parent = t->context.span;
        t->state = read_state(x);
    } else {
        begin_trace(x, &t->context);
    }
    t->context.span = new_id(x->worker);
    open_parcel(x, t, of == TRACING_CLIENT ? TRACE_SERVER : TRACE_INTERNAL, parent);
}

void tracing_begin_refresh(struct exchange *x, const struct exchange *cause) {
    struct tracing *t = cause->tracing ? make(x) : NULL;
    if (!t)
        return;
    t->context = cause->tracing->context;
    t->context.span = new_id(x->worker);
    t->state = cause->tracing->state;
    const char *copy = t->state.len ? arena_copy(&x->arena, t->state) : NULL;
    t->state = (struct bytes){copy, copy ? t->state.len : 0};
    open_parcel(x, t, TRACE_INTERNAL, cause->tracing->context.span);
}

/* ---- what services and logs are told --------------------------------------------------- */

static void write_fields(struct buf *b, const struct tracing *t, uint64_t span) {
    char text[TRACEPARENT_LEN + 1];
    struct trace_context c = t->context;
    c.span = span;
    traceparent_write(text, &c);
    buf_literal(b, "traceparent: ");
    buf_append(b, text, TRACEPARENT_LEN);
    buf_literal(b, "\r\n");
    if (!t->state.len)
        return;
    buf_literal(b, "tracestate: ");
    buf_bytes(b, t->state);
    buf_literal(b, "\r\n");
}

/* A write that is queued has an answered attempt behind it, which is over. */
void tracing_write_fields(struct buf *b, const struct leg *leg) {
    const struct tracing *t = leg->x->tracing;
    bool under_way = leg->span && !leg->span_answered;
    if (t)
        write_fields(b, t, under_way ? leg->span->id : t->context.span);
}

void tracing_write_own(struct buf *b, const struct exchange *x) {
    if (x->tracing)
        write_fields(b, x->tracing, x->tracing->context.span);
}

/* Without tracing of our own a request may still be a part of somebody's. */
bool tracing_ids(const struct exchange *x, char trace[TRACE_ID_LEN + 1],
                 char span[SPAN_ID_LEN + 1]) {
    struct trace_context c;
    if (x->tracing)
        c = x->tracing->context;
    else if (!traceparent_read(only_field(&x->request, HTTP_TRACEPARENT), &c))
        return false;
    trace_id_write(trace, c.trace);
    span_id_write(span, c.span);
    return true;
}

/* ---- attempts ------------------------------------------------------------------------------ */

static void describe_target(struct trace_attributes *a, const struct leg *leg) {
    const struct exchange *x = leg->x;
    const struct endpoint_options *e = &leg->service->options->endpoints[leg->endpoint];
    const char *question = leg->path ? strchr(leg->path, '?') : NULL;
    struct bytes path = route_path(x->route.route, x->parts.path);
    char memory[URL_MAX];
    struct buf url;
    if (leg->path)
        path = (struct bytes){leg->path,
                              question ? (size_t)(question - leg->path) : strlen(leg->path)};
    trace_text(a, "server.address", bytes_of(e->unix_path ? e->unix_path : e->host));
    if (e->unix_path)
        return;
    trace_number(a, "server.port", e->port);
    buf_init_fixed(&url, memory, sizeof memory);
    buf_literal(&url, "http://");
    buf_string(&url, e->authority);
    buf_string(&url, e->base_path);
    buf_bytes(&url, path);
    trace_text(a, "url.full", buf_view(&url)); /* without the query, always */
}

static void tell_retry(struct tracing *t, const struct leg *leg, const char *error) {
    const struct exchange *x = leg->x;
    struct trace_event *e = trace_event_add(t->parcel, t->span, "retry", exchange_now(x));
    if (!e)
        return;
    trace_text(&e->attributes, "switchgear.retry.reason", bytes_of(error));
    trace_text(&e->attributes, "switchgear.service", bytes_of(leg->service->options->name));
    trace_number(&e->attributes, "switchgear.attempt", swg_call_story(&leg->call)->attempts);
}

void tracing_attempt(struct leg *leg) {
    struct exchange *x = leg->x;
    struct tracing *t = x->tracing;
    const struct swg_story *s = swg_call_story(&leg->call);
    char memory[64];
    if (!t || !t->parcel)
        return;
    tracing_attempt_over(leg);
    if (s->attempts > 1)
        tell_retry(t, leg, t->error);
    enum http_method method = leg_method(leg);
    leg->span = trace_span_add(t->parcel, TRACE_CLIENT, new_id(x->worker), t->context.span,
                               span_name(memory, sizeof memory, method, NULL), exchange_now(x));
    if (!leg->span)
        return;
    struct trace_attributes *a = &leg->span->attributes;
    trace_word(a, "http.request.method", method_name(method));
    describe_target(a, leg);
    trace_word(a, "network.protocol.version", "1.1");
    if (s->attempts > 1)
        trace_number(a, "http.request.resend_count", s->attempts - 1);
    trace_text(a, "switchgear.service", bytes_of(leg->service->options->name));
    trace_word(a, "switchgear.breaker.state", swg_breaker_state_word(s->breaker));
}

static void fail(struct tracing *t, struct trace_span *span, const char *error) {
    span->failed = true;
    snprintf(t->error, sizeof t->error, "%s", error);
    trace_text(&span->attributes, "error.type", bytes_of(t->error));
}

void tracing_answered(struct leg *leg, int status) {
    char text[16];
    if (!leg->span)
        return;
    trace_number(&leg->span->attributes, "http.response.status_code", status);
    leg->span->ended_ns = exchange_now(leg->x);
    leg->span_answered = true;
    if (status < 400)
        return;
    snprintf(text, sizeof text, "%d", status);
    fail(leg->x->tracing, leg->span, text);
}

static const char *error_word(enum swg_answer_kind kind) {
    switch (kind) {
    case SWG_CONNECT_FAILED:
        return "connect";
    case SWG_RESET:
        return "reset";
    case SWG_RESET_IDLE:
        return "reset_idle";
    case SWG_GARBLED:
        return "garbled";
    case SWG_UNAVAILABLE_LOCALLY:
        return "unavailable_locally";
    case SWG_TIMED_OUT:
        return "timeout";
    case SWG_ANSWERED:
        break;
    }
    return "_OTHER";
}

void tracing_failed(struct leg *leg, enum swg_answer_kind kind) {
    if (!leg->span)
        return;
    fail(leg->x->tracing, leg->span, error_word(kind));
    leg->span->ended_ns = exchange_now(leg->x);
    leg->span = NULL;
    leg->span_answered = false;
}

void tracing_attempt_over(struct leg *leg) {
    struct trace_span *span = leg->span;
    if (!span)
        return;
    const struct swg_story *s = swg_call_story(&leg->call);
    leg->span = NULL;
    span->ended_ns = exchange_now(leg->x);
    bool late = s->reason != SWG_REFUSED_CANCELLED && s->last.kind == SWG_TIMED_OUT;
    if (!leg->span_answered)
        fail(leg->x->tracing, span, late ? "timeout" : "cancelled");
    else if (s->broke_off && !span->failed)
        fail(leg->x->tracing, span, "broke_off");
    leg->span_answered = false;
}

void tracing_tier(const struct leg *leg, bool answered) {
    struct tracing *t = leg->x->tracing;
    if (!t || !t->parcel)
        return;
    struct trace_event *e = trace_event_add(t->parcel, t->span, "fallback", exchange_now(leg->x));
    if (!e)
        return;
    trace_text(&e->attributes, "switchgear.service", bytes_of(leg->service->options->name));
    trace_text(&e->attributes, "switchgear.tier",
               bytes_of(leg->service->options->tiers[leg->tier].name));
    trace_word(&e->attributes, "switchgear.tier.result", answered ? "answered" : "failed");
    trace_number(&e->attributes, "switchgear.tier.duration_us",
                 (int64_t)((gateway_now(leg->x->worker->gateway) - leg->tier_began_ns) / 1000));
}

/* ---- the end --------------------------------------------------------------------------------- */

static const char *source_word(const struct swg_story *s) {
    static const char *const words[] = {[SWG_FROM_NOWHERE] = "error",
                                        [SWG_FROM_SERVICE] = "upstream",
                                        [SWG_FROM_CACHE] = "cache",
                                        [SWG_FROM_TIER] = "tier"};
    return words[s->source];
}

static void tell_story(struct trace_attributes *a, const struct exchange *x) {
    const struct swg_story *s = swg_call_story(&x->root.call);
    const struct service_options *o = x->service->options;
    trace_text(a, "switchgear.service", bytes_of(o->name));
    trace_word(a, "switchgear.source", source_word(s));
    if (s->source == SWG_FROM_TIER)
        trace_text(a, "switchgear.tier", bytes_of(o->tiers[s->tier].name));
    trace_word(a, "switchgear.breaker.state", swg_breaker_state_word(s->breaker));
    trace_number(a, "switchgear.attempts", s->attempts);
    if (s->reason != SWG_ADMITTED)
        trace_word(a, "switchgear.reason", swg_refusal_word(s->reason));
    if (s->no_retry != SWG_ADMITTED)
        trace_word(a, "switchgear.no_retry", swg_refusal_word(s->no_retry));
    trace_word(a, "switchgear.drill", x->drill);
}

/* The Host field as name and port. */
static void tell_host(struct trace_attributes *a, struct bytes host) {
    size_t len = host.len;
    const char *bracket = len && host.at[0] == '[' ? memchr(host.at, ']', len) : NULL;
    const char *from = bracket ? bracket : host.at;
    const char *colon = len ? memchr(from, ':', len - (size_t)(from - host.at)) : NULL;
    int64_t port = 0;
    struct bytes name = {host.at, colon ? (size_t)(colon - host.at) : len};
    if (bracket)
        name = (struct bytes){host.at + 1, (size_t)(bracket - host.at) - 1};
    trace_text(a, "server.address", name);
    for (const char *c = colon ? colon + 1 : NULL; c && c < host.at + len; c++)
        port = *c >= '0' && *c <= '9' && port < 65536 ? port * 10 + (*c - '0') : 0;
    if (port)
        trace_number(a, "server.port", port);
}

static void tell_request(struct trace_attributes *a, const struct exchange *x) {
    char address[64];
    trace_word(a, "http.request.method", method_name(x->request.method));
    trace_word(a, "url.scheme", "http");
    trace_text(a, "url.path", x->parts.path);
    if (x->route.route)
        trace_text(a, "http.route", bytes_of(x->route.route->pattern));
    tell_host(a, x->host);
    size_t len = client_address_text(x->client, address, true);
    trace_text(a, "client.address", (struct bytes){address, len});
    trace_word(a, "network.protocol.version", x->request.minor ? "1.1" : "1.0");
}

static void tell_answer(struct tracing *t, const struct exchange *x, bool whole) {
    char text[16];
    bool any = x->answer != ANSWER_NONE;
    if (any)
        trace_number(&t->span->attributes, "http.response.status_code", x->status);
    if (any && x->status >= 500) {
        snprintf(text, sizeof text, "%d", x->status);
        fail(t, t->span, text);
    } else if (!whole) {
        fail(t, t->span, any ? "broke_off" : "cancelled");
    }
}

static void name_span(struct tracing *t, const struct exchange *x) {
    char memory[512];
    const char *route = x->route.route ? x->route.route->pattern : NULL;
    struct bytes name = span_name(memory, sizeof memory, x->request.method, route);
    const char *copy = arena_copy(&t->parcel->arena, name);
    if (copy)
        t->span->name = (struct bytes){copy, name.len};
}

void tracing_end(struct exchange *x, bool whole) {
    struct tracing *t = x->tracing;
    if (!t || !t->parcel)
        return;
    struct trace_parcel *p = t->parcel;
    for (struct leg *leg = x->leg; leg; leg = leg->parent)
        tracing_attempt_over(leg);
    name_span(t, x);
    tell_request(&t->span->attributes, x);
    if (x->service)
        tell_story(&t->span->attributes, x);
    tell_answer(t, x, whole);
    t->span->ended_ns = exchange_now(x);
    t->parcel = NULL;
    t->span = NULL;
    trace_export_take(x->worker->gateway->trace_export, p);
}
