/* fuzz.h - what every fuzz target needs. */
#ifndef SWG_FUZZ_FUZZ_H
#define SWG_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Never compiled out, unlike assert(). */
#define MUST(condition)                                                             \
    do {                                                                            \
        if (!(condition)) {                                                         \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                                \
        }                                                                           \
    } while (0)

/* A copy in a buffer of exactly its size, so that reading past it is seen. */
static inline char *fuzz_copy(const void *data, size_t size) {
    char *copy = malloc(size ? size : 1);
    MUST(copy != NULL);
    if (size)
        memcpy(copy, data, size);
    return copy;
}

/* Choices are drawn from the input's hash, not from bytes of their own, so that
 * an input is plain protocol text and can come from anywhere. */
static inline uint32_t fuzz_hash(const uint8_t *data, size_t size) {
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < size; i++)
        hash = (uint32_t)((hash ^ data[i]) * UINT64_C(16777619));
    return hash ^ hash >> 15;
}

#endif
