/* fallback.c - the tiers of a fallback chain: a list of mappings, each of one
 * kind, with share and time beside it. */
#include <string.h>

#include "config/address.h"
#include "config/fill.h"
#include "config/json_value.h"
#include "config/print.h"
#include "config/suggest.h"
#include "config/types.h"

enum { BODY_MAX = 1 << 20, HEADERS_MAX = 64 };

static const char tier_scope[] = "services.*.fallback[]";

/* In the order of enum tier_kind. */
static const struct {
    enum tier_kind kind;
    uint64_t floor_ns; /* what `time` is when nobody says anything */
} kinds[] = {
    {TIER_STALE, 0},
    {TIER_SERVICE, 0},
    {TIER_STATIC, 0},
    /* a write must be stored also when the service has used up the time; a disk that takes
     * longer than this is as good as none */
    {TIER_QUEUE, SWG_SECONDS(5)},
};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

static void fill_tier(struct fill *, const struct node *, struct tier_options *, uint32_t index);
static void unknown_kind(struct fill *, const struct node *key);
static void finish_static(struct fill *, const struct node *, struct tier_options *);

/* ---- the chain --------------------------------------------------------- */

static bool read_fallback(struct fill *f, const struct directive *d, const struct node *n,
                          void *base) {
    struct draft *draft = base; /* options are its first member */
    if (n->kind != NODE_LIST)
        return fill_wrong(f, d, n, NULL);
    if (n->count > SWG_TIERS_MAX)
        return fill_too_many(f, n, "at most 8 tiers");
    struct tier_options *all = fill_alloc(f, n->count, sizeof *all);
    struct named *outer = f->named;
    uint32_t i = 0;
    for (const struct node_entry *e = n->first; all && e && !f->starved; e = e->next, i++) {
        struct named named = {{NULL}};
        size_t path = fill_enter(f, "[%u]", i);
        f->named = &named;
        draft->tier_at[i] = e->value;
        fill_tier(f, e->value, &all[i], i);
        fill_leave(f, path);
    }
    f->named = outer;
    draft->options.tiers = all;
    draft->options.tier_count = i;
    return true;
}

/* Beside the kind: what every tier can have. */
static bool is_common(struct bytes key) {
    return bytes_equal(key, BYTES("share")) || bytes_equal(key, BYTES("time"));
}

static const struct node_entry *kind_of(const struct node *n, uint32_t *count) {
    const struct node_entry *kind = NULL;
    *count = 0;
    for (const struct node_entry *e = n->kind == NODE_MAP ? n->first : NULL; e; e = e->next) {
        if (is_common(e->key->text))
            continue;
        kind = kind ? kind : e;
        ++*count;
    }
    return kind;
}

static void write_kinds(struct buf *to) {
    for (uint32_t i = 0; i < KINDS; i++)
        buf_printf(to, "%s%s",
                   !i              ? ""
                   : i + 1 < KINDS ? ", "
                                   : " or ",
                   tier_kind_word(kinds[i].kind));
}

static void fill_kind(struct fill *f, const struct directive *d, const struct node *n,
                      struct tier_options *t, uint32_t index) {
    for (uint32_t i = 0; i < KINDS; i++) {
        if (!strcmp(tier_kind_word(kinds[i].kind), directive_key(d))) {
            t->kind = kinds[i].kind;
            t->floor_ns = kinds[i].floor_ns;
        }
    }
    char name[32];
    snprintf(name, sizeof name, "%u-%s", index + 1, directive_key(d));
    t->name = fill_copy(f, bytes_of(name));
    t->share_percent = 100;
    fill_defaults(f, d->path, t);
    d->type->read(f, d, n, t);
    if (t->kind == TIER_STATIC)
        finish_static(f, n, t);
}

static void fill_common(struct fill *f, const struct node *n, struct tier_options *t) {
    for (const struct node_entry *e = n->first; e; e = e->next) {
        const struct directive *d = directive_find(tier_scope, e->key->text);
        if (!d || !is_common(e->key->text))
            continue;
        size_t path = fill_enter(f, ".%s", e->key->text.at);
        d->type->read(f, d, e->value, t);
        fill_leave(f, path);
    }
}

