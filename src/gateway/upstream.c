/* upstream.c - see upstream.h. */
#include "gateway/upstream.h"

#include <errno.h>
#include <stdlib.h>

#include "gateway/exchange.h"
#include "gateway/token_stream.h"
#include "gateway/tracing.h"

/* A parked connection older than this is not used for a request that may not
 * be sent twice: its other end may be closing it at this moment. */
#define YOUNG_NS SWG_SECONDS(1)

static const struct io_stream_ops upstream_ops;

/* ---- the pool ------------------------------------------------------------ */

static void unpark(struct upstream *u) {
    list_remove(&u->link);
    list_remove(&u->idle);
    io_timer_clear(u->worker->io, &u->timer);
}

static void on_pool_timeout(struct io_timer *t) {
    upstream_close(container_of(t, struct upstream, timer));
}

static struct upstream *from_pool(struct worker *w, struct target *t, bool young_only) {
    struct list *head = &t->idle[w->index];
    if (list_empty(head))
        return NULL;
    struct upstream *u = container_of(head->next, struct upstream, link);
    if (young_only && io_now(w->io) - u->parked_ns > YOUNG_NS)
        return NULL;
    unpark(u);
    u->reused = true;
    return u;
}

static struct upstream *make(struct worker *w, int *os_error) {
    struct upstream *u = calloc(1, sizeof *u);
    if (!u) {
        *os_error = ENOMEM;
        return NULL;
    }
    list_init(&u->link);
    list_init(&u->idle);
    io_timer_init(&u->timer, on_pool_timeout);
    u->worker = w;
    io_stream_init(&u->stream, &upstream_ops);
    return u;
}

static struct upstream *connect_new(struct worker *w, struct target *t, int *os_error) {
    struct sockaddr_storage address;
    socklen_t len;
    if (!target_pick_address(t, &address, &len)) {
        *os_error = ENETUNREACH;
        return NULL;
    }
    struct upstream *u = make(w, os_error);
    if (!u)
        return NULL;
    int error = io_connect(w->io, &u->stream, (struct sockaddr *)&address, len);
    if (error < 0) {
        free(u);
        *os_error = -error;
        return NULL;
    }
    u->target = target_hold(t);
    u->state = UPSTREAM_CONNECTING;
    return u;
}

static void begin(struct upstream *u, struct leg *leg) {
    u->leg = leg;
    u->got_bytes = u->keep = u->paused = false;
    u->keep_alive_ns = leg->service->options->transport.keep_alive_ns;
    io_want_data(&u->stream, true);
}

struct upstream *upstream_get(struct worker *w, struct target *t, struct leg *leg, bool young_only,
                              int *os_error) {
    struct upstream *u = from_pool(w, t, young_only);
    if (u)
        u->state = UPSTREAM_HEAD;
    else
        u = connect_new(w, t, os_error);
    if (u)
        begin(u, leg);
    return u;
}

struct upstream *upstream_adopt(struct worker *w, struct target *t, struct leg *leg, int fd,
                                int *os_error) {
    struct upstream *u = make(w, os_error);
    int error = u ? io_adopt(w->io, &u->stream, fd) : 0;
    if (error < 0) {
        free(u);
        *os_error = -error;
        return NULL;
    }
    if (!u)
        return NULL;
    u->target = target_hold(t);
    u->state = UPSTREAM_HEAD;
    begin(u, leg);
    return u;
}

static void drop_in(struct upstream *u) {
    free(u->in);
    u->in = NULL;
    u->in_len = u->in_size = u->in_seen = 0;
}

void upstream_close(struct upstream *u) {
    if (u->state == UPSTREAM_DEAD)
        return;
    struct worker *w = u->worker;
    unpark(u);
    io_close(&u->stream);
    drop_in(u);
    u->state = UPSTREAM_DEAD;
    u->leg = NULL;
    target_release(u->target);
    u->target = NULL;
    list_push_back(&w->dead_upstreams, &u->link);
    io_timer_set(w->io, &w->reaper, io_now(w->io));
}

void upstream_put(struct upstream *u) {
    struct worker *w = u->worker;
    if (!u->keep || u->eof || !io_is_open(&u->stream) || io_pending(&u->stream) || w->draining ||
        !u->keep_alive_ns || u->keep_alive_ns == SWG_OFF) {
        upstream_close(u);
        return;
    }
    drop_in(u);
    u->leg = NULL;
    u->state = UPSTREAM_PARKED;
    u->served++;
    u->parked_ns = io_now(w->io);
    list_push_front(&u->target->idle[w->index], &u->link);
    list_push_back(&w->idle_upstreams, &u->idle);
    io_timer_set(w->io, &u->timer, u->parked_ns + u->keep_alive_ns);
}

