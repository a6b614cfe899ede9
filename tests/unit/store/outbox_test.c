/* outbox_test.c - what an outbox keeps, and what it refuses. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "store/outbox.h"

#define SECRET "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define OTHER  "100102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

static char directory[] = "/tmp/outbox-XXXXXX";
static char file[64];
static char why[300];
static int64_t now_ms = 1000000;

static int64_t clock_ms(void) {
    return now_ms;
}

static struct outbox *start(const char *secret) {
    struct outbox *o;
    int error = outbox_open(
        &o, &(struct outbox_options){.file = file, .secret = secret, .clock_ms = clock_ms}, why,
        sizeof why);
    if (error)
        fail_msg("%s", why);
    return o;
}

static int start_fails(const char *path, const char *secret) {
    struct outbox *o;
    int error =
        outbox_open(&o, &(struct outbox_options){.file = path, .secret = secret}, why, sizeof why);
    assert_null(o);
    return error;
}

static void describe(struct outbox_op *op, const char *key, const char *body) {
    outbox_op_init(op, OUTBOX_APPEND, NULL, NULL);
    op->entry.service = BYTES("payments");
    op->entry.lane = BYTES("account 7");
    op->entry.key = bytes_of(key);
    op->entry.method = BYTES("POST");
    op->entry.target = BYTES("/charge?x=\"'");
    op->entry.fields = BYTES("Content-Type: application/json\r\n");
    op->entry.body = bytes_of(body);
    op->entry.expires_ms = 5000000;
}

/* The number and id of a new entry. */
static struct outbox_entry append(struct outbox *o, const char *key, const char *body) {
    struct outbox_op op;
    describe(&op, key, body);
    assert_int_equal(outbox_do(o, &op), 0);
    struct outbox_entry e = op.entry;
    outbox_op_free(&op);
    return e;
}

static int with_sequence(struct outbox *o, struct outbox_op *op, enum outbox_verb verb,
                         uint64_t sequence) {
    outbox_op_init(op, verb, NULL, NULL);
    op->entry.sequence = sequence;
    return outbox_do(o, op);
}

static int settle(struct outbox *o, uint64_t sequence, enum outbox_state state) {
    struct outbox_op op;
    outbox_op_init(&op, OUTBOX_SETTLE, NULL, NULL);
    op.entry.sequence = sequence;
    op.entry.state = state;
    op.entry.status = 422;
    op.entry.note = BYTES("no such account");
    int error = outbox_do(o, &op);
    outbox_op_free(&op);
    return error;
}

static int by_id(struct outbox *o, struct outbox_op *op, enum outbox_verb verb, const char *id) {
    outbox_op_init(op, verb, NULL, NULL);
    memcpy(op->entry.id, id, OUTBOX_ID_LEN);
    return outbox_do(o, op);
}

static void assert_bytes(struct bytes got, const char *wanted) {
    assert_int_equal(got.len, strlen(wanted));
    assert_memory_equal(got.at, wanted, got.len);
}

static int clean(void **state) {
    static const char *const ends[] = {"", "-wal", "-shm", "-owner"};
    char path[80];
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        snprintf(path, sizeof path, "%s%s", file, ends[i]);
        unlink(path);
    }
    return 0;
}

/* ---- what it keeps -------------------------------------------------------------- */

static void an_entry_is_kept_whole(void **state) {
    struct outbox *o = start(NULL);
    struct outbox_entry e = append(o, "k1", "{\"amount\": 5}");
    outbox_close(o);
    o = start(NULL);
    struct outbox_op op;
    assert_int_equal(with_sequence(o, &op, OUTBOX_LOAD, e.sequence), 0);
    assert_string_equal(op.entry.id, e.id);
    assert_int_equal(strlen(op.entry.id), OUTBOX_ID_LEN);
    assert_int_equal(op.entry.state, OUTBOX_QUEUED);
    assert_int_equal(op.entry.accepted_ms, now_ms);
    assert_int_equal(op.entry.expires_ms, 5000000);
    assert_int_equal(op.entry.settled_ms, 0);
    assert_int_equal(op.entry.attempts, 0);
    assert_bytes(op.entry.service, "payments");
    assert_bytes(op.entry.lane, "account 7");
    assert_bytes(op.entry.key, "k1");
    assert_bytes(op.entry.method, "POST");
    assert_bytes(op.entry.target, "/charge?x=\"'");
    assert_bytes(op.entry.fields, "Content-Type: application/json\r\n");
    assert_bytes(op.entry.body, "{\"amount\": 5}");
    outbox_op_free(&op);
    outbox_close(o);
}

