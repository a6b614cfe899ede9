/* drills_api.c - drills: faults that are injected on purpose.
 *
 * Who may break things must be somebody: unlike other changes these need the token
 * on a loopback address too, and cannot be done where none is configured. */
#include <stdio.h>

#include "admin/admin_priv.h"
#include "admin/auth.h"
#include "admin/command_body.h"
#include "admin/drill_body.h"
#include "admin/handlers.h"
#include "admin/problem.h"

/* ---- as JSON ----------------------------------------------------------------------- */

static void write_rule(struct json_out *j, const struct swg__drill *rule) {
    json_key_string(j, "kind", swg__drill_word(rule->kind));
    if (rule->delay_ns)
        json_key_ms(j, "delay_ms", rule->delay_ns);
    else
        json_key_null(j, "delay_ms");
    if (rule->kind == SWG__DRILL_ERROR)
        json_key_int(j, "status", rule->status);
    else
        json_key_null(j, "status");
    json_key_double(j, "percent", rule->share / (SWG__DRILL_ALWAYS / 100.0));
}

static void write_field(struct json_out *j, const struct drill *d) {
    char text[DRILL_FIELD_MAX + DRILL_VALUE_MAX + 3];
    snprintf(text, sizeof text, "%s%s%s", d->field, *d->value ? ": " : "", d->value);
    json_key_string(j, "header", *d->field ? text : NULL);
}

static void write_drill(struct json_out *j, const struct moment *m, const struct drill *d) {
    uint64_t until_ns = d->rule.until_ns;
    json_object(j);
    json_key_string(j, "id", d->id);
    json_key_string(j, "service", d->service);
    json_key_string(j, "endpoint", *d->endpoint ? d->endpoint : NULL);
    write_rule(j, &d->rule);
    write_field(j, d);
    json_key_time(j, "started_at", m, d->started_ns);
    json_key_time(j, "ends_at", m, until_ns);
    json_key_ms(j, "ends_in_ms", until_ns > m->now_ns ? until_ns - m->now_ns : 0);
    json_key_uint(j, "hits", d->hits);
    json_key_string(j, "author", *d->author ? d->author : NULL);
    json_key_string(j, "reason", *d->reason ? d->reason : NULL);
    json_object_end(j);
}

void drills_write_member(struct json_out *j, const struct moment *m, struct admin *a) {
    struct drill d;
    json_key_array(j, "drills");
    for (uint32_t i = 0; drills_get(a->gateway->drills, i, &d); i++)
        write_drill(j, m, &d);
    json_array_end(j);
}

static void answer_with_drill(struct request *r, struct response *a, int status,
                              const struct drill *d) {
    r->moment.now_ns = gateway_now(r->admin->gateway);
    write_drill(response_json(a, status), &r->moment, d);
    response_end_json(a);
}

/* ---- reading ----------------------------------------------------------------------- */

void handle_drills(struct request *r, struct response *a) {
    struct json_out *j = response_json(a, 200);
    json_object(j);
    drills_write_member(j, &r->moment, r->admin);
    json_object_end(j);
    response_end_json(a);
}

/* ---- starting ---------------------------------------------------------------------- */

static bool may_drill(struct request *r, struct response *a) {
    if (r->admin->token)
        return auth_demands_token(r, a);
    problem(a, 403, "no_token",
            "drills need an operator who shows a token, and none is configured: set admin.token "
            "and start the gateway again");
    return false;
}

static bool has_endpoint(const struct service *s, const char *name) {
    for (uint32_t i = 0; i < swg_policy_endpoint_count(s->policy); i++) {
        if (!strcmp(swg_policy_endpoint_name(s->policy, i), name))
            return true;
    }
    return false;
}

