/* disk_log_test.c - segments on a real disk: what is kept, what goes, what
 * survives, and that nothing damaged or removed comes back. */
#include "record_scene.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/disk_log.h"

enum { SMALL = 200, MIB = 1 << 20 };

static char directory[] = "/tmp/disk-log-XXXXXX";
static int64_t wall = 0;
static char body[MIB];

static int64_t wall_ms(void) {
    return wall;
}

/* Writes that fail: the first `writes_left` go through, then each writes at most
 * `bytes_left` altogether. */
static int writes_left;
static size_t bytes_left;

static ssize_t failing_write(int fd, const struct iovec *iov, int count, off_t at) {
    if (writes_left-- > 0)
        return pwritev(fd, iov, count, at);
    size_t n = bytes_left < iov->iov_len ? bytes_left : iov->iov_len;
    bytes_left -= n;
    if (!n) {
        errno = ENOSPC;
        return -1;
    }
    return pwrite(fd, iov->iov_base, n, at);
}

static struct disk_log *start(uint64_t bytes, uint64_t entries, bool failing) {
    struct disk_log *log;
    struct disk_log_options o = {.path = directory,
                                 .bytes_max = bytes,
                                 .entries_max = entries,
                                 .wall_ms = wall_ms,
                                 .write = failing ? failing_write : NULL};
    assert_int_equal(disk_log_create(&log, &o), 0);
    assert_int_equal(disk_log_open(log), 0);
    disk_log_check(log);
    return log;
}

static struct disk_log *usual(void) {
    return start(64 * MIB, 100000, false);
}

static struct disk_log *again(struct disk_log *log) {
    disk_log_destroy(log);
    return usual();
}

static void put_sized(struct disk_log *log, uint32_t number, uint32_t version, size_t len) {
    struct cache_record r = scene_record(number, version, body, len);
    assert_int_equal(disk_log_append(log, &r), 0);
}

static void put(struct disk_log *log, uint32_t number, uint32_t version) {
    put_sized(log, number, version, SMALL);
}

static void drop(struct disk_log *log, uint32_t number) {
    uint8_t key[CACHE_RECORD_KEY];
    scene_key(key, number);
    disk_log_remove(log, key);
}

/* The version that is found; -1: none; -2: damaged. What is found is whole. */
static int get(struct disk_log *log, uint32_t number) {
    struct cache_record r;
    uint8_t key[CACHE_RECORD_KEY];
    char *data;
    scene_key(key, number);
    enum cache_store_result result = disk_log_read(log, key, &r, &data);
    if (result != CACHE_STORE_HIT) {
        assert_null(data);
        return result == CACHE_STORE_MISS ? -1 : -2;
    }
    int version = (int)r.last_modified_s;
    assert_true(scene_is(&r, number, (uint32_t)version));
    free(data);
    return version;
}

static void path_of(char out[100], uint32_t segment) {
    snprintf(out, 100, "%s/%08x.swg", directory, segment);
}

static int setup(void **state) {
    char path[400];
    DIR *dir = opendir(directory);
    for (struct dirent *e; dir && (e = readdir(dir)) != NULL;) {
        snprintf(path, sizeof(path), "%s/%s", directory, e->d_name);
        unlink(path);
    }
    if (dir)
        closedir(dir);
    wall = scene_now_ms;
    return 0;
}

/* ---- keeping ------------------------------------------------------------------- */

static void what_is_put_is_found_also_after_a_restart(void **state) {
    struct disk_log *log = usual();
    for (uint32_t i = 0; i < 5000; i++)
        put(log, i, 1);
    for (uint32_t i = 0; i < 5000; i += 3)
        put(log, i, 2);
    for (int round = 0; round < 2; round++, log = again(log)) {
        for (uint32_t i = 0; i < 5000; i++)
            assert_int_equal(get(log, i), i % 3 ? 1 : 2);
        assert_int_equal(get(log, 5000), -1);
    }
    disk_log_check(log);
    disk_log_destroy(log);
}

static void what_is_removed_stays_so(void **state) {
    struct disk_log *log = usual();
    put(log, 1, 1);
    put(log, 2, 1);
    drop(log, 1);
    drop(log, 3);
    assert_int_equal(get(log, 1), -1);
    log = again(log);
    assert_int_equal(get(log, 1), -1);
    assert_int_equal(get(log, 2), 1);
    put(log, 1, 2);
    log = again(log);
    assert_int_equal(get(log, 1), 2);
    disk_log_destroy(log);
}

