/* loop.c - see loop.h; the streams are in stream.c, the timers in wheel.c.
 *
 * A turn has two halves. First every event of the batch is only noted, on the
 * stream or watch it is for, which joins a list; no callback runs. Then the
 * list is served. So a callback that closes another connection of the same
 * batch takes it off the list, and no event in the batch can point at memory
 * that is gone: the usual search through the rest of the batch is not needed.
 * A stream with work left over (its share of the turn is used up, or reading
 * was turned on again) joins the same list for the next turn, before which
 * the loop does not sleep.
 *
 * Cost: a connection is registered once, edge-triggered, and never again; a
 * turn is one epoll_wait() and one clock reading at each end. The eventfd is
 * edge-triggered too and so never read: each write is an edge. */
#include "loop/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "loop/loop_priv.h"

/* epoll_data of a watch has this bit; of the eventfd nothing else. */
#define WATCH_BIT UINT64_C(1)
#define WAKE_DATA WATCH_BIT

static int loop_watch_start(struct io *, struct io_watch *, int fd, uint32_t events);
static int loop_watch_change(struct io_watch *, uint32_t events);
static void loop_watch_stop(struct io_watch *);
static void loop_timer_set(struct io *, struct io_timer *, uint64_t due_ns);
static void loop_timer_clear(struct io *, struct io_timer *);
static void loop_post(struct io *, struct io_task *);
static uint64_t clock_ns(void);
static void wake(struct loop *);
static int open_descriptors(struct loop *);
static void run_hooks(struct loop *);
static int wait_for_events(struct loop *, int max_wait_ms);
static void note_events(struct loop *, int count);
static void serve_streams(struct loop *);
static void serve_watches(struct loop *);
static void run_tasks(struct loop *);
static void count_turn(struct loop *, int events);

static const struct io_ops loop_io_ops = {
    .stream_adopt = loop_stream_adopt,
    .stream_connect = loop_stream_connect,
    .stream_want = loop_stream_want,
    .stream_send = loop_stream_send,
    .stream_unsent = loop_stream_unsent,
    .stream_shut = loop_stream_shut,
    .stream_close = loop_stream_close,
    .stream_abort = loop_stream_abort,
    .stream_release = loop_stream_release,
    .watch_start = loop_watch_start,
    .watch_change = loop_watch_change,
    .watch_stop = loop_watch_stop,
    .timer_set = loop_timer_set,
    .timer_clear = loop_timer_clear,
    .post = loop_post,
};

/* The loop whose turn this thread is in, so that a post to itself needs no
 * system call. */
static _Thread_local struct loop *turning;

int loop_create(struct loop **out) {
    struct loop *loop = calloc(1, sizeof *loop);
    if (!loop)
        return -ENOMEM;
    loop->io = (struct io){.ops = &loop_io_ops, .now_ns = clock_ns()};
    loop->scratch = malloc(LOOP_READ_BYTES);
    int error = loop->scratch ? open_descriptors(loop) : -ENOMEM;
    if (error) {
        free(loop->scratch);
        free(loop);
        return error;
    }
    list_init(&loop->ready);
    list_init(&loop->ready_watches);
    list_init(&loop->hooks);
    wheel_init(&loop->wheel, loop->io.now_ns);
    const char *seed = getenv("SWITCHGEAR_TEST_SHORT_IO");
    if (seed)
        loop->short_io = (uint32_t)strtoul(seed, NULL, 10);
    *out = loop;
    return 0;
}

static int open_descriptors(struct loop *loop) {
    struct epoll_event wake_event = {.events = EPOLLIN | EPOLLET, .data.u64 = WAKE_DATA};

    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll_fd < 0)
        return -errno;
    loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (loop->wake_fd >= 0 &&
        epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, loop->wake_fd, &wake_event) == 0)
        return 0;
    int error = -errno;
    if (loop->wake_fd >= 0)
        close(loop->wake_fd);
    close(loop->epoll_fd);
    return error;
}

void loop_destroy(struct loop *loop) {
    if (!loop)
        return;
    close(loop->wake_fd);
    close(loop->epoll_fd);
    free(loop->scratch);
    free(loop);
}

struct io *loop_io(struct loop *loop) {
    return &loop->io;
}

int loop_run(struct loop *loop) {
    run_hooks(loop); /* what gathered before the first turn */
    while (!atomic_exchange_explicit(&loop->stop, false, memory_order_relaxed)) {
        int error = loop_turn(loop, -1);
        if (error)
            return error;
    }
    return 0;
}

