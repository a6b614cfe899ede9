/* sql_postgres.h - one connection to a PostgreSQL server, and the pool of them.
 *
 *   RESOLVING ─▶ CONNECTING ─▶ IDLE ⇄ RUNNING ─▶ (CLEANING ─▶) IDLE
 *                                ⇅        └─▶ LEFT ─▶ IDLE
 *                             PINGING
 *
 * RUNNING   a query; its answer goes out when its result is complete
 * LEFT      nobody waits for the query any more, whose end is near
 * CLEANING  a transaction that failed is rolled back
 * Every state can end in postgres_gone().
 *
 * Threading: the loop's. */
#ifndef SWG_STORE_SQL_POSTGRES_H
#define SWG_STORE_SQL_POSTGRES_H

#include <libpq-fe.h>

#include "store/sql_json.h"
#include "store/sql_priv.h"

enum {
    POSTGRES_STATEMENTS_MAX = 128, /* prepared on a connection; then it is replaced */
    POSTGRES_STEPS_MAX = 6,
};

struct postgres {
    struct sql_database db;
    struct io *io;
    PQconninfoOption *parameters; /* of the URL */
    struct list waiting;          /* queries, in the order they came */
    struct list idle;             /* connections, the one used last in front */
    struct list others;
    uint32_t waiting_count, idle_count, busy_count, opening_count;
    struct io_task closing;
};

enum postgres_state {
    POSTGRES_RESOLVING,
    POSTGRES_CONNECTING,
    POSTGRES_IDLE,
    POSTGRES_PINGING,
    POSTGRES_RUNNING,
    POSTGRES_LEFT,
    POSTGRES_CLEANING,
};

/* What is on its way to the server; its results come in the same order. */
enum postgres_step { STEP_OTHER, STEP_PREPARE, STEP_EXECUTE, STEP_SYNC };

struct postgres_lookup;

struct postgres_connection {
    struct list link; /* in the pool */
    struct postgres *pool;
    enum postgres_state state;
    PGconn *pg;
    struct postgres_lookup *lookup; /* RESOLVING */
    struct io_watch watch;
    struct io_timer timer;
    uint64_t born_ns, idle_ns;

    struct sql_query *query; /* RUNNING */
    struct sql_json json;
    enum sql_result result;
    uint8_t steps[POSTGRES_STEPS_MAX];
    uint8_t step_count, step;
    uint32_t watched; /* events */
    bool failed;      /* a step of this query did; the rest is skipped */
    bool preparing;   /* the last statement is not at the server yet */
    bool worn_out;    /* close instead of using it again */

    uint32_t statement_count;
    struct bytes statements[POSTGRES_STATEMENTS_MAX]; /* by number; copies */
};

/* ---- sql_postgres_connection.c ---- */

/* NULL: out of memory. Told later by postgres_ready() or postgres_gone(). */
struct postgres_connection *postgres_connection_open(struct postgres *);
/* The connection is IDLE. Both may end in postgres_gone() at once. */
void postgres_connection_run(struct postgres_connection *, struct sql_query *);
void postgres_connection_ping(struct postgres_connection *);
/* Nobody waits for its query any more. */
void postgres_connection_leave(struct postgres_connection *);
/* Closes and frees; tells nobody. */
void postgres_connection_free(struct postgres_connection *);

/* ---- sql_postgres_result.c ---- */

/* c->failed, c->result, and the query's `why`. */
void postgres_note_error(struct postgres_connection *, const PGresult *);
void postgres_write_row(struct sql_json *, const PGresult *);

/* ---- sql_postgres.c: what a connection tells ---- */

/* The state is about to be another one: in the pool's books. */
void postgres_set_state(struct postgres_connection *, enum postgres_state);
/* It is IDLE, or worn out. It may be gone after. */
void postgres_ready(struct postgres_connection *);
/* It broke, or could not be opened; its query has been answered. Frees it. */
void postgres_gone(struct postgres_connection *, const char *why);
/* A query has its answer. */
void postgres_answer(struct sql_query *, enum sql_result);

/* ---- sql_postgres_resolve.c ---- */

/* Host names become addresses on a thread, since libpq would block for them.
 * What libpq is to connect to: lists, as its own, with commas. */
struct postgres_target {
    char *host, *hostaddr, *port; /* NULL: as in the URL */
};

bool postgres_needs_lookup(const char *host);
/* done() comes on io's thread; `error` is NULL, or why not. NULL: no memory or thread. */
struct postgres_lookup *
postgres_lookup_start(struct io *, const char *host, const char *port,
                      void (*done)(void *arg, const struct postgres_target *, const char *error),
                      void *arg);
/* done() does not come. */
void postgres_lookup_cancel(struct postgres_lookup *);

#endif
