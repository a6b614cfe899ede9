/* cache_key.h - the name of a stored answer: a hash over parts of a request.
 *
 * Two requests that a service may answer differently must have different keys,
 * or differ in what Vary names: else whoever sends the one puts his answer
 * under the name of the other. So the parts are taken as the service gets
 * them, and what is passed on unseen, but read by many frameworks as if it
 * stood in the request line (X-Original-URL, X-HTTP-Method-Override, …), is
 * part of each key where it is there.
 *
 * SHA-256, because whoever can make two requests with the same key can do the
 * same; and not keyed, so that gateways which share a store mean the same by
 * it. Threading: any thread. */
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
    struct bytes scheme;  /* as the service is told; always part of it where not empty */
    struct bytes method;
    struct bytes host;           /* as it is sent, case and all */
    struct bytes forwarded_host; /* where the service is told of another */
    struct bytes path;           /* canonical, as it is sent */
    struct bytes query;          /* without "?"; .at NULL where there is no "?" */
    struct bytes body;           /* whole */
    const struct http_field *fields;
    uint16_t field_count;
    bool forwards; /* Forwarded is passed on: what it says of host and scheme counts */
};

/* Takes the parts that `options` names, and the fields it names with all their
 * values. No two different choices of parts give the same input to the hash.
 * 0, -ENOMEM, or -EBADMSG where fields of the body are wanted and it is not
 * JSON: then the request has no name. */
int cache_key_make(struct cache_key *, const struct cache_key_parts *,
                   const struct cache_options *);

#endif
