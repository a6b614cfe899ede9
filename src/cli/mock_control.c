/* mock_control.c - /__mock/: what a test or a curious user asks of the mock.
 *
 *   GET    /__mock/                what there is
 *   GET    /__mock/state           counts, what is under way, what it does now
 *   PUT    /__mock/behaviour       exactly these illnesses, no others
 *   POST   /__mock/behaviour       these besides (also PATCH)
 *   POST   /__mock/reset           as it was started, counts too
 *   POST   /__mock/release         requests that hang get their answer
 *   GET    /__mock/requests        the last ones; ?since=N&limit=N&path=/x
 *   DELETE /__mock/requests        forgets them
 *   GET    /__mock/wait            answers when so many have been seen:
 *                                  ?requests=N&in_flight=N&held=N&gone=N&timeout=5s
 *
 * The behaviour's keys are those of mock_behaviour.h, and schedule, body,
 * body_size, headers, seed, and down_for, which takes the listener away once
 * this answer has gone. Nothing changes unless all of it can be read. */
#include <stdio.h>
#include <stdlib.h>

#include "cli/json_in.h"
#include "cli/mock.h"
#include "config/value.h"

#define JSON_TYPE BYTES("application/json")

/* ---- answers ------------------------------------------------------------------------------ */

static bool problem(struct mock_reply *r, int status, const char *detail) {
    struct buf b;
    struct json_out j;
    buf_init(&b, 64 << 10);
    json_init(&j, &b);
    json_object(&j);
    json_key_int(&j, "status", status);
    json_key_string(&j, "title", http_status_reason(status));
    json_key_string(&j, "detail", detail);
    json_object_end(&j);
    buf_char(&b, '\n');
    r->status = status;
    mock_reply_take(r, &b, BYTES("application/problem+json"));
    return true;
}

static void write_now(struct mock *m, struct json_out *j) {
    uint64_t now = io_now(m->io);
    json_key_bool(j, "down", mock_is_down(m));
    json_key(j, "behaviour");
    mock_behaviour_write(&m->base, j);
    if (!m->step)
        return;
    json_key_string(j, "step", m->step->text);
    if (m->step_ends_ns != UINT64_MAX)
        json_key_uint(j, "step_ends_in_ms",
                      (m->step_ends_ns > now ? m->step_ends_ns - now : 0) / 1000000);
    json_key(j, "now");
    mock_behaviour_write(&m->now, j);
}

static bool answer_state(struct mock *m, struct mock_reply *r) {
    struct buf b;
    struct json_out j;
    buf_init(&b, 4 << 20);
    json_init(&j, &b);
    json_object(&j);
    json_key_string(&j, "name", m->name);
    json_key_string(&j, "url", m->url);
    json_key_uint(&j, "uptime_ms", (io_now(m->io) - m->started_ns) / 1000000);
    json_key_uint(&j, "connections", m->connection_count);
    json_key_uint(&j, "connections_ever", m->connections_ever);
    write_now(m, &j);
    mock_counts_write(&m->counts, &j);
    json_object_end(&j);
    buf_char(&b, '\n');
    mock_reply_take(r, &b, JSON_TYPE);
    return true;
}

static bool answer_requests(struct mock *m, const struct mock_request *q, struct mock_reply *r) {
    char memory[256], number[32];
    struct buf b, path, text;
    struct json_out j;
    uint64_t since = 0, limit = MOCK_RECORDS;
    buf_init_fixed(&path, memory, sizeof memory);
    buf_init_fixed(&text, number, sizeof number);
    mock_query(q->query, "path", &path);
    if (mock_query(q->query, "since", &text) && !value_count(buf_view(&text), &since))
        return problem(r, 400, "since is the number of a request");
    buf_clear(&text);
    if (mock_query(q->query, "limit", &text) && !value_count(buf_view(&text), &limit))
        return problem(r, 400, "limit is a number");
    buf_init(&b, 64 << 20);
    json_init(&j, &b);
    json_object(&j);
    json_key_uint(&j, "last", m->records.last);
    json_key(&j, "requests");
    mock_records_write(&m->records, &j, since, limit, buf_view(&path));
    json_object_end(&j);
    buf_char(&b, '\n');
    mock_reply_take(r, &b, JSON_TYPE);
    return true;
}

