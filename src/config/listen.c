/* listen.c - where the gateway and its admin interface listen. */
#include <string.h>

#include "config/address.h"
#include "config/fill.h"
#include "config/print.h"
#include "config/types.h"

enum { LISTENS_MAX = 64, TRUST_MAX = 1024 };

static const char *listen_host(struct fill *, struct bytes);

/* ---- listen ------------------------------------------------------------ */

static void check_twice(struct fill *f, const struct node *n, const struct listen_options *all,
                        uint32_t count) {
    const struct listen_options *last = &all[count - 1];
    for (uint32_t i = 0; last->address && i + 1 < count; i++) {
        if (all[i].address && !strcmp(all[i].address, last->address) &&
            (last->port || last->unix_path))
            report_error(f->report, n, "each address once", NULL, "%s listens on %s twice", f->path,
                         last->address);
    }
}

static bool read_listens(struct fill *f, const struct directive *d, const struct node *n,
                         void *base) {
    struct gateway_options *o = base;
    if (n->kind != NODE_LIST || n->count == 0)
        return fill_wrong(f, d, n, NULL);
    if (n->count > LISTENS_MAX)
        return fill_too_many(f, n, "at most 64 addresses");
    struct listen_options *all = fill_alloc(f, n->count, sizeof *all);
    if (!all)
        return false;
    struct named *outer = f->named;
    uint32_t count = 0;
    for (const struct node_entry *e = n->first; e; e = e->next, count++) {
        struct named named = {{NULL}};
        size_t path = fill_enter(f, "[%u]", count);
        f->named = &named;
        fill_defaults(f, "listen[]", &all[count]);
        fill_map(f, "listen[]", e->value, &all[count]);
        check_twice(f, e->value, all, count + 1);
        fill_leave(f, path);
    }
    f->named = outer;
    o->listens = all;
    o->listen_count = count;
    f->listens = n;
    return true;
}

static void write_listens(struct json_out *out, const struct directive *d, const char *key,
                          const void *base) {
    const struct gateway_options *o = base;
    json_key_array(out, key);
    for (uint32_t i = 0; i < o->listen_count; i++) {
        json_object(out);
        print_scope(out, "listen[]", &o->listens[i]);
        json_object_end(out);
    }
    json_array_end(out);
}

const struct directive_type type_listens = {
    "list", "a list such as [{address: \"127.0.0.1:8080\"}]", read_listens, write_listens};

static bool read_listen_address(struct fill *f, const struct directive *d, const struct node *n,
                                void *base) {
    struct listen_options *l = base;
    struct bytes text;
    struct address a;
    if (!fill_text(f, d, n, &text))
        return false;
    if (!address_read(text, &a))
        return fill_wrong(f, d, n, NULL);
    if (a.unix_path.len) {
        l->unix_path = fill_copy(f, a.unix_path);
    } else {
        if (!a.has_port || !(l->host = listen_host(f, a.host)))
            return fill_wrong(f, d, n, NULL);
        l->port = a.port;
    }
    l->address = fill_copy(f, text);
    return true;
}

static void write_listen_address(struct json_out *out, const struct directive *d, const char *key,
                                 const void *base) {
    json_key_string(out, key, ((const struct listen_options *)base)->address);
}

const struct directive_type type_listen_address = {
    "address",
    "an IP address with a port, such as 127.0.0.1:8080, [::]:80 or 0.0.0.0:80, or "
    "unix:/path",
    read_listen_address, write_listen_address};

/* Numeric, so that starting needs no resolver; localhost is the one name that
 * everybody writes. */
static const char *listen_host(struct fill *f, struct bytes host) {
    if (bytes_equal_nocase(host, BYTES("localhost")))
        return "127.0.0.1";
    return address_is_numeric(host) ? fill_copy(f, host) : NULL;
}

/* ---- trust ------------------------------------------------------------- */

static bool read_trust(struct fill *f, const struct directive *d, const struct node *n,
                       void *base) {
    struct listen_options *l = base;
    uint32_t count = items_count(n);
    if (n->kind == NODE_MAP || count > TRUST_MAX)
        return fill_wrong(f, d, n, NULL);
    struct cidr *all = fill_alloc(f, count, sizeof *all);
    struct items items = items_of(n);
    const struct node *item;
    bool good = all != NULL;
    for (uint32_t i = 0; all && (item = items_next(&items)) != NULL; i++) {
        struct bytes text;
        if (!fill_text(f, d, item, &text))
            good = false;
        else if (!cidr_read(text, &all[i]))
            good = fill_wrong_but(f, item,
                                  "an address or a range with no bits behind its prefix, such as "
                                  "10.0.0.0/8 or ::1",
                                  NULL);
    }
    l->trusted = all;
    l->trusted_count = good ? count : 0;
    return good;
}

static void write_trust(struct json_out *out, const struct directive *d, const char *key,
                        const void *base) {
    const struct listen_options *l = base;
    char text[CIDR_SIZE];
    json_key_array(out, key);
    for (uint32_t i = 0; i < l->trusted_count; i++)
        json_string(out, cidr_write(text, &l->trusted[i]));
    json_array_end(out);
}

const struct directive_type type_trust = {"list of address ranges",
                                          "a list of address ranges such as [10.0.0.0/8, ::1]",
                                          read_trust, write_trust};

/* ---- admin.address ----------------------------------------------------- */

static bool read_admin_address(struct fill *f, const struct directive *d, const struct node *n,
                               void *base) {
    struct gateway_options *o = base;
    struct bytes text;
    struct address a;
    if (!fill_text(f, d, n, &text))
        return false;
    if (!address_read(text, &a) || a.unix_path.len || !a.has_port)
        return fill_wrong(f, d, n, NULL);
    const char *host = listen_host(f, a.host);
    if (!host)
        return fill_wrong(f, d, n, NULL);
    o->admin.host = host;
    o->admin.port = a.port;
    return true;
}

static void write_admin_address(struct json_out *out, const struct directive *d, const char *key,
                                const void *base) {
    const struct gateway_options *o = base;
    char text[128];
    bool v6 = strchr(o->admin.host, ':') != NULL;
    snprintf(text, sizeof text, v6 ? "[%s]:%u" : "%s:%u", o->admin.host, o->admin.port);
    json_key_string(out, key, text);
}

const struct directive_type type_admin_address = {
    "address", "an IP address with a port, such as 127.0.0.1:9797", read_admin_address,
    write_admin_address};
