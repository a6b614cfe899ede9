/* outbox_kill_test.c - what was promised survives kill -9 of its process.
 *
 *     store_outbox_kill_test             a slice
 *     store_outbox_kill_test SEED COUNT  so many kills
 *
 * A child appends and settles on a real file and tells through a pipe what it
 * was promised; it is killed after a random number of promises, in the middle of
 * whatever it does then. The next child takes the file over. */
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "store/outbox.h"

enum { AT_ONCE = 16, NUMBERS = 100000 };

static uint64_t random_state = 1;
static uint32_t kills = 15;
static char directory[] = "/tmp/outbox-kill-XXXXXX";
static char file[64];
static unsigned char promised[NUMBERS]; /* enum outbox_state; 0: no */

static uint64_t draw(uint64_t below) {
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (random_state >> 33) % below;
}

static struct outbox *start(void) {
    struct outbox *o;
    char why[200];
    int error = outbox_open(&o, &(struct outbox_options){.file = file, .checkpoint_pages = 50}, why,
                            sizeof why);
    if (error)
        fail_msg("%s", why);
    return o;
}

/* ---- the child ------------------------------------------------------------------------ */

struct slot {
    struct outbox_op op;
    char key[16];
    uint32_t number;
    struct child *child;
};

struct child {
    struct outbox *outbox;
    int pipe;
    uint32_t next;
    struct slot slots[AT_ONCE];
};

/* A promise, in one write: the parent sees all of it or nothing. */
static void tell(struct child *c, uint32_t number, enum outbox_state state) {
    uint32_t word = number << 3 | (uint32_t)state;
    if (write(c->pipe, &word, sizeof word) != sizeof word)
        _exit(1);
}

static void append(struct slot *);

static void on_settled(struct outbox_op *op) {
    struct slot *s = container_of(op, struct slot, op);
    if (op->error)
        _exit(2);
    tell(s->child, s->number, OUTBOX_SENT);
    append(s);
}

static void on_appended(struct outbox_op *op) {
    struct slot *s = container_of(op, struct slot, op);
    if (op->error)
        _exit(3);
    tell(s->child, s->number, OUTBOX_QUEUED);
    if (s->number % 3) {
        append(s);
        return;
    }
    uint64_t sequence = op->entry.sequence;
    outbox_op_free(op);
    outbox_op_init(op, OUTBOX_SETTLE, NULL, on_settled);
    op->entry.sequence = sequence;
    op->entry.state = OUTBOX_SENT;
    outbox_submit(s->child->outbox, op);
}

static void append(struct slot *s) {
    outbox_op_free(&s->op);
    outbox_op_init(&s->op, OUTBOX_APPEND, NULL, on_appended);
    s->number = s->child->next++;
    if (s->number >= NUMBERS)
        pause();
    snprintf(s->key, sizeof s->key, "%u", s->number);
    s->op.entry.service = BYTES("mail");
    s->op.entry.key = bytes_of(s->key);
    s->op.entry.method = BYTES("POST");
    s->op.entry.target = BYTES("/send");
    s->op.entry.body = bytes_of(s->key);
    outbox_submit(s->child->outbox, &s->op);
}

static void run_child(int pipe, uint32_t first) {
    static struct child c;
    c = (struct child){.outbox = start(), .pipe = pipe, .next = first};
    for (int i = 0; i < AT_ONCE; i++) {
        outbox_op_init(&c.slots[i].op, OUTBOX_APPEND, NULL, on_appended);
        c.slots[i].child = &c;
    }
    /* All else happens on the outbox's thread, in the callbacks. */
    for (int i = 0; i < AT_ONCE; i++)
        append(&c.slots[i]);
    for (;;)
        pause();
}

/* ---- the parent -------------------------------------------------------------------------- */

static uint32_t remember(uint32_t word) {
    uint32_t number = word >> 3;
    assert_true(number < NUMBERS);
    promised[number] = (unsigned char)(word & 7);
    return number + 1;
}

/* The first number that no promise was made of. */
static uint32_t kill_one(uint32_t first) {
    int ends[2];
    uint32_t word, next = first;
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        close(ends[0]);
        run_child(ends[1], first);
    }
    close(ends[1]);
    for (uint64_t left = draw(400); left > 0; left--) {
        if (read(ends[0], &word, sizeof word) != sizeof word)
            fail_msg("the child ended by itself");
        uint32_t after = remember(word);
        next = after > next ? after : next;
    }
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    while (read(ends[0], &word, sizeof word) == sizeof word) {
        uint32_t after = remember(word);
        next = after > next ? after : next;
    }
    close(ends[0]);
    return next + AT_ONCE; /* what was under way may be there */
}

static void check_all(uint32_t end) {
    struct outbox *o = start();
    uint64_t after = 0;
    static unsigned char there[NUMBERS];
    memset(there, 0, sizeof there);
    for (bool more = true; more;) {
        struct outbox_op op;
        outbox_op_init(&op, OUTBOX_LIST, NULL, NULL);
        op.filter.after = after;
        assert_int_equal(outbox_do(o, &op), 0);
        for (uint32_t i = 0; i < op.count; i++) {
            char key[16] = "";
            memcpy(key, op.found[i].key.at, op.found[i].key.len);
            assert_true(op.found[i].sequence > after);
            after = op.found[i].sequence;
            there[atoi(key)] = (unsigned char)op.found[i].state;
        }
        more = op.count == OUTBOX_LIST_MAX;
        outbox_op_free(&op);
    }
    for (uint32_t n = 0; n < end; n++) {
        bool good = !promised[n] || there[n] == promised[n] ||
                    (promised[n] == OUTBOX_QUEUED && there[n] == OUTBOX_SENT && n % 3 == 0);
        if (!good)
            fail_msg("entry %u was promised as %u and is %u", n, promised[n], there[n]);
    }
    outbox_close(o);
}

static void promises_survive_kills(void **state) {
    uint64_t seed = random_state;
    uint32_t next = 0, promises = 0;
    for (uint32_t i = 0; i < kills && next + 1000 < NUMBERS; i++) {
        next = kill_one(next);
        if (i % 10 == 9 || i + 1 == kills)
            check_all(next);
    }
    check_all(next);
    for (uint32_t n = 0; n < next; n++)
        promises += promised[n] != 0;
    printf("%u promises, %u kills, seed %" PRIu64 "\n", promises, kills, seed);
    assert_true(promises > kills);
}

static int teardown(void **state) {
    static const char *const ends[] = {"", "-wal", "-shm", "-owner"};
    char path[80];
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        snprintf(path, sizeof path, "%s%s", file, ends[i]);
        unlink(path);
    }
    return rmdir(directory);
}

int main(int argc, char **argv) {
    if (argc > 1)
        random_state = strtoull(argv[1], NULL, 10);
    if (argc > 2)
        kills = (uint32_t)strtoul(argv[2], NULL, 10);
    if (!mkdtemp(directory))
        return 1;
    snprintf(file, sizeof file, "%s/outbox.db", directory);
    const struct CMUnitTest tests[] = {cmocka_unit_test(promises_survive_kills)};
    return cmocka_run_group_tests(tests, NULL, teardown);
}
