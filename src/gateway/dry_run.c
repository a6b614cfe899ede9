/* dry_run.c - see dry_run.h. */
#include "gateway/dry_run.h"

#include "gateway/exchange.h"
#include "gateway/gateway.h"

/* ---- while it runs ----------------------------------------------------------- */

static struct dry_run *run_of(const struct leg *leg) {
    return leg->x->inner && !leg->parent ? leg->x->inner->dry : NULL;
}

void dry_end(const struct leg *leg, enum dry_result result, const char *reason) {
    struct dry_run *run = run_of(leg);
    if (!run || !run->under_way)
        return;
    struct dry_tier *t = &run->tiers[run->under_way - 1];
    t->result = result;
    t->reason = reason;
    t->took_ns = exchange_now(leg->x) - run->began_ns;
    run->under_way = 0;
}

/* The tier before it has failed; those that the engine passed over in between
 * are not for this request. */
void dry_begin(const struct leg *leg, uint32_t tier) {
    struct dry_run *run = run_of(leg);
    if (!run)
        return;
    dry_end(leg, DRY_FAILED, NULL);
    for (uint32_t i = 0; i < tier; i++) {
        if (run->tiers[i].result == DRY_NOT_REACHED)
            run->tiers[i] = (struct dry_tier){DRY_SKIPPED, "not for this request", 0};
    }
    run->under_way = tier + 1;
    run->began_ns = exchange_now(leg->x);
}

static void judge_service(const struct leg *leg, const struct service *s) {
    uint64_t retry_in_ns;
    enum swg_breaker_state state = swg_policy_state(s->policy, exchange_now(leg->x), &retry_in_ns);
    if (state == SWG_OPEN && retry_in_ns)
        dry_end(leg, DRY_FAILED, "its breaker is open");
    else
        dry_end(leg, DRY_WOULD_ASK,
                state == SWG_CLOSED ? "its breaker is closed" : "its breaker lets a try through");
}

bool dry_judge(const struct leg *leg, uint32_t tier) {
    struct dry_run *run = run_of(leg);
    enum tier_kind kind = leg->service->options->tiers[tier].kind;
    if (!run || (kind != TIER_QUEUE && (kind != TIER_SERVICE || run->ask)))
        return false;
    if (kind == TIER_SERVICE)
        judge_service(leg, leg->service->tier_service[tier]);
    else if (leg->service->queue)
        dry_end(leg, DRY_WOULD_QUEUE, NULL);
    else
        dry_end(leg, DRY_FAILED, "there is no outbox");
    return true;
}

const char *dry_result_word(enum dry_result r) {
    static const char *const words[] = {"not_reached", "skipped",   "failed",
                                        "answered",    "would_ask", "would_queue"};
    return words[r];
}

/* ---- asking for one -------------------------------------------------------------- */

/* What the engine passed over behind the last tier that was tried. */
static void finish(struct rehearsal *r) {
    bool answered = false;
    for (uint32_t i = 0; i < SWG_TIERS_MAX; i++) {
        struct dry_tier *t = &r->run.tiers[i];
        if (!answered && t->result == DRY_NOT_REACHED)
            *t = (struct dry_tier){DRY_SKIPPED, "not for this request", 0};
        answered = answered || t->result == DRY_ANSWERED;
    }
    r->done(r);
}

static void on_done(struct inner *in, const struct inner_answer *a) {
    struct rehearsal *r = container_of(in, struct rehearsal, inner);
    r->status = a->status;
    r->took_ns = gateway_now(r->gateway) - r->began_ns;
    size_t len = a->body.len < DRY_PREVIEW_MAX ? a->body.len : DRY_PREVIEW_MAX;
    buf_append(&r->body, a->body.at, len);
    if (r->run.under_way) {
        struct dry_tier *t = &r->run.tiers[r->run.under_way - 1];
        *t = (struct dry_tier){DRY_FAILED, NULL, r->took_ns};
        r->run.under_way = 0;
    }
    finish(r);
}

static void on_worker(struct io_task *task) {
    struct rehearsal *r = container_of(task, struct rehearsal, task);
    r->inner = (struct inner){.done = on_done, .body_max = 1 << 20, .dry = &r->run};
    r->began_ns = gateway_now(r->gateway);
    inner_begin(&r->inner, r->gateway->workers[0], &r->request);
}

void rehearse(struct rehearsal *r, struct gateway *g) {
    r->gateway = g;
    buf_init(&r->body, DRY_PREVIEW_MAX + 1);
    r->task = (struct io_task){NULL, on_worker};
    io_post(g->workers[0]->io, &r->task);
}
