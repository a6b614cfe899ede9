/* patch_api.c - PATCH of a service's policy, and taking it back. */
#include <stdio.h>

#include "admin/command_body.h"
#include "admin/handlers.h"
#include "admin/patch_body.h"
#include "admin/policy_change.h"
#include "admin/problem.h"
#include "config/print.h"

static void answer(struct policy_change *c) {
    struct json_out *j = response_json(c->answer, 200);
    policy_write_etag(c->answer, c->generation);
    json_object(j);
    policy_change_write(c, j);
    json_key_object(j, "policy");
    print_scope(j, "services.*", c->after);
    json_object_end(j);
    json_object_end(j);
    response_end_json(c->answer);
}

static bool take_body(struct policy_change *c, struct patch_body *body) {
    char memory[512];
    struct buf wrong;
    buf_init_fixed(&wrong, memory, sizeof memory);
    if (!patch_body_read(c->request->body, body, &wrong)) {
        problem(c->answer, 400, "bad_body", "%s", buf_cstr(&wrong));
        return false;
    }
    if (*body->author)
        c->author = body->author;
    c->reason = body->reason;
    bool ok = true;
    for (uint32_t i = 0; ok && i < body->count; i++)
        ok = policy_change_add(c, body->members[i].key, body->members[i].value);
    return ok;
}

void handle_patch_service(struct request *r, struct response *a) {
    struct policy_change c;
    struct patch_body body = {.count = 0};
    if (policy_change_begin(&c, r, a) && take_body(&c, &body) &&
        policy_change_finish(&c, "changed"))
        answer(&c);
    policy_change_end(&c);
    patch_body_free(&body);
}

/* What the file says is in force again. */
void handle_unpatch_service(struct request *r, struct response *a) {
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
        policy_change_clear(&c);
        if (policy_change_finish(&c, "undone"))
            answer(&c);
    }
    policy_change_end(&c);
}
