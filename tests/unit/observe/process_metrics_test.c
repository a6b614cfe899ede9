/* The figures against what this process knows about itself. */
#include "observe/process_metrics.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static struct metrics *m;
static struct process_metrics *p;

static int set_up(void **state) {
    return metrics_create(&m, 1) || process_metrics_create(&p, m);
}

static int tear_down(void **state) {
    process_metrics_destroy(p);
    metrics_destroy(m);
    return 0;
}

static void counts_descriptors_also_when_none_is_left(void **state) {
    struct process_figures before, after;
    struct rlimit old, tight;
    process_figures_read(p, &before);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    tight = old;
    tight.rlim_cur = before.open_fds + 20;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
    int fds[64], count = 0;
    while (count < 64 && (fds[count] = dup(0)) >= 0)
        count++;
    process_figures_read(p, &after);
    for (int i = 0; i < count; i++)
        close(fds[i]);
    setrlimit(RLIMIT_NOFILE, &old);
    assert_in_range(count, 1, 63);
    assert_int_equal(after.open_fds, before.open_fds + (uint64_t)count);
    assert_int_equal(after.max_fds, tight.rlim_cur);
    assert_true(after.resident_bytes > 0);
}

static void sees_memory_and_cpu_grow(void **state) {
    enum { SIZE = 64 << 20 };
    struct process_figures before, after;
    process_figures_read(p, &before);
    char *memory = malloc(SIZE);
    memset(memory, 1, SIZE);
    process_figures_read(p, &after);
    assert_int_equal(memory[SIZE / 2], 1);
    free(memory);
    assert_true(after.resident_bytes >= before.resident_bytes + SIZE / 2);
    assert_true(after.cpu_seconds > before.cpu_seconds);
}

static void started_not_in_the_future(void **state) {
    struct process_figures now;
    process_figures_read(p, &now);
    assert_true(now.start_time_seconds > 1577836800); /* 2020 */
    assert_true(now.start_time_seconds <= (double)time(NULL) + 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_descriptors_also_when_none_is_left),
        cmocka_unit_test(sees_memory_and_cpu_grow),
        cmocka_unit_test(started_not_in_the_future),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
