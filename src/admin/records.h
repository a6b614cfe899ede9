/* records.h - what the control side keeps about each service: how it did
 * lately, who has been answering, and what was last said of it.
 *
 * The gateway only counts; "lately" is the difference to an earlier reading.
 * Every two seconds each service's counters are read, and the last fifteen
 * readings are kept; every other one adds a point to the service's series
 * (series.h). What shows only in such a difference, and somebody should hear
 * of, becomes an event: another tier answers now, calls are being refused.
 *
 * The last change and the last manual command are taken from the events as
 * they come, because a service that flaps pushes old ones out of its history
 * while the command may still be in force.
 *
 * Threading: the control thread. Memory: one record a service name that ever
 * was in the configuration, about 7 KiB. */
#ifndef SWG_ADMIN_RECORDS_H
#define SWG_ADMIN_RECORDS_H

#include "admin/series.h"
#include "gateway/gateway.h"
#include "observe/events.h"
#include "observe/histogram.h"

enum { RECORD_READINGS = 15 };
#define RECORD_INTERVAL_NS SWG_SECONDS(2)

struct records;

/* Counters of one service at one time, since the process began. */
struct reading {
    uint64_t at_ns;
    uint64_t requests, server_errors; /* answered by whatever; with a status of 5xx */
    uint64_t tiers[SWG_TIERS_MAX];    /* answered by each tier */
    struct histogram latency;
};

struct record {
    struct service_metrics *metrics; /* the key: lives as long as the gateway */
    const struct tier_tally *tally[SWG_TIERS_MAX];
    uint32_t reading_count, reading_next;
    struct reading readings[RECORD_READINGS];
    struct series series;
    uint64_t refused[SWG_REFUSAL_COUNT], refused_ns[SWG_REFUSAL_COUNT];
    char source[24];             /* who answered most, last: "upstream", a tier, "nobody" */
    struct event change, manual; /* sequence 0: none yet */
};

int records_create(struct records **out, struct gateway *);
void records_destroy(struct records *);

/* Reads the counters of every service in the plan; every RECORD_INTERVAL_NS. */
void records_sample(struct records *);
/* Takes note of the events that came since. */
void records_listen(struct records *);

/* The number of the newest point of all series, and when it ended; 0: none yet. */
uint64_t records_points(const struct records *, uint64_t *ends_ns);

/* NULL: out of memory. */
struct record *records_of(struct records *, const struct service *);

/* What came in the last half minute, or since the record began: as a reading
 * whose at_ns is the length of that time. */
void record_recent(const struct record *, const struct service *, uint64_t now_ns,
                   struct reading *out);

/* Who answered most of the requests of an interval: "upstream" (the service
 * itself, or a fresh answer of its in the cache), a tier, or "nobody", when
 * most ended in errors while the breaker was open. */
const char *record_source(const struct service *, const struct reading *difference, bool open);

#endif