static void fill_tier(struct fill *f, const struct node *n, struct tier_options *t,
                      uint32_t index) {
    char expected[160];
    struct buf to;
    uint32_t count;
    const struct node_entry *only = kind_of(n, &count);
    buf_init_fixed(&to, expected, sizeof expected);
    buf_literal(&to, "a mapping of one key: ");
    write_kinds(&to);
    if (count > 1) {
        report_error(f->report, n, expected, NULL, "%s has %u keys", f->path, count);
        return;
    }
    if (!only) {
        fill_wrong_but(f, n, expected, NULL);
        return;
    }
    const struct directive *d = directive_find(tier_scope, only->key->text);
    size_t path = fill_enter(f, ".%s", only->key->text.at);
    if (!d)
        unknown_kind(f, only->key);
    else if (d->flags & DIRECTIVE_LATER)
        fill_later(f, only->key, NULL);
    else
        fill_kind(f, d, only->value, t, index);
    fill_leave(f, path);
    if (t->name)
        fill_common(f, n, t);
}

static void unknown_kind(struct fill *f, const struct node *key) {
    struct suggestion s;
    char shown[SHOW_SIZE], expected[128];
    struct buf to;
    buf_init_fixed(&to, expected, sizeof expected);
    write_kinds(&to);
    suggest_begin(&s, key->text);
    for (uint32_t i = 0; i < KINDS; i++)
        suggest_offer(&s, tier_kind_word(kinds[i].kind));
    report_error(f->report, key, expected, s.best, "%s is not a kind of fallback",
                 report_show(shown, key->text));
}

static void write_common(struct json_out *out, const struct tier_options *t) {
    static const char *const paths[] = {"services.*.fallback[].share",
                                        "services.*.fallback[].time"};
    for (int i = 0; i < 2; i++) {
        const struct directive *d = directive_at(paths[i]);
        d->type->write(out, d, directive_key(d), t);
    }
}

static void write_fallback(struct json_out *out, const struct directive *d, const char *key,
                           const void *base) {
    const struct service_options *s = base;
    json_key_array(out, key);
    for (uint32_t i = 0; i < s->tier_count; i++) {
        const struct tier_options *t = &s->tiers[i];
        json_object(out);
        json_key_object(out, tier_kind_word(t->kind));
        char scope[64];
        snprintf(scope, sizeof scope, "%s.%s", tier_scope, tier_kind_word(t->kind));
        print_scope(out, scope, t);
        json_object_end(out);
        write_common(out, t);
        json_object_end(out);
    }
    json_array_end(out);
}

const struct directive_type type_fallback = {
    "list of tiers", "a list such as [{stale: {max: 24h}}, {static: {status: 200, text: sorry}}]",
    read_fallback, write_fallback};

/* ---- service: a name, or {name, path} ---------------------------------- */

static bool read_tier_service(struct fill *f, const struct directive *d, const struct node *n,
                              void *base) {
    if (n->kind == NODE_MAP) {
        fill_map(f, d->path, n, base);
        return true;
    }
    const struct directive *name = directive_at("services.*.fallback[].service.name");
    return name->type->read(f, name, n, base);
}

static void write_tier_service(struct json_out *out, const struct directive *d, const char *key,
                               const void *base) {
    print_scope(out, d->path, base);
}

const struct directive_type type_tier_service = {"service, or {name, path}",
                                                 "the name of a service, or {name, path}",
                                                 read_tier_service, write_tier_service};

/* ---- static ------------------------------------------------------------ */

static bool take_body(struct fill *f, const struct node *n, struct tier_options *t,
                      struct bytes body, const char *content_type) {
    if (t->fixed.body.at) {
        report_error(f->report, n, "one of json, text and body", NULL, "%s is a second body",
                     f->path);
        return false;
    }
    if (body.len > BODY_MAX)
        return fill_wrong_but(f, n, "at most 1 MiB", NULL);
    t->fixed.body = (struct bytes){fill_copy(f, body), body.len};
    if (!t->fixed.content_type)
        t->fixed.content_type = content_type;
    return !f->starved;
}

static bool read_body_json(struct fill *f, const struct directive *d, const struct node *n,
                           void *base) {
    struct buf body;
    buf_init(&body, BODY_MAX);
    bool good = json_value_write(f, n, &body);
    good = good &&
           take_body(f, n, base, (struct bytes){buf_cstr(&body), body.len}, "application/json");
    buf_free(&body);
    return good;
}

