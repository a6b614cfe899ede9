/* memory.h - bytes kept in memory under one strict bound.
 *
 * A `struct memory` is an account: whatever is taken out of it is charged
 * before it is allocated, with the allocator's own overhead, so the bound
 * holds at every moment and not just on average. A block is a run of bytes
 * that grows while it is written, then never changes again and is shared by
 * reference: whoever holds one may read and send its bytes without a lock and
 * without a copy. A block stays charged until its last holder lets go, so
 * blocks that slow readers pin count too.
 *
 * Ownership: a block belongs to its holders together; before it is shared it
 * has one, who writes it. Its `owner` part, at the front, is the caller's own
 * struct, in the same allocation.
 * Threading: an account, and hold/release, from any thread. Everything else on
 * a block is for its single writer, before it is shared.
 * When full: charge and append fail and change nothing; making room (what to
 * evict) is the caller's decision. */
#ifndef SWG_STORE_MEMORY_H
#define SWG_STORE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct memory;
struct memory_block;

/* 0 or -ENOMEM. */
int memory_create(struct memory **out, size_t bytes_max);
/* Nothing may be charged any more (asserted). */
void memory_destroy(struct memory *);
/* A smaller bound than what is in use: every charge fails until enough has
 * been given back. */
void memory_resize(struct memory *, size_t bytes_max);
size_t memory_used(const struct memory *);
size_t memory_max(const struct memory *);

/* What an allocation of n bytes is charged with: n, rounded up as the
 * allocator does, plus its header. Saturates at SIZE_MAX. */
size_t memory_cost(size_t n);
/* For memory the caller allocates itself, with memory_cost(). False: no room. */
bool memory_charge(struct memory *, size_t cost);
void memory_uncharge(struct memory *, size_t cost);

/* A block with room for an owner part (zeroed) and `room` bytes. 0, -ENOSPC
 * when the account is full, -ENOMEM. */
int memory_block_create(struct memory *, size_t owner_size, size_t room, struct memory_block **out);
/* Adds bytes at the end; on success the block, and with it its owner part, may
 * have moved. -ENOSPC or -ENOMEM: nothing changed. */
int memory_block_append(struct memory_block **, const void *data, size_t len);
/* Gives back room that was not used; the block may have moved. */
void memory_block_trim(struct memory_block **);

void *memory_block_owner(struct memory_block *);
struct memory_block *memory_block_of(void *owner); /* the way back */
const char *memory_block_bytes(const struct memory_block *);
size_t memory_block_len(const struct memory_block *);
size_t memory_block_cost(const struct memory_block *); /* what it is charged with */

void memory_block_hold(struct memory_block *);
void memory_block_release(struct memory_block *); /* frees at the last one */
/* Whether the caller's reference is the only one. Certain only while the
 * caller keeps others from taking new ones. */
bool memory_block_alone(const struct memory_block *);

#endif
