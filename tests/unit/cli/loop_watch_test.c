/* What a watchdog makes of an event loop, with a clock that the test moves. */
#include "cli/loop_watch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define MS    UINT64_C(1000000)
#define S     UINT64_C(1000000000)
#define LIMIT (10 * S)
#define NEVER UINT64_MAX

static struct loop_watch watch;
static uint64_t now, turn;

static int set_up(void **state) {
    watch = (struct loop_watch){0};
    now = 1000 * S;
    return 0;
}

/* A look a quarter of a second later, in the turn that began at `busy_since`. */
static enum loop_finding look(uint64_t busy_since, uint64_t longest) {
    const struct loop_sight sight = {busy_since, longest};
    now += 250 * MS;
    return loop_watch_look(&watch, &sight, now, 250 * MS, LIMIT, &turn);
}

static void waiting_for_ever_is_no_illness(void **state) {
    for (int i = 0; i < 1000; i++)
        assert_int_equal(look(0, 3 * MS), LOOP_WELL);
    assert_int_equal(watch.turn_ns, 0);
}

static void many_short_turns_are_well(void **state) {
    for (int i = 0; i < 1000; i++) /* always busy at the look, never in the same turn */
        assert_int_equal(look(now + 249 * MS, 900 * MS), LOOP_WELL);
}

static void a_slow_turn_is_told_once(void **state) {
    uint64_t began = now + 100 * MS;
    int told = 0;
    for (int i = 0; i < 12; i++)
        told += look(began, 0) == LOOP_SLOW;
    assert_int_equal(told, 1);
    assert_int_equal(look(0, 3 * S), LOOP_WELL); /* its end is no news */
    assert_int_equal(watch.unsaid, 0);
}

static void one_that_was_over_before_a_look_is_told_too(void **state) {
    assert_int_equal(look(0, 1 * S), LOOP_SLOW);
    assert_int_equal(turn, 1 * S);
}

static void the_log_is_not_flooded(void **state) {
    int told = 0;
    for (int i = 0; i < 120; i++) /* half a minute of turns of a second */
        told += look(0, i % 4 ? 0 : 1 * S) == LOOP_SLOW;
    assert_int_equal(told, 3);
    assert_int_equal(watch.unsaid, 27); /* the caller clears it with each line */
}

static void it_hangs_and_is_back(void **state) {
    uint64_t began = now + 100 * MS;
    int hangs = 0, looks = 0;
    while (!hangs && ++looks < 100)
        hangs = look(began, 0) == LOOP_HANGS;
    assert_int_equal(looks, 41); /* 10 s, and the part of a look that it began in */
    assert_true(watch.hangs && turn >= LIMIT);
    for (int i = 0; i < 40; i++)
        assert_int_equal(look(began, 0), LOOP_WELL); /* it is known */
    assert_int_equal(look(0, turn), LOOP_BACK);
    assert_true(!watch.hangs && turn >= LIMIT + 40 * 250 * MS);
    assert_int_equal(look(0, 0), LOOP_WELL);
}

static void back_in_a_new_turn_is_back(void **state) {
    uint64_t began = now;
    for (int i = 0; i < 60; i++)
        look(began, 0);
    assert_true(watch.hangs);
    assert_int_equal(look(now + 200 * MS, 15 * S), LOOP_BACK);
}

/* The machine was suspended, or the process stopped, for an hour in the middle of a turn. */
static void time_that_nobody_ran_in_does_not_count(void **state) {
    uint64_t began = now + 200 * MS;
    assert_int_equal(look(began, 0), LOOP_WELL);
    now += 3600 * S;
    assert_int_equal(look(began, 0), LOOP_WELL);
    assert_true(watch.turn_ns < 1 * S);
    now += 3600 * S;
    assert_int_equal(look(now - 3000 * S, 0), LOOP_WELL); /* and in one that is new to us */
    assert_true(watch.turn_ns < 1 * S);
}

static void without_a_limit_nothing_hangs(void **state) {
    const struct loop_sight sight = {now, 0};
    int slow = 0;
    for (int i = 0; i < 1000; i++)
        slow +=
            loop_watch_look(&watch, &sight, now += 250 * MS, 250 * MS, NEVER, &turn) == LOOP_SLOW;
    assert_int_equal(slow, 1);
    assert_false(watch.hangs);
}

#define TEST(f) cmocka_unit_test_setup(f, set_up)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(waiting_for_ever_is_no_illness), TEST(many_short_turns_are_well),
        TEST(a_slow_turn_is_told_once),       TEST(one_that_was_over_before_a_look_is_told_too),
        TEST(the_log_is_not_flooded),         TEST(it_hangs_and_is_back),
        TEST(back_in_a_new_turn_is_back),     TEST(time_that_nobody_ran_in_does_not_count),
        TEST(without_a_limit_nothing_hangs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
