/* queue_lease.c - see queue.h: which of several processes sends what is queued for
 * a service in an outbox that they share. On the home worker.
 *
 *            ask ─▶ granted ─▶ HELD ─▶ list all, then follow what comes
 *             ▲                 │ renewed by a third of its length
 *             └── until it ends ┘ refused, or its end came: recall, forget all
 *
 * The lease is a row of the outbox, in the server's time. Its holder counts from
 * before it asked, on a clock of its own that nobody sets and that goes on while
 * the machine sleeps (CLOCK_BOOTTIME), and stops a tenth before the end: so it has
 * stopped when the server lets another have it, also when it could not reach the
 * server, or was itself stopped and goes on later. That is looked at
 * on a fresh clock before each request, the sockets send nothing after it
 * (io_stream.send_until_ns), and what is under way then is cut off.
 *
 * Only who holds the lease knows what waits. New entries, also those accepted by
 * this process, come by listing what follows the last one seen: the outbox shows
 * them in the order of their numbers, whoever appended them. */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "gateway/gateway.h"
#include "gateway/queue_priv.h"
#include "gateway/worker.h"
#include "observe/log.h"

#define FOLLOW_NS SWG_MS(200)

static void ask(struct queue *);
static void follow(struct queue *);

static struct io *io_of(const struct queue *q) {
    return queue_home(q)->io;
}

static struct queue *queue_of(struct queue_lease *l) {
    return container_of(l, struct queue, lease);
}

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t);
    return (uint64_t)t.tv_sec * SWG_SECONDS(1) + (uint64_t)t.tv_nsec;
}

static void set_timer(struct queue *q, struct io_timer *t, uint64_t in_ns) {
    io_timer_set(io_of(q), t, gateway_now(q->gateway) + in_ns);
}

bool queue_may_send(const struct queue *q) {
    const struct queue_lease *l = &q->lease;
    return !queue_has_lease(q) || (l->held && now_ns() < l->until_ns);
}

static void tell(const struct queue *q, const char *what) {
    struct log_line line;
    if (!log_begin(&line, LOG_INFO, what))
        return;
    log_str(&line, "service", q->service);
    log_end(&line);
}

/* What others have, or nobody yet; `held` for whoever reads the figures. */
static void publish(struct queue *q, uint64_t entries, uint64_t bytes) {
    pthread_mutex_lock(&q->lock);
    q->stats.sends = q->lease.held;
    q->elsewhere.entries = entries;
    q->elsewhere.bytes = bytes;
    pthread_mutex_unlock(&q->lock);
}

static void count_as_others(struct queue *q) {
    pthread_mutex_lock(&q->lock);
    q->stats.sends = false;
    q->elsewhere.entries += q->stats.entries;
    q->elsewhere.bytes += q->stats.bytes;
    pthread_mutex_unlock(&q->lock);
}

/* ---- following ------------------------------------------------------------------ */

/* What was appended here was counted then. It is told to be appended before it can be
 * told to be listed, so nothing is counted for ever. */
static void count_as_known(struct queue *q, uint64_t bytes) {
    pthread_mutex_lock(&q->lock);
    q->elsewhere.entries -= q->elsewhere.entries > 0;
    q->elsewhere.bytes -= bytes < q->elsewhere.bytes ? bytes : q->elsewhere.bytes;
    pthread_mutex_unlock(&q->lock);
}

/* False: no memory; the rest is listed again. */
static bool take_in(struct queue *q, const struct outbox_op *op) {
    for (uint32_t i = 0; i < op->count; i++) {
        const struct outbox_entry *e = &op->found[i];
        if (!queue_take_in(q, e))
            return false;
        count_as_known(q, e->content_len);
        q->lease.after = e->sequence;
    }
    return true;
}

static void on_listed(struct outbox_op *op) {
    struct queue_lease *l = container_of(op, struct queue_lease, list);
    struct queue *q = queue_of(l);
    bool ours = l->held && l->listed_term == l->term;
    bool good = ours && !op->error && take_in(q, op);
    bool more = good && op->count == OUTBOX_LIST_MAX;
    outbox_op_free(op);
    l->listing = false;
    if (!l->held || !q->gateway->outbox)
        return;
    if (more || !ours || l->again)
        follow(q);
    else
        set_timer(q, &l->follow, FOLLOW_NS);
    queue_run(q);
}

static void follow(struct queue *q) {
    struct queue_lease *l = &q->lease;
    l->again = l->listing;
    if (l->listing || !l->held || !q->gateway->outbox)
        return;
    l->listing = true;
    l->listed_term = l->term;
    io_timer_clear(io_of(q), &l->follow);
    outbox_op_init(&l->list, OUTBOX_LIST, io_of(q), on_listed);
    l->list.filter.service = bytes_of(q->service);
    l->list.filter.state = OUTBOX_QUEUED;
    l->list.filter.after = l->after;
    outbox_submit(q->gateway->outbox, &l->list);
}

