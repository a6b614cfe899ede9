/* server.c - see server.h. */
#include "cli/server.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/un.h>
#include <unistd.h>

#include <switchgear/run.h>

#include "admin/admin.h"
#include "cli/confine.h"
#include "cli/heir.h"
#include "cli/names.h"
#include "cli/notify.h"
#include "cli/stall.h"
#include "cli/upgrade.h"
#include "cli/watchdog.h"
#include "gateway/health.h"
#include "gateway/history.h"
#include "gateway/policy_history.h"
#include "gateway/queue.h"
#include "gateway/snapshot.h"
#include "gateway/stores.h"
#include "gateway/trace_export.h"
#include "gateway/worker.h"
#include "loop/listener.h"
#include "loop/signals.h"
#include "observe/events.h"
#include "observe/log.h"
#include "observe/metrics.h"
#include "store/sql.h"

#define TICK_NS        SWG_MS(250)
#define SETTLE_NS      SWG_SECONDS(6) /* for the first answers of the name servers */
#define STORE_PAUSE_NS 10000000L      /* between two looks whether the outbox is free */
#define DRAIN_CHECK_NS SWG_MS(20)
#define RESUME_NS      SWG_MS(20)

/* Sockets of one listener that came from elsewhere. */
enum { FOUND_MAX = 1024 };

enum server_state { RUNNING, DELAY, CLOSING, FINISHING, STOPPED };

struct lane;

struct socket {
    struct loop_listener listener;
    struct lane *lane;
    uint32_t index; /* in the options */
};

struct lane {
    struct server *server;
    struct loop *loop;
    struct worker *worker;
    struct socket *sockets;
    uint32_t socket_count;
    uint32_t sockets_open; /* while draining; lane thread */
    struct loop_hook flush;
    struct stall stall;
    struct io_task drain, drained;
    struct io_timer resume; /* when accepting was paused */
    bool paused, draining;
    pthread_t thread;
    bool running;
};

struct server {
    enum server_state state;
    struct gateway_options *options; /* as at start: what listens */
    struct loop *control;
    struct metrics *metrics;
    struct events *events;
    struct gateway *gateway;
    struct names *names;
    struct health *health;
    struct trace_export *traces;
    struct admin *admin;
    struct loop_listener admin_listener;
    struct loop_signals signals;
    struct loop_hook flush;
    struct notify notify;
    struct watchdog *watchdog;
    struct stall stall;
    struct io_timer tick, drain_timer;
    uint32_t lanes_draining;
    uint32_t lane_count;
    struct lane *lanes;
    bool second_signal;
    struct heir *heir; /* what came from elsewhere */
    const struct launch *launch;
    struct upgrade upgrade;
    struct pass_on passing; /* to the next process */
    uint64_t adopted;       /* listeners whose sockets the next one uses, a bit each */
    uint32_t passed;        /* clients that came; they go round the lanes */
};

/* ---- lanes --------------------------------------------------------------------- */

/* So many clients as the descriptors allow: further ones wait in the kernel's
 * queue, and those that are served go on to be. */
static bool is_full(const struct lane *lane) {
    const struct gateway *g = lane->server->gateway;
    return atomic_load_explicit(&g->clients, memory_order_relaxed) >= g->connections_max;
}

static void pause_accepting(struct lane *lane) {
    struct io *io = loop_io(lane->loop);
    for (uint32_t i = 0; !lane->paused && i < lane->socket_count; i++)
        loop_listener_pause(&lane->sockets[i].listener);
    lane->paused = true;
    io_timer_set(io, &lane->resume, io_now(io) + RESUME_NS);
}

static void on_resume(struct io_timer *t) {
    struct lane *lane = container_of(t, struct lane, resume);
    if (!lane->draining && is_full(lane)) {
        worker_shed_clients(lane->worker);
        pause_accepting(lane);
        return;
    }
    lane->paused = false;
    for (uint32_t i = 0; i < lane->socket_count; i++)
        loop_listener_resume(&lane->sockets[i].listener);
}

static void on_accept(struct loop_listener *l, int fd, const struct sockaddr_storage *peer,
                      socklen_t len) {
    struct socket *s = container_of(l, struct socket, listener);
    (void)len;
    worker_accept(s->lane->worker, s->index, fd, (const struct sockaddr *)peer);
    if (is_full(s->lane))
        worker_shed_clients(s->lane->worker);
    if (is_full(s->lane))
        pause_accepting(s->lane);
}

static void on_full(struct loop_listener *l, int os_error) {
    struct socket *s = container_of(l, struct socket, listener);
    if (os_error == EMFILE || os_error == ENFILE)
        worker_shed(s->lane->worker);
}

static void on_lane_drained(struct io_task *);

static void on_socket_drained(struct loop_listener *l) {
    struct lane *lane = container_of(l, struct socket, listener)->lane;
    if (--lane->sockets_open == 0) {
        lane->drained = (struct io_task){NULL, on_lane_drained};
        io_post(loop_io(lane->server->control), &lane->drained);
    }
}

static const struct loop_listener_ops listener_ops = {
    .on_accept = on_accept, .on_full = on_full, .on_drained = on_socket_drained};

static void flush_log(struct loop_hook *hook) {
    (void)hook;
    log_flush();
}

static void *lane_main(void *arg) {
    struct lane *lane = arg;
    loop_run(lane->loop);
    return NULL;
}

