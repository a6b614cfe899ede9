/* attempt.c - the request on its way to an upstream.
 *
 * The head is written anew for each attempt. The body goes out as it comes in;
 * what has come is also kept, up to a limit, so that another attempt can begin
 * with it. Once it outgrows the limit the request goes on, and the engine is
 * told that it cannot be repeated. */
#include <errno.h>
#include <stdio.h>

#include "gateway/caching.h"
#include "gateway/drilling.h"
#include "gateway/exchange.h"
#include "gateway/fields.h"
#include "gateway/queueing.h"
#include "gateway/token_stream.h"
#include "gateway/tracing.h"

/* ---- the head ------------------------------------------------------------ */

static void write_path(struct buf *b, const struct leg *leg) {
    const struct exchange *x = leg->x;
    const struct endpoint_options *e = &leg->service->options->endpoints[leg->endpoint];
    buf_string(b, e->base_path);
    if (leg->path)
        buf_string(b, leg->path);
    else
        buf_bytes(b, route_path(x->route.route, x->parts.path));
    if (x->parts.query.at && !(leg->changes && leg->changes->own_query)) {
        buf_char(b, '?');
        buf_bytes(b, x->parts.query);
    }
}

/* What hops before us have told, in however many fields, goes before our own word. */
static void write_chain(struct buf *b, const struct http1_head *r, enum http_field_id id) {
    for (uint16_t i = 0; i < r->field_count; i++) {
        if (r->fields[i].id != id || !r->fields[i].value.len)
            continue;
        buf_bytes(b, r->fields[i].value);
        buf_literal(b, ", ");
    }
}

struct origin exchange_origin(const struct exchange *x) {
    const struct http1_head *r = &x->request;
    struct origin o = {.trusted = client_is_trusted(x->client, x->plan->options),
                       .proto = BYTES("http"),
                       .host = x->host};
    if (!o.trusted)
        return o;
    struct bytes proto = fields_find(r, HTTP_X_FORWARDED_PROTO);
    struct bytes host = fields_find(r, HTTP_X_FORWARDED_HOST);
    o.proto = proto.len ? proto : o.proto;
    o.host = host.len ? host : o.host;
    return o;
}

/* Who asked, for whom, and how. */
static void write_forwarded(struct buf *b, const struct exchange *x) {
    const struct http1_head *r = &x->request;
    struct origin origin = exchange_origin(x);
    bool trusted = origin.trusted;
    char address[64], bare[64];
    size_t len = client_address_text(x->client, address, false);
    size_t bare_len = client_address_text(x->client, bare, true);
    buf_literal(b, "X-Forwarded-For: ");
    if (trusted)
        write_chain(b, r, HTTP_X_FORWARDED_FOR);
    buf_append(b, bare, bare_len);
    buf_literal(b, "\r\nX-Forwarded-Proto: ");
    buf_bytes(b, origin.proto);
    buf_literal(b, "\r\nX-Forwarded-Host: ");
    buf_bytes(b, origin.host);
    buf_literal(b, "\r\nForwarded: ");
    if (trusted)
        write_chain(b, r, HTTP_FORWARDED);
    buf_literal(b, "for=");
    buf_append(b, address, len);
    buf_literal(b, ";host=\"");
    buf_bytes(b, x->host);
    buf_literal(b, "\";proto=http\r\n");
}

enum http_method leg_method(const struct leg *leg) {
    const struct leg_changes *c = leg->changes;
    return c && c->method.len ? http_method_of(c->method) : leg->x->request.method;
}

static bool has_own_body(const struct leg *leg) {
    return leg->changes && leg->changes->body.at;
}

