/* metrics_priv.h - what the gateway's metrics keep, for those who count
 * (metrics.c) and for the scrape (metrics_scrape.c). */
#ifndef SWG_GATEWAY_METRICS_PRIV_H
#define SWG_GATEWAY_METRICS_PRIV_H

#include <pthread.h>
#include <stdatomic.h>

#include "gateway/database.h"
#include "gateway/metrics.h"
#include "gateway/metrics_table.h"
#include "gateway/tcp.h"
#include "wire/http.h"

enum { TIERS_MAX = 32 };

struct named_tally {
    char name[40];
    struct tier_tally tally;
};

/* Series are looked up at their first use and remembered: rows are published
 * with release and read with acquire; two threads that look up the same series
 * find the same one, so it does not matter who stores last. */
struct service_metrics {
    struct service_metrics *next;
    struct gateway_metrics *all;
    char *name;
    _Atomic(_Atomic(struct metric_series *) *) requests[HTTP_METHODS];
    _Atomic(struct metric_series *) duration[HTTP_METHODS];
    _Atomic(struct metric_series *) broken;
    _Atomic uint64_t changes[3]; /* any thread adds, the scrape reads; relaxed */
    struct tcp_tally tcp;
    uint32_t tier_count; /* under the lock of `all` */
    struct named_tally *tiers[TIERS_MAX];
};

struct database_metrics {
    struct database_metrics *next;
    struct gateway_metrics *all;
    char *name;
    _Atomic(struct metric_series *) results[SQL_RESULTS];
    _Atomic(struct metric_series *) duration;
};

struct gateway_metrics {
    struct gateway *gateway;
    struct metrics *metrics;
    struct metric_family *family[FAMILY_COUNT];
    pthread_mutex_t lock; /* guards the list of services and their tiers */
    struct service_metrics *services;
    struct database_metrics *databases;
    struct service_metrics *none; /* requests that no route took */
};

/* Tells a scrape everything that is a reading and not a count; `arg` is the
 * struct gateway_metrics. */
void gateway_metrics_collect(struct metrics_scrape *, void *arg);

#endif
