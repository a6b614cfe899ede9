/* limit_works.c - what the machine asks for what a breaker must do at least, and a
 * breaker as most programs have it: a lock around a ring of results. */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

#include "engine_bench.h"

static void *make_counter(void) {
    return calloc(1, 128);
}
static void run_fetch_add(struct thread *t) {
    for (int i = 0; i < BATCH; i++)
        atomic_fetch_add_explicit((_Atomic uint64_t *)t->object, 1, memory_order_relaxed);
}
static void run_clock(struct thread *t) {
    for (int i = 0; i < BATCH; i++) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        t->random += (uint64_t)now.tv_nsec;
    }
}

/* ---- a lock and a ring ---- */

enum { RING = 100 };

struct naive {
    pthread_mutex_t lock;
    bool open;
    uint64_t open_until_ns;
    uint32_t next, count, failures;
    bool ring[RING];
};

static void *make_naive(void) {
    struct naive *b = calloc(1, sizeof *b);
    if (b)
        pthread_mutex_init(&b->lock, NULL);
    return b;
}

static bool naive_admit(struct naive *b, uint64_t now_ns) {
    pthread_mutex_lock(&b->lock);
    bool admitted = !b->open || now_ns >= b->open_until_ns;
    pthread_mutex_unlock(&b->lock);
    return admitted;
}

static void naive_record(struct naive *b, bool failed, uint64_t now_ns) {
    pthread_mutex_lock(&b->lock);
    b->failures -= b->count == RING && b->ring[b->next];
    b->ring[b->next] = failed;
    b->failures += failed;
    b->next = (b->next + 1) % RING;
    b->count += b->count < RING;
    if (b->count == RING && b->failures * 2 >= RING) {
        b->open = true;
        b->open_until_ns = now_ns + 5000000000u;
    }
    pthread_mutex_unlock(&b->lock);
}

static void run_naive(struct thread *t) {
    for (int i = 0; i < BATCH; i++) {
        t->now_ns += 1000;
        if (naive_admit(t->object, t->now_ns))
            naive_record(t->object, false, t->now_ns);
    }
}

const struct work limit_works[] = {
    {"one atomic add", make_counter, run_fetch_add, free},
    {"one clock_gettime", make_counter, run_clock, free},
    {"a lock around a ring of 100", make_naive, run_naive, free},
    {0},
};
