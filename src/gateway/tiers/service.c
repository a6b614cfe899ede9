/* service.c - the tier that asks another service, under that service's own
 * policy and what time this one leaves it. */
#include "gateway/exchange.h"

static uint32_t depth(const struct leg *leg) {
    uint32_t n = 0;
    for (; leg; leg = leg->parent)
        n++;
    return n;
}

enum tier_result tier_service(struct leg *parent, const struct tier_options *tier,
                              struct service *service, uint64_t deadline_ns) {
    struct exchange *x = parent->x;
    if (x->kept_dropped || depth(parent) >= EXCHANGE_LEGS_MAX)
        return TIER_FAILED; /* the request cannot be told again */
    struct leg *leg = arena_zalloc(&x->arena, sizeof *leg);
    if (!leg)
        return TIER_FAILED;
    leg->x = x;
    leg->parent = parent;
    leg->service = service;
    leg->path = tier->service.path;
    leg->wake_ns = SWG_NEVER;
    x->leg = leg;
    struct swg_request request = {
        .idempotent = parent->call.request.idempotent,
        .safe = parent->call.request.safe,
        .good_only = true, /* else there may be a better tier, or the first service's words */
        .deadline_ns = deadline_ns,
        .seed = worker_random(x->worker),
    };
    leg_run(leg, swg_call_start(&leg->call, service->policy, &request, exchange_on_grant,
                                exchange_now(x)));
    return TIER_PENDING;
}
