/* drilling.h - carries out what a drill does to an attempt.
 *
 * The attempt has begun for the engine, with its permit and its clocks; what the
 * drill changes is only what comes of it:
 *
 *   delay   nothing is sent yet; the clocks run as if the service had the whole
 *           request and were slow. When it is over the attempt goes on.
 *   error   the attempt gets a connection whose other end has answered with the
 *           status already.
 *   abort   the same, but the other end is gone without a word: a reset.
 *
 * That connection is one end of a socket pair, so breaker, retries, tiers, cache
 * and relay meet exactly what they would meet in an outage, on the code that they
 * would meet it on; the service itself is not asked.
 *
 * Of a service whose connections are passed on as they are the attempt is connecting:
 * that is delayed, or fails (tcp.c).
 *
 * Left alone: replays of queued writes (they were promised, and a fault made up by
 * us must neither use up their attempts nor make them dead letters), dry runs, and
 * health checks (which do not come by here): they tell how the service really is.
 *
 * Threading: the leg's worker. */
#ifndef SWG_GATEWAY_DRILLING_H
#define SWG_GATEWAY_DRILLING_H

#include "gateway/exchange.h"

/* An attempt is about to begin. True: it is held back, and goes on with
 * attempt_go_on() when its time has come. May end the exchange. */
bool drilling_holds(struct leg *);
/* The connection for an attempt that is to fail; NULL with *os_error set. */
struct upstream *drilling_connect(struct leg *, int *os_error);
/* Whether it needs that one. */
static inline bool drilling_fails(const struct leg *leg) {
    return leg->drill.hit && leg->drill.kind != SWG__DRILL_DELAY;
}
/* Whose attempt is held back no longer; NULL: nobody's. */
struct leg *drilling_due(const struct exchange *);

#endif
