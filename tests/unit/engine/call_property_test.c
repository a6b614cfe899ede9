/* call_property_test.c - what must hold for every call, whatever happens.
 *
 * A random driver in virtual time: a policy with random options, eight calls
 * at once on it, random events in random order, timers that are early, due or
 * late, grants that arrive when they like, an operator who interferes. The
 * driver keeps its own books of what is open and how long it may take, and
 * compares. A failure prints the seed; SWITCHGEAR_SEED plays it again. With an
 * argument other seeds are played: the soak does that. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <switchgear/call.h>

#include "base/list.h"
#include "base/random.h"

enum { SLOTS = 8, CALLS = 250, POLICIES = 400, TIERS = 3 };

/* One driver of one call, and its books. */
struct slot {
    struct swg_call call;
    struct world *world;
    bool busy, granted, may_queue;
    enum swg_action doing;
    uint64_t wake_ns;
    bool attempt_open, answered, tier_open; /* answered: the head came, the body is unread */
    bool connected, sent, caller_sending;
    uint64_t shift_ns, shift_since_ns; /* by how much the total has moved */
    uint64_t total_ns, caller_ns, head_ns;
    uint32_t attempts, idle_resets;
    bool noted; /* broke off after it had been judged */
};

struct world {
    uint64_t seed, now, started;
    struct swg_policy *policy;
    struct swg_policy_options options;
    struct swg_tier_options tiers[TIERS];
    struct slot slots[SLOTS];
    uint64_t calls, attempts, noted;
    uint64_t trace; /* of all steps that were said, in their order */
};

static uint64_t draw(struct world *w, uint64_t max) {
    return random_up_to(random_next(&w->seed), max);
}

static bool chance(struct world *w, unsigned percent) {
    return draw(w, 99) < percent;
}

static const struct swg_endpoint_options endpoints[] = {{"a", 0}, {"b", 2}, {"c", 0}};

static void draw_options(struct world *w) {
    struct swg_policy_options *o = &w->options;
    *o = (struct swg_policy_options){.endpoints = endpoints};
    o->endpoint_count = 1 + (uint32_t)draw(w, 2);
    o->timeout.connect_ns = SWG_MS(1 + draw(w, 300));
    o->timeout.first_byte_ns = chance(w, 50) ? SWG_OFF : SWG_MS(1 + draw(w, 500));
    o->timeout.attempt_ns = SWG_MS(1 + draw(w, 1000));
    o->timeout.total_ns = chance(w, 10) ? SWG_OFF : SWG_MS(1 + draw(w, 3000));
    o->retry.max = chance(w, 20) ? SWG_RETRY_OFF : 1 + (uint32_t)draw(w, 4);
    o->retry.jitter = (enum swg_jitter)draw(w, 3);
    o->retry.any_method = chance(w, 20);
    o->retry.retry_after_max_ns = SWG_MS(500);
    o->budget.percent = chance(w, 50) ? 20 : 1000;
    o->budget.floor_per_s = chance(w, 50) ? SWG_BUDGET_NONE : 1 + (uint32_t)draw(w, 10);
    o->breaker.consecutive = chance(w, 40) ? 1000000 : 1 + (uint32_t)draw(w, 9);
    o->breaker.slow_percent = chance(w, 40) ? 50 : 0;
    o->breaker.slow_call_ns = chance(w, 50) ? SWG_MS(1 + draw(w, 300)) : 0;
    o->breaker.calls_min = 3;
    o->breaker.open_ns = SWG_MS(50 + draw(w, 500));
    o->breaker.probe_lease_ns = SWG_MS(100 + draw(w, 2000));
    o->bulkhead = (struct swg_bulkhead_options){1 + (uint32_t)draw(w, SLOTS), (uint32_t)draw(w, 4),
                                                SWG_MS(draw(w, 100))};
    o->rate.calls = chance(w, 20) ? 50 : 0;
    o->cache = chance(w, 50);
    o->no_breaker = chance(w, 10);
    o->no_retry = chance(w, 10);
    o->no_fallback = chance(w, 10);
    o->tier_count = (uint32_t)draw(w, TIERS);
    o->tiers = w->tiers;
    for (unsigned i = 0; i < TIERS; i++)
        w->tiers[i] = (struct swg_tier_options){.instant = chance(w, 50),
                                                .share_percent = (uint32_t)draw(w, 100),
                                                .floor_ns = chance(w, 20) ? SWG_MS(50) : 0,
                                                .for_writes_only = chance(w, 10),
                                                .for_reads_only = chance(w, 30)};
}

/* ---- the books ------------------------------------------------------------------- */

