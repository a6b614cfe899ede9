/* health.c - the keys of an active check whose values are more than one field, and
 * what follows from them together. */
#include <string.h>

#include "config/fill.h"
#include "config/types.h"
#include "config/value.h"
#include "store/sql_text.h"

enum { STATUS_MIN = 100, STATUS_MAX = 599 };

#define UNKNOWN UINT32_MAX /* a database that was named and is not there */

/* ---- expect: statuses and ranges of them ------------------------------------------- */

/* "204", or "200-299". */
static bool read_range(struct bytes text, int *from, int *to) {
    uint64_t first, last;
    struct bytes part, rest = text;
    if (!bytes_split(&rest, '-', &part) || !value_count(part, &first))
        return false;
    if (part.len == text.len)
        last = first;
    else if (!value_count(rest, &last))
        return false;
    *from = (int)first;
    *to = (int)last;
    return first >= STATUS_MIN && last <= STATUS_MAX && first <= last;
}

static bool read_statuses(struct fill *f, const struct directive *d, const struct node *n,
                          void *base) {
    uint64_t set[10] = {0};
    struct items items = items_of(n);
    const struct node *item;
    if (n->kind == NODE_MAP || !items_count(n))
        return fill_wrong(f, d, n, NULL);
    while ((item = items_next(&items)) != NULL) {
        struct bytes text;
        int from, to;
        if (!fill_text(f, d, item, &text))
            return false;
        if (!read_range(text, &from, &to))
            return fill_wrong(f, d, item, NULL);
        for (int status = from; status <= to; status++)
            swg_status_set(set, status);
    }
    memcpy((char *)base + d->offset, set, sizeof set);
    return true;
}

static void write_statuses(struct json_out *out, const struct directive *d, const char *key,
                           const void *base) {
    uint64_t set[10];
    memcpy(set, (const char *)base + d->offset, sizeof set);
    json_key_array(out, key);
    for (int from = STATUS_MIN; from <= STATUS_MAX; from++) {
        char text[16];
        int to = from;
        if (!swg_status_in(set, from))
            continue;
        while (to < STATUS_MAX && swg_status_in(set, to + 1))
            to++;
        snprintf(text, sizeof text, from == to ? "%d" : "%d-%d", from, to);
        json_string(out, text);
        from = to;
    }
    json_array_end(out);
}

const struct directive_type type_statuses = {
    "list of statuses", "statuses from 100 to 599, such as 200-299, or [200-299, 401]",
    read_statuses, write_statuses};

/* ---- database and query ------------------------------------------------------------- */

static struct health_options *health_of(const struct directive *d, const void *base) {
    return (void *)((char *)(uintptr_t)base + d->offset);
}

static bool read_database(struct fill *f, const struct directive *d, const struct node *n,
                          void *base) {
    struct health_options *o = health_of(d, base);
    struct bytes text;
    if (!fill_text(f, d, n, &text))
        return false;
    int index = fill_database(f, n, fill_copy(f, text));
    if (index < 0) {
        o->database_index = UNKNOWN;
        return false;
    }
    o->database = f->options->databases[index].name;
    o->database_index = (uint32_t)index;
    return true;
}

static bool read_query(struct fill *f, const struct directive *d, const struct node *n,
                       void *base) {
    if (n->kind != NODE_SCALAR || !n->text.len)
        return fill_wrong(f, d, n, NULL);
    health_of(d, base)->query = fill_copy(f, n->text); /* ${…} would be text put into SQL */
    return true;
}

static void write_database(struct json_out *out, const struct directive *d, const char *key,
                           const void *base) {
    if (health_of(d, base)->database)
        json_key_string(out, key, health_of(d, base)->database);
}

/* Only where it is used: whoever reads what was printed is not to be warned of it. */
static void write_query(struct json_out *out, const struct directive *d, const char *key,
                        const void *base) {
    if (health_of(d, base)->check == HEALTH_CHECK_SQL)
        json_key_string(out, key, health_of(d, base)->query);
}

const struct directive_type type_health_database = {
    "name, or URL", "the name of one under databases, or a URL", read_database, write_database};
const struct directive_type type_health_query = {"SQL", "one SQL statement", read_query,
                                                 write_query};

/* ---- the whole ------------------------------------------------------------------------ */

void finish_health_query(struct fill *f, const struct node *at, struct health_options *o,
                         const struct database_options *db) {
    char why[SQL_WHY_SIZE];
    struct sql_text text;
    enum sql_dialect dialect;
    size_t byte;
    if (!db->url || !o->query)
        return; /* reported */
    sql_dialect_of(db->url, &dialect);
    int error = sql_text_read(&text, f->arena, dialect, db->writable, bytes_of(o->query), &byte,
                              why, sizeof why);
    if (error)
        report_error(f->report, at, NULL, NULL, "%s.health.query, character %zu: %s", f->path,
                     byte + 1, why);
    else if (text.count)
        report_error(f->report, at, "a statement that needs no values", NULL,
                     "%s.health.query has :%s, and a check has nothing to put there", f->path,
                     text.names[0]);
    else
        o->query_text = text.text;
}

/* A key that the check does not look at is most likely a wrong `check`. */
static void check_unused(struct fill *f, const struct draft *draft, const char *path, bool used,
                         const char *wanted) {
    const struct node *at = named_at(&draft->named, path);
    if (at && !used && at != named_at(&f->base.named, path)) /* what is inherited is for others */
        report_warning(f->report, at, wanted, "%s.%s has no effect on this check", f->path,
                       path + strlen("services.*."));
}

void finish_health(struct fill *f, struct draft *draft) {
    struct health_options *o = &draft->options.health;
    bool sql = o->check == HEALTH_CHECK_SQL, redis = o->check == HEALTH_CHECK_REDIS;
    if (!o->enabled)
        return;
    check_unused(f, draft, "services.*.health.database", sql, "check: sql");
    check_unused(f, draft, "services.*.health.query", sql, "check: sql");
    check_unused(f, draft, "services.*.health.password", redis, "check: redis");
    if (!sql)
        return;
    if (!o->database) {
        if (o->database_index != UNKNOWN) /* which is reported */
            report_error(f->report, named_at(&draft->named, "services.*.health.check"),
                         "database, as in {check: sql, database: shop}", NULL,
                         "%s.health.check is sql, and no database is named", f->path);
        return;
    }
    finish_health_query(f, named_at(&draft->named, "services.*.health.query"), o,
                        &f->options->databases[o->database_index]);
}
