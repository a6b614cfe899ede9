/* mock_connection.c - one client's connection.
 *
 *   READING_HEAD ─▶ READING_BODY ─▶ WAITING ─▶ SENDING ─▶ READING_HEAD …
 *        │               │             └─▶ HELD             │
 *        └──── no body ──┴── no latency, small answer ──────┤
 *                                                           ▼
 *   WEBSOCKET (after 101)                                 ENDING ─▶ CLOSED
 *
 * A request that can be answered at once is answered from the bytes as they
 * lie in the loop's buffer, and its answer is one send: that is the path that
 * counts when the mock serves as a benchmark's upstream. Any other has its
 * head copied, and parsed again when it is answered.
 *
 * While a request is under way nothing is read, so a client that pipelines is
 * held back by TCP; its going away is told all the same. */
#include <openssl/evp.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/random.h"
#include "cli/mock.h"

/* How long one that has all its answers may take to close. */
#define END_NS UINT64_C(1000000000)

static const struct http1_limits limits = {MOCK_HEAD_MAX, MOCK_HEAD_MAX, MOCK_FIELDS_MAX,
                                           MOCK_HEAD_MAX};

static void perform(struct mock_connection *, const struct http1_head *);

/* ---- life -------------------------------------------------------------------------- */

static void forget_request(struct mock_connection *c) {
    buf_free(&c->head);
    buf_free(&c->kept);
    if (c->digest)
        EVP_MD_CTX_free(c->digest);
    c->digest = NULL;
    free(c->wait);
    c->wait = NULL;
    list_remove(&c->park);
    mock_reply_free(&c->reply);
}

/* The request is over, one way or another. */
static void end_request(struct mock_connection *c, enum mock_end end) {
    struct mock *m = c->mock;
    if (!c->has_request)
        return;
    c->has_request = false;
    struct mock_record *r = mock_records_get(&m->records, c->record);
    if (c->state == MOCK_HELD)
        m->counts.held--;
    if (c->record) {
        m->counts.in_flight--;
        m->counts.ends[end]++;
    }
    if (r) {
        r->end = (uint8_t)end;
        r->body_bytes = c->body_bytes;
        if (end == MOCK_ANSWERED || end == MOCK_BROKEN_OFF)
            r->status = (uint16_t)c->reply.status;
    }
    forget_request(c);
    if (c->record)
        mock_control_notice(m);
}

static void close_with(struct mock_connection *c, void (*how)(struct io_stream *),
                       enum mock_end end) {
    struct mock *m = c->mock;
    if (c->state == MOCK_CLOSED)
        return;
    end_request(c, end);
    c->state = MOCK_CLOSED;
    how(&c->stream);
    io_timer_clear(m->io, &c->timer);
    mock_websocket_free(c);
    buf_free(&c->in);
    list_remove(&c->link);
    list_push_back(&m->dead, &c->link);
    m->connection_count--;
}

void mock_connection_close(struct mock_connection *c) {
    close_with(c, io_close, MOCK_BROKEN_OFF);
}

void mock_connection_abort(struct mock_connection *c) {
    close_with(c, io_abort, MOCK_BROKEN_OFF);
}

/* Sends what is pending and an end, then waits for the other side's: closing
 * at once could reset the connection before all has arrived. */
void mock_connection_end(struct mock_connection *c) {
    end_request(c, MOCK_BROKEN_OFF);
    if (c->state == MOCK_CLOSED)
        return;
    c->state = MOCK_ENDING;
    buf_free(&c->in);
    io_shut(&c->stream);
    io_want_data(&c->stream, true);
    io_timer_set(c->mock->io, &c->timer, io_now(c->mock->io) + END_NS);
}

/* ---- the request ---------------------------------------------------------------------- */

static struct mock_request cut(const struct http1_head *head) {
    struct mock_request r = {.head = head, .path = head->target};
    if (r.path.len && r.path.at[0] != '/') { /* absolute form */
        const char *slashes = memmem(r.path.at, r.path.len, "://", 3);
        const char *path =
            slashes ? memchr(slashes + 3, '/', (size_t)(r.path.at + r.path.len - slashes - 3))
                    : NULL;
        if (path)
            r.path = (struct bytes){path, (size_t)(r.path.at + r.path.len - path)};
    }
    const char *mark = r.path.len ? memchr(r.path.at, '?', r.path.len) : NULL;
    if (mark) {
        r.query = (struct bytes){mark + 1, (size_t)(r.path.at + r.path.len - mark - 1)};
        r.path.len = (size_t)(mark - r.path.at);
    }
    return r;
}

