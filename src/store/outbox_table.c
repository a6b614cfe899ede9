/* outbox_table.c - see outbox_table.h.
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
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/seal.h"

enum {
    APPLICATION_ID = 0x53776f62, /* "Swob", so that no other database is taken for ours */
    VERSION = 1,
    LENGTH = 8, /* of the fields, in front of the content */
    FORGET_AT_ONCE = 500,
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

struct outbox_table {
    sqlite3 *db;
    sqlite3_stmt *statements[STATEMENTS];
    struct sealer *sealer; /* NULL: content stays as it is */
};

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

static int say(const struct outbox_table *t, int code, char *why, size_t size, const char *doing) {
    snprintf(why, size, "%s: %s", doing, t->db ? sqlite3_errmsg(t->db) : sqlite3_errstr(code));
    return error_of(code);
}

/* ---- opening -------------------------------------------------------------- */

static int pragma_value(struct outbox_table *t, const char *text, int *value) {
    sqlite3_stmt *s;
    int code = sqlite3_prepare_v2(t->db, text, -1, &s, NULL);
    if (code == SQLITE_OK && (code = sqlite3_step(s)) == SQLITE_ROW)
        *value = sqlite3_column_int(s, 0);
    int end = sqlite3_finalize(s);
    return end != SQLITE_OK ? end : code == SQLITE_ROW ? SQLITE_OK : code;
}

