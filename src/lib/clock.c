/* clock.c - the real clock, for those who drive the engine in real time. */
#include <switchgear/run.h>

#include <time.h>

uint64_t swg_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * SWG_SECONDS(1) + (uint64_t)t.tv_nsec;
}
