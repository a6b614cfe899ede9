/* mock_reply.c - an answer on its way out.
 *
 * A body that lies in memory and goes at full speed leaves with its head in
 * one send. Every other is a stream: piece after piece while the kernel takes
 * them, on_drain when it does not, a timer where a rate or an interval is
 * kept. A stream gives way to others after a megabyte a turn. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/mock.h"

enum {
    PATTERN = 26 * 2520, /* a whole number of alphabets */
    TURN_BYTES = 1 << 20,
    RATE_TICKS = 20, /* pieces a second, where a rate is kept */
};

static char pattern[PATTERN];

void mock_reply_init(struct mock_reply *r) {
    *r = (struct mock_reply){.status = 200, .cut = UINT64_MAX};
    buf_init(&r->fields, 256 << 10);
}

void mock_reply_free(struct mock_reply *r) {
    buf_free(&r->fields);
    free(r->owned);
    r->owned = NULL;
    mock_content_release(r->content);
    r->content = NULL;
}

void mock_reply_take(struct mock_reply *r, struct buf *b, struct bytes type) {
    r->owned = b->at;
    r->body = (struct bytes){b->at, b->len};
    r->length = b->len;
    r->type = type;
    buf_init(b, b->max);
}

/* ---- the head ----------------------------------------------------------------------- */

static bool has_no_body(const struct mock_reply *r) {
    return r->status == 204 || r->status == 304 || r->status < 200;
}

static void write_interim(const struct mock_reply *r, struct buf *out) {
    for (uint32_t i = 0; i < r->interim_count; i++)
        buf_printf(out, "HTTP/1.1 %d %s\r\nLink: </style.css>; rel=preload\r\n\r\n",
                   r->interim_status, http_status_reason(r->interim_status));
}

static void write_framing(struct mock_connection *c, struct buf *out) {
    struct mock_reply *r = &c->reply;
    bool endless = r->source == MOCK_FROM_EVENTS || r->source == MOCK_FROM_TOKENS ||
                   r->length == UINT64_MAX || r->chunked;
    if (has_no_body(r))
        return;
    if (endless && c->minor == 0) {
        r->chunked = false;
        c->keep_alive = false;
    } else if (endless) {
        r->chunked = true;
        buf_literal(out, "Transfer-Encoding: chunked\r\n");
        if (r->trailers)
            buf_literal(out, "Trailer: X-Checksum\r\n");
    } else {
        buf_literal(out, "Content-Length: ");
        buf_uint(out, r->length);
        buf_literal(out, "\r\n");
    }
}

static void write_head(struct mock_connection *c, struct buf *out) {
    struct mock_reply *r = &c->reply;
    const char *reason = http_status_reason(r->status);
    if (r->interim_count && c->minor)
        write_interim(r, out);
    buf_literal(out, "HTTP/1.1 ");
    buf_uint(out, (uint64_t)r->status);
    buf_char(out, ' ');
    buf_string(out, reason);
    buf_literal(out, "\r\nDate: ");
    buf_append(out, mock_date(c->mock), 29);
    if (r->type.len && !has_no_body(r)) {
        buf_literal(out, "\r\nContent-Type: ");
        buf_bytes(out, r->type);
    }
    buf_literal(out, "\r\nX-Mock-Name: ");
    buf_string(out, c->mock->name);
    if (c->record) {
        buf_literal(out, "\r\nX-Mock-Request: ");
        buf_uint(out, c->record);
    }
    buf_literal(out, "\r\n");
    write_framing(c, out);
    buf_bytes(out, buf_view(&r->fields));
    if (r->close || !c->keep_alive)
        buf_literal(out, "Connection: close\r\n");
    else if (c->minor == 0)
        buf_literal(out, "Connection: keep-alive\r\n");
    buf_literal(out, "\r\n");
}

/* ---- the end -------------------------------------------------------------------------- */

static void put(struct mock_connection *c, struct iovec *iov, int count) {
    if (io_send(&c->stream, iov, count) < 0)
        mock_connection_abort(c);
}

/* All has been handed over; the kernel may still have to take some of it. */
static void finish(struct mock_connection *c) {
    struct mock_reply *r = &c->reply;
    if (c->state == MOCK_CLOSED || io_pending(&c->stream))
        return; /* mock_reply_go_on() comes back here */
    if (r->cut != UINT64_MAX && r->cut_resets)
        mock_connection_abort(c);
    else
        mock_connection_answered(c);
}

uint64_t mock_reply_left(const struct mock_reply *r) {
    uint64_t end = r->cut < r->length ? r->cut : r->length;
    return end == UINT64_MAX ? UINT64_MAX : end > r->sent ? end - r->sent : 0;
}

void mock_reply_end(struct mock_connection *c) {
    static const char end[] = "0\r\n\r\n", with_trailers[] = "0\r\nX-Checksum: abc123\r\n\r\n";
    struct mock_reply *r = &c->reply;
    bool cut = r->cut != UINT64_MAX;
    c->sends_body = false;
    if (r->chunked && !cut) {
        const char *text = r->trailers ? with_trailers : end;
        put(c, &(struct iovec){(void *)text, strlen(text)}, 1);
    }
    finish(c);
}

