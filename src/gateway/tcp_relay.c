/* tcp_relay.c - the bytes of a session, both ways, and how each way ends.
 *
 * What is read into the loop's one buffer goes straight to the other socket. What that
 * does not take is kept by its stream, and the side it came from is not read until it
 * has gone: so an idle session owns no buffer, and a slow reader slows its writer as if
 * there were nobody between them. Splicing through a pipe was not taken: it saves a
 * copy that stays in the CPU's cache and costs two descriptors a direction.
 *
 * An end of one direction (FIN) is passed on behind the bytes before it, and the other
 * direction goes on. A reset ends both: the other side gets what was on its way and is
 * then reset too. */
#include "gateway/tcp.h"

/* A service that hangs up so soon without a word was not there. */
#define EARLY_NS SWG_SECONDS(1)

/* Who is left when the other side broke has so long to take what was on its way, and is
 * looked at so often. */
#define CUT_MAX_NS  SWG_SECONDS(2)
#define CUT_LOOK_NS SWG_MS(10)

enum { LOOKS = 4 }; /* at a slow reader, in the time after which it would be idle */

static uint64_t now_of(const struct tcp_session *s) {
    return io_now(s->worker->io);
}

/* ---- ends ------------------------------------------------------------------------- */

/* As if nobody were behind the address; see tcp.h. */
static bool hung_up(const struct tcp_session *s, bool by_reset) {
    return s->upstream_first && !s->bytes_out && (by_reset || !s->bytes_in) &&
           now_of(s) - s->connected_ns < EARLY_NS;
}

/* Both sides have ended, and nothing is on its way any more. */
static bool end_if_done(struct tcp_session *s) {
    if (!s->client_ended || !s->upstream_ended || io_pending(&s->client) ||
        io_pending(&s->upstream))
        return false;
    bool early = hung_up(s, false);
    tcp_tell_end(s, !early);
    tcp_bury(s, early ? TCP_CLOSED_EARLY : TCP_DONE);
    return true;
}

static struct io_stream *left_of(struct tcp_session *s) {
    return io_is_open(&s->client) ? &s->client : &s->upstream;
}

void tcp_look_at_cut(struct tcp_session *s) {
    if (io_unsent(left_of(s)) && now_of(s) < s->wake_ns)
        io_timer_set(s->worker->io, &s->timer, now_of(s) + CUT_LOOK_NS);
    else
        tcp_cut(s, (enum tcp_result)s->result);
}

/* `broken` has been reset. */
static void break_off(struct tcp_session *s, struct io_stream *broken, enum tcp_result result) {
    tcp_tell_end(s, result != TCP_CLOSED_EARLY);
    io_close(broken);
    s->state = TCP_CUTTING;
    s->result = (uint8_t)result;
    s->wake_ns = now_of(s) + CUT_MAX_NS;
    io_want_data(left_of(s), false);
    tcp_look_at_cut(s);
}

static void pass_end(struct tcp_session *s, struct io_stream *to) {
    s->moved_ns = now_of(s);
    io_shut(to);
    end_if_done(s);
}

static void on_client_end(struct io_stream *stream, enum io_end end, int os_error) {
    struct tcp_session *s = container_of(stream, struct tcp_session, client);
    (void)os_error;
    if (end == IO_END_EOF) {
        /* told again, behind the bytes before it, once it is read */
        if (s->state != TCP_PASSING || s->client_paused)
            return;
        s->client_ended = true;
        pass_end(s, &s->upstream);
    } else if (s->state == TCP_PASSING) {
        break_off(s, &s->client, TCP_CLIENT_RESET);
    } else {
        tcp_cut(s, s->state == TCP_CALLING ? TCP_LEFT : (enum tcp_result)s->result);
    }
}

static void connect_failed(struct tcp_session *s) {
    const struct swg_answer answer = {.kind = SWG_CONNECT_FAILED};
    io_close(&s->upstream);
    tcp_run(s, swg_call_on_answer(&s->call, &answer, now_of(s)));
}

static void on_upstream_end(struct io_stream *stream, enum io_end end, int os_error) {
    struct tcp_session *s = container_of(stream, struct tcp_session, upstream);
    (void)os_error;
    if (s->state == TCP_CALLING) {
        connect_failed(s);
    } else if (end == IO_END_EOF) {
        if (s->state != TCP_PASSING || s->upstream_paused)
            return;
        s->upstream_ended = true;
        s->upstream_first = !s->client_ended;
        pass_end(s, &s->client);
    } else if (s->state == TCP_PASSING) {
        s->upstream_first |= !s->client_ended;
        break_off(s, &s->upstream, hung_up(s, true) ? TCP_CLOSED_EARLY : TCP_SERVICE_RESET);
    } else {
        tcp_cut(s, (enum tcp_result)s->result);
    }
}

/* That the connection stands was what was asked for; or its first byte. */
static struct swg_step answered(struct tcp_session *s) {
    const struct swg_answer answer = {.kind = SWG_ANSWERED, .status = 200};
    s->awaited = false;
    return swg_call_on_answer(&s->call, &answer, now_of(s));
}

