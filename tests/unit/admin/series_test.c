/* series_test.c - points in their order, with holes, and never too many. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "admin/series.h"
#include "scene.h"

static void add(struct series *s, uint64_t number) {
    struct series_point p = {.requests = (uint32_t)number};
    series_add(s, number, &p);
}

static void the_newest_are_kept(void **state) {
    struct series s = {0};
    (void)state;
    assert_null(series_at(&s, 0));
    for (uint64_t n = 1; n <= 3 * SERIES_POINTS; n++)
        add(&s, n);
    assert_null(series_at(&s, 2 * SERIES_POINTS));
    assert_null(series_at(&s, 3 * SERIES_POINTS + 1));
    for (uint64_t n = 2 * SERIES_POINTS + 1; n <= 3 * SERIES_POINTS; n++)
        assert_int_equal(series_at(&s, n)->requests, n);
}

static void who_comes_late_has_nothing_before(void **state) {
    struct series s = {0};
    (void)state;
    add(&s, 1000);
    assert_null(series_at(&s, 999));
    assert_int_equal(series_at(&s, 1000)->requests, 1000);
}

static void holes_are_points_of_nothing(void **state) {
    struct series s = {0};
    (void)state;
    add(&s, 5);
    add(&s, 8);
    assert_int_equal(series_at(&s, 5)->requests, 5);
    assert_int_equal(series_at(&s, 6)->requests, 0);
    assert_int_equal(series_at(&s, 7)->requests, 0);
    assert_int_equal(series_at(&s, 8)->requests, 8);
    add(&s, 8 + SERIES_POINTS); /* exactly all of them are between */
    assert_null(series_at(&s, 8));
    assert_int_equal(series_at(&s, 9)->requests, 0);
    add(&s, UINT64_C(1) << 60); /* not filled one by one */
    assert_int_equal(s.count, 1);
}

static void large_numbers_are_capped(void **state) {
    struct histogram none = {0};
    struct series_point p = series_point_make(UINT64_MAX, 1, UINT32_MAX, &none);
    (void)state;
    assert_int_equal(p.requests, UINT32_MAX);
    assert_int_equal(p.server_errors, 1);
    assert_int_equal(p.fallback, UINT32_MAX);
    assert_int_equal(p.p95_us, 0);
}

/* The pulse makes points; the API tells them, and only the new ones when asked. */
static void points_are_told(void **state) {
    struct scene s;
    (void)state;
    scene_init(&s, "127.0.0.1", NULL);
    atomic_fetch_add(&scene_service(&s, "shop")->tally[1]->answered, 7);
    for (int i = 0; i < 3 * SERIES_SAMPLES; i++)
        fake_io_pass(&s.io, RECORD_INTERVAL_NS);
    const char *all = scene_ask(&s, "GET", "/api/v1/series", "", "");
    assert_int_equal(scene_status(all), 200);
    assert_non_null(strstr(all, "\"interval_seconds\":4,\"first\":1,\"last\":3,"));
    assert_non_null(strstr(all, "\"shop\":{\"requests\":[0,0,0]"));
    assert_non_null(strstr(all, "\"fallback\":[7,0,0],\"p50_ms\":[null,null,null]"));
    const char *rest = scene_ask(&s, "GET", "/api/v1/series?after=2", "", "");
    assert_non_null(strstr(rest, "\"first\":3,\"last\":3,"));
    assert_non_null(strstr(rest, "\"fallback\":[0]"));
    const char *none = scene_ask(&s, "GET", "/api/v1/series?after=3", "", "");
    assert_non_null(strstr(none, "\"fallback\":[]"));
    const char *stranger = scene_ask(&s, "GET", "/api/v1/series?after=99", "", "");
    assert_non_null(strstr(stranger, "\"first\":1,"));
    assert_int_equal(scene_status(scene_ask(&s, "GET", "/api/v1/series?after=x", "", "")), 400);
    scene_free(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_newest_are_kept),
        cmocka_unit_test(who_comes_late_has_nothing_before),
        cmocka_unit_test(holes_are_points_of_nothing),
        cmocka_unit_test(large_numbers_are_capped),
        cmocka_unit_test(points_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
