/* disk_cache.c - see disk_cache.h. */
#include "store/disk_cache.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define RETRY_NS UINT64_C(5000000000)

enum job_kind { JOB_PUT, JOB_REMOVE };

struct job {
    struct list link;
    enum job_kind kind;
    struct cache_record record; /* of a remove: the key only */
    void *owner;
    void (*release)(void *owner);
};

struct disk_cache {
    struct cache_store store;
    struct disk_cache_options options;
    struct disk_log *log;
    pthread_t writer, readers[DISK_CACHE_READERS];
    uint32_t threads;
    pthread_mutex_t lock; /* guards all below; held for moments */
    pthread_cond_t to_write, to_read;
    struct list jobs, questions;
    uint32_t puts, removes, question_count;
    bool forget_all; /* more removals than can be remembered */
    bool stopping;
    bool open; /* may be asked and given; the writer sets it */
    uint64_t damaged, unsaved;
    /* the writer's own */
    bool usable;          /* the log was opened, and removals can be written */
    uint64_t retry_at_ns; /* not before that it is opened, or written to, again */
    int error;            /* told last */
};

static struct disk_cache *disk_of(struct cache_store *s) {
    return container_of(s, struct disk_cache, store);
}

static uint64_t monotonic_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* ---- what anybody may call -------------------------------------------------------- */

static void free_job(struct job *j) {
    if (j->release)
        j->release(j->owner);
    free(j);
}

static void disk_put(struct cache_store *store, const struct cache_record *r, void *owner,
                     void (*release)(void *owner)) {
    struct disk_cache *d = disk_of(store);
    struct job *j = malloc(sizeof(*j));
    if (j)
        *j = (struct job){.kind = JOB_PUT, .record = *r, .owner = owner, .release = release};
    pthread_mutex_lock(&d->lock);
    bool taken = j && d->open && !d->stopping && d->puts < DISK_CACHE_PUTS_MAX;
    if (taken) {
        d->puts++;
        list_push_back(&d->jobs, &j->link);
        pthread_cond_signal(&d->to_write);
    } else {
        d->unsaved++;
    }
    pthread_mutex_unlock(&d->lock);
    if (taken)
        return;
    free(j);
    release(owner);
}

/* A removal is never dropped: where it cannot be remembered, all is. */
static void disk_remove(struct cache_store *store, const uint8_t key[CACHE_RECORD_KEY]) {
    struct disk_cache *d = disk_of(store);
    struct job *j = calloc(1, sizeof(*j));
    if (j) {
        j->kind = JOB_REMOVE;
        memcpy(j->record.key, key, CACHE_RECORD_KEY);
    }
    pthread_mutex_lock(&d->lock);
    if (j && d->removes < DISK_CACHE_REMOVES_MAX) {
        d->removes++;
        list_push_back(&d->jobs, &j->link);
        j = NULL;
    } else {
        d->forget_all = true;
    }
    pthread_cond_signal(&d->to_write);
    pthread_mutex_unlock(&d->lock);
    free(j);
}

static int disk_ask(struct cache_store *store, struct cache_question *q) {
    struct disk_cache *d = disk_of(store);
    pthread_mutex_lock(&d->lock);
    bool taken = d->open && !d->stopping && d->question_count < DISK_CACHE_QUESTIONS_MAX;
    if (taken) {
        d->question_count++;
        list_push_back(&d->questions, &q->link);
        pthread_cond_signal(&d->to_read);
    }
    pthread_mutex_unlock(&d->lock);
    return taken ? 0 : -EAGAIN;
}

static void disk_read(struct cache_store *store, struct cache_store_stats *out) {
    struct disk_cache *d = disk_of(store);
    disk_log_read_stats(d->log, out);
    pthread_mutex_lock(&d->lock);
    out->ready = d->open;
    out->damaged = d->damaged;
    out->unsaved = d->unsaved;
    pthread_mutex_unlock(&d->lock);
}

