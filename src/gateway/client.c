/* client.c - see client.h. */
#include "gateway/client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/exchange.h"
#include "gateway/gateway.h"
#include "gateway/pass_on.h"

/* How long a connection whose last answer was sent goes on reading, so that
 * what the client still sends does not reset away what it has yet to read. */
#define LINGER_NS SWG_SECONDS(2)

/* At most one read of the loop, kept while the upstream cannot take it. */
enum { IN_MAX = 1024 * 1024, UNREAD_MAX = 64 * 1024 };

static const struct io_stream_ops client_ops;
static void on_timer(struct io_timer *);

/* ---- life -------------------------------------------------------------- */

void client_read_address(const struct sockaddr *peer, struct in6_addr *address, uint16_t *port) {
    *address = (struct in6_addr){0};
    *port = 0;
    if (peer->sa_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)peer;
        address->s6_addr[10] = address->s6_addr[11] = 0xff;
        memcpy(&address->s6_addr[12], &v4->sin_addr, 4);
        *port = ntohs(v4->sin_port);
    } else if (peer->sa_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)peer;
        *address = v6->sin6_addr;
        *port = ntohs(v6->sin6_port);
    }
}

static const struct limit_options *limits_of(const struct client *c) {
    return &c->worker->plan->options->limits;
}

