/* routes.c - which requests go to which service. */
#include <string.h>

#include "config/address.h"
#include "config/fill.h"
#include "config/print.h"
#include "config/suggest.h"
#include "config/types.h"
#include "wire/http.h"

enum { ROUTES_MAX = 10000, CAPTURES_MAX = 16 };

static const struct {
    const char *name;
    enum http_method method;
} methods[] = {
    {"GET", HTTP_GET},     {"HEAD", HTTP_HEAD},     {"POST", HTTP_POST},
    {"PUT", HTTP_PUT},     {"DELETE", HTTP_DELETE}, {"OPTIONS", HTTP_OPTIONS},
    {"TRACE", HTTP_TRACE}, {"PATCH", HTTP_PATCH},   {"CONNECT", HTTP_CONNECT},
};
enum { METHODS = sizeof methods / sizeof methods[0] };

static void fill_route(struct fill *, const struct node *, struct route_options *);
static void finish_route(struct fill *, const struct node *, struct route_options *);
static void check_reach(struct fill *, const struct node *, const struct route_options *all,
                        uint32_t index);
static bool covers(const struct route_options *earlier, const struct route_options *later);

/* ---- the list ---------------------------------------------------------- */

static bool read_routes(struct fill *f, const struct directive *d, const struct node *n,
                        void *base) {
    if (n->kind != NODE_LIST || n->count == 0)
        return fill_wrong(f, d, n, NULL);
    if (n->count > ROUTES_MAX)
        return fill_too_many(f, n, "at most 10000 routes");
    f->routes = n;
    return true;
}

static void write_routes(struct json_out *out, const struct directive *d, const char *key,
                         const void *base) {
    const struct gateway_options *o = base;
    if (!o->route_count) /* an empty list could not be read back */
        return;
    json_key_array(out, key);
    for (uint32_t i = 0; i < o->route_count; i++) {
        json_object(out);
        print_scope(out, "routes[]", &o->routes[i]);
        json_object_end(out);
    }
    json_array_end(out);
}

const struct directive_type type_routes = {
    "list of routes", "a list such as [{prefix: /api, service: api}]", read_routes, write_routes};

/* The one that gets all requests where no route says otherwise; -1: there are none, or
 * several. */
static int only_service(const struct fill *f) {
    int only = -1;
    for (uint32_t i = 0; i < f->draft_count; i++) {
        if (f->drafts[i].options.tcp)
            continue;
        if (only >= 0)
            return -1;
        only = (int)i;
    }
    return only;
}

void fill_routes(struct fill *f) {
    int only = only_service(f);
    uint32_t count = f->routes ? f->routes->count : only >= 0;
    struct route_options *all = fill_alloc(f, count, sizeof *all);
    if (!all)
        return;
    f->options->routes = all;
    f->options->route_count = count;
    if (!f->routes) {
        if (count) {
            all[0] = (struct route_options){.pattern = "/",
                                            .prefix = true,
                                            .service = f->drafts[only].options.name,
                                            .service_index = (uint32_t)only};
            f->drafts[only].wanted = true;
        }
        return;
    }
    uint32_t i = 0;
    for (const struct node_entry *e = f->routes->first; e; e = e->next, i++) {
        size_t path = fill_enter(f, "routes[%u]", i);
        fill_route(f, e->value, &all[i]);
        check_reach(f, e->value, all, i);
        fill_leave(f, path);
    }
}

static void fill_route(struct fill *f, const struct node *n, struct route_options *r) {
    struct named named = {{NULL}};
    f->named = &named;
    fill_map(f, "routes[]", n, r);
    if (n->kind != NODE_MAP)
        return;
    const struct node *path = node_get(n, "path"), *prefix = node_get(n, "prefix");
    bool aggregate = node_get(n, "aggregate") || node_get(n, "split");
    if (path && prefix)
        report_error(f->report, prefix, "one of path and prefix", NULL, "%s has both", f->path);
    else if (!path && !prefix)
        report_error(f->report, n, "path or prefix", NULL, "%s says nothing about the path",
                     f->path);
    if (!r->service && !node_get(n, "service") && !aggregate)
        report_error(f->report, n, "service", NULL, "%s leads nowhere", f->path);
    if (node_get(n, "aggregate") && node_get(n, "service"))
        report_error(f->report, node_get(n, "aggregate"), "one of service and aggregate", NULL,
                     "%s has both", f->path);
    finish_route(f, n, r);
}

