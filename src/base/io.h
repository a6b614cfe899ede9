/* io.h - what a room may ask of the world outside: sockets, timers, hand-off.
 *
 * An interface, implemented by src/loop (epoll today; io_uring fits under the
 * same shape) and by fakes in tests. It is completion-shaped: a caller submits
 * and is told later, through the callbacks of the object's `ops`; no callback
 * ever runs inside the call that submitted.
 *
 * Threading: an io, its streams, watches and timers belong to one thread, the one
 * that runs the loop. Only io_post() may be called from any thread.
 *
 * Time: io_now() is CLOCK_MONOTONIC in nanoseconds, read once a turn of the
 * loop, so all that happens in one turn happens at one time. */
#ifndef SWG_BASE_IO_H
#define SWG_BASE_IO_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/list.h"

struct io;
struct io_stream;
struct io_timer;

/* ---- streams: connected or connecting sockets ------------------------- */

/* Why a stream ended. */
enum io_end {
    IO_END_EOF,     /* the other side finished sending; writing may still work */
    IO_END_RESET,   /* connection reset, or an error on the socket */
    IO_END_REFUSED, /* connect failed: nothing was ever sent */
};

/* All callbacks get the stream; the object that embeds it is found with
 * container_of(). Any callback may close the stream. */
struct io_stream_ops {
    /* The connect succeeded; data queued by io_send() before is on its way. */
    void (*on_connect)(struct io_stream *);
    /* Bytes came. `data` is the loop's own memory and valid only during the
     * callback; whoever needs it longer copies it. Called only while reading
     * is wanted (io_want_data). */
    void (*on_data)(struct io_stream *, const char *data, size_t len);
    /* All that io_send() had to keep has been taken by the kernel. Called only
     * after an io_send() left something pending. */
    void (*on_drain)(struct io_stream *);
    /* The other side is gone, wholly or (IO_END_EOF) in its sending direction.
     * While reading is not wanted an EOF is told too, as soon as the kernel
     * knows it, and unread bytes may then still be waiting: if reading is
     * wanted again they are delivered, and IO_END_EOF comes again after them.
     * While reading is wanted, bytes that came before a reset are delivered
     * before it. After IO_END_RESET or IO_END_REFUSED nothing else comes, and
     * what is sent then is dropped: close. */
    void (*on_end)(struct io_stream *, enum io_end, int os_error);
};

/* Embedded by its owner; no buffer belongs to an idle stream. The fields are
 * the implementation's. */
struct io_stream {
    const struct io_stream_ops *ops;
    struct io *io;
    int fd;         /* -1: not open */
    uint32_t flags; /* implementation's */
    char *pending;  /* what the kernel would not take yet; NULL when empty */
    uint32_t pending_len, pending_off, pending_size;
    int error;              /* a failure not told yet */
    uint64_t send_until_ns; /* of CLOCK_BOOTTIME: nothing is sent from then on, whenever the loop
                               gets to it: sending fails with ETIMEDOUT; 0: always. The caller's,
                               after opening */
    struct list ready;      /* link in the loop's list of streams with something to tell */
};

/* Before the first io_adopt() or io_connect(): makes io_close() and
 * io_is_open() safe to call on a stream that never was open. */
static inline void io_stream_init(struct io_stream *s, const struct io_stream_ops *ops) {
    *s = (struct io_stream){.ops = ops, .fd = -1};
    list_init(&s->ready);
}

/* ---- timers ----------------------------------------------------------- */

struct io_timer {
    struct list link; /* empty when not armed */
    uint64_t due_ns;
    void (*on_due)(struct io_timer *);
};

/* Before the first io_timer_set(). */
static inline void io_timer_init(struct io_timer *t, void (*on_due)(struct io_timer *)) {
    list_init(&t->link);
    t->due_ns = UINT64_MAX;
    t->on_due = on_due;
}

/* ---- foreign descriptors ----------------------------------------------- */

/* Watches a descriptor that somebody else owns and reads: a listener, or the
 * socket of a library. Embedded by its owner. */
struct io_watch {
    struct list ready;
    struct io *io; /* NULL: not watching */
    int fd;
    uint32_t happened;
    void (*on_ready)(struct io_watch *, uint32_t epoll_events);
};

static inline void io_watch_init(struct io_watch *w,
                                 void (*on_ready)(struct io_watch *, uint32_t)) {
    *w = (struct io_watch){.fd = -1, .on_ready = on_ready};
    list_init(&w->ready);
}

/* ---- hand-off between threads ----------------------------------------- */

struct io_task {
    struct io_task *next;
    void (*run)(struct io_task *); /* on the receiving loop's thread */
};

/* ---- the interface ----------------------------------------------------- */

