/* replay_test.c - queued writes keep their order, share a recovering service with
 * live traffic, and are dead only by their own fault. The last part plays
 * services in virtual time. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "engine/replay.h"

enum { LANES = 8, WRITES = 64 };

static struct swg__replay r;
static struct swg__replay_lane lanes[LANES];
static struct swg__replay_write writes[WRITES];
static uint64_t now_ns, wake_ns;

static int begin(void **state) {
    memset(lanes, 0, sizeof lanes);
    memset(writes, 0, sizeof writes);
    now_ns = SWG_SECONDS(1000);
    swg__replay_init(&r, NULL, 1);
    return 0;
}

static void add(uint32_t n, uint32_t lane) {
    swg__replay_add(&r, &lanes[lane], &writes[n], n + 1, SWG_NEVER, now_ns);
    swg__replay_check(&r);
}

static int next(void) {
    struct swg__replay_write *w = swg__replay_next(&r, SWG__GATE_OPEN, now_ns, &wake_ns);
    swg__replay_check(&r);
    return w ? (int)(w - writes) : -1;
}

static int more(void) {
    struct swg__replay_write *w = swg__replay_more(&r, now_ns);
    return w ? (int)(w - writes) : -1;
}

static enum swg__replay_fate result(int n, enum swg__replay_result how) {
    enum swg__replay_fate fate = swg__replay_result(&r, &writes[n], how, 0, now_ns);
    swg__replay_check(&r);
    return fate;
}

/* Lets the window grow to where tests need it. */
static void open_window(uint32_t window) {
    r.window = r.round_left = window;
}

/* ---- order ----------------------------------------------------------------------- */

static void a_lane_goes_one_by_one(void **state) {
    open_window(8);
    add(0, 0);
    add(1, 0);
    assert_int_equal(next(), 0);
    assert_int_equal(next(), -1);
    assert_int_equal(result(0, SWG__REPLAY_DELIVERED), SWG__REPLAY_GONE);
    assert_int_equal(next(), 1);
    assert_int_equal(result(1, SWG__REPLAY_DELIVERED), SWG__REPLAY_GONE);
    assert_int_equal(swg__replay_queued(&r), 0);
    assert_false(swg__replay_is_behind(&lanes[0]));
}

static void lanes_go_side_by_side_oldest_first(void **state) {
    open_window(8);
    add(0, 2);
    add(1, 1);
    add(2, 2);
    add(3, 0);
    assert_int_equal(next(), 0);
    assert_int_equal(next(), 1);
    assert_int_equal(next(), 3);
    assert_int_equal(next(), -1);
    result(0, SWG__REPLAY_DELIVERED);
    assert_int_equal(next(), 2);
}

static void a_failure_holds_its_lane_and_no_other(void **state) {
    open_window(8);
    add(0, 0);
    add(1, 0);
    add(2, 1);
    assert_int_equal(next(), 0);
    assert_int_equal(result(0, SWG__REPLAY_FAILED), SWG__REPLAY_AGAIN);
    assert_int_equal(next(), 2);
    assert_int_equal(next(), -1);
    assert_true(wake_ns > now_ns && wake_ns <= now_ns + SWG_SECONDS(1) + 1);
    now_ns = wake_ns;
    assert_int_equal(next(), 0);
}

static void pauses_grow_to_their_cap(void **state) {
    uint64_t last = 0;
    add(0, 0);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(next(), 0);
        assert_int_equal(result(0, SWG__REPLAY_FAILED), SWG__REPLAY_AGAIN);
        assert_int_equal(next(), -1);
        uint64_t pause = wake_ns - now_ns;
        uint64_t whole = SWG_SECONDS(1) << (i < 7 ? i : 7);
        whole = whole < SWG_SECONDS(100) ? whole : SWG_SECONDS(100);
        assert_true(pause >= whole / 2 && pause <= whole + 1);
        last = pause;
        now_ns = wake_ns;
    }
    assert_true(last >= SWG_SECONDS(50));
    /* and begin anew after a success */
    add(1, 0);
    assert_int_equal(next(), 0);
    result(0, SWG__REPLAY_DELIVERED);
    assert_int_equal(next(), 1);
    result(1, SWG__REPLAY_FAILED);
    assert_int_equal(next(), -1);
    assert_true(wake_ns - now_ns <= SWG_SECONDS(1) + 1);
}

static void a_write_dropped_by_hand_lets_the_next_go(void **state) {
    open_window(8);
    add(0, 0);
    add(1, 0);
    add(2, 0);
    swg__replay_remove(&r, &writes[0], now_ns);
    assert_int_equal(next(), 1);
    swg__replay_remove(&r, &writes[2], now_ns);
    result(1, SWG__REPLAY_DELIVERED);
    assert_int_equal(next(), -1);
    assert_int_equal(swg__replay_queued(&r), 0);
    add(3, 0);
    assert_int_equal(next(), 3);
}

