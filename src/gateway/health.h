/* health.h - active checks: asks endpoints how they are when nobody else does.
 *
 * A check never opens a breaker: real traffic knows better. It closes one: where
 * a service has a check, a breaker whose open time is over is probed by it, so
 * that recovery needs no user's request (and costs none). The results are shown
 * beside the breakers. How a check is made, by protocol, is in checks/.
 *
 * A database that sql tiers ask may have one too: a query.
 *
 * Threading: the control thread. */
#ifndef SWG_GATEWAY_HEALTH_H
#define SWG_GATEWAY_HEALTH_H

#include "base/io.h"
#include "gateway/checks/check.h"
#include "gateway/gateway.h"

struct health;

struct health_reading {
    enum health_state state;
    uint64_t checked_ns; /* when the last check ended; 0: none yet */
    uint64_t took_ns;
    int status;        /* of the answer; 0: none came */
    const char *cause; /* static word: "", "refused", "timeout", "status", … */
    const char *kind;  /* "http", "tcp", …; NULL: there is no check */
    uint64_t checks, failures;
};

int health_create(struct health **out, struct gateway *, struct io *);
void health_destroy(struct health *);
/* Checks what this plan says from now on; results of endpoints that stay are
 * kept. */
void health_follow(struct health *, struct plan *);
/* Zeroed with HEALTH_UNKNOWN where there is no check. */
void health_read(struct health *, const struct service *, uint32_t endpoint,
                 struct health_reading *);
void health_read_database(struct health *, const struct database *, struct health_reading *);
/* Checks everything of every open breaker now: force-recovery. */
void health_probe_now(struct health *);

#endif
