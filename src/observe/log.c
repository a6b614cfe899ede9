/* A line is written straight into its thread's buffer, whose end is moved in
 * for that time, so that the buffer itself refuses what would make the line
 * longer than LOG_LINE_MAX; the bytes kept back are for the closing brace and
 * the mark that something is missing. A field goes in whole or not at all.
 *
 * Costs: no system call a line (the clock is read in user space), the date is
 * formatted once a second, no lock until a flush. */
#include "observe/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/buf.h"
#include "base/json_out.h"
#include "base/rfc3339.h"
#include "observe/log_sink.h"

enum {
    LINE_END_MAX = 32, /* kept back for `,"cut":true}` and the newline */
    VALUE_QUOTES = 5,  /* two quotes and "…" */
    VALUE_PART_MIN = 64,
    CLOSE_WAIT_MS = 1000,
};

struct log_thread {
    struct buf out; /* over `memory` */
    bool in_line, cut;
    uint64_t stamp_s;         /* the second that `stamp` shows */
    char stamp[RFC3339_SIZE]; /* its milliseconds are filled in for each line */
    char memory[LOG_BUFFER_SIZE];
};

_Atomic int log_level_now = LOG_NOTHING;

/* Written by log_open(), read by every line that begins. Relaxed: a line takes
 * it once and keeps to it. */
static _Atomic int format_now = LOG_JSON;

/* Lines dropped and not yet told, and ever. Any thread adds, the one that
 * flushes takes. Relaxed: they are counts, and no other data depends on them. */
static _Atomic uint64_t dropped_untold, dropped_ever;

/* The lock guards the sink and its path, and is held for one write. */
static pthread_mutex_t sink_lock = PTHREAD_MUTEX_INITIALIZER;
static struct log_sink sink = {.fd = -1};
static char *sink_path; /* as in log_settings */

static _Thread_local struct log_thread *mine;
static pthread_key_t thread_key;
static pthread_once_t thread_key_once = PTHREAD_ONCE_INIT;

static struct log_thread *my_thread(void);
static void make_thread_key(void);
static void end_thread(void *);
static bool make_room(struct log_thread *);
static bool flush(struct log_thread *);
static bool tell_dropped(void);
static void count_dropped(uint64_t);
static uint64_t count_lines(const struct buf *);
static void write_head(struct log_line *, const char *message);
static void write_end(struct log_line *);
static void stamp_time(struct log_thread *);
static size_t begin_field(struct log_line *, const char *key);
static void end_field(struct log_line *, size_t before);
static void write_value(struct log_line *, struct bytes);
static void write_text(struct buf *, enum log_format, struct bytes, bool shortened);
static struct bytes cut_at_character(struct bytes, size_t len);
static bool is_plain_logfmt(struct bytes);

/* ---- the log ------------------------------------------------------------ */

int log_open(const struct log_settings *settings) {
    char *path = settings->path ? strdup(settings->path) : NULL;
    if (settings->path && !path)
        return -ENOMEM;
    bool lost;
    pthread_mutex_lock(&sink_lock);
    int error = log_sink_open(&sink, path, &lost);
    if (!error) {
        char *old = sink_path;
        sink_path = path;
        path = old;
    }
    pthread_mutex_unlock(&sink_lock);
    free(path);
    if (error)
        return error;
    count_dropped(lost);
    atomic_store_explicit(&format_now, (int)settings->format, memory_order_relaxed);
    atomic_store_explicit(&log_level_now, (int)settings->level, memory_order_relaxed);
    return 0;
}

int log_reopen(void) {
    bool lost = false;
    int error = 0;
    pthread_mutex_lock(&sink_lock);
    if (sink.fd >= 0)
        error = log_sink_open(&sink, sink_path, &lost);
    pthread_mutex_unlock(&sink_lock);
    count_dropped(lost);
    return error;
}

