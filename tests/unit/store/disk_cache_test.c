/* disk_cache_test.c - the disk for event loops: questions and answers between
 * threads, limits, an end in the middle, and a directory that is somebody else's. */
#include "record_scene.h"

#include <dirent.h>
#include <pthread.h>
#include <sys/file.h>
#include <unistd.h>

#include "store/disk_cache.h"

enum { THREADS = 3, ROUNDS = 400, NUMBERS = 40, BODY = 700 };

static char directory[] = "/tmp/disk-cache-XXXXXX";

/* ---- a loop that only takes what is posted ----------------------------------------- */

struct mail {
    struct io io;
    pthread_mutex_t lock;
    pthread_cond_t came;
    struct io_task *first;
};

static void mail_post(struct io *io, struct io_task *task) {
    struct mail *m = container_of(io, struct mail, io);
    pthread_mutex_lock(&m->lock);
    task->next = m->first;
    m->first = task;
    pthread_cond_signal(&m->came);
    pthread_mutex_unlock(&m->lock);
}

static void mail_init(struct mail *m) {
    static const struct io_ops ops = {.post = mail_post};
    *m = (struct mail){.io = {.ops = &ops}};
    pthread_mutex_init(&m->lock, NULL);
    pthread_cond_init(&m->came, NULL);
}

static struct io_task *mail_take(struct mail *m) {
    pthread_mutex_lock(&m->lock);
    while (!m->first)
        pthread_cond_wait(&m->came, &m->lock);
    struct io_task *task = m->first;
    m->first = task->next;
    pthread_mutex_unlock(&m->lock);
    return task;
}

/* ---- its state -------------------------------------------------------------------------- */

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int error, count;
} said = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0};

static void on_state(void *arg, int error, const struct cache_store_stats *stats) {
    (void)arg, (void)stats;
    pthread_mutex_lock(&said.lock);
    said.error = error;
    said.count++;
    pthread_cond_broadcast(&said.changed);
    pthread_mutex_unlock(&said.lock);
}

static int wait_said(int count) {
    pthread_mutex_lock(&said.lock);
    while (said.count < count)
        pthread_cond_wait(&said.changed, &said.lock);
    int error = said.error;
    pthread_mutex_unlock(&said.lock);
    return error;
}

static int64_t wall_ms(void) {
    return scene_now_ms;
}

static struct cache_store *start(void) {
    struct cache_store *store;
    struct disk_cache_options o = {
        .log = {.path = directory, .bytes_max = 4 << 20, .entries_max = 1000, .wall_ms = wall_ms},
        .retry_ns = 1000000,
        .on_state = on_state};
    said.count = 0;
    assert_int_equal(disk_cache_create(&store, &o), 0);
    return store;
}

static void finish(struct cache_store *store) {
    disk_cache_stop(store);
    disk_cache_destroy(store);
}

/* ---- what a user does ---------------------------------------------------------------------- */

struct asking {
    struct cache_question question;
    int answered;
};

static void on_answer(struct cache_question *q) {
    container_of(q, struct asking, question)->answered++;
}

static int begin(struct cache_store *store, struct asking *a, struct mail *m, uint32_t number) {
    *a = (struct asking){.question = {.io = &m->io, .on_answer = on_answer}};
    scene_key(a->question.key, number);
    return store->ops->ask(store, &a->question);
}

static enum cache_store_result ask(struct cache_store *store, struct mail *m, uint32_t number,
                                   uint32_t *version) {
    struct asking a;
    while (begin(store, &a, m, number) < 0)
        ;
    struct io_task *task = mail_take(m);
    task->run(task);
    assert_int_equal(a.answered, 1);
    if (a.question.result == CACHE_STORE_HIT) {
        *version = (uint32_t)a.question.record.last_modified_s;
        assert_true(scene_is(&a.question.record, number, *version));
    }
    free(a.question.data);
    return a.question.result;
}

static void put(struct cache_store *store, uint32_t number, uint32_t version) {
    char *body = malloc(BODY);
    struct cache_record r = scene_record(number, version, body, BODY);
    store->ops->put(store, &r, body, free);
}

static void drop(struct cache_store *store, uint32_t number) {
    uint8_t key[CACHE_RECORD_KEY];
    scene_key(key, number);
    store->ops->remove(store, key);
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
    return 0;
}

/* ---- tests ------------------------------------------------------------------------------------
 */

static void what_is_put_outlasts_an_end(void **state) {
    struct mail m;
    uint32_t version = 0;
    mail_init(&m);
    struct cache_store *store = start();
    assert_int_equal(wait_said(1), 0);
    for (uint32_t i = 0; i < 100; i++)
        put(store, i, 1);
    drop(store, 7);
    finish(store); /* writes what waits */
    store = start();
    assert_int_equal(wait_said(1), 0);
    for (uint32_t i = 0; i < 100; i++)
        assert_int_equal(ask(store, &m, i, &version), i == 7 ? CACHE_STORE_MISS : CACHE_STORE_HIT);
    finish(store);
}

