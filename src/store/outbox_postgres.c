/* outbox_postgres.c - see outbox_table.h: the rows on a PostgreSQL server, shared
 * with other processes.
 *
 * A group goes out in one piece (libpq's pipeline mode), so that it costs one
 * round trip:
 *
 *   BEGIN · [lock of appends] · statements of each operation · [forget] · COMMIT · sync
 *
 * What came of it is told to the operations only when COMMIT has said that it is
 * done. So a group whose connection broke can be sent once more on another one,
 * also if the first has been committed: an entry that is there under the id that
 * we made for it is ours, and all else may be done twice.
 *
 * Appends of all processes are one after the other, by an advisory lock that ends
 * with the transaction: sequence numbers are drawn under it, and so become visible
 * in their order. Without it a smaller number could become visible after a larger
 * one, and who lists what came after the larger one would never see it. Whoever
 * holds that lock and says nothing any more (its process is stopped, or its
 * network gone) loses its connection to those that wait. */
#include "store/outbox_postgres.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define GROUP_NS 6000000000ull

/* Who has the lock and has heard nothing from its own client for a while. Who is only
 * slow, since the server's disk is, waits for something else. */
static const char unlock[] =
    "SELECT pg_terminate_backend(l.pid) FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid) "
    "WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 "
    "AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
    "AND (l.classid::bigint << 32 | l.objid::bigint) = " PG_LOCK_KEY " "
    "AND a.wait_event = 'ClientRead' "
    "AND greatest(a.query_start, a.state_change) < clock_timestamp() - interval '2 s'";

static int run(struct outbox_table *, struct outbox_op *const *, size_t, int64_t, int64_t);

/* ---- groups ---------------------------------------------------------------------------- */

struct group {
    struct outbox_op *const *ops;
    size_t count;
    int64_t now_ms, forget_ms;
    uint8_t *statements;     /* of each operation */
    PGresult *(*results)[2]; /* the same */
    uint8_t before, after;   /* statements around them */
};

static bool draws_numbers(const struct group *g) {
    for (size_t i = 0; i < g->count; i++) {
        if (g->ops[i]->verb == OUTBOX_APPEND || g->ops[i]->verb == OUTBOX_RETRY)
            return true;
    }
    return false;
}

static bool send_group(struct outbox_postgres *t, struct group *g) {
    struct outbox_pg_sending s = {.t = t, .now_ms = g->now_ms};
    outbox_pg_ask(&s, PG_BEGIN, NULL);
    if (draws_numbers(g))
        outbox_pg_ask(&s, PG_LOCK, NULL);
    g->before = s.statements;
    for (size_t i = 0; i < g->count; i++) {
        s.statements = 0;
        g->ops[i]->error = outbox_pg_send_op(&s, g->ops[i]);
        g->statements[i] = s.statements;
    }
    s.statements = 0;
    if (g->forget_ms)
        outbox_pg_ask_forget(&s, g->forget_ms);
    outbox_pg_ask(&s, PG_COMMIT, NULL);
    g->after = s.statements;
    return !s.lost && PQpipelineSync(t->pg);
}

/* Why a statement failed; *again: the group may go better a second time. */
static int error_of(struct outbox_postgres *t, const PGresult *r, bool *again) {
    static const struct {
        const char *state;
        int error;
        bool again;
    } known[] = {{"53100", -ENOSPC, false},  {"55P03", -EBUSY, false}, {"40001", -EIO, true},
                 {"40P01", -EIO, true},      {"25006", -EROFS, false}, {"57P01", -ENOTCONN, true},
                 {"57P02", -ENOTCONN, true}, {"53200", -ENOMEM, false}};
    const char *state = PQresultErrorField(r, PG_DIAG_SQLSTATE);
    snprintf(t->why, sizeof t->why, "%s", PQresultErrorMessage(r));
    t->why[strcspn(t->why, "\n")] = '\0';
    for (size_t i = 0; state && i < sizeof known / sizeof known[0]; i++) {
        if (!strcmp(state, known[i].state)) {
            *again |= known[i].again;
            return known[i].error;
        }
    }
    return -EIO;
}

/* The next result into *out (NULL: it is not wanted). What follows a failure is
 * skipped by the server. False: the connection is lost. */
static bool take_result(struct outbox_postgres *t, PGresult **out, int *error, bool *again) {
    PGresult *r = outbox_pg_result(t);
    if (!r)
        return false;
    ExecStatusType status = PQresultStatus(r);
    if (status == PGRES_FATAL_ERROR && !*error)
        *error = error_of(t, r, again);
    if (out)
        *out = r;
    else
        PQclear(r);
    return outbox_pg_end_result(t);
}

