/* shadow_api.c - a breaker's shadow: looking at it, and switching it at run time,
 * which is a change of the policy like any other. */
#include <stdio.h>

#include "admin/admin_priv.h"
#include "admin/command_body.h"
#include "admin/handlers.h"
#include "admin/patch_body.h"
#include "admin/policy_change.h"
#include "admin/problem.h"
#include "admin/shadow_json.h"

/* The plan as it is now; a trial has changed nothing, and answers as a PATCH. */
static void answer(struct request *r, struct response *a, const struct policy_change *c) {
    struct plan *plan = gateway_plan(r->admin->gateway);
    struct service *s = plan ? plan_service(plan, bytes_of(r->name)) : NULL;
    if (!s) {
        problem(a, 404, "unknown_service", "there is no service \"%s\"", r->name);
    } else {
        struct json_out *j = response_json(a, 200);
        policy_write_etag(a, plan->generation);
        r->moment.now_ns = gateway_now(r->admin->gateway);
        json_object(j);
        if (c && c->trial) {
            policy_change_write(c, j);
        } else {
            json_key_string(j, "service", s->options->name);
            shadow_write_members(j, &r->moment, s);
        }
        json_object_end(j);
        response_end_json(a);
    }
    plan_release(plan);
}

void handle_shadow(struct request *r, struct response *a) {
    answer(r, a, NULL);
}

static bool take_body(struct policy_change *c, struct patch_body *body) {
    char memory[512];
    struct buf wrong;
    buf_init_fixed(&wrong, memory, sizeof memory);
    if (!patch_body_read_whole(c->request->body, "shadow", "breaker", body, &wrong)) {
        problem(c->answer, 400, "bad_body", "%s", buf_cstr(&wrong));
        return false;
    }
    if (*body->author)
        c->author = body->author;
    c->reason = body->reason;
    return policy_change_add(c, body->members[0].key, body->members[0].value);
}

void handle_shadow_set(struct request *r, struct response *a) {
    struct policy_change c;
    struct patch_body body = {.count = 0};
    if (policy_change_begin(&c, r, a) && take_body(&c, &body) &&
        policy_change_finish(&c, "changed"))
        answer(r, a, &c);
    policy_change_end(&c);
    patch_body_free(&body);
}

void handle_shadow_end(struct request *r, struct response *a) {
    struct policy_change c;
    struct command_body body;
    char memory[512];
    struct buf wrong;
    buf_init_fixed(&wrong, memory, sizeof memory);
    if (!command_body_read(r->body, &body, &wrong)) {
        problem(a, 400, "bad_body", "%s", buf_cstr(&wrong));
        return;
    }
    if (policy_change_begin(&c, r, a)) {
        if (*body.author)
            c.author = body.author;
        c.reason = body.reason;
        if (policy_change_add(&c, "shadow", "\"off\"") && policy_change_finish(&c, "changed"))
            answer(r, a, &c);
    }
    policy_change_end(&c);
}
