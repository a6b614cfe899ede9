/* queue.c - see queue.h: writes come in. */
#include "gateway/queue_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "gateway/gateway.h"
#include "gateway/worker.h"
#include "observe/log.h"

struct worker *queue_home(const struct queue *q) {
    return q->gateway->workers[q->home];
}

static uint64_t hash_of(const struct queue *q, struct bytes name) {
    uint64_t hash = q->gateway->seed; /* secret: nobody can fill one bucket */
    for (size_t i = 0; i < name.len; i++)
        hash = (hash ^ (uint8_t)name.at[i]) * 0x100000001b3u;
    return hash ^ hash >> 29;
}

/* ---- lanes: under the lock ------------------------------------------------------ */

/* The longest names are cut; what shares a beginning so long shares a lane. */
static struct bytes lane_name(struct bytes name) {
    return (struct bytes){name.at, name.len < LANE_NAME_MAX ? name.len : LANE_NAME_MAX};
}

static struct queue_lane *find_lane(const struct queue *q, struct bytes name, uint64_t hash) {
    struct queue_lane *lane = q->lanes[hash % LANE_BUCKETS];
    while (lane &&
           (lane->hash != hash || !bytes_equal((struct bytes){lane->name, lane->len}, name)))
        lane = lane->next;
    return lane;
}

static struct queue_lane *enter_lane(struct queue *q, struct bytes name) {
    name = lane_name(name);
    uint64_t hash = hash_of(q, name);
    struct queue_lane *lane = find_lane(q, name, hash);
    if (!lane) {
        lane = calloc(1, sizeof *lane + name.len);
        if (!lane)
            return NULL;
        list_init(&lane->replay.writes);
        lane->hash = hash;
        lane->len = (uint32_t)name.len;
        if (name.len)
            memcpy(lane->name, name.at, name.len);
        lane->next = q->lanes[hash % LANE_BUCKETS];
        q->lanes[hash % LANE_BUCKETS] = lane;
        q->stats.lanes++;
    }
    lane->pending++;
    return lane;
}

static void leave_lane(struct queue *q, struct queue_lane *lane) {
    if (--lane->pending)
        return;
    struct queue_lane **at = &q->lanes[lane->hash % LANE_BUCKETS];
    while (*at != lane)
        at = &(*at)->next;
    *at = lane->next;
    q->stats.lanes--;
    free(lane);
}

bool queue_is_behind(struct queue *q, struct bytes name) {
    name = lane_name(name);
    uint64_t hash = hash_of(q, name);
    pthread_mutex_lock(&q->lock);
    bool behind = find_lane(q, name, hash) != NULL;
    pthread_mutex_unlock(&q->lock);
    return behind;
}

bool queue_is_shared(const struct queue *q) {
    return queue_has_lease(q);
}

void queue_leave(struct queue *q, struct queue_lane *lane, uint64_t bytes, uint64_t *count) {
    pthread_mutex_lock(&q->lock);
    q->stats.entries--;
    q->stats.bytes -= bytes;
    if (count)
        (*count)++;
    leave_lane(q, lane);
    pthread_mutex_unlock(&q->lock);
}

/* ---- accepting -------------------------------------------------------------------- */

static void on_answered(struct io_task *task) {
    struct queue_ticket *t = container_of(task, struct queue_ticket, task);
    if (t->done)
        t->done(t);
    outbox_op_free(&t->op);
    arena_reset(&t->memory);
    free(t);
}

static void answer(struct queue_ticket *t, enum queue_result result) {
    t->result = result;
    t->task = (struct io_task){NULL, on_answered};
    io_post(t->io, &t->task);
}

static enum queue_result result_of(int error) {
    switch (error) {
    case 0:
        return QUEUE_ACCEPTED;
    case -EEXIST:
        return QUEUE_REPEATED;
    case -ENOTUNIQ:
        return QUEUE_OTHER_REQUEST;
    case -E2BIG:
        return QUEUE_TOO_LARGE;
    default:
        return QUEUE_STORE_FAILED;
    }
}

