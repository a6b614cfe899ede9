/* queue.h - writes of one service that wait until it is back.
 *
 * A write that could not be delivered is appended to the outbox (store/outbox.h)
 * and promised to the client; from then on it is here, until the service has
 * taken it. Which one goes when, and how fast, is decided by engine/replay.h;
 * a replay is a request of our own (inner.h) under the service's whole policy,
 * so its breaker counts it and stops it.
 *
 *   tiers/queue.c ─▶ queue_accept ─▶ outbox ─▶ lane ─▶ replay ─▶ service
 *                                      ▲                 │
 *                                      └──── settled ◀───┘
 *
 * Order: what has the same lane goes in the order of acceptance, one after the
 * other. A write whose lane has a backlog does not go to the service directly:
 * it would overtake. Without `order_by` each write is a lane of its own.
 *
 * Once only: each write has an Idempotency-Key, the client's or ours, which is
 * on its very first try already. So a write of which nobody knows whether the
 * service has seen it can be sent again to a service that heeds the key.
 *
 * In an outbox that several processes share, one of them sends a service's writes
 * (queue_lease.c); the others only append. Whether a lane has a backlog is then
 * known to the outbox alone (OUTBOX_BEHIND), and so it is asked.
 *
 * Threads: replays of a service run on one worker, its home. Accepting, and
 * looking whether a lane has a backlog, from any worker; the counters and lanes
 * stand under a lock. A queue lives as long as the gateway, across reloads. */
#ifndef SWG_GATEWAY_QUEUE_H
#define SWG_GATEWAY_QUEUE_H

#include <stdatomic.h>

#include "base/io.h"
#include "gateway/options.h"
#include "store/outbox.h"

struct gateway;
struct inner_answer;
struct queue;
struct worker;

enum queue_result {
    QUEUE_ACCEPTED,
    QUEUE_REPEATED,      /* the same request had been accepted before: the entry is that one's */
    QUEUE_OTHER_REQUEST, /* another request has this key */
    QUEUE_FULL,
    QUEUE_TOO_LARGE,
    QUEUE_STORE_FAILED,
};

/* One write on its way into the outbox. Embedded by nobody: it stays until the
 * outbox is done with it, which may be after the client has gone. */
struct queue_ticket {
    struct outbox_op op; /* result: entry.id, entry.state, entry.accepted_ms */
    enum queue_result result;
    /* On the accepting worker's thread; the ticket is freed when this returns.
     * NULL: nobody waits any more. */
    void (*done)(struct queue_ticket *);
    void *owner;
    /* queue.c's */
    struct queue *queue;
    struct queue_write *write;
    struct io *io;
    struct io_task task;
    struct arena memory;
};

struct queue_request {
    struct bytes lane; /* empty: its own */
    struct bytes key;  /* Idempotency-Key */
    struct bytes method, target, fields, body;
    int64_t expires_ms; /* since 1970; 0: never */
};

struct queue_stats {
    uint64_t entries, bytes; /* queued now */
    uint64_t lanes, out;     /* lanes with a backlog; requests under way */
    uint64_t accepted, repeated, delivered, dead, expired, dropped;
    uint64_t refused_full, refused_too_large, key_reused, store_failed;
    uint64_t attempts, failed_attempts;
    int64_t oldest_ms; /* accepted, since 1970; 0: none */
    bool shared;       /* the outbox is: `entries` and `bytes` are those of all, about */
    bool sends;        /* and it is this process that sends */
};

/* By the service's name, made at the first call. Control thread. What the outbox
 * has for it is loaded. NULL: no memory, or the outbox cannot be read. */
struct queue *queue_get(struct gateway *, const char *service);
/* New limits; at start and at each reload. Control thread. */
void queue_configure(struct queue *, const struct queue_options *);
/* All of them, for the admin side; NULL at the end. Any thread. */
struct queue *queue_first(struct gateway *);
struct queue *queue_next(struct queue *);
const char *queue_service(const struct queue *);
void queue_read(struct queue *, struct queue_stats *);
/* At an upgrade: what is under way is finished, nothing more is sent, and when that is
 * done the outbox's file is another process's. From then on writes are only appended.
 * Nothing where the outbox is on a server, whose leases see to it. Control thread. */
void queue_hand_over_all(struct gateway *);
/* It came to nothing: they are ours again. */
void queue_take_back_all(struct gateway *);
/* All workers have stopped, and the outbox is about to be closed. */
void queue_settle_all(struct gateway *);
/* All workers have stopped: others may send. Blocks. */
void queue_give_back_all(struct gateway *);
/* All workers have stopped, and the outbox is closed. */
void queue_destroy_all(struct gateway *);

/* Whether writes of this lane wait, as far as is known here. Any thread. */
bool queue_is_behind(struct queue *, struct bytes lane);
/* Whether others may know of more. */
bool queue_is_shared(const struct queue *);

/* Copies what is in the request. NULL: no memory. On success done() comes later,
 * also for refusals. Any worker; `io` is its loop. */
struct queue_ticket *queue_accept(struct queue *, const struct queue_request *, struct io *,
                                  void (*done)(struct queue_ticket *), void *owner);

/* Takes a queued entry out, or puts a dead one back. `done` on the loop of `io`,
 * with 0, -ENOENT, -EBUSY (it is being sent right now), or the outbox's error. */
struct queue_command {
    enum { QUEUE_DROP, QUEUE_RETRY } verb;
    char id[OUTBOX_ID_LEN + 1];
    int error;
    struct io *io;
    void (*done)(struct queue_command *);
    /* queue.c's */
    struct gateway *gateway;
    struct queue *queue;
    struct queue_write *write;
    struct outbox_op op;
    struct io_task task;
};
void queue_do(struct gateway *, struct queue_command *);

/* The service's breaker has changed, or the plan has: look again. Any thread. */
void queue_wake(struct queue *);

const char *queue_result_word(enum queue_result);

#endif
