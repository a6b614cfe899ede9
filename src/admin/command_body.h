/* command_body.h - the body of a request that changes something:
 *
 *     {"reason": "the database is being moved", "author": "ada", "for": "10m",
 *      "endpoint": "http://10.0.0.7:8001"}
 *
 * All optional; an empty body is an empty object. Anything else is refused,
 * because a misspelt "for" must not mean "for ever". */
#ifndef SWG_ADMIN_COMMAND_BODY_H
#define SWG_ADMIN_COMMAND_BODY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/bytes.h"

enum { BODY_REASON_MAX = 151, BODY_AUTHOR_MAX = 47, BODY_FOR_MAX = 32, BODY_ENDPOINT_MAX = 512 };

/* "" is what was not said. */
struct command_body {
    char reason[BODY_REASON_MAX + 1]; /* as much as an event holds */
    char author[BODY_AUTHOR_MAX + 1];
    char duration[BODY_FOR_MAX + 1];
    char endpoint[BODY_ENDPOINT_MAX + 1];
};

/* False, with a sentence about what is wrong. */
bool command_body_read(struct bytes, struct command_body *, struct buf *wrong);

#endif
