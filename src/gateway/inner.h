/* inner.h - requests of our own: to a service, under its whole policy, and for
 * nobody's connection.
 *
 * The answer is gathered and told when it is whole. Threading: begun, cancelled
 * and told on one worker's thread. Memory: an inner request is embedded in its
 * owner and stays until done() or inner_cancel(); what it is begun with is copied. */
#ifndef SWG_GATEWAY_INNER_H
#define SWG_GATEWAY_INNER_H

#include <switchgear/call.h>

#include "base/buf.h"
#include "base/bytes.h"

struct client;
struct dry_run;
struct exchange;
struct inner;
struct worker;

struct inner_request {
    const char *service; /* by name, in the plan in force */
    struct bytes method;
    struct bytes target; /* as the service gets it, behind its base path */
    struct bytes host;   /* empty: the service's own */
    struct bytes fields; /* lines, each with CR LF; without those that frame */
    struct bytes body;
    const struct client *client; /* for whom, where there is one: who is told as the origin */
    bool verbatim;               /* fields go out as they are, and no others */
};

enum { INNER_SOURCE_MAX = 16, INNER_REASON_MAX = 48, INNER_ERROR_MAX = 512 };

struct inner_answer {
    int status; /* 0: there was none, see the story */
    bool whole; /* and no longer than was wanted */
    struct bytes body;
    uint64_t retry_after_ns; /* the service's wish; 0: none */
    struct swg_story story;
    char source[INNER_SOURCE_MAX]; /* who answered: the word of the Switchgear field */
    char reason[INNER_REASON_MAX]; /* of a refusal or failure of ours; else "" */
    char error[INNER_ERROR_MAX];   /* what users are told about it */
};

struct inner {
    /* the owner's, before it begins */
    void (*done)(struct inner *, const struct inner_answer *);
    uint32_t body_max;      /* more of an answer is not kept */
    bool once;              /* no retries and no fallbacks: struct swg_request */
    bool counted;           /* among the service's requests, as a client's */
    struct dry_run *dry;    /* only a rehearsal of the fallback chain (dry_run.h); else NULL */
    uint64_t send_until_ns; /* nothing of it goes to the service from then on (CLOCK_BOOTTIME); 0:
                               no matter */
    /* inner.c's */
    struct exchange *x; /* NULL: none under way */
    struct buf body;
    struct inner_answer answer;
    bool verbatim, too_long;
};

/* done() may come before this returns. */
void inner_begin(struct inner *, struct worker *, const struct inner_request *);
/* done() does not come any more. Harmless when nothing is under way. */
void inner_cancel(struct inner *);

/* ---- what the exchange tells ---- */

void inner_head(struct inner *, int status, uint64_t retry_after_ns, const char *source);
void inner_problem(struct inner *, const char *reason, const char *error);
void inner_data(struct inner *, struct bytes piece);
/* The exchange is over; the owner may be gone after this. */
void inner_end(struct inner *, bool whole);

#endif
