/* outbox_power_test.c - what was promised survives power cuts and failing disks.
 *
 *     store_outbox_power_test                  a slice
 *     store_outbox_power_test SEED COUNT       so many seeds, from SEED on
 *
 * A random history of appends, attempts and settlements runs on a disk in
 * memory (disk.h) whose power is cut, at each sync and at random writes, once more
 * while the file is recovered, or whose writes fail. The test keeps a list of what
 * was promised, and what may have happened; after the next start the outbox
 * must agree with it. Everything follows from the seed, which is printed when
 * something is wrong. */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "disk.h"
#include "store/outbox.h"

enum { WRITES_MAX = 200, GROUP = 8, STEPS = 24, BODY_MAX = 3000 };

static uint64_t first_seed = 1;
static uint32_t seed_count = 2;

/* One entry, as its sender knows it. */
struct promise {
    bool appended; /* it was promised */
    bool in_doubt; /* what was asked last was neither promised nor denied */
    uint64_t sequence;
    enum outbox_state state, maybe; /* known; what it was to become */
};

struct history {
    uint64_t random, seed;
    struct outbox *outbox;
    uint32_t count;
    struct promise promises[WRITES_MAX];
    bool without_sync;
    uint32_t lost; /* without sync: what was promised and is not there */
};

static uint64_t draw(struct history *h, uint64_t below) {
    h->random = h->random * 6364136223846793005u + 1442695040888963407u;
    return (h->random >> 33) % below;
}

#define HOLDS(h, condition)                                          \
    do {                                                             \
        if (!(condition))                                            \
            fail_msg("seed %" PRIu64 ": %s", (h)->seed, #condition); \
    } while (0)

/* ---- what is written ---------------------------------------------------------------- */

/* The content of entry n, always the same. */
static struct bytes body_of(struct history *h, uint32_t n, char *memory) {
    struct history own = {.random = h->seed * 1000 + n};
    size_t len = (size_t)draw(&own, BODY_MAX);
    for (size_t i = 0; i < len; i++)
        memory[i] = (char)draw(&own, 256);
    return (struct bytes){memory, len};
}

struct job {
    struct outbox_op op;
    uint32_t n; /* of the promise */
    char key[16], lane[8], body[BODY_MAX];
};

static void prepare_append(struct history *h, struct job *j) {
    j->n = h->count++;
    snprintf(j->key, sizeof j->key, "k%u", j->n);
    snprintf(j->lane, sizeof j->lane, "l%u", j->n % 4);
    outbox_op_init(&j->op, OUTBOX_APPEND, NULL, NULL);
    j->op.entry.service = BYTES("payments");
    j->op.entry.key = bytes_of(j->key);
    j->op.entry.lane = bytes_of(j->lane);
    j->op.entry.method = BYTES("POST");
    j->op.entry.target = BYTES("/charge?x=1");
    j->op.entry.fields = BYTES("Content-Type: text/plain\r\n");
    j->op.entry.body = body_of(h, j->n, j->body);
    h->promises[j->n].in_doubt = true;
    h->promises[j->n].maybe = OUTBOX_QUEUED;
}

static void prepare_settle(struct history *h, struct job *j, uint32_t n) {
    struct promise *p = &h->promises[n];
    j->n = n;
    outbox_op_init(&j->op, OUTBOX_SETTLE, NULL, NULL);
    j->op.entry.sequence = p->sequence;
    j->op.entry.state = draw(h, 4) ? OUTBOX_SENT : OUTBOX_DEAD;
    j->op.entry.status = 200;
    p->in_doubt = true;
    p->maybe = j->op.entry.state;
}

static void prepare_note(struct history *h, struct job *j, uint32_t n) {
    j->n = n;
    outbox_op_init(&j->op, OUTBOX_NOTE, NULL, NULL);
    j->op.entry.sequence = h->promises[n].sequence;
    j->op.entry.attempts = 3;
    j->op.entry.note = BYTES("503");
}

static void prepare(struct history *h, struct job *j) {
    uint32_t n = h->count ? (uint32_t)draw(h, h->count) : 0;
    const struct promise *p = &h->promises[n];
    if (!h->count || draw(h, 3) || !p->appended || p->in_doubt || p->state != OUTBOX_QUEUED)
        prepare_append(h, j);
    else if (draw(h, 3))
        prepare_settle(h, j, n);
    else
        prepare_note(h, j, n);
}

static void learn(struct history *h, const struct job *j) {
    struct promise *p = &h->promises[j->n];
    if (j->op.verb == OUTBOX_NOTE || j->op.error)
        return;
    if (j->op.verb == OUTBOX_APPEND)
        p->sequence = j->op.entry.sequence;
    p->appended = true;
    p->in_doubt = false;
    p->state = p->maybe;
}

/* Several at once, from one thread, so that they share a transaction. */
struct group {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint32_t left;
    bool complete; /* all are submitted */
};

static struct group group = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, false};

