/* events_api.c - what happens, as it happens: server-sent events (WHATWG HTML,
 * "Server-sent events").
 *
 * A follower has no queue of its own: he has the number of the last event he
 * was sent, and the history is his queue. When the bell rings, and whenever
 * his connection has drained, he is sent what is new, up to what may wait in
 * the connection. One who reads slowly catches up from the history, and is
 * told of a gap if that has moved on; one who takes nothing from one heartbeat
 * to the next is dropped. */
#include <stdlib.h>

#include "admin/accept.h"
#include "admin/handlers.h"
#include "admin/problem.h"
#include "config/value.h"
#include "observe/events.h"

enum {
    BATCH = 16,
    /* Beyond so much in a connection its follower waits for it to drain. */
    PENDING_MAX = 64 * 1024,
    LATEST_DEFAULT = 100,
    LATEST_MAX = 500,
};

/* ---- the latest, as a list --------------------------------------------------- */

static void write_latest(struct request *r, struct response *a, const char *service,
                         struct event *events, size_t limit) {
    size_t count = events_read_latest(r->admin->gateway->events, service, events, limit);
    struct json_out *j = response_json(a, 200);
    json_object(j);
    json_key_array(j, "events");
    for (size_t i = 0; i < count; i++)
        event_write_json(j, &events[i]);
    json_array_end(j);
    json_key_uint(j, "last", events_last(r->admin->gateway->events));
    json_object_end(j);
    response_end_json(a);
}

static void answer_latest(struct request *r, struct response *a, const char *service) {
    char text[24];
    uint64_t limit = LATEST_DEFAULT;
    if (request_query(r, "limit", text, sizeof text) &&
        (!value_count(bytes_of(text), &limit) || limit < 1 || limit > LATEST_MAX)) {
        problem(a, 400, "bad_limit", "limit is a number from 1 to %d", LATEST_MAX);
        return;
    }
    struct event *events = calloc(limit, sizeof *events);
    if (events)
        write_latest(r, a, service, events, limit);
    else
        problem(a, 503, "no_memory", "out of memory");
    free(events);
}

/* ---- following ---------------------------------------------------------------- */

/* Where to begin: behind the last event that the client has, or now. */
static bool read_cursor(struct request *r, uint64_t *cursor) {
    char text[24];
    struct bytes last = request_field_named(r, BYTES("Last-Event-ID"));
    *cursor = events_last(r->admin->gateway->events);
    if (last.at)
        return value_count(last, cursor);
    return !request_query(r, "after", text, sizeof text) || value_count(bytes_of(text), cursor);
}

void handle_events(struct request *r, struct response *a) {
    struct connection *c = r->connection;
    if (!request_query(r, "service", c->service, sizeof c->service))
        *c->service = '\0';
    if (accept_quality(request_field(r, HTTP_ACCEPT), BYTES("application/json"))) {
        answer_latest(r, a, *c->service ? c->service : NULL);
        return;
    }
    if (!read_cursor(r, &c->cursor)) {
        problem(a, 400, "bad_event_id", "Last-Event-ID, and after, are numbers of events");
        return;
    }
    if (r->admin->follower_count >= ADMIN_FOLLOWERS_MAX) {
        buf_literal(&a->fields, "Retry-After: 5\r\n");
        problem(a, 503, "too_many_followers", "%d clients follow the events already",
                ADMIN_FOLLOWERS_MAX);
        return;
    }
    response_text(a, 200, "text/event-stream");
    buf_literal(&a->body, "retry: 2000\n\n");
    a->stream = true;
}

static void write_gap(struct buf *to, uint64_t after) {
    buf_printf(to, "event: gap\ndata: {\"after\":%llu}\n\n", (unsigned long long)after);
}

static void write_event(struct buf *to, const struct event *e) {
    struct json_out j;
    buf_printf(to, "id: %llu\nevent: %s\ndata: ", (unsigned long long)e->sequence, e->kind);
    json_init(&j, to);
    event_write_json(&j, e);
    buf_literal(to, "\n\n");
}

/* One batch; *more tells that there may be another. */
static bool send_batch(struct connection *c, bool *more) {
    struct event events[BATCH];
    struct buf text;
    bool gap;
    struct events *all = c->admin->gateway->events;
    size_t got = events_read(all, c->cursor, *c->service ? c->service : NULL, events, BATCH, &gap);
    buf_init(&text, 256 * 1024);
    if (gap)
        write_gap(&text, c->cursor);
    for (size_t i = 0; i < got; i++)
        write_event(&text, &events[i]);
    if (got)
        c->cursor = events[got - 1].sequence;
    else if (gap)
        c->cursor = events_last(all); /* nothing is left of what there was */
    *more = got == BATCH;
    struct iovec iov = {text.at, text.len};
    bool sent = !text.failed && (!text.len || io_send(&c->stream, &iov, 1) == 0);
    buf_free(&text);
    if (!sent)
        connection_close(c);
    return sent;
}

bool follower_feed(struct connection *c) {
    bool more = true;
    while (more && io_pending(&c->stream) < PENDING_MAX) {
        if (!send_batch(c, &more))
            return false;
    }
    return true;
}

/* Looked at before the heartbeat is added to what waits. */
void follower_beat(struct connection *c) {
    static const char beat[] = ": heartbeat\n\n";
    struct iovec iov = {(void *)beat, sizeof beat - 1};
    size_t pending = io_pending(&c->stream);
    if (pending && pending >= c->pending_seen && c->pending_seen) {
        connection_close(c);
        return;
    }
    c->pending_seen = pending;
    if (!pending && io_send(&c->stream, &iov, 1) < 0)
        connection_close(c);
}
