/* watchdog.c - see watchdog.h. */
#include "cli/watchdog.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <switchgear/policy.h>
#include <switchgear/run.h>

#include "cli/loop_watch.h"
#include "observe/log.h"

#define LOOK_NS         SWG_MS(250)
#define MEMORY_GRACE_NS SWG_SECONDS(3) /* a peak is no illness */

enum { LAG_LOOKS = 120, NAME_SIZE = 24 };

enum ailment { AILS_NOTHING, AILS_LOOP, AILS_MEMORY };

struct watched {
    struct loop *loop;
    char name[NAME_SIZE];
    struct loop_watch watch;
};

struct watchdog {
    struct metric_family *lag_family;
    const struct notify *notify;
    uint32_t count;
    struct watched *loops;

    pthread_t thread;
    bool running;
    pthread_mutex_t lock; /* guards stop */
    pthread_cond_t wake;  /* CLOCK_MONOTONIC */
    bool stop;

    /* Control thread writes, the watchdog's reads; relaxed: each stands for itself. */
    _Atomic uint64_t limit_ns, memory_max;
    /* The watchdog's thread writes, any thread reads; relaxed: a figure, and a word. */
    _Atomic uint64_t lag_ns;
    _Atomic int ailment; /* enum ailment */

    /* the thread's own */
    uint64_t looked_ns, told_ns;
    uint64_t lags[LAG_LOOKS]; /* a ring */
    uint32_t lag_at;
    int statm;
    uint64_t fat_ns; /* how long memory has been over its limit, as seen */
};

/* ---- the log ------------------------------------------------------------------------ */

static void say(const struct watched *w, enum log_level level, const char *message,
                uint64_t turn_ns) {
    struct log_line line;
    if (!log_begin(&line, level, message))
        return;
    log_str(&line, "loop", w->name);
    log_dur(&line, "turn_ms", turn_ns);
    if (w->watch.unsaid)
        log_uint(&line, "others_since", w->watch.unsaid);
    log_end(&line);
}

static void tell(struct watched *w, enum loop_finding finding, uint64_t turn_ns) {
    switch (finding) {
    case LOOP_SLOW:
        say(w, LOG_WARN, "event loop slow", turn_ns);
        w->watch.unsaid = 0;
        break;
    case LOOP_HANGS:
        say(w, LOG_ERROR, "event loop hangs", turn_ns);
        break;
    case LOOP_BACK:
        say(w, LOG_WARN, "event loop turns again", turn_ns);
        break;
    case LOOP_WELL:
        break;
    }
}

/* ---- one look -------------------------------------------------------------------------- */

static bool look_at(struct watchdog *w, struct watched *each, uint64_t now_ns, uint64_t passed_ns,
                    uint64_t *lag_ns) {
    struct loop_stats stats;
    uint64_t turn_ns;
    loop_stats(each->loop, &stats);
    const struct loop_sight sight = {stats.busy_since_ns, loop_take_longest(each->loop)};
    enum loop_finding finding =
        loop_watch_look(&each->watch, &sight, now_ns, passed_ns,
                        atomic_load_explicit(&w->limit_ns, memory_order_relaxed), &turn_ns);
    tell(each, finding, turn_ns);
    uint64_t longest =
        each->watch.turn_ns > sight.longest_ns ? each->watch.turn_ns : sight.longest_ns;
    if (longest > *lag_ns)
        *lag_ns = longest;
    return each->watch.hangs;
}

static void note_lag(struct watchdog *w, uint64_t lag_ns) {
    uint64_t longest = 0;
    w->lags[w->lag_at++ % LAG_LOOKS] = lag_ns;
    for (int i = 0; i < LAG_LOOKS; i++)
        longest = w->lags[i] > longest ? w->lags[i] : longest;
    atomic_store_explicit(&w->lag_ns, longest, memory_order_relaxed);
}

