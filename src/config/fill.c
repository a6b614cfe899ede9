/* fill.c - see fill.h. */
#include "config/fill.h"

#include <stdarg.h>
#include <string.h>

#include "config/expand.h"
#include "config/suggest.h"
#include "config/types.h"
#include "config/value.h"

static void unknown_key(struct fill *, const char *scope, const struct node *key);
static const char *same_key_elsewhere(const char *scope, struct bytes key, struct buf *to);
static void missing_keys(struct fill *, const char *scope, const struct node *map);
static void suggest_value(const struct directive *, struct bytes text, struct buf *to);
static const struct node *default_node(struct fill *, const char *text);
static const struct node *plain_scalar(struct fill *, struct bytes);
static void starved(struct fill *);

/* ---- walking ----------------------------------------------------------- */

void fill_map(struct fill *f, const char *scope, const struct node *map, void *base) {
    if (map->kind != NODE_MAP) {
        fill_wrong_but(f, map, "a mapping", NULL);
        return;
    }
    for (const struct node_entry *e = map->first; e && !f->starved; e = e->next) {
        const struct directive *d = directive_find(scope, e->key->text);
        size_t path = fill_enter(f, "%s%s", f->path[0] ? "." : "", e->key->text.at);
        if (!d) {
            fill_leave(f, path);
            unknown_key(f, scope, e->key);
            continue;
        }
        if (f->in_defaults && (d->flags & DIRECTIVE_SERVICE_ONLY)) {
            report_error(f->report, e->key, "it under services only", NULL,
                         "%s cannot be inherited", f->path);
        } else if (d->type == &type_later) {
            fill_later(f, e->key, NULL);
        } else if (node_is_null(e->value) && d->type != &type_group) {
            fill_wrong(f, d, e->value, NULL);
        } else if (d->type->read(f, d, e->value, base)) {
            f->named->at[directive_index(d)] = e->value;
        }
        fill_leave(f, path);
    }
    missing_keys(f, scope, map);
}

void fill_defaults(struct fill *f, const char *scope, void *base) {
    struct named *named = f->named;
    struct named nowhere;
    f->named = &nowhere;
    for (uint32_t i = 0; i < directive_count; i++) {
        const struct directive *d = &directives[i];
        if (strncmp(d->path, scope, strlen(scope)) != 0 || !d->default_text)
            continue;
        if (strpbrk(d->path + strlen(scope), "[*"))
            continue; /* belongs to the items of a list in this scope */
        const struct node *n = default_node(f, d->default_text);
        if (n)
            d->type->read(f, d, n, base);
    }
    f->named = named;
}

size_t fill_enter(struct fill *f, const char *format, ...) {
    size_t before = strlen(f->path);
    va_list args;
    va_start(args, format);
    vsnprintf(f->path + before, sizeof f->path - before, format, args);
    va_end(args);
    return before;
}

void fill_leave(struct fill *f, size_t before) {
    f->path[before] = '\0';
}

const struct node *named_at(const struct named *named, const char *path) {
    return named->at[directive_index(directive_at(path))];
}

/* ---- memory ------------------------------------------------------------ */

void *fill_alloc(struct fill *f, size_t count, size_t size) {
    size_t bytes;
    void *got = __builtin_mul_overflow(count, size, &bytes) ? NULL : arena_zalloc(f->arena, bytes);
    if (!got)
        starved(f);
    return got;
}

void *fill_scratch(struct fill *f, size_t count, size_t size) {
    size_t bytes;
    void *got =
        __builtin_mul_overflow(count, size, &bytes) ? NULL : arena_zalloc(f->scratch, bytes);
    if (!got)
        starved(f);
    return got;
}

const char *fill_copy(struct fill *f, struct bytes text) {
    const char *copy = arena_copy(f->arena, text);
    if (!copy)
        starved(f);
    return copy ? copy : "";
}

static void starved(struct fill *f) {
    if (!f->starved)
        report_error(f->report, NULL, "at most 64 MiB", NULL,
                     "the configuration, with all that it repeats, is too large for memory");
    f->starved = true;
}

int fill_secret_file(struct fill *f, const char *path, struct buf *to) {
    int error = expand_file(path, to);
    struct secret_file *file = error ? NULL : fill_alloc(f, 1, sizeof *file);
    if (file) {
        *file = (struct secret_file){fill_copy(f, (struct bytes){path, strlen(path)}),
                                     f->options->secret_files};
        f->options->secret_files = file;
    }
    return error;
}

/* ---- values ------------------------------------------------------------ */

