/* connection.c - see connection.h.
 *
 * Any step may find the client gone and free the connection; such functions
 * answer false, and the caller then touches it no more. */
#include "admin/connection.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "admin/api.h"
#include "admin/handlers.h"
#include "admin/later.h"
#include "admin/problem.h"
#include "gateway/gateway.h"

enum {
    HEAD_MAX = 16 * 1024,
    BODY_MAX = 32 * 1024,
    FIELDS_MAX = 100,
    /* A request, and one read of the loop behind it. */
    IN_MAX = 64 * 1024 + 512 * 1024,
};

#define REQUEST_NS   SWG_SECONDS(10)
#define IDLE_NS      SWG_SECONDS(60)
#define SEND_NS      SWG_SECONDS(30)
#define WAIT_NS      SWG_SECONDS(30)
#define LINGER_NS    SWG_SECONDS(2)
#define HEARTBEAT_NS SWG_SECONDS(15)

static const struct http1_limits limits = {
    .head_bytes = HEAD_MAX, .target = HEAD_MAX / 2, .fields = FIELDS_MAX};

static const struct io_stream_ops stream_ops;
static void on_timer(struct io_timer *);
static bool serve(struct connection *);
static bool answer_request(struct connection *);
static bool refuse(struct connection *, int status, const char *reason, const char *detail);

/* ---- life -------------------------------------------------------------------- */

static void set_timer(struct connection *c, uint64_t in_ns) {
    io_timer_set(c->admin->io, &c->timer, io_now(c->admin->io) + in_ns);
}

static bool is_loopback(const struct sockaddr_storage *a) {
    if (a->ss_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)a)->sin_addr.s_addr) >> 24 == 127;
    if (a->ss_family == AF_INET6) {
        const struct in6_addr *v6 = &((const struct sockaddr_in6 *)a)->sin6_addr;
        return IN6_IS_ADDR_LOOPBACK(v6) || (IN6_IS_ADDR_V4MAPPED(v6) && v6->s6_addr[12] == 127);
    }
    return true; /* a unix socket, guarded by the file system */
}

/* Both must be so: the address that was configured, and the one that this
 * connection really came to. */
static bool came_to_loopback(const struct admin *a, int fd) {
    struct sockaddr_storage own = {0};
    socklen_t len = sizeof own;
    return a->loopback && getsockname(fd, (struct sockaddr *)&own, &len) == 0 && is_loopback(&own);
}

static void set_peer(struct connection *c, const struct sockaddr *peer) {
    char host[INET6_ADDRSTRLEN] = "";
    if (peer->sa_family == AF_INET)
        inet_ntop(AF_INET, &((const struct sockaddr_in *)peer)->sin_addr, host, sizeof host);
    else if (peer->sa_family == AF_INET6)
        inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)peer)->sin6_addr, host, sizeof host);
    snprintf(c->peer, sizeof c->peer, "%s", *host ? host : "local");
}

bool connection_open(struct admin *a, int fd, const struct sockaddr *peer) {
    struct connection *c = calloc(1, sizeof *c);
    if (!c)
        return false;
    c->admin = a;
    c->local = came_to_loopback(a, fd);
    set_peer(c, peer);
    buf_init(&c->in, IN_MAX);
    buf_init(&c->body, BODY_MAX);
    io_timer_init(&c->timer, on_timer);
    io_stream_init(&c->stream, &stream_ops);
    if (io_adopt(a->io, &c->stream, fd) < 0) {
        free(c);
        return false;
    }
    list_push_back(&a->connections, &c->link);
    a->connection_count++;
    set_timer(c, REQUEST_NS);
    io_want_data(&c->stream, true);
    return true;
}

void connection_close(struct connection *c) {
    struct admin *a = c->admin;
    if (c->state == STREAMING)
        a->follower_count--;
    if (c->later)
        c->later->connection = NULL;
    io_close(&c->stream);
    io_timer_clear(a->io, &c->timer);
    list_remove(&c->link);
    a->connection_count--;
    buf_free(&c->in);
    buf_free(&c->body);
    free(c);
}

