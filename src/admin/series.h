/* series.h - how a service did over the last five minutes: a point for each
 * four seconds, which is what small pictures are drawn from.
 *
 * Points have numbers, the same for all services, so that series can be laid
 * side by side, and a reader who has some asks only for what is new. A service
 * that was out of the configuration for a while has points of nothing there.
 *
 * Threading: the control thread. Memory: SERIES_POINTS * 20 bytes, inside. */
#ifndef SWG_ADMIN_SERIES_H
#define SWG_ADMIN_SERIES_H

#include <stdint.h>

#include "observe/histogram.h"

enum {
    SERIES_POINTS = 75,
    SERIES_SAMPLES = 2, /* so many of the records' samples make a point */
};

/* Differences, of the answers that were finished in the time of the point. */
struct series_point {
    uint32_t requests, server_errors, fallback; /* answered; with 5xx; by a tier */
    uint32_t p50_us, p95_us;                    /* 0 where there were no requests */
};

struct series {
    uint64_t last;  /* number of the newest point; 0: none */
    uint32_t count; /* up to SERIES_POINTS, the newest and those before it */
    struct series_point points[SERIES_POINTS]; /* that with number n at n % SERIES_POINTS */
};

/* What does not fit is the largest that does. */
struct series_point series_point_make(uint64_t requests, uint64_t server_errors, uint64_t fallback,
                                      const struct histogram *latency);
/* `number` is greater than that of every earlier point; those left out between
 * become points of nothing. */
void series_add(struct series *, uint64_t number, const struct series_point *);
/* NULL: there is none with this number, or no longer. */
const struct series_point *series_at(const struct series *, uint64_t number);

#endif
