/* http1_body.c - where a body ends, and what of it is payload. RFC 9112 section 7.
 *
 * Chunked coding, each state named after what is expected next:
 *
 *   SIZE_START ─hex→ SIZE ─';'→ EXTENSION
 *                     │CR          │CR
 *                     └→ SIZE_LF ←─┘
 *                           ├─ size > 0 → DATA → DATA_CR → DATA_LF → SIZE_START
 *                           └─ size = 0 → TRAILER_START
 *   TRAILER_START ─token→ TRAILER_NAME ─':'→ TRAILER_SPACE → TRAILER_VALUE
 *        │CR       ↑                              │CR           │CR
 *        ↓         └───────── TRAILER_LF ←────────┴─────────────┘
 *      END_LF → done
 *
 * Framing goes byte by byte: it is some six bytes a chunk. Payload is never
 * looked at.
 *
 * Extensions are dropped, and limited: 256 bytes a chunk, and over the whole
 * body a debt that each chunk repays by its size plus 16, so that a long stream
 * with a modest extension on each chunk passes while a body of nothing but
 * extensions does not (the way Go answered CVE-2023-39326). */
#include "wire/chars.h"
#include "wire/http1.h"

enum {
    EXTENSION_MAX = 256,
    EXTENSION_DEBT_MAX = 16384,
    EXTENSION_EXCUSED = 16,
    /* 60 bits: no sum of sizes that fits a connection's life overflows, and
     * zeros in front cannot go on for ever. */
    SIZE_DIGITS_MAX = 15,
    DROPPED_TRAILERS_MAX = 8192,
};

enum state {
    SIZE_START,
    SIZE,
    EXTENSION,
    SIZE_LF,
    DATA,
    DATA_CR,
    DATA_LF,
    TRAILER_START,
    TRAILER_NAME,
    TRAILER_SPACE,
    TRAILER_VALUE,
    TRAILER_LF,
    END_LF,
};

static void set_state(struct http1_body *body, enum state state) {
    body->state = (uint8_t)state;
}

void http1_body_init(struct http1_body *body, enum http1_framing framing, uint64_t content_length,
                     char *trailers, uint32_t trailers_max) {
    if (!trailers && trailers_max == 0)
        trailers_max = DROPPED_TRAILERS_MAX;
    *body = (struct http1_body){.framing = framing,
                                .state = SIZE_START,
                                .trailers = trailers,
                                .trailers_max = trailers_max};
    if (framing == HTTP1_BODY_LENGTH)
        body->left = content_length;
    body->done = framing == HTTP1_BODY_NONE || (framing == HTTP1_BODY_LENGTH && body->left == 0);
}

/* ---- chunk sizes and ends ----------------------------------------------- */

static unsigned hex_value(char c) {
    return c <= '9' ? (unsigned)(c - '0') : (unsigned)((c | 0x20) - 'a' + 10);
}

static enum http1_error size_byte(struct http1_body *body, char c) {
    if (char_is(c, CHAR_HEX)) {
        if (body->digits++ == SIZE_DIGITS_MAX)
            return HTTP1_BAD_CHUNK_SIZE;
        body->left = body->left << 4 | hex_value(c);
        set_state(body, SIZE);
        return HTTP1_OK;
    }
    if (body->digits && c == '\r')
        set_state(body, SIZE_LF);
    else if (body->digits && c == ';') {
        body->extension_bytes = 1;
        set_state(body, EXTENSION);
    } else
        return body->digits && c == '\n' ? HTTP1_BAD_LINE_END : HTTP1_BAD_CHUNK_SIZE;
    return HTTP1_OK;
}

static enum http1_error extension_byte(struct http1_body *body, char c) {
    if (c == '\r') {
        set_state(body, SIZE_LF);
        return HTTP1_OK;
    }
    if (!char_is(c, CHAR_VALUE))
        return c == '\n' ? HTTP1_BAD_LINE_END : HTTP1_BAD_CHUNK_EXTENSION;
    return ++body->extension_bytes > EXTENSION_MAX ? HTTP1_CHUNK_EXTENSION_TOO_LONG : HTTP1_OK;
}

/* The size line is whole: settles the extension's debt and starts the chunk. */
static enum http1_error size_done(struct http1_body *body) {
    uint64_t debt = (uint64_t)body->extension_debt + body->extension_bytes;
    uint64_t excused = body->left + EXTENSION_EXCUSED;
    debt = debt > excused ? debt - excused : 0;
    if (debt > EXTENSION_DEBT_MAX)
        return HTTP1_CHUNK_EXTENSION_TOO_LONG;
    body->extension_debt = (uint16_t)debt;
    body->extension_bytes = 0;
    body->digits = 0;
    set_state(body, body->left ? DATA : TRAILER_START);
    return HTTP1_OK;
}

/* ---- trailers ----------------------------------------------------------- */

/* Only the first 24 bytes of a name are kept: a longer one is none we know. */
_Static_assert(sizeof((struct http1_body){0}.name) == 24, "longer than every name in HTTP_FIELDS");

/* Keeps one byte of the block of trailers; counts it where there is no buffer,
 * so that the limit is the same. */
static enum http1_error keep(struct http1_body *body, char c) {
    if (body->trailers_len >= body->trailers_max)
        return HTTP1_TRAILERS_TOO_LARGE;
    if (body->trailers)
        body->trailers[body->trailers_len] = c;
    body->trailers_len++;
    return HTTP1_OK;
}

