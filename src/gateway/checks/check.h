/* check.h - one question to a dependency: are you well? How it is put depends on
 * the protocol; when it is put, and what follows from the answer, is health.c's.
 *
 *     http      GET path, and a status that was expected
 *     tcp       connects
 *     redis     PING, after AUTH where there is a password; +PONG
 *     postgres  a startup packet, as pg_isready sends it: it needs no account
 *     sql       a query through the pool of a configured database
 *
 * The first four are `struct check_wire`s: two pure functions over bytes, one
 * that writes what is asked and one that judges what has come so far. Connecting,
 * the time limit and the bound of memory are the same for all and stand in
 * check.c, so that no protocol can forget them: whatever the other side sends, or
 * does not, a check is over after `timeout` and has taken no more than
 * CHECK_ANSWER_MAX bytes.
 *
 * Threading: the thread of `io`. Memory: the caller's. */
#ifndef SWG_GATEWAY_CHECKS_CHECK_H
#define SWG_GATEWAY_CHECKS_CHECK_H

#include "base/buf.h"
#include "base/io.h"
#include "gateway/options.h"

enum { CHECK_QUESTION_MAX = 16 * 1024, CHECK_ANSWER_MAX = 16 * 1024 };

struct database;
struct sql_query;
struct target;

enum health_state { HEALTH_UNKNOWN, HEALTH_GOOD, HEALTH_BAD };

struct check_verdict {
    enum health_state state;
    int status;        /* of an HTTP answer; 0: none came */
    const char *cause; /* a static word: "", "refused", "timeout", "status", "loading", … */
};

/* Who is asked, and how. All of it outlives the check. */
struct check_subject {
    const struct health_options *options;
    const struct endpoint_options *endpoint; /* NULL: a database by itself */
    struct target *target;                   /* of the endpoint */
    const struct database *database;         /* of `sql` */
};

struct check_wire {
    /* What is sent first. NULL: nothing, and being connected is all. */
    void (*ask)(const struct check_subject *, struct buf *to);
    /* All that has come, the first `seen` bytes of it read before. HEALTH_UNKNOWN
     * wants more. */
    struct check_verdict (*read)(const struct check_subject *, struct bytes in, size_t seen);
    /* How one takes one's leave, so that the other side logs no broken
     * connection; may be empty. */
    struct bytes leave;
};

extern const struct check_wire check_http, check_tcp, check_redis, check_postgres;

struct check {
    struct io *io;
    struct check_subject subject;
    void (*done)(struct check *, const struct check_verdict *);

    /* check.c's */
    bool under_way;
    const struct check_wire *wire; /* NULL: sql */
    struct io_stream stream;
    struct io_timer limit;
    struct buf in;
    struct sql_query *query;
};

void check_init(struct check *, struct io *,
                void (*done)(struct check *, const struct check_verdict *));
/* done() comes once, perhaps before this returns; not after check_stop(). */
void check_start(struct check *, const struct check_subject *);
void check_stop(struct check *);

/* What `auto` is for this endpoint. */
enum health_check check_kind_of(const struct health_options *, const struct endpoint_options *);
const char *check_kind_word(enum health_check);

/* ---- of the kinds ------------------------------------------------------------- */

/* The check is over. */
void check_end(struct check *, struct check_verdict);
/* sql.c: sends the query; false: there is no memory for it. */
bool check_sql_start(struct check *, uint64_t deadline_ns);
void check_sql_stop(struct check *);

static inline struct check_verdict check_good(int status) {
    return (struct check_verdict){HEALTH_GOOD, status, ""};
}

static inline struct check_verdict check_bad(const char *cause) {
    return (struct check_verdict){HEALTH_BAD, 0, cause};
}

static inline struct check_verdict check_more(void) {
    return (struct check_verdict){HEALTH_UNKNOWN, 0, ""};
}

#endif
