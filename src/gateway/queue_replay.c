/* queue_replay.c - see queue.h: writes go out, on the home worker.
 *
 * A delivery is one write on its way: its content is loaded, sent as a request
 * of our own, and what came of it is written down. The write leaves its lane as
 * soon as its fate is known; that the outbox gets to know it too may take
 * longer (a full disk), and is tried until it has. Until then a crash would
 * send it again, under the same key. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "gateway/gateway.h"
#include "gateway/inner.h"
#include "gateway/queue_priv.h"
#include "gateway/worker.h"
#include "observe/log.h"

enum {
    ANSWER_KEPT = 1024, /* of a refusal, for whoever looks at the dead letter */
    NOTE_MAX = 512,
};

#define LOOK_NS        SWG_MS(250) /* whether a breaker that is not ours to hear of has closed */
#define SETTLE_WAIT_NS SWG_SECONDS(1)
#define COMPLAIN_NS    SWG_SECONDS(10)

struct delivery {
    struct queue *queue;
    struct queue_write *write; /* NULL: its fate is known */
    struct outbox_op op;
    struct inner inner;
    struct io_timer again;
    uint64_t sequence;
    enum outbox_state state; /* to be settled with */
    int32_t status;
    uint32_t attempts;
    char note[NOTE_MAX];
};

static void settle(struct delivery *);

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

