/* sql_sqlite_connection.c - see sql_sqlite.h.
 *
 * That a query only reads is seen to four times over: the file is opened
 * read-only, PRAGMA query_only is on, the authorizer lets a statement be
 * prepared only if all it does is to read, and a prepared statement must say of
 * itself that it is one (sqlite3_stmt_readonly). Any one of them would do; each
 * also holds where another has a gap (ATTACH of a second file is no write to
 * the first, a function that loads code is none either).
 *
 * The schema of the file is not trusted: views and triggers in it may call only
 * functions that are innocuous. */
#include "store/sql_sqlite.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "store/sql_json.h"
#include "store/sql_priv.h"

enum {
    PREFIX = sizeof "sqlite:" - 1,
    STEPS_BETWEEN_LOOKS = 1000, /* of SQLite's machine; some microseconds */
    BUSY_SLEEP_US = 1000,
    COLUMNS_MAX = 200,
    LENGTH_MAX = 64 << 20, /* of one value, also between */
};

void sqlite_connection_init(struct sqlite_connection *c, const struct sql_options *o) {
    *c = (struct sqlite_connection){.options = o, .path = o->url + PREFIX};
}

/* ---- what may be done ------------------------------------------------------------ */

/* Functions that reach out of the database, where somebody has built them in. */
static bool is_outward(const char *function) {
    static const char *const names[] = {"load_extension", "fts3_tokenizer", "readfile", "writefile",
                                        "edit",           "fsdir",          "lsmode",   "eval"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (!strcasecmp(function, names[i]))
            return true;
    }
    return false;
}

/* Full-text tables, when they are first used, declare their columns, which looks
 * like a change of the schema (and is none: query_only and `defensive` stand in
 * the way of a real one), and ask for PRAGMA data_version. */
static int authorize(void *arg, int action, const char *a, const char *b, const char *database,
                     const char *trigger) {
    const struct sqlite_connection *c = arg;
    switch (action) {
    case SQLITE_SELECT:
    case SQLITE_READ:
    case SQLITE_RECURSIVE:
        return SQLITE_OK;
    case SQLITE_FUNCTION:
        return b && is_outward(b) ? SQLITE_DENY : SQLITE_OK;
    case SQLITE_PRAGMA:
        return a && !b && !strcasecmp(a, "data_version") ? SQLITE_OK : SQLITE_DENY;
    case SQLITE_UPDATE:
        if (a && !strcmp(a, "sqlite_master"))
            return SQLITE_OK;
        /* fall through */
    case SQLITE_INSERT:
    case SQLITE_DELETE:
        return c->options->writable ? SQLITE_OK : SQLITE_DENY;
    default: /* schema, ATTACH, transactions, … */
        return SQLITE_DENY;
    }
}

static bool is_too_late(const struct sqlite_connection *c) {
    return c->query && sql__now() >= c->query->request.deadline_ns;
}

static int look(void *arg) {
    struct sqlite_connection *c = arg;
    c->timed_out = is_too_late(c);
    return c->timed_out || (c->query && sql__is_dropped(c->query));
}

/* Somebody else writes. Waits while there is time. */
static int on_busy(void *arg, int times) {
    if (look(arg))
        return 0;
    sqlite3_sleep(BUSY_SLEEP_US / 1000);
    return 1;
}

static void set_limits(sqlite3 *handle) {
    sqlite3_limit(handle, SQLITE_LIMIT_LENGTH, LENGTH_MAX);
    sqlite3_limit(handle, SQLITE_LIMIT_SQL_LENGTH, 1 << 20);
    sqlite3_limit(handle, SQLITE_LIMIT_COLUMN, COLUMNS_MAX);
    sqlite3_limit(handle, SQLITE_LIMIT_ATTACHED, 0);
    sqlite3_limit(handle, SQLITE_LIMIT_WORKER_THREADS, 0);
    sqlite3_limit(handle, SQLITE_LIMIT_EXPR_DEPTH, 200);
    sqlite3_limit(handle, SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 1000);
    sqlite3_limit(handle, SQLITE_LIMIT_TRIGGER_DEPTH, 10);
}

