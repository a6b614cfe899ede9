/* series.c - see series.h. */
#include "admin/series.h"

#include <stdbool.h>
#include <stddef.h>

static uint32_t capped(uint64_t n) {
    return n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
}

struct series_point series_point_make(uint64_t requests, uint64_t server_errors, uint64_t fallback,
                                      const struct histogram *latency) {
    return (struct series_point){
        .requests = capped(requests),
        .server_errors = capped(server_errors),
        .fallback = capped(fallback),
        .p50_us = capped(histogram_quantile_ns(latency, 500) / 1000),
        .p95_us = capped(histogram_quantile_ns(latency, 950) / 1000),
    };
}

static void put(struct series *s, const struct series_point *p) {
    s->last++;
    s->points[s->last % SERIES_POINTS] = *p;
    if (s->count < SERIES_POINTS)
        s->count++;
}

void series_add(struct series *s, uint64_t number, const struct series_point *p) {
    static const struct series_point nothing;
    if (!s->count || number - s->last > SERIES_POINTS)
        *s = (struct series){.last = number - 1};
    while (s->last + 1 < number)
        put(s, &nothing);
    put(s, p);
}

const struct series_point *series_at(const struct series *s, uint64_t number) {
    bool kept = number <= s->last && s->last - number < s->count;
    return kept ? &s->points[number % SERIES_POINTS] : NULL;
}
