/* upgrade.c - see upgrade.h. */
#include "cli/upgrade.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <switchgear/time.h>

#include "gateway/snapshot.h"
#include "observe/log.h"

#define READY_NS SWG_SECONDS(25) /* less than the admin API lets anybody wait */
#define TAKEN_NS SWG_SECONDS(15) /* what is queued is read, after the replays under way */
#define REAP_NS  SWG_MS(10)
#define EXIT_NS  SWG_SECONDS(3) /* for what it says as it ends */

enum { LINE_MAX_BYTES = 4000, SAID_MAX = 2000 };

/* ---- what it prints ---------------------------------------------------------------- */

/* Lines of a log go on as they are; what was meant for a terminal is quoted. */
static void take_line(struct upgrade *u) {
    struct bytes line = buf_view(&u->line);
    if (line.len && (line.at[0] == '{' || bytes_starts(line, BYTES("time=")))) {
        log_raw(line);
    } else if (line.len) {
        log_message(LOG_WARN, "the new process says: %s", buf_cstr(&u->line));
        if (u->state != UPGRADE_LEFT && u->said.len + line.len < SAID_MAX)
            buf_printf(&u->said, "%s%.*s", u->said.len ? "\n" : "", (int)line.len, line.at);
    }
    buf_clear(&u->line);
}

static void close_errors(struct upgrade *u) {
    if (u->errors < 0)
        return;
    take_line(u);
    io_watch_stop(&u->errors_watch);
    close(u->errors);
    u->errors = -1;
}

/* False: nothing more will come, or for the moment not. */
static bool read_errors(struct upgrade *u) {
    char data[4096];
    ssize_t n = read(u->errors, data, sizeof data);
    if (n < 0 && errno == EINTR)
        return true;
    if (n <= 0) {
        if (n == 0 || errno != EAGAIN)
            close_errors(u);
        return false;
    }
    for (ssize_t i = 0; i < n; i++) {
        if (data[i] == '\n' || u->line.len >= LINE_MAX_BYTES)
            take_line(u);
        if (data[i] != '\n')
            buf_char(&u->line, data[i]);
    }
    return true;
}

static void on_errors(struct io_watch *w, uint32_t events) {
    (void)events;
    read_errors(container_of(w, struct upgrade, errors_watch));
}

/* ---- the end of it -------------------------------------------------------------------- */

static void close_channel(struct upgrade *u) {
    if (u->channel < 0)
        return;
    io_watch_stop(&u->channel_watch);
    close(u->channel);
    u->channel = -1;
}

static void tell(struct upgrade *u, bool ok, const char *why) {
    struct upgrade_ticket *ticket = u->ticket;
    u->ticket = NULL;
    u->host.told(u->host.arg, ok, u->pid, u->author, why);
    if (ticket)
        ticket->done(ticket, ok, u->pid, why);
}

static void failed(struct upgrade *u, int status) {
    char why[sizeof u->why + SAID_MAX + 100], how[64] = "";
    while (u->errors >= 0 && read_errors(u))
        ;
    close_errors(u);
    if (WIFEXITED(status) && WEXITSTATUS(status))
        snprintf(how, sizeof how, " (it ended with status %d)", WEXITSTATUS(status));
    else if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL)
        snprintf(how, sizeof how, " (signal %d ended it)", WTERMSIG(status));
    snprintf(why, sizeof why, "%s%s%s%s", u->why, how, u->said.len ? ": " : "", buf_cstr(&u->said));
    u->state = UPGRADE_IDLE;
    if (u->giving)
        u->host.keep(u->host.arg);
    u->giving = false;
    u->host.main_process(u->host.arg, getpid()); /* if that had been given away */
    tell(u, false, why);
    u->pid = 0;
}

static void reap(struct upgrade *u) {
    int status = 0;
    pid_t ended = launch_wait(u->launch, u->pid, &status, false);
    if (!ended && io_now(u->io) >= u->until_ns) {
        launch_kill(u->launch, u->pid);
        ended = launch_wait(u->launch, u->pid, &status, true);
    }
    if (ended)
        failed(u, ended > 0 ? status : 0);
    else
        io_timer_set(u->io, &u->timer, io_now(u->io) + REAP_NS);
}