static void what_is_over_is_not_found(void **state) {
    struct disk_log *log = usual();
    put(log, 1, 1);
    wall += 659 * 1000;
    assert_int_equal(get(log, 1), 1);
    wall += 2 * 1000;
    assert_int_equal(get(log, 1), -1);
    log = again(log);
    assert_int_equal(get(log, 1), -1);
    disk_log_check(log);
    disk_log_destroy(log);
}

static void one_process_has_the_directory(void **state) {
    struct disk_log *log = usual(), *other;
    struct disk_log_options o = {.path = directory, .bytes_max = 4 * MIB, .entries_max = 10};
    assert_int_equal(disk_log_create(&other, &o), 0);
    assert_int_equal(disk_log_open(other), -EWOULDBLOCK);
    assert_int_equal(get(other, 1), -1);
    disk_log_destroy(log);
    assert_int_equal(disk_log_open(other), 0);
    disk_log_destroy(other);
}

static void a_path_that_is_no_directory_is_an_error(void **state) {
    struct disk_log *log;
    struct disk_log_options o = {.path = "/dev/null", .bytes_max = MIB, .entries_max = 10};
    assert_int_equal(disk_log_create(&log, &o), 0);
    assert_int_equal(disk_log_open(log), -ENOTDIR);
    struct cache_record r = scene_record(1, 1, body, SMALL);
    assert_int_equal(disk_log_append(log, &r), -EAGAIN);
    drop(log, 1);
    assert_int_equal(get(log, 1), -1);
    disk_log_destroy(log);
}

/* ---- limits ---------------------------------------------------------------------- */

static uint64_t bytes_on_disk(void) {
    uint64_t sum = 0;
    for (uint32_t i = 1; i < 4000; i++) {
        char path[100];
        struct stat st;
        path_of(path, i);
        if (stat(path, &st) == 0)
            sum += (uint64_t)st.st_size;
    }
    return sum;
}

static void bytes_are_bounded_and_what_is_read_stays(void **state) {
    enum { MAX = 4 * MIB, ENTRY = 4000 };
    struct disk_log *log = start(MAX, 100000, false);
    int lost = 0;
    for (uint32_t i = 0; i < 5000; i++) {
        put_sized(log, i, 1, ENTRY);
        if (i >= 100 && get(log, i % 50) < 0) { /* asked for again and again */
            put_sized(log, i % 50, 1, ENTRY);
            lost++;
        }
        if (i % 100 == 0) {
            disk_log_check(log);
            assert_true(bytes_on_disk() <= MAX);
        }
    }
    assert_true(lost < 100);
    assert_int_equal(get(log, 51), -1);
    assert_int_equal(get(log, 4999), 1);
    disk_log_destroy(log);
}

static void entries_are_bounded(void **state) {
    struct cache_store_stats stats;
    struct disk_log *log = start(64 * MIB, 50, false);
    for (uint32_t i = 0; i < 1000; i++) {
        put(log, i, 1);
        get(log, i % 7);
        disk_log_check(log);
        disk_log_read_stats(log, &stats);
        assert_true(stats.entries <= 50);
        assert_int_equal(get(log, i), 1);
    }
    disk_log_destroy(log);
    log = start(64 * MIB, 10, false); /* less than what is there */
    disk_log_read_stats(log, &stats);
    assert_true(stats.entries <= 10);
    disk_log_destroy(log);
}

static void a_smaller_bound_after_a_restart(void **state) {
    struct disk_log *log = usual();
    for (uint32_t i = 0; i < 60; i++)
        put_sized(log, i, 1, MIB - 1000);
    disk_log_destroy(log);
    assert_true(bytes_on_disk() > 50 * MIB);
    log = start(4 * MIB, 1000, false);
    put(log, 1, 2);
    disk_log_check(log);
    disk_log_destroy(log);
}

static void what_is_longer_than_a_segment_voids_what_it_replaces(void **state) {
    struct disk_log *log = start(4 * MIB, 1000, false);
    put(log, 1, 1);
    struct cache_record r = scene_record(1, 2, body, 80 * 1024);
    assert_int_equal(disk_log_append(log, &r), -E2BIG);
    assert_int_equal(get(log, 1), -1);
    log = again(log);
    assert_int_equal(get(log, 1), -1);
    disk_log_destroy(log);
}

/* ---- damage ------------------------------------------------------------------------ */