bool fill_text(struct fill *f, const struct directive *d, const struct node *n, struct bytes *out) {
    if (n->kind != NODE_SCALAR)
        return d ? fill_wrong(f, d, n, NULL) : fill_wrong_but(f, n, "a single value", NULL);
    *out = n->text;
    if (!n->text.len || n->literal || !memmem(n->text.at, n->text.len, "${", 2))
        return true;
    struct buf text;
    struct bytes name;
    buf_init(&text, EXPANDED_MAX);
    enum expand_problem problem = expand_variables(n->text, &text, &name);
    const char *copy =
        problem ? NULL : arena_copy(f->scratch, (struct bytes){buf_cstr(&text), text.len});
    *out = (struct bytes){copy, text.len};
    buf_free(&text);
    char shown[SHOW_SIZE];
    report_show(shown, name);
    if (problem == EXPAND_UNSET)
        report_error(f->report, n, "it in the environment, or a default as in ${NAME:-default}",
                     NULL, "%s needs the variable %s, which is not set", f->path, shown);
    else if (problem == EXPAND_MALFORMED)
        report_error(f->report, n, "${NAME} or ${NAME:-default}, or $${ for the characters ${",
                     NULL, "%s has a malformed variable", f->path);
    else if (problem)
        report_error(f->report, n, "at most 1 MiB", NULL, "%s is too large", f->path);
    else if (!copy)
        starved(f);
    return copy != NULL;
}

bool fill_wrong(struct fill *f, const struct directive *d, const struct node *n,
                const char *suggestion) {
    char expected[512], guess[128];
    struct buf to, guessed;
    buf_init_fixed(&to, expected, sizeof expected);
    buf_init_fixed(&guessed, guess, sizeof guess);
    guess[0] = '\0';
    fill_expected(d, &to);
    if (!suggestion && n->kind == NODE_SCALAR) {
        suggest_value(d, n->text, &guessed);
        bool good = guessed.len && !guessed.failed && !bytes_equal(buf_view(&guessed), n->text);
        suggestion = good ? guess : NULL;
    }
    return fill_wrong_but(f, n, expected, suggestion);
}

bool fill_wrong_but(struct fill *f, const struct node *n, const char *expected,
                    const char *suggestion) {
    char shown[SHOW_SIZE];
    const char *what = f->path[0] ? f->path : "the file";
    bool nothing = n->kind == NODE_SCALAR ? node_is_null(n) : n->count == 0;
    if (n->kind != NODE_SCALAR && !nothing)
        report_error(f->report, n, expected, suggestion, "%s is %s", what, node_kind_words(n));
    else if (nothing)
        report_error(f->report, n, expected, suggestion, "%s is empty", what);
    else
        report_error(f->report, n, expected, suggestion, "%s is %s", what,
                     report_show(shown, n->text));
    return false;
}

bool fill_too_many(struct fill *f, const struct node *n, const char *expected) {
    report_error(f->report, n, expected, NULL, "%s has too many entries", f->path);
    return false;
}

void fill_expected(const struct directive *d, struct buf *to) {
    if (d->choices) {
        for (const struct choice *c = d->choices; c->word; c++) {
            if (!c->later)
                buf_printf(to, "%s%s", to->len ? ", " : (c[1].word ? "one of " : ""), c->word);
        }
        if (d->type != &type_choice && d->type->expected)
            buf_printf(to, "; %s", d->type->expected);
    } else {
        buf_string(to, d->type->expected ? d->type->expected : d->type->name);
        directive_bounds(d, to);
    }
    if (d->special.word)
        buf_printf(to, ", or %s", d->special.word);
    if (d->default_text && d->type != &type_text)
        buf_printf(to, " (default %s)", d->default_text);
}

static void suggest_value(const struct directive *d, struct bytes text, struct buf *to) {
    if (d->type == &type_duration || d->type == &type_window) {
        value_guess_duration(text, to);
    } else if (d->type == &type_size) {
        value_guess_size(text, to);
    } else if (d->type == &type_percent) {
        value_guess_percent(text, to);
    } else if (d->type == &type_bool || d->type == &type_not_bool) {
        value_guess_bool(text, to);
    } else if (d->type == &type_rate || d->type == &type_per_second) {
        value_guess_rate(text, to);
    } else if (d->choices) {
        struct suggestion s;
        suggest_begin(&s, text);
        for (const struct choice *c = d->choices; c->word; c++) {
            if (!c->later)
                suggest_offer(&s, c->word);
        }
        if (s.best)
            buf_string(to, s.best);
    }
}

bool fill_later(struct fill *f, const struct node *n, const char *what) {
    report_error(f->report, n, NULL, NULL, "%s%s%s is not supported by this version", f->path,
                 what ? ": " : "", what ? what : "");
    return false;
}

/* ---- keys -------------------------------------------------------------- */

static void unknown_key(struct fill *f, const char *scope, const struct node *key) {
    if (!scope[0] && bytes_starts(key->text, BYTES("x-")))
        return; /* a place for anchors; nobody reads it */
    struct suggestion s;
    suggest_begin(&s, key->text);
    for (uint32_t i = 0; i < directive_count; i++) {
        if (directive_in(&directives[i], scope) && !(directives[i].flags & DIRECTIVE_LATER))
            suggest_offer(&s, directive_key(&directives[i]));
    }
    char elsewhere[FILL_PATH_MAX], shown[SHOW_SIZE];
    struct buf to;
    buf_init_fixed(&to, elsewhere, sizeof elsewhere);
    const char *best =
        s.distance == 0 || !s.best ? same_key_elsewhere(scope, key->text, &to) : NULL;
    report_error(f->report, key, NULL, best ? best : s.best, "unknown key %s%s%s",
                 report_show(shown, key->text), f->path[0] ? " in " : "", f->path);
}

