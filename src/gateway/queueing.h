/* queueing.h - what an exchange does with its service's queue (queue.h). */
#ifndef SWG_GATEWAY_QUEUEING_H
#define SWG_GATEWAY_QUEUEING_H

#include "gateway/exchange.h"

/* Whether this is a write that could be queued: it then has x->write_key, the
 * client's or ours, and its body is gathered before the call begins. */
void queueing_begin(struct exchange *);
/* Bytes of the body that are kept. */
size_t queueing_body_max(const struct exchange *);
/* The request is here, its call not begun: whether that must wait until the outbox
 * has said if writes before this one are waiting. True: exchange_asked() comes. */
bool queueing_asks(struct exchange *);
/* The call is about to begin: whether writes before this one are waiting. */
bool queueing_is_behind(struct exchange *);

/* The status of a write, for GET /.well-known/switchgear/writes/{id}. True: it
 * was that, and is or will be answered. */
bool queueing_status(struct exchange *);

/* What the tier said when it could not; NULL: it was not asked, or could. */
const char *queueing_refusal(const struct exchange *);

#endif
