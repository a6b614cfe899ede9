/* outbox_api.c - the outbox: what waits in it, what is dead, retry and drop.
 *
 * Everything here asks the disk, so it is answered later: each request is an
 * object of its own that lives until the outbox has told. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "admin/admin_priv.h"
#include "admin/auth.h"
#include "admin/command_body.h"
#include "admin/handlers.h"
#include "admin/later.h"
#include "admin/outbox_json.h"
#include "admin/problem.h"
#include "config/value.h"
#include "gateway/history.h"

enum { LIST_DEFAULT = 100 };

struct inquiry {
    struct later later;
    struct gateway *gateway;
    struct outbox_op op;
    enum outbox_detail detail;
    /* commands */
    struct queue_command command;
    struct command_body body;
};

/* ---- beginning and ending ------------------------------------------------------- */

/* NULL, with the problem told: no memory, or no outbox. */
static struct inquiry *begin(struct request *r, struct response *a, enum outbox_verb verb,
                             void (*done)(struct outbox_op *)) {
    struct inquiry *q = r->admin->gateway->outbox ? calloc(1, sizeof *q) : NULL;
    if (!q) {
        problem(a, 503, "no_memory", "out of memory");
        return NULL;
    }
    q->gateway = r->admin->gateway;
    outbox_op_init(&q->op, verb, r->admin->io, done);
    return q;
}

static void go(struct inquiry *q, struct request *r, struct response *a) {
    later_begin(&q->later, r, a);
    outbox_submit(q->gateway->outbox, &q->op);
}

static void end(struct inquiry *q, struct response *a) {
    later_answer(&q->later, a);
    outbox_op_free(&q->op);
    free(q);
}

static void unknown(struct response *a) {
    problem(a, 404, "unknown_write",
            "there is no write with this id; those that are settled are forgotten after a day");
}

static void outbox_problem(struct response *a, int error) {
    if (error == -ENOENT)
        unknown(a);
    else
        problem(a, 503, "store_failed", "the outbox cannot do this at the moment: %s",
                error == -ESHUTDOWN ? "the gateway ends" : strerror(-error));
}

/* ---- the list ---------------------------------------------------------------------- */

static bool read_state(struct request *r, struct response *a, enum outbox_state *state) {
    char text[16];
    *state = 0;
    if (!request_query(r, "state", text, sizeof text))
        return true;
    for (int s = OUTBOX_QUEUED; s <= OUTBOX_DROPPED; s++) {
        if (!strcmp(text, outbox_state_word((enum outbox_state)s)))
            *state = (enum outbox_state)s;
    }
    if (!*state)
        problem(a, 400, "bad_state", "state is queued, dead, sent, expired or dropped");
    return *state != 0;
}

static bool read_number(struct request *r, struct response *a, const char *key, uint64_t min,
                        uint64_t max, uint64_t *value) {
    char text[24];
    if (!request_query(r, key, text, sizeof text))
        return true;
    if (value_count(bytes_of(text), value) && *value >= min && *value <= max)
        return true;
    problem(a, 400, "bad_number", "%s is a number from %llu to %llu", key, (unsigned long long)min,
            (unsigned long long)max);
    return false;
}

static void write_list(struct response *a, const struct outbox_op *op) {
    struct json_out *j = response_json(a, 200);
    json_object(j);
    json_key_array(j, "entries");
    for (uint32_t i = 0; i < op->count; i++)
        outbox_write_entry(j, &op->found[i], OUTBOX_BRIEF, 0);
    json_array_end(j);
    json_key(j, "next");
    if (op->count && op->count == op->filter.limit)
        json_uint(j, op->found[op->count - 1].sequence);
    else
        json_null(j);
    json_object_end(j);
    response_end_json(a);
}

static void on_list(struct outbox_op *op) {
    struct inquiry *q = container_of(op, struct inquiry, op);
    struct response a;
    response_init(&a);
    if (op->error)
        outbox_problem(&a, op->error);
    else
        write_list(&a, op);
    end(q, &a);
}