static enum http1_error keep_two(struct http1_body *body, char first, char second) {
    enum http1_error error = keep(body, first);
    return error ? error : keep(body, second);
}

static enum http1_error name_byte(struct http1_body *body, char c) {
    if (char_is(c, CHAR_TOKEN)) {
        if (body->name_len < sizeof body->name)
            body->name[body->name_len] = c;
        if (body->name_len < UINT8_MAX)
            body->name_len++;
        set_state(body, TRAILER_NAME);
        return keep(body, c);
    }
    if (c != ':' || body->name_len == 0)
        return HTTP1_BAD_TRAILER;
    if (body->name_len <= sizeof body->name &&
        !http1_may_be_trailer(http_field_of((struct bytes){body->name, body->name_len})))
        return HTTP1_BAD_TRAILER;
    body->name_len = 0;
    body->blanks = 0;
    set_state(body, TRAILER_SPACE);
    return keep_two(body, ':', ' ');
}

/* White space inside a value is kept when something follows it, and white
 * space at the end of the line is taken back. */
static enum http1_error value_byte(struct http1_body *body, char c) {
    if (c == '\r') {
        body->trailers_len -= body->blanks;
        set_state(body, TRAILER_LF);
        return keep_two(body, '\r', '\n');
    }
    if (!char_is(c, CHAR_VALUE))
        return c == '\n' ? HTTP1_BAD_LINE_END : HTTP1_BAD_TRAILER;
    bool blank = c == ' ' || c == '\t';
    if (blank && body->state == TRAILER_SPACE)
        return HTTP1_OK;
    body->blanks = blank ? body->blanks + 1 : 0;
    set_state(body, TRAILER_VALUE);
    return keep(body, c);
}

static enum http1_error trailer_byte(struct http1_body *body, char c) {
    if (body->state != END_LF && ++body->trailer_bytes > body->trailers_max &&
        !(body->state == TRAILER_START && c == '\r'))
        return HTTP1_TRAILERS_TOO_LARGE;
    switch (body->state) {
    case TRAILER_START:
        if (c == '\r') {
            set_state(body, END_LF);
            return HTTP1_OK;
        }
        return c == '\n' ? HTTP1_BAD_LINE_END : name_byte(body, c);
    case TRAILER_NAME:
        return name_byte(body, c);
    case TRAILER_SPACE:
    case TRAILER_VALUE:
        return value_byte(body, c);
    case TRAILER_LF:
        set_state(body, TRAILER_START);
        return c == '\n' ? HTTP1_OK : HTTP1_BAD_LINE_END;
    default: /* END_LF */
        body->done = c == '\n';
        return body->done ? HTTP1_OK : HTTP1_BAD_LINE_END;
    }
}

bool http1_may_be_trailer(enum http_field_id id) {
    return id == HTTP_FIELD_OTHER || id == HTTP_ETAG || id == HTTP_CACHE_STATUS ||
           id == HTTP_PROXY_STATUS;
}

/* ---- bodies ------------------------------------------------------------- */

/* One byte of anything but payload. */
static enum http1_error framing_byte(struct http1_body *body, char c) {
    switch (body->state) {
    case SIZE_START:
    case SIZE:
        return size_byte(body, c);
    case EXTENSION:
        return extension_byte(body, c);
    case SIZE_LF:
        return c == '\n' ? size_done(body) : HTTP1_BAD_LINE_END;
    case DATA_CR:
        set_state(body, DATA_LF);
        return c == '\r' ? HTTP1_OK : HTTP1_BAD_CHUNK_END;
    case DATA_LF:
        set_state(body, SIZE_START);
        return c == '\n' ? HTTP1_OK : HTTP1_BAD_CHUNK_END;
    default:
        return trailer_byte(body, c);
    }
}

/* Payload of at most body->left bytes. */
static void take_payload(struct http1_body *body, const char *data, size_t len,
                         struct bytes *payload) {
    size_t take = len < body->left ? len : (size_t)body->left;
    *payload = (struct bytes){data, take};
    body->left -= take;
}

static enum http1_error next_of_chunked(struct http1_body *body, const char *data, size_t len,
                                        struct bytes *payload, size_t *used) {
    size_t at = 0;
    while (at < len && !body->done) {
        if (body->state == DATA) {
            take_payload(body, data + at, len - at, payload);
            at += payload->len;
            if (body->left == 0)
                set_state(body, DATA_CR);
            break;
        }
        enum http1_error error = framing_byte(body, data[at++]);
        if (error) {
            body->error = (uint8_t)error;
            return error;
        }
    }
    *used = at;
    return HTTP1_OK;
}

enum http1_error http1_body_next(struct http1_body *body, const char *data, size_t len,
                                 struct bytes *payload, size_t *used) {
    *payload = (struct bytes){data, 0};
    *used = 0;
    if (body->error || body->done || len == 0)
        return (enum http1_error)body->error;
    switch (body->framing) {
    case HTTP1_BODY_CHUNKED:
        return next_of_chunked(body, data, len, payload, used);
    case HTTP1_BODY_LENGTH:
        take_payload(body, data, len, payload);
        body->done = body->left == 0;
        break;
    case HTTP1_BODY_UNTIL_CLOSE:
        *payload = (struct bytes){data, len};
        break;
    case HTTP1_BODY_NONE:
        break;
    }
    *used = payload->len;
    return HTTP1_OK;
}
