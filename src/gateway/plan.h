/* plan.h - the options brought to life: services with their policies and
 * targets, and the routes that lead to them.
 *
 * A plan is immutable but for what policies and targets count; a reload makes
 * a new one that takes over their state, and the old one lives until the last
 * exchange that began on it has ended.
 *
 * Threading: plan_hold and plan_release from any thread; everything else reads. */
#ifndef SWG_GATEWAY_PLAN_H
#define SWG_GATEWAY_PLAN_H

#include <stdatomic.h>

#include "gateway/options.h"
#include "gateway/route.h"
#include "gateway/target.h"
#include "wire/http.h"

struct database;
struct gateway;
struct service_metrics;
struct metric_series;

/* What a service counts per tier, for people and metrics; it survives reloads
 * by the tier's name. */
struct tier_tally {
    _Atomic uint64_t tried, answered;         /* any worker adds, anyone reads; relaxed */
    _Atomic(struct metric_series *) duration; /* made at first use: release, acquire */
};

struct service {
    const struct service_options *options;
    struct plan *plan;
    uint32_t index;
    struct swg_policy *policy;
    uint32_t target_count;
    struct target **targets;                     /* one an endpoint, in the order of the options */
    struct service *tier_service[SWG_TIERS_MAX]; /* for service tiers */
    struct tier_tally *tally[SWG_TIERS_MAX];
    struct queue *queue; /* where it has a queue tier */
    const struct queue_options *queue_options;
    struct service_metrics *metrics;
    struct bytes proxy_name;
};

struct plan {
    _Atomic uint32_t references; /* any thread; last release frees (acq_rel) */
    struct gateway *gateway;
    struct gateway_options *options;
    uint64_t generation; /* 1 for the first, one more at each reload */
    struct router *router;
    uint32_t service_count;
    struct service *services;
    struct service *
        *listen_services; /* of tcp listeners, by their index at the start; NULL: gone */
    uint32_t database_count;
    struct database *databases; /* in the order of the options */
};

/* `old` may be NULL. 0 or -errno; *out is then NULL and nothing has changed. */
int plan_create(struct plan **out, struct gateway *, struct gateway_options *, struct plan *old,
                uint64_t now_ns);
struct plan *plan_hold(struct plan *);
void plan_release(struct plan *);
/* NULL if there is none. */
struct service *plan_service(struct plan *, struct bytes name);

#endif
