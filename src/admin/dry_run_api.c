/* dry_run_api.c - a fallback chain is tried before it is needed.
 *
 * The chain runs on a worker, so the answer comes later; the client may have
 * gone by then. */
#include <stdlib.h>

#include "admin/admin_priv.h"
#include "admin/dry_run_body.h"
#include "admin/handlers.h"
#include "admin/later.h"
#include "admin/problem.h"
#include "gateway/dry_run.h"

enum { PREVIEW_MAX = 200 };

struct job {
    struct later later;
    struct rehearsal rehearsal;
    struct dry_run_body body;
    struct io_task back; /* to the control thread */
    struct io *io;
    struct plan *plan;
    const struct service *service;
};

static void free_job(struct job *job) {
    dry_run_body_free(&job->body);
    buf_free(&job->rehearsal.body);
    plan_release(job->plan);
    free(job);
}

static const char *kind_of(const char *tier) {
    const char *dash = strchr(tier, '-');
    return dash ? dash + 1 : tier;
}

static void write_tier(struct json_out *j, const struct job *job, uint32_t i) {
    const struct dry_tier *t = &job->rehearsal.run.tiers[i];
    const char *name = job->service->options->tiers[i].name;
    json_object(j);
    json_key_string(j, "tier", name);
    json_key_string(j, "kind", kind_of(name));
    json_key_string(j, "result", dry_result_word(t->result));
    if (t->reason)
        json_key_string(j, "reason", t->reason);
    if (t->result == DRY_ANSWERED || t->result == DRY_FAILED)
        json_key_ms(j, "took_ms", t->took_ns);
    if (t->result == DRY_ANSWERED) {
        struct bytes preview = buf_view(&job->rehearsal.body);
        if (preview.len > PREVIEW_MAX)
            preview.len = utf8_cut(preview.at, PREVIEW_MAX);
        json_key_int(j, "status", job->rehearsal.status);
        json_key(j, "preview");
        json_bytes(j, preview);
    }
    json_object_end(j);
}

/* The first that would take it; NULL: our own refusal would be the answer. */
static const char *who_would(const struct job *job) {
    const struct service_options *o = job->service->options;
    for (uint32_t i = 0; i < o->tier_count; i++) {
        if (job->rehearsal.run.tiers[i].result >= DRY_ANSWERED)
            return o->tiers[i].name;
    }
    return NULL;
}

static void write_result(struct response *a, const struct job *job) {
    struct json_out *j = response_json(a, 200);
    json_object(j);
    json_key_string(j, "service", job->service->options->name);
    json_key_string(j, "assumed", swg_refusal_word(job->rehearsal.run.assume));
    json_key_string(j, "would_answer", who_would(job));
    json_key_int(j, "status", job->rehearsal.status);
    json_key_ms(j, "took_ms", job->rehearsal.took_ns);
    json_key_array(j, "tiers");
    for (uint32_t i = 0; i < job->service->options->tier_count; i++)
        write_tier(j, job, i);
    json_array_end(j);
    json_object_end(j);
    response_end_json(a);
}

static void on_back(struct io_task *task) {
    struct job *job = container_of(task, struct job, back);
    struct response a;
    response_init(&a);
    write_result(&a, job);
    later_answer(&job->later, &a);
    free_job(job);
}

/* On the worker's thread. */
static void on_done(struct rehearsal *r) {
    struct job *job = container_of(r, struct job, rehearsal);
    job->back = (struct io_task){NULL, on_back};
    io_post(job->io, &job->back);
}

static void begin(struct job *job, struct request *r, struct response *a) {
    struct dry_run_body *b = &job->body;
    job->io = r->admin->io;
    job->rehearsal.done = on_done;
    job->rehearsal.run = (struct dry_run){.assume = b->assume, .ask = b->ask};
    job->rehearsal.request = (struct inner_request){.service = job->service->options->name,
                                                    .method = bytes_of(b->method),
                                                    .target = buf_view(&b->target),
                                                    .host = bytes_of(b->host),
                                                    .fields = buf_view(&b->fields),
                                                    .body = buf_view(&b->body)};
    later_begin(&job->later, r, a);
    rehearse(&job->rehearsal, r->admin->gateway);
}

/* False: what is wrong was told. */
static bool prepare(struct job *job, struct request *r, struct response *a) {
    char memory[512];
    struct buf wrong;
    buf_init_fixed(&wrong, memory, sizeof memory);
    if (!dry_run_body_read(r->body, &job->body, &wrong)) {
        problem(a, 400, "bad_body", "%s", buf_cstr(&wrong));
        return false;
    }
    const char *name = *r->name ? r->name : job->body.service;
    job->plan = gateway_plan(r->admin->gateway);
    job->service = job->plan ? plan_service(job->plan, bytes_of(name)) : NULL;
    if (!job->service)
        problem(a, 404, "unknown_service", "there is no service \"%s\"", name);
    return job->service != NULL;
}

void handle_fallback_test(struct request *r, struct response *a) {
    struct job *job = calloc(1, sizeof *job);
    if (!job)
        problem(a, 503, "no_memory", "out of memory");
    else if (prepare(job, r, a))
        begin(job, r, a);
    else
        free_job(job);
}
