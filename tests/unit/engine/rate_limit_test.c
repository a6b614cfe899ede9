/* rate_limit_test.c - the rate holds exactly, at one limiter and many threads. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <switchgear/rate_limit.h>
#include <switchgear/time.h>

#define START SWG_SECONDS(1000)

static const struct swg_rate_options ten_a_second = {
    .calls = 10, .per_ns = SWG_SECONDS(1), .burst = 5};

static unsigned admit_many(struct swg_rate_limiter *l, const struct swg_rate_options *o,
                           unsigned limit, uint64_t now_ns) {
    unsigned n = 0;
    while (n < limit && swg_rate_admit(l, o, now_ns, NULL))
        n++;
    return n;
}

static void a_burst_and_then_evenly(void **state) {
    struct swg_rate_limiter l = {0};
    uint64_t retry_in = 99;
    assert_int_equal(admit_many(&l, &ten_a_second, 100, START), 5);
    assert_false(swg_rate_admit(&l, &ten_a_second, START, &retry_in));
    assert_int_equal(retry_in, SWG_MS(100));
    assert_false(swg_rate_admit(&l, &ten_a_second, START + SWG_MS(100) - 1, &retry_in));
    assert_int_equal(retry_in, 1);
    assert_true(swg_rate_admit(&l, &ten_a_second, START + SWG_MS(100), &retry_in));
    assert_int_equal(retry_in, 0);
    assert_false(swg_rate_admit(&l, &ten_a_second, START + SWG_MS(100), NULL));
}

static void the_rate_holds_over_time(void **state) {
    struct swg_rate_limiter l = {0};
    unsigned admitted = 0;
    for (uint64_t t = 0; t < 10000; t++)
        admitted += swg_rate_admit(&l, &ten_a_second, START + SWG_MS(t), NULL);
    assert_int_equal(admitted, 5 + 99);
}

static void silence_saves_up_one_burst_and_no_more(void **state) {
    struct swg_rate_limiter l = {0};
    assert_int_equal(admit_many(&l, &ten_a_second, 100, START), 5);
    assert_int_equal(admit_many(&l, &ten_a_second, 100, START + SWG_MS(250)), 2);
    assert_int_equal(admit_many(&l, &ten_a_second, 100, START + SWG_HOURS(1)), 5);
}

static void the_default_burst_is_one_second_of_calls(void **state) {
    struct swg_rate_limiter l = {0};
    struct swg_rate_options o = {.calls = 100, .per_ns = SWG_SECONDS(1)};
    assert_int_equal(admit_many(&l, &o, 1000, START), 100);
    struct swg_rate_limiter slow = {0};
    o = (struct swg_rate_options){.calls = 6, .per_ns = SWG_MINUTES(1)};
    assert_int_equal(admit_many(&slow, &o, 1000, START), 1);
    assert_int_equal(admit_many(&slow, &o, 1000, START + SWG_SECONDS(10) - 1), 0);
    assert_int_equal(admit_many(&slow, &o, 1000, START + SWG_SECONDS(10)), 1);
}

static void no_calls_is_no_limit(void **state) {
    struct swg_rate_limiter l = {0};
    struct swg_rate_options o = {0};
    uint64_t retry_in = 5;
    assert_int_equal(admit_many(&l, &o, 10000, START), 10000);
    assert_true(swg_rate_admit(&l, &o, START, &retry_in));
    assert_int_equal(retry_in, 0);
}

static void rounding_never_admits_more(void **state) {
    struct swg_rate_limiter l = {0};
    struct swg_rate_options o = {.calls = 7, .per_ns = 1000, .burst = 1};
    unsigned admitted = 0;
    for (uint64_t t = 0; t < 7000; t++) /* 142.86 ns each are 143 */
        admitted += swg_rate_admit(&l, &o, START + t, NULL);
    assert_int_equal(admitted, 49);
}

/* A reload from a long burst to a short one must not leave a client shut out
 * for as long as the old burst lasted. */
static void a_smaller_limit_takes_over_at_once(void **state) {
    struct swg_rate_limiter l = {0};
    struct swg_rate_options hour = {.calls = 1, .per_ns = SWG_SECONDS(1), .burst = 3600};
    assert_int_equal(admit_many(&l, &hour, 5000, START), 3600);
    uint64_t retry_in = 0;
    assert_false(swg_rate_admit(&l, &ten_a_second, START, &retry_in));
    assert_int_equal(retry_in, SWG_MS(100));
    assert_true(swg_rate_admit(&l, &ten_a_second, START + SWG_MS(100), NULL));
    assert_false(swg_rate_admit(&l, &ten_a_second, START + SWG_MS(100), NULL));
}

/* Threads read their clocks at different times; the one behind must not give
 * back what the one ahead has used. */
static void a_clock_that_lags_admits_nothing_more(void **state) {
    struct swg_rate_limiter l = {0};
    assert_int_equal(admit_many(&l, &ten_a_second, 100, START + SWG_MS(500)), 5);
    assert_int_equal(admit_many(&l, &ten_a_second, 100, START), 0);
    assert_int_equal(admit_many(&l, &ten_a_second, 100, START + SWG_MS(500)), 0);
}

static void absurd_options_do_not_overflow(void **state) {
    struct swg_rate_limiter l = {0};
    struct swg_rate_options o = {.calls = UINT64_MAX, .per_ns = 1, .burst = UINT64_MAX};
    assert_true(swg_rate_admit(&l, &o, START, NULL));
    struct swg_rate_limiter slow = {0};
    o = (struct swg_rate_options){.calls = 1, .per_ns = UINT64_MAX / 4, .burst = 1000000};
    assert_true(swg_rate_admit(&slow, &o, START, NULL));
    assert_false(swg_rate_admit(&slow, &o, START, NULL));
    /* a burst of more than time has is cut, not wrapped: 2^10 times 2^60 */
    struct swg_rate_limiter wide = {0};
    o = (struct swg_rate_options){.calls = 1, .per_ns = UINT64_C(1) << 60, .burst = 1024};
    assert_in_range(admit_many(&wide, &o, 100, START), 2, 4);
}

/* ---- threads ---------------------------------------------------------------- */

enum { THREADS = 4, ROUNDS = 5000, BURST = 777 };

struct crowd {
    struct swg_rate_limiter limiter;
    atomic_uint admitted;
};

static void *ask(void *arg) {
    static const struct swg_rate_options o = {.calls = 1, .per_ns = SWG_SECONDS(1), .burst = BURST};
    struct crowd *c = arg;
    for (int i = 0; i < ROUNDS; i++) {
        if (swg_rate_admit(&c->limiter, &o, START, NULL))
            atomic_fetch_add(&c->admitted, 1);
    }
    return NULL;
}

static void threads_share_one_limit_exactly(void **state) {
    struct crowd c = {0};
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ask, &c), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(c.admitted, BURST);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_burst_and_then_evenly),
        cmocka_unit_test(the_rate_holds_over_time),
        cmocka_unit_test(silence_saves_up_one_burst_and_no_more),
        cmocka_unit_test(the_default_burst_is_one_second_of_calls),
        cmocka_unit_test(no_calls_is_no_limit),
        cmocka_unit_test(rounding_never_admits_more),
        cmocka_unit_test(a_smaller_limit_takes_over_at_once),
        cmocka_unit_test(a_clock_that_lags_admits_nothing_more),
        cmocka_unit_test(absurd_options_do_not_overflow),
        cmocka_unit_test(threads_share_one_limit_exactly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
