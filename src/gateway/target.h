/* target.h - one endpoint as the transport sees it: where to connect, and the
 * idle connections that each worker keeps to it.
 *
 * A target outlives reloads: plans that name the same endpoint share it, and
 * each connection to it holds a reference.
 *
 * Threading: references and addresses from any thread; idle[w] only from
 * worker w. */
#ifndef SWG_GATEWAY_TARGET_H
#define SWG_GATEWAY_TARGET_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include "base/list.h"
#include "gateway/options.h"

enum { TARGET_ADDRESSES = 16 };

struct target {
    _Atomic uint32_t references; /* any thread; last release frees (acq_rel) */
    char *name;
    enum endpoint_scheme scheme;
    char *host, *unix_path;
    uint16_t port;
    pthread_mutex_t lock; /* guards the addresses; held for a copy only */
    struct sockaddr_storage address[TARGET_ADDRESSES];
    socklen_t address_len[TARGET_ADDRESSES];
    uint32_t address_count;
    uint32_t next; /* where the next connect starts, so that addresses share the load */
    uint32_t workers;
    struct list idle[]; /* struct upstream, most recently used first; one list a worker */
};

/* NULL: out of memory. Unix paths and numeric addresses are known at once. */
struct target *target_create(const struct endpoint_options *, uint32_t workers);
struct target *target_hold(struct target *);
void target_release(struct target *);

/* What resolving the name gave; kept until the next answer. An empty answer is
 * ignored, so that a failing name server does not take away what works. */
void target_set_addresses(struct target *, const struct sockaddr_storage *, const socklen_t *,
                          uint32_t count);
/* The next address to try; false while none is known. */
bool target_pick_address(struct target *, struct sockaddr_storage *, socklen_t *);
/* Whether the name must be resolved (and again, from time to time). */
bool target_needs_resolving(const struct target *);

#endif
