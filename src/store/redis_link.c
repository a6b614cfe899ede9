/* redis_link.c - a connection to a Redis by hiredis, on an event loop of ours.
 *
 *     begin ─▶ connecting ─▶ greeting (AUTH, SELECT, PING) ─▶ ready
 *       ▲          │                │                          │
 *       └─ timer ──┴────────────────┴──────────────────────────┘ any failure
 *
 * hiredis calls our hooks to be told when the socket is ready, and frees the
 * context itself when a connection breaks; then its callbacks have run. */
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/un.h>

#include "base/random.h"
#include "store/redis_priv.h"

#define MS(n) ((uint64_t)(n)*1000000)

/* Nobody waits so long; it is for the connection only. */
static const uint64_t GREETING_NS = MS(1000), SILENCE_NS = MS(1000);
static const uint64_t AGAIN_MIN_NS = MS(100), AGAIN_MAX_NS = MS(5000);

/* Of one answer; a larger one is not ours. */
enum { BUFFER_MAX = 2 * REDIS_CACHE_RECORD_MAX + 65536 };

/* ---- the loop's side -------------------------------------------------------------- */

static void set_interest(struct redis_link *l, uint32_t interest) {
    if (interest == l->interest)
        return;
    l->interest = interest;
    if (l->watch.io)
        (void)io_watch_change(&l->watch, interest);
}

static void add_read(void *link) {
    struct redis_link *l = link;
    set_interest(l, l->interest | EPOLLIN);
}

static void del_read(void *link) {
    struct redis_link *l = link;
    set_interest(l, l->interest & ~(uint32_t)EPOLLIN);
}

static void add_write(void *link) {
    struct redis_link *l = link;
    set_interest(l, l->interest | EPOLLOUT);
}

static void del_write(void *link) {
    struct redis_link *l = link;
    set_interest(l, l->interest & ~(uint32_t)EPOLLOUT);
}

/* Before hiredis closes the socket. */
static void cleanup(void *link) {
    struct redis_link *l = link;
    io_watch_stop(&l->watch);
    l->interest = 0;
}

static void on_event(struct io_watch *w, uint32_t events) {
    struct redis_link *l = container_of(w, struct redis_link, watch);
    redisAsyncContext *c = l->context;
    uint32_t wanted = l->interest;
    if (events & (EPOLLERR | EPOLLHUP))
        events |= wanted;
    if (events & wanted & EPOLLIN) {
        l->heard_ns = io_now(l->io);
        redisAsyncHandleRead(c);
        if (l->context == c && c->c.reader->len > BUFFER_MAX) {
            redis_link_fail(l, "an answer is longer than anything that was stored");
            return;
        }
    }
    if (l->context == c && (events & l->interest & EPOLLOUT))
        redisAsyncHandleWrite(c);
}

/* ---- states ------------------------------------------------------------------------- */

static void tell(struct redis_link *l, const char *cause) {
    bool same = l->told && (l->cause == NULL) == (cause == NULL);
    l->told = true;
    l->cause = cause;
    if (!same)
        l->options->on_state(l->options->arg, cause);
}

static void again(struct redis_link *l, const char *cause) {
    uint32_t doublings = l->failures < 6 ? l->failures : 6;
    uint64_t wait_ns = AGAIN_MIN_NS << doublings;
    wait_ns = wait_ns < AGAIN_MAX_NS ? wait_ns : AGAIN_MAX_NS;
    wait_ns = wait_ns / 2 + random_up_to(random_next(&l->random), wait_ns / 2);
    l->ready = false;
    l->context = NULL;
    l->failures++;
    io_timer_set(l->io, &l->timer, io_now(l->io) + wait_ns);
    tell(l, cause);
}

void redis_link_end(struct redis_link *l) {
    redisAsyncContext *c = l->context;
    l->context = NULL;
    l->ready = false;
    io_timer_clear(l->io, &l->timer);
    if (c)
        redisAsyncFree(c);
}

void redis_link_fail(struct redis_link *l, const char *cause) {
    redis_link_end(l);
    again(l, cause);
}

static struct redis_link *link_of(const redisAsyncContext *c) {
    return c->data;
}

