/* sql.h - queries on SQLite or PostgreSQL, behind one interface.
 *
 * A database is a pool of connections. A query is asked from any thread and
 * answered, as JSON, on the loop of who asked:
 *
 *   sql_query_create ─▶ sql_submit ─▶ done(q) ─▶ sql_query_free
 *                            └──────▶ sql_cancel        (and q is the store's)
 *
 * Values come only by binding; the text is the configuration's. A database is
 * read only unless it was opened otherwise, and enforces it: SQLite by opening
 * the file read-only, query_only and an authorizer, PostgreSQL by a read-only
 * transaction around each query.
 *
 * Nothing is retried here and nothing is decided: SQL_UNAVAILABLE says that
 * another try may help.
 *
 * Threading: sql_submit() from any thread; sql_cancel() and sql_query_free() on
 * the thread of request.io; sql_close() from any thread, after the last submit
 * and when every query was answered or cancelled. SQLite works on threads of
 * its own, PostgreSQL on the loop given to sql_open(), which never blocks.
 *
 * Deadline: from then on the database stops working on the query. The answer
 * may come somewhat later (a thread that reads a hung disk, a server that does
 * not answer); whoever must not wait cancels. */
#ifndef SWG_STORE_SQL_H
#define SWG_STORE_SQL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "base/io.h"
#include "base/list.h"

enum {
    SQL_PARAMETERS_MAX = 64,
    SQL_WAITING_MAX = 1024, /* queries that wait for a connection; more are SQL_UNAVAILABLE */
    SQL_WHY_SIZE = 200,
};

enum sql_dialect { SQL_SQLITE, SQL_POSTGRES };

enum sql_result {
    SQL_OK,
    SQL_NOT_FOUND,   /* there is no such row (ROW, VALUE, JSON), or its value is NULL (JSON) */
    SQL_UNAVAILABLE, /* could not connect, lost the connection, busy: another try may help */
    SQL_TIMED_OUT,   /* the deadline passed */
    SQL_REFUSED,     /* the statement is wrong or not allowed, or a value does not fit it */
    SQL_TOO_LARGE,   /* more than result_max */
    SQL_RESULTS,
};

enum sql_kind { SQL_NULL, SQL_TEXT, SQL_INTEGER, SQL_REAL, SQL_BOOL };

/* INTEGER, REAL and BOOL as text too: "-5", "1.5e3", "true". */
struct sql_value {
    enum sql_kind kind;
    struct bytes text;
};

enum sql_shape {
    SQL_AS_ROWS,  /* an array of objects, perhaps empty */
    SQL_AS_ROW,   /* the first row, an object */
    SQL_AS_VALUE, /* the first column of the first row */
    SQL_AS_JSON,  /* the same, which is JSON text already; it is checked */
};

struct sql_query;

/* What is asked; sql_query_create() copies it all. */
struct sql_request {
    struct bytes text; /* as sql_text_read() wrote it: one statement, $1 or ?1 */
    uint32_t count;
    const struct sql_value *values; /* in the order of the text's names */
    enum sql_shape shape;
    uint32_t result_max; /* bytes of JSON; 0: 1 MiB */
    uint64_t deadline_ns;
    struct io *io;
    void (*done)(struct sql_query *); /* on io's thread, never inside sql_submit() */
    void *arg;
};

struct sql_query {
    struct sql_request request;
    /* the answer, in done() */
    enum sql_result result;
    struct buf answer;      /* JSON, when SQL_OK */
    uint32_t rows;          /* ROWS: how many */
    char why[SQL_WHY_SIZE]; /* for the log; has no value of the caller's */

    /* The store's and the asker's hand-shake (enum sql_fate): the store moves
     * it from asked to answered and only then posts, the asker from asked to
     * dropped. Whoever comes second sees the other's and frees (acq_rel: with
     * the state comes what the other wrote). Read, relaxed, while a query runs,
     * only to stop early. */
    atomic_int fate;
    bool dropped; /* the asker's: cancelled after the answer was on its way */
    bool over;    /* PostgreSQL's: nothing to do when the cancel arrives */
    struct list link;
    struct sql_database *db;
    void *connection;
    struct io_task task, cancel;
};

struct sql_options {
    const char *url;   /* sqlite:PATH, or postgresql://… as libpq has it */
    uint32_t size;     /* connections; 0: 4 */
    uint32_t overflow; /* PostgreSQL: more of them, closed when idle */
    uint64_t pre_ping_ns, recycle_ns, connect_ns; /* 0: 30 s, 30 min, 5 s; UINT64_MAX: never */
    bool writable;
};

enum { SQL_SIZE_MAX = 64 };

struct sql_stats {
    uint32_t idle, busy, connecting, waiting;
};

struct sql_database;

/* Whose URL that is; false: nobody's. */
bool sql_dialect_of(const char *url, enum sql_dialect *);
/* The URL without its password, for people; `out` is NUL-terminated. */
void sql_url_show(const char *url, char *out, size_t size);

/* Opens no connection yet: a database may be away when the program starts. `io`
 * is PostgreSQL's loop. 0, -EINVAL or -ENOMEM with the reason in `why`. */
int sql_open(struct sql_database **out, const struct sql_options *, struct io *io, char *why,
             size_t why_size);
/* Returns at once; connections go when they have ended what they do. */
void sql_close(struct sql_database *);

/* NULL: out of memory, or too large. */
struct sql_query *sql_query_create(const struct sql_request *);
void sql_query_free(struct sql_query *);
void sql_submit(struct sql_database *, struct sql_query *);
/* After sql_submit(): done() does not come any more, and q is gone. */
void sql_cancel(struct sql_query *);

/* Before the process ends: what asks servers to end queries is given half a
 * second to do so. */
void sql_settle(void);

void sql_read(const struct sql_database *, struct sql_stats *);

/* Whether the statement can be prepared on the SQLite file of the URL; blocks.
 * 0; -ENOENT: there is no such file; -EINVAL, with the reason and the byte of
 * the text that is wrong (SIZE_MAX: not known). */
int sql_check_sqlite(const struct sql_options *, struct bytes text, size_t *at, char *why,
                     size_t why_size);

#endif
