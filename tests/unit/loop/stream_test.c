/* Each test that does not say otherwise runs four times: over unix and TCP
 * sockets, each with whole and with partial reads and sends. */
#include "helpers.h"

#include <netinet/tcp.h>
#include <sys/un.h>
#include <time.h>

struct world {
    struct loop *loop;
    struct io *io;
    void (*make_pair)(int fds[2]);
    bool tcp, short_io;
};

static struct world world;

static void world_open(bool tcp, bool short_io) {
    if (short_io)
        setenv("SWITCHGEAR_TEST_SHORT_IO", "12345", 1);
    else
        unsetenv("SWITCHGEAR_TEST_SHORT_IO");
    assert_int_equal(loop_create(&world.loop), 0);
    world.io = loop_io(world.loop);
    world.make_pair = tcp ? make_tcp_pair : make_unix_pair;
    world.tcp = tcp;
    world.short_io = short_io;
}

static int open_unix(void **state) {
    (void)state;
    world_open(false, false);
    return 0;
}

static int open_unix_short(void **state) {
    (void)state;
    world_open(false, true);
    return 0;
}

static int open_tcp(void **state) {
    (void)state;
    world_open(true, false);
    return 0;
}

static int open_tcp_short(void **state) {
    (void)state;
    world_open(true, true);
    return 0;
}

static int world_close(void **state) {
    (void)state;
    loop_destroy(world.loop);
    return 0;
}

/* A recorder on the loop; returns the test's end. */
static int adopt(struct recorder *r) {
    int fds[2];
    world.make_pair(fds);
    recorder_init(r);
    assert_int_equal(io_adopt(world.io, &r->stream, fds[0]), 0);
    return fds[1];
}

/* ---- data and back-pressure ---------------------------------------------- */

static void data_comes_only_while_wanted(void **state) {
    struct recorder r;
    int peer = adopt(&r);
    (void)state;

    write_text(peer, "one");
    turn_some(world.loop);
    assert_int_equal(r.len, 0);
    io_want_data(&r.stream, true);
    assert_int_equal(r.len, 0); /* never inside the call */
    TURN_UNTIL(world.loop, recorded(&r, "one"));
    write_text(peer, "two");
    TURN_UNTIL(world.loop, recorded(&r, "onetwo"));
    io_want_data(&r.stream, false);
    write_text(peer, "three");
    turn_some(world.loop);
    assert_true(recorded(&r, "onetwo"));
    io_want_data(&r.stream, true);
    TURN_UNTIL(world.loop, recorded(&r, "onetwothree"));
    io_close(&r.stream);
    close(peer);
}

/* Nothing but the ready list keeps the loop awake here: the edge is long gone,
 * and a loop that forgot would sleep for ever. */
static void data_wanted_late_does_not_wait_for_an_event(void **state) {
    struct recorder r;
    int peer = adopt(&r);
    (void)state;

    write_text(peer, "x");
    turn_some(world.loop);
    io_want_data(&r.stream, true);
    assert_int_equal(loop_turn(world.loop, -1), 0);
    assert_true(recorded(&r, "x"));
    io_close(&r.stream);
    close(peer);
}

/* At an upgrade another process goes on with the socket. */
static void a_released_socket_keeps_what_was_not_read(void **state) {
    struct recorder r, next;
    int peer = adopt(&r);
    const struct iovec much = {calloc(1, 8 << 20), 8 << 20};
    (void)state;

    io_want_data(&r.stream, true);
    write_text(peer, "one");
    TURN_UNTIL(world.loop, recorded(&r, "one"));
    write_text(peer, "two"); /* noted perhaps, and not read */
    int fd = io_release(&r.stream);
    assert_true(fd >= 0);
    assert_false(io_is_open(&r.stream));
    assert_int_equal(io_release(&r.stream), -ENOTCONN);
    turn_some(world.loop);
    assert_true(recorded(&r, "one"));
    recorder_init(&next);
    assert_int_equal(io_adopt(loop_io(world.loop), &next.stream, fd), 0);
    io_want_data(&next.stream, true);
    TURN_UNTIL(world.loop, recorded(&next, "two"));
    assert_int_equal(io_send(&next.stream, &much, 1), 0);
    assert_int_equal(io_release(&next.stream), -EBUSY);
    assert_true(io_is_open(&next.stream));
    io_close(&next.stream);
    close(peer);
    free(much.iov_base);
}

