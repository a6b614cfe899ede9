/* upgrade_api.c - the next process takes over. Which program that is nobody can say
 * here: it is the one at the path this process was started by. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin/admin_priv.h"
#include "admin/command_body.h"
#include "admin/handlers.h"
#include "admin/later.h"
#include "admin/problem.h"

struct job {
    struct later later;
    struct upgrade_ticket ticket;
};

static void on_done(struct upgrade_ticket *ticket, bool ok, int next_process, const char *why) {
    struct job *job = container_of(ticket, struct job, ticket);
    struct response a;
    response_init(&a);
    if (ok) {
        struct json_out *j = response_json(&a, 200);
        json_object(j);
        json_key_bool(j, "upgraded", true);
        json_key_int(j, "process", next_process);
        json_object_end(j);
        response_end_json(&a);
    } else {
        problem(&a, 500, "upgrade_failed", "this process goes on: %s", why);
    }
    later_answer(&job->later, &a);
    free(job);
}

void handle_upgrade(struct request *r, struct response *a) {
    struct command_body body;
    char memory[512], why[200];
    struct buf wrong;
    buf_init_fixed(&wrong, memory, sizeof memory);
    if (!command_body_read(r->body, &body, &wrong)) {
        problem(a, 400, "bad_body", "%s", buf_cstr(&wrong));
        return;
    }
    struct job *job = calloc(1, sizeof *job);
    if (!job) {
        problem(a, 503, "no_memory", "out of memory");
        return;
    }
    job->ticket.done = on_done;
    int error = r->admin->host.upgrade(r->admin->host.arg, *body.author ? body.author : "admin API",
                                       &job->ticket, why, sizeof why);
    if (!error) {
        later_begin(&job->later, r, a);
        return;
    }
    free(job);
    if (error == -EBUSY)
        problem(a, 409, "not_now", "%s", why);
    else
        problem(a, 500, "upgrade_failed", "%s", why);
}