static bool clocks_stand(const struct slot *s) {
    return s->attempt_open && !s->answered && s->connected && !s->sent && s->caller_sending;
}

/* Before each event: as the clocks stood still until now, the total moves. */
static void account(struct slot *s) {
    if (clocks_stand(s))
        s->shift_ns += s->world->now - s->shift_since_ns;
    s->shift_since_ns = s->world->now;
}

static uint64_t total_of(const struct slot *s) {
    return s->total_ns == SWG_NEVER ? SWG_NEVER : s->total_ns + s->shift_ns;
}

static uint64_t deadline_of(const struct slot *s) {
    return total_of(s) < s->caller_ns ? total_of(s) : s->caller_ns;
}

/* A step may wake the driver late, if it has nothing to do; but neither an
 * attempt nor a wait may go beyond the deadline. */
static void check_wake(const struct slot *s, const struct swg_step *step) {
    if (step->action != SWG_DO_WAIT && step->action != SWG_DO_ATTEMPT)
        return;
    bool relaying = s->attempt_open && s->answered && !s->tier_open;
    bool grant_due = s->granted && !s->attempt_open && step->wake_ns == SWG_NEVER;
    if (s->tier_open || relaying || grant_due)
        return;
    assert_true(step->wake_ns <= (clocks_stand(s) ? s->caller_ns : deadline_of(s)));
}

static void open_attempt(struct slot *s, const struct swg_step *step) {
    assert_false(s->attempt_open || s->tier_open);
    assert_true(step->endpoint < s->world->options.endpoint_count);
    assert_true(step->attempt_deadline_ns <= deadline_of(s));
    assert_true(step->attempt_deadline_ns <= s->world->now + s->world->options.timeout.attempt_ns);
    assert_true(s->world->now < deadline_of(s));
    s->attempt_open = true;
    s->answered = s->connected = s->sent = false;
    s->attempts++;
    s->world->attempts++;
}

static void check_story(const struct slot *s) {
    const struct swg_story *t = swg_call_story(&s->call);
    const struct world *w = s->world;
    uint32_t max = w->options.retry.max == SWG_RETRY_OFF ? 0 : w->options.retry.max;
    assert_int_equal(t->attempts, s->attempts);
    assert_true(t->retries <= (w->options.no_retry ? 0 : max));
    if (t->attempts)
        assert_true(t->attempts - 1 - t->retries <= (s->idle_resets ? 1 : 0));
    else
        assert_int_equal(t->retries, 0);
    assert_int_equal(t->finished_ns, w->now);
    switch (t->source) {
    case SWG_FROM_SERVICE:
        assert_true(t->attempts > 0);
        assert_int_equal(t->last.kind, SWG_ANSWERED);
        assert_int_equal(t->head_ns, s->head_ns);
        break;
    case SWG_FROM_CACHE:
        assert_int_equal(t->attempts, 0);
        break;
    case SWG_FROM_TIER:
        assert_true(t->tier < w->options.tier_count && !w->options.no_fallback);
        assert_true(t->reason || t->attempts > 0);
        break;
    case SWG_FROM_NOWHERE: /* there is a reason, or the last attempt failed */
        assert_true(t->reason || (t->attempts > 0 && t->last.kind != SWG_ANSWERED));
        break;
    }
}

static void note(struct world *w, uint64_t what) {
    w->trace = random_mix(w->trace ^ what ^ w->now);
}

static void take(struct slot *s, struct swg_step step) {
    note(s->world, (uint64_t)step.action << 32 ^ step.endpoint << 16 ^ step.tier << 8 ^
                       (unsigned)step.abandon << 1 ^ step.probe);
    note(s->world, step.wake_ns);
    swg_call_check(&s->call);
    if (step.abandon) {
        bool only_tier =
            s->tier_open && (step.action == SWG_DO_FALL_BACK || step.action == SWG_DO_RELAY);
        s->attempt_open &= only_tier;
        s->tier_open = false;
    }
    s->wake_ns = step.wake_ns;
    check_wake(s, &step);
    if (step.action != SWG_DO_WAIT)
        s->doing = step.action;
    switch (step.action) {
    case SWG_DO_ATTEMPT:
        open_attempt(s, &step);
        break;
    case SWG_DO_FALL_BACK:
        assert_false(s->tier_open);
        assert_true(!s->attempt_open || s->answered); /* a kept answer, or nothing */
        assert_true(step.tier_deadline_ns > s->world->now);
        assert_true(s->world->tiers[step.tier].instant || s->world->tiers[step.tier].floor_ns ||
                    step.tier_deadline_ns <= deadline_of(s));
        s->tier_open = true;
        break;
    case SWG_DO_RELAY:
        assert_true(s->attempt_open && s->answered && !s->tier_open);
        break;
    case SWG_DO_FINISH:
        assert_false(s->attempt_open || s->tier_open);
        check_story(s);
        s->busy = false;
        break;
    case SWG_DO_LOOK_UP:
    case SWG_DO_WAIT:
        break;
    }
}

