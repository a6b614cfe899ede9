/* trace_export.h - brings finished spans to the collector: OTLP over HTTP, as JSON.
 *
 *   workers ──take──▶ queue (bounded) ──batch──▶ POST …/v1/traces ──▶ collector
 *                       │ full: dropped              │ away: its breaker, the batch waits
 *                       ▼                            ▼ refused: failed
 *                         trace_spans_total{result}
 *
 * No request ever waits for it. Threading: take() from any thread, a short lock;
 * everything else on the control thread. */
#ifndef SWG_GATEWAY_TRACE_EXPORT_H
#define SWG_GATEWAY_TRACE_EXPORT_H

#include "gateway/gateway.h"
#include "observe/trace.h"

struct trace_export;

/* Spans that wait, at most; further ones are dropped. */
enum { TRACE_QUEUE_MAX = 4096 };

/* Sets itself in the gateway, before there are workers. 0 or -errno. */
int trace_export_create(struct trace_export **out, struct gateway *, struct io *);
/* When no worker is left. What still waits is dropped. */
void trace_export_destroy(struct trace_export *);

/* From now on it goes where this plan says; what waits goes there too. */
void trace_export_follow(struct trace_export *, const struct plan *);
/* Whose name is to be looked up; NULL: nowhere is one. */
struct target *trace_export_target(const struct trace_export *);

/* The parcel is the exporter's from then on. */
void trace_export_take(struct trace_export *, struct trace_parcel *);

/* The process ends: what waits is sent now. True when nothing is left, or nothing
 * more can be done; to be asked again until then. */
bool trace_export_is_settled(struct trace_export *);

enum trace_result { TRACE_SENT, TRACE_DROPPED, TRACE_FAILED, TRACE_RESULTS };
/* "sent", "dropped", "failed" */
const char *trace_result_word(enum trace_result);
uint64_t trace_export_count(const struct trace_export *, enum trace_result);

#endif
