/* queue_priv.h - the layout of a queue, for its own files.
 *
 * queue.c takes writes in, from any thread; on the home worker, queue_replay.c
 * decides which go, queue_send.c sends them, and queue_lease.c knows whether they
 * are this process's to send. */
#ifndef SWG_GATEWAY_QUEUE_PRIV_H
#define SWG_GATEWAY_QUEUE_PRIV_H

#include <pthread.h>

#include "engine/replay.h"
#include "gateway/queue.h"

/* The tables are a megabyte of address space a queue, touched only as far as writes wait. */
enum { LANE_BUCKETS = 1 << 16, WRITE_BUCKETS = 1 << 16, LANE_NAME_MAX = 256 };

struct service;

struct queue_lane {
    struct swg__replay_lane replay; /* home worker only; at rest while nothing is pending */
    struct queue_lane *next;        /* in its bucket; the queue's lock */
    uint32_t pending;               /* accepted, or about to be, and not settled; the lock */
    uint64_t hash;
    uint32_t len;
    char name[];
};

/* A write that is promised. Its content is in the outbox only. */
struct queue_write {
    struct swg__replay_write replay; /* home worker only, as what follows */
    struct queue_write *next;        /* in its bucket, by sequence */
    struct list link;                /* queue->writes */
    struct io_task task;             /* on its way to the home worker */
    struct queue *queue;
    struct queue_lane *lane;
    int64_t accepted_ms, expires_ms;
    uint64_t bytes;
    uint32_t attempts;
    bool alone; /* it is not sent in a batch any more */
};

/* Where the outbox is shared. The home worker's, but for `shared`. */
struct queue_lease {
    /* Else nothing of this is used, and the writes are ours. Set at the start, or when an
     * upgrade begins, by the home worker; read by any thread. Relaxed: an append that
     * still sees the old value comes to the home worker, which finds it is not its own. */
    _Atomic bool shared;
    bool begun, held, asking;
    uint32_t term;               /* how often we have had it */
    uint64_t asked_ns, until_ns; /* of CLOCK_BOOTTIME */
    struct io_timer renew, end;
    struct outbox_op ask;
    /* following, while it is held */
    bool listing, again;
    uint32_t listed_term;
    uint64_t after; /* the last sequence number seen */
    struct io_timer follow;
    struct outbox_op list;
};

struct queue {
    struct queue *next; /* gateway->queues; set once */
    struct gateway *gateway;
    char *service;
    uint32_t home; /* index of the worker */

    pthread_mutex_t lock; /* guards what follows; a leaf */
    struct queue_lane *lanes[LANE_BUCKETS];
    struct queue_options options; /* of the plan in force; no pointers of it are used */
    struct queue_stats stats;
    bool wakes; /* wake_task is on its way */
    struct {
        uint64_t entries, bytes; /* in a shared outbox, beside those in `stats`; about */
    } elsewhere;

    /* the home worker's */
    struct swg__replay replay;
    struct queue_write *by_sequence[WRITE_BUCKETS];
    struct list writes;    /* in order of acceptance */
    struct list shipments; /* requests under way, or about to be */
    struct list unsettled; /* deliveries of which the outbox does not know yet; queue_send.c */
    struct queue_lease lease;
    struct io_timer timer;
    struct io_task wake_task;
    bool started, running, again;
    bool leaving; /* nothing more is sent: another process will */
    uint64_t leaves_ns;
    struct io_task leave_task, stay_task; /* the one may be queued still as the other comes */
    struct io_timer leave_timer;
    uint64_t told_ns; /* last complaint in the log */
};

struct worker *queue_home(const struct queue *);

/* ---- queue.c ---- */

/* What has been delivered, or given up, waits no more. `count`: a counter of
 * the statistics that is to be raised, or NULL. */
void queue_leave(struct queue *, struct queue_lane *, uint64_t bytes, uint64_t *count);

/* What an entry of the outbox is here. NULL: no memory. Any thread. */
struct queue_write *queue_make_write(struct queue *, const struct outbox_entry *);

/* ---- queue_replay.c ---- */

/* An entry that was listed, unless it is here already. False: no memory. Home
 * worker; queue_run() follows. */
bool queue_take_in(struct queue *, const struct outbox_entry *);

/* A write that the outbox has; posted to the home worker, in order. */
void queue_send_home(struct queue_write *);
/* On the home worker: a command of QUEUE_DROP, whose entry is queued. */
void queue_drop(struct queue_command *);
/* Looks what may go now. Home worker. */
void queue_run(struct queue *);
/* It waits no more; engine/replay.h has let it go already. */
void queue_forget(struct queue *, struct queue_write *, uint64_t *count);
/* Before the first write. */
void queue_replay_init(struct queue *, uint64_t seed);
void queue_replay_free(struct queue *);

/* ---- queue_send.c: home worker ---- */

/* Sends a write that swg__replay_next() gave, with others where the service
 * takes several at once. */
void queue_ship(struct queue *, struct queue_write *, const struct service *);
/* Writes down what became of one that was not sent. */
void queue_settle(struct queue_write *, enum outbox_state, const char *note);
/* Those that the outbox could not write down are given to it a last time. The workers
 * have stopped. */
void queue_settle_rest(struct queue *);
/* Nothing is sent any more: the process ends. */
bool queue_has_ended(const struct queue *);
/* Cuts off what is under way; nobody is told what came of it. */
void queue_recall(struct queue *);

/* ---- queue_leave.c ---- */

/* Before the first task; control thread. */
void queue_leave_init(struct queue *);

/* ---- queue_lease.c: home worker ---- */

/* Whether the outbox is shared. Any thread. */
static inline bool queue_has_lease(const struct queue *q) {
    return atomic_load_explicit(&q->lease.shared, memory_order_relaxed);
}
/* Before the first wake; control thread. */
void queue_lease_init(struct queue *);
/* The lease is another process's from now on; and it is asked for again. */
void queue_lease_leave(struct queue *);
void queue_lease_stay(struct queue *);
/* Something was appended, or the process begins. */
void queue_lease_look(struct queue *);
/* Whether the writes are this process's to send, at this moment. */
bool queue_may_send(const struct queue *);

#endif