/* It waits no more; engine/replay.h has let it go already. */
static void leave(struct queue *q, struct queue_write *w, uint64_t *count) {
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

static void on_added(struct io_task *task) {
    struct queue_write *w = container_of(task, struct queue_write, task);
    struct queue *q = w->queue;
    uint64_t now = io_now(queue_home(q)->io);
    struct queue_write **at = bucket(q, w->replay.sequence);
    w->next = *at;
    *at = w;
    list_push_back(&q->writes, &w->link);
    swg__replay_add(&q->replay, &w->lane->replay, &w->replay, w->replay.sequence, expiry_of(w, now),
                    now);
    queue_run(q);
}

void queue_send_home(struct queue_write *w) {
    w->task = (struct io_task){NULL, on_added};
    io_post(queue_home(w->queue)->io, &w->task);
}

/* ---- settling ------------------------------------------------------------------------- */

static void free_delivery(struct delivery *d) {
    outbox_op_free(&d->op);
    free(d);
}

/* Nothing is sent any more. */
static bool has_ended(const struct queue *q) {
    return queue_home(q)->draining || !q->gateway->outbox;
}

static void complain(struct queue *q, const char *what, int error) {
    uint64_t now = io_now(queue_home(q)->io);
    struct log_line line;
    if (q->told_ns && now - q->told_ns < COMPLAIN_NS)
        return;
    q->told_ns = now;
    if (!log_begin(&line, LOG_ERROR, what))
        return;
    log_str(&line, "service", q->service);
    log_str(&line, "error", strerror(-error));
    log_end(&line);
}

static void on_again(struct io_timer *t) {
    settle(container_of(t, struct delivery, again));
}

static void on_settled(struct outbox_op *op) {
    struct delivery *d = container_of(op, struct delivery, op);
    struct worker *home = queue_home(d->queue);
    if (!op->error || op->error == -ENOENT || !d->queue->gateway->outbox) {
        free_delivery(d);
        return;
    }
    complain(d->queue, "the outbox cannot note what was delivered", op->error);
    outbox_op_free(op);
    io_timer_set(home->io, &d->again, io_now(home->io) + SETTLE_WAIT_NS);
}

/* Writes the state down; or, for OUTBOX_QUEUED, that another attempt has failed. */
static void settle(struct delivery *d) {
    struct gateway *g = d->queue->gateway;
    if (!g->outbox) { /* it is sent again, then: under the same key */
        free_delivery(d);
        return;
    }
    bool again = d->state == OUTBOX_QUEUED;
    outbox_op_init(&d->op, again ? OUTBOX_NOTE : OUTBOX_SETTLE, queue_home(d->queue)->io,
                   on_settled);
    d->op.entry.sequence = d->sequence;
    d->op.entry.state = d->state;
    d->op.entry.attempts = d->attempts;
    d->op.entry.status = d->status;
    d->op.entry.note = bytes_of(d->note);
    outbox_submit(g->outbox, &d->op);
}

static struct delivery *make_delivery(struct queue *q, struct queue_write *w) {
    struct delivery *d = calloc(1, sizeof *d);
    if (!d)
        return NULL;
    d->queue = q;
    d->write = w;
    d->sequence = w->replay.sequence;
    d->attempts = w->attempts;
    io_timer_init(&d->again, on_again);
    return d;
}

/* ---- an answer -------------------------------------------------------------------------- */

/* A status that is about the request, and will be the same next time. Those
 * left out may come from a mistake in the service's set-up, or pass. */
static bool is_refusal(int status) {
    switch (status) {
    case 401:
    case 403:
    case 404:
    case 407:
    case 408:
    case 409:
    case 421:
    case 423:
    case 425:
        return false;
    default:
        return status >= 400 && status < 500;
    }
}

static enum swg__replay_result judge(const struct inner_answer *a) {
    bool answered = a->story.source == SWG_FROM_SERVICE;
    if (!answered)
        return a->story.attempts && a->story.last.kind != SWG_UNAVAILABLE_LOCALLY
                   ? SWG__REPLAY_FAILED
                   : SWG__REPLAY_NOT_SENT;
    if (a->status == 429 || a->status == 503 || a->status == 529)
        return SWG__REPLAY_OVERLOAD;
    if (a->status < 400)
        return a->story.broke_off ? SWG__REPLAY_FAILED : SWG__REPLAY_DELIVERED;
    return is_refusal(a->status) ? SWG__REPLAY_REFUSED : SWG__REPLAY_FAILED;
}

static void describe(struct delivery *d, const struct inner_answer *a,
                     enum swg__replay_result result) {
    if (a->story.source == SWG_FROM_SERVICE) {
        bool tells = result == SWG__REPLAY_REFUSED && a->whole;
        d->status = a->status;
        snprintf(d->note, sizeof d->note, "HTTP %d%s%.*s", a->status, tells ? ": " : "",
                 tells ? (int)(a->body.len < 400 ? a->body.len : 400) : 0, a->body.at);
    } else if (a->story.reason) {
        snprintf(d->note, sizeof d->note, "%s", swg_refusal_sentence(a->story.reason));
    } else {
        snprintf(d->note, sizeof d->note, "%s",
                 a->story.timed_out                         ? "no answer in time"
                 : a->story.last.kind == SWG_CONNECT_FAILED ? "no connection"
                                                            : "the connection broke");
    }
}

static void count_attempt(struct queue *q, enum swg__replay_result result) {
    pthread_mutex_lock(&q->lock);
    q->stats.attempts++;
    q->stats.failed_attempts += result != SWG__REPLAY_DELIVERED;
    pthread_mutex_unlock(&q->lock);
}

static void tell_dead(const struct queue *q, const struct delivery *d) {
    struct log_line line;
    if (!log_begin(&line, LOG_WARN, "a queued write was refused"))
        return;
    log_str(&line, "service", q->service);
    log_uint(&line, "sequence", d->sequence);
    log_int(&line, "status", d->status);
    log_uint(&line, "attempts", d->attempts);
    log_end(&line);
}

/* What came of it: tells the pacing, and writes it down. */
static void conclude(struct delivery *d, enum swg__replay_result result, uint64_t retry_after_ns) {
    struct queue *q = d->queue;
    struct queue_write *w = d->write;
    uint64_t now = io_now(queue_home(q)->io);
    bool tried = result != SWG__REPLAY_NOT_SENT;
    d->attempts = w->attempts += tried;
    d->write = NULL;
    if (tried)
        count_attempt(q, result);
    switch (swg__replay_result(&q->replay, &w->replay, result, retry_after_ns, now)) {
    case SWG__REPLAY_GONE:
        d->state = OUTBOX_SENT;
        leave(q, w, &q->stats.delivered);
        break;
    case SWG__REPLAY_DEAD:
        d->state = OUTBOX_DEAD;
        leave(q, w, &q->stats.dead);
        tell_dead(q, d);
        break;
    case SWG__REPLAY_AGAIN:
        d->state = OUTBOX_QUEUED;
        break;
    }
    if (tried)
        settle(d);
    else
        free_delivery(d);
    queue_run(q);
}

static void on_answer(struct inner *in, const struct inner_answer *a) {
    struct delivery *d = container_of(in, struct delivery, inner);
    enum swg__replay_result result = judge(a);
    outbox_op_free(&d->op); /* the content */
    describe(d, a, result);
    conclude(d, result, a->retry_after_ns);
}

/* ---- sending ------------------------------------------------------------------------------ */

/* The lines begin with the Host that the client said, where that is passed on. */
static struct bytes take_host(struct bytes *fields) {
    static const char name[] = "Host: ";
    const char *end =
        bytes_starts(*fields, bytes_of(name)) ? memchr(fields->at, '\r', fields->len) : NULL;
    if (!end)
        return (struct bytes){0};
    struct bytes host = {fields->at + sizeof name - 1,
                         (size_t)(end - fields->at) - (sizeof name - 1)};
    size_t used = (size_t)(end + 2 - fields->at);
    *fields = (struct bytes){fields->at + used, fields->len - used};
    return host;
}

static void on_loaded(struct outbox_op *op) {
    struct delivery *d = container_of(op, struct delivery, op);
    struct queue *q = d->queue;
    if (op->error || has_ended(q)) {
        if (op->error && op->error != -ESHUTDOWN)
            complain(q, "the outbox cannot give back what it keeps", op->error);
        outbox_op_free(op);
        conclude(d, SWG__REPLAY_NOT_SENT, 0);
        return;
    }
    struct bytes fields = op->entry.fields;
    struct bytes host = take_host(&fields);
    const struct inner_request r = {.service = q->service,
                                    .method = op->entry.method,
                                    .target = op->entry.target,
                                    .host = host,
                                    .fields = fields,
                                    .body = op->entry.body,
                                    .verbatim = true};
    d->inner = (struct inner){.done = on_answer, .body_max = ANSWER_KEPT, .once = true};
    inner_begin(&d->inner, queue_home(q), &r);
}

static void deliver(struct queue *q, struct queue_write *w) {
    struct delivery *d = make_delivery(q, w);
    if (!d) {
        (void)swg__replay_result(&q->replay, &w->replay, SWG__REPLAY_NOT_SENT, 0,
                                 io_now(queue_home(q)->io));
        return;
    }
    outbox_op_init(&d->op, OUTBOX_LOAD, queue_home(q)->io, on_loaded);
    d->op.entry.sequence = d->sequence;
    outbox_submit(q->gateway->outbox, &d->op);
}

/* ---- expiry, and dropping by hand ------------------------------------------------------------ */

static void expire(struct queue *q, uint64_t now_ns) {
    struct swg__replay_write *r;
    while ((r = swg__replay_expired(&q->replay, now_ns))) {
        struct queue_write *w = container_of(r, struct queue_write, replay);
        struct delivery *d = make_delivery(q, w);
        leave(q, w, &q->stats.expired);
        if (!d)
            continue; /* the next start finds it expired, too */
        d->state = OUTBOX_EXPIRED;
        snprintf(d->note, sizeof d->note, "not delivered in time");
        settle(d);
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

static void on_dropped(struct outbox_op *op) {
    tell(container_of(op, struct queue_command, op), op->error);
}

void queue_drop(struct queue_command *c) {
    struct queue *q = c->queue;
    uint64_t now = io_now(queue_home(q)->io);
    struct queue_write *w = find(q, c->op.entry.sequence);
    if (!w || w->replay.out) {
        tell(c, w ? -EBUSY : -ENOENT);
        return;
    }
    swg__replay_remove(&q->replay, &w->replay, now);
    leave(q, w, &q->stats.dropped);
    c->op.verb = OUTBOX_SETTLE;
    c->op.entry.state = OUTBOX_DROPPED;
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

static void run(struct queue *q) {
    struct worker *home = queue_home(q);
    uint64_t now = io_now(home->io), wake = SWG_NEVER, look = SWG_NEVER;
    struct swg__replay_write *w;
    io_timer_clear(home->io, &q->timer);
    if (has_ended(q))
        return;
    worker_catch_up(home);
    struct service *s = plan_service(home->plan, bytes_of(q->service));
    expire(q, now);
    if (!s || !swg__replay_queued(&q->replay))
        return;
    while ((w = swg__replay_next(&q->replay, gate_of(s, now, &look), now, &wake)))
        deliver(q, container_of(w, struct queue_write, replay));
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
    io_timer_init(&q->timer, on_timer);
}

void queue_replay_free(struct queue *q) {
    struct list *l;
    while ((l = list_pop_front(&q->writes)))
        free(container_of(l, struct queue_write, link));
}
