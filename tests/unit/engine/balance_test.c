/* balance_test.c - who gets the next call, as pure choice. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/random.h"
#include "engine/balance.h"

enum { DRAWS = 20000 };

struct counts {
    uint32_t of[8];
};

static struct counts draw_least(const struct swg__candidate *c, uint32_t n) {
    struct counts counts = {{0}};
    uint64_t random = 1;
    for (int i = 0; i < DRAWS; i++)
        counts.of[swg__balance_least_request(c, n, random_next(&random))]++;
    return counts;
}

/* Within a twentieth of the expected share. */
static void expect_share(uint32_t count, uint32_t part, uint32_t whole) {
    uint32_t expected = DRAWS / whole * part;
    assert_in_range(count, expected - DRAWS / 20, expected + DRAWS / 20);
}

static void test_fewest_wins(void **state) {
    (void)state;
    const struct swg__candidate c[] = {{0, 3, 1000}, {1, 2, 1000}, {2, 3, 1000}};
    assert_int_equal(draw_least(c, 3).of[1], DRAWS);
}

static void test_ties_are_drawn_evenly(void **state) {
    (void)state;
    const struct swg__candidate c[] = {{0, 5, 1000}, {1, 4, 1000}, {2, 4, 1000}, {3, 4, 1000}};
    struct counts counts = draw_least(c, 4);
    assert_int_equal(counts.of[0], 0);
    for (int i = 1; i < 4; i++)
        expect_share(counts.of[i], 1, 3);
}

static void test_idle_endpoints_share_by_weight(void **state) {
    (void)state;
    const struct swg__candidate c[] = {{0, 0, 6000}, {1, 0, 3000}, {2, 0, 1000}};
    struct counts counts = draw_least(c, 3);
    expect_share(counts.of[0], 6, 10);
    expect_share(counts.of[1], 3, 10);
    expect_share(counts.of[2], 1, 10);
}

/* Calls come and go, oldest first; the calls in flight settle by weight. */
static void test_load_settles_by_weight(void **state) {
    (void)state;
    struct swg__candidate c[] = {{0, 0, 3000}, {1, 0, 1000}};
    uint32_t under_way[40], next = 0;
    uint64_t random = 3;
    struct counts counts = {{0}};
    for (uint32_t i = 0; i < DRAWS; i++) {
        if (i >= 40)
            c[under_way[next]].in_flight--;
        uint32_t chosen = swg__balance_least_request(c, 2, random_next(&random));
        c[chosen].in_flight++;
        under_way[next] = chosen;
        next = (next + 1) % 40;
        counts.of[chosen]++;
    }
    expect_share(counts.of[0], 3, 4);
    assert_in_range(c[0].in_flight, 28, 32);
}

/* A tenth of the weight gets no more than about a tenth, also under load. */
static void test_light_one_is_not_flooded(void **state) {
    (void)state;
    const struct swg__candidate c[] = {{0, 5, 10000}, {1, 0, 1000}};
    struct counts counts = draw_least(c, 2);
    assert_in_range(counts.of[1], DRAWS / 11 - DRAWS / 50, DRAWS / 11 + DRAWS / 50);
}

/* One that answers nothing fills up and is left alone. */
static void test_hung_one_is_left_alone(void **state) {
    (void)state;
    struct swg__candidate c[] = {{0, 0, 1000}, {1, 0, 1000}};
    uint64_t random = 5;
    uint32_t to_hung = 0;
    for (int i = 0; i < 1000; i++) {
        if (swg__balance_least_request(c, 2, random_next(&random)) == 0)
            c[0].in_flight = ++to_hung; /* never comes back; the other is at once */
    }
    assert_int_equal(to_hung, 1);
}

static void test_round_robin(void **state) {
    (void)state;
    const struct swg__candidate c[] = {{0, 9, 1000}, {1, 0, 1000}, {2, 0, 1000}};
    for (uint64_t turn = 0; turn < 9; turn++)
        assert_int_equal(swg__balance_round_robin(c, 3, turn), turn % 3);
}

static void test_round_robin_mixes_weights(void **state) {
    (void)state;
    const struct swg__candidate c[] = {{0, 0, 3000}, {1, 0, 1000}};
    uint32_t second = 0, gap = 0, longest = 0;
    for (uint64_t turn = 0; turn < 400; turn++) {
        bool is_second = swg__balance_round_robin(c, 2, turn) == 1;
        second += is_second;
        gap = is_second ? 0 : gap + 1;
        longest = gap > longest ? gap : longest;
    }
    assert_in_range(second, 98, 102);
    assert_true(longest <= 5); /* not three hundred in a row */
}

static void test_weighted(void **state) {
    (void)state;
    const struct swg__candidate c[] = {{0, 0, 1000}, {1, 0, 2000}, {2, 0, 1000}};
    assert_int_equal(swg__balance_weighted(c, 3, 0), 0);
    assert_int_equal(swg__balance_weighted(c, 3, UINT64_MAX / 2), 1);
    assert_int_equal(swg__balance_weighted(c, 3, UINT64_MAX), 2);
}

static void test_one_candidate(void **state) {
    (void)state;
    const struct swg__candidate c[] = {{7, UINT32_MAX, 1}};
    assert_int_equal(swg__balance_least_request(c, 1, UINT64_MAX), 0);
    assert_int_equal(swg__balance_round_robin(c, 1, UINT64_MAX), 0);
    assert_int_equal(swg__balance_weighted(c, 1, UINT64_MAX), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fewest_wins),
        cmocka_unit_test(test_ties_are_drawn_evenly),
        cmocka_unit_test(test_idle_endpoints_share_by_weight),
        cmocka_unit_test(test_load_settles_by_weight),
        cmocka_unit_test(test_light_one_is_not_flooded),
        cmocka_unit_test(test_hung_one_is_left_alone),
        cmocka_unit_test(test_round_robin),
        cmocka_unit_test(test_round_robin_mixes_weights),
        cmocka_unit_test(test_weighted),
        cmocka_unit_test(test_one_candidate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
