/* overall.h - how the whole is doing, in one word.
 *
 * A service works when its breaker is closed (or an operator lets everything
 * through) and its health checks, where it has any, do not all fail. One that
 * is being tried again does not work yet: the word would flap with the probes. */
#ifndef SWG_ADMIN_OVERALL_H
#define SWG_ADMIN_OVERALL_H

#include "admin/admin_priv.h"

enum overall { OVERALL_HEALTHY, OVERALL_DEGRADED, OVERALL_CRITICAL, OVERALL_EMERGENCY };

struct overall_count {
    uint32_t services, working, critical_down;
};

/* HEALTHY from 80% on (also where there are no services), DEGRADED from 50%,
 * CRITICAL below or when a critical one is down, EMERGENCY when several are. */
enum overall overall_judge(const struct overall_count *);
const char *overall_word(enum overall);

bool service_works(struct admin *, const struct service *, uint64_t now_ns);
void overall_count(struct admin *, struct plan *, uint64_t now_ns, struct overall_count *);

#endif