static const struct cache_store_ops ops = {
    .ask = disk_ask, .put = disk_put, .remove = disk_remove, .read = disk_read};

/* ---- reading ------------------------------------------------------------------------ */

static void deliver(struct io_task *task) {
    struct cache_question *q = container_of(task, struct cache_question, task);
    q->on_answer(q);
}

static void answer(struct disk_cache *d, struct cache_question *q, enum cache_store_result r) {
    if (r == CACHE_STORE_DAMAGED) {
        pthread_mutex_lock(&d->lock);
        d->damaged++;
        pthread_mutex_unlock(&d->lock);
    }
    q->result = r;
    q->task = (struct io_task){NULL, deliver};
    io_post(q->io, &q->task);
}

static void *read_all(void *arg) {
    struct disk_cache *d = arg;
    for (;;) {
        pthread_mutex_lock(&d->lock);
        while (list_empty(&d->questions) && !d->stopping)
            pthread_cond_wait(&d->to_read, &d->lock);
        struct list *l = list_pop_front(&d->questions);
        d->question_count -= l != NULL;
        bool skip = d->stopping;
        pthread_mutex_unlock(&d->lock);
        if (!l)
            return NULL;
        struct cache_question *q = container_of(l, struct cache_question, link);
        skip = skip || atomic_load_explicit(&q->dropped, memory_order_relaxed);
        q->data = NULL;
        answer(d, q,
               skip ? CACHE_STORE_SKIPPED : disk_log_read(d->log, q->key, &q->record, &q->data));
    }
}

/* ---- writing ------------------------------------------------------------------------ */

/* Told once for each kind of trouble, and once when it is over. */
static void tell(struct disk_cache *d, int error) {
    struct cache_store_stats stats = {0};
    if (error == d->error)
        return;
    d->error = error;
    disk_log_read_stats(d->log, &stats);
    if (d->options.on_state)
        d->options.on_state(d->options.arg, error, &stats);
}

static void set_open(struct disk_cache *d, bool open) {
    pthread_mutex_lock(&d->lock);
    d->open = open;
    pthread_mutex_unlock(&d->lock);
}

static void open_log(struct disk_cache *d) {
    int error = disk_log_open(d->log);
    d->usable = !error;
    d->retry_at_ns = error ? monotonic_ns() + d->options.retry_ns : 0;
    set_open(d, !error);
    tell(d, error);
}

/* A disk that is full, or read-only, can still be read. Where the directory is
 * gone it is made anew, or another one found, later. */
static void put_failed(struct disk_cache *d, int error) {
    d->retry_at_ns = monotonic_ns() + d->options.retry_ns;
    if (error == -ENOENT || error == -ENOTDIR || error == -ESTALE)
        set_open(d, false);
    tell(d, error);
}

static void put(struct disk_cache *d, const struct job *j) {
    bool may = d->open && monotonic_ns() >= d->retry_at_ns;
    int error = may ? disk_log_append(d->log, &j->record) : -EAGAIN;
    if (!error) {
        tell(d, 0);
        return;
    }
    if (!may) /* what it replaces is older still */
        disk_log_remove(d->log, j->record.key);
    else if (error != -E2BIG)
        put_failed(d, error);
    pthread_mutex_lock(&d->lock);
    d->unsaved++;
    pthread_mutex_unlock(&d->lock);
}

static void carry_out(struct disk_cache *d, struct job *j) {
    if (j->kind == JOB_PUT)
        put(d, j);
    else
        disk_log_remove(d->log, j->record.key);
    free_job(j);
}

/* The next job, locked. While the directory cannot be used, removals wait: what
 * is in there must not come back when it can. */
static struct job *next_job(struct disk_cache *d) {
    struct job *j = container_of(d->jobs.next, struct job, link);
    if (list_empty(&d->jobs) || (j->kind == JOB_REMOVE && !d->usable))
        return NULL;
    return j;
}

static bool has_work(struct disk_cache *d) {
    return next_job(d) || d->stopping || (d->forget_all && d->usable);
}