static void bytes_of_any_kind_are_kept(void **state) {
    struct outbox *o = start(NULL);
    struct outbox_op op;
    char body[256];
    for (int i = 0; i < 256; i++)
        body[i] = (char)i;
    describe(&op, "k", "");
    op.entry.body = (struct bytes){body, sizeof body};
    op.entry.lane = (struct bytes){body, 3};
    op.entry.fields = (struct bytes){0};
    assert_int_equal(outbox_do(o, &op), 0);
    uint64_t sequence = op.entry.sequence;
    outbox_op_free(&op);
    assert_int_equal(with_sequence(o, &op, OUTBOX_LOAD, sequence), 0);
    assert_int_equal(op.entry.body.len, sizeof body);
    assert_memory_equal(op.entry.body.at, body, sizeof body);
    assert_int_equal(op.entry.lane.len, 3);
    assert_int_equal(op.entry.fields.len, 0);
    outbox_op_free(&op);
    outbox_close(o);
}

static void the_same_request_twice_is_one_entry(void **state) {
    struct outbox *o = start(NULL);
    struct outbox_entry e = append(o, "k1", "five");
    struct outbox_op op;
    describe(&op, "k1", "five");
    assert_int_equal(outbox_do(o, &op), -EEXIST);
    assert_string_equal(op.entry.id, e.id);
    assert_int_equal(op.entry.sequence, e.sequence);
    outbox_op_free(&op);
    /* also when it has been delivered long ago */
    assert_int_equal(settle(o, e.sequence, OUTBOX_SENT), 0);
    describe(&op, "k1", "five");
    assert_int_equal(outbox_do(o, &op), -EEXIST);
    assert_int_equal(op.entry.state, OUTBOX_SENT);
    outbox_op_free(&op);
    describe(&op, "k1", "six");
    assert_int_equal(outbox_do(o, &op), -ENOTUNIQ);
    outbox_op_free(&op);
    /* another service has keys of its own */
    describe(&op, "k1", "six");
    op.entry.service = BYTES("mail");
    assert_int_equal(outbox_do(o, &op), 0);
    outbox_op_free(&op);
    outbox_close(o);
}

/* Of one time lie together, and yet nobody guesses one. */
static void ids_begin_with_the_time(void **state) {
    struct outbox *o = start(NULL);
    struct outbox_entry a = append(o, "k1", "{}"), b = append(o, "k2", "{}");
    char wanted[13];
    snprintf(wanted, sizeof wanted, "%012llx", (unsigned long long)now_ms);
    assert_memory_equal(a.id, wanted, 12);
    assert_memory_equal(b.id, wanted, 12);
    assert_memory_not_equal(a.id + 12, b.id + 12, OUTBOX_ID_LEN - 12);
    assert_int_equal(strspn(a.id, "0123456789abcdef"), OUTBOX_ID_LEN);
    outbox_close(o);
}

