/* sql_priv.h - what the two kinds of databases share; for sql*.c alone. */
#ifndef SWG_STORE_SQL_PRIV_H
#define SWG_STORE_SQL_PRIV_H

#include "store/sql.h"

enum sql_fate { SQL_ASKED, SQL_ANSWERED, SQL_DROPPED };

/* A kind of database. */
struct sql_kind_ops {
    void (*close)(struct sql_database *);
    void (*submit)(struct sql_database *, struct sql_query *);
    /* On the asker's thread, which may end its loop any time after: whoever posted
     * the answer has done with that loop. NULL: posted by the thread that ends loops. */
    void (*delivered)(struct sql_database *);
    /* On the asker's thread. sql__drop() it, and see that its memory goes. */
    void (*cancel)(struct sql_database *, struct sql_query *);
};

/* Begins the struct of either kind. */
struct sql_database {
    const struct sql_kind_ops *ops;
    struct sql_options options; /* the URL is a copy; defaults are filled in */
    /* Written by the threads that work on the database, read by whoever shows
     * them. Relaxed: figures, each by itself. */
    atomic_uint idle, busy, connecting, waiting;
};

int sqlite_open(struct sql_database **out, const struct sql_options *, char *why, size_t);
int postgres_open(struct sql_database **out, const struct sql_options *, struct io *, char *why,
                  size_t);

/* 0 or -ENOMEM. */
int sql__init(struct sql_database *, const struct sql_kind_ops *, const struct sql_options *);
/* CLOCK_MONOTONIC, as io_now() of any loop. */
uint64_t sql__now(void);
/* The asker does not want it any more. False: the answer is on its way already,
 * and its memory goes when it arrives. */
bool sql__drop(struct sql_query *);
/* Sends the answer to who asked. False: it was dropped, and is to be freed. */
bool sql__answer(struct sql_query *, enum sql_result);
void sql__why(struct sql_query *, const char *format, ...) __attribute__((format(printf, 2, 3)));

static inline bool sql__is_dropped(const struct sql_query *q) {
    return atomic_load_explicit(&q->fate, memory_order_relaxed) == SQL_DROPPED;
}

#endif
