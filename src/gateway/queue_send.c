/* queue_send.c - see queue.h: queued writes on their way, on the home worker.
 *
 *   next ─▶ shipment of one or several ─▶ loaded ─▶ a request ─▶ its answer
 *                                                                 │ for each
 *                                                  settled ◀──────┘
 *
 * A write leaves its lane as soon as its fate is known; that the outbox gets to
 * know it too may take longer (a full disk), and is tried until it has. Until
 * then a crash would send it again, under the same key. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "gateway/gateway.h"
#include "gateway/inner.h"
#include "gateway/queue_batch.h"
#include "gateway/queue_priv.h"
#include "gateway/worker.h"
#include "observe/log.h"

enum {
    ANSWER_KEPT = 1024, /* of a refusal, for whoever looks at the dead letter */
    BATCH_ANSWER_KEPT = 512 * 1024,
    NOTE_MAX = 512,
};

#define SETTLE_WAIT_NS SWG_SECONDS(1)
#define LOAD_WAIT_NS   SWG_SECONDS(1)
#define COMPLAIN_NS    SWG_SECONDS(10)

/* One write, from when it is loaded until the outbox knows its fate. */
struct delivery {
    struct queue *queue;
    struct shipment *shipment;
    struct queue_write *write; /* NULL: its fate is known */
    struct outbox_op op;
    struct list link; /* queue->unsettled: the outbox could not note it */
    struct io_timer again;
    uint64_t sequence;
    enum outbox_state state; /* to be settled with */
    int32_t status;
    uint32_t attempts;
    uint32_t from, parts; /* its share of a batch; no parts: it does not go along */
    char note[NOTE_MAX];
};

/* One request. */
struct shipment {
    struct list link; /* queue->shipments */
    struct queue *queue;
    struct inner inner;
    struct plan *plan; /* held, for the options */
    const struct queue_options *options;
    uint32_t count, loading;
    bool batch; /* in a batch's form */
    struct delivery *items[];
};

bool queue_has_ended(const struct queue *q) {
    return queue_home(q)->draining || q->leaving || !q->gateway->outbox;
}

static uint64_t now_of(const struct queue *q) {
    return io_now(queue_home(q)->io);
}

/* ---- settling ------------------------------------------------------------------------- */

static void settle(struct delivery *);

static void free_delivery(struct delivery *d) {
    outbox_op_free(&d->op);
    free(d);
}

static void complain(struct queue *q, const char *what, int error) {
    uint64_t now = now_of(q);
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
    struct delivery *d = container_of(t, struct delivery, again);
    list_remove(&d->link);
    settle(d);
}

void queue_settle_rest(struct queue *q) {
    for (struct list *l; (l = list_pop_front(&q->unsettled));) {
        struct delivery *d = container_of(l, struct delivery, link);
        io_timer_clear(queue_home(q)->io, &d->again);
        settle(d);
    }
}

/* That an attempt failed need not be known for ever, and there may be many of them. */
static void on_settled(struct outbox_op *op) {
    struct delivery *d = container_of(op, struct delivery, op);
    struct worker *home = queue_home(d->queue);
    if (op->error && op->error != -ENOENT)
        complain(d->queue, "the outbox cannot note what was delivered", op->error);
    if (!op->error || op->error == -ENOENT || d->state == OUTBOX_QUEUED ||
        !d->queue->gateway->outbox) {
        free_delivery(d);
        return;
    }
    outbox_op_free(op);
    list_push_back(&d->queue->unsettled, &d->link);
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
    list_init(&d->link);
    io_timer_init(&d->again, on_again);
    return d;
}

