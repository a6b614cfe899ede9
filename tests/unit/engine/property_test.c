/* property_test.c - the fast breaker and the model, step by step.
 *
 * Random options, then random events at random times; after each, everything
 * that can be read must be the same on both. Without an argument a fixed set
 * of seeds runs; `engine-property-test SEED [STEPS]` replays one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "engine/breaker_priv.h"
#include "model.h"

enum { PERMITS = 24, STEPS = 4000, SEEDS = 300 };

struct pair {
    struct swg_breaker *fast;
    struct model model;
    struct swg_breaker_options options;
    uint64_t random, now_ns, seed, step;
    const char *did; /* the last event, for the report */
    bool out[PERMITS];
    struct swg_permit fast_permit[PERMITS];
    struct model_permit model_permit[PERMITS];
    uint64_t heard; /* sequence of the last event told */
    struct swg_breaker_event event;
};

static uint64_t up_to(struct pair *x, uint64_t max) {
    return random_up_to(random_next(&x->random), max);
}

static bool one_in(struct pair *x, uint64_t n) {
    return up_to(x, n - 1) == 0;
}

/* How often each cause was heard, over all runs: whether the events were wild
 * enough to prove anything. */
static const char *const causes[] = {
    "consecutive", "failures",         "failure_rate", "slow_rate", "probe_failed", "probe_lease",
    "probe_due",   "probes_succeeded", "manual",       "expired",   "reset",
};
enum { CAUSES = sizeof(causes) / sizeof(causes[0]) };
static uint64_t heard[CAUSES];

static void count_cause(const char *cause) {
    for (int i = 0; i < CAUSES; i++) {
        if (strcmp(causes[i], cause) == 0) {
            heard[i]++;
            return;
        }
    }
    fail_msg("no such cause: %s", cause);
}

static void hear(void *arg, const struct swg_breaker_event *e) {
    struct pair *x = arg;
    assert_int_equal(e->sequence, ++x->heard);
    x->event = *e;
    count_cause(e->cause);
}

/* ---- options ---- */

/* Complete, so that the model needs no idea of defaults. */
static struct swg_breaker_options draw_options(struct pair *x) {
    struct swg_breaker_options o = {
        .consecutive = one_in(x, 2) ? 0 : 1 + (uint32_t)up_to(x, 6),
        .failures = one_in(x, 2) ? 0 : 1 + (uint32_t)up_to(x, 7),
        .failure_percent = one_in(x, 3) ? 0 : 1 + (uint32_t)up_to(x, 99),
        .slow_percent = one_in(x, 2) ? 0 : 1 + (uint32_t)up_to(x, 99),
        .calls_min = 1 + (uint32_t)up_to(x, 15),
        .window_calls = one_in(x, 2) ? 0 : 8 + (uint32_t)up_to(x, 40),
        .window_ns = SWG_MS(10) + up_to(x, SWG_SECONDS(10)),
        .open_ns = 1 + up_to(x, SWG_SECONDS(3)),
        .jitter_percent = one_in(x, 2) ? 101 : 1 + (uint32_t)up_to(x, 99),
        .probes = 1 + (uint32_t)up_to(x, 4),
        .close_after = 1 + (uint32_t)up_to(x, 4),
        .probe_lease_ns = SWG_MS(1) + up_to(x, SWG_SECONDS(5)),
        .ramp_ns = one_in(x, 2) ? 0 : 1 + up_to(x, SWG_SECONDS(5)),
    };
    o.open_max_ns = o.open_ns + up_to(x, SWG_SECONDS(20));
    o.stay_open = one_in(x, 5);
    if (!o.consecutive && !o.failures && !o.slow_percent && !o.failure_percent)
        o.failure_percent = 50;
    if (o.window_calls && o.calls_min > o.window_calls)
        o.calls_min = o.window_calls;
    if (o.slow_percent || one_in(x, 2))
        o.slow_call_ns = SWG_MS(1) + up_to(x, SWG_SECONDS(1));
    else if (one_in(x, 3))
        o.slow_call_ns = SWG_OFF;
    return o;
}

/* What the fast one drew, if this event opened it, for the model to follow. */
static void tell_drawn(struct pair *x) {
    x->model.drawn_ns = x->fast->last_open_ns;
}

