/* queue.c - the tier that promises: the write is on stable storage, and goes to
 * the service when that is back. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#include "base/json_out.h"
#include "base/rfc3339.h"
#include "gateway/fields.h"
#include "gateway/gateway.h"
#include "gateway/queue.h"
#include "gateway/queueing.h"
#include "gateway/value.h"

enum { JSON_MAX = 2048, ID_MAX = 255 };

static const char status_path[] = "/.well-known/switchgear/writes/";

/* ---- before the call ------------------------------------------------------------ */

/* One line without what could end it; longer ones are no keys, but content. */
static bool is_good_key(struct bytes key) {
    for (size_t i = 0; i < key.len; i++) {
        if (key.at[i] < ' ' || key.at[i] > '~')
            return false;
    }
    return key.len > 0 && key.len <= ID_MAX;
}

/* From the system: a service takes two writes with one key for the same, so no
 * two may ever have it, on whatever machine. 80 random bits, behind milliseconds:
 * so keys of one time lie together in the outbox's index. */
static struct bytes make_key(struct exchange *x) {
    uint64_t random[2];
    struct timespec t;
    if (getrandom(random, sizeof random, 0) != sizeof random)
        return (struct bytes){0};
    clock_gettime(CLOCK_REALTIME, &t);
    uint64_t ms = (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
    return bytes_of(
        arena_printf(&x->arena, "%012llx%04llx%016llx", (unsigned long long)(ms & 0xffffffffffff),
                     (unsigned long long)(random[0] & 0xffff), (unsigned long long)random[1]));
}

void queueing_begin(struct exchange *x) {
    if (!x->service->queue || x->inner || http_method_is_safe(x->request.method) ||
        x->request.upgrade)
        return;
    struct bytes key = fields_find(&x->request, HTTP_IDEMPOTENCY_KEY);
    if (key.at && !is_good_key(key))
        return; /* the service may know what to do with it */
    x->write_key = key.at ? key : make_key(x);
    x->own_key = !key.at && x->write_key.at;
}

size_t queueing_body_max(const struct exchange *x) {
    const struct service *s = x->leg ? x->leg->service : x->service;
    size_t keep = s->options->transport.body_keep;
    if (!x->write_key.at || x->service->queue_options->body_max < keep)
        return keep;
    return x->service->queue_options->body_max;
}

static void read_lane(struct exchange *x) {
    const struct queue_options *o = x->service->queue_options;
    if (!o->ordered)
        return;
    struct value v = value_read(x, &o->order_by);
    if (v.kind != VALUE_MISSING)
        x->write_lane = v.text;
}

bool queueing_is_behind(struct exchange *x) {
    if (!x->write_key.at)
        return false;
    read_lane(x);
    return x->behind ||
           queue_is_behind(x->service->queue, x->write_lane.len ? x->write_lane : x->write_key);
}

/* ---- a question to the outbox --------------------------------------------------------- */

struct question {
    struct tier_work work;
    struct exchange *x; /* NULL: gone */
    struct outbox_op op;
};

static void forget(struct tier_work *work) {
    container_of(work, struct question, work)->x = NULL;
}

/* NULL: no memory. The op is to be filled in and submitted. */
static struct question *make_question(struct exchange *x, enum outbox_verb verb,
                                      void (*done)(struct outbox_op *)) {
    struct question *q = calloc(1, sizeof *q);
    if (!q)
        return NULL;
    q->work.cancel = forget;
    q->x = x;
    x->question = &q->work;
    outbox_op_init(&q->op, verb, x->worker->io, done);
    return q;
}

static void end_question(struct question *q) {
    outbox_op_free(&q->op);
    free(q);
}

/* An outbox that cannot tell counts as a backlog: order is what was asked for. The
 * tier then says why it could not take the write. */
static void on_behind(struct outbox_op *op) {
    struct question *q = container_of(op, struct question, op);
    struct exchange *x = q->x;
    bool behind = op->error || op->count;
    end_question(q);
    if (!x)
        return;
    x->question = NULL;
    x->behind = behind;
    exchange_asked(x);
}

bool queueing_asks(struct exchange *x) {
    const struct queue *queue = x->service->queue;
    struct outbox *outbox = x->worker->gateway->outbox;
    if (!x->write_key.at || !outbox || !queue_is_shared(queue) || queueing_is_behind(x) ||
        !x->write_lane.len)
        return false;
    /* the op points to the request, which may go before the answer */
    struct question *q = make_question(x, OUTBOX_BEHIND, on_behind);
    const char *lane = q ? arena_copy(&q->op.memory, x->write_lane) : NULL;
    if (!lane) {
        if (q)
            end_question(q);
        x->question = NULL;
        x->behind = true;
        return false;
    }
    q->op.entry.lane = (struct bytes){lane, x->write_lane.len};
    q->op.entry.service = bytes_of(queue_service(queue));
    outbox_submit(outbox, &q->op);
    return true;
}

/* ---- the answer --------------------------------------------------------------------- */

static void write_times(struct json_out *j, const struct outbox_entry *e) {
    const struct {
        const char *key;
        int64_t ms;
    } times[] = {{"accepted_at", e->accepted_ms},
                 {"settled_at", e->settled_ms},
                 {"expires_at", e->expires_ms}};
    char text[RFC3339_SIZE];
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        rfc3339_ms(text, times[i].ms > 0 ? (uint64_t)times[i].ms : 0);
        if (times[i].ms > 0)
            json_key_string(j, times[i].key, text);
    }
}

