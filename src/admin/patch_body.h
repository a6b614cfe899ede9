/* patch_body.h - a merge patch (RFC 7396) of a service's policy, taken apart:
 *
 *     {"breaker": {"failures": 8, "open": null}, "timeout": {"attempt": "2s"},
 *      "author": "ada", "reason": "the index is slow today"}
 *
 * gives "breaker.failures" 8, "breaker.open" null and "timeout.attempt" "2s".
 * Whether there are such keys is not known here; what is refused is what is no
 * JSON object, a key twice, and what is too deep or too much. */
#ifndef SWG_ADMIN_PATCH_BODY_H
#define SWG_ADMIN_PATCH_BODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "admin/command_body.h"

enum { PATCH_BODY_KEYS_MAX = 200, PATCH_BODY_DEPTH_MAX = 6 };

struct patch_member {
    char *key;   /* "breaker.failures" */
    char *value; /* JSON, in one line */
};

struct patch_body {
    char author[BODY_AUTHOR_MAX + 1], reason[BODY_REASON_MAX + 1];
    uint32_t count;
    struct patch_member members[PATCH_BODY_KEYS_MAX];
};

/* False, with a sentence about what is wrong. To be freed in any case. */
bool patch_body_read(struct bytes, struct patch_body *, struct buf *wrong);
/* The same for a body that is to be, but for author and reason, the whole value of one
 * key; it must have `needed` in it. */
bool patch_body_read_whole(struct bytes, const char *key, const char *needed, struct patch_body *,
                           struct buf *wrong);
void patch_body_free(struct patch_body *);

#endif
