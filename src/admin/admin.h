/* admin.h - the control side: health, breakers, configuration, events, metrics
 * and the panel, over HTTP on an address of its own.
 *
 * Threading: the control thread, on its loop; the workers are never waited
 * for. Memory: a connection owns its buffers while a request is under way. */
#ifndef SWG_ADMIN_ADMIN_H
#define SWG_ADMIN_ADMIN_H

#include <stdio.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "base/io.h"
#include "gateway/gateway.h"

struct admin;
struct health;

/* Who waits to hear how an upgrade went; embedded by its owner. */
struct upgrade_ticket {
    void (*done)(struct upgrade_ticket *, bool ok, int next_process, const char *why);
};

/* What only the whole process can do; each runs on the control thread. */
struct admin_host {
    void *arg;
    /* True and perhaps a remark, or false and what was wrong. */
    bool (*reload)(void *arg, const char *author, uint64_t *generation, struct buf *text);
    /* Brings options that came of those in force into force: 0 or -errno. */
    int (*change)(void *arg, struct gateway_options *);
    void (*drain)(void *arg, const char *author);
    bool (*is_ready)(void *arg);
    const char *(*ailment)(void *arg); /* why it is not alive, in words; NULL: it is */
    uint64_t (*lag_ns)(void *arg);     /* the longest turn of an event loop, of late */
    /* The next process takes over. 0, and the ticket is told how it went; -EBUSY: not now,
     * or another -errno, with the reason in `why`. */
    int (*upgrade)(void *arg, const char *author, struct upgrade_ticket *, char *why,
                   size_t why_size);
};

int admin_create(struct admin **out, struct gateway *, struct health *, struct io *,
                 const struct admin_options *, const struct admin_host *);
void admin_destroy(struct admin *);
/* A connection was accepted on the admin address; takes over the descriptor. */
void admin_accept(struct admin *, int fd, const struct sockaddr *peer);

/* An upgrade: while what is known goes to the next process, changes are refused (409),
 * for they would be lost. NULL is allowed, here and below. */
void admin_hold_changes(struct admin *, bool);
/* The next process has taken over: clients are sent away to it, at once or after the
 * answer that they wait for. */
void admin_leave(struct admin *);

/* docs/reference/admin-api.md, from the table of routes. */
void admin_reference_write(FILE *);

#endif
