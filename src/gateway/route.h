/* route.h - which service a request is for.
 *
 * Routes are tried in the order of the configuration; the first that matches
 * wins. Paths are canonical (path.h) before they come here, so that what is
 * matched is what is sent. */
#ifndef SWG_GATEWAY_ROUTE_H
#define SWG_GATEWAY_ROUTE_H

#include <stdint.h>

#include "base/bytes.h"
#include "gateway/options.h"
#include "wire/http.h"

struct router;

enum { ROUTE_CAPTURES = 16 };

struct route_match {
    const struct route_options *route;
    uint32_t index;
    uint32_t methods; /* when nothing matched but for the method: those that would */
    uint32_t capture_count;
    struct {
        struct bytes name, value;
    } capture[ROUTE_CAPTURES];
};

/* The options must outlive the router. NULL: out of memory. */
struct router *router_create(const struct gateway_options *);
void router_destroy(struct router *);

/* `path` is canonical and without query; `host` without port, any case. */
bool router_match(const struct router *, enum http_method, struct bytes host, struct bytes path,
                  struct route_match *);

/* The path as the service gets it: without the route's strip_prefix, and
 * beginning with a slash. Without a route: as it is. */
struct bytes route_path(const struct route_options *, struct bytes path);

#endif