static void wait_for_work(struct disk_cache *d) {
    while (!has_work(d)) {
        uint64_t due = d->retry_at_ns;
        struct timespec until = {(time_t)(due / 1000000000), (long)(due % 1000000000)};
        if (d->open)
            pthread_cond_wait(&d->to_write, &d->lock);
        else if (monotonic_ns() < due)
            pthread_cond_timedwait(&d->to_write, &d->lock, &until);
        else
            return;
    }
}

/* False: stop. */
static bool work_once(struct disk_cache *d) {
    pthread_mutex_lock(&d->lock);
    wait_for_work(d);
    struct job *j = next_job(d);
    if (j) {
        list_remove(&j->link);
        *(j->kind == JOB_PUT ? &d->puts : &d->removes) -= 1;
    }
    bool stop = d->stopping && !j;
    bool clear = d->forget_all && d->usable;
    bool open = !d->stopping && !d->open && monotonic_ns() >= d->retry_at_ns;
    d->forget_all = d->forget_all && !clear;
    pthread_mutex_unlock(&d->lock);
    if (clear)
        disk_log_clear(d->log);
    if (open)
        open_log(d);
    if (j)
        carry_out(d, j);
    return !stop;
}

static void *write_all(void *arg) {
    while (work_once(arg))
        ;
    return NULL;
}

/* ---- life ------------------------------------------------------------------------------ */

/* Signals are for the main thread. */
static int start_thread(pthread_t *thread, void *(*run)(void *), void *arg, const char *name) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = -pthread_create(thread, NULL, run, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!error)
        pthread_setname_np(*thread, name);
    return error;
}

static int start_threads(struct disk_cache *d) {
    int error = start_thread(&d->writer, write_all, d, "disk-write");
    d->threads += !error;
    for (int i = 0; !error && i < DISK_CACHE_READERS; i++) {
        error = start_thread(&d->readers[i], read_all, d, "disk-read");
        d->threads += !error;
    }
    return error;
}

int disk_cache_create(struct cache_store **out, const struct disk_cache_options *o) {
    struct disk_cache *d = calloc(1, sizeof(*d));
    pthread_condattr_t monotonic;
    *out = NULL;
    if (!d)
        return -ENOMEM;
    d->store.ops = &ops;
    d->options = *o;
    d->options.retry_ns = o->retry_ns ? o->retry_ns : RETRY_NS;
    d->error = 1; /* so that the first opening is told */
    list_init(&d->jobs);
    list_init(&d->questions);
    pthread_mutex_init(&d->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&d->to_write, &monotonic);
    pthread_cond_init(&d->to_read, &monotonic);
    pthread_condattr_destroy(&monotonic);
    int error = disk_log_create(&d->log, &o->log);
    if (!error)
        error = start_threads(d);
    if (error) {
        disk_cache_stop(&d->store);
        disk_cache_destroy(&d->store);
        return error;
    }
    *out = &d->store;
    return 0;
}

void disk_cache_stop(struct cache_store *store) {
    struct disk_cache *d = disk_of(store);
    pthread_mutex_lock(&d->lock);
    d->stopping = true;
    pthread_cond_broadcast(&d->to_write);
    pthread_cond_broadcast(&d->to_read);
    pthread_mutex_unlock(&d->lock);
    for (uint32_t i = 0; i < d->threads; i++)
        pthread_join(i == 0 ? d->writer : d->readers[i - 1], NULL);
    d->threads = 0;
}

void disk_cache_destroy(struct cache_store *store) {
    if (!store)
        return;
    struct disk_cache *d = disk_of(store);
    for (struct list *l; (l = list_pop_front(&d->jobs)) != NULL;)
        free_job(container_of(l, struct job, link));
    disk_log_destroy(d->log);
    pthread_cond_destroy(&d->to_write);
    pthread_cond_destroy(&d->to_read);
    pthread_mutex_destroy(&d->lock);
    free(d);
}