static uint64_t *counter_of(struct queue *q, enum queue_result result) {
    switch (result) {
    case QUEUE_ACCEPTED:
        return &q->stats.accepted;
    case QUEUE_REPEATED:
        return &q->stats.repeated;
    case QUEUE_OTHER_REQUEST:
        return &q->stats.key_reused;
    case QUEUE_FULL:
        return &q->stats.refused_full;
    case QUEUE_TOO_LARGE:
        return &q->stats.refused_too_large;
    case QUEUE_STORE_FAILED:
        break;
    }
    return &q->stats.store_failed;
}

static void count(struct queue *q, enum queue_result result) {
    pthread_mutex_lock(&q->lock);
    (*counter_of(q, result))++;
    pthread_mutex_unlock(&q->lock);
}

/* It is the holder's of the lease, who lists it; perhaps that is us. */
static void leave_to_all(struct queue *q, struct queue_write *w) {
    queue_leave(q, w->lane, w->bytes, &q->stats.accepted);
    pthread_mutex_lock(&q->lock);
    q->elsewhere.entries++;
    q->elsewhere.bytes += w->bytes;
    pthread_mutex_unlock(&q->lock);
    free(w);
    queue_wake(q);
}

/* On the outbox's thread, in the order of the sequence numbers: so the home
 * worker gets them in that order too. */
static void on_appended(struct outbox_op *op) {
    struct queue_ticket *t = container_of(op, struct queue_ticket, op);
    struct queue_write *w = t->write;
    enum queue_result result = result_of(op->error);
    if (result == QUEUE_ACCEPTED && queue_has_lease(t->queue)) {
        leave_to_all(t->queue, w);
    } else if (result == QUEUE_ACCEPTED) {
        count(t->queue, result);
        w->replay.sequence = op->entry.sequence;
        w->accepted_ms = op->entry.accepted_ms;
        queue_send_home(w);
    } else {
        queue_leave(t->queue, w->lane, w->bytes, counter_of(t->queue, result));
        free(w);
    }
    answer(t, result);
}

/* Takes a place before anything is written, so that a full queue stays full. */
static enum queue_result reserve(struct queue *q, struct queue_write *w, struct bytes lane) {
    enum queue_result result = QUEUE_ACCEPTED;
    pthread_mutex_lock(&q->lock);
    const struct queue_options *o = &q->options;
    if (w->bytes > o->body_max + WORKER_SCRATCH)
        result = QUEUE_TOO_LARGE;
    else if (q->stats.entries + q->elsewhere.entries >= o->max_entries ||
             q->stats.bytes + q->elsewhere.bytes + w->bytes > o->max_bytes)
        result = QUEUE_FULL;
    else if (!(w->lane = enter_lane(q, lane)))
        result = QUEUE_STORE_FAILED;
    if (result == QUEUE_ACCEPTED) {
        q->stats.entries++;
        q->stats.bytes += w->bytes;
    }
    pthread_mutex_unlock(&q->lock);
    return result;
}

static bool copy_request(struct queue_ticket *t, const struct queue_request *r, struct bytes lane) {
    struct outbox_entry *e = &t->op.entry;
    const struct {
        struct bytes *to, from;
    } parts[] = {{&e->lane, lane},        {&e->key, r->key},       {&e->method, r->method},
                 {&e->target, r->target}, {&e->fields, r->fields}, {&e->body, r->body}};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        *parts[i].to = (struct bytes){arena_copy(&t->memory, parts[i].from), parts[i].from.len};
        if (!parts[i].to->at && parts[i].from.len)
            return false;
    }
    e->service = bytes_of(t->queue->service);
    e->expires_ms = r->expires_ms;
    return true;
}

