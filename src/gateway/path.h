/* path.h - one canonical path for routing, cache keys and the upstream.
 *
 * Whoever matches one spelling and sends another lets a client walk around a
 * rule. RFC 3986 section 6.2.2: percent-encoded unreserved characters are
 * decoded, hexadecimal digits become upper case, dot segments are removed
 * (never above the root). Encoded slashes stay encoded; empty segments stay. */
#ifndef SWG_GATEWAY_PATH_H
#define SWG_GATEWAY_PATH_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/bytes.h"

/* A request target cut apart. For absolute-form, authority is set. */
struct target_parts {
    struct bytes authority; /* at NULL unless in absolute form */
    struct bytes path;      /* canonical, begins with '/', or "*" */
    struct bytes query;     /* without '?'; at NULL when there is none */
};

/* False: no target that a gateway can use (bad escape, NUL, no path), or no
 * memory. What is canonical already is not copied. */
bool path_split(struct bytes target, struct arena *, struct target_parts *);

#endif
