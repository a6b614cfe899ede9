/* dry_run.h - a fallback chain, tried as if its service were gone.
 *
 * A request of our own (inner.h) that carries a struct dry_run goes through the
 * chain and changes nothing: no service is asked (unless `ask`), nothing is
 * queued, nothing is counted. Every tier up to the first one that answers for
 * certain tells what it did; a tier that is not tried without effect tells
 * whether it would be, and the chain goes on behind it.
 *
 * Threading: rehearse() on any thread; the rest on one worker's; `done` comes
 * on that worker's thread. */
#ifndef SWG_GATEWAY_DRY_RUN_H
#define SWG_GATEWAY_DRY_RUN_H

#include <switchgear/policy.h>

#include "base/io.h"
#include "gateway/inner.h"

struct gateway;
struct leg;

enum dry_result {
    DRY_NOT_REACHED, /* a tier before it answered */
    DRY_SKIPPED,     /* not for such requests, or no time for it */
    DRY_FAILED,
    DRY_ANSWERED,
    DRY_WOULD_ASK,   /* another service, which would admit the call */
    DRY_WOULD_QUEUE, /* the write */
};

struct dry_tier {
    enum dry_result result;
    const char *reason; /* NULL: nothing to say */
    uint64_t took_ns;
};

struct dry_run {
    enum swg_refusal assume; /* why the service is not asked */
    bool ask;                /* service tiers really ask */
    struct dry_tier tiers[SWG_TIERS_MAX];
    uint32_t under_way; /* place of the tier that is being tried, from 1 */
    uint64_t began_ns;
};

/* ---- what the exchange tells; root legs only, harmless where nobody rehearses */

void dry_begin(const struct leg *, uint32_t tier);
/* The tier that is under way could not, or did. */
void dry_end(const struct leg *, enum dry_result, const char *reason);
/* Whether the tier is not to be tried for real; it has then been judged. */
bool dry_judge(const struct leg *, uint32_t tier);

/* ---- asking for one ------------------------------------------------------------ */

struct rehearsal {
    /* the caller's: what the request is, in memory that lasts until done() */
    struct inner_request request;
    struct dry_run run;
    void (*done)(struct rehearsal *);
    /* the result, for done() */
    int status;
    uint64_t took_ns;
    struct buf body; /* the beginning of the answer; the caller's to free */
    /* dry_run.c's */
    struct inner inner;
    struct io_task task;
    struct gateway *gateway;
    uint64_t began_ns;
};

enum { DRY_PREVIEW_MAX = 4096 };

void rehearse(struct rehearsal *, struct gateway *);
const char *dry_result_word(enum dry_result);

#endif