static bool read_body_text(struct fill *f, const struct directive *d, const struct node *n,
                           void *base) {
    struct bytes text;
    if (!fill_text(f, d, n, &text))
        return false;
    return take_body(f, n, base, text,
                     d->type == &type_body_text ? "text/plain; charset=utf-8"
                                                : "application/octet-stream");
}

static void write_nothing(struct json_out *out, const struct directive *d, const char *key,
                          const void *base) {
}

/* All three print as `body`, which says most exactly what is sent. */
static void write_body(struct json_out *out, const struct directive *d, const char *key,
                       const void *base) {
    const struct tier_options *t = base;
    json_key(out, key);
    json_bytes(out, t->fixed.body);
}

const struct directive_type type_body_json = {"any value", "any value", read_body_json,
                                              write_nothing};
const struct directive_type type_body_text = {"text", "text", read_body_text, write_nothing};
const struct directive_type type_body_raw = {"text", "text", read_body_text, write_body};

static bool value_is_good(struct bytes value) {
    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.at[i];
        if ((c < ' ' && c != '\t') || c == 0x7f)
            return false;
    }
    return value.len <= 4096;
}

/* Fields that tell where the message ends, or that the gateway sets. */
static bool is_reserved(struct bytes name) {
    static const char *const reserved[] = {"Connection", "Content-Length", "Content-Type",
                                           "Date",       "Keep-Alive",     "Proxy-Connection",
                                           "TE",         "Trailer",        "Transfer-Encoding",
                                           "Upgrade"};
    for (size_t i = 0; i < sizeof reserved / sizeof reserved[0]; i++) {
        if (bytes_equal_nocase(name, bytes_of(reserved[i])))
            return true;
    }
    return false;
}

static bool read_header(struct fill *f, const struct directive *d, const struct node_entry *e,
                        struct header_value *out) {
    struct bytes value;
    char shown[SHOW_SIZE];
    if (!header_name_is_good(e->key->text)) {
        report_error(f->report, e->key, "the name of a header field", NULL, "%s: %s is none",
                     f->path, report_show(shown, e->key->text));
        return false;
    }
    if (is_reserved(e->key->text)) {
        bool type = bytes_equal_nocase(e->key->text, BYTES("Content-Type"));
        report_error(f->report, e->key, type ? "content_type beside headers" : NULL, NULL,
                     "%s: %s is the gateway's to set", f->path, e->key->text.at);
        return false;
    }
    if (!fill_text(f, d, e->value, &value))
        return false;
    if (!value_is_good(value))
        return fill_wrong_but(f, e->value, "one line of text", NULL);
    *out = (struct header_value){fill_copy(f, e->key->text), fill_copy(f, bytes_trim(value))};
    return true;
}

static bool read_headers(struct fill *f, const struct directive *d, const struct node *n,
                         void *base) {
    struct tier_options *t = base;
    if (n->kind != NODE_MAP || n->count > HEADERS_MAX)
        return fill_wrong(f, d, n, NULL);
    struct header_value *all = fill_alloc(f, n->count, sizeof *all);
    uint32_t i = 0;
    for (const struct node_entry *e = n->first; all && e; e = e->next)
        i += read_header(f, d, e, &all[i]);
    t->fixed.headers = all;
    t->fixed.header_count = i;
    return i == n->count;
}

static void write_headers(struct json_out *out, const struct directive *d, const char *key,
                          const void *base) {
    const struct tier_options *t = base;
    if (!t->fixed.header_count)
        return;
    json_key_object(out, key);
    for (uint32_t i = 0; i < t->fixed.header_count; i++)
        json_key_string(out, t->fixed.headers[i].name, t->fixed.headers[i].value);
    json_object_end(out);
}

const struct directive_type type_headers = {"mapping of name to value",
                                            "a mapping of at most 64 header fields", read_headers,
                                            write_headers};

static void finish_static(struct fill *f, const struct node *n, struct tier_options *t) {
    bool no_body = t->fixed.status == 204 || t->fixed.status == 304;
    if (no_body && t->fixed.body.len)
        report_error(f->report, n, "no body, or another status", NULL,
                     "%s: an answer with status %d has no body", f->path, t->fixed.status);
    if (!t->fixed.body.at)
        t->fixed.body = BYTES("");
    if (!t->fixed.content_type)
        t->fixed.content_type = "text/plain; charset=utf-8";
}
