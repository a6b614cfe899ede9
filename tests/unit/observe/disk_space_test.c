/* Room on disks, and on one that does not answer. */
#include "observe/disk_space.h"

#include <errno.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static struct metrics *metrics;
static sem_t asked, may_answer;

int __real_statvfs64(const char *path, struct statvfs *out);
int __wrap_statvfs64(const char *path, struct statvfs *out);

/* What statvfs() is where files are large. A disk whose server is away keeps whoever asks. */
int __wrap_statvfs64(const char *path, struct statvfs *out) {
    if (!strcmp(path, "/gone")) {
        sem_post(&asked);
        while (sem_wait(&may_answer) && errno == EINTR)
            ;
        path = "/";
    }
    return __real_statvfs64(path, out);
}

static int set_up(void **state) {
    sem_init(&asked, 0, 0);
    sem_init(&may_answer, 0, 0);
    return metrics_create(&metrics, 1);
}

static int tear_down(void **state) {
    metrics_destroy(metrics);
    return 0;
}

static void read_when_known(struct disk_space *d, uint32_t count, struct disk_reading *out) {
    const struct timespec a_little = {.tv_nsec = 1000000};
    for (uint32_t known = 0; known < count;) {
        assert_int_equal(disk_space_read(d, out), count);
        known = 0;
        for (uint32_t i = 0; i < count; i++)
            known += out[i].known;
        nanosleep(&a_little, NULL);
    }
}

static void figures_of_a_file_and_a_directory(void **state) {
    const struct disk_place places[] = {{"store", "/tmp/no-such-file.db"}, {"cache", "/tmp"}};
    struct disk_reading r[DISK_PLACES_MAX];
    struct disk_space *d;
    struct statvfs v;
    assert_int_equal(disk_space_create(&d, metrics, places, 2), 0);
    read_when_known(d, 2, r);
    assert_int_equal(__real_statvfs64("/tmp", &v), 0);
    for (int i = 0; i < 2; i++) {
        assert_string_equal(r[i].name, places[i].name);
        assert_string_equal(r[i].path, places[i].path);
        assert_int_equal(r[i].size_bytes, (uint64_t)v.f_blocks * v.f_frsize);
        assert_true(r[i].free_bytes <= r[i].size_bytes);
    }
    disk_space_destroy(d);
}

static void a_name_alone_is_in_the_present_directory(void **state) {
    const struct disk_place places[] = {{"store", "nobody-has-made-this.db"}};
    struct disk_reading r[DISK_PLACES_MAX];
    struct disk_space *d;
    assert_int_equal(disk_space_create(&d, metrics, places, 1), 0);
    read_when_known(d, 1, r);
    disk_space_destroy(d);
}

static void nothing_to_ask_is_no_thread(void **state) {
    struct disk_reading r[DISK_PLACES_MAX];
    struct disk_space *d;
    assert_int_equal(disk_space_create(&d, metrics, NULL, 0), 0);
    assert_int_equal(disk_space_read(d, r), 0);
    disk_space_destroy(d);
}

/* Neither reading nor the end waits for it. */
static void a_disk_that_does_not_answer_holds_up_nobody(void **state) {
    const struct disk_place places[] = {{"store", "/tmp"}, {"cache", "/gone"}};
    struct disk_reading r[DISK_PLACES_MAX];
    struct disk_space *d;
    assert_int_equal(disk_space_create(&d, metrics, places, 2), 0);
    while (sem_wait(&asked) && errno == EINTR)
        ;
    assert_int_equal(disk_space_read(d, r), 2);
    assert_true(r[0].known);
    assert_false(r[1].known);
    disk_space_destroy(d);
    sem_post(&may_answer); /* long after, the thread frees what it still had */
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(figures_of_a_file_and_a_directory),
        TEST(a_name_alone_is_in_the_present_directory),
        TEST(nothing_to_ask_is_no_thread),
        TEST(a_disk_that_does_not_answer_holds_up_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