/* Keeps the outbox's thread until the group is complete, so that the same seed
 * makes the same transactions. */
static void on_gate(struct outbox_op *op) {
    pthread_mutex_lock(&group.lock);
    while (!group.complete)
        pthread_cond_wait(&group.changed, &group.lock);
    pthread_mutex_unlock(&group.lock);
}

static void on_done(struct outbox_op *op) {
    pthread_mutex_lock(&group.lock);
    group.left--;
    pthread_cond_broadcast(&group.changed);
    pthread_mutex_unlock(&group.lock);
}

/* True: all went well. */
static bool run_group(struct history *h) {
    static struct job jobs[GROUP];
    static struct outbox_op gate;
    uint32_t count = 1 + (uint32_t)draw(h, GROUP);
    bool good = true;
    uint64_t last = 0;
    group.left = count;
    for (uint32_t i = 0; i < count; i++) {
        prepare(h, &jobs[i]);
        jobs[i].op.done = on_done;
    }
    group.complete = false;
    outbox_op_init(&gate, OUTBOX_FIND, NULL, on_gate);
    outbox_submit(h->outbox, &gate);
    for (uint32_t i = 0; i < count; i++)
        outbox_submit(h->outbox, &jobs[i].op);
    pthread_mutex_lock(&group.lock);
    group.complete = true;
    pthread_cond_broadcast(&group.changed);
    while (group.left)
        pthread_cond_wait(&group.changed, &group.lock);
    pthread_mutex_unlock(&group.lock);
    for (uint32_t i = 0; i < count; i++) {
        const struct outbox_op *op = &jobs[i].op;
        learn(h, &jobs[i]);
        good &= !op->error;
        if (op->verb == OUTBOX_APPEND && !op->error) {
            HOLDS(h, op->entry.sequence > last); /* in the order they were submitted */
            last = op->entry.sequence;
        }
        outbox_op_free(&jobs[i].op);
    }
    outbox_op_free(&gate);
    return good;
}

/* ---- what must be there --------------------------------------------------------------- */

static int start(struct history *h) {
    char why[200];
    return outbox_open(&h->outbox,
                       &(struct outbox_options){.file = "outbox.db",
                                                .vfs = "disk",
                                                .checkpoint_pages = 8,
                                                .without_sync = h->without_sync},
                       why, sizeof why);
}

static void check_content(struct history *h, uint32_t n, uint64_t sequence) {
    static char memory[BODY_MAX];
    struct outbox_op op;
    struct bytes body = body_of(h, n, memory);
    outbox_op_init(&op, OUTBOX_LOAD, NULL, NULL);
    op.entry.sequence = sequence;
    HOLDS(h, outbox_do(h->outbox, &op) == 0);
    HOLDS(h, bytes_equal(op.entry.body, body));
    HOLDS(h, bytes_equal(op.entry.fields, BYTES("Content-Type: text/plain\r\n")));
    outbox_op_free(&op);
}