/* Others, but the same window; whether slow calls are kept belongs to it. */
static void reconfigure(struct pair *x) {
    struct swg_breaker_options o = draw_options(x);
    bool slow_rule = x->options.slow_percent;
    o.window_calls = x->options.window_calls;
    o.window_ns = x->options.window_ns;
    if (!slow_rule)
        o.slow_percent = 0;
    else if (!o.slow_percent)
        o.slow_percent = 50;
    if (slow_rule)
        o.slow_call_ns = x->options.slow_call_ns;
    if (!o.consecutive && !o.failures && !o.slow_percent && !o.failure_percent)
        o.failures = 3;
    if (o.window_calls && o.calls_min > o.window_calls)
        o.calls_min = o.window_calls;
    x->options = o;
    assert_int_equal(swg_breaker_configure(x->fast, &o, x->now_ns), SWG_OK);
    tell_drawn(x);
    model_tick(&x->model, x->now_ns);
    model_configure(&x->model, &o);
}

/* ---- events ---- */

/* At that time, or a nanosecond before. */
static uint64_t just_at(struct pair *x, uint64_t ns) {
    return ns == 0 || ns == SWG_NEVER ? 0 : ns - one_in(x, 2);
}

/* Often to where something is due, to the nanosecond. */
static void pass_time(struct pair *x) {
    struct swg_breaker_stats s;
    uint64_t to_ns = x->now_ns;
    model_read(&x->model, &s, x->now_ns);
    switch (up_to(x, 7)) {
    case 0:
        to_ns += up_to(x, SWG_SECONDS(1));
        break;
    case 1:
        to_ns += up_to(x, SWG_SECONDS(20));
        break;
    case 2:
        to_ns = just_at(x, s.open_until_ns);
        break;
    case 3:
        to_ns = just_at(x, s.manual_until_ns);
        break;
    case 4:
        to_ns = just_at(x, x->model.probes ? x->model.probes->lease_end_ns : 0);
        break;
    case 5: { /* the end of a bucket */
        uint64_t width_ns = (x->options.window_ns + 9) / 10;
        uint64_t buckets = (x->now_ns - x->model.origin_ns) / width_ns + 1;
        to_ns = just_at(x, x->model.origin_ns + buckets * width_ns);
        break;
    }
    default:
        to_ns += up_to(x, SWG_MS(10));
    }
    if (to_ns > x->now_ns)
        x->now_ns = to_ns;
}

static void admit(struct pair *x, uint32_t i) {
    uint64_t random = random_next(&x->random);
    enum swg_refusal fast = swg_breaker_admit(x->fast, &x->fast_permit[i], random, x->now_ns);
    tell_drawn(x);
    enum swg_refusal model = model_admit(&x->model, &x->model_permit[i], random, x->now_ns);
    assert_int_equal(fast, model);
    x->out[i] = fast == SWG_ADMITTED;
    if (fast == SWG_ADMITTED) {
        assert_int_equal(x->fast_permit[i].probe != 0, x->model_permit[i].probe);
        assert_int_equal(x->fast_permit[i].generation, x->model_permit[i].generation);
    }
}

static void record(struct pair *x, uint32_t i) {
    /* healthy and sick times, some twenty steps each */
    bool sick = x->step / 20 % 3 == 1;
    uint64_t dice = up_to(x, 19);
    enum swg_outcome_kind kind = dice < 4            ? (enum swg_outcome_kind)(dice + 1)
                                 : sick && dice < 14 ? SWG_FAILURE
                                                     : SWG_SUCCESS;
    uint64_t retry_after_ns = one_in(x, 4) ? up_to(x, SWG_SECONDS(30)) : 0;
    swg_breaker_record(x->fast, &x->fast_permit[i], kind, retry_after_ns, x->now_ns);
    tell_drawn(x);
    model_record(&x->model, &x->model_permit[i], kind, retry_after_ns, x->now_ns);
    x->out[i] = false;
}

static void overdue(struct pair *x, uint32_t i) {
    swg_breaker_overdue(x->fast, &x->fast_permit[i], x->now_ns);
    tell_drawn(x);
    model_overdue(&x->model, &x->model_permit[i], x->now_ns);
}

