/* outbox.c - see outbox.h. The thread, and the lock on the file; the rows are
 * behind outbox_table.h.
 *
 * The thread takes all operations that wait, runs them in one transaction,
 * syncs once, and tells them all. Nothing waits for company: while one group
 * is being synced the next one gathers by itself, the larger the slower the
 * disk is. */
#include "store/outbox.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "store/outbox_table.h"

enum {
    GROUP_MAX = 4096,           /* operations of one transaction */
    GROUP_BYTES_MAX = 16 << 20, /* of content, roughly */
    MEMORY_MAX = 256 << 20,     /* of one operation's results */
    FORGET_EVERY_MS = 60 * 1000,
    REMEMBER_MS = 24 * 3600 * 1000,
    LEASE_MS = 500, /* how soon who is not the owner asks again */
};

struct outbox {
    struct outbox_table *table; /* the thread's */
    struct outbox_op *part[GROUP_MAX];
    bool shared;
    char *file; /* NULL: it is no file, or nobody owns it */
    int owner_fd;
    int64_t remember_ms, forgotten_ms;
    int64_t (*clock_ms)(void);
    pthread_t thread;

    pthread_mutex_t lock; /* guards what follows; a leaf */
    pthread_cond_t waiting_changed;
    struct list waiting;
    bool closing;
    bool owns, owns_changed; /* whether it is to be ours; the thread sees to it */
    struct outbox_stats stats;
};

static void *run(void *);

static int64_t wall_clock_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- the owner's lock ---------------------------------------------------------- */

static void tell_owner(int fd, char *why, size_t size) {
    char text[32] = "";
    ssize_t len = pread(fd, text, sizeof text - 1, 0);
    text[len > 0 ? len : 0] = 0;
    snprintf(why, size, "another process owns it (process %d); two would send entries twice",
             atoi(text));
}

/* A descriptor that holds the lock, or -errno. The file stays when the lock
 * goes: whoever removed it could remove the next owner's. */
static int take_ownership(const char *file, char *why, size_t size) {
    char *path, text[32];
    if (asprintf(&path, "%s-owner", file) < 0)
        return -ENOMEM;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    int error = fd < 0 ? -errno : 0;
    if (error)
        snprintf(why, size, "%s: %s", path, strerror(-error));
    free(path);
    if (error)
        return error;
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        error = errno == EWOULDBLOCK ? -EBUSY : -errno;
        if (error == -EBUSY)
            tell_owner(fd, why, size);
        else
            snprintf(why, size, "locking: %s", strerror(-error));
        close(fd);
        return error;
    }
    int len = snprintf(text, sizeof text, "%d\n", (int)getpid());
    if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)len, 0) < 0)
        return fd; /* only a hint for people */
    return fd;
}

/* Bodies of payments are in it: nobody else may read it. SQLite gives its other
 * files the same rights. */
static int make_private(const char *file, char *why, size_t size) {
    int fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        int error = -errno;
        snprintf(why, size, "%s: %s", file, strerror(-error));
        return error;
    }
    close(fd);
    return 0;
}

/* ---- open and close ------------------------------------------------------------- */

static int start(struct outbox *o) {
    pthread_mutex_init(&o->lock, NULL);
    pthread_cond_init(&o->waiting_changed, NULL);
    list_init(&o->waiting);
    return -pthread_create(&o->thread, NULL, run, o);
}

static void discard(struct outbox *o) {
    if (o->table)
        o->table->ops->close(o->table);
    if (o->owner_fd >= 0)
        close(o->owner_fd);
    free(o->file);
    free(o);
}

static int open_file(struct outbox *o, const struct outbox_options *options, char *why,
                     size_t size) {
    if (!options->vfs) { /* else there is no such file */
        o->owner_fd = take_ownership(options->file, why, size);
        int error = o->owner_fd < 0 ? o->owner_fd : make_private(options->file, why, size);
        if (!error && !(o->file = strdup(options->file)))
            error = -ENOMEM;
        if (error)
            return error;
    }
    int error = outbox_sqlite_open(&o->table, options, why, size);
    if (!error)
        why[0] = '\0';
    return error;
}

int outbox_open(struct outbox **out, const struct outbox_options *options, char *why,
                size_t why_size) {
    struct outbox *o = calloc(1, sizeof *o);
    *out = NULL;
    snprintf(why, why_size, "out of memory");
    if (!o)
        return -ENOMEM;
    o->remember_ms = options->remember_ms ? options->remember_ms : REMEMBER_MS;
    o->clock_ms = options->clock_ms ? options->clock_ms : wall_clock_ms;
    o->owner_fd = -1;
    o->shared = options->url || options->beside;
    o->owns = true;
    int error = options->url ? outbox_postgres_open(&o->table, options, why, why_size)
                             : open_file(o, options, why, why_size);
    if (!error && (error = start(o)) != 0)
        snprintf(why, why_size, "no thread: %s", strerror(-error));
    if (error) {
        discard(o);
        return error;
    }
    *out = o;
    return 0;
}