static void a_request_takes_several_in_order(void **state) {
    open_window(1);
    add(0, 0);
    add(1, 1);
    add(2, 0);
    add(3, 2);
    assert_int_equal(next(), 0);
    assert_int_equal(more(), 1);
    assert_int_equal(more(), 2);
    assert_int_equal(next(), -1); /* the request is complete; the window is full */
    assert_int_equal(result(0, SWG__REPLAY_DELIVERED), SWG__REPLAY_GONE);
    assert_int_equal(result(1, SWG__REPLAY_FAILED), SWG__REPLAY_AGAIN);
    assert_int_equal(next(), 3); /* lane 0 still waits for a result */
    assert_int_equal(result(2, SWG__REPLAY_FAILED), SWG__REPLAY_AGAIN);
    assert_int_equal(result(3, SWG__REPLAY_DELIVERED), SWG__REPLAY_GONE);
    assert_int_equal(next(), -1);
    now_ns += SWG_SECONDS(2);
    assert_int_equal(next(), 1);
    assert_int_equal(more(), 2);
    assert_int_equal(more(), -1);
}

static void a_lane_that_failed_as_a_whole_keeps_its_order(void **state) {
    for (uint32_t i = 0; i < 4; i++)
        add(i, 0);
    assert_int_equal(next(), 0);
    for (int i = 1; i < 4; i++)
        assert_int_equal(more(), i);
    for (int i = 0; i < 4; i++)
        assert_int_equal(result(i, SWG__REPLAY_FAILED), SWG__REPLAY_AGAIN);
    assert_int_equal(lanes[0].failures, 1);
    now_ns += SWG_SECONDS(2);
    assert_int_equal(next(), 0);
    assert_int_equal(more(), 1);
}

/* ---- whose fault --------------------------------------------------------------------- */

static void a_refused_write_is_dead_at_once(void **state) {
    add(0, 0);
    add(1, 0);
    assert_int_equal(next(), 0);
    assert_int_equal(result(0, SWG__REPLAY_REFUSED), SWG__REPLAY_DEAD);
    assert_int_equal(next(), 1);
}

static void an_outage_kills_nothing(void **state) {
    add(0, 0);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(next(), 0);
        assert_int_equal(result(0, SWG__REPLAY_FAILED), SWG__REPLAY_AGAIN);
        now_ns += SWG_SECONDS(101);
    }
}

static void overload_kills_nothing_though_others_succeed(void **state) {
    add(0, 0);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(next(), 0);
        assert_int_equal(result(0, SWG__REPLAY_OVERLOAD), SWG__REPLAY_AGAIN);
        swg__replay_service_is_well(&r);
        now_ns += SWG_SECONDS(101);
    }
}

static void what_fails_while_the_service_is_well_is_dead_in_the_end(void **state) {
    add(0, 0);
    for (int i = 0; i < 8; i++) {
        assert_int_equal(next(), 0);
        assert_int_equal(result(0, SWG__REPLAY_FAILED),
                         i == 7 ? SWG__REPLAY_DEAD : SWG__REPLAY_AGAIN);
        now_ns += SWG_SECONDS(101);
        swg__replay_service_is_well(&r);
    }
}

static void our_own_refusals_are_nobodys_fault(void **state) {
    add(0, 0);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(next(), 0);
        assert_int_equal(result(0, SWG__REPLAY_NOT_SENT), SWG__REPLAY_AGAIN);
        assert_int_equal(next(), -1);
        assert_true(wake_ns > now_ns && wake_ns <= now_ns + SWG_MS(100) + 1);
        now_ns = wake_ns;
        swg__replay_service_is_well(&r);
    }
    assert_int_equal(lanes[0].failures, 0);
}

/* ---- the gate, wishes, expiry ------------------------------------------------------------ */

static void nothing_goes_while_the_breaker_is_open(void **state) {
    open_window(8);
    add(0, 0);
    add(1, 1);
    assert_null(swg__replay_next(&r, SWG__GATE_SHUT, now_ns, &wake_ns));
    assert_true(wake_ns == SWG_NEVER);
    assert_non_null(swg__replay_next(&r, SWG__GATE_PROBE, now_ns, &wake_ns));
    assert_null(swg__replay_next(&r, SWG__GATE_PROBE, now_ns, &wake_ns));
    assert_non_null(swg__replay_next(&r, SWG__GATE_OPEN, now_ns, &wake_ns));
}