/* All results, up to the sync. 0, or why the group failed. */
static int take_group(struct outbox_postgres *t, struct group *g, bool *again) {
    int error = 0;
    bool there = true;
    for (int i = 0; there && i < g->before; i++)
        there = take_result(t, NULL, &error, again);
    for (size_t i = 0; there && i < g->count; i++) {
        for (int k = 0; there && k < g->statements[i]; k++)
            there = take_result(t, &g->results[i][k], &error, again);
    }
    for (int i = 0; there && i < g->after; i++)
        there = take_result(t, NULL, &error, again);
    PGresult *sync = there ? outbox_pg_result(t) : NULL;
    there = sync && PQresultStatus(sync) == PGRES_PIPELINE_SYNC;
    PQclear(sync);
    if (there)
        return error;
    /* who did not answer in time would not the second time either */
    *again = PQstatus(t->pg) == CONNECTION_BAD;
    return -ENOTCONN;
}

/* The transaction that failed is still open. */
static bool roll_back(struct outbox_postgres *t) {
    bool again = false;
    int error = 0;
    if (PQtransactionStatus(t->pg) == PQTRANS_IDLE)
        return true;
    if (!PQsendQueryParams(t->pg, "ROLLBACK", 0, NULL, NULL, NULL, NULL, 1) ||
        !PQpipelineSync(t->pg) || !take_result(t, NULL, &error, &again))
        return false;
    PGresult *sync = outbox_pg_result(t);
    bool good = !error && sync && PQresultStatus(sync) == PGRES_PIPELINE_SYNC;
    PQclear(sync);
    return good;
}

/* Nobody gets the lock of appends: whoever has it may be stuck. */
static void free_lock(struct outbox_postgres *t) {
    bool again = false;
    int error = 0;
    if (!PQsendQueryParams(t->pg, unlock, 0, NULL, NULL, NULL, NULL, 1) || !PQpipelineSync(t->pg) ||
        !take_result(t, NULL, &error, &again)) {
        outbox_pg_disconnect(t);
        return;
    }
    PQclear(outbox_pg_result(t));
}

static int try_group(struct outbox_postgres *t, struct group *g, bool *again) {
    *again = false;
    if (!outbox_pg_is_connected(t)) {
        int error = outbox_pg_connect(t);
        if (error)
            return -ENOTCONN;
    }
    t->deadline_ns = outbox_pg_now() + GROUP_NS;
    int error;
    if (send_group(t, g)) {
        error = take_group(t, g, again);
    } else {
        *again = true;
        error = outbox_pg_lost(t);
    }
    if (error == -ENOTCONN || (error && !roll_back(t)))
        outbox_pg_disconnect(t);
    else if (error == -EBUSY)
        free_lock(t);
    return error;
}

static void clear_results(struct group *g) {
    for (size_t i = 0; i < g->count; i++) {
        for (int k = 0; k < 2; k++) {
            PQclear(g->results[i][k]);
            g->results[i][k] = NULL;
        }
    }
}

static int run(struct outbox_table *table, struct outbox_op *const *ops, size_t count,
               int64_t now_ms, int64_t forget_ms) {
    struct outbox_postgres *t = container_of(table, struct outbox_postgres, table);
    struct group g = {.ops = ops, .count = count, .now_ms = now_ms, .forget_ms = forget_ms};
    bool again = false;
    int error = -ENOMEM;
    g.statements = calloc(count, sizeof *g.statements);
    g.results = calloc(count, sizeof *g.results);
    if (g.statements && g.results) {
        error = try_group(t, &g, &again);
        if (error && again) {
            clear_results(&g);
            error = try_group(t, &g, &again);
        }
        for (size_t i = 0; !error && i < count; i++) {
            if (!ops[i]->error)
                ops[i]->error = outbox_pg_take_op(t, ops[i], g.results[i], now_ms);
        }
        clear_results(&g);
    }
    free(g.statements);
    free(g.results);
    return error;
}

/* ---- life -------------------------------------------------------------------------------- */

static void close_table(struct outbox_table *table) {
    struct outbox_postgres *t = container_of(table, struct outbox_postgres, table);
    outbox_pg_disconnect(t);
    sealer_destroy(t->sealer);
    free(t->url);
    free(t);
}

static const struct outbox_table_ops ops = {close_table, run};

/* What libpq says about a URL that it does not understand may have a password in it. */
static int check_url(const char *url, char *why, size_t size) {
    char *said = NULL;
    PQconninfoOption *parsed = PQconninfoParse(url, &said);
    if (!parsed)
        snprintf(why, size, "the URL is not one that libpq takes");
    PQconninfoFree(parsed);
    PQfreemem(said);
    return parsed ? 0 : -EINVAL;
}

int outbox_postgres_open(struct outbox_table **out, const struct outbox_options *o, char *why,
                         size_t why_size) {
    struct outbox_postgres *t = calloc(1, sizeof *t);
    *out = NULL;
    snprintf(why, why_size, "out of memory");
    if (!t)
        return -ENOMEM;
    t->table.ops = &ops;
    t->url = strdup(o->url);
    int error = t->url ? check_url(t->url, why, why_size) : -ENOMEM;
    if (!error)
        error = outbox_open_sealer(&t->sealer, o->secret, why, why_size);
    if (!error) {
        error = outbox_pg_connect(t);
        t->tell = o->tell;
        snprintf(why, why_size, "%s", error ? t->why : "");
    }
    if (error && error != -ENOTCONN) {
        close_table(&t->table);
        return error;
    }
    *out = &t->table;
    return 0;
}