void upstream_shed(struct worker *w, uint32_t count) {
    while (count-- && !list_empty(&w->idle_upstreams))
        upstream_close(container_of(w->idle_upstreams.next, struct upstream, idle));
}

static bool plan_has(const struct plan *plan, const struct target *t) {
    for (uint32_t s = 0; plan && s < plan->service_count; s++) {
        for (uint32_t i = 0; i < plan->services[s].target_count; i++) {
            if (plan->services[s].targets[i] == t)
                return true;
        }
    }
    return false;
}

void upstream_close_parked(struct worker *w, const struct plan *plan) {
    struct list *next;
    for (struct list *l = w->idle_upstreams.next; l != &w->idle_upstreams; l = next) {
        next = l->next;
        struct upstream *u = container_of(l, struct upstream, idle);
        if (!plan_has(plan, u->target))
            upstream_close(u);
    }
}

/* ---- answers ------------------------------------------------------------- */

static bool keep_in(struct upstream *u, const char *data, size_t len) {
    size_t need = u->in_len + len;
    if (need > u->in_size) {
        size_t size = u->in_size ? u->in_size : 2048;
        while (size < need)
            size *= 2;
        char *in = size > UINT32_MAX / 2 ? NULL : realloc(u->in, size);
        if (!in)
            return false;
        u->in = in;
        u->in_size = (uint32_t)size;
    }
    memcpy(u->in + u->in_len, data, len);
    u->in_len = (uint32_t)need;
    return true;
}

/* `all`, which may be a part of `in`, and nothing else. */
static bool keep_whole(struct upstream *u, struct bytes all) {
    if (!(u->in && all.at >= u->in && all.at < u->in + u->in_size)) {
        u->in_len = 0;
        return keep_in(u, all.at, all.len);
    }
    memmove(u->in, all.at, all.len);
    u->in_len = (uint32_t)all.len;
    return true;
}

/* "Keep-Alive: timeout=5": the server will close then; we want to be earlier. */
static void heed_keep_alive(struct upstream *u, struct bytes value) {
    struct bytes element;
    while (http_list_next(&value, &element)) {
        if (element.len < 9 || strncasecmp(element.at, "timeout=", 8) != 0)
            continue;
        uint64_t seconds = 0;
        for (size_t i = 8; i < element.len && element.at[i] >= '0' && element.at[i] <= '9'; i++) {
            if (seconds < 1000000)
                seconds = seconds * 10 + (uint64_t)(element.at[i] - '0');
        }
        uint64_t limit = seconds > 1 ? SWG_SECONDS(seconds - 1) : 0;
        if (limit < u->keep_alive_ns)
            u->keep_alive_ns = limit;
    }
}

uint64_t upstream_retry_after(struct upstream *u, const struct http1_head *head) {
    for (uint16_t i = 0; i < head->field_count; i++) {
        uint32_t seconds;
        if (head->fields[i].id == HTTP_RETRY_AFTER)
            return http_retry_after_read(head->fields[i].value, worker_unix_s(u->worker), &seconds)
                       ? SWG_SECONDS(seconds)
                       : 0;
    }
    return 0;
}

/* A failing answer that will not be relayed, but has come whole already, need
 * not cost the connection. */
static bool is_whole(struct upstream *u, const char *data, size_t len) {
    struct http1_body body = u->body;
    struct bytes payload;
    size_t used;
    while (!body.done && len) {
        if (http1_body_next(&body, data, len, &payload, &used) != HTTP1_OK || !used)
            return false;
        data += used;
        len -= used;
    }
    return body.done && !len;
}

/* ---- answers that wait for their first token ------------------------------- */

/* It has come: now there is an answer. */
static void first_token_came(struct upstream *u) {
    struct leg *leg = u->leg;
    struct token_stream *t = leg->x->tokens;
    struct swg_answer answer = {.kind = SWG_ANSWERED, .status = t->status};
    struct swg_step step = swg_call_on_answer(&leg->call, &answer, exchange_now(leg->x));
    if (step.action == SWG_DO_RELAY) {
        leg->wake_ns = step.wake_ns;
        token_stream_release(t, exchange_now(leg->x));
        upstream_release_held(u);
        return;
    }
    if (!step.abandon) {
        leg->held = true;
        u->state = UPSTREAM_HELD;
        io_want_data(&u->stream, false);
    }
    leg_run(leg, step);
}

static void look_for_token(struct upstream *u, const char *data, size_t len) {
    switch (token_stream_peek(u->leg->x->tokens, data, len)) {
    case TOKEN_HOLD:
        return;
    case TOKEN_RELEASE:
        first_token_came(u);
        return;
    case TOKEN_FAILED:
        attempt_failed(u->leg, SWG_RESET);
        return;
    }
}

