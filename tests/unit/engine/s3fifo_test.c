/* s3fifo_test.c - what is asked for once leaves soon, what is in use stays. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "engine/s3fifo.h"

enum { KEYS = 4096, GHOSTS = 256 };

static struct swg__s3_node nodes[KEYS];
static bool stored[KEYS];
static struct swg__s3_ghost ghosts[GHOSTS];

static void make(struct swg__s3 *s) {
    memset(ghosts, 0, sizeof(ghosts));
    memset(stored, 0, sizeof(stored));
    swg__s3_init(s, ghosts, GHOSTS);
}

static void add(struct swg__s3 *s, int key, size_t cost) {
    swg__s3_add(s, &nodes[key], random_mix((uint64_t)key + 1), cost);
    stored[key] = true;
    swg__s3_check(s);
}

static int evict(struct swg__s3 *s) {
    struct swg__s3_node *n = swg__s3_evict(s);
    swg__s3_check(s);
    if (!n)
        return -1;
    stored[n - nodes] = false;
    return (int)(n - nodes);
}

/* One request to a cache of so many bytes; whether it was a hit. */
static bool ask(struct swg__s3 *s, int key, size_t cost, size_t bytes_max) {
    if (stored[key]) {
        swg__s3_use(&nodes[key]);
        return true;
    }
    while (swg__s3_cost(s) + cost > bytes_max)
        evict(s);
    add(s, key, cost);
    return false;
}

static void empty_gives_nothing(void **state) {
    struct swg__s3 s;
    make(&s);
    assert_int_equal(evict(&s), -1);
    add(&s, 0, 10);
    assert_int_equal(swg__s3_cost(&s), 10);
    assert_int_equal(evict(&s), 0);
    assert_int_equal(evict(&s), -1);
    assert_int_equal(swg__s3_cost(&s), 0);
}

static void unused_ones_leave_in_the_order_they_came(void **state) {
    struct swg__s3 s;
    make(&s);
    for (int i = 0; i < 10; i++)
        add(&s, i, 1);
    for (int i = 0; i < 10; i++)
        assert_int_equal(evict(&s), i);
}

static void used_twice_it_survives_probation(void **state) {
    struct swg__s3 s;
    make(&s);
    for (int i = 0; i < 3; i++)
        add(&s, i, 1);
    swg__s3_use(&nodes[0]);
    swg__s3_use(&nodes[0]);
    swg__s3_use(&nodes[1]);
    assert_int_equal(evict(&s), 1);
    assert_true(nodes[0].in_main);
    assert_int_equal(evict(&s), 2);
    assert_int_equal(evict(&s), 0);
}

static void a_ghost_comes_back_into_main(void **state) {
    struct swg__s3 s;
    make(&s);
    for (int i = 0; i < 4; i++)
        add(&s, i, 1);
    assert_int_equal(evict(&s), 0);
    add(&s, 0, 1);
    assert_true(nodes[0].in_main);
    add(&s, 9, 1);
    assert_false(nodes[9].in_main);
    /* Remembered once: its next life begins on probation. */
    swg__s3_remove(&s, &nodes[0]);
    add(&s, 0, 1);
    assert_false(nodes[0].in_main);
}

static void an_old_ghost_is_forgotten(void **state) {
    struct swg__s3 s;
    make(&s);
    for (int i = 0; i < 8; i++)
        add(&s, i, 1);
    assert_int_equal(evict(&s), 0);
    for (int i = 8; i < 40; i++)
        ask(&s, i, 1, 8);
    add(&s, 0, 1);
    assert_false(nodes[0].in_main);
}

static void each_use_in_main_is_worth_one_more_round(void **state) {
    struct swg__s3 s;
    make(&s);
    for (int i = 0; i < 4; i++)
        add(&s, i, 1);
    for (int i = 0; i < 4; i++)
        assert_int_equal(evict(&s), i);
    for (int i = 10; i < 20; i++)
        add(&s, i, 1);
    for (int i = 0; i < 2; i++)
        add(&s, i, 1);
    assert_true(nodes[0].in_main && nodes[1].in_main);
    for (int i = 10; i < 20; i++)
        swg__s3_remove(&s, &nodes[i]);
    swg__s3_use(&nodes[0]);
    swg__s3_use(&nodes[0]);
    swg__s3_use(&nodes[1]);
    assert_int_equal(evict(&s), 1);
    assert_int_equal(evict(&s), 0);
    /* It had its chance: it leaves no ghost. */
    for (int i = 10; i < 20; i++)
        add(&s, i, 1);
    add(&s, 0, 1);
    assert_false(nodes[0].in_main);
}

static void a_spared_one_is_last(void **state) {
    struct swg__s3 s;
    make(&s);
    for (int i = 0; i < 3; i++)
        add(&s, i, 1);
    struct swg__s3_node *n = swg__s3_evict(&s);
    assert_ptr_equal(n, &nodes[0]);
    swg__s3_spare(&s, n);
    swg__s3_check(&s);
    assert_int_equal(evict(&s), 1);
    assert_int_equal(evict(&s), 2);
    assert_int_equal(evict(&s), 0);
}

/* The reason for this order: 50 addresses in use, 3,000 asked for once. */
static void a_scan_does_not_sweep_out_what_is_in_use(void **state) {
    struct swg__s3 s;
    make(&s);
    enum { IN_USE = 50 };
    for (int round = 0; round < 4; round++)
        for (int i = 0; i < IN_USE; i++)
            ask(&s, i, 10, 1000);
    int lost = 0, scanned = IN_USE;
    for (int i = 0; i < 3000; i++) {
        ask(&s, scanned++, 10, 1000);
        if (i % 10 == 9)
            lost += !ask(&s, i / 10 % IN_USE, 10, 1000);
    }
    assert_int_equal(lost, 0);
}

static void any_sequence_keeps_the_order_sound(void **state) {
    struct swg__s3 s;
    make(&s);
    uint64_t seed = 7;
    for (int i = 0; i < 20000; i++) {
        int key = (int)random_up_to(random_next(&seed), 299);
        switch (random_up_to(random_next(&seed), 9)) {
        case 0:
            evict(&s);
            break;
        case 1:
            if (stored[key]) {
                swg__s3_remove(&s, &nodes[key]);
                stored[key] = false;
            }
            break;
        default:
            ask(&s, key, 1 + random_up_to(random_next(&seed), 99), 3000);
        }
        assert_true(swg__s3_cost(&s) <= 3000);
    }
    while (evict(&s) >= 0)
        ;
    for (int i = 0; i < KEYS; i++)
        assert_false(stored[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_gives_nothing),
        cmocka_unit_test(unused_ones_leave_in_the_order_they_came),
        cmocka_unit_test(used_twice_it_survives_probation),
        cmocka_unit_test(a_ghost_comes_back_into_main),
        cmocka_unit_test(an_old_ghost_is_forgotten),
        cmocka_unit_test(each_use_in_main_is_worth_one_more_round),
        cmocka_unit_test(a_spared_one_is_last),
        cmocka_unit_test(a_scan_does_not_sweep_out_what_is_in_use),
        cmocka_unit_test(any_sequence_keeps_the_order_sound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
