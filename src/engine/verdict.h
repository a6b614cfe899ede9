/* verdict.h - what the end of an attempt means.
 *
 * Pure: one answer in, one verdict out. What is then done about it is decided
 * in call.c. Threading: none needed. */
#ifndef SWG_ENGINE_VERDICT_H
#define SWG_ENGINE_VERDICT_H

#include <stdbool.h>

#include <switchgear/call.h>

struct swg__verdict {
    enum swg_outcome_kind outcome; /* for the breaker */
    bool failed;                   /* the caller is served better by a retry or a fallback */
    bool retryable;                /* the policy wants this kind of end retried */
    bool unsent;                   /* the service cannot have seen the request */
};

/* `connecting`: the attempt ended before it could send anything. */
struct swg__verdict swg__judge(const struct swg_retry_options *, const struct swg_answer *,
                               bool connecting);

/* Why a retry that is due must not be made, as far as the request and the
 * policy alone decide it; SWG_ADMITTED: nothing against it. */
enum swg_refusal swg__retry_refusal(const struct swg_retry_options *, const struct swg_request *,
                                    const struct swg__verdict *, const struct swg_answer *,
                                    uint32_t retries);

#endif