static void refuse_connection(int fd) {
    static const char answer[] = "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n"
                                 "Retry-After: 1\r\nContent-Length: 0\r\n"
                                 "Proxy-Status: switchgear; error=connection_limit_reached\r\n\r\n";
    (void)!send(fd, answer, sizeof answer - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    close(fd);
}

bool client_enter(struct worker *w, const struct in6_addr *address) {
    struct gateway *g = w->gateway;
    const struct limit_options *l = &w->plan->options->limits;
    uint32_t open = atomic_fetch_add_explicit(&g->clients, 1, memory_order_relaxed);
    if (open < l->connections && open < g->connections_max &&
        gateway_client_enter(g, address, l->connections_per_client))
        return true;
    atomic_fetch_sub_explicit(&g->clients, 1, memory_order_relaxed);
    return false;
}

void client_leave(struct worker *w, const struct in6_addr *address) {
    gateway_client_leave(w->gateway, address);
    atomic_fetch_sub_explicit(&w->gateway->clients, 1, memory_order_relaxed);
}

static void open_client(struct worker *w, uint32_t listen_index, int fd,
                        const struct sockaddr *peer, bool served) {
    struct in6_addr address;
    uint16_t port;
    client_read_address(peer, &address, &port);
    if (!client_enter(w, &address)) {
        refuse_connection(fd);
        return;
    }
    struct client *c = calloc(1, sizeof *c);
    if (c)
        io_stream_init(&c->stream, &client_ops);
    if (!c || io_adopt(w->io, &c->stream, fd) < 0) {
        client_leave(w, &address);
        free(c);
        refuse_connection(fd);
        return;
    }
    c->worker = w;
    c->listen_index = listen_index;
    c->since_ns = io_now(w->io);
    c->address = address;
    c->port = port;
    c->served = served;
    io_timer_init(&c->timer, on_timer);
    list_push_back(&w->clients, &c->link);
    io_timer_set(w->io, &c->timer,
                 c->since_ns +
                     (served ? limits_of(c)->idle_timeout_ns : limits_of(c)->header_timeout_ns));
    io_want_data(&c->stream, true);
    if (client_will_pass(c))
        worker_pass_on_soon(w); /* accepted at the last moment */
}

void client_accept(struct worker *w, uint32_t listen_index, int fd, const struct sockaddr *peer) {
    open_client(w, listen_index, fd, peer, false);
}

void client_take_over(struct worker *w, uint32_t listen_index, int fd, const struct sockaddr *peer,
                      bool served) {
    open_client(w, listen_index, fd, peer, served);
}

static void drop_in(struct client *c) {
    free(c->in);
    c->in = NULL;
    c->in_len = c->in_size = c->in_seen = 0;
}

struct client *client_create_sink(struct worker *w, const struct client *like) {
    struct client *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->worker = w;
    c->listen_index = like ? like->listen_index : UINT32_MAX;
    if (like) {
        c->address = like->address;
        c->port = like->port;
    }
    c->sink = true;
    c->state = CLIENT_BUSY;
    io_stream_init(&c->stream, &client_ops);
    c->stream.io = w->io;
    io_timer_init(&c->timer, on_timer);
    list_push_back(&c->worker->clients, &c->link);
    atomic_fetch_add_explicit(&c->worker->gateway->clients, 1, memory_order_relaxed);
    gateway_client_enter(c->worker->gateway, &c->address, 0);
    return c;
}

static void bury(struct client *c) {
    if (c->state == CLIENT_DEAD)
        return;
    c->state = CLIENT_DEAD;
    struct worker *w = c->worker;
    io_timer_clear(w->io, &c->timer);
    if (!c->feeding)
        drop_in(c);
    list_remove(&c->link);
    list_push_back(&w->dead_clients, &c->link);
    io_timer_set(w->io, &w->reaper, io_now(w->io));
    client_leave(w, &c->address);
    if (c->exchange)
        exchange_cancel(c->exchange);
}

/* Whether something of an answer would be lost that only the end of the
 * connection could tell from a whole one. */
static bool is_owed(const struct client *c) {
    const struct exchange *x = c->exchange;
    return c->abort_after || io_pending(&c->stream) ||
           (x && x->answer == ANSWER_BODY && x->out_framing == HTTP1_BODY_UNTIL_CLOSE);
}

void client_close(struct client *c) {
    if (is_owed(c))
        io_abort(&c->stream);
    else
        io_close(&c->stream);
    bury(c);
}

void client_abort(struct client *c) {
    io_abort(&c->stream);
    bury(c);
}

void client_cut_off(struct client *c) {
    if (c->state == CLIENT_DEAD)
        return;
    if (!io_pending(&c->stream)) {
        client_abort(c);
        return;
    }
    c->state = CLIENT_LINGER; /* what came of the answer goes out first */
    c->since_ns = io_now(c->worker->io);
    c->abort_after = true;
    io_want_data(&c->stream, false);
    io_timer_set(c->worker->io, &c->timer, io_now(c->worker->io) + LINGER_NS);
}

/* The last answer has been sent: lets the client read it, then closes. */
static void linger(struct client *c) {
    if (c->state == CLIENT_DEAD)
        return;
    c->state = CLIENT_LINGER;
    c->since_ns = io_now(c->worker->io);
    if (!c->feeding)
        drop_in(c);
    io_shut(&c->stream);
    if (c->eof && !io_pending(&c->stream)) {
        client_close(c);
        return;
    }
    io_want_data(&c->stream, true);
    io_timer_set(c->worker->io, &c->timer, io_now(c->worker->io) + LINGER_NS);
}

/* ---- bytes in ----------------------------------------------------------- */

static bool keep(struct client *c, const char *data, size_t len) {
    if (c->in && data >= c->in && data < c->in + c->in_size) { /* a rest of what is kept already */
        memmove(c->in, data, len);
        c->in_len = (uint32_t)len;
        return true;
    }
    if (len > IN_MAX - c->in_len)
        return false;
    if (c->in_len + len > c->in_size) {
        uint32_t size = c->in_size ? c->in_size : 2048;
        while (size < c->in_len + len)
            size *= 2;
        char *in = realloc(c->in, size);
        if (!in)
            return false;
        c->in = in;
        c->in_size = size;
    }
    memcpy(c->in + c->in_len, data, len);
    c->in_len += (uint32_t)len;
    return true;
}

/* Tries for a head at data; the exchange is begun, or the client answered. */
static size_t take_head(struct client *c, const char *data, size_t len) {
    const struct limit_options *l = limits_of(c);
    struct http1_limits limits = {.head_bytes = l->header_bytes,
                                  .target = l->url,
                                  .fields = (uint16_t)l->headers,
                                  .trailer_bytes = EXCHANGE_TRAILERS_MAX};
    struct http1_head head = {.fields = c->worker->request_fields};
    size_t used = 0;
    enum http1_error e = http1_parse_request(data, len, c->in_seen, &limits, &head, &used);
    if (e != HTTP1_OK) {
        reply_bad_head(c, e);
        linger(c);
        return len;
    }
    if (!used) {
        c->in_seen = (uint32_t)len;
        if (c->state == CLIENT_IDLE) {
            c->state = CLIENT_HEAD;
            if (c->served) {
                c->since_ns = io_now(c->worker->io);
                io_timer_set(c->worker->io, &c->timer, c->since_ns + l->header_timeout_ns);
            }
        }
        return 0;
    }
    c->in_seen = 0;
    c->state = CLIENT_BUSY;
    c->served++;
    exchange_begin(c, &head, (struct bytes){data, used});
    return used;
}

static size_t take(struct client *c, const char *data, size_t len) {
    size_t used = 0;
    switch ((enum client_state)c->state) {
    case CLIENT_IDLE:
    case CLIENT_HEAD:
        if (io_pending(&c->stream) > UNREAD_MAX)
            return 0; /* it asks on and on and does not read: on_drain goes on */
        return take_head(c, data, len);
    case CLIENT_BUSY:
    case CLIENT_TUNNEL:
        if (c->exchange)
            exchange_upload(c->exchange, data, len, &used);
        return used;
    case CLIENT_LINGER:
    case CLIENT_DEAD:
        return len;
    }
    return len;
}

/* Consumes what it can of `data` (which may be c->in itself: nobody frees that
 * while feeding); the rest is kept, and reading pauses. */
static void feed(struct client *c, const char *data, size_t len) {
    c->feeding = true;
    while (len) {
        size_t used = take(c, data, len);
        if (!used)
            break;
        data += used;
        len -= used;
    }
    c->feeding = false;
    if (c->state == CLIENT_DEAD || !len) {
        drop_in(c);
    } else if (!keep(c, data, len)) {
        client_close(c);
        return;
    }
    if (c->state == CLIENT_DEAD)
        return;
    bool waiting_for_head = c->state == CLIENT_IDLE || c->state == CLIENT_HEAD;
    bool wanted = (waiting_for_head && io_pending(&c->stream) <= UNREAD_MAX) ||
                  c->state == CLIENT_LINGER || (c->exchange && !c->exchange->upload_paused && !len);
    io_want_data(&c->stream, wanted);
}

static void feed_kept(struct client *c) {
    if (c->feeding)
        return;
    feed(c, c->in ? c->in : "", c->in_len);
}

static void on_data(struct io_stream *s, const char *data, size_t len) {
    struct client *c = container_of(s, struct client, stream);
    if (!c->in_len) {
        feed(c, data, len);
        return;
    }
    if (!keep(c, data, len)) {
        client_close(c);
        return;
    }
    feed_kept(c);
}

void client_resume_upload(struct client *c) {
    if (c->state == CLIENT_DEAD)
        return;
    if (c->exchange && !c->exchange->upload_done)
        exchange_upload_resumed(c->exchange);
    feed_kept(c);
}

static void on_drain(struct io_stream *s) {
    struct client *c = container_of(s, struct client, stream);
    if (c->exchange)
        exchange_client_drained(c->exchange);
    else if (c->abort_after)
        client_abort(c);
    else if (c->state == CLIENT_LINGER && c->eof)
        client_close(c);
    else if (c->state == CLIENT_LINGER)
        io_timer_set(c->worker->io, &c->timer, io_now(c->worker->io) + LINGER_NS);
    else if (c->state == CLIENT_IDLE || c->state == CLIENT_HEAD)
        feed_kept(c);
}

static void on_end(struct io_stream *s, enum io_end end, int os_error) {
    struct client *c = container_of(s, struct client, stream);
    (void)os_error;
    c->eof = true;
    if (end == IO_END_EOF && io_pending(s) && !c->exchange) {
        linger(c); /* it stopped sending, but still reads */
        return;
    }
    if (end == IO_END_EOF && c->state == CLIENT_TUNNEL && c->exchange) {
        size_t used;
        exchange_upload(c->exchange, NULL, 0, &used); /* half-closed: the other half goes on */
        return;
    }
    client_close(c);
}

static const struct io_stream_ops client_ops = {
    .on_data = on_data, .on_drain = on_drain, .on_end = on_end};

/* ---- between requests --------------------------------------------------- */

void client_exchange_done(struct client *c, bool keep_open) {
    c->exchange = NULL;
    if (c->state == CLIENT_DEAD || c->abort_after)
        return;
    if (c->sink) {
        client_close(c);
        return;
    }
    if (!keep_open || (c->worker->closing && !client_will_pass(c))) {
        linger(c);
        return;
    }
    c->state = CLIENT_IDLE;
    c->since_ns = io_now(c->worker->io);
    uint64_t due = c->since_ns + limits_of(c)->idle_timeout_ns;
    if (due < c->timer.due_ns) /* else it looks by itself when it fires */
        io_timer_set(c->worker->io, &c->timer, due);
    worker_pass_on_soon(c->worker);
    if (!c->feeding)
        feed_kept(c);
}

void client_become_tunnel(struct client *c) {
    struct io *io = c->worker->io;
    c->state = CLIENT_TUNNEL;
    c->exchange->upload_paused = false;
    /* what came right behind the request is handed on when nobody is on the stack */
    io_timer_set(io, &c->timer, io_now(io));
}

/* Whether a client that has yet to read an answer does read it, however slowly.
 * Looks what it has taken since the last look. */
static bool is_taking(struct client *c) {
    struct io *io = c->worker->io;
    if (!io_pending(&c->stream))
        return false;
    uint32_t unsent = (uint32_t)io_unsent(&c->stream);
    if (unsent != c->unsent_seen)
        c->since_ns = io_now(io);
    c->unsent_seen = unsent;
    return io_now(io) - c->since_ns < limits_of(c)->idle_timeout_ns;
}

/* One timer serves all states, and is not moved for every request: when it
 * fires it looks what it is for by now. */
static void on_timer(struct io_timer *t) {
    struct client *c = container_of(t, struct client, timer);
    struct io *io = c->worker->io;
    uint64_t due = UINT64_MAX;
    bool is_answered = c->state == CLIENT_IDLE || c->state == CLIENT_LINGER;
    if (is_answered && is_taking(c)) {
        uint64_t look_ns = limits_of(c)->idle_timeout_ns / 4;
        io_timer_set(io, t, io_now(io) + (look_ns < LINGER_NS ? look_ns : LINGER_NS));
        return;
    }
    switch ((enum client_state)c->state) {
    case CLIENT_IDLE:
        due = c->since_ns +
              (c->served ? limits_of(c)->idle_timeout_ns : limits_of(c)->header_timeout_ns);
        break;
    case CLIENT_HEAD:
        due = c->since_ns + limits_of(c)->header_timeout_ns;
        break;
    case CLIENT_LINGER:
        due = io_now(io);
        break;
    case CLIENT_BUSY:
        due = io_now(io) + limits_of(c)->idle_timeout_ns;
        break;
    case CLIENT_TUNNEL:
        feed_kept(c);
        return;
    case CLIENT_DEAD:
        return;
    }
    if (due > io_now(io)) {
        io_timer_set(io, t, due);
        return;
    }
    if (c->state == CLIENT_HEAD)
        reply_bad_head(c, HTTP1_OK); /* 408 */
    client_close(c);
}

/* ---- who it is ----------------------------------------------------------- */

size_t client_write_address(const struct in6_addr *address, char out[64], bool bare) {
    char text[INET6_ADDRSTRLEN];
    if (IN6_IS_ADDR_V4MAPPED(address)) {
        inet_ntop(AF_INET, &address->s6_addr[12], text, sizeof text);
        return (size_t)snprintf(out, 64, "%s", text);
    }
    if (IN6_IS_ADDR_UNSPECIFIED(address)) /* a unix socket */
        return (size_t)snprintf(out, 64, "%s", bare ? "127.0.0.1" : "unknown");
    inet_ntop(AF_INET6, address, text, sizeof text);
    return (size_t)snprintf(out, 64, bare ? "%s" : "\"[%s]\"", text);
}

size_t client_address_text(const struct client *c, char out[64], bool bare) {
    return client_write_address(&c->address, out, bare);
}

static bool in_range(const struct in6_addr *address, const struct cidr *range) {
    uint8_t whole = range->bits / 8, rest = range->bits % 8;
    if (memcmp(address->s6_addr, range->address.s6_addr, whole) != 0)
        return false;
    uint8_t mask = (uint8_t)(0xff00 >> rest);
    return !rest || !((address->s6_addr[whole] ^ range->address.s6_addr[whole]) & mask);
}

bool client_is_trusted(const struct client *c, const struct gateway_options *o) {
    if (c->listen_index >= o->listen_count)
        return false;
    const struct listen_options *l = &o->listens[c->listen_index];
    for (uint32_t i = 0; i < l->trusted_count; i++) {
        if (in_range(&c->address, &l->trusted[i]))
            return true;
    }
    return false;
}
