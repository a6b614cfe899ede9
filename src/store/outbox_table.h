/* outbox_table.h - the outbox's entries as rows of SQLite; for outbox.c.
 *
 * Everything between begin and end is one transaction: after end said 0 all of
 * it is on stable storage, and after an error none of it is promised. An
 * operation that fails by itself (no such entry, a key twice) does not hurt
 * the others; one that met an error of the file ends the transaction.
 *
 * Threading: one thread. Blocks. */
#ifndef SWG_STORE_OUTBOX_TABLE_H
#define SWG_STORE_OUTBOX_TABLE_H

#include <stddef.h>

#include "store/outbox.h"

struct outbox_table;

/* As outbox_open(), without the lock on the file. */
int outbox_table_open(struct outbox_table **out, const struct outbox_options *, char *why,
                      size_t why_size);
/* NULL is fine. */
void outbox_table_close(struct outbox_table *);

int outbox_table_begin(struct outbox_table *);
/* Carries out op and sets op->error. False: the transaction is lost. */
bool outbox_table_run(struct outbox_table *, struct outbox_op *, int64_t now_ms);
/* Forgets entries that were settled before `before_ms`, some at a time. Inside
 * a transaction; false: it is lost. */
bool outbox_table_forget(struct outbox_table *, int64_t before_ms);
/* 0, or why nothing of it is promised. */
int outbox_table_end(struct outbox_table *);
void outbox_table_undo(struct outbox_table *);

#endif