static void write_entry(struct buf *to, const struct outbox_entry *e, const char *message) {
    struct json_out j;
    char url[sizeof status_path + OUTBOX_ID_LEN];
    snprintf(url, sizeof url, "%s%s", status_path, e->id);
    json_init(&j, to);
    json_object(&j);
    json_key_string(&j, "status", outbox_state_word(e->state));
    if (message)
        json_key_string(&j, "message", message);
    json_key_string(&j, "id", e->id);
    json_key_string(&j, "status_url", url);
    json_key(&j, "service");
    json_bytes(&j, e->service);
    write_times(&j, e);
    if (e->attempts)
        json_key_uint(&j, "attempts", e->attempts);
    if (e->status)
        json_key_int(&j, "last_status", e->status);
    json_object_end(&j);
    buf_char(to, '\n');
}

static void reply_entry(struct exchange *x, int status, const struct outbox_entry *e,
                        const char *message, const char *source) {
    char memory[JSON_MAX], field_memory[256];
    struct buf body, fields;
    buf_init_fixed(&body, memory, sizeof memory);
    buf_init_fixed(&fields, field_memory, sizeof field_memory);
    write_entry(&body, e, message);
    buf_literal(&fields, "Content-Type: application/json\r\nCache-Control: no-store\r\n");
    if (status == 202)
        buf_printf(&fields, "Location: %s%s\r\n", status_path, e->id);
    reply_whole(x, status, buf_view(&fields), buf_view(&body), source);
}

/* ---- the tier ------------------------------------------------------------------------- */

struct queueing {
    struct tier_work work;
    struct leg *leg;
    struct queue_ticket *ticket;
};

/* The write goes on into the outbox: it may be there already. */
static void cancel(struct tier_work *work) {
    struct queueing *t = container_of(work, struct queueing, work);
    t->ticket->done = NULL;
}

static bool is_settled_otherwise(const struct outbox_entry *e) {
    return e->state != OUTBOX_QUEUED && e->state != OUTBOX_SENT;
}

static void on_accepted(struct queue_ticket *ticket) {
    struct queueing *t = ticket->owner;
    struct leg *leg = t->leg;
    struct exchange *x = leg->x;
    const struct outbox_entry *e = &ticket->op.entry;
    x->queue_refusal = queue_result_word(ticket->result);
    switch (ticket->result) {
    case QUEUE_ACCEPTED:
    case QUEUE_REPEATED:
        x->queue_refusal = NULL;
        tier_begin_answer(leg);
        if (is_settled_otherwise(e))
            reply_entry(x, 409, e, "This write was accepted before, and was not carried out.",
                        "queue");
        else
            reply_entry(x, 202, e, x->service->queue_options->message, "queue");
        return;
    case QUEUE_OTHER_REQUEST:
        tier_begin_answer(leg);
        reply_error(x, 422, "idempotency_key_reused",
                    "This Idempotency-Key was sent with another request before.");
        return;
    case QUEUE_FULL:
    case QUEUE_TOO_LARGE:
    case QUEUE_STORE_FAILED:
        break;
    }
    tier_failed(leg);
}