bool connection_is_idle(const struct connection *c) {
    return c->state == READING && c->in.len == 0;
}

/* Nothing more is answered: lets the client read what he has yet to read. */
static void linger(struct connection *c) {
    buf_free(&c->in);
    buf_free(&c->body);
    c->state = LINGERING;
    io_shut(&c->stream);
    io_want_data(&c->stream, true);
    set_timer(c, io_pending(&c->stream) ? SEND_NS : LINGER_NS);
}

/* ---- requests in ------------------------------------------------------------------ */

/* An idle connection keeps no memory. */
static void next_request(struct connection *c) {
    size_t rest = c->in.len - c->taken;
    if (rest)
        memmove(c->in.at, c->in.at + c->taken, rest);
    buf_truncate(&c->in, rest);
    if (!rest)
        buf_free(&c->in);
    buf_free(&c->body);
    c->seen = c->head_len = c->taken = 0;
}

static bool send_continue(struct connection *c) {
    static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
    struct iovec iov = {(void *)text, sizeof text - 1};
    if (io_send(&c->stream, &iov, 1) == 0)
        return true;
    connection_close(c);
    return false;
}

/* The head has come: what can be refused before its body is. */
static bool begin_body(struct connection *c, const struct http1_head *head) {
    c->taken = c->head_len;
    if (head->expect_unknown)
        return refuse(c, 417, "unknown_expectation", "no expectation but 100-continue is met");
    if (head->framing == HTTP1_BODY_LENGTH && head->content_length > BODY_MAX)
        return refuse(c, 413, "body_too_large", "a request's body may be at most 32 KiB");
    http1_body_init(&c->decoder, head->framing, head->content_length, NULL, 0);
    if (head->expect_continue && !c->decoder.done && c->in.len == c->head_len)
        return send_continue(c);
    return true;
}

static bool take_head(struct connection *c) {
    struct http_field fields[FIELDS_MAX];
    struct http1_head head = {.fields = fields};
    enum http1_error error =
        http1_parse_request(c->in.at, c->in.len, c->seen, &limits, &head, &c->head_len);
    if (error)
        return refuse(c, http1_error_status(error), "bad_request", http1_error_sentence(error));
    c->seen = c->in.len;
    return !c->head_len || begin_body(c, &head);
}

static bool take_body(struct connection *c) {
    while (!c->decoder.done && c->taken < c->in.len) {
        struct bytes piece;
        size_t used;
        enum http1_error error =
            http1_body_next(&c->decoder, c->in.at + c->taken, c->in.len - c->taken, &piece, &used);
        if (error)
            return refuse(c, http1_error_status(error), "bad_request", http1_error_sentence(error));
        buf_bytes(&c->body, piece);
        if (c->body.failed)
            return refuse(c, 413, "body_too_large", "a request's body may be at most 32 KiB");
        c->taken += used;
    }
    return true;
}

/* As many requests as have come and can be answered without waiting for the
 * client to take an answer. */
static bool serve(struct connection *c) {
    while (c->state == READING && c->in.len) {
        if (!c->head_len && !take_head(c))
            return false;
        if (c->state != READING || !c->head_len)
            return true;
        if (!take_body(c))
            return false;
        if (c->state != READING || !c->decoder.done)
            return true;
        if (!answer_request(c))
            return false;
    }
    return true;
}

/* ---- answers out -------------------------------------------------------------------- */

/* What a page of ours may do: nothing but what panel_policy adds for itself. */
static const char strictest[] = "default-src 'none'; frame-ancestors 'none'";

