/* Limits of control groups, from a tree of files such as the kernel shows; and that a
 * process that works is seen to. */
#include "observe/system_figures.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static char root[64];

static void put(const char *file, const char *text) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", root, file);
    for (char *slash = path + strlen(root) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        mkdir(path, 0700);
        *slash = '/';
    }
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static int set_up(void **state) {
    snprintf(root, sizeof root, "/tmp/swg-cgroup-XXXXXX");
    return mkdtemp(root) ? 0 : -1;
}

static int tear_down(void **state) {
    char command[100];
    snprintf(command, sizeof command, "rm -r %s", root);
    return system(command);
}

static void the_tightest_limit_counts(void **state) {
    struct cgroup_limits l;
    put("kube/pod/box/memory.max", "max\n");
    put("kube/pod/box/memory.current", "1000\n");
    put("kube/pod/box/cpu.max", "150000 100000\n");
    put("kube/pod/memory.max", "500000\n");
    put("kube/pod/memory.current", "2000\n");
    put("kube/pod/cpu.max", "max 100000\n");
    put("kube/memory.max", "900000\n");
    put("kube/memory.current", "3000\n");
    put("kube/cpu.max", "400000 100000\n");
    cgroup_limits_read(root, "12:cpu:/other\n0::/kube/pod/box\n", &l);
    assert_int_equal(l.memory_limit_bytes, 500000);
    assert_int_equal(l.memory_used_bytes, 2000);
    assert_true(l.cpu_limit > 1.49 && l.cpu_limit < 1.51);
}

static void in_a_namespace_the_group_is_the_root(void **state) {
    struct cgroup_limits l;
    put("memory.max", "123456\n");
    cgroup_limits_read(root, "0::/\n", &l);
    assert_int_equal(l.memory_limit_bytes, 123456);
    assert_int_equal(l.memory_used_bytes, 0); /* no such file */
    assert_true(l.cpu_limit <= 0);
}

static void what_is_not_understood_is_no_limit(void **state) {
    static const char *const memberships[] = {
        "", "\n", "0::", "0::x", "1:name=systemd:/a\n2:cpu:/a\n", "0::/../../a", "0::/a/../b"};
    struct cgroup_limits l;
    put("a/memory.max", "many\n");
    put("a/cpu.max", "-5 0\n");
    put("memory.max", "");
    put("b/memory.max", "1\n");
    for (size_t i = 0; i < sizeof memberships / sizeof memberships[0]; i++) {
        cgroup_limits_read(root, memberships[i], &l);
        assert_int_equal(l.memory_limit_bytes, 0);
    }
    cgroup_limits_read(root, "0::/a\n", &l);
    assert_int_equal(l.memory_limit_bytes, 0);
    assert_true(l.cpu_limit <= 0);
}

static void work_is_seen(void **state) {
    struct metrics *m;
    struct system_meter *meter;
    struct system_figures f;
    assert_int_equal(metrics_create(&m, 1), 0);
    assert_int_equal(system_meter_create(&meter, m), 0);
    system_figures_read(meter, &f);
    assert_true(f.cpu_usage < 0); /* nothing to compare with yet */
    assert_true(f.cpu_limit > 0);
    assert_true(f.memory_limit_bytes > 1 << 20);
    assert_true(f.memory_limit_bytes <= f.memory_machine_bytes);
    for (clock_t begun = clock(); f.cpu_usage < 0;) {
        while (clock() - begun < CLOCKS_PER_SEC / 20)
            ;
        begun = clock();
        system_meter_sample(meter);
        system_figures_read(meter, &f);
    }
    assert_true(f.cpu_usage > 0 && f.cpu_usage < 64);
    system_meter_destroy(meter);
    metrics_destroy(m);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(the_tightest_limit_counts),
        TEST(in_a_namespace_the_group_is_the_root),
        TEST(what_is_not_understood_is_no_limit),
        TEST(work_is_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
