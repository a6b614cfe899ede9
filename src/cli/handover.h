/* handover.h - the messages of an upgrade, between the process that is and the one
 * that will be, over a pair of sockets.
 *
 *     old                                     new
 *      HELLO, SOCKETS …, END ───────────────▶  checks its configuration, takes the sockets
 *      ◀──────────────────────────────── READY
 *      TAKE_OVER: state, standard error ────▶  breakers as they were
 *      ◀──────────────────────────────── TAKEN  accepts from now on
 *      CLIENTS …  ──────────────────────────▶  connections between two requests
 *      (ends)
 *
 * Until TAKEN the old process serves as ever, and goes on if the channel ends.
 * Messages keep their borders (SOCK_SEQPACKET) and carry descriptors. The two
 * may be of different versions: what a message looks like is fixed, and what it
 * means belongs to HANDOVER_PROTOCOL, which HELLO tells.
 *
 * Threading: any thread may send; one receives. */
#ifndef SWG_CLI_HANDOVER_H
#define SWG_CLI_HANDOVER_H

#include <stdbool.h>
#include <stdint.h>

enum { HANDOVER_PROTOCOL = 1, HANDOVER_FDS = 64 };
#define HANDOVER_ADMIN   UINT32_MAX            /* in place of a listener's index */
#define HANDOVER_CHANNEL "SWITCHGEAR_HANDOVER" /* environment: the new process's descriptor */

enum handover_kind {
    HANDOVER_HELLO = 1, /* text: version; value: protocol, process id */
    HANDOVER_SOCKETS,   /* text: address as written; value: listener's index, enum socket_flag;
                           fds: its sockets, or some of them */
    HANDOVER_END,       /* of the sockets */
    HANDOVER_READY,     /* value: listeners whose clients can come, 64 bits in two; listeners
                           whose sockets are used, again two (count 2: the same ones) */
    HANDOVER_TAKE_OVER, /* fds: standard error, the state */
    HANDOVER_TAKEN,
    HANDOVER_CLIENTS, /* value: listener's index * 2, + 1 if it was served; fds: one each */
};

enum socket_flag {
    SOCKET_HELD = 1, /* a service manager has it, too */
    SOCKET_PATH = 2, /* its path goes with it */
};

struct handover_message {
    uint32_t kind, count;
    uint32_t value[HANDOVER_FDS];
    char text[256];
};

struct handover_fds {
    uint32_t count;
    int fd[HANDOVER_FDS];
};

/* 0; -EAGAIN when the other does not read for the moment and `wait` is false;
 * else -errno. The descriptors stay the caller's. */
int handover_send(int channel, const struct handover_message *, const struct handover_fds *,
                  bool wait);
/* The same; -EPIPE: the other has ended. Descriptors that came are the caller's, and
 * close-on-exec. */
int handover_receive(int channel, struct handover_message *, struct handover_fds *, bool wait);
void handover_close(struct handover_fds *);

#endif
