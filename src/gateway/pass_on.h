/* pass_on.h - at an upgrade, the clients' connections go to the next process.
 *
 * Closing a connection that a client keeps open is never safe: its next request
 * may be on its way already, and would be answered by a reset. So nothing is
 * closed. A connection between two requests has no state but its socket; that is
 * passed on, with whatever has come and was not read. A request under way is
 * answered here, by this process, and then its connection goes the same way.
 *
 *     BUSY ─ answered ─▶ IDLE ─ given ─▶ the next process
 *      ▲                  │
 *      └── a request ─────┘ (the next process does not take it yet)
 *
 * Only the connections of listeners that the next process has too can go; the
 * others are told to close, as in a drain.
 *
 * Threading: gateway_pass_on() on the control thread; `give` on the workers'. */
#ifndef SWG_GATEWAY_PASS_ON_H
#define SWG_GATEWAY_PASS_ON_H

#include <stdbool.h>
#include <stdint.h>

struct client;
struct gateway;
struct worker;

enum { PASS_ON_BATCH = 64 };

struct passed_client {
    int fd;
    uint32_t listen_index;
    bool served; /* it has had an answer; else it has only connected */
};

struct pass_on {
    /* Gives up to PASS_ON_BATCH of them, all or none: false means later. The
     * descriptors stay the caller's, who closes them after true. */
    bool (*give)(void *arg, const struct passed_client *, uint32_t count);
    void *arg;
    uint64_t listeners; /* a bit each, by index: those whose clients go */
};

/* From now on; the struct lives as long as the gateway. 0 or -ENOMEM. */
int gateway_pass_on(struct gateway *, const struct pass_on *);

/* On the worker's thread. */
void worker_pass_on(struct worker *, const struct pass_on *);
/* An exchange has ended and its client is idle: it can go. */
void worker_pass_on_soon(struct worker *);
/* Whether this client's connection will be passed on, and so may be kept. */
bool client_will_pass(const struct client *);
/* The other side: goes on with a connection that was passed. */
void worker_take_over(struct worker *, const struct passed_client *);

#endif
