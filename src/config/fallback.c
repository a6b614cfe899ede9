/* fallback.c - the tiers of a fallback chain: a list of mappings, each of one
 * kind, with share and time beside it. */
#include <string.h>

#include "config/fill.h"
#include "config/print.h"
#include "config/suggest.h"
#include "config/types.h"

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
    {TIER_SQL, SWG_SECONDS(1)}, /* the service may have used up all there was */
};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

static void fill_tier(struct fill *, const struct node *, struct tier_options *, uint32_t index);
static void unknown_kind(struct fill *, const struct node *key);

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
        fill_static_finish(f, n, t);
    if (t->kind == TIER_SQL)
        finish_sql(f, n, t);
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
