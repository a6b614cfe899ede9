/* gateway.h - the gateway as a whole: what its workers share, and what the
 * admin side and the command line may ask of it.
 *
 * Threading: a function says so where it may not be called from any thread.
 * The "control thread" is the one that created the gateway. */
#ifndef SWG_GATEWAY_GATEWAY_H
#define SWG_GATEWAY_GATEWAY_H

#include <pthread.h>
#include <stdatomic.h>

#include <switchgear/policy.h>

#include "base/io.h"
#include "gateway/options.h"
#include "gateway/plan.h"

struct drills;
struct worker;
struct cache;
struct stores;
struct events;
struct metrics;
struct log;
struct gateway_metrics;
struct service_metrics;
struct health;
struct manager;
struct trace_export;

enum { GATEWAY_WORKERS_MAX = 256 };

struct gateway {
    uint32_t worker_count;
    struct worker **workers;
    struct gateway_options *listening; /* as at the start: what the listeners are, by index */
    pthread_mutex_t plan_lock;         /* guards `plan`; held to read or swap the pointer */
    struct plan *plan;
    _Atomic uint64_t generation; /* the plan's; control thread writes after `plan` (release),
                                    workers read before they take it (acquire) */
    _Atomic uint32_t clients;    /* open connections; every worker adds and subtracts; relaxed */
    _Atomic uint32_t exchanges;  /* under way; the same */
    _Atomic bool draining;       /* clients are told to close; control thread sets, workers read;
                                    relaxed: nothing else hangs on it */
    _Atomic uint32_t emergency;  /* enum emergency_action, or-ed: what is being done; the manager
                                    sets (control thread), workers read; relaxed: a request more
                                    or less under the old rule does no harm */
    uint64_t drain_until_ns;     /* when what still runs is cut off; 0: not draining. Control
                                    thread, which also scrapes */
    _Atomic uint64_t reloads, reload_errors, upgrade_errors;
    uint32_t connections_max; /* what the descriptors of the process allow */
    uint64_t started_ns;      /* monotonic */
    int64_t started_unix_ms;
    struct cache *cache;
    struct stores *stores; /* behind it */
    struct events *events;
    struct drills *drills;
    struct metrics *metrics;
    struct gateway_metrics *counters;
    struct health *health;                 /* sets itself, for the scrape; control thread */
    struct manager *manager;               /* control thread, but for manager_wake() */
    struct trace_export *trace_export;     /* sets itself, before there are workers, who read it */
    struct io *io;                         /* of the control thread's loop */
    uint64_t (*clock)(void);               /* monotonic, for threads that have no loop's time */
    struct swg_rate_limiter *client_rates; /* by hash of service and address */
    _Atomic uint32_t *client_connections;  /* by hash of address; every worker adds and subtracts;
                                              relaxed: a count, nothing else hangs on it */
    uint64_t seed;
    struct outbox *outbox;        /* what is queued, of all services; NULL: nothing is */
    uint64_t lease_ns;            /* where it is shared */
    char replica[96];             /* who we are there */
    bool beside;                  /* the process before may still append to it */
    _Atomic uint32_t leaving;     /* queues that are about to leave it to the next one; control
                                     thread sets, home workers take off (acq_rel: the last finds
                                     that all others have) */
    struct queue *_Atomic queues; /* a list that only grows; control thread adds (release), any
                                     thread follows it (acquire) */
};

struct gateway_environment {
    struct metrics *metrics; /* the caller's; these three outlive the gateway */
    struct events *events;
    uint64_t (*clock)(void);  /* monotonic nanoseconds; any thread */
    uint64_t seed;            /* from the system's randomness */
    bool beside;              /* another process hands over to this one */
    uint32_t connections_max; /* clients that the process has descriptors for; 0: no matter */
    struct io *io;            /* the control thread's loop; turn it once more after the end */
};

/* On the control thread, before any worker runs. 0 or -errno. */
int gateway_create(struct gateway **out, struct gateway_options *,
                   const struct gateway_environment *);
/* Opens what must last for the plan in force, if anything must, and begins to
 * send what waits there. On the control thread, when all workers are made and
 * none runs. 0, or -errno with the reason in `why`. */
int gateway_open_store(struct gateway *, char *why, size_t why_size);
/* When all workers have stopped: what was on its way into the store is told to
 * them, so their loops turn once more before they are destroyed. */
void gateway_close_store(struct gateway *);
/* After all workers are destroyed. */
void gateway_destroy(struct gateway *);

/* The plan in force, held for the caller. */
struct plan *gateway_plan(struct gateway *);
/* New options: makes a plan that takes over state, and hands it to all
 * workers. 0, or -errno with nothing changed. Control thread. */
int gateway_reload(struct gateway *, struct gateway_options *);
/* Clients are told to close; after this no new connections should be accepted.
 * `close_idle`: connections without a request are closed. */
void gateway_drain(struct gateway *, bool close_idle);
/* Whether everything has ended. */
bool gateway_is_idle(const struct gateway *);
/* Ends every exchange and connection. */
void gateway_abort(struct gateway *);
uint64_t gateway_now(const struct gateway *);
/* The limiter of this client under a service with `rate_limit: {per: client}`.
 * Limiters are shared by those few clients whose hashes meet. */
struct swg_rate_limiter *gateway_client_limiter(struct gateway *, const struct service *,
                                                const struct in6_addr *client);
/* Counts a connection from this address; false, and not counted, if it would be
 * one more than `limit` (0: no limit). Addresses whose hashes meet share. */
bool gateway_client_enter(struct gateway *, const struct in6_addr *, uint32_t limit);
void gateway_client_leave(struct gateway *, const struct in6_addr *);
/* Has the changes of a policy's breakers counted, logged and remembered. */
void gateway_listen(struct gateway *, struct swg_policy *, struct service_metrics *);

/* Runs what only time makes due: expiries, leases. Control thread, once a
 * second or so. */
void gateway_tick(struct gateway *);

/* Manual control of a service, or, where `endpoint` is not NULL, of one
 * endpoint; also written to the events. -ENOENT if there is none. */
enum gateway_verb {
    GATEWAY_FORCE_OPEN,
    GATEWAY_FORCE_CLOSE,
    GATEWAY_DISABLE,
    GATEWAY_RESET,
    GATEWAY_PROBE_NOW,
};

struct gateway_command {
    enum gateway_verb verb;
    const char *service;
    const char *endpoint; /* NULL: all */
    uint64_t for_ns;      /* SWG_NEVER: no end */
    const char *author, *reason;
};
int gateway_control(struct gateway *, const struct gateway_command *);

#endif
