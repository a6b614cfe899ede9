/* route.c - see route.h.
 *
 * Patterns are cut into segments once. A list is walked for each request: with
 * the tens of routes that a gateway has this is cheaper than any tree, since
 * most are dismissed by their first literal. */
#include "gateway/route.h"

#include <stdlib.h>

struct segment {
    struct bytes text; /* literal, or name of the capture */
    bool capture;
};

struct pattern {
    const struct route_options *route;
    struct bytes literal; /* everything before the first capture */
    bool plain;           /* no capture at all */
    uint32_t segment_count;
    struct segment *segments;
};

struct router {
    uint32_t count;
    struct pattern patterns[];
};

static bool cut(struct pattern *p, const struct route_options *route) {
    struct bytes all = bytes_of(route->pattern);
    const char *brace = memchr(all.at, '{', all.len);
    p->route = route;
    p->plain = !brace;
    p->literal = (struct bytes){all.at, brace ? (size_t)(brace - all.at) : all.len};
    if (route->prefix && p->plain && p->literal.len > 1 && p->literal.at[p->literal.len - 1] == '/')
        p->literal.len--; /* "/x/" as a prefix is "/x" */
    if (p->plain)
        return true;
    uint32_t count = 0;
    for (size_t i = 0; i < all.len; i++)
        count += all.at[i] == '/';
    p->segments = calloc(count + 1, sizeof *p->segments);
    if (!p->segments)
        return false;
    struct bytes rest = all, part;
    if (rest.len && rest.at[0] == '/')
        rest = (struct bytes){rest.at + 1, rest.len - 1};
    while (bytes_split(&rest, '/', &part)) {
        bool capture = part.len > 2 && part.at[0] == '{' && part.at[part.len - 1] == '}';
        if (capture)
            part = (struct bytes){part.at + 1, part.len - 2};
        p->segments[p->segment_count++] = (struct segment){part, capture};
    }
    return true;
}

struct router *router_create(const struct gateway_options *o) {
    struct router *r = calloc(1, sizeof *r + o->route_count * sizeof r->patterns[0]);
    if (!r)
        return NULL;
    for (; r->count < o->route_count; r->count++) {
        if (!cut(&r->patterns[r->count], &o->routes[r->count])) {
            router_destroy(r);
            return NULL;
        }
    }
    return r;
}

void router_destroy(struct router *r) {
    if (!r)
        return;
    for (uint32_t i = 0; i < r->count; i++)
        free(r->patterns[i].segments);
    free(r);
}

static bool match_plain(const struct pattern *p, struct bytes path) {
    if (!p->route->prefix)
        return bytes_equal(p->literal, path);
    if (!bytes_starts(path, p->literal))
        return false;
    return p->literal.len == 1 || path.len == p->literal.len || path.at[p->literal.len] == '/';
}

static bool match_segments(const struct pattern *p, struct bytes path, struct route_match *m) {
    if (!path.len || path.at[0] != '/')
        return false;
    const char *at = path.at + 1, *end = path.at + path.len;
    for (uint32_t i = 0; i < p->segment_count; i++) {
        const struct segment *s = &p->segments[i];
        if (at > end)
            return false;
        const char *slash = memchr(at, '/', (size_t)(end - at));
        struct bytes part = {at, (size_t)((slash ? slash : end) - at)};
        if (s->capture) {
            if (!part.len || m->capture_count == ROUTE_CAPTURES)
                return false;
            m->capture[m->capture_count].name = s->text;
            m->capture[m->capture_count++].value = part;
        } else if (!bytes_equal(part, s->text)) {
            return false;
        }
        at = slash ? slash + 1 : end + 1;
    }
    return at > end || p->route->prefix;
}

static bool match_host(const char *pattern, struct bytes host) {
    struct bytes want = bytes_of(pattern);
    if (want.len > 2 && want.at[0] == '*' && want.at[1] == '.') {
        want = (struct bytes){want.at + 1, want.len - 1};
        if (host.len <= want.len)
            return false;
        host = (struct bytes){host.at + host.len - want.len, want.len};
    }
    return bytes_equal_nocase(want, host);
}

bool router_match(const struct router *r, enum http_method method, struct bytes host,
                  struct bytes path, struct route_match *m) {
    m->methods = 0;
    for (uint32_t i = 0; i < r->count; i++) {
        const struct pattern *p = &r->patterns[i];
        m->capture_count = 0;
        if (!bytes_starts(path, p->literal))
            continue;
        if (!(p->plain ? match_plain(p, path) : match_segments(p, path, m)))
            continue;
        if (p->route->host && !match_host(p->route->host, host))
            continue;
        if (p->route->method_mask && !(p->route->method_mask >> method & 1)) {
            m->methods |= p->route->method_mask;
            continue;
        }
        m->route = p->route;
        m->index = i;
        return true;
    }
    m->route = NULL;
    m->capture_count = 0;
    return false;
}

/* The prefix ends where a segment does: its own last byte is a slash, or the
 * next one is, or nothing is left. */
struct bytes route_path(const struct route_options *route, struct bytes path) {
    if (!route)
        return path;
    struct bytes strip = bytes_of(route->strip_prefix);
    if (!strip.len || !bytes_starts(path, strip))
        return path;
    size_t used = strip.at[strip.len - 1] == '/' ? strip.len - 1 : strip.len;
    struct bytes rest = {path.at + used, path.len - used};
    return rest.len ? rest : BYTES("/");
}
