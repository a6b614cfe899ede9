/* databases.c - the databases that sql tiers ask: by name, under `databases`, or
 * by a URL in a tier, which has every default. */
#include <string.h>

#include "config/fill.h"
#include "config/print.h"
#include "config/suggest.h"
#include "config/types.h"
#include "store/sql.h"

enum { DATABASES_MAX = 64, URL_SHOWN = 300 };

static const char scope[] = "databases.*";

/* ---- the block ------------------------------------------------------------------- */

/* Taken down only: tiers need them, in whatever order the file has them. */
static bool read_databases(struct fill *f, const struct directive *d, const struct node *n,
                           void *base) {
    f->databases = n;
    return true;
}

/* Those of a URL are printed with their tier. */
static void write_databases(struct json_out *out, const struct directive *d, const char *key,
                            const void *base) {
    const struct gateway_options *o = base;
    bool any = false;
    for (uint32_t i = 0; i < o->database_count; i++) {
        const struct database_options *db = &o->databases[i];
        if (db->from_url)
            continue;
        if (!any)
            json_key_object(out, key);
        any = true;
        json_key_object(out, db->name);
        print_scope(out, scope, db);
        json_object_end(out);
    }
    if (any)
        json_object_end(out);
}

const struct directive_type type_databases = {"mapping of name to database", "a mapping",
                                              read_databases, write_databases};

static struct database_options *add(struct fill *f, const struct node *at) {
    struct gateway_options *o = f->options;
    if (!o->databases)
        o->databases = f->database_list = fill_alloc(f, DATABASES_MAX, sizeof *f->database_list);
    if (!o->databases)
        return NULL;
    if (o->database_count == DATABASES_MAX) {
        report_error(f->report, at, "at most 64 databases", NULL, "%s is one more", f->path);
        return NULL;
    }
    return &f->database_list[o->database_count++];
}

/* Its one endpoint is called by the URL, so that logs and events tell which. */
static void finish(struct fill *f, struct database_options *db) {
    char shown[URL_SHOWN];
    struct swg_endpoint_options *endpoint = fill_alloc(f, 1, sizeof *endpoint);
    if (!db->url || !endpoint)
        return;
    sql_url_show(db->url, shown, sizeof shown);
    endpoint->name = fill_copy(f, bytes_of(shown));
    db->health.check = HEALTH_CHECK_SQL;
    db->policy.endpoints = endpoint;
    db->policy.endpoint_count = 1;
    db->policy.timeout.total_ns = SWG_OFF; /* the tier's own */
    if (db->policy.breaker.open_max_ns < db->policy.breaker.open_ns)
        db->policy.breaker.open_max_ns = db->policy.breaker.open_ns;
}

static void fill_one(struct fill *f, const struct node_entry *e) {
    struct named named = {{NULL}};
    char shown[SHOW_SIZE];
    bool good = name_is_good(e->key->text);
    size_t path = fill_enter(f, ".%s", good ? e->key->text.at : "?");
    if (!good)
        report_error(f->report, e->key,
                     "letters, digits, '-', '_' and '.', at most 64, a letter or digit first", NULL,
                     "%s is not a name of a database", report_show(shown, e->key->text));
    struct database_options *db = add(f, e->key);
    if (db) {
        f->named = &named;
        db->name = fill_copy(f, e->key->text);
        fill_defaults(f, scope, db);
        fill_map(f, scope, e->value, db);
        finish(f, db);
        if (db->health.enabled)
            finish_health_query(f, named_at(&named, "databases.*.health.query"), &db->health, db);
    }
    fill_leave(f, path);
}

void fill_databases(struct fill *f) {
    if (!f->databases || node_is_null(f->databases))
        return;
    struct named *outer = f->named;
    size_t path = fill_enter(f, "databases");
    if (f->databases->kind != NODE_MAP)
        fill_wrong_but(f, f->databases, "a mapping of names to databases", NULL);
    for (const struct node_entry *e = f->databases->kind == NODE_MAP ? f->databases->first : NULL;
         e && !f->starved; e = e->next)
        fill_one(f, e);
    fill_leave(f, path);
    f->named = outer;
}

/* ---- a tier's ---------------------------------------------------------------------- */

static int find(const struct fill *f, const char *name, const char *url) {
    for (uint32_t i = 0; i < f->options->database_count; i++) {
        const struct database_options *db = &f->options->databases[i];
        if (name ? !db->from_url && !strcmp(db->name, name)
                 : db->from_url && db->url && !strcmp(db->url, url))
            return (int)i;
    }
    return -1;
}

static int unknown(struct fill *f, const struct node *at, const char *name) {
    struct suggestion s;
    char shown[SHOW_SIZE];
    suggest_begin(&s, bytes_of(name));
    for (uint32_t i = 0; i < f->options->database_count; i++)
        suggest_offer(&s, f->options->databases[i].name);
    /* The URL of something else may have a password in it. */
    bool is_url = strstr(name, "://");
    report_error(f->report, at, "the name of one under databases, sqlite:PATH or postgresql://…",
                 s.best, "%s: there is no database %s", f->path,
                 is_url ? "of that URL" : report_show(shown, bytes_of(name)));
    return -1;
}

int fill_database(struct fill *f, const struct node *at, const char *text) {
    char shown[URL_SHOWN];
    enum sql_dialect dialect;
    bool is_url = sql_dialect_of(text, &dialect);
    int found = find(f, is_url ? NULL : text, text);
    if (found >= 0 || !is_url)
        return found >= 0 ? found : unknown(f, at, text);
    struct named *outer = f->named, named = {{NULL}};
    struct database_options *db = add(f, at);
    if (!db)
        return -1;
    f->named = &named;
    sql_url_show(text, shown, sizeof shown);
    db->name = fill_copy(f, bytes_of(shown));
    db->url = text;
    db->from_url = true;
    fill_defaults(f, scope, db);
    finish(f, db);
    f->named = outer;
    return (int)(db - f->database_list);
}

/* ---- a URL: text that may hold a password ------------------------------------------- */

static bool read_url(struct fill *f, const struct directive *d, const struct node *n, void *base) {
    struct bytes text;
    enum sql_dialect dialect;
    if (!fill_text(f, d, n, &text))
        return false;
    const char *copy = fill_copy(f, text);
    if (strlen(copy) != text.len || text.len > 2000 || !sql_dialect_of(copy, &dialect)) {
        report_error(f->report, n, "sqlite:PATH or postgresql://user@host/database", NULL,
                     "%s is no URL of a database", f->path);
        return false;
    }
    ((struct database_options *)base)->url = copy;
    return true;
}

static void write_url(struct json_out *out, const struct directive *d, const char *key,
                      const void *base) {
    char shown[URL_SHOWN];
    sql_url_show(((const struct database_options *)base)->url, shown, sizeof shown);
    json_key_string(out, key, shown);
}

const struct directive_type type_database_url = {"URL", "sqlite:PATH or postgresql://…", read_url,
                                                 write_url};
