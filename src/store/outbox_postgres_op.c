/* outbox_postgres_op.c - see outbox_postgres.h: what each operation asks the server,
 * and what it makes of the answers. */
#include <endian.h>
#include <errno.h>
#include <stdio.h>

#include "store/outbox_postgres.h"

enum { VALUES_MAX = 12, FORGET_AT_ONCE = 500 };

#define SUMMARY                                                                                   \
    "sequence, id, state, accepted_ms, expires_ms, settled_ms, attempts, status, note, service, " \
    "lane, key, method, target, content_len"

enum { SUMMARY_COLUMNS = 15 };

/* The casts tell the server the types of the values, which are sent in binary. */
const char *const outbox_statements[PG_STATEMENTS] = {
    [PG_BEGIN] = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE",
    [PG_COMMIT] = "COMMIT",
    [PG_LOCK] = "SELECT pg_advisory_xact_lock(" PG_LOCK_KEY ")",
    [PG_INSERT] = "INSERT INTO switchgear_outbox(id, accepted_ms, expires_ms, service, lane, key, "
                  "print, method, target, content_len, content, sealed) "
                  "VALUES($1::text, $2::bigint, $3::bigint, $4::text, $5::bytea, $6::bytea, "
                  "$7::bytea, $8::text, $9::bytea, $10::bigint, $11::bytea, $12::bigint <> 0) "
                  "ON CONFLICT DO NOTHING RETURNING sequence",
    [PG_BY_KEY] = "SELECT " SUMMARY ", print FROM switchgear_outbox "
                  "WHERE service = $1::text AND key = $2::bytea",
    [PG_BY_ID] = "SELECT " SUMMARY " FROM switchgear_outbox WHERE id = $1::text",
    [PG_LOAD] = "SELECT " SUMMARY ", content, sealed::int FROM switchgear_outbox "
                "WHERE sequence = $1::bigint",
    /* One statement for each index: a plan for all cases would be one for the worst. */
    [PG_LIST] = "SELECT " SUMMARY " FROM switchgear_outbox WHERE sequence > $1::bigint "
                "AND ($2::text = '' OR service = $2::text) ORDER BY sequence LIMIT $3::bigint",
    [PG_LIST_STATE] = "SELECT " SUMMARY " FROM switchgear_outbox WHERE sequence > $1::bigint "
                      "AND ($2::text = '' OR service = $2::text) AND state = $4::bigint::int "
                      "ORDER BY sequence LIMIT $3::bigint",
    [PG_LIST_QUEUED] = "SELECT " SUMMARY " FROM switchgear_outbox WHERE sequence > $1::bigint "
                       "AND service = $2::text AND state = 1 ORDER BY sequence LIMIT $3::bigint",
    [PG_NOTE] = "UPDATE switchgear_outbox SET attempts = $2::bigint, status = $3::bigint, note = "
                "$4::bytea WHERE sequence = $1::bigint AND state = 1",
    [PG_SETTLE] = "UPDATE switchgear_outbox SET state = $2::bigint, status = $3::bigint, note = "
                  "$4::bytea, settled_ms = $5::bigint, attempts = greatest(attempts, $6::bigint), "
                  "content = CASE WHEN $2::bigint = 2 THEN content END "
                  "WHERE sequence = $1::bigint AND state <= 2",
    [PG_RETRY] = "UPDATE switchgear_outbox SET state = 1, settled_ms = 0, attempts = 0, "
                 "expires_ms = 0, sequence = nextval('switchgear_outbox_sequence') "
                 "WHERE id = $1::text AND state = 2 RETURNING " SUMMARY,
    [PG_LEASE] = "INSERT INTO switchgear_outbox_lease AS l(service, owner, until) "
                 "VALUES($1::text, $2::text, clock_timestamp() + $3::bigint * interval "
                 "'1 millisecond') ON CONFLICT (service) DO UPDATE SET owner = excluded.owner, "
                 "until = excluded.until WHERE l.owner = excluded.owner OR l.until < "
                 "clock_timestamp() RETURNING 1::bigint",
    [PG_LEFT] = "SELECT count(*), coalesce(sum(content_len), 0)::bigint, coalesce((SELECT "
                "ceil(extract(epoch FROM until - clock_timestamp()) * 1000)::bigint FROM "
                "switchgear_outbox_lease WHERE service = $1::text), 0) "
                "FROM switchgear_outbox WHERE service = $1::text AND state = 1",
    [PG_YIELD] = "DELETE FROM switchgear_outbox_lease WHERE service = $1::text "
                 "AND owner = $2::text",
    [PG_BEHIND] = "SELECT count(*) FROM (SELECT 1 FROM switchgear_outbox WHERE service = $1::text "
                  "AND sha256(lane) = sha256($2::bytea) AND state = 1 LIMIT 1) AS one",
    [PG_FORGET] = "DELETE FROM switchgear_outbox WHERE sequence IN (SELECT sequence FROM "
                  "switchgear_outbox WHERE state > 2 AND settled_ms < $1::bigint LIMIT $2::bigint "
                  "FOR UPDATE SKIP LOCKED)",
};

