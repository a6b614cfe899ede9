/* tracing.h - the trace of one exchange: where it belongs, what is told of it, and
 * what services are told.
 *
 *   tracing_begin ─▶ tracing_attempt … ─▶ tracing_end ─▶ trace_export.h
 *
 * A request is a span (SERVER; a part of an aggregate, or a refresh of the cache,
 * INTERNAL; a replay of a queued write, CONSUMER), each attempt a span under it
 * (CLIENT). Retries and fallback tiers are events of the request's.
 *
 * x->tracing is NULL while tracing is off; every function here is then harmless and
 * costs a look at that pointer. A request that is not sampled has a context that is
 * passed on, and nothing else.
 *
 * Never told: header fields, bodies, queries, and what a URL has before an '@'. */
#ifndef SWG_GATEWAY_TRACING_H
#define SWG_GATEWAY_TRACING_H

#include "gateway/exchange.h"
#include "observe/trace.h"

enum { TRACING_ERROR_SIZE = 24 };

/* In the exchange's arena. */
struct tracing {
    struct trace_context context;   /* span: the request's own */
    struct bytes state;             /* tracestate, as it is passed on; the arena's */
    struct trace_parcel *parcel;    /* NULL: not sampled */
    struct trace_span *span;        /* the request's; never NULL where there is a parcel */
    char error[TRACING_ERROR_SIZE]; /* how the last attempt failed: "timeout", "503" */
};

/* As soon as the head is there. `client`: believed as configured (trace.accept);
 * else the fields are our own. */
enum tracing_of { TRACING_CLIENT, TRACING_PART, TRACING_REPLAY };
void tracing_begin(struct exchange *, enum tracing_of);
/* A request that another one causes, and does not wait for. */
void tracing_begin_refresh(struct exchange *, const struct exchange *cause);
/* Hands over what there is to tell. */
void tracing_end(struct exchange *, bool whole);

/* An attempt begins; before its head is written. */
void tracing_attempt(struct leg *);
/* Its answer has begun. */
void tracing_answered(struct leg *, int status);
/* There is none. */
void tracing_failed(struct leg *, enum swg_answer_kind);
/* It is over: by now it is known whether it was given up. Harmless if it was before. */
void tracing_attempt_over(struct leg *);
/* A fallback tier has answered, or could not. */
void tracing_tier(const struct leg *, bool answered);

/* The lines that every request to a service has: traceparent, tracestate. */
void tracing_write_fields(struct buf *, const struct leg *);
/* The same for what is asked on behalf of a request that has no leg. */
void tracing_write_own(struct buf *, const struct exchange *);

/* What a log line of the request tells: false, if it is part of no trace. */
bool tracing_ids(const struct exchange *, char trace[TRACE_ID_LEN + 1], char span[SPAN_ID_LEN + 1]);

#endif