static uint64_t resident_bytes(int statm) {
    char text[128];
    ssize_t len = statm >= 0 ? pread(statm, text, sizeof text - 1, 0) : -1;
    text[len > 0 ? len : 0] = '\0';
    const char *second = strchr(text, ' ');
    return second ? strtoull(second, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

static bool is_too_fat(struct watchdog *w, uint64_t passed_ns) {
    uint64_t max = atomic_load_explicit(&w->memory_max, memory_order_relaxed);
    uint64_t is = max ? resident_bytes(w->statm) : 0;
    bool before = w->fat_ns >= MEMORY_GRACE_NS;
    w->fat_ns = is > max ? w->fat_ns + passed_ns : 0;
    bool now = w->fat_ns >= MEMORY_GRACE_NS;
    struct log_line line;
    if (now && !before && log_begin(&line, LOG_ERROR, "memory is over watchdog.memory")) {
        log_uint(&line, "resident_bytes", is);
        log_uint(&line, "limit_bytes", max);
        log_end(&line);
    }
    return now;
}

static void look(struct watchdog *w) {
    uint64_t now_ns = swg_now(), lag_ns = 0;
    uint64_t passed_ns = w->looked_ns ? now_ns - w->looked_ns : 0;
    bool hangs = false;
    if (passed_ns > 2 * LOOK_NS) /* we did not run: neither, perhaps, did they */
        passed_ns = 2 * LOOK_NS;
    w->looked_ns = now_ns;
    for (uint32_t i = 0; i < w->count; i++)
        hangs |= look_at(w, &w->loops[i], now_ns, passed_ns, &lag_ns);
    note_lag(w, lag_ns);
    bool fat = is_too_fat(w, passed_ns);
    enum ailment ailment = hangs ? AILS_LOOP : fat ? AILS_MEMORY : AILS_NOTHING;
    atomic_store_explicit(&w->ailment, ailment, memory_order_relaxed);
    if (w->notify->watchdog_ns && ailment == AILS_NOTHING &&
        now_ns - w->told_ns >= w->notify->watchdog_ns / 3) {
        notify_say(w->notify, "WATCHDOG=1");
        w->told_ns = now_ns;
    }
}

/* ---- the thread ---------------------------------------------------------------------------- */

static bool rest(struct watchdog *w, uint64_t ns) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    ns += (uint64_t)until.tv_nsec;
    until.tv_sec += (time_t)(ns / SWG_SECONDS(1));
    until.tv_nsec = (long)(ns % SWG_SECONDS(1));
    pthread_mutex_lock(&w->lock);
    while (!w->stop && pthread_cond_timedwait(&w->wake, &w->lock, &until) == 0)
        ; /* woken for no reason */
    bool go_on = !w->stop;
    pthread_mutex_unlock(&w->lock);
    return go_on;
}

static void *run(void *arg) {
    struct watchdog *w = arg;
    uint64_t told_every_ns = w->notify->watchdog_ns / 6, look_ns = LOOK_NS;
    if (told_every_ns && told_every_ns < look_ns)
        look_ns = told_every_ns;
    do {
        look(w);
        log_flush();
    } while (rest(w, look_ns));
    return NULL;
}

int watchdog_start(struct watchdog *w, const struct notify *n) {
    sigset_t all, before;
    w->notify = n;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&w->thread, NULL, run, w);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    w->running = !error;
    if (!error)
        pthread_setname_np(w->thread, "watchdog");
    return -error;
}

void watchdog_stop(struct watchdog *w) {
    if (!w || !w->running)
        return;
    pthread_mutex_lock(&w->lock);
    w->stop = true;
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    w->running = false;
}

/* ---- life ------------------------------------------------------------------------------------ */

static const struct metric_desc lag_desc = {
    .name = "gateway_event_loop_lag_seconds",
    .type = METRIC_GAUGE,
    .unit = "seconds",
    .help = "The longest turn of an event loop within the last half minute: so long nothing else "
            "was served there.",
};

static void collect(struct metrics_scrape *scrape, void *arg) {
    const struct watchdog *w = arg;
    metrics_emit(scrape, w->lag_family, NULL, (double)watchdog_lag_ns(w) / 1e9);
}

int watchdog_create(struct watchdog **out, struct metrics *m) {
    pthread_condattr_t attributes;
    struct watchdog *w = calloc(1, sizeof *w);
    if (!w)
        return -ENOMEM;
    w->lag_family = metrics_family(m, &lag_desc);
    if (!w->lag_family || metrics_collect(m, collect, w) < 0) {
        free(w);
        return -ENOMEM;
    }
    pthread_mutex_init(&w->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&w->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    w->statm = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    atomic_init(&w->limit_ns, SWG_OFF);
    *out = w;
    return 0;
}

int watchdog_add(struct watchdog *w, const char *name, struct loop *loop) {
    struct watched *all = realloc(w->loops, (w->count + 1) * sizeof *all);
    if (!all)
        return -ENOMEM;
    w->loops = all;
    all[w->count] = (struct watched){.loop = loop};
    snprintf(all[w->count].name, NAME_SIZE, "%s", name);
    w->count++;
    return 0;
}

void watchdog_follow(struct watchdog *w, const struct watchdog_options *o) {
    atomic_store_explicit(&w->limit_ns, o->loop_ns, memory_order_relaxed);
    atomic_store_explicit(&w->memory_max, o->memory_bytes, memory_order_relaxed);
}

void watchdog_destroy(struct watchdog *w) {
    if (!w)
        return;
    watchdog_stop(w);
    if (w->statm >= 0)
        close(w->statm);
    pthread_cond_destroy(&w->wake);
    pthread_mutex_destroy(&w->lock);
    free(w->loops);
    free(w);
}

const char *watchdog_ailment(const struct watchdog *w) {
    switch ((enum ailment)atomic_load_explicit(&w->ailment, memory_order_relaxed)) {
    case AILS_LOOP:
        return "an event loop hangs";
    case AILS_MEMORY:
        return "memory is over its limit";
    case AILS_NOTHING:
        break;
    }
    return NULL;
}

uint64_t watchdog_lag_ns(const struct watchdog *w) {
    return atomic_load_explicit(&w->lag_ns, memory_order_relaxed);
}
