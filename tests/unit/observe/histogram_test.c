#include "observe/histogram.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { MS = 1000000 };

static void observe(struct histogram *h, uint64_t ns, unsigned times) {
    h->buckets[histogram_bucket(ns)] += times;
    h->sum_ns += ns * times;
}

static void bounds_belong_to_the_bucket_below(void **state) {
    assert_int_equal(histogram_bucket(0), 0);
    for (unsigned i = 0; i < HISTOGRAM_BOUNDS; i++) {
        assert_int_equal(histogram_bucket(histogram_bounds_ns[i]), i);
        assert_int_equal(histogram_bucket(histogram_bounds_ns[i] + 1), i + 1);
    }
    assert_int_equal(histogram_bucket(UINT64_MAX), HISTOGRAM_BOUNDS);
}

static void estimates_quantiles(void **state) {
    struct histogram h = {{0}, 0};
    assert_int_equal(histogram_quantile_ns(&h, 500), 0);
    observe(&h, 8 * MS, 100); /* 5 to 10 ms */
    assert_int_equal(histogram_quantile_ns(&h, 0), 5 * MS);
    assert_int_equal(histogram_quantile_ns(&h, 500), 7500000);
    assert_int_equal(histogram_quantile_ns(&h, 1000), 10 * MS);
    observe(&h, 80 * MS, 100); /* 50 to 100 ms */
    assert_int_equal(histogram_quantile_ns(&h, 500), 10 * MS);
    assert_int_equal(histogram_quantile_ns(&h, 750), 75 * MS);
    observe(&h, UINT64_C(60000) * MS, 1000);
    assert_int_equal(histogram_quantile_ns(&h, 990), UINT64_C(30000) * MS);
}

static void adds_and_subtracts(void **state) {
    struct histogram a = {{0}, 0}, b = {{0}, 0};
    observe(&a, 8 * MS, 3);
    observe(&b, 80 * MS, 2);
    histogram_add(&a, &b);
    assert_int_equal(histogram_count(&a), 5);
    assert_int_equal(a.sum_ns, 184 * MS);
    histogram_subtract(&a, &b);
    assert_int_equal(histogram_count(&a), 3);
    assert_int_equal(a.sum_ns, 24 * MS);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bounds_belong_to_the_bucket_below),
        cmocka_unit_test(estimates_quantiles),
        cmocka_unit_test(adds_and_subtracts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