/* It sees the channel end, and ends; or it hangs, and is ended. */
static void fail(struct upgrade *u, const char *why) {
    bool hangs = u->state != UPGRADE_FAILING && io_now(u->io) >= u->until_ns;
    snprintf(u->why, sizeof u->why, "%s", why);
    u->state = UPGRADE_FAILING;
    close_channel(u);
    if (hangs)
        launch_kill(u->launch, u->pid);
    u->until_ns = io_now(u->io) + EXIT_NS;
    io_timer_set(u->io, &u->timer, io_now(u->io) + REAP_NS);
}

static void on_timer(struct io_timer *t) {
    struct upgrade *u = container_of(t, struct upgrade, timer);
    if (u->state == UPGRADE_FAILING)
        reap(u);
    else if (u->state == UPGRADE_STARTING)
        fail(u, "the new process was not ready in time");
    else if (u->state == UPGRADE_GIVING)
        fail(u, "the new process did not take over in time");
}

/* ---- the way -------------------------------------------------------------------------- */

/* A file in memory: however much it is, nobody waits for a reader. */
static int write_state(struct upgrade *u) {
    struct buf state;
    int fd = memfd_create("switchgear-state", MFD_CLOEXEC);
    buf_init(&state, GATEWAY_SNAPSHOT_MAX);
    u->giving = fd >= 0;
    int error = fd < 0 ? -errno : u->host.save(u->host.arg, &state);
    size_t done = 0;
    while (!error && done < state.len) {
        ssize_t n = write(fd, state.at + done, state.len - done);
        error = n < 0 && errno != EINTR ? -errno : 0;
        done += n > 0 ? (size_t)n : 0;
    }
    buf_free(&state);
    if (!error && lseek(fd, 0, SEEK_SET) < 0)
        error = -errno;
    if (error && fd >= 0)
        close(fd);
    return error ? error : fd;
}

static void on_ready(struct upgrade *u, const struct handover_message *m) {
    static const struct handover_message take = {.kind = HANDOVER_TAKE_OVER};
    u->listeners = m->value[0] | (uint64_t)m->value[1] << 32;
    u->adopted = u->listeners;
    if (m->count >= 4)
        u->adopted |= m->value[2] | (uint64_t)m->value[3] << 32;
    u->state = UPGRADE_GIVING;
    u->until_ns = io_now(u->io) + TAKEN_NS;
    io_timer_set(u->io, &u->timer, u->until_ns);
    int state = write_state(u);
    if (state < 0) {
        fail(u, "what the breakers know could not be written down");
        return;
    }
    u->host.main_process(u->host.arg, u->pid);
    const struct handover_fds fds = {2, {STDERR_FILENO, state}};
    int error = handover_send(u->channel, &take, &fds, false);
    close(state);
    if (error)
        fail(u, "the new process does not listen to what it is told");
}

static void on_taken(struct upgrade *u) {
    u->state = UPGRADE_LEFT;
    u->giving = false;
    io_timer_clear(u->io, &u->timer);
    tell(u, true, "");
    u->host.leave(u->host.arg, u->listeners, u->adopted);
}

static void on_end(struct upgrade *u) {
    if (u->state == UPGRADE_LEFT) {
        log_message(LOG_ERROR, "the process that took over has ended");
        io_watch_stop(&u->channel_watch); /* workers may be about to send on it */
    } else {
        fail(u, u->state == UPGRADE_GIVING ? "the new process failed as it took over"
                                           : "the new process did not become ready");
    }
}

static void on_channel(struct io_watch *w, uint32_t events) {
    struct upgrade *u = container_of(w, struct upgrade, channel_watch);
    struct handover_message m;
    struct handover_fds fds;
    (void)events;
    int error = handover_receive(u->channel, &m, &fds, false);
    if (error == -EAGAIN)
        return;
    if (!error)
        handover_close(&fds);
    if (!error && m.kind == HANDOVER_READY && u->state == UPGRADE_STARTING)
        on_ready(u, &m);
    else if (!error && m.kind == HANDOVER_TAKEN && u->state == UPGRADE_GIVING)
        on_taken(u);
    else
        on_end(u);
}

