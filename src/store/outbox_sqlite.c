/* outbox_sqlite.c - see outbox_table.h: the rows in a file of SQLite.
 *
 * Write-ahead log with synchronous=FULL: the log is synced at each commit. With
 * NORMAL it would be synced at checkpoints only, and a power cut takes what was
 * committed since: acknowledged entries. A torn end of the log is no harm: its
 * frames carry checksums, and what was not wholly written was not promised.
 *
 * An entry's content (fields and body) is one blob, sealed where there is a
 * secret; it goes away when the entry is settled, while the row stays, so that
 * the same key is known again and the sender can ask. */
#include "store/outbox_table.h"

#include <assert.h>
#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/outbox_content.h"

enum {
    APPLICATION_ID = 0x53776f62, /* "Swob", so that no other database is taken for ours */
    VERSION = 1,
    FORGET_AT_ONCE = 500,
    BUSY_MS = 5000,          /* at an upgrade the process before may be writing */
    CHECKPOINT_PAGES = 4000, /* 16 MiB: each costs two more syncs, and those who wait for them */
};

#define SUMMARY                                                                                   \
    "sequence, id, state, accepted_ms, expires_ms, settled_ms, attempts, status, note, service, " \
    "lane, key, method, target, content_len"

enum statement {
    BEGIN,
    COMMIT,
    ROLLBACK,
    INSERT,
    BY_KEY,
    BY_ID,
    LOAD,
    LIST,
    LIST_STATE,
    NOTE,
    SETTLE,
    RETRY,
    FORGET,
    BEHIND,
    STATEMENTS,
};

static const char *const texts[STATEMENTS] = {
    [BEGIN] = "BEGIN IMMEDIATE",
    [COMMIT] = "COMMIT",
    [ROLLBACK] = "ROLLBACK",
    [INSERT] = "INSERT INTO entry(id, state, accepted_ms, expires_ms, service, lane, key, print, "
               "method, target, content_len, content, sealed) "
               "VALUES(?1, 1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
    [BY_KEY] = "SELECT " SUMMARY ", print FROM entry WHERE service = ?1 AND key = ?2",
    [BY_ID] = "SELECT " SUMMARY " FROM entry WHERE id = ?1",
    [LOAD] = "SELECT " SUMMARY ", content, sealed FROM entry WHERE sequence = ?1",
    [LIST] = "SELECT " SUMMARY " FROM entry WHERE sequence > ?1 "
             "AND (?3 IS NULL OR service = ?3) ORDER BY sequence LIMIT ?4",
    [LIST_STATE] = "SELECT " SUMMARY " FROM entry INDEXED BY entry_state WHERE state = ?2 "
                   "AND sequence > ?1 AND (?3 IS NULL OR service = ?3) ORDER BY sequence LIMIT ?4",
    [NOTE] = "UPDATE entry SET attempts = ?2, status = ?3, note = ?4 "
             "WHERE sequence = ?1 AND state = 1",
    [SETTLE] = "UPDATE entry SET state = ?2, status = ?3, note = ?4, settled_ms = ?5, "
               "attempts = max(attempts, ?6), content = iif(?2 = 2, content, NULL) WHERE sequence "
               "= ?1 AND state <= 2",
    [RETRY] = "UPDATE entry SET state = 1, settled_ms = 0, attempts = 0, expires_ms = 0, "
              "sequence = (SELECT max(seq, coalesce((SELECT max(sequence) FROM entry), 0)) + 1 "
              "FROM sqlite_sequence WHERE name = 'entry') WHERE id = ?1 AND state = 2",
    [FORGET] = "DELETE FROM entry WHERE sequence IN (SELECT sequence FROM entry "
               "WHERE state > 2 AND settled_ms < ?1 LIMIT ?2)",
    [BEHIND] = "SELECT count(*) FROM (SELECT 1 FROM entry WHERE state = 1 "
               "AND service = ?1 AND lane = ?2 LIMIT 1)",
};