/* ---- values ----------------------------------------------------------------------- */

struct outbox_pg_values {
    int count;
    const char *at[VALUES_MAX];
    int lens[VALUES_MAX], binary[VALUES_MAX];
    uint64_t numbers[VALUES_MAX];
};

static void add_number(struct outbox_pg_values *v, int64_t number) {
    int i = v->count++;
    v->numbers[i] = htobe64((uint64_t)number);
    v->at[i] = (const char *)&v->numbers[i];
    v->lens[i] = sizeof v->numbers[i];
    v->binary[i] = 1;
}

/* Also text, which looks the same in binary. */
static void add_bytes(struct outbox_pg_values *v, struct bytes b) {
    int i = v->count++;
    v->at[i] = b.len ? b.at : "";
    v->lens[i] = (int)b.len;
    v->binary[i] = 1;
}

static bool send_statement(struct outbox_postgres *t, enum outbox_statement which,
                           const struct outbox_pg_values *v) {
    char name[16];
    snprintf(name, sizeof name, "s%d", which);
    return PQsendQueryPrepared(t->pg, name, v ? v->count : 0, v ? v->at : NULL, v ? v->lens : NULL,
                               v ? v->binary : NULL, 1);
}

/* ---- operations, on their way ------------------------------------------------------ */

/* What the server has no text for is nobody's name: not an error of the group. */
static bool is_text(struct bytes b) {
    for (size_t i = 0; i < b.len; i++) {
        if (b.at[i] < ' ' || b.at[i] > '~')
            return false;
    }
    return true;
}

void outbox_pg_ask(struct outbox_pg_sending *s, enum outbox_statement which,
                   const struct outbox_pg_values *v) {
    if (!s->lost && send_statement(s->t, which, v))
        s->statements++;
    else
        s->lost = true;
}

void outbox_pg_ask_forget(struct outbox_pg_sending *s, int64_t before_ms) {
    struct outbox_pg_values v = {0};
    add_number(&v, before_ms);
    add_number(&v, FORGET_AT_ONCE);
    outbox_pg_ask(s, PG_FORGET, &v);
}

static int send_append(struct outbox_pg_sending *s, struct outbox_op *op) {
    struct outbox_entry *e = &op->entry;
    struct outbox_pg_values v = {0}, w = {0};
    unsigned char print[OUTBOX_PRINT_LEN];
    struct bytes content;
    int error = e->id[0] ? 0 : outbox_make_id(e->id, s->now_ms);
    if (!error)
        error = outbox_fingerprint(e, print);
    if (!error)
        error = outbox_pack(s->t->sealer, e, &op->memory, &content);
    if (error)
        return error;
    e->content_len = e->fields.len + e->body.len;
    add_bytes(&v, bytes_of(e->id));
    add_number(&v, s->now_ms);
    add_number(&v, e->expires_ms);
    add_bytes(&v, e->service);
    add_bytes(&v, e->lane);
    add_bytes(&v, e->key);
    add_bytes(&v, (struct bytes){(char *)print, sizeof print});
    add_bytes(&v, e->method);
    add_bytes(&v, e->target);
    add_number(&v, (int64_t)e->content_len);
    add_bytes(&v, content);
    add_number(&v, s->t->sealer != NULL);
    outbox_pg_ask(s, PG_INSERT, &v);
    add_bytes(&w, e->service);
    add_bytes(&w, e->key);
    outbox_pg_ask(s, PG_BY_KEY, &w);
    return 0;
}

