/* process_metrics.h - what the operating system knows about this process, and
 * what this room knows about itself: the families process_*,
 * gateway_log_lines_dropped_total, gateway_metrics_overflow_total.
 *
 * Holds two descriptors open from the start, because what it reads matters
 * most when no new one can be had. Threading: create and destroy on one
 * thread; read at every scrape, by one scrape at a time. */
#ifndef SWG_OBSERVE_PROCESS_METRICS_H
#define SWG_OBSERVE_PROCESS_METRICS_H

#include <stdint.h>

#include "observe/metrics.h"

struct process_metrics;

/* Registers the families. Destroy after the last scrape. 0 or -errno. */
int process_metrics_create(struct process_metrics **out, struct metrics *);
void process_metrics_destroy(struct process_metrics *);

/* The same figures for the panel; what cannot be read is 0. */
struct process_figures {
    double cpu_seconds, start_time_seconds;
    uint64_t resident_bytes, virtual_bytes, open_fds, max_fds;
};
void process_figures_read(struct process_metrics *, struct process_figures *);

#endif
