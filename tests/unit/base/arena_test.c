/* Allocation, alignment, the maximum, and reuse after a reset. The same
 * limits hold with and without AddressSanitizer. */
#include "base/arena.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void gives_aligned_memory_that_does_not_overlap(void **state) {
    struct arena a;
    _Alignas(8) char first[100];
    unsigned char *got[500];
    arena_init(&a, first + 3, sizeof(first) - 3, 1 << 20);
    for (size_t i = 0; i < 500; i++) {
        got[i] = arena_alloc(&a, i);
        assert_non_null(got[i]);
        assert_int_equal((uintptr_t)got[i] % 8, 0);
        memset(got[i], (int)(i & 0xff), i);
    }
    for (size_t i = 0; i < 500; i++)
        for (size_t k = 0; k < i; k++)
            assert_int_equal(got[i][k], i & 0xff);
    arena_reset(&a);
}

static void stops_at_the_maximum(void **state) {
    struct arena a;
    arena_init(&a, NULL, 0, 64);
    assert_null(arena_alloc(&a, 65));
    assert_null(arena_alloc(&a, SIZE_MAX));
    assert_non_null(arena_alloc(&a, 33)); /* 40, rounded */
    assert_null(arena_alloc(&a, 25));
    assert_non_null(arena_alloc(&a, 24)); /* a smaller one still fits */
    assert_null(arena_alloc(&a, 0));
    arena_reset(&a);
    assert_non_null(arena_alloc(&a, 64));
    arena_reset(&a);
}

static void copies_and_prints(void **state) {
    struct arena a;
    char first[64];
    arena_init(&a, first, sizeof(first), 4096);
    char *copy = arena_copy(&a, (struct bytes){"a\0bcd", 4});
    assert_memory_equal(copy, "a\0bc\0", 5);
    assert_string_equal(arena_copy(&a, (struct bytes){NULL, 0}), "");
    assert_string_equal(arena_printf(&a, "%s=%d", "n", 42), "n=42");
    char *long_text = arena_printf(&a, "%2000d", 7);
    assert_int_equal(strlen(long_text), 2000);
    assert_null(arena_printf(&a, "%3000d", 7));
    arena_reset(&a);
}

static void zeroes_on_request(void **state) {
    struct arena a;
    char first[64];
    memset(first, 'x', sizeof(first));
    arena_init(&a, first, sizeof(first), 4096);
    char *got = arena_zalloc(&a, 32);
    for (int i = 0; i < 32; i++)
        assert_int_equal(got[i], 0);
    arena_reset(&a);
}

static void takes_first_blocks_of_any_size(void **state) {
    for (size_t size = 0; size < 40; size++) {
        struct arena a;
        char first[40];
        arena_init(&a, first, size, 1000);
        for (int i = 0; i < 10; i++)
            memset(arena_alloc(&a, 8), 'x', 8);
        arena_reset(&a);
    }
}

/* A large allocation in the middle does not waste the current block. */
static void keeps_the_block_after_a_large_one(void **state) {
#if !ARENA_EACH_ITS_OWN
    struct arena a;
    arena_init(&a, NULL, 0, 1 << 20);
    char *before = arena_alloc(&a, 8);
    memset(arena_alloc(&a, 100000), 'x', 100000);
    char *after = arena_alloc(&a, 8);
    assert_ptr_equal(after, before + 8);
    arena_reset(&a);
#endif
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_aligned_memory_that_does_not_overlap),
        cmocka_unit_test(stops_at_the_maximum),
        cmocka_unit_test(copies_and_prints),
        cmocka_unit_test(zeroes_on_request),
        cmocka_unit_test(takes_first_blocks_of_any_size),
        cmocka_unit_test(keeps_the_block_after_a_large_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
