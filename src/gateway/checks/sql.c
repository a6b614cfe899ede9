/* sql.c - a query, through the pool of a configured database: what the query's answer
 * needs is then seen to work, from the network to the table.
 *
 * It is put to the pool itself, once: a breaker that is open must not keep away the
 * question whether it may close. */
#include "gateway/checks/check.h"
#include "gateway/database.h"

enum { RESULT_MAX = 64 * 1024 };

static struct check_verdict judge(const struct check *c, const struct sql_query *q) {
    switch (q->result) {
    case SQL_OK:
        return c->subject.options->row && !q->rows ? check_bad("no_row") : check_good(0);
    case SQL_UNAVAILABLE:
        return check_bad("unavailable");
    case SQL_TIMED_OUT:
        return check_bad("timeout");
    case SQL_TOO_LARGE:
        return check_bad("too_large");
    default:
        return check_bad("query");
    }
}

static void on_answer(struct sql_query *q) {
    struct check *c = q->request.arg;
    struct check_verdict v = judge(c, q);
    c->query = NULL;
    sql_query_free(q);
    check_end(c, v);
}

bool check_sql_start(struct check *c, uint64_t deadline_ns) {
    const struct sql_request request = {.text = c->subject.options->query_text,
                                        .shape = SQL_AS_ROWS,
                                        .result_max = RESULT_MAX,
                                        .deadline_ns = deadline_ns,
                                        .io = c->io,
                                        .done = on_answer,
                                        .arg = c};
    c->query = sql_query_create(&request);
    if (c->query)
        database_submit(c->subject.database, c->query);
    return c->query;
}

void check_sql_stop(struct check *c) {
    if (c->query)
        sql_cancel(c->query);
    c->query = NULL;
}
