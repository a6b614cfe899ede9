/* arena.h - the memory of one request: many allocations, one release.
 *
 * The first block is the caller's own (usually a part of the object that owns
 * the request), so a typical request allocates nothing; further blocks come
 * from malloc(). `max` bounds the bytes handed out, each allocation rounded up
 * to 8; what stands behind them is at most a half more.
 *
 * Under AddressSanitizer every allocation is a malloc() of its own, so that an
 * overrun by one byte, or a use after reset, is seen.
 *
 * Threading: the caller's. */
#ifndef SWG_BASE_ARENA_H
#define SWG_BASE_ARENA_H

#include <stdarg.h>
#include <stddef.h>

#include "base/bytes.h"

/* Whether every allocation is a malloc() of its own. */
#if defined(__SANITIZE_ADDRESS__)
#define ARENA_EACH_ITS_OWN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_EACH_ITS_OWN 1
#endif
#endif
#ifndef ARENA_EACH_ITS_OWN
#define ARENA_EACH_ITS_OWN 0
#endif

struct arena_block;

struct arena {
    char *at, *end; /* what is free in the current block */
    struct arena_block *blocks;
    char *first;
    size_t first_size;
    size_t block_size; /* of the next block */
    size_t used, max;
};

/* `first` may be NULL with first_size 0; it must outlive the arena. */
void arena_init(struct arena *, void *first, size_t first_size, size_t max);
/* Frees everything; the arena is as after arena_init(). Needed at the end. */
void arena_reset(struct arena *);

/* Not zeroed, aligned to 8; NULL when `max` or memory is exhausted. A failed
 * call changes nothing: a smaller one may still succeed. */
void *arena_alloc(struct arena *, size_t size);
void *arena_zalloc(struct arena *, size_t size);
/* A copy, followed by a NUL that `bytes` need not have had. */
char *arena_copy(struct arena *, struct bytes);
char *arena_printf(struct arena *, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
