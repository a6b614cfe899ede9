/* Blocks double from 1 KiB to 16 KiB. An allocation larger than a third of the
 * next block gets a block of exactly its size behind the current one, so a
 * block is never abandoned with more than a third of it unused. */
#include "base/arena.h"

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { ALIGN = 8, BLOCK_SIZE_MIN = 1024, BLOCK_SIZE_MAX = 16384 };

struct arena_block {
    struct arena_block *next;
    _Alignas(ALIGN) char bytes[];
};

static void *alloc_block(struct arena *, size_t size);
static void *alloc_from_new_block(struct arena *, size_t rounded);

void arena_init(struct arena *a, void *first, size_t first_size, size_t max) {
    size_t skew = first ? -(uintptr_t)first % ALIGN : 0;
    if (first_size < skew + ALIGN)
        first = NULL;
    if (max > SIZE_MAX / 2) /* so that rounding cannot overflow */
        max = SIZE_MAX / 2;
    *a = (struct arena){
        .first = first ? (char *)first + skew : NULL,
        .first_size = first ? first_size - skew : 0,
        .max = max,
    };
    arena_reset(a);
}

void arena_reset(struct arena *a) {
    while (a->blocks) {
        struct arena_block *next = a->blocks->next;
        free(a->blocks);
        a->blocks = next;
    }
    a->at = a->first;
    a->end = a->first ? a->first + a->first_size : NULL;
    a->block_size = BLOCK_SIZE_MIN;
    a->used = 0;
}

void *arena_alloc(struct arena *a, size_t size) {
    if (size > a->max)
        return NULL; /* before rounding, which could overflow */
    size_t rounded = size ? (size + ALIGN - 1) / ALIGN * ALIGN : ALIGN;
    if (rounded > a->max - a->used)
        return NULL;
    void *got;
    if (ARENA_EACH_ITS_OWN) {
        got = alloc_block(a, size);
    } else if (rounded <= (size_t)(a->end - a->at)) {
        got = a->at;
        a->at += rounded;
    } else {
        got = alloc_from_new_block(a, rounded);
    }
    if (got)
        a->used += rounded;
    return got;
}

void *arena_zalloc(struct arena *a, size_t size) {
    void *got = arena_alloc(a, size);
    if (got)
        memset(got, 0, size);
    return got;
}

char *arena_copy(struct arena *a, struct bytes b) {
    char *copy = b.len < SIZE_MAX ? arena_alloc(a, b.len + 1) : NULL;
    if (!copy)
        return NULL;
    if (b.len)
        memcpy(copy, b.at, b.len);
    copy[b.len] = '\0';
    return copy;
}

char *arena_printf(struct arena *a, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *text = len >= 0 ? arena_alloc(a, (size_t)len + 1) : NULL;
    if (!text)
        return NULL;
    va_start(args, format);
    vsnprintf(text, (size_t)len + 1, format, args);
    va_end(args);
    return text;
}

static void *alloc_block(struct arena *a, size_t size) {
    if (size > SIZE_MAX - sizeof(struct arena_block))
        return NULL;
    struct arena_block *block = malloc(sizeof(*block) + size);
    if (!block)
        return NULL;
    block->next = a->blocks;
    a->blocks = block;
    return block->bytes;
}

static void *alloc_from_new_block(struct arena *a, size_t rounded) {
    if (rounded > a->block_size / 3)
        return alloc_block(a, rounded);
    size_t size = a->block_size - sizeof(struct arena_block);
    char *got = alloc_block(a, size);
    if (!got)
        return NULL;
    a->at = got + rounded;
    a->end = got + size;
    if (a->block_size < BLOCK_SIZE_MAX)
        a->block_size *= 2;
    return got;
}
