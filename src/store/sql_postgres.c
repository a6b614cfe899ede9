/* sql_postgres.c - a PostgreSQL database: the pool of its connections.
 *
 * `size` connections stay open, `overflow` more are opened when all are busy and
 * closed when they have nothing to do. A connection that has been idle for
 * longer than pre_ping is asked for a sign of life before it gets a query; one
 * older than recycle is closed when it is free. Connections are opened when
 * queries need them, and the one used last is used first, so the others grow
 * old and the pool is no larger than the load.
 *
 * A server that cannot be reached is told to the queries that wait at once;
 * when to ask again is for others to decide. */
#include "store/sql_postgres.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static void pump(struct postgres *);

static struct postgres *of(struct sql_database *db) {
    return container_of(db, struct postgres, db);
}

/* ---- the books --------------------------------------------------------------------- */

static uint32_t *count_of(struct postgres *p, enum postgres_state state) {
    switch (state) {
    case POSTGRES_IDLE:
        return &p->idle_count;
    case POSTGRES_RUNNING:
    case POSTGRES_LEFT:
    case POSTGRES_CLEANING:
        return &p->busy_count;
    case POSTGRES_RESOLVING:
    case POSTGRES_CONNECTING:
    case POSTGRES_PINGING:
        break;
    }
    return &p->opening_count;
}

static void publish(struct postgres *p) {
    atomic_store_explicit(&p->db.idle, p->idle_count, memory_order_relaxed);
    atomic_store_explicit(&p->db.busy, p->busy_count, memory_order_relaxed);
    atomic_store_explicit(&p->db.connecting, p->opening_count, memory_order_relaxed);
    atomic_store_explicit(&p->db.waiting, p->waiting_count, memory_order_relaxed);
}

static void enter(struct postgres_connection *c, enum postgres_state state) {
    struct postgres *p = c->pool;
    c->state = state;
    ++*count_of(p, state);
    list_push_front(state == POSTGRES_IDLE ? &p->idle : &p->others, &c->link);
}

static void leave(struct postgres_connection *c) {
    --*count_of(c->pool, c->state);
    list_remove(&c->link);
}

void postgres_set_state(struct postgres_connection *c, enum postgres_state state) {
    leave(c);
    enter(c, state);
    publish(c->pool);
}

static void discard(struct postgres_connection *c) {
    struct postgres *p = c->pool;
    leave(c);
    publish(p);
    postgres_connection_free(c);
}

/* ---- queries ----------------------------------------------------------------------- */

void postgres_answer(struct sql_query *q, enum sql_result result) {
    q->connection = NULL;
    if (!sql__answer(q, result))
        q->over = true; /* its cancel is on its way, and frees it */
}

static struct sql_query *next_waiting(struct postgres *p) {
    struct list *link = list_pop_front(&p->waiting);
    if (!link)
        return NULL;
    p->waiting_count--;
    publish(p);
    return container_of(link, struct sql_query, link);
}

/* Who waits is told, all of them where nothing else serves them. */
static void fail_waiting(struct postgres *p, const char *why) {
    bool all = !p->idle_count && !p->busy_count;
    struct sql_query *q;
    while ((q = next_waiting(p))) {
        sql__why(q, "%s", why);
        postgres_answer(q, SQL_UNAVAILABLE);
        if (!all)
            break;
    }
}

/* ---- connections --------------------------------------------------------------------- */

static bool is_old(const struct postgres_connection *c, uint64_t now_ns) {
    uint64_t recycle_ns = c->pool->db.options.recycle_ns;
    return recycle_ns != UINT64_MAX && now_ns - c->born_ns >= recycle_ns;
}

static bool wants_ping(const struct postgres_connection *c, uint64_t now_ns) {
    return now_ns - c->idle_ns >= c->pool->db.options.pre_ping_ns;
}

/* One that may be used now; those that must be asked first are asked. */
static struct postgres_connection *take_idle(struct postgres *p) {
    uint64_t now_ns = io_now(p->io);
    while (!list_empty(&p->idle)) {
        struct postgres_connection *c =
            container_of(p->idle.next, struct postgres_connection, link);
        if (is_old(c, now_ns)) {
            discard(c);
        } else if (wants_ping(c, now_ns)) {
            if (p->opening_count >= p->waiting_count)
                return NULL;
            postgres_connection_ping(c);
        } else {
            return c;
        }
    }
    return NULL;
}

static bool open_another(struct postgres *p) {
    uint32_t count = p->idle_count + p->busy_count + p->opening_count;
    if (count >= p->db.options.size + p->db.options.overflow)
        return false;
    struct postgres_connection *c = postgres_connection_open(p);
    if (!c) {
        fail_waiting(p, "out of memory");
        return false;
    }
    enter(c, c->state);
    publish(p);
    return true;
}

