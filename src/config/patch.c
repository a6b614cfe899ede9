/* patch.c - see patch.h.
 *
 * The tree of the file may share nodes (aliases), so nothing in it is written
 * to: a change copies the mappings on the way from the top to its key, and the
 * new top shares the rest. What a change brought in has line 0, which messages
 * take as "not in the file". */
#include "config/patch.h"

#include <string.h>

#include "config/suggest.h"
#include "config/types.h"

static const struct node *patched(struct fill *, const struct node *root,
                                  const struct policy_patch *);
static const struct node *with_path(struct fill *, const struct node *, const char *path,
                                    const struct node *value);
static const struct node *replaced(struct fill *, const struct node *, struct bytes key,
                                   const struct node *value);
static bool may_change(struct fill *, const struct policy_patch *);
static const struct node *read_value(struct fill *, const struct policy_patch *);
static void keep(struct fill *, const struct policy_patch *, uint32_t count);

const struct node *patch_document(struct fill *f, const struct node *root,
                                  const struct policy_patch *patches, uint32_t count) {
    for (uint32_t i = 0; root && i < count; i++) {
        if (may_change(f, &patches[i]))
            root = patched(f, root, &patches[i]);
    }
    if (count)
        keep(f, patches, count);
    return root;
}

static const struct node *patched(struct fill *f, const struct node *root,
                                  const struct policy_patch *p) {
    const struct node *services = node_get(root, "services");
    const struct node *service = node_get(services, p->service);
    const struct node *value = NULL;
    if (!service) {
        report_error(f->report, NULL, NULL, NULL, "there is no service %s", p->service);
        return root;
    }
    if (strcmp(p->value, "null") != 0 && !(value = read_value(f, p)))
        return root; /* reported */
    service = with_path(f, service, p->key, value);
    services = service ? replaced(f, services, bytes_of(p->service), service) : NULL;
    return services ? replaced(f, root, BYTES("services"), services) : NULL;
}

/* ---- the tree ------------------------------------------------------------- */

static struct node *new_node(struct fill *f, enum node_kind kind) {
    struct node *n = fill_scratch(f, 1, sizeof *n);
    if (n)
        *n = (struct node){.kind = kind, .literal = true, .text = BYTES("")};
    return n;
}

static bool append(struct fill *f, struct node *map, const struct node *key,
                   const struct node *value) {
    struct node_entry *e = fill_scratch(f, 1, sizeof *e);
    if (!e)
        return false;
    *e = (struct node_entry){.key = key, .value = value};
    if (map->last)
        map->last->next = e;
    else
        map->first = e;
    map->last = e;
    map->count++;
    return true;
}

static const struct node *key_node(struct fill *f, struct bytes text) {
    struct node *n = new_node(f, NODE_SCALAR);
    char *copy = n ? arena_copy(f->scratch, text) : NULL;
    if (!copy)
        return NULL;
    n->text = (struct bytes){copy, text.len};
    return n;
}

/* A copy of the mapping (of an empty one, if it is none) with another value at
 * the key, or without it (NULL). */
static const struct node *replaced(struct fill *f, const struct node *n, struct bytes key,
                                   const struct node *value) {
    struct node *map = new_node(f, NODE_MAP);
    bool found = false, good = map != NULL;
    if (!map)
        return NULL;
    if (n && n->kind == NODE_MAP) {
        map->line = n->line;
        map->column = n->column;
    }
    const struct node_entry *e = n && n->kind == NODE_MAP ? n->first : NULL;
    for (; e && good; e = e->next) {
        bool same = bytes_equal(e->key->text, key);
        found |= same;
        if (!same || value)
            good = append(f, map, e->key, same ? value : e->value);
    }
    if (good && !found && value) {
        const struct node *name = key_node(f, key);
        good = name && append(f, map, name, value);
    }
    return good ? map : NULL;
}

/* The same for a path of keys, which have no dots in them (the name of a service may). */
static const struct node *with_path(struct fill *f, const struct node *n, const char *path,
                                    const struct node *value) {
    const char *dot = strchr(path, '.');
    struct bytes key = {path, dot ? (size_t)(dot - path) : strlen(path)};
    char name[PATCH_KEY_MAX];
    snprintf(name, sizeof name, "%.*s", (int)key.len, key.at);
    const struct node *child = n && n->kind == NODE_MAP ? node_get(n, name) : NULL;
    if (!value && !child)
        return n; /* nothing to take away */
    if (dot) {
        if (!value && child->kind != NODE_MAP)
            return n;
        value = with_path(f, child, dot + 1, value);
        if (!value)
            return NULL;
    }
    return replaced(f, n, key, value);
}

