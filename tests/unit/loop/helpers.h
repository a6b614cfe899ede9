/* helpers.h - what the tests of the loop share: a stream that records what it
 * is told, and sockets to connect it with. */
#ifndef SWG_TESTS_LOOP_HELPERS_H
#define SWG_TESTS_LOOP_HELPERS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/io.h"
#include "loop/loop.h"

#define MS UINT64_C(1000000)

/* Turns until the condition holds; a bound, far beyond any machine's slowness,
 * instead of a hang. */
#define TURN_UNTIL(loop, condition)                            \
    do {                                                       \
        for (int left_ = 1000; !(condition); left_--) {        \
            if (!left_)                                        \
                fail_msg("did not come true: %s", #condition); \
            assert_int_equal(loop_turn(loop, 50), 0);          \
        }                                                      \
    } while (0)

/* Turns until nothing more comes by itself. */
static inline void turn_some(struct loop *loop) {
    for (int i = 0; i < 4; i++)
        assert_int_equal(loop_turn(loop, 0), 0);
}

struct recorder {
    struct io_stream stream;
    unsigned connects, drains, ends;
    enum io_end end; /* the last one */
    int error;
    size_t len; /* all that came */
    char data[4096];
    bool close_on_data, pause_on_data;
};

static inline struct recorder *recorder_of(struct io_stream *s) {
    return container_of(s, struct recorder, stream);
}

static inline void record_connect(struct io_stream *s) {
    recorder_of(s)->connects++;
}

static inline void record_data(struct io_stream *s, const char *data, size_t len) {
    struct recorder *r = recorder_of(s);
    assert_true(len > 0);
    for (size_t i = 0; i < len; i++)
        if (r->len + i < sizeof r->data)
            r->data[r->len + i] = data[i];
    r->len += len;
    if (r->pause_on_data)
        io_want_data(s, false);
    if (r->close_on_data)
        io_close(s);
}

static inline void record_drain(struct io_stream *s) {
    recorder_of(s)->drains++;
}

static inline void record_end(struct io_stream *s, enum io_end end, int os_error) {
    struct recorder *r = recorder_of(s);
    r->ends++;
    r->end = end;
    r->error = os_error;
}

static const struct io_stream_ops record_ops = {
    .on_connect = record_connect,
    .on_data = record_data,
    .on_drain = record_drain,
    .on_end = record_end,
};

static inline void recorder_init(struct recorder *r) {
    memset(r, 0, sizeof *r);
    io_stream_init(&r->stream, &record_ops);
}

static inline bool recorded(const struct recorder *r, const char *text) {
    return r->len == strlen(text) && memcmp(r->data, text, r->len) == 0;
}

static inline int send_text(struct io_stream *s, const char *text) {
    const struct iovec piece = {.iov_base = (char *)(uintptr_t)text, .iov_len = strlen(text)};
    return io_send(s, &piece, 1);
}

static inline void set_nonblocking(int fd) {
    assert_int_equal(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK), 0);
}

/* fds[0] for the loop (non-blocking), fds[1] for the test (blocking). */
static inline void make_unix_pair(int fds[2]) {
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    set_nonblocking(fds[0]);
}

/* A listening socket on 127.0.0.1 with a port of its own. */
static inline int listen_any(struct sockaddr_in *address) {
    socklen_t len = sizeof *address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001)};
    assert_int_equal(bind(fd, (struct sockaddr *)address, len), 0);
    assert_int_equal(listen(fd, 16), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)address, &len), 0);
    return fd;
}

static inline void make_tcp_pair(int fds[2]) {
    struct sockaddr_in address;
    int listener = listen_any(&address);
    fds[1] = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fds[1], (struct sockaddr *)&address, sizeof address), 0);
    fds[0] = accept(listener, NULL, NULL);
    assert_true(fds[0] >= 0);
    set_nonblocking(fds[0]);
    close(listener);
}

static inline void write_text(int fd, const char *text) {
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static inline void reset_and_close(int fd) {
    const struct linger reset = {.l_onoff = 1};
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset), 0);
    close(fd);
}

#endif
