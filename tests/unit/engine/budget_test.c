/* budget_test.c - retries are a share of the calls of the last ten seconds. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <switchgear/retry.h>

#include "base/random.h"

#define START SWG_SECONDS(1000)

static struct swg_budget *make(uint32_t percent, uint32_t floor_per_s) {
    struct swg_budget *b;
    struct swg_budget_options o = {.percent = percent, .floor_per_s = floor_per_s};
    assert_int_equal(swg_budget_create(&b, &o, START), SWG_OK);
    return b;
}

static void call(struct swg_budget *b, unsigned times, uint64_t now_ns) {
    while (times--)
        swg_budget_count_call(b, now_ns);
}

/* How many retries fit, at most `limit`. */
static unsigned withdraw(struct swg_budget *b, unsigned limit, uint64_t now_ns) {
    unsigned n = 0;
    while (n < limit && swg_budget_withdraw(b, now_ns))
        n++;
    return n;
}

static void a_share_of_the_calls(void **state) {
    struct swg_budget *b = make(20, SWG_BUDGET_NONE);
    assert_false(swg_budget_withdraw(b, START));
    call(b, 99, START);
    assert_int_equal(withdraw(b, 1000, START), 19);
    call(b, 1, START);
    assert_int_equal(withdraw(b, 1000, START), 1);
    swg_budget_destroy(b);
}

static void the_floor_lets_rare_traffic_retry(void **state) {
    struct swg_budget *b = make(SWG_BUDGET_NONE, 3);
    call(b, 1000, START);
    assert_int_equal(withdraw(b, 1000, START), 30);
    swg_budget_destroy(b);
}

static void the_default_is_20_percent_and_10_a_second(void **state) {
    struct swg_budget *b;
    assert_int_equal(swg_budget_create(&b, NULL, START), SWG_OK);
    assert_int_equal(withdraw(b, 1000, START), 100);
    call(b, 50, START);
    assert_int_equal(withdraw(b, 1000, START), 10);
    swg_budget_destroy(b);
}

static void calls_and_retries_leave_the_window(void **state) {
    struct swg_budget *b = make(50, SWG_BUDGET_NONE);
    call(b, 10, START);
    assert_int_equal(withdraw(b, 10, START), 5);
    call(b, 10, START + SWG_SECONDS(5));
    assert_int_equal(withdraw(b, 10, START + SWG_SECONDS(5)), 5);
    /* at 10 s the first calls are out; their retries a tick later, for safety */
    assert_int_equal(withdraw(b, 10, START + SWG_SECONDS(10)), 0);
    call(b, 10, START + SWG_MS(10100));
    assert_int_equal(withdraw(b, 10, START + SWG_MS(10100)), 5);
    assert_int_equal(withdraw(b, 10, START + SWG_SECONDS(100)), 0);
    swg_budget_destroy(b);
}

static void read_tells_the_last_ten_seconds(void **state) {
    struct swg_budget *b = make(100, 1);
    uint64_t calls, retries;
    call(b, 7, START);
    assert_int_equal(withdraw(b, 3, START), 3);
    swg_budget_read(b, &calls, &retries, START + SWG_MS(9999));
    assert_int_equal(calls, 7);
    assert_int_equal(retries, 3);
    swg_budget_read(b, &calls, &retries, START + SWG_SECONDS(10));
    assert_int_equal(calls, 0);
    assert_int_equal(retries, 0);
    swg_budget_destroy(b);
}

static void unlimited_grants_all_and_still_counts(void **state) {
    struct swg_budget *b;
    struct swg_budget_options o = {.unlimited = true};
    uint64_t calls, retries;
    assert_int_equal(swg_budget_create(&b, &o, START), SWG_OK);
    assert_int_equal(withdraw(b, 5000, START), 5000);
    swg_budget_read(b, &calls, &retries, START);
    assert_int_equal(retries, 5000);
    swg_budget_destroy(b);
}

static void configure_keeps_the_counts(void **state) {
    struct swg_budget *b = make(10, SWG_BUDGET_NONE);
    call(b, 100, START);
    assert_int_equal(withdraw(b, 100, START), 10);
    struct swg_budget_options o = {.percent = 30, .floor_per_s = SWG_BUDGET_NONE};
    assert_int_equal(swg_budget_configure(b, &o), SWG_OK);
    assert_int_equal(withdraw(b, 100, START), 20);
    o.percent = 1001;
    assert_int_equal(swg_budget_configure(b, &o), SWG_ERR_RANGE);
    swg_budget_destroy(b);
}

static void options_out_of_range_are_refused(void **state) {
    struct swg_budget *b = (void *)1;
    struct swg_budget_options o = {.percent = 1001};
    assert_int_equal(swg_budget_create(&b, &o, 0), SWG_ERR_RANGE);
    assert_null(b);
    o = (struct swg_budget_options){.floor_per_s = 1000001};
    assert_int_equal(swg_budget_create(&b, &o, 0), SWG_ERR_RANGE);
    assert_null(b);
    o = (struct swg_budget_options){.percent = 1000, .floor_per_s = 1000000};
    assert_int_equal(swg_budget_create(&b, &o, 0), SWG_OK);
    swg_budget_destroy(b);
    swg_budget_destroy(NULL);
}

