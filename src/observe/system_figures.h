/* system_figures.h - how much of what it may have this process takes: processor time
 * and memory, against the limits of its control group (cgroup v2), or else of the
 * machine. What the process takes by itself is in process_metrics.h.
 *
 * Reads a few small files of /proc and /sys, which answer from memory: it may be done
 * on an event loop. Disks may not, see disk_space.h.
 *
 * Threading: one thread. */
#ifndef SWG_OBSERVE_SYSTEM_FIGURES_H
#define SWG_OBSERVE_SYSTEM_FIGURES_H

#include <stdint.h>

#include "observe/metrics.h"

struct system_meter;

struct system_figures {
    double cpu_usage;              /* processors kept busy, of late; negative: not known yet */
    double cpu_limit;              /* processors that it may keep busy; 0: not known */
    uint64_t memory_used_bytes;    /* by all of the control group that has the limit; 0: there is
                                      none */
    uint64_t memory_limit_bytes;   /* the group's, or what the machine has */
    uint64_t memory_machine_bytes; /* what the machine has */
};

/* Registers the families process_memory_limit_bytes and process_cpu_limit. Destroy
 * after the last scrape. 0 or -errno. */
int system_meter_create(struct system_meter **out, struct metrics *);
void system_meter_destroy(struct system_meter *);
/* Every second or so: usage is that since the last one. */
void system_meter_sample(struct system_meter *);
void system_figures_read(const struct system_meter *, struct system_figures *);

/* ---- control groups, for tests ------------------------------------------------- */

struct cgroup_limits {
    uint64_t memory_used_bytes, memory_limit_bytes; /* 0: no limit */
    double cpu_limit;                               /* 0: no limit */
};

/* The tightest limits of a group and those it is in. `root` is where the hierarchy is
 * mounted, `membership` the text of /proc/self/cgroup. */
void cgroup_limits_read(const char *root, const char *membership, struct cgroup_limits *);

#endif
