/* fallback_sql.c - the sql tier: a statement, and where its values come from.
 *
 * The statement is read here, so that a name in it without a source, or a source
 * without a name in it, is a finding and not an answer that never comes. */
#include <string.h>

#include "config/fill.h"
#include "config/json_value.h"
#include "config/types.h"
#include "store/sql_text.h"

enum { DEFAULT_MAX = 1000, WITH_MAX = 64 << 10 };

/* ---- database and query ------------------------------------------------------------- */

static bool read_database(struct fill *f, const struct directive *d, const struct node *n,
                          void *base) {
    struct tier_options *t = base;
    struct bytes text;
    if (!fill_text(f, d, n, &text))
        return false;
    const char *copy = fill_copy(f, text);
    int index = fill_database(f, n, copy);
    if (index < 0)
        return false;
    const struct database_options *db = &f->options->databases[index];
    t->sql.database = db->name;
    t->sql.index = (uint32_t)index;
    return true;
}

static bool read_query(struct fill *f, const struct directive *d, const struct node *n,
                       void *base) {
    struct tier_options *t = base;
    if (n->kind != NODE_SCALAR || !n->text.len)
        return fill_wrong(f, d, n, NULL);
    t->sql.query = fill_copy(f, n->text); /* ${…} would be text put into SQL */
    t->sql.line = n->line;
    t->sql.column = n->column;
    return true;
}

static void write_text_of(struct json_out *out, const char *key, const char *text) {
    if (text)
        json_key_string(out, key, text);
}

static void write_database(struct json_out *out, const struct directive *d, const char *key,
                           const void *base) {
    write_text_of(out, key, ((const struct tier_options *)base)->sql.database);
}

static void write_query(struct json_out *out, const struct directive *d, const char *key,
                        const void *base) {
    write_text_of(out, key, ((const struct tier_options *)base)->sql.query);
}

const struct directive_type type_tier_database = {
    "name, or URL", "the name of one under databases, or a URL", read_database, write_database};
const struct directive_type type_query = {"SQL", "one SQL statement", read_query, write_query};

/* ---- params ---------------------------------------------------------------------------- */

static const char *const type_words[] = {[SQL_PARAMETER_ANY] = "any",
                                         [SQL_PARAMETER_TEXT] = "text",
                                         [SQL_PARAMETER_INTEGER] = "integer",
                                         [SQL_PARAMETER_REAL] = "real",
                                         [SQL_PARAMETER_BOOLEAN] = "boolean"};
enum { TYPES = sizeof type_words / sizeof type_words[0] };

static bool read_source(struct fill *f, const struct directive *d, const struct node *n,
                        struct sql_parameter *p) {
    struct bytes text;
    if (!fill_text(f, d, n, &text))
        return false;
    p->source = fill_copy(f, text);
    if (strlen(p->source) == text.len && value_source_parse(&p->from, p->source))
        return true;
    return fill_wrong_but(f, n, "path.NAME, query.NAME, header.NAME, body.KEY, method, host …",
                          NULL);
}

static bool read_type(struct fill *f, const struct directive *d, const struct node *n,
                      struct sql_parameter *p) {
    struct bytes text;
    if (!fill_text(f, d, n, &text))
        return false;
    for (uint32_t i = 0; i < TYPES; i++) {
        if (bytes_equal(text, bytes_of(type_words[i]))) {
            p->type = (enum sql_parameter_type)i;
            return true;
        }
    }
    return fill_wrong_but(f, n, "one of any, text, integer, real, boolean", NULL);
}

static bool read_default(struct fill *f, const struct directive *d, const struct node *n,
                         struct sql_parameter *p) {
    struct bytes text;
    p->nullable = node_is_null(n);
    if (p->nullable)
        return true;
    if (!fill_text(f, d, n, &text))
        return false;
    if (text.len > DEFAULT_MAX)
        return fill_wrong_but(f, n, "at most 1000 bytes", NULL);
    p->from.otherwise = fill_copy(f, text);
    return true;
}

