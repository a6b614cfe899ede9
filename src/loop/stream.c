/* stream.c - connected and connecting sockets; the contract is base/io.h.
 *
 * What may happen to a stream, and where it is told:
 *
 *     connect ──▶ CONNECTING ──▶ open ──▶ READ_DONE ──▶ closed
 *                     │           │           │            ▲
 *                     └─ REFUSED ─┴── RESET ──┴─▶ DEAD ────┘
 *
 * loop_stream_happened() only notes what epoll says. loop_stream_serve() is the
 * one place that runs callbacks, in a fixed order: connect result, pending
 * bytes out, bytes in, end.
 *
 * Reading. Edge-triggered epoll tells once that bytes came, so READABLE is kept
 * until a read shows that the kernel has no more: a read that gives less than
 * was asked for is such a proof, and no second one is made. Once EPOLLRDHUP was
 * seen there is an end after the bytes, so reading goes on until it shows.
 * A stream that uses up its share of a turn stays on the ready list.
 *
 * An error does not overtake the bytes before it: an upstream that refuses a
 * large upload answers and closes, and the answer must be read although the
 * sending has failed. Hence a failed send is only noted (`error`), and RESET is
 * told when there is nothing left to read or nobody wants to.
 *
 * Writing. EPOLLOUT is asked for when it is first needed: to learn how a
 * connect went, or when a send falls short. From then on it stays (TCP reports
 * it only after a send fell short; a unix socket would report it after each
 * read of the other side, which is why it is not asked for from the start).
 * The kernel always reports an edge after a send that fell short, so no state
 * "writable" is kept: who has nothing pending just tries. */
#include <errno.h>
#include <limits.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "loop/loop_priv.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SHARED_BUFFER_HIDES_BUGS 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define SHARED_BUFFER_HIDES_BUGS 1
#endif

enum {
    WANTED = 1 << 0,       /* io_want_data(true) */
    READABLE = 1 << 1,     /* the kernel may have bytes, or an end */
    HANGUP = 1 << 2,       /* it has an end: reading must go on until it shows */
    FAILED = 1 << 3,       /* an error is on the socket or, from a send, in s->error */
    EOF_HINTED = 1 << 4,   /* EOF told while reading was not wanted */
    READ_DONE = 1 << 5,    /* EOF told after the last byte */
    DEAD = 1 << 6,         /* RESET or REFUSED told */
    CONNECTING = 1 << 7,   /* the result of the connect has not been told */
    CONNECTED = 1 << 8,    /* ... but is known */
    WRITABLE = 1 << 9,     /* pending bytes may be tried again */
    OUT_WATCHED = 1 << 10, /* epoll has been asked for EPOLLOUT */
    SHUT_AFTER = 1 << 11,  /* io_shut() waits for the pending bytes */
};

#define EVENTS_IN (EPOLLIN | EPOLLRDHUP | EPOLLET)

static bool serve_connect(struct loop *, struct io_stream *);
static bool serve_pending(struct loop *, struct io_stream *);
static bool serve_input(struct loop *, struct io_stream *);
static void serve_end(struct loop *, struct io_stream *);

static struct loop *loop_of_stream(const struct io_stream *s) {
    return loop_of(s->io);
}

static void make_ready(struct loop *loop, struct io_stream *s) {
    if (list_empty(&s->ready))
        list_push_back(&loop->ready, &s->ready);
}

static int register_events(struct loop *loop, struct io_stream *s, int how, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = s};
    if (epoll_ctl(loop->epoll_fd, how, s->fd, &event))
        return -errno;
    if (events & EPOLLOUT)
        s->flags |= OUT_WATCHED;
    return 0;
}

/* ---- life ---------------------------------------------------------------- */

static void begin(struct io *io, struct io_stream *s, int fd, uint32_t flags) {
    s->io = io;
    s->fd = fd;
    s->flags = flags;
    s->pending = NULL;
    s->pending_len = s->pending_off = s->pending_size = 0;
    s->error = 0;
    s->send_until_ns = 0;
    list_init(&s->ready);
}

static void drop_pending(struct io_stream *s) {
    free(s->pending);
    s->pending = NULL;
    s->pending_len = s->pending_off = s->pending_size = 0;
}

int loop_stream_adopt(struct io *io, struct io_stream *s, int fd) {
    begin(io, s, fd, 0);
    int error = register_events(loop_of(io), s, EPOLL_CTL_ADD, EVENTS_IN);
    if (error)
        s->fd = -1;
    return error;
}

/* The socket's first steps. An error of connect() itself is a refusal like any
 * other and is told later, as is an immediate success. */