bool outbox_is_shared(const struct outbox *o) {
    return o->shared;
}

bool outbox_has_owner(const struct outbox *o) {
    return o->file != NULL;
}

static void set_owner(struct outbox *o, bool owns) {
    pthread_mutex_lock(&o->lock);
    o->owns = owns;
    o->owns_changed = true;
    pthread_cond_signal(&o->waiting_changed);
    pthread_mutex_unlock(&o->lock);
}

void outbox_disown(struct outbox *o) {
    set_owner(o, false);
}

void outbox_own(struct outbox *o) {
    set_owner(o, true);
}

void outbox_close(struct outbox *o) {
    if (!o)
        return;
    pthread_mutex_lock(&o->lock);
    o->closing = true;
    pthread_cond_signal(&o->waiting_changed);
    pthread_mutex_unlock(&o->lock);
    pthread_join(o->thread, NULL);
    pthread_cond_destroy(&o->waiting_changed);
    pthread_mutex_destroy(&o->lock);
    discard(o);
}

/* ---- operations ------------------------------------------------------------------ */

void outbox_op_init(struct outbox_op *op, enum outbox_verb verb, struct io *io,
                    void (*done)(struct outbox_op *)) {
    memset(op, 0, sizeof *op);
    op->verb = verb;
    op->io = io;
    op->done = done;
    op->filter.limit = OUTBOX_LIST_MAX;
    arena_init(&op->memory, NULL, 0, MEMORY_MAX);
    list_init(&op->link);
}

void outbox_op_free(struct outbox_op *op) {
    arena_reset(&op->memory);
}

static void on_posted(struct io_task *task) {
    struct outbox_op *op = container_of(task, struct outbox_op, task);
    op->done(op);
}

static void tell(struct outbox_op *op) {
    if (!op->io) {
        op->done(op);
        return;
    }
    op->task = (struct io_task){NULL, on_posted};
    io_post(op->io, &op->task);
}

void outbox_submit(struct outbox *o, struct outbox_op *op) {
    pthread_mutex_lock(&o->lock);
    bool closing = o->closing;
    if (!closing) {
        if (list_empty(&o->waiting))
            pthread_cond_signal(&o->waiting_changed);
        list_push_back(&o->waiting, &op->link);
    }
    pthread_mutex_unlock(&o->lock);
    if (closing) {
        op->error = -ESHUTDOWN;
        tell(op);
    }
}

/* ---- the thread ------------------------------------------------------------------- */

/* With the lock held, which no one waits for long: it is a look at a local file. */
static void follow_owner(struct outbox *o) {
    char why[256];
    o->owns_changed = false;
    if (!o->file || o->owns == (o->owner_fd >= 0))
        return;
    if (o->owns) {
        o->owner_fd = take_ownership(o->file, why, sizeof why);
    } else {
        close(o->owner_fd);
        o->owner_fd = -1;
    }
}

/* The owner of a file has the leases of all services. Who is to be it again tries
 * each time. */
static void answer_lease(struct outbox *o, struct outbox_op *op) {
    pthread_mutex_lock(&o->lock);
    follow_owner(o);
    pthread_mutex_unlock(&o->lock);
    op->error = op->verb == OUTBOX_YIELD || o->owner_fd >= 0 ? 0 : -EBUSY;
    op->lease.left_ms = LEASE_MS;
    op->lease.entries = op->lease.bytes = 0;
}

static bool is_about_lease(const struct outbox *o, const struct outbox_op *op) {
    return o->file && (op->verb == OUTBOX_LEASE || op->verb == OUTBOX_YIELD);
}

/* Takes what waits, up to a group's size; false: nothing will come any more. */
static bool take_group(struct outbox *o, struct list *group) {
    size_t count = 0, bytes = 0;
    pthread_mutex_lock(&o->lock);
    while (list_empty(&o->waiting) && !o->closing) {
        if (o->owns_changed)
            follow_owner(o);
        else
            pthread_cond_wait(&o->waiting_changed, &o->lock);
    }
    while (!list_empty(&o->waiting) && count < GROUP_MAX && bytes < GROUP_BYTES_MAX) {
        struct list *link = list_pop_front(&o->waiting);
        const struct outbox_op *op = container_of(link, struct outbox_op, link);
        list_push_back(group, link);
        bytes += op->entry.body.len + op->entry.fields.len;
        count++;
    }
    pthread_mutex_unlock(&o->lock);
    return count > 0;
}