static void on_connect(const redisAsyncContext *c, int status) {
    struct redis_link *l = link_of(c);
    if (l->context == c && status != REDIS_OK) /* hiredis frees it */
        again(l, "cannot be reached");
}

static void on_disconnect(const redisAsyncContext *c, int status) {
    struct redis_link *l = link_of(c);
    (void)status;
    if (l->context == c)
        again(l, "the connection broke");
}

void redis_link_watch(struct redis_link *l) {
    if (!l->ready)
        return;
    io_timer_set(l->io, &l->timer, *l->waiting ? l->heard_ns + SILENCE_NS : UINT64_MAX);
}

static void begin(struct redis_link *);

static void on_timer(struct io_timer *t) {
    struct redis_link *l = container_of(t, struct redis_link, timer);
    if (!l->context)
        begin(l);
    else
        redis_link_fail(l, "does not answer");
}

/* ---- greeting ------------------------------------------------------------------------- */

static void on_greeted(redisAsyncContext *c, void *reply, void *last) {
    struct redis_link *l = link_of(c);
    const redisReply *r = reply;
    if (l->context != c || !r) /* told by on_disconnect, or ended by us */
        return;
    if (r->type == REDIS_REPLY_ERROR) {
        const char *cause = last ? "refuses to answer" : "refuses user, password or database";
        l->context = NULL;
        redisAsyncFree(c); /* when this callback is over */
        again(l, cause);
        return;
    }
    if (!last)
        return;
    l->ready = true;
    l->failures = 0;
    tell(l, NULL);
    l->on_ready(l);
    redis_link_watch(l);
}

static bool greet(struct redis_link *l) {
    const struct redis_cache_options *o = l->options;
    redisAsyncContext *c = l->context;
    int failed = 0;
    if (o->password && o->user)
        failed |= redisAsyncCommand(c, on_greeted, NULL, "AUTH %s %s", o->user, o->password);
    else if (o->password)
        failed |= redisAsyncCommand(c, on_greeted, NULL, "AUTH %s", o->password);
    if (o->database)
        failed |= redisAsyncCommand(c, on_greeted, NULL, "SELECT %u", o->database);
    failed |= redisAsyncCommand(c, on_greeted, l, "PING");
    return !failed;
}

static redisAsyncContext *connect_to(const struct sockaddr_storage *address, socklen_t len) {
    char host[NI_MAXHOST], port[NI_MAXSERV];
    if (address->ss_family == AF_UNIX)
        return redisAsyncConnectUnix(((const struct sockaddr_un *)address)->sun_path);
    if (getnameinfo((const struct sockaddr *)address, len, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        return NULL;
    return redisAsyncConnect(host, atoi(port));
}

static void attach(struct redis_link *l, redisAsyncContext *c) {
    l->context = c;
    c->data = l;
    c->ev.data = l;
    c->ev.addRead = add_read;
    c->ev.delRead = del_read;
    c->ev.addWrite = add_write;
    c->ev.delWrite = del_write;
    c->ev.cleanup = cleanup;
    l->interest = 0;
    redisAsyncSetDisconnectCallback(c, on_disconnect);
}

static void begin(struct redis_link *l) {
    struct sockaddr_storage address;
    socklen_t len;
    bool known = l->options->address(l->options->arg, &address, &len);
    redisAsyncContext *c = known ? connect_to(&address, len) : NULL;
    if (!c || c->err || io_watch_start(l->io, &l->watch, c->c.fd, 0) < 0) {
        if (c)
            redisAsyncFree(c);
        again(l, known ? "cannot be reached" : "its name has no address");
        return;
    }
    attach(l, c);
    redisAsyncSetConnectCallback(c, on_connect); /* asks for the socket to be watched */
    if (!greet(l)) {
        redis_link_fail(l, "cannot be reached");
        return;
    }
    l->heard_ns = io_now(l->io);
    io_timer_set(l->io, &l->timer, io_now(l->io) + GREETING_NS);
}

void redis_link_begin(struct redis_link *l) {
    io_timer_set(l->io, &l->timer, io_now(l->io));
}

void redis_link_init(struct redis_link *l) {
    io_watch_init(&l->watch, on_event);
    io_timer_init(&l->timer, on_timer);
}
