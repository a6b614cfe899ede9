/* check.c - see check.h. */
#include "gateway/checks/check.h"

#include "gateway/target.h"

static const struct io_stream_ops check_ops;

static const struct check_wire *const wires[] = {
    [HEALTH_CHECK_HTTP] = &check_http,   [HEALTH_CHECK_TCP] = &check_tcp,
    [HEALTH_CHECK_REDIS] = &check_redis, [HEALTH_CHECK_POSTGRES] = &check_postgres,
    [HEALTH_CHECK_SQL] = NULL,
};

enum health_check check_kind_of(const struct health_options *o, const struct endpoint_options *e) {
    (void)e;
    return o->check != HEALTH_CHECK_AUTO ? o->check : HEALTH_CHECK_HTTP;
}

const char *check_kind_word(enum health_check kind) {
    static const char *const words[] = {"auto", "http", "tcp", "redis", "postgres", "sql"};
    return words[kind];
}

/* ---- begin and end -------------------------------------------------------------- */

static void give_up(struct check *c) {
    c->under_way = false;
    io_close(&c->stream);
    io_timer_clear(c->io, &c->limit);
    buf_free(&c->in);
    check_sql_stop(c);
}

void check_end(struct check *c, struct check_verdict v) {
    if (!c->under_way)
        return;
    if (v.state == HEALTH_GOOD && c->wire && c->wire->leave.len) {
        struct iovec iov = {(void *)(uintptr_t)c->wire->leave.at, c->wire->leave.len};
        (void)!io_send(&c->stream, &iov, 1); /* goes to the kernel at once, or not at all */
    }
    give_up(c);
    c->done(c, &v);
}

void check_stop(struct check *c) {
    if (c->under_way)
        give_up(c);
}

static void on_limit(struct io_timer *t) {
    check_end(container_of(t, struct check, limit), check_bad("timeout"));
}

void check_init(struct check *c, struct io *io,
                void (*done)(struct check *, const struct check_verdict *)) {
    *c = (struct check){.io = io, .done = done};
    io_stream_init(&c->stream, &check_ops);
    io_timer_init(&c->limit, on_limit);
    buf_init(&c->in, CHECK_ANSWER_MAX);
}

/* ---- over a connection ------------------------------------------------------------ */

static bool send_question(struct check *c) {
    char memory[CHECK_QUESTION_MAX];
    struct buf b;
    buf_init_fixed(&b, memory, sizeof memory);
    c->wire->ask(&c->subject, &b);
    struct iovec iov = {b.at, b.len};
    bool sent = !b.failed && io_send(&c->stream, &iov, 1) == 0;
    explicit_bzero(memory, sizeof memory); /* it may hold a password */
    return sent;
}

/* False, with the reason, where nothing is under way. */
static bool connect_to(struct check *c, struct check_verdict *v) {
    struct sockaddr_storage address;
    socklen_t len;
    *v = check_bad("no_address");
    if (!c->subject.target || !target_pick_address(c->subject.target, &address, &len))
        return false;
    *v = (struct check_verdict){HEALTH_UNKNOWN, 0, "local"}; /* our fault says nothing of it */
    io_stream_init(&c->stream, &check_ops);
    if (io_connect(c->io, &c->stream, (struct sockaddr *)&address, len) < 0)
        return false;
    io_want_data(&c->stream, true);
    return true;
}

void check_start(struct check *c, const struct check_subject *subject) {
    struct check_verdict v = {HEALTH_UNKNOWN, 0, "local"};
    uint64_t deadline_ns = io_now(c->io) + subject->options->timeout_ns;
    c->subject = *subject;
    c->wire = wires[check_kind_of(subject->options, subject->endpoint)];
    c->under_way = true;
    io_timer_set(c->io, &c->limit, deadline_ns);
    if (!(c->wire ? connect_to(c, &v) : check_sql_start(c, deadline_ns)))
        check_end(c, v);
}

static void on_connect(struct io_stream *s) {
    struct check *c = container_of(s, struct check, stream);
    if (!c->wire->ask)
        check_end(c, check_good(0));
    else if (!send_question(c))
        check_end(c, (struct check_verdict){HEALTH_UNKNOWN, 0, "local"});
}

static void on_data(struct io_stream *s, const char *data, size_t len) {
    struct check *c = container_of(s, struct check, stream);
    size_t seen = c->in.len;
    buf_append(&c->in, data, len < CHECK_ANSWER_MAX - seen ? len : CHECK_ANSWER_MAX - seen);
    struct check_verdict v =
        c->in.failed ? check_bad("local") : c->wire->read(&c->subject, buf_view(&c->in), seen);
    if (v.state != HEALTH_UNKNOWN)
        check_end(c, v);
    else if (c->in.len >= CHECK_ANSWER_MAX)
        check_end(c, check_bad("garbled"));
}

static void on_end(struct io_stream *s, enum io_end end, int os_error) {
    struct check *c = container_of(s, struct check, stream);
    (void)os_error;
    check_end(c, check_bad(end == IO_END_REFUSED ? "refused" : "reset"));
}

static void on_drain(struct io_stream *s) {
    (void)s;
}

static const struct io_stream_ops check_ops = {
    .on_connect = on_connect, .on_data = on_data, .on_drain = on_drain, .on_end = on_end};
