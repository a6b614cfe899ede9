/* trace_json.h - parcels of spans as an OTLP request, in its JSON encoding
 * (opentelemetry-proto, ExportTraceServiceRequest): ids in hexadecimal, integers
 * of 64 bits as strings, enums as numbers. Pure. */
#ifndef SWG_OBSERVE_TRACE_JSON_H
#define SWG_OBSERVE_TRACE_JSON_H

#include "base/json_out.h"
#include "observe/trace.h"

/* Then any number of parcels, then the end. */
void trace_json_begin(struct json_out *, const struct trace_resource *);
void trace_json_parcel(struct json_out *, const struct trace_parcel *);
void trace_json_end(struct json_out *);

#endif