static void finish_route(struct fill *f, const struct node *n, struct route_options *r) {
    const struct node *at = node_get(n, "service");
    if (at && r->service) {
        int index = fill_service_index(f, bytes_of(r->service));
        if (index < 0) {
            fill_unknown_service(f, at, bytes_of(r->service));
        } else if (fill_takes_requests(f, at, index)) {
            r->service_index = (uint32_t)index;
            f->drafts[index].wanted = true;
        }
    }
    const struct node *strip = node_get(n, "strip_prefix");
    if (!strip || !r->strip_prefix || !r->pattern)
        return;
    size_t len = strlen(r->strip_prefix);
    bool inside = strncmp(r->pattern, r->strip_prefix, len) == 0 &&
                  (r->pattern[len] == '/' || r->pattern[len] == '\0');
    if (!inside)
        report_error(f->report, strip, "the beginning of the route's own path", NULL,
                     "%s.strip_prefix is not what %s begins with", f->path, r->pattern);
}

/* ---- path and prefix --------------------------------------------------- */

static bool capture_is_good(struct bytes name) {
    for (size_t i = 0; i < name.len; i++) {
        char c = name.at[i];
        bool letter = ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '_';
        if (!letter && (i == 0 || c < '0' || c > '9'))
            return false;
    }
    return name.len > 0;
}

/* A capture is a whole segment; NULL when the pattern is good. */
static const char *pattern_problem(struct bytes pattern) {
    struct bytes rest = {pattern.at + 1, pattern.len - 1}, segment, seen[CAPTURES_MAX];
    uint32_t captures = 0;
    while (bytes_split(&rest, '/', &segment)) {
        bool brace = segment.len &&
                     (memchr(segment.at, '{', segment.len) || memchr(segment.at, '}', segment.len));
        if (!brace)
            continue;
        if (segment.len < 3 || segment.at[0] != '{' || segment.at[segment.len - 1] != '}' ||
            !capture_is_good((struct bytes){segment.at + 1, segment.len - 2}))
            return "{name} as a whole segment, as in /users/{id}";
        if (captures == CAPTURES_MAX)
            return "at most 16 captures";
        for (uint32_t i = 0; i < captures; i++) {
            if (bytes_equal(seen[i], segment))
                return "each capture to have a name of its own";
        }
        seen[captures++] = segment;
    }
    return NULL;
}

static int hex_value(char c) {
    return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
}

/* Requests are compared in their canonical spelling (RFC 3986 section 6.2.2),
 * so a pattern in another one would never match. */
static bool is_canonical(struct bytes path) {
    for (size_t i = 0; i + 2 < path.len; i++) {
        if (path.at[i] != '%')
            continue;
        char high = path.at[i + 1], low = path.at[i + 2];
        int c = hex_value(high) << 4 | hex_value(low);
        bool unreserved = ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || (c >= '0' && c <= '9') ||
                          c == '-' || c == '.' || c == '_' || c == '~';
        if (unreserved || high >= 'a' || low >= 'a')
            return false;
    }
    return true;
}

static bool read_pattern(struct fill *f, const struct directive *d, const struct node *n,
                         void *base) {
    struct route_options *r = base;
    bool strip = !strcmp(directive_key(d), "strip_prefix");
    bool prefix = !strcmp(directive_key(d), "prefix");
    struct bytes text;
    if (!fill_text(f, d, n, &text))
        return false;
    if (!url_path_is_good(text))
        return fill_wrong(f, d, n, NULL);
    if (!is_canonical(text))
        return fill_wrong_but(f, n, "letters, digits and -._~ as they are, and %2F rather than %2f",
                              NULL);
    const char *problem = strip ? NULL : pattern_problem(text);
    if (problem)
        return fill_wrong_but(f, n, problem, NULL);
    if ((strip || prefix) && text.len > 1 && text.at[text.len - 1] == '/')
        text.len--; /* "/x/" as a prefix is "/x" */
    if (strip) {
        r->strip_prefix = text.len > 1 ? fill_copy(f, text) : NULL;
    } else {
        r->pattern = fill_copy(f, text);
        r->prefix = prefix;
    }
    return true;
}

static void write_pattern(struct json_out *out, const struct directive *d, const char *key,
                          const void *base) {
    const struct route_options *r = base;
    if (!strcmp(key, "strip_prefix")) {
        if (r->strip_prefix)
            json_key_string(out, key, r->strip_prefix);
    } else if (r->prefix == !strcmp(key, "prefix")) {
        json_key_string(out, key, r->pattern);
    }
}