static void an_attempt_is_noted(void **state) {
    struct outbox *o = start(NULL);
    struct outbox_entry e = append(o, "k", "x");
    struct outbox_op op;
    outbox_op_init(&op, OUTBOX_NOTE, NULL, NULL);
    op.entry.sequence = e.sequence;
    op.entry.attempts = 3;
    op.entry.status = 503;
    op.entry.note = BYTES("busy");
    assert_int_equal(outbox_do(o, &op), 0);
    outbox_op_free(&op);
    assert_int_equal(by_id(o, &op, OUTBOX_FIND, e.id), 0);
    assert_int_equal(op.entry.attempts, 3);
    assert_int_equal(op.entry.status, 503);
    assert_bytes(op.entry.note, "busy");
    assert_null(op.entry.body.at);
    assert_int_equal(op.entry.content_len, 1 + strlen("Content-Type: application/json\r\n"));
    outbox_op_free(&op);
    outbox_close(o);
}

static void what_is_sent_loses_its_content_and_is_remembered(void **state) {
    struct outbox *o = start(NULL);
    struct outbox_entry e = append(o, "k", "secret body");
    struct outbox_op op;
    now_ms += 5;
    assert_int_equal(settle(o, e.sequence, OUTBOX_SENT), 0);
    assert_int_equal(settle(o, e.sequence, OUTBOX_DEAD), -ENOENT);
    assert_int_equal(with_sequence(o, &op, OUTBOX_LOAD, e.sequence), -ENOENT);
    outbox_op_free(&op);
    assert_int_equal(by_id(o, &op, OUTBOX_FIND, e.id), 0);
    assert_int_equal(op.entry.state, OUTBOX_SENT);
    assert_int_equal(op.entry.settled_ms, now_ms);
    assert_int_equal(op.entry.status, 422);
    outbox_op_free(&op);
    outbox_close(o);
}

static void a_dead_one_can_be_retried_behind_all_others(void **state) {
    struct outbox *o = start(NULL);
    struct outbox_entry a = append(o, "a", "first"), b = append(o, "b", "second");
    struct outbox_op op;
    assert_int_equal(by_id(o, &op, OUTBOX_RETRY, a.id), -ENOENT);
    outbox_op_free(&op);
    assert_int_equal(settle(o, a.sequence, OUTBOX_DEAD), 0);
    assert_int_equal(by_id(o, &op, OUTBOX_RETRY, a.id), 0);
    assert_int_equal(op.entry.state, OUTBOX_QUEUED);
    assert_true(op.entry.sequence > b.sequence);
    uint64_t sequence = op.entry.sequence;
    outbox_op_free(&op);
    assert_true(append(o, "c", "third").sequence > sequence);
    assert_int_equal(with_sequence(o, &op, OUTBOX_LOAD, sequence), 0);
    assert_bytes(op.entry.body, "first");
    outbox_op_free(&op);
    outbox_close(o);
}

static void settled_ones_are_forgotten_after_a_day(void **state) {
    struct outbox *o = start(NULL);
    struct outbox_entry sent = append(o, "a", "x"), dead = append(o, "b", "x"),
                        queued = append(o, "c", "x");
    struct outbox_op op;
    assert_int_equal(settle(o, sent.sequence, OUTBOX_SENT), 0);
    assert_int_equal(settle(o, dead.sequence, OUTBOX_DEAD), 0);
    now_ms += 24 * 3600 * 1000;
    append(o, "d", "x");
    assert_int_equal(by_id(o, &op, OUTBOX_FIND, sent.id), 0);
    outbox_op_free(&op);
    now_ms += 61 * 1000;
    append(o, "e", "x");
    assert_int_equal(by_id(o, &op, OUTBOX_FIND, sent.id), -ENOENT);
    outbox_op_free(&op);
    assert_int_equal(by_id(o, &op, OUTBOX_FIND, dead.id), 0);
    outbox_op_free(&op);
    assert_int_equal(by_id(o, &op, OUTBOX_FIND, queued.id), 0);
    outbox_op_free(&op);
    outbox_close(o);
}