static bool answer_help(struct mock_reply *r) {
    struct buf b;
    buf_init(&b, 8 << 10);
    buf_literal(&b, "GET    /__mock/state      counts, what is under way, what it does now\n"
                    "PUT    /__mock/behaviour  exactly these illnesses: {\"errors\": \"50%\"}\n"
                    "POST   /__mock/behaviour  these besides; {\"down_for\": \"5s\"}\n"
                    "POST   /__mock/reset      as it was started\n"
                    "POST   /__mock/release    requests that hang get their answer\n"
                    "GET    /__mock/requests   the last 1000; ?since=N&limit=N&path=/x\n"
                    "DELETE /__mock/requests   forgets them\n"
                    "GET    /__mock/wait       answers when so many have come: ?requests=5\n\n");
    mock_pages_write(&b);
    mock_reply_take(r, &b, BYTES("text/plain; charset=utf-8"));
    return true;
}

/* ---- behaviour ------------------------------------------------------------------------------ */

/* Everything that one request changes, kept apart until all of it is read. */
struct change {
    struct mock_behaviour behaviour;
    struct mock_schedule schedule;
    bool schedule_given, seed_given, errors_given, status_given;
    uint64_t seed, down_ns;
    struct mock_content *content; /* NULL: the one there is */
};

static bool is_true(const struct node *value) {
    return value->plain && bytes_equal(value->text, BYTES("true"));
}

/* A share may be a number of per cent, or true for all. Below 1, other than 0,
 * it is not clear what is meant. */
static bool set_share(struct change *change, struct bytes key, const struct node *value,
                      struct buf *why) {
    char text[32];
    if (is_true(value)) {
        snprintf(text, sizeof text, "100%%");
    } else if (value->plain && bytes_equal(value->text, BYTES("false"))) {
        snprintf(text, sizeof text, "0%%");
    } else if (value->text.len && value->text.at[value->text.len - 1] != '%') {
        char *end;
        double number = strtod(value->text.at, &end);
        if (*end || number < 0 || number > 100 || (number > 0 && number < 1)) {
            buf_literal(why, "a share such as \"30%\" or \"0.5%\"");
            return false;
        }
        snprintf(text, sizeof text, "%g%%", number);
    } else {
        snprintf(text, sizeof text, "%.*s", (int)(value->text.len < 31 ? value->text.len : 31),
                 value->text.at);
    }
    return mock_behaviour_set(&change->behaviour, key, bytes_of(text), why);
}

static bool own_content(struct mock *m, struct change *change) {
    if (!change->content)
        change->content = mock_content_copy(m->content);
    return change->content != NULL;
}

static bool set_body(struct mock *m, struct change *change, struct bytes body, struct buf *why) {
    struct mock_content *old = change->content ? change->content : m->content;
    struct mock_content *c = mock_content_create(old->type, body.at, body.len);
    if (!c) {
        buf_literal(why, "more memory");
        return false;
    }
    buf_bytes(&c->fields, buf_view(&old->fields));
    mock_content_release(change->content);
    change->content = c;
    return true;
}

static bool set_body_size(struct mock *m, struct change *change, struct bytes value,
                          struct buf *why) {
    uint64_t size;
    if (!value_size(value, &size) || size > MOCK_BODY_MAX) {
        buf_literal(why, "a size up to 64MiB");
        return false;
    }
    char *body = malloc(size ? size : 1);
    if (!body) {
        buf_literal(why, "more memory");
        return false;
    }
    memset(body, 'x', size);
    bool good = set_body(m, change, (struct bytes){body, size}, why);
    free(body);
    return good;
}

static bool set_headers(struct mock *m, struct change *change, const struct node *map,
                        struct buf *why) {
    char line[4096];
    if (map->kind != NODE_MAP || !own_content(m, change)) {
        buf_literal(why, "an object of names and values");
        return false;
    }
    buf_clear(&change->content->fields);
    for (const struct node_entry *e = map->first; e; e = e->next) {
        if (e->value->kind != NODE_SCALAR)
            continue;
        int n = snprintf(line, sizeof line, "%s: %s", e->key->text.at, e->value->text.at);
        if (n < 0 || (size_t)n >= sizeof line ||
            !mock_content_add_field(change->content, bytes_of(line))) {
            buf_literal(why, "fields that HTTP allows, and that are not its framing");
            return false;
        }
    }
    return true;
}