/* ---- bytes -------------------------------------------------------------------------- */

static void send_on(struct tcp_session *s, struct io_stream *from, struct io_stream *to,
                    const char *data, size_t len) {
    const struct iovec iov = {(void *)data, len};
    bool *paused = from == &s->client ? &s->client_paused : &s->upstream_paused;
    s->moved_ns = now_of(s);
    if (io_send(to, &iov, 1) < 0) {
        tcp_cut(s, TCP_CUT); /* no memory */
        return;
    }
    if (!io_pending(to))
        return;
    *paused = true;
    io_want_data(from, false);
    tcp_set_timer(s); /* from now on the slow one is watched */
}

static void on_client_data(struct io_stream *stream, const char *data, size_t len) {
    struct tcp_session *s = container_of(stream, struct tcp_session, client);
    if (s->awaited && !s->bytes_in) {
        s->wake_ns = swg_call_on_sent(&s->call, now_of(s)).wake_ns;
        tcp_set_timer(s);
    }
    s->bytes_in += len;
    tcp_count_bytes(s, false, len);
    send_on(s, &s->client, &s->upstream, data, len);
}

static void on_upstream_data(struct io_stream *stream, const char *data, size_t len) {
    struct tcp_session *s = container_of(stream, struct tcp_session, upstream);
    if (s->awaited)
        tcp_run(s, answered(s));
    s->bytes_out += len;
    tcp_count_bytes(s, true, len);
    send_on(s, &s->upstream, &s->client, data, len);
}

/* What was kept for one side has gone: the other is read again. */
static void drained(struct tcp_session *s, struct io_stream *other, bool *paused) {
    s->moved_ns = now_of(s);
    s->unsent_seen = 0;
    if (s->state == TCP_CUTTING) {
        tcp_look_at_cut(s);
        return;
    }
    if (s->state != TCP_PASSING || end_if_done(s))
        return;
    *paused = false;
    io_want_data(other, true);
}

static void on_client_drain(struct io_stream *stream) {
    struct tcp_session *s = container_of(stream, struct tcp_session, client);
    drained(s, &s->upstream, &s->upstream_paused);
}

static void on_upstream_drain(struct io_stream *stream) {
    struct tcp_session *s = container_of(stream, struct tcp_session, upstream);
    drained(s, &s->client, &s->client_paused);
}

/* ---- connected ------------------------------------------------------------------------ */

static void begin(struct tcp_session *s) {
    s->state = TCP_PASSING;
    s->connected_ns = s->moved_ns = now_of(s);
    tcp_count_connected(s);
    io_want_data(&s->client, true);
    io_want_data(&s->upstream, true);
}

void tcp_pass(struct tcp_session *s) {
    if (s->state == TCP_CALLING)
        begin(s);
    tcp_set_timer(s);
}

static void on_connect(struct io_stream *stream) {
    struct tcp_session *s = container_of(stream, struct tcp_session, upstream);
    (void)swg_call_on_connected(&s->call, now_of(s));
    if (s->service->options->policy.timeout.first_byte_ns == SWG_OFF) {
        tcp_run(s, answered(s));
        return;
    }
    /* Nothing is kept of what the client says, so it cannot be said again elsewhere. And
     * while it says nothing the clocks stand still: it is not the service that is slow. */
    swg_call_not_replayable(&s->call);
    (void)swg_call_on_upload(&s->call, true, now_of(s));
    s->awaited = true;
    s->wake_ns = now_of(s) + EARLY_NS;
    begin(s);
    tcp_set_timer(s);
}

void tcp_await(struct tcp_session *s) {
    tcp_run(s, s->bytes_in ? swg_call_on_timer(&s->call, now_of(s)) : answered(s));
}

/* ---- idle ----------------------------------------------------------------------------- */

static bool is_backed_up(const struct tcp_session *s) {
    return s->client_paused || s->upstream_paused || io_pending(&s->client) ||
           io_pending(&s->upstream);
}

uint64_t tcp_idle_due_ns(const struct tcp_session *s) {
    uint64_t limit = s->service->options->transport.idle_ns;
    if (limit == SWG_OFF)
        return SWG_NEVER;
    uint64_t end = s->moved_ns + limit, look = now_of(s) + limit / LOOKS;
    return is_backed_up(s) && look < end ? look : end;
}

bool tcp_is_idle(struct tcp_session *s) {
    uint64_t limit = s->service->options->transport.idle_ns;
    if (limit == SWG_OFF)
        return false;
    size_t left = is_backed_up(s) ? io_unsent(&s->client) + io_unsent(&s->upstream) : 0;
    if (left && left != s->unsent_seen)
        s->moved_ns = now_of(s);
    s->unsent_seen = left;
    return s->moved_ns + limit <= now_of(s);
}

const struct io_stream_ops tcp_client_ops = {
    .on_data = on_client_data, .on_drain = on_client_drain, .on_end = on_client_end};
const struct io_stream_ops tcp_upstream_ops = {.on_connect = on_connect,
                                               .on_data = on_upstream_data,
                                               .on_drain = on_upstream_drain,
                                               .on_end = on_upstream_end};
