/* log.h - the program's log: one line an event, JSON or logfmt.
 *
 *     struct log_line line;
 *     if (log_begin(&line, LOG_INFO, "breaker opened")) {
 *         log_str(&line, "service", name);
 *         log_dur(&line, "open_ms", open_ns);
 *         log_end(&line);
 *     }
 *
 * There is one log a process, as there is one standard error. Before
 * log_open() and after log_close() nothing is written.
 *
 * Threading: every thread collects its lines in a buffer of its own, made at
 *            its first line and given back when the thread ends. A loop calls
 *            log_flush() at the end of a turn; lines of LOG_WARN and above go
 *            out at once. Lines of one thread keep their order.
 * Blocking:  never waits for a slow reader. What a full pipe does not take
 *            stays in the buffer; when that is full, new lines are dropped and
 *            counted, and the next line that gets through says how many.
 * Limits:    a line is at most LOG_LINE_MAX bytes, a value LOG_VALUE_MAX; what
 *            is cut or left out is marked ("…", and the field cut=true).
 * SIGPIPE must be ignored by the program. */
#ifndef SWG_OBSERVE_LOG_H
#define SWG_OBSERVE_LOG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

enum { LOG_LINE_MAX = 8192, LOG_VALUE_MAX = 2048, LOG_BUFFER_SIZE = 65536 };

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR, LOG_NOTHING };
enum log_format { LOG_JSON, LOG_LOGFMT };

struct log_settings {
    enum log_format format;
    enum log_level level; /* LOG_DEBUG is 0: everything */
    const char *path;     /* NULL or "stderr"; "stdout"; or a file, appended to */
};

/* Opens the log, or changes all of its settings at once; on -errno nothing has
 * changed. Any thread. */
int log_open(const struct log_settings *);
/* Opens the file anew, after a rotation has moved it away. 0, also for stdout
 * and stderr; on -errno the old one stays in use. Any thread. */
int log_reopen(void);
/* Flushes the calling thread's lines, waiting at most a second for a slow
 * reader. Other threads must have ended, or be silent from now on. */
void log_close(void);

/* Tries to write what this thread has collected; false when something is left
 * because the reader is slow. */
bool log_flush(void);
/* Lines dropped since the start, all threads. */
uint64_t log_dropped(void);

const char *log_level_name(enum log_level);

/* A line under construction; only ever on the stack. Every function below does
 * nothing to a line that was not begun. */
struct log_line {
    struct log_thread *thread; /* NULL: not begun, or ended */
    enum log_level level;
    enum log_format format;
};

/* Written by log_open() and log_close(), read by every line. Relaxed: a line
 * more or less at the moment of the change does no harm, and no other data
 * depends on it. */
extern _Atomic int log_level_now;

/* Whether a line of this level would be written; saves collecting its fields. */
static inline bool log_enabled(enum log_level level) {
    return (int)level >= atomic_load_explicit(&log_level_now, memory_order_relaxed);
}

/* False, and the line is not begun, when its level is too low, when it had to
 * be dropped, or when this thread has another line under construction. */
bool log_begin(struct log_line *, enum log_level, const char *message);
void log_end(struct log_line *);

/* Fields. A key is a plain identifier: [a-z0-9_.]. Values may be any bytes. */
void log_str(struct log_line *, const char *key, const char *); /* NULL: no field */
void log_bytes(struct log_line *, const char *key, struct bytes);
void log_int(struct log_line *, const char *key, int64_t);
void log_uint(struct log_line *, const char *key, uint64_t);
void log_bool(struct log_line *, const char *key, bool);
/* Nanoseconds, written as milliseconds with three decimals; end the key in _ms. */
void log_dur(struct log_line *, const char *key, uint64_t ns);

/* A whole line, without its end, that another process of ours wrote as its log. */
void log_raw(struct bytes line);

/* A line without fields. */
void log_message(enum log_level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