void log_close(void) {
    atomic_store_explicit(&log_level_now, LOG_NOTHING, memory_order_relaxed);
    struct timespec start, now;
    clock_gettime(CLOCK_MONOTONIC, &start);
    while (mine && !flush(mine)) {
        clock_gettime(CLOCK_MONOTONIC, &now);
        int64_t spent_ms =
            (now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000;
        if (spent_ms >= CLOSE_WAIT_MS)
            break;
        log_sink_wait(&sink, (int)(CLOSE_WAIT_MS - spent_ms));
    }
    pthread_mutex_lock(&sink_lock);
    log_sink_close(&sink);
    free(sink_path);
    sink_path = NULL;
    pthread_mutex_unlock(&sink_lock);
    if (mine) {
        pthread_setspecific(thread_key, NULL);
        free(mine);
        mine = NULL;
    }
}

bool log_flush(void) {
    return !mine || mine->in_line || flush(mine);
}

uint64_t log_dropped(void) {
    return atomic_load_explicit(&dropped_ever, memory_order_relaxed);
}

const char *log_level_name(enum log_level level) {
    static const char *const names[] = {"debug", "info", "warn", "error", "nothing"};
    return (unsigned)level < sizeof(names) / sizeof(*names) ? names[level] : "unknown";
}

/* ---- a line ------------------------------------------------------------- */

bool log_begin(struct log_line *line, enum log_level level, const char *message) {
    line->thread = NULL;
    if (!log_enabled(level) || level >= LOG_NOTHING)
        return false;
    struct log_thread *t = my_thread();
    if (!t || t->in_line || !make_room(t)) {
        count_dropped(1);
        return false;
    }
    t->in_line = true;
    t->cut = false;
    t->out.size = t->out.len + LOG_LINE_MAX - LINE_END_MAX;
    *line = (struct log_line){
        .thread = t,
        .level = level,
        .format = (enum log_format)atomic_load_explicit(&format_now, memory_order_relaxed),
    };
    write_head(line, message);
    return true;
}

void log_end(struct log_line *line) {
    struct log_thread *t = line->thread;
    if (!t)
        return;
    t->out.size = sizeof(t->memory);
    write_end(line);
    t->in_line = false;
    line->thread = NULL;
    if (line->level >= LOG_WARN)
        flush(t);
}

void log_str(struct log_line *line, const char *key, const char *value) {
    if (value)
        log_bytes(line, key, bytes_of(value));
}

void log_bytes(struct log_line *line, const char *key, struct bytes value) {
    if (!line->thread)
        return;
    size_t before = begin_field(line, key);
    write_value(line, value);
    end_field(line, before);
}

void log_int(struct log_line *line, const char *key, int64_t value) {
    if (!line->thread)
        return;
    size_t before = begin_field(line, key);
    buf_int(&line->thread->out, value);
    end_field(line, before);
}

void log_uint(struct log_line *line, const char *key, uint64_t value) {
    if (!line->thread)
        return;
    size_t before = begin_field(line, key);
    buf_uint(&line->thread->out, value);
    end_field(line, before);
}

void log_bool(struct log_line *line, const char *key, bool value) {
    if (!line->thread)
        return;
    size_t before = begin_field(line, key);
    buf_string(&line->thread->out, value ? "true" : "false");
    end_field(line, before);
}

void log_dur(struct log_line *line, const char *key, uint64_t ns) {
    if (!line->thread)
        return;
    uint64_t us = ns / 1000;
    unsigned part = (unsigned)(us % 1000);
    char decimals[4] = {'.', (char)('0' + part / 100), (char)('0' + part / 10 % 10),
                        (char)('0' + part % 10)};
    size_t before = begin_field(line, key);
    buf_uint(&line->thread->out, us / 1000);
    buf_append(&line->thread->out, decimals, sizeof(decimals));
    end_field(line, before);
}

void log_message(enum log_level level, const char *format, ...) {
    if (!log_enabled(level))
        return;
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    struct log_line line;
    if (log_begin(&line, level, text))
        log_end(&line);
}

void log_raw(struct bytes line) {
    struct log_thread *t = my_thread();
    if (!t || t->in_line || line.len >= LOG_LINE_MAX || !make_room(t)) {
        count_dropped(1);
        return;
    }
    buf_bytes(&t->out, line);
    buf_char(&t->out, '\n');
}

/* ---- threads and flushing ------------------------------------------------ */

static struct log_thread *my_thread(void) {
    if (mine)
        return mine;
    pthread_once(&thread_key_once, make_thread_key);
    struct log_thread *t = malloc(sizeof(*t));
    if (!t || pthread_setspecific(thread_key, t) != 0) {
        free(t);
        return NULL;
    }
    t->in_line = t->cut = false;
    t->stamp_s = UINT64_MAX;
    buf_init_fixed(&t->out, t->memory, sizeof(t->memory));
    mine = t;
    return t;
}

static void make_thread_key(void) {
    pthread_key_create(&thread_key, end_thread);
}

static void end_thread(void *arg) {
    struct log_thread *t = arg;
    t->in_line = false;
    if (!flush(t))
        count_dropped(count_lines(&t->out));
    free(t);
    mine = NULL;
}

/* Whether the longest line still fits. */
static bool make_room(struct log_thread *t) {
    if (sizeof(t->memory) - t->out.len > LOG_LINE_MAX)
        return true;
    flush(t);
    return sizeof(t->memory) - t->out.len > LOG_LINE_MAX;
}

static bool flush(struct log_thread *t) {
    struct buf *out = &t->out;
    pthread_mutex_lock(&sink_lock);
    size_t done = tell_dropped() ? log_sink_put(&sink, out->at, out->len) : 0;
    pthread_mutex_unlock(&sink_lock);
    memmove(out->at, out->at + done, out->len - done);
    buf_truncate(out, out->len - done);
    return out->len == 0;
}

/* With the lock held. Says how many lines are missing before the first that
 * gets through; false when not even this one does. */
static bool tell_dropped(void) {
    uint64_t count = atomic_exchange_explicit(&dropped_untold, 0, memory_order_relaxed);
    if (!count)
        return true;
    char stamp[RFC3339_SIZE], text[160];
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    rfc3339_ms(stamp, (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000);
    bool json = atomic_load_explicit(&format_now, memory_order_relaxed) == LOG_JSON;
    int len = snprintf(text, sizeof(text),
                       json ? "{\"time\":\"%s\",\"level\":\"warn\","
                              "\"message\":\"log lines dropped\",\"dropped\":%llu}\n"
                            : "time=%s level=warn message=\"log lines dropped\" dropped=%llu\n",
                       stamp, (unsigned long long)count);
    if (log_sink_put(&sink, text, (size_t)len) > 0)
        return true;
    atomic_fetch_add_explicit(&dropped_untold, count, memory_order_relaxed);
    return false;
}

static void count_dropped(uint64_t lines) {
    if (!lines)
        return;
    atomic_fetch_add_explicit(&dropped_untold, lines, memory_order_relaxed);
    atomic_fetch_add_explicit(&dropped_ever, lines, memory_order_relaxed);
}

static uint64_t count_lines(const struct buf *b) {
    uint64_t lines = 0;
    for (size_t i = 0; i < b->len; i++)
        lines += b->at[i] == '\n';
    return lines;
}

/* ---- writing a line ------------------------------------------------------ */

static void write_head(struct log_line *line, const char *message) {
    struct buf *out = &line->thread->out;
    bool json = line->format == LOG_JSON;
    stamp_time(line->thread);
    if (json)
        buf_literal(out, "{\"time\":\"");
    else
        buf_literal(out, "time=");
    buf_append(out, line->thread->stamp, RFC3339_SIZE - 1);
    if (json)
        buf_literal(out, "\",\"level\":\"");
    else
        buf_literal(out, " level=");
    buf_string(out, log_level_name(line->level));
    if (json)
        buf_char(out, '"');
    log_str(line, "message", message);
}

static void write_end(struct log_line *line) {
    struct buf *out = &line->thread->out;
    bool json = line->format == LOG_JSON;
    if (line->thread->cut)
        buf_string(out, json ? ",\"cut\":true" : " cut=true");
    if (json)
        buf_literal(out, "}\n");
    else
        buf_char(out, '\n');
}

static void stamp_time(struct log_thread *t) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    unsigned ms = (unsigned)(now.tv_nsec / 1000000);
    if ((uint64_t)now.tv_sec != t->stamp_s) {
        t->stamp_s = (uint64_t)now.tv_sec;
        rfc3339_ms(t->stamp, t->stamp_s * 1000);
    }
    t->stamp[20] = (char)('0' + ms / 100);
    t->stamp[21] = (char)('0' + ms / 10 % 10);
    t->stamp[22] = (char)('0' + ms % 10);
}

static size_t begin_field(struct log_line *line, const char *key) {
    struct buf *out = &line->thread->out;
    size_t before = out->len;
    if (line->format == LOG_JSON) {
        buf_literal(out, ",\"");
        buf_string(out, key);
        buf_literal(out, "\":");
    } else {
        buf_char(out, ' ');
        buf_string(out, key);
        buf_char(out, '=');
    }
    return before;
}

static void end_field(struct log_line *line, size_t before) {
    struct buf *out = &line->thread->out;
    if (!out->failed)
        return;
    buf_truncate(out, before);
    out->failed = false;
    line->thread->cut = true;
}

/* Escaping may make a value six times as long, so a hostile one is halved
 * until its escaped form is within bounds and fits into the line: shortened,
 * and left out only where nearly nothing of it would fit. */
static void write_value(struct log_line *line, struct bytes value) {
    struct buf *out = &line->thread->out;
    struct bytes part = cut_at_character(value, LOG_VALUE_MAX);
    size_t before = out->len;
    while (!out->failed) {
        write_text(out, line->format, part, part.len < value.len);
        bool fits = !out->failed && out->len - before <= LOG_VALUE_MAX + VALUE_QUOTES;
        if (fits || part.len < VALUE_PART_MIN)
            return;
        buf_truncate(out, before);
        out->failed = false;
        part = cut_at_character(value, part.len / 2);
    }
}

static void write_text(struct buf *out, enum log_format format, struct bytes text, bool shortened) {
    if (format == LOG_LOGFMT && !shortened && is_plain_logfmt(text)) {
        buf_bytes(out, text);
        return;
    }
    buf_char(out, '"');
    json_escape(out, text);
    if (shortened)
        buf_literal(out, "…");
    buf_char(out, '"');
}

/* At most `len` bytes, not ending inside a UTF-8 character. */
static struct bytes cut_at_character(struct bytes b, size_t len) {
    return b.len <= len ? b : (struct bytes){b.at, utf8_cut(b.at, len)};
}

static bool is_plain_logfmt(struct bytes b) {
    for (size_t i = 0; i < b.len; i++) {
        unsigned char c = (unsigned char)b.at[i];
        if (c <= ' ' || c >= 0x7f || c == '"' || c == '=' || c == '\\')
            return false;
    }
    return b.len > 0;
}
