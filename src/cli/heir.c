/* heir.c - see heir.h. */
#include "cli/heir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/snapshot.h"
#include "observe/log.h"

enum { WAIT_S = 30, NOT_HERE = 0xff };

static int complain(const char *what) {
    fprintf(stderr, "switchgear: the upgrade fails: %s\n", what);
    return -1;
}

/* ---- the sockets --------------------------------------------------------------- */

/* The descriptor that the environment names, if it can be such a channel. */
static int find_channel(void) {
    const char *text = getenv(HANDOVER_CHANNEL);
    int type = 0, fd = text ? atoi(text) : -1;
    socklen_t size = sizeof type;
    if (!text)
        return -1;
    unsetenv(HANDOVER_CHANNEL);
    if (fd < 3 || getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0 || type != SOCK_SEQPACKET)
        return -1;
    const struct timeval limit = {.tv_sec = WAIT_S};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    return fd;
}

static int take_sockets(struct heir *h, const struct handover_message *m,
                        struct handover_fds *fds) {
    struct inherited like = {.written = (char *)m->text,
                             .from_index = m->value[0],
                             .held = m->value[1] & SOCKET_HELD,
                             .own_path = m->value[1] & SOCKET_PATH};
    int error = 0;
    for (uint32_t i = 0; i < fds->count; i++) {
        if (!error && (error = inherit_add(&h->sockets, fds->fd[i], &like)) == 0)
            continue;
        close(fds->fd[i]);
    }
    fds->count = 0;
    return error;
}

static int greeted(struct heir *h, const struct handover_message *m) {
    if (m->kind != HANDOVER_HELLO || m->value[0] != HANDOVER_PROTOCOL)
        return complain("the running version hands over in another way; restart it instead");
    h->pid = (int)m->value[1];
    snprintf(h->version, sizeof h->version, "%.31s", m->text);
    return 0;
}

static int take_all(struct heir *h) {
    struct handover_message m;
    struct handover_fds fds;
    int error = handover_receive(h->channel, &m, &fds, true);
    if (error)
        return complain("the process before says nothing");
    handover_close(&fds);
    if (greeted(h, &m) < 0)
        return -1;
    while ((error = handover_receive(h->channel, &m, &fds, true)) == 0) {
        if (m.kind == HANDOVER_SOCKETS)
            error = take_sockets(h, &m, &fds);
        handover_close(&fds);
        if (error || m.kind == HANDOVER_END)
            break;
    }
    return error ? complain("not all sockets came") : 0;
}

int heir_begin(struct heir *h) {
    char why[256];
    *h = (struct heir){.channel = find_channel()};
    memset(h->index, NOT_HERE, sizeof h->index);
    io_watch_init(&h->watch, NULL);
    if (h->channel >= 0)
        return take_all(h);
    if (inherit_from_manager(&h->sockets, why, sizeof why) == 0)
        return 0;
    fprintf(stderr, "switchgear: %s\n", why);
    return -1;
}

void heir_adopt(struct heir *h, const struct inherited *s) {
    if (s->written && s->from_index < HEIR_LISTENERS)
        h->adopted |= UINT64_C(1) << s->from_index;
}

void heir_note(struct heir *h, const struct inherited *s, const char *written, uint32_t index) {
    if (!s->written || strcmp(s->written, written) != 0 || s->from_index >= HEIR_LISTENERS ||
        index >= NOT_HERE)
        return;
    h->taken |= UINT64_C(1) << s->from_index;
    h->index[s->from_index] = (uint8_t)index;
}

/* ---- taking over ------------------------------------------------------------------ */

static bool read_state(int fd, struct buf *state) {
    struct stat file;
    if (fstat(fd, &file) < 0 || file.st_size < 0 || file.st_size > GATEWAY_SNAPSHOT_MAX ||
        !buf_reserve(state, (size_t)file.st_size))
        return false;
    char part[16384];
    ssize_t n;
    while ((n = read(fd, part, sizeof part)) > 0)
        buf_append(state, part, (size_t)n);
    return n == 0 && !state->failed;
}

/* Until now it went to the process before, as a part of the answer if this fails. */
static bool take_standard_error(int fd) {
    if (dup2(fd, STDERR_FILENO) < 0)
        return false;
    return log_reopen() == 0;
}

int heir_ready(struct heir *h, struct buf *state) {
    const struct handover_message ready = {.kind = HANDOVER_READY,
                                           .count = 4,
                                           .value = {(uint32_t)h->taken, (uint32_t)(h->taken >> 32),
                                                     (uint32_t)h->adopted,
                                                     (uint32_t)(h->adopted >> 32)}};
    struct handover_message m;
    struct handover_fds fds = {0};
    if (handover_send(h->channel, &ready, NULL, true) < 0)
        return complain("the process before has gone");
    log_flush();
    int error = handover_receive(h->channel, &m, &fds, true);
    if (error || m.kind != HANDOVER_TAKE_OVER || fds.count < 2) {
        handover_close(&fds);
        return complain("the process before does not give way");
    }
    bool good = read_state(fds.fd[1], state) && take_standard_error(fds.fd[0]);
    handover_close(&fds);
    return good ? 0 : complain("what the process before knows could not be read");
}

int heir_taken(struct heir *h) {
    static const struct handover_message taken = {.kind = HANDOVER_TAKEN};
    return handover_send(h->channel, &taken, NULL, true) < 0
               ? complain("the process before has gone")
               : 0;
}

/* ---- clients ------------------------------------------------------------------------ */

static void take_clients(struct heir *h, const struct handover_message *m,
                         struct handover_fds *fds) {
    for (uint32_t i = 0; i < fds->count; i++) {
        uint32_t from = m->value[i] / 2;
        struct passed_client c = {fds->fd[i], NOT_HERE, m->value[i] & 1};
        if (from < HEIR_LISTENERS)
            c.listen_index = h->index[from];
        if (m->kind == HANDOVER_CLIENTS && c.listen_index != NOT_HERE)
            h->on_client(h->arg, &c);
        else
            close(c.fd);
    }
    fds->count = 0;
}

static void on_channel(struct io_watch *w, uint32_t events) {
    struct heir *h = container_of(w, struct heir, watch);
    struct handover_message m;
    struct handover_fds fds;
    (void)events;
    int error = handover_receive(h->channel, &m, &fds, false);
    if (!error) {
        take_clients(h, &m, &fds);
    } else if (error != -EAGAIN) {
        io_watch_stop(&h->watch);
        close(h->channel);
        h->channel = -1;
        log_message(LOG_INFO, "upgrade: the process before has ended");
    }
}

void heir_follow(struct heir *h, struct io *io,
                 void (*on_client)(void *, const struct passed_client *), void *arg) {
    h->on_client = on_client;
    h->arg = arg;
    io_watch_init(&h->watch, on_channel);
    io_watch_start(io, &h->watch, h->channel, EPOLLIN);
}

void heir_free(struct heir *h) {
    io_watch_stop(&h->watch);
    if (h->channel >= 0)
        close(h->channel);
    h->channel = -1;
    inherit_free(&h->sockets);
}
