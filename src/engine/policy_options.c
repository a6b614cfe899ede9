/* policy_options.c - defaults and ranges of a policy's options, but for those
 * of its parts that check their own (breaker, bulkhead, budget). */
#include "engine/breaker_priv.h"
#include "engine/policy_priv.h"

#define OPTION_TIME_MAX SWG_HOURS(24 * 365)

static void default_64(uint64_t *v, uint64_t value) {
    if (*v == 0)
        *v = value;
}

static void fill_timeouts(struct swg_timeout_options *t) {
    default_64(&t->connect_ns, SWG_SECONDS(5));
    default_64(&t->first_byte_ns, SWG_OFF);
    default_64(&t->attempt_ns, SWG_SECONDS(30));
    default_64(&t->total_ns, SWG_SECONDS(60));
}

static void fill_retry(struct swg_retry_options *r) {
    uint64_t statuses = 0;
    if (r->max == 0)
        r->max = 3;
    else if (r->max == SWG_RETRY_OFF)
        r->max = 0;
    default_64(&r->base_ns, SWG_MS(100));
    default_64(&r->cap_ns, SWG_SECONDS(10));
    default_64(&r->retry_after_max_ns, SWG_SECONDS(30));
    for (unsigned i = 0; i < 10; i++)
        statuses |= r->on_status[i];
    if (statuses || r->on_connect || r->on_reset || r->on_timeout)
        return;
    static const int defaults[] = {500, 502, 503, 504};
    r->on_connect = r->on_reset = r->on_timeout = true;
    for (unsigned i = 0; i < sizeof(defaults) / sizeof(defaults[0]); i++)
        swg_status_set(r->on_status, defaults[i]);
}

static void fill_rate(struct swg_rate_options *r) {
    if (r->calls == 0)
        return;
    default_64(&r->per_ns, SWG_SECONDS(1));
    if (r->burst)
        return;
    unsigned __int128 second = (unsigned __int128)r->calls * SWG_SECONDS(1) / r->per_ns;
    r->burst = second > UINT64_MAX ? UINT64_MAX : second ? (uint64_t)second : 1;
}

/* Within range, or none. */
static bool time_valid(uint64_t ns) {
    return ns <= OPTION_TIME_MAX || ns == SWG_OFF;
}

static bool times_valid(const struct swg_policy_options *o) {
    return time_valid(o->timeout.connect_ns) && time_valid(o->timeout.first_byte_ns) &&
           time_valid(o->timeout.attempt_ns) && time_valid(o->timeout.total_ns) &&
           time_valid(o->slow_start_ns) && time_valid(o->retry.base_ns) &&
           time_valid(o->retry.cap_ns) && time_valid(o->retry.retry_after_max_ns);
}

static bool numbers_valid(const struct swg_policy_options *o) {
    return o->retry.max <= 100 && o->retry.jitter <= SWG_JITTER_NONE && o->balance <= SWG_RANDOM &&
           o->ejection_max_percent <= 100 && o->endpoint_count <= SWG_ENDPOINTS_MAX &&
           o->tier_count <= SWG_TIERS_MAX;
}

static enum swg_error take_tiers(struct swg_policy *p, const struct swg_policy_options *in) {
    if (in->tier_count && !in->tiers)
        return SWG_ERR_INVALID;
    for (uint32_t i = 0; i < in->tier_count; i++) {
        p->tiers[i] = in->tiers[i];
        if (p->tiers[i].share_percent == 0)
            p->tiers[i].share_percent = 100;
        if (p->tiers[i].share_percent > 100)
            return SWG_ERR_RANGE;
    }
    p->options.tiers = p->tiers;
    return SWG_OK;
}

enum swg_error swg__policy_options_take(struct swg_policy *p, const struct swg_policy_options *in) {
    struct swg_policy_options *o = &p->options;
    *o = *in;
    fill_timeouts(&o->timeout);
    fill_retry(&o->retry);
    fill_rate(&o->rate);
    if (o->ejection_max_percent == 0)
        o->ejection_max_percent = 50;
    if (!times_valid(o) || !numbers_valid(o))
        return SWG_ERR_RANGE;
    if (o->slow_start_ns == SWG_OFF)
        o->slow_start_ns = 0;
    if (o->endpoint_count && !in->endpoints)
        return SWG_ERR_INVALID;
    for (uint32_t i = 0; i < o->endpoint_count; i++) {
        p->weights[i] = in->endpoints[i].weight ? in->endpoints[i].weight : 1;
        if (p->weights[i] > 1000)
            return SWG_ERR_RANGE;
    }
    p->endpoint_count = o->endpoint_count;
    if (p->endpoint_count == 0) {
        p->endpoint_count = 1;
        p->weights[0] = 1;
    }
    o->endpoints = NULL; /* the caller's memory: names are in the endpoints */
    enum swg_error error = take_tiers(p, in);
    if (!error && o->shadow.enabled)
        error = swg__breaker_options_fill(&o->shadow.breaker, &in->shadow.breaker);
    return error ? error : swg__breaker_options_fill(&o->breaker, &in->breaker);
}
