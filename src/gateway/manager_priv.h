/* manager_priv.h - the manager's objects, shared by its files.
 *
 *   manager.c        life, and the update
 *   manager_plan.c   which service depends on which, anew with every plan
 *   manager_tell.c   history and log */
#ifndef SWG_GATEWAY_MANAGER_PRIV_H
#define SWG_GATEWAY_MANAGER_PRIV_H

#include "engine/damper.h"
#include "gateway/manager.h"

enum { MANAGED_NAME_MAX = 65, BECAUSE_MAX = 80 };

struct dependency {
    uint32_t on; /* index of a service */
    bool soft;
};

/* A service of the plan in force, at its index there. */
struct managed {
    char name[MANAGED_NAME_MAX]; /* a copy: the plan that it came from may be gone */
    uint32_t dependency_count;
    const struct dependency *dependencies;
    struct swg__damper damper;
    struct swg__finding finding;   /* what was found, */
    enum swg__condition condition; /* and what is told, which flapping holds */
    uint64_t since_ns;
    bool is_back; /* was down until this update */
    char because[BECAUSE_MAX];
};

struct manager_bell;

struct manager {
    struct gateway *gateway;
    struct manager_bell *bell; /* NULL: there is no loop, as in some tests */
    struct io_timer again;     /* an update that was asked for too soon after the last */
    uint64_t updated_ns;
    uint64_t generation; /* of the plan that the services are of; 0: none yet */
    uint32_t count;
    struct managed *services;
    uint32_t *order;                 /* indices: what others depend on comes first */
    struct dependency *dependencies; /* of all */
    enum swg__overall overall;
    uint64_t overall_since_ns;
    struct swg__overall_count tally;
    struct swg__emergency emergency;
    uint64_t hold_ns; /* of the options in force */
};

/* Makes the services those of this plan; what is known of those that stay is kept. 0, or
 * -ENOMEM with nothing changed. */
int manager_follow(struct manager *, struct plan *, uint64_t now_ns);
void manager_forget(struct manager *);

/* ---- manager_tell.c ---- */

void manager_tell_condition(const struct manager *, const struct managed *,
                            enum swg__condition before, const struct swg__damper_options *);
/* It has begun to flap, and is held at what was told before. */
void manager_tell_flapping(const struct manager *, const struct managed *,
                           const struct swg__damper_options *);
void manager_tell_overall(const struct manager *, enum swg__overall before);
void manager_tell_emergency(const struct manager *, uint32_t actions);
void manager_tell_retry(const struct manager *, const struct managed *dependent,
                        const struct managed *back);

#endif
