/* fake_io.c - see fake_io.h. */
#include "fake_io.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct fake_io *fake_of(struct io *io) {
    return container_of(io, struct fake_io, io);
}

static struct fake_stream *find(struct io_stream *s) {
    struct fake_io *f = fake_of(s->io);
    for (uint32_t i = 0; i < f->count; i++) {
        if (f->streams[i].stream == s)
            return &f->streams[i];
    }
    abort();
}

static int adopt(struct io *io, struct io_stream *s, int fd) {
    struct fake_io *f = fake_of(io);
    if (f->count == FAKE_STREAMS)
        return -EMFILE;
    s->io = io;
    s->fd = fd;
    f->streams[f->count] = (struct fake_stream){.stream = s};
    buf_init(&f->streams[f->count++].sent, 256 << 20);
    return 0;
}

static int refuse_connect(struct io *io, struct io_stream *s, const struct sockaddr *to,
                          socklen_t len) {
    (void)io, (void)s, (void)to, (void)len;
    return -ENETUNREACH;
}

static void want(struct io_stream *s, bool wanted) {
    find(s)->wanted = wanted;
}

static int send_pieces(struct io_stream *s, const struct iovec *iov, int count) {
    struct fake_io *f = fake_of(s->io);
    if (f->broken)
        return -ENOMEM;
    for (int i = 0; i < count; i++) {
        buf_append(&find(s)->sent, iov[i].iov_base, iov[i].iov_len);
        if (f->stuck)
            s->pending_len += (uint32_t)iov[i].iov_len;
    }
    return 0;
}

static void shut(struct io_stream *s) {
    find(s)->shut = true;
}

static void close_stream(struct io_stream *s) {
    struct fake_stream *fs = find(s);
    close(s->fd);
    s->fd = -1;
    fs->closed = true;
    fs->stream = NULL;
}

static void timer_clear(struct io *io, struct io_timer *t) {
    (void)io;
    list_remove(&t->link);
    t->due_ns = UINT64_MAX;
}

static void timer_set(struct io *io, struct io_timer *t, uint64_t due_ns) {
    timer_clear(io, t);
    if (due_ns == UINT64_MAX)
        return;
    t->due_ns = due_ns;
    list_push_back(&fake_of(io)->timers, &t->link);
}

/* From any thread, as io.h has it: the outbox's own posts too. */
static void post(struct io *io, struct io_task *task) {
    struct fake_io *f = fake_of(io);
    pthread_mutex_lock(&f->posting);
    struct io_task **end = &f->tasks;
    while (*end)
        end = &(*end)->next;
    task->next = NULL;
    *end = task;
    pthread_mutex_unlock(&f->posting);
}

static const struct io_ops ops = {.stream_adopt = adopt,
                                  .stream_connect = refuse_connect,
                                  .stream_want = want,
                                  .stream_send = send_pieces,
                                  .stream_shut = shut,
                                  .stream_close = close_stream,
                                  .stream_abort = close_stream,
                                  .timer_set = timer_set,
                                  .timer_clear = timer_clear,
                                  .post = post};

void fake_io_init(struct fake_io *f, uint64_t now_ns) {
    memset(f, 0, sizeof *f);
    f->io = (struct io){&ops, now_ns};
    list_init(&f->timers);
    pthread_mutex_init(&f->posting, NULL);
}

void fake_io_free(struct fake_io *f) {
    fake_io_run_tasks(f);
    for (uint32_t i = 0; i < f->count; i++)
        buf_free(&f->streams[i].sent);
    pthread_mutex_destroy(&f->posting);
}

/* From memory of its own, so that a reader who keeps it, or goes too far, shows. */
void fake_io_receive(struct fake_stream *fs, const char *data, size_t len) {
    if (!fs->stream || !fs->wanted)
        return;
    char *copy = malloc(len ? len : 1);
    if (!copy)
        abort();
    memcpy(copy, data, len);
    fs->stream->ops->on_data(fs->stream, copy, len);
    free(copy);
}

void fake_io_finish(struct fake_stream *fs) {
    if (fs->stream)
        fs->stream->ops->on_end(fs->stream, IO_END_EOF, 0);
}

void fake_io_drain(struct fake_stream *fs) {
    if (!fs->stream || !io_pending(fs->stream))
        return;
    fs->stream->pending_len = fs->stream->pending_off = 0;
    fs->stream->ops->on_drain(fs->stream);
}

static struct io_timer *next_due(struct fake_io *f, uint64_t until_ns) {
    struct io_timer *first = NULL;
    for (struct list *l = f->timers.next; l != &f->timers; l = l->next) {
        struct io_timer *t = container_of(l, struct io_timer, link);
        if (t->due_ns <= until_ns && (!first || t->due_ns < first->due_ns))
            first = t;
    }
    return first;
}

void fake_io_pass(struct fake_io *f, uint64_t ns) {
    uint64_t until_ns = f->io.now_ns + ns;
    for (struct io_timer *t; (t = next_due(f, until_ns));) {
        if (t->due_ns > f->io.now_ns)
            f->io.now_ns = t->due_ns;
        timer_clear(&f->io, t);
        t->on_due(t);
        fake_io_run_tasks(f);
    }
    f->io.now_ns = until_ns;
}

static struct io_task *take(struct fake_io *f) {
    pthread_mutex_lock(&f->posting);
    struct io_task *task = f->tasks;
    if (task)
        f->tasks = task->next;
    pthread_mutex_unlock(&f->posting);
    return task;
}

void fake_io_run_tasks(struct fake_io *f) {
    for (struct io_task *task; (task = take(f));)
        task->run(task);
}