/* ---- values ----------------------------------------------------------------- */

/* JSON is YAML; its places are those in a piece that nobody sees. */
static void mark_literal(struct node *n) {
    n->literal = true;
    n->line = n->column = 0;
    for (struct node_entry *e = n->first; e; e = e->next) {
        if (e->key)
            mark_literal((struct node *)e->key);
        mark_literal((struct node *)e->value);
    }
}

static const struct node *read_value(struct fill *f, const struct policy_patch *p) {
    struct config_report own;
    config_report_init(&own);
    const struct node *n = document_read(f->scratch, bytes_of(p->value), &own);
    if (own.error_count || !n) {
        report_error(f->report, NULL, NULL, NULL, "services.%s.%s cannot be read: %s", p->service,
                     p->key, own.count ? own.findings[0].what : "out of memory");
        n = NULL;
    }
    config_report_free(&own);
    if (n)
        mark_literal((struct node *)n);
    return n;
}

/* ---- what may be changed ------------------------------------------------------ */

static bool refuse(struct fill *f, const struct policy_patch *p) {
    report_error(f->report, NULL, "it to be changed in the file, and a reload", NULL,
                 "services.%s.%s cannot be changed at run time", p->service, p->key);
    return false;
}

/* A key that is set and unknown is found, with its neighbours, by fill_map(). */
static bool unknown(struct fill *f, const struct policy_patch *p, const char *scope,
                    struct bytes key) {
    struct suggestion s;
    if (strcmp(p->value, "null") != 0)
        return true;
    suggest_begin(&s, key);
    for (uint32_t i = 0; i < directive_count; i++) {
        if (directive_in(&directives[i], scope) && !(directives[i].flags & DIRECTIVE_LATER))
            suggest_offer(&s, directive_key(&directives[i]));
    }
    report_error(f->report, NULL, NULL, s.best, "unknown key \"%.*s\" in services.%s", (int)key.len,
                 key.at, p->service);
    return false;
}

static bool may_change(struct fill *f, const struct policy_patch *p) {
    char scope[PATCH_KEY_MAX + 16] = "services.*";
    struct bytes rest = bytes_of(p->key), key;
    while (bytes_split(&rest, '.', &key)) {
        const struct directive *d = directive_find(scope, key);
        size_t len = strlen(scope);
        if (!d)
            return unknown(f, p, scope, key);
        if (d->flags & DIRECTIVE_FILE_ONLY || d->type == &type_secret)
            return refuse(f, p);
        snprintf(scope + len, sizeof scope - len, ".%.*s", (int)key.len, key.at);
    }
    return true;
}

/* ---- lists -------------------------------------------------------------------- */

/* Makes a mapping of what is none, and leaves alone what is one. */
static bool merges(const struct policy_patch *p) {
    return !strcmp(p->value, "{}");
}

/* Whether the later of two changes of one service leaves nothing of the earlier. */
static bool undoes(const struct policy_patch *later, const struct policy_patch *earlier) {
    size_t len = strlen(later->key);
    if (strcmp(later->service, earlier->service) != 0)
        return false;
    if (merges(later) || strncmp(earlier->key, later->key, len) != 0)
        return false;
    return !earlier->key[len] || earlier->key[len] == '.';
}

void patch_list_add(struct policy_patch *list, uint32_t *count, const struct policy_patch *p) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < *count; i++) {
        if (!undoes(p, &list[i]))
            list[kept++] = list[i];
    }
    list[kept++] = *p;
    *count = kept;
}

uint32_t patch_list_clear(struct policy_patch *list, uint32_t *count, const char *service) {
    uint32_t kept = 0, before = *count;
    for (uint32_t i = 0; i < before; i++) {
        if (strcmp(list[i].service, service) != 0)
            list[kept++] = list[i];
    }
    *count = kept;
    return before - kept;
}

static void keep(struct fill *f, const struct policy_patch *patches, uint32_t count) {
    struct policy_patch *copy = fill_alloc(f, count, sizeof *copy);
    for (uint32_t i = 0; copy && i < count; i++) {
        const struct policy_patch *p = &patches[i];
        copy[i] = (struct policy_patch){.service = fill_copy(f, bytes_of(p->service)),
                                        .key = fill_copy(f, bytes_of(p->key)),
                                        .value = fill_copy(f, bytes_of(p->value)),
                                        .author = fill_copy(f, bytes_of(p->author)),
                                        .reason = fill_copy(f, bytes_of(p->reason)),
                                        .unix_ms = p->unix_ms};
    }
    f->options->patches = copy;
    f->options->patch_count = copy ? count : 0;
}
