/* clock.c - the real clock and the system's randomness, for those who drive the
 * engine in real time. */
#include <switchgear/clock.h>

#include <errno.h>
#include <sys/random.h>
#include <time.h>

#include "base/random.h"

uint64_t swg_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * SWG_SECONDS(1) + (uint64_t)t.tv_nsec;
}

static uint64_t real_now_ns(struct swg_clock *clock) {
    (void)clock;
    return swg_now();
}

static bool real_sleep(struct swg_clock *clock, struct swg_sleep *s, uint64_t until_ns) {
    struct timespec until = {.tv_sec = (time_t)(until_ns / SWG_SECONDS(1)),
                             .tv_nsec = (long)(until_ns % SWG_SECONDS(1))};
    int e = 0;
    (void)clock;
    pthread_mutex_lock(&s->lock);
    while (!s->woken && e == 0) {
        if (until_ns == SWG_NEVER)
            e = pthread_cond_wait(&s->changed, &s->lock);
        else
            e = pthread_cond_clockwait(&s->changed, &s->lock, CLOCK_MONOTONIC, &until);
    }
    bool woken = s->woken;
    s->woken = false;
    pthread_mutex_unlock(&s->lock);
    return woken;
}

/* Nothing is touched after the lock is free. */
static void real_wake(struct swg_clock *clock, struct swg_sleep *s) {
    (void)clock;
    pthread_mutex_lock(&s->lock);
    s->woken = true;
    pthread_cond_signal(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

struct swg_clock *swg_real_clock(void) {
    static struct swg_clock real = {real_now_ns, real_sleep, real_wake};
    return &real;
}

uint64_t swg_seed(void) {
    uint64_t seed = 0;
    ssize_t n;
    do
        n = getrandom(&seed, sizeof(seed), 0);
    while (n < 0 && errno == EINTR);
    if (n == (ssize_t)sizeof(seed))
        return seed;
    /* a kernel without it: better than nothing, and the best there is */
    return random_mix(swg_now() ^ (uint64_t)(uintptr_t)&seed);
}