static void note(struct pair *x) {
    uint64_t generation = x->model.generation - up_to(x, 1);
    swg_breaker_note_failure(x->fast, generation, x->now_ns);
    tell_drawn(x);
    model_note(&x->model, generation, x->now_ns);
}

static void force(struct pair *x) {
    enum swg_breaker_manual manual = (enum swg_breaker_manual)up_to(x, 3);
    uint64_t for_ns = one_in(x, 8) ? SWG_NEVER : 1 + up_to(x, SWG_SECONDS(5));
    swg_breaker_force(x->fast, manual, for_ns, x->now_ns);
    tell_drawn(x);
    model_force(&x->model, manual, for_ns, x->now_ns);
}

static void operate(struct pair *x) {
    switch (up_to(x, 4)) {
    case 0:
        x->did = "force";
        force(x);
        break;
    case 1:
        x->did = "reset";
        swg_breaker_tick(x->fast, x->now_ns); /* a lease may end here: drawn before it is cleared */
        tell_drawn(x);
        model_tick(&x->model, x->now_ns);
        swg_breaker_reset(x->fast, x->now_ns);
        model_reset(&x->model, x->now_ns);
        break;
    case 2:
        x->did = "probe_now";
        swg_breaker_probe_now(x->fast, x->now_ns);
        tell_drawn(x);
        model_probe_now(&x->model, x->now_ns);
        break;
    case 3:
        x->did = "configure";
        reconfigure(x);
        break;
    default:
        x->did = "tick";
        swg_breaker_tick(x->fast, x->now_ns);
        tell_drawn(x);
        model_tick(&x->model, x->now_ns);
    }
}

static void step(struct pair *x) {
    uint32_t i = (uint32_t)up_to(x, PERMITS - 1);
    uint64_t dice = up_to(x, 199);
    if (one_in(x, 6))
        pass_time(x);
    if (dice < 2) {
        operate(x);
    } else if (dice < 5) {
        x->did = "note";
        note(x);
    } else if (dice < 25 && x->out[i]) {
        x->did = "overdue";
        overdue(x, i);
    } else if (x->out[i]) {
        x->did = "record";
        record(x, i);
    } else {
        x->did = "admit";
        admit(x, i);
    }
}

/* ---- comparing ---- */

#define SAME(field)                                                                            \
    do {                                                                                       \
        if (f.field != m.field)                                                                \
            fail_msg("seed %llu step %llu, after %s: %s is %llu, expected %llu",               \
                     (unsigned long long)x->seed, (unsigned long long)x->step, x->did, #field, \
                     (unsigned long long)f.field, (unsigned long long)m.field);                \
    } while (0)

static void compare_event(struct pair *x) {
    struct swg_breaker_event f = x->event, m = x->model.last_event;
    assert_int_equal(x->heard, x->model.events);
    if (!x->heard)
        return;
    SAME(sequence);
    SAME(now_ns);
    SAME(from);
    SAME(to);
    SAME(manual_from);
    SAME(manual_to);
    assert_string_equal(f.cause, m.cause);
}

static void compare_peek(struct pair *x, const struct swg_breaker_stats *s) {
    uint64_t wait_ns;
    enum swg_refusal peek = swg_breaker_peek(x->fast, x->now_ns, &wait_ns);
    if (s->manual == SWG_FORCED_OPEN)
        assert_int_equal(peek, SWG_REFUSED_FORCED_OPEN);
    else if (s->state == SWG_OPEN && !s->probe_due)
        assert_int_equal(peek, SWG_REFUSED_OPEN);
    else if (s->state != SWG_HALF_OPEN)
        assert_int_equal(peek, SWG_ADMITTED);
    if (s->state == SWG_OPEN && s->manual == SWG_AUTOMATIC && !s->probe_due)
        assert_int_equal(wait_ns,
                         s->open_until_ns == SWG_NEVER ? SWG_NEVER : s->open_until_ns - x->now_ns);
}

