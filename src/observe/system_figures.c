#include "observe/system_figures.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Shorter ones would show the grain of the clock, not the load. */
#define INTERVAL_NS UINT64_C(900000000)

enum { MEMORY_LIMIT, CPU_LIMIT, FAMILIES };

static const struct metric_desc descs[FAMILIES] = {
    [MEMORY_LIMIT] = {.name = "process_memory_limit_bytes",
                      .type = METRIC_GAUGE,
                      .unit = "bytes",
                      .help = "Memory that the control group of this process, or else the machine, "
                              "has."},
    [CPU_LIMIT] = {.name = "process_cpu_limit",
                   .type = METRIC_GAUGE,
                   .help = "Processors that this process may keep busy at once."},
};

struct system_meter {
    struct metric_family *families[FAMILIES];
    uint64_t cpu_ns, at_ns; /* at the last sample; 0: there was none */
    struct system_figures now;
};

/* ---- small files ------------------------------------------------------------------ */

/* False: it could not be read. */
static bool read_file(const char *path, char *out, size_t size) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t len = fd >= 0 ? read(fd, out, size - 1) : -1;
    if (fd >= 0)
        close(fd);
    out[len > 0 ? len : 0] = '\0';
    return len > 0;
}

static bool read_number(const char *path, uint64_t *out) {
    char text[64], *end;
    if (!read_file(path, text, sizeof text))
        return false;
    *out = strtoull(text, &end, 10);
    return end != text; /* "max" is none */
}

/* ---- control groups ------------------------------------------------------------------ */

/* "0::/system.slice/switchgear.service" is ours in the one hierarchy of version 2. */
static bool find_group(const char *membership, char *out, size_t size) {
    for (const char *line = membership; line && *line;) {
        const char *end = strchr(line, '\n');
        size_t len = end ? (size_t)(end - line) : strlen(line);
        if (len > 3 && !strncmp(line, "0::/", 4) && len - 3 < size) {
            memcpy(out, line + 3, len - 3);
            out[len - 3] = '\0';
            return !strstr(out, "/.."); /* outside what we may see */
        }
        line = end ? end + 1 : NULL;
    }
    return false;
}

static void read_memory(const char *group, struct cgroup_limits *out) {
    char path[PATH_MAX + 16];
    uint64_t limit;
    snprintf(path, sizeof path, "%s/memory.max", group);
    if (!read_number(path, &limit) || (out->memory_limit_bytes && limit >= out->memory_limit_bytes))
        return;
    out->memory_limit_bytes = limit;
    snprintf(path, sizeof path, "%s/memory.current", group);
    if (!read_number(path, &out->memory_used_bytes))
        out->memory_used_bytes = 0;
}

/* "200000 100000": so many microseconds in each period. */
static void read_cpu(const char *group, struct cgroup_limits *out) {
    char path[PATH_MAX + 16], text[64], *end;
    snprintf(path, sizeof path, "%s/cpu.max", group);
    if (!read_file(path, text, sizeof text))
        return;
    double quota = strtod(text, &end), period = end != text ? strtod(end, NULL) : 0;
    if (quota > 0 && period > 0 && (out->cpu_limit <= 0 || quota / period < out->cpu_limit))
        out->cpu_limit = quota / period;
}

void cgroup_limits_read(const char *root, const char *membership, struct cgroup_limits *out) {
    char group[PATH_MAX], path[PATH_MAX];
    *out = (struct cgroup_limits){0};
    if (!find_group(membership, group, sizeof group))
        return;
    for (;;) {
        int len = snprintf(path, sizeof path, "%s%s", root, group);
        if (len > 0 && (size_t)len < sizeof path) {
            read_memory(path, out);
            read_cpu(path, out);
        }
        char *slash = strrchr(group, '/');
        if (!slash)
            return;
        *slash = '\0'; /* the group that this one is in; at last the root */
    }
}

/* ---- samples --------------------------------------------------------------------------- */

static uint64_t clock_ns(clockid_t id) {
    struct timespec t;
    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

static void sample_limits(struct system_figures *f) {
    struct cgroup_limits group = {0};
    char membership[PATH_MAX];
    cpu_set_t set;
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    if (read_file("/proc/self/cgroup", membership, sizeof membership))
        cgroup_limits_read("/sys/fs/cgroup", membership, &group);
    f->cpu_limit = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 0;
    if (group.cpu_limit > 0 && (f->cpu_limit <= 0 || group.cpu_limit < f->cpu_limit))
        f->cpu_limit = group.cpu_limit;
    f->memory_machine_bytes = pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page : 0;
    f->memory_used_bytes = group.memory_used_bytes;
    f->memory_limit_bytes = group.memory_limit_bytes;
    if (!f->memory_limit_bytes || f->memory_limit_bytes > f->memory_machine_bytes)
        f->memory_limit_bytes = f->memory_machine_bytes;
}

void system_meter_sample(struct system_meter *m) {
    uint64_t now_ns = clock_ns(CLOCK_MONOTONIC), cpu_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    if (m->at_ns && now_ns - m->at_ns < INTERVAL_NS)
        return;
    if (m->at_ns)
        m->now.cpu_usage = (double)(cpu_ns - m->cpu_ns) / (double)(now_ns - m->at_ns);
    m->at_ns = now_ns;
    m->cpu_ns = cpu_ns;
    sample_limits(&m->now);
}

void system_figures_read(const struct system_meter *m, struct system_figures *out) {
    *out = m->now;
}

/* ---- life --------------------------------------------------------------------------------- */

static void collect(struct metrics_scrape *scrape, void *arg) {
    const struct system_meter *m = arg;
    if (m->now.memory_limit_bytes)
        metrics_emit_uint(scrape, m->families[MEMORY_LIMIT], NULL, m->now.memory_limit_bytes);
    if (m->now.cpu_limit > 0)
        metrics_emit(scrape, m->families[CPU_LIMIT], NULL, m->now.cpu_limit);
}

int system_meter_create(struct system_meter **out, struct metrics *metrics) {
    struct system_meter *m = calloc(1, sizeof *m);
    if (!m)
        return -ENOMEM;
    m->now.cpu_usage = -1;
    int error = 0;
    for (int i = 0; !error && i < FAMILIES; i++) {
        m->families[i] = metrics_family(metrics, &descs[i]);
        error = m->families[i] ? 0 : -ENOMEM;
    }
    if (!error)
        error = metrics_collect(metrics, collect, m);
    if (error) {
        free(m);
        return error;
    }
    system_meter_sample(m);
    *out = m;
    return 0;
}

void system_meter_destroy(struct system_meter *m) {
    free(m);
}