/* An empty file is made an outbox; any other must be one. */
static int open_schema(struct outbox_table *t, char *why, size_t size) {
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

static int open_file(struct outbox_table *t, const struct outbox_options *o, char *why,
                     size_t size) {
    int flags =
        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    int code = sqlite3_open_v2(o->file, &t->db, flags, o->vfs);
    if (code != SQLITE_OK)
        return say(t, code, why, size, "opening the file");
    sqlite3_db_config(t->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(t->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    code = sqlite3_exec(t->db,
                        "PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY;"
                        "PRAGMA journal_mode = WAL; PRAGMA journal_size_limit = 67108864",
                        NULL, NULL, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_wal_autocheckpoint(
            t->db, o->checkpoint_pages ? (int)o->checkpoint_pages : CHECKPOINT_PAGES);
    if (code == SQLITE_OK)
        code = sqlite3_exec(
            t->db, o->without_sync ? "PRAGMA synchronous = OFF" : "PRAGMA synchronous = FULL", NULL,
            NULL, NULL);
    return code == SQLITE_OK ? 0 : say(t, code, why, size, "opening the file");
}

static int prepare(struct outbox_table *t, char *why, size_t size) {
    for (int i = 0; i < STATEMENTS; i++) {
        int code = sqlite3_prepare_v3(t->db, texts[i], -1, SQLITE_PREPARE_PERSISTENT,
                                      &t->statements[i], NULL);
        if (code != SQLITE_OK)
            return say(t, code, why, size, "preparing");
    }
    return 0;
}

static int open_sealer(struct outbox_table *t, const char *secret, char *why, size_t size) {
    int error = secret ? sealer_create(&t->sealer, secret) : 0;
    if (error == -EINVAL)
        snprintf(why, size, "the secret must be 64 hexadecimal digits");
    return error;
}

int outbox_table_open(struct outbox_table **out, const struct outbox_options *o, char *why,
                      size_t why_size) {
    struct outbox_table *t = calloc(1, sizeof *t);
    *out = NULL;
    snprintf(why, why_size, "out of memory");
    if (!t)
        return -ENOMEM;
    int error = open_sealer(t, o->secret, why, why_size);
    if (!error)
        error = open_file(t, o, why, why_size);
    if (!error)
        error = open_schema(t, why, why_size);
    if (!error)
        error = prepare(t, why, why_size);
    if (error) {
        outbox_table_close(t);
        return error;
    }
    *out = t;
    return 0;
}

void outbox_table_close(struct outbox_table *t) {
    if (!t)
        return;
    for (int i = 0; i < STATEMENTS; i++)
        sqlite3_finalize(t->statements[i]);
    sqlite3_close(t->db);
    sealer_destroy(t->sealer);
    free(t);
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

/* ---- content ---------------------------------------------------------------- */

/* Length of the fields, fields, body; sealed or not. 0 or -errno. */
static int pack(struct outbox_table *t, const struct outbox_entry *e, struct arena *memory,
                struct bytes *out) {
    if (e->fields.len > OUTBOX_CONTENT_MAX || e->body.len > OUTBOX_CONTENT_MAX - e->fields.len)
        return -E2BIG;
    size_t len = LENGTH + e->fields.len + e->body.len;
    char *plain = arena_alloc(memory, len);
    if (!plain)
        return -ENOMEM;
    for (int i = 0; i < LENGTH; i++)
        plain[i] = (char)(e->fields.len >> (8 * i));
    if (e->fields.len)
        memcpy(plain + LENGTH, e->fields.at, e->fields.len);
    if (e->body.len)
        memcpy(plain + LENGTH + e->fields.len, e->body.at, e->body.len);
    *out = (struct bytes){plain, len};
    if (!t->sealer)
        return 0;
    unsigned char *sealed = arena_alloc(memory, len + SEAL_EXTRA);
    if (!sealed)
        return -ENOMEM;
    int error = seal(t->sealer, bytes_of(e->id), *out, sealed);
    *out = (struct bytes){(char *)sealed, len + SEAL_EXTRA};
    return error;
}

static int unpack(struct outbox_table *t, struct bytes in, bool sealed, struct arena *memory,
                  struct outbox_entry *e) {
    if (sealed && !t->sealer)
        return -EBADMSG;
    if (sealed) {
        unsigned char *plain = arena_alloc(memory, in.len + 1);
        size_t len;
        if (!plain)
            return -ENOMEM;
        int error = unseal(t->sealer, bytes_of(e->id), in, plain, &len);
        if (error)
            return error;
        in = (struct bytes){(char *)plain, len};
    }
    uint64_t fields = 0;
    if (in.len < LENGTH)
        return -EBADMSG;
    for (int i = 0; i < LENGTH; i++)
        fields |= (uint64_t)(unsigned char)in.at[i] << (8 * i);
    if (fields > in.len - LENGTH || in.len - LENGTH != e->content_len)
        return -EBADMSG;
    e->fields = (struct bytes){in.at + LENGTH, (size_t)fields};
    e->body = (struct bytes){in.at + LENGTH + fields, in.len - LENGTH - (size_t)fields};
    return 0;
}

/* Tells whether two requests under one key are the same. 0 or -ENOMEM. */
static int fingerprint(const struct outbox_entry *e, unsigned char out[SHA256_DIGEST_LENGTH]) {
    const struct bytes parts[] = {e->method, e->target, e->body};
    EVP_MD_CTX *hash = EVP_MD_CTX_new();
    bool good = hash && EVP_DigestInit_ex(hash, EVP_sha256(), NULL);
    for (size_t i = 0; good && i < sizeof parts / sizeof *parts; i++) {
        uint64_t len = parts[i].len;
        good = EVP_DigestUpdate(hash, &len, sizeof len) &&
               (!len || EVP_DigestUpdate(hash, parts[i].at, len));
    }
    good = good && EVP_DigestFinal_ex(hash, out, NULL);
    EVP_MD_CTX_free(hash);
    return good ? 0 : -ENOMEM;
}

/* Milliseconds, then 80 random bits, as UUIDs of version 7 begin: nobody guesses one, and
 * what is appended together lies together in the index. With random ones each append
 * would dirty a page of its own. */
static int make_id(char id[OUTBOX_ID_LEN + 1], int64_t now_ms) {
    unsigned char bytes[OUTBOX_ID_LEN / 2];
    if (RAND_bytes(bytes, sizeof bytes) != 1)
        return -EIO;
    for (int i = 0; i < 6; i++)
        bytes[i] = (unsigned char)((uint64_t)now_ms >> (40 - 8 * i));
    for (size_t i = 0; i < sizeof bytes; i++)
        snprintf(id + 2 * i, 3, "%02x", bytes[i]);
    return 0;
}

/* ---- operations: 0, or -errno ------------------------------------------------- */

/* Whose key it is already. -ENOENT: nobody's. */
static int find_by_key(struct outbox_table *t, struct outbox_op *op, const unsigned char *print) {
    sqlite3_stmt *s = t->statements[BY_KEY];
    bind_text(s, 1, op->entry.service);
    bind_blob(s, 2, op->entry.key);
    int code = sqlite3_step(s), error = code == SQLITE_DONE ? -ENOENT : error_of(code);
    if (code == SQLITE_ROW) {
        bool same = sqlite3_column_bytes(s, 15) == SHA256_DIGEST_LENGTH &&
                    memcmp(sqlite3_column_blob(s, 15), print, SHA256_DIGEST_LENGTH) == 0;
        error = same ? read_entry(s, &op->entry, &op->memory) : -ENOTUNIQ;
        if (same && !error)
            error = -EEXIST;
    }
    done(s);
    return error;
}

static int insert(struct outbox_table *t, struct outbox_op *op, const unsigned char *print,
                  int64_t now_ms) {
    sqlite3_stmt *s = t->statements[INSERT];
    struct outbox_entry *e = &op->entry;
    struct bytes content;
    int error = make_id(e->id, now_ms);
    if (!error)
        error = pack(t, e, &op->memory, &content);
    if (error)
        return error;
    e->content_len = e->fields.len + e->body.len;
    bind_text(s, 1, bytes_of(e->id));
    sqlite3_bind_int64(s, 2, now_ms);
    sqlite3_bind_int64(s, 3, e->expires_ms);
    bind_text(s, 4, e->service);
    bind_blob(s, 5, e->lane);
    bind_blob(s, 6, e->key);
    sqlite3_bind_blob(s, 7, print, SHA256_DIGEST_LENGTH, SQLITE_STATIC);
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

static int append(struct outbox_table *t, struct outbox_op *op, int64_t now_ms) {
    unsigned char print[SHA256_DIGEST_LENGTH];
    int error = fingerprint(&op->entry, print);
    if (!error)
        error = find_by_key(t, op, print);
    return error == -ENOENT ? insert(t, op, print, now_ms) : error;
}

static int load(struct outbox_table *t, struct outbox_op *op) {
    sqlite3_stmt *s = t->statements[LOAD];
    sqlite3_bind_int64(s, 1, (sqlite3_int64)op->entry.sequence);
    int code = sqlite3_step(s), error = code == SQLITE_DONE ? -ENOENT : error_of(code);
    if (code == SQLITE_ROW) {
        bool failed = false;
        error = read_entry(s, &op->entry, &op->memory);
        struct bytes content = column(s, 15, &op->memory, &failed);
        if (!error)
            error = failed ? -ENOMEM
                           : unpack(t, content, sqlite3_column_int(s, 16), &op->memory, &op->entry);
    }
    done(s);
    return error;
}

static int find(struct outbox_table *t, struct outbox_op *op) {
    sqlite3_stmt *s = t->statements[BY_ID];
    bind_text(s, 1, bytes_of(op->entry.id));
    int code = sqlite3_step(s), error = code == SQLITE_DONE ? -ENOENT : error_of(code);
    if (code == SQLITE_ROW)
        error = read_entry(s, &op->entry, &op->memory);
    done(s);
    return error;
}

static int list(struct outbox_table *t, struct outbox_op *op) {
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
static int update(struct outbox_table *t, sqlite3_stmt *s) {
    int error = error_of(sqlite3_step(s));
    done(s);
    return error ? error : sqlite3_changes(t->db) ? 0 : -ENOENT;
}

static int note(struct outbox_table *t, const struct outbox_entry *e) {
    sqlite3_stmt *s = t->statements[NOTE];
    sqlite3_bind_int64(s, 1, (sqlite3_int64)e->sequence);
    sqlite3_bind_int64(s, 2, e->attempts);
    sqlite3_bind_int(s, 3, e->status);
    bind_text(s, 4, e->note);
    return update(t, s);
}

static int settle(struct outbox_table *t, const struct outbox_entry *e, int64_t now_ms) {
    sqlite3_stmt *s = t->statements[SETTLE];
    sqlite3_bind_int64(s, 1, (sqlite3_int64)e->sequence);
    sqlite3_bind_int(s, 2, (int)e->state);
    sqlite3_bind_int(s, 3, e->status);
    bind_text(s, 4, e->note);
    sqlite3_bind_int64(s, 5, now_ms);
    sqlite3_bind_int64(s, 6, e->attempts);
    return update(t, s);
}

static int retry(struct outbox_table *t, struct outbox_op *op) {
    sqlite3_stmt *s = t->statements[RETRY];
    bind_text(s, 1, bytes_of(op->entry.id));
    int error = update(t, s);
    return error ? error : find(t, op);
}

static int run(struct outbox_table *t, struct outbox_op *op, int64_t now_ms) {
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
    }
    return -EINVAL;
}

/* ---- transactions -------------------------------------------------------------- */

static int step(struct outbox_table *t, enum statement which) {
    int code = sqlite3_step(t->statements[which]);
    sqlite3_reset(t->statements[which]);
    return error_of(code);
}

static bool is_lost(const struct outbox_table *t) {
    return sqlite3_get_autocommit(t->db) != 0;
}

int outbox_table_begin(struct outbox_table *t) {
    return step(t, BEGIN);
}

bool outbox_table_run(struct outbox_table *t, struct outbox_op *op, int64_t now_ms) {
    op->error = run(t, op, now_ms);
    return !is_lost(t);
}

bool outbox_table_forget(struct outbox_table *t, int64_t before_ms) {
    sqlite3_stmt *s = t->statements[FORGET];
    sqlite3_bind_int64(s, 1, before_ms);
    sqlite3_bind_int(s, 2, FORGET_AT_ONCE);
    sqlite3_step(s);
    done(s);
    return !is_lost(t);
}

int outbox_table_end(struct outbox_table *t) {
    int error = step(t, COMMIT);
    if (error)
        outbox_table_undo(t);
    return error;
}

void outbox_table_undo(struct outbox_table *t) {
    if (!is_lost(t))
        (void)step(t, ROLLBACK);
    assert(is_lost(t));
}
