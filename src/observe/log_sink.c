/* Standard error is usually shared: with the shell, with other processes of
 * the same terminal or container. O_NONBLOCK is a property of the shared open
 * file, so setting it would change the behaviour of programs that know nothing
 * of us. A pipe or a terminal can be opened once more through /proc, which
 * gives an open file of our own; a socket can be asked with MSG_DONTWAIT. What
 * we may not reopen (it belongs to another user) is polled before each write
 * of at most PIPE_BUF bytes, which a pipe that polls as writable takes whole;
 * only a stopped terminal of another user can still hold us up.
 *
 * A regular file is written to directly: it goes to the page cache. A disk
 * that hangs will hang the writer; logging to a pipe is the way around. */
#include "observe/log_sink.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static int open_standard(struct log_sink *, int fd);
static int open_file(struct log_sink *, const char *path);
static bool put_rest(struct log_sink *);
static size_t write_some(struct log_sink *, const char *data, size_t len);

int log_sink_open(struct log_sink *s, const char *path, bool *lost) {
    struct log_sink new = {.fd = -1};
    int error;
    if (!path || strcmp(path, "stderr") == 0)
        error = open_standard(&new, STDERR_FILENO);
    else if (strcmp(path, "stdout") == 0)
        error = open_standard(&new, STDOUT_FILENO);
    else
        error = open_file(&new, path);
    *lost = !error && s->rest_len > 0;
    if (error)
        return error;
    log_sink_close(s);
    s->fd = new.fd;
    s->owned = new.owned;
    s->kind = new.kind;
    return 0;
}

void log_sink_close(struct log_sink *s) {
    if (s->owned && s->fd >= 0)
        close(s->fd);
    s->fd = -1;
    s->owned = false;
    s->rest_len = 0;
}

size_t log_sink_put(struct log_sink *s, const char *lines, size_t len) {
    if (s->fd < 0 || !put_rest(s))
        return 0;
    size_t done = 0, n;
    while (done < len && (n = write_some(s, lines + done, len - done)) > 0)
        done += n;
    if (done == len || done == 0 || lines[done - 1] == '\n')
        return done;
    const char *end = memchr(lines + done, '\n', len - done);
    size_t rest = end ? (size_t)(end + 1 - (lines + done)) : len - done;
    if (rest > sizeof(s->rest))
        rest = sizeof(s->rest); /* only if a caller breaks the rule on length */
    memcpy(s->rest, lines + done, rest);
    s->rest_len = rest;
    return done + rest;
}

void log_sink_wait(struct log_sink *s, int timeout_ms) {
    struct pollfd p = {.fd = s->fd, .events = POLLOUT};
    poll(&p, 1, timeout_ms);
}

static int open_standard(struct log_sink *s, int fd) {
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -errno;
    s->fd = fd;
    if (S_ISREG(st.st_mode)) {
        s->kind = LOG_SINK_FILE;
    } else if (S_ISSOCK(st.st_mode)) {
        s->kind = LOG_SINK_SOCKET;
    } else {
        s->kind = LOG_SINK_POLLED;
        char path[32];
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        int own = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
        if (own >= 0) {
            s->fd = own;
            s->owned = true;
            s->kind = LOG_SINK_NONBLOCK;
        }
    }
    return 0;
}

static int open_file(struct log_sink *s, const char *path) {
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK | O_CLOEXEC | O_NOCTTY, 0640);
    if (fd < 0)
        return -errno;
    struct stat st;
    if (fstat(fd, &st) < 0) {
        int error = -errno;
        close(fd);
        return error;
    }
    s->fd = fd;
    s->owned = true;
    s->kind = S_ISREG(st.st_mode) ? LOG_SINK_FILE : LOG_SINK_NONBLOCK;
    return 0;
}

static bool put_rest(struct log_sink *s) {
    size_t done = 0, n;
    while (done < s->rest_len && (n = write_some(s, s->rest + done, s->rest_len - done)) > 0)
        done += n;
    memmove(s->rest, s->rest + done, s->rest_len - done);
    s->rest_len -= done;
    return s->rest_len == 0;
}

/* How much was taken now; 0 for later, and for any error: a full disk or a
 * reader gone may come back, and nobody could be told anyway. */
static size_t write_some(struct log_sink *s, const char *data, size_t len) {
    if (s->kind == LOG_SINK_POLLED) {
        struct pollfd p = {.fd = s->fd, .events = POLLOUT};
        if (poll(&p, 1, 0) != 1 || !(p.revents & POLLOUT))
            return 0;
        if (len > PIPE_BUF)
            len = PIPE_BUF;
    }
    ssize_t n;
    do {
        if (s->kind == LOG_SINK_SOCKET)
            n = send(s->fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
        else
            n = write(s->fd, data, len);
    } while (n < 0 && errno == EINTR);
    return n > 0 ? (size_t)n : 0;
}
