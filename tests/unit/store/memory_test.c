/* memory_test.c - the bound holds at every moment, and nothing is lost. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "store/memory.h"

struct owner {
    uint64_t number;
    void *pointer;
};

static struct memory *make(size_t bytes_max) {
    struct memory *m;
    assert_int_equal(memory_create(&m, bytes_max), 0);
    return m;
}

static struct memory_block *block(struct memory *m, size_t room) {
    struct memory_block *b;
    assert_int_equal(memory_block_create(m, sizeof(struct owner), room, &b), 0);
    return b;
}

static void a_charge_fits_or_changes_nothing(void **state) {
    struct memory *m = make(100);
    assert_true(memory_charge(m, 60));
    assert_false(memory_charge(m, 41));
    assert_false(memory_charge(m, SIZE_MAX));
    assert_int_equal(memory_used(m), 60);
    assert_true(memory_charge(m, 40));
    assert_false(memory_charge(m, 1));
    assert_true(memory_charge(m, 0));
    memory_uncharge(m, 100);
    memory_destroy(m);
}

static void a_smaller_bound_waits_for_what_is_in_use(void **state) {
    struct memory *m = make(100);
    assert_true(memory_charge(m, 60));
    memory_resize(m, 50);
    assert_int_equal(memory_max(m), 50);
    assert_false(memory_charge(m, 0));
    memory_uncharge(m, 20);
    assert_true(memory_charge(m, 10));
    memory_uncharge(m, 50);
    memory_destroy(m);
}

static void the_cost_includes_the_allocators(void **state) {
    assert_true(memory_cost(0) >= sizeof(size_t));
    assert_int_equal(memory_cost(1), 16);
    assert_int_equal(memory_cost(8), 16);
    assert_int_equal(memory_cost(9), 32);
    assert_true(memory_cost(200 * 1024) >= 200 * 1024 + 16);
    assert_int_equal(memory_cost(200 * 1024) % 4096, 0);
    assert_int_equal(memory_cost(SIZE_MAX), SIZE_MAX);
    assert_int_equal(memory_cost(SIZE_MAX - 4096), SIZE_MAX);
}

static void a_block_keeps_its_bytes_and_its_owner(void **state) {
    struct memory *m = make(1 << 20);
    struct memory_block *b = block(m, 0);
    struct owner *o = memory_block_owner(b);
    assert_int_equal(o->number, 0);
    assert_ptr_equal(memory_block_of(o), b);
    o->number = 42;
    char piece[100];
    for (int i = 0; i < 1000; i++) {
        memset(piece, i, sizeof(piece));
        assert_int_equal(memory_block_append(&b, piece, sizeof(piece)), 0);
        assert_int_equal(memory_used(m), memory_block_cost(b));
    }
    assert_int_equal(memory_block_append(&b, NULL, 0), 0);
    memory_block_trim(&b);
    assert_int_equal(memory_block_len(b), 100000);
    assert_true(memory_block_cost(b) < 100000 + 200);
    assert_int_equal(memory_used(m), memory_block_cost(b));
    assert_int_equal(((struct owner *)memory_block_owner(b))->number, 42);
    for (int i = 0; i < 100000; i++)
        if (memory_block_bytes(b)[i] != (char)(i / 100))
            fail_msg("byte %d", i);
    memory_block_release(b);
    assert_int_equal(memory_used(m), 0);
    memory_destroy(m);
}

static void a_block_that_does_not_fit_changes_nothing(void **state) {
    struct memory *m = make(4096);
    struct memory_block *b, *none = NULL;
    assert_int_equal(memory_block_create(m, sizeof(struct owner), 5000, &none), -ENOSPC);
    assert_int_equal(memory_block_create(m, sizeof(struct owner), SIZE_MAX, &none), -ENOSPC);
    assert_int_equal(memory_block_create(m, SIZE_MAX / 2, 1, &none), -ENOSPC);
    assert_null(none);
    assert_int_equal(memory_used(m), 0);

    static char piece[3000];
    b = block(m, 500);
    size_t used = memory_used(m);
    assert_int_equal(memory_block_append(&b, piece, 100), 0);
    assert_int_equal(memory_block_append(&b, piece, SIZE_MAX - 50), -ENOSPC);
    /* While it grows, old and new are charged both. */
    assert_int_equal(memory_block_append(&b, piece, 3500), -ENOSPC);
    assert_int_equal(memory_used(m), used);
    assert_int_equal(memory_block_len(b), 100);
    assert_int_equal(memory_block_append(&b, piece, 3000), 0);
    memory_block_release(b);
    memory_destroy(m);
}