/* Brings queries and connections together. */
static void pump(struct postgres *p) {
    struct postgres_connection *c;
    while (p->waiting_count && (c = take_idle(p))) {
        struct sql_query *q = next_waiting(p);
        if (!q)
            break; /* taken while a connection that was asked first broke */
        if (sql__is_dropped(q)) {
            q->over = true;
        } else if (q->request.deadline_ns <= io_now(p->io)) {
            sql__why(q, "no connection was free in time");
            postgres_answer(q, SQL_TIMED_OUT);
        } else {
            postgres_connection_run(c, q);
        }
    }
    while (p->opening_count < p->waiting_count && open_another(p))
        ;
}

void postgres_ready(struct postgres_connection *c) {
    struct postgres *p = c->pool;
    uint32_t count = p->idle_count + p->busy_count;
    bool surplus = count > p->db.options.size && !p->waiting_count;
    if (c->worn_out || surplus || is_old(c, io_now(p->io)))
        discard(c);
    pump(p);
}

void postgres_gone(struct postgres_connection *c, const char *why) {
    struct postgres *p = c->pool;
    bool connecting = c->state == POSTGRES_RESOLVING || c->state == POSTGRES_CONNECTING;
    discard(c);
    if (connecting)
        fail_waiting(p, why);
    pump(p);
}

/* ---- the interface --------------------------------------------------------------------- */

static void accept_query(struct io_task *task) {
    struct sql_query *q = container_of(task, struct sql_query, task);
    struct postgres *p = of(q->db);
    if (sql__is_dropped(q)) {
        q->over = true;
        return;
    }
    if (p->waiting_count >= SQL_WAITING_MAX) {
        sql__why(q, "%d queries are waiting already", SQL_WAITING_MAX);
        postgres_answer(q, SQL_UNAVAILABLE);
        return;
    }
    list_push_back(&p->waiting, &q->link);
    p->waiting_count++;
    publish(p);
    pump(p);
}

static void submit(struct sql_database *db, struct sql_query *q) {
    q->task.run = accept_query;
    io_post(of(db)->io, &q->task);
}

static void accept_cancel(struct io_task *task) {
    struct sql_query *q = container_of(task, struct sql_query, cancel);
    struct postgres *p = of(q->db);
    if (!q->over && !list_empty(&q->link)) {
        list_remove(&q->link);
        p->waiting_count--;
        publish(p);
    } else if (!q->over && q->connection) {
        postgres_connection_leave(q->connection);
    }
    sql_query_free(q);
}

static void cancel(struct sql_database *db, struct sql_query *q) {
    struct io *io = of(db)->io;
    q->cancel.run = accept_cancel;
    if (sql__drop(q))
        io_post(io, &q->cancel);
}

static void destroy(struct postgres *p) {
    PQconninfoFree(p->parameters);
    free((char *)(uintptr_t)p->db.options.url);
    free(p);
}

static void close_all(struct list *connections) {
    while (!list_empty(connections))
        discard(container_of(connections->next, struct postgres_connection, link));
}

static void accept_close(struct io_task *task) {
    struct postgres *p = container_of(task, struct postgres, closing);
    struct sql_query *q;
    while ((q = next_waiting(p)))
        postgres_answer(q, SQL_UNAVAILABLE);
    close_all(&p->idle);
    close_all(&p->others);
    destroy(p);
}

static void close_database(struct sql_database *db) {
    struct postgres *p = of(db);
    p->closing.run = accept_close;
    io_post(p->io, &p->closing);
}

static const struct sql_kind_ops ops = {close_database, submit, NULL, cancel};

/* libpq's words may quote the URL, and a password in it. */
static int parse(struct postgres *p, char *why, size_t size) {
    char *message = NULL;
    p->parameters = PQconninfoParse(p->db.options.url, &message);
    bool secret = strchr(p->db.options.url, '@') || strstr(p->db.options.url, "password");
    if (!p->parameters)
        snprintf(why, size, "%.150s",
                 message && !secret ? message : "it is not written as libpq has it");
    size_t len = strlen(why);
    if (len && why[len - 1] == '\n')
        why[len - 1] = '\0';
    PQfreemem(message);
    return p->parameters ? 0 : -EINVAL;
}

int postgres_open(struct sql_database **out, const struct sql_options *o, struct io *io, char *why,
                  size_t size) {
    struct postgres *p = calloc(1, sizeof *p);
    if (!p)
        return -ENOMEM;
    p->io = io;
    list_init(&p->waiting);
    list_init(&p->idle);
    list_init(&p->others);
    int error = sql__init(&p->db, &ops, o);
    if (!error)
        error = parse(p, why, size);
    if (error) {
        destroy(p);
        return error;
    }
    *out = &p->db;
    return 0;
}