static void write_head(struct buf *b, const struct connection *c, const struct response *a,
                       size_t body_len) {
    char date[30];
    http_date_write(date, (int64_t)time(NULL));
    buf_printf(b, "HTTP/1.1 %d %s\r\nDate: %s\r\n", a->status, http_status_reason(a->status), date);
    if (a->content_type)
        buf_printf(b, "Content-Type: %s\r\n", a->content_type);
    if (!a->stream)
        buf_printf(b, "Content-Length: %zu\r\n", body_len);
    buf_printf(b,
               "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
               "Content-Security-Policy: %s\r\nReferrer-Policy: no-referrer\r\n"
               "Cross-Origin-Resource-Policy: same-origin\r\n",
               a->policy ? a->policy : strictest);
    buf_bytes(b, buf_view(&a->fields));
    buf_string(b, c->keep_alive ? "Connection: keep-alive\r\n\r\n" : "Connection: close\r\n\r\n");
}

static bool send_answer(struct connection *c, struct response *a, bool head_only) {
    if (a->body.failed || a->fields.failed)
        problem(a, 500, "answer_too_large", "the answer does not fit into memory");
    struct bytes body = a->fixed.at ? a->fixed : buf_view(&a->body);
    struct buf head;
    buf_init(&head, 8192);
    write_head(&head, c, a, body.len);
    struct iovec iov[2] = {{head.at, head.len}, {(void *)body.at, body.len}};
    bool sent = !head.failed && io_send(&c->stream, iov, head_only || !body.len ? 1 : 2) == 0;
    buf_free(&head);
    if (!sent)
        connection_close(c);
    return sent;
}

/* After an answer: on with the next request, or with waiting, or the end. */
static bool go_on(struct connection *c) {
    if (!c->keep_alive) {
        linger(c);
        return true;
    }
    if (io_pending(&c->stream)) {
        c->state = SENDING;
        c->pending_seen = io_pending(&c->stream);
        io_want_data(&c->stream, false);
        set_timer(c, SEND_NS);
        return true;
    }
    c->state = READING;
    set_timer(c, c->in.len ? REQUEST_NS : IDLE_NS);
    io_want_data(&c->stream, true);
    return true;
}

static bool begin_stream(struct connection *c) {
    buf_free(&c->in);
    buf_free(&c->body);
    c->state = STREAMING;
    c->admin->follower_count++;
    c->pending_seen = 0;
    io_want_data(&c->stream, true); /* to see the client leave */
    set_timer(c, HEARTBEAT_NS);
    return follower_feed(c);
}

/* The answer to a client with whom nothing can be agreed any more. */
static bool refuse(struct connection *c, int status, const char *reason, const char *detail) {
    struct response a;
    response_init(&a);
    problem(&a, status, reason, "%s", detail);
    c->keep_alive = false;
    bool there = send_answer(c, &a, false);
    response_free(&a);
    if (there)
        linger(c);
    return there;
}

static struct moment moment_now(struct admin *a) {
    struct timespec t;
    uint64_t now_ns = gateway_now(a->gateway);
    clock_gettime(CLOCK_REALTIME, &t);
    int64_t offset_ns = (int64_t)t.tv_sec * 1000000000 + t.tv_nsec - (int64_t)now_ns;
    a->clock_offset_ns = moment_offset(a->clock_offset_ns, offset_ns);
    return (struct moment){now_ns, a->clock_offset_ns};
}

/* Nothing is read meanwhile, so that a second request waits for its turn. */
static void wait_for_answer(struct connection *c) {
    next_request(c);
    c->state = WAITING;
    io_want_data(&c->stream, false);
    set_timer(c, WAIT_NS);
}

