/* cache_key.h - the name of a stored answer: a hash over parts of a request.
 *
 * SHA-256, because whoever can make two requests with the same key can put his
 * answer under another's name; and not keyed, so that gateways which share a
 * store mean the same by it. Threading: any thread. */
#ifndef SWG_GATEWAY_CACHE_KEY_H
#define SWG_GATEWAY_CACHE_KEY_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/bytes.h"
#include "gateway/options.h"
#include "wire/http.h"

struct cache_key {
    uint8_t bytes[32];
};

static inline bool cache_key_equal(const struct cache_key *a, const struct cache_key *b) {
    return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

/* What a request has to offer for a key; all views. */
struct cache_key_parts {
    struct bytes service; /* always part of it: two services may share paths */
    struct bytes method;
    struct bytes host;  /* case does not matter */
    struct bytes path;  /* canonical, the same that was routed by */
    struct bytes query; /* without "?"; .at NULL where there is no "?" */
    struct bytes body;  /* whole */
    const struct http_field *fields;
    uint16_t field_count;
};

/* Takes the parts that `options` names, and the fields it names with all their
 * values. No two different choices of parts give the same input to the hash.
 * 0, or -ENOMEM. */
int cache_key_make(struct cache_key *, const struct cache_key_parts *,
                   const struct cache_options *);

#endif
