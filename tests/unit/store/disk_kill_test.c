/* disk_kill_test.c - what a killed process has left is whole, and never void.
 *
 *     store_disk_kill_test             a slice
 *     store_disk_kill_test SEED COUNT  so many kills
 *
 * A child appends and removes at random and tells through a pipe what it has
 * done; it is killed at a random moment, in the middle of whatever it does then.
 * The next one takes the directory over, and all that is found there must be
 * what was told last, or what was being done then. */
#include "record_scene.h"

#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "store/disk_log.h"

enum { NUMBERS = 300, REMOVED = 0, BODY_MAX = 6000 };

static uint64_t random_state = 1;
static uint32_t kills = 25;
static char directory[] = "/tmp/disk-kill-XXXXXX";

struct deed {
    uint32_t number, version; /* REMOVED: it was removed */
    uint32_t done;            /* 0: about to do it */
};

static uint32_t told[NUMBERS];  /* the version that is there, if any is */
static uint32_t about[NUMBERS]; /* UINT32_MAX: nothing; else what was being done */
static uint32_t next_version = 1;

static uint64_t draw(uint64_t below) {
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (random_state >> 33) % below;
}

static int64_t wall_ms(void) {
    return scene_now_ms;
}

static struct disk_log *start(void) {
    struct disk_log *log;
    struct disk_log_options o = {
        .path = directory, .bytes_max = 4 << 20, .entries_max = 200, .wall_ms = wall_ms};
    assert_int_equal(disk_log_create(&log, &o), 0);
    assert_int_equal(disk_log_open(log), 0);
    disk_log_check(log);
    return log;
}

/* ---- the child ------------------------------------------------------------------ */

/* In one write: the parent sees all of it or nothing. */
static void tell(int pipe, struct deed d) {
    if (write(pipe, &d, sizeof d) != sizeof d)
        _exit(1);
}

static void live(int pipe) {
    static char body[BODY_MAX];
    struct disk_log *log = start();
    for (;;) {
        struct deed d = {.number = (uint32_t)draw(NUMBERS)};
        if (draw(4))
            d.version = next_version++;
        tell(pipe, d);
        struct cache_record r = scene_record(d.number, d.version, body, draw(BODY_MAX));
        if (d.version == REMOVED)
            disk_log_remove(log, r.key);
        else if (disk_log_append(log, &r) < 0)
            _exit(2);
        d.done = 1;
        tell(pipe, d);
    }
}

/* ---- the parent ------------------------------------------------------------------- */

static void note(const struct deed *d) {
    if (d->version >= next_version)
        next_version = d->version + 1;
    about[d->number] = d->done ? UINT32_MAX : d->version;
    if (d->done)
        told[d->number] = d->version;
}

static void look(struct disk_log *log, uint32_t number, int *found) {
    struct cache_record r;
    uint8_t key[CACHE_RECORD_KEY];
    char *data;
    scene_key(key, number);
    enum cache_store_result result = disk_log_read(log, key, &r, &data);
    if (result == CACHE_STORE_MISS)
        return;
    assert_int_equal(result, CACHE_STORE_HIT);
    uint32_t version = (uint32_t)r.last_modified_s;
    assert_true(scene_is(&r, number, version));
    bool current = version == told[number] || version == about[number];
    if (!current || version == REMOVED)
        fail_msg("%u: version %u, not %u or %u", number, version, told[number], about[number]);
    free(data);
    ++*found;
}

static void one_life(int *found) {
    int ends[2];
    struct deed d;
    assert_int_equal(pipe(ends), 0);
    uint64_t deeds = 1 + draw(600), seed = draw(UINT32_MAX);
    pid_t child = fork();
    if (child == 0) {
        close(ends[0]);
        random_state = seed;
        live(ends[1]);
    }
    close(ends[1]);
    for (uint64_t i = 0; i < deeds; i++) {
        assert_int_equal(read(ends[0], &d, sizeof d), sizeof d);
        note(&d);
    }
    struct timespec moment = {0, (long)draw(200000)};
    nanosleep(&moment, NULL); /* somewhere in the next deeds */
    kill(child, SIGKILL);
    while (read(ends[0], &d, sizeof d) == sizeof d)
        note(&d);
    close(ends[0]);
    int status;
    waitpid(child, &status, 0);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    struct disk_log *log = start();
    for (uint32_t n = 0; n < NUMBERS; n++)
        look(log, n, found);
    disk_log_destroy(log);
}

static void killed_at_any_moment(void **state) {
    int found = 0;
    memset(about, 0xff, sizeof about);
    for (uint32_t i = 0; i < kills; i++)
        one_life(&found);
    assert_true(found > 0);
    print_message("%u kills, %d answers found\n", kills, found);
}

static void clean_up(void) {
    char path[400];
    DIR *dir = opendir(directory);
    for (struct dirent *e; dir && (e = readdir(dir)) != NULL;) {
        snprintf(path, sizeof(path), "%s/%s", directory, e->d_name);
        unlink(path);
    }
    if (dir)
        closedir(dir);
    rmdir(directory);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(killed_at_any_moment)};
    if (argc == 3) {
        random_state = strtoull(argv[1], NULL, 10);
        kills = (uint32_t)strtoul(argv[2], NULL, 10);
    }
    if (!mkdtemp(directory))
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    clean_up();
    return failed;
}
