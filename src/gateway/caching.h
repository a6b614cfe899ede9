/* caching.h - what an exchange does with the cache (cache.h). */
#ifndef SWG_GATEWAY_CACHING_H
#define SWG_GATEWAY_CACHING_H

#include "gateway/cache.h"
#include "gateway/exchange.h"

/* Whether this request asks the cache; makes its key. */
bool caching_wanted(struct exchange *);
/* Whether the whole body must be here before that can be known. */
bool caching_needs_body(const struct exchange *);

enum caching_found {
    CACHING_FRESH, /* entry */
    CACHING_MISS,
    CACHING_WAIT,        /* leg_look_up() is called again */
    CACHING_ASKED,       /* a store behind the cache: the leg goes on with its answer */
    CACHING_UNAVAILABLE, /* only-if-cached, and it is not: 504 */
};
/* SWG_DO_LOOK_UP. */
enum caching_found caching_look_up(struct leg *, struct cache_entry **);
/* Sends an entry, whose reference passes over, and finishes. */
void caching_reply(struct exchange *, struct cache_entry *, const char *source, bool stale);
/* The same, with these field lines instead of its own. */
void caching_reply_with(struct exchange *, struct cache_entry *, struct bytes lines,
                        const char *source, bool stale);
/* The look-up is not waited for any more. */
void caching_leave(struct exchange *);

/* ---- revalidate.c: what is there but stale is asked about ---- */

/* Conditions of our own, as lines of the request's head. */
void caching_conditions(const struct leg *, struct buf *);
/* The head of an answer to them. True: it was 304, and the exchange is over. */
bool caching_not_modified(struct leg *, const struct http1_head *);

/* ---- filling ---- */

/* What the cache must know of a head, and its lines as they are kept (at NULL:
 * no memory). The answer's views and the request must outlive it. */
void caching_read_answer(struct leg *, struct cache_answer *, struct cache_request *,
                         const struct http1_head *, const char *head_end);
struct swg__cache_terms caching_terms(const struct exchange *);
/* The head of an answer that is being relayed; then its body; then its end. */
void caching_head(struct leg *, const struct http1_head *, const char *head_end);
void caching_data(struct exchange *, struct bytes piece);
void caching_end(struct exchange *, bool whole);
/* The service has not answered: who waits for it goes on alone. */
void caching_failed(struct exchange *);
/* The exchange is over: whatever is still held is given back. */
void caching_done(struct exchange *);

#endif