static void check_entry(struct history *h, const struct outbox_entry *e, bool *seen) {
    char key[16];
    HOLDS(h, e->key.len < sizeof key);
    memcpy(key, e->key.at, e->key.len);
    key[e->key.len] = 0;
    uint32_t n = (uint32_t)atoi(key + 1);
    HOLDS(h, n < h->count && !seen[n]);
    seen[n] = true;
    struct promise *p = &h->promises[n];
    HOLDS(h, !p->appended || e->sequence == p->sequence);
    HOLDS(h, (p->appended && e->state == p->state) || (p->in_doubt && e->state == p->maybe));
    if (e->state == OUTBOX_QUEUED || e->state == OUTBOX_DEAD)
        check_content(h, n, e->sequence);
    /* From now on it is known. */
    *p = (struct promise){.appended = true, .sequence = e->sequence, .state = e->state};
}

static void check_all(struct history *h) {
    bool seen[WRITES_MAX] = {false};
    struct outbox_op op;
    outbox_op_init(&op, OUTBOX_LIST, NULL, NULL);
    HOLDS(h, outbox_do(h->outbox, &op) == 0);
    for (uint32_t i = 0; i < op.count; i++) {
        HOLDS(h, !i || op.found[i].sequence > op.found[i - 1].sequence);
        check_entry(h, &op.found[i], seen);
    }
    outbox_op_free(&op);
    for (uint32_t n = 0; n < h->count; n++) {
        h->lost += h->promises[n].appended && !seen[n];
        if (!seen[n])
            h->promises[n] = (struct promise){0};
    }
    HOLDS(h, h->without_sync || !h->lost);
}

static void check_file(struct history *h) {
    sqlite3 *db;
    sqlite3_stmt *s;
    assert_int_equal(sqlite3_open_v2("outbox.db", &db, SQLITE_OPEN_READWRITE, "disk"), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &s, NULL), SQLITE_OK);
    HOLDS(h, sqlite3_step(s) == SQLITE_ROW);
    HOLDS(h, strcmp((const char *)sqlite3_column_text(s, 0), "ok") == 0);
    sqlite3_finalize(s);
    sqlite3_close(db);
}

/* ---- histories --------------------------------------------------------------------------- */

static void begin(struct history *h, uint64_t seed) {
    memset(h, 0, sizeof *h);
    h->seed = h->random = seed;
    disk_reset(seed);
}

static void end(struct history *h) {
    outbox_close(h->outbox);
    h->outbox = NULL;
}

static void write_until_cut(struct history *h) {
    for (int i = 0; i < STEPS && h->count + GROUP < WRITES_MAX && !disk_is_off(); i++)
        (void)run_group(h);
}

/* Power is back; it may be cut again while the file is recovered. */
static void restart(struct history *h) {
    for (;;) {
        disk_boot();
        disk_plan(draw(h, 2) ? DISK_CUT : DISK_FINE, 1 + draw(h, 12), false);
        int error = start(h);
        if (!error && !disk_is_off()) {
            disk_plan(DISK_FINE, 0, false);
            return;
        }
        HOLDS(h, disk_is_off());
        end(h);
    }
}

/* One history with two cuts; `at` the first one. False: it was over before. */
static bool cut_at(struct history *h, uint64_t seed, uint64_t at, bool only_syncs) {
    begin(h, seed);
    disk_plan(DISK_CUT, at, only_syncs);
    if (start(h) == 0)
        write_until_cut(h);
    end(h);
    bool was_cut = disk_is_off();
    restart(h);
    check_all(h);
    disk_plan(DISK_CUT, 1 + draw(h, 60), false);
    write_until_cut(h);
    end(h);
    restart(h);
    check_all(h);
    end(h);
    check_file(h);
    return was_cut;
}

static void promises_survive_a_cut_at_each_sync(void **state) {
    struct history h;
    uint64_t cuts = 0;
    for (uint64_t seed = first_seed; seed < first_seed + seed_count; seed++) {
        for (uint64_t at = 1; cut_at(&h, seed, at, true); at++)
            cuts++;
    }
    printf("%" PRIu64 " cuts at syncs, seeds %" PRIu64 " to %" PRIu64 "\n", cuts, first_seed,
           first_seed + seed_count - 1);
    assert_true(cuts > seed_count * 20);
}