static bool is_known(struct request *r, struct response *a, const struct drill *d) {
    struct plan *plan = gateway_plan(r->admin->gateway);
    const struct service *s = plan ? plan_service(plan, bytes_of(d->service)) : NULL;
    bool known = s && (!*d->endpoint || has_endpoint(s, d->endpoint));
    plan_release(plan);
    if (!s)
        problem(a, 404, "unknown_service", "there is no service \"%s\"", d->service);
    else if (!known)
        problem(a, 404, "unknown_endpoint", "the service \"%s\" has no endpoint \"%s\"", d->service,
                d->endpoint);
    return known;
}

static bool is_tcp(struct request *r, const char *service) {
    struct plan *plan = gateway_plan(r->admin->gateway);
    const struct gateway_options *o = plan->options;
    bool found = false;
    for (uint32_t i = 0; i < o->listen_count; i++)
        found = found ||
                (o->listens[i].protocol == PROTOCOL_TCP && !strcmp(o->listens[i].service, service));
    plan_release(plan);
    return found;
}

/* A connection that is passed on as it is has neither statuses nor header fields. */
static bool is_possible(struct request *r, struct response *a, const struct drill *d) {
    if ((d->rule.kind != SWG__DRILL_ERROR && !*d->field) || !is_tcp(r, d->service))
        return true;
    problem(a, 400, "bad_body",
            "connections to \"%s\" are passed on as they are: only delay and abort, without header",
            d->service);
    return false;
}

static void start(struct request *r, struct response *a, struct drill *d, uint64_t for_ns) {
    struct gateway *g = r->admin->gateway;
    if (!*d->author)
        snprintf(d->author, sizeof d->author, "admin API");
    d->rule.until_ns = gateway_now(g) + for_ns;
    if (drills_start(g->drills, d) == 0)
        answer_with_drill(r, a, 201, d);
    else
        problem(a, 409, "too_many_drills", "%d drills are on already; stop one first", DRILLS_MAX);
}

void handle_drill_start(struct request *r, struct response *a) {
    char memory[512];
    struct buf wrong;
    struct drill d;
    uint64_t for_ns;
    buf_init_fixed(&wrong, memory, sizeof memory);
    if (!may_drill(r, a))
        return;
    if (!drill_body_read(r->body, &d, &for_ns, &wrong))
        problem(a, 400, "bad_body", "%s", buf_cstr(&wrong));
    else if (is_known(r, a, &d) && is_possible(r, a, &d))
        start(r, a, &d, for_ns);
}

/* ---- stopping ---------------------------------------------------------------------- */

static bool read_body(struct request *r, struct response *a, struct command_body *body) {
    char memory[512];
    struct buf wrong;
    buf_init_fixed(&wrong, memory, sizeof memory);
    bool ok = command_body_read(r->body, body, &wrong);
    if (ok && (*body->duration || *body->endpoint)) {
        buf_literal(&wrong, "only reason and author are known here");
        ok = false;
    }
    if (!ok)
        problem(a, 400, "bad_body", "%s", buf_cstr(&wrong));
    else if (!*body->author)
        snprintf(body->author, sizeof body->author, "admin API");
    return ok;
}

void handle_drill_stop(struct request *r, struct response *a) {
    struct command_body body;
    struct drill d;
    if (!may_drill(r, a) || !read_body(r, a, &body))
        return;
    if (drills_stop(r->admin->gateway->drills, r->name, body.author, body.reason, &d) == 0)
        answer_with_drill(r, a, 200, &d);
    else
        problem(a, 404, "unknown_drill", "no drill \"%s\" is on; it may have ended", r->name);
}

void handle_drills_stop(struct request *r, struct response *a) {
    struct command_body body;
    if (!may_drill(r, a) || !read_body(r, a, &body))
        return;
    uint32_t stopped = drills_stop_all(r->admin->gateway->drills, body.author, body.reason);
    struct json_out *j = response_json(a, 200);
    json_object(j);
    json_key_uint(j, "stopped", stopped);
    json_object_end(j);
    response_end_json(a);
}
