/* policy_history.h - changes of policies at run time, and of shadow breakers, as
 * events and log lines. */
#ifndef SWG_GATEWAY_POLICY_HISTORY_H
#define SWG_GATEWAY_POLICY_HISTORY_H

#include "gateway/gateway.h"

/* A policy that is now another. */
struct policy_note {
    const char *service;
    const char *verb;    /* "changed", "undone" */
    const char *changes; /* "breaker.failures 5 -> 8, …" */
    const char *author, *reason;
    uint64_t generation;
};

/* Control thread. */
void history_policy_changed(struct gateway *, const struct policy_note *);
/* A reload, or an upgrade (`cause`), has ended the changes that these options had. */
void history_patches_ended(struct gateway *, const struct gateway_options *, const char *cause,
                           const char *author);

/* A shadow breaker has changed its state. Any thread, under no lock. */
void history_shadow_changed(struct gateway *, const char *service, const char *endpoint,
                            const struct swg_breaker_event *);

#endif