static void a_list_shows_what_is_asked_for(void **state) {
    struct outbox *o = start(NULL);
    struct outbox_entry e[5];
    struct outbox_op op;
    for (int i = 0; i < 5; i++)
        e[i] = append(o, (char[]){(char)('a' + i), 0}, "x");
    assert_int_equal(settle(o, e[1].sequence, OUTBOX_DEAD), 0);
    outbox_op_init(&op, OUTBOX_LIST, NULL, NULL);
    op.filter.state = OUTBOX_QUEUED;
    op.filter.after = e[0].sequence;
    op.filter.limit = 2;
    op.filter.service = BYTES("payments");
    assert_int_equal(outbox_do(o, &op), 0);
    assert_int_equal(op.count, 2);
    assert_string_equal(op.found[0].id, e[2].id);
    assert_string_equal(op.found[1].id, e[3].id);
    outbox_op_free(&op);
    outbox_op_init(&op, OUTBOX_LIST, NULL, NULL);
    op.filter.service = BYTES("mail");
    assert_int_equal(outbox_do(o, &op), 0);
    assert_int_equal(op.count, 0);
    outbox_op_free(&op);
    outbox_close(o);
}

static void what_is_not_there_is_told(void **state) {
    struct outbox *o = start(NULL);
    struct outbox_op op;
    assert_int_equal(with_sequence(o, &op, OUTBOX_LOAD, 77), -ENOENT);
    outbox_op_free(&op);
    assert_int_equal(by_id(o, &op, OUTBOX_FIND, "00000000000000000000000000000000"), -ENOENT);
    outbox_op_free(&op);
    assert_int_equal(settle(o, 77, OUTBOX_SENT), -ENOENT);
    outbox_close(o);
}

/* ---- groups ------------------------------------------------------------------------ */

struct crowd {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint32_t left, failed;
};

static struct crowd crowd = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0};

static void on_done(struct outbox_op *op) {
    pthread_mutex_lock(&crowd.lock);
    crowd.failed += op->error != 0;
    crowd.left--;
    pthread_cond_signal(&crowd.changed);
    pthread_mutex_unlock(&crowd.lock);
}

static void *append_many(void *arg) {
    struct outbox *o = arg;
    enum { COUNT = 500 };
    static _Thread_local struct outbox_op ops[COUNT];
    static _Thread_local char keys[COUNT][40];
    for (int i = 0; i < COUNT; i++) {
        snprintf(keys[i], sizeof keys[i], "%p-%d", (void *)ops, i);
        describe(&ops[i], keys[i], "x");
        ops[i].done = on_done;
        outbox_submit(o, &ops[i]);
    }
    pthread_mutex_lock(&crowd.lock);
    while (crowd.left)
        pthread_cond_wait(&crowd.changed, &crowd.lock);
    pthread_cond_broadcast(&crowd.changed);
    pthread_mutex_unlock(&crowd.lock);
    for (int i = 0; i < COUNT; i++)
        outbox_op_free(&ops[i]);
    return NULL;
}

static void many_appends_share_a_sync(void **state) {
    struct outbox *o = start(NULL);
    pthread_t threads[4];
    struct outbox_stats stats;
    crowd.left = 2000;
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, append_many, o), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    outbox_read(o, &stats);
    assert_int_equal(crowd.failed, 0);
    assert_int_equal(stats.appended, 2000);
    assert_true(stats.groups < 2000);
    outbox_close(o);
}

static struct io_task *posted;

static void post(struct io *io, struct io_task *task) {
    pthread_mutex_lock(&crowd.lock);
    posted = task;
    pthread_cond_signal(&crowd.changed);
    pthread_mutex_unlock(&crowd.lock);
}

static bool told;

static void on_told(struct outbox_op *op) {
    told = true;
}

static void a_result_comes_on_the_loop_that_asked(void **state) {
    static const struct io_ops ops = {.post = post};
    struct io io = {.ops = &ops};
    struct outbox *o = start(NULL);
    struct outbox_op op;
    describe(&op, "k", "x");
    op.io = &io;
    op.done = on_told;
    posted = NULL;
    told = false;
    outbox_submit(o, &op);
    pthread_mutex_lock(&crowd.lock);
    while (!posted)
        pthread_cond_wait(&crowd.changed, &crowd.lock);
    pthread_mutex_unlock(&crowd.lock);
    assert_false(told);
    posted->run(posted);
    assert_true(told);
    assert_int_equal(op.error, 0);
    outbox_op_free(&op);
    outbox_close(o);
}

