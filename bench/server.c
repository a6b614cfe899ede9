/* A connection of an endpoint:
 *
 *   READING  -> answer due now: WRITING -> READING
 *            -> slow:           WAITING (in the delayed list) -> WRITING
 *            -> hung:           SILENT, until the other side leaves
 *
 * The delay is the same for all, so the delayed list is in order of time. A
 * request that was swallowed by a hang stays unanswered after the hang is over:
 * what was lost is lost, only new requests are served. Nobody is expected to
 * pipeline; bytes after a request that cannot be answered at once end the
 * connection. */
#include "server_priv.h"

#include "clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS_MAX     256
#define SLOW_NS        2000000000ull
#define TURN_MAX_NS    100000000ull
#define TURN_KILLED_NS 20000000ull /* how often refused connects are counted */

static const char failure[] = "HTTP/1.1 500 Internal Server Error\r\nServer: bench\r\n"
                              "X-Upstream: %c\r\nContent-Type: text/plain\r\n"
                              "Content-Length: 7\r\n\r\nbroken\n";

static int open_all(struct server *);
static int listen_on(struct server *, unsigned index);
static void apply_faults(struct server *);
static void send_delayed(struct server *);
static int wait_turn(struct server *);
static void sweep(struct server *);
static void accept_all(struct server *, struct source *);
static void serve(struct server *, struct served *, uint32_t events);
static void take_request(struct server *, struct served *);
static void drop(struct server *, struct served *, bool reset);
static void pump(struct server *, struct served *);

int server_create(struct server **out, const struct server_options *options) {
    struct server *s = calloc(1, sizeof(*s));

    if (s == NULL)
        return -ENOMEM;
    s->options = *options;
    s->start_ns = options->start_at_ns > 0 ? options->start_at_ns : UINT64_MAX;
    TAILQ_INIT(&s->open);
    TAILQ_INIT(&s->delayed);
    TAILQ_INIT(&s->closed);
    memset(s->fill, '.', sizeof(s->fill));
    for (unsigned i = 0; i < SERVER_ENDPOINTS_MAX; i++)
        s->endpoints[i].listener = s->endpoints[i].refusal_tap = -1;
    s->control.listener = s->control.refusal_tap = -1;
    s->epoll = epoll_create1(EPOLL_CLOEXEC);
    int err = s->epoll < 0 ? -errno : open_all(s);
    if (err != 0) {
        server_destroy(s);
        return err;
    }
    *out = s;
    return 0;
}

static int open_all(struct server *s) {
    unsigned n = s->options.endpoints;
    int err = 0;

    for (unsigned i = 0; err == 0 && i < n; i++) {
        struct endpoint *e = &s->endpoints[i];
        err = endpoint_open(e, (char)('a' + i), s->options.ports[i], s->options.body);
        e->window = s->options.windows[i];
        if (err == 0)
            err = listen_on(s, i);
    }
    if (err == 0)
        err = endpoint_open(&s->control, 'c', s->options.control_port, 0);
    return err == 0 ? listen_on(s, SERVER_ENDPOINTS_MAX) : err;
}

/* Index SERVER_ENDPOINTS_MAX is the control port. */
static int listen_on(struct server *s, unsigned index) {
    bool is_control = index == SERVER_ENDPOINTS_MAX;
    struct endpoint *e = is_control ? &s->control : &s->endpoints[index];
    struct source *source = &s->listeners[index];

    *source = (struct source){.endpoint = is_control ? NULL : e, .is_listener = true};
    int err = endpoint_listen(e);
    if (err != 0)
        return err;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = source};
    return epoll_ctl(s->epoll, EPOLL_CTL_ADD, e->listener, &event) == 0 ? 0 : -errno;
}

void server_ports_json(const struct server *s, FILE *out) {
    fprintf(out, "{");
    for (unsigned i = 0; i < s->options.endpoints; i++)
        fprintf(out, "\"%c\": %u, ", s->endpoints[i].name, s->endpoints[i].port);
    fprintf(out, "\"control\": %u}\n", s->control.port);
    fflush(out);
}

int server_run(struct server *s, const volatile sig_atomic_t *stop) {
    int err = 0;

    while (err == 0 && !*stop) {
        s->now_ns = clock_now_ns();
        apply_faults(s);
        send_delayed(s);
        err = wait_turn(s);
        sweep(s);
    }
    return err;
}

void server_destroy(struct server *s) {
    struct served *k;

    while ((k = TAILQ_FIRST(&s->open)) != NULL)
        drop(s, k, false);
    sweep(s);
    for (unsigned i = 0; i < SERVER_ENDPOINTS_MAX; i++)
        endpoint_close(&s->endpoints[i]);
    endpoint_close(&s->control);
    posts_clear(&s->posts);
    if (s->epoll >= 0)
        close(s->epoll);
    free(s);
}

/* ---- faults ---- */

static void reset_connections(struct server *s, const struct endpoint *e) {
    struct served *k = TAILQ_FIRST(&s->open), *next;

    for (; k != NULL; k = next) {
        next = TAILQ_NEXT(k, entry);
        if (k->source.endpoint == e)
            drop(s, k, true);
    }
}