static int lane_create(struct server *s, struct lane *lane, uint32_t index) {
    lane->server = s;
    lane->sockets =
        calloc(s->options->listen_count + s->heir->sockets.count, sizeof *lane->sockets);
    if (!lane->sockets || loop_create(&lane->loop) < 0)
        return -1;
    lane->worker = worker_create(s->gateway, index, loop_io(lane->loop));
    if (!lane->worker)
        return -1;
    s->gateway->workers[index] = lane->worker;
    lane->flush.run = flush_log;
    io_timer_init(&lane->resume, on_resume);
    loop_hook_add(lane->loop, &lane->flush);
    return 0;
}

static void lane_stop(struct lane *lane) {
    if (lane->running) {
        loop_stop(lane->loop);
        pthread_join(lane->thread, NULL);
    }
    for (uint32_t i = 0; i < lane->socket_count; i++)
        loop_listener_close(&lane->sockets[i].listener);
    if (lane->resume.on_due)
        io_timer_clear(loop_io(lane->loop), &lane->resume);
}

static void lane_destroy(struct lane *lane) {
    worker_destroy(lane->worker);
    if (lane->loop)
        loop_destroy(lane->loop);
    free(lane->sockets);
}

/* Lanes hand things to each other: a slot that is freed here is somebody's there.
 * So first all threads end, then all requests, and then what was handed over
 * arrives, while whom it is for still exists. */
static void lanes_end(struct server *s) {
    for (uint32_t i = 0; i < s->lane_count; i++)
        lane_stop(&s->lanes[i]);
    for (uint32_t i = 0; i < s->lane_count; i++) {
        if (s->lanes[i].worker)
            worker_abort_all(s->lanes[i].worker);
    }
    if (s->gateway)
        stores_stop(s->gateway->stores);
    for (uint32_t i = 0; i < s->lane_count; i++) {
        if (s->lanes[i].loop)
            loop_turn(s->lanes[i].loop, 0);
    }
}

/* ---- listening ------------------------------------------------------------------- */

static int resolve_listen(const struct listen_options *o, struct sockaddr_storage *out,
                          socklen_t *len) {
    if (o->unix_path) {
        struct sockaddr_un *un = (struct sockaddr_un *)out;
        un->sun_family = AF_UNIX;
        int n = snprintf(un->sun_path, sizeof un->sun_path, "%s", o->unix_path);
        *len = sizeof *un;
        return n >= 0 && (size_t)n < sizeof un->sun_path ? 0 : -ENAMETOOLONG;
    }
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found;
    char port[8];
    snprintf(port, sizeof port, "%u", o->port);
    if (getaddrinfo(o->host, port, &hints, &found) != 0)
        return -EADDRNOTAVAIL;
    memcpy(out, found->ai_addr, found->ai_addrlen);
    *len = found->ai_addrlen;
    freeaddrinfo(found);
    return 0;
}

static struct socket *add_socket(struct lane *lane, uint32_t index) {
    struct socket *socket = &lane->sockets[lane->socket_count++];
    socket->lane = lane;
    socket->index = index;
    loop_listener_init(&socket->listener, &listener_ops);
    return socket;
}

static struct socket *find_socket(struct lane *lane, uint32_t index) {
    uint32_t i = 0;
    while (lane->sockets[i].index != index)
        i++;
    return &lane->sockets[i];
}

/* As two processes of an upgrade name it: with another protocol it is another. */
static void write_listener(const struct listen_options *o, char *out, size_t size) {
    snprintf(out, size, "%s%s", o->protocol == PROTOCOL_TCP ? "tcp " : "", o->address);
}

/* Those that somebody has opened for us: each lane gets one, and each of them a lane,
 * since each has a queue of its own. */
static int adopt_sockets(struct server *s, uint32_t index, const uint32_t *found, uint32_t count) {
    struct inherited *all = s->heir->sockets.sockets;
    uint32_t turns = count > s->lane_count ? count : s->lane_count;
    char written[256];
    int error = 0;
    for (uint32_t i = 0; !error && i < turns; i++) {
        struct inherited *from = &all[found[i % count]];
        const struct loop_listener_options o = {.held = from->held,
                                                .own_path = i == 0 && from->own_path};
        struct lane *lane = &s->lanes[i % s->lane_count];
        int fd = i + count < turns ? fcntl(from->fd, F_DUPFD_CLOEXEC, 3) : from->fd;
        error = fd < 0
                    ? -errno
                    : loop_listener_adopt(&add_socket(lane, index)->listener, lane->loop, fd, &o);
        if (error && fd >= 0)
            close(fd);
        if (error || i + count >= turns)
            from->fd = -1;
        heir_adopt(s->heir, from);
    }
    write_listener(&s->options->listens[index], written, sizeof written);
    heir_note(s->heir, &all[found[0]], written, index);
    return error;
}

/* The first lane binds; the others bind beside it, or share a unix socket. */
static int open_socket(struct lane *lane, uint32_t index, struct sockaddr_storage *address,
                       socklen_t *len) {
    struct server *s = lane->server;
    struct socket *socket = add_socket(lane, index);
    struct loop_listener_options o = {.reuse_port = true, .claim = lane == s->lanes};
    if (lane != s->lanes && address->ss_family == AF_UNIX) {
        int fd = fcntl(find_socket(s->lanes, index)->listener.fd, F_DUPFD_CLOEXEC, 3);
        int error = fd < 0 ? -errno : loop_listener_adopt(&socket->listener, lane->loop, fd, &o);
        if (error && fd >= 0)
            close(fd);
        return error;
    }
    o.reuse_port = address->ss_family != AF_UNIX;
    o.claim = o.claim && o.reuse_port;
    int error =
        loop_listener_open(&socket->listener, lane->loop, (struct sockaddr *)address, *len, &o);
    if (!error && lane == s->lanes) { /* port 0 is a real one now */
        *address = socket->listener.address;
        *len = socket->listener.address_len;
    }
    return error;
}

