/* listener.h - a listening socket on a loop, TCP or unix.
 *
 * Several loops serve one TCP address with a socket each (reuse_port), and the
 * kernel spreads the connections. A unix socket cannot be bound twice; there
 * the other loops adopt a dup() of the first one's descriptor.
 *
 * When the process has no descriptor left, the listener pauses, 100 ms at a
 * time, instead of spinning on a queue it cannot empty; the clients wait in
 * the kernel's queue meanwhile. on_full is the owner's chance to close idle
 * connections.
 *
 * Threading: the loop's thread. Memory: the struct is the caller's; any
 * callback may close it, and free it then. */
#ifndef SWG_LOOP_LISTENER_H
#define SWG_LOOP_LISTENER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/io.h"
#include "loop/loop.h"

struct loop_listener;

struct loop_listener_ops {
    /* A connection: non-blocking, close-on-exec, TCP_NODELAY, and the callee's.
     * The address of a unix peer is mostly empty (len 2). */
    void (*on_accept)(struct loop_listener *, int fd, const struct sockaddr_storage *peer,
                      socklen_t len);
    /* No descriptor or memory for another connection. May be NULL. */
    void (*on_full)(struct loop_listener *, int os_error);
    /* The end of loop_listener_drain(); closed already. May be NULL. */
    void (*on_drained)(struct loop_listener *);
};

struct loop_listener_options {
    int backlog;       /* default 4096; the kernel caps it at net.core.somaxconn */
    unsigned batch;    /* connections accepted in one turn; default 64 */
    bool reuse_port;   /* other loops bind the same address */
    bool claim;        /* with reuse_port: still -EADDRINUSE where anybody listens
                        * already; for the first socket of a process */
    bool dual_stack;   /* an IPv6 socket takes IPv4 as well */
    bool held;         /* adopted: somebody else has this socket, too, and will serve
                        * it, such as a service manager */
    bool own_path;     /* adopted, unix: its path is removed with it */
    mode_t unix_mode;  /* permissions of a unix socket; default: as umask has it */
    uint64_t drain_ns; /* default 250 ms, see loop_listener_drain() */
};

struct loop_listener {
    const struct loop_listener_ops *ops;
    struct loop *loop;
    int fd;                          /* -1: not open */
    struct sockaddr_storage address; /* as bound: port 0 has become a real one */
    socklen_t address_len;
    uint64_t accepted, full; /* connections; times it ran out of descriptors */

    /* the implementation's */
    struct io_watch watch;
    struct io_timer timer; /* ends a pause, or the draining */
    uint64_t drain_ns;
    unsigned batch;
    bool paused, draining, bound_path, held;
    bool *gone; /* set by a close while a callback runs */
};

/* The state in which loop_listener_close() is harmless. */
void loop_listener_init(struct loop_listener *, const struct loop_listener_ops *);

/* A socket that listens, for whoever adopts it, or -errno. */
int loop_listener_bind(const struct sockaddr *, socklen_t, const struct loop_listener_options *);

/* Binds and listens. 0, or -errno with nothing left open. A path that a dead
 * process left behind is bound again; one that answers is -EADDRINUSE. */
int loop_listener_open(struct loop_listener *, struct loop *, const struct sockaddr *, socklen_t,
                       const struct loop_listener_options *);

/* Takes over a socket that listens already (a dup(), or socket activation).
 * 0, or -errno with `fd` still the caller's. */
int loop_listener_adopt(struct loop_listener *, struct loop *, int fd,
                        const struct loop_listener_options *);

/* Stops and starts accepting; who connects meanwhile waits in the queue. */
void loop_listener_pause(struct loop_listener *);
void loop_listener_resume(struct loop_listener *);

/* Ends without losing a client, within drain_ns. Of a socket that somebody else holds
 * nobody is accepted any more: who is in its queue is theirs to serve. Any other
 * refuses new handshakes, and hands over everything that is queued or half-way through
 * its handshake. Then it is closed, and on_drained told: by then who was accepted last
 * has had time to ask. */
void loop_listener_drain(struct loop_listener *);
/* Leaves the socket to somebody else who holds it, too, and closes it here. */
void loop_listener_leave(struct loop_listener *);

/* At once; who is in the queue is reset. Harmless when not open. */
void loop_listener_close(struct loop_listener *);

#endif
