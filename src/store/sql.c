/* sql.c - see sql.h: what both kinds of databases have in common. */
#include "store/sql.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "store/sql_priv.h"

enum { QUERY_BYTES_MAX = 8 << 20 };

static const uint64_t second_ns = 1000000000;

/* ---- databases --------------------------------------------------------------------- */

int sql__init(struct sql_database *db, const struct sql_kind_ops *ops,
              const struct sql_options *o) {
    db->ops = ops;
    db->options = *o;
    db->options.url = strdup(o->url);
    db->options.size = o->size ? o->size : 4;
    if (db->options.size > SQL_SIZE_MAX)
        db->options.size = SQL_SIZE_MAX;
    if (db->options.overflow > SQL_SIZE_MAX)
        db->options.overflow = SQL_SIZE_MAX;
    if (!o->pre_ping_ns)
        db->options.pre_ping_ns = 30 * second_ns;
    if (!o->recycle_ns)
        db->options.recycle_ns = 1800 * second_ns;
    if (!o->connect_ns)
        db->options.connect_ns = 5 * second_ns;
    return db->options.url ? 0 : -ENOMEM;
}

int sql_open(struct sql_database **out, const struct sql_options *o, struct io *io, char *why,
             size_t why_size) {
    enum sql_dialect dialect;
    *out = NULL;
    if (!sql_dialect_of(o->url, &dialect)) {
        snprintf(why, why_size, "expected sqlite:PATH or postgresql://…");
        return -EINVAL;
    }
    snprintf(why, why_size, "out of memory");
    return dialect == SQL_SQLITE ? sqlite_open(out, o, why, why_size)
                                 : postgres_open(out, o, io, why, why_size);
}

void sql_close(struct sql_database *db) {
    if (db)
        db->ops->close(db);
}

void sql_read(const struct sql_database *db, struct sql_stats *out) {
    out->idle = atomic_load_explicit(&db->idle, memory_order_relaxed);
    out->busy = atomic_load_explicit(&db->busy, memory_order_relaxed);
    out->connecting = atomic_load_explicit(&db->connecting, memory_order_relaxed);
    out->waiting = atomic_load_explicit(&db->waiting, memory_order_relaxed);
}

uint64_t sql__now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * second_ns + (uint64_t)t.tv_nsec;
}

/* ---- queries ----------------------------------------------------------------------- */

/* Bytes behind the struct: text and values, each with a NUL. */
static size_t bytes_needed(const struct sql_request *r) {
    size_t size = r->text.len + 1;
    for (uint32_t i = 0; i < r->count && size < QUERY_BYTES_MAX; i++)
        size += sizeof(struct sql_value) + r->values[i].text.len + 1;
    return size;
}

static struct bytes copy(char **at, struct bytes from) {
    struct bytes to = {*at, from.len};
    if (from.len)
        memcpy(*at, from.at, from.len);
    (*at)[from.len] = '\0';
    *at += from.len + 1;
    return to;
}

struct sql_query *sql_query_create(const struct sql_request *r) {
    size_t needed = bytes_needed(r);
    if (r->count > SQL_PARAMETERS_MAX || needed > QUERY_BYTES_MAX)
        return NULL;
    struct sql_query *q = calloc(1, sizeof *q + needed);
    if (!q)
        return NULL;
    struct sql_value *values = (struct sql_value *)(q + 1);
    char *at = (char *)(values + r->count);
    q->request = *r;
    q->request.text = copy(&at, r->text);
    q->request.values = values;
    for (uint32_t i = 0; i < r->count; i++)
        values[i] = (struct sql_value){r->values[i].kind, copy(&at, r->values[i].text)};
    atomic_init(&q->fate, SQL_ASKED);
    list_init(&q->link);
    buf_init(&q->answer, 0);
    return q;
}

void sql_query_free(struct sql_query *q) {
    if (!q)
        return;
    buf_free(&q->answer);
    free(q);
}

void sql_submit(struct sql_database *db, struct sql_query *q) {
    q->db = db;
    db->ops->submit(db, q);
}

/* On the asker's thread. */
static void deliver(struct io_task *task) {
    struct sql_query *q = container_of(task, struct sql_query, task);
    if (q->dropped) { /* the cancel has waited for the one who posted */
        sql_query_free(q);
        return;
    }
    if (q->db->ops->delivered)
        q->db->ops->delivered(q->db);
    q->request.done(q);
}

bool sql__answer(struct sql_query *q, enum sql_result result) {
    int asked = SQL_ASKED;
    q->result = result;
    if (!atomic_compare_exchange_strong_explicit(&q->fate, &asked, SQL_ANSWERED,
                                                 memory_order_acq_rel, memory_order_acquire))
        return false;
    q->task.run = deliver;
    io_post(q->request.io, &q->task);
    return true;
}

void sql_cancel(struct sql_query *q) {
    q->db->ops->cancel(q->db, q);
}

bool sql__drop(struct sql_query *q) {
    int asked = SQL_ASKED;
    if (atomic_compare_exchange_strong_explicit(&q->fate, &asked, SQL_DROPPED, memory_order_acq_rel,
                                                memory_order_acquire))
        return true;
    q->dropped = true;
    return false;
}

void sql__why(struct sql_query *q, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(q->why, sizeof q->why, format, args);
    va_end(args);
}
