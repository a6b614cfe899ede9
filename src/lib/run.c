/* run.c - the blocking driver: carries out the steps of a call on the thread
 * that asks for it.
 *
 * There is one place where the thread sleeps, wait_for(): between attempts for a
 * time, in the bulkhead's queue for a grant or a time. A grant comes on the thread
 * of whoever leaves the bulkhead, and wakes it. Time and sleep are the clock's
 * (clock.h), so that a test's run never waits. */
#include <switchgear/run.h>

#include <stdatomic.h>

#include "base/list.h"
#include "base/random.h"
#include "engine/verdict.h"

struct run {
    struct swg_call call;
    swg_attempt *attempt;
    void *arg;
    struct swg_clock *clock;
    struct swg_sleep sleep;
    uint64_t now; /* read when time has passed: after an attempt, after a wait */
};

/* Runs on the thread that gave the slot back. The run may return, and its
 * memory go, as soon as it is awake. */
static void on_grant(struct swg_waiter *w) {
    struct run *r = container_of(w, struct run, call.waiter);
    r->clock->wake(r->clock, &r->sleep);
}

/* Whether the attempt got as far as sending something only it can tell: it is
 * as good as connected from the beginning. */
static struct swg_step attempt(struct run *r, uint64_t deadline_ns) {
    swg_call_on_connected(&r->call, r->now);
    struct swg_answer answer = r->attempt(r->arg, deadline_ns);
    r->now = r->clock->now_ns(r->clock);
    return swg_call_on_answer(&r->call, &answer, r->now);
}

static struct swg_step wait_for(struct run *r, uint64_t wake_ns) {
    bool granted = r->clock->sleep(r->clock, &r->sleep, wake_ns);
    r->now = r->clock->now_ns(r->clock);
    return granted ? swg_call_on_grant(&r->call, r->now) : swg_call_on_timer(&r->call, r->now);
}

static void carry_out(struct run *r, struct swg_step step) {
    for (;;) {
        switch (step.action) {
        case SWG_DO_LOOK_UP:
            step = swg_call_on_cache(&r->call, false, r->now);
            break;
        case SWG_DO_ATTEMPT:
            step = attempt(r, step.attempt_deadline_ns);
            break;
        case SWG_DO_WAIT:
            step = wait_for(r, step.wake_ns);
            break;
        case SWG_DO_RELAY:
            step = swg_call_on_end(&r->call, true, r->now);
            break;
        case SWG_DO_FALL_BACK:
            step = swg_call_on_tier(&r->call, false, r->now);
            break;
        case SWG_DO_FINISH:
            return;
        }
    }
}

/* Every call its own seed: a counter, spread by the sequence's mixing. */
static uint64_t next_seed(uint64_t now_ns) {
    /* Any thread adds; only that no two get the same number matters: relaxed. */
    static _Atomic uint64_t calls;
    uint64_t n = atomic_fetch_add_explicit(&calls, 1, memory_order_relaxed);
    return random_mix(n) ^ now_ns;
}

/* The service's answer is one that the caller can use. */
static bool answered(const struct swg_story *s) {
    static const struct swg_retry_options none;
    return s->source == SWG_FROM_SERVICE && !swg__judge(&none, &s->last, false).failed;
}

enum swg_error swg_run(struct swg_policy *policy, swg_attempt *fn, void *arg,
                       const struct swg_run_options *options) {
    static const struct swg_run_options defaults;
    if (!policy || !fn)
        return SWG_ERR_INVALID;
    if (!options)
        options = &defaults;
    struct run r = {.attempt = fn,
                    .arg = arg,
                    .clock = options->clock ? options->clock : swg_real_clock(),
                    .sleep = SWG_SLEEP_INIT};
    r.now = r.clock->now_ns(r.clock);
    struct swg_request request = {
        .idempotent = !options->not_idempotent,
        .deadline_ns = options->deadline_ns,
        .rate = options->rate,
        .seed = options->seed ? options->seed : next_seed(r.now),
    };
    carry_out(&r, swg_call_start(&r.call, policy, &request, on_grant, r.now));
    pthread_cond_destroy(&r.sleep.changed);
    pthread_mutex_destroy(&r.sleep.lock);

    struct swg_story story = *swg_call_story(&r.call);
    bool ok = answered(&story);
    if (!ok && options->fallback && options->fallback(arg, story.reason)) {
        story.source = SWG_FROM_TIER;
        ok = true;
    }
    if (options->story)
        *options->story = story;
    if (ok)
        return SWG_OK;
    return story.attempts ? SWG_ERR_FAILED : SWG_ERR_REFUSED;
}