static const char schema[] = "CREATE TABLE entry("
                             " sequence INTEGER PRIMARY KEY AUTOINCREMENT,"
                             " id TEXT NOT NULL UNIQUE,"
                             " state INTEGER NOT NULL,"
                             " accepted_ms INTEGER NOT NULL,"
                             " expires_ms INTEGER NOT NULL,"
                             " settled_ms INTEGER NOT NULL DEFAULT 0,"
                             " attempts INTEGER NOT NULL DEFAULT 0,"
                             " status INTEGER NOT NULL DEFAULT 0,"
                             " note TEXT NOT NULL DEFAULT '',"
                             " service TEXT NOT NULL,"
                             " lane BLOB NOT NULL,"
                             " key BLOB NOT NULL,"
                             " print BLOB NOT NULL,"
                             " method TEXT NOT NULL,"
                             " target BLOB NOT NULL,"
                             " content_len INTEGER NOT NULL,"
                             " content BLOB,"
                             " sealed INTEGER NOT NULL,"
                             " UNIQUE(service, key)) STRICT;"
                             "CREATE INDEX entry_state ON entry(state, sequence);"
                             "CREATE INDEX entry_settled ON entry(settled_ms) WHERE state > 2;";

struct outbox_sqlite {
    struct outbox_table table;
    sqlite3 *db;
    sqlite3_stmt *statements[STATEMENTS];
    struct sealer *sealer; /* NULL: content stays as it is */
};

static int run(struct outbox_table *, struct outbox_op *const *, size_t, int64_t, int64_t);

/* ---- errors --------------------------------------------------------------- */

static int error_of(int code) {
    switch (code & 0xff) {
    case SQLITE_OK:
    case SQLITE_DONE:
    case SQLITE_ROW:
        return 0;
    case SQLITE_FULL:
        return -ENOSPC;
    case SQLITE_NOMEM:
        return -ENOMEM;
    case SQLITE_TOOBIG:
        return -E2BIG;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return -EBUSY;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return -EBADMSG;
    case SQLITE_READONLY:
    case SQLITE_PERM:
        return -EROFS;
    default:
        return -EIO;
    }
}

static int say(const struct outbox_sqlite *t, int code, char *why, size_t size, const char *doing) {
    snprintf(why, size, "%s: %s", doing, t->db ? sqlite3_errmsg(t->db) : sqlite3_errstr(code));
    return error_of(code);
}

/* ---- opening -------------------------------------------------------------- */

static int pragma_value(struct outbox_sqlite *t, const char *text, int *value) {
    sqlite3_stmt *s;
    int code = sqlite3_prepare_v2(t->db, text, -1, &s, NULL);
    if (code == SQLITE_OK && (code = sqlite3_step(s)) == SQLITE_ROW)
        *value = sqlite3_column_int(s, 0);
    int end = sqlite3_finalize(s);
    return end != SQLITE_OK ? end : code == SQLITE_ROW ? SQLITE_OK : code;
}

/* An empty file is made an outbox; any other must be one. */
static int open_schema(struct outbox_sqlite *t, char *why, size_t size) {
    int application = 0, version = 0, tables = 0;
    int code = pragma_value(t, "PRAGMA application_id", &application);
    if (code == SQLITE_OK)
        code = pragma_value(t, "PRAGMA user_version", &version);
    if (code == SQLITE_OK)
        code = pragma_value(t, "SELECT count(*) FROM sqlite_schema", &tables);
    if (code != SQLITE_OK)
        return say(t, code, why, size, "reading the file");
    if (application == APPLICATION_ID && version == VERSION)
        return 0;
    if (application || version || tables) {
        snprintf(why, size,
                 application == APPLICATION_ID
                     ? "the file is an outbox of version %d; this program knows version %d"
                     : "the file is another program's database (version %d, not %d)",
                 version, VERSION);
        return -EBADMSG;
    }
    char *text = sqlite3_mprintf("BEGIN IMMEDIATE; %s PRAGMA application_id = %d; "
                                 "PRAGMA user_version = %d; COMMIT",
                                 schema, APPLICATION_ID, VERSION);
    code = text ? sqlite3_exec(t->db, text, NULL, NULL, NULL) : SQLITE_NOMEM;
    sqlite3_free(text);
    return code == SQLITE_OK ? 0 : say(t, code, why, size, "making the tables");
}