static void promises_survive_a_cut_at_any_write(void **state) {
    struct history h;
    for (uint64_t seed = first_seed; seed < first_seed + seed_count * 5; seed++) {
        struct history dice = {.random = seed};
        (void)cut_at(&h, seed, 1 + draw(&dice, 400), false);
    }
}

/* The proof that the proof bites. */
static void without_syncs_promises_are_lost(void **state) {
    struct history h;
    uint32_t lost = 0;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        begin(&h, seed);
        h.without_sync = true;
        disk_plan(DISK_CUT, 60 + draw(&h, 100), false);
        if (start(&h) == 0)
            write_until_cut(&h);
        end(&h);
        disk_boot();
        uint32_t promised = 0;
        for (uint32_t n = 0; n < h.count; n++)
            promised += h.promises[n].appended;
        if (start(&h) != 0) /* not even a file is left */
            lost += promised;
        else
            check_all(&h);
        lost += h.lost;
        end(&h);
    }
    assert_true(lost > 0);
}

static void each_change_that_fails_once_is_told(void **state) {
    struct history h;
    for (uint64_t at = 1, seed = first_seed;; at++) {
        begin(&h, seed);
        disk_plan(DISK_FAIL_ONCE, at, false);
        int error = start(&h);
        if (!error) {
            for (int i = 0; i < STEPS / 2; i++)
                (void)run_group(&h);
            check_all(&h); /* it goes on without a restart */
        }
        bool over = disk_changes() < at;
        end(&h);
        disk_plan(DISK_FINE, 0, false);
        assert_int_equal(start(&h), 0);
        check_all(&h);
        end(&h);
        check_file(&h);
        if (over)
            break;
    }
}

static void a_disk_that_fails_for_good_promises_nothing(void **state) {
    struct history h;
    for (uint64_t seed = first_seed; seed < first_seed + 10; seed++) {
        begin(&h, seed);
        assert_int_equal(start(&h), 0);
        assert_true(run_group(&h));
        disk_plan(DISK_FAIL_FROM_HERE, 1 + draw(&h, 5), false);
        for (int i = 0; i < 10; i++)
            (void)run_group(&h);
        assert_false(run_group(&h));
        check_all(&h); /* what is there can still be read */
        end(&h);
        disk_boot();
        assert_int_equal(start(&h), 0);
        check_all(&h);
        assert_true(run_group(&h));
        end(&h);
    }
}

static void a_full_disk_refuses_and_recovers(void **state) {
    struct history h;
    begin(&h, first_seed);
    assert_int_equal(start(&h), 0);
    assert_true(run_group(&h));
    disk_limit(disk_used() + 40000);
    bool refused = false;
    for (int i = 0; i < STEPS / 2; i++)
        refused |= !run_group(&h);
    assert_true(refused);
    struct job *job = calloc(1, sizeof *job);
    prepare_append(&h, job);
    assert_int_equal(outbox_do(h.outbox, &job->op), -ENOSPC);
    outbox_op_free(&job->op);
    free(job);
    check_all(&h);
    disk_limit(0);
    assert_true(run_group(&h));
    check_all(&h);
    end(&h);
    check_file(&h);
}

static int teardown(void **state) {
    disk_free();
    return 0;
}

int main(int argc, char **argv) {
    if (argc > 1)
        first_seed = strtoull(argv[1], NULL, 10);
    if (argc > 2)
        seed_count = (uint32_t)strtoul(argv[2], NULL, 10);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(promises_survive_a_cut_at_each_sync),
        cmocka_unit_test(promises_survive_a_cut_at_any_write),
        cmocka_unit_test(without_syncs_promises_are_lost),
        cmocka_unit_test(each_change_that_fails_once_is_told),
        cmocka_unit_test(a_disk_that_fails_for_good_promises_nothing),
        cmocka_unit_test(a_full_disk_refuses_and_recovers),
    };
    return cmocka_run_group_tests(tests, NULL, teardown);
}
