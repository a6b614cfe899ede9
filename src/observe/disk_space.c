#include "observe/disk_space.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>

#define PERIOD_S      5
#define JOIN_LIMIT_NS UINT64_C(500000000)
#define SECOND_NS     UINT64_C(1000000000)

enum { FREE, SIZE, FAMILIES };

static const struct metric_desc descs[FAMILIES] = {
    [FREE] = {.name = "gateway_disk_free_bytes",
              .type = METRIC_GAUGE,
              .unit = "bytes",
              .help = "Room left on the disk of a directory, as last seen.",
              .labels = {{"directory", "store or cache"}}},
    [SIZE] = {.name = "gateway_disk_size_bytes",
              .type = METRIC_GAUGE,
              .unit = "bytes",
              .help = "Size of that disk.",
              .labels = {{"directory", "store or cache"}}},
};

struct place {
    const char *name;
    char *path;      /* as configured */
    char *directory; /* that is asked for */
    uint64_t free_bytes, size_bytes;
    uint64_t at_ns; /* 0: never */
};

struct disk_space {
    /* The owner and the thread; the last frees (acq_rel: what the other wrote is seen). */
    atomic_uint references;
    pthread_mutex_t lock; /* guards stop and the figures; never held while a disk is asked */
    pthread_cond_t wake;  /* CLOCK_MONOTONIC */
    bool stop;
    bool running;
    pthread_t thread;
    struct metric_family *families[FAMILIES];
    uint32_t count;
    struct place places[DISK_PLACES_MAX];
};

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * SECOND_NS + (uint64_t)t.tv_nsec;
}

static void release(struct disk_space *d) {
    if (atomic_fetch_sub_explicit(&d->references, 1, memory_order_acq_rel) != 1)
        return;
    for (uint32_t i = 0; i < d->count; i++) {
        free(d->places[i].path);
        free(d->places[i].directory);
    }
    pthread_cond_destroy(&d->wake);
    pthread_mutex_destroy(&d->lock);
    free(d);
}

/* ---- the thread --------------------------------------------------------------------- */

/* The directory of a file that is not there yet. */
static void strip_name(char *path) {
    char *slash = strrchr(path, '/');
    if (!slash)
        memcpy(path, ".", 2); /* no path is empty */
    else
        slash[slash == path] = '\0';
}

static void ask(struct disk_space *d, struct place *p) {
    struct statvfs v;
    int error = statvfs(p->directory, &v);
    if (error && (errno == ENOENT || errno == ENOTDIR) && strcmp(p->directory, "/") != 0 &&
        strcmp(p->directory, ".") != 0) {
        strip_name(p->directory);
        error = statvfs(p->directory, &v);
    }
    if (error)
        return;
    pthread_mutex_lock(&d->lock);
    p->free_bytes = (uint64_t)v.f_bavail * v.f_frsize;
    p->size_bytes = (uint64_t)v.f_blocks * v.f_frsize;
    p->at_ns = now_ns();
    pthread_mutex_unlock(&d->lock);
}

static bool rest(struct disk_space *d) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += PERIOD_S;
    pthread_mutex_lock(&d->lock);
    while (!d->stop && pthread_cond_timedwait(&d->wake, &d->lock, &until) == 0)
        ; /* woken for no reason */
    bool go_on = !d->stop;
    pthread_mutex_unlock(&d->lock);
    return go_on;
}

static void *run(void *arg) {
    struct disk_space *d = arg;
    do {
        for (uint32_t i = 0; i < d->count; i++)
            ask(d, &d->places[i]);
    } while (rest(d));
    release(d);
    return NULL;
}

/* ---- life ------------------------------------------------------------------------------ */

uint32_t disk_space_read(struct disk_space *d, struct disk_reading out[DISK_PLACES_MAX]) {
    uint64_t now = now_ns();
    pthread_mutex_lock(&d->lock);
    for (uint32_t i = 0; i < d->count; i++) {
        const struct place *p = &d->places[i];
        out[i] = (struct disk_reading){.name = p->name,
                                       .path = p->path,
                                       .known = p->at_ns,
                                       .free_bytes = p->free_bytes,
                                       .size_bytes = p->size_bytes,
                                       .age_ns = now > p->at_ns ? now - p->at_ns : 0};
    }
    pthread_mutex_unlock(&d->lock);
    return d->count;
}

static void collect(struct metrics_scrape *scrape, void *arg) {
    struct disk_space *d = arg;
    struct disk_reading all[DISK_PLACES_MAX] = {0};
    uint32_t count = disk_space_read(d, all);
    for (uint32_t i = 0; i < count; i++) {
        const char *labels[] = {all[i].name};
        if (!all[i].known)
            continue;
        metrics_emit_uint(scrape, d->families[FREE], labels, all[i].free_bytes);
        metrics_emit_uint(scrape, d->families[SIZE], labels, all[i].size_bytes);
    }
}

static int fill(struct disk_space *d, struct metrics *m, const struct disk_place *places,
                uint32_t count) {
    for (int i = 0; i < FAMILIES; i++) {
        d->families[i] = metrics_family(m, &descs[i]);
        if (!d->families[i])
            return -ENOMEM;
    }
    for (; d->count < count && d->count < DISK_PLACES_MAX; d->count++) {
        struct place *p = &d->places[d->count];
        const char *path = places[d->count].path;
        *p = (struct place){.name = places[d->count].name,
                            .path = strdup(path),
                            .directory = strdup(*path ? path : ".")};
        if (!p->path || !p->directory) {
            d->count++; /* release() frees what there is of it */
            return -ENOMEM;
        }
    }
    return 0;
}

/* It waits for disks and nothing else: signals are for others. */
static int start(struct disk_space *d) {
    sigset_t all, before;
    sigfillset(&all);
    atomic_fetch_add_explicit(&d->references, 1, memory_order_relaxed);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&d->thread, NULL, run, d);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    d->running = !error;
    if (error)
        release(d);
    else
        pthread_setname_np(d->thread, "disk-space");
    return -error;
}

int disk_space_create(struct disk_space **out, struct metrics *m, const struct disk_place *places,
                      uint32_t count) {
    pthread_condattr_t attributes;
    struct disk_space *d = calloc(1, sizeof *d);
    if (!d)
        return -ENOMEM;
    atomic_init(&d->references, 1);
    pthread_mutex_init(&d->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&d->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    int error = fill(d, m, places, count);
    if (!error)
        error = metrics_collect(m, collect, d);
    if (!error && d->count)
        error = start(d);
    if (error) {
        release(d);
        return error;
    }
    *out = d;
    return 0;
}

void disk_space_destroy(struct disk_space *d) {
    if (!d)
        return;
    if (d->running) {
        struct timespec until;
        pthread_mutex_lock(&d->lock);
        d->stop = true;
        pthread_cond_signal(&d->wake);
        pthread_mutex_unlock(&d->lock);
        clock_gettime(CLOCK_REALTIME, &until);
        uint64_t ns = (uint64_t)until.tv_nsec + JOIN_LIMIT_NS;
        until.tv_sec += (time_t)(ns / SECOND_NS);
        until.tv_nsec = (long)(ns % SECOND_NS);
        if (pthread_timedjoin_np(d->thread, NULL, &until) != 0)
            pthread_detach(d->thread); /* it hangs in a disk; its reference keeps what it uses */
    }
    release(d);
}
