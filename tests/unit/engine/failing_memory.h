/* failing_memory.h - allocations that fail when told, for tests linked with
 * --wrap=calloc, --wrap=posix_memalign and --wrap=aligned_alloc. */
#ifndef SWG_TEST_FAILING_MEMORY_H
#define SWG_TEST_FAILING_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
int __real_posix_memalign(void **out, size_t alignment, size_t size);
int __wrap_posix_memalign(void **out, size_t alignment, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);

static int allocations_left = -1; /* negative: without limit; 0: the next fails, once */

static bool fails_now(void) {
    return allocations_left >= 0 && allocations_left-- == 0;
}

void *__wrap_calloc(size_t n, size_t size) {
    return fails_now() ? NULL : __real_calloc(n, size);
}
int __wrap_posix_memalign(void **out, size_t alignment, size_t size) {
    return fails_now() ? 12 : __real_posix_memalign(out, alignment, size);
}
void *__wrap_aligned_alloc(size_t alignment, size_t size) {
    return fails_now() ? NULL : __real_aligned_alloc(alignment, size);
}

#endif
