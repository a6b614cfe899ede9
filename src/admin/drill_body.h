/* drill_body.h - the body of a request that starts a drill:
 *
 *     {"service": "payments", "kind": "error", "status": 503, "percent": 30,
 *      "header": "X-Drill: yes", "for": "5m", "reason": "game day", "author": "ada"}
 *
 * `service`, `kind` and `for` are needed, and `delay_ms` for a delay. Anything that
 * is not known is refused: a misspelt "percent" must not mean all of them. */
#ifndef SWG_ADMIN_DRILL_BODY_H
#define SWG_ADMIN_DRILL_BODY_H

#include "base/buf.h"
#include "gateway/drills.h"

/* Fills what the caller of drills_start() has to, but for the end: that is *for_ns
 * from now. False, with a sentence about what is wrong. */
bool drill_body_read(struct bytes, struct drill *, uint64_t *for_ns, struct buf *wrong);

#endif