const struct directive_type type_pattern = {
    "path", "a path that begins with '/', without '?', '#', spaces and empty segments",
    read_pattern, write_pattern};

/* ---- match ------------------------------------------------------------- */

static bool add_method(struct fill *f, const struct directive *d, const struct node *n,
                       uint32_t *mask) {
    struct bytes text;
    struct suggestion s;
    if (!fill_text(f, d, n, &text))
        return false;
    suggest_begin(&s, text);
    for (uint32_t i = 0; i < METHODS; i++) {
        if (bytes_equal(text, bytes_of(methods[i].name))) {
            *mask |= UINT32_C(1) << methods[i].method;
            return true;
        }
        suggest_offer(&s, methods[i].name);
    }
    return fill_wrong_but(f, n, "a registered method in capitals, such as GET or POST", s.best);
}

static bool read_methods(struct fill *f, const struct directive *d, const struct node *n,
                         void *base) {
    uint32_t mask = 0;
    if (n->kind == NODE_MAP || !items_count(n))
        return fill_wrong(f, d, n, NULL);
    struct items items = items_of(n);
    const struct node *item;
    bool good = true;
    while ((item = items_next(&items)) != NULL)
        good = add_method(f, d, item, &mask) && good;
    field_set(d, base, mask);
    return good;
}

static void write_methods(struct json_out *out, const struct directive *d, const char *key,
                          const void *base) {
    uint32_t mask = (uint32_t)field_get(d, base);
    if (!mask)
        return;
    json_key_array(out, key);
    for (uint32_t i = 0; i < METHODS; i++) {
        if (mask >> methods[i].method & 1)
            json_string(out, methods[i].name);
    }
    json_array_end(out);
}

const struct directive_type type_methods = {"method, or list of methods",
                                            "a method such as GET, or a list of them", read_methods,
                                            write_methods};

static bool read_host(struct fill *f, const struct directive *d, const struct node *n, void *base) {
    struct route_options *r = base;
    struct bytes text;
    struct address a;
    if (!fill_text(f, d, n, &text))
        return false;
    struct bytes name = text;
    if (bytes_starts(name, BYTES("*.")))
        name = (struct bytes){name.at + 2, name.len - 2};
    if (!address_read(name, &a) || a.has_port || a.unix_path.len)
        return fill_wrong(f, d, n, NULL);
    char lower[256];
    for (size_t i = 0; i < text.len; i++)
        lower[i] = (char)(text.at[i] >= 'A' && text.at[i] <= 'Z' ? text.at[i] | 0x20 : text.at[i]);
    r->host = fill_copy(f, (struct bytes){lower, text.len});
    return true;
}

static void write_host(struct json_out *out, const struct directive *d, const char *key,
                       const void *base) {
    const struct route_options *r = base;
    if (r->host)
        json_key_string(out, key, r->host);
}

const struct directive_type type_host = {"host name", "a host name without port, or *.example.com",
                                         read_host, write_host};

/* ---- order ------------------------------------------------------------- */

/* The first match wins, so a route behind one that takes all of its requests
 * is dead. Said only where it is certain: literal paths. */
static void check_reach(struct fill *f, const struct node *n, const struct route_options *all,
                        uint32_t index) {
    for (uint32_t i = 0; i < index; i++) {
        if (!covers(&all[i], &all[index]))
            continue;
        report_warning(f->report, n, "it before that one",
                       "%s is never reached: routes[%u] (%s) takes all of its requests", f->path, i,
                       all[i].pattern);
        return;
    }
}

static bool covers(const struct route_options *a, const struct route_options *b) {
    if (!a->pattern || !b->pattern || (a->prefix ? strchr(a->pattern, '{') != NULL : b->prefix))
        return false;
    if (a->host && (!b->host || strcmp(a->host, b->host) != 0))
        return false;
    if (a->method_mask && (!b->method_mask || (b->method_mask & ~a->method_mask)))
        return false;
    size_t len = strlen(a->pattern);
    if (!a->prefix)
        return strcmp(a->pattern, b->pattern) == 0;
    return strncmp(a->pattern, b->pattern, len) == 0 &&
           (len == 1 || b->pattern[len] == '/' || b->pattern[len] == '\0');
}