/* The request as it was, or would have been, sent: a replay is the same again. */
static bool describe(struct leg *leg, struct queue_request *r) {
    struct exchange *x = leg->x;
    struct buf fields, target;
    char *memory = arena_alloc(&x->arena, x->request.target.len + 16);
    if (!memory)
        return false;
    buf_init_fixed(&target, memory, x->request.target.len + 16);
    buf_bytes(&target, route_path(x->route.route, x->parts.path));
    if (x->parts.query.at) {
        buf_char(&target, '?');
        buf_bytes(&target, x->parts.query);
    }
    buf_init_fixed(&fields, x->worker->scratch, WORKER_SCRATCH);
    if (x->service->options->transport.preserve_host && x->host.len) {
        buf_literal(&fields, "Host: ");
        buf_bytes(&fields, x->host);
        buf_literal(&fields, "\r\n");
    }
    attempt_write_fields(&fields, leg);
    *r = (struct queue_request){.lane = x->write_lane,
                                .key = x->write_key,
                                .method = x->request.method_text,
                                .target = buf_view(&target),
                                .fields = buf_view(&fields),
                                .body = {x->kept.at, x->kept.len}};
    return !fields.failed && !target.failed;
}

static int64_t expires_ms(const struct queue_options *o) {
    struct timespec t;
    if (o->expires_ns == SWG_OFF)
        return 0;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + (int64_t)(o->expires_ns / SWG_MS(1));
}

enum tier_result tier_queue(struct leg *leg) {
    struct exchange *x = leg->x;
    struct queueing *t = arena_zalloc(&x->arena, sizeof *t);
    struct queue_request r;
    if (leg != &x->root || !x->write_key.at || !t)
        return TIER_FAILED;
    if (x->kept_dropped || !x->upload_done) {
        x->queue_refusal = queue_result_word(QUEUE_TOO_LARGE);
        return TIER_FAILED;
    }
    if (!describe(leg, &r))
        return TIER_FAILED;
    r.expires_ms = expires_ms(x->service->queue_options);
    t->work.cancel = cancel;
    t->leg = leg;
    t->ticket = queue_accept(x->service->queue, &r, x->worker->io, on_accepted, t);
    if (!t->ticket)
        return TIER_FAILED;
    leg->work = &t->work;
    exchange_set_timer(x);
    return TIER_PENDING;
}

const char *queueing_refusal(const struct exchange *x) {
    return x->queue_refusal;
}

/* ---- what became of it ------------------------------------------------------------------ */

static void on_found(struct outbox_op *op) {
    struct question *q = container_of(op, struct question, op);
    struct exchange *x = q->x;
    if (x)
        x->question = NULL;
    if (x && !op->error)
        reply_entry(x, 200, &op->entry, NULL, "gateway");
    else if (x && op->error == -ENOENT)
        reply_error(x, 404, "no_such_write",
                    "There is no write with this id, or it was carried out a long time ago.");
    else if (x)
        reply_error(x, 503, "queue_store_failed", "The outbox cannot be read at the moment.");
    end_question(q);
}

static bool is_id(struct bytes id) {
    for (size_t i = 0; i < id.len; i++) {
        if (!((id.at[i] >= '0' && id.at[i] <= '9') || (id.at[i] >= 'a' && id.at[i] <= 'f')))
            return false;
    }
    return id.len == OUTBOX_ID_LEN;
}

bool queueing_status(struct exchange *x) {
    struct bytes path = x->parts.path, before = bytes_of(status_path);
    struct outbox *outbox = x->worker->gateway->outbox;
    if (!outbox || !bytes_starts(path, before))
        return false;
    if (x->request.method != HTTP_GET && x->request.method != HTTP_HEAD) {
        x->route.methods = 1u << HTTP_GET | 1u << HTTP_HEAD;
        reply_error(x, 405, "method_not_allowed", "The status of a write can only be read.");
        return true;
    }
    struct bytes id = {path.at + before.len, path.len - before.len};
    struct question *q = is_id(id) ? make_question(x, OUTBOX_FIND, on_found) : NULL;
    if (!q) {
        reply_error(x, 404, "no_such_write", "There is no write with this id.");
        return true;
    }
    memcpy(q->op.entry.id, id.at, OUTBOX_ID_LEN);
    outbox_submit(outbox, &q->op);
    return true;
}