static void count(struct mock_connection *c, const struct mock_request *r, struct bytes text) {
    struct mock *m = c->mock;
    struct timespec now;
    c->record = 0;
    if (c->page->flags & PAGE_CONTROL)
        return;
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    c->record = mock_records_add(&m->records, c->number, c->fate, text,
                                 (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000);
    mock_counts_request(&m->counts, r->head->method, r->head->method_text, r->path, c->fate);
}

/* What will become of this request is decided here, once. */
static void decide(struct mock_connection *c) {
    struct mock *m = c->mock;
    c->fate = MOCK_ANSWER;
    c->due_ns = 0;
    if (c->page->flags & PAGE_CONTROL)
        return;
    if (m->now.hang | m->now.reset | m->now.truncate | m->now.errors)
        c->fate = mock_behaviour_fate(&m->now, random_next(&m->random));
    if (m->now.latency.a_ns | m->now.latency.b_ns)
        c->due_ns = io_now(m->io) + mock_latency_draw(&m->now.latency, &m->random);
}

static void keep_body(struct mock_connection *c, struct bytes piece) {
    c->body_bytes += piece.len;
    if (c->record)
        c->mock->counts.body_bytes += piece.len;
    if (c->digest)
        EVP_DigestUpdate(c->digest, piece.at, piece.len);
    if ((c->page->flags & PAGE_KEEPS) && c->kept.len < MOCK_KEEP_MAX) {
        size_t room = MOCK_KEEP_MAX - c->kept.len;
        buf_append(&c->kept, piece.at, piece.len < room ? piece.len : room);
    }
}

static void body_complete(struct mock_connection *c, const struct http1_head *head) {
    struct mock_record *r = mock_records_get(&c->mock->records, c->record);
    if (r) {
        r->body_complete = true;
        r->body_bytes = c->body_bytes;
    }
    if (c->due_ns > io_now(c->mock->io)) {
        c->state = MOCK_WAITING;
        io_timer_set(c->mock->io, &c->timer, c->due_ns);
    } else {
        perform(c, head);
    }
}

static bool begin_body(struct mock_connection *c, const struct http1_head *head) {
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
    c->state = MOCK_READING_BODY;
    http1_body_init(&c->body, head->framing, head->content_length, NULL, 0);
    if (c->page->flags & PAGE_HASHES) {
        c->digest = EVP_MD_CTX_new();
        if (!c->digest || EVP_DigestInit_ex(c->digest, EVP_sha256(), NULL) != 1)
            return false;
    }
    if (head->expect_continue)
        io_send(&c->stream, &(struct iovec){(void *)go_on, sizeof go_on - 1}, 1);
    return true;
}

static void begin(struct mock_connection *c, const struct http1_head *head, struct bytes text) {
    struct mock_request r = cut(head);
    bool has_body = head->framing == HTTP1_BODY_CHUNKED || head->content_length > 0;
    c->has_request = true;
    c->page = mock_page_find(r.path);
    c->head_only = head->method == HTTP_HEAD;
    c->keep_alive = head->keep_alive;
    c->minor = head->minor;
    c->body_bytes = 0;
    c->reply.status = 0;
    decide(c);
    count(c, &r, text);
    if (has_body && (c->page->flags & PAGE_EARLY)) {
        c->keep_alive = false;
        perform(c, head);
        return;
    }
    if (has_body || c->due_ns || c->fate == MOCK_HANG || c->page->flags)
        buf_append(&c->head, text.at, text.len);
    if (c->head.failed || (has_body && !begin_body(c, head)))
        mock_connection_abort(c);
    else if (!has_body)
        body_complete(c, head);
}

/* ---- the answer ----------------------------------------------------------------------- */

static void hold(struct mock_connection *c) {
    c->state = MOCK_HELD;
    c->mock->counts.held++;
    list_push_back(&c->mock->held, &c->park);
    mock_control_notice(c->mock);
}

static void perform(struct mock_connection *c, const struct http1_head *head) {
    struct mock_request r = cut(head);
    c->state = MOCK_WAITING;
    if (c->fate == MOCK_HANG) {
        hold(c);
        return;
    }
    if (c->fate == MOCK_RESET) {
        mock_connection_abort(c);
        return;
    }
    mock_reply_init(&c->reply);
    if (c->fate == MOCK_ERROR)
        mock_page_error(c, &c->reply);
    else if (!c->page->answer)
        mock_page_default(c, &c->reply);
    else if (!c->page->answer(c, &r, &c->reply))
        return;
    if (c->fate == MOCK_TRUNCATE && c->reply.length != UINT64_MAX)
        c->reply.cut = c->reply.length / 2;
    c->state = MOCK_SENDING;
    mock_reply_start(c);
}

/* Parses the head that was kept. It was valid once, so it still is. */
static void perform_kept(struct mock_connection *c) {
    struct mock *m = c->mock;
    size_t used;
    m->head.fields = m->fields;
    if (http1_parse_request(c->head.at, c->head.len, 0, &limits, &m->head, &used) || !used)
        mock_connection_abort(c);
    else
        perform(c, &m->head);
}

void mock_connection_release(struct mock_connection *c) {
    list_remove(&c->park);
    c->mock->counts.held--;
    c->state = MOCK_WAITING;
    c->fate = MOCK_ANSWER;
    c->due_ns = UINT64_MAX; /* a page that waits has done so */
    perform_kept(c);
}

/* ---- bytes in ----------------------------------------------------------------------------- */

static void refuse(struct mock_connection *c, enum http1_error error) {
    int status = http1_error_status(error);
    char text[256];
    const char *why = http1_error_sentence(error);
    c->mock->counts.ends[MOCK_REFUSED]++;
    int len = snprintf(text, sizeof text,
                       "HTTP/1.1 %d %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s\n",
                       status, http_status_reason(status), strlen(why) + 1, why);
    io_send(&c->stream, &(struct iovec){text, (size_t)len}, 1);
    mock_connection_end(c);
}

static size_t feed_head(struct mock_connection *c, const char *data, size_t len) {
    struct mock *m = c->mock;
    size_t used = 0;
    m->head.fields = m->fields;
    enum http1_error error = http1_parse_request(data, len, c->seen, &limits, &m->head, &used);
    if (error) {
        refuse(c, error);
        return len;
    }
    c->seen = used ? 0 : len;
    if (used)
        begin(c, &m->head, (struct bytes){data, used});
    return used;
}

static size_t feed_body(struct mock_connection *c, const char *data, size_t len) {
    struct bytes piece;
    size_t used = 0;
    enum http1_error error = http1_body_next(&c->body, data, len, &piece, &used);
    if (error) {
        end_request(c, MOCK_REFUSED);
        refuse(c, error);
        return len;
    }
    if (piece.len)
        keep_body(c, piece);
    if (c->body.done) {
        struct mock *m = c->mock;
        size_t all;
        m->head.fields = m->fields;
        if (http1_parse_request(c->head.at, c->head.len, 0, &limits, &m->head, &all))
            mock_connection_abort(c);
        else
            body_complete(c, &m->head);
    }
    return used;
}

/* How much of it was used: up to the end of a request that is not answered at
 * once, or of what makes no whole head. */
static size_t feed(struct mock_connection *c, const char *data, size_t len) {
    size_t done = 0;
    c->feeding = true;
    while (done < len) {
        size_t used = 0;
        if (c->state == MOCK_READING_HEAD) {
            used = feed_head(c, data + done, len - done);
        } else if (c->state == MOCK_READING_BODY) {
            used = feed_body(c, data + done, len - done);
        } else if (c->state == MOCK_WEBSOCKET) {
            mock_websocket_data(c, data + done, len - done);
            used = len - done;
        } else if (c->state == MOCK_ENDING || c->state == MOCK_CLOSED) {
            used = len - done;
        }
        if (!used)
            break;
        done += used;
    }
    c->feeding = false;
    return done;
}

static void read_on(struct mock_connection *c) {
    if (c->state == MOCK_CLOSED)
        return;
    bool reads =
        c->state == MOCK_READING_HEAD || c->state == MOCK_READING_BODY || c->state == MOCK_ENDING;
    if (c->state == MOCK_WEBSOCKET)
        reads = io_pending(&c->stream) < MOCK_PENDING_MAX;
    io_want_data(&c->stream, reads);
}

/* What came while a request was under way. */
static void feed_kept(struct mock_connection *c) {
    size_t len = c->in.len;
    size_t used = len ? feed(c, c->in.at, len) : 0;
    if (c->state == MOCK_CLOSED || c->state == MOCK_ENDING)
        return;
    if (used == len) {
        buf_free(&c->in);
    } else if (used) {
        memmove(c->in.at, c->in.at + used, len - used);
        buf_truncate(&c->in, len - used);
    }
}

static void on_data(struct io_stream *s, const char *data, size_t len) {
    struct mock_connection *c = container_of(s, struct mock_connection, stream);
    if (c->in.len) {
        buf_append(&c->in, data, len);
        if (c->in.failed) {
            mock_connection_abort(c);
            return;
        }
        feed_kept(c);
    } else {
        size_t used = feed(c, data, len);
        if (used < len && c->state != MOCK_CLOSED && c->state != MOCK_ENDING)
            buf_append(&c->in, data + used, len - used);
    }
    read_on(c);
}

/* ---- what happens to the stream ---------------------------------------------------------------
 */

void mock_connection_answered(struct mock_connection *c) {
    struct mock *m = c->mock;
    int status = c->reply.status;
    bool goes_down = c->reply.goes_down, cut = c->reply.cut != UINT64_MAX;
    uint64_t down_ns = c->reply.down_ns;
    bool close = c->reply.close || !c->keep_alive || cut || mock_is_down(m);
    if (c->record && status > 0 && status < 600)
        m->counts.status[status]++;
    end_request(c, cut ? MOCK_BROKEN_OFF : MOCK_ANSWERED);
    c->answers++;
    if (status == 101) {
        c->state = MOCK_WEBSOCKET;
    } else if (close || goes_down || (m->now.close_after && c->answers >= m->now.close_after)) {
        mock_connection_end(c);
        if (goes_down)
            mock_go_down(m, down_ns);
        return;
    } else {
        c->state = MOCK_READING_HEAD;
    }
    if (!c->feeding) {
        feed_kept(c);
        read_on(c);
    }
}

static void on_drain(struct io_stream *s) {
    struct mock_connection *c = container_of(s, struct mock_connection, stream);
    if (c->state == MOCK_SENDING)
        mock_reply_go_on(c);
    else if (c->state == MOCK_WEBSOCKET)
        read_on(c);
}

/* A client that has closed while its answer is due is taken for gone, although
 * HTTP would let it close its sending half: clients give up like that. */
static void on_end(struct io_stream *s, enum io_end end, int os_error) {
    struct mock_connection *c = container_of(s, struct mock_connection, stream);
    (void)end;
    (void)os_error;
    close_with(c, io_close, MOCK_GONE);
}

static const struct io_stream_ops stream_ops = {
    .on_data = on_data, .on_drain = on_drain, .on_end = on_end};

static void on_due(struct io_timer *t) {
    struct mock_connection *c = container_of(t, struct mock_connection, timer);
    if (c->state == MOCK_ENDING)
        mock_connection_close(c);
    else if (c->state == MOCK_SENDING)
        mock_reply_go_on(c);
    else if (c->state == MOCK_WAITING && c->wait)
        mock_control_timeout(c);
    else if (c->state == MOCK_WAITING)
        perform_kept(c);
}

void mock_connection_accept(struct mock *m, int fd) {
    struct mock_connection *c = calloc(1, sizeof *c);
    if (!c) {
        close(fd);
        return;
    }
    c->mock = m;
    c->number = ++m->connections_ever;
    io_stream_init(&c->stream, &stream_ops);
    io_timer_init(&c->timer, on_due);
    list_init(&c->park);
    buf_init(&c->in, (1 << 20) + MOCK_HEAD_MAX); /* a head, and one read of the loop */
    buf_init(&c->head, MOCK_HEAD_MAX);
    buf_init(&c->kept, MOCK_KEEP_MAX);
    if (io_adopt(m->io, &c->stream, fd) < 0) {
        close(fd);
        free(c);
        return;
    }
    list_push_back(&m->connections, &c->link);
    m->connection_count++;
    io_want_data(&c->stream, true);
}
