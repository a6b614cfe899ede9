/* breakers_api.c - circuit breakers: reading them, and manual control. */
#include <stdio.h>
#include <stdlib.h>

#include "admin/breaker_json.h"
#include "admin/command_body.h"
#include "admin/handlers.h"
#include "admin/problem.h"
#include "config/value.h"
#include "gateway/health.h"
#include "observe/events.h"

enum { HISTORY_DEFAULT = 128, HISTORY_MAX = 500 };

/* How long protection may be taken away; and how long anything may last, so
 * that a slip of the pen does not mean for ever. */
#define UNPROTECTED_MAX_NS (7 * SWG_HOURS(24))
#define FORCED_MAX_NS      (366 * SWG_HOURS(24))

/* ---- reading ------------------------------------------------------------------ */

void handle_breakers(struct request *r, struct response *a) {
    struct plan *plan = gateway_plan(r->admin->gateway);
    struct json_out *j = response_json(a, 200);
    json_object(j);
    json_key_array(j, "circuit_breakers");
    for (uint32_t i = 0; plan && i < plan->service_count; i++)
        breaker_write_json(j, &r->moment, r->admin, &plan->services[i]);
    json_array_end(j);
    json_object_end(j);
    response_end_json(a);
    plan_release(plan);
}

/* The service that the path names; else NULL, with the problem told. *plan is
 * the caller's to release in any case. */
static struct service *named_service(struct request *r, struct response *a, struct plan **plan) {
    *plan = gateway_plan(r->admin->gateway);
    struct service *s = *plan ? plan_service(*plan, bytes_of(r->name)) : NULL;
    if (!s)
        problem(a, 404, "unknown_service", "there is no service \"%s\"", r->name);
    return s;
}

static void answer_with_breaker(struct request *r, struct response *a, const struct service *s) {
    struct json_out *j = response_json(a, 200);
    breaker_write_json(j, &r->moment, r->admin, s);
    response_end_json(a);
}

void handle_breaker(struct request *r, struct response *a) {
    struct plan *plan;
    struct service *s = named_service(r, a, &plan);
    if (s)
        answer_with_breaker(r, a, s);
    plan_release(plan);
}

static void write_history(struct request *r, struct response *a, struct event *events,
                          size_t limit) {
    size_t count = events_read_latest(r->admin->gateway->events, r->name, events, limit);
    struct json_out *j = response_json(a, 200);
    json_object(j);
    json_key_string(j, "name", r->name);
    json_key_array(j, "events");
    for (size_t i = 0; i < count; i++)
        event_write_json(j, &events[i]);
    json_array_end(j);
    json_object_end(j);
    response_end_json(a);
}

void handle_history(struct request *r, struct response *a) {
    char text[24];
    uint64_t limit = HISTORY_DEFAULT;
    struct plan *plan;
    struct service *s = named_service(r, a, &plan);
    plan_release(plan);
    if (!s)
        return;
    if (request_query(r, "limit", text, sizeof text) &&
        (!value_count(bytes_of(text), &limit) || limit < 1 || limit > HISTORY_MAX)) {
        problem(a, 400, "bad_limit", "limit is a number from 1 to %d", HISTORY_MAX);
        return;
    }
    struct event *events = calloc(limit, sizeof *events);
    if (events)
        write_history(r, a, events, limit);
    else
        problem(a, 503, "no_memory", "out of memory");
    free(events);
}

/* ---- the body of a command --------------------------------------------------------- */

_Static_assert(BODY_REASON_MAX == sizeof((struct event){0}.text) - 1 &&
                   BODY_AUTHOR_MAX == sizeof((struct event){0}.author) - 1,
               "what is accepted is what the history can hold");

static bool read_body(struct request *r, struct response *a, struct command_body *body) {
    char memory[512];
    struct buf wrong;
    buf_init_fixed(&wrong, memory, sizeof memory);
    bool ok = command_body_read(r->body, body, &wrong);
    if (!ok)
        problem(a, 400, "bad_body", "%s", buf_cstr(&wrong));
    else if (!*body->author)
        snprintf(body->author, sizeof body->author, "admin API");
    return ok;
}