/* Where doubling would be too much, exactly enough is tried. */
static void growing_is_content_with_enough(void **state) {
    struct memory *m = make(2600);
    struct memory_block *b = block(m, 1000);
    static char piece[1000];
    assert_int_equal(memory_block_append(&b, piece, 1000), 0);
    assert_int_equal(memory_block_append(&b, piece, 100), 0);
    assert_true(memory_block_cost(b) < 1300);
    memory_block_release(b);
    memory_destroy(m);
}

static void the_last_holder_frees(void **state) {
    struct memory *m = make(4096);
    struct memory_block *b = block(m, 10);
    assert_true(memory_block_alone(b));
    memory_block_hold(b);
    assert_false(memory_block_alone(b));
    memory_block_release(b);
    assert_true(memory_block_alone(b));
    assert_true(memory_used(m) > 0);
    memory_block_release(b);
    assert_int_equal(memory_used(m), 0);
    memory_block_release(NULL);
    memory_destroy(m);
}

/* ---- many threads ------------------------------------------------------ */

enum { THREADS = 4, TURNS = 20000, BOUND = 1000 };

struct crowd {
    struct memory *memory;
    atomic_size_t held; /* by all, as they count it themselves */
    atomic_bool overshot;
};

static void *charge_and_give_back(void *arg) {
    struct crowd *c = arg;
    for (int i = 0; i < TURNS; i++) {
        size_t cost = (size_t)(i % 7) * 50 + 50;
        if (!memory_charge(c->memory, cost))
            continue;
        if (atomic_fetch_add(&c->held, cost) + cost > BOUND)
            atomic_store(&c->overshot, true);
        atomic_fetch_sub(&c->held, cost);
        memory_uncharge(c->memory, cost);
    }
    return NULL;
}

static void many_threads_never_overshoot(void **state) {
    struct crowd c = {.memory = make(BOUND)};
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, charge_and_give_back, &c);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_false(atomic_load(&c.overshot));
    assert_int_equal(memory_used(c.memory), 0);
    memory_destroy(c.memory);
}

static void *read_and_release(void *arg) {
    struct memory_block *b = arg;
    size_t sum = 0;
    for (size_t i = 0; i < memory_block_len(b); i++)
        sum += (unsigned char)memory_block_bytes(b)[i];
    memory_block_release(b);
    return (void *)sum;
}

static void holders_on_many_threads_read_and_free_once(void **state) {
    struct memory *m = make(1 << 20);
    struct memory_block *b = block(m, 0);
    pthread_t threads[THREADS];
    for (int i = 0; i < 1000; i++)
        assert_int_equal(memory_block_append(&b, "\1\2\3", 3), 0);
    for (int i = 0; i < THREADS; i++) {
        memory_block_hold(b);
        pthread_create(&threads[i], NULL, read_and_release, b);
    }
    memory_block_release(b);
    for (int i = 0; i < THREADS; i++) {
        void *sum;
        pthread_join(threads[i], &sum);
        assert_int_equal((size_t)sum, 6000);
    }
    assert_int_equal(memory_used(m), 0);
    memory_destroy(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_charge_fits_or_changes_nothing),
        cmocka_unit_test(a_smaller_bound_waits_for_what_is_in_use),
        cmocka_unit_test(the_cost_includes_the_allocators),
        cmocka_unit_test(a_block_keeps_its_bytes_and_its_owner),
        cmocka_unit_test(a_block_that_does_not_fit_changes_nothing),
        cmocka_unit_test(growing_is_content_with_enough),
        cmocka_unit_test(the_last_holder_frees),
        cmocka_unit_test(many_threads_never_overshoot),
        cmocka_unit_test(holders_on_many_threads_read_and_free_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
