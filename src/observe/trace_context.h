/* trace_context.h - what a request says of the trace that it is a part of: the
 * fields traceparent and tracestate (W3C Trace Context).
 *
 *     traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
 *                  version · trace · the caller's span · flags
 *
 * Read strictly: what is malformed is no context, so that whatever is passed on
 * is well-formed. Pure; no memory of its own. Threading: any. */
#ifndef SWG_OBSERVE_TRACE_CONTEXT_H
#define SWG_OBSERVE_TRACE_CONTEXT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

enum {
    TRACEPARENT_LEN = 55,
    TRACE_ID_LEN = 32,
    SPAN_ID_LEN = 16,
    TRACESTATE_MAX = 512,    /* bytes that are passed on; the least that is asked of anybody */
    TRACESTATE_MEMBERS = 32, /* the most that the standard allows */
    TRACE_PER_MILLION = 1000000,
};

enum trace_flags {
    TRACE_SAMPLED = 1,
    TRACE_RANDOM = 2, /* the trace id is random (level 2 of the standard): passed on as it came */
};

/* Never zero, both halves together: that is no id. */
struct trace_id {
    uint64_t high, low;
};

struct trace_context {
    struct trace_id trace;
    uint64_t span;
    uint8_t flags; /* enum trace_flags */
};

/* The value of the one traceparent of a request. False: malformed, *out is
 * untouched. Of versions to come, what this one knows is taken. */
bool traceparent_read(struct bytes, struct trace_context *out);
/* With a NUL; always version 00. */
void traceparent_write(char out[TRACEPARENT_LEN + 1], const struct trace_context *);

/* Whether the values of all tracestate fields, joined by commas, are a list as
 * the standard wants it: keys unlike each other, and no more than is passed on. */
bool tracestate_is_good(struct bytes);

/* In hexadecimal, with a NUL. */
void trace_id_write(char out[TRACE_ID_LEN + 1], struct trace_id);
void span_id_write(char out[SPAN_ID_LEN + 1], uint64_t);

/* Whether a trace that begins here is among so many of a million: decided by
 * its id, so that all who ask the same get the same answer. */
bool trace_is_chosen(struct trace_id, uint32_t per_million);

#endif
