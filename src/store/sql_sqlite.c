/* sql_sqlite.c - an SQLite database: threads, each with a connection.
 *
 * SQLite has no calls that wait elsewhere: a query is a computation, and a read
 * of a disk that may be slow. So it runs on a thread. A connection per thread,
 * opened without SQLite's own locks, keeps its statements prepared; a query is
 * taken, run and told with two short locks.
 *
 * The file may be missing at first, and be replaced while the program runs (a
 * new export moved over the old): a connection looks whether it still has the
 * file of that name.
 *
 * The threads are detached and the last one frees the database: sql_close() is
 * called where nobody may wait for a disk. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/sql_priv.h"
#include "store/sql_sqlite.h"

struct sqlite_database {
    struct sql_database db;
    pthread_mutex_t lock; /* guards what follows; a leaf, but for io_post() */
    pthread_cond_t changed;
    struct list waiting;
    uint32_t waiting_count;
    uint32_t threads;
    bool closing;
};

static struct sqlite_database *of(struct sql_database *db) {
    return container_of(db, struct sqlite_database, db);
}

static void destroy(struct sqlite_database *d) {
    pthread_cond_destroy(&d->changed);
    pthread_mutex_destroy(&d->lock);
    free((char *)(uintptr_t)d->db.options.url);
    free(d);
}

/* ---- a thread ------------------------------------------------------------------ */

static struct sql_query *next(struct sqlite_database *d) {
    struct sql_query *q = NULL;
    pthread_mutex_lock(&d->lock);
    while (list_empty(&d->waiting) && !d->closing)
        pthread_cond_wait(&d->changed, &d->lock);
    if (!list_empty(&d->waiting)) {
        q = container_of(list_pop_front(&d->waiting), struct sql_query, link);
        d->waiting_count--;
        atomic_store_explicit(&d->db.waiting, d->waiting_count, memory_order_relaxed);
    }
    pthread_mutex_unlock(&d->lock);
    return q;
}

/* Under the lock, so that whoever cancels can tell that nothing is posted any
 * more to a loop that is about to end. */
static void finish(struct sqlite_database *d, struct sql_query *q, enum sql_result result) {
    pthread_mutex_lock(&d->lock);
    bool wanted = sql__answer(q, result);
    pthread_mutex_unlock(&d->lock);
    if (!wanted)
        sql_query_free(q);
}

static void *work(void *arg) {
    struct sqlite_database *d = arg;
    struct sqlite_connection c;
    struct sql_query *q;
    pthread_setname_np(pthread_self(), "sqlite");
    sqlite_connection_init(&c, &d->db.options);
    atomic_fetch_add_explicit(&d->db.idle, 1, memory_order_relaxed);
    while ((q = next(d))) {
        atomic_fetch_sub_explicit(&d->db.idle, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&d->db.busy, 1, memory_order_relaxed);
        enum sql_result result = sqlite_connection_run(&c, q);
        atomic_fetch_sub_explicit(&d->db.busy, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&d->db.idle, 1, memory_order_relaxed);
        finish(d, q, result);
    }
    sqlite_connection_close(&c);
    pthread_mutex_lock(&d->lock);
    bool last = --d->threads == 0;
    pthread_mutex_unlock(&d->lock);
    if (last)
        destroy(d);
    return NULL;
}

/* ---- the interface --------------------------------------------------------------- */

static void submit(struct sql_database *db, struct sql_query *q) {
    struct sqlite_database *d = of(db);
    pthread_mutex_lock(&d->lock);
    bool full = d->waiting_count >= SQL_WAITING_MAX;
    if (!full) {
        list_push_back(&d->waiting, &q->link);
        d->waiting_count++;
        atomic_store_explicit(&db->waiting, d->waiting_count, memory_order_relaxed);
        pthread_cond_signal(&d->changed);
    }
    pthread_mutex_unlock(&d->lock);
    if (full) {
        sql__why(q, "%d queries are waiting already", SQL_WAITING_MAX);
        finish(d, q, SQL_UNAVAILABLE);
    }
}

static void cancel(struct sql_database *db, struct sql_query *q) {
    struct sqlite_database *d = of(db);
    bool ours = false;
    pthread_mutex_lock(&d->lock);
    if (sql__drop(q) && !list_empty(&q->link)) { /* else the thread sees it soon */
        list_remove(&q->link);
        d->waiting_count--;
        atomic_store_explicit(&db->waiting, d->waiting_count, memory_order_relaxed);
        ours = true;
    }
    pthread_mutex_unlock(&d->lock);
    if (ours)
        sql_query_free(q);
}

static void close_database(struct sql_database *db) {
    struct sqlite_database *d = of(db);
    pthread_mutex_lock(&d->lock);
    d->closing = true;
    bool last = d->threads == 0;
    pthread_cond_broadcast(&d->changed);
    pthread_mutex_unlock(&d->lock);
    if (last)
        destroy(d);
}

/* The thread posts under the lock. */
static void delivered(struct sql_database *db) {
    struct sqlite_database *d = of(db);
    pthread_mutex_lock(&d->lock);
    pthread_mutex_unlock(&d->lock);
}

static const struct sql_kind_ops ops = {close_database, submit, delivered, cancel};

static int start_thread(struct sqlite_database *d) {
    pthread_attr_t detached;
    pthread_t thread;
    int error = pthread_attr_init(&detached);
    if (error)
        return -error;
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    pthread_mutex_lock(&d->lock);
    error = pthread_create(&thread, &detached, work, d);
    d->threads += !error;
    pthread_mutex_unlock(&d->lock);
    pthread_attr_destroy(&detached);
    return -error;
}

int sqlite_open(struct sql_database **out, const struct sql_options *o, char *why, size_t size) {
    struct sqlite_database *d = calloc(1, sizeof *d);
    if (!d)
        return -ENOMEM;
    pthread_mutex_init(&d->lock, NULL);
    pthread_cond_init(&d->changed, NULL);
    list_init(&d->waiting);
    int error = sql__init(&d->db, &ops, o);
    if (error) {
        destroy(d);
        return error;
    }
    for (uint32_t i = 0; !error && i < d->db.options.size; i++)
        error = start_thread(d);
    if (error) {
        snprintf(why, size, "a thread for it: %s", strerror(-error));
        close_database(&d->db);
        return error;
    }
    *out = &d->db;
    return 0;
}
