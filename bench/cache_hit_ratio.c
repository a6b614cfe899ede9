/* cache_hit_ratio.c - does the eviction order earn its place?
 *
 * Hit ratios of the engine's S3-FIFO beside LRU, FIFO and a clock (second
 * chance), over the same synthetic requests, in caches that hold 1% and 10% of
 * the addresses; entries are of one size. The mixes:
 *
 *   zipf S        popularity by Zipf's law with exponent S
 *   zipf + scan   half of the requests are a crawler's: each address once
 *   loop          one address after the other, round and round: a tenth more than
 *                 the larger cache holds
 *   shifting      Zipf 1.0, and who is popular changes a hundred times
 *
 * The crawler's own requests cannot hit and are left out of the ratio; so is
 * the first quarter, in which the cache fills.
 *
 *   cache_hit_ratio [seed]       the same seed, the same table */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "base/random.h"
#include "engine/s3fifo.h"

enum {
    ADDRESSES = 50000,
    REQUESTS = 1000000,
    SHIFTS = 100,
    LOOP = ADDRESSES / 10 + ADDRESSES / 100,
    ALL = ADDRESSES + REQUESTS, /* the crawler's come after the others */
    GHOSTS = 1 << 16,
};

/* ---- requests ------------------------------------------------------------- */

enum kind { ZIPF, SCAN, LOOPING, SHIFTING };

struct mix {
    const char *name;
    enum kind kind;
    double skew;
};

static const struct mix mixes[] = {
    {"zipf 0.8", ZIPF, 0.8},        {"zipf 1.0", ZIPF, 1.0},        {"zipf 1.2", ZIPF, 1.2},
    {"zipf 0.8 + scan", SCAN, 0.8}, {"zipf 1.0 + scan", SCAN, 1.0}, {"zipf 1.2 + scan", SCAN, 1.2},
    {"loop", LOOPING, 1.0},         {"shifting", SHIFTING, 1.0},
};

static double zipf_sum[ADDRESSES]; /* cumulated */
static unsigned requests[REQUESTS];

static void zipf_prepare(double skew) {
    double sum = 0;
    for (int i = 0; i < ADDRESSES; i++)
        zipf_sum[i] = sum += 1 / pow(i + 1, skew);
}

static unsigned zipf_next(uint64_t *seed) {
    double at = (double)(random_next(seed) >> 11) / 9007199254740992.0 * zipf_sum[ADDRESSES - 1];
    unsigned low = 0, high = ADDRESSES - 1;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        if (zipf_sum[middle] < at)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void make_requests(const struct mix *m, uint64_t seed) {
    unsigned scanned = 0;
    zipf_prepare(m->skew);
    for (unsigned i = 0; i < REQUESTS; i++) {
        if (m->kind == SCAN && random_next(&seed) % 2)
            requests[i] = ADDRESSES + scanned++;
        else if (m->kind == LOOPING)
            requests[i] = i % LOOP;
        else if (m->kind == SHIFTING)
            requests[i] =
                (zipf_next(&seed) + i / (REQUESTS / SHIFTS) * (ADDRESSES / SHIFTS)) % ADDRESSES;
        else
            requests[i] = zipf_next(&seed);
    }
}

/* ---- orders ------------------------------------------------------------------ */

struct node {
    struct swg__s3_node s3;
    struct list link; /* newest first */
    bool stored, used;
};

static struct node nodes[ALL];

/* The others are a list, and differ in what a hit and an eviction do. */
enum order { S3_FIFO, LRU, CLOCK, FIFO, ORDERS };
static const char *const order_names[ORDERS] = {"S3-FIFO", "LRU", "clock", "FIFO"};

struct cache {
    enum order order;
    struct swg__s3 s3;
    struct list list;
    unsigned count;
};

static void hit(struct cache *c, struct node *n) {
    n->used = true;
    if (c->order == S3_FIFO)
        swg__s3_use(&n->s3);
    if (c->order == LRU) {
        list_remove(&n->link);
        list_push_front(&c->list, &n->link);
    }
}

static struct node *oldest(struct cache *c) {
    for (;;) {
        struct node *n = container_of(c->list.prev, struct node, link);
        list_remove(&n->link);
        if (c->order != CLOCK || !n->used)
            return n;
        n->used = false;
        list_push_front(&c->list, &n->link);
    }
}

static void evict(struct cache *c) {
    struct node *n =
        c->order == S3_FIFO ? container_of(swg__s3_evict(&c->s3), struct node, s3) : oldest(c);
    n->stored = false;
    c->count--;
}

static void add(struct cache *c, struct node *n) {
    n->stored = true;
    n->used = false;
    c->count++;
    if (c->order == S3_FIFO)
        swg__s3_add(&c->s3, &n->s3, random_mix((uint64_t)(n - nodes) + 1), 1000);
    else
        list_push_front(&c->list, &n->link);
}

static double ratio(enum order order, unsigned capacity) {
    static struct swg__s3_ghost ghosts[GHOSTS];
    struct cache c = {.order = order};
    unsigned hits = 0, asked = 0, places = 4;
    while (places < 2 * capacity)
        places *= 2;
    memset(nodes, 0, sizeof nodes);
    memset(ghosts, 0, sizeof ghosts);
    swg__s3_init(&c.s3, ghosts, places);
    list_init(&c.list);
    for (unsigned i = 0; i < REQUESTS; i++) {
        struct node *n = &nodes[requests[i]];
        bool counts = requests[i] < ADDRESSES && i > REQUESTS / 4;
        asked += counts;
        if (n->stored) {
            hits += counts;
            hit(&c, n);
            continue;
        }
        if (c.count == capacity)
            evict(&c);
        add(&c, n);
    }
    return 100.0 * hits / asked;
}

/* ---- the table ----------------------------------------------------------------- */

static void print_size(unsigned percent, uint64_t seed) {
    printf("\nhit ratio in %%, cache of %u%% of %d addresses\n\n  %-18s", percent, ADDRESSES, "");
    for (int o = 0; o < ORDERS; o++)
        printf("%9s", order_names[o]);
    printf("   misses of S3-FIFO for 100 of LRU\n");
    for (size_t m = 0; m < sizeof mixes / sizeof mixes[0]; m++) {
        double got[ORDERS];
        make_requests(&mixes[m], seed);
        printf("  %-18s", mixes[m].name);
        for (int o = 0; o < ORDERS; o++)
            printf("%9.2f", got[o] = ratio((enum order)o, ADDRESSES / 100 * percent));
        printf("%9.0f\n", 100 * (100 - got[S3_FIFO]) / (100 - got[LRU]));
    }
}

int main(int argc, char **argv) {
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    print_size(1, seed);
    print_size(10, seed);
    return 0;
}
