/* shadow.h - the shadow of one endpoint's breaker: see <switchgear/shadow.h>.
 *
 * It lives as long as its endpoint, once there: calls under way hold permits of
 * its breaker, so switching it off is a flag. Its breaker is an ordinary one; this
 * file adds what compares the two.
 *
 * Threading: admit, and what a call then does with its permit, as a breaker. The
 * comparison has a lock of its own, taken when a state changes and by readers;
 * never under a breaker's, but readers take those under it. */
#ifndef SWG_ENGINE_SHADOW_H
#define SWG_ENGINE_SHADOW_H

#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>

#include <switchgear/shadow.h>

#include "engine/breaker_priv.h"

struct swg__endpoint;

/* How often, and how long, something has been so. */
struct swg__meter {
    uint64_t count, total_ns;
    uint64_t since_ns; /* it is so since then; SWG_NEVER: it is not */
};

/* What was counted when the comparison began. */
struct swg__shadow_base {
    struct swg_breaker_stats live, shadow;
    uint64_t would_admit;
};

struct swg__shadow_shard {
    alignas(SWG__LINE) _Atomic uint64_t would_admit; /* its slot's thread adds; see slot.h */
};

struct swg__shadow {
    /* Whether it is to be asked. Written under the lock, read by every call;
     * relaxed: a call more or less at the moment of the change does no harm, and
     * the breaker behind it is always there. */
    atomic_bool on;
    struct swg_breaker *breaker;
    struct swg__endpoint *endpoint;

    pthread_mutex_t lock;               /* guards what follows, but for the shards */
    struct swg_breaker_options options; /* filled in */
    uint64_t begun_ns;
    uint64_t opened_total;
    uint64_t live_opened, opened;
    struct swg__meter live_out, out, differs;
    struct swg__shadow_base base;

    struct swg__shadow_shard shards[SWG__SLOTS];
};

/* What an endpoint's shadow becomes, prepared: see swg__breaker_change. */
struct swg__shadow_change {
    const struct swg_shadow_options *options;
    struct swg__shadow *fresh;          /* there was none */
    struct swg__breaker_change breaker; /* or its breaker changes; rules NULL: it does not */
};

/* `options` filled in, and staying until the commit. SWG_ERR_NOMEM, SWG_ERR_RANGE. */
enum swg_error swg__shadow_prepare(struct swg__shadow_change *, struct swg__endpoint *,
                                   const struct swg_shadow_options *, uint64_t seed,
                                   uint64_t now_ns);
/* Cannot fail. */
void swg__shadow_commit(struct swg__shadow_change *, struct swg__endpoint *, uint64_t now_ns);
/* Also after the commit. */
void swg__shadow_discard(struct swg__shadow_change *);
void swg__shadow_destroy(struct swg__shadow *);

/* The live breaker has refused a call: counts whether the shadow would have let it
 * through, and tells that. */
bool swg__shadow_refused(struct swg__shadow *, uint64_t now_ns);
/* The live breaker has changed. */
void swg__shadow_live_changed(struct swg__shadow *, const struct swg_breaker_event *);
void swg__shadow_read(struct swg__shadow *, struct swg_shadow_stats *, uint64_t now_ns);

#endif