/* ---- events ----------------------------------------------------------------------- */

static void on_grant(struct swg_waiter *waiter) {
    struct swg_call *c = container_of(waiter, struct swg_call, waiter);
    struct slot *s = container_of(c, struct slot, call);
    assert_true(s->busy && !s->granted);
    s->granted = true;
}

static void begin(struct slot *s) {
    struct world *w = s->world;
    struct swg_request r = {
        .idempotent = chance(w, 70),
        .safe = chance(w, 50),
        .not_replayable = chance(w, 10),
        .cacheable = chance(w, 50),
        .deadline_ns = chance(w, 30) ? w->now + SWG_MS(draw(w, 1000)) : 0,
        .seed = random_next(&w->seed),
    };
    *s = (struct slot){.world = w, .busy = true, .shift_since_ns = w->now};
    s->may_queue = chance(w, 80);
    s->caller_ns = r.deadline_ns ? r.deadline_ns : SWG_NEVER;
    s->total_ns =
        w->options.timeout.total_ns == SWG_OFF ? SWG_NEVER : w->now + w->options.timeout.total_ns;
    w->calls++;
    take(s, swg_call_start(&s->call, w->policy, &r, s->may_queue ? on_grant : NULL, w->now));
}

static struct swg_answer draw_answer(struct world *w) {
    static const int statuses[] = {200, 200, 204, 404, 429, 500, 501, 502, 503, 504};
    struct swg_answer a = {.kind = SWG_ANSWERED};
    if (chance(w, 35))
        a.kind = (enum swg_answer_kind)draw(w, SWG_TIMED_OUT);
    if (a.kind == SWG_ANSWERED)
        a.status = statuses[draw(w, 9)];
    if (a.status == 429 || a.status == 503)
        a.retry_after_ns = chance(w, 50) ? SWG_MS(draw(w, 700)) : 0;
    return a;
}

static void answer(struct slot *s) {
    struct world *w = s->world;
    struct swg_answer a = draw_answer(w);
    s->answered = a.kind == SWG_ANSWERED;
    s->attempt_open = s->answered;
    if (s->answered)
        s->head_ns = w->now;
    s->idle_resets += a.kind == SWG_RESET_IDLE;
    take(s, swg_call_on_answer(&s->call, &a, w->now));
}

static void upload(struct slot *s) {
    s->caller_sending = chance(s->world, 60);
    take(s, swg_call_on_upload(&s->call, s->caller_sending, s->world->now));
}

static void connect(struct slot *s) {
    s->connected = true;
    take(s, swg_call_on_connected(&s->call, s->world->now));
}

static void send_all(struct slot *s) {
    s->connected = s->sent = true;
    s->caller_sending = false;
    take(s, swg_call_on_sent(&s->call, s->world->now));
}

static void attempt_event(struct slot *s) {
    switch (draw(s->world, 9)) {
    case 0:
    case 1:
        connect(s);
        break;
    case 2:
        send_all(s);
        break;
    case 3:
    case 4:
        upload(s);
        break;
    case 5:
        if (chance(s->world, 20))
            swg_call_not_replayable(&s->call);
        break;
    default:
        answer(s);
        break;
    }
}

static void relay_event(struct slot *s) {
    struct world *w = s->world;
    bool whole = chance(w, 80), was_judged = s->wake_ns == SWG_NEVER;
    int status = swg_call_story(&s->call)->last.status;
    bool good = status < 500 ? status != 429 : status == 501;
    uint64_t failures = 0, after = 0;
    struct swg_breaker *b = swg_policy_breaker(w->policy, swg_call_story(&s->call)->endpoint);
    struct swg_breaker_stats stats;
    swg_breaker_read(b, &stats, w->now);
    failures = stats.failures;
    s->attempt_open = false;
    take(s, swg_call_on_end(&s->call, whole, w->now));
    swg_breaker_read(b, &stats, w->now);
    after = stats.failures;
    if (whole || !good)
        assert_int_equal(after, failures);
    if (!whole && good && was_judged)
        w->noted += after - failures; /* none if the breaker has changed since */
}

static void tier_event(struct slot *s) {
    s->tier_open = false;
    take(s, swg_call_on_tier(&s->call, chance(s->world, 50), s->world->now));
}