/* What is settled long enough goes, now and then, within a group's transaction.
 * 0: not now. */
static int64_t forget_before_ms(struct outbox *o, int64_t now_ms) {
    if (now_ms >= o->forgotten_ms && now_ms - o->forgotten_ms < FORGET_EVERY_MS)
        return 0;
    o->forgotten_ms = now_ms;
    return now_ms - o->remember_ms;
}

enum part { ALL, BUT_APPENDS, READS, PARTS };

static bool belongs(const struct outbox_op *op, enum part part) {
    return part == ALL || (part == READS ? outbox_is_read(op) : op->verb != OUTBOX_APPEND);
}

/* Runs a part of the group in one transaction. 0, or why none of it is promised. */
static int run_part(struct outbox *o, const struct list *group, enum part part) {
    int64_t now_ms = o->clock_ms();
    size_t count = 0;
    for (const struct list *l = group->next; l != group; l = l->next) {
        struct outbox_op *op = container_of(l, struct outbox_op, link);
        if (belongs(op, part) && !is_about_lease(o, op))
            o->part[count++] = op;
    }
    if (!count)
        return 0;
    int64_t forget_ms = part == READS ? 0 : forget_before_ms(o, now_ms);
    int error = o->table->ops->run(o->table, o->part, count, now_ms, forget_ms);
    for (size_t i = 0; error && i < count; i++)
        o->part[i]->error = error == -ENOTCONN ? -EIO : error;
    return error;
}

/* When the disk is full, nothing can be appended, but what is there can be read and
 * perhaps settled: it is by delivering that room is made. */
static int run_parts(struct outbox *o, const struct list *group) {
    int first = 0, error = -EIO;
    for (int part = ALL; error && error != -ENOTCONN && part < PARTS; part++) {
        error = run_part(o, group, (enum part)part);
        first = first ? first : error;
    }
    return first;
}

static void count_group(struct outbox *o, const struct list *group, int error) {
    uint64_t appended = 0;
    for (const struct list *l = group->next; l != group; l = l->next) {
        const struct outbox_op *op = container_of(l, struct outbox_op, link);
        appended += op->verb == OUTBOX_APPEND && !op->error;
    }
    pthread_mutex_lock(&o->lock);
    o->stats.groups++;
    o->stats.appended += appended;
    o->stats.failed += error != 0;
    pthread_mutex_unlock(&o->lock);
}

static void *run(void *arg) {
    struct outbox *o = arg;
    struct list group;
    list_init(&group);
    while (take_group(o, &group)) {
        count_group(o, &group, run_parts(o, &group));
        for (struct list *l = group.next; l != &group; l = l->next) {
            struct outbox_op *op = container_of(l, struct outbox_op, link);
            if (is_about_lease(o, op))
                answer_lease(o, op);
        }
        for (struct list *l; (l = list_pop_front(&group));)
            tell(container_of(l, struct outbox_op, link));
    }
    return NULL;
}

/* ---- for tools ---------------------------------------------------------------------- */

struct waiter {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool done;
};

static void on_done(struct outbox_op *op) {
    struct waiter *w = op->waiter;
    pthread_mutex_lock(&w->lock);
    w->done = true;
    pthread_cond_signal(&w->changed);
    pthread_mutex_unlock(&w->lock);
}

int outbox_do(struct outbox *o, struct outbox_op *op) {
    struct waiter w = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false};
    op->io = NULL;
    op->done = on_done;
    op->waiter = &w;
    outbox_submit(o, op);
    pthread_mutex_lock(&w.lock);
    while (!w.done)
        pthread_cond_wait(&w.changed, &w.lock);
    pthread_mutex_unlock(&w.lock);
    return op->error;
}

void outbox_read(struct outbox *o, struct outbox_stats *out) {
    pthread_mutex_lock(&o->lock);
    *out = o->stats;
    pthread_mutex_unlock(&o->lock);
}

const char *outbox_state_word(enum outbox_state state) {
    switch (state) {
    case OUTBOX_QUEUED:
        return "queued";
    case OUTBOX_DEAD:
        return "dead";
    case OUTBOX_SENT:
        return "sent";
    case OUTBOX_EXPIRED:
        return "expired";
    case OUTBOX_DROPPED:
        return "dropped";
    }
    return "unknown";
}
