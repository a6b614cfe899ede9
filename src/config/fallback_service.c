/* fallback_service.c - the tier that is another service: a name, or {name, path,
 * method, set_json, set_headers}. */
#include <string.h>

#include "config/fill.h"
#include "config/json_value.h"
#include "config/print.h"
#include "config/template_fill.h"
#include "config/types.h"
#include "wire/http.h"

enum { PATCH_MAX = 64 << 10 };

/* ---- the tier ------------------------------------------------------------- */

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

const struct directive_type type_tier_service = {
    "service, or {name, path, method, set_json, set_headers}",
    "the name of a service, or {name, path, method, set_json, set_headers}", read_tier_service,
    write_tier_service};

static void note(struct tier_options *t, const struct template *filled) {
    t->needs_body |= filled && filled->needs_body;
}

/* ---- path ------------------------------------------------------------------- */

static bool read_path(struct fill *f, const struct directive *d, const struct node *n, void *base) {
    struct tier_options *t = base;
    if (!fill_target(f, d, n, &t->service.path, &t->service.path_filled))
        return false;
    note(t, t->service.path_filled);
    return true;
}

static void write_path(struct json_out *out, const struct directive *d, const char *key,
                       const void *base) {
    const struct tier_options *t = base;
    if (t->service.path)
        json_key_string(out, key, t->service.path);
}

const struct directive_type type_tier_path = {"path", "a path such as /v1/items", read_path,
                                              write_path};

/* ---- method ------------------------------------------------------------------- */

static bool read_method(struct fill *f, const struct directive *d, const struct node *n,
                        void *base) {
    static const char *const good[] = {"GET", "POST", "PUT", "PATCH", "DELETE"};
    struct tier_options *t = base;
    struct bytes text;
    if (!fill_text(f, d, n, &text))
        return false;
    for (int i = 0; i < 5; i++) {
        if (bytes_equal(text, bytes_of(good[i])))
            t->service.method = good[i];
    }
    return t->service.method || fill_wrong(f, d, n, NULL);
}

static void write_method(struct json_out *out, const struct directive *d, const char *key,
                         const void *base) {
    const struct tier_options *t = base;
    if (t->service.method)
        json_key_string(out, key, t->service.method);
}

const struct directive_type type_tier_method = {"method", "GET, POST, PUT, PATCH or DELETE",
                                                read_method, write_method};

/* ---- set_json ------------------------------------------------------------------- */

static bool read_patch(struct fill *f, const struct directive *d, const struct node *n,
                       void *base) {
    struct tier_options *t = base;
    struct buf text;
    if (n->kind != NODE_MAP || !n->count)
        return fill_wrong(f, d, n, NULL);
    buf_init(&text, PATCH_MAX);
    bool good = json_value_write(f, n, &text);
    if (good) {
        t->service.set_json = fill_copy(f, (struct bytes){buf_cstr(&text), text.len});
        t->service.set_filled =
            fill_template(f, n, bytes_of(t->service.set_json), TEMPLATE_JSON, NULL);
        t->needs_body = true;
        good = t->service.set_filled != NULL;
    }
    buf_free(&text);
    return good;
}

static void write_patch(struct json_out *out, const struct directive *d, const char *key,
                        const void *base) {
    const struct tier_options *t = base;
    if (!t->service.set_json)
        return;
    json_key(out, key);
    json_raw(out, bytes_of(t->service.set_json));
}

const struct directive_type type_json_patch = {"mapping of key to value",
                                               "a mapping of keys to values; null takes a key away",
                                               read_patch, write_patch};

/* ---- set_headers ------------------------------------------------------------------- */

static bool read_set_headers(struct fill *f, const struct directive *d, const struct node *n,
                             void *base) {
    struct tier_options *t = base;
    if (!fill_headers(f, d, n, true, &t->service.headers, &t->service.header_count))
        return false;
    for (uint32_t i = 0; i < t->service.header_count; i++)
        note(t, t->service.headers[i].filled);
    return true;
}

static void write_set_headers(struct json_out *out, const struct directive *d, const char *key,
                              const void *base) {
    const struct tier_options *t = base;
    fill_headers_write(out, key, t->service.headers, t->service.header_count);
}

const struct directive_type type_set_headers = {
    "mapping of name to value",
    "a mapping of at most 64 header fields; null takes one away, file:/path reads a secret",
    read_set_headers, write_set_headers};