static void grant_event(struct slot *s) {
    s->granted = false;
    take(s, swg_call_on_grant(&s->call, s->world->now));
}

/* One event that fits what the driver is doing, or one that fits always. */
static void event(struct slot *s) {
    struct world *w = s->world;
    account(s);
    if (chance(w, 3)) {
        take(s, swg_call_on_cancel(&s->call, w->now));
    } else if (chance(w, 1)) {
        take(s, swg_call_on_shutdown(&s->call, w->now));
    } else if (s->granted) {
        grant_event(s);
    } else if (s->tier_open) {
        tier_event(s);
    } else if (s->attempt_open) {
        if (s->answered)
            relay_event(s);
        else
            attempt_event(s);
    } else if (s->doing == SWG_DO_LOOK_UP) {
        s->doing = SWG_DO_WAIT;
        take(s, swg_call_on_cache(&s->call, chance(w, 30), w->now));
    } else {
        take(s, swg_call_on_timer(&s->call, w->now)); /* early */
    }
}

static void operate(struct world *w) {
    static const enum swg_breaker_manual controls[] = {SWG_AUTOMATIC, SWG_FORCED_OPEN,
                                                       SWG_FORCED_CLOSED};
    uint32_t endpoint = (uint32_t)draw(w, w->options.endpoint_count - 1);
    struct swg_breaker *b = swg_policy_breaker(w->policy, endpoint);
    if (chance(w, 50))
        swg_breaker_reset(b, w->now);
    else
        swg_breaker_force(b, controls[draw(w, 2)], SWG_MS(draw(w, 200)), w->now);
}

static void ring(struct slot *s) {
    account(s);
    take(s, swg_call_on_timer(&s->call, s->world->now));
}

/* Timers in their order, each at its time; or, after a stall, all at once. */
static void pass(struct world *w, uint64_t ns) {
    uint64_t until = w->now + ns;
    bool stall = chance(w, 5);
    if (stall)
        w->now = until;
    for (;;) {
        struct slot *next = NULL;
        for (unsigned i = 0; i < SLOTS; i++) {
            struct slot *s = &w->slots[i];
            if (s->busy && s->wake_ns <= until && (!next || s->wake_ns < next->wake_ns))
                next = s;
        }
        if (!next)
            break;
        if (next->wake_ns > w->now)
            w->now = next->wake_ns;
        ring(next);
    }
    w->now = until;
}

/* ---- a policy's life ----------------------------------------------------------------- */

static void finish_all(struct world *w) {
    for (unsigned i = 0; i < SLOTS; i++) {
        struct slot *s = &w->slots[i];
        if (s->busy)
            account(s);
        if (s->busy)
            take(s, swg_call_on_cancel(&s->call, w->now));
    }
    for (unsigned i = 0; i < SLOTS; i++) {
        struct slot *s = &w->slots[i];
        if (s->busy && s->granted)
            grant_event(s);
        assert_false(s->busy);
    }
}

/* Retries may be so many over the whole life, as ten-second windows add up. */
static void check_budget(struct world *w, const struct swg_policy_stats *p) {
    const struct swg_budget_options *o = &w->options.budget;
    uint64_t floor_per_s = o->floor_per_s == SWG_BUDGET_NONE ? 0 : o->floor_per_s;
    uint64_t seconds = (w->now - w->started) / SWG_SECONDS(1) + 11;
    assert_true(p->retries * 100 <= o->percent * w->calls + floor_per_s * seconds * 100);
}

/* Every permit was answered, once: as many results as attempts. */
static void check_totals(struct world *w) {
    struct swg_policy_stats p;
    swg_policy_read(w->policy, &p, w->now);
    assert_int_equal(p.bulkhead.in_use, 0);
    assert_int_equal(p.bulkhead.waiting, 0);
    assert_int_equal(p.calls, w->calls);
    assert_int_equal(p.attempts, w->attempts);
    const struct swg_breaker_stats *t = &p.total;
    assert_int_equal(t->successes + t->failures + t->overloads + t->cancelled + t->ignored,
                     w->attempts + w->noted);
    for (uint32_t i = 0; i < w->options.endpoint_count; i++) {
        struct swg_breaker_stats b;
        swg_breaker_read(swg_policy_breaker(w->policy, i), &b, w->now);
        assert_int_equal(b.probes_out, 0);
        assert_int_equal(swg_policy_endpoint_in_flight(w->policy, i), 0);
    }
    check_budget(w, &p);
    swg_policy_check(w->policy);
}

