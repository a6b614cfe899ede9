/* retry.h - when to try again, after how long, and when not.
 *
 * Pure functions and one shared counter, the budget. Sources: exponential
 * backoff and jitter, M. Brooker, AWS Architecture Blog 2015; retry budgets,
 * Finagle RetryBudget and Google SRE book ch. 21; Retry-After, RFC 9110
 * section 10.2.3. */
#ifndef SWITCHGEAR_RETRY_H
#define SWITCHGEAR_RETRY_H

#include <stdbool.h>
#include <stdint.h>

#include <switchgear/error.h>
#include <switchgear/export.h>
#include <switchgear/time.h>

enum swg_jitter {
    SWG_JITTER_FULL,         /* uniform in 0…d, d = min(cap, base * 2^retry): the default */
    SWG_JITTER_EQUAL,        /* d/2 + uniform in 0…d/2 */
    SWG_JITTER_DECORRELATED, /* min(cap, uniform in base…3 * previous) */
    SWG_JITTER_NONE,         /* d */
};

struct swg_retry_options {
    uint32_t max;     /* retries after the first attempt, 1…100; default 3; SWG_RETRY_OFF: none */
    uint64_t base_ns; /* default 100 ms */
    uint64_t cap_ns;  /* default 10 s */
    enum swg_jitter jitter;
    uint64_t retry_after_max_ns; /* a longer wish of the service ends the retries; default 30 s */
    bool any_method;             /* also what is not idempotent; default no */
    /* what is retried; all false and 0: connect, reset, timeout, 500 502 503 504 */
    bool on_connect, on_reset, on_timeout;
    uint64_t on_status[10]; /* bit set over 0…639, see swg_status_set() */
};
#define SWG_RETRY_OFF UINT32_MAX

static inline void swg_status_set(uint64_t set[10], int status) {
    if (status >= 0 && status < 640)
        set[status / 64] |= UINT64_C(1) << (status % 64);
}
static inline bool swg_status_in(const uint64_t set[10], int status) {
    return status >= 0 && status < 640 && (set[status / 64] >> (status % 64) & 1);
}

/* The budget: retries may be at most `percent` of the calls of the last ten
 * seconds, plus `floor_per_s` a second, so that rare traffic can retry at all. */
struct swg_budget_options {
    uint32_t percent;     /* 1…1000; default 20; SWG_BUDGET_NONE: no share */
    uint32_t floor_per_s; /* 1…1,000,000; default 10; SWG_BUDGET_NONE: no floor */
    bool unlimited;       /* no budget at all */
};
#define SWG_BUDGET_NONE UINT32_MAX

struct swg_budget;

SWG_BEGIN_DECLS

/* The wait before retry number `retry` (0 is the first). `previous_ns`: the
 * last wait of this call (0 at first). `retry_after_ns` is a floor. */
SWG_API uint64_t swg_retry_wait_ns(const struct swg_retry_options *, uint32_t retry,
                                   uint64_t previous_ns, uint64_t retry_after_ns, uint64_t random);

/* Threading: any thread. A call is counted without a lock; a withdrawal takes
 * a short one, so that the limit is never overshot. `options` may be NULL for all
 * defaults. SWG_ERR_RANGE, SWG_ERR_NOMEM: *out is then NULL. */
SWG_API enum swg_error swg_budget_create(struct swg_budget **out, const struct swg_budget_options *,
                                         uint64_t now_ns);
SWG_API void swg_budget_destroy(struct swg_budget *);
/* New options from now on; the calls and retries of the last ten seconds are kept. */
SWG_API enum swg_error swg_budget_configure(struct swg_budget *, const struct swg_budget_options *);
SWG_API void swg_budget_count_call(struct swg_budget *, uint64_t now_ns);
/* Whether one more retry fits; if so it is counted. */
SWG_API bool swg_budget_withdraw(struct swg_budget *, uint64_t now_ns);
/* Calls and retries of the last ten seconds, for people. */
SWG_API void swg_budget_read(const struct swg_budget *, uint64_t *calls, uint64_t *retries,
                             uint64_t now_ns);

SWG_END_DECLS

#endif
