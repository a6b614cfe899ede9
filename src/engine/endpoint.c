/* endpoint.c - see endpoint.h. */
#include "engine/endpoint.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "engine/breaker_priv.h"
#include "engine/policy_priv.h"
#include "engine/shadow.h"

/* Passes an event on to whoever listens to the service now. The lock makes
 * the pair of function and argument one; it is not held during the call. */
static void tell_service(void *arg, const struct swg_breaker_event *event) {
    struct swg__endpoint *e = arg;
    struct swg__core *core = e->core;
    struct swg__shadow *shadow = swg__endpoint_shadow(e);
    if (shadow)
        swg__shadow_live_changed(shadow, event);
    pthread_mutex_lock(&core->listener_lock);
    swg_policy_listener *listener = core->listener;
    void *listener_arg = core->listener_arg;
    pthread_mutex_unlock(&core->listener_lock);
    if (listener)
        listener(listener_arg, e->name, event);
}

void swg__endpoint_tell_shadow(const struct swg__endpoint *e,
                               const struct swg_breaker_event *event) {
    struct swg__core *core = e->core;
    pthread_mutex_lock(&core->listener_lock);
    swg_shadow_listener *listener = core->shadow_listener;
    void *listener_arg = core->shadow_listener_arg;
    pthread_mutex_unlock(&core->listener_lock);
    if (listener)
        listener(listener_arg, e->name, event);
}

enum swg_error swg__endpoint_create(struct swg__endpoint **out, struct swg__core *core,
                                    const char *name, const struct swg_breaker_options *options,
                                    uint64_t seed, uint64_t begun_ns, uint64_t now_ns) {
    struct swg__endpoint *e = NULL;
    struct swg_breaker *breaker;
    size_t length = strlen(name), size = offsetof(struct swg__endpoint, name) + length + 1;
    *out = NULL;
    enum swg_error error = swg_breaker_create(&breaker, options, seed, now_ns);
    if (error)
        return error;
    if (size < sizeof(*e))
        size = sizeof(*e);
    if (posix_memalign((void **)&e, alignof(struct swg__endpoint), size) != 0) {
        swg_breaker_destroy(breaker);
        return SWG_ERR_NOMEM;
    }
    memset(e, 0, size);
    atomic_init(&e->references, 1);
    e->core = core;
    e->breaker = breaker;
    e->begun_ns = begun_ns;
    memcpy(e->name, name, length + 1);
    swg_breaker_listen(breaker, tell_service, e);
    *out = e;
    return SWG_OK;
}

void swg__endpoint_hold(struct swg__endpoint *e) {
    /* relaxed: whoever holds gives to itself */
    atomic_fetch_add_explicit(&e->references, 1, memory_order_relaxed);
}

void swg__endpoint_release(struct swg__endpoint *e) {
    if (!e || atomic_fetch_sub_explicit(&e->references, 1, memory_order_acq_rel) != 1)
        return;
    swg__shadow_destroy(swg__endpoint_shadow(e));
    swg_breaker_destroy(e->breaker);
    free(e);
}

uint64_t swg__endpoint_weight(const struct swg__endpoint *e, uint32_t weight,
                              uint64_t slow_start_ns, uint64_t now_ns) {
    uint64_t closed_ns = swg__get(&e->breaker->closed_ns);
    uint64_t since_ns = closed_ns > e->begun_ns ? closed_ns : e->begun_ns;
    uint64_t age_ns = now_ns > since_ns ? now_ns - since_ns : 0;
    if (since_ns == 0 || age_ns >= slow_start_ns)
        return weight * UINT64_C(1000);
    return weight * (100 + 900 * age_ns / slow_start_ns);
}
