/* aggregate.h - one answer made of several services' answers, fetched side by
 * side: a page that is whole as far as its parts are.
 *
 *   {"products": {"status": 200, "source": "cache", "data": …},
 *    "invoices": {"status": 503, "reason": "open", "error": "…"}}
 *
 * Each part is a request of our own (inner.h) under its own service's whole
 * policy, fallbacks included, so that a part that fails costs only itself. The
 * answer is 200 where every required part has data and any has, else 503.
 *
 * Threading: the exchange's worker. Memory: gone with the exchange. */
#ifndef SWG_GATEWAY_AGGREGATE_H
#define SWG_GATEWAY_AGGREGATE_H

struct exchange;

/* The route's parts are begun; answers the exchange later, or refuses it. */
void aggregate_begin(struct exchange *);
/* The exchange is over: parts under way are given up. */
void aggregate_drop(struct exchange *);

#endif