static int send_list(struct outbox_pg_sending *s, struct outbox_op *op) {
    uint32_t limit = op->filter.limit < OUTBOX_LIST_MAX ? op->filter.limit : OUTBOX_LIST_MAX;
    struct outbox_pg_values v = {0};
    op->count = 0;
    op->found = arena_alloc(&op->memory, (limit + 1u) * sizeof *op->found);
    if (!op->found)
        return -ENOMEM;
    if (!is_text(op->filter.service))
        return 0;
    add_number(&v, (int64_t)op->filter.after);
    add_bytes(&v, op->filter.service);
    add_number(&v, limit);
    bool queued = op->filter.state == OUTBOX_QUEUED && op->filter.service.len;
    if (op->filter.state && !queued)
        add_number(&v, op->filter.state);
    outbox_pg_ask(s, queued ? PG_LIST_QUEUED : op->filter.state ? PG_LIST_STATE : PG_LIST, &v);
    return 0;
}

static int send_by_id(struct outbox_pg_sending *s, const struct outbox_op *op,
                      enum outbox_statement which) {
    struct outbox_pg_values v = {0};
    if (!is_text(bytes_of(op->entry.id)))
        return -ENOENT;
    add_bytes(&v, bytes_of(op->entry.id));
    outbox_pg_ask(s, which, &v);
    return 0;
}

static void send_fate(struct outbox_pg_sending *s, const struct outbox_entry *e, bool settle) {
    struct outbox_pg_values v = {0};
    add_number(&v, (int64_t)e->sequence);
    if (settle)
        add_number(&v, e->state);
    else
        add_number(&v, e->attempts);
    add_number(&v, e->status);
    add_bytes(&v, e->note);
    if (settle) {
        add_number(&v, s->now_ms);
        add_number(&v, e->attempts);
    }
    outbox_pg_ask(s, settle ? PG_SETTLE : PG_NOTE, &v);
}

static void send_lease(struct outbox_pg_sending *s, const struct outbox_op *op) {
    struct outbox_pg_values v = {0}, w = {0};
    add_bytes(&v, op->entry.service);
    add_bytes(&v, bytes_of(op->lease.owner));
    if (op->verb == OUTBOX_LEASE)
        add_number(&v, op->lease.length_ms);
    outbox_pg_ask(s, op->verb == OUTBOX_LEASE ? PG_LEASE : PG_YIELD, &v);
    add_bytes(&w, op->entry.service);
    if (op->verb == OUTBOX_LEASE)
        outbox_pg_ask(s, PG_LEFT, &w);
}

/* 0, or why it failed before the server was asked. */
int outbox_pg_send_op(struct outbox_pg_sending *s, struct outbox_op *op) {
    struct outbox_pg_values v = {0};
    switch (op->verb) {
    case OUTBOX_APPEND:
        return send_append(s, op);
    case OUTBOX_LOAD:
        add_number(&v, (int64_t)op->entry.sequence);
        outbox_pg_ask(s, PG_LOAD, &v);
        return 0;
    case OUTBOX_FIND:
        return send_by_id(s, op, PG_BY_ID);
    case OUTBOX_LIST:
        return send_list(s, op);
    case OUTBOX_NOTE:
    case OUTBOX_SETTLE:
        send_fate(s, &op->entry, op->verb == OUTBOX_SETTLE);
        return 0;
    case OUTBOX_RETRY:
        return send_by_id(s, op, PG_RETRY);
    case OUTBOX_LEASE:
    case OUTBOX_YIELD:
        send_lease(s, op);
        return 0;
    case OUTBOX_BEHIND:
        add_bytes(&v, op->entry.service);
        add_bytes(&v, op->entry.lane);
        outbox_pg_ask(s, PG_BEHIND, &v);
        return 0;
    }
    return -EINVAL;
}

/* ---- and their answers ---------------------------------------------------------------- */

/* bigint or integer */
static int64_t number(const PGresult *r, int row, int column) {
    const char *at = PQgetvalue(r, row, column);
    uint64_t wide;
    uint32_t narrow;
    if (PQgetlength(r, row, column) == sizeof wide) {
        memcpy(&wide, at, sizeof wide);
        return (int64_t)be64toh(wide);
    }
    if (PQgetlength(r, row, column) != sizeof narrow)
        return 0;
    memcpy(&narrow, at, sizeof narrow);
    return (int32_t)be32toh(narrow);
}

static struct bytes field(const PGresult *r, int row, int column) {
    return (struct bytes){PQgetvalue(r, row, column), (size_t)PQgetlength(r, row, column)};
}

static struct bytes copy(const PGresult *r, int row, int column, struct arena *memory,
                         bool *failed) {
    struct bytes b = field(r, row, column);
    b.at = arena_copy(memory, b);
    *failed |= !b.at;
    return b.at ? b : (struct bytes){0};
}

