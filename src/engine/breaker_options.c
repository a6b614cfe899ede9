/* breaker_options.c - defaults and ranges of a breaker's options. */
#include "engine/breaker_priv.h"

#define OPTION_TIME_MAX SWG_HOURS(24 * 365)

static bool in_range(uint64_t v, uint64_t low, uint64_t high) {
    return v >= low && v <= high;
}

static void default_32(uint32_t *v, uint32_t value) {
    if (*v == 0)
        *v = value;
}

static void default_64(uint64_t *v, uint64_t value) {
    if (*v == 0)
        *v = value;
}

static void fill_rules(struct swg_breaker_options *o) {
    if (!o->consecutive && !o->failures && !o->failure_percent && !o->slow_percent)
        o->failure_percent = 50;
    default_32(&o->calls_min, 20);
    default_64(&o->window_ns, SWG_SECONDS(10));
    /* A window of ten calls never holds twenty: it is judged when full. */
    if (o->window_calls && o->calls_min > o->window_calls)
        o->calls_min = o->window_calls;
    if (o->slow_percent)
        default_64(&o->slow_call_ns, SWG_SECONDS(1));
}

static void fill_times(struct swg_breaker_options *o) {
    default_64(&o->open_ns, SWG_SECONDS(5));
    default_64(&o->open_max_ns, o->open_ns > SWG_SECONDS(60) ? o->open_ns : SWG_SECONDS(60));
    default_32(&o->jitter_percent, 10);
    default_32(&o->probes, 2);
    default_32(&o->close_after, 2);
    default_64(&o->probe_lease_ns, SWG_SECONDS(60));
    if (o->ramp_ns == SWG_OFF)
        o->ramp_ns = 0;
}

static bool rules_valid(const struct swg_breaker_options *o) {
    return o->consecutive <= 1000000 && o->failures <= 10000 && o->failure_percent <= 100 &&
           o->slow_percent <= 100 && o->calls_min <= 1000000 && o->window_calls <= 10000 &&
           in_range(o->window_ns, SWG_MS(10), SWG_HOURS(24)) &&
           /* more failures than the window holds calls would never come */
           (o->window_calls == 0 || o->failures <= o->window_calls) &&
           (o->slow_call_ns == SWG_OFF ? o->slow_percent == 0 : o->slow_call_ns <= OPTION_TIME_MAX);
}

static bool times_valid(const struct swg_breaker_options *o) {
    return in_range(o->open_ns, 1, OPTION_TIME_MAX) &&
           in_range(o->open_max_ns, o->open_ns, OPTION_TIME_MAX) && o->jitter_percent <= 101 &&
           in_range(o->probes, 1, SWG__PROBES_MAX) && in_range(o->close_after, 1, 1000000) &&
           in_range(o->probe_lease_ns, 1, OPTION_TIME_MAX) && o->ramp_ns <= SWG_HOURS(24);
}

enum swg_error swg__breaker_options_fill(struct swg_breaker_options *out,
                                         const struct swg_breaker_options *in) {
    *out = in ? *in : (struct swg_breaker_options){0};
    fill_rules(out);
    fill_times(out);
    return rules_valid(out) && times_valid(out) ? SWG_OK : SWG_ERR_RANGE;
}