static void closing_carries_out_what_was_submitted(void **state) {
    struct outbox *o = start(NULL);
    static struct outbox_op ops[100];
    static char keys[100][16];
    crowd.left = 100;
    crowd.failed = 0;
    for (int i = 0; i < 100; i++) {
        snprintf(keys[i], sizeof keys[i], "%d", i);
        describe(&ops[i], keys[i], "x");
        ops[i].done = on_done;
        outbox_submit(o, &ops[i]);
    }
    outbox_close(o);
    assert_int_equal(crowd.left, 0);
    assert_int_equal(crowd.failed, 0);
    for (int i = 0; i < 100; i++)
        outbox_op_free(&ops[i]);
}

/* ---- secrets ------------------------------------------------------------------------ */

static bool file_has(const char *text) {
    char path[80];
    static const char *const ends[] = {"", "-wal"};
    bool found = false;
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s%s", file, ends[i]);
        FILE *f = fopen(path, "r");
        if (!f)
            continue;
        static char all[1 << 20];
        size_t len = fread(all, 1, sizeof all, f);
        found |= memmem(all, len, text, strlen(text)) != NULL;
        fclose(f);
    }
    return found;
}

static void sealed_content_cannot_be_read_in_the_file(void **state) {
    struct outbox *o = start(SECRET);
    struct outbox_op op;
    struct outbox_entry e = append(o, "k", "the body that nobody may see");
    assert_false(file_has("nobody may see"));
    assert_false(file_has("application/json"));
    assert_int_equal(with_sequence(o, &op, OUTBOX_LOAD, e.sequence), 0);
    assert_bytes(op.entry.body, "the body that nobody may see");
    outbox_op_free(&op);
    outbox_close(o);

    o = start(NULL);
    assert_int_equal(with_sequence(o, &op, OUTBOX_LOAD, e.sequence), -EBADMSG);
    outbox_op_free(&op);
    struct outbox_entry plain = append(o, "l", "plain to see");
    assert_true(file_has("plain to see"));
    outbox_close(o);

    o = start(OTHER);
    assert_int_equal(with_sequence(o, &op, OUTBOX_LOAD, e.sequence), -EBADMSG);
    outbox_op_free(&op);
    outbox_close(o);

    o = start(OTHER "\n" SECRET);
    assert_int_equal(with_sequence(o, &op, OUTBOX_LOAD, e.sequence), 0);
    outbox_op_free(&op);
    assert_int_equal(with_sequence(o, &op, OUTBOX_LOAD, plain.sequence), 0);
    assert_bytes(op.entry.body, "plain to see");
    outbox_op_free(&op);
    outbox_close(o);
}

/* ---- what is refused -------------------------------------------------------------------- */

static void content_that_is_too_large_is_refused(void **state) {
    struct outbox *o = start(NULL);
    struct outbox_op op;
    describe(&op, "k", "");
    char *large = calloc(1, OUTBOX_CONTENT_MAX);
    op.entry.body = (struct bytes){large, OUTBOX_CONTENT_MAX};
    assert_int_equal(outbox_do(o, &op), -E2BIG);
    outbox_op_free(&op);
    free(large);
    append(o, "k", "small");
    outbox_close(o);
}

static void one_process_owns_it(void **state) {
    struct outbox *o = start(NULL);
    assert_int_equal(start_fails(file, NULL), -EBUSY);
    char pid[32];
    snprintf(pid, sizeof pid, "process %d", (int)getpid());
    assert_non_null(strstr(why, pid));
    pid_t child = fork();
    if (child == 0) {
        struct outbox *second;
        _exit(outbox_open(&second, &(struct outbox_options){.file = file}, why, sizeof why) !=
              -EBUSY);
    }
    int status;
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
    outbox_close(o);
    outbox_close(start(NULL));
}

