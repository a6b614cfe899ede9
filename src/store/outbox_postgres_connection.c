/* outbox_postgres_connection.c - see outbox_postgres.h.
 *
 * A connection is made ready before it is used: what it may wait for is bounded
 * (lock_timeout, statement_timeout), commits are on stable storage
 * (synchronous_commit), the tables are there and of our version, the statements
 * are prepared. The server, too, is told to look after the connection: where our
 * host goes without a word while the lock of appends is held, the others wait
 * until the server has noticed. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "store/outbox_postgres.h"

#define MS_NS          1000000u
#define CONNECT_NS     (3000ull * MS_NS)
#define PAUSE_FIRST_NS (100ull * MS_NS)
#define PAUSE_MAX_NS   (2000ull * MS_NS)

enum { VERSION = 1, KEYWORDS_MAX = 16 };

static const char settings[] =
    "SET lock_timeout = '3s'; SET statement_timeout = '5s'; SET client_encoding = 'UTF8';"
    "SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 2; SET tcp_keepalives_count = 3;"
    "SET tcp_user_timeout = '10s';"
    "SELECT set_config('synchronous_commit', CASE current_setting('synchronous_commit') "
    "WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END, false)";

static const char look[] = "SELECT to_regclass('switchgear_outbox_version') IS NOT NULL";

/* Indexes have sums of lanes: a lane may be longer than an index takes. */
static const char schema[] =
    "BEGIN; SELECT pg_advisory_xact_lock(" PG_LOCK_KEY ");"
    "CREATE SEQUENCE IF NOT EXISTS switchgear_outbox_sequence;"
    "CREATE TABLE IF NOT EXISTS switchgear_outbox("
    " sequence bigint PRIMARY KEY DEFAULT nextval('switchgear_outbox_sequence'),"
    " id text NOT NULL UNIQUE,"
    " state integer NOT NULL DEFAULT 1,"
    " accepted_ms bigint NOT NULL,"
    " expires_ms bigint NOT NULL,"
    " settled_ms bigint NOT NULL DEFAULT 0,"
    " attempts bigint NOT NULL DEFAULT 0,"
    " status integer NOT NULL DEFAULT 0,"
    " note bytea NOT NULL DEFAULT '',"
    " service text NOT NULL,"
    " lane bytea NOT NULL,"
    " key bytea NOT NULL,"
    " print bytea NOT NULL,"
    " method text NOT NULL,"
    " target bytea NOT NULL,"
    " content_len bigint NOT NULL,"
    " content bytea,"
    " sealed boolean NOT NULL,"
    " UNIQUE(service, key));"
    "CREATE INDEX IF NOT EXISTS switchgear_outbox_queued"
    " ON switchgear_outbox(service, sequence) WHERE state = 1;"
    "CREATE INDEX IF NOT EXISTS switchgear_outbox_lane"
    " ON switchgear_outbox(service, sha256(lane)) WHERE state = 1;"
    "CREATE INDEX IF NOT EXISTS switchgear_outbox_state ON switchgear_outbox(state, sequence);"
    "CREATE INDEX IF NOT EXISTS switchgear_outbox_settled"
    " ON switchgear_outbox(settled_ms) WHERE state > 2;"
    "CREATE TABLE IF NOT EXISTS switchgear_outbox_lease("
    " service text PRIMARY KEY, owner text NOT NULL, until timestamptz NOT NULL);"
    "CREATE TABLE IF NOT EXISTS switchgear_outbox_version(version integer NOT NULL);"
    "INSERT INTO switchgear_outbox_version SELECT 1"
    " WHERE NOT EXISTS (SELECT 1 FROM switchgear_outbox_version);"
    "COMMIT";

uint64_t outbox_pg_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- waiting ------------------------------------------------------------------ */