static void write_framing(struct buf *b, const struct leg *leg) {
    const struct exchange *x = leg->x;
    const struct http1_head *r = &x->request;
    if (has_own_body(leg) && !leg->changes->body.len)
        return;
    if (has_own_body(leg)) {
        buf_literal(b, "Content-Length: ");
        buf_uint(b, leg->changes->body.len);
        buf_literal(b, "\r\n");
        return;
    }
    if (r->framing == HTTP1_BODY_CHUNKED) {
        buf_literal(b, "Transfer-Encoding: chunked\r\n");
    } else if (r->framing == HTTP1_BODY_LENGTH && r->has_content_length) {
        buf_literal(b, "Content-Length: ");
        buf_uint(b, r->content_length);
        buf_literal(b, "\r\n");
    }
    if (x->expects_continue)
        buf_literal(b, "Expect: 100-continue\r\n");
    bool upgrade = r->upgrade;
    if (upgrade) {
        buf_literal(b, "Upgrade: ");
        buf_bytes(b, fields_find(r, HTTP_UPGRADE));
        buf_literal(b, "\r\n");
    }
    if (r->te_trailers)
        buf_literal(b, "TE: trailers\r\n");
    if (upgrade || r->te_trailers) {
        buf_literal(b, "Connection: ");
        buf_string(b, upgrade && r->te_trailers ? "upgrade, te" : upgrade ? "upgrade" : "te");
        buf_literal(b, "\r\n");
    }
}

/* RFC 9110 section 7.6.2; what is no number goes on as it came. */
static void write_max_forwards(struct buf *b, const struct http1_head *r) {
    struct bytes value = fields_find(r, HTTP_MAX_FORWARDS);
    uint64_t hops = 0;
    bool number = value.len > 0 && value.len <= 9;
    for (size_t i = 0; number && i < value.len; i++) {
        number = value.at[i] >= '0' && value.at[i] <= '9';
        hops = hops * 10 + (uint64_t)(value.at[i] - '0');
    }
    if (!value.len)
        return;
    buf_literal(b, "Max-Forwards: ");
    if (number && hops)
        buf_uint(b, hops - 1);
    else
        buf_bytes(b, value);
    buf_literal(b, "\r\n");
}

static const struct field_set *dropped(const struct exchange *x) {
    if (x->inner && x->inner->verbatim)
        return fields_dropped_from_repeats();
    if (x->flight)
        return fields_dropped_from_fetches();
    return x->request.method == HTTP_OPTIONS ? fields_dropped_from_options()
                                             : fields_dropped_from_requests();
}

/* What a gateway adds to what the client has sent. */
static void write_own_fields(struct buf *b, const struct exchange *x) {
    write_forwarded(b, x);
    buf_literal(b, "X-Request-Id: ");
    buf_bytes(b, x->request_id);
    buf_literal(b, "\r\nX-Correlation-Id: ");
    buf_bytes(b, x->correlation_id);
    buf_string(b, x->request.minor ? "\r\nVia: 1.1 switchgear\r\n" : "\r\nVia: 1.0 switchgear\r\n");
}

/* All fields, or, where the leg changes some, line by line those that it leaves. */
static void copy_fields(struct buf *b, const struct leg *leg) {
    const struct exchange *x = leg->x;
    const struct leg_changes *c = leg->changes;
    struct field_set drop = *dropped(x);
    if (x->tracing) { /* written anew */
        field_set_add(&drop, HTTP_TRACEPARENT);
        field_set_add(&drop, HTTP_TRACESTATE);
    }
    if (c && c->header_count)
        fields_copy_but(b, &x->request, &drop, x->nominated, c->headers, c->header_count);
    else
        fields_copy(b, &x->request, x->head_end, &drop, x->nominated);
    if (c)
        buf_bytes(b, c->lines);
}

void attempt_write_fields(struct buf *b, const struct leg *leg) {
    const struct exchange *x = leg->x;
    copy_fields(b, leg);
    caching_conditions(leg, b);
    if (x->request.method == HTTP_OPTIONS)
        write_max_forwards(b, &x->request);
    if (x->own_key) {
        buf_literal(b, "Idempotency-Key: ");
        buf_bytes(b, x->write_key);
        buf_literal(b, "\r\n");
    }
    tracing_write_fields(b, leg);
    if (!x->inner || !x->inner->verbatim)
        write_own_fields(b, x);
}

