/* Each allocation fails once, in turn, in a whole life of the registry and of
 * the events: nothing crashes, nothing leaks (AddressSanitizer looks), errors
 * are told, and what does not need the memory goes on. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "observe/events.h"
#include "observe/metrics_text.h"

/* The linker sends the allocations of the whole program here (--wrap). */
void *__real_malloc(size_t);
void *__real_calloc(size_t, size_t);
void *__real_realloc(void *, size_t);
void *__real_aligned_alloc(size_t, size_t);
void *__wrap_malloc(size_t);
void *__wrap_calloc(size_t, size_t);
void *__wrap_realloc(void *, size_t);
void *__wrap_aligned_alloc(size_t, size_t);

static unsigned until_failure; /* 0: none will fail */
static bool failed;

static bool fails_now(void) {
    if (until_failure == 0 || --until_failure > 0)
        return false;
    failed = true;
    return true;
}

void *__wrap_malloc(size_t size) {
    return fails_now() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size) {
    return fails_now() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size) {
    return fails_now() ? NULL : __real_realloc(old, size);
}

void *__wrap_aligned_alloc(size_t align, size_t size) {
    return fails_now() ? NULL : __real_aligned_alloc(align, size);
}

static const struct metric_desc counter = {
    .name = "count_total", .type = METRIC_COUNTER, .help = "A count.", .labels = {{"a", "one"}}};
static const struct metric_desc took = {
    .name = "took_seconds", .type = METRIC_HISTOGRAM, .unit = "seconds", .help = "How long."};

static struct metric_family *counter_family;

static void emit(struct metrics_scrape *scrape, void *arg) {
    metrics_emit(scrape, counter_family, (const char *[]){"collected"}, 1);
}

static void add_value(struct metric_series *s, const char *const *values, void *arg) {
    *(uint64_t *)arg += counter_read(s);
}

static int use_families(struct metrics *m) {
    char name[16];
    uint64_t sum = 0;
    counter_family = metrics_family(m, &counter);
    struct metric_family *took_family = metrics_family(m, &took);
    if (!counter_family || !took_family)
        return -ENOMEM;
    for (unsigned i = 0; i < 40; i++) {
        snprintf(name, sizeof(name), "%u", i);
        counter_add(metrics_series(counter_family, (const char *[]){name}), 0, 1);
    }
    metrics_each(counter_family, add_value, &sum);
    assert_int_equal(sum, 40); /* under its own name, or under overflow */
    histogram_observe(metrics_series(took_family, NULL), 0, 5);
    return 0;
}

static int live_with_metrics(void) {
    struct metrics *m;
    struct buf text;
    int error = metrics_create(&m, 3);
    if (error)
        return error;
    error = use_families(m);
    if (!error)
        error = metrics_collect(m, emit, NULL);
    buf_init(&text, 1 << 20);
    if (!error)
        error = metrics_write(m, &text, METRICS_PROMETHEUS);
    buf_free(&text);
    metrics_destroy(m);
    return error;
}

static int live_with_events(void) {
    static struct event got[100];
    struct events *e;
    bool gap;
    int error = events_create(&e, NULL);
    if (error)
        return error;
    for (unsigned i = 1; i <= 30; i++)
        assert_int_equal(events_add(e, &(struct event_info){.service = "a", .kind = "k"}), i);
    size_t n = events_read(e, 0, "a", got, 100, &gap);
    assert_int_equal(got[n - 1].sequence, 30);
    for (size_t i = 1; i < n; i++)
        assert_true(got[i].sequence > got[i - 1].sequence);
    assert_true(n == 30 || gap);
    assert_true(n >= 29);
    events_destroy(e);
    return 0;
}

/* Runs it with the first allocation failing, then the second, and so on, until
 * none is left to fail. Returns how many there were. */
static unsigned fail_each(int (*live)(void), unsigned *errors) {
    unsigned n = 0;
    *errors = 0;
    do {
        failed = false;
        until_failure = ++n;
        int error = live();
        until_failure = 0;
        assert_true(error == 0 || (failed && error == -ENOMEM));
        *errors += error != 0;
    } while (failed);
    return n - 1;
}

static void metrics_live_through_it(void **state) {
    unsigned errors, allocations = fail_each(live_with_metrics, &errors);
    assert_true(allocations > 80);  /* two for each series */
    assert_in_range(errors, 8, 30); /* a series is not worth an error, the rest is */
}

static void events_live_through_it(void **state) {
    unsigned errors;
    assert_int_equal(fail_each(live_with_events, &errors), 4); /* itself; 8, 16, 32 events */
    assert_int_equal(errors, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(metrics_live_through_it),
        cmocka_unit_test(events_live_through_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
