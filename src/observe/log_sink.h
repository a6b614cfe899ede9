/* log_sink.h - where log lines go: a descriptor that is never waited for.
 *
 * Takes whole lines and writes as many as it can without blocking. When the
 * kernel takes a part of a line only, the rest is kept here and goes first the
 * next time, so lines never mix, whichever thread comes next.
 *
 * Threading: the caller's lock. */
#ifndef SWG_OBSERVE_LOG_SINK_H
#define SWG_OBSERVE_LOG_SINK_H

#include <stdbool.h>
#include <stddef.h>

#include "observe/log.h"

enum log_sink_kind {
    LOG_SINK_FILE,     /* never says "later" */
    LOG_SINK_NONBLOCK, /* says EAGAIN: a pipe or terminal of our own opening */
    LOG_SINK_SOCKET,   /* asked with MSG_DONTWAIT */
    LOG_SINK_POLLED,   /* shared with others, so O_NONBLOCK is not ours to set */
};

struct log_sink {
    int fd;     /* -1: not open */
    bool owned; /* closed with the sink */
    enum log_sink_kind kind;
    size_t rest_len; /* of a line begun on this descriptor */
    char rest[LOG_LINE_MAX];
};

/* Opens `path` as log_settings.path says; replaces what was open only on
 * success. A line that was cut by the change is lost: *lost is then true. */
int log_sink_open(struct log_sink *, const char *path, bool *lost);
void log_sink_close(struct log_sink *);

/* Takes `len` bytes of whole lines, none longer than LOG_LINE_MAX; returns how
 * many, always at the end of a line, are written or kept to be. */
size_t log_sink_put(struct log_sink *, const char *lines, size_t len);
/* Waits until more may be put, at most so long. */
void log_sink_wait(struct log_sink *, int timeout_ms);

#endif