static bool read_duration(struct response *a, const char *text, enum gateway_verb verb,
                          uint64_t *for_ns) {
    bool unprotects = verb == GATEWAY_FORCE_CLOSE || verb == GATEWAY_DISABLE;
    uint64_t max_ns = unprotects ? UNPROTECTED_MAX_NS : FORCED_MAX_NS;
    *for_ns = SWG_NEVER;
    if (!*text) {
        if (unprotects)
            problem(a, 400, "duration_needed",
                    "this takes protection away and needs a duration, such as \"for\": \"10m\"");
        return !unprotects;
    }
    if (!value_duration(bytes_of(text), for_ns) || *for_ns == 0 || *for_ns > max_ns) {
        problem(a, 400, "bad_duration",
                "for is a duration such as 250ms, 5s, 10m or 1h, more than 0 and at most %s",
                unprotects ? "7d" : "366d");
        return false;
    }
    return true;
}

static bool has_endpoint(const struct service *s, const char *name) {
    for (uint32_t i = 0; i < swg_policy_endpoint_count(s->policy); i++) {
        if (!strcmp(swg_policy_endpoint_name(s->policy, i), name))
            return true;
    }
    return false;
}

/* ---- commands ---------------------------------------------------------------------- */

static void carry_out(struct request *r, struct response *a, const struct service *s,
                      enum gateway_verb verb, const struct command_body *body) {
    const char *endpoint = body->endpoint;
    struct gateway_command command = {.verb = verb,
                                      .service = s->options->name,
                                      .endpoint = *endpoint ? endpoint : NULL,
                                      .author = body->author,
                                      .reason = body->reason};
    if (*endpoint && !has_endpoint(s, endpoint)) {
        problem(a, 404, "unknown_endpoint", "the service \"%s\" has no endpoint \"%s\"",
                s->options->name, endpoint);
        return;
    }
    if (!read_duration(a, body->duration, verb, &command.for_ns))
        return;
    if (verb == GATEWAY_RESET && *body->duration) {
        problem(a, 400, "bad_body", "a reset does not last: it takes no duration");
        return;
    }
    if (gateway_control(r->admin->gateway, &command) < 0) {
        problem(a, 404, "unknown_service", "there is no service \"%s\"", s->options->name);
        return;
    }
    r->moment.now_ns = gateway_now(r->admin->gateway);
    records_listen(r->admin->records);
    answer_with_breaker(r, a, s);
}

static void handle_command(struct request *r, struct response *a, enum gateway_verb verb) {
    struct command_body body;
    struct plan *plan;
    struct service *s = named_service(r, a, &plan);
    if (s && read_body(r, a, &body))
        carry_out(r, a, s, verb, &body);
    plan_release(plan);
}

void handle_reset(struct request *r, struct response *a) {
    handle_command(r, a, GATEWAY_RESET);
}

void handle_force_open(struct request *r, struct response *a) {
    handle_command(r, a, GATEWAY_FORCE_OPEN);
}

void handle_force_close(struct request *r, struct response *a) {
    handle_command(r, a, GATEWAY_FORCE_CLOSE);
}

void handle_disable(struct request *r, struct response *a) {
    handle_command(r, a, GATEWAY_DISABLE);
}

/* ---- all that are open --------------------------------------------------------------- */

static bool has_open_endpoint(const struct service *s, uint64_t now_ns) {
    for (uint32_t i = 0; i < swg_policy_endpoint_count(s->policy); i++) {
        struct swg_breaker_stats stats;
        swg_breaker_read(swg_policy_breaker(s->policy, i), &stats, now_ns);
        if (stats.state == SWG_OPEN && stats.manual == SWG_AUTOMATIC)
            return true;
    }
    return false;
}

static void probe_all(struct request *r, struct response *a, const struct command_body *body) {
    struct gateway *g = r->admin->gateway;
    struct plan *plan = gateway_plan(g);
    struct json_out *j = response_json(a, 200);
    json_object(j);
    json_key_array(j, "probed");
    for (uint32_t i = 0; plan && i < plan->service_count; i++) {
        const struct service *s = &plan->services[i];
        if (!has_open_endpoint(s, r->moment.now_ns))
            continue;
        gateway_control(g, &(struct gateway_command){.verb = GATEWAY_PROBE_NOW,
                                                     .service = s->options->name,
                                                     .for_ns = SWG_NEVER,
                                                     .author = body->author,
                                                     .reason = body->reason});
        json_string(j, s->options->name);
    }
    json_array_end(j);
    json_object_end(j);
    response_end_json(a);
    plan_release(plan);
    health_probe_now(r->admin->health);
}

void handle_force_recovery(struct request *r, struct response *a) {
    struct command_body body;
    if (read_body(r, a, &body))
        probe_all(r, a, &body);
}