void handle_outbox(struct request *r, struct response *a) {
    uint64_t after = 0, limit = LIST_DEFAULT;
    enum outbox_state state;
    if (!read_state(r, a, &state) || !read_number(r, a, "after", 0, INT64_MAX, &after) ||
        !read_number(r, a, "limit", 1, OUTBOX_LIST_MAX, &limit))
        return;
    if (!r->admin->gateway->outbox) { /* no service has a queue */
        write_list(a, &(struct outbox_op){0});
        return;
    }
    struct inquiry *q = begin(r, a, OUTBOX_LIST, on_list);
    if (!q)
        return;
    q->op.filter.state = state;
    q->op.filter.after = after;
    q->op.filter.limit = (uint32_t)limit;
    if (request_query(r, "service", q->body.endpoint, sizeof q->body.endpoint))
        q->op.filter.service = bytes_of(q->body.endpoint);
    go(q, r, a);
}

/* ---- the summary ---------------------------------------------------------------------- */

static uint32_t dead_letters_of(const struct outbox_op *op, const char *service) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < op->count; i++)
        count += bytes_equal(op->found[i].service, bytes_of(service));
    return count;
}

/* Appends that share a sync are one group. */
static void write_store(struct json_out *j, struct outbox *outbox) {
    struct outbox_stats s;
    outbox_read(outbox, &s);
    json_key_object(j, "store");
    json_key_uint(j, "groups", s.groups);
    json_key_uint(j, "appended", s.appended);
    json_key_uint(j, "failed_groups", s.failed);
    json_object_end(j);
}

static void write_summary(struct response *a, struct gateway *g, const struct outbox_op *op) {
    struct json_out *j = response_json(a, 200);
    json_object(j);
    json_key_array(j, "queues");
    for (struct queue *q = queue_first(g); q; q = queue_next(q))
        outbox_write_queue(j, q, dead_letters_of(op, queue_service(q)));
    json_array_end(j);
    if (g->outbox)
        write_store(j, g->outbox);
    json_object_end(j);
    response_end_json(a);
}

static void on_dead_letters(struct outbox_op *op) {
    struct inquiry *q = container_of(op, struct inquiry, op);
    struct response a;
    response_init(&a);
    if (op->error)
        outbox_problem(&a, op->error);
    else
        write_summary(&a, q->gateway, op);
    end(q, &a);
}

void handle_outbox_summary(struct request *r, struct response *a) {
    if (!r->admin->gateway->outbox) {
        write_summary(a, r->admin->gateway, &(struct outbox_op){0});
        return;
    }
    struct inquiry *q = begin(r, a, OUTBOX_LIST, on_dead_letters);
    if (!q)
        return;
    q->op.filter.state = OUTBOX_DEAD;
    go(q, r, a);
}

/* ---- one entry -------------------------------------------------------------------------- */

static bool read_id(struct request *r, struct response *a, char id[OUTBOX_ID_LEN + 1]) {
    if (strlen(r->name) != OUTBOX_ID_LEN || !r->admin->gateway->outbox) {
        unknown(a);
        return false;
    }
    memcpy(id, r->name, OUTBOX_ID_LEN + 1);
    return true;
}

static void answer_entry(struct inquiry *q, enum outbox_detail detail, int content_error) {
    struct response a;
    response_init(&a);
    outbox_write_entry(response_json(&a, 200), &q->op.entry, detail, content_error);
    response_end_json(&a);
    end(q, &a);
}

static void answer_problem(struct inquiry *q, int error) {
    struct response a;
    response_init(&a);
    outbox_problem(&a, error);
    end(q, &a);
}

static void on_loaded(struct outbox_op *op) {
    struct inquiry *q = container_of(op, struct inquiry, op);
    answer_entry(q, q->detail, op->error);
}

/* Only what is queued or dead has a content still. */
static void on_found(struct outbox_op *op) {
    struct inquiry *q = container_of(op, struct inquiry, op);
    if (op->error) {
        answer_problem(q, op->error);
    } else if ((op->entry.state != OUTBOX_QUEUED && op->entry.state != OUTBOX_DEAD) ||
               !q->gateway->outbox) {
        answer_entry(q, q->detail, -ENOENT);
    } else {
        op->verb = OUTBOX_LOAD;
        op->done = on_loaded;
        outbox_submit(q->gateway->outbox, op);
    }
}

