/* queue_replay.c - see queue.h: which write goes when, on the home worker. How one
 * goes is in queue_send.c. */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "gateway/gateway.h"
#include "gateway/queue_priv.h"
#include "gateway/worker.h"

#define LOOK_NS SWG_MS(250) /* whether a breaker that is not ours to hear of has closed */

/* ---- what is here -------------------------------------------------------------------- */

static struct queue_write **bucket(struct queue *q, uint64_t sequence) {
    return &q->by_sequence[sequence % WRITE_BUCKETS];
}

static struct queue_write *find(struct queue *q, uint64_t sequence) {
    struct queue_write *w = *bucket(q, sequence);
    while (w && w->replay.sequence != sequence)
        w = w->next;
    return w;
}

static void note_oldest(struct queue *q) {
    const struct list *first = list_empty(&q->writes) ? NULL : q->writes.next;
    pthread_mutex_lock(&q->lock);
    q->stats.oldest_ms = first ? container_of(first, struct queue_write, link)->accepted_ms : 0;
    q->stats.out = swg__replay_out(&q->replay);
    pthread_mutex_unlock(&q->lock);
}

void queue_forget(struct queue *q, struct queue_write *w, uint64_t *count) {
    struct queue_write **at = bucket(q, w->replay.sequence);
    while (*at != w)
        at = &(*at)->next;
    *at = w->next;
    list_remove(&w->link);
    queue_leave(q, w->lane, w->bytes, count);
    free(w);
}

static int64_t wall_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static uint64_t expiry_of(const struct queue_write *w, uint64_t now_ns) {
    if (!w->expires_ms)
        return SWG_NEVER;
    int64_t left_ms = w->expires_ms - wall_ms();
    return left_ms > 0 ? now_ns + SWG_MS((uint64_t)left_ms) : now_ns;
}

static void add(struct queue *q, struct queue_write *w) {
    uint64_t now = io_now(queue_home(q)->io);
    struct queue_write **at = bucket(q, w->replay.sequence);
    w->next = *at;
    *at = w;
    list_push_back(&q->writes, &w->link);
    swg__replay_add(&q->replay, &w->lane->replay, &w->replay, w->replay.sequence, expiry_of(w, now),
                    now);
}

static void on_added(struct io_task *task) {
    struct queue_write *w = container_of(task, struct queue_write, task);
    add(w->queue, w);
    queue_run(w->queue);
}

bool queue_take_in(struct queue *q, const struct outbox_entry *e) {
    if (find(q, e->sequence)) /* still being loaded, from when the lease was lost */
        return true;
    struct queue_write *w = queue_make_write(q, e);
    if (w)
        add(q, w);
    return w != NULL;
}

void queue_send_home(struct queue_write *w) {
    w->task = (struct io_task){NULL, on_added};
    io_post(queue_home(w->queue)->io, &w->task);
}

/* ---- expiry, and dropping by hand ------------------------------------------------------------ */

static void expire(struct queue *q, uint64_t now_ns) {
    struct swg__replay_write *r;
    while ((r = swg__replay_expired(&q->replay, now_ns))) {
        struct queue_write *w = container_of(r, struct queue_write, replay);
        queue_settle(w, OUTBOX_EXPIRED, "not delivered in time");
        queue_forget(q, w, &q->stats.expired);
    }
}

static void on_told(struct io_task *task) {
    struct queue_command *c = container_of(task, struct queue_command, task);
    outbox_op_free(&c->op);
    c->done(c);
}

static void tell(struct queue_command *c, int error) {
    c->error = error;
    c->task = (struct io_task){NULL, on_told};
    io_post(c->io, &c->task);
}

/* Looks whether the disk has it: if it was full, the outbox is told again until it does. */
static void on_dropped(struct outbox_op *op) {
    bool dropped = op->entry.state == OUTBOX_DROPPED;
    tell(container_of(op, struct queue_command, op), op->error ? op->error : dropped ? 0 : -ENOSPC);
}

void queue_drop(struct queue_command *c) {
    struct queue *q = c->queue;
    uint64_t now = io_now(queue_home(q)->io);
    struct queue_write *w = find(q, c->op.entry.sequence);
    bool elsewhere = !w && queue_has_lease(q) && q->gateway->outbox;
    if (elsewhere) {
        c->op.verb = OUTBOX_SETTLE;
        c->op.entry.state = OUTBOX_DROPPED;
        c->op.done = on_dropped;
        outbox_submit(q->gateway->outbox, &c->op);
        return;
    }
    if (!w || w->replay.out || !q->gateway->outbox) {
        tell(c, !w ? -ENOENT : w->replay.out ? -EBUSY : -ESHUTDOWN);
        return;
    }
    swg__replay_remove(&q->replay, &w->replay, now);
    queue_settle(w, OUTBOX_DROPPED, "dropped by hand");
    queue_forget(q, w, &q->stats.dropped);
    outbox_op_free(&c->op);
    c->op.verb = OUTBOX_FIND;
    c->op.done = on_dropped;
    outbox_submit(q->gateway->outbox, &c->op);
    queue_run(q);
}

