/* run.h - protects a function call: the blocking driver.
 *
 *     static struct swg_answer charge(void *arg, uint64_t deadline_ns) { … }
 *
 *     struct swg_policy *payments;
 *     swg_policy_create(&payments, NULL, 0, swg_now());
 *     enum swg_error e = swg_run(payments, charge, &order, NULL);
 *
 * The function runs on the calling thread, as often as the policy allows; the
 * thread sleeps between attempts, and while it waits for a bulkhead slot. An
 * attempt is timed only by itself: whatever it answers is taken, also late. */
#ifndef SWITCHGEAR_RUN_H
#define SWITCHGEAR_RUN_H

#include <switchgear/call.h>
#include <switchgear/clock.h>

/* One attempt. It must give up by itself at deadline_ns (by the clock of the
 * run: swg_now(), if none is given; SWG_NEVER: no limit) and tell how it went; the
 * words below help. */
typedef struct swg_answer swg_attempt(void *arg, uint64_t deadline_ns);
/* The call's own fallback: true if it answered. `why`: the refusal that is the
 * cause, or SWG_ADMITTED if the attempts failed. */
typedef bool swg_fallback(void *arg, enum swg_refusal why);

#ifdef __cplusplus /* which has no compound literals */
#define SWG_ANSWER(kind, status) (swg_answer{kind, status, 0})
#else
#define SWG_ANSWER(kind, status) ((struct swg_answer){kind, status, 0})
#endif
#define SWG_OK_ANSWER        SWG_ANSWER(SWG_ANSWERED, 200)
#define SWG_FAILED_ANSWER    SWG_ANSWER(SWG_ANSWERED, 500)
#define SWG_TIMED_OUT_ANSWER SWG_ANSWER(SWG_TIMED_OUT, 0)

SWG_BEGIN_DECLS

/* Zero means the default. */
struct swg_run_options {
    bool not_idempotent;           /* an attempt may not be made twice; default: it may */
    uint64_t deadline_ns;          /* the caller's own, a time; 0: none */
    swg_fallback *fallback;        /* after all else failed; NULL: none */
    struct swg_rate_limiter *rate; /* the caller's own; NULL: the policy's, if it has one */
    struct swg_story *story;       /* filled if not NULL */
    struct swg_clock *clock;       /* that of the policy's times; NULL: the real one */
    uint64_t seed;                 /* of this run's chance, for tests; 0: another for each */
};

/* SWG_OK when an attempt or the fallback answered (see options.story for
 * which); SWG_ERR_REFUSED when no attempt was admitted; SWG_ERR_FAILED when
 * the last one failed, an overload (429) included. `options` may be NULL.
 * The policy's tiers and its cache are for drivers that have some; here they
 * are passed over.
 *
 * Threading: any number of threads at once on one policy. */
SWG_API enum swg_error swg_run(struct swg_policy *, swg_attempt *, void *arg,
                               const struct swg_run_options *);

SWG_END_DECLS

#endif