static void change_fault(struct server *s, unsigned index, enum fault wanted) {
    struct endpoint *e = &s->endpoints[index];
    int err = 0;

    if (wanted == FAULT_KILLED) {
        err = endpoint_refuse(e);
        reset_connections(s, e);
    } else if (e->fault == FAULT_KILLED) {
        err = listen_on(s, index);
    }
    e->fault = wanted;
    if (err != 0)
        fprintf(stderr, "upstream: endpoint %c, %s: %s\n", e->name, fault_name(wanted),
                strerror(-err));
}

static void apply_faults(struct server *s) {
    for (unsigned i = 0; i < s->options.endpoints; i++) {
        struct endpoint *e = &s->endpoints[i];
        enum fault wanted = e->forced;
        if (wanted == FAULT_OK && server_started(s))
            wanted = fault_now(&e->window, server_since_start(s));
        if (wanted != e->fault)
            change_fault(s, i, wanted);
        endpoint_count_refused(e);
    }
}

static struct timespec time_to_wait(const struct server *s) {
    uint64_t until = s->now_ns + TURN_MAX_NS;
    const struct served *first = TAILQ_FIRST(&s->delayed);

    if (first != NULL && first->due_ns < until)
        until = first->due_ns;
    if (s->start_ns > s->now_ns && s->start_ns < until)
        until = s->start_ns;
    for (unsigned i = 0; i < s->options.endpoints; i++) {
        const struct endpoint *e = &s->endpoints[i];
        if (e->fault == FAULT_KILLED && s->now_ns + TURN_KILLED_NS < until)
            until = s->now_ns + TURN_KILLED_NS;
        uint64_t change =
            server_started(s) ? fault_next_change(&e->window, server_since_start(s)) : UINT64_MAX;
        if (change != UINT64_MAX && s->start_ns + change < until)
            until = s->start_ns + change;
    }
    uint64_t wait = until > s->now_ns ? until - s->now_ns : 0;
    return (struct timespec){.tv_sec = 0, .tv_nsec = (long)wait};
}

static void send_delayed(struct server *s) {
    struct served *k;

    while ((k = TAILQ_FIRST(&s->delayed)) != NULL && k->due_ns <= s->now_ns) {
        TAILQ_REMOVE(&s->delayed, k, delayed);
        k->state = SERVE_WRITING;
        pump(s, k);
    }
}

static int wait_turn(struct server *s) {
    struct epoll_event events[EVENTS_MAX];
    struct timespec wait = time_to_wait(s);
    int n = epoll_pwait2(s->epoll, events, EVENTS_MAX, &wait, NULL);

    if (n < 0)
        return errno == EINTR ? 0 : -errno;
    s->now_ns = clock_now_ns();
    for (int i = 0; i < n; i++) {
        struct source *source = events[i].data.ptr;
        if (source->is_listener)
            accept_all(s, source);
        else
            serve(s, (struct served *)source, events[i].events);
    }
    return 0;
}

/* ---- connections ---- */

static void accept_all(struct server *s, struct source *source) {
    struct endpoint *e = source->endpoint != NULL ? source->endpoint : &s->control;
    int one = 1;

    while (e->listening) {
        int fd = accept4(e->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            return;
        struct served *k = calloc(1, sizeof(*k));
        if (k == NULL) {
            close(fd);
            return;
        }
        k->source.endpoint = source->endpoint;
        k->fd = fd;
        message_begin(&k->request, MESSAGE_REQUEST);
        TAILQ_INSERT_TAIL(&s->open, k, entry);
        e->connections++;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                    .data.ptr = k};
        if (epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &event) != 0)
            drop(s, k, false);
    }
}

static void drop(struct server *s, struct served *k, bool reset) {
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};

    if (k->state == SERVE_WAITING)
        TAILQ_REMOVE(&s->delayed, k, delayed);
    if (reset)
        setsockopt(k->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    close(k->fd);
    k->fd = -1;
    k->state = SERVE_SILENT;
    TAILQ_REMOVE(&s->open, k, entry);
    TAILQ_INSERT_TAIL(&s->closed, k, entry);
}

/* Events of the same turn may still have named what drop() put aside. */
static void sweep(struct server *s) {
    struct served *k;

    while ((k = TAILQ_FIRST(&s->closed)) != NULL) {
        TAILQ_REMOVE(&s->closed, k, entry);
        message_end(&k->request);
        free(k->owned);
        free(k);
    }
}

/* False where it could not all go out: more on EPOLLOUT, or the connection is gone. */
static bool flush(struct server *s, struct served *k) {
    while (k->out_left > 0 || k->fill_left > 0) {
        const char *from = k->out_left > 0 ? k->out : s->fill;
        size_t fill = k->fill_left < FILL_SIZE ? (size_t)k->fill_left : FILL_SIZE;
        size_t len = k->out_left > 0 ? k->out_left : fill;
        int more = k->out_left > 0 && k->fill_left > 0 ? MSG_MORE : 0;
        ssize_t n = send(k->fd, from, len, MSG_NOSIGNAL | more);
        if (n < 0) {
            if (errno != EAGAIN && errno != EINTR)
                drop(s, k, false);
            return false;
        }
        if (k->out_left > 0) {
            k->out += n;
            k->out_left -= (size_t)n;
        } else {
            k->fill_left -= (uint64_t)n;
        }
    }
    return true;
}

