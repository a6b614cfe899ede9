/* cache_bench.c - does the eviction order earn its place, and what does a
 * look-up cost?
 *
 * First, hit ratios of S3-FIFO and of LRU over the same synthetic requests:
 * Zipf popularity alone, and with a crawler in between that asks for each
 * address once. Entries are of one size; the cache holds a part of the
 * addresses. Second, nanoseconds for a hit, a miss, storing, and a key, on one
 * thread and on two.
 *
 *   cache_bench [seed]           prints a table; the same seed, the same ratios */
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/random.h"
#include "engine/s3fifo.h"
#include "gateway/cache.h"
#include "gateway/cache_meta.h"

#include <switchgear/time.h>

/* ---- requests ---------------------------------------------------------- */

enum { ADDRESSES = 50000, REQUESTS = 2000000, SCAN = 4 * REQUESTS, GHOSTS = 1 << 16 };

struct mix {
    const char *name;
    double skew;
    unsigned scan_percent;
};

static double zipf_sum[ADDRESSES]; /* cumulated */

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

/* Addresses of the crawler come after all others, each once. */
static unsigned next_address(const struct mix *m, uint64_t *seed, unsigned *scanned) {
    if (m->scan_percent && random_next(seed) % 100 < m->scan_percent)
        return ADDRESSES + (*scanned)++;
    return zipf_next(seed);
}

/* ---- two orders -------------------------------------------------------- */

struct node {
    struct swg__s3_node s3;
    struct list lru;
    bool stored;
};

static struct node *nodes; /* one an address */

static double ratio_s3(const struct mix *m, unsigned capacity, uint64_t seed) {
    static struct swg__s3_ghost ghosts[GHOSTS];
    struct swg__s3 s;
    unsigned scanned = 0, hits = 0, asked = 0;
    memset(ghosts, 0, sizeof(ghosts));
    swg__s3_init(&s, ghosts, GHOSTS);
    for (unsigned i = 0; i < SCAN; i++)
        nodes[i].stored = false;
    for (unsigned i = 0; i < REQUESTS; i++) {
        unsigned address = next_address(m, &seed, &scanned);
        struct node *n = &nodes[address];
        bool counts = address < ADDRESSES && i > REQUESTS / 4; /* the crawler never hits */
        asked += counts;
        if (n->stored) {
            hits += counts;
            swg__s3_use(&n->s3);
            continue;
        }
        if (swg__s3_count(&s) >= capacity)
            container_of(swg__s3_evict(&s), struct node, s3)->stored = false;
        swg__s3_add(&s, &n->s3, random_mix(address + 1), 1000);
        n->stored = true;
    }
    return 100.0 * hits / asked;
}

static double ratio_lru(const struct mix *m, unsigned capacity, uint64_t seed) {
    struct list order;
    unsigned scanned = 0, hits = 0, asked = 0, count = 0;
    list_init(&order);
    for (unsigned i = 0; i < SCAN; i++)
        nodes[i].stored = false;
    for (unsigned i = 0; i < REQUESTS; i++) {
        unsigned address = next_address(m, &seed, &scanned);
        struct node *n = &nodes[address];
        bool counts = address < ADDRESSES && i > REQUESTS / 4;
        asked += counts;
        if (n->stored) {
            hits += counts;
            list_remove(&n->lru);
        } else if (count == capacity) {
            struct node *old = container_of(order.prev, struct node, lru);
            list_remove(&old->lru);
            old->stored = false;
        } else {
            count++;
        }
        n->stored = true;
        list_push_front(&order, &n->lru);
    }
    return 100.0 * hits / asked;
}

static void print_ratios(uint64_t seed) {
    static const struct mix mixes[] = {
        {"zipf 0.7", 0.7, 0},
        {"zipf 0.9", 0.9, 0},
        {"zipf 1.1", 1.1, 0},
        {"zipf 0.9, 20% scan", 0.9, 20},
        {"zipf 0.9, 50% scan", 0.9, 50},
        {"zipf 1.1, 50% scan", 1.1, 50},
    };
    static const unsigned percents[] = {1, 5, 20};
    nodes = calloc(SCAN, sizeof(*nodes));
    if (!nodes)
        exit(1);
    printf("%-22s %6s %8s %8s %8s\n", "requests", "cache", "s3fifo", "lru", "gain");
    for (size_t i = 0; i < sizeof(mixes) / sizeof(mixes[0]); i++) {
        zipf_prepare(mixes[i].skew);
        for (size_t p = 0; p < sizeof(percents) / sizeof(percents[0]); p++) {
            unsigned capacity = ADDRESSES / 100 * percents[p];
            double s3 = ratio_s3(&mixes[i], capacity, seed);
            double lru = ratio_lru(&mixes[i], capacity, seed);
            printf("%-22s %5u%% %7.2f%% %7.2f%% %+7.2f\n", mixes[i].name, percents[p], s3, lru,
                   s3 - lru);
        }
    }
    free(nodes);
}

/* ---- nanoseconds ------------------------------------------------------- */

