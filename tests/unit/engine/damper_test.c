/* damper_test.c - what flaps is held at its worst, and nothing is ever hidden. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/random.h"
#include "engine/damper.h"

static const struct swg__damper_options four = {4, SWG_SECONDS(10), SWG_SECONDS(20)};

struct bench {
    struct swg__damper d;
    uint64_t now_ns;
};

static enum swg__condition feed(struct bench *b, enum swg__condition c, uint64_t after_ns) {
    b->now_ns += after_ns;
    return swg__damper_feed(&b->d, &four, c, b->now_ns);
}

static struct bench begin(void) {
    return (struct bench){.now_ns = SWG_SECONDS(1000)};
}

static void the_fourth_change_in_ten_seconds(void **state) {
    (void)state;
    struct bench b = begin();
    assert_int_equal(feed(&b, SWG__DOWN, 0), SWG__DOWN);
    assert_int_equal(feed(&b, SWG__WORKING, SWG_SECONDS(3)), SWG__WORKING);
    assert_int_equal(feed(&b, SWG__DOWN, SWG_SECONDS(3)), SWG__DOWN);
    assert_int_equal(feed(&b, SWG__WORKING, SWG_SECONDS(4)), SWG__DOWN);
    assert_true(b.d.holding);
    assert_int_equal(feed(&b, SWG__WORKING, SWG_SECONDS(20) - 1), SWG__DOWN);
    assert_int_equal(feed(&b, SWG__WORKING, 1), SWG__WORKING);
    assert_false(b.d.holding);
}

static void slow_changes_are_none_of_its_business(void **state) {
    (void)state;
    struct bench b = begin();
    for (int i = 0; i < 100; i++) {
        enum swg__condition c = i % 2 ? SWG__WORKING : SWG__DOWN;
        assert_int_equal(feed(&b, c, SWG_SECONDS(10) / 3 + 1), c);
    }
}

/* Each change begins the wait anew; what gets worse is told at once. */
static void held_until_steady(void **state) {
    (void)state;
    struct bench b = begin();
    for (int i = 0; i < 3; i++)
        feed(&b, i % 2 ? SWG__WORKING : SWG__IMPAIRED, SWG_SECONDS(1));
    assert_int_equal(feed(&b, SWG__WORKING, SWG_SECONDS(1)), SWG__IMPAIRED);
    assert_int_equal(feed(&b, SWG__DOWN, SWG_SECONDS(19)), SWG__DOWN);
    assert_int_equal(feed(&b, SWG__WORKING, SWG_SECONDS(19)), SWG__DOWN);
    assert_int_equal(feed(&b, SWG__WORKING, SWG_SECONDS(19)), SWG__DOWN);
    assert_int_equal(feed(&b, SWG__WORKING, SWG_SECONDS(1)), SWG__WORKING);
    assert_int_equal(feed(&b, SWG__DOWN, SWG_SECONDS(1)), SWG__DOWN); /* counted anew */
    assert_int_equal(feed(&b, SWG__WORKING, SWG_SECONDS(1)), SWG__WORKING);
}

static void off(void **state) {
    (void)state;
    const struct swg__damper_options none = {0};
    struct bench b = begin();
    for (int i = 0; i < 4; i++)
        feed(&b, i % 2 ? SWG__WORKING : SWG__DOWN, 1);
    assert_true(b.d.holding);
    assert_int_equal(swg__damper_feed(&b.d, &none, SWG__WORKING, b.now_ns), SWG__WORKING);
    assert_false(b.d.holding);
}

/* What random services do to dampers of random strength: never better than what is seen,
 * and the truth once that was steady. */
static void nothing_is_hidden(void **state) {
    (void)state;
    uint64_t random = 1;
    uint32_t held = 0, released = 0;
    for (int run = 0; run < 300; run++) {
        struct swg__damper_options o = {
            2 + (uint32_t)random_up_to(random_next(&random), SWG__DAMPER_CHANGES_MAX - 2),
            1 + random_up_to(random_next(&random), SWG_SECONDS(100)),
            1 + random_up_to(random_next(&random), SWG_SECONDS(10))};
        struct swg__damper d = {0};
        uint64_t now_ns = SWG_SECONDS(1000), changed_ns = now_ns;
        enum swg__condition seen = SWG__WORKING;
        for (int step = 0; step < 500; step++) {
            bool was_held = d.holding;
            bool calm = random_up_to(random_next(&random), 9) == 0;
            now_ns += random_up_to(random_next(&random), calm ? SWG_SECONDS(20) : SWG_SECONDS(1));
            if (!calm && random_up_to(random_next(&random), 1)) {
                enum swg__condition c =
                    (enum swg__condition)random_up_to(random_next(&random), SWG__DOWN);
                changed_ns = c == seen ? changed_ns : now_ns;
                seen = c;
            }
            enum swg__condition told = swg__damper_feed(&d, &o, seen, now_ns);
            assert_true(told >= seen);
            if (now_ns - changed_ns >= o.hold_ns)
                assert_int_equal(told, seen);
            held += d.holding && !was_held;
            released += !d.holding && was_held;
        }
    }
    assert_true(held > 100 && released > 100);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_fourth_change_in_ten_seconds),
        cmocka_unit_test(slow_changes_are_none_of_its_business),
        cmocka_unit_test(held_until_steady),
        cmocka_unit_test(off),
        cmocka_unit_test(nothing_is_hidden),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