static void say_listening(const char *what, const struct listen_options *o,
                          const struct sockaddr_storage *address, socklen_t len) {
    char host[64] = "", port[16] = "";
    struct log_line line;
    if (!o->unix_path)
        getnameinfo((const struct sockaddr *)address, len, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV);
    if (log_begin(&line, LOG_INFO, what)) {
        char text[128];
        snprintf(text, sizeof text, strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
        log_str(&line, "address", o->unix_path ? o->address : text);
        log_end(&line);
    }
}

static int listen_all(struct server *s) {
    for (uint32_t i = 0; i < s->options->listen_count; i++) {
        const struct listen_options *o = &s->options->listens[i];
        struct sockaddr_storage address = {0};
        socklen_t len = 0;
        uint32_t found[FOUND_MAX], count = 0;
        char written[256];
        int error = resolve_listen(o, &address, &len);
        write_listener(o, written, sizeof written);
        if (!error)
            count = inherit_find(&s->heir->sockets, written, (struct sockaddr *)&address, len,
                                 found, FOUND_MAX);
        if (count) {
            address = s->heir->sockets.sockets[found[0]].address;
            len = s->heir->sockets.sockets[found[0]].len;
            error = adopt_sockets(s, i, found, count);
        }
        for (uint32_t l = 0; !count && !error && l < s->lane_count; l++)
            error = open_socket(&s->lanes[l], i, &address, &len);
        if (error) {
            fprintf(stderr, "switchgear: cannot listen on %s: %s\n", o->address, strerror(-error));
            if (error == -EADDRINUSE)
                fprintf(stderr, "  another program has it; stop that, or change `listen`\n");
            return -1;
        }
        say_listening("listening", o, &address, len);
    }
    return 0;
}

/* ---- draining ---------------------------------------------------------------------- */

static void stop(struct server *s) {
    s->state = STOPPED;
    io_timer_clear(loop_io(s->control), &s->drain_timer);
    loop_stop(s->control);
}

static void drain_lane(struct io_task *task) {
    struct lane *lane = container_of(task, struct lane, drain);
    lane->sockets_open = lane->socket_count;
    lane->draining = true;
    if (lane->paused)
        on_resume(&lane->resume);
    for (uint32_t i = 0; i < lane->socket_count; i++) {
        struct socket *socket = &lane->sockets[i];
        if (socket->index < HEIR_LISTENERS && lane->server->adopted >> socket->index & 1) {
            loop_listener_leave(&socket->listener);
            on_socket_drained(&socket->listener);
        } else {
            loop_listener_drain(&socket->listener);
        }
    }
}

static void on_lane_drained(struct io_task *task) {
    struct server *s = container_of(task, struct lane, drained)->server;
    if (s->state != CLOSING || --s->lanes_draining)
        return;
    struct io *io = loop_io(s->control);
    struct plan *plan = gateway_plan(s->gateway);
    s->state = FINISHING;
    s->gateway->drain_until_ns = io_now(io) + plan->options->drain.timeout_ns;
    plan_release(plan);
    gateway_drain(s->gateway, true); /* not those that go to the next process */
    io_timer_set(io, &s->drain_timer, io_now(io) + DRAIN_CHECK_NS);
}

static void close_listeners(struct server *s) {
    s->state = CLOSING;
    s->lanes_draining = s->lane_count;
    for (uint32_t i = 0; i < s->lane_count; i++) {
        s->lanes[i].drain = (struct io_task){NULL, drain_lane};
        io_post(loop_io(s->lanes[i].loop), &s->lanes[i].drain);
    }
}

static void on_drain_timer(struct io_timer *t) {
    struct server *s = container_of(t, struct server, drain_timer);
    struct io *io = loop_io(s->control);
    if (s->state == DELAY) {
        close_listeners(s);
        return;
    }
    if (s->state != FINISHING)
        return;
    if (gateway_is_idle(s->gateway) && trace_export_is_settled(s->traces)) {
        log_message(LOG_INFO, "drained");
        stop(s);
    } else if (io_now(io) >= s->gateway->drain_until_ns) {
        struct log_line line;
        if (log_begin(&line, LOG_WARN, "drain time is over; requests are cut off")) {
            log_uint(&line, "requests", atomic_load(&s->gateway->exchanges));
            log_uint(&line, "connections", atomic_load(&s->gateway->clients));
            log_end(&line);
        }
        stop(s);
    } else {
        io_timer_set(io, t, io_now(io) + DRAIN_CHECK_NS);
    }
}

void server_drain(struct server *s, bool skip_delay) {
    if (s->state != RUNNING)
        return;
    upgrade_call_off(&s->upgrade, "the gateway is draining");
    struct io *io = loop_io(s->control);
    struct plan *plan = gateway_plan(s->gateway);
    uint64_t delay_ns = skip_delay ? 0 : plan->options->drain.delay_ns;
    if (delay_ns == SWG_OFF)
        delay_ns = 0;
    s->state = DELAY;
    notify_say(&s->notify, "STOPPING=1\nSTATUS=Draining");
    s->gateway->drain_until_ns = io_now(io) + delay_ns + plan->options->drain.timeout_ns;
    plan_release(plan);
    struct log_line line;
    if (log_begin(&line, LOG_INFO, "draining")) {
        log_dur(&line, "delay_ms", delay_ns);
        log_end(&line);
    }
    gateway_drain(s->gateway, false);
    io_timer_set(io, &s->drain_timer, io_now(io) + delay_ns);
}

/* ---- upgrading ------------------------------------------------------------------------- */

/* The sockets of one listener, or of the admin side, in as few messages as may be. */
static int send_some(int channel, uint32_t index, const char *text, bool held, bool path,
                     const struct handover_fds *fds) {
    struct handover_message m = {
        .kind = HANDOVER_SOCKETS,
        .count = 2,
        .value = {index, (held ? SOCKET_HELD : 0u) | (path ? SOCKET_PATH : 0u)}};
    snprintf(m.text, sizeof m.text, "%s", text);
    return fds->count ? handover_send(channel, &m, fds, true) : 0;
}

static int send_listener(struct server *s, int channel, uint32_t index) {
    struct handover_fds fds = {0};
    bool held = false, path = false;
    char text[256];
    write_listener(&s->options->listens[index], text, sizeof text);
    int error = 0;
    for (uint32_t l = 0; l < s->lane_count; l++) {
        for (uint32_t i = 0; !error && i < s->lanes[l].socket_count; i++) {
            const struct socket *socket = &s->lanes[l].sockets[i];
            if (socket->index != index || socket->listener.fd < 0)
                continue;
            if (fds.count == HANDOVER_FDS) {
                error = send_some(channel, index, text, held, path, &fds);
                fds.count = 0;
            }
            held |= socket->listener.held;
            path |= socket->listener.bound_path;
            fds.fd[fds.count++] = socket->listener.fd;
        }
    }
    return error ? error : send_some(channel, index, text, held, path, &fds);
}

static void write_admin(const struct server *s, char *out, size_t size) {
    snprintf(out, size, "admin %s:%u", s->options->admin.host, s->options->admin.port);
}

static int send_sockets(void *arg, int channel) {
    struct server *s = arg;
    char text[128];
    int error = 0;
    for (uint32_t i = 0; !error && i < s->options->listen_count; i++)
        error = send_listener(s, channel, i);
    if (error || s->admin_listener.fd < 0)
        return error;
    const struct handover_fds fds = {1, {s->admin_listener.fd}};
    write_admin(s, text, sizeof text);
    return send_some(channel, HANDOVER_ADMIN, text, s->admin_listener.held, false, &fds);
}

static int save(void *arg, struct buf *state) {
    struct server *s = arg;
    admin_hold_changes(s->admin, true);
    queue_hand_over_all(s->gateway);
    return gateway_snapshot(s->gateway, state);
}

static void keep(void *arg) {
    struct server *s = arg;
    admin_hold_changes(s->admin, false);
    queue_take_back_all(s->gateway);
}

static void main_process(void *arg, pid_t pid) {
    struct server *s = arg;
    notify_say(&s->notify, "MAINPID=%ld", (long)pid);
}

/* On a worker's thread. */
static bool give_clients(void *arg, const struct passed_client *clients, uint32_t count) {
    struct server *s = arg;
    struct handover_message m = {.kind = HANDOVER_CLIENTS, .count = count};
    struct handover_fds fds = {.count = count};
    for (uint32_t i = 0; i < count; i++) {
        fds.fd[i] = clients[i].fd;
        m.value[i] = clients[i].listen_index * 2 + clients[i].served;
    }
    return handover_send(upgrade_channel(&s->upgrade), &m, &fds, false) == 0;
}

/* The next process accepts already, from the same sockets: nobody is refused, and who
 * is in a queue is served by whoever comes first. */
static void leave(void *arg, uint64_t listeners, uint64_t adopted) {
    struct server *s = arg;
    s->adopted = adopted;
    s->passing = (struct pass_on){give_clients, s, listeners};
    loop_listener_leave(&s->admin_listener);
    admin_leave(s->admin);
    struct plan *plan = gateway_plan(s->gateway);
    s->gateway->drain_until_ns = io_now(loop_io(s->control)) + plan->options->drain.timeout_ns;
    plan_release(plan);
    gateway_pass_on(s->gateway, &s->passing);
    close_listeners(s);
}

/* The next process has read the file. */
static void end_patches(struct server *s, const char *author) {
    struct plan *plan = gateway_plan(s->gateway);
    history_patches_ended(s->gateway, plan->options, "upgrade", author);
    plan_release(plan);
}

static void upgrade_told(void *arg, bool ok, pid_t next, const char *author, const char *why) {
    struct server *s = arg;
    struct log_line line;
    char text[160];
    if (!ok)
        atomic_fetch_add_explicit(&s->gateway->upgrade_errors, 1, memory_order_relaxed);
    snprintf(text, sizeof text, ok ? "process %d takes over%s" : "failed (process %d): %s",
             (int)next, why);
    history_note(s->gateway, "upgrade", author, text);
    if (ok)
        end_patches(s, author);
    if (!log_begin(&line, ok ? LOG_INFO : LOG_ERROR,
                   ok ? "upgrade: the new process has taken over"
                      : "upgrade failed: this process goes on"))
        return;
    log_str(&line, "author", author);
    log_uint(&line, "process", (uint64_t)next);
    if (!ok)
        log_str(&line, "cause", why);
    log_end(&line);
}

static const char *why_no_upgrade(const struct server *s) {
    if (s->state != RUNNING)
        return "the gateway is draining";
    if (getpid() == 1)
        return "it is the first process of its container, which ends with it: start a new "
               "container instead";
    return NULL;
}

int server_upgrade(struct server *s, const char *author, struct upgrade_ticket *ticket, char *why,
                   size_t why_size) {
    const char *no = why_no_upgrade(s);
    struct log_line line;
    int error = no ? -EBUSY : upgrade_begin(&s->upgrade, author, ticket, why, why_size);
    if (no)
        snprintf(why, why_size, "%s", no);
    if (!log_begin(&line, error ? LOG_ERROR : LOG_INFO,
                   error ? "upgrade refused" : "upgrade: starting the new process"))
        return error;
    log_str(&line, "author", author);
    log_str(&line, error ? "cause" : "program", error ? why : s->upgrade.launch->path);
    log_end(&line);
    return error;
}

/* ---- being the next process -------------------------------------------------------------- */

/* At an upgrade the process before this one may still be draining, and owns the
 * outbox until it has ended: it is waited for as long as that may take. */
static int open_store(struct server *s, const sigset_t *wanted) {
    const struct drain_options *d = &s->options->drain;
    const struct timespec pause = {.tv_nsec = STORE_PAUSE_NS};
    uint64_t until_ns = swg_now() + d->delay_ns + d->timeout_ns + SWG_SECONDS(1);
    bool told = false;
    char why[400];
    int error;
    while ((error = gateway_open_store(s->gateway, why, sizeof why)) == -EBUSY) {
        if (!told && !heir_is_one(s->heir)) /* there it is a moment */
            log_message(LOG_WARN, "waiting until it ends: %s", why);
        told = true;
        if (swg_now() >= until_ns || sigtimedwait(wanted, NULL, &pause) > 0)
            break;
    }
    if (error)
        fprintf(stderr, "switchgear: cannot open %s\n", why);
    return error;
}

struct arrival {
    struct io_task task;
    struct lane *lane;
    struct passed_client client;
};

static void on_arrival(struct io_task *task) {
    struct arrival *a = container_of(task, struct arrival, task);
    worker_take_over(a->lane->worker, &a->client);
    free(a);
}

static void on_passed_client(void *arg, const struct passed_client *client) {
    struct server *s = arg;
    struct arrival *a = calloc(1, sizeof *a);
    if (!a) {
        close(client->fd);
        return;
    }
    a->task.run = on_arrival;
    a->lane = &s->lanes[s->passed++ % s->lane_count];
    a->client = *client;
    io_post(loop_io(a->lane->loop), &a->task);
}

/* Whatever can fail comes before finish_take_over(): until then the other goes on. */
static int take_over(struct server *s, const sigset_t *wanted, int *restored) {
    struct buf state;
    buf_init(&state, GATEWAY_SNAPSHOT_MAX);
    if (heir_ready(s->heir, &state) < 0) {
        buf_free(&state);
        return -1;
    }
    *restored = gateway_restore(s->gateway, buf_view(&state));
    buf_free(&state);
    return open_store(s, wanted);
}

/* This process serves already, beside the one before. */
static int finish_take_over(struct server *s, int restored) {
    char text[120];
    if (heir_taken(s->heir) < 0)
        return -1;
    heir_follow(s->heir, loop_io(s->control), on_passed_client, s);
    snprintf(text, sizeof text, "took over from process %d, version %s", s->heir->pid,
             s->heir->version);
    history_note(s->gateway, "upgrade", "", text);
    struct log_line line;
    if (log_begin(&line, LOG_INFO, "upgrade: this process has taken over")) {
        log_int(&line, "before", s->heir->pid);
        log_str(&line, "version_before", s->heir->version);
        log_str(&line, "version", SWG_VERSION);
        log_int(&line, "breakers", restored);
        log_end(&line);
    }
    if (restored < 0)
        log_message(LOG_WARN, "upgrade: what the breakers knew was damaged; some begin anew");
    return 0;
}

/* ---- reloading ------------------------------------------------------------------------ */

static void apply(struct server *s, struct gateway_options *o) {
    log_open(&(struct log_settings){.format = o->log.logfmt ? LOG_LOGFMT : LOG_JSON,
                                    .level = (enum log_level)o->log.level});
    struct plan *plan = gateway_plan(s->gateway);
    trace_export_follow(s->traces, plan);
    names_follow(s->names, plan);
    health_follow(s->health, plan);
    plan_release(plan);
    watchdog_follow(s->watchdog, &o->watchdog);
}

static bool load_and_apply(struct server *s, struct buf *text) {
    struct config_report report;
    struct gateway_options *o = NULL;
    config_report_init(&report);
    int error = config_load(s->options->file, &o, &report);
    if (error) {
        config_report_write(&report, text);
    } else if ((error = gateway_reload(s->gateway, o)) < 0) {
        buf_string(text, strerror(-error));
    } else {
        apply(s, o);
        config_write_restart_keys(s->options, o, text);
    }
    config_report_free(&report);
    if (o)
        gateway_options_release(o);
    return error == 0;
}

bool server_reload(struct server *s, const char *author, uint64_t *generation, struct buf *text) {
    struct plan *before = gateway_plan(s->gateway);
    if (s->state == RUNNING)
        notify_say(&s->notify, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, swg_now() / 1000);
    bool ok = load_and_apply(s, text);
    if (ok)
        history_patches_ended(s->gateway, before->options, "reload", author);
    plan_release(before);
    atomic_fetch_add_explicit(ok ? &s->gateway->reloads : &s->gateway->reload_errors, 1,
                              memory_order_relaxed);
    struct plan *plan = gateway_plan(s->gateway);
    *generation = plan->generation;
    plan_release(plan);
    const char *what =
        ok ? "configuration reloaded" : "configuration not reloaded: the old one stays in force";
    history_note(s->gateway, ok ? "reload" : "reload_failed", author, buf_cstr(text));
    struct log_line line;
    if (log_begin(&line, ok ? LOG_INFO : LOG_ERROR, what)) {
        log_str(&line, "author", author);
        if (text->len)
            log_bytes(&line, ok ? "needs_restart" : "cause", buf_view(text));
        log_uint(&line, "generation", *generation);
        log_end(&line);
    }
    if (s->state == RUNNING)
        notify_say(&s->notify, "READY=1\nSTATUS=%s",
                   ok ? "Serving" : "Serving; the last reload failed");
    return ok;
}

/* ---- signals and ticks ---------------------------------------------------------------- */

static void on_signal(struct loop_signals *signals, const struct signalfd_siginfo *info) {
    struct server *s = container_of(signals, struct server, signals);
    struct buf text;
    uint64_t generation;
    char why[200];
    switch (info->ssi_signo) {
    case SIGHUP:
        log_reopen();
        buf_init(&text, 64 * 1024);
        server_reload(s, "SIGHUP", &generation, &text);
        buf_free(&text);
        break;
    case SIGUSR2:
        server_upgrade(s, "SIGUSR2", NULL, why, sizeof why);
        break;
    case SIGTERM:
    case SIGINT:
        if (s->state != RUNNING) {
            log_message(LOG_WARN, "second signal: quitting at once");
            stop(s);
        } else { /* whoever presses Ctrl-C has no load balancer to wait for */
            server_drain(s, info->ssi_signo == SIGINT);
        }
        break;
    default:
        break;
    }
}

static void on_tick(struct io_timer *t) {
    struct server *s = container_of(t, struct server, tick);
    if (s->state == STOPPED) /* the loop's last turns, when the gateway may be gone */
        return;
    gateway_tick(s->gateway);
    io_timer_set(loop_io(s->control), t, io_now(loop_io(s->control)) + TICK_NS);
}

/* ---- the admin side -------------------------------------------------------------------- */

static bool on_admin_reload(void *arg, const char *author, uint64_t *generation, struct buf *text) {
    return server_reload(arg, author, generation, text);
}

static int on_admin_change(void *arg, struct gateway_options *o) {
    struct server *s = arg;
    int error = gateway_reload(s->gateway, o);
    if (!error)
        apply(s, o);
    return error;
}

static void on_admin_drain(void *arg, const char *author) {
    struct server *s = arg;
    history_note(s->gateway, "drain", author, "");
    server_drain(s, false);
}

static int on_admin_upgrade(void *arg, const char *author, struct upgrade_ticket *ticket, char *why,
                            size_t why_size) {
    return server_upgrade(arg, author, ticket, why, why_size);
}

static bool is_ready(void *arg) {
    return ((struct server *)arg)->state == RUNNING;
}

static const char *ailment(void *arg) {
    return watchdog_ailment(((struct server *)arg)->watchdog);
}

static uint64_t lag_ns(void *arg) {
    return watchdog_lag_ns(((struct server *)arg)->watchdog);
}

static void on_admin_accept(struct loop_listener *l, int fd, const struct sockaddr_storage *peer,
                            socklen_t len) {
    (void)len;
    struct server *s = container_of(l, struct server, admin_listener);
    admin_accept(s->admin, fd, (const struct sockaddr *)peer);
}

static const struct loop_listener_ops admin_listener_ops = {.on_accept = on_admin_accept};

static int listen_admin(struct server *s, const struct sockaddr *address, socklen_t len) {
    struct loop_listener_options options = {0};
    char written[128];
    uint32_t found;
    write_admin(s, written, sizeof written);
    if (!inherit_find(&s->heir->sockets, written, address, len, &found, 1))
        return loop_listener_open(&s->admin_listener, s->control, address, len, &options);
    struct inherited *from = &s->heir->sockets.sockets[found];
    options.held = from->held;
    int error = loop_listener_adopt(&s->admin_listener, s->control, from->fd, &options);
    if (!error)
        from->fd = -1;
    heir_adopt(s->heir, from);
    return error;
}

static int start_admin(struct server *s) {
    const struct admin_options *o = &s->options->admin;
    const struct admin_host host = {.arg = s,
                                    .reload = on_admin_reload,
                                    .change = on_admin_change,
                                    .drain = on_admin_drain,
                                    .is_ready = is_ready,
                                    .ailment = ailment,
                                    .lag_ns = lag_ns,
                                    .upgrade = on_admin_upgrade};
    struct listen_options listen = {.host = o->host, .port = o->port};
    struct sockaddr_storage address = {0};
    socklen_t len = 0;
    int error = resolve_listen(&listen, &address, &len);
    if (!error)
        error = admin_create(&s->admin, s->gateway, s->health, loop_io(s->control), o, &host);
    if (!error)
        error = listen_admin(s, (struct sockaddr *)&address, len);
    if (error) {
        fprintf(stderr, "switchgear: cannot open the admin address %s:%u: %s\n", o->host, o->port,
                strerror(-error));
        return -1;
    }
    say_listening("admin listening", &listen, &s->admin_listener.address,
                  s->admin_listener.address_len);
    return 0;
}

/* ---- the watchdog -------------------------------------------------------------------------- */

static int watch_loop(struct server *s, const char *name, struct loop *loop, struct stall *stall) {
    stall_prepare(stall, name, loop);
    return watchdog_add(s->watchdog, name, loop);
}

static int create_watchdog(struct server *s) {
    int error = watchdog_create(&s->watchdog, s->metrics);
    if (!error)
        error = watch_loop(s, "control", s->control, &s->stall);
    for (uint32_t i = 0; !error && i < s->lane_count; i++) {
        char name[24];
        snprintf(name, sizeof name, "worker-%u", i);
        error = watch_loop(s, name, s->lanes[i].loop, &s->lanes[i].stall);
    }
    if (error)
        fprintf(stderr, "switchgear: cannot start the watchdog: %s\n", strerror(-error));
    return error;
}

/* From here on the process serves. */
static int start_watchdog(struct server *s) {
    watchdog_follow(s->watchdog, &s->options->watchdog);
    int error = watchdog_start(s->watchdog, &s->notify);
    if (error)
        fprintf(stderr, "switchgear: cannot start the watchdog: %s\n", strerror(-error));
    else
        notify_say(&s->notify, "READY=1\nSTATUS=Serving");
    return error;
}

/* ---- life -------------------------------------------------------------------------------- */

static uint64_t random_seed(void) {
    uint64_t seed = 0;
    if (getrandom(&seed, sizeof seed, 0) != sizeof seed)
        seed = swg_now() ^ (uint64_t)getpid() << 32;
    return seed;
}

/* As many descriptors as the process may have; and how many of them may be
 * clients, so that there are always some left to reach the services with. */
static uint32_t raise_descriptor_limit(const struct gateway_options *o) {
    enum { OWN = 48 };
    uint32_t share = 4; /* a quarter is kept for upstreams; of tcp, each client has one */
    for (uint32_t i = 0; i < o->listen_count; i++) {
        if (o->listens[i].protocol == PROTOCOL_TCP)
            share = 2;
    }
    struct rlimit l;
    if (getrlimit(RLIMIT_NOFILE, &l) < 0)
        return 0;
    l.rlim_cur = l.rlim_max;
    setrlimit(RLIMIT_NOFILE, &l);
    if (getrlimit(RLIMIT_NOFILE, &l) < 0 || l.rlim_cur > UINT32_MAX)
        return 0;
    rlim_t left = l.rlim_cur > OWN ? l.rlim_cur - OWN : 1;
    return (uint32_t)(left - left / share);
}

static int create_shared(struct server *s) {
    struct gateway_options *o = s->options;
    struct gateway_environment e = {
        .clock = swg_now, .seed = random_seed(), .connections_max = raise_descriptor_limit(o)};
    if (loop_create(&s->control) < 0 || metrics_create(&s->metrics, o->workers) < 0 ||
        events_create(&s->events, NULL) < 0)
        return -1;
    const struct upgrade_host host = {s,    send_sockets, main_process, save,
                                      keep, leave,        upgrade_told};
    upgrade_init(&s->upgrade, loop_io(s->control), s->launch, &host);
    e.beside = heir_is_one(s->heir);
    e.metrics = s->metrics;
    e.events = s->events;
    e.io = loop_io(s->control);
    return gateway_create(&s->gateway, o, &e) < 0 || names_create(&s->names, s->control) < 0 ||
                   health_create(&s->health, s->gateway, loop_io(s->control)) < 0 ||
                   trace_export_create(&s->traces, s->gateway, loop_io(s->control)) < 0
               ? -1
               : 0;
}

static void settle_names(struct server *s) {
    struct plan *plan = gateway_plan(s->gateway);
    uint64_t until = swg_now() + SETTLE_NS;
    trace_export_follow(s->traces, plan);
    names_follow(s->names, plan);
    while (!names_are_settled(s->names) && swg_now() < until)
        loop_turn(s->control, 50);
    health_follow(s->health, plan);
    plan_release(plan);
}

static int start_lanes(struct server *s) {
    for (uint32_t i = 0; i < s->lane_count; i++) {
        struct lane *lane = &s->lanes[i];
        char name[24];
        if (pthread_create(&lane->thread, NULL, lane_main, lane) != 0)
            return -1;
        lane->running = true;
        snprintf(name, sizeof name, "worker-%u", i);
        pthread_setname_np(lane->thread, name);
    }
    return 0;
}

/* Root's last business: sockets, on whatever port. The listeners find them as those that
 * another process has opened. */
static int open_early(struct server *s, const struct listen_options *o, const char *written,
                      uint32_t index, uint32_t count) {
    struct sockaddr_storage address = {0};
    struct inherited like = {.written = (char *)written, .from_index = index};
    struct loop_listener_options options = {.reuse_port = count > 1, .claim = true};
    uint32_t found;
    socklen_t len = 0;
    int error = o->unix_path ? 0 : resolve_listen(o, &address, &len);
    if (o->unix_path || (!error && inherit_find(&s->heir->sockets, written,
                                                (struct sockaddr *)&address, len, &found, 1)))
        return 0;
    for (uint32_t i = 0; !error && i < count; i++, options.claim = false) {
        int fd = loop_listener_bind((struct sockaddr *)&address, len, &options);
        error = fd < 0 ? fd : inherit_add(&s->heir->sockets, fd, &like);
        if (error && fd >= 0)
            close(fd);
        if (!error) { /* port 0 is a real one now */
            const struct inherited *last = &s->heir->sockets.sockets[s->heir->sockets.count - 1];
            address = last->address;
            len = last->len;
        }
    }
    if (error)
        fprintf(stderr, "switchgear: cannot listen on %s: %s\n", written, strerror(-error));
    return error;
}

static int give_up_privileges(struct server *s, const char *pid_file) {
    const struct gateway_options *o = s->options;
    char written[256];
    int error = 0;
    for (uint32_t i = 0; confine_changes_user(o) && !error && i < o->listen_count; i++) {
        write_listener(&o->listens[i], written, sizeof written);
        error = open_early(s, &o->listens[i], written, i, o->workers);
    }
    if (!error && confine_changes_user(o) && o->admin.enabled) {
        const struct listen_options admin = {.host = o->admin.host, .port = o->admin.port};
        write_admin(s, written, sizeof written);
        error = open_early(s, &admin, written, HANDOVER_ADMIN, 1);
    }
    return error ? -1 : confine_begin(o, pid_file);
}

/* A socket that nobody serves would take connections and never answer. */
static int complain_of_left(const struct server *s) {
    const struct inherited *left = inherit_left(&s->heir->sockets);
    char shown[140];
    if (!left)
        return 0;
    inherit_show((const struct sockaddr *)&left->address, left->len, shown, sizeof shown);
    fprintf(stderr,
            "switchgear: the service manager has passed a socket on %s, and nothing in the "
            "configuration listens there\n"
            "  ListenStream= of the .socket unit, and `listen` or `admin.address`, must be the "
            "same addresses\n",
            shown);
    return -1;
}

static int create(struct server *s) {
    sigset_t wanted;
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGTERM);
    sigaddset(&wanted, SIGINT);
    sigaddset(&wanted, SIGHUP);
    sigaddset(&wanted, SIGUSR2);
    loop_signals_init(&s->signals, on_signal);
    loop_listener_init(&s->admin_listener, &admin_listener_ops);
    if (loop_signals_block(&wanted, NULL) < 0 || create_shared(s) < 0) {
        fprintf(stderr, "switchgear: cannot start: %s\n", strerror(errno ? errno : ENOMEM));
        return -1;
    }
    s->lanes = calloc(s->options->workers, sizeof *s->lanes);
    for (; s->lanes && s->lane_count < s->options->workers; s->lane_count++) {
        if (lane_create(s, &s->lanes[s->lane_count], s->lane_count) < 0) {
            s->lane_count++;
            fprintf(stderr, "switchgear: cannot start worker %u\n", s->lane_count);
            return -1;
        }
    }
    if (create_watchdog(s) < 0)
        return -1;
    if (!heir_is_one(s->heir) && open_store(s, &wanted) < 0)
        return -1;
    settle_names(s);
    if (loop_signals_open(&s->signals, s->control, &wanted) < 0 || listen_all(s) < 0)
        return -1;
    if (s->options->admin.enabled && start_admin(s) < 0)
        return -1;
    int restored = 0;
    if (complain_of_left(s) < 0 || (heir_is_one(s->heir) && take_over(s, &wanted, &restored) < 0))
        return -1;
    inherit_free(&s->heir->sockets);
    io_timer_init(&s->tick, on_tick);
    io_timer_init(&s->drain_timer, on_drain_timer);
    s->flush.run = flush_log;
    loop_hook_add(s->control, &s->flush);
    on_tick(&s->tick);
    if (confine_end(s->options) < 0 || start_lanes(s) < 0 || start_watchdog(s) < 0)
        return -1;
    return heir_is_one(s->heir) ? finish_take_over(s, restored) : 0;
}