/* Nobody is told of the head before there is a token. */
static void wait_for_token(struct upstream *u, struct bytes all, size_t used) {
    struct leg *leg = u->leg;
    if (!keep_whole(u, all)) {
        attempt_failed(leg, SWG_UNAVAILABLE_LOCALLY);
        return;
    }
    u->state = UPSTREAM_WAITING;
    if (leg->service->options->transport.first_token_ns != SWG_OFF) {
        /* known only now where the request did not ask for a stream */
        struct swg_step step = swg_call_on_sent(&leg->call, exchange_now(leg->x));
        leg->wake_ns = step.wake_ns;
        exchange_set_timer(leg->x);
    }
    look_for_token(u, u->in + used, all.len - used);
}

/* ---- heads ------------------------------------------------------------------ */

/* The final head of an answer: asks the call what to do with it. */
static void on_head(struct upstream *u, const struct http1_head *head, struct bytes all,
                    size_t used) {
    struct leg *leg = u->leg;
    struct swg_answer answer = {.kind = SWG_ANSWERED, .status = head->status};
    tracing_answered(leg, head->status);
    if (head->status >= 400)
        answer.retry_after_ns = upstream_retry_after(u, head);
    for (uint16_t i = 0; i < head->field_count; i++) {
        if (head->fields[i].id == HTTP_KEEP_ALIVE)
            heed_keep_alive(u, head->fields[i].value);
    }
    http1_body_init(&u->body, head->framing, head->content_length, NULL, 0);
    u->keep = head->keep_alive && head->framing != HTTP1_BODY_UNTIL_CLOSE;
    u->state = UPSTREAM_BODY;
    if (token_stream_begin(leg, head)) {
        wait_for_token(u, all, used);
        return;
    }
    const char *rest = all.at + used;
    size_t rest_len = all.len - used;
    struct swg_step step = swg_call_on_answer(&leg->call, &answer, exchange_now(leg->x));
    if (step.action == SWG_DO_RELAY) {
        leg->wake_ns = step.wake_ns;
        if (u->body.done && rest_len)
            u->keep = false; /* more than one answer: what follows is not trusted */
        relay_head(leg, head, all.at + used - 2);
        if (u->leg == leg) /* else the client was gone */
            relay_data(leg, rest, rest_len);
        return;
    }
    if (step.abandon && leg->body_sent && is_whole(u, rest, rest_len)) {
        leg->up = NULL;
        upstream_put(u);
    } else if (!step.abandon) {
        leg->held = true;
        if (!upstream_hold(u, all))
            leg_abandon(leg);
    }
    leg_run(leg, step);
}

/* Parses heads at data until the final one; what comes too early or is broken
 * fails the attempt. */
static void take_heads(struct upstream *u, const char *data, size_t len) {
    struct leg *leg = u->leg;
    const struct limit_options *l = &leg->x->plan->options->limits;
    struct http1_limits limits = {.head_bytes = l->header_bytes * 4,
                                  .target = l->url,
                                  .fields = WORKER_FIELDS,
                                  .trailer_bytes = EXCHANGE_TRAILERS_MAX};
    if (limits.head_bytes > WORKER_SCRATCH / 2)
        limits.head_bytes = WORKER_SCRATCH / 2;
    for (;;) {
        struct http1_head head = {.fields = u->worker->response_fields};
        size_t used = 0;
        enum http1_error e =
            http1_parse_response(data, len, u->in_seen, leg_method(leg), &limits, &head, &used);
        if (e == HTTP1_OK && !used) { /* more must come */
            u->in_seen = (uint32_t)len;
            if (u->in && data >= u->in && data <= u->in + u->in_len) {
                memmove(u->in, data, len);
                u->in_len = (uint32_t)len;
            } else if (!keep_in(u, data, len)) {
                attempt_failed(leg, SWG_UNAVAILABLE_LOCALLY);
            }
            return;
        }
        if (e != HTTP1_OK) {
            attempt_failed(leg, SWG_GARBLED);
            return;
        }
        u->in_seen = 0;
        if (head.status >= 200 || head.status == 101) {
            if (head.status == 101 && !leg->x->request.upgrade) {
                attempt_failed(leg, SWG_GARBLED);
                return;
            }
            on_head(u, &head, (struct bytes){data, len}, used);
            return;
        }
        relay_interim(leg, &head, data + used - 2);
        if (u->leg != leg)
            return; /* the client was gone */
        data += used;
        len -= used;
        if (!len) {
            u->in_len = 0;
            return;
        }
    }
}

bool upstream_hold(struct upstream *u, struct bytes all) {
    io_want_data(&u->stream, false);
    if (!keep_whole(u, all))
        return false;
    u->state = UPSTREAM_HELD;
    return true;
}

/* The relay may end the exchange and put `u` away, so that is looked at through
 * the leg before anything is done after it. */