int loop_turn(struct loop *loop, int max_wait_ms) {
    struct loop *outer = turning;
    turning = loop;
    int count = wait_for_events(loop, max_wait_ms);
    loop->io.now_ns = clock_ns();
    atomic_store_explicit(&loop->busy_since_ns, loop->io.now_ns, memory_order_relaxed);
    if (count > 0)
        note_events(loop, count);
    serve_streams(loop);
    serve_watches(loop);
    /* After the sockets: what has come in time is not to lose against its
     * timeout only because a turn was long. */
    wheel_fire(&loop->wheel, loop->io.now_ns);
    run_tasks(loop);
    run_hooks(loop);
    count_turn(loop, count);
    turning = outer;
    return count < 0 ? count : 0;
}

void loop_stop(struct loop *loop) {
    atomic_store_explicit(&loop->stop, true, memory_order_relaxed);
    wake(loop);
}

/* ---- waiting ------------------------------------------------------------ */

static uint64_t clock_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

/* How long the loop may sleep: UINT64_MAX for ever. */
static uint64_t sleep_ns(struct loop *loop, int max_wait_ms) {
    if (max_wait_ms == 0 || !list_empty(&loop->ready) || !list_empty(&loop->ready_watches) ||
        atomic_load_explicit(&loop->posted, memory_order_relaxed))
        return 0;
    uint64_t next_ns = wheel_next(&loop->wheel);
    if (next_ns != UINT64_MAX) {
        uint64_t now_ns = clock_ns();
        next_ns = next_ns > now_ns ? next_ns - now_ns : 0;
    }
    uint64_t max_ns = max_wait_ms < 0 ? UINT64_MAX : (uint64_t)max_wait_ms * 1000000;
    return next_ns < max_ns ? next_ns : max_ns;
}

/* epoll_wait() counts in milliseconds and would make a timer late by one more;
 * older kernels and some sandboxes have nothing better. */
static int wait_timed(struct loop *loop, uint64_t ns) {
    if (!loop->no_pwait2) {
        struct timespec limit = {.tv_sec = (time_t)(ns / 1000000000),
                                 .tv_nsec = (long)(ns % 1000000000)};
        int count = (int)syscall(SYS_epoll_pwait2, loop->epoll_fd, loop->events, LOOP_EVENTS,
                                 &limit, NULL, 0);
        if (count >= 0 || (errno != ENOSYS && errno != EPERM))
            return count;
        loop->no_pwait2 = true;
    }
    uint64_t ms = ns / 1000000 + (ns % 1000000 != 0);
    return epoll_wait(loop->epoll_fd, loop->events, LOOP_EVENTS,
                      ms < INT32_MAX ? (int)ms : INT32_MAX);
}

/* The number of events, or -errno. */
static int wait_for_events(struct loop *loop, int max_wait_ms) {
    uint64_t ns = sleep_ns(loop, max_wait_ms);
    int count;

    if (ns == 0 || ns == UINT64_MAX)
        count = epoll_wait(loop->epoll_fd, loop->events, LOOP_EVENTS, ns ? -1 : 0);
    else
        count = wait_timed(loop, ns);
    if (count < 0)
        return errno == EINTR ? 0 : -errno;
    return count;
}

static void note_events(struct loop *loop, int count) {
    for (int i = 0; i < count; i++) {
        uint64_t data = loop->events[i].data.u64;
        uint32_t events = loop->events[i].events;
        if (!(data & WATCH_BIT)) {
            loop_stream_happened(loop, (struct io_stream *)(uintptr_t)data, events);
        } else if (data != WAKE_DATA) {
            struct io_watch *w = (struct io_watch *)(uintptr_t)(data & ~WATCH_BIT);
            w->happened = events;
            if (list_empty(&w->ready))
                list_push_back(&loop->ready_watches, &w->ready);
        }
    }
}

static void count_figure(atomic_uint_least64_t *figure, uint64_t more) {
    uint64_t before = atomic_load_explicit(figure, memory_order_relaxed);
    atomic_store_explicit(figure, before + more, memory_order_relaxed);
}

static void count_turn(struct loop *loop, int events) {
    uint64_t took_ns = clock_ns() - loop->io.now_ns;
    count_figure(&loop->turns, 1);
    count_figure(&loop->busy_ns, took_ns);
    if (events > 0)
        count_figure(&loop->events_seen, (uint64_t)events);
    if (took_ns > atomic_load_explicit(&loop->turn_ns_longest, memory_order_relaxed))
        atomic_store_explicit(&loop->turn_ns_longest, took_ns, memory_order_relaxed);
    if (took_ns > atomic_load_explicit(&loop->turn_ns_recent, memory_order_relaxed))
        atomic_store_explicit(&loop->turn_ns_recent, took_ns, memory_order_relaxed);
    atomic_store_explicit(&loop->busy_since_ns, 0, memory_order_relaxed);
}

