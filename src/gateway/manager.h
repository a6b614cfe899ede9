/* manager.h - the resilience manager: knows how every service is, and the whole, and does
 * what follows from it.
 *
 * What the engine decides (condition.h, damper.h, overall.h) is asked at every tick and
 * whenever a breaker has changed; what has changed then is told in the history, the log
 * and the metrics. And three things follow:
 *
 *   An emergency. Several critical services are down. As configured, writes are refused to
 *   every service meanwhile, and services that are not essential are switched off, so that
 *   what is left goes to those that matter. Requests ask by emergency_…(), a load each.
 *
 *   A dependency is back. Breakers of those that need it wait for the end of an open time
 *   that has lost its meaning: they are tried at once.
 *
 *   Nobody is called out of bed twice for the same: see damper.h.
 *
 * Threading: the control thread, but for what says otherwise. Memory: about a kilobyte a
 * service of the plan in force. */
#ifndef SWG_GATEWAY_MANAGER_H
#define SWG_GATEWAY_MANAGER_H

#include "engine/condition.h"
#include "engine/overall.h"
#include "gateway/gateway.h"

struct manager;

/* Done in an emergency. */
enum emergency_action {
    EMERGENCY_READ_ONLY = 1 << 0, /* no writes */
    EMERGENCY_SHED = 1 << 1,      /* services that are not essential are switched off */
};

struct manager_reading {
    enum swg__condition condition;
    const char *because; /* "open", "check", "dependency inventory", …; "" of one that works.
                            Until the next update */
    bool flapping;       /* the condition is held: it changes too often */
    uint64_t since_ns;
};

struct manager_summary {
    enum swg__overall overall;
    uint64_t since_ns;
    struct swg__overall_count count;
    struct swg__emergency emergency;
    uint64_t ends_ns; /* when the emergency ends at the earliest; SWG_NEVER: it is one now */
    uint32_t actions; /* enum emergency_action: what is being done */
};

int manager_create(struct manager **out, struct gateway *);
/* After all threads but the control thread have ended; its loop turns once more. */
void manager_destroy(struct manager *);

/* Looks at everything and does what follows. */
void manager_update(struct manager *);
/* Something has changed: an update comes soon. Any thread; NULL is ignored. */
void manager_wake(struct manager *);

/* As of the last update; what is not known yet works, and so does NULL. */
void manager_read(const struct manager *, const struct service *, struct manager_reading *);
void manager_read_all(const struct manager *, struct manager_summary *);

/* "read_only", "shed". */
const char *emergency_action_word(enum emergency_action);

/* ---- what requests ask: any thread ---- */

static inline bool emergency_forbids_writes(const struct gateway *g) {
    return atomic_load_explicit(&g->emergency, memory_order_relaxed) & EMERGENCY_READ_ONLY;
}

static inline bool emergency_sheds(const struct gateway *g, const struct service *s) {
    return atomic_load_explicit(&g->emergency, memory_order_relaxed) & EMERGENCY_SHED &&
           !s->options->essential;
}

#endif