/* ---- the beginning ---------------------------------------------------------------------- */

static int greet(struct upgrade *u) {
    struct handover_message hello = {.kind = HANDOVER_HELLO,
                                     .count = 2,
                                     .value = {HANDOVER_PROTOCOL, (uint32_t)getpid()},
                                     .text = SWG_VERSION};
    static const struct handover_message end = {.kind = HANDOVER_END};
    const struct timeval limit = {.tv_sec = 5};
    setsockopt(u->channel, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    int error = handover_send(u->channel, &hello, NULL, true);
    if (!error)
        error = u->host.send_sockets(u->host.arg, u->channel);
    return error ? error : handover_send(u->channel, &end, NULL, true);
}

/* Pair and pipe; the far ends are closed when the new process has them. */
static int start(struct upgrade *u) {
    int pair[2], pipes[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    if (pipe2(pipes, O_CLOEXEC) < 0) {
        int error = -errno;
        close(pair[0]);
        close(pair[1]);
        return error;
    }
    u->channel = pair[0];
    u->errors = pipes[0];
    fcntl(u->errors, F_SETFL, O_NONBLOCK);
    pid_t pid = launch_start(u->launch, pair[1], pipes[1]);
    close(pair[1]);
    close(pipes[1]);
    if (pid < 0)
        return (int)pid;
    u->pid = pid;
    io_watch_start(u->io, &u->channel_watch, u->channel, EPOLLIN);
    io_watch_start(u->io, &u->errors_watch, u->errors, EPOLLIN);
    return 0;
}

int upgrade_begin(struct upgrade *u, const char *author, struct upgrade_ticket *ticket, char *why,
                  size_t why_size) {
    if (u->state != UPGRADE_IDLE) {
        snprintf(why, why_size, "an upgrade is under way");
        return -EBUSY;
    }
    buf_clear(&u->line);
    buf_clear(&u->said);
    snprintf(u->author, sizeof u->author, "%s", author);
    int error = start(u);
    if (error) {
        snprintf(why, why_size, "%s cannot be started: %s", u->launch->path, strerror(-error));
        close_channel(u);
        close_errors(u);
        return error;
    }
    u->state = UPGRADE_STARTING;
    u->ticket = ticket;
    u->until_ns = io_now(u->io) + READY_NS;
    io_timer_set(u->io, &u->timer, u->until_ns);
    if (greet(u) < 0)
        fail(u, "the new process does not take the sockets");
    return 0;
}

void upgrade_call_off(struct upgrade *u, const char *why) {
    if (u->state == UPGRADE_STARTING || u->state == UPGRADE_GIVING)
        fail(u, why);
}

int upgrade_channel(const struct upgrade *u) {
    return u->channel;
}

/* ---- life ------------------------------------------------------------------------------------ */

void upgrade_init(struct upgrade *u, struct io *io, const struct launch *launch,
                  const struct upgrade_host *host) {
    *u = (struct upgrade){.host = *host, .io = io, .launch = launch, .channel = -1, .errors = -1};
    io_watch_init(&u->channel_watch, on_channel);
    io_watch_init(&u->errors_watch, on_errors);
    io_timer_init(&u->timer, on_timer);
    buf_init(&u->line, LINE_MAX_BYTES + 1);
    buf_init(&u->said, SAID_MAX);
}

void upgrade_stop(struct upgrade *u) {
    if (!u->io)
        return;
    io_watch_stop(&u->channel_watch);
    close_errors(u);
    io_timer_clear(u->io, &u->timer);
    if (u->state != UPGRADE_IDLE && u->state != UPGRADE_LEFT) {
        int status;
        launch_kill(u->launch, u->pid);
        launch_wait(u->launch, u->pid, &status, true);
        u->state = UPGRADE_IDLE;
        tell(u, false, "the gateway stops");
    }
}

void upgrade_free(struct upgrade *u) {
    if (!u->io)
        return;
    if (u->channel >= 0)
        close(u->channel);
    u->channel = -1;
    buf_free(&u->line);
    buf_free(&u->said);
}
