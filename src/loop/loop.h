/* loop.h - the event loop: sockets, timers and hand-off over epoll.
 *
 * It implements base/io.h; whoever only does I/O includes that and takes a
 * `struct io`. This header is for those who own a loop (start, run, stop,
 * watch it).
 *
 * Threading: a loop belongs to the thread that runs it, from the first turn
 * on; before, to the one that made it. Any thread may call loop_stop(),
 * loop_stats() and io_post(). Signal handlers may call loop_stop().
 *
 * Memory: about 270 KiB a loop, most of it the buffer that all reads share; a
 * stream owns a buffer only while the kernel does not take what was sent.
 *
 * A process with a loop may start others by posix_spawn() or vfork(), not by
 * fork(): a child's copy of a descriptor would keep it in the epoll set after
 * io_close(), when the stream's memory may be gone. */
#ifndef SWG_LOOP_LOOP_H
#define SWG_LOOP_LOOP_H

#include <stdint.h>

#include "base/io.h"
#include "base/list.h"

struct loop;

/* 0 or -errno. With SWITCHGEAR_TEST_SHORT_IO=<seed> in the environment every
 * read and send moves 1 to 7 bytes, so that a test meets each split. */
int loop_create(struct loop **out);

/* Streams, timers and watches must be closed before. Tasks that were posted
 * and have not run are forgotten: run loop_turn(loop, 0) first if they own
 * something. */
void loop_destroy(struct loop *);

struct io *loop_io(struct loop *);

/* Turns until loop_stop(). 0, or -errno when waiting itself fails. */
int loop_run(struct loop *);

/* One turn: waits (at most max_wait_ms; -1 without limit), then serves all that
 * has come: streams, watches, timers, tasks. 0 or -errno. */
int loop_turn(struct loop *, int max_wait_ms);

/* Makes loop_run() return after the present turn, or at once when it is called
 * later. Any thread, any signal handler. */
void loop_stop(struct loop *);

/* ---- the end of a turn ------------------------------------------------- */

/* Runs once at the end of each turn, before the loop waits again, and once when
 * loop_run() begins: the place to write in one
 * piece what a turn has gathered, such as log lines. Embedded by its owner. */
struct loop_hook {
    struct list link;
    void (*run)(struct loop_hook *);
};

void loop_hook_add(struct loop *, struct loop_hook *);
void loop_hook_remove(struct loop_hook *);

/* ---- for a watchdog, from other threads -------------------------------- */

struct loop_stats {
    uint64_t turns;
    uint64_t events;          /* that epoll reported */
    uint64_t busy_ns;         /* in turns, without the waiting */
    uint64_t turn_ns_longest; /* a long turn delays all other connections */
    uint64_t busy_since_ns;   /* CLOCK_MONOTONIC when the present turn began;
                               * 0 while the loop waits, which is no illness */
};

void loop_stats(const struct loop *, struct loop_stats *out);
/* How long the longest turn took that has ended since the last call of this. Any
 * thread, but always the same. */
uint64_t loop_take_longest(struct loop *);

#endif