int server_create(struct server **out, struct gateway_options *o, struct heir *heir,
                  const struct launch *launch, const char *pid_file) {
    struct server *s = calloc(1, sizeof *s);
    *out = NULL;
    if (!s)
        return -1;
    s->options = gateway_options_hold(o);
    s->heir = heir;
    s->launch = launch;
    notify_open(&s->notify);
    log_open(&(struct log_settings){.format = o->log.logfmt ? LOG_LOGFMT : LOG_JSON,
                                    .level = (enum log_level)o->log.level});
    if (give_up_privileges(s, pid_file) < 0) { /* nothing is there yet */
        log_close();
        notify_close(&s->notify);
        gateway_options_release(s->options);
        free(s);
        return -1;
    }
    if (create(s) < 0) {
        server_destroy(s);
        return -1;
    }
    *out = s;
    return 0;
}

int server_run(struct server *s) {
    return loop_run(s->control) < 0 ? 1 : 0;
}

void server_destroy(struct server *s) {
    if (!s)
        return;
    s->state = STOPPED;
    watchdog_stop(s->watchdog);
    loop_signals_close(&s->signals);
    loop_listener_close(&s->admin_listener);
    upgrade_stop(&s->upgrade);
    heir_free(s->heir);
    lanes_end(s);
    if (s->gateway)
        gateway_close_store(s->gateway);
    for (uint32_t i = 0; i < s->lane_count; i++) {
        if (s->lanes[i].loop)
            loop_turn(s->lanes[i].loop, 0); /* what the store told last */
    }
    if (s->control)
        loop_turn(s->control, 0); /* what the lanes told last */
    for (uint32_t i = 0; i < s->lane_count; i++)
        lane_destroy(&s->lanes[i]);
    free(s->lanes);
    admin_destroy(s->admin);
    health_destroy(s->health);
    trace_export_destroy(s->traces);
    names_destroy(s->names);
    gateway_destroy(s->gateway);
    if (s->control)
        loop_turn(s->control, 0); /* what the gateway let go of last, such as databases */
    sql_settle();
    if (s->control)
        loop_destroy(s->control);
    upgrade_free(&s->upgrade);
    watchdog_destroy(s->watchdog);
    metrics_destroy(s->metrics);
    events_destroy(s->events);
    log_close();
    notify_close(&s->notify);
    gateway_options_release(s->options);
    free(s);
}
