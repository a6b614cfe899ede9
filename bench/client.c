/* A connection is connecting, idle or busy; busy ones have a request that is
 * due, and stand in the busy list in the order of their due times, so the
 * first one is the first whose patience ends.
 *
 *   open_connection() -> idle -> begin_request() -> busy -> end_request() -> idle
 *                                  |  connecting: the request goes out on EPOLLOUT
 *
 * Idle connections are used in turn (first in, first out): all of them stay
 * warm, and the server has to serve the whole set rather than one favourite.
 *
 * A connection closed while events of the same turn may still name it is put
 * aside and freed when the turn is over. */
#include "client.h"

#include "clock.h"
#include "message.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/queue.h>
#include <unistd.h>

#define PATIENCE_DEFAULT_NS 30000000000ull
#define TURN_MAX_NS         100000000ull /* how late *stop may be seen */
#define EVENTS_MAX          256
#define READ_SIZE           (256 * 1024)
#define REQUEST_MAX         1024   /* a request's head */
#define FAILURES_MAX        100000 /* closed mode: in a row, then it gives up */

struct connection {
    TAILQ_ENTRY(connection) entry;
    int fd;
    bool busy, connecting, answering;
    const char *out; /* the request: the shared GET, or `post` */
    size_t out_len, out_sent;
    char *post;
    struct message answer;
    struct load_result result;
};
TAILQ_HEAD(connection_list, connection);

struct client {
    const struct client_options *options;
    struct load_stats *stats;
    int epoll;
    uint64_t start_ns, now_ns, patience_ns;
    uint64_t begun;    /* requests so far */
    uint64_t planned;  /* requests in all, where that is known; else UINT64_MAX */
    uint64_t failures; /* in a row */
    unsigned open;     /* connections */
    bool ending;       /* no new requests */
    bool ready;        /* idle mode: told so */
    struct connection_list idle, busy, closed;
    char get[REQUEST_MAX];
    size_t get_len;
    char buffer[READ_SIZE];
};

static int set_up(struct client *);
static int run(struct client *, const volatile sig_atomic_t *stop);
static void begin_due(struct client *);
static void expire(struct client *);
static int wait_turn(struct client *);
static struct connection *open_connection(struct client *, bool blocking);
static void close_connection(struct client *, struct connection *);
static int begin_request(struct client *, struct connection *, uint64_t due_ns);
static void end_request(struct client *, struct connection *, enum load_end);
static void serve(struct client *, struct connection *, uint32_t events);
static void sweep(struct client *);
static void tear_down(struct client *);

int client_run(const struct client_options *options, struct load_stats *stats,
               const volatile sig_atomic_t *stop) {
    struct client *c = calloc(1, sizeof(*c));

    if (c == NULL)
        return -ENOMEM;
    c->options = options;
    c->stats = stats;
    c->patience_ns = options->patience_ns > 0 ? options->patience_ns : PATIENCE_DEFAULT_NS;
    TAILQ_INIT(&c->idle);
    TAILQ_INIT(&c->busy);
    TAILQ_INIT(&c->closed);
    int err = set_up(c);
    if (err == 0)
        err = run(c, stop);
    tear_down(c);
    free(c);
    return err;
}

static int set_up(struct client *c) {
    const struct client_options *o = c->options;

    prctl(PR_SET_TIMERSLACK, 1ul); /* the default of 50 us would be added to every time */
    int n =
        snprintf(c->get, sizeof(c->get), "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", o->path, o->host);
    if (n < 0 || (size_t)n >= sizeof(c->get))
        return -EINVAL;
    c->get_len = (size_t)n;
    c->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (c->epoll < 0)
        return -errno;
    for (unsigned i = 0; !o->idle && i < o->connections; i++)
        if (open_connection(c, true) == NULL)
            return -errno;
    c->start_ns = o->start_at_ns > 0 ? o->start_at_ns : clock_now_ns();
    c->planned = o->requests > 0 ? o->requests : UINT64_MAX;
    if (o->rate > 0 && o->requests == 0)
        c->planned = (uint64_t)(o->rate * (double)o->duration_ns / 1e9);
    if (o->idle)
        c->planned = o->connections;
    return 0;
}

/* ---- the run ---- */

static bool time_is_up(const struct client *c) {
    uint64_t duration = c->options->duration_ns;

    return duration > 0 && c->now_ns >= c->start_ns + duration;
}

