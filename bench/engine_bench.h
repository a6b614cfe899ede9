/* engine_bench.h - what engine_bench measures. */
#ifndef SWG_BENCH_ENGINE_BENCH_H
#define SWG_BENCH_ENGINE_BENCH_H

#include <pthread.h>
#include <stdint.h>

enum { BATCH = 1024 };

struct work;

struct thread {
    pthread_t id;
    const struct work *work;
    void *object;
    uint64_t random, now_ns, operations, took_ns, allocations;
};

struct work {
    const char *name;
    void *(*make)(void);
    void (*run)(struct thread *); /* BATCH operations */
    void (*unmake)(void *);
};

/* Groups, each ended by one without a name. */
extern const struct work engine_works[]; /* of the engine */
extern const struct work limit_works[];  /* what the machine asks for */

#endif