struct queue_ticket *queue_accept(struct queue *q, const struct queue_request *r, struct io *io,
                                  void (*done)(struct queue_ticket *), void *owner) {
    struct queue_ticket *t = calloc(1, sizeof *t);
    struct queue_write *w = calloc(1, sizeof *w);
    struct bytes lane = r->lane.len ? r->lane : r->key;
    if (t) {
        *t = (struct queue_ticket){.queue = q, .write = w, .io = io, .done = done, .owner = owner};
        arena_init(&t->memory, NULL, 0, SIZE_MAX / 2);
        outbox_op_init(&t->op, OUTBOX_APPEND, NULL, on_appended);
    }
    if (!t || !w || !copy_request(t, r, lane)) {
        if (t)
            arena_reset(&t->memory);
        free(t);
        free(w);
        return NULL;
    }
    w->queue = q;
    w->expires_ms = r->expires_ms;
    w->bytes = r->fields.len + r->body.len;
    enum queue_result result =
        q->gateway->outbox ? reserve(q, w, lane) : QUEUE_STORE_FAILED; /* the process ends */
    if (result == QUEUE_ACCEPTED) {
        outbox_submit(q->gateway->outbox, &t->op);
    } else {
        count(q, result);
        free(w);
        answer(t, result);
    }
    return t;
}

const char *queue_result_word(enum queue_result result) {
    switch (result) {
    case QUEUE_ACCEPTED:
    case QUEUE_REPEATED:
        return "queued";
    case QUEUE_OTHER_REQUEST:
        return "idempotency_key_reused";
    case QUEUE_FULL:
        return "queue_full";
    case QUEUE_TOO_LARGE:
        return "too_large_to_queue";
    case QUEUE_STORE_FAILED:
        break;
    }
    return "queue_store_failed";
}

/* ---- commands ------------------------------------------------------------------------ */

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

struct queue_write *queue_make_write(struct queue *q, const struct outbox_entry *e) {
    struct queue_write *w = calloc(1, sizeof *w);
    if (!w)
        return NULL;
    w->queue = q;
    w->replay.sequence = e->sequence;
    w->accepted_ms = e->accepted_ms;
    w->expires_ms = e->expires_ms;
    w->bytes = e->content_len;
    w->attempts = e->attempts;
    pthread_mutex_lock(&q->lock);
    w->lane = enter_lane(q, e->lane);
    if (w->lane) {
        q->stats.entries++;
        q->stats.bytes += w->bytes;
    }
    pthread_mutex_unlock(&q->lock);
    if (!w->lane) {
        free(w);
        return NULL;
    }
    return w;
}

static struct queue *find(struct gateway *g, struct bytes service) {
    struct queue *q = queue_first(g);
    while (q && !bytes_equal(bytes_of(q->service), service))
        q = queue_next(q);
    return q;
}

static void on_retried(struct outbox_op *op) {
    struct queue_command *c = container_of(op, struct queue_command, op);
    struct queue *q = op->error ? NULL : find(c->gateway, op->entry.service);
    bool shared = q && queue_has_lease(q);
    struct queue_write *w = q && !shared ? queue_make_write(q, &op->entry) : NULL;
    if (shared)
        queue_wake(q);
    else if (w)
        queue_send_home(w); /* else it waits in the outbox for the next start */
    tell(c, op->error);
}

static void on_dropped(struct outbox_op *op) {
    struct queue_command *c = container_of(op, struct queue_command, op);
    tell(c, op->error);
}

static void drop_at_home(struct io_task *task) {
    queue_drop(container_of(task, struct queue_command, task));
}

static void on_found(struct outbox_op *op) {
    struct queue_command *c = container_of(op, struct queue_command, op);
    struct queue *q = op->error ? NULL : find(c->gateway, op->entry.service);
    if (op->error || (op->entry.state != OUTBOX_QUEUED && op->entry.state != OUTBOX_DEAD)) {
        tell(c, op->error ? op->error : -ENOENT);
    } else if (q && op->entry.state == OUTBOX_QUEUED) {
        c->queue = q;
        c->task = (struct io_task){NULL, drop_at_home};
        io_post(queue_home(q)->io, &c->task);
    } else {
        op->verb = OUTBOX_SETTLE;
        op->entry.state = OUTBOX_DROPPED;
        op->done = on_dropped;
        outbox_submit(c->gateway->outbox, op);
    }
}

void queue_do(struct gateway *g, struct queue_command *c) {
    bool retry = c->verb == QUEUE_RETRY;
    c->gateway = g;
    outbox_op_init(&c->op, retry ? OUTBOX_RETRY : OUTBOX_FIND, NULL, retry ? on_retried : on_found);
    memcpy(c->op.entry.id, c->id, sizeof c->id);
    if (g->outbox)
        outbox_submit(g->outbox, &c->op);
    else
        tell(c, -ENOENT);
}