/* `open_max` in a service belongs to its breaker: "breaker.open_max". */
static const char *same_key_elsewhere(const char *scope, struct bytes key, struct buf *to) {
    struct bytes inside = bytes_of(scope);
    for (uint32_t i = 0; i < directive_count; i++) {
        const struct directive *d = &directives[i];
        const char *rest = d->path + inside.len + (inside.len > 0);
        if ((d->flags & DIRECTIVE_LATER) || !bytes_starts(bytes_of(d->path), inside) ||
            (inside.len && d->path[inside.len] != '.') || strpbrk(rest, "*["))
            continue;
        if (bytes_equal(bytes_of(directive_key(d)), key)) {
            buf_string(to, rest);
            return to->failed ? NULL : to->at;
        }
    }
    return NULL;
}

static void missing_keys(struct fill *f, const char *scope, const struct node *map) {
    for (uint32_t i = 0; i < directive_count; i++) {
        const struct directive *d = &directives[i];
        if (!(d->flags & DIRECTIVE_REQUIRED) || !directive_in(d, scope) || f->in_defaults ||
            node_get(map, directive_key(d)))
            continue;
        char expected[512];
        struct buf to;
        buf_init_fixed(&to, expected, sizeof expected);
        fill_expected(d, &to);
        report_error(f->report, map, expected, NULL, "%s has no %s",
                     f->path[0] ? f->path : "the file", directive_key(d));
    }
}

int fill_service_index(const struct fill *f, struct bytes name) {
    for (uint32_t i = 0; i < f->draft_count; i++) {
        if (bytes_equal(name, bytes_of(f->drafts[i].options.name)))
            return (int)i;
    }
    return -1;
}

void fill_unknown_service(struct fill *f, const struct node *n, struct bytes name) {
    struct suggestion s;
    char shown[SHOW_SIZE];
    suggest_begin(&s, name);
    for (uint32_t i = 0; i < f->draft_count; i++)
        suggest_offer(&s, f->drafts[i].options.name);
    report_error(f->report, n, "the name of one under services", s.best,
                 "%s: there is no service %s", f->path, report_show(shown, name));
}

/* ---- lists and fields -------------------------------------------------- */

struct items items_of(const struct node *n) {
    return n->kind == NODE_LIST ? (struct items){NULL, n->first} : (struct items){n, NULL};
}

const struct node *items_next(struct items *items) {
    const struct node *n = items->only;
    items->only = NULL;
    if (!n && items->next) {
        n = items->next->value;
        items->next = items->next->next;
    }
    return n;
}

uint32_t items_count(const struct node *n) {
    return n->kind == NODE_LIST ? n->count : 1;
}

void field_set(const struct directive *d, void *base, uint64_t value) {
    char *at = (char *)base + d->offset;
    if (d->width == sizeof(uint64_t))
        memcpy(at, &value, sizeof value);
    else if (d->width == sizeof(uint32_t))
        memcpy(at, &(uint32_t){(uint32_t)value}, sizeof(uint32_t));
    else
        *at = (char)value;
}

uint64_t field_get(const struct directive *d, const void *base) {
    const char *at = (const char *)base + d->offset;
    uint64_t wide = 0;
    uint32_t narrow = 0;
    if (d->width == sizeof(uint64_t)) {
        memcpy(&wide, at, sizeof wide);
        return wide;
    }
    if (d->width == sizeof(uint32_t)) {
        memcpy(&narrow, at, sizeof narrow);
        return narrow;
    }
    return (unsigned char)*at;
}

/* ---- defaults ---------------------------------------------------------- */

/* The table writes lists as [a, b]; their items hold no comma. */
static const struct node *default_node(struct fill *f, const char *text) {
    struct bytes rest = bytes_of(text), item;
    if (text[0] != '[')
        return plain_scalar(f, rest);
    struct node *list = fill_scratch(f, 1, sizeof *list);
    rest = (struct bytes){rest.at + 1, rest.len - 2};
    while (list && bytes_split(&rest, ',', &item)) {
        struct node_entry *e = fill_scratch(f, 1, sizeof *e);
        item = bytes_trim(item);
        const char *copy = arena_copy(f->scratch, item);
        if (!e || !copy)
            return NULL;
        *e = (struct node_entry){.value = plain_scalar(f, (struct bytes){copy, item.len})};
        if (list->last)
            list->last->next = e;
        else
            list->first = e;
        list->last = e;
        list->count++;
        list->kind = NODE_LIST;
    }
    return list;
}

static const struct node *plain_scalar(struct fill *f, struct bytes text) {
    struct node *n = fill_scratch(f, 1, sizeof *n);
    if (n)
        *n = (struct node){.kind = NODE_SCALAR, .plain = true, .text = text};
    return n;
}
