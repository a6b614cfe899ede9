/* trace_batch.h - parcels of spans as a whole request to a collector. */
#ifndef SWG_GATEWAY_TRACE_BATCH_H
#define SWG_GATEWAY_TRACE_BATCH_H

#include "base/buf.h"
#include "base/list.h"
#include "gateway/options.h"
#include "observe/trace.h"

enum { TRACE_REQUEST_MAX = 16 * 1024 * 1024 };

/* POST …/v1/traces with all parcels of the list; to->failed where it does not fit. */
void trace_batch_write(struct buf *to, const struct trace_options *, const struct trace_resource *,
                       const struct list *parcels);

#endif
