/* s3fifo.c - eviction in three first-in-first-out queues.
 *
 *    add ──▶ [ small, 10 % of the bytes ] ──used twice──▶ [ main, the rest ] ─┐
 *     │               │                                     ▲   │     used:   │
 *     │               └─ not used twice ─▶ out, leaves a    │   └─ once more ─┤
 *     │                                    ghost            │     not used:  ▼
 *     └── a ghost remembers the key ────────────────────────┘               out
 *
 * Chosen over LRU because one pass of a crawler over many addresses, each
 * asked for once, must not sweep out what is in use; and over SIEVE, which is
 * simpler and as good on steady traffic, for the same reason. A hit changes a
 * number of two bits and moves nothing.
 *
 * Two departures from the paper. The share of the small queue is measured
 * against what is stored now, not against a capacity: the capacity here is one
 * bound over several independent orders. And ghosts are not a queue but a
 * four-way table of 32-bit prints with the time of their making, in fixed
 * memory; a print that is older than as many ghosts as there are nodes counts
 * as forgotten. A false match, one in some 10^8, only promotes a newcomer. */
#include "engine/s3fifo.h"

#include <assert.h>

enum {
    WAYS = 4,
    USES_MAX = 3,
    USES_TO_STAY = 2, /* in the small queue, to be moved to main */
    SMALL_PERCENT = 10,
};

/* ---- ghosts ------------------------------------------------------------ */

static struct swg__s3_ghost *bucket_of(const struct swg__s3 *s, uint64_t hash) {
    return &s->ghosts[(uint32_t)hash & s->ghost_mask & ~(uint32_t)(WAYS - 1)];
}

/* Never 0, which marks an empty place. */
static uint32_t print_of(uint64_t hash) {
    return (uint32_t)(hash >> 32) | 1;
}

static void remember(struct swg__s3 *s, uint64_t hash) {
    struct swg__s3_ghost *bucket = bucket_of(s, hash), *oldest = bucket;
    s->ghost_clock++;
    for (int i = 0; i < WAYS; i++) {
        struct swg__s3_ghost *g = &bucket[i];
        if (!g->print || g->print == print_of(hash)) {
            oldest = g;
            break;
        }
        if (s->ghost_clock - g->stamp > s->ghost_clock - oldest->stamp)
            oldest = g;
    }
    *oldest = (struct swg__s3_ghost){.print = print_of(hash), .stamp = s->ghost_clock};
}

/* Whether it was remembered; it no longer is. */
static bool recall(struct swg__s3 *s, uint64_t hash) {
    struct swg__s3_ghost *bucket = bucket_of(s, hash);
    for (int i = 0; i < WAYS; i++) {
        if (bucket[i].print != print_of(hash))
            continue;
        bool recent = s->ghost_clock - bucket[i].stamp < swg__s3_count(s);
        bucket[i].print = 0;
        return recent;
    }
    return false;
}

/* ---- queues ------------------------------------------------------------ */

static void push(struct swg__s3 *s, struct swg__s3_node *n, bool in_main) {
    struct swg__s3_queue *q = in_main ? &s->main : &s->small;
    n->in_main = in_main;
    list_push_front(&q->nodes, &n->link);
    q->cost += n->cost;
    q->count++;
}

static void pull(struct swg__s3 *s, struct swg__s3_node *n) {
    struct swg__s3_queue *q = n->in_main ? &s->main : &s->small;
    list_remove(&n->link);
    q->cost -= n->cost;
    q->count--;
}

static struct swg__s3_node *oldest_of(struct swg__s3_queue *q) {
    return container_of(q->nodes.prev, struct swg__s3_node, link);
}

void swg__s3_init(struct swg__s3 *s, struct swg__s3_ghost *ghosts, uint32_t ghost_count) {
    assert(ghost_count >= WAYS && (ghost_count & (ghost_count - 1)) == 0);
    *s = (struct swg__s3){.ghosts = ghosts, .ghost_mask = ghost_count - 1};
    list_init(&s->small.nodes);
    list_init(&s->main.nodes);
}

void swg__s3_add(struct swg__s3 *s, struct swg__s3_node *n, uint64_t hash, size_t cost) {
    n->hash = hash;
    n->cost = cost;
    n->uses = 0;
    push(s, n, recall(s, hash));
}

void swg__s3_use(struct swg__s3_node *n) {
    if (n->uses < USES_MAX)
        n->uses++;
}

/* Without the multiplication that large sizes would overflow. */
static bool small_is_over(const struct swg__s3 *s) {
    return s->small.cost >= swg__s3_cost(s) / 100 * SMALL_PERCENT;
}

/* Ends: every turn takes one out, moves one from small to main, or takes a use
 * away. */
struct swg__s3_node *swg__s3_evict(struct swg__s3 *s) {
    while (swg__s3_count(s)) {
        bool from_small = s->small.count && (!s->main.count || small_is_over(s));
        struct swg__s3_node *n = oldest_of(from_small ? &s->small : &s->main);
        pull(s, n);
        if (from_small && n->uses >= USES_TO_STAY) {
            n->uses = 0;
            push(s, n, true);
        } else if (!from_small && n->uses) {
            n->uses--;
            push(s, n, true);
        } else {
            if (from_small)
                remember(s, n->hash);
            return n;
        }
    }
    return NULL;
}

void swg__s3_spare(struct swg__s3 *s, struct swg__s3_node *n) {
    n->uses = 1;
    push(s, n, true);
}

void swg__s3_remove(struct swg__s3 *s, struct swg__s3_node *n) {
    pull(s, n);
}

static void check_queue(const struct swg__s3_queue *q, bool in_main) {
    size_t cost = 0;
    uint32_t count = 0;
    for (const struct list *l = q->nodes.next; l != &q->nodes; l = l->next, count++) {
        const struct swg__s3_node *n = container_of(l, const struct swg__s3_node, link);
        assert(n->in_main == in_main && n->uses <= USES_MAX && l->next->prev == l);
        cost += n->cost;
    }
    assert(cost == q->cost && count == q->count);
}

void swg__s3_check(const struct swg__s3 *s) {
    check_queue(&s->small, false);
    check_queue(&s->main, true);
}