/* ---- running ------------------------------------------------------------------------------- */

/* What the service's breaker would say, and when to look again. */
static enum swg__replay_gate gate_of(const struct service *s, uint64_t now_ns, uint64_t *look_ns) {
    uint64_t retry_in_ns = 0;
    *look_ns = SWG_NEVER;
    switch (swg_policy_state(s->policy, now_ns, &retry_in_ns)) {
    case SWG_CLOSED:
        return SWG__GATE_OPEN;
    case SWG_HALF_OPEN:
        *look_ns = now_ns + LOOK_NS;
        return SWG__GATE_PROBE;
    case SWG_OPEN:
        break;
    }
    if (!retry_in_ns)
        return SWG__GATE_PROBE;
    *look_ns = now_ns + (retry_in_ns < LOOK_NS ? retry_in_ns : LOOK_NS);
    return SWG__GATE_SHUT;
}

/* They are another's to send. Those that are being loaded go when that is over. */
static void forget_all(struct queue *q, uint64_t now_ns) {
    for (struct list *l = q->writes.next, *next; l != &q->writes; l = next) {
        struct queue_write *w = container_of(l, struct queue_write, link);
        next = l->next;
        if (w->replay.out)
            continue;
        swg__replay_remove(&q->replay, &w->replay, now_ns);
        queue_forget(q, w, NULL);
    }
}

static void run(struct queue *q) {
    struct worker *home = queue_home(q);
    uint64_t now = io_now(home->io), wake = SWG_NEVER, look = SWG_NEVER;
    struct swg__replay_write *w;
    io_timer_clear(home->io, &q->timer);
    if (!queue_may_send(q)) {
        if (!q->lease.held)
            forget_all(q, now);
        return;
    }
    if (queue_has_ended(q))
        return;
    worker_catch_up(home);
    struct service *s = plan_service(home->plan, bytes_of(q->service));
    expire(q, now);
    if (!s || !swg__replay_queued(&q->replay))
        return;
    while ((w = swg__replay_next(&q->replay, gate_of(s, now, &look), now, &wake)))
        queue_ship(q, container_of(w, struct queue_write, replay), s);
    wake = look < wake ? look : wake;
    if (wake != SWG_NEVER)
        io_timer_set(home->io, &q->timer, wake);
}

void queue_run(struct queue *q) {
    q->again = q->running;
    if (q->running)
        return;
    q->running = true;
    do {
        q->again = false;
        run(q);
    } while (q->again);
    q->running = false;
    note_oldest(q);
}

static void on_timer(struct io_timer *t) {
    queue_run(container_of(t, struct queue, timer));
}

static void configure(struct swg__replay *r, const struct queue_options *o) {
    r->o.window_max = o->window;
    r->o.base_ns = o->base_ns;
    r->o.cap_ns = o->cap_ns;
    r->window = r->window < o->window ? r->window : o->window;
}

static void on_wake(struct io_task *task) {
    struct queue *q = container_of(task, struct queue, wake_task);
    pthread_mutex_lock(&q->lock);
    q->wakes = false;
    configure(&q->replay, &q->options);
    pthread_mutex_unlock(&q->lock);
    queue_lease_look(q);
    queue_run(q);
}

void queue_wake(struct queue *q) {
    pthread_mutex_lock(&q->lock);
    bool due = !q->wakes;
    q->wakes = true;
    pthread_mutex_unlock(&q->lock);
    if (!due)
        return;
    q->wake_task = (struct io_task){NULL, on_wake};
    io_post(queue_home(q)->io, &q->wake_task);
}

void queue_replay_init(struct queue *q, uint64_t seed) {
    swg__replay_init(&q->replay, NULL, seed);
    list_init(&q->writes);
    list_init(&q->shipments);
    list_init(&q->unsettled);
    io_timer_init(&q->timer, on_timer);
}

void queue_replay_free(struct queue *q) {
    struct list *l;
    while ((l = list_pop_front(&q->writes)))
        free(container_of(l, struct queue_write, link));
}
