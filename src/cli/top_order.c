/* top_order.c - see top_order.h. */
#include "cli/top_order.h"

#include <stdlib.h>
#include <string.h>

/* What somebody should look at first. */
static int trouble(const struct top_service *s) {
    bool open = !strcmp(s->state, "open") || !strcmp(s->state, "forced_open");
    bool manual = !strncmp(s->state, "forced", 6) || !strcmp(s->state, "disabled");
    int down = !strcmp(s->condition, "down") ? 8 : !strcmp(s->condition, "working") ? 0 : 4;
    return (open                              ? 16
            : strcmp(s->state, "closed") != 0 ? 6
                                              : 0) +
           down + (manual ? 3 : 0) + (s->dead ? 2 : 0) + (s->queued ? 1 : 0) +
           (s->success >= 0 && s->success < 0.99);
}

static int descending(double a, double b) {
    return (a < b) - (a > b);
}

static int by_name(const struct top_service *a, const struct top_service *b) {
    return strcmp(a->name, b->name);
}

static int by_trouble(const struct top_service *a, const struct top_service *b) {
    int order = trouble(b) - trouble(a);
    if (!order)
        order = b->critical - a->critical;
    return order ? order : by_name(a, b);
}

static int by_calls(const struct top_service *a, const struct top_service *b) {
    int order = descending(a->per_second, b->per_second);
    return order ? order : by_name(a, b);
}

/* The worst first, and last those that nobody called. */
static int by_success(const struct top_service *a, const struct top_service *b) {
    double x = a->success < 0 ? 2 : a->success, y = b->success < 0 ? 2 : b->success;
    int order = descending(y, x);
    return order ? order : by_name(a, b);
}

static int by_latency(const struct top_service *a, const struct top_service *b) {
    int order = descending(a->p99_ms, b->p99_ms);
    return order ? order : by_name(a, b);
}

typedef int comparison(const struct top_service *, const struct top_service *);

static int compare(const void *a, const void *b, void *with) {
    comparison *const *by = with;
    return (*by)(*(const struct top_service *const *)a, *(const struct top_service *const *)b);
}

const struct top_service **top_order(const struct top_view *v, const struct top_data *d,
                                     uint32_t *count) {
    static comparison *const by[SORT_COUNT] = {by_trouble, by_name, by_calls, by_success,
                                               by_latency};
    const struct top_service **all = calloc(d->service_count + 1, sizeof *all);
    comparison *with = by[v->sort];
    *count = 0;
    if (!all)
        return NULL;
    for (uint32_t i = 0; i < d->service_count; i++) {
        if (!*v->filter || strcasestr(d->services[i].name, v->filter))
            all[(*count)++] = &d->services[i];
    }
    qsort_r(all, *count, sizeof *all, compare, &with);
    return all;
}