/* The first line of what libpq says, which names host and user, never a password. */
int outbox_pg_lost(struct outbox_postgres *t) {
    const char *said = t->pg ? PQerrorMessage(t->pg) : "out of memory";
    if (*said)
        snprintf(t->why, sizeof t->why, "%s", said);
    t->why[strcspn(t->why, "\n")] = '\0';
    return -ENOTCONN;
}

static bool wait_for(struct outbox_postgres *t, short events) {
    struct pollfd fd = {.fd = PQsocket(t->pg), .events = events};
    for (;;) {
        uint64_t now = outbox_pg_now();
        if (fd.fd < 0 || now >= t->deadline_ns) {
            snprintf(t->why, sizeof t->why, "the server did not answer in time");
            return false;
        }
        uint64_t left_ms = (t->deadline_ns - now) / MS_NS + 1;
        int found = poll(&fd, 1, left_ms < 60000 ? (int)left_ms : 60000);
        if (found > 0)
            return true;
        if (found < 0 && errno != EINTR)
            return false;
    }
}

/* Until libpq has a result, or knows that there is none. */
static bool fetch(struct outbox_postgres *t) {
    int left;
    while ((left = PQflush(t->pg)) >= 0 && (left || PQisBusy(t->pg))) {
        if (!wait_for(t, (short)(left ? POLLIN | POLLOUT : POLLIN)))
            return false;
        if (!PQconsumeInput(t->pg)) {
            outbox_pg_lost(t);
            return false;
        }
    }
    if (left >= 0)
        return true;
    outbox_pg_lost(t);
    return false;
}

PGresult *outbox_pg_result(struct outbox_postgres *t) {
    PGresult *r = fetch(t) ? PQgetResult(t->pg) : NULL;
    if (!r && PQstatus(t->pg) == CONNECTION_BAD)
        outbox_pg_lost(t);
    return r;
}

bool outbox_pg_end_result(struct outbox_postgres *t) {
    if (!fetch(t))
        return false;
    PGresult *r = PQgetResult(t->pg);
    PQclear(r);
    return r == NULL;
}

/* ---- getting ready -------------------------------------------------------------- */

static int say_result(struct outbox_postgres *t, const PGresult *r) {
    snprintf(t->why, sizeof t->why, "%s", PQresultErrorMessage(r));
    t->why[strcspn(t->why, "\n")] = '\0';
    return -ENOTCONN;
}

/* Simple statements, before the pipeline; *value: the last one's, as a number or
 * truth. */
static int simply(struct outbox_postgres *t, const char *text, int *value) {
    PGresult *r;
    int error = 0;
    if (!PQsendQuery(t->pg, text))
        return outbox_pg_lost(t);
    while ((r = outbox_pg_result(t))) {
        ExecStatusType status = PQresultStatus(r);
        if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK)
            error = say_result(t, r);
        else if (value && PQntuples(r) == 1)
            *value = *PQgetvalue(r, 0, 0) == 't' ? 1 : atoi(PQgetvalue(r, 0, 0));
        PQclear(r);
    }
    return PQstatus(t->pg) == CONNECTION_OK && !PQisBusy(t->pg) ? error : -ENOTCONN;
}

static int open_tables(struct outbox_postgres *t) {
    int there = 0, version = 0;
    int error = simply(t, settings, NULL);
    if (!error)
        error = simply(t, look, &there);
    if (!error && !there)
        error = simply(t, schema, NULL);
    if (!error)
        error = simply(t, "SELECT max(version) FROM switchgear_outbox_version", &version);
    if (error || version == VERSION)
        return error;
    snprintf(t->why, sizeof t->why,
             "its tables are those of version %d of the outbox; this program knows version %d",
             version, VERSION);
    return -EBADMSG;
}

static bool took(struct outbox_postgres *t, ExecStatusType wanted) {
    PGresult *r = outbox_pg_result(t);
    bool good = r && PQresultStatus(r) == wanted;
    if (r && !good)
        say_result(t, r);
    PQclear(r);
    return good && (wanted == PGRES_PIPELINE_SYNC || outbox_pg_end_result(t));
}