static bool set_number(uint64_t *field, const struct node *value, bool *given, struct buf *why) {
    *given = true;
    if (value_count(value->text, field))
        return true;
    buf_literal(why, "a number");
    return false;
}

static bool apply_member(struct mock *m, struct change *change, struct bytes key,
                         const struct node *value, struct buf *why) {
    static const char *const shares[] = {"errors", "hang", "reset", "truncate"};
    if (bytes_equal(key, BYTES("headers")))
        return set_headers(m, change, value, why);
    if (value->kind != NODE_SCALAR) {
        buf_literal(why, "a string or a number");
        return false;
    }
    change->status_given |= bytes_equal(key, BYTES("status"));
    change->errors_given |= bytes_equal(key, BYTES("errors"));
    for (size_t i = 0; i < sizeof shares / sizeof shares[0]; i++) {
        if (bytes_equal(key, bytes_of(shares[i])))
            return set_share(change, key, value, why);
    }
    if (bytes_equal(key, BYTES("schedule"))) {
        change->schedule_given = true;
        return mock_schedule_read(&change->schedule, value->text, why);
    }
    if (bytes_equal(key, BYTES("body")))
        return set_body(m, change, value->text, why);
    if (bytes_equal(key, BYTES("body_size")))
        return set_body_size(m, change, value->text, why);
    if (bytes_equal(key, BYTES("seed")))
        return set_number(&change->seed, value, &change->seed_given, why);
    if (bytes_equal(key, BYTES("down_for"))) {
        if (value_duration(value->text, &change->down_ns) && change->down_ns &&
            change->down_ns <= UINT64_C(86400000000000))
            return true;
        buf_literal(why, "a duration up to 24h");
        return false;
    }
    return mock_behaviour_set(&change->behaviour, key, value->text, why);
}

static void commit(struct mock *m, struct change *change, struct mock_reply *r) {
    if (change->status_given && !change->errors_given && !change->behaviour.errors)
        change->behaviour.errors = MOCK_ALL;
    m->base = change->behaviour;
    if (change->seed_given)
        m->random = change->seed;
    if (change->content) {
        mock_content_release(m->content);
        m->content = change->content;
        change->content = NULL;
    }
    if (change->schedule_given) {
        m->schedule = change->schedule;
        m->schedule_from_ns = io_now(m->io);
    }
    r->goes_down = change->down_ns != 0;
    r->down_ns = change->down_ns;
}

/* False with *why filled. */
static bool read_change(struct mock *m, const struct node *root, struct change *change,
                        struct buf *why) {
    if (!root || root->kind != NODE_MAP) {
        buf_literal(why, "the body is no JSON object");
        return false;
    }
    for (const struct node_entry *e = root->first; e; e = e->next) {
        char memory[256];
        struct buf expected;
        buf_init_fixed(&expected, memory, sizeof memory);
        if (!apply_member(m, change, e->key->text, e->value, &expected)) {
            buf_printf(why, "%.60s: expected %s", e->key->text.at, buf_cstr(&expected));
            return false;
        }
    }
    return true;
}

static bool answer_behaviour(struct mock_connection *c, const struct mock_request *q,
                             struct mock_reply *r) {
    struct mock *m = c->mock;
    struct json_in in;
    struct change change = {.behaviour = m->base};
    char memory[512];
    struct buf why;
    buf_init_fixed(&why, memory, sizeof memory);
    if (q->head->method == HTTP_PUT) {
        mock_behaviour_heal(&change.behaviour);
        change.schedule_given = true; /* none */
    }
    json_in_read(&in, c->kept.len ? buf_view(&c->kept) : BYTES("{}"));
    bool good = read_change(m, in.root, &change, &why);
    json_in_free(&in);
    if (!good) {
        mock_content_release(change.content);
        return problem(r, 400, buf_cstr(&why));
    }
    commit(m, &change, r);
    if (change.schedule_given || !r->goes_down)
        mock_follow(m);
    return answer_state(m, r);
}

/* ---- waiting --------------------------------------------------------------------------------- */

struct mock_wait {
    uint64_t requests, in_flight, held, gone, connections;
    bool idle; /* nothing under way */
};

static bool is_met(const struct mock *m, const struct mock_wait *w) {
    const struct mock_counts *n = &m->counts;
    return n->requests >= w->requests && n->in_flight >= w->in_flight && n->held >= w->held &&
           n->ends[MOCK_GONE] >= w->gone && m->connections_ever >= w->connections &&
           (!w->idle || !n->in_flight);
}

