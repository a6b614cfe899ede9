/* admin_link.c - see admin_link.h. */
#include "cli/admin_link.h"

#include <errno.h>
#include <netdb.h>
#include <string.h>

enum { CONTENT_MAX = 64 << 20, TAKE_MAX = 16 << 10 };

/* ---- ending ---------------------------------------------------------------------- */

static void let_go(struct admin_ask *a) {
    io_close(&a->stream);
    io_timer_clear(a->link->io, &a->timer);
    admin_answer_free(&a->answer);
    a->under_way = false;
}

void admin_ask_cancel(struct admin_ask *a) {
    if (!a->under_way)
        return;
    let_go(a);
    buf_free(&a->content);
}

static void end(struct admin_ask *a, int status, const char *why) {
    struct buf content = a->content;
    let_go(a);
    buf_init(&a->content, CONTENT_MAX);
    a->on_end(a, status, buf_view(&content), why);
    buf_free(&content);
}

static void fail(struct admin_ask *a, int error) {
    end(a, 0, admin_client_error_words(error));
}

/* The owner is told in a later turn. */
static void fail_soon(struct admin_ask *a, const char *why) {
    a->why = why;
    io_timer_set(a->link->io, &a->timer, io_now(a->link->io));
}

/* ---- the stream ------------------------------------------------------------------ */

static void keep_waiting(struct admin_ask *a) {
    io_timer_set(a->link->io, &a->timer, io_now(a->link->io) + a->silence_ns);
}

static void on_timer(struct io_timer *t) {
    struct admin_ask *a = container_of(t, struct admin_ask, timer);
    end(a, 0, a->why ? a->why : admin_client_error_words(-ETIMEDOUT));
}

/* Bit by bit: the loop gives more at once than is kept raw. */
static int take(struct admin_ask *a, const char *data, size_t len) {
    int error = 0;
    while (!error && len) {
        size_t bit = len < TAKE_MAX ? len : TAKE_MAX;
        buf_append(&a->answer.raw, data, bit);
        error = admin_answer_take(&a->answer);
        data += bit;
        len -= bit;
    }
    return error;
}

static void on_data(struct io_stream *s, const char *data, size_t len) {
    struct admin_ask *a = container_of(s, struct admin_ask, stream);
    int error = take(a, data, len);
    if (error) {
        fail(a, error);
        return;
    }
    keep_waiting(a);
    if (a->on_piece && a->answer.status == 200 && a->content.len) {
        a->on_piece(a, buf_view(&a->content));
        buf_clear(&a->content);
    }
    if (a->under_way && admin_answer_is_whole(&a->answer, false))
        end(a, a->answer.status, NULL);
}

static void on_end(struct io_stream *s, enum io_end how, int os_error) {
    struct admin_ask *a = container_of(s, struct admin_ask, stream);
    if (how == IO_END_EOF && admin_answer_is_whole(&a->answer, true))
        end(a, a->answer.status, NULL);
    else
        fail(a, os_error ? -os_error : -ECONNRESET);
}

static void nothing(struct io_stream *s) {
    (void)s;
}

static const struct io_stream_ops ops = {
    .on_connect = nothing, .on_data = on_data, .on_drain = nothing, .on_end = on_end};

/* ---- beginning ------------------------------------------------------------------- */

void admin_ask_init(struct admin_ask *a, struct admin_link *link) {
    *a = (struct admin_ask){.link = link};
    io_stream_init(&a->stream, &ops);
    io_timer_init(&a->timer, on_timer);
    buf_init(&a->content, CONTENT_MAX);
}

/* Waits for the name server, which for an address is no time at all. NULL, or why not. */
static const char *look_up(struct admin_link *link) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
    int error = getaddrinfo(link->client->host, link->client->port, &hints, &found);
    if (error)
        return gai_strerror(error);
    memcpy(&link->address, found->ai_addr, found->ai_addrlen);
    link->len = found->ai_addrlen;
    freeaddrinfo(found);
    return NULL;
}

static int connect_and_send(struct admin_ask *a, const struct buf *request) {
    struct admin_link *link = a->link;
    struct iovec iov = {request->at, request->len};
    int error = io_connect(link->io, &a->stream, (struct sockaddr *)&link->address, link->len);
    if (error)
        return error;
    io_want_data(&a->stream, true);
    return request->failed ? -EMSGSIZE : io_send(&a->stream, &iov, 1);
}

void admin_ask_begin(struct admin_ask *a, const char *method, const char *path, const char *fields,
                     struct bytes body, uint64_t silence_ns) {
    struct buf request;
    admin_answer_init(&a->answer, http_method_of(bytes_of(method)), &a->content);
    a->under_way = true;
    a->silence_ns = silence_ns;
    a->why = a->link->len ? NULL : look_up(a->link);
    if (a->why) {
        fail_soon(a, a->why);
        return;
    }
    buf_init(&request, 1 << 20);
    admin_client_write_request(a->link->client, method, path, fields, body, &request);
    int error = connect_and_send(a, &request);
    buf_free(&request);
    if (error)
        fail_soon(a, admin_client_error_words(error));
    else
        keep_waiting(a);
}
