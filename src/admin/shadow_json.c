/* shadow_json.c - see shadow_json.h. */
#include "admin/shadow_json.h"

#include "config/config.h"
#include "config/print.h"

/* One of the two: of the window now, as a breaker's own figures; and since the comparison
 * began. */
static void write_side(struct json_out *j, const char *key, const struct moment *m,
                       const struct swg_shadow_side *side, uint64_t refused) {
    const struct swg_breaker_stats *s = &side->now;
    json_key_object(j, key);
    json_key_string(j, "state", swg_breaker_word(s->state, s->manual));
    json_key_time(j, "since", m, s->since_ns);
    json_key_uint(j, "failure_count", s->window_failures);
    json_key_uint(j, "calls", s->window_calls);
    json_key_ratio(j, "failure_rate", s->window_failures, s->window_calls);
    json_key_ratio(j, "slow_rate", s->window_slow, s->window_calls);
    json_key_uint(j, "consecutive", s->consecutive);
    json_key_uint(j, "opened", side->opened);
    json_key_ms(j, "not_closed_ms", side->out_ns);
    json_key_uint(j, "refused", refused);
    json_key_object(j, "totals");
    json_key_uint(j, "calls", s->calls);
    json_key_uint(j, "failures", s->failures);
    json_key_uint(j, "slow", s->slow);
    json_object_end(j);
    json_object_end(j);
}

static uint64_t live_refused(const struct swg_breaker_stats *s) {
    return s->refused[SWG_REFUSED_OPEN] + s->refused[SWG_REFUSED_HALF_OPEN_FULL] +
           s->refused[SWG_REFUSED_RAMPING] + s->refused[SWG_REFUSED_FORCED_OPEN];
}

static void write_figures(struct json_out *j, const struct moment *m,
                          const struct swg_shadow_stats *t) {
    json_key_bool(j, "agrees", t->agrees);
    json_key_uint(j, "would_have_opened", t->shadow.opened);
    json_key_uint(j, "would_have_refused", t->would_refuse);
    json_key_uint(j, "would_have_admitted", t->would_admit);
    json_key_object(j, "disagreements");
    json_key_uint(j, "calls", t->would_refuse + t->would_admit);
    json_key_uint(j, "times", t->differences);
    json_key_ms(j, "ms", t->differed_ns);
    json_object_end(j);
    write_side(j, "live", m, &t->live, live_refused(&t->live.now));
    write_side(j, "shadow", m, &t->shadow, t->would_refuse);
}

static void write_none(struct json_out *j) {
    static const char *const keys[] = {"begun_at", "breaker", "agrees", "live", "shadow"};
    for (unsigned i = 0; i < sizeof keys / sizeof *keys; i++)
        json_key_null(j, keys[i]);
    json_key_uint(j, "would_have_opened", 0);
    json_key_uint(j, "would_have_refused", 0);
    json_key_array(j, "differences");
    json_array_end(j);
}

void shadow_write_members(struct json_out *j, const struct moment *m, const struct service *s) {
    struct swg_shadow_stats t;
    swg_policy_read_shadow(s->policy, SWG_ALL_ENDPOINTS, &t, m->now_ns);
    json_key_bool(j, "enabled", t.enabled);
    if (!t.enabled) {
        write_none(j);
        return;
    }
    json_key_time(j, "begun_at", m, t.begun_ns);
    json_key_object(j, "breaker");
    print_scope(j, "services.*.shadow.breaker", s->options);
    json_object_end(j);
    json_key_array(j, "differences");
    config_write_shadow_diff(s->options, j);
    json_array_end(j);
    write_figures(j, m, &t);
    json_key_array(j, "endpoints");
    for (uint32_t i = 0; i < swg_policy_endpoint_count(s->policy); i++) {
        swg_policy_read_shadow(s->policy, i, &t, m->now_ns);
        json_object(j);
        json_key_string(j, "name", swg_policy_endpoint_name(s->policy, i));
        write_figures(j, m, &t);
        json_object_end(j);
    }
    json_array_end(j);
}

void shadow_write_summary(struct json_out *j, const struct moment *m, const struct service *s) {
    struct swg_shadow_stats t;
    swg_policy_read_shadow(s->policy, SWG_ALL_ENDPOINTS, &t, m->now_ns);
    if (!t.enabled) {
        json_key_null(j, "shadow");
        return;
    }
    json_key_object(j, "shadow");
    json_key_string(j, "state", swg_breaker_state_word(t.shadow.now.state));
    json_key_bool(j, "agrees", t.agrees);
    json_key_time(j, "begun_at", m, t.begun_ns);
    json_key_uint(j, "would_have_opened", t.shadow.opened);
    json_key_uint(j, "would_have_refused", t.would_refuse);
    json_key_uint(j, "would_have_admitted", t.would_admit);
    json_object_end(j);
}
