/* relay.c - an upstream's answer on its way to the client.
 *
 * Bytes go from the loop's memory to the client's socket without being kept;
 * what the client cannot take at once is kept by its stream, and the upstream
 * is not read until that is gone. So memory stays flat for bodies of any
 * length, and each event of a stream goes on as it comes. */
#include <stdio.h>

#include "gateway/caching.h"
#include "gateway/exchange.h"
#include "gateway/fields.h"
#include "gateway/token_stream.h"

enum {
    PIECES = 20, /* chunks gathered for one write */
    FILL_AHEAD = 512 * 1024,
};

/* ---- the head ------------------------------------------------------------ */

static enum http1_framing framing_to_client(const struct leg *leg, const struct http1_head *head) {
    const struct exchange *x = leg->x;
    /* what may end with an event of our own has a length that nobody knows */
    bool open_end = token_stream_passes(leg) && x->request.minor;
    if (x->head_only || head->status == 204 || head->status == 304)
        return HTTP1_BODY_NONE;
    if ((head->framing == HTTP1_BODY_LENGTH && !open_end) || head->framing == HTTP1_BODY_NONE)
        return head->framing;
    return x->request.minor ? HTTP1_BODY_CHUNKED : HTTP1_BODY_UNTIL_CLOSE;
}

static void write_status(struct buf *b, const struct http1_head *head) {
    buf_literal(b, "HTTP/1.1 ");
    buf_uint(b, (uint64_t)head->status);
    buf_char(b, ' ');
    buf_bytes(b, head->reason);
    buf_literal(b, "\r\n");
}

static void write_framing(struct buf *b, struct exchange *x, const struct http1_head *head) {
    bool length =
        x->out_framing == HTTP1_BODY_LENGTH ||
        (x->out_framing == HTTP1_BODY_NONE && head->has_content_length && head->status != 204);
    if (length) {
        buf_literal(b, "Content-Length: ");
        buf_uint(b, head->content_length);
        buf_literal(b, "\r\n");
    } else if (x->out_framing == HTTP1_BODY_CHUNKED) {
        buf_literal(b, "Transfer-Encoding: chunked\r\n");
    }
}

static void write_upgrade(struct buf *b, const struct http1_head *head) {
    buf_literal(b, "Connection: upgrade\r\nUpgrade: ");
    buf_bytes(b, fields_find(head, HTTP_UPGRADE));
    buf_literal(b, "\r\n");
}

void relay_head(struct leg *leg, const struct http1_head *head, const char *head_end) {
    struct exchange *x = leg->x;
    struct buf b;
    if (caching_not_modified(leg, head))
        return;
    buf_init_fixed(&b, x->worker->scratch, WORKER_SCRATCH);
    if (leg->parent)
        leg_answered_by_tier(leg->parent);
    x->status = head->status;
    x->tunnel = head->status == 101;
    x->out_framing = framing_to_client(leg, head);
    if (x->out_framing == HTTP1_BODY_UNTIL_CLOSE || (!x->upload_done && head->status >= 400))
        x->close_client = true;
    write_status(&b, head);
    fields_copy(&b, head, head_end, fields_dropped_from_responses(), fields_are_nominated(head));
    caching_head(leg, head, head_end);
    if (x->tunnel)
        write_upgrade(&b, head);
    else
        write_framing(&b, x, head);
    reply_common_fields(x, &b, fields_find(head, HTTP_DATE).at != NULL,
                        leg->parent ? "service" : "upstream");
    buf_literal(&b, "\r\n");
    if (x->inner)
        inner_head(x->inner, head->status, upstream_retry_after(leg->up, head),
                   leg->parent ? "service" : "upstream");
    x->answer = ANSWER_BODY;
    x->moved_ns = exchange_now(x);
    x->out_head = buf_view(&b);
    x->out_left = x->out_framing == HTTP1_BODY_LENGTH ? head->content_length : 0;
    if (head->framing == HTTP1_BODY_CHUNKED && x->out_framing == HTTP1_BODY_CHUNKED) {
        char *trailers = arena_alloc(&x->arena, EXCHANGE_TRAILERS_MAX / 4);
        http1_body_init(&leg->up->body, head->framing, 0, trailers,
                        trailers ? EXCHANGE_TRAILERS_MAX / 4 : 0);
    }
    if (x->tunnel) {
        leg->up->state = UPSTREAM_TUNNEL;
        leg->up->keep = false;
        client_become_tunnel(x->client);
    }
    exchange_set_timer(x);
}