struct io_ops {
    int (*stream_adopt)(struct io *, struct io_stream *, int fd);
    int (*stream_connect)(struct io *, struct io_stream *, const struct sockaddr *, socklen_t);
    void (*stream_want)(struct io_stream *, bool wanted);
    int (*stream_send)(struct io_stream *, const struct iovec *, int count);
    size_t (*stream_unsent)(const struct io_stream *);
    void (*stream_shut)(struct io_stream *);
    void (*stream_close)(struct io_stream *);
    void (*stream_abort)(struct io_stream *);
    int (*stream_release)(struct io_stream *);
    int (*watch_start)(struct io *, struct io_watch *, int fd, uint32_t events);
    int (*watch_change)(struct io_watch *, uint32_t events);
    void (*watch_stop)(struct io_watch *);
    void (*timer_set)(struct io *, struct io_timer *, uint64_t due_ns);
    void (*timer_clear)(struct io *, struct io_timer *);
    void (*post)(struct io *, struct io_task *);
};

struct io {
    const struct io_ops *ops;
    uint64_t now_ns;
};

static inline uint64_t io_now(const struct io *io) {
    return io->now_ns;
}

/* Takes over a connected, non-blocking socket. Reading is not wanted yet.
 * 0, or -errno with `fd` still the caller's. */
static inline int io_adopt(struct io *io, struct io_stream *s, int fd) {
    return io->ops->stream_adopt(io, s, fd);
}

/* Starts to connect (TCP with TCP_NODELAY, or a unix socket); on_connect or
 * on_end(IO_END_REFUSED) follows, never inside this call. -errno when not even
 * a socket could be had; then no callback comes. */
static inline int io_connect(struct io *io, struct io_stream *s, const struct sockaddr *to,
                             socklen_t len) {
    return io->ops->stream_connect(io, s, to, len);
}

/* Back-pressure: whether on_data may come. Turning it on again delivers what
 * waited, in a later callback. Cheap: no system call. */
static inline void io_want_data(struct io_stream *s, bool wanted) {
    s->io->ops->stream_want(s, wanted);
}

/* Sends `count` pieces in order. What the kernel does not take at once is
 * copied, so the caller's memory is free on return; it is the caller's duty to
 * stop producing while io_pending() is not 0 (on_drain tells when). Before
 * on_connect everything is kept. A dead connection is told by on_end, not
 * here. 0, or -ENOMEM with nothing sent. */
static inline int io_send(struct io_stream *s, const struct iovec *iov, int count) {
    return s->io->ops->stream_send(s, iov, count);
}

/* Bytes that io_send() keeps. */
static inline size_t io_pending(const struct io_stream *s) {
    return s->pending_len - s->pending_off;
}

/* Bytes that the other side has not taken yet: those that io_send() keeps and
 * those that the kernel does. The kernel takes more only when a good part of
 * its own has gone, which for a slow reader is a long time without on_drain;
 * this tells that it reads nevertheless. A system call. */
static inline size_t io_unsent(const struct io_stream *s) {
    return s->fd >= 0 ? s->io->ops->stream_unsent(s) : 0;
}

/* Ends the sending direction once everything pending has gone. */
static inline void io_shut(struct io_stream *s) {
    s->io->ops->stream_shut(s);
}

/* Closes at once and drops what is pending; no callback comes any more, also
 * none that was already due in this turn. May be called twice. */
static inline void io_close(struct io_stream *s) {
    if (s->fd >= 0)
        s->io->ops->stream_close(s);
}

/* Like io_close(), but with a reset (SO_LINGER 0), so that the other side can
 * tell that what it has is not the whole. */
static inline void io_abort(struct io_stream *s) {
    if (s->fd >= 0)
        s->io->ops->stream_abort(s);
}

/* Lets go of the socket without closing it, so that another loop or process can
 * go on with it: what came and was not read yet is still in the kernel. The
 * stream is as after io_close(). The descriptor; -EBUSY, and nothing changed,
 * while something is pending; -ENOTCONN when it has ended, or is not connected. */
static inline int io_release(struct io_stream *s) {
    return s->fd >= 0 ? s->io->ops->stream_release(s) : -ENOTCONN;
}

static inline bool io_is_open(const struct io_stream *s) {
    return s->fd >= 0;
}

/* Arms, or moves, a timer; it fires once, at or after due_ns (within 1 ms plus
 * the length of a turn). UINT64_MAX clears it. O(1). */
static inline void io_timer_set(struct io *io, struct io_timer *t, uint64_t due_ns) {
    io->ops->timer_set(io, t, due_ns);
}

static inline void io_timer_clear(struct io *io, struct io_timer *t) {
    io->ops->timer_clear(io, t);
}

/* `events` as for epoll_ctl(): level-triggered, unless EPOLLET is among them.
 * 0 or -errno. */
static inline int io_watch_start(struct io *io, struct io_watch *w, int fd, uint32_t events) {
    return io->ops->watch_start(io, w, fd, events);
}

static inline int io_watch_change(struct io_watch *w, uint32_t events) {
    return w->io->ops->watch_change(w, events);
}

/* No callback comes any more, also none due in this turn. Before the
 * descriptor is closed. Harmless when not watching. */
static inline void io_watch_stop(struct io_watch *w) {
    if (w->io)
        w->io->ops->watch_stop(w);
}

/* Runs task->run on the loop's thread, soon, in the order of posting. Any
 * thread. The task is the caller's memory until it runs. */
static inline void io_post(struct io *io, struct io_task *task) {
    io->ops->post(io, task);
}

#endif