/* The columns of SUMMARY. 0 or -ENOMEM. */
static int read_entry(const PGresult *r, int row, struct outbox_entry *e, struct arena *memory) {
    bool failed = false;
    struct bytes id = field(r, row, 1);
    memset(e, 0, sizeof *e);
    e->sequence = (uint64_t)number(r, row, 0);
    memcpy(e->id, id.at, id.len < OUTBOX_ID_LEN ? id.len : OUTBOX_ID_LEN);
    e->state = (enum outbox_state)number(r, row, 2);
    e->accepted_ms = number(r, row, 3);
    e->expires_ms = number(r, row, 4);
    e->settled_ms = number(r, row, 5);
    e->attempts = (uint32_t)number(r, row, 6);
    e->status = (int32_t)number(r, row, 7);
    e->note = copy(r, row, 8, memory, &failed);
    e->service = copy(r, row, 9, memory, &failed);
    e->lane = copy(r, row, 10, memory, &failed);
    e->key = copy(r, row, 11, memory, &failed);
    e->method = copy(r, row, 12, memory, &failed);
    e->target = copy(r, row, 13, memory, &failed);
    e->content_len = (uint64_t)number(r, row, 14);
    return failed ? -ENOMEM : 0;
}

static int take_append(struct outbox_op *op, const PGresult *inserted, const PGresult *there,
                       int64_t now_ms) {
    struct outbox_entry *e = &op->entry;
    unsigned char print[OUTBOX_PRINT_LEN];
    bool ours = PQntuples(inserted) == 1;
    if (!ours && PQntuples(there) != 1)
        return -EIO; /* it was forgotten at this moment */
    if (ours || bytes_equal(field(there, 0, 1), bytes_of(e->id))) {
        e->sequence = (uint64_t)number(ours ? inserted : there, 0, 0);
        e->state = OUTBOX_QUEUED;
        e->accepted_ms = now_ms;
        return 0;
    }
    int error = outbox_fingerprint(e, print);
    if (error)
        return error;
    if (!bytes_equal(field(there, 0, SUMMARY_COLUMNS), (struct bytes){(char *)print, sizeof print}))
        return -ENOTUNIQ;
    error = read_entry(there, 0, e, &op->memory);
    return error ? error : -EEXIST;
}

static int take_entry(struct outbox_op *op, const PGresult *r, struct sealer *sealer) {
    if (PQntuples(r) != 1)
        return -ENOENT;
    int error = read_entry(r, 0, &op->entry, &op->memory);
    if (error || op->verb != OUTBOX_LOAD)
        return error;
    bool failed = false, sealed = number(r, 0, SUMMARY_COLUMNS + 1) != 0;
    if (PQgetisnull(r, 0, SUMMARY_COLUMNS))
        return -ENOENT; /* it was settled meanwhile */
    struct bytes content = copy(r, 0, SUMMARY_COLUMNS, &op->memory, &failed);
    return failed ? -ENOMEM : outbox_unpack(sealer, content, sealed, &op->memory, &op->entry);
}

static int take_list(struct outbox_op *op, const PGresult *r) {
    int error = 0;
    for (int i = 0; r && !error && i < PQntuples(r); i++)
        error = read_entry(r, i, &op->found[op->count++], &op->memory);
    return error;
}

static int take_lease(struct outbox_op *op, const PGresult *taken, const PGresult *left) {
    if (PQntuples(left) != 1)
        return -EIO;
    op->lease.entries = (uint64_t)number(left, 0, 0);
    op->lease.bytes = (uint64_t)number(left, 0, 1);
    op->lease.left_ms = number(left, 0, 2);
    return PQntuples(taken) ? 0 : -EBUSY;
}

int outbox_pg_take_op(const struct outbox_postgres *t, struct outbox_op *op, PGresult *const r[2],
                      int64_t now_ms) {
    switch (op->verb) {
    case OUTBOX_APPEND:
        return take_append(op, r[0], r[1], now_ms);
    case OUTBOX_LOAD:
    case OUTBOX_FIND:
    case OUTBOX_RETRY:
        return take_entry(op, r[0], t->sealer);
    case OUTBOX_LIST:
        return take_list(op, r[0]);
    case OUTBOX_NOTE:
    case OUTBOX_SETTLE:
        return strcmp(PQcmdTuples(r[0]), "0") != 0 ? 0 : -ENOENT;
    case OUTBOX_LEASE:
        return take_lease(op, r[0], r[1]);
    case OUTBOX_YIELD:
        return 0;
    case OUTBOX_BEHIND:
        op->count = (uint32_t)number(r[0], 0, 0);
        return 0;
    }
    return -EINVAL;
}