/* The answer is out: on to the next request. False where there is none. */
static bool finish_answer(struct server *s, struct served *k) {
    bool last = k->request.close;

    message_begin(&k->request, MESSAGE_REQUEST);
    k->state = SERVE_READING;
    if (last)
        drop(s, k, false);
    return !last;
}

/* Reads once. A whole request is taken; anything after it is pipelined, which
 * nobody is expected to do. False where there was nothing to read. */
static bool read_once(struct server *s, struct served *k, bool *drained) {
    ssize_t n = recv(k->fd, s->buffer, READ_SIZE, 0);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (n <= 0) {
        drop(s, k, false);
        return false;
    }
    *drained = n < READ_SIZE;
    ssize_t used = message_feed(&k->request, s->buffer, (size_t)n);
    if (used != n) {
        drop(s, k, true);
        return false;
    }
    if (k->request.state == MESSAGE_DONE)
        take_request(s, k);
    return true;
}

/* Writes what is to be written, then reads and answers until there is nothing
 * to read. Edge-triggered: a short read has emptied the socket, and whatever
 * comes later is a new edge. */
static void pump(struct server *s, struct served *k) {
    bool drained = false;

    for (;;) {
        if (k->state == SERVE_WRITING && (!flush(s, k) || !finish_answer(s, k)))
            return;
        if (k->state != SERVE_READING || drained)
            return;
        if (!read_once(s, k, &drained))
            return;
    }
}

static void serve(struct server *s, struct served *k, uint32_t events) {
    if (k->fd < 0)
        return;
    bool gone = (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
    if (gone && k->state != SERVE_READING) { /* nobody waits for the answer any more */
        drop(s, k, false);
        return;
    }
    pump(s, k);
    if (gone && k->fd >= 0)
        drop(s, k, false);
}

/* ---- requests ---- */

static bool is_check(const struct message *m) {
    return strcmp(m->path, "/health") == 0;
}

static void count_request(struct server *s, struct endpoint *e, const struct message *m) {
    uint64_t at = server_since_start(s);
    bool in_fault = server_started(s) && fault_window_holds(&e->window, at);
    struct endpoint_counts *counts[2] = {&e->all, in_fault ? &e->in_fault : NULL};
    bool post = strcmp(m->method, "POST") == 0;

    for (unsigned i = 0; i < 2 && counts[i] != NULL; i++) {
        counts[i]->checks += is_check(m);
        counts[i]->posts += !is_check(m) && post;
        counts[i]->gets += !is_check(m) && !post;
    }
    if (!is_check(m) && server_started(s) && at / 1000000000ull < ENDPOINT_SECONDS_MAX)
        e->seconds[at / 1000000000ull]++;
    if (post && m->numbered)
        posts_add(&s->posts, m->number);
    else if (post)
        s->posts.unnumbered++;
}

static void prepare_answer(struct served *k, struct endpoint *e) {
    unsigned long long size;

    k->out = e->answer;
    k->out_left = e->answer_len;
    k->fill_left = 0;
    if (strncmp(k->request.path, "/size/", 6) != 0)
        return;
    size = strtoull(k->request.path + 6, NULL, 10);
    int n = snprintf(k->head, sizeof(k->head),
                     "HTTP/1.1 200 OK\r\nServer: bench\r\nContent-Type: text/plain\r\n"
                     "X-Upstream: %c\r\nContent-Length: %llu\r\n\r\n",
                     e->name, size);
    k->out = k->head;
    k->out_left = (size_t)n;
    k->fill_left = size;
}

static void prepare_failure(struct served *k, const struct endpoint *e) {
    int n = snprintf(k->head, sizeof(k->head), failure, e->name);

    k->out = k->head;
    k->out_left = (size_t)n;
    k->fill_left = 0;
}

/* Health checks alternate by themselves: were they in the same count as the
 * requests, each could be made to see only the good half. */
static bool second_one(struct endpoint *e, const struct message *m) {
    bool *odd = is_check(m) ? &e->odd_check : &e->odd;

    *odd = !*odd;
    return !*odd;
}

static void take_request(struct server *s, struct served *k) {
    struct endpoint *e = k->source.endpoint;

    if (e == NULL) {
        control_answer(s, k);
        return;
    }
    count_request(s, e, &k->request);
    if (e->fault == FAULT_HUNG) {
        k->state = SERVE_SILENT;
        return;
    }
    if (e->fault == FAULT_HALF500 && second_one(e, &k->request))
        prepare_failure(k, e);
    else
        prepare_answer(k, e);
    e->all.answers++;
    if (e->fault == FAULT_SLOW2S) {
        k->due_ns = s->now_ns + SLOW_NS;
        k->state = SERVE_WAITING;
        TAILQ_INSERT_TAIL(&s->delayed, k, delayed);
    } else {
        k->state = SERVE_WRITING;
    }
}