static bool answer_request(struct connection *c) {
    struct http_field fields[FIELDS_MAX];
    struct http1_head head = {.fields = fields};
    struct response a;
    size_t used;
    /* Once more, because what the first parsing pointed at may have moved. */
    http1_parse_request(c->in.at, c->in.len, 0, &limits, &head, &used);
    struct request r = {.admin = c->admin,
                        .connection = c,
                        .head = &head,
                        .body = buf_view(&c->body),
                        .moment = moment_now(c->admin)};
    response_init(&a);
    bool head_only = head.method == HTTP_HEAD;
    api_handle(&r, &a);
    c->keep_alive = head.keep_alive && !a.stream && !c->admin->has_left;
    if (a.later) {
        response_free(&a);
        c->head_only = head_only;
        wait_for_answer(c);
        return true;
    }
    bool stream = a.stream && !head_only;
    bool there = send_answer(c, &a, head_only);
    response_free(&a);
    if (!there)
        return false;
    if (stream)
        return begin_stream(c);
    next_request(c);
    return go_on(c);
}

/* ---- answers that come later -------------------------------------------------------------- */

void later_begin(struct later *l, struct request *r, struct response *a) {
    l->connection = r->connection;
    r->connection->later = l;
    a->later = true;
}

void later_answer(struct later *l, struct response *a) {
    struct connection *c = l->connection;
    l->connection = NULL;
    if (c) {
        c->later = NULL;
        if (send_answer(c, a, c->head_only) && go_on(c))
            serve(c);
    }
    response_free(a);
}

static void give_up_waiting(struct connection *c) {
    c->later->connection = NULL;
    c->later = NULL;
    refuse(c, 504, "too_slow", "the answer takes too long; what was asked for may still happen");
}

/* ---- what the stream tells ------------------------------------------------------------- */

static void on_data(struct io_stream *s, const char *data, size_t len) {
    struct connection *c = container_of(s, struct connection, stream);
    if (c->state != READING)
        return; /* what comes after the last answer, or beside the events */
    if (!c->in.len)
        set_timer(c, REQUEST_NS);
    buf_append(&c->in, data, len);
    if (c->in.failed)
        refuse(c, 413, "too_much_at_once", "more came at once than is kept");
    else
        serve(c);
}

static void on_drain(struct io_stream *s) {
    struct connection *c = container_of(s, struct connection, stream);
    if (c->state == STREAMING) {
        follower_feed(c);
    } else if (c->state == LINGERING) {
        if (c->eof)
            connection_close(c);
        else
            set_timer(c, LINGER_NS);
    } else if (c->state == SENDING && go_on(c)) {
        serve(c);
    }
}

/* A client that has sent its last request may still wait for the answer. In
 * SENDING and WAITING nothing is read, and what was not read yet comes first: the end is
 * told again after it. */
static void on_end(struct io_stream *s, enum io_end end, int os_error) {
    struct connection *c = container_of(s, struct connection, stream);
    (void)os_error;
    if (end != IO_END_EOF)
        connection_close(c);
    else if (c->state == LINGERING && io_pending(&c->stream))
        c->eof = true;
    else if (c->state != SENDING && c->state != WAITING)
        connection_close(c);
}

static void on_connect(struct io_stream *s) {
    (void)s;
}

static const struct io_stream_ops stream_ops = {
    .on_connect = on_connect, .on_data = on_data, .on_drain = on_drain, .on_end = on_end};

/* Whether the client has taken anything of what it is sent since last asked. */
static bool has_moved(struct connection *c) {
    size_t before = c->pending_seen;
    c->pending_seen = io_pending(&c->stream);
    return c->pending_seen < before;
}

static void on_timer(struct io_timer *t) {
    struct connection *c = container_of(t, struct connection, timer);
    switch (c->state) {
    case READING:
        if (c->in.len)
            refuse(c, 408, "request_timeout", "the request did not come in time");
        else
            connection_close(c);
        break;
    case WAITING:
        give_up_waiting(c);
        break;
    case SENDING:
        if (has_moved(c))
            set_timer(c, SEND_NS);
        else
            connection_close(c);
        break;
    case STREAMING:
        set_timer(c, HEARTBEAT_NS);
        follower_beat(c);
        break;
    case LINGERING:
        connection_close(c);
        break;
    }
}