/* Three records, 1 replaced by its second version. */
static size_t three_records(char *whole, size_t room) {
    struct disk_log *log = usual();
    char path[100];
    put(log, 1, 1);
    put(log, 2, 1);
    put(log, 1, 2);
    put(log, 3, 1);
    drop(log, 3);
    disk_log_destroy(log);
    path_of(path, 1);
    int fd = open(path, O_RDONLY);
    ssize_t n = read(fd, whole, room);
    close(fd);
    assert_true(n > 0 && (size_t)n < room);
    return (size_t)n;
}

static void write_segment(const char *bytes, size_t len) {
    char path[100];
    setup(NULL);
    path_of(path, 1);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_int_equal(write(fd, bytes, len), len);
    close(fd);
}

static void any_flipped_byte_hides_and_never_lies(void **state) {
    static char whole[8192];
    size_t len = three_records(whole, sizeof(whole));
    for (size_t i = 0; i < len; i++) {
        whole[i] ^= 0x41;
        write_segment(whole, len);
        struct disk_log *log = usual();
        int first = get(log, 1), second = get(log, 2), third = get(log, 3);
        if ((first != 2 && first != -1 && first != -2) || (second < -2 || second == 0) ||
            third >= 0)
            fail_msg("byte %zu: %d %d %d", i, first, second, third);
        put(log, 1, 3); /* and it goes on */
        assert_int_equal(get(log, 1), 3);
        disk_log_check(log);
        disk_log_destroy(log);
        whole[i] ^= 0x41;
    }
}

static void any_length_is_a_prefix(void **state) {
    static char whole[8192];
    size_t len = three_records(whole, sizeof(whole));
    size_t record = (len - CACHE_RECORD_EXTRA) / 4;
    for (size_t cut = 0; cut <= len; cut++) {
        write_segment(whole, cut);
        struct disk_log *log = usual();
        size_t records = cut / record;
        assert_int_equal(get(log, 1), records >= 3 ? 2 : records >= 1 ? 1 : -1);
        assert_int_equal(get(log, 2), records >= 2 ? 1 : -1);
        assert_int_equal(get(log, 3), records >= 4 && cut < len ? 1 : -1);
        put(log, 2, 5);
        disk_log_destroy(log);
        log = usual();
        assert_int_equal(get(log, 2), 5);
        disk_log_destroy(log);
    }
}

/* A body that looks like a record is a body, also behind a damaged header. */
static void a_record_in_a_body_is_not_found(void **state) {
    struct disk_log *log = usual();
    struct cache_record forged = scene_record(9, 9, body, SMALL);
    struct bytes inner = scene_bytes(&forged);
    struct cache_record r = scene_record(1, 1, body, 0);
    char path[100];
    r.body = inner;
    assert_int_equal(disk_log_append(log, &r), 0);
    disk_log_destroy(log);
    path_of(path, 1);
    int fd = open(path, O_WRONLY);
    assert_int_equal(pwrite(fd, "X", 1, 0), 1);
    close(fd);
    log = usual();
    assert_int_equal(get(log, 9), -1);
    disk_log_destroy(log);
    free((void *)inner.at);
}

/* What the damaged part said may have been that older records are void. */
static void damage_voids_what_is_older(void **state) {
    struct disk_log *log = usual();
    char path[100];
    put(log, 1, 1);
    log = again(log);
    put(log, 2, 1);
    drop(log, 1);
    log = again(log);
    put(log, 4, 1);
    disk_log_destroy(log);
    path_of(path, 2);
    int fd = open(path, O_WRONLY);
    assert_int_equal(pwrite(fd, "X", 1, 20), 1);
    close(fd);
    log = usual();
    assert_int_equal(get(log, 1), -1);
    assert_int_equal(get(log, 4), 1);
    disk_log_check(log);
    disk_log_destroy(log);
}

static void strange_files_do_not_matter(void **state) {
    char path[100];
    struct disk_log *log = usual();
    put(log, 1, 1);
    disk_log_destroy(log);
    static const char *const names[] = {"00000002.swg.bak", "x", "0000000g.swg", "00000000.swg"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", directory, names[i]);
        int fd = open(path, O_WRONLY | O_CREAT, 0600);
        assert_int_equal(write(fd, "hello", 5), 5);
        close(fd);
    }
    path_of(path, 7);
    assert_int_equal(symlink("/etc/passwd", path), 0);
    log = again(usual());
    unlink(path);
    snprintf(path, sizeof(path), "%s/x", directory);
    assert_int_equal(access(path, F_OK), 0);
    disk_log_destroy(log);
}

/* ---- failing writes ------------------------------------------------------------------ */