static void write_file(const char *path, const char *text) {
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void other_files_are_left_alone(void **state) {
    write_file(file, "this is a text of somebody, longer than the head of a database, and it "
                     "should stay as it is whatever happens, to the last byte of it. ......");
    assert_int_equal(start_fails(file, NULL), -EBADMSG);
    assert_true(file_has("to the last byte"));
    unlink(file);

    sqlite3 *db;
    assert_int_equal(sqlite3_open(file, &db), SQLITE_OK);
    sqlite3_exec(db, "CREATE TABLE theirs(x)", NULL, NULL, NULL);
    sqlite3_close(db);
    assert_int_equal(start_fails(file, NULL), -EBADMSG);
    assert_non_null(strstr(why, "another program's"));
    unlink(file);

    outbox_close(start(NULL));
    assert_int_equal(sqlite3_open(file, &db), SQLITE_OK);
    sqlite3_exec(db, "PRAGMA user_version = 9", NULL, NULL, NULL);
    sqlite3_close(db);
    assert_int_equal(start_fails(file, NULL), -EBADMSG);
    assert_non_null(strstr(why, "version 9"));
}

static void a_place_that_cannot_be_written_is_told(void **state) {
    assert_int_equal(start_fails("/nowhere/at/all.db", NULL), -ENOENT);
    assert_int_equal(start_fails(file, "short"), -EINVAL);
    assert_non_null(strstr(why, "64 hexadecimal digits"));
}

static void nobody_else_may_read_the_file(void **state) {
    mode_t mask = umask(022);
    outbox_close(start(NULL));
    umask(mask);
    struct stat s;
    assert_int_equal(stat(file, &s), 0);
    assert_int_equal(s.st_mode & 077, 0);
}

/* Otherwise the tests that cut the power around checkpoints would never see one. */
static void the_log_goes_into_the_file_when_it_is_long(void **state) {
    for (uint32_t pages = 8; pages <= 80000; pages += 80000 - 8) {
        struct outbox *o;
        const struct outbox_options options = {.file = file, .checkpoint_pages = pages};
        char key[16];
        struct stat s;
        clean(NULL);
        assert_int_equal(outbox_open(&o, &options, why, sizeof why), 0);
        for (int i = 0; i < 30; i++) {
            snprintf(key, sizeof key, "k%d", i);
            append(o, key, "{}");
        }
        assert_int_equal(stat(file, &s), 0);
        assert_true(pages == 8 ? s.st_size > 4096 : s.st_size <= 4096);
        outbox_close(o);
    }
}

/* ---- all -------------------------------------------------------------------------------- */

int main(void) {
    if (!mkdtemp(directory))
        return 1;
    snprintf(file, sizeof file, "%s/outbox.db", directory);
#define CASE(name) cmocka_unit_test_teardown(name, clean)
    const struct CMUnitTest tests[] = {
        CASE(an_entry_is_kept_whole),
        CASE(bytes_of_any_kind_are_kept),
        CASE(the_same_request_twice_is_one_entry),
        CASE(ids_begin_with_the_time),
        CASE(an_attempt_is_noted),
        CASE(what_is_sent_loses_its_content_and_is_remembered),
        CASE(a_dead_one_can_be_retried_behind_all_others),
        CASE(settled_ones_are_forgotten_after_a_day),
        CASE(a_list_shows_what_is_asked_for),
        CASE(what_is_not_there_is_told),
        CASE(many_appends_share_a_sync),
        CASE(a_result_comes_on_the_loop_that_asked),
        CASE(closing_carries_out_what_was_submitted),
        CASE(sealed_content_cannot_be_read_in_the_file),
        CASE(content_that_is_too_large_is_refused),
        CASE(one_process_owns_it),
        CASE(other_files_are_left_alone),
        CASE(a_place_that_cannot_be_written_is_told),
        CASE(nobody_else_may_read_the_file),
        CASE(the_log_goes_into_the_file_when_it_is_long),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    rmdir(directory);
    return failed;
}
