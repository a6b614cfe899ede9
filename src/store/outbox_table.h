/* outbox_table.h - the outbox's entries as rows of a database; for outbox.c.
 *
 * Two kinds: a file of SQLite, and PostgreSQL, which several processes share.
 *
 * Operations come in groups; a group is one transaction, and when run() has said
 * 0 all of it is on stable storage. An operation that fails by itself (no such
 * entry, a key twice) does not hurt the others and has that in its `error`;
 * when run() says an error, none of the group is promised.
 *
 * Threading: one thread. Blocks. */
#ifndef SWG_STORE_OUTBOX_TABLE_H
#define SWG_STORE_OUTBOX_TABLE_H

#include <stddef.h>

#include "store/outbox.h"

struct outbox_table;

struct outbox_table_ops {
    void (*close)(struct outbox_table *);
    /* Sets `error` of each. `forget_ms`: entries settled before then are forgotten,
     * some at a time; 0: none. Groups of nothing but LOAD, FIND and LIST need no
     * transaction. -ENOTCONN: the database is away, and nothing else of it would
     * go better. */
    int (*run)(struct outbox_table *, struct outbox_op *const *ops, size_t count, int64_t now_ms,
               int64_t forget_ms);
};

/* Begins the struct of either kind. */
struct outbox_table {
    const struct outbox_table_ops *ops;
};

/* As outbox_open(), without the lock on the file. */
int outbox_sqlite_open(struct outbox_table **out, const struct outbox_options *, char *why,
                       size_t why_size);
/* 0 also when the server cannot be reached: it is tried again with each group, and
 * `why` tells. Else `why` is empty. */
int outbox_postgres_open(struct outbox_table **out, const struct outbox_options *, char *why,
                         size_t why_size);

static inline bool outbox_is_read(const struct outbox_op *op) {
    return op->verb == OUTBOX_LOAD || op->verb == OUTBOX_FIND || op->verb == OUTBOX_LIST;
}

#endif
