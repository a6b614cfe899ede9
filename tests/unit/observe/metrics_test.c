/* The registry: series, their bound, and many threads at once. */
#include "observe/metrics.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "observe/metrics_text.h"

enum { WORKERS = 4 };

static const struct metric_desc plain = {
    .name = "plain_total", .type = METRIC_COUNTER, .help = "Plain."};
static const struct metric_desc labelled = {.name = "labelled_total",
                                            .type = METRIC_COUNTER,
                                            .help = "Labelled.",
                                            .series_max = 100,
                                            .labels = {{"a", "one"}, {"b", "two"}}};
static const struct metric_desc gauge = {.name = "gauge", .type = METRIC_GAUGE, .help = "A gauge."};
static const struct metric_desc duration = {.name = "took_seconds",
                                            .type = METRIC_HISTOGRAM,
                                            .unit = "seconds",
                                            .help = "How long.",
                                            .labels = {{"a", "one"}}};

static struct metrics *m;

static int set_up(void **state) {
    return metrics_create(&m, WORKERS);
}

static int tear_down(void **state) {
    metrics_destroy(m);
    return 0;
}

static struct metric_series *find(struct metric_family *f, const char *a, const char *b) {
    return metrics_series(f, (const char *[]){a, b});
}

static void finds_the_same_series_again(void **state) {
    struct metric_family *f = metrics_family(m, &labelled);
    assert_ptr_equal(metrics_family(m, &labelled), f);
    struct metric_series *s = find(f, "x", "y");
    assert_ptr_equal(find(f, "x", "y"), s);
    assert_ptr_not_equal(find(f, "xy", ""), s);
    assert_ptr_not_equal(find(f, "", "xy"), s);
    assert_ptr_not_equal(find(f, "", "xy"), find(f, "xy", ""));
    assert_ptr_equal(find(f, NULL, "xy"), find(f, "", "xy"));
    struct metric_family *p = metrics_family(m, &plain);
    assert_ptr_equal(metrics_series(p, NULL), metrics_series(p, NULL));
}

static void adds_up_what_each_thread_counts(void **state) {
    struct metric_series *s = metrics_series(metrics_family(m, &plain), NULL);
    for (unsigned worker = 0; worker <= WORKERS; worker++)
        counter_add(s, worker, 1 + worker);
    assert_int_equal(counter_read(s), 15);

    s = metrics_series(metrics_family(m, &gauge), NULL);
    gauge_add(s, 0, 5);
    gauge_add(s, 1, -7); /* closed by another thread than opened it */
    assert_int_equal(gauge_read(s), -2);
    gauge_set(s, WORKERS, 10);
    gauge_set(s, WORKERS, 12);
    assert_int_equal(gauge_read(s), 10);
}

static void keeps_series_apart(void **state) {
    struct metric_family *f = metrics_family(m, &duration);
    struct metric_series *all[70]; /* more than one block of cells */
    char name[8];
    for (unsigned i = 0; i < 70; i++) {
        snprintf(name, sizeof(name), "%u", i);
        all[i] = metrics_series(f, (const char *[]){name});
        for (unsigned worker = 0; worker <= WORKERS; worker++)
            for (unsigned n = 0; n <= i; n++)
                histogram_observe(all[i], worker, UINT64_C(1000000) << (n % 16));
    }
    for (unsigned i = 0; i < 70; i++) {
        struct histogram h = {{0}, 0};
        uint64_t sum = 0;
        for (unsigned n = 0; n <= i; n++)
            sum += UINT64_C(1000000) << (n % 16);
        histogram_read(all[i], &h);
        assert_int_equal(histogram_count(&h), (i + 1) * (WORKERS + 1));
        assert_int_equal(h.sum_ns, sum * (WORKERS + 1));
    }
}

static void check_overflow(struct metric_series *s, const char *const *values, void *arg) {
    unsigned *series = arg;
    (*series)++;
    if (strcmp(values[0], "overflow") == 0 && strcmp(values[1], "overflow") == 0)
        assert_int_equal(counter_read(s), 50);
    else
        assert_int_equal(counter_read(s), 1);
}