enum { KEYS = 4096, TURNS = 1000000 };

static struct cache *cache;
static struct cache_key keys[2 * KEYS]; /* the second half is never stored */
static const uint64_t now_ns = SWG_SECONDS(1000);

static uint64_t clock_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* As a browser sends them. */
static const struct http_field fields[] = {
    {.name = {"Host", 4}, .value = {"example.com", 11}, .id = HTTP_HOST},
    {.name = {"User-Agent", 10}, .value = {"Mozilla/5.0", 11}, .id = HTTP_FIELD_OTHER},
    {.name = {"Accept", 6}, .value = {"*/*", 3}, .id = HTTP_ACCEPT},
    {.name = {"Accept-Encoding", 15}, .value = {"gzip, br", 8}, .id = HTTP_ACCEPT_ENCODING},
};
enum { FIELDS = sizeof(fields) / sizeof(fields[0]) };

static void make_key(unsigned i) {
    static const struct cache_options options = {.key =
                                                     KEY_METHOD | KEY_HOST | KEY_PATH | KEY_QUERY};
    char path[64];
    int len = snprintf(path, sizeof(path), "/api/v1/products/%u", i);
    struct cache_key_parts parts = {.service = BYTES("products"),
                                    .method = BYTES("GET"),
                                    .host = BYTES("example.com"),
                                    .path = {path, (size_t)len}};
    if (cache_key_make(&keys[i % (2 * KEYS)], &parts, &options))
        exit(1);
}

static void store(unsigned i, const struct cache_request *request) {
    static const struct swg__cache_terms terms = {.fresh_ns = SWG_SECONDS(60)};
    static const char body[1024];
    struct cache_result r;
    struct cache_answer a;
    if (cache_look_up(cache, &keys[i], request, NULL, now_ns, &r) != CACHE_MISS_LEAD)
        exit(1);
    cache_answer_read(&a, 200, NULL, 0, request, 0);
    a.lines = BYTES("Content-Type: application/json\r\n");
    a.facts.came_ns = a.facts.asked_ns = now_ns;
    a.length = sizeof(body);
    cache_fill_begin(&r.flight, request, &a, &terms);
    cache_fill_append(&r.flight, (struct bytes){body, sizeof(body)});
    cache_fill_commit(&r.flight, now_ns);
}

static void *hit(void *arg) {
    struct cache_request request;
    uint64_t seed = (uint64_t)(uintptr_t)arg;
    for (int i = 0; i < TURNS; i++) {
        struct cache_result r;
        cache_request_read(&request, fields, FIELDS);
        cache_look_up(cache, &keys[random_next(&seed) % KEYS], &request, NULL, now_ns, &r);
        cache_entry_release(r.entry);
    }
    return NULL;
}

static void *miss(void *arg) {
    struct cache_request request;
    uint64_t seed = (uint64_t)(uintptr_t)arg;
    for (int i = 0; i < TURNS; i++) {
        struct cache_result r;
        cache_request_read(&request, fields, FIELDS);
        cache_look_up(cache, &keys[KEYS + random_next(&seed) % KEYS], &request, NULL, now_ns, &r);
        if (r.flight)
            cache_abandon(&r.flight, SWG__FLIGHT_CANCELLED, now_ns);
    }
    return NULL;
}

static void print_time(const char *what, uint64_t from_ns, double count) {
    printf("%-34s %8.0f ns\n", what, (double)(clock_ns() - from_ns) / count);
}

static void run(const char *what, void *(*work)(void *), int threads) {
    pthread_t ids[2];
    uint64_t from_ns = clock_ns();
    for (int i = 0; i < threads; i++)
        pthread_create(&ids[i], NULL, work, (void *)(uintptr_t)(i + 1));
    for (int i = 0; i < threads; i++)
        pthread_join(ids[i], NULL);
    print_time(what, from_ns, TURNS);
}

static void print_times(void) {
    struct cache_request request;
    if (cache_create(&cache, 64 << 20, 16))
        exit(1);
    uint64_t from_ns = clock_ns();
    for (unsigned i = 0; i < 2 * KEYS * 16; i++)
        make_key(i);
    print_time("key", from_ns, 2 * KEYS * 16);
    cache_request_read(&request, fields, FIELDS);
    from_ns = clock_ns();
    for (unsigned i = 0; i < KEYS; i++)
        store(i, &request);
    print_time("look up, lead, store 1 KiB", from_ns, KEYS);
    run("hit, 1 thread", hit, 1);
    run("hit, 2 threads, each", hit, 2);
    run("miss and give up, 1 thread", miss, 1);
    run("miss and give up, 2 threads, each", miss, 2);
    struct cache_stats s;
    cache_read(cache, &s);
    printf("%-34s %8.0f bytes\n", "an entry of 1 KiB", (double)s.bytes / (double)s.entries);
    cache_destroy(cache);
}

int main(int argc, char **argv) {
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    print_ratios(seed);
    puts("");
    print_times();
    return 0;
}