/* 1xx: 100 only to who waits for it; the rest to all who know them (1.1). */
void relay_interim(struct leg *leg, const struct http1_head *head, const char *head_end) {
    struct exchange *x = leg->x;
    if (!x->request.minor || x->answer != ANSWER_NONE)
        return;
    if (head->status == 100 && !x->request.expect_continue)
        return;
    struct buf b;
    buf_init_fixed(&b, x->worker->scratch, WORKER_SCRATCH);
    write_status(&b, head);
    fields_copy(&b, head, head_end, fields_dropped_from_responses(), fields_are_nominated(head));
    buf_literal(&b, "\r\n");
    if (b.failed)
        return;
    struct iovec iov = {b.at, b.len};
    io_send(&x->client->stream, &iov, 1);
    if (head->status == 100) {
        x->expects_continue = false;
        leg_run(leg, swg_call_on_upload(&leg->call, !x->upload_done, exchange_now(x)));
    }
}

/* ---- the body ------------------------------------------------------------ */

/* Pieces of one write. A chunked body is framed anew, piece by piece. */
struct gather {
    struct iovec iov[3 * PIECES + 3];
    char sizes[PIECES][20];
    int count, pieces;
};

static void gather_piece(struct gather *g, struct bytes piece, bool chunked) {
    if (chunked) {
        int n = snprintf(g->sizes[g->pieces], sizeof g->sizes[0], "%zx\r\n", piece.len);
        g->iov[g->count++] = (struct iovec){g->sizes[g->pieces], (size_t)n};
    }
    g->iov[g->count++] = (struct iovec){(void *)piece.at, piece.len};
    if (chunked)
        g->iov[g->count++] = (struct iovec){(void *)"\r\n", 2};
    g->pieces++;
}

static bool gather_send(struct exchange *x, struct gather *g) {
    int error = g->count ? io_send(&x->client->stream, g->iov, g->count) : 0;
    g->count = g->pieces = 0;
    return error == 0;
}

static void finish_body(struct leg *leg, struct gather *g) {
    struct exchange *x = leg->x;
    struct upstream *u = leg->up;
    if (token_stream_passes(leg) && x->tokens->tail.len)
        gather_piece(g, buf_view(&x->tokens->tail), x->out_framing == HTTP1_BODY_CHUNKED);
    if (x->out_framing == HTTP1_BODY_CHUNKED) {
        uint32_t len = u->body.trailers ? u->body.trailers_len : 0;
        g->iov[g->count++] = (struct iovec){(void *)"0\r\n", 3};
        if (len)
            g->iov[g->count++] = (struct iovec){u->body.trailers, len};
        g->iov[g->count++] = (struct iovec){(void *)"\r\n", 2};
    }
    /* Stored first: the answer is whole whatever this client does, and who has
     * seen its end finds it there, also on another worker. */
    caching_end(x, true);
    bool sent = gather_send(x, g);
    u->keep = u->keep && leg->body_sent && sent;
    leg->up = NULL;
    upstream_put(u);
    x->answer = sent ? ANSWER_WHOLE : ANSWER_BODY;
    (void)swg_call_on_end(&leg->call, true, exchange_now(x));
    leg->over = true;
    exchange_finish(x, sent);
}

/* Events that are whole. What began with an earlier piece goes at once, because
 * its place is needed. */
static bool gather_events(struct exchange *x, struct gather *g, struct bytes piece) {
    struct token_stream *t = x->tokens;
    bool chunked = x->out_framing == HTTP1_BODY_CHUNKED, sent = true;
    size_t whole = token_stream_take(t, piece, exchange_now(x));
    if (whole) {
        if (g->pieces > PIECES - 2)
            sent = gather_send(x, g);
        bool had_tail = t->tail.len > 0;
        if (had_tail)
            gather_piece(g, buf_view(&t->tail), chunked);
        gather_piece(g, (struct bytes){piece.at, whole}, chunked);
        if (had_tail)
            sent = gather_send(x, g) && sent;
        buf_clear(&t->tail);
    }
    token_stream_keep(t, (struct bytes){piece.at + whole, piece.len - whole});
    return sent;
}

/* A stream that does not come to its own end gets one: true if the client has
 * it. */