static void counts_under_overflow_what_is_too_many(void **state) {
    struct metric_family *f = metrics_family(m, &labelled);
    char name[16];
    unsigned series = 0;
    for (unsigned i = 0; i < 150; i++) {
        snprintf(name, sizeof(name), "%u", i);
        counter_add(find(f, name, "x"), 0, 1);
    }
    assert_int_equal(metrics_overflowed(f), 50);
    metrics_each(f, check_overflow, &series);
    assert_int_equal(series, 101);
    counter_add(find(f, "99", "x"), 0, 0); /* those that are known stay known */
    assert_int_equal(metrics_overflowed(f), 50);
}

static void too_long_label_values_overflow(void **state) {
    static char value[20000];
    memset(value, 'x', sizeof(value) - 1);
    struct metric_family *f = metrics_family(m, &labelled);
    counter_add(find(f, value, "x"), 0, 1);
    assert_int_equal(metrics_overflowed(f), 1);
}

/* ---- many threads ---------------------------------------------------------- */

enum { ROUNDS = 2000, NAMES = 120 }; /* 20 more than fit */

struct worker {
    unsigned index;
    pthread_barrier_t *start;
    struct metric_family *f;
    pthread_t thread;
};

static void *count_many(void *arg) {
    struct worker *w = arg;
    char name[16];
    pthread_barrier_wait(w->start);
    for (unsigned i = 0; i < ROUNDS; i++) {
        snprintf(name, sizeof(name), "%u", i % NAMES);
        counter_add(find(w->f, name, "x"), w->index, 1);
    }
    return NULL;
}

static void add_value(struct metric_series *s, const char *const *values, void *arg) {
    *(uint64_t *)arg += counter_read(s);
}

enum { FRESH = 100 };

static struct metric_series *found[WORKERS][FRESH];

static void *find_fresh(void *arg) {
    struct worker *w = arg;
    char name[16];
    for (unsigned i = 0; i < FRESH; i++) {
        snprintf(name, sizeof(name), "%u", i);
        pthread_barrier_wait(w->start);
        found[w->index][i] = find(w->f, name, "x");
    }
    return NULL;
}

static void start_workers(struct worker *workers, struct metric_family *f, pthread_barrier_t *start,
                          void *(*run)(void *)) {
    pthread_barrier_init(start, NULL, WORKERS);
    for (unsigned i = 0; i < WORKERS; i++) {
        workers[i] = (struct worker){.index = i, .start = start, .f = f};
        assert_int_equal(pthread_create(&workers[i].thread, NULL, run, &workers[i]), 0);
    }
}

static void join_workers(struct worker *workers, pthread_barrier_t *start) {
    for (unsigned i = 0; i < WORKERS; i++)
        pthread_join(workers[i].thread, NULL);
    pthread_barrier_destroy(start);
}

/* All threads ask for the same new name at the same moment, again and again. */
static void threads_make_one_series_of_a_name(void **state) {
    struct worker workers[WORKERS];
    pthread_barrier_t start;
    start_workers(workers, metrics_family(m, &labelled), &start, find_fresh);
    join_workers(workers, &start);
    for (unsigned worker = 1; worker < WORKERS; worker++)
        for (unsigned i = 0; i < FRESH; i++)
            assert_ptr_equal(found[worker][i], found[0][i]);
}

static void loses_no_count_with_many_threads(void **state) {
    struct worker workers[WORKERS];
    pthread_barrier_t start;
    struct metric_family *f = metrics_family(m, &labelled);
    start_workers(workers, f, &start, count_many);
    uint64_t before = 0, now;
    for (int i = 0; i < 50; i++) { /* scraping meanwhile; totals only grow */
        struct buf text;
        buf_init(&text, 1 << 20);
        assert_int_equal(metrics_write(m, &text, METRICS_PROMETHEUS), 0);
        buf_free(&text);
        now = 0;
        metrics_each(f, add_value, &now);
        assert_true(now >= before);
        before = now;
    }
    join_workers(workers, &start);
    now = 0;
    metrics_each(f, add_value, &now);
    assert_int_equal(now, WORKERS * ROUNDS);
}

#define METRICS_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        METRICS_TEST(finds_the_same_series_again),
        METRICS_TEST(adds_up_what_each_thread_counts),
        METRICS_TEST(keeps_series_apart),
        METRICS_TEST(counts_under_overflow_what_is_too_many),
        METRICS_TEST(too_long_label_values_overflow),
        METRICS_TEST(threads_make_one_series_of_a_name),
        METRICS_TEST(loses_no_count_with_many_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