/* A thread whose reading of the clock is older must not be blind to what
 * threads ahead of it have taken. */
static void a_clock_that_lags_grants_nothing_more(void **state) {
    struct swg_budget *b = make(SWG_BUDGET_NONE, 1);
    assert_int_equal(withdraw(b, 100, START + SWG_MS(500)), 10);
    assert_int_equal(withdraw(b, 100, START + SWG_MS(300)), 0);
    assert_int_equal(withdraw(b, 100, START - SWG_SECONDS(1)), 0);
    swg_budget_destroy(b);
}

static void a_century_of_silence_is_no_trouble(void **state) {
    struct swg_budget *b = make(100, SWG_BUDGET_NONE);
    uint64_t century = START + SWG_HOURS(24) * 36525;
    call(b, 3, START);
    call(b, 4, century);
    assert_int_equal(withdraw(b, 100, century), 4);
    swg_budget_destroy(b);
}

/* Random traffic over a minute: every ten seconds that end with a retry hold
 * the promise, whatever the ticks are. */
static void the_promise_holds_for_every_ten_seconds(void **state) {
    enum { MAX = 40000 };
    static uint64_t calls[MAX], retries[MAX];
    unsigned call_count = 0, retry_count = 0, refused = 0;
    uint64_t seed = 42, now = START;
    struct swg_budget *b = make(20, 2);
    while (now < START + SWG_SECONDS(60) && call_count < MAX && retry_count < MAX) {
        /* traffic comes in bursts, so that the share rises and falls */
        bool busy = now / SWG_SECONDS(3) % 2;
        now += random_up_to(random_next(&seed), busy ? SWG_MS(4) : SWG_MS(60));
        swg_budget_count_call(b, now);
        calls[call_count++] = now;
        if (random_next(&seed) % 100 < 60) {
            if (swg_budget_withdraw(b, now))
                retries[retry_count++] = now;
            else
                refused++;
        }
    }
    swg_budget_destroy(b);
    assert_true(refused > 100 && retry_count > 100);

    unsigned first_call = 0, last_call = 0, first = 0;
    for (unsigned i = 0; i < retry_count; i++) {
        uint64_t until = retries[i];
        while (retries[first] + SWG_SECONDS(10) <= until)
            first++;
        while (last_call < call_count && calls[last_call] <= until)
            last_call++;
        while (calls[first_call] + SWG_SECONDS(10) <= until)
            first_call++;
        uint64_t share = (uint64_t)(last_call - first_call) * 20;
        assert_true((uint64_t)(i - first + 1) * 100 <= share + 2 * 10 * 100);
    }
}

/* ---- threads ---------------------------------------------------------------- */

enum { THREADS = 4, ROUNDS = 5000 };

struct crowd {
    struct swg_budget *budget;
    atomic_uint granted;
};

static void *take(void *arg) {
    struct crowd *c = arg;
    for (int i = 0; i < ROUNDS; i++) {
        swg_budget_count_call(c->budget, START + SWG_MS(i % 50));
        if (swg_budget_withdraw(c->budget, START + SWG_MS(i % 50)))
            atomic_fetch_add(&c->granted, 1);
    }
    return NULL;
}

static void threads_never_overshoot_and_lose_no_call(void **state) {
    struct crowd c = {.budget = make(10, SWG_BUDGET_NONE)};
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, take, &c), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);

    uint64_t calls, retries;
    swg_budget_read(c.budget, &calls, &retries, START + SWG_MS(50));
    assert_int_equal(calls, THREADS * ROUNDS);
    assert_int_equal(retries, c.granted);
    assert_true(c.granted <= THREADS * ROUNDS / 10);
    assert_int_equal(c.granted + withdraw(c.budget, ROUNDS, START + SWG_MS(50)),
                     THREADS * ROUNDS / 10);
    swg_budget_destroy(c.budget);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_share_of_the_calls),
        cmocka_unit_test(the_floor_lets_rare_traffic_retry),
        cmocka_unit_test(the_default_is_20_percent_and_10_a_second),
        cmocka_unit_test(calls_and_retries_leave_the_window),
        cmocka_unit_test(read_tells_the_last_ten_seconds),
        cmocka_unit_test(unlimited_grants_all_and_still_counts),
        cmocka_unit_test(configure_keeps_the_counts),
        cmocka_unit_test(options_out_of_range_are_refused),
        cmocka_unit_test(a_clock_that_lags_grants_nothing_more),
        cmocka_unit_test(a_century_of_silence_is_no_trouble),
        cmocka_unit_test(the_promise_holds_for_every_ten_seconds),
        cmocka_unit_test(threads_never_overshoot_and_lose_no_call),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