/* Every write failing, after every number of bytes: what is found is whole and
 * current, now and after a restart. */
static void a_full_disk_at_every_byte(void **state) {
    for (size_t room = 0; room < 700; room += 3) {
        setup(NULL);
        struct disk_log *log = start(64 * MIB, 1000, true);
        writes_left = 2;
        bytes_left = room;
        put(log, 1, 1);
        put(log, 2, 1);
        struct cache_record r = scene_record(1, 2, body, SMALL);
        int error = disk_log_append(log, &r);
        int now = get(log, 1);
        assert_int_equal(now, error ? -1 : 2);
        disk_log_check(log);
        writes_left = 1000;
        put(log, 3, 1);
        log = again(log);
        assert_int_equal(get(log, 1), now);
        assert_int_equal(get(log, 3), 1);
        assert_true(get(log, 2) != 0 && get(log, 2) != -2);
        disk_log_destroy(log);
    }
}

static void a_removal_that_cannot_be_written_is_one_nevertheless(void **state) {
    struct disk_log *log = start(64 * MIB, 1000, true);
    writes_left = 2;
    bytes_left = 0;
    put(log, 1, 1);
    put(log, 2, 1);
    drop(log, 1);
    assert_int_equal(get(log, 1), -1);
    log = again(log);
    assert_int_equal(get(log, 1), -1);
    disk_log_destroy(log);
}

static void a_directory_that_vanishes(void **state) {
    struct disk_log *log = start(4 * MIB, 1000, false);
    char path[100], path2[100];
    put(log, 1, 1);
    path_of(path, 1);
    snprintf(path2, sizeof(path2), "%s/lock", directory);
    assert_int_equal(unlink(path) | unlink(path2) | rmdir(directory), 0);
    assert_int_equal(get(log, 1), 1); /* its files are open still */
    int error = 0;
    for (uint32_t i = 0; i < 100 && !error; i++) {
        struct cache_record r = scene_record(i, 1, body, 4000);
        error = disk_log_append(log, &r);
    }
    assert_int_equal(error, -ENOENT);
    assert_int_equal(disk_log_open(log), 0);
    assert_int_equal(get(log, 1), -1);
    put(log, 1, 2);
    assert_int_equal(get(log, 1), 2);
    disk_log_destroy(log);
}

static void a_clock_that_jumps(void **state) {
    struct disk_log *log = usual();
    put(log, 1, 1);
    wall -= INT64_C(1000) * 86400 * 365;
    assert_int_equal(get(log, 1), 1);
    log = again(log);
    assert_int_equal(get(log, 1), 1);
    wall = INT64_MAX / 2;
    assert_int_equal(get(log, 1), -1);
    put(log, 2, 1);
    assert_int_equal(get(log, 2), -1); /* over before it came */
    wall = scene_now_ms;
    put(log, 2, 2);
    assert_int_equal(get(log, 2), 2);
    disk_log_check(log);
    disk_log_destroy(log);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(what_is_put_is_found_also_after_a_restart, setup),
        cmocka_unit_test_setup(what_is_removed_stays_so, setup),
        cmocka_unit_test_setup(what_is_over_is_not_found, setup),
        cmocka_unit_test_setup(one_process_has_the_directory, setup),
        cmocka_unit_test_setup(a_path_that_is_no_directory_is_an_error, setup),
        cmocka_unit_test_setup(bytes_are_bounded_and_what_is_read_stays, setup),
        cmocka_unit_test_setup(entries_are_bounded, setup),
        cmocka_unit_test_setup(a_smaller_bound_after_a_restart, setup),
        cmocka_unit_test_setup(what_is_longer_than_a_segment_voids_what_it_replaces, setup),
        cmocka_unit_test_setup(any_flipped_byte_hides_and_never_lies, setup),
        cmocka_unit_test_setup(any_length_is_a_prefix, setup),
        cmocka_unit_test_setup(a_record_in_a_body_is_not_found, setup),
        cmocka_unit_test_setup(damage_voids_what_is_older, setup),
        cmocka_unit_test_setup(strange_files_do_not_matter, setup),
        cmocka_unit_test_setup(a_full_disk_at_every_byte, setup),
        cmocka_unit_test_setup(a_removal_that_cannot_be_written_is_one_nevertheless, setup),
        cmocka_unit_test_setup(a_directory_that_vanishes, setup),
        cmocka_unit_test_setup(a_clock_that_jumps, setup),
    };
    if (!mkdtemp(directory))
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    setup(NULL);
    rmdir(directory);
    return failed;
}