static void on_follow(struct io_timer *t) {
    follow(queue_of(container_of(t, struct queue_lease, follow)));
}

/* ---- having it ---------------------------------------------------------------------- */

static void gain(struct queue *q) {
    struct queue_lease *l = &q->lease;
    l->held = true;
    l->term++;
    l->after = 0;
    tell(q, "this process sends what is queued from now on");
    publish(q, 0, 0);
    follow(q);
}

static void lose(struct queue *q) {
    struct queue_lease *l = &q->lease;
    l->held = false;
    io_timer_clear(io_of(q), &l->end);
    io_timer_clear(io_of(q), &l->follow);
    tell(q, "this process sends what is queued no more");
    queue_recall(q);
    count_as_others(q);
    queue_run(q); /* forgets what it knew */
}

static void on_end(struct io_timer *t) {
    struct queue *q = queue_of(container_of(t, struct queue_lease, end));
    uint64_t now = now_ns();
    if (q->lease.held && now >= q->lease.until_ns)
        lose(q);
    else if (q->lease.held)
        set_timer(q, t, q->lease.until_ns - now);
}

/* ---- asking for it -------------------------------------------------------------------- */

static void granted(struct queue *q) {
    struct queue_lease *l = &q->lease;
    uint64_t length = q->gateway->lease_ns;
    l->until_ns = l->asked_ns + length - length / 10;
    uint64_t now = now_ns();
    if (now >= l->until_ns)
        return; /* the answer took too long */
    set_timer(q, &l->end, l->until_ns - now);
    if (!l->held)
        gain(q);
}

static void on_asked(struct outbox_op *op) {
    struct queue_lease *l = container_of(op, struct queue_lease, ask);
    struct queue *q = queue_of(l);
    uint64_t third = q->gateway->lease_ns / 3, wait = third;
    int error = op->error;
    l->asking = false;
    outbox_op_free(op);
    if (!q->gateway->outbox)
        return;
    if (!error) {
        granted(q);
    } else if (error == -EBUSY) {
        uint64_t left = SWG_MS((uint64_t)(op->lease.left_ms > 0 ? op->lease.left_ms : 0) + 10);
        if (l->held)
            lose(q);
        publish(q, op->lease.entries, op->lease.bytes);
        wait = left < third ? left : third;
    } else {
        wait = third / 10;
    }
    set_timer(q, &l->renew, wait);
}

static void on_yielded(struct outbox_op *op) {
    outbox_op_free(op);
}

static void ask(struct queue *q) {
    struct queue_lease *l = &q->lease;
    bool ended = queue_has_ended(q);
    if (l->asking || !q->gateway->outbox || (ended && !l->held))
        return;
    bool yield = ended && list_empty(&q->shipments);
    if (yield)
        lose(q);
    l->asking = !yield;
    l->asked_ns = now_ns();
    outbox_op_init(&l->ask, yield ? OUTBOX_YIELD : OUTBOX_LEASE, io_of(q),
                   yield ? on_yielded : on_asked);
    l->ask.entry.service = bytes_of(q->service);
    l->ask.lease.owner = q->gateway->replica;
    l->ask.lease.length_ms = (int64_t)(q->gateway->lease_ns / SWG_MS(1));
    outbox_submit(q->gateway->outbox, &l->ask);
}

static void on_renew(struct io_timer *t) {
    ask(queue_of(container_of(t, struct queue_lease, renew)));
}

/* ---- life --------------------------------------------------------------------------------- */

void queue_lease_init(struct queue *q) {
    atomic_init(&q->lease.shared, outbox_is_shared(q->gateway->outbox));
    io_timer_init(&q->lease.renew, on_renew);
    io_timer_init(&q->lease.follow, on_follow);
    io_timer_init(&q->lease.end, on_end);
}

void queue_lease_leave(struct queue *q) {
    atomic_store_explicit(&q->lease.shared, true, memory_order_relaxed);
    q->lease.begun = true;
    io_timer_clear(io_of(q), &q->lease.renew);
    lose(q);
}

void queue_lease_stay(struct queue *q) {
    if (!q->lease.held)
        ask(q);
}

void queue_lease_look(struct queue *q) {
    struct queue_lease *l = &q->lease;
    if (!queue_has_lease(q))
        return;
    if (!l->begun)
        ask(q);
    l->begun = true;
    follow(q);
}

void queue_give_back_all(struct gateway *g) {
    for (struct queue *q = queue_first(g); q; q = queue_next(q)) {
        struct outbox_op op;
        if (!q->lease.held)
            continue;
        q->lease.held = false;
        outbox_op_init(&op, OUTBOX_YIELD, NULL, NULL);
        op.entry.service = bytes_of(q->service);
        op.lease.owner = g->replica;
        (void)outbox_do(g->outbox, &op); /* else it ends by itself */
        outbox_op_free(&op);
    }
}
