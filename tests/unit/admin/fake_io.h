/* fake_io.h - an io without a kernel: what is sent is kept, time is set by the
 * test, and nothing happens unless it is told to. */
#ifndef SWG_TESTS_ADMIN_FAKE_IO_H
#define SWG_TESTS_ADMIN_FAKE_IO_H

#include <pthread.h>

#include "base/buf.h"
#include "base/io.h"

enum { FAKE_STREAMS = 1024 };

struct fake_stream {
    struct io_stream *stream; /* NULL: never used, or closed */
    struct buf sent;          /* what the client has got */
    bool wanted, shut, closed;
};

struct fake_io {
    struct io io;
    struct list timers;
    pthread_mutex_t posting;
    struct io_task *tasks; /* under `posting` */
    bool stuck;            /* clients take nothing: what is sent stays pending */
    bool broken;           /* io_send() finds no memory */
    uint32_t count;
    struct fake_stream streams[FAKE_STREAMS];
};

void fake_io_init(struct fake_io *, uint64_t now_ns);
void fake_io_free(struct fake_io *);

/* Bytes from the client, to a connection that wants them. */
void fake_io_receive(struct fake_stream *, const char *data, size_t len);
/* The client sends no more. */
void fake_io_finish(struct fake_stream *);
/* The client takes all that is pending. */
void fake_io_drain(struct fake_stream *);
/* Lets time pass, firing what becomes due, in order. */
void fake_io_pass(struct fake_io *, uint64_t ns);
/* Runs what was posted. */
void fake_io_run_tasks(struct fake_io *);

#endif
