/* heap_test.c - a heap beside a plain array that is searched. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/heap.h"
#include "base/random.h"

enum { NODES = 300 };

static struct heap_node nodes[NODES];

static const struct heap_node *least(void) {
    const struct heap_node *found = NULL;
    for (size_t i = 0; i < NODES; i++) {
        if (nodes[i].in && (!found || nodes[i].key < found->key))
            found = &nodes[i];
    }
    return found;
}

/* Every child is no less than its parent, and the links agree. */
static size_t count(const struct heap_node *n) {
    size_t total = 1;
    for (const struct heap_node *c = n->child, *before = n; c; before = c, c = c->next) {
        assert_ptr_equal(c->prev, before);
        assert_true(c->key >= n->key);
        total += count(c);
    }
    return total;
}

static void the_first_is_always_the_least(void **state) {
    struct heap h = {NULL};
    uint64_t random = 7;
    size_t in = 0;
    for (int i = 0; i < 20000; i++) {
        struct heap_node *n = &nodes[random_up_to(random_next(&random), NODES - 1)];
        if (random_next(&random) % 4 == 0 && heap_first(&h))
            n = heap_first(&h);
        if (n->in) {
            heap_remove(&h, n);
            in--;
        } else {
            heap_insert(&h, n, random_up_to(random_next(&random), 50));
            in++;
        }
        const struct heap_node *wanted = least();
        assert_int_equal(heap_first(&h) != NULL, wanted != NULL);
        if (wanted) {
            assert_int_equal(heap_first(&h)->key, wanted->key);
            assert_null(h.first->next);
            assert_int_equal(count(h.first), in);
        }
    }
}

static void all_come_out_in_order(void **state) {
    struct heap h = {NULL};
    struct heap_node *many = calloc(100000, sizeof *many);
    uint64_t random = 9, last = 0;
    for (size_t i = 0; i < 100000; i++)
        heap_insert(&h, &many[i], random_next(&random));
    for (size_t i = 0; i < 100000; i++) {
        assert_true(heap_first(&h)->key >= last);
        last = heap_first(&h)->key;
        heap_remove(&h, heap_first(&h));
    }
    assert_null(heap_first(&h));
    free(many);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_is_always_the_least),
        cmocka_unit_test(all_come_out_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