static void a_pause_in_the_callback_keeps_the_rest(void **state) {
    struct recorder r;
    int peer = adopt(&r);
    static char much[300 * 1024];
    (void)state;

    /* More than one share of a turn, so that something is left to pause. */
    int size = sizeof much * 2;
    setsockopt(r.stream.fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    setsockopt(peer, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    ssize_t sent = send(peer, much, sizeof much, MSG_DONTWAIT);
    assert_true(sent > 100);
    r.pause_on_data = true;
    io_want_data(&r.stream, true);
    TURN_UNTIL(world.loop, r.len > 0);
    size_t first = r.len;
    turn_some(world.loop);
    assert_int_equal(r.len, first);
    r.pause_on_data = false;
    io_want_data(&r.stream, true);
    TURN_UNTIL(world.loop, r.len == (size_t)sent);
    io_close(&r.stream);
    close(peer);
}

static void pieces_are_sent_in_order(void **state) {
    struct recorder r;
    int peer = adopt(&r);
    char got[32];
    size_t len = 0;
    const struct iovec pieces[] = {{.iov_base = (char *)"", .iov_len = 0},
                                   {.iov_base = (char *)"one,", .iov_len = 4},
                                   {.iov_base = (char *)"two,", .iov_len = 4},
                                   {.iov_base = (char *)"", .iov_len = 0},
                                   {.iov_base = (char *)"three,and,four", .iov_len = 14}};
    (void)state;

    assert_int_equal(io_send(&r.stream, pieces, 5), 0);
    assert_int_equal(io_send(&r.stream, pieces, 1), 0); /* nothing at all */
    assert_int_equal(io_send(&r.stream, pieces, 0), 0);
    assert_int_equal(send_text(&r.stream, "!"), 0);
    while (len < 23) {
        turn_some(world.loop);
        ssize_t n = recv(peer, got + len, sizeof got - len, 0);
        assert_true(n > 0);
        len += (size_t)n;
    }
    assert_memory_equal(got, "one,two,three,and,four!", 23);
    turn_some(world.loop);
    assert_int_equal(io_pending(&r.stream), 0);
    assert_int_equal(r.drains, world.short_io ? r.drains : 0);
    io_close(&r.stream);
    close(peer);
}

static void more_pieces_than_the_kernel_takes(void **state) {
    enum { PIECES = 3000 };
    static struct iovec pieces[PIECES];
    static char letters[PIECES];
    struct recorder r;
    int peer = adopt(&r);
    char got[PIECES];
    size_t len = 0;
    (void)state;

    for (int i = 0; i < PIECES; i++) {
        letters[i] = (char)('a' + i % 26);
        pieces[i] = (struct iovec){&letters[i], 1};
    }
    assert_int_equal(io_send(&r.stream, pieces, PIECES), 0);
    while (len < PIECES) {
        turn_some(world.loop);
        ssize_t n = recv(peer, got + len, sizeof got - len, 0);
        assert_true(n > 0);
        len += (size_t)n;
    }
    assert_memory_equal(got, letters, PIECES);
    TURN_UNTIL(world.loop, r.drains == 1);
    io_close(&r.stream);
    close(peer);
}

/* Sends more than the kernel takes; the rest must come, once, and whole. */
static void what_the_kernel_does_not_take_is_kept(void **state) {
    enum { SIZE = 4 << 20, READ = 64 << 10 };
    struct recorder r;
    int peer = adopt(&r);
    char *data = malloc(SIZE), *got = malloc(2 * SIZE + READ);
    size_t len = 0;
    (void)state;

    for (int i = 0; i < SIZE; i++)
        data[i] = (char)(i * 31 + i / 977);
    /* So that the kernel takes the rest in several parts. */
    int small = 65536;
    setsockopt(r.stream.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    setsockopt(peer, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    size_t size = world.short_io ? 20000 : SIZE;
    const struct iovec piece = {data, size};
    assert_int_equal(io_send(&r.stream, &piece, 1), 0);
    assert_true(io_pending(&r.stream) > 0);
    memset(data, 0, 100); /* the caller's memory is free at once */
    assert_int_equal(r.drains, 0);
    /* What is sent meanwhile comes behind it. */
    const struct iovec half = {data + 100, size - 100};
    for (size_t total = size; len < total;) {
        assert_int_equal(loop_turn(world.loop, 0), 0);
        ssize_t n = recv(peer, got + len, READ, MSG_DONTWAIT);
        len += n > 0 ? (size_t)n : 0;
        if (total == size && r.stream.pending_off) {
            assert_int_equal(io_send(&r.stream, &half, 1), 0);
            total += half.iov_len;
        }
    }
    assert_int_equal(len, size + half.iov_len);
    TURN_UNTIL(world.loop, r.drains == 1);
    turn_some(world.loop);
    assert_int_equal(r.drains, 1);
    assert_int_equal(io_pending(&r.stream), 0);
    assert_null(r.stream.pending);
    for (size_t i = 0; i < len; i++) {
        int at = (int)(i < size ? i : i - size + 100);
        if (got[i] != (char)(at * 31 + at / 977))
            fail_msg("byte %zu is wrong", i);
    }
    io_close(&r.stream);
    close(peer);
    free(data);
    free(got);
}

/* A reader that takes a little is seen before the kernel asks for more. */
static void what_is_unsent_shrinks_as_the_other_side_reads(void **state) {
    enum { SIZE = 16 << 20, READ = 16 << 10 };
    struct recorder r;
    int peer = adopt(&r);
    char *data = calloc(1, SIZE);
    (void)state;

    assert_int_equal(io_unsent(&r.stream), 0);
    const struct iovec piece = {data, SIZE};
    assert_int_equal(io_send(&r.stream, &piece, 1), 0);
    for (int i = 0; i < 100; i++)
        assert_int_equal(loop_turn(world.loop, 0), 0); /* the kernel takes what it will */
    size_t pending = io_pending(&r.stream), before = io_unsent(&r.stream), left = before;
    assert_true(pending > 0 && before >= pending);
    for (size_t got = 0; left == before && got < SIZE;) {
        ssize_t n = recv(peer, data, READ, MSG_DONTWAIT);
        got += n > 0 ? (size_t)n : 0;
        left = io_unsent(&r.stream);
    }
    assert_true(left < before);
    assert_int_equal(io_pending(&r.stream), pending); /* no turn of the loop was needed */
    io_close(&r.stream);
    assert_int_equal(io_unsent(&r.stream), 0);
    close(peer);
    free(data);
}

static void a_send_too_large_to_count_sends_nothing(void **state) {
    struct recorder r;
    int peer = adopt(&r);
    char byte;
    const struct iovec pieces[] = {{&byte, SIZE_MAX}, {&byte, 2}};
    (void)state;

    assert_int_equal(io_send(&r.stream, pieces, 2), -ENOMEM);
    assert_int_equal(recv(peer, &byte, 1, MSG_DONTWAIT), -1);
    io_close(&r.stream);
    close(peer);
}

/* ---- ends ---------------------------------------------------------------- */

static void eof_comes_after_the_last_byte_and_once(void **state) {
    struct recorder r;
    int peer = adopt(&r);
    char got[8];
    (void)state;

    io_want_data(&r.stream, true);
    write_text(peer, "last words");
    shutdown(peer, SHUT_WR);
    TURN_UNTIL(world.loop, r.ends);
    assert_int_equal(r.end, IO_END_EOF);
    assert_true(recorded(&r, "last words"));
    /* The other direction still works. */
    assert_int_equal(send_text(&r.stream, "yes?"), 0);
    turn_some(world.loop);
    assert_true(recv(peer, got, sizeof got, 0) > 0);
    io_want_data(&r.stream, false);
    io_want_data(&r.stream, true);
    turn_some(world.loop);
    assert_int_equal(r.ends, 1);
    io_close(&r.stream);
    close(peer);
}

static void eof_is_told_early_while_reading_is_not_wanted(void **state) {
    struct recorder r;
    int peer = adopt(&r);
    (void)state;

    write_text(peer, "unread");
    shutdown(peer, SHUT_WR);
    TURN_UNTIL(world.loop, r.ends);
    assert_int_equal(r.end, IO_END_EOF);
    assert_int_equal(r.len, 0);
    io_want_data(&r.stream, true); /* for a moment only: not a reason to repeat it */
    io_want_data(&r.stream, false);
    turn_some(world.loop);
    assert_int_equal(r.ends, 1);
    io_want_data(&r.stream, true);
    TURN_UNTIL(world.loop, r.ends == 2);
    assert_true(recorded(&r, "unread"));
    assert_int_equal(r.end, IO_END_EOF);
    turn_some(world.loop);
    assert_int_equal(r.ends, 2);
    io_close(&r.stream);
    close(peer);
}

static void a_peer_that_closes_wholly_is_an_eof(void **state) {
    struct recorder r;
    int peer = adopt(&r);
    (void)state;

    io_want_data(&r.stream, true);
    write_text(peer, "answer");
    close(peer);
    TURN_UNTIL(world.loop, r.ends);
    assert_int_equal(r.end, IO_END_EOF);
    assert_true(recorded(&r, "answer"));
    io_close(&r.stream);
}

/* TCP: RST. Unix: the peer closes without having read what we sent. */
static void reset_peer(struct recorder *r, int peer) {
    assert_int_equal(send_text(&r->stream, "never read"), 0);
    if (world.tcp)
        reset_and_close(peer);
    else
        close(peer);
}

static void a_reset_comes_after_the_bytes_before_it(void **state) {
    struct recorder r;
    int peer = adopt(&r);
    (void)state;

    write_text(peer, "413 go away");
    turn_some(world.loop);
    reset_peer(&r, peer);
    io_want_data(&r.stream, true);
    TURN_UNTIL(world.loop, r.ends);
    assert_int_equal(r.end, IO_END_RESET);
    assert_int_equal(r.error, ECONNRESET);
    turn_some(world.loop);
    assert_int_equal(r.ends, 1);
    assert_int_equal(send_text(&r.stream, "x"), 0); /* dropped */
    assert_int_equal(io_pending(&r.stream), 0);
    turn_some(world.loop);
    assert_int_equal(r.ends, 1);
    if (!world.tcp || r.len) /* TCP may drop what was received; unix may not */
        assert_true(recorded(&r, "413 go away"));
    io_close(&r.stream);
}

static void a_reset_is_told_while_reading_is_not_wanted(void **state) {
    struct recorder r;
    int peer = adopt(&r);
    (void)state;

    reset_peer(&r, peer);
    TURN_UNTIL(world.loop, r.ends && r.end == IO_END_RESET);
    assert_true(r.error == ECONNRESET || (world.short_io && r.error == EPIPE));
    io_close(&r.stream);
}

/* The error of a send is not told inside it, and the answer is read before. */
static void a_failed_send_does_not_hide_the_answer(void **state) {
    struct recorder r;
    int peer = adopt(&r);
    (void)state;

    io_want_data(&r.stream, true);
    write_text(peer, "too large");
    close(peer);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(send_text(&r.stream, "body"), 0);
        assert_int_equal(r.ends, 0);
    }
    TURN_UNTIL(world.loop, r.ends && r.end == IO_END_RESET);
    assert_true(recorded(&r, "too large"));
    io_close(&r.stream);
}

static void a_failed_send_is_told_without_reading(void **state) {
    struct recorder r;
    int peer = adopt(&r);
    (void)state;

    shutdown(r.stream.fd, SHUT_WR); /* the quickest way to EPIPE */
    assert_int_equal(send_text(&r.stream, "x"), 0);
    assert_int_equal(r.ends, 0);
    assert_int_equal(loop_turn(world.loop, -1), 0);
    assert_int_equal(r.ends, 1);
    assert_int_equal(r.end, IO_END_RESET);
    assert_int_equal(r.error, EPIPE);
    io_close(&r.stream);
    close(peer);
}

/* An answer that ended well is not spoilt by a request that did not get through:
 * first its EOF, then the reset. */
static void a_failed_send_does_not_hide_the_eof(void **state) {
    struct recorder r;
    int peer = adopt(&r);
    (void)state;

    write_text(peer, "whole");
    shutdown(peer, SHUT_WR);
    shutdown(r.stream.fd, SHUT_WR);
    assert_int_equal(send_text(&r.stream, "x"), 0);
    io_want_data(&r.stream, true);
    TURN_UNTIL(world.loop, r.ends && r.end == IO_END_RESET);
    assert_int_equal(r.ends, 2);
    assert_true(recorded(&r, "whole"));
    io_close(&r.stream);
    close(peer);
}

static int answering_peer;

static void fail_while_more_comes(struct io_stream *s, const char *data, size_t len) {
    if (!recorder_of(s)->len) {
        write_text(answering_peer, "second");
        shutdown(s->fd, SHUT_WR);
        assert_int_equal(send_text(s, "x"), 0);
    }
    record_data(s, data, len);
}

static const struct io_stream_ops failing_ops = {
    .on_connect = record_connect,
    .on_data = fail_while_more_comes,
    .on_drain = record_drain,
    .on_end = record_end,
};

/* Bytes that came after the last event, which nobody has reported yet. */
static void a_failed_send_does_not_hide_what_came_just_now(void **state) {
    struct recorder r;
    (void)state;

    answering_peer = adopt(&r);
    r.stream.ops = &failing_ops;
    io_want_data(&r.stream, true);
    write_text(answering_peer, "first,");
    TURN_UNTIL(world.loop, r.ends);
    assert_int_equal(r.end, IO_END_RESET);
    assert_true(recorded(&r, "first,second"));
    io_close(&r.stream);
    close(answering_peer);
}

static void shut_waits_for_what_is_pending(void **state) {
    enum { SIZE = 1 << 20 };
    struct recorder r;
    int peer = adopt(&r);
    char *data = calloc(1, SIZE);
    size_t len = 0, size = world.short_io ? 20000 : SIZE;
    const struct iovec piece = {data, size};
    ssize_t n;
    (void)state;

    assert_int_equal(io_send(&r.stream, &piece, 1), 0);
    io_shut(&r.stream);
    set_nonblocking(peer);
    while ((n = recv(peer, data, SIZE, 0)) != 0) {
        len += n > 0 ? (size_t)n : 0;
        assert_int_equal(loop_turn(world.loop, 0), 0);
    }
    assert_int_equal(len, size);
    io_close(&r.stream);
    close(peer);
    free(data);
}

static void abort_resets(void **state) {
    struct recorder r;
    int peer = adopt(&r);
    char byte;
    (void)state;

    io_abort(&r.stream);
    assert_false(io_is_open(&r.stream));
    ssize_t n = recv(peer, &byte, 1, 0);
    if (world.tcp)
        assert_true(n == -1 && errno == ECONNRESET);
    else
        assert_int_equal(n, 0);
    close(peer);
}

/* ---- closing in callbacks; the memory goes at once, for ASan to see ------- */

static void close_and_free(struct io_stream *s, const char *data, size_t len) {
    (void)data;
    (void)len;
    io_close(s);
    free(recorder_of(s));
}

static void end_and_free(struct io_stream *s, enum io_end end, int error) {
    (void)end;
    (void)error;
    io_close(s);
    free(recorder_of(s));
}

static const struct io_stream_ops freeing_ops = {
    .on_connect = record_connect,
    .on_data = close_and_free,
    .on_drain = record_drain,
    .on_end = end_and_free,
};

static int adopt_on_heap(struct recorder **out, const struct io_stream_ops *ops) {
    *out = malloc(sizeof **out);
    int peer = adopt(*out);
    (*out)->stream.ops = ops;
    return peer;
}

static void a_stream_may_be_freed_in_its_own_callback(void **state) {
    struct recorder *r;
    (void)state;

    int peer = adopt_on_heap(&r, &freeing_ops);
    io_want_data(&r->stream, true);
    write_text(peer, "bye");
    shutdown(peer, SHUT_WR); /* and the EOF must find nobody */
    turn_some(world.loop);
    close(peer);
    peer = adopt_on_heap(&r, &freeing_ops);
    close(peer);
    turn_some(world.loop);
}

static struct recorder *victims[3];
static int told_victims;

static void free_all(struct io_stream *s, const char *data, size_t len) {
    (void)s;
    (void)data;
    (void)len;
    told_victims++;
    for (int i = 0; i < 3; i++) {
        io_close(&victims[i]->stream);
        free(victims[i]);
    }
}

static const struct io_stream_ops free_all_ops = {
    .on_connect = record_connect,
    .on_data = free_all,
    .on_drain = record_drain,
    .on_end = end_and_free,
};

static void streams_of_the_same_batch_may_be_freed(void **state) {
    int peers[3];
    (void)state;

    told_victims = 0;
    for (int i = 0; i < 3; i++) {
        peers[i] = adopt_on_heap(&victims[i], &free_all_ops);
        io_want_data(&victims[i]->stream, true);
        write_text(peers[i], "x");
    }
    turn_some(world.loop);
    assert_int_equal(told_victims, 1);
    for (int i = 0; i < 3; i++)
        close(peers[i]);
}

/* A pool takes the memory of a closed connection for a new one at once. */
static struct recorder reused;
static int reused_fd;

static void close_and_adopt(struct io_stream *s, const char *data, size_t len) {
    (void)data;
    (void)len;
    io_close(s);
    recorder_init(&reused);
    assert_int_equal(io_adopt(world.io, s, reused_fd), 0);
}

static const struct io_stream_ops reusing_ops = {
    .on_connect = record_connect,
    .on_data = close_and_adopt,
    .on_drain = record_drain,
    .on_end = record_end,
};

static void memory_may_be_used_for_another_connection_at_once(void **state) {
    int fds[2];
    (void)state;

    int peer = adopt(&reused);
    reused.stream.ops = &reusing_ops;
    world.make_pair(fds);
    reused_fd = fds[0];
    io_want_data(&reused.stream, true);
    write_text(peer, "old");
    shutdown(peer, SHUT_WR);
    turn_some(world.loop);
    assert_int_equal(reused.stream.fd, fds[0]);
    assert_int_equal(reused.ends, 0); /* the old one's EOF is not the new one's */
    assert_int_equal(reused.len, 0);
    io_want_data(&reused.stream, true);
    write_text(fds[1], "new");
    TURN_UNTIL(world.loop, recorded(&reused, "new"));
    io_close(&reused.stream);
    close(peer);
    close(fds[1]);
}

static void close_is_harmless_twice_and_on_what_never_was_open(void **state) {
    struct recorder r;
    (void)state;

    recorder_init(&r);
    io_close(&r.stream);
    io_abort(&r.stream);
    int peer = adopt(&r);
    io_want_data(&r.stream, true);
    assert_int_equal(send_text(&r.stream, "x"), 0);
    io_close(&r.stream);
    io_close(&r.stream);
    assert_int_equal(send_text(&r.stream, "x"), 0);
    io_want_data(&r.stream, true);
    io_shut(&r.stream);
    turn_some(world.loop);
    assert_int_equal(r.ends + r.len, 0);
    close(peer);
}

/* ---- sending up to a certain time ------------------------------------------- */

static uint64_t boot_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void nothing_is_sent_when_it_is_too_late(void **state) {
    struct recorder r;
    char got[8] = "";
    int peer = adopt(&r);
    (void)state;

    r.stream.send_until_ns = boot_ns() + 3600 * 1000000000ull;
    assert_int_equal(send_text(&r.stream, "in time"), 0);
    TURN_UNTIL(world.loop, io_pending(&r.stream) == 0);
    assert_int_equal(recv(peer, got, 7, MSG_WAITALL), 7);
    r.stream.send_until_ns = boot_ns();
    assert_int_equal(send_text(&r.stream, "too late"), 0);
    TURN_UNTIL(world.loop, r.ends);
    assert_int_equal(r.error, ETIMEDOUT);
    assert_int_equal(recv(peer, got, sizeof got, MSG_DONTWAIT), -1);
    io_close(&r.stream);
    close(peer);
}

/* ---- connecting ---------------------------------------------------------- */

/* A listener of the world's kind. */
static int listen_world(struct sockaddr_storage *address, socklen_t *len) {
    if (world.tcp) {
        *len = sizeof(struct sockaddr_in);
        return listen_any((struct sockaddr_in *)address);
    }
    /* bind() without a path makes an abstract name. */
    *address = (struct sockaddr_storage){.ss_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)address, sizeof(sa_family_t)), 0);
    assert_int_equal(listen(fd, 16), 0);
    *len = sizeof *address;
    assert_int_equal(getsockname(fd, (struct sockaddr *)address, len), 0);
    return fd;
}

static void connect_keeps_what_is_sent_before(void **state) {
    struct sockaddr_storage address;
    struct recorder r;
    socklen_t len;
    char got[16] = "";
    int on = 0;
    socklen_t on_len = sizeof on;
    int listener = listen_world(&address, &len);
    (void)state;

    recorder_init(&r);
    assert_int_equal(io_connect(world.io, &r.stream, (struct sockaddr *)&address, len), 0);
    assert_int_equal(send_text(&r.stream, "hel"), 0);
    assert_int_equal(send_text(&r.stream, "lo"), 0);
    io_shut(&r.stream);
    assert_int_equal(r.connects, 0);
    assert_int_equal(io_pending(&r.stream), 5);
    int peer = accept(listener, NULL, NULL);
    TURN_UNTIL(world.loop, r.drains);
    assert_int_equal(r.connects, 1);
    assert_int_equal(r.drains, 1);
    assert_int_equal(recv(peer, got, sizeof got, MSG_WAITALL), 5); /* ended by the shut */
    assert_string_equal(got, "hello");
    if (world.tcp) {
        assert_int_equal(getsockopt(r.stream.fd, IPPROTO_TCP, TCP_NODELAY, &on, &on_len), 0);
        assert_int_equal(on, 1);
    }
    io_want_data(&r.stream, true);
    write_text(peer, "welcome");
    TURN_UNTIL(world.loop, recorded(&r, "welcome"));
    io_close(&r.stream);
    close(peer);
    close(listener);
}

/* As after a process was stopped: connected, and only then is it looked at the clock. */
static void what_was_kept_is_not_sent_too_late(void **state) {
    struct sockaddr_storage address;
    struct recorder r;
    socklen_t len;
    char got[16];
    int listener = listen_world(&address, &len);
    (void)state;

    recorder_init(&r);
    assert_int_equal(io_connect(world.io, &r.stream, (struct sockaddr *)&address, len), 0);
    r.stream.send_until_ns = boot_ns();
    assert_int_equal(send_text(&r.stream, "pay"), 0);
    int peer = accept(listener, NULL, NULL);
    TURN_UNTIL(world.loop, r.ends);
    assert_int_equal(r.error, ETIMEDOUT);
    io_close(&r.stream);
    assert_int_equal(recv(peer, got, sizeof got, MSG_WAITALL), 0);
    close(peer);
    close(listener);
}

static void shut_before_the_connect_with_nothing_sent(void **state) {
    struct sockaddr_storage address;
    struct recorder r;
    socklen_t len;
    char byte;
    int listener = listen_world(&address, &len);
    (void)state;

    recorder_init(&r);
    assert_int_equal(io_connect(world.io, &r.stream, (struct sockaddr *)&address, len), 0);
    io_shut(&r.stream);
    TURN_UNTIL(world.loop, r.connects);
    int peer = accept(listener, NULL, NULL);
    assert_int_equal(recv(peer, &byte, 1, MSG_DONTWAIT), 0);
    io_close(&r.stream);
    close(peer);
    close(listener);
}

static void a_refusal_is_told_later_and_alone(void **state) {
    struct sockaddr_storage address;
    struct recorder r;
    socklen_t len;
    int listener = listen_world(&address, &len);
    (void)state;

    close(listener);
    recorder_init(&r);
    assert_int_equal(io_connect(world.io, &r.stream, (struct sockaddr *)&address, len), 0);
    assert_int_equal(send_text(&r.stream, "lost"), 0);
    io_want_data(&r.stream, true);
    assert_int_equal(r.ends, 0);
    TURN_UNTIL(world.loop, r.ends);
    turn_some(world.loop);
    assert_int_equal(r.end, IO_END_REFUSED);
    assert_int_equal(r.error, ECONNREFUSED);
    assert_int_equal(r.ends, 1);
    assert_int_equal(r.connects + r.drains, 0);
    assert_int_equal(io_pending(&r.stream), 0);
    io_close(&r.stream);
}

static void a_connect_may_be_given_up(void **state) {
    struct sockaddr_storage address;
    struct recorder *r = malloc(sizeof *r);
    socklen_t len;
    int listener = listen_world(&address, &len);
    (void)state;

    recorder_init(r);
    assert_int_equal(io_connect(world.io, &r->stream, (struct sockaddr *)&address, len), 0);
    assert_int_equal(send_text(&r->stream, "never mind"), 0);
    io_close(&r->stream);
    free(r);
    turn_some(world.loop);
    close(listener);
}

static void a_family_the_kernel_lacks_is_an_error_at_once(void **state) {
    const struct sockaddr strange = {.sa_family = 255};
    struct recorder r;
    (void)state;

    recorder_init(&r);
    assert_int_equal(io_connect(world.io, &r.stream, &strange, sizeof strange), -EAFNOSUPPORT);
    assert_false(io_is_open(&r.stream));
    turn_some(world.loop);
    assert_int_equal(r.ends, 0);
}

static void adopting_what_is_no_socket_fails(void **state) {
    struct recorder r;
    int fd = open("/dev/null", O_RDWR);
    (void)state;

    close(fd);
    recorder_init(&r);
    assert_int_equal(io_adopt(world.io, &r.stream, fd), -EBADF);
    assert_false(io_is_open(&r.stream));
}

static void a_stream_is_small(void **state) {
    (void)state;
    assert_true(sizeof(struct io_stream) <= 96);
}

/* ---- fairness ------------------------------------------------------------ */

static void a_flood_does_not_keep_others_waiting(void **state) {
    static char flood[2 << 20];
    struct recorder heavy, light;
    int peers[2];
    (void)state;

    peers[0] = adopt(&heavy);
    peers[1] = adopt(&light);
    int size = sizeof flood;
    setsockopt(heavy.stream.fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    setsockopt(peers[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    io_want_data(&heavy.stream, true);
    io_want_data(&light.stream, true);
    turn_some(world.loop);
    ssize_t sent = send(peers[0], flood, sizeof flood, MSG_DONTWAIT);
    assert_true(sent > 0);
    write_text(peers[1], "me too");
    loop_turn(world.loop, 1000);
    loop_turn(world.loop, 1000);
    assert_true(recorded(&light, "me too"));
    assert_true(heavy.len <= 2 * 256 * 1024);
    TURN_UNTIL(world.loop, heavy.len == (size_t)sent);
    io_close(&heavy.stream);
    io_close(&light.stream);
    close(peers[0]);
    close(peers[1]);
}

#define EACH_WAY(test)                                                      \
    {#test " (unix)", test, open_unix, world_close, NULL},                  \
        {#test " (unix, short)", test, open_unix_short, world_close, NULL}, \
        {#test " (tcp)", test, open_tcp, world_close, NULL}, {              \
#test " (tcp, short)", test, open_tcp_short, world_close, NULL      \
    }

int main(void) {
    const struct CMUnitTest tests[] = {
        EACH_WAY(data_comes_only_while_wanted),
        EACH_WAY(data_wanted_late_does_not_wait_for_an_event),
        EACH_WAY(a_released_socket_keeps_what_was_not_read),
        EACH_WAY(a_pause_in_the_callback_keeps_the_rest),
        EACH_WAY(pieces_are_sent_in_order),
        EACH_WAY(more_pieces_than_the_kernel_takes),
        EACH_WAY(what_the_kernel_does_not_take_is_kept),
        EACH_WAY(what_is_unsent_shrinks_as_the_other_side_reads),
        EACH_WAY(a_send_too_large_to_count_sends_nothing),
        EACH_WAY(eof_comes_after_the_last_byte_and_once),
        EACH_WAY(eof_is_told_early_while_reading_is_not_wanted),
        EACH_WAY(a_peer_that_closes_wholly_is_an_eof),
        EACH_WAY(a_reset_comes_after_the_bytes_before_it),
        EACH_WAY(a_reset_is_told_while_reading_is_not_wanted),
        EACH_WAY(a_failed_send_does_not_hide_the_answer),
        EACH_WAY(a_failed_send_does_not_hide_the_eof),
        EACH_WAY(a_failed_send_does_not_hide_what_came_just_now),
        EACH_WAY(a_failed_send_is_told_without_reading),
        EACH_WAY(shut_waits_for_what_is_pending),
        EACH_WAY(abort_resets),
        EACH_WAY(a_stream_may_be_freed_in_its_own_callback),
        EACH_WAY(streams_of_the_same_batch_may_be_freed),
        EACH_WAY(memory_may_be_used_for_another_connection_at_once),
        EACH_WAY(close_is_harmless_twice_and_on_what_never_was_open),
        EACH_WAY(connect_keeps_what_is_sent_before),
        EACH_WAY(nothing_is_sent_when_it_is_too_late),
        EACH_WAY(what_was_kept_is_not_sent_too_late),
        EACH_WAY(shut_before_the_connect_with_nothing_sent),
        EACH_WAY(a_refusal_is_told_later_and_alone),
        EACH_WAY(a_connect_may_be_given_up),
        EACH_WAY(a_family_the_kernel_lacks_is_an_error_at_once),
        EACH_WAY(adopting_what_is_no_socket_fails),
        EACH_WAY(a_stream_is_small),
        EACH_WAY(a_flood_does_not_keep_others_waiting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