static void write_head(struct buf *b, const struct leg *leg) {
    const struct exchange *x = leg->x;
    const struct service_options *o = leg->service->options;
    buf_bytes(b, leg->changes && leg->changes->method.len ? leg->changes->method
                                                          : x->request.method_text);
    buf_char(b, ' ');
    write_path(b, leg);
    buf_literal(b, " HTTP/1.1\r\nHost: ");
    if (o->transport.preserve_host && x->host.len)
        buf_bytes(b, x->host);
    else
        buf_string(b, o->endpoints[leg->endpoint].authority);
    buf_literal(b, "\r\n");
    attempt_write_fields(b, leg);
    write_framing(b, leg);
    buf_literal(b, "\r\n");
}

/* ---- the body ------------------------------------------------------------ */

/* Sends bytes of the body in the framing of the request; `more` pieces of the
 * head may stand before it in iov[0]. */
static void send_framed(struct leg *leg, struct bytes head, struct bytes piece, bool last) {
    struct exchange *x = leg->x;
    char size[24];
    struct iovec iov[5];
    int n = 0;
    if (head.len)
        iov[n++] = (struct iovec){(void *)head.at, head.len};
    bool chunked = x->request.framing == HTTP1_BODY_CHUNKED && !has_own_body(leg);
    if (piece.len) {
        if (chunked)
            iov[n++] =
                (struct iovec){size, (size_t)snprintf(size, sizeof size, "%zx\r\n", piece.len)};
        iov[n++] = (struct iovec){(void *)piece.at, piece.len};
        if (chunked)
            iov[n++] = (struct iovec){(void *)"\r\n", 2};
    }
    char *end = NULL;
    if (last && chunked) {
        size_t trailers = x->upload.trailers_len;
        end =
            arena_printf(&x->arena, "0\r\n%.*s\r\n", (int)trailers, x->trailers ? x->trailers : "");
        if (end)
            iov[n++] = (struct iovec){end, 5 + trailers};
    }
    if (n && io_send(&leg->up->stream, iov, n) < 0)
        io_abort(&leg->up->stream); /* no memory: never a shortened request */
}

/* Where first_token rules (plan.c), it is for streams: the time that a whole
 * answer takes before its first byte is all of the time it takes. */
struct swg_step attempt_sent(struct leg *leg) {
    struct exchange *x = leg->x;
    if (leg->service->options->transport.first_token_ns != SWG_OFF && !token_stream_is_asked_for(x))
        return swg_call_on_upload(&leg->call, false, exchange_now(x));
    return swg_call_on_sent(&leg->call, exchange_now(x));
}

/* The clocks of the call stand still while the body is on its way, however long
 * it is; that it moves at all is watched by the idle limit. */
static struct swg_step tell_progress(struct leg *leg) {
    struct exchange *x = leg->x;
    uint64_t now = exchange_now(x);
    if (leg->body_sent && !io_pending(&leg->up->stream) && leg->up->state != UPSTREAM_CONNECTING)
        return attempt_sent(leg);
    bool caller = !x->upload_done && !x->expects_continue;
    return swg_call_on_upload(&leg->call, caller, now);
}

void attempt_send_kept(struct leg *leg) {
    struct exchange *x = leg->x;
    if (!leg->up || leg->body_sent)
        return; /* a body of its own was sent with the head */
    struct bytes rest = {0};
    if (!x->kept_dropped && leg->kept_sent < x->kept.len) {
        rest = (struct bytes){x->kept.at + leg->kept_sent, x->kept.len - leg->kept_sent};
        leg->kept_sent = x->kept.len;
    }
    leg->body_sent = x->upload_done;
    send_framed(leg, (struct bytes){0}, rest, leg->body_sent);
    struct swg_step step = tell_progress(leg);
    if (x->upload_paused && attempt_wants_body(x) && step.action == SWG_DO_WAIT) {
        leg->wake_ns = step.wake_ns;
        client_resume_upload(x->client);
        return;
    }
    leg_run(leg, step);
}