static void the_services_wish_holds_all_lanes(void **state) {
    open_window(8);
    add(0, 0);
    add(1, 1);
    assert_int_equal(next(), 0);
    swg__replay_result(&r, &writes[0], SWG__REPLAY_OVERLOAD, SWG_SECONDS(30), now_ns);
    assert_int_equal(next(), -1);
    assert_true(wake_ns == now_ns + SWG_SECONDS(30));
    now_ns = wake_ns;
    assert_int_equal(next(), 0);
    assert_int_equal(next(), 1);
    /* but not for ever */
    swg__replay_result(&r, &writes[0], SWG__REPLAY_OVERLOAD, SWG_HOURS(9), now_ns);
    add(2, 2);
    assert_int_equal(next(), -1);
    assert_true(wake_ns == now_ns + SWG_SECONDS(100));
}

static void what_is_over_goes_unless_it_is_out(void **state) {
    open_window(8);
    for (uint32_t i = 0; i < 3; i++)
        swg__replay_add(&r, &lanes[i], &writes[i], i + 1, now_ns + SWG_SECONDS(i + 1), now_ns);
    assert_int_equal(next(), 0);
    assert_null(swg__replay_expired(&r, now_ns));
    assert_ptr_equal(swg__replay_expired(&r, now_ns + SWG_SECONDS(2)), &writes[1]);
    assert_null(swg__replay_expired(&r, now_ns + SWG_SECONDS(2)));
    now_ns += SWG_SECONDS(2);
    assert_int_equal(result(0, SWG__REPLAY_FAILED), SWG__REPLAY_AGAIN);
    assert_ptr_equal(swg__replay_expired(&r, now_ns), &writes[0]);
    assert_int_equal(next(), 2);
    assert_int_equal(next(), -1);
}

static void the_wake_includes_the_next_expiry(void **state) {
    swg__replay_add(&r, &lanes[0], &writes[0], 1, now_ns + SWG_SECONDS(7), now_ns);
    assert_null(swg__replay_next(&r, SWG__GATE_SHUT, now_ns, &wake_ns));
    assert_true(wake_ns == now_ns + SWG_SECONDS(7));
}

/* ---- services in virtual time --------------------------------------------------------------
 *
 * A service with so many places, each request taking about 10 ms in one; behind
 * them a queue. Live requests come at random; replays are paced by the
 * engine. The service gets slower only by queueing. */

enum { PLACES = 20, SERVICE_MS = 10, BACKLOG = 8000, EVENTS = 1 << 15 };

struct job {
    uint64_t done_ns;
    struct swg__replay_write *write; /* NULL: live */
};

struct played {
    uint64_t random, now_ns, next_live_ns;
    struct job busy[PLACES];
    uint32_t busy_count;
    struct swg__replay_write *queue[EVENTS];
    uint64_t queued_ns[EVENTS];
    uint32_t head, tail, queue_max;
    double live_per_s;
    uint64_t live, live_refused, live_waited_ns, live_waited_max_ns, refused;
};

static double draw_exponential(struct played *s, double mean) {
    double u = (double)(random_next(&s->random) >> 11) / 9007199254740992.0;
    /* -mean * ln(1 - u), by the series of atanh: no libm for one line */
    double x = 1 - u, y = (x - 1) / (x + 1), y2 = y * y, term = y, sum = 0;
    if (x < 0.01)
        return mean * 4.6;
    for (int i = 1; i < 400; i += 2, term *= y2)
        sum += term / i;
    return -mean * 2 * sum;
}

static void serve(struct played *s) {
    while (s->busy_count < PLACES && s->head != s->tail) {
        struct swg__replay_write *w = s->queue[s->head % EVENTS];
        if (!w) {
            uint64_t waited = s->now_ns - s->queued_ns[s->head % EVENTS];
            s->live_waited_ns += waited;
            s->live_waited_max_ns = waited > s->live_waited_max_ns ? waited : s->live_waited_max_ns;
        }
        s->head++;
        uint64_t takes = (uint64_t)(draw_exponential(s, SERVICE_MS * 0.5) * 1e6) + SWG_MS(5);
        s->busy[s->busy_count++] = (struct job){s->now_ns + takes, w};
    }
}

/* False: refused with 503. */
static bool arrive(struct played *s, struct swg__replay_write *w) {
    if (s->tail - s->head >= s->queue_max)
        return false;
    s->queue[s->tail % EVENTS] = w;
    s->queued_ns[s->tail++ % EVENTS] = s->now_ns;
    serve(s);
    return true;
}

static int first_done(const struct played *s) {
    int first = -1;
    for (uint32_t i = 0; i < s->busy_count; i++) {
        if (first < 0 || s->busy[i].done_ns < s->busy[first].done_ns)
            first = (int)i;
    }
    return first;
}

static void send_replays(struct played *s, struct swg__replay *replay, uint64_t *wake) {
    struct swg__replay_write *w;
    while ((w = swg__replay_next(replay, SWG__GATE_OPEN, s->now_ns, wake))) {
        if (!arrive(s, w)) {
            s->refused++;
            swg__replay_result(replay, w, SWG__REPLAY_OVERLOAD, 0, s->now_ns);
        }
    }
}

