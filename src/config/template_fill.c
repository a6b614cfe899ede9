/* template_fill.c - see template_fill.h. */
#include "config/template_fill.h"

#include <errno.h>
#include <string.h>

#include "config/address.h"

/* The scalar that holds what is wrong: a body of JSON is a whole tree. */
static const struct node *scalar_with(const struct node *n, struct bytes text, int depth) {
    if (n->kind == NODE_SCALAR)
        return n->text.len && text.len && memmem(n->text.at, n->text.len, text.at, text.len) ? n
                                                                                             : NULL;
    for (const struct node_entry *e = n->first; e && depth < DOCUMENT_DEPTH_MAX; e = e->next) {
        const struct node *found = e->key ? scalar_with(e->key, text, depth + 1) : NULL;
        if (!found)
            found = scalar_with(e->value, text, depth + 1);
        if (found)
            return found;
    }
    return NULL;
}

static void place_of(struct bytes text, size_t offset, unsigned *line, unsigned *column) {
    *line = *column = 1;
    for (size_t i = 0; i < offset; i++) {
        ++*column;
        if (text.at[i] == '\n') {
            ++*line;
            *column = 1;
        }
    }
}

static void report_fault(struct fill *f, const struct node *n, struct bytes text,
                         const struct template_fault *fault, const char *file) {
    char shown[SHOW_SIZE], where[SHOW_SIZE];
    const struct node *at = scalar_with(n, fault->hole, 0);
    report_show(shown, fault->hole);
    if (!file) {
        report_error(f->report, at ? at : n, fault->expected, NULL, "%s has the hole %s", f->path,
                     shown);
        return;
    }
    unsigned line, column;
    place_of(text, fault->offset, &line, &column);
    report_error(f->report, n, fault->expected, NULL, "%s: %s, line %u, column %u, has the hole %s",
                 f->path, report_show(where, bytes_of(file)), line, column, shown);
}

const struct template *fill_template(struct fill *f, const struct node *n, struct bytes text,
                                     enum template_as as, const char *file) {
    struct template_fault fault;
    struct template *t = fill_alloc(f, 1, sizeof *t);
    int error = t ? template_compile(t, as, text, f->arena, &fault) : 0;
    if (error == -EINVAL)
        report_fault(f, n, text, &fault, file);
    else if (error)
        (void)fill_alloc(f, SIZE_MAX, 2); /* says so */
    return error ? NULL : t;
}

/* As it would be with harmless values. */
static bool target_is_good(struct bytes text, const struct template *t) {
    char memory[4096];
    struct buf plain;
    buf_init_fixed(&plain, memory, sizeof memory);
    for (uint32_t i = 0; t && i < t->count; i++)
        buf_bytes(&plain, t->pieces[i].text.at ? t->pieces[i].text : BYTES("x"));
    if (!t)
        buf_bytes(&plain, text);
    struct bytes path = buf_view(&plain);
    const char *mark = path.len ? memchr(path.at, '?', path.len) : NULL;
    for (const char *c = mark; c && c < path.at + path.len; c++) {
        if (*c <= ' ' || *c >= 0x7f || *c == '#')
            return false;
    }
    if (mark)
        path.len = (size_t)(mark - path.at);
    return !plain.failed && url_path_is_good(path);
}

bool fill_target(struct fill *f, const struct directive *d, const struct node *n, const char **text,
                 const struct template **filled) {
    struct bytes target;
    *filled = NULL;
    if (!fill_text(f, d, n, &target))
        return false;
    *text = fill_copy(f, target);
    if (template_is_needed(target)) {
        *filled = fill_template(f, n, (struct bytes){*text, target.len}, TEMPLATE_PATH, NULL);
        if (!*filled)
            return false;
    }
    return target_is_good((struct bytes){*text, target.len}, *filled) || fill_wrong(f, d, n, NULL);
}
