/* signals.h - signals as events of a loop, by signalfd.
 *
 * Threading: the loop's thread. A signal reaches the loop only while every
 * thread blocks it, so loop_signals_block() comes first in main(), before any
 * other thread starts; threads inherit the mask, and so do programs that are
 * started (give them the old mask, POSIX_SPAWN_SETSIGMASK). */
#ifndef SWG_LOOP_SIGNALS_H
#define SWG_LOOP_SIGNALS_H

#include <signal.h>
#include <sys/signalfd.h>

#include "loop/loop.h"

struct loop_signals {
    struct io_watch watch;
    int fd; /* -1: not open */
    void (*on_signal)(struct loop_signals *, const struct signalfd_siginfo *);
};

/* The state in which loop_signals_close() is harmless. */
void loop_signals_init(struct loop_signals *,
                       void (*on_signal)(struct loop_signals *, const struct signalfd_siginfo *));

/* Blocks the signals in this thread, and ignores SIGPIPE, and
 * SIGXFSZ: a file that may not grow is an error of that write, not of the process. `before` (may be
 * NULL) gets the old mask. 0 or -errno. */
int loop_signals_block(const sigset_t *, sigset_t *before);

/* Calls on_signal for each of the signals; equal ones that come at the same
 * time are one. 0 or -errno. */
int loop_signals_open(struct loop_signals *, struct loop *, const sigset_t *);

/* Also from within on_signal, which may free the struct then. */
void loop_signals_close(struct loop_signals *);

#endif