/* What a query sorts stays in memory: a confined process has no place for temporary files. */
static int harden(struct sqlite_connection *c) {
    set_limits(c->handle);
    sqlite3_extended_result_codes(c->handle, 1);
    sqlite3_db_config(c->handle, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(c->handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    sqlite3_db_config(c->handle, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0, NULL);
    sqlite3_db_config(c->handle, SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER, 0, NULL);
    sqlite3_busy_handler(c->handle, on_busy, c);
    sqlite3_progress_handler(c->handle, STEPS_BETWEEN_LOOKS, look, c);
    int rc = sqlite3_exec(c->handle, "PRAGMA temp_store = MEMORY", NULL, NULL, NULL);
    if (rc == SQLITE_OK && !c->options->writable)
        rc = sqlite3_exec(c->handle, "PRAGMA query_only = 1", NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_set_authorizer(c->handle, authorize, c);
    return rc;
}

/* ---- open and close --------------------------------------------------------------- */

void sqlite_connection_close(struct sqlite_connection *c) {
    for (uint32_t i = 0; i < c->count; i++) {
        sqlite3_finalize(c->statements[i].stmt);
        free(c->statements[i].text);
    }
    c->count = 0;
    sqlite3_close(c->handle);
    c->handle = NULL;
}

static enum sql_result open_file(struct sqlite_connection *c, const struct stat *file) {
    int flags = (c->options->writable ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY) |
                SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    int rc = sqlite3_open_v2(c->path, &c->handle, flags, NULL);
    if (rc == SQLITE_OK)
        rc = harden(c);
    if (rc != SQLITE_OK) {
        sql__why(c->query, "%s", c->handle ? sqlite3_errmsg(c->handle) : sqlite3_errstr(rc));
        sqlite_connection_close(c);
        return SQL_UNAVAILABLE;
    }
    c->device = file->st_dev;
    c->inode = file->st_ino;
    return SQL_OK;
}

/* Opens the file, or opens it again where another has taken its name. */
static enum sql_result be_open(struct sqlite_connection *c) {
    struct stat file;
    if (stat(c->path, &file) < 0) {
        sql__why(c->query, "%s: %s", c->path, strerror(errno));
        sqlite_connection_close(c);
        return SQL_UNAVAILABLE;
    }
    if (c->handle && c->device == file.st_dev && c->inode == file.st_ino)
        return SQL_OK;
    sqlite_connection_close(c);
    return open_file(c, &file);
}

/* ---- statements --------------------------------------------------------------------- */

/* By what SQLite says. A message may have the caller's words in it (a wrong
 * full-text query does), so while a statement runs only the code is told. */
static enum sql_result failed(struct sqlite_connection *c, int rc, bool running) {
    const char *message = running ? sqlite3_errstr(rc) : sqlite3_errmsg(c->handle);
    sql__why(c->query, "%s (SQLite %d)", message, rc);
    switch (rc & 0xff) {
    case SQLITE_INTERRUPT:
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return c->timed_out ? SQL_TIMED_OUT : SQL_UNAVAILABLE;
    case SQLITE_TOOBIG:
        return SQL_TOO_LARGE;
    case SQLITE_IOERR:
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_CANTOPEN:
    case SQLITE_PROTOCOL:
    case SQLITE_FULL:
    case SQLITE_NOMEM:
    case SQLITE_SCHEMA:
        sqlite_connection_close(c); /* the next query has a fresh look */
        return SQL_UNAVAILABLE;
    default:
        return SQL_REFUSED;
    }
}

static struct sqlite_statement *find(struct sqlite_connection *c, struct bytes text) {
    for (uint32_t i = 0; i < c->count; i++) {
        struct sqlite_statement *s = &c->statements[i];
        if (s->len == text.len && !memcmp(s->text, text.at, text.len))
            return s;
    }
    return NULL;
}

/* A place for one more, perhaps that of the one used longest ago. */
static struct sqlite_statement *make_room(struct sqlite_connection *c) {
    if (c->count < SQLITE_STATEMENTS_MAX)
        return &c->statements[c->count++];
    struct sqlite_statement *oldest = c->statements;
    for (uint32_t i = 1; i < c->count; i++) {
        if (c->statements[i].used < oldest->used)
            oldest = &c->statements[i];
    }
    sqlite3_finalize(oldest->stmt);
    free(oldest->text);
    return oldest;
}

static int prepare(struct sqlite_connection *c, struct bytes text, sqlite3_stmt **out) {
    const char *tail = NULL;
    int rc = sqlite3_prepare_v3(c->handle, text.at, (int)text.len + 1, SQLITE_PREPARE_PERSISTENT,
                                out, &tail);
    if (rc == SQLITE_OK && *out && !sqlite3_stmt_readonly(*out) && !c->options->writable)
        rc = SQLITE_READONLY;
    if (rc == SQLITE_OK && !*out)
        rc = SQLITE_MISUSE; /* nothing but comments */
    if (rc != SQLITE_OK) {
        sqlite3_finalize(*out);
        *out = NULL;
    }
    return rc;
}

static enum sql_result get_statement(struct sqlite_connection *c, sqlite3_stmt **out) {
    struct bytes text = c->query->request.text;
    struct sqlite_statement *s = find(c, text);
    if (!s) {
        char *copy = strndup(text.at, text.len);
        if (!copy)
            return SQL_UNAVAILABLE;
        int rc = prepare(c, text, out);
        if (rc != SQLITE_OK) {
            free(copy);
            return failed(c, rc, false);
        }
        s = make_room(c);
        *s = (struct sqlite_statement){.stmt = *out, .text = copy, .len = text.len};
    }
    s->used = ++c->uses;
    *out = s->stmt;
    return SQL_OK;
}

/* ---- values -------------------------------------------------------------------------- */

static int bind_one(sqlite3_stmt *stmt, int index, const struct sql_value *v) {
    switch (v->kind) {
    case SQL_NULL:
        return sqlite3_bind_null(stmt, index);
    case SQL_INTEGER:
        return sqlite3_bind_int64(stmt, index, strtoll(v->text.at, NULL, 10));
    case SQL_REAL:
        return sqlite3_bind_double(stmt, index, strtod(v->text.at, NULL));
    case SQL_BOOL:
        return sqlite3_bind_int(stmt, index, bytes_equal(v->text, BYTES("true")));
    case SQL_TEXT:
        break;
    }
    /* The query outlives the statement's run. */
    return sqlite3_bind_text64(stmt, index, v->text.at, v->text.len, SQLITE_STATIC, SQLITE_UTF8);
}

static enum sql_result bind_all(struct sqlite_connection *c, sqlite3_stmt *stmt) {
    const struct sql_request *r = &c->query->request;
    for (uint32_t i = 0; i < r->count; i++) {
        int rc = bind_one(stmt, (int)i + 1, &r->values[i]);
        if (rc != SQLITE_OK)
            return failed(c, rc, true);
    }
    return SQL_OK;
}

static void write_text(struct sql_json *j, sqlite3_stmt *stmt, int i) {
    const char *type = sqlite3_column_decltype(stmt, i);
    struct bytes text = {(const char *)sqlite3_column_text(stmt, i),
                         (size_t)sqlite3_column_bytes(stmt, i)};
    bool is_json = j->q->request.shape == SQL_AS_JSON || (type && !strcasecmp(type, "JSON"));
    if (is_json)
        sql_json_text(j, text);
    else
        json_bytes(&j->out, text);
}

static void write_value(struct sql_json *j, sqlite3_stmt *stmt, int i) {
    const char *type = sqlite3_column_decltype(stmt, i);
    switch (sqlite3_column_type(stmt, i)) {
    case SQLITE_NULL:
        if (j->q->request.shape == SQL_AS_JSON)
            j->result = SQL_NOT_FOUND;
        json_null(&j->out);
        break;
    case SQLITE_INTEGER:
        if (type && (!strcasecmp(type, "BOOLEAN") || !strcasecmp(type, "BOOL")))
            json_bool(&j->out, sqlite3_column_int64(stmt, i) != 0);
        else
            json_int(&j->out, sqlite3_column_int64(stmt, i));
        break;
    case SQLITE_FLOAT:
        json_double(&j->out, sqlite3_column_double(stmt, i));
        break;
    case SQLITE_BLOB:
        sql_json_blob(j, sqlite3_column_blob(stmt, i), (size_t)sqlite3_column_bytes(stmt, i));
        break;
    default:
        write_text(j, stmt, i);
    }
}

static bool write_row(struct sql_json *j, sqlite3_stmt *stmt) {
    if (!sql_json_row(j))
        return false;
    int count = sqlite3_column_count(stmt);
    for (int i = 0; i < count; i++) {
        if (sql_json_column(j, (uint32_t)i, sqlite3_column_name(stmt, i)))
            write_value(j, stmt, i);
    }
    sql_json_row_end(j);
    return !sql_json_failed(j);
}

/* ---- a query -------------------------------------------------------------------------- */

static enum sql_result step_all(struct sqlite_connection *c, sqlite3_stmt *stmt) {
    struct sql_json json;
    int rc;
    sql_json_begin(&json, c->query);
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        /* A statement that changes rows is run to its end all the same. */
        if (!write_row(&json, stmt) && sqlite3_stmt_readonly(stmt))
            break;
    }
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        return failed(c, rc, true);
    return sql_json_end(&json);
}

static enum sql_result run(struct sqlite_connection *c) {
    sqlite3_stmt *stmt = NULL;
    enum sql_result result = be_open(c);
    if (result == SQL_OK)
        result = get_statement(c, &stmt);
    if (result == SQL_OK)
        result = bind_all(c, stmt);
    if (result != SQL_OK) {
        if (stmt && c->handle)
            sqlite3_clear_bindings(stmt);
        return result;
    }
    result = step_all(c, stmt);
    if (c->handle) { /* else it was given up with the connection */
        sqlite3_reset(stmt);
        sqlite3_clear_bindings(stmt);
    }
    return result;
}

enum sql_result sqlite_connection_run(struct sqlite_connection *c, struct sql_query *q) {
    c->query = q;
    c->timed_out = false;
    if (is_too_late(c)) {
        sql__why(q, "no connection was free in time");
        c->query = NULL;
        return SQL_TIMED_OUT;
    }
    enum sql_result result = run(c);
    c->query = NULL;
    return result;
}

int sql_check_sqlite(const struct sql_options *o, struct bytes text, size_t *at, char *why,
                     size_t why_size) {
    struct sqlite_connection c;
    struct sql_query q = {.request = {.text = text, .deadline_ns = UINT64_MAX}};
    struct stat file;
    sqlite3_stmt *stmt = NULL;
    sqlite_connection_init(&c, o);
    *at = SIZE_MAX;
    if (stat(c.path, &file) < 0 && errno == ENOENT)
        return -ENOENT;
    c.query = &q;
    q.request.deadline_ns = sql__now() + UINT64_C(1000000000);
    enum sql_result result = be_open(&c);
    if (result == SQL_OK)
        result = get_statement(&c, &stmt);
    if (result != SQL_OK && c.handle && sqlite3_error_offset(c.handle) >= 0)
        *at = (size_t)sqlite3_error_offset(c.handle);
    sqlite_connection_close(&c);
    snprintf(why, why_size, "%s", q.why);
    return result == SQL_OK ? 0 : -EINVAL;
}