int loop_stream_connect(struct io *io, struct io_stream *s, const struct sockaddr *to,
                        socklen_t len) {
    struct loop *loop = loop_of(io);
    const int on = 1;
    int fd = socket(to->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    begin(io, s, fd, CONNECTING);
    if (to->sa_family != AF_UNIX)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    uint32_t events = EVENTS_IN;
    if (connect(fd, to, len) == 0) {
        s->flags |= CONNECTED;
    } else if (errno == EINPROGRESS) {
        events |= EPOLLOUT;
    } else {
        s->error = errno;
        s->flags |= CONNECTED;
    }
    if (s->flags & CONNECTED)
        make_ready(loop, s);
    int error = s->error ? 0 : register_events(loop, s, EPOLL_CTL_ADD, events);
    if (error)
        loop_stream_close(s);
    return error;
}

/* The socket leaves the epoll set by being closed: nobody else has it. */
void loop_stream_close(struct io_stream *s) {
    struct loop *loop = loop_of_stream(s);
    if (s->fd < 0)
        return;
    list_remove(&s->ready);
    if (loop->current == s)
        loop->current = NULL;
    drop_pending(s);
    close(s->fd);
    s->fd = -1;
}

/* A unix socket knows no reset: the other side sees an end, or ECONNRESET if
 * we left something unread. */
void loop_stream_abort(struct io_stream *s) {
    const struct linger reset = {.l_onoff = 1, .l_linger = 0};
    if (s->fd >= 0)
        setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    loop_stream_close(s);
}

/* It must leave the epoll set by name: the open file lives on. */
int loop_stream_release(struct io_stream *s) {
    struct loop *loop = loop_of_stream(s);
    int fd = s->fd;
    if (io_pending(s))
        return -EBUSY;
    if (s->error || s->flags & (FAILED | READ_DONE | DEAD | CONNECTING | SHUT_AFTER))
        return -ENOTCONN;
    epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
    list_remove(&s->ready);
    if (loop->current == s)
        loop->current = NULL;
    s->fd = -1;
    return fd;
}

void loop_stream_want(struct io_stream *s, bool wanted) {
    if (!wanted) {
        s->flags &= ~(uint32_t)WANTED;
        return;
    }
    s->flags |= WANTED;
    if (s->fd >= 0 && (s->flags & (READABLE | READ_DONE | DEAD)) == READABLE)
        make_ready(loop_of_stream(s), s);
}

/* ---- out ----------------------------------------------------------------- */

/* The error is told later, and only after the bytes that can still be read. */
static void fail_sending(struct io_stream *s, int error) {
    drop_pending(s);
    s->error = error;
    s->flags = (s->flags | FAILED | READABLE) & ~(uint32_t)(WRITABLE | SHUT_AFTER);
    make_ready(loop_of_stream(s), s);
}

/* Epoll reports an edge when more can be sent; asked for at the first need. */
static void await_writable(struct loop *loop, struct io_stream *s) {
    if (s->flags & OUT_WATCHED)
        return;
    int error = register_events(loop, s, EPOLL_CTL_MOD, EVENTS_IN | EPOLLOUT);
    if (error)
        fail_sending(s, -error);
}

/* One system call, or none. The number of bytes taken, less than `len` only if
 * the kernel is full; -1 with errno. Sets *more if it has to be called again
 * although the kernel may have room: the test knob cut it short. */
static ssize_t send_bytes(struct loop *loop, int fd, const char *data, size_t len, bool *more) {
    ssize_t n;
    size_t ask = loop->short_io ? loop_short_len(loop, len) : len;
    do
        n = send(fd, data, ask, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    *more = loop->short_io && n == (ssize_t)ask;
    return n;
}

static ssize_t send_pieces(struct loop *loop, int fd, const struct iovec *iov, int count,
                           size_t total, bool *more) {
    if (count == 1 || loop->short_io)
        return send_bytes(loop, fd, iov[0].iov_base, iov[0].iov_len, more);
    struct msghdr message = {.msg_iov = (struct iovec *)iov,
                             .msg_iovlen = (size_t)(count < IOV_MAX ? count : IOV_MAX)};
    ssize_t n;
    do
        n = sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    *more = count > IOV_MAX && n >= 0 && (size_t)n < total;
    return n;
}

/* On a fresh clock: the turn may have begun long ago, if the process was stopped, or
 * the whole machine, which the loop's clock does not count. */
static bool is_too_late(const struct io_stream *s) {
    struct timespec t;
    if (!s->send_until_ns)
        return false;
    clock_gettime(CLOCK_BOOTTIME, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec >= s->send_until_ns;
}

/* Room for `more` bytes after what is pending. */
static int reserve(struct io_stream *s, size_t more) {
    size_t kept = io_pending(s);
    if (more > UINT32_MAX / 2 - kept)
        return -ENOMEM;
    if (s->pending_off) {
        memmove(s->pending, s->pending + s->pending_off, kept);
        s->pending_len -= s->pending_off;
        s->pending_off = 0;
    }
    if (s->pending_size - kept >= more)
        return 0;
    size_t size = (kept + more + 4095) & ~(size_t)4095;
    if (size < 2 * (size_t)s->pending_size)
        size = 2 * (size_t)s->pending_size;
    char *grown = realloc(s->pending, size);
    if (!grown)
        return -ENOMEM;
    s->pending = grown;
    s->pending_size = (uint32_t)size;
    return 0;
}

/* Copies all but the first `skip` bytes of the pieces behind what is pending. */
static int keep(struct io_stream *s, const struct iovec *iov, int count, size_t skip,
                size_t total) {
    int error = reserve(s, total - skip);
    if (error)
        return error;
    for (int i = 0; i < count; i++) {
        size_t len = iov[i].iov_len;
        if (skip >= len) {
            skip -= len;
            continue;
        }
        memcpy(s->pending + s->pending_len, (const char *)iov[i].iov_base + skip, len - skip);
        s->pending_len += (uint32_t)(len - skip);
        skip = 0;
    }
    return 0;
}

static bool fits(const struct iovec *iov, int count, size_t *total) {
    *total = 0;
    for (int i = 0; i < count; i++)
        if (__builtin_add_overflow(*total, iov[i].iov_len, total))
            return false;
    return true;
}

int loop_stream_send(struct io_stream *s, const struct iovec *iov, int count) {
    struct loop *loop = loop_of_stream(s);
    bool more = false;
    size_t total;

    if (!fits(iov, count, &total))
        return -ENOMEM;
    if (s->fd < 0 || (s->flags & (DEAD | FAILED)) || !total)
        return 0;
    if ((s->flags & CONNECTING) || io_pending(s))
        return keep(s, iov, count, 0, total);
    if (is_too_late(s)) {
        fail_sending(s, ETIMEDOUT);
        return 0;
    }
    while (!iov->iov_len) { /* so that the first piece has something to send */
        iov++;
        count--;
    }
    ssize_t n = send_pieces(loop, s->fd, iov, count, total, &more);
    if (n == (ssize_t)total)
        return 0;
    if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK) {
        fail_sending(s, errno);
        return 0;
    }
    if (keep(s, iov, count, n < 0 ? 0 : (size_t)n, total)) {
        if (n <= 0)
            return -ENOMEM;
        fail_sending(s, ENOMEM); /* a part is gone: the stream is torn */
        return 0;
    }
    if (more) {
        s->flags |= WRITABLE;
        make_ready(loop, s);
    } else {
        await_writable(loop, s);
    }
    return 0;
}

static void shut(struct io_stream *s) {
    s->flags &= ~(uint32_t)SHUT_AFTER;
    shutdown(s->fd, SHUT_WR);
}

size_t loop_stream_unsent(const struct io_stream *s) {
    int queued = 0;
    if (ioctl(s->fd, SIOCOUTQ, &queued) < 0 || queued < 0)
        queued = 0;
    return io_pending(s) + (size_t)queued;
}

void loop_stream_shut(struct io_stream *s) {
    if (s->fd < 0 || (s->flags & (DEAD | FAILED)))
        return;
    if ((s->flags & CONNECTING) || io_pending(s))
        s->flags |= SHUT_AFTER;
    else
        shut(s);
}

/* Sends what is pending, as far as the kernel takes it. False when it has been
 * taken wholly or cannot be: nothing waits any more. */
static bool flush(struct loop *loop, struct io_stream *s) {
    bool more;
    if (io_pending(s) && is_too_late(s)) {
        fail_sending(s, ETIMEDOUT);
        return false;
    }
    ssize_t n = send_bytes(loop, s->fd, s->pending + s->pending_off, io_pending(s), &more);
    if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK) {
        fail_sending(s, errno);
        return false;
    }
    if (n > 0)
        s->pending_off += (uint32_t)n;
    if (!io_pending(s)) {
        drop_pending(s);
        if (s->flags & SHUT_AFTER)
            shut(s);
        return false;
    }
    if (more) {
        s->flags |= WRITABLE;
        make_ready(loop, s);
    } else {
        await_writable(loop, s);
    }
    return true;
}

/* ---- events -------------------------------------------------------------- */

void loop_stream_happened(struct loop *loop, struct io_stream *s, uint32_t events) {
    if (s->flags & CONNECTING) {
        if (events & (EPOLLOUT | EPOLLERR | EPOLLHUP))
            s->flags |= CONNECTED;
    } else if (events & EPOLLERR) {
        s->flags |= FAILED;
    }
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        s->flags |= READABLE;
    if (events & (EPOLLRDHUP | EPOLLHUP))
        s->flags |= HANGUP;
    if ((events & EPOLLOUT) && io_pending(s))
        s->flags |= WRITABLE;
    make_ready(loop, s);
}

/* Each step says whether the stream is still there for the next one. */
void loop_stream_serve(struct loop *loop, struct io_stream *s) {
    loop->current = s;
    if (!(s->flags & DEAD) && serve_connect(loop, s) && serve_pending(loop, s) &&
        serve_input(loop, s))
        serve_end(loop, s);
    loop->current = NULL;
}

/* False: the callback closed the stream, do not touch it. */
static bool tell_end(struct loop *loop, struct io_stream *s, enum io_end end, int error) {
    if (end == IO_END_EOF) {
        s->flags |= s->flags & WANTED ? READ_DONE : EOF_HINTED;
    } else {
        drop_pending(s);
        s->flags |= DEAD;
    }
    s->ops->on_end(s, end, error);
    return loop->current == s;
}

static int socket_error(const struct io_stream *s) {
    int error = 0;
    socklen_t len = sizeof error;
    if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &len))
        return errno;
    return error;
}