/* Idle mode: everybody has been asked and has answered, or has failed. */
static void tell_ready(struct client *c) {
    if (c->ready || c->begun < c->planned || !TAILQ_EMPTY(&c->busy))
        return;
    c->ready = true;
    c->stats->held = c->open;
    printf("ready %u\n", c->open);
    fflush(stdout);
}

static bool finished(struct client *c) {
    if (c->options->idle) {
        tell_ready(c);
        return c->ending || time_is_up(c);
    }
    if (c->options->rate == 0 && time_is_up(c))
        c->ending = true;
    return (c->ending || c->begun >= c->planned) && TAILQ_EMPTY(&c->busy);
}

static int run(struct client *c, const volatile sig_atomic_t *stop) {
    int err = 0;

    c->now_ns = clock_now_ns();
    while (err == 0 && !finished(c)) {
        begin_due(c);
        err = wait_turn(c);
        expire(c);
        sweep(c);
        if (*stop)
            c->ending = true;
        if (c->failures > FAILURES_MAX)
            err = -ECONNREFUSED;
    }
    uint64_t measured_from = c->start_ns + c->options->warmup_ns;
    c->stats->measured_ns = c->now_ns > measured_from ? c->now_ns - measured_from : 0;
    if (c->options->idle)
        c->stats->lost = c->ready ? c->stats->held - c->open : 0;
    return err;
}

static uint64_t due_of(const struct client *c, uint64_t request) {
    return c->start_ns + (uint64_t)((double)request * 1e9 / c->options->rate);
}

static bool may_begin(const struct client *c) {
    return !c->ending && c->begun < c->planned && c->now_ns >= c->start_ns;
}

/* An idle connection, or a new one where there is room for it. */
static struct connection *take_connection(struct client *c) {
    struct connection *k = TAILQ_FIRST(&c->idle);

    if (k == NULL && c->open < c->options->connections_max)
        k = open_connection(c, false);
    return k;
}

/* A request that gets no connection has failed there and then. */
static void count_unsent(struct client *c, uint64_t due_ns, enum load_end end) {
    struct load_result r = {.end = end, .due_ns = due_ns - c->start_ns};

    r.is_post = c->options->post_every > 0 && (c->begun + 1) % c->options->post_every == 0;
    r.took_ns = c->now_ns - due_ns;
    c->begun++;
    c->stats->requests++;
    if (r.due_ns >= c->options->warmup_ns)
        load_stats_add(c->stats, &r);
}

static void begin_scheduled(struct client *c) {
    while (may_begin(c) && due_of(c, c->begun) <= c->now_ns) {
        uint64_t due = due_of(c, c->begun);
        struct connection *k = take_connection(c);
        if (k == NULL) {
            bool full = c->open >= c->options->connections_max;
            count_unsent(c, due, full ? LOAD_NO_CONNECTION : LOAD_CONNECT_FAILED);
        } else if (begin_request(c, k, due) != 0) {
            return;
        }
    }
}

static void begin_idlers(struct client *c) {
    unsigned busy = 0;
    struct connection *k;

    for (k = TAILQ_FIRST(&c->busy); k != NULL; k = TAILQ_NEXT(k, entry))
        busy++;
    for (; may_begin(c) && busy < c->options->at_once; busy++) {
        k = open_connection(c, false);
        if (k == NULL)
            count_unsent(c, c->now_ns, LOAD_CONNECT_FAILED);
        else
            begin_request(c, k, c->now_ns);
    }
}

static void begin_closed(struct client *c) {
    while (may_begin(c) && c->open < c->options->connections) {
        if (open_connection(c, false) == NULL) {
            c->failures++;
            return;
        }
    }
    while (may_begin(c) && !TAILQ_EMPTY(&c->idle))
        if (begin_request(c, TAILQ_FIRST(&c->idle), c->now_ns) != 0)
            return;
}

static void begin_due(struct client *c) {
    if (c->options->idle)
        begin_idlers(c);
    else if (c->options->rate > 0)
        begin_scheduled(c);
    else
        begin_closed(c);
}

static void expire(struct client *c) {
    struct connection *k;

    while ((k = TAILQ_FIRST(&c->busy)) != NULL) {
        if (c->start_ns + k->result.due_ns + c->patience_ns > c->now_ns)
            break;
        end_request(c, k, LOAD_GAVE_UP);
    }
}

/* Until the next request falls due, the first patience ends, or TURN_MAX. */
static struct timespec time_to_wait(const struct client *c) {
    const struct connection *first = TAILQ_FIRST(&c->busy);
    uint64_t until = c->now_ns + TURN_MAX_NS;

