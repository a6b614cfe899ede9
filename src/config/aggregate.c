/* aggregate.c - routes whose answer is made of several services' answers. */
#include <string.h>

#include "config/fill.h"
#include "config/print.h"
#include "config/template_fill.h"
#include "config/types.h"

enum { PARTS_MAX = 32, NAME_MAX_BYTES = 64 };

static const char part_scope[] = "routes[].aggregate.*";

static void fill_part(struct fill *f, const struct node_entry *e, struct part_options *p) {
    struct bytes name = e->key->text;
    char shown[SHOW_SIZE];
    p->name = fill_copy(f, name);
    if (!name.len || name.len > NAME_MAX_BYTES || strlen(p->name) != name.len)
        report_error(f->report, e->key, "a name of at most 64 bytes", NULL, "%s: %s is no name",
                     f->path, report_show(shown, name));
    fill_defaults(f, part_scope, p);
    fill_map(f, part_scope, e->value, p);
    if (!p->service)
        return;
    int index = fill_service_index(f, bytes_of(p->service));
    if (index < 0)
        fill_unknown_service(f, node_get(e->value, "service"), bytes_of(p->service));
    else if (fill_takes_requests(f, node_get(e->value, "service"), index))
        f->drafts[index].wanted = true;
}

static bool read_aggregate(struct fill *f, const struct directive *d, const struct node *n,
                           void *base) {
    struct route_options *r = base;
    if (n->kind != NODE_MAP || !n->count)
        return fill_wrong(f, d, n, NULL);
    if (n->count > PARTS_MAX)
        return fill_too_many(f, n, "at most 32 parts");
    struct part_options *all = fill_alloc(f, n->count, sizeof *all);
    struct named *outer = f->named;
    uint32_t i = 0;
    for (const struct node_entry *e = n->first; all && e && !f->starved; e = e->next, i++) {
        struct named named = {{NULL}};
        size_t path = fill_enter(f, ".%.64s", e->key->text.at);
        f->named = &named;
        fill_part(f, e, &all[i]);
        fill_leave(f, path);
    }
    f->named = outer;
    r->parts = all;
    r->part_count = i;
    return true;
}

static void write_aggregate(struct json_out *out, const struct directive *d, const char *key,
                            const void *base) {
    const struct route_options *r = base;
    if (!r->part_count)
        return;
    json_key_object(out, key);
    for (uint32_t i = 0; i < r->part_count; i++) {
        json_key_object(out, r->parts[i].name);
        print_scope(out, part_scope, &r->parts[i]);
        json_object_end(out);
    }
    json_object_end(out);
}

const struct directive_type type_aggregate = {
    "mapping of name to part", "a mapping such as {products: {service: products, path: /products}}",
    read_aggregate, write_aggregate};

static bool read_part_path(struct fill *f, const struct directive *d, const struct node *n,
                           void *base) {
    struct part_options *p = base;
    return fill_target(f, d, n, &p->path, &p->path_filled);
}

static void write_part_path(struct json_out *out, const struct directive *d, const char *key,
                            const void *base) {
    const struct part_options *p = base;
    if (p->path)
        json_key_string(out, key, p->path);
}

const struct directive_type type_part_path = {"path", "a path such as /v1/items", read_part_path,
                                              write_part_path};