void handle_outbox_entry(struct request *r, struct response *a) {
    char id[OUTBOX_ID_LEN + 1], text[8];
    bool content = request_query(r, "content", text, sizeof text) && !strcmp(text, "1");
    if ((content && !auth_demands_token(r, a)) || !read_id(r, a, id))
        return;
    struct inquiry *q = begin(r, a, OUTBOX_FIND, on_found);
    if (!q)
        return;
    q->detail = content ? OUTBOX_CONTENT : OUTBOX_NAMES;
    memcpy(q->op.entry.id, id, sizeof id);
    go(q, r, a);
}

/* ---- retry and drop ------------------------------------------------------------------------ */

static const char *verb_word(const struct queue_command *c) {
    return c->verb == QUEUE_RETRY ? "retry" : "drop";
}

static void conflict(struct response *a, const struct queue_command *c, enum outbox_state state) {
    if (c->error == -EBUSY) {
        buf_literal(&a->fields, "Retry-After: 1\r\n");
        problem(a, 409, "being_sent", "the write is being sent right now; see what comes of it");
    } else if (c->verb == QUEUE_RETRY && state == OUTBOX_QUEUED) {
        problem(a, 409, "not_dead", "the write is queued: it is tried again by itself");
    } else {
        problem(a, 409, "settled", "the write is %s: there is nothing to %s",
                outbox_state_word(state), verb_word(c));
    }
}

/* The entry after the command, or why there was nothing to do. */
static void on_found_after(struct outbox_op *op) {
    struct inquiry *q = container_of(op, struct inquiry, op);
    struct queue_command *c = &q->command;
    struct response a;
    if (!c->error)
        history_write_commanded(q->gateway, op->error ? BYTES("") : op->entry.service, c->id,
                                verb_word(c), q->body.author, q->body.reason);
    if (op->error) {
        answer_problem(q, op->error);
        return;
    }
    if (!c->error) {
        answer_entry(q, OUTBOX_BRIEF, 0);
        return;
    }
    response_init(&a);
    conflict(&a, c, op->entry.state);
    end(q, &a);
}

static void on_commanded(struct queue_command *c) {
    struct inquiry *q = container_of(c, struct inquiry, command);
    bool failed = c->error && c->error != -ENOENT && c->error != -EBUSY;
    if (failed || !q->gateway->outbox)
        answer_problem(q, failed ? c->error : -ESHUTDOWN);
    else
        outbox_submit(q->gateway->outbox, &q->op);
}

static bool read_command(struct request *r, struct response *a, struct command_body *body) {
    char memory[512];
    struct buf wrong;
    buf_init_fixed(&wrong, memory, sizeof memory);
    bool ok = command_body_read(r->body, body, &wrong);
    if (ok && (*body->duration || *body->endpoint)) {
        ok = false;
        buf_literal(&wrong, "only reason and author are known here");
    }
    if (!ok)
        problem(a, 400, "bad_body", "%s", buf_cstr(&wrong));
    else if (!*body->author)
        snprintf(body->author, sizeof body->author, "admin API");
    return ok;
}

static void command(struct request *r, struct response *a, bool retry) {
    struct command_body body;
    char id[OUTBOX_ID_LEN + 1];
    if (!read_command(r, a, &body) || !read_id(r, a, id))
        return;
    struct inquiry *q = begin(r, a, OUTBOX_FIND, on_found_after);
    if (!q)
        return;
    q->body = body;
    q->command = (struct queue_command){
        .verb = retry ? QUEUE_RETRY : QUEUE_DROP, .io = r->admin->io, .done = on_commanded};
    memcpy(q->command.id, id, sizeof id);
    memcpy(q->op.entry.id, id, sizeof id);
    later_begin(&q->later, r, a);
    queue_do(q->gateway, &q->command);
}

void handle_outbox_retry(struct request *r, struct response *a) {
    command(r, a, true);
}

void handle_outbox_drop(struct request *r, struct response *a) {
    command(r, a, false);
}