static int prepare(struct outbox_postgres *t) {
    char name[16];
    if (!PQenterPipelineMode(t->pg))
        return outbox_pg_lost(t);
    for (int i = 0; i < PG_STATEMENTS; i++) {
        snprintf(name, sizeof name, "s%d", i);
        if (!PQsendPrepare(t->pg, name, outbox_statements[i], 0, NULL))
            return outbox_pg_lost(t);
    }
    if (!PQpipelineSync(t->pg))
        return outbox_pg_lost(t);
    for (int i = 0; i < PG_STATEMENTS; i++) {
        if (!took(t, PGRES_COMMAND_OK))
            return -ENOTCONN;
    }
    return took(t, PGRES_PIPELINE_SYNC) ? 0 : -ENOTCONN;
}

/* ---- connecting ------------------------------------------------------------------ */

static void ignore_notice(void *arg, const char *message) {
}

/* What stands in the URL goes over what comes before it. */
static PGconn *start(const char *url) {
    static const char *const names[] = {"gssencmode",
                                        "fallback_application_name",
                                        "target_session_attrs",
                                        "tcp_user_timeout",
                                        "keepalives_idle",
                                        "keepalives_interval",
                                        "keepalives_count",
                                        "dbname",
                                        NULL};
    const char *values[] = {"disable", "switchgear", "read-write", "10000", "5",
                            "2",       "3",          url,          NULL};
    return PQconnectStartParams(names, values, 1);
}

static int open_connection(struct outbox_postgres *t) {
    PostgresPollingStatusType status = PGRES_POLLING_WRITING;
    t->why[0] = '\0';
    t->pg = start(t->url);
    if (!t->pg || PQstatus(t->pg) == CONNECTION_BAD)
        return outbox_pg_lost(t);
    PQsetNoticeProcessor(t->pg, ignore_notice, NULL);
    while (status != PGRES_POLLING_OK) {
        if (status == PGRES_POLLING_FAILED)
            return outbox_pg_lost(t);
        if (!wait_for(t, status == PGRES_POLLING_READING ? POLLIN : POLLOUT))
            return -ENOTCONN;
        status = PQconnectPoll(t->pg);
    }
    if (PQsetnonblocking(t->pg, 1) < 0)
        return outbox_pg_lost(t);
    int error = open_tables(t);
    return error ? error : prepare(t);
}

static void tell(struct outbox_postgres *t, int error) {
    if (t->away == (error != 0))
        return;
    t->away = error != 0;
    if (t->tell)
        t->tell(error ? t->why : NULL);
}

int outbox_pg_connect(struct outbox_postgres *t) {
    uint64_t now = outbox_pg_now();
    if (now < t->next_try_ns)
        return -ENOTCONN;
    t->deadline_ns = now + CONNECT_NS;
    int error = open_connection(t);
    if (error) {
        outbox_pg_disconnect(t);
        t->pause_ns = t->pause_ns ? 2 * t->pause_ns : PAUSE_FIRST_NS;
        t->pause_ns = t->pause_ns < PAUSE_MAX_NS ? t->pause_ns : PAUSE_MAX_NS;
        t->next_try_ns = outbox_pg_now() + t->pause_ns;
    } else {
        t->pause_ns = 0;
    }
    tell(t, error);
    return error;
}

/* A server that went while nothing was asked has closed the socket. */
bool outbox_pg_is_connected(struct outbox_postgres *t) {
    struct pollfd fd = {.fd = t->pg ? PQsocket(t->pg) : -1, .events = POLLIN};
    if (fd.fd < 0)
        return false;
    if (poll(&fd, 1, 0) > 0 && !PQconsumeInput(t->pg))
        outbox_pg_lost(t);
    if (PQstatus(t->pg) == CONNECTION_OK)
        return true;
    outbox_pg_disconnect(t);
    return false;
}

void outbox_pg_disconnect(struct outbox_postgres *t) {
    PQfinish(t->pg);
    t->pg = NULL;
}