/* ---- life ------------------------------------------------------------------------------- */

struct queue *queue_first(struct gateway *g) {
    return atomic_load_explicit(&g->queues, memory_order_acquire);
}

struct queue *queue_next(struct queue *q) {
    return q->next;
}

const char *queue_service(const struct queue *q) {
    return q->service;
}

void queue_read(struct queue *q, struct queue_stats *out) {
    pthread_mutex_lock(&q->lock);
    *out = q->stats;
    out->entries += q->elsewhere.entries;
    out->bytes += q->elsewhere.bytes;
    out->shared = queue_has_lease(q);
    pthread_mutex_unlock(&q->lock);
}

void queue_configure(struct queue *q, const struct queue_options *o) {
    pthread_mutex_lock(&q->lock);
    q->options = *o;
    pthread_mutex_unlock(&q->lock);
    queue_wake(q);
}

/* What was promised before this process began; into `into`, in order. */
static int load(struct queue *q, struct list *into) {
    struct outbox_op op;
    uint64_t after = 0;
    int error = 0;
    uint32_t found = OUTBOX_LIST_MAX;
    while (!error && found == OUTBOX_LIST_MAX) {
        outbox_op_init(&op, OUTBOX_LIST, NULL, NULL);
        op.filter.service = bytes_of(q->service);
        op.filter.state = OUTBOX_QUEUED;
        op.filter.after = after;
        error = outbox_do(q->gateway->outbox, &op);
        found = error ? 0 : op.count;
        for (uint32_t i = 0; !error && i < found; i++) {
            struct queue_write *w = queue_make_write(q, &op.found[i]);
            after = op.found[i].sequence;
            if (w)
                list_push_back(into, &w->link);
            error = w ? 0 : -ENOMEM;
        }
        outbox_op_free(&op);
    }
    return error;
}

static void destroy(struct queue *q) {
    queue_replay_free(q);
    for (int i = 0; i < LANE_BUCKETS; i++) {
        for (struct queue_lane *lane = q->lanes[i], *next; lane; lane = next) {
            next = lane->next;
            free(lane);
        }
    }
    pthread_mutex_destroy(&q->lock);
    free(q->service);
    free(q);
}

static struct queue *create(struct gateway *g, const char *service) {
    struct queue *q = calloc(1, sizeof *q);
    struct list waiting, *l;
    if (!q)
        return NULL;
    list_init(&waiting);
    q->service = strdup(service);
    q->gateway = g;
    q->home = (uint32_t)(hash_of(q, bytes_of(service)) % g->worker_count);
    pthread_mutex_init(&q->lock, NULL);
    queue_replay_init(q, g->seed);
    queue_lease_init(q);
    queue_leave_init(q);
    bool good = q->service && (queue_has_lease(q) || load(q, &waiting) == 0);
    while ((l = list_pop_front(&waiting))) {
        struct queue_write *w = container_of(l, struct queue_write, link);
        if (good)
            queue_send_home(w);
        else
            free(w);
    }
    if (good)
        return q;
    log_message(LOG_ERROR, "what waits in the outbox for %s could not be read", service);
    destroy(q);
    return NULL;
}

struct queue *queue_get(struct gateway *g, const char *service) {
    struct queue *q = find(g, bytes_of(service));
    if (q)
        return q;
    q = create(g, service);
    if (!q)
        return NULL;
    q->next = queue_first(g);
    atomic_store_explicit(&g->queues, q, memory_order_release);
    return q;
}

void queue_settle_all(struct gateway *g) {
    for (struct queue *q = queue_first(g); q; q = q->next)
        queue_settle_rest(q);
}

void queue_destroy_all(struct gateway *g) {
    struct queue *q = queue_first(g);
    atomic_store_explicit(&g->queues, NULL, memory_order_relaxed);
    while (q) {
        struct queue *next = q->next;
        destroy(q);
        q = next;
    }
}
