/* endpoint.h - one endpoint of a service: its name, breaker, and load.
 *
 * Shared by the policies renewed from one another; each holds a reference.
 * Threading: the name, breaker and beginning never change; in_flight is
 * counted by any thread. */
#ifndef SWG_ENGINE_ENDPOINT_H
#define SWG_ENGINE_ENDPOINT_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stdint.h>

#include <switchgear/breaker.h>

#include "engine/slot.h"

struct swg__core;
struct swg__shadow;

struct swg__endpoint {
    atomic_uint references;
    struct swg__core *core; /* lives as long as any policy that has this endpoint */
    struct swg_breaker *breaker;
    /* NULL until there is one; then it stays. Set by whoever first switches one on, with
     * release when it is whole; loaded with acquire by calls and readers. */
    struct swg__shadow *_Atomic shadow;
    uint64_t begun_ns; /* when it joined a running service; 0: there from the beginning */
    /* Calls under way here. Any thread adds and takes off; read to compare
     * loads. Relaxed: a number slightly old only makes a choice slightly worse.
     * On its own line, as it is the one thing written by every call. */
    alignas(SWG__LINE) _Atomic uint32_t in_flight;
    char name[];
};

/* One reference. `name` is copied. SWG_ERR_RANGE, SWG_ERR_NOMEM. */
enum swg_error swg__endpoint_create(struct swg__endpoint **out, struct swg__core *core,
                                    const char *name, const struct swg_breaker_options *,
                                    uint64_t seed, uint64_t begun_ns, uint64_t now_ns);
void swg__endpoint_hold(struct swg__endpoint *);
void swg__endpoint_release(struct swg__endpoint *);

static inline struct swg__shadow *swg__endpoint_shadow(struct swg__endpoint *e) {
    return atomic_load_explicit(&e->shadow, memory_order_acquire);
}
/* Tells the service's listener of a change of the shadow. */
void swg__endpoint_tell_shadow(const struct swg__endpoint *, const struct swg_breaker_event *);

/* `weight` in thousandths: less in slow start, from a tenth growing to all
 * over slow_start_ns (0: at once) since it joined or its breaker closed. */
uint64_t swg__endpoint_weight(const struct swg__endpoint *, uint32_t weight, uint64_t slow_start_ns,
                              uint64_t now_ns);

#endif
