/* engine_bench.c - what one protected call costs in the process: ns per
 * operation and thread, on one thread and on several that share the object.
 *
 *     engine_bench [threads [milliseconds]]
 *
 * The median of seven rounds; time is passed in as a number that moves a
 * microsecond a call, so no clock is measured. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <switchgear/time.h>

#include "engine_bench.h"

enum { ROUNDS = 7, THREADS_MAX = 64 };

static atomic_bool stop; /* set by main, polled by the threads: relaxed */
static pthread_barrier_t start;

/* ---- allocations, counted while threads run ---- */

void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);

static _Atomic uint64_t allocations; /* any thread adds, main reads; relaxed: a count */
static _Thread_local bool counting;

static void count_allocation(void) {
    if (counting)
        atomic_fetch_add_explicit(&allocations, 1, memory_order_relaxed);
}
void *malloc(size_t size) {
    count_allocation();
    return __libc_malloc(size);
}
void *calloc(size_t count, size_t size) {
    count_allocation();
    return __libc_calloc(count, size);
}
void *realloc(void *old, size_t size) {
    count_allocation();
    return __libc_realloc(old, size);
}

/* ---- threads ---- */

static uint64_t cpu_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void *run_thread(void *arg) {
    struct thread *t = arg;
    pthread_barrier_wait(&start);
    counting = true;
    uint64_t begin = cpu_ns();
    while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
        t->work->run(t);
        t->operations += BATCH;
    }
    t->took_ns = cpu_ns() - begin;
    counting = false;
    return NULL;
}

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

/* "the same, with …": how much more than the one before, too. */
static void print_ratio(const struct work *w, double before, double now) {
    if (!strncmp(w->name, "the same", 8) && before > 0)
        printf("   x %.2f", now / before);
    printf("\n");
}

static void measure(const struct work *w, unsigned count, unsigned ms) {
    double before = 0;
    for (; w->name; w++) {
        allocations = 0;
        double one = median(w, 1, ms), several = median(w, count, ms);
        printf("%-36s %10.1f %8.1f %12.1f", w->name, one, several,
               (double)allocations / ROUNDS / 2);
        print_ratio(w, before, one);
        before = one;
    }
}

int main(int argc, char **argv) {
    unsigned count = argc > 1 ? (unsigned)atoi(argv[1]) : 2;
    unsigned ms = argc > 2 ? (unsigned)atoi(argv[2]) : 50;
    if (count < 1 || count > THREADS_MAX || ms < 1 || ms > 999)
        return 2;
    printf("ns of CPU an operation and thread; allocations of a round, while it runs\n\n");
    printf("%-36s %10s %u threads  allocations\n", "", "1 thread", count);
    measure(engine_works, count, ms);
    printf("\nthe machine, and what most programs have\n");
    measure(limit_works, count, ms);
    return 0;
}
