/* outbox_postgres.h - the connection of an outbox to its PostgreSQL server; for
 * outbox_postgres*.c.
 *
 * Everything ends in bounded time: libpq's calls never wait here, the socket is
 * waited for with poll() and a deadline. (Names of hosts are looked up by the
 * system's resolver, with its own limits.)
 *
 * Threading: the outbox's own thread. */
#ifndef SWG_STORE_OUTBOX_POSTGRES_H
#define SWG_STORE_OUTBOX_POSTGRES_H

#include <libpq-fe.h>

#include "store/outbox_content.h"
#include "store/outbox_table.h"

enum outbox_statement {
    PG_BEGIN,
    PG_COMMIT,
    PG_LOCK,
    PG_INSERT,
    PG_BY_KEY,
    PG_BY_ID,
    PG_LOAD,
    PG_LIST,
    PG_LIST_STATE,
    PG_LIST_QUEUED,
    PG_NOTE,
    PG_SETTLE,
    PG_RETRY,
    PG_LEASE,
    PG_LEFT,
    PG_YIELD,
    PG_BEHIND,
    PG_FORGET,
    PG_STATEMENTS,
};

/* Other programs, and other versions of this one, may take the same locks. */
#define PG_LOCK_KEY "6014398294074064897" /* "Swob" and 1 */

extern const char *const outbox_statements[PG_STATEMENTS];

struct outbox_postgres {
    struct outbox_table table;
    struct sealer *sealer; /* NULL: content stays as it is */
    char *url;
    PGconn *pg; /* NULL: none */
    void (*tell)(const char *why);
    bool away; /* and it has been told */
    uint64_t next_try_ns, pause_ns;
    uint64_t deadline_ns; /* of the group under way */
    char why[200];        /* the last failure; never a password */
};

/* ---- outbox_postgres_op.c: one operation ---- */

struct outbox_pg_values; /* of a statement */

struct outbox_pg_sending {
    struct outbox_postgres *t;
    int64_t now_ms;
    uint8_t statements; /* so far; at most 2 of one operation */
    bool lost;
};

void outbox_pg_ask(struct outbox_pg_sending *, enum outbox_statement,
                   const struct outbox_pg_values *);
void outbox_pg_ask_forget(struct outbox_pg_sending *, int64_t before_ms);
/* 0, or why it failed before the server was asked. */
int outbox_pg_send_op(struct outbox_pg_sending *, struct outbox_op *);
/* What has come of its statements, when they are committed. 0 or -errno. */
int outbox_pg_take_op(const struct outbox_postgres *, struct outbox_op *, PGresult *const[2],
                      int64_t now_ms);

/* ---- outbox_postgres_connection.c ---- */

uint64_t outbox_pg_now(void);

/* 0: connected, with tables and statements, in pipeline mode. -ENOTCONN: away,
 * `why` tells; -EBADMSG: the tables are those of another version. */
int outbox_pg_connect(struct outbox_postgres *);
/* There is a connection, as far as can be seen without asking. */
bool outbox_pg_is_connected(struct outbox_postgres *);
void outbox_pg_disconnect(struct outbox_postgres *);
/* Takes down what libpq says last. -ENOTCONN. */
int outbox_pg_lost(struct outbox_postgres *);

/* The next result of what was sent; the caller's. NULL: the connection is lost,
 * or the time is over. */
PGresult *outbox_pg_result(struct outbox_postgres *);
/* Takes the NULL behind a statement's result. */
bool outbox_pg_end_result(struct outbox_postgres *);

#endif