static bool read_part(struct fill *f, const struct directive *d, const struct node_entry *e,
                      struct sql_parameter *p) {
    char shown[SHOW_SIZE];
    struct bytes key = e->key->text;
    size_t path = fill_enter(f, ".%.*s", key.len < 40 ? (int)key.len : 40, key.at);
    bool good = true;
    if (bytes_equal(key, BYTES("type")))
        good = read_type(f, d, e->value, p);
    else if (bytes_equal(key, BYTES("default")))
        good = read_default(f, d, e->value, p);
    else if (!bytes_equal(key, BYTES("from")))
        report_error(f->report, e->key, "from, type or default", NULL, "unknown key %s",
                     report_show(shown, key));
    fill_leave(f, path);
    return good;
}

static bool read_parameter(struct fill *f, const struct directive *d, const struct node_entry *e,
                           struct sql_parameter *p) {
    const struct node *n = e->value;
    p->name = fill_copy(f, e->key->text);
    if (n->kind == NODE_SCALAR)
        return read_source(f, d, n, p);
    const struct node *from = n->kind == NODE_MAP ? node_get(n, "from") : NULL;
    if (!from)
        return fill_wrong_but(f, n, "a source such as path.id, or {from: path.id, default: 1}",
                              NULL);
    bool good = read_source(f, d, from, p); /* first: it sets all of p->from */
    for (const struct node_entry *part = n->first; part; part = part->next)
        good = read_part(f, d, part, p) && good;
    return good;
}

static bool read_params(struct fill *f, const struct directive *d, const struct node *n,
                        void *base) {
    struct tier_options *t = base;
    if (n->kind != NODE_MAP || n->count > SQL_PARAMETERS_MAX)
        return fill_wrong(f, d, n, NULL);
    struct sql_parameter *all = fill_alloc(f, n->count, sizeof *all);
    uint32_t i = 0;
    for (const struct node_entry *e = n->first; all && e; e = e->next, i++) {
        size_t path = fill_enter(f, ".%.*s", e->key->text.len < 64 ? (int)e->key->text.len : 64,
                                 e->key->text.at);
        read_parameter(f, d, e, &all[i]);
        fill_leave(f, path);
    }
    t->sql.parameters = all;
    t->sql.count = i;
    return true;
}

static void write_parameter(struct json_out *out, const struct sql_parameter *p) {
    json_key(out, p->name);
    if (p->type == SQL_PARAMETER_ANY && !p->nullable && !p->from.otherwise) {
        json_string(out, p->source);
        return;
    }
    json_object(out);
    json_key_string(out, "from", p->source);
    json_key_string(out, "type", type_words[p->type]);
    if (p->nullable)
        json_key_null(out, "default");
    else if (p->from.otherwise)
        json_key_string(out, "default", p->from.otherwise);
    json_object_end(out);
}

static void write_params(struct json_out *out, const struct directive *d, const char *key,
                         const void *base) {
    const struct tier_options *t = base;
    if (!t->sql.count)
        return;
    json_key_object(out, key);
    for (uint32_t i = 0; i < t->sql.count; i++)
        write_parameter(out, &t->sql.parameters[i]);
    json_object_end(out);
}

const struct directive_type type_params = {
    "mapping of name to source", "a mapping of at most 64 names, such as {user: path.user_id}",
    read_params, write_params};

/* ---- with ---------------------------------------------------------------------------- */

static bool read_with(struct fill *f, const struct directive *d, const struct node *n, void *base) {
    struct tier_options *t = base;
    struct buf text;
    if (n->kind != NODE_MAP || !n->count)
        return fill_wrong(f, d, n, NULL);
    buf_init(&text, WITH_MAX);
    bool good = json_value_write(f, n, &text);
    if (good)
        t->sql.with = fill_copy(f, (struct bytes){buf_cstr(&text), text.len});
    buf_free(&text);
    return good;
}

static void write_with(struct json_out *out, const struct directive *d, const char *key,
                       const void *base) {
    const struct tier_options *t = base;
    if (!t->sql.with)
        return;
    json_key(out, key);
    json_raw(out, bytes_of(t->sql.with));
}