/* Each thread has numbers of its own to write, and reads all. */
static void *use(void *arg) {
    struct cache_store *store = *(struct cache_store **)arg;
    uint32_t self = (uint32_t)(((struct cache_store **)arg)[1] != NULL), version;
    struct mail m;
    mail_init(&m);
    for (uint32_t i = 1; i <= ROUNDS; i++) {
        uint32_t number = i * 7 % NUMBERS + self * NUMBERS;
        if (i % 5 == 0)
            drop(store, number);
        else
            put(store, number, i);
        enum cache_store_result r = ask(store, &m, i * 11 % (2 * NUMBERS), &version);
        assert_true(r == CACHE_STORE_HIT || r == CACHE_STORE_MISS);
    }
    return NULL;
}

static void many_threads_at_once(void **state) {
    pthread_t threads[THREADS];
    struct cache_store *args[THREADS][2] = {0};
    struct cache_store *store = start();
    struct cache_store_stats stats;
    assert_int_equal(wait_said(1), 0);
    for (int i = 0; i < THREADS; i++) {
        args[i][0] = store;
        args[i][1] = i ? store : NULL;
        pthread_create(&threads[i], NULL, use, args[i]);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    store->ops->read(store, &stats);
    assert_int_equal(stats.damaged, 0);
    finish(store);
}

/* An end while questions wait: each is answered, and once. */
static void an_end_answers_everybody(void **state) {
    enum { COUNT = 500 };
    static struct asking asking[COUNT];
    struct mail m;
    mail_init(&m);
    struct cache_store *store = start();
    assert_int_equal(wait_said(1), 0);
    put(store, 1, 1);
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(begin(store, &asking[i], &m, 1), 0);
    disk_cache_stop(store);
    for (int i = 0; i < COUNT; i++) {
        struct io_task *task = mail_take(&m);
        task->run(task);
    }
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(asking[i].answered, 1);
        free(asking[i].question.data);
    }
    struct asking late;
    assert_int_equal(begin(store, &late, &m, 1), -EAGAIN);
    put(store, 2, 1);
    drop(store, 2);
    disk_cache_destroy(store);
}

/* While another has the directory nothing is found or kept; what is removed
 * meanwhile is removed when it comes free. */
static void a_directory_of_somebody_else(void **state) {
    struct disk_log *other;
    struct disk_log_options o = {
        .path = directory, .bytes_max = 4 << 20, .entries_max = 1000, .wall_ms = wall_ms};
    struct mail m;
    struct asking a;
    uint32_t version;
    static char body[BODY];
    mail_init(&m);
    assert_int_equal(disk_log_create(&other, &o), 0);
    assert_int_equal(disk_log_open(other), 0);
    for (uint32_t i = 1; i <= 2; i++) {
        struct cache_record r = scene_record(i, 1, body, BODY);
        assert_int_equal(disk_log_append(other, &r), 0);
    }
    struct cache_store *store = start();
    assert_int_equal(wait_said(1), -EWOULDBLOCK);
    assert_int_equal(begin(store, &a, &m, 1), -EAGAIN);
    put(store, 3, 1);
    drop(store, 1);
    disk_log_destroy(other);
    assert_int_equal(wait_said(2), 0);
    while (ask(store, &m, 1, &version) != CACHE_STORE_MISS)
        ; /* the removal is behind the opening */
    assert_int_equal(ask(store, &m, 2, &version), CACHE_STORE_HIT);
    assert_int_equal(ask(store, &m, 3, &version), CACHE_STORE_MISS);
    finish(store);
}

/* More removals than can be remembered: then nothing is believed. */
static void too_many_removals_are_all(void **state) {
    struct disk_log *other;
    struct disk_log_options o = {
        .path = directory, .bytes_max = 4 << 20, .entries_max = 1000, .wall_ms = wall_ms};
    struct mail m;
    uint32_t version;
    static char body[BODY];
    mail_init(&m);
    assert_int_equal(disk_log_create(&other, &o), 0);
    assert_int_equal(disk_log_open(other), 0);
    struct cache_record r = scene_record(1, 1, body, BODY);
    assert_int_equal(disk_log_append(other, &r), 0);
    struct cache_store *store = start();
    assert_int_equal(wait_said(1), -EWOULDBLOCK);
    for (uint32_t i = 0; i <= DISK_CACHE_REMOVES_MAX; i++)
        drop(store, 1000 + i);
    disk_log_destroy(other);
    assert_int_equal(wait_said(2), 0);
    while (ask(store, &m, 1, &version) != CACHE_STORE_MISS)
        ;
    finish(store);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(what_is_put_outlasts_an_end, setup),
        cmocka_unit_test_setup(many_threads_at_once, setup),
        cmocka_unit_test_setup(an_end_answers_everybody, setup),
        cmocka_unit_test_setup(a_directory_of_somebody_else, setup),
        cmocka_unit_test_setup(too_many_removals_are_all, setup),
    };
    if (!mkdtemp(directory))
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    setup(NULL);
    rmdir(directory);
    return failed;
}
