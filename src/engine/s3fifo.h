/* s3fifo.h - which stored answer goes when room is needed.
 *
 * S3-FIFO (Yang, Zhang, Qiu, Yue, Rashmi: "FIFO queues are all you need for
 * cache eviction", SOSP 2023): a small queue on probation, a main queue, and
 * the hashes of what was lately thrown out on probation. What is asked for
 * once leaves soon, so a crawler does not sweep out what is in use.
 *
 * Intrusive and pure: nodes and the table of ghosts are the caller's memory.
 * It orders; how much may be kept, and what a node costs, is the caller's.
 * Threading: the caller's. */
#ifndef SWG_ENGINE_S3FIFO_H
#define SWG_ENGINE_S3FIFO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"

/* Embedded in what is stored. Written only by the functions below. */
struct swg__s3_node {
    struct list link;
    uint64_t hash; /* of the key; even over all 64 bits */
    size_t cost;   /* bytes */
    uint8_t uses;  /* since it was queued, 0…3 */
    bool in_main;
};

/* A remembered hash. Zeroed memory is an empty table. */
struct swg__s3_ghost {
    uint32_t print, stamp;
};

struct swg__s3_queue {
    struct list nodes; /* newest first */
    size_t cost;
    uint32_t count;
};

struct swg__s3 {
    struct swg__s3_queue small, main;
    struct swg__s3_ghost *ghosts;
    uint32_t ghost_mask;
    uint32_t ghost_clock; /* ghosts made so far */
};

/* `ghosts`: zeroed, a power of two of them, at least 4; 2 to 4 times the nodes
 * expected is a good number. */
void swg__s3_init(struct swg__s3 *, struct swg__s3_ghost *ghosts, uint32_t ghost_count);

void swg__s3_add(struct swg__s3 *, struct swg__s3_node *, uint64_t hash, size_t cost);
/* It was asked for. */
void swg__s3_use(struct swg__s3_node *);
/* Takes the one out that goes next; NULL when empty. Amortised O(1). */
struct swg__s3_node *swg__s3_evict(struct swg__s3 *);
/* Puts back one that evict() gave and that cannot go now, as if just used. */
void swg__s3_spare(struct swg__s3 *, struct swg__s3_node *);
/* Takes one out for another reason than room; it leaves no ghost. */
void swg__s3_remove(struct swg__s3 *, struct swg__s3_node *);

static inline size_t swg__s3_cost(const struct swg__s3 *s) {
    return s->small.cost + s->main.cost;
}

static inline uint32_t swg__s3_count(const struct swg__s3 *s) {
    return s->small.count + s->main.count;
}

/* Asserts every invariant; walks all nodes. */
void swg__s3_check(const struct swg__s3 *);

#endif
