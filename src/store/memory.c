/* memory.c - an account of bytes, and reference-counted blocks charged to it.
 *
 * One allocation holds header, owner part and bytes, so that a stored answer
 * costs one malloc and one free, and its overhead is known exactly:
 *
 *     struct memory_block | owner part, rounded to 16 | bytes ... room |
 *
 * Growing doubles the room. While realloc() may hold the old and the new run
 * at once, both are charged: the bound is about memory, not about intentions. */
#include "store/memory.h"

#include <assert.h>
#include <errno.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct memory {
    /* Any thread adds and takes away; nothing is published through it, it only
     * counts, so relaxed is enough. The bound is kept by the compare-exchange. */
    atomic_size_t used;
    /* Written by memory_resize(), read by every charge; a charge that still
     * sees the old bound is one that came a moment earlier. Relaxed. */
    atomic_size_t max;
};

struct memory_block {
    struct memory *memory;
    /* Any holder adds (relaxed: it has one already) and takes away (release,
     * and acquire for the last one, so that it frees after all others read). */
    atomic_uint references;
    uint32_t owner_size; /* rounded up */
    size_t len, room;    /* of the bytes */
    alignas(max_align_t) char data[];
};

enum {
    ALIGNMENT = 16,
    ROOM_MIN = 512,
};
/* From here on malloc() maps whole pages (M_MMAP_THRESHOLD). */
static const size_t MAPPED_MIN = 128 * 1024, PAGE = 4096;

/* ---- the account ------------------------------------------------------- */

int memory_create(struct memory **out, size_t bytes_max) {
    struct memory *m = calloc(1, sizeof(*m));
    if (!m)
        return -ENOMEM;
    atomic_init(&m->used, 0);
    atomic_init(&m->max, bytes_max);
    *out = m;
    return 0;
}

void memory_destroy(struct memory *m) {
    if (!m)
        return;
    assert(memory_used(m) == 0);
    free(m);
}

void memory_resize(struct memory *m, size_t bytes_max) {
    atomic_store_explicit(&m->max, bytes_max, memory_order_relaxed);
}

size_t memory_used(const struct memory *m) {
    return atomic_load_explicit(&m->used, memory_order_relaxed);
}

size_t memory_max(const struct memory *m) {
    return atomic_load_explicit(&m->max, memory_order_relaxed);
}

size_t memory_cost(size_t n) {
    size_t unit = n < MAPPED_MIN ? ALIGNMENT : PAGE;
    if (n > SIZE_MAX - 2 * unit)
        return SIZE_MAX;
    return (n + sizeof(size_t) + unit - 1) / unit * unit;
}

bool memory_charge(struct memory *m, size_t cost) {
    size_t max = memory_max(m), used = memory_used(m);
    do {
        if (used > max || cost > max - used)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&m->used, &used, used + cost,
                                                    memory_order_relaxed, memory_order_relaxed));
    return true;
}

void memory_uncharge(struct memory *m, size_t cost) {
    size_t before = atomic_fetch_sub_explicit(&m->used, cost, memory_order_relaxed);
    assert(before >= cost);
    (void)before;
}

/* ---- blocks ------------------------------------------------------------ */

/* Bytes of the whole allocation; SIZE_MAX when that cannot be said. */
static size_t whole_size(size_t owner_size, size_t room) {
    size_t fixed = sizeof(struct memory_block) + owner_size;
    return room > SIZE_MAX - fixed ? SIZE_MAX : fixed + room;
}

int memory_block_create(struct memory *m, size_t owner_size, size_t room,
                        struct memory_block **out) {
    if (owner_size > UINT16_MAX)
        return -ENOSPC;
    owner_size = (owner_size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    size_t cost = memory_cost(whole_size(owner_size, room));
    if (!memory_charge(m, cost))
        return -ENOSPC;
    struct memory_block *b = malloc(whole_size(owner_size, room));
    if (!b) {
        memory_uncharge(m, cost);
        return -ENOMEM;
    }
    memset(b, 0, sizeof(*b) + owner_size);
    b->memory = m;
    atomic_init(&b->references, 1);
    b->owner_size = (uint32_t)owner_size;
    b->room = room;
    *out = b;
    return 0;
}

static int change_room(struct memory_block **block, size_t room) {
    struct memory_block *b = *block;
    struct memory *m = b->memory;
    size_t before = memory_block_cost(b);
    size_t after = memory_cost(whole_size(b->owner_size, room));
    if (!memory_charge(m, after))
        return -ENOSPC;
    struct memory_block *moved = realloc(b, whole_size(b->owner_size, room));
    if (!moved) {
        memory_uncharge(m, after);
        return -ENOMEM;
    }
    moved->room = room;
    memory_uncharge(m, before);
    *block = moved;
    return 0;
}

int memory_block_append(struct memory_block **block, const void *data, size_t len) {
    struct memory_block *b = *block;
    if (len > SIZE_MAX - b->len)
        return -ENOSPC;
    size_t needed = b->len + len;
    if (needed > b->room) {
        size_t doubled = b->room > SIZE_MAX / 2 ? SIZE_MAX : b->room * 2;
        size_t room = needed > doubled ? needed : doubled;
        int failed = change_room(block, room < ROOM_MIN ? ROOM_MIN : room);
        /* Where doubling is too much, exactly enough may still fit. */
        if (failed == -ENOSPC && needed < room)
            failed = change_room(block, needed);
        if (failed)
            return failed;
        b = *block;
    }
    if (len)
        memcpy(b->data + b->owner_size + b->len, data, len);
    b->len = needed;
    return 0;
}

void memory_block_trim(struct memory_block **block) {
    struct memory_block *b = *block;
    struct memory *m = b->memory;
    size_t before = memory_block_cost(b);
    size_t after = memory_cost(whole_size(b->owner_size, b->len));
    if (after >= before)
        return;
    /* Shrinking never needs room of its own, unlike growing: realloc() either
     * cuts off the end in place or copies into less, for a moment. */
    struct memory_block *smaller = realloc(b, whole_size(b->owner_size, b->len));
    if (!smaller)
        return;
    smaller->room = smaller->len;
    memory_uncharge(m, before - after);
    *block = smaller;
}

void *memory_block_owner(struct memory_block *b) {
    return b->data;
}

struct memory_block *memory_block_of(void *owner) {
    return (struct memory_block *)((char *)owner - offsetof(struct memory_block, data));
}

const char *memory_block_bytes(const struct memory_block *b) {
    return b->data + b->owner_size;
}

size_t memory_block_len(const struct memory_block *b) {
    return b->len;
}

size_t memory_block_cost(const struct memory_block *b) {
    return memory_cost(whole_size(b->owner_size, b->room));
}

void memory_block_hold(struct memory_block *b) {
    unsigned before = atomic_fetch_add_explicit(&b->references, 1, memory_order_relaxed);
    assert(before > 0 && before < UINT32_MAX);
    (void)before;
}

void memory_block_release(struct memory_block *b) {
    if (!b)
        return;
    unsigned before = atomic_fetch_sub_explicit(&b->references, 1, memory_order_acq_rel);
    assert(before > 0);
    if (before != 1)
        return;
    struct memory *m = b->memory;
    size_t cost = memory_block_cost(b);
    free(b);
    memory_uncharge(m, cost);
}

bool memory_block_alone(const struct memory_block *b) {
    return atomic_load_explicit(&b->references, memory_order_acquire) == 1;
}