void loop_stats(const struct loop *loop, struct loop_stats *out) {
    out->turns = atomic_load_explicit(&loop->turns, memory_order_relaxed);
    out->events = atomic_load_explicit(&loop->events_seen, memory_order_relaxed);
    out->busy_ns = atomic_load_explicit(&loop->busy_ns, memory_order_relaxed);
    out->turn_ns_longest = atomic_load_explicit(&loop->turn_ns_longest, memory_order_relaxed);
    out->busy_since_ns = atomic_load_explicit(&loop->busy_since_ns, memory_order_relaxed);
}

uint64_t loop_take_longest(struct loop *loop) {
    return atomic_exchange_explicit(&loop->turn_ns_recent, 0, memory_order_relaxed);
}

/* ---- serving ------------------------------------------------------------ */

static void serve_streams(struct loop *loop) {
    struct list serving;
    struct list *link;

    /* A list of its own: who joins while it is served waits for the next turn,
     * so one stream cannot keep the others from theirs. */
    list_init(&serving);
    list_splice_back(&serving, &loop->ready);
    while ((link = list_pop_front(&serving)))
        loop_stream_serve(loop, container_of(link, struct io_stream, ready));
}

static void serve_watches(struct loop *loop) {
    struct list serving;
    struct list *link;

    list_init(&serving);
    list_splice_back(&serving, &loop->ready_watches);
    while ((link = list_pop_front(&serving))) {
        struct io_watch *w = container_of(link, struct io_watch, ready);
        w->on_ready(w, w->happened);
    }
}

static void run_hooks(struct loop *loop) {
    struct list running;
    struct list *link;

    list_init(&running);
    list_splice_back(&running, &loop->hooks);
    while ((link = list_pop_front(&running))) {
        list_push_back(&loop->hooks, link);
        struct loop_hook *hook = container_of(link, struct loop_hook, link);
        hook->run(hook);
    }
}

void loop_hook_add(struct loop *loop, struct loop_hook *hook) {
    list_push_back(&loop->hooks, &hook->link);
}

void loop_hook_remove(struct loop_hook *hook) {
    list_remove(&hook->link);
}

/* ---- watches ------------------------------------------------------------ */

static int watch_control(struct io *io, struct io_watch *w, int how, uint32_t events) {
    struct epoll_event event = {.events = events, .data.u64 = (uintptr_t)w | WATCH_BIT};
    return epoll_ctl(loop_of(io)->epoll_fd, how, w->fd, &event) ? -errno : 0;
}

static int loop_watch_start(struct io *io, struct io_watch *w, int fd, uint32_t events) {
    w->fd = fd;
    int error = watch_control(io, w, EPOLL_CTL_ADD, events);
    if (!error)
        w->io = io;
    return error;
}

static int loop_watch_change(struct io_watch *w, uint32_t events) {
    return watch_control(w->io, w, EPOLL_CTL_MOD, events);
}

static void loop_watch_stop(struct io_watch *w) {
    watch_control(w->io, w, EPOLL_CTL_DEL, 0);
    list_remove(&w->ready);
    w->io = NULL;
}

/* ---- timers and tasks ---------------------------------------------------- */

static void loop_timer_set(struct io *io, struct io_timer *t, uint64_t due_ns) {
    wheel_set(&loop_of(io)->wheel, t, due_ns);
}

static void loop_timer_clear(struct io *io, struct io_timer *t) {
    wheel_clear(&loop_of(io)->wheel, t);
}

static void wake(struct loop *loop) {
    const uint64_t one = 1;
    /* It can fail only when the counter is near 2^64, with an edge long due. */
    ssize_t ignored = write(loop->wake_fd, &one, sizeof one);
    (void)ignored;
}

static void loop_post(struct io *io, struct io_task *task) {
    struct loop *loop = loop_of(io);
    struct io_task *last = atomic_load_explicit(&loop->posted, memory_order_relaxed);

    do
        task->next = last;
    while (!atomic_compare_exchange_weak_explicit(&loop->posted, &last, task, memory_order_release,
                                                  memory_order_relaxed));
    /* Whoever found the list empty wakes; the others' tasks go along with that
     * one's. In its own turn the loop looks at the list before it sleeps. */
    if (!last && turning != loop)
        wake(loop);
}

static void run_tasks(struct loop *loop) {
    if (!atomic_load_explicit(&loop->posted, memory_order_relaxed))
        return;
    struct io_task *last = atomic_exchange_explicit(&loop->posted, NULL, memory_order_acquire);
    struct io_task *first = NULL;

    while (last) {
        struct io_task *before = last->next;
        last->next = first;
        first = last;
        last = before;
    }
    while (first) {
        struct io_task *task = first;
        first = task->next;
        task->run(task); /* the task's memory may be gone now */
    }
}
