/* breaker_json.c - see breaker_json.h. */
#include "admin/breaker_json.h"

#include "gateway/health.h"

/* ---- parts of it ------------------------------------------------------------ */

static void write_rates(struct json_out *j, const struct swg_breaker_stats *s) {
    json_key_uint(j, "failure_count", s->window_failures);
    json_key_uint(j, "calls", s->window_calls);
    json_key_ratio(j, "failure_rate", s->window_failures, s->window_calls);
    json_key_ratio(j, "slow_rate", s->window_slow, s->window_calls);
    json_key_uint(j, "consecutive", s->consecutive);
}

/* When asking again may help; only while it is refusing for some time. */
static void write_probe(struct json_out *j, const struct moment *m, enum swg_breaker_state state,
                        uint64_t retry_in_ns, bool idle) {
    bool known = state == SWG_OPEN && retry_in_ns != SWG_NEVER;
    json_key_time(j, "next_probe_at", m, known ? m->now_ns + retry_in_ns : 0);
    if (known)
        json_key_ms(j, "next_probe_in_ms", retry_in_ns);
    else
        json_key_null(j, "next_probe_in_ms");
    json_key_bool(j, "idle", state == SWG_OPEN && idle);
}

static void write_totals(struct json_out *j, const struct swg_breaker_stats *s) {
    json_key_object(j, "totals");
    json_key_uint(j, "calls", s->calls);
    json_key_uint(j, "successes", s->successes);
    json_key_uint(j, "failures", s->failures);
    json_key_uint(j, "slow", s->slow);
    json_key_uint(j, "overloads", s->overloads);
    json_key_uint(j, "cancelled", s->cancelled);
    json_key_uint(j, "ignored", s->ignored);
    json_key_uint(j, "late", s->late);
    json_object_end(j);
}

static void write_reasons(struct json_out *j, const char *key, const uint64_t *counts) {
    json_key_object(j, key);
    for (int why = 1; why < SWG_REFUSAL_COUNT; why++) {
        if (counts[why])
            json_key_uint(j, swg_refusal_word((enum swg_refusal)why), counts[why]);
    }
    json_object_end(j);
}

static void write_bulkhead(struct json_out *j, const struct swg_bulkhead_stats *s) {
    json_key_object(j, "bulkhead");
    json_key_uint(j, "in_use", s->in_use);
    json_key_uint(j, "waiting", s->waiting);
    if (s->concurrent == SWG_BULKHEAD_UNLIMITED)
        json_key_null(j, "limit");
    else
        json_key_uint(j, "limit", s->concurrent);
    json_object_end(j);
}

/* What an operator has done, as long as it lasts. */
static void write_manual(struct json_out *j, const struct moment *m, const struct event *command,
                         const struct swg_breaker_stats *s) {
    if (s->manual == SWG_AUTOMATIC) {
        json_key_null(j, "manual");
        return;
    }
    json_key_object(j, "manual");
    json_key_string(j, "state", swg_breaker_word(s->state, s->manual));
    json_key_time(j, "until", m, s->manual_until_ns);
    json_key_string(j, "author", command && *command->author ? command->author : NULL);
    json_key_string(j, "reason", command && *command->text ? command->text : NULL);
    json_object_end(j);
}

static void write_change(struct json_out *j, const struct event *change) {
    json_key(j, "last_change");
    if (change && change->sequence)
        event_write_json(j, change);
    else
        json_null(j);
}

/* ---- endpoints ----------------------------------------------------------------- */

static const char *health_word(enum health_state state) {
    switch (state) {
    case HEALTH_UNKNOWN:
        return "unknown";
    case HEALTH_GOOD:
        return "good";
    case HEALTH_BAD:
        return "bad";
    }
    return "";
}

static void write_health(struct json_out *j, const struct moment *m, struct admin *a,
                         const struct service *s, uint32_t endpoint) {
    struct health_reading r;
    if (!s->options->health.enabled) {
        json_key_null(j, "health");
        return;
    }
    health_read(a->health, s, endpoint, &r);
    json_key_object(j, "health");
    json_key_string(j, "check", r.kind);
    json_key_string(j, "state", health_word(r.state));
    json_key_time(j, "checked_at", m, r.checked_ns);
    json_key_ms(j, "took_ms", r.took_ns);
    json_key_int(j, "status", r.status);
    json_key_string(j, "cause", r.cause && *r.cause ? r.cause : NULL);
    json_object_end(j);
}

static void write_endpoint(struct json_out *j, const struct moment *m, struct admin *a,
                           const struct service *s, const struct record *r, uint32_t endpoint) {
    struct swg_breaker_stats stats;
    const char *name = swg_policy_endpoint_name(s->policy, endpoint);
    const struct event *command = r && r->manual.sequence ? &r->manual : NULL;
    uint64_t retry_in_ns = 0;
    swg_breaker_read(swg_policy_breaker(s->policy, endpoint), &stats, m->now_ns);
    swg_breaker_peek(swg_policy_breaker(s->policy, endpoint), m->now_ns, &retry_in_ns);
    if (command && *command->endpoint && strcmp(command->endpoint, name) != 0)
        command = NULL; /* was about another endpoint */
    json_object(j);
    json_key_string(j, "name", name);
    json_key_string(j, "state", swg_breaker_word(stats.state, stats.manual));
    json_key_time(j, "since", m, stats.since_ns);
    write_rates(j, &stats);
    write_probe(j, m, stats.state, retry_in_ns, stats.probe_due);
    json_key_uint(j, "attempts", stats.calls);
    json_key_uint(j, "in_flight", swg_policy_endpoint_in_flight(s->policy, endpoint));
    write_manual(j, m, command, &stats);
    write_health(j, m, a, s, endpoint);
    json_object_end(j);
}

/* ---- all of it -------------------------------------------------------------------- */

void breaker_write_json(struct json_out *j, const struct moment *m, struct admin *a,
                        const struct service *s) {
    struct swg_policy_stats stats;
    const struct record *r = records_of(a->records, s);
    swg_policy_read(s->policy, &stats, m->now_ns);
    json_object(j);
    json_key_string(j, "name", s->options->name);
    json_key_string(j, "state", swg_breaker_word(stats.state, stats.manual));
    json_key_bool(j, "forced", stats.manual != SWG_AUTOMATIC);
    json_key_time(j, "since", m, stats.since_ns);
    write_rates(j, &stats.total);
    json_key_time(j, "opened_at", m, stats.total.opened_ns);
    json_key_time(j, "last_success_at", m, stats.total.last_success_ns);
    json_key_time(j, "last_failure_at", m, stats.total.last_failure_ns);
    write_probe(j, m, stats.state, stats.retry_in_ns, stats.total.probe_due);
    write_totals(j, &stats.total);
    write_reasons(j, "rejections", stats.refused);
    json_key_uint(j, "retries", stats.retries);
    write_reasons(j, "retries_skipped", stats.retries_skipped);
    write_bulkhead(j, &stats.bulkhead);
    write_manual(j, m, r && r->manual.sequence ? &r->manual : NULL, &stats.total);
    write_change(j, r ? &r->change : NULL);
    json_key_array(j, "endpoints");
    for (uint32_t i = 0; i < swg_policy_endpoint_count(s->policy); i++)
        write_endpoint(j, m, a, s, r, i);
    json_array_end(j);
    json_object_end(j);
}