/* The seed that is played, told by teardown() if the test ends before it does. */
static uint64_t playing = UINT64_MAX;

static int teardown(void **state) {
    if (playing != UINT64_MAX)
        fprintf(stderr, "SWITCHGEAR_SEED=%llu\n", (unsigned long long)playing);
    return 0;
}

static uint64_t live(uint64_t seed, struct swg_policy_stats *sum, uint64_t *trace) {
    static struct world w;
    w = (struct world){.seed = seed, .now = SWG_SECONDS(1 + seed % 1000)};
    w.started = w.now;
    for (unsigned i = 0; i < SLOTS; i++)
        w.slots[i].world = &w;
    draw_options(&w);
    assert_int_equal(swg_policy_create(&w.policy, &w.options, seed, w.now), SWG_OK);
    while (w.calls < CALLS) {
        struct slot *s = &w.slots[draw(&w, SLOTS - 1)];
        if (s->busy)
            event(s);
        else
            begin(s);
        if (chance(&w, 1))
            operate(&w);
        if (chance(&w, 40))
            pass(&w, SWG_MS(draw(&w, chance(&w, 10) ? 600 : 20)));
        swg_policy_check(w.policy);
    }
    finish_all(&w);
    check_totals(&w);
    struct swg_policy_stats p;
    swg_policy_read(w.policy, &p, w.now);
    sum->attempts += p.attempts;
    sum->retries += p.retries;
    sum->bulkhead.refused_timeout += p.bulkhead.refused_timeout;
    for (unsigned i = 0; i < SWG_REFUSAL_COUNT; i++) {
        sum->refused[i] += p.refused[i];
        sum->retries_skipped[i] += p.retries_skipped[i];
    }
    swg_policy_release(w.policy);
    *trace = w.trace;
    return w.calls;
}

/* Seeds from here on; 0: the usual ones, after which it must have been everywhere. */
static uint64_t first_seed;

static void a_hundred_thousand_calls(void **state) {
    const char *given = getenv("SWITCHGEAR_SEED");
    struct swg_policy_stats sum = {0};
    uint64_t calls = 0, trace;
    uint64_t first = given ? strtoull(given, NULL, 0) : first_seed * POLICIES;
    for (uint64_t i = 0; i < (given ? 1 : POLICIES); i++) {
        playing = first + i;
        calls += live(playing, &sum, &trace);
    }
    playing = UINT64_MAX;
    if (given || first_seed)
        return;
    /* The driver has been everywhere. */
    static const enum swg_refusal refusals[] = {
        SWG_REFUSED_OPEN,          SWG_REFUSED_FORCED_OPEN,   SWG_REFUSED_HALF_OPEN_FULL,
        SWG_REFUSED_BULKHEAD_FULL, SWG_REFUSED_QUEUE_TIMEOUT, SWG_REFUSED_RATE_LIMITED,
        SWG_REFUSED_DEADLINE,      SWG_REFUSED_CANCELLED,     SWG_REFUSED_SHUTTING_DOWN,
    };
    static const enum swg_refusal skipped[] = {
        SWG_REFUSED_OPEN,          SWG_REFUSED_DEADLINE,       SWG_REFUSED_BUDGET,
        SWG_REFUSED_MAX_RETRIES,   SWG_REFUSED_NOT_IDEMPOTENT, SWG_REFUSED_BODY_TOO_LARGE,
        SWG_REFUSED_RETRY_AFTER,   SWG_REFUSED_SWITCHED_OFF,   SWG_REFUSED_CANCELLED,
        SWG_REFUSED_SHUTTING_DOWN,
    };
    assert_int_equal(calls, (uint64_t)CALLS * POLICIES);
    assert_true(sum.retries > 1000);
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++)
        assert_true(sum.refused[refusals[i]] > 0);
    for (size_t i = 0; i < sizeof skipped / sizeof *skipped; i++)
        assert_true(sum.retries_skipped[skipped[i]] > 0);
}

/* Every step, and the time of every wake-up, is the same again. */
static void the_same_seed_is_the_same_history(void **state) {
    struct swg_policy_stats sum = {0};
    uint64_t again, other, last = 0;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        uint64_t trace;
        live(seed, &sum, &trace);
        live(seed, &sum, &again);
        assert_true(trace == again);
        assert_true(trace != last);
        last = trace;
    }
    live(99, &sum, &other);
    assert_true(other != last);
}

int main(int argc, char **argv) {
    if (argc > 1)
        first_seed = strtoull(argv[1], NULL, 0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_seed_is_the_same_history),
        cmocka_unit_test_teardown(a_hundred_thousand_calls, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
