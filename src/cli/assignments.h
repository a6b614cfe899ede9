/* assignments.h - `key=value` words of a command line as a JSON object.
 *
 *     breaker.failures=8 timeout.attempt=2s retry.on=[503]
 *     {"breaker": {"failures": 8}, "timeout": {"attempt": "2s"}, "retry": {"on": [503]}}
 *
 * A value that is JSON is that; anything else is a string. */
#ifndef SWG_CLI_ASSIGNMENTS_H
#define SWG_CLI_ASSIGNMENTS_H

#include "base/buf.h"

struct assignments {
    const char *const *words;
    unsigned count;
    const char *below;           /* an object around them all; NULL: none */
    const char *author, *reason; /* beside them; reason NULL: none */
};

/* False, with a sentence about what is wrong. */
bool assignments_write(const struct assignments *, struct buf *body, struct buf *wrong);

#endif
