/* A relay between a fast source and a slow sink, both on the loop: all that
 * goes in comes out, and in between never more is kept than one read. */
#include "helpers.h"

#include <pthread.h>

struct relay {
    struct io_stream source, sink;
    size_t passed, kept_most;
    bool done;
};

static uint64_t mix(uint64_t sum, const char *data, size_t len) {
    for (size_t i = 0; i < len; i++)
        sum = (sum ^ (unsigned char)data[i]) * UINT64_C(1099511628211);
    return sum;
}

static void source_data(struct io_stream *s, const char *data, size_t len) {
    struct relay *r = container_of(s, struct relay, source);
    const struct iovec piece = {(char *)(uintptr_t)data, len};
    assert_int_equal(io_send(&r->sink, &piece, 1), 0);
    r->passed += len;
    if (io_pending(&r->sink) > r->kept_most)
        r->kept_most = io_pending(&r->sink);
    if (io_pending(&r->sink))
        io_want_data(s, false);
}

static void source_end(struct io_stream *s, enum io_end end, int error) {
    struct relay *r = container_of(s, struct relay, source);
    assert_int_equal(end, IO_END_EOF);
    assert_int_equal(error, 0);
    /* Told early while paused; the one that counts comes after the last byte. */
    if (!io_pending(&r->sink))
        io_shut(&r->sink);
}

static void sink_drain(struct io_stream *s) {
    struct relay *r = container_of(s, struct relay, sink);
    io_want_data(&r->source, true);
}

static void sink_data(struct io_stream *s, const char *data, size_t len) {
    (void)s;
    (void)data;
    (void)len;
    fail_msg("the sink sends nothing");
}

static void sink_end(struct io_stream *s, enum io_end end, int error) {
    (void)error;
    assert_int_equal(end, IO_END_EOF);
    container_of(s, struct relay, sink)->done = true;
}

static void unexpected(struct io_stream *s) {
    (void)s;
    fail_msg("not expected");
}

static const struct io_stream_ops source_ops = {unexpected, source_data, unexpected, source_end};
static const struct io_stream_ops sink_ops = {unexpected, sink_data, sink_drain, sink_end};

struct far_end {
    int fd;
    size_t bytes;
    uint64_t sum;
};

static void *produce(void *arg) {
    struct far_end *p = arg;
    static char block[100003];
    uint32_t x = 99;

    for (size_t left = p->bytes; left;) {
        size_t len = left < sizeof block ? left : sizeof block;
        for (size_t i = 0; i < len; i++)
            block[i] = (char)((x = x * 1664525 + 1013904223) >> 24);
        for (size_t sent = 0; sent < len;) {
            ssize_t n = write(p->fd, block + sent, len - sent);
            assert_true(n > 0);
            sent += (size_t)n;
        }
        p->sum = mix(p->sum, block, len);
        left -= len;
    }
    shutdown(p->fd, SHUT_WR);
    return NULL;
}

static void *consume(void *arg) {
    struct far_end *c = arg;
    static char block[30011]; /* less than a read of the relay */
    ssize_t n;

    while ((n = read(c->fd, block, sizeof block)) > 0) {
        c->sum = mix(c->sum, block, (size_t)n);
        c->bytes += (size_t)n;
    }
    close(c->fd);
    return NULL;
}

static void relay(void (*make_pair)(int fds[2]), size_t bytes) {
    struct relay r = {.passed = 0};
    struct far_end producer = {.bytes = bytes}, consumer = {.bytes = 0};
    struct loop *loop;
    pthread_t threads[2];
    int in[2], out[2];

    assert_int_equal(loop_create(&loop), 0);
    make_pair(in);
    make_pair(out);
    producer.fd = in[1];
    consumer.fd = out[1];
    io_stream_init(&r.source, &source_ops);
    io_stream_init(&r.sink, &sink_ops);
    assert_int_equal(io_adopt(loop_io(loop), &r.source, in[0]), 0);
    assert_int_equal(io_adopt(loop_io(loop), &r.sink, out[0]), 0);
    io_want_data(&r.source, true);
    io_want_data(&r.sink, true);
    pthread_create(&threads[0], NULL, produce, &producer);
    pthread_create(&threads[1], NULL, consume, &consumer);
    while (!r.done)
        assert_int_equal(loop_turn(loop, -1), 0);
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    assert_int_equal(r.passed, bytes);
    assert_int_equal(consumer.bytes, bytes);
    assert_true(consumer.sum == producer.sum);
    assert_true(r.kept_most <= 256 * 1024);
    io_close(&r.source);
    io_close(&r.sink);
    close(in[1]);
    loop_destroy(loop);
}

static void large_over_tcp(void **state) {
    (void)state;
    unsetenv("SWITCHGEAR_TEST_SHORT_IO");
    relay(make_tcp_pair, 64 << 20);
}

static void large_over_unix(void **state) {
    (void)state;
    unsetenv("SWITCHGEAR_TEST_SHORT_IO");
    relay(make_unix_pair, 64 << 20);
}

static void with_partial_reads_and_sends(void **state) {
    (void)state;
    setenv("SWITCHGEAR_TEST_SHORT_IO", "4711", 1);
    relay(make_tcp_pair, 100000);
    relay(make_unix_pair, 100000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(large_over_tcp),
        cmocka_unit_test(large_over_unix),
        cmocka_unit_test(with_partial_reads_and_sends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
