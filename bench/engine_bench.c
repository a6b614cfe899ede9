/* engine_bench.c - what one protected call costs in the process: ns per
 * operation and thread, on one thread and on several that share the object.
 *
 *     engine_bench [threads [milliseconds]]
 *
 * The median of seven rounds; time is passed in as a number that moves a
 * microsecond a call, so no clock is measured. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <switchgear/breaker.h>
#include <switchgear/policy.h>

#include "base/random.h"
#include "engine/policy_priv.h"

enum { ROUNDS = 7, BATCH = 1024, THREADS_MAX = 64 };

struct thread {
    pthread_t id;
    const struct work *work;
    void *object;
    uint64_t random, now_ns, operations, took_ns;
};

struct work {
    const char *name;
    void *(*make)(void);
    void (*run)(struct thread *); /* BATCH operations */
    void (*unmake)(void *);
};

static atomic_bool stop; /* set by main, polled by the threads: relaxed */
static pthread_barrier_t start;

static uint64_t cpu_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void *run_thread(void *arg) {
    struct thread *t = arg;
    pthread_barrier_wait(&start);
    uint64_t begin = cpu_ns();
    while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
        t->work->run(t);
        t->operations += BATCH;
    }
    t->took_ns = cpu_ns() - begin;
    return NULL;
}

/* ---- the works ---- */

static void *make_breaker(const struct swg_breaker_options *o) {
    struct swg_breaker *b;
    return swg_breaker_create(&b, o, 1, SWG_SECONDS(1)) ? NULL : b;
}
static void *make_time(void) {
    return make_breaker(NULL);
}
static void *make_calls(void) {
    return make_breaker(&(struct swg_breaker_options){.failure_percent = 50, .window_calls = 100});
}
static void *make_forced_open(void) {
    struct swg_breaker *b = make_breaker(NULL);
    swg_breaker_force(b, SWG_FORCED_OPEN, SWG_NEVER, SWG_SECONDS(1));
    return b;
}
static void *make_open(void) {
    struct swg_breaker *b =
        make_breaker(&(struct swg_breaker_options){.consecutive = 1, .open_ns = SWG_HOURS(100)});
    struct swg_permit p;
    swg_breaker_admit(b, &p, 0, SWG_SECONDS(1));
    swg_breaker_record(b, &p, SWG_FAILURE, 0, SWG_SECONDS(1));
    return b;
}
static void unmake_breaker(void *b) {
    swg_breaker_destroy(b);
}

static inline void call_breaker(struct thread *t, uint32_t fail_permille) {
    struct swg_breaker *b = t->object;
    for (int i = 0; i < BATCH; i++) {
        struct swg_permit p;
        t->now_ns += 1000;
        if (swg_breaker_admit(b, &p, 0, t->now_ns) != SWG_ADMITTED)
            continue;
        enum swg_outcome_kind kind = SWG_SUCCESS;
        if (fail_permille) {
            t->random = t->random * UINT64_C(6364136223846793005) + 1;
            if ((t->random >> 32) % 1000 < fail_permille)
                kind = SWG_FAILURE;
        }
        swg_breaker_record(b, &p, kind, 0, t->now_ns);
    }
}
static void run_healthy(struct thread *t) {
    call_breaker(t, 0);
}
static void run_1_percent(struct thread *t) {
    call_breaker(t, 10);
}
static void run_10_percent(struct thread *t) {
    call_breaker(t, 100);
}

