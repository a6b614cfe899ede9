/* queue_leave.c - see queue.h: at an upgrade another process sends what is queued.
 *
 * Each queue stops on its own home worker: it sends nothing more, waits a moment for
 * what is under way, and cuts off the rest, which the other process sends again under
 * the same keys. Then it is as a queue of a shared outbox whose lease somebody else
 * has. The last one to stop lets go of the file; the other process waits for that.
 *
 * If the upgrade fails, the lease is asked for again, and granted: with it comes all
 * that waits, as on any server. A queue that had not left yet was never without it. */
#include "gateway/gateway.h"
#include "gateway/queue_priv.h"
#include "gateway/worker.h"

#define PATIENCE_NS SWG_SECONDS(1) /* with what is under way */
#define LOOK_NS     SWG_MS(10)

static void look(struct queue *q) {
    struct gateway *g = q->gateway;
    struct io *io = queue_home(q)->io;
    if (!list_empty(&q->shipments) && io_now(io) < q->leaves_ns) {
        io_timer_set(io, &q->leave_timer, io_now(io) + LOOK_NS);
        return;
    }
    queue_lease_leave(q);
    if (atomic_fetch_sub_explicit(&g->leaving, 1, memory_order_acq_rel) == 1 && g->outbox)
        outbox_disown(g->outbox);
}

static void on_look(struct io_timer *t) {
    look(container_of(t, struct queue, leave_timer));
}

static void on_leave(struct io_task *task) {
    struct queue *q = container_of(task, struct queue, leave_task);
    q->leaving = true;
    q->leaves_ns = io_now(queue_home(q)->io) + PATIENCE_NS;
    look(q);
}

static void on_stay(struct io_task *task) {
    struct queue *q = container_of(task, struct queue, stay_task);
    struct gateway *g = q->gateway;
    io_timer_clear(queue_home(q)->io, &q->leave_timer);
    q->leaving = false;
    if (g->outbox)
        outbox_own(g->outbox); /* after the last that another queue may have let go of */
    if (queue_has_lease(q))
        queue_lease_stay(q);
    queue_run(q); /* one that had not left goes on as it was */
}

void queue_leave_init(struct queue *q) {
    io_timer_init(&q->leave_timer, on_look);
}

void queue_hand_over_all(struct gateway *g) {
    uint32_t count = 0;
    if (!g->outbox || !outbox_has_owner(g->outbox))
        return;
    for (struct queue *q = queue_first(g); q; q = queue_next(q))
        count++;
    atomic_store_explicit(&g->leaving, count, memory_order_relaxed);
    for (struct queue *q = queue_first(g); q; q = queue_next(q)) {
        q->leave_task = (struct io_task){NULL, on_leave};
        io_post(queue_home(q)->io, &q->leave_task);
    }
}

void queue_take_back_all(struct gateway *g) {
    if (!g->outbox || !outbox_has_owner(g->outbox))
        return;
    for (struct queue *q = queue_first(g); q; q = queue_next(q)) {
        q->stay_task = (struct io_task){NULL, on_stay};
        io_post(queue_home(q)->io, &q->stay_task);
    }
}
