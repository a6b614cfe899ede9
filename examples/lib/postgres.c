/* postgres.c - a query by libpq, protected, and read-only, so that it may be repeated.
 *
 *     example_postgres "host=/run/postgresql dbname=shop"
 *
 * Each line of standard input is a number; PostgreSQL doubles it. The connection is
 * made when it is needed and again when it broke; the server itself ends a
 * statement that would go past the deadline. */
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <switchgear/switchgear.h>

struct query {
    const char *conninfo;
    PGconn *connection;
    char number[32], result[64];
};

static bool connected(struct query *q) {
    if (q->connection && PQstatus(q->connection) == CONNECTION_OK)
        return true;
    PQfinish(q->connection);
    q->connection = PQconnectdb(q->conninfo);
    return PQstatus(q->connection) == CONNECTION_OK;
}

/* What SQL says, as an answer that the policy understands: a mistake of the caller
 * is an answer, and only what is wrong with the server is a failure. */
static struct swg_answer answer_of(struct query *q, PGresult *result) {
    struct swg_answer a = {.kind = SWG_ANSWERED, .status = 200};
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    if (PQresultStatus(result) == PGRES_TUPLES_OK)
        snprintf(q->result, sizeof q->result, "%s", PQgetvalue(result, 0, 0));
    else if (PQstatus(q->connection) != CONNECTION_OK || !state)
        a.kind = SWG_RESET;
    else if (!strcmp(state, "57014")) /* query_canceled */
        a.kind = SWG_TIMED_OUT;
    else if (!strncmp(state, "53", 2) || !strncmp(state, "57", 2) || !strncmp(state, "58", 2))
        a.status = 503; /* no resources, shutting down, trouble of the system */
    else
        a.status = 400;
    return a;
}

static struct swg_answer double_it(void *arg, uint64_t deadline_ns) {
    struct query *q = arg;
    const char *values[] = {q->number};
    char limit[64];
    if (!connected(q))
        return (struct swg_answer){.kind = SWG_CONNECT_FAILED};
    uint64_t now_ns = swg_now();
    uint64_t left_ms = deadline_ns > now_ns ? (deadline_ns - now_ns) / 1000000 + 1 : 1;
    snprintf(limit, sizeof limit, "SET statement_timeout = %llu",
             (unsigned long long)(left_ms < 3600000 ? left_ms : 3600000));
    PQclear(PQexec(q->connection, limit));
    PGresult *result =
        PQexecParams(q->connection, "SELECT 2 * $1::int", 1, NULL, values, NULL, NULL, 0);
    struct swg_answer a = answer_of(q, result);
    PQclear(result);
    return a;
}

int main(int argc, char **argv) {
    static const struct swg_policy_options options = {
        .timeout = {.attempt_ns = SWG_SECONDS(2), .total_ns = SWG_SECONDS(5)},
        .retry = {.max = 1, .base_ns = SWG_MS(10)},
        .breaker = {.consecutive = 2, .open_ns = SWG_MS(50), .open_max_ns = SWG_MS(50)},
    };
    struct query q = {0};
    struct swg_policy *policy;
    if (argc != 2 || swg_policy_create(&policy, &options, swg_now(), swg_now()))
        return 2;
    q.conninfo = argv[1];
    while (fgets(q.number, sizeof q.number, stdin)) {
        struct swg_story story;
        q.number[strcspn(q.number, "\n")] = 0;
        q.result[0] = 0;
        enum swg_error e =
            swg_run(policy, double_it, &q, &(struct swg_run_options){.story = &story});
        printf("%s result=%s attempts=%u reason=%s\n", swg_error_name(e),
               q.result[0] ? q.result : "none", story.attempts,
               story.reason ? swg_refusal_word(story.reason) : "none");
        fflush(stdout);
    }
    PQfinish(q.connection);
    swg_policy_release(policy);
    return 0;
}