static void compare(struct pair *x) {
    struct swg_breaker_stats f, m;
    swg_breaker_check(x->fast);
    swg_breaker_read(x->fast, &f, x->now_ns);
    if (x->model.out_of_bounds)
        fail_msg("seed %llu step %llu: open time out of bounds", (unsigned long long)x->seed,
                 (unsigned long long)x->step);
    model_read(&x->model, &m, x->now_ns);
    SAME(state);
    SAME(manual);
    SAME(probe_due);
    SAME(generation);
    SAME(events);
    SAME(since_ns);
    SAME(opened_ns);
    SAME(open_until_ns);
    SAME(manual_until_ns);
    SAME(reopenings);
    SAME(probes_out);
    SAME(consecutive);
    SAME(window_calls);
    SAME(window_failures);
    SAME(window_slow);
    SAME(calls);
    SAME(successes);
    SAME(failures);
    SAME(slow);
    SAME(overloads);
    SAME(cancelled);
    SAME(ignored);
    SAME(late);
    SAME(last_success_ns);
    SAME(last_failure_ns);
    for (int i = 0; i < SWG_REFUSAL_COUNT; i++)
        SAME(refused[i]);
    compare_event(x);
    compare_peek(x, &m);
}

/* ---- a run ---- */

/* Wherever it is, and though the first two probes never come back: when the service is
 * well again, so is the breaker (and, where it is told to wait for an operator, there is
 * one). */
static void check_recovery(struct pair *x) {
    uint64_t now_ns = x->now_ns, retry_in_ns;
    struct swg_breaker_stats s;
    swg_breaker_force(x->fast, SWG_AUTOMATIC, SWG_NEVER, now_ns);
    int lost = 0;
    for (int i = 0; i < 100000; i++) {
        struct swg_permit p;
        swg_breaker_read(x->fast, &s, now_ns);
        if (s.state == SWG_CLOSED)
            return;
        if (swg_breaker_admit(x->fast, &p, 0, now_ns) == SWG_ADMITTED && ++lost > 2)
            swg_breaker_record(x->fast, &p, SWG_SUCCESS, 0, now_ns);
        swg_breaker_peek(x->fast, now_ns, &retry_in_ns);
        if (retry_in_ns == SWG_NEVER)
            swg_breaker_probe_now(x->fast, now_ns);
        else
            now_ns += retry_in_ns;
        swg_breaker_check(x->fast);
    }
    fail_msg("seed %llu: it does not recover", (unsigned long long)x->seed);
}

static void run(uint64_t seed, uint64_t steps) {
    static struct pair pair;
    struct pair *x = &pair;
    *x = (struct pair){.seed = seed, .random = random_mix(seed), .now_ns = SWG_SECONDS(100)};
    x->options = draw_options(x);
    assert_int_equal(swg_breaker_create(&x->fast, &x->options, seed, x->now_ns), SWG_OK);
    swg_breaker_listen(x->fast, hear, x);
    model_init(&x->model, &x->options, x->now_ns);
    for (x->step = 0; x->step < steps; x->step++) {
        step(x);
        compare(x);
    }
    for (uint32_t i = 0; i < PERMITS; i++) {
        if (x->out[i])
            record(x, i);
    }
    compare(x);
    assert_int_equal(x->model.probes != NULL, false);
    check_recovery(x);
    swg_breaker_destroy(x->fast);
    model_free(&x->model);
}

static void test_fast_is_as_the_model(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        run(seed, STEPS);
    print_message("seeds 1 to %d, %d steps each:", SEEDS, STEPS);
    for (int i = 0; i < CAUSES; i++)
        print_message(" %s %llu", causes[i], (unsigned long long)heard[i]);
    print_message("\n");
    for (int i = 0; i < CAUSES; i++)
        assert_true(heard[i] >= 20);
}

static uint64_t replay_seed, replay_steps = STEPS;

static void test_replay(void **state) {
    (void)state;
    print_message("seed %llu, %llu steps\n", (unsigned long long)replay_seed,
                  (unsigned long long)replay_steps);
    run(replay_seed, replay_steps);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_fast_is_as_the_model)};
    const struct CMUnitTest replay[] = {cmocka_unit_test(test_replay)};
    if (argc > 1)
        replay_seed = strtoull(argv[1], NULL, 0);
    if (argc > 2)
        replay_steps = strtoull(argv[2], NULL, 0);
    return argc > 1 ? cmocka_run_group_tests(replay, NULL, NULL)
                    : cmocka_run_group_tests(tests, NULL, NULL);
}
