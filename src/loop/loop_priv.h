/* loop_priv.h - the layout of a loop, shared by loop.c and stream.c alone. */
#ifndef SWG_LOOP_LOOP_PRIV_H
#define SWG_LOOP_LOOP_PRIV_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

#include "base/io.h"
#include "base/list.h"
#include "loop/loop.h"
#include "loop/wheel.h"

enum {
    LOOP_EVENTS = 256,            /* taken from the kernel in one turn */
    LOOP_READ_BYTES = 256 * 1024, /* the shared buffer, and a stream's share of a turn */
};

struct loop {
    struct io io;
    int epoll_fd;
    int wake_fd;       /* an eventfd: wakes the loop for tasks and loop_stop() */
    bool no_pwait2;    /* the kernel, or a sandbox, lacks epoll_pwait2() */
    uint32_t short_io; /* state of the test knob's random numbers; 0: off */
    struct list ready; /* streams with something to tell, by io_stream.ready */
    struct list ready_watches;
    struct list hooks;

    /* The stream whose callback runs. A close clears it, so that whoever made
     * the callback can tell without looking at the stream, whose memory may be
     * gone or in use for another connection by then. */
    struct io_stream *current;
    char *scratch; /* LOOP_READ_BYTES that all reads go through */
    struct wheel wheel;

    /* Tasks of io_post(), the last one first. Written by any thread (push by
     * compare-and-swap, release: the task's contents become visible with it),
     * emptied as a whole by the loop's thread (exchange, acquire, which pairs
     * with the pushes), so a node is never compared while another is freed and
     * reused: no ABA. */
    _Atomic(struct io_task *) posted;
    /* Written by any thread or signal handler, read and cleared by the loop's.
     * Relaxed: it carries no data, and the write to wake_fd makes sure that the
     * loop looks again. */
    atomic_bool stop;

    /* Written by the loop's thread only (a plain load and store, no locked
     * instruction), read by watchdogs and metrics. Relaxed: each is a figure by
     * itself. */
    atomic_uint_least64_t turns, events_seen, busy_ns, turn_ns_longest, busy_since_ns;
    /* Raised by the loop's thread (load, store), set to 0 by loop_take_longest(). Relaxed.
     * When both meet, a turn shorter than the one just taken may go unseen, or one be
     * seen twice: neither matters to whoever looks for long ones. */
    atomic_uint_least64_t turn_ns_recent;

    struct epoll_event events[LOOP_EVENTS];
};

static inline struct loop *loop_of(struct io *io) {
    return container_of(io, struct loop, io);
}

/* 1 to 7, for the test knob; xorshift, so that a seed replays a run. */
static inline size_t loop_short_len(struct loop *loop, size_t len) {
    uint32_t x = loop->short_io;
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    loop->short_io = x;
    return len < 1 + x % 7 ? len : 1 + x % 7;
}

/* ---- stream.c ----------------------------------------------------------- */

/* Notes what epoll reported. Runs no callback. */
void loop_stream_happened(struct loop *, struct io_stream *, uint32_t epoll_events);
/* Tells a stream that was taken off the ready list what there is to tell. */
void loop_stream_serve(struct loop *, struct io_stream *);

int loop_stream_adopt(struct io *, struct io_stream *, int fd);
int loop_stream_connect(struct io *, struct io_stream *, const struct sockaddr *, socklen_t);
void loop_stream_want(struct io_stream *, bool wanted);
int loop_stream_send(struct io_stream *, const struct iovec *, int count);
size_t loop_stream_unsent(const struct io_stream *);
void loop_stream_shut(struct io_stream *);
void loop_stream_close(struct io_stream *);
void loop_stream_abort(struct io_stream *);
int loop_stream_release(struct io_stream *);

#endif
