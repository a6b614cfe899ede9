/* tcp.c - see tcp.h: how a session begins and ends, and what its call says. */
#include "gateway/tcp.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "gateway/client.h"
#include "gateway/drills.h"
#include "gateway/gateway.h"
#include "gateway/manager.h"
#include "observe/log.h"

#define HOMELESS_QUIET_NS SWG_MINUTES(1)

static void on_timer(struct io_timer *);
static void on_grant(struct swg_waiter *);

/* ---- beginning ------------------------------------------------------------------ */

static void refuse_socket(int fd) {
    const struct linger reset = {.l_onoff = 1, .l_linger = 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(fd);
}

/* A peer whose machine has gone is found out even where idle is off. */
static void keep_alive(int fd) {
    const int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
}

/* A reload has taken away the service of a listener, which needs a restart to go. */
static void tell_homeless(struct worker *w, uint32_t listen_index) {
    const struct listen_options *l = &w->gateway->listening->listens[listen_index];
    struct log_line line;
    if (w->homeless_ns && io_now(w->io) - w->homeless_ns < HOMELESS_QUIET_NS)
        return;
    w->homeless_ns = io_now(w->io);
    if (!log_begin(&line, LOG_WARN, "connections are refused: their service is gone"))
        return;
    log_str(&line, "address", l->address);
    log_str(&line, "service", l->service);
    log_end(&line);
}

static struct tcp_session *make(struct worker *w, int fd, const struct in6_addr *address) {
    struct tcp_session *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    io_stream_init(&s->client, &tcp_client_ops);
    io_stream_init(&s->upstream, &tcp_upstream_ops);
    if (io_adopt(w->io, &s->client, fd) < 0) {
        free(s);
        return NULL;
    }
    s->worker = w;
    s->address = *address;
    s->started_ns = s->moved_ns = io_now(w->io);
    s->wake_ns = SWG_NEVER;
    io_timer_init(&s->timer, on_timer);
    list_push_back(&w->tcp_sessions, &s->link);
    return s;
}

static void start(struct tcp_session *s) {
    struct worker *w = s->worker;
    const struct swg_request request = {
        .idempotent = true, /* connecting is; nothing has been sent before it succeeds */
        .refuse = emergency_sheds(w->gateway, s->service) ? SWG_REFUSED_EMERGENCY : SWG_ADMITTED,
        .rate = s->service->options->rate_per_client
                    ? gateway_client_limiter(w->gateway, s->service, &s->address)
                    : NULL,
        .seed = worker_random(w),
    };
    tcp_run(s, swg_call_start(&s->call, s->service->policy, &request, on_grant, io_now(w->io)));
}

void tcp_accept(struct worker *w, uint32_t listen_index, int fd, const struct sockaddr *peer) {
    struct in6_addr address;
    uint16_t port;
    worker_catch_up(w);
    struct service *service = w->plan->listen_services[listen_index];
    client_read_address(peer, &address, &port);
    if (!service) {
        tell_homeless(w, listen_index);
        refuse_socket(fd);
        return;
    }
    if (!client_enter(w, &address)) {
        tcp_count_limited(w, service);
        refuse_socket(fd);
        return;
    }
    struct tcp_session *s = make(w, fd, &address);
    if (!s) {
        client_leave(w, &address);
        tcp_count_limited(w, service);
        refuse_socket(fd);
        return;
    }
    if (peer->sa_family != AF_UNIX)
        keep_alive(fd);
    s->listen_index = listen_index;
    s->plan = plan_hold(w->plan);
    s->service = service;
    tcp_count_began(s);
    start(s);
}

/* ---- what the call says ------------------------------------------------------------ */

static bool is_local_error(int os_error) {
    return os_error == EMFILE || os_error == ENFILE || os_error == ENOMEM || os_error == ENOBUFS ||
           os_error == EADDRNOTAVAIL;
}

/* Starts to connect; 0 or -errno. */
static int connect_to(struct tcp_session *s, uint32_t endpoint) {
    struct worker *w = s->worker;
    struct sockaddr_storage address;
    socklen_t len;
    if (!target_pick_address(s->service->targets[endpoint], &address, &len))
        return -ENETUNREACH;
    int error = io_connect(w->io, &s->upstream, (struct sockaddr *)&address, len);
    if (error == -EMFILE || error == -ENFILE)
        worker_shed(w);
    if (!error && address.ss_family != AF_UNIX)
        keep_alive(s->upstream.fd);
    return error;
}

/* As if it had been refused: nothing was sent, another endpoint is tried. */
static int attempt(struct tcp_session *s) {
    s->held_until_ns = 0;
    if (s->drill.hit && s->drill.kind != SWG__DRILL_DELAY)
        return -ECONNREFUSED;
    return connect_to(s, swg_call_story(&s->call)->endpoint);
}

/* A drill holds the attempt back; its time to connect runs meanwhile. */
static bool is_held(struct tcp_session *s, uint32_t endpoint) {
    struct worker *w = s->worker;
    const struct drill_attempt a = {s->service, endpoint, NULL};
    s->drill.hit = false;
    if (!drills_any(w->gateway->drills))
        return false;
    drills_choose(w->gateway->drills, w, &a, &s->drill);
    if (!s->drill.hit)
        return false;
    s->drilled = swg__drill_word(s->drill.kind);
    if (s->drill.delay_ns)
        s->held_until_ns = io_now(w->io) + s->drill.delay_ns;
    return s->drill.delay_ns > 0;
}

static struct swg_step failed(struct tcp_session *s, int error) {
    const struct swg_answer answer = {.kind = is_local_error(-error) ? SWG_UNAVAILABLE_LOCALLY
                                                                     : SWG_CONNECT_FAILED};
    return swg_call_on_answer(&s->call, &answer, io_now(s->worker->io));
}

static enum tcp_result failure(const struct swg_story *story) {
    if (story->reason != SWG_ADMITTED && story->reason != SWG_REFUSED_DEADLINE)
        return TCP_REFUSED;
    return story->timed_out || story->reason ? TCP_TIMED_OUT : TCP_FAILED;
}

void tcp_run(struct tcp_session *s, struct swg_step step) {
    for (;;) {
        uint64_t now_ns = io_now(s->worker->io);
        if (step.abandon) {
            io_close(&s->upstream);
            s->held_until_ns = 0;
        }
        s->wake_ns = step.wake_ns;
        int error;
        switch (step.action) {
        case SWG_DO_WAIT:
            tcp_set_timer(s);
            return;
        case SWG_DO_ATTEMPT:
            error = is_held(s, step.endpoint) ? 0 : attempt(s);
            if (!error) {
                tcp_set_timer(s);
                return;
            }
            step = failed(s, error);
            continue;
        case SWG_DO_RELAY:
            tcp_pass(s);
            return;
        case SWG_DO_LOOK_UP: /* a service of this kind has neither cache nor tiers */
            step = swg_call_on_cache(&s->call, false, now_ns);
            continue;
        case SWG_DO_FALL_BACK:
            step = swg_call_on_tier(&s->call, false, now_ns);
            continue;
        case SWG_DO_FINISH:
            s->over = true;
            tcp_cut(s, failure(swg_call_story(&s->call)));
            return;
        }
    }
}

/* The drill's delay is over: now it connects. */
static void end_hold(struct tcp_session *s) {
    int error = attempt(s);
    if (error)
        tcp_run(s, failed(s, error));
    else
        tcp_set_timer(s);
}

static void on_granted(struct io_task *task) {
    struct tcp_session *s = container_of(task, struct tcp_session, granted);
    struct worker *w = s->worker;
    struct swg_step step = swg_call_on_grant(&s->call, io_now(w->io));
    if (s->state != TCP_DEAD) {
        tcp_run(s, step);
        return;
    }
    s->grant_due = false; /* the client had gone: the call has given the slot back */
    list_push_back(&w->dead_tcp_sessions, &s->link);
    io_timer_set(w->io, &w->reaper, io_now(w->io));
}

static void on_grant(struct swg_waiter *waiter) {
    struct swg_call *call = container_of(waiter, struct swg_call, waiter);
    struct tcp_session *s = container_of(call, struct tcp_session, call);
    s->granted = (struct io_task){NULL, on_granted};
    io_post(s->worker->io, &s->granted);
}

void tcp_drain(struct tcp_session *s) {
    if (s->state == TCP_CALLING)
        tcp_run(s, swg_call_on_shutdown(&s->call, io_now(s->worker->io)));
}

/* ---- time ---------------------------------------------------------------------------- */

/* Set for the earliest that can be due, and not moved for every byte: when it fires it
 * looks what it is for by now. */
void tcp_set_timer(struct tcp_session *s) {
    uint64_t due = s->wake_ns;
    if (s->held_until_ns && s->held_until_ns < due)
        due = s->held_until_ns;
    if (s->state == TCP_PASSING) {
        uint64_t idle = tcp_idle_due_ns(s);
        due = idle < due ? idle : due;
    }
    if (due != s->timer.due_ns)
        io_timer_set(s->worker->io, &s->timer, due);
}

static void on_timer(struct io_timer *t) {
    struct tcp_session *s = container_of(t, struct tcp_session, timer);
    uint64_t now_ns = io_now(s->worker->io);
    switch ((enum tcp_state)s->state) {
    case TCP_CALLING:
        if (s->wake_ns > now_ns && s->held_until_ns && s->held_until_ns <= now_ns)
            end_hold(s);
        else
            tcp_run(s, swg_call_on_timer(&s->call, now_ns));
        return;
    case TCP_PASSING:
        if (s->wake_ns <= now_ns && s->awaited) {
            tcp_await(s);
            return;
        }
        if (s->wake_ns <= now_ns)
            s->wake_ns = swg_call_on_timer(&s->call, now_ns).wake_ns;
        if (tcp_is_idle(s))
            tcp_cut(s, TCP_IDLE);
        else
            tcp_set_timer(s);
        return;
    case TCP_CUTTING:
        tcp_look_at_cut(s);
        return;
    case TCP_DEAD:
        return;
    }
}

/* ---- the end --------------------------------------------------------------------------- */

void tcp_tell_end(struct tcp_session *s, bool whole) {
    uint64_t now_ns = io_now(s->worker->io);
    if (s->over)
        return;
    /* Who goes while a first byte is awaited goes as from any call that is under way. */
    bool cancel = s->state == TCP_CALLING || (s->awaited && whole);
    if (s->awaited && !whole)
        (void)swg_call_on_answer(&s->call,
                                 &(struct swg_answer){.kind = SWG_ANSWERED, .status = 200}, now_ns);
    struct swg_step step =
        cancel ? swg_call_on_cancel(&s->call, now_ns) : swg_call_on_end(&s->call, whole, now_ns);
    s->over = true;
    s->grant_due = step.action == SWG_DO_WAIT;
}

void tcp_bury(struct tcp_session *s, enum tcp_result result) {
    struct worker *w = s->worker;
    tcp_tell_end(s, true);
    s->result = (uint8_t)result;
    s->state = TCP_DEAD;
    io_close(&s->client);
    io_close(&s->upstream);
    io_timer_clear(w->io, &s->timer);
    list_remove(&s->link);
    client_leave(w, &s->address);
    tcp_count_ended(s);
    tcp_log(s);
    plan_release(s->plan);
    s->plan = NULL;
    s->service = NULL;
    if (s->grant_due)
        return;
    list_push_back(&w->dead_tcp_sessions, &s->link);
    io_timer_set(w->io, &w->reaper, io_now(w->io));
}

void tcp_cut(struct tcp_session *s, enum tcp_result result) {
    io_abort(&s->client);
    io_abort(&s->upstream);
    tcp_bury(s, result);
}
