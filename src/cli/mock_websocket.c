/* mock_websocket.c - /ws: RFC 6455, every frame echoed.
 *
 * Frames are passed back as they come, fragment by fragment and piece by
 * piece: only the head of a frame is ever gathered, so a frame of any length
 * costs no memory. A ping is answered with a pong; a close with a close, and
 * the connection ends. What a client may not do (no mask, reserved bits, a
 * long control frame) is answered with close 1002. */
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/mock.h"

#define GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

enum { OPCODE_TEXT = 1, OPCODE_BINARY = 2, OPCODE_CLOSE = 8, OPCODE_PING = 9, OPCODE_PONG = 10 };

struct mock_websocket {
    uint8_t head[14]; /* of the frame that begins */
    uint8_t head_len;
    uint8_t opcode;
    uint8_t mask[4];
    uint8_t mask_at;
    bool in_frame;
    bool drop; /* a pong: nothing is sent back */
    uint64_t left;
};

/* ---- the handshake ---------------------------------------------------------------- */

static struct bytes field(const struct http1_head *head, const char *name) {
    for (uint16_t i = 0; i < head->field_count; i++) {
        if (bytes_equal_nocase(head->fields[i].name, bytes_of(name)))
            return head->fields[i].value;
    }
    return (struct bytes){0};
}

static bool write_accept(struct bytes key, struct buf *to) {
    unsigned char digest[EVP_MAX_MD_SIZE];
    char text[128], encoded[64];
    unsigned len;
    int n = snprintf(text, sizeof text, "%.*s" GUID, (int)key.len, key.at);
    if (EVP_Digest(text, (size_t)n, digest, &len, EVP_sha1(), NULL) != 1)
        return false;
    EVP_EncodeBlock((unsigned char *)encoded, digest, (int)len);
    buf_printf(to, "Sec-WebSocket-Accept: %s\r\n", encoded);
    return true;
}

bool mock_websocket_answer(struct mock_connection *c, const struct mock_request *q,
                           struct mock_reply *r) {
    const struct http1_head *h = q->head;
    struct bytes key = field(h, "Sec-WebSocket-Key");
    if (!h->upgrade || !http_list_has(field(h, "Upgrade"), BYTES("websocket")) ||
        !bytes_equal(field(h, "Sec-WebSocket-Version"), BYTES("13"))) {
        r->status = 426;
        buf_literal(&r->fields, "Upgrade: websocket\r\nConnection: Upgrade\r\n"
                                "Sec-WebSocket-Version: 13\r\n");
        return true;
    }
    if (h->method != HTTP_GET || key.len != 24) {
        r->status = 400;
        return true;
    }
    c->websocket = calloc(1, sizeof *c->websocket);
    r->status = 101;
    buf_literal(&r->fields, "Upgrade: websocket\r\nConnection: Upgrade\r\n");
    if (!c->websocket || !write_accept(key, &r->fields)) {
        mock_connection_abort(c);
        return false;
    }
    return true;
}

void mock_websocket_free(struct mock_connection *c) {
    free(c->websocket);
    c->websocket = NULL;
}

/* ---- frames --------------------------------------------------------------------------- */

static void put(struct mock_connection *c, const void *data, size_t len) {
    if (len && io_send(&c->stream, &(struct iovec){(void *)data, len}, 1) < 0)
        mock_connection_abort(c);
}

static void fail(struct mock_connection *c) {
    static const uint8_t close_1002[] = {0x88, 2, 1002 >> 8, 1002 & 0xff};
    put(c, close_1002, sizeof close_1002);
    if (c->state != MOCK_CLOSED)
        mock_connection_end(c);
}

/* Bytes of the head, as far as its first two tell. */
static unsigned head_size(const struct mock_websocket *w) {
    unsigned length = w->head_len < 2 ? 0 : w->head[1] & 0x7f;
    return 2 + 4 + (length == 126 ? 2 : length == 127 ? 8 : 0);
}

static uint64_t frame_length(const struct mock_websocket *w) {
    unsigned length = w->head[1] & 0x7f, count = length == 126 ? 2 : length == 127 ? 8 : 0;
    uint64_t n = 0;
    for (unsigned i = 0; i < count; i++)
        n = n << 8 | w->head[2 + i];
    return count ? n : length;
}

/* The same head, but for the mask; a ping becomes a pong. */
static void send_head(struct mock_connection *c) {
    struct mock_websocket *w = c->websocket;
    uint8_t head[10];
    unsigned size = head_size(w) - 4;
    memcpy(head, w->head, size);
    head[1] &= 0x7f;
    if (w->opcode == OPCODE_PING)
        head[0] = (uint8_t)(0x80 | OPCODE_PONG);
    put(c, head, size);
}

static bool begin_frame(struct mock_connection *c) {
    struct mock_websocket *w = c->websocket;
    bool control = w->head[0] & 8;
    w->opcode = w->head[0] & 15;
    w->left = frame_length(w);
    w->mask_at = 0;
    memcpy(w->mask, w->head + head_size(w) - 4, 4);
    if ((w->head[0] & 0x70) || !(w->head[1] & 0x80) || (w->opcode > OPCODE_BINARY && !control) ||
        w->opcode > OPCODE_PONG || w->left >> 63 ||
        (control && (w->left > 125 || !(w->head[0] & 0x80)))) {
        fail(c);
        return false;
    }
    w->in_frame = true;
    w->drop = w->opcode == OPCODE_PONG;
    if (!w->drop)
        send_head(c);
    w->head_len = 0;
    return c->state != MOCK_CLOSED;
}

static size_t echo(struct mock_connection *c, const char *data, size_t len) {
    struct mock_websocket *w = c->websocket;
    char plain[16384];
    size_t n = len < sizeof plain ? len : sizeof plain;
    if (n > w->left)
        n = (size_t)w->left;
    for (size_t i = 0; i < n; i++)
        plain[i] = (char)((uint8_t)data[i] ^ w->mask[w->mask_at++ & 3]);
    w->left -= n;
    if (!w->drop)
        put(c, plain, n);
    return n;
}

void mock_websocket_data(struct mock_connection *c, const char *data, size_t len) {
    while (c->state == MOCK_WEBSOCKET) {
        struct mock_websocket *w = c->websocket;
        if (w->in_frame && !w->left) {
            w->in_frame = false;
            if (w->opcode == OPCODE_CLOSE) {
                mock_connection_end(c);
                return;
            }
        }
        if (!len)
            return;
        if (w->in_frame) {
            size_t n = echo(c, data, len);
            data += n;
            len -= n;
            continue;
        }
        w->head[w->head_len++] = (uint8_t)*data++;
        len--;
        /* an unmasked frame has no mask to wait for: it is refused at once */
        bool unmasked = w->head_len == 2 && !(w->head[1] & 0x80);
        if ((w->head_len >= 2 && w->head_len == head_size(w)) || unmasked) {
            if (!begin_frame(c))
                return;
        }
    }
}