/* How long the backlog took. */
static uint64_t drain(struct played *s, uint32_t lane_count) {
    static struct swg__replay_lane many_lanes[BACKLOG];
    static struct swg__replay_write many[BACKLOG];
    struct swg__replay replay;
    uint64_t wake = 0;
    memset(many_lanes, 0, sizeof many_lanes);
    memset(many, 0, sizeof many);
    s->now_ns = SWG_SECONDS(1000);
    swg__replay_init(&replay, NULL, 3);
    for (uint32_t i = 0; i < BACKLOG; i++)
        swg__replay_add(&replay, &many_lanes[i % lane_count], &many[i], i + 1, SWG_NEVER,
                        s->now_ns);
    s->next_live_ns = s->now_ns;
    while (swg__replay_queued(&replay)) {
        send_replays(s, &replay, &wake);
        int done = first_done(s);
        uint64_t due = s->next_live_ns < wake ? s->next_live_ns : wake;
        if (done >= 0 && s->busy[done].done_ns <= due) {
            struct job job = s->busy[done];
            s->busy[done] = s->busy[--s->busy_count];
            s->now_ns = job.done_ns;
            if (job.write)
                assert_int_equal(
                    swg__replay_result(&replay, job.write, SWG__REPLAY_DELIVERED, 0, s->now_ns),
                    SWG__REPLAY_GONE);
            else
                swg__replay_service_is_well(&replay);
            serve(s);
            continue;
        }
        s->now_ns = due > s->now_ns ? due : s->now_ns;
        if (due == s->next_live_ns) {
            s->live++;
            if (!arrive(s, NULL)) {
                s->live_refused++;
                swg__replay_service_is_busy(&replay);
            }
            s->next_live_ns += (uint64_t)(draw_exponential(s, 1e9 / s->live_per_s));
        }
        swg__replay_check(&replay);
    }
    return s->now_ns - SWG_SECONDS(1000);
}

static void check_drain(const char *name, struct played *s, uint32_t lane_count) {
    double capacity = 1000.0 / SERVICE_MS * PLACES;
    double least_s = BACKLOG / (capacity - s->live_per_s);
    double took_s = (double)drain(s, lane_count) / 1e9;
    printf("%-24s %5.1f s, %.2f of what the spare capacity needs; live waited %.2f ms, at most "
           "%.0f ms; %.2f%% of live and %" PRIu64 " replays refused\n",
           name, took_s, took_s / least_s, (double)s->live_waited_ns / 1e6 / (double)s->live,
           (double)s->live_waited_max_ns / 1e6, 100.0 * (double)s->live_refused / (double)s->live,
           s->refused);
    assert_true(took_s <= 1.1 * least_s);
    assert_true(s->live_refused * 20 <= s->live);
}

static void a_backlog_uses_what_is_spare(void **state) {
    static struct played s;
    static const double loads[] = {0.001, 400, 1000, 1600};
    for (size_t i = 0; i < sizeof loads / sizeof *loads; i++) {
        for (uint64_t seed = 1; seed <= 4; seed++) {
            char name[40];
            snprintf(name, sizeof name, "queueing, %.0f live/s", loads[i]);
            s = (struct played){.random = seed, .queue_max = EVENTS - 1, .live_per_s = loads[i]};
            check_drain(name, &s, BACKLOG / 2);
            snprintf(name, sizeof name, "refusing, %.0f live/s", loads[i]);
            s = (struct played){.random = seed, .queue_max = 10, .live_per_s = loads[i]};
            check_drain(name, &s, BACKLOG / 2);
        }
    }
}

int main(void) {
#define CASE(name) cmocka_unit_test_setup(name, begin)
    const struct CMUnitTest tests[] = {
        CASE(a_lane_goes_one_by_one),
        CASE(lanes_go_side_by_side_oldest_first),
        CASE(a_failure_holds_its_lane_and_no_other),
        CASE(pauses_grow_to_their_cap),
        CASE(a_write_dropped_by_hand_lets_the_next_go),
        CASE(a_request_takes_several_in_order),
        CASE(a_lane_that_failed_as_a_whole_keeps_its_order),
        CASE(a_refused_write_is_dead_at_once),
        CASE(an_outage_kills_nothing),
        CASE(overload_kills_nothing_though_others_succeed),
        CASE(what_fails_while_the_service_is_well_is_dead_in_the_end),
        CASE(our_own_refusals_are_nobodys_fault),
        CASE(nothing_goes_while_the_breaker_is_open),
        CASE(the_services_wish_holds_all_lanes),
        CASE(what_is_over_goes_unless_it_is_out),
        CASE(the_wake_includes_the_next_expiry),
        CASE(a_backlog_uses_what_is_spare),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
