/* request_log.h - one line for each request, where the configuration asks. */
#ifndef SWG_GATEWAY_REQUEST_LOG_H
#define SWG_GATEWAY_REQUEST_LOG_H

#include "gateway/exchange.h"

/* At the exchange's end. Paths are logged without their query, and no fields
 * at all: both carry secrets. */
void request_log(struct exchange *, int status, uint64_t took_ns, bool whole);

#endif