/* ---- pieces ---------------------------------------------------------------------------- */

void mock_reply_piece(struct mock_connection *c, struct bytes piece) {
    char size[20];
    struct iovec iov[3];
    int count = 0;
    if (c->reply.chunked) {
        int n = snprintf(size, sizeof size, "%zx\r\n", piece.len);
        iov[count++] = (struct iovec){size, (size_t)n};
    }
    iov[count++] = (struct iovec){(void *)piece.at, piece.len};
    if (c->reply.chunked)
        iov[count++] = (struct iovec){(void *)"\r\n", 2};
    put(c, iov, count);
}

/* Bytes that may go now; 0 with *wake_ns set where the rate says: later. */
static uint64_t paced(struct mock_connection *c, uint64_t wanted, uint64_t *wake_ns) {
    struct mock_reply *r = &c->reply;
    uint64_t now = io_now(c->mock->io), tick = r->rate / RATE_TICKS;
    if (!r->rate)
        return wanted;
    uint64_t due =
        r->paced_ns + (uint64_t)((unsigned __int128)r->sent * UINT64_C(1000000000) / r->rate);
    if (now < due) {
        *wake_ns = due;
        return 0;
    }
    tick = tick ? tick : 1;
    return wanted < tick ? wanted : tick;
}

static struct bytes pattern_at(uint64_t offset, uint64_t wanted) {
    size_t at = (size_t)(offset % PATTERN), room = PATTERN - at;
    if (!pattern[0]) {
        for (size_t i = 0; i < PATTERN; i++)
            pattern[i] = (char)('a' + i % 26);
    }
    return (struct bytes){pattern + at, wanted < room ? (size_t)wanted : room};
}

static void stream_bytes(struct mock_connection *c) {
    struct mock_reply *r = &c->reply;
    size_t budget = TURN_BYTES;
    while (mock_reply_left(r) && budget) {
        uint64_t wake = 0, n = paced(c, mock_reply_left(r), &wake);
        if (!n) {
            io_timer_set(c->mock->io, &c->timer, wake);
            return;
        }
        struct bytes piece = pattern_at(r->sent, n);
        if (r->source == MOCK_FROM_MEMORY)
            piece = (struct bytes){r->body.at + r->sent, (size_t)(n < budget ? n : budget)};
        r->sent += piece.len;
        budget -= piece.len < budget ? piece.len : budget;
        mock_reply_piece(c, piece);
        if (c->state == MOCK_CLOSED || io_pending(&c->stream))
            return;
    }
    if (mock_reply_left(r))
        io_timer_set(c->mock->io, &c->timer, io_now(c->mock->io));
    else
        mock_reply_end(c);
}

static void stream_events(struct mock_connection *c) {
    struct mock_reply *r = &c->reply;
    char text[160];
    uint64_t now = io_now(c->mock->io);
    while (mock_reply_left(r)) {
        uint64_t due = r->paced_ns + r->sent * r->interval_ns;
        if (now < due) {
            io_timer_set(c->mock->io, &c->timer, due);
            return;
        }
        r->sent++;
        int n = snprintf(text, sizeof text,
                         "id: %" PRIu64 "\nevent: tick\ndata: {\"event\":%" PRIu64 "}\n\n", r->sent,
                         r->sent);
        mock_reply_piece(c, (struct bytes){text, (size_t)n});
        if (c->state == MOCK_CLOSED || io_pending(&c->stream))
            return;
    }
    mock_reply_end(c);
}

void mock_reply_go_on(struct mock_connection *c) {
    if (!c->sends_body)
        finish(c);
    else if (io_pending(&c->stream))
        return; /* a timer came first */
    else if (c->reply.source == MOCK_FROM_EVENTS)
        stream_events(c);
    else if (c->reply.source == MOCK_FROM_TOKENS)
        mock_llm_stream(c);
    else
        stream_bytes(c);
}

void mock_reply_start(struct mock_connection *c) {
    struct mock_reply *r = &c->reply;
    struct buf *out = &c->mock->out;
    buf_clear(out);
    write_head(c, out);
    if (out->failed) {
        mock_connection_abort(c);
        return;
    }
    struct iovec iov[2] = {{out->at, out->len}, {(void *)r->body.at, r->body.len}};
    bool silent = c->head_only || has_no_body(r);
    bool whole = r->source == MOCK_FROM_MEMORY && !r->rate && r->cut == UINT64_MAX && !r->chunked;
    c->sends_body = !silent && !whole;
    put(c, iov, silent || !whole || !r->body.len ? 1 : 2);
    if (c->state == MOCK_CLOSED)
        return;
    if (!c->sends_body) {
        if (silent)
            r->cut = UINT64_MAX;
        finish(c);
        return;
    }
    r->paced_ns = io_now(c->mock->io);
    mock_reply_go_on(c);
}
