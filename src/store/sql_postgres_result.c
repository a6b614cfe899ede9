/* sql_postgres_result.c - what a PostgreSQL server says: rows as JSON, errors as
 * what they mean for the next try. */
#include <string.h>

#include "store/sql_postgres.h"

/* Of the server's types, those that JSON has. */
enum {
    OID_BOOL = 16,
    OID_BYTEA = 17,
    OID_INT8 = 20,
    OID_INT2 = 21,
    OID_INT4 = 23,
    OID_OID = 26,
    OID_JSON = 114,
    OID_FLOAT4 = 700,
    OID_FLOAT8 = 701,
    OID_NUMERIC = 1700,
    OID_JSONB = 3802,
};

/* By SQLSTATE. What is said about the statement is told; what is said about
 * values may quote them, and is not. */
static enum sql_result classify(struct postgres_connection *c, const char *state) {
    static const char *const away[] = {"08", "53",    "57P",   "58", "XX", "40",
                                       "55", "26000", "42P05", "3D", "28"};
    if (!strcmp(state, "57014"))
        return SQL_TIMED_OUT;
    /* The plan that is kept no longer fits the tables: another connection's will. */
    if (!strcmp(state, "26000") || !strcmp(state, "42P05") || !strcmp(state, "0A000"))
        c->worn_out = true;
    if (!strcmp(state, "0A000"))
        return SQL_UNAVAILABLE;
    for (size_t i = 0; i < sizeof away / sizeof *away; i++) {
        if (!strncmp(state, away[i], strlen(away[i])))
            return SQL_UNAVAILABLE;
    }
    return SQL_REFUSED;
}

void postgres_note_error(struct postgres_connection *c, const PGresult *r) {
    const char *state = PQresultErrorField(r, PG_DIAG_SQLSTATE);
    const char *message = PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);
    state = state ? state : "08006";
    enum sql_result result = classify(c, state);
    if (c->failed)
        return;
    c->failed = true;
    c->result = result;
    if (!c->query)
        return;
    bool quotes = !strncmp(state, "22", 2) || !strncmp(state, "23", 2) || !strncmp(state, "P", 1);
    if (quotes || !message)
        sql__why(c->query, "SQLSTATE %s", state);
    else
        sql__why(c->query, "%.120s (SQLSTATE %s)", message, state);
}

static void write_bytea(struct sql_json *j, const char *text) {
    size_t len;
    unsigned char *data = PQunescapeBytea((const unsigned char *)text, &len);
    if (!data) {
        j->q->answer.failed = true;
        return;
    }
    sql_json_blob(j, data, len);
    PQfreemem(data);
}

static void write_value(struct sql_json *j, const PGresult *r, int column) {
    struct bytes text = {PQgetvalue(r, 0, column), (size_t)PQgetlength(r, 0, column)};
    switch (PQftype(r, column)) {
    case OID_BOOL:
        json_bool(&j->out, text.at[0] == 't');
        break;
    case OID_INT2:
    case OID_INT4:
    case OID_INT8:
    case OID_OID:
    case OID_FLOAT4:
    case OID_FLOAT8:
    case OID_NUMERIC:
        sql_json_number(j, text);
        break;
    case OID_JSON:
    case OID_JSONB:
        json_raw(&j->out, text);
        break;
    case OID_BYTEA:
        write_bytea(j, text.at);
        break;
    default:
        if (j->q->request.shape == SQL_AS_JSON)
            sql_json_text(j, text);
        else
            json_bytes(&j->out, text);
    }
}

void postgres_write_row(struct sql_json *j, const PGresult *r) {
    if (sql_json_failed(j) || !sql_json_row(j))
        return;
    for (int i = 0; i < PQnfields(r); i++) {
        if (!sql_json_column(j, (uint32_t)i, PQfname(r, i)))
            continue;
        if (!PQgetisnull(r, 0, i)) {
            write_value(j, r, i);
            continue;
        }
        if (j->q->request.shape == SQL_AS_JSON)
            j->result = SQL_NOT_FOUND;
        json_null(&j->out);
    }
    sql_json_row_end(j);
}
