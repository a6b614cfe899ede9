#include "loop/signals.h"

#include <errno.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <unistd.h>

/* One signal a turn: the watch is level-triggered, so the others follow in the
 * next, and the callback may close and free everything. */
static void on_ready(struct io_watch *w, uint32_t events) {
    struct loop_signals *s = container_of(w, struct loop_signals, watch);
    struct signalfd_siginfo info;
    (void)events;
    if (read(s->fd, &info, sizeof info) == (ssize_t)sizeof info)
        s->on_signal(s, &info);
}

void loop_signals_init(struct loop_signals *s,
                       void (*on_signal)(struct loop_signals *, const struct signalfd_siginfo *)) {
    s->fd = -1;
    s->on_signal = on_signal;
    io_watch_init(&s->watch, on_ready);
}

int loop_signals_block(const sigset_t *set, sigset_t *before) {
    if (signal(SIGPIPE, SIG_IGN) == SIG_ERR || signal(SIGXFSZ, SIG_IGN) == SIG_ERR)
        return -errno;
    return -pthread_sigmask(SIG_BLOCK, set, before);
}

int loop_signals_open(struct loop_signals *s, struct loop *loop, const sigset_t *set) {
    s->fd = signalfd(-1, set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (s->fd < 0)
        return -errno;
    int error = io_watch_start(loop_io(loop), &s->watch, s->fd, EPOLLIN);
    if (error) {
        close(s->fd);
        s->fd = -1;
    }
    return error;
}

void loop_signals_close(struct loop_signals *s) {
    if (s->fd < 0)
        return;
    io_watch_stop(&s->watch);
    close(s->fd);
    s->fd = -1;
}