static void relay_held_rest(struct upstream *u, size_t used, size_t len) {
    struct leg *leg = u->leg;
    struct exchange *x = leg->x;
    bool eof = u->eof;
    if (!eof)
        io_want_data(&u->stream, true);
    uint64_t serial = x->serial;
    relay_data(leg, u->in + used, len - used);
    if (eof && x->serial == serial && leg->up == u)
        relay_end(leg, false);
}

void upstream_release_held(struct upstream *u) {
    struct leg *leg = u->leg;
    struct http1_limits limits = {.head_bytes = WORKER_SCRATCH / 2,
                                  .target = UINT32_MAX,
                                  .fields = WORKER_FIELDS,
                                  .trailer_bytes = EXCHANGE_TRAILERS_MAX};
    struct http1_head head = {.fields = u->worker->response_fields};
    size_t used = 0;
    char *in = u->in; /* kept alive here: relaying may close this connection */
    uint32_t len = u->in_len;
    u->in = NULL;
    u->in_len = u->in_size = 0;
    u->state = UPSTREAM_BODY;
    leg->held = false;
    enum http1_error e = http1_parse_response(in, len, 0, leg_method(leg), &limits, &head, &used);
    if (e == HTTP1_OK && used) {
        relay_head(leg, &head, in + used - 2);
        if (u->leg == leg) {
            u->in = in; /* freed with the connection, not under the relay */
            u->in_size = len;
            in = NULL;
            relay_held_rest(u, used, len);
        }
    } else {
        relay_end(leg, false);
    }
    free(in);
}

/* ---- the stream's callbacks ---------------------------------------------- */

static void on_connect(struct io_stream *s) {
    struct upstream *u = container_of(s, struct upstream, stream);
    u->state = UPSTREAM_HEAD;
    if (u->leg) {
        struct leg *leg = u->leg;
        struct swg_step step = swg_call_on_connected(&leg->call, exchange_now(leg->x));
        if (leg->body_sent && !io_pending(s))
            step = attempt_sent(leg);
        leg_run(leg, step);
    }
}

static void on_data(struct io_stream *s, const char *data, size_t len) {
    struct upstream *u = container_of(s, struct upstream, stream);
    if (!u->leg) { /* parked: a server that talks unasked is not to be trusted */
        upstream_close(u);
        return;
    }
    u->got_bytes = true;
    if (u->state == UPSTREAM_HEAD) {
        if (u->in_len) {
            if (!keep_in(u, data, len))
                attempt_failed(u->leg, SWG_UNAVAILABLE_LOCALLY);
            else
                take_heads(u, u->in, u->in_len);
        } else {
            take_heads(u, data, len);
        }
        return;
    }
    if (u->state == UPSTREAM_WAITING) {
        if (keep_in(u, data, len))
            look_for_token(u, data, len);
        else
            attempt_failed(u->leg, SWG_UNAVAILABLE_LOCALLY);
        return;
    }
    relay_data(u->leg, data, len);
}

static void on_drain(struct io_stream *s) {
    struct upstream *u = container_of(s, struct upstream, stream);
    struct leg *leg = u->leg;
    if (!leg)
        return;
    leg->x->moved_ns = exchange_now(leg->x);
    if (u->state == UPSTREAM_TUNNEL) {
        leg->x->upload_paused = false;
        client_resume_upload(leg->x->client);
    } else if (leg->body_sent && u->state == UPSTREAM_HEAD)
        leg_run(leg, attempt_sent(leg));
    else
        attempt_send_kept(leg);
}

static void on_end(struct io_stream *s, enum io_end end, int os_error) {
    struct upstream *u = container_of(s, struct upstream, stream);
    struct leg *leg = u->leg;
    (void)os_error;
    if (!leg) {
        upstream_close(u);
        return;
    }
    if (end == IO_END_EOF && (u->paused || u->state == UPSTREAM_HELD))
        return; /* bytes may still wait before it; it will be told again */
    u->eof = true;
    switch ((enum upstream_state)u->state) {
    case UPSTREAM_CONNECTING:
        attempt_failed(leg, SWG_CONNECT_FAILED);
        break;
    case UPSTREAM_HEAD:
        attempt_failed(leg, u->reused && !u->got_bytes ? SWG_RESET_IDLE : SWG_RESET);
        break;
    case UPSTREAM_WAITING:
        attempt_failed(leg, SWG_RESET);
        break;
    case UPSTREAM_BODY:
    case UPSTREAM_TUNNEL:
        relay_end(leg, end == IO_END_EOF);
        break;
    case UPSTREAM_HELD: /* what came is kept; whether it was whole shows when it is relayed */
    case UPSTREAM_PARKED:
    case UPSTREAM_DEAD:
        break;
    }
}

static const struct io_stream_ops upstream_ops = {
    .on_connect = on_connect, .on_data = on_data, .on_drain = on_drain, .on_end = on_end};