static bool serve_connect(struct loop *loop, struct io_stream *s) {
    if (!(s->flags & CONNECTING))
        return true;
    if (!(s->flags & CONNECTED))
        return false;
    int error = s->error ? s->error : socket_error(s);
    s->flags &= ~(uint32_t)(CONNECTING | CONNECTED);
    if (error) {
        tell_end(loop, s, IO_END_REFUSED, error);
        return false;
    }
    if (io_pending(s))
        s->flags |= WRITABLE;
    else if (s->flags & SHUT_AFTER)
        shut(s);
    s->ops->on_connect(s);
    return loop->current == s;
}

static bool serve_pending(struct loop *loop, struct io_stream *s) {
    if (!(s->flags & WRITABLE) || !io_pending(s))
        return true;
    s->flags &= ~(uint32_t)WRITABLE;
    if (flush(loop, s) || (s->flags & FAILED))
        return true;
    s->ops->on_drain(s);
    return loop->current == s;
}

/* Hands on what was read. Under ASan each piece is memory of its own, of its
 * exact size, so that a reader who goes too far, or keeps it too long, shows. */
static bool tell_data(struct loop *loop, struct io_stream *s, size_t len) {
#ifdef SHARED_BUFFER_HIDES_BUGS
    char *own = malloc(len);
    if (!own)
        abort();
    memcpy(own, loop->scratch, len);
    s->ops->on_data(s, own, len);
    free(own);
#else
    s->ops->on_data(s, loop->scratch, len);
#endif
    return loop->current == s;
}

