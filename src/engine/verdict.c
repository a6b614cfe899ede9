/* verdict.c - which ends of an attempt count, and which are tried again.
 *
 *                         breaker    retried, if the policy says
 * 2xx 3xx 4xx 501 505     success    on_status (off by default)
 * other 5xx               failure    on_status
 * 429                     overload   on_status, or at the time Retry-After names
 * connect failed          failure    on_connect; also what is not idempotent
 * reset, garbled          failure    on_reset
 * reset of an idle
 * connection              ignored    on_reset (and once at once, see call.c)
 * timed out               failure    on_timeout
 * unavailable locally     ignored    never
 *
 * Whatever ends an attempt before it was connected is a failed connect as well.
 * 501 and 505 tell that the service understood and will never do it; 503
 * counts although it may come with Retry-After: that only sets the time of
 * the next try. */
#include "engine/verdict.h"

static bool is_failure(int status) {
    return status >= 500 && status <= 599 && status != 501 && status != 505;
}

static struct swg__verdict judge_status(const struct swg_retry_options *o,
                                        const struct swg_answer *a) {
    struct swg__verdict v = {.outcome = SWG_SUCCESS,
                             .retryable = swg_status_in(o->on_status, a->status)};
    if (a->status == 429) {
        v.outcome = SWG_OVERLOAD;
        v.failed = true;
        v.retryable |= a->retry_after_ns > 0;
    } else if (is_failure(a->status)) {
        v.outcome = SWG_FAILURE;
        v.failed = true;
    }
    return v;
}

struct swg__verdict swg__judge(const struct swg_retry_options *o, const struct swg_answer *a,
                               bool connecting) {
    struct swg__verdict v = {.outcome = SWG_FAILURE, .failed = true, .unsent = connecting};
    switch (a->kind) {
    case SWG_ANSWERED:
        return judge_status(o, a);
    case SWG_CONNECT_FAILED:
        v.retryable = o->on_connect;
        v.unsent = true;
        break;
    case SWG_RESET:
    case SWG_GARBLED:
        v.retryable = o->on_reset;
        break;
    case SWG_RESET_IDLE:
        v.outcome = SWG_IGNORED;
        v.retryable = o->on_reset;
        break;
    case SWG_TIMED_OUT:
        v.retryable = o->on_timeout;
        break;
    case SWG_UNAVAILABLE_LOCALLY:
        v.outcome = SWG_IGNORED;
        return v;
    }
    v.retryable |= connecting && o->on_connect;
    return v;
}

enum swg_refusal swg__retry_refusal(const struct swg_retry_options *o, const struct swg_request *r,
                                    const struct swg__verdict *v, const struct swg_answer *a,
                                    uint32_t retries) {
    if (!r->idempotent && !o->any_method && !v->unsent)
        return SWG_REFUSED_NOT_IDEMPOTENT;
    if (r->not_replayable)
        return SWG_REFUSED_BODY_TOO_LARGE;
    if (o->max == SWG_RETRY_OFF || retries >= o->max)
        return SWG_REFUSED_MAX_RETRIES;
    if (a->retry_after_ns > o->retry_after_max_ns)
        return SWG_REFUSED_RETRY_AFTER;
    return SWG_ADMITTED;
}
