/* window_test.c - windows of calls and of time, by themselves.
 *
 * `successes` stands for the breaker's sharded counter. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <switchgear/time.h>

#include "base/random.h"
#include "engine/window.h"

struct bench {
    struct swg__window w;
    uint64_t successes, now_ns;
};

static void make(struct bench *x, uint32_t calls, uint64_t window_ns) {
    *x = (struct bench){.successes = 1000, .now_ns = SWG_SECONDS(50)};
    assert_int_equal(swg__window_init(&x->w, calls, window_ns, true, x->successes, x->now_ns), 0);
}

static void add(struct bench *x, char letter) {
    struct swg__tally t = {0};
    swg__window_settle(&x->w, x->successes, x->now_ns);
    if (letter == 'F')
        t = (struct swg__tally){1, 1, 0};
    else if (letter == 's')
        t.slow = 1;
    x->successes += letter != 'F';
    swg__window_add(&x->w, x->successes, t);
    swg__window_check(&x->w, x->successes);
}

static void feed(struct bench *x, const char *letters) {
    for (; *letters; letters++)
        add(x, *letters);
}

static void expect(const struct bench *x, uint64_t calls, uint64_t failures, uint64_t slow) {
    struct swg__tally t = swg__window_read(&x->w, x->successes, x->now_ns);
    assert_int_equal(t.calls, calls);
    assert_int_equal(t.failures, failures);
    assert_int_equal(t.slow, slow);
}

/* Successes that are counted elsewhere and never told. */
static void test_untold_successes_count(void **state) {
    (void)state;
    struct bench x;
    make(&x, 10, 0);
    x.successes += 4;
    feed(&x, "F");
    expect(&x, 5, 1, 0);
    x.successes += 9;
    expect(&x, 10, 1, 0); /* nine came after the failure: still in */
    x.successes += 1;
    expect(&x, 10, 0, 0);
    swg__window_free(&x.w);
}

/* Against a plain ring of results, step by step. */
static void test_calls_like_a_ring(void **state) {
    (void)state;
    uint64_t random = 7;
    for (uint32_t size = 1; size <= 40; size += 3) {
        struct bench x;
        char ring[64];
        uint64_t count = 0;
        make(&x, size, 0);
        for (int step = 0; step < 2000; step++) {
            char letter = "SSsF"[random_next(&random) % 4];
            ring[count++ % size] = letter;
            add(&x, letter);
            uint64_t held = count < size ? count : size, failures = 0, slow = 0;
            for (uint64_t i = 0; i < held; i++) {
                failures += ring[i] == 'F';
                slow += ring[i] == 's';
            }
            expect(&x, held, failures, slow);
        }
        swg__window_free(&x.w);
    }
}

static void test_time_in_tenths(void **state) {
    (void)state;
    struct bench x;
    make(&x, 0, SWG_SECONDS(10));
    assert_int_equal(swg__window_end_ns(&x.w), x.now_ns + SWG_SECONDS(1));
    for (int second = 0; second < 10; second++) {
        feed(&x, "SFs");
        x.now_ns += SWG_SECONDS(1);
    }
    expect(&x, 27, 9, 9); /* the first second has just left */
    x.now_ns -= 1;
    expect(&x, 30, 10, 10);
    x.now_ns += SWG_SECONDS(4) + 1;
    expect(&x, 15, 5, 5);
    x.now_ns += SWG_SECONDS(100);
    expect(&x, 0, 0, 0);
    feed(&x, "F");
    expect(&x, 1, 1, 0);
    swg__window_free(&x.w);
}

/* What was not told when its bucket ended belongs to that bucket. */
static void test_untold_successes_expire(void **state) {
    (void)state;
    struct bench x;
    make(&x, 0, SWG_SECONDS(10));
    x.successes += 100;
    x.now_ns += SWG_SECONDS(5);
    feed(&x, "F");
    expect(&x, 101, 1, 0);
    x.now_ns += SWG_SECONDS(5) - 1;
    expect(&x, 101, 1, 0);
    x.now_ns += 1;
    expect(&x, 1, 1, 0);
    swg__window_free(&x.w);
}

static void test_clear(void **state) {
    (void)state;
    for (uint32_t calls = 0; calls <= 10; calls += 10) {
        struct bench x;
        make(&x, calls, SWG_SECONDS(10));
        feed(&x, "SFsSF");
        swg__window_clear(&x.w, x.successes, x.now_ns);
        expect(&x, 0, 0, 0);
        feed(&x, "F");
        expect(&x, 1, 1, 0);
        swg__window_free(&x.w);
    }
}

static void move(struct bench *x, uint32_t calls, uint64_t window_ns) {
    struct swg__window old = x->w;
    assert_int_equal(swg__window_init(&x->w, calls, window_ns, true, 0, 0), 0);
    swg__window_move(&x->w, &old, x->successes, x->now_ns);
    swg__window_free(&old);
    swg__window_check(&x->w, x->successes);
}

static void test_move_calls(void **state) {
    (void)state;
    struct bench x;
    make(&x, 5, 0);
    feed(&x, "FFFsSFS"); /* holds F s S F S */
    move(&x, 100, 0);    /* larger: no call it had let go comes back */
    expect(&x, 5, 2, 1);
    feed(&x, "F");
    expect(&x, 6, 3, 1);
    move(&x, 3, 0); /* smaller: F S F */
    expect(&x, 3, 2, 0);
    move(&x, 0, SWG_SECONDS(10)); /* of another kind: empty */
    expect(&x, 0, 0, 0);
    swg__window_free(&x.w);
}

static void test_move_time(void **state) {
    (void)state;
    struct bench x;
    make(&x, 0, SWG_SECONDS(10));
    feed(&x, "FF");
    x.now_ns += SWG_SECONDS(5);
    feed(&x, "F");
    x.successes += 10;
    struct swg__window old = x.w;
    move(&x, 0, SWG_SECONDS(10)); /* the same size: nothing blurs */
    assert_int_equal(x.w.end_ns, old.end_ns);
    expect(&x, 13, 3, 0);
    move(&x, 0, SWG_SECONDS(100));
    expect(&x, 13, 3, 0);
    x.now_ns += SWG_SECONDS(100);
    expect(&x, 0, 0, 0);
    swg__window_free(&x.w);
}

/* The bucket of the old failures ended four seconds ago: gone at once from a
 * window of two seconds. */
static void test_move_time_drops_the_old(void **state) {
    (void)state;
    struct bench x;
    make(&x, 0, SWG_SECONDS(10));
    feed(&x, "FF");
    x.now_ns += SWG_SECONDS(5);
    feed(&x, "F");
    move(&x, 0, SWG_SECONDS(2));
    expect(&x, 1, 1, 0);
    swg__window_free(&x.w);
}

static void test_slow_not_kept_unless_asked(void **state) {
    (void)state;
    struct bench x = {.successes = 0};
    assert_int_equal(swg__window_init(&x.w, 10, 0, false, 0, 0), 0);
    feed(&x, "ssF");
    expect(&x, 3, 1, 0);
    swg__window_free(&x.w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_untold_successes_count),
        cmocka_unit_test(test_calls_like_a_ring),
        cmocka_unit_test(test_time_in_tenths),
        cmocka_unit_test(test_untold_successes_expire),
        cmocka_unit_test(test_clear),
        cmocka_unit_test(test_move_calls),
        cmocka_unit_test(test_move_time),
        cmocka_unit_test(test_move_time_drops_the_old),
        cmocka_unit_test(test_slow_not_kept_unless_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
