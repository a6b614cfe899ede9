/* heir.h - the new process's side of an upgrade: it has the sockets of the one before,
 * becomes ready without serving, and takes over when it is told what that one knows.
 *
 *     heir_begin      the sockets; at an ordinary start those of a service manager
 *     heir_ready      configuration and sockets are fine; waits for its turn
 *     heir_taken      from now on it serves
 *     heir_follow     connections between two requests come, until the one before ends
 *
 * If anything fails before heir_taken() it just ends, having said why on standard error,
 * and the one before goes on.
 *
 * Threading: the control thread. */
#ifndef SWG_CLI_HEIR_H
#define SWG_CLI_HEIR_H

#include "base/buf.h"
#include "base/io.h"
#include "cli/handover.h"
#include "cli/inherit.h"
#include "gateway/pass_on.h"

enum { HEIR_LISTENERS = 64 };

struct heir {
    int channel; /* -1: an ordinary start */
    struct inherit sockets;
    char version[32]; /* of the process before */
    int pid;
    uint64_t adopted, taken;       /* listeners of the process before, a bit each: whose sockets
                                      are used here; and whose clients can come */
    uint8_t index[HEIR_LISTENERS]; /* what they are here */
    struct io_watch watch;
    void (*on_client)(void *arg, const struct passed_client *);
    void *arg;
};

/* 0, or -1 with the reason printed. */
int heir_begin(struct heir *);
static inline bool heir_is_one(const struct heir *h) {
    return h->channel >= 0;
}
/* This socket is used here, by whatever it is now: the process before closes it and no
 * more, for a socket has one queue, and what shuts it there shuts it here. */
void heir_adopt(struct heir *, const struct inherited *);
/* The listener that had this socket there is this one here, if it is written alike: its
 * clients can come. */
void heir_note(struct heir *, const struct inherited *, const char *written, uint32_t index);
/* Tells that all is well, and waits. `state` gets what the process before knows, and
 * standard error is its own now. 0, or -1 with the reason printed. */
int heir_ready(struct heir *, struct buf *state);
int heir_taken(struct heir *);
/* The descriptors are the callee's. */
void heir_follow(struct heir *, struct io *,
                 void (*on_client)(void *, const struct passed_client *), void *arg);
void heir_free(struct heir *);

#endif
