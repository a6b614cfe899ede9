/* refusal.h - why a call, an attempt or a retry was not made.
 *
 * One enum for the whole product: the same words stand in responses, logs,
 * metrics and events. */
#ifndef SWITCHGEAR_REFUSAL_H
#define SWITCHGEAR_REFUSAL_H

#include <switchgear/export.h>

/* name, word users see, sentence */
#define SWG_REFUSALS(X)                                                                         \
    X(OPEN, "open", "the breaker is open: the service has been failing")                        \
    X(FORCED_OPEN, "forced_open", "an operator has opened the breaker")                         \
    X(HALF_OPEN_FULL, "half_open_full", "the breaker is half-open and all its probes are out")  \
    X(RAMPING, "ramping", "the breaker has just closed and lets traffic back in gradually")     \
    X(BULKHEAD_FULL, "bulkhead_full", "too many calls are under way, and the queue is full")    \
    X(QUEUE_TIMEOUT, "queue_timeout", "the call waited too long for a free slot")               \
    X(RATE_LIMITED, "rate_limited", "more calls than the rate limit allows")                    \
    X(DEADLINE, "deadline", "the call's time is used up")                                       \
    X(BUDGET, "budget", "the retry budget is used up")                                          \
    X(MAX_RETRIES, "max_retries", "all retries that the policy allows were made")               \
    X(NOT_IDEMPOTENT, "not_idempotent", "sending the request again could do its work twice")    \
    X(BODY_TOO_LARGE, "body_too_large", "the request body is too large to be kept for a retry") \
    X(COMMITTED, "committed", "the answer has begun to reach the caller")                       \
    X(RETRY_AFTER, "retry_after", "the service asked for a longer wait than the policy allows") \
    X(NO_ENDPOINT, "no_endpoint", "the service has no endpoint that could be tried")            \
    X(CANCELLED, "cancelled", "the caller went away")                                           \
    X(SHUTTING_DOWN, "shutting_down", "the process is draining")                                \
    X(SWITCHED_OFF, "switched_off", "an operator has switched this off")                        \
    X(UNAVAILABLE_LOCALLY, "unavailable_locally", "this process lacks descriptors or memory")   \
    X(BACKLOG, "backlog", "writes before this one are still queued for the service")            \
    X(READ_ONLY, "read_only", "the service is degraded and takes no writes meanwhile")          \
    X(EMERGENCY, "emergency", "there is an emergency, and the service is not essential")

enum swg_refusal {
    SWG_ADMITTED = 0,
#define X(name, word, sentence) SWG_REFUSED_##name,
    SWG_REFUSALS(X)
#undef X
        SWG_REFUSAL_COUNT
};

SWG_BEGIN_DECLS
/* The word users see: "open", "half_open_full", …; "admitted" for 0. */
SWG_API const char *swg_refusal_word(enum swg_refusal);
SWG_API const char *swg_refusal_sentence(enum swg_refusal);
SWG_END_DECLS

#endif