    if (first != NULL && c->start_ns + first->result.due_ns + c->patience_ns < until)
        until = c->start_ns + first->result.due_ns + c->patience_ns;
    if (c->options->rate > 0 && !c->ending && c->begun < c->planned && due_of(c, c->begun) < until)
        until = due_of(c, c->begun);
    if (c->now_ns < c->start_ns && c->start_ns < until)
        until = c->start_ns;
    uint64_t now = clock_now_ns();
    uint64_t wait = until > now ? until - now : 0;
    return (struct timespec){.tv_sec = (time_t)(wait / 1000000000ull),
                             .tv_nsec = (long)(wait % 1000000000ull)};
}

static int wait_turn(struct client *c) {
    struct epoll_event events[EVENTS_MAX];
    struct timespec wait = time_to_wait(c);
    int n = epoll_pwait2(c->epoll, events, EVENTS_MAX, &wait, NULL);

    c->now_ns = clock_now_ns();
    if (n < 0)
        return errno == EINTR ? 0 : -errno;
    for (int i = 0; i < n; i++) {
        serve(c, events[i].data.ptr, events[i].events);
        /* closed mode: the next request goes out now, not when the turn is over */
        if (c->options->rate == 0 && !c->options->idle)
            begin_closed(c);
    }
    return 0;
}

/* ---- connections ---- */

static int connect_socket(const struct client *c, bool blocking, bool *pending) {
    const struct sockaddr *address = (const struct sockaddr *)&c->options->address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | (blocking ? 0 : SOCK_NONBLOCK), 0);
    int one = 1;

    if (fd < 0)
        return -1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (connect(fd, address, sizeof(c->options->address)) != 0) {
        *pending = errno == EINPROGRESS;
        if (!*pending) {
            close(fd);
            return -1;
        }
    }
    if (blocking)
        fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static struct connection *open_connection(struct client *c, bool blocking) {
    struct connection *k = calloc(1, sizeof(*k));

    if (k == NULL)
        return NULL;
    k->fd = connect_socket(c, blocking, &k->connecting);
    if (k->fd < 0) {
        free(k);
        return NULL;
    }
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = k};
    if (epoll_ctl(c->epoll, EPOLL_CTL_ADD, k->fd, &e) != 0) {
        close(k->fd);
        free(k);
        return NULL;
    }
    TAILQ_INSERT_TAIL(&c->idle, k, entry);
    c->open++;
    c->stats->connects++;
    return k;
}

static void close_connection(struct client *c, struct connection *k) {
    TAILQ_REMOVE(k->busy ? &c->busy : &c->idle, k, entry);
    close(k->fd);
    k->fd = -1;
    c->open--;
    TAILQ_INSERT_TAIL(&c->closed, k, entry);
}

static void free_connection(struct connection *k) {
    message_end(&k->answer);
    free(k->post);
    free(k);
}

static void sweep(struct client *c) {
    struct connection *k;

    while ((k = TAILQ_FIRST(&c->closed)) != NULL) {
        TAILQ_REMOVE(&c->closed, k, entry);
        free_connection(k);
    }
}

static void tear_down(struct client *c) {
    struct connection *k;

    while ((k = TAILQ_FIRST(&c->busy)) != NULL)
        close_connection(c, k);
    while ((k = TAILQ_FIRST(&c->idle)) != NULL)
        close_connection(c, k);
    sweep(c);
    if (c->epoll >= 0)
        close(c->epoll);
}

/* ---- requests ---- */

/* Each POST has a number of its own, by which the upstream sees doubles. */
static int write_post(struct client *c, struct connection *k) {
    const struct client_options *o = c->options;
    size_t size = REQUEST_MAX + (size_t)o->post_body;

    if (k->post == NULL && (k->post = malloc(size)) == NULL)
        return -ENOMEM;
    int n =
        snprintf(k->post, REQUEST_MAX,
                 "POST %s HTTP/1.1\r\nHost: %s\r\nX-Request-Number: %llu\r\n"
                 "Content-Type: text/plain\r\nContent-Length: %u\r\n\r\n",
                 o->path, o->host, (unsigned long long)(o->first_number + c->begun), o->post_body);
    if (n < 0 || n >= REQUEST_MAX)
        return -EINVAL;
    memset(k->post + n, 'x', o->post_body);
    k->out = k->post;
    k->out_len = (size_t)n + o->post_body;
    return 0;
}