/* One read, and what follows from it. False: the stream is gone or dead. */
static bool read_once(struct loop *loop, struct io_stream *s, size_t ask, size_t *got) {
    if (loop->short_io)
        ask = loop_short_len(loop, ask);
    ssize_t n;
    do
        n = recv(s->fd, loop->scratch, ask, MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    *got = n > 0 ? (size_t)n : 0;
    if (n > 0) {
        if ((size_t)n < ask && !(s->flags & (HANGUP | FAILED)))
            s->flags &= ~(uint32_t)READABLE;
        return tell_data(loop, s, (size_t)n);
    }
    s->flags &= ~(uint32_t)READABLE;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return true;
    if (n < 0) {
        tell_end(loop, s, IO_END_RESET, errno);
        return false;
    }
    /* A send that failed has taken the reset from the socket, which shows an
     * end in its place; that is none. EPIPE alone means that one had come. */
    if (s->error && s->error != EPIPE)
        return true;
    return tell_end(loop, s, IO_END_EOF, 0);
}

static bool serve_input(struct loop *loop, struct io_stream *s) {
    size_t budget = LOOP_READ_BYTES, got;

    if (s->flags & READ_DONE)
        return true;
    while ((s->flags & (READABLE | WANTED)) == (READABLE | WANTED)) {
        if (!budget) {
            make_ready(loop, s); /* its share of this turn is used up */
            return false;
        }
        if (!read_once(loop, s, budget, &got))
            return false;
        budget -= got;
    }
    return true;
}

/* Nothing is left to read, or nobody wants to. */
static void serve_end(struct loop *loop, struct io_stream *s) {
    if (s->flags & FAILED) {
        int error = s->error ? s->error : socket_error(s);
        s->flags &= ~(uint32_t)FAILED;
        if (error) {
            tell_end(loop, s, IO_END_RESET, error);
            return;
        }
    }
    if ((s->flags & (HANGUP | WANTED | EOF_HINTED | READ_DONE)) == HANGUP)
        tell_end(loop, s, IO_END_EOF, 0);
}
