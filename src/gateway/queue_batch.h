/* queue_batch.h - several writes as one request.
 *
 * What goes together has the same method, target and credentials. The bodies
 * are put into one, in order:
 *
 *   json_array   [a, b, c]
 *   ndjson       a LF b LF c LF
 *   firestore    {"writes": [those of a, b and c]}; the answer says of each
 *                whether it was done
 *
 * Each write may carry its Idempotency-Key in a field of its own body, by which
 * the receiver tells it from others in whatever company it comes again. The
 * request's own key is made of those of its writes.
 *
 * Threading: the home worker's. Memory: the caller's buffers. */
#ifndef SWG_GATEWAY_QUEUE_BATCH_H
#define SWG_GATEWAY_QUEUE_BATCH_H

#include "base/buf.h"
#include "engine/replay.h"
#include "gateway/options.h"
#include "store/outbox.h"

enum { BATCH_MAX = 500, BATCH_BODY_MAX = 16 << 20 };

/* Whether `b` can go with `a`. */
bool batch_agrees(const struct outbox_entry *a, const struct outbox_entry *b);

/* Appends one write; false: it cannot be a part of a batch (no JSON, or the
 * batch is full), and nothing was appended. `first`: nothing was before it;
 * *parts is raised by what it adds. */
bool batch_add(struct buf *body, const struct queue_options *, const struct outbox_entry *,
               bool first, uint32_t *parts);
bool batch_end(struct buf *body, const struct queue_options *);
/* The lines of the request: those of the first write, with the batch's own key
 * and type. */
void batch_fields(struct buf *, const struct queue_options *, const struct outbox_entry *const *,
                  uint32_t count);

/* What a good answer says of `count` parts from `from` on. */
enum swg__replay_result batch_result(const struct queue_options *, struct bytes answer,
                                     uint32_t from, uint32_t count);

#endif
