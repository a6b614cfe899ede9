/* disk_index.h - where on the disk each record lies.
 *
 * Open addressing with linear probing; a place takes 32 bytes, and the table
 * is at most half full. Keys are known by 64 bits that a secret seed and the
 * key give; whoever reads a record compares the whole key.
 *
 * Threading: the caller's. */
#ifndef SWG_STORE_DISK_INDEX_H
#define SWG_STORE_DISK_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct disk_place {
    uint64_t hash; /* never 0: that is a free place */
    uint32_t segment, offset, size;
    uint32_t over_s; /* Unix seconds from which on it is of no use; UINT32_MAX: far away */
    uint8_t uses;    /* reads since it was written there; 255: or more */
};

struct disk_index {
    struct disk_place *places;
    size_t mask, count;
    uint64_t seed[2];
};

/* 0 or -ENOMEM. */
int disk_index_init(struct disk_index *);
void disk_index_free(struct disk_index *);
uint64_t disk_index_hash(const struct disk_index *, const uint8_t key[32]);
/* NULL: not there. Valid until the next put or remove. */
struct disk_place *disk_index_find(const struct disk_index *, uint64_t hash);
/* Adds, or replaces. 0 or -ENOMEM, and then nothing is under this hash. */
int disk_index_put(struct disk_index *, const struct disk_place *);
void disk_index_remove(struct disk_index *, struct disk_place *);
/* All of one segment; walks the whole table. */
void disk_index_remove_segment(struct disk_index *, uint32_t segment);
void disk_index_clear(struct disk_index *);

#endif
