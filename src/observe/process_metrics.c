#include "observe/process_metrics.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "observe/log.h"

enum { CPU, RESIDENT, VIRTUAL, OPEN_FDS, MAX_FDS, START_TIME, LOG_DROPPED, OVERFLOW, FAMILIES };

static const struct metric_desc descs[FAMILIES] = {
    [CPU] = {.name = "process_cpu_seconds_total",
             .type = METRIC_COUNTER,
             .unit = "seconds",
             .help = "User and system CPU time of this process."},
    [RESIDENT] = {.name = "process_resident_memory_bytes",
                  .type = METRIC_GAUGE,
                  .unit = "bytes",
                  .help = "Memory of this process that is in RAM."},
    [VIRTUAL] = {.name = "process_virtual_memory_bytes",
                 .type = METRIC_GAUGE,
                 .unit = "bytes",
                 .help = "Address space of this process."},
    [OPEN_FDS] = {.name = "process_open_fds",
                  .type = METRIC_GAUGE,
                  .help = "Open file descriptors."},
    [MAX_FDS] = {.name = "process_max_fds",
                 .type = METRIC_GAUGE,
                 .help = "File descriptors that may be open at once."},
    [START_TIME] = {.name = "process_start_time_seconds",
                    .type = METRIC_GAUGE,
                    .unit = "seconds",
                    .help = "When this process started, in seconds since 1970."},
    [LOG_DROPPED] = {.name = "gateway_log_lines_dropped_total",
                     .type = METRIC_COUNTER,
                     .help = "Log lines lost because whoever reads the log was too slow."},
    [OVERFLOW] = {.name = "gateway_metrics_overflow_total",
                  .type = METRIC_COUNTER,
                  .help = "Uses of a metric that had too many series, counted as overflow.",
                  .labels = {{"metric", "name of the metric"}}},
};

struct process_metrics {
    struct metrics *metrics;
    struct metric_family *families[FAMILIES];
    double start_time_seconds;
    int statm;
    DIR *fds;
};

static void collect(struct metrics_scrape *, void *arg);
static void collect_overflow(struct metric_family *, void *arg);
static double read_start_time(void);
static void read_memory(int statm, struct process_figures *);
static uint64_t count_fds(DIR *);

int process_metrics_create(struct process_metrics **out, struct metrics *m) {
    struct process_metrics *p = calloc(1, sizeof(*p));
    if (!p)
        return -ENOMEM;
    p->metrics = m;
    p->start_time_seconds = read_start_time();
    p->statm = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    p->fds = opendir("/proc/self/fd");
    for (int i = 0; i < FAMILIES; i++) {
        p->families[i] = metrics_family(m, &descs[i]);
        if (!p->families[i]) {
            process_metrics_destroy(p);
            return -ENOMEM;
        }
    }
    int error = metrics_collect(m, collect, p);
    if (error) {
        process_metrics_destroy(p);
        return error;
    }
    *out = p;
    return 0;
}

void process_metrics_destroy(struct process_metrics *p) {
    if (!p)
        return;
    if (p->statm >= 0)
        close(p->statm);
    if (p->fds)
        closedir(p->fds);
    free(p);
}

void process_figures_read(struct process_metrics *p, struct process_figures *out) {
    struct timespec cpu;
    struct rlimit limit;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
    bool known = getrlimit(RLIMIT_NOFILE, &limit) == 0;
    *out = (struct process_figures){
        .cpu_seconds = (double)cpu.tv_sec + (double)cpu.tv_nsec / 1e9,
        .start_time_seconds = p->start_time_seconds,
        .open_fds = p->fds ? count_fds(p->fds) : 0,
        .max_fds = known ? limit.rlim_cur : 0,
    };
    read_memory(p->statm, out);
}

struct overflow_scrape {
    struct metrics_scrape *scrape;
    struct process_metrics *process;
};

static void collect(struct metrics_scrape *scrape, void *arg) {
    struct process_metrics *p = arg;
    struct process_figures now;
    process_figures_read(p, &now);
    metrics_emit(scrape, p->families[CPU], NULL, now.cpu_seconds);
    metrics_emit_uint(scrape, p->families[RESIDENT], NULL, now.resident_bytes);
    metrics_emit_uint(scrape, p->families[VIRTUAL], NULL, now.virtual_bytes);
    metrics_emit_uint(scrape, p->families[OPEN_FDS], NULL, now.open_fds);
    metrics_emit_uint(scrape, p->families[MAX_FDS], NULL, now.max_fds);
    metrics_emit(scrape, p->families[START_TIME], NULL, now.start_time_seconds);
    metrics_emit_uint(scrape, p->families[LOG_DROPPED], NULL, log_dropped());
    struct overflow_scrape each = {scrape, p};
    metrics_each_family(p->metrics, collect_overflow, &each);
}

static void collect_overflow(struct metric_family *f, void *arg) {
    struct overflow_scrape *each = arg;
    uint64_t count = metrics_overflowed(f);
    if (count)
        metrics_emit_uint(each->scrape, each->process->families[OVERFLOW],
                          (const char *[]){metric_family_desc(f)->name}, count);
}

/* /proc says how long after the start of the machine we came to be; the wall
 * clock of that moment is what it shows now less the time since. */
static double read_start_time(void) {
    char text[1024];
    FILE *f = fopen("/proc/self/stat", "re");
    size_t len = f ? fread(text, 1, sizeof(text) - 1, f) : 0;
    if (f)
        fclose(f);
    text[len] = '\0';
    char *at = strrchr(text, ')'); /* the program's name may hold spaces */
    for (int field = 2; at && field < 22; field++)
        at = strchr(at + 1, ' ');
    if (!at)
        return 0;
    struct timespec now, up;
    clock_gettime(CLOCK_REALTIME, &now);
    clock_gettime(CLOCK_BOOTTIME, &up);
    double started = strtod(at, NULL) / (double)sysconf(_SC_CLK_TCK);
    return (double)(now.tv_sec - up.tv_sec) + (double)(now.tv_nsec - up.tv_nsec) / 1e9 + started;
}

static void read_memory(int statm, struct process_figures *out) {
    char text[128], *end;
    ssize_t len = statm >= 0 ? pread(statm, text, sizeof(text) - 1, 0) : -1;
    if (len <= 0)
        return;
    text[len] = '\0';
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    out->virtual_bytes = strtoull(text, &end, 10) * page;
    out->resident_bytes = strtoull(end, NULL, 10) * page;
}

/* Since Linux 6.2 the size of the directory is the count; before, and with
 * 10,000 connections that takes milliseconds, it has to be read. */
static uint64_t count_fds(DIR *fds) {
    struct stat st;
    if (fstat(dirfd(fds), &st) == 0 && st.st_size > 0)
        return (uint64_t)st.st_size;
    uint64_t count = 0;
    rewinddir(fds);
    for (struct dirent *entry; (entry = readdir(fds));)
        count += entry->d_name[0] != '.';
    return count;
}