static int open_file(struct outbox_sqlite *t, const struct outbox_options *o, char *why,
                     size_t size) {
    int flags =
        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    int code = sqlite3_open_v2(o->file, &t->db, flags, o->vfs);
    if (code != SQLITE_OK)
        return say(t, code, why, size, "opening the file");
    sqlite3_busy_timeout(t->db, BUSY_MS);
    sqlite3_db_config(t->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(t->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    code = sqlite3_exec(t->db,
                        "PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY;"
                        "PRAGMA journal_mode = WAL; PRAGMA journal_size_limit = 67108864",
                        NULL, NULL, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_wal_autocheckpoint(t->db, o->checkpoint_pages ? (int)o->checkpoint_pages
                                                                     : CHECKPOINT_PAGES);
    if (code == SQLITE_OK)
        code = sqlite3_exec(
            t->db, o->without_sync ? "PRAGMA synchronous = OFF" : "PRAGMA synchronous = FULL", NULL,
            NULL, NULL);
    return code == SQLITE_OK ? 0 : say(t, code, why, size, "opening the file");
}

/* Only where others append is it asked by lane; there is no other way to know then. */
static int open_lanes(struct outbox_sqlite *t, char *why, size_t size) {
    int code = sqlite3_exec(t->db,
                            "CREATE INDEX IF NOT EXISTS entry_lane ON entry(service, lane) "
                            "WHERE state = 1",
                            NULL, NULL, NULL);
    return code == SQLITE_OK ? 0 : say(t, code, why, size, "making an index");
}

static int prepare(struct outbox_sqlite *t, char *why, size_t size) {
    for (int i = 0; i < STATEMENTS; i++) {
        int code = sqlite3_prepare_v3(t->db, texts[i], -1, SQLITE_PREPARE_PERSISTENT,
                                      &t->statements[i], NULL);
        if (code != SQLITE_OK)
            return say(t, code, why, size, "preparing");
    }
    return 0;
}

static void close_table(struct outbox_table *table) {
    struct outbox_sqlite *t = container_of(table, struct outbox_sqlite, table);
    for (int i = 0; i < STATEMENTS; i++)
        sqlite3_finalize(t->statements[i]);
    sqlite3_close(t->db);
    sealer_destroy(t->sealer);
    free(t);
}

static const struct outbox_table_ops ops = {close_table, run};

int outbox_sqlite_open(struct outbox_table **out, const struct outbox_options *o, char *why,
                       size_t why_size) {
    struct outbox_sqlite *t = calloc(1, sizeof *t);
    *out = NULL;
    snprintf(why, why_size, "out of memory");
    if (!t)
        return -ENOMEM;
    t->table.ops = &ops;
    int error = outbox_open_sealer(&t->sealer, o->secret, why, why_size);
    if (!error)
        error = open_file(t, o, why, why_size);
    if (!error)
        error = open_schema(t, why, why_size);
    if (!error && o->beside)
        error = open_lanes(t, why, why_size);
    if (!error)
        error = prepare(t, why, why_size);
    if (error) {
        close_table(&t->table);
        return error;
    }
    *out = &t->table;
    return 0;
}

/* ---- binding and reading ---------------------------------------------------- */

static void bind_text(sqlite3_stmt *s, int at, struct bytes b) {
    sqlite3_bind_text64(s, at, b.at ? b.at : "", b.len, SQLITE_STATIC, SQLITE_UTF8);
}

static void bind_blob(sqlite3_stmt *s, int at, struct bytes b) {
    sqlite3_bind_blob64(s, at, b.at ? b.at : "", b.len, SQLITE_STATIC);
}

/* Frees the statement for its next use; what it was bound to may go. */
static void done(sqlite3_stmt *s) {
    sqlite3_reset(s);
    sqlite3_clear_bindings(s);
}

static struct bytes column(sqlite3_stmt *s, int at, struct arena *memory, bool *failed) {
    const char *bytes = sqlite3_column_blob(s, at);
    size_t len = (size_t)sqlite3_column_bytes(s, at);
    char *copy = arena_copy(memory, (struct bytes){bytes, bytes ? len : 0});
    *failed |= !copy;
    return copy ? (struct bytes){copy, bytes ? len : 0} : (struct bytes){0};
}

/* The columns of SUMMARY. 0 or -ENOMEM. */
static int read_entry(sqlite3_stmt *s, struct outbox_entry *e, struct arena *memory) {
    bool failed = false;
    memset(e, 0, sizeof *e);
    e->sequence = (uint64_t)sqlite3_column_int64(s, 0);
    struct bytes id = column(s, 1, memory, &failed);
    memcpy(e->id, id.at ? id.at : "", id.len < OUTBOX_ID_LEN ? id.len : OUTBOX_ID_LEN);
    e->state = (enum outbox_state)sqlite3_column_int(s, 2);
    e->accepted_ms = sqlite3_column_int64(s, 3);
    e->expires_ms = sqlite3_column_int64(s, 4);
    e->settled_ms = sqlite3_column_int64(s, 5);
    e->attempts = (uint32_t)sqlite3_column_int64(s, 6);
    e->status = sqlite3_column_int(s, 7);
    e->note = column(s, 8, memory, &failed);
    e->service = column(s, 9, memory, &failed);
    e->lane = column(s, 10, memory, &failed);
    e->key = column(s, 11, memory, &failed);
    e->method = column(s, 12, memory, &failed);
    e->target = column(s, 13, memory, &failed);
    e->content_len = (uint64_t)sqlite3_column_int64(s, 14);
    return failed ? -ENOMEM : 0;
}

/* ---- operations: 0, or -errno ------------------------------------------------- */

/* Whose key it is already. -ENOENT: nobody's. */
static int find_by_key(struct outbox_sqlite *t, struct outbox_op *op, const unsigned char *print) {
    sqlite3_stmt *s = t->statements[BY_KEY];
    bind_text(s, 1, op->entry.service);
    bind_blob(s, 2, op->entry.key);
    int code = sqlite3_step(s), error = code == SQLITE_DONE ? -ENOENT : error_of(code);
    if (code == SQLITE_ROW) {
        bool same = sqlite3_column_bytes(s, 15) == OUTBOX_PRINT_LEN &&
                    memcmp(sqlite3_column_blob(s, 15), print, OUTBOX_PRINT_LEN) == 0;
        error = same ? read_entry(s, &op->entry, &op->memory) : -ENOTUNIQ;
        if (same && !error)
            error = -EEXIST;
    }
    done(s);
    return error;
}

static int insert(struct outbox_sqlite *t, struct outbox_op *op, const unsigned char *print,
                  int64_t now_ms) {
    sqlite3_stmt *s = t->statements[INSERT];
    struct outbox_entry *e = &op->entry;
    struct bytes content;
    int error = outbox_make_id(e->id, now_ms);
    if (!error)
        error = outbox_pack(t->sealer, e, &op->memory, &content);
    if (error)
        return error;
    e->content_len = e->fields.len + e->body.len;
    bind_text(s, 1, bytes_of(e->id));
    sqlite3_bind_int64(s, 2, now_ms);
    sqlite3_bind_int64(s, 3, e->expires_ms);
    bind_text(s, 4, e->service);
    bind_blob(s, 5, e->lane);
    bind_blob(s, 6, e->key);
    sqlite3_bind_blob(s, 7, print, OUTBOX_PRINT_LEN, SQLITE_STATIC);
    bind_text(s, 8, e->method);
    bind_blob(s, 9, e->target);
    sqlite3_bind_int64(s, 10, (sqlite3_int64)e->content_len);
    bind_blob(s, 11, content);
    sqlite3_bind_int(s, 12, t->sealer != NULL);
    error = error_of(sqlite3_step(s));
    done(s);
    if (error)
        return error;
    e->sequence = (uint64_t)sqlite3_last_insert_rowid(t->db);
    e->state = OUTBOX_QUEUED;
    e->accepted_ms = now_ms;
    return 0;
}

static int append(struct outbox_sqlite *t, struct outbox_op *op, int64_t now_ms) {
    unsigned char print[OUTBOX_PRINT_LEN];
    int error = outbox_fingerprint(&op->entry, print);
    if (!error)
        error = find_by_key(t, op, print);
    return error == -ENOENT ? insert(t, op, print, now_ms) : error;
}

static int load(struct outbox_sqlite *t, struct outbox_op *op) {
    sqlite3_stmt *s = t->statements[LOAD];
    sqlite3_bind_int64(s, 1, (sqlite3_int64)op->entry.sequence);
    int code = sqlite3_step(s), error = code == SQLITE_DONE ? -ENOENT : error_of(code);
    if (code == SQLITE_ROW) {
        bool failed = false;
        error = read_entry(s, &op->entry, &op->memory);
        struct bytes content = column(s, 15, &op->memory, &failed);
        if (!error && sqlite3_column_type(s, 15) == SQLITE_NULL)
            error = -ENOENT;
        else if (!error)
            error = failed ? -ENOMEM
                           : outbox_unpack(t->sealer, content, sqlite3_column_int(s, 16),
                                           &op->memory, &op->entry);
    }
    done(s);
    return error;
}

static int find(struct outbox_sqlite *t, struct outbox_op *op) {
    sqlite3_stmt *s = t->statements[BY_ID];
    bind_text(s, 1, bytes_of(op->entry.id));
    int code = sqlite3_step(s), error = code == SQLITE_DONE ? -ENOENT : error_of(code);
    if (code == SQLITE_ROW)
        error = read_entry(s, &op->entry, &op->memory);
    done(s);
    return error;
}

static int list(struct outbox_sqlite *t, struct outbox_op *op) {
    sqlite3_stmt *s = t->statements[op->filter.state ? LIST_STATE : LIST];
    uint32_t limit = op->filter.limit < OUTBOX_LIST_MAX ? op->filter.limit : OUTBOX_LIST_MAX;
    op->count = 0;
    op->found = arena_alloc(&op->memory, (limit + 1u) * sizeof *op->found);
    if (!op->found)
        return -ENOMEM;
    sqlite3_bind_int64(s, 1, (sqlite3_int64)op->filter.after);
    if (op->filter.state)
        sqlite3_bind_int(s, 2, (int)op->filter.state);
    if (op->filter.service.len)
        bind_text(s, 3, op->filter.service);
    sqlite3_bind_int64(s, 4, limit);
    int code, error = 0;
    while (!error && (code = sqlite3_step(s)) == SQLITE_ROW)
        error = read_entry(s, &op->found[op->count++], &op->memory);
    if (!error)
        error = error_of(code);
    done(s);
    return error;
}

/* Runs an UPDATE that is bound; -ENOENT where it changed nothing. */
static int update(struct outbox_sqlite *t, sqlite3_stmt *s) {
    int error = error_of(sqlite3_step(s));
    done(s);
    return error ? error : sqlite3_changes(t->db) ? 0 : -ENOENT;
}

static int note(struct outbox_sqlite *t, const struct outbox_entry *e) {
    sqlite3_stmt *s = t->statements[NOTE];
    sqlite3_bind_int64(s, 1, (sqlite3_int64)e->sequence);
    sqlite3_bind_int64(s, 2, e->attempts);
    sqlite3_bind_int(s, 3, e->status);
    bind_text(s, 4, e->note);
    return update(t, s);
}

static int settle(struct outbox_sqlite *t, const struct outbox_entry *e, int64_t now_ms) {
    sqlite3_stmt *s = t->statements[SETTLE];
    sqlite3_bind_int64(s, 1, (sqlite3_int64)e->sequence);
    sqlite3_bind_int(s, 2, (int)e->state);
    sqlite3_bind_int(s, 3, e->status);
    bind_text(s, 4, e->note);
    sqlite3_bind_int64(s, 5, now_ms);
    sqlite3_bind_int64(s, 6, e->attempts);
    return update(t, s);
}

static int retry(struct outbox_sqlite *t, struct outbox_op *op) {
    sqlite3_stmt *s = t->statements[RETRY];
    bind_text(s, 1, bytes_of(op->entry.id));
    int error = update(t, s);
    return error ? error : find(t, op);
}

static int behind(struct outbox_sqlite *t, struct outbox_op *op) {
    sqlite3_stmt *s = t->statements[BEHIND];
    bind_text(s, 1, op->entry.service);
    bind_blob(s, 2, op->entry.lane);
    int code = sqlite3_step(s);
    op->count = code == SQLITE_ROW ? (uint32_t)sqlite3_column_int(s, 0) : 0;
    done(s);
    return error_of(code);
}

static int carry_out(struct outbox_sqlite *t, struct outbox_op *op, int64_t now_ms) {
    switch (op->verb) {
    case OUTBOX_APPEND:
        return append(t, op, now_ms);
    case OUTBOX_LOAD:
        return load(t, op);
    case OUTBOX_FIND:
        return find(t, op);
    case OUTBOX_LIST:
        return list(t, op);
    case OUTBOX_NOTE:
        return note(t, &op->entry);
    case OUTBOX_SETTLE:
        return settle(t, &op->entry, now_ms);
    case OUTBOX_RETRY:
        return retry(t, op);
    case OUTBOX_BEHIND:
        return behind(t, op);
    case OUTBOX_LEASE: /* the file has one owner, who has all of it: outbox.c */
    case OUTBOX_YIELD:
        break;
    }
    return -EINVAL;
}

/* ---- transactions -------------------------------------------------------------- */

static int step(struct outbox_sqlite *t, enum statement which) {
    int code = sqlite3_step(t->statements[which]);
    sqlite3_reset(t->statements[which]);
    return error_of(code);
}

static bool is_lost(const struct outbox_sqlite *t) {
    return sqlite3_get_autocommit(t->db) != 0;
}

static bool forget(struct outbox_sqlite *t, int64_t before_ms) {
    sqlite3_stmt *s = t->statements[FORGET];
    sqlite3_bind_int64(s, 1, before_ms);
    sqlite3_bind_int(s, 2, FORGET_AT_ONCE);
    sqlite3_step(s);
    done(s);
    return !is_lost(t);
}

static int run_all(struct outbox_sqlite *t, struct outbox_op *const *list, size_t count,
                   int64_t now_ms, int64_t forget_ms) {
    for (size_t i = 0; i < count; i++) {
        list[i]->error = carry_out(t, list[i], now_ms);
        if (is_lost(t))
            return list[i]->error ? list[i]->error : -EIO;
    }
    if (forget_ms && !forget(t, forget_ms))
        return -EIO;
    return step(t, COMMIT);
}

/* Reads go without a transaction: they must also when none can be begun. */
static void read_all(struct outbox_sqlite *t, struct outbox_op *const *list, size_t count) {
    for (size_t i = 0; i < count; i++)
        list[i]->error = carry_out(t, list[i], 0);
}

static bool are_reads(struct outbox_op *const *list, size_t count) {
    while (count && outbox_is_read(list[count - 1]))
        count--;
    return !count;
}

static int run(struct outbox_table *table, struct outbox_op *const *list, size_t count,
               int64_t now_ms, int64_t forget_ms) {
    struct outbox_sqlite *t = container_of(table, struct outbox_sqlite, table);
    if (!forget_ms && are_reads(list, count)) {
        read_all(t, list, count);
        return 0;
    }
    int error = step(t, BEGIN);
    if (!error)
        error = run_all(t, list, count, now_ms, forget_ms);
    if (!is_lost(t))
        (void)step(t, ROLLBACK);
    assert(is_lost(t));
    return error;
}