static void *make_policy(uint32_t endpoints) {
    struct swg_endpoint_options e[8] = {{"a", 1}, {"b", 1}, {"c", 1}, {"d", 1},
                                        {"e", 1}, {"f", 1}, {"g", 1}, {"h", 1}};
    struct swg_policy *p;
    return swg_policy_create(
               &p, &(struct swg_policy_options){.endpoints = e, .endpoint_count = endpoints}, 1,
               SWG_SECONDS(1))
               ? NULL
               : p;
}
static void *make_policy_1(void) {
    return make_policy(1);
}
static void *make_policy_2(void) {
    return make_policy(2);
}
static void *make_policy_8(void) {
    return make_policy(8);
}
static void unmake_policy(void *p) {
    swg_policy_release(p);
}
static void run_policy(struct thread *t) {
    struct swg_policy *p = t->object;
    for (int i = 0; i < BATCH; i++) {
        struct swg_permit permit;
        uint64_t tried = 0;
        uint32_t endpoint;
        bool probe;
        t->now_ns += 1000;
        if (swg__policy_pick(p, &tried, true, random_next(&t->random), t->now_ns, &permit,
                             &endpoint, &probe) != SWG_ADMITTED)
            continue;
        swg_breaker_record(swg_policy_breaker(p, endpoint), &permit, SWG_SUCCESS, 0, t->now_ns);
        swg__policy_leave(p, endpoint);
    }
}

static const struct work works[] = {
    {"admit+record, closed, time window", make_time, run_healthy, unmake_breaker},
    {"admit+record, closed, 100 calls", make_calls, run_healthy, unmake_breaker},
    {"  with 1% failures, time window", make_time, run_1_percent, unmake_breaker},
    {"  with 1% failures, 100 calls", make_calls, run_1_percent, unmake_breaker},
    {"  with 10% failures, time window", make_time, run_10_percent, unmake_breaker},
    {"refusal, open", make_open, run_healthy, unmake_breaker},
    {"refusal, forced open", make_forced_open, run_healthy, unmake_breaker},
    {"pick+record+leave, 1 endpoint", make_policy_1, run_policy, unmake_policy},
    {"pick+record+leave, 2 endpoints", make_policy_2, run_policy, unmake_policy},
    {"pick+record+leave, 8 endpoints", make_policy_8, run_policy, unmake_policy},
};

/* ---- measuring ---- */

static double run_round(const struct work *w, unsigned count, unsigned ms) {
    struct thread threads[THREADS_MAX];
    void *object = w->make();
    uint64_t took_ns = 0, operations = 0;
    if (!object)
        exit(1);
    atomic_store(&stop, false);
    pthread_barrier_init(&start, NULL, count + 1);
    for (unsigned i = 0; i < count; i++) {
        threads[i] =
            (struct thread){.work = w, .object = object, .random = i + 1, .now_ns = SWG_SECONDS(1)};
        pthread_create(&threads[i].id, NULL, run_thread, &threads[i]);
    }
    pthread_barrier_wait(&start);
    nanosleep(&(struct timespec){.tv_nsec = (long)ms * 1000000}, NULL);
    atomic_store(&stop, true);
    for (unsigned i = 0; i < count; i++) {
        pthread_join(threads[i].id, NULL);
        took_ns += threads[i].took_ns;
        operations += threads[i].operations;
    }
    pthread_barrier_destroy(&start);
    w->unmake(object);
    return (double)took_ns / (double)operations;
}

static int compare_doubles(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(const struct work *w, unsigned count, unsigned ms) {
    double v[ROUNDS];
    for (int i = 0; i < ROUNDS; i++)
        v[i] = run_round(w, count, ms);
    qsort(v, ROUNDS, sizeof(v[0]), compare_doubles);
    return v[ROUNDS / 2];
}

int main(int argc, char **argv) {
    unsigned count = argc > 1 ? (unsigned)atoi(argv[1]) : 2;
    unsigned ms = argc > 2 ? (unsigned)atoi(argv[2]) : 50;
    if (count < 1 || count > THREADS_MAX || ms < 1 || ms > 999)
        return 2;
    printf("%-36s %10s %8u threads   (ns of CPU per operation and thread)\n", "", "1 thread",
           count);
    for (size_t i = 0; i < sizeof(works) / sizeof(works[0]); i++)
        printf("%-36s %10.1f %8.1f\n", works[i].name, median(&works[i], 1, ms),
               median(&works[i], count, ms));
    return 0;
}