/* False where the connection is broken. */
static bool write_out(struct connection *k) {
    while (k->out_sent < k->out_len) {
        ssize_t n = send(k->fd, k->out + k->out_sent, k->out_len - k->out_sent, MSG_NOSIGNAL);
        if (n < 0)
            return errno == EAGAIN || errno == EINTR;
        k->out_sent += (size_t)n;
    }
    return true;
}

static int begin_request(struct client *c, struct connection *k, uint64_t due_ns) {
    unsigned every = c->options->post_every;

    k->result = (struct load_result){.due_ns = due_ns - c->start_ns};
    k->result.is_post = every > 0 && (c->begun + 1) % every == 0;
    k->out = c->get;
    k->out_len = c->get_len;
    if (k->result.is_post) {
        int err = write_post(c, k);
        if (err != 0)
            return err;
    }
    k->out_sent = 0;
    k->answering = false;
    message_begin(&k->answer, MESSAGE_RESPONSE);
    TAILQ_REMOVE(&c->idle, k, entry);
    TAILQ_INSERT_TAIL(&c->busy, k, entry);
    k->busy = true;
    c->begun++;
    uint64_t late = c->now_ns - due_ns;
    if (late > c->stats->late_max_ns)
        c->stats->late_max_ns = late;
    if (!k->connecting && !write_out(k))
        end_request(c, k, LOAD_RESET);
    return 0;
}

static void end_request(struct client *c, struct connection *k, enum load_end end) {
    struct load_result *r = &k->result;

    r->end = end;
    r->status = k->answer.status;
    r->source = k->answer.source;
    r->took_ns = c->now_ns - c->start_ns - r->due_ns;
    c->stats->requests++;
    if (r->due_ns >= c->options->warmup_ns)
        load_stats_add(c->stats, r);
    c->failures = end == LOAD_ANSWERED ? 0 : c->failures + 1;
    if (end != LOAD_ANSWERED || k->answer.close) {
        close_connection(c, k);
        return;
    }
    TAILQ_REMOVE(&c->busy, k, entry);
    k->busy = false;
    TAILQ_INSERT_TAIL(&c->idle, k, entry);
}

/* The connection is over: what did that do to its request? */
static void lose(struct client *c, struct connection *k, bool orderly) {
    if (!k->busy)
        close_connection(c, k);
    else if (orderly && k->answering && message_close(&k->answer))
        end_request(c, k, LOAD_ANSWERED);
    else if (k->connecting)
        end_request(c, k, LOAD_CONNECT_FAILED);
    else if (k->answering)
        end_request(c, k, LOAD_TRUNCATED);
    else
        end_request(c, k, orderly ? LOAD_NO_ANSWER : LOAD_RESET);
}

static void take_bytes(struct client *c, struct connection *k, size_t n) {
    if (!k->busy) { /* bytes nobody asked for, as a 408 on an idle connection */
        close_connection(c, k);
        return;
    }
    k->answering = true;
    ssize_t used = message_feed(&k->answer, c->buffer, n);
    if (used < 0 || (k->answer.state == MESSAGE_DONE && (size_t)used < n))
        end_request(c, k, LOAD_MALFORMED);
    else if (k->answer.state == MESSAGE_DONE)
        end_request(c, k, LOAD_ANSWERED);
}

/* Edge-triggered: a read that filled the buffer is followed by another, a
 * short one is not, since whatever comes later, the end too, is a new edge. */
static void read_in(struct client *c, struct connection *k, bool ended) {
    for (;;) {
        ssize_t n = recv(k->fd, c->buffer, READ_SIZE, 0);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n <= 0) {
            lose(c, k, n == 0);
            return;
        }
        take_bytes(c, k, (size_t)n);
        if (k->fd < 0 || (n < READ_SIZE && !ended))
            return;
    }
}

static void serve(struct client *c, struct connection *k, uint32_t events) {
    int err = 0;
    socklen_t len = sizeof(err);

    if (k->fd < 0)
        return;
    if (k->connecting && (events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) != 0) {
        getsockopt(k->fd, SOL_SOCKET, SO_ERROR, &err, &len);
        if (err != 0) {
            lose(c, k, false);
            return;
        }
        k->connecting = false;
    }
    if (k->busy && !k->connecting && k->out_sent < k->out_len && !write_out(k)) {
        lose(c, k, false);
        return;
    }
    if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0)
        read_in(c, k, (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0);
}