void queue_settle(struct queue_write *w, enum outbox_state state, const char *note) {
    struct delivery *d = make_delivery(w->queue, w);
    if (!d)
        return; /* the next start finds it as it is, and does the same */
    d->write = NULL;
    d->state = state;
    snprintf(d->note, sizeof d->note, "%s", note);
    settle(d);
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

/* Tells the pacing what came of it, and writes it down. */
static void conclude(struct delivery *d, enum swg__replay_result result, uint64_t retry_after_ns) {
    struct queue *q = d->queue;
    struct queue_write *w = d->write;
    bool tried = result != SWG__REPLAY_NOT_SENT;
    outbox_op_free(&d->op); /* the content */
    d->attempts = w->attempts += tried;
    d->write = NULL;
    if (tried)
        count_attempt(q, result);
    switch (swg__replay_result(&q->replay, &w->replay, result, retry_after_ns, now_of(q))) {
    case SWG__REPLAY_GONE:
        d->state = OUTBOX_SENT;
        queue_forget(q, w, &q->stats.delivered);
        break;
    case SWG__REPLAY_DEAD:
        d->state = OUTBOX_DEAD;
        queue_forget(q, w, &q->stats.dead);
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
}

static void free_shipment(struct shipment *s) {
    list_remove(&s->link);
    plan_release(s->plan);
    free(s);
}

/* Nobody knows which of several was meant: each is sent by itself, then. */
static bool is_to_be_split(const struct shipment *s, enum swg__replay_result result) {
    return s->count > 1 && result == SWG__REPLAY_REFUSED;
}

/* How long the service, or its rate limit, wants nothing more. When an open breaker is
 * tried is not for us to wait: gate_of() watches it, and somebody may close it earlier. */
static uint64_t wish_ns(const struct inner_answer *a) {
    bool asked = a->story.source == SWG_FROM_SERVICE || a->story.reason == SWG_REFUSED_RATE_LIMITED;
    return asked ? a->retry_after_ns : 0;
}

static void on_answer(struct inner *in, const struct inner_answer *a) {
    struct shipment *s = container_of(in, struct shipment, inner);
    struct queue *q = s->queue;
    enum swg__replay_result whole = judge(a);
    for (uint32_t i = 0; i < s->count; i++) {
        struct delivery *d = s->items[i];
        enum swg__replay_result result = whole;
        if (!d->parts || is_to_be_split(s, whole)) {
            result = SWG__REPLAY_NOT_SENT;
            d->write->alone = true;
        } else if (s->batch && whole == SWG__REPLAY_DELIVERED) {
            result = batch_result(s->options, a->body, d->from, d->parts);
        }
        describe(d, a, result);
        conclude(d, result, wish_ns(a));
    }
    free_shipment(s);
    queue_run(q);
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

static void send_request(struct shipment *s, struct bytes fields, struct bytes body) {
    const struct outbox_entry *first = &s->items[0]->op.entry;
    const char *path = s->batch ? s->options->batch_path : NULL;
    struct bytes host = take_host(&fields);
    const struct inner_request r = {.service = s->queue->service,
                                    .method = first->method,
                                    .target = path ? bytes_of(path) : first->target,
                                    .host = host,
                                    .fields = fields,
                                    .body = body,
                                    .verbatim = true};
    s->inner =
        (struct inner){.done = on_answer,
                       .body_max = s->batch ? BATCH_ANSWER_KEPT : ANSWER_KEPT,
                       .once = true,
                       .send_until_ns = queue_has_lease(s->queue) ? s->queue->lease.until_ns : 0};
    inner_begin(&s->inner, queue_home(s->queue), &r);
}

/* Whether one before it with the same order does not go along. */
static bool is_held_back(const struct shipment *s, uint32_t at) {
    for (uint32_t i = 0; i < at; i++) {
        if (!s->items[i]->parts && s->items[i]->write->lane == s->items[at]->write->lane)
            return true;
    }
    return false;
}

/* Puts together what goes together; false: not even the first can be a part. */
static bool gather(struct shipment *s, struct buf *fields, struct buf *body) {
    const struct outbox_entry *entries[BATCH_MAX];
    uint32_t count = 0, parts = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        struct delivery *d = s->items[i];
        d->from = parts;
        if (!is_held_back(s, i) && batch_agrees(&s->items[0]->op.entry, &d->op.entry) &&
            batch_add(body, s->options, &d->op.entry, !count, &parts))
            entries[count++] = &d->op.entry;
        d->parts = parts - d->from;
        if (!count)
            return false;
    }
    batch_fields(fields, s->options, entries, count);
    return batch_end(body, s->options) && !fields->failed;
}

static void send_batch(struct shipment *s) {
    struct buf fields, body;
    buf_init(&fields, WORKER_SCRATCH);
    buf_init(&body, BATCH_BODY_MAX);
    s->batch = gather(s, &fields, &body);
    if (s->batch) {
        send_request(s, buf_view(&fields), buf_view(&body));
    } else { /* the first as it is; the others wait */
        for (uint32_t i = 0; i < s->count; i++)
            s->items[i]->parts = i == 0;
        send_request(s, s->items[0]->op.entry.fields, s->items[0]->op.entry.body);
    }
    buf_free(&fields);
    buf_free(&body);
}

/* Nothing is sent. Content that cannot be opened is its write's own trouble: it is looked
 * at again after a pause that grows, as somebody may put the right key in, and the others
 * go without it. From a disk that does not answer nothing is wanted for a moment. */
static void give_up(struct shipment *s) {
    struct queue *q = s->queue;
    for (uint32_t i = 0; i < s->count; i++) {
        struct delivery *d = s->items[i];
        int error = d->op.error;
        bool broken = error == -EBADMSG;
        d->write->alone |= broken;
        if (error && error != -ESHUTDOWN)
            complain(q, "the outbox cannot give back what it keeps", error);
        snprintf(d->note, sizeof d->note, "its content is damaged, or sealed with another key");
        conclude(d, broken ? SWG__REPLAY_OVERLOAD : SWG__REPLAY_NOT_SENT,
                 error && !broken ? LOAD_WAIT_NS : 0);
    }
    free_shipment(s);
    queue_run(q);
}

void queue_recall(struct queue *q) {
    for (struct list *l = q->shipments.next, *next; l != &q->shipments; l = next) {
        struct shipment *s = container_of(l, struct shipment, link);
        next = l->next;
        if (s->loading)
            continue; /* it is looked again when it is loaded */
        inner_cancel(&s->inner);
        for (uint32_t i = 0; i < s->count; i++)
            conclude(s->items[i], SWG__REPLAY_NOT_SENT, 0);
        free_shipment(s);
    }
}

/* In a shared outbox somebody else may have dropped it, or put it back as another. */
static bool is_stale(const struct delivery *d) {
    return queue_has_lease(d->queue) &&
           (d->op.error == -ENOENT || (!d->op.error && d->op.entry.state != OUTBOX_QUEUED));
}

/* True: some were, and the shipment has been given up. */
static bool drop_stale(struct shipment *s) {
    struct queue *q = s->queue;
    bool any = false;
    for (uint32_t i = 0; i < s->count; i++)
        any |= is_stale(s->items[i]);
    for (uint32_t i = 0; any && i < s->count; i++) {
        struct queue_write *w = s->items[i]->write;
        bool stale = is_stale(s->items[i]);
        conclude(s->items[i], SWG__REPLAY_NOT_SENT, 0);
        if (!stale)
            continue;
        swg__replay_remove(&q->replay, &w->replay, now_of(q));
        queue_forget(q, w, NULL);
    }
    if (any) {
        free_shipment(s);
        queue_run(q);
    }
    return any;
}

static void on_loaded(struct outbox_op *op) {
    struct delivery *d = container_of(op, struct delivery, op);
    struct shipment *s = d->shipment;
    if (--s->loading)
        return;
    bool failed = false;
    if (drop_stale(s))
        return;
    for (uint32_t i = 0; i < s->count; i++)
        failed |= s->items[i]->op.error != 0;
    if (failed || queue_has_ended(s->queue) || !queue_may_send(s->queue)) {
        give_up(s);
    } else if (s->count > 1) {
        send_batch(s);
    } else {
        d->parts = 1;
        send_request(s, op->entry.fields, op->entry.body);
    }
}

static bool add(struct shipment *s, struct queue_write *w) {
    struct delivery *d = make_delivery(s->queue, w);
    if (!d)
        return false;
    d->shipment = s;
    s->items[s->count++] = d;
    outbox_op_init(&d->op, OUTBOX_LOAD, queue_home(s->queue)->io, on_loaded);
    d->op.entry.sequence = d->sequence;
    return true;
}

static void put_back(struct queue *q, struct queue_write *w) {
    (void)swg__replay_result(&q->replay, &w->replay, SWG__REPLAY_NOT_SENT, 0, now_of(q));
}

/* Of a key whose order counts, one at a time goes to a service that may do the
 * second of two and not the first. */
static bool may_join(const struct shipment *s, const struct queue_write *w) {
    for (uint32_t i = 0; s->options->batch_form == BATCH_FIRESTORE && i < s->count; i++) {
        if (s->items[i]->write->lane == w->lane)
            return false;
    }
    return !w->alone;
}

static void add_more(struct shipment *s, uint32_t room) {
    struct queue *q = s->queue;
    struct swg__replay_write *more;
    while (s->count < room && (more = swg__replay_more(&q->replay, now_of(q)))) {
        struct queue_write *w = container_of(more, struct queue_write, replay);
        if (!may_join(s, w) || !add(s, w)) {
            put_back(q, w);
            return;
        }
    }
}

void queue_ship(struct queue *q, struct queue_write *w, const struct service *service) {
    const struct queue_options *o = service->queue_options;
    uint32_t room = o && !w->alone ? o->batch_max : 1; /* no options: no queue tier any more */
    struct shipment *s = calloc(1, sizeof *s + room * sizeof s->items[0]);
    if (s) {
        list_push_back(&q->shipments, &s->link);
        s->queue = q;
        s->plan = plan_hold(service->plan);
        s->options = o;
    }
    if (!s || !add(s, w)) {
        if (s)
            free_shipment(s);
        put_back(q, w);
        return;
    }
    if (room > 1)
        add_more(s, room);
    s->loading = s->count;
    for (uint32_t i = 0, count = s->count; i < count; i++) /* they are told later, all of them */
        outbox_submit(q->gateway->outbox, &s->items[i]->op);
}
