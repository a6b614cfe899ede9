/* policy_stats.c - the state of a service, put together from its endpoints. */
#include <assert.h>

#include "engine/breaker_priv.h"
#include "engine/endpoint.h"
#include "engine/policy_priv.h"
#include "engine/shadow.h"

static uint64_t later(uint64_t a, uint64_t b) {
    return a > b ? a : b;
}

/* As the service's state counts it: what is switched off is closed. */
static enum swg_breaker_state endpoint_state(const struct swg_policy *p, uint32_t i,
                                             uint64_t now_ns) {
    const struct swg_breaker *b = p->endpoints[i]->breaker;
    enum swg__standing standing = swg__breaker_standing(b, now_ns);
    uint64_t control = swg__control(b);
    if (standing == SWG__FORCED)
        return SWG_OPEN;
    if (standing == SWG__SERVING || p->options.no_breaker)
        return SWG_CLOSED;
    return control & SWG__MANUAL ? SWG_HALF_OPEN : swg__control_state(control);
}

enum swg_breaker_state swg_policy_state(const struct swg_policy *p, uint64_t now_ns,
                                        uint64_t *retry_in_ns) {
    uint64_t soonest_ns = SWG_NEVER;
    bool half_open = false, closed = false;
    for (uint32_t i = 0; i < p->endpoint_count && !closed; i++) {
        uint64_t wait_ns;
        enum swg_breaker_state state = endpoint_state(p, i, now_ns);
        swg_breaker_peek(p->endpoints[i]->breaker, now_ns, &wait_ns);
        if (wait_ns < soonest_ns)
            soonest_ns = wait_ns;
        closed = state == SWG_CLOSED;
        half_open |= state == SWG_HALF_OPEN;
    }
    if (retry_in_ns)
        *retry_in_ns = closed ? 0 : soonest_ns;
    return closed ? SWG_CLOSED : half_open ? SWG_HALF_OPEN : SWG_OPEN;
}

/* The service is closed since the first of its closed endpoints is, and
 * otherwise what it is since the last of its endpoints changed. */
static void add_since(struct swg_policy_stats *out, const struct swg_breaker_stats *s) {
    if (out->state != SWG_CLOSED)
        out->since_ns = later(out->since_ns, s->since_ns);
    else if (s->state == SWG_CLOSED && s->since_ns < out->since_ns)
        out->since_ns = s->since_ns;
}

static void read_endpoints(const struct swg_policy *p, struct swg_policy_stats *out,
                           uint64_t now_ns) {
    out->since_ns = out->state == SWG_CLOSED ? now_ns : 0;
    for (uint32_t i = 0; i < p->endpoint_count; i++) {
        struct swg_breaker_stats s;
        swg_breaker_read(p->endpoints[i]->breaker, &s, now_ns);
        if (i == 0)
            out->manual = s.manual;
        else if (s.manual != out->manual)
            out->manual = SWG_AUTOMATIC;
        add_since(out, &s);
        swg__stats_add(&out->total, &s);
    }
    out->total.state = out->state;
    out->total.manual = out->manual;
    out->total.since_ns = out->since_ns;
}

static void add_shard(struct swg_policy_stats *out, const struct swg__policy_shard *s) {
    out->calls += swg__get(&s->calls);
    out->attempts += swg__get(&s->attempts);
    out->retries += swg__get(&s->retries);
    for (unsigned i = 0; i < SWG_REFUSAL_COUNT; i++) {
        out->refused[i] += swg__get(&s->refused[i]);
        out->retries_skipped[i] += swg__get(&s->retries_skipped[i]);
    }
}

void swg_policy_read(const struct swg_policy *p, struct swg_policy_stats *out, uint64_t now_ns) {
    *out = (struct swg_policy_stats){0};
    out->state = swg_policy_state(p, now_ns, &out->retry_in_ns);
    read_endpoints(p, out, now_ns);
    swg_bulkhead_read(p->bulkhead, &out->bulkhead);
    swg_budget_read(p->budget, &out->budget_calls, &out->budget_retries, now_ns);
    for (unsigned i = 0; i < SWG__SLOTS; i++)
        add_shard(out, &p->core->shards[i]);
}

/* ---- shadows ---- */

static void add_side(struct swg_shadow_side *sum, const struct swg_shadow_side *s) {
    enum swg_breaker_state state = sum->now.state;
    uint64_t since_ns = sum->now.since_ns;
    swg__stats_add(&sum->now, &s->now);
    sum->opened += s->opened;
    sum->out_ns += s->out_ns;
    /* as of a service: closed while any is, half-open while any of the others is */
    bool first = since_ns == 0;
    bool better = s->now.state == SWG_CLOSED || state == SWG_OPEN;
    sum->now.state = first || better ? s->now.state : state;
    sum->now.since_ns = first || s->now.since_ns > since_ns ? s->now.since_ns : since_ns;
    sum->now.manual = s->now.manual;
}

static void add_shadow(struct swg_shadow_stats *sum, const struct swg_shadow_stats *s) {
    sum->enabled |= s->enabled;
    sum->begun_ns = later(sum->begun_ns, s->begun_ns);
    add_side(&sum->live, &s->live);
    add_side(&sum->shadow, &s->shadow);
    sum->agrees &= s->agrees;
    sum->would_refuse += s->would_refuse;
    sum->would_admit += s->would_admit;
    sum->differences += s->differences;
    sum->differed_ns += s->differed_ns;
    sum->opened_total += s->opened_total;
    sum->would_refuse_total += s->would_refuse_total;
    sum->would_admit_total += s->would_admit_total;
}

void swg_policy_read_shadow(const struct swg_policy *p, uint32_t endpoint,
                            struct swg_shadow_stats *out, uint64_t now_ns) {
    bool all = endpoint == SWG_ALL_ENDPOINTS;
    *out = (struct swg_shadow_stats){.agrees = true};
    for (uint32_t i = all ? 0 : endpoint; i < p->endpoint_count; i++) {
        struct swg__shadow *s = swg__endpoint_shadow(p->endpoints[i]);
        struct swg_shadow_stats one;
        if (s) {
            swg__shadow_read(s, &one, now_ns);
            add_shadow(out, &one);
        }
        if (!all)
            break;
    }
}

void swg_policy_check(const struct swg_policy *p) {
    assert(p->endpoint_count >= 1 && p->endpoint_count <= SWG_ENDPOINTS_MAX);
    assert(atomic_load_explicit(&p->references, memory_order_relaxed) >= 1);
    assert(p->bulkhead == p->core->bulkhead && p->budget == p->core->budget);
    for (uint32_t i = 0; i < p->endpoint_count; i++) {
        const struct swg__endpoint *e = p->endpoints[i];
        assert(e->core == p->core);
        assert(atomic_load_explicit(&e->references, memory_order_relaxed) >= 1);
        assert(p->weights[i] >= 1 && p->weights[i] <= 1000);
        /* a leave too many shows as a number near the top */
        assert(swg_policy_endpoint_in_flight(p, i) < UINT32_MAX / 2);
        swg_breaker_check(e->breaker);
    }
    swg_bulkhead_check(p->bulkhead);
}
