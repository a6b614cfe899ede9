/* config_api.c - the configuration in force, reloading it, and the end. */
#include <stdio.h>

#include "admin/command_body.h"
#include "admin/handlers.h"
#include "admin/policy_change.h"
#include "admin/problem.h"
#include "config/config.h"

enum { REPORT_MAX = 64 * 1024 };

void handle_config(struct request *r, struct response *a) {
    struct plan *plan = gateway_plan(r->admin->gateway);
    struct json_out *j = response_json(a, 200);
    json_object(j);
    json_key_string(j, "file", plan->options->file);
    json_key_uint(j, "generation", plan->generation);
    json_key(j, "config");
    config_write_json(plan->options, j);
    json_object_end(j);
    response_end_json(a);
    plan_release(plan);
}

/* Of the body only the author counts here. */
static bool read_author(struct request *r, struct response *a, struct command_body *body) {
    char memory[512];
    struct buf wrong;
    buf_init_fixed(&wrong, memory, sizeof memory);
    if (!command_body_read(r->body, body, &wrong)) {
        problem(a, 400, "bad_body", "%s", buf_cstr(&wrong));
        return false;
    }
    if (!*body->author)
        snprintf(body->author, sizeof body->author, "admin API");
    return true;
}

/* One finding a line, as `switchgear check` prints them. */
static void write_findings(struct json_out *j, struct bytes text) {
    struct bytes line;
    json_key_array(j, "errors");
    while (bytes_split(&text, '\n', &line)) {
        if (line.len)
            json_bytes(j, line);
    }
    json_array_end(j);
}

/* `before`: the options whose changes at run time have ended. */
static void answer_reload(struct response *a, bool ok, uint64_t generation, struct bytes text,
                          const struct gateway_options *before) {
    struct json_out *j;
    if (!ok) {
        j = problem_begin(a, 422, "bad_configuration",
                          "the configuration has errors; the old one stays in force");
        json_key_uint(j, "generation", generation);
        write_findings(j, text);
        problem_end(a);
        return;
    }
    j = response_json(a, 200);
    json_object(j);
    json_key_bool(j, "reloaded", true);
    json_key_uint(j, "generation", generation);
    json_key(j, "needs_restart");
    if (text.len)
        json_bytes(j, text);
    else
        json_null(j);
    json_key(j, "replaced");
    policy_write_patches(j, before, NULL);
    json_object_end(j);
    response_end_json(a);
}

void handle_reload(struct request *r, struct response *a) {
    struct command_body body;
    struct buf text;
    uint64_t generation = 0;
    if (!read_author(r, a, &body))
        return;
    buf_init(&text, REPORT_MAX);
    struct plan *before = gateway_plan(r->admin->gateway);
    bool ok = r->admin->host.reload(r->admin->host.arg, body.author, &generation, &text);
    answer_reload(a, ok, generation, buf_view(&text), before->options);
    plan_release(before);
    buf_free(&text);
}

void handle_drain(struct request *r, struct response *a) {
    struct command_body body;
    if (!read_author(r, a, &body))
        return;
    r->admin->host.drain(r->admin->host.arg, body.author);
    struct json_out *j = response_json(a, 202);
    json_object(j);
    json_key_bool(j, "draining", true);
    json_object_end(j);
    response_end_json(a);
}
