/* cache_json.h - parts of a JSON body, as they go into a cache key.
 *
 * Two bodies that mean the same give the same text: members sorted by name, no
 * white space, one spelling of each character. What they might mean
 * differently gives different texts: numbers are never turned into machine
 * numbers, so 1.0 and 1, or two integers beyond 2^53, stay two; and a body in
 * which a name is given twice is refused, since programs differ in which one
 * they take.
 *
 * Threading: one thread. Memory: its own, some times the body's size. */
#ifndef SWG_GATEWAY_CACHE_JSON_H
#define SWG_GATEWAY_CACHE_JSON_H

#include "base/bytes.h"

enum { CACHE_JSON_PATH_MAX = 256 };

struct cache_json;

/* 0, -EBADMSG (not JSON, too deep, or ambiguous), -ENOMEM. An empty body has
 * no fields. */
int cache_json_create(struct cache_json **out, struct bytes body);
void cache_json_destroy(struct cache_json *); /* NULL is fine */

/* The canonical text at `path`, names and indices joined by dots:
 * "messages.0.role", at most CACHE_JSON_PATH_MAX bytes. 0 with *text NULL where nothing is there,
 * else to be freed; -ENOMEM. */
int cache_json_text(const struct cache_json *, const char *path, char **text);

#endif