static void answer_waiter(struct mock_connection *c, bool in_time) {
    list_remove(&c->park);
    io_timer_clear(c->mock->io, &c->timer);
    if (in_time)
        answer_state(c->mock, &c->reply);
    else
        problem(&c->reply, 504, "what was waited for did not come in time");
    c->state = MOCK_SENDING;
    mock_reply_start(c);
}

/* Answering one changes nothing that another could wait for: the control's
 * own requests are not counted. */
void mock_control_notice(struct mock *m) {
    for (struct list *l = m->waiters.next, *next; l != &m->waiters; l = next) {
        struct mock_connection *c = container_of(l, struct mock_connection, park);
        next = l->next;
        if (c->state == MOCK_WAITING && is_met(m, c->wait))
            io_timer_set(m->io, &c->timer, io_now(m->io));
    }
}

void mock_control_timeout(struct mock_connection *c) {
    answer_waiter(c, is_met(c->mock, c->wait));
}

static bool answer_wait(struct mock_connection *c, const struct mock_request *q,
                        struct mock_reply *r) {
    static const char *const names[] = {"requests", "in_flight", "held", "gone", "connections"};
    struct mock *m = c->mock;
    uint64_t timeout_ns = UINT64_C(10000000000), n[5] = {0}, idle = 0;
    char memory[32];
    struct buf text;
    buf_init_fixed(&text, memory, sizeof memory);
    for (int i = 0; i < 5; i++) {
        buf_clear(&text);
        if (mock_query(q->query, names[i], &text) && !value_count(buf_view(&text), &n[i]))
            return problem(r, 400, "requests, in_flight, held, gone, connections are numbers");
    }
    buf_clear(&text);
    idle = mock_query(q->query, "idle", &text);
    buf_clear(&text);
    if (mock_query(q->query, "timeout", &text) &&
        (!value_duration(buf_view(&text), &timeout_ns) || timeout_ns > UINT64_C(3600000000000)))
        return problem(r, 400, "timeout is a duration up to 1h");
    c->wait = malloc(sizeof *c->wait);
    if (!c->wait)
        return problem(r, 500, "out of memory");
    *c->wait = (struct mock_wait){n[0], n[1], n[2], n[3], n[4], idle != 0};
    if (is_met(m, c->wait))
        return answer_state(m, r);
    list_push_back(&m->waiters, &c->park);
    io_timer_set(m->io, &c->timer, io_now(m->io) + timeout_ns);
    return false;
}

/* ---- which -------------------------------------------------------------------------------------
 */

static bool release_held(struct mock *m, struct mock_reply *r) {
    struct list now;
    list_init(&now);
    list_splice_back(&now, &m->held);
    while (!list_empty(&now))
        mock_connection_release(container_of(now.next, struct mock_connection, park));
    return answer_state(m, r);
}

bool mock_control_answer(struct mock_connection *c, const struct mock_request *q,
                         struct mock_reply *r) {
    struct mock *m = c->mock;
    enum http_method method = q->head->method;
    struct bytes what = {q->path.at + 7, q->path.len - 7}; /* after "/__mock" */
    bool reads = method == HTTP_GET || method == HTTP_HEAD;
    bool writes = method == HTTP_POST || method == HTTP_PUT || method == HTTP_PATCH;
    if (reads && (!what.len || bytes_equal(what, BYTES("/"))))
        return answer_help(r);
    if (reads && (bytes_equal(what, BYTES("/state")) || bytes_equal(what, BYTES("/behaviour"))))
        return answer_state(m, r);
    if (reads && bytes_equal(what, BYTES("/requests")))
        return answer_requests(m, q, r);
    if (reads && bytes_equal(what, BYTES("/wait")))
        return answer_wait(c, q, r);
    if (writes && bytes_equal(what, BYTES("/behaviour")))
        return answer_behaviour(c, q, r);
    if (method == HTTP_POST && bytes_equal(what, BYTES("/release")))
        return release_held(m, r);
    if (method == HTTP_DELETE && bytes_equal(what, BYTES("/requests"))) {
        mock_records_clear(&m->records);
        return answer_state(m, r);
    }
    if (method == HTTP_POST && bytes_equal(what, BYTES("/reset"))) {
        mock_reset(m);
        return answer_state(m, r);
    }
    return problem(r, 404, "see GET /__mock/ for what there is");
}