const struct directive_type type_sql_with = {"mapping of key to value",
                                             "a mapping of keys to values", read_with, write_with};

/* There is no object to put them in without `wrap`, and a key comes only once. */
static void check_with(struct fill *f, const struct node *n, const struct tier_options *t) {
    const struct node *with = node_get(n, "with");
    if (!t->sql.with)
        return;
    if (!t->sql.wrap)
        report_error(f->report, with, "wrap: a key for the result", NULL,
                     "%s.with is of no use without wrap", f->path);
    else if (node_get(with, t->sql.wrap))
        report_error(f->report, with, NULL, NULL, "%s.with has the key of wrap", f->path);
}

/* ---- the whole ----------------------------------------------------------------------- */

static const struct sql_parameter *find(const struct tier_options *t, const char *name) {
    for (uint32_t i = 0; i < t->sql.count; i++) {
        if (!strcmp(t->sql.parameters[i].name, name))
            return &t->sql.parameters[i];
    }
    return NULL;
}

/* Both ways: each name in the text has a source, and each source a name. */
static bool check_names(struct fill *f, const struct node *at, const struct tier_options *t,
                        const struct sql_text *text) {
    bool good = true;
    for (uint32_t i = 0; i < text->count; i++) {
        if (find(t, text->names[i]))
            continue;
        report_error(f->report, at, "it in params", NULL, "%s.query has :%s, which params has not",
                     f->path, text->names[i]);
        good = false;
    }
    for (uint32_t i = 0; i < t->sql.count; i++) {
        bool used = false;
        for (uint32_t k = 0; !used && k < text->count; k++)
            used = !strcmp(text->names[k], t->sql.parameters[i].name);
        if (used)
            continue;
        report_error(f->report, at, "it in the query", NULL,
                     "%s.params.%s is not in the query (as :%s)", f->path,
                     t->sql.parameters[i].name, t->sql.parameters[i].name);
        good = false;
    }
    return good;
}

static void put_in_order(struct fill *f, struct tier_options *t, const struct sql_text *text) {
    struct sql_parameter *ordered = fill_alloc(f, text->count, sizeof *ordered);
    for (uint32_t i = 0; ordered && i < text->count; i++)
        ordered[i] = *find(t, text->names[i]);
    t->sql.parameters = ordered;
    t->sql.text = text->text;
}

/* As long as routes know no callers, whoever comes chooses what is asked. */
static void check_public(struct fill *f, const struct node *at, const struct tier_options *t) {
    for (uint32_t i = 0; i < t->sql.count; i++) {
        if (t->sql.is_public || !value_source_is_callers(&t->sql.parameters[i].from))
            continue;
        report_error(f->report, at, "public: true, if everybody may ask that", NULL,
                     "%s answers anybody with what %s chooses", f->path,
                     t->sql.parameters[i].source);
        return;
    }
}

void finish_sql(struct fill *f, const struct node *n, struct tier_options *t) {
    char why[SQL_WHY_SIZE];
    struct sql_text text;
    enum sql_dialect dialect;
    size_t at;
    const struct database_options *db =
        t->sql.database ? &f->options->databases[t->sql.index] : NULL;
    for (uint32_t i = 0; i < t->sql.count; i++)
        t->needs_body |= t->sql.parameters[i].from.from == VALUE_FROM_BODY;
    check_with(f, n, t);
    if (!db || !db->url || !t->sql.query)
        return; /* reported */
    const struct node *query = node_get(n, "query");
    sql_dialect_of(db->url, &dialect);
    int error = sql_text_read(&text, f->arena, dialect, db->writable, bytes_of(t->sql.query), &at,
                              why, sizeof why);
    if (error)
        report_error(f->report, query, NULL, NULL, "%s.query, character %zu: %s", f->path, at + 1,
                     why);
    else if (check_names(f, query, t, &text))
        put_in_order(f, t, &text);
    if (!error)
        check_public(f, n, t);
}