void attempt_send_piece(struct leg *leg, struct bytes piece) {
    if (leg->up && !leg->body_sent)
        send_framed(leg, (struct bytes){0}, piece, false);
}

void attempt_send_end(struct leg *leg) {
    if (!leg->up || leg->body_sent)
        return;
    leg->body_sent = true;
    send_framed(leg, (struct bytes){0}, (struct bytes){0}, true);
}

bool attempt_wants_body(const struct exchange *x) {
    if (x->upload_done)
        return false;
    const struct leg *leg = x->leg;
    if (x->gathering)
        return true;
    if (!leg)
        return false;
    if (leg->up && leg->up->state != UPSTREAM_HELD)
        return io_pending(&leg->up->stream) == 0;
    return !x->kept_dropped && x->kept.len < queueing_body_max(x);
}

bool attempt_is_stuck(const struct exchange *x) {
    const struct leg *leg = x->leg;
    return !x->upload_done && leg && leg->up && leg->up->state == UPSTREAM_HEAD &&
           io_pending(&leg->up->stream) > 0;
}

/* ---- beginning ----------------------------------------------------------- */

static bool is_local_error(int os_error) {
    return os_error == EMFILE || os_error == ENFILE || os_error == ENOMEM || os_error == ENOBUFS ||
           os_error == EADDRNOTAVAIL;
}

static void fail_locally(struct leg *leg, int os_error) {
    bool local = is_local_error(os_error);
    if (os_error == EMFILE || os_error == ENFILE)
        worker_shed(leg->x->worker);
    struct swg_answer answer = {.kind = local ? SWG_UNAVAILABLE_LOCALLY : SWG_CONNECT_FAILED};
    tracing_failed(leg, answer.kind);
    leg_run(leg, swg_call_on_answer(&leg->call, &answer, exchange_now(leg->x)));
}

void attempt_failed(struct leg *leg, enum swg_answer_kind kind) {
    struct swg_answer answer = {.kind = kind};
    tracing_failed(leg, kind);
    leg_abandon(leg);
    leg_run(leg, swg_call_on_answer(&leg->call, &answer, exchange_now(leg->x)));
}

void attempt_begin(struct leg *leg) {
    tracing_attempt(leg);
    if (!drilling_holds(leg))
        attempt_go_on(leg);
}

void attempt_go_on(struct leg *leg) {
    struct exchange *x = leg->x;
    struct worker *w = x->worker;
    struct target *target = leg->service->targets[leg->endpoint];
    bool once = !http_method_is_idempotent(leg_method(leg));
    int os_error = 0;
    leg->held_until_ns = 0;
    leg->body_sent = false;
    leg->kept_sent = 0;
    leg->up = drilling_fails(leg) ? drilling_connect(leg, &os_error)
                                  : upstream_get(w, target, leg, once, &os_error);
    if (!leg->up) {
        fail_locally(leg, os_error);
        return;
    }
    leg->up->stream.send_until_ns = x->inner ? x->inner->send_until_ns : 0;
    bool connected = leg->up->state == UPSTREAM_HEAD;
    struct buf head;
    buf_init_fixed(&head, w->scratch, WORKER_SCRATCH);
    write_head(&head, leg);
    if (head.failed) {
        leg_abandon(leg);
        fail_locally(leg, ENOMEM);
        return;
    }
    if (connected)
        (void)swg_call_on_connected(&leg->call, exchange_now(x));
    struct bytes kept = {x->kept.at, x->kept.len};
    leg->kept_sent = kept.len;
    leg->body_sent = x->upload_done || has_own_body(leg);
    send_framed(leg, buf_view(&head), has_own_body(leg) ? leg->changes->body : kept,
                leg->body_sent);
    struct swg_step step = tell_progress(leg);
    bool resume = x->upload_paused && !x->client->feeding && attempt_wants_body(x);
    if (resume && step.action == SWG_DO_WAIT) {
        leg->wake_ns = step.wake_ns;
        exchange_set_timer(x);
        client_resume_upload(x->client);
        return;
    }
    leg_run(leg, step);
}
