/* sql.c - the tier that asks a database.
 *
 * What the caller said goes to the database as values, never as text of the
 * statement. A value that the request has not, or that is not of the type that
 * was asked for, is no reason to guess: the next tier is tried. */
#include <errno.h>
#include <stdlib.h>

#include "base/json_out.h"
#include "gateway/database.h"
#include "gateway/exchange.h"

enum { NUMBER_MAX = 40 };

struct tier_sql {
    struct tier_work work;
    struct leg *leg;
    const struct tier_options *tier;
    struct database_call call;
};

/* ---- values ------------------------------------------------------------------------ */

/* As a NUL-terminated number that strto…() reads to its end; NULL: too long. */
static const char *number_text(struct bytes text, char *out) {
    if (!text.len || text.len >= NUMBER_MAX || !strchr("-0123456789", text.at[0]))
        return NULL;
    memcpy(out, text.at, text.len);
    out[text.len] = '\0';
    return strlen(out) == text.len ? out : NULL;
}

static bool is_integer(struct bytes text) {
    char memory[NUMBER_MAX], *end;
    const char *number = number_text(text, memory);
    if (!number)
        return false;
    errno = 0;
    strtoll(number, &end, 10);
    return !errno && end != number && !*end;
}

static bool is_real(struct bytes text) {
    char memory[NUMBER_MAX], *end;
    const char *number = number_text(text, memory);
    if (!number || strspn(number, "-+.0123456789eE") != text.len)
        return false;
    errno = 0;
    strtod(number, &end);
    return errno != ERANGE && end != number && !*end;
}

static bool is_bool(struct bytes text) {
    return bytes_equal(text, BYTES("true")) || bytes_equal(text, BYTES("false"));
}

/* JSON has types of its own; the rest of a request is text. */
static enum sql_kind own_kind(enum value_kind kind) {
    switch (kind) {
    case VALUE_INTEGER:
        return SQL_INTEGER;
    case VALUE_REAL:
        return SQL_REAL;
    case VALUE_BOOL:
        return SQL_BOOL;
    default:
        return SQL_TEXT;
    }
}

static bool convert(const struct sql_parameter *p, const struct value *v, struct sql_value *out) {
    if (v->kind == VALUE_NULL || (v->kind == VALUE_MISSING && p->nullable)) {
        *out = (struct sql_value){.kind = SQL_NULL};
        return true;
    }
    out->text = v->text;
    out->kind = own_kind(v->kind);
    switch (p->type) {
    case SQL_PARAMETER_TEXT:
        out->kind = SQL_TEXT;
        break;
    case SQL_PARAMETER_INTEGER:
        out->kind = SQL_INTEGER;
        break;
    case SQL_PARAMETER_REAL:
        out->kind = SQL_REAL;
        break;
    case SQL_PARAMETER_BOOLEAN:
        out->kind = SQL_BOOL;
        break;
    case SQL_PARAMETER_ANY:
        break;
    }
    return v->kind != VALUE_MISSING && (out->kind != SQL_INTEGER || is_integer(v->text)) &&
           (out->kind != SQL_REAL || is_real(v->text)) &&
           (out->kind != SQL_BOOL || is_bool(v->text));
}

static bool read_values(struct exchange *x, const struct tier_options *tier,
                        struct sql_value *values) {
    for (uint32_t i = 0; i < tier->sql.count; i++) {
        const struct sql_parameter *p = &tier->sql.parameters[i];
        struct value v = value_read(x, &p->from);
        if (!convert(p, &v, &values[i]))
            return false;
    }
    return true;
}

/* ---- the answer ---------------------------------------------------------------------- */

/* {"source": "…", "items": …} where a key was asked for. `with` is an object that
 * has something in it: it goes on after its last key. */
static bool write_body(const struct tier_options *tier, struct bytes json, struct buf *to) {
    if (tier->sql.wrap) {
        struct bytes with = tier->sql.with ? bytes_of(tier->sql.with) : BYTES("{}");
        buf_append(to, with.at, with.len - 1);
        buf_string(to, tier->sql.with ? ",\"" : "\"");
        json_escape(to, bytes_of(tier->sql.wrap));
        buf_literal(to, "\":");
    }
    buf_bytes(to, json);
    if (tier->sql.wrap)
        buf_char(to, '}');
    return !to->failed;
}

static void answer(struct leg *leg, const struct tier_options *tier, struct bytes json) {
    struct buf body;
    buf_init(&body, json.len + (tier->sql.with ? strlen(tier->sql.with) : 0) + 1024);
    if (!write_body(tier, json, &body)) {
        buf_free(&body);
        tier_failed(leg);
        return;
    }
    tier_begin_answer(leg);
    reply_whole(leg->x, 200, BYTES("Content-Type: application/json\r\n"), buf_view(&body), "sql");
    buf_free(&body);
}

/* The exchange, and with it `c`, may be gone at the end. */
static void on_done(struct database_call *c) {
    struct tier_sql *t = container_of(c, struct tier_sql, call);
    struct sql_query *q = c->answer;
    const struct tier_options *tier = t->tier;
    bool rows = tier->sql.shape == SQL_AS_ROWS;
    bool empty = c->result == SQL_NOT_FOUND || (q && rows && !q->rows);
    if (empty && !tier->sql.empty_is_fine)
        tier_failed(t->leg);
    else if (q)
        answer(t->leg, tier, buf_view(&q->answer));
    else if (empty)
        answer(t->leg, tier, BYTES("null"));
    else
        tier_failed(t->leg);
    sql_query_free(q);
}

static void cancel(struct tier_work *work) {
    database_cancel(&container_of(work, struct tier_sql, work)->call);
}

enum tier_result tier_sql(struct leg *leg, const struct tier_options *tier, uint64_t deadline_ns) {
    struct exchange *x = leg->x;
    struct tier_sql *t = arena_zalloc(&x->arena, sizeof *t);
    struct sql_value *values = arena_alloc(&x->arena, (tier->sql.count + 1) * sizeof *values);
    if (!t || !values || !read_values(x, tier, values))
        return TIER_FAILED;
    *t = (struct tier_sql){.work = {cancel}, .leg = leg, .tier = tier};
    t->call.db = &leg->service->plan->databases[tier->sql.index];
    t->call.worker = x->worker;
    t->call.done = on_done;
    t->call.request = (struct sql_request){.text = tier->sql.text,
                                           .count = tier->sql.count,
                                           .values = values,
                                           .shape = (enum sql_shape)tier->sql.shape,
                                           .result_max = tier->sql.max};
    leg->work = &t->work;
    exchange_set_timer(x);
    database_ask(&t->call, deadline_ns);
    return TIER_PENDING;
}