static bool end_stream(struct leg *leg) {
    struct exchange *x = leg->x;
    char memory[4096];
    struct buf event;
    struct gather g;
    if (!token_stream_passes(leg) || x->answer != ANSWER_BODY || x->out_head.len ||
        (x->out_framing != HTTP1_BODY_CHUNKED && x->out_framing != HTTP1_BODY_UNTIL_CLOSE))
        return false;
    buf_init_fixed(&event, memory, sizeof memory);
    token_stream_write_end(x->tokens, &event);
    if (event.failed)
        return false;
    g.count = g.pieces = 0;
    if (event.len)
        gather_piece(&g, buf_view(&event), x->out_framing == HTTP1_BODY_CHUNKED);
    if (x->out_framing == HTTP1_BODY_CHUNKED)
        g.iov[g.count++] = (struct iovec){(void *)"0\r\n\r\n", 5};
    x->out_bytes += event.len;
    if (!gather_send(x, &g))
        return false;
    x->answer = ANSWER_WHOLE;
    x->tokens->cut = true;
    return true;
}

static void pause_if_slow(struct leg *leg) {
    struct exchange *x = leg->x;
    /* what is also being stored for others does not wait for one slow client */
    size_t allowed = x->filling ? FILL_AHEAD : 0;
    bool slow = io_pending(&x->client->stream) > allowed;
    if (slow != leg->up->paused) {
        leg->up->paused = slow;
        io_want_data(&leg->up->stream, !slow);
        if (slow)
            exchange_set_timer(x); /* from now on it is watched */
    }
}

static void tunnel_data(struct leg *leg, const char *data, size_t len) {
    struct exchange *x = leg->x;
    struct iovec iov = {(void *)data, len};
    if (len && io_send(&x->client->stream, &iov, 1) < 0) {
        relay_end(leg, false);
        return;
    }
    x->out_bytes += len;
    pause_if_slow(leg);
}

void relay_data(struct leg *leg, const char *data, size_t len) {
    struct exchange *x = leg->x;
    struct upstream *u = leg->up;
    struct gather g;
    g.count = g.pieces = 0;
    x->moved_ns = exchange_now(x);
    if (x->out_head.len) {
        g.iov[g.count++] = (struct iovec){(void *)x->out_head.at, x->out_head.len};
        x->out_head.len = 0;
    }
    if (x->tunnel) {
        gather_send(x, &g);
        tunnel_data(leg, data, len);
        return;
    }
    enum http1_error error = HTTP1_OK;
    while (!u->body.done && len) {
        struct bytes payload;
        size_t used;
        error = http1_body_next(&u->body, data, len, &payload, &used);
        if (error != HTTP1_OK)
            break;
        data += used;
        len -= used;
        if (!payload.len)
            continue;
        x->out_bytes += payload.len;
        caching_data(x, payload);
        if (x->inner)
            inner_data(x->inner, payload);
        if (token_stream_passes(leg)) {
            if (!gather_events(x, &g, payload))
                break;
        } else if (x->out_framing != HTTP1_BODY_NONE)
            gather_piece(&g, payload, x->out_framing == HTTP1_BODY_CHUNKED);
        if (g.pieces == PIECES && !gather_send(x, &g))
            break;
    }
    if (len && u->body.done)
        u->keep = false; /* more than one answer: what follows is not trusted */
    if (u->body.done) {
        finish_body(leg, &g);
        return;
    }
    bool sent = gather_send(x, &g);
    if (error != HTTP1_OK || !sent || len)
        relay_end(leg, false);
    else if (x->client->sink && !x->flight && !x->inner)
        client_close(x->client); /* the rest is for nobody */
    else
        pause_if_slow(leg);
}

void relay_end(struct leg *leg, bool clean) {
    struct exchange *x = leg->x;
    struct upstream *u = leg->up;
    if (x->tunnel && clean && !x->client->eof) {
        io_shut(&x->client->stream);
        u->eof = true;
        return;
    }
    bool whole = clean && (x->tunnel || u->body.framing == HTTP1_BODY_UNTIL_CLOSE) &&
                 !(token_stream_passes(leg) && token_stream_is_cut(x->tokens));
    if (whole && !x->tunnel) {
        struct gather g;
        g.count = g.pieces = 0;
        u->keep = false;
        finish_body(leg, &g);
        return;
    }
    bool told = !whole && end_stream(leg);
    leg->up = NULL;
    upstream_close(u);
    caching_end(x, false);
    (void)swg_call_on_end(&leg->call, whole, exchange_now(x));
    leg->over = true;
    exchange_finish(x, whole || told);
}

void relay_timed_out(struct leg *leg) {
    if (token_stream_passes(leg))
        leg->x->tokens->timed_out = true;
    relay_end(leg, false);
}
