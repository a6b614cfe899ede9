/* http1.h - HTTP/1.1 and 1.0 bytes to heads and bodies. RFC 9112, strict.
 *
 * No sockets, no allocation, no state between messages but what is here.
 * Everything a parser returns points into the bytes it was given.
 *
 * Strict where leniency lets two parsers disagree about where a message ends
 * (request smuggling): see enum http1_error for what is refused. */
#ifndef SWG_WIRE_HTTP1_H
#define SWG_WIRE_HTTP1_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/http.h"

/* code, status to answer a request with, sentence for logs and answers */
#define HTTP1_ERRORS(X)                                                                          \
    X(BAD_REQUEST_LINE, 400, "the request line is not METHOD SP target SP HTTP/1.x")             \
    X(BAD_METHOD, 400, "the method is not a token")                                              \
    X(BAD_TARGET, 400, "the request target has no valid form, or a byte not allowed there")      \
    X(BAD_VERSION, 505, "the version is not HTTP/1.0 or HTTP/1.1")                               \
    X(BAD_STATUS_LINE, 502, "the status line is not HTTP/1.x SP status SP reason")               \
    X(BAD_LINE_END, 400, "a line ends without CR LF, or has a CR or LF alone")                   \
    X(BAD_FIELD_NAME, 400, "a field name is empty, or has a byte that is not a token character") \
    X(BAD_FIELD_VALUE, 400, "a field value has NUL or another control character")                \
    X(FOLDED_FIELD, 400, "a field is folded over lines (obs-fold)")                              \
    X(TOO_MANY_FIELDS, 431, "more fields than the limit")                                        \
    X(HEAD_TOO_LARGE, 431, "the head is larger than the limit")                                  \
    X(TARGET_TOO_LONG, 414, "the request target is longer than the limit")                       \
    X(BAD_CONTENT_LENGTH, 400, "Content-Length is not one decimal number")                       \
    X(LENGTH_AND_CHUNKED, 400, "both Content-Length and Transfer-Encoding are given")            \
    X(BAD_TRANSFER_ENCODING, 400, "Transfer-Encoding is not just chunked")                       \
    X(UNKNOWN_TRANSFER_CODING, 501, "Transfer-Encoding names a coding other than chunked")       \
    X(CHUNKED_IN_HTTP10, 400, "Transfer-Encoding in an HTTP/1.0 message")                        \
    X(BAD_HOST, 400, "Host is missing, given twice, or malformed")                               \
    X(BAD_CHUNK_SIZE, 400, "a chunk size is not a hexadecimal number, or too large")             \
    X(BAD_CHUNK_END, 400, "a chunk does not end with CR LF where its size says")                 \
    X(BAD_CHUNK_EXTENSION, 400, "a chunk extension has a control character")                     \
    X(CHUNK_EXTENSION_TOO_LONG, 400, "chunk extensions are longer than the limit")               \
    X(TRAILERS_TOO_LARGE, 431, "trailers are larger than the limit")                             \
    X(BAD_TRAILER, 400, "a trailer is malformed, or a field that may not be a trailer")

enum http1_error {
    HTTP1_OK = 0,
#define X(code, status, sentence) HTTP1_##code,
    HTTP1_ERRORS(X)
#undef X
};
const char *http1_error_name(enum http1_error);     /* "LENGTH_AND_CHUNKED" */
const char *http1_error_sentence(enum http1_error); /* for people */
int http1_error_status(enum http1_error);           /* to answer with */

enum http1_framing {
    HTTP1_BODY_NONE,   /* no body at all, whatever the fields say (HEAD, 1xx, 204, 304) */
    HTTP1_BODY_LENGTH, /* content_length bytes, perhaps 0 */
    HTTP1_BODY_CHUNKED,
    HTTP1_BODY_UNTIL_CLOSE, /* responses only */
};

struct http1_limits {
    uint32_t head_bytes; /* whole head */
    uint32_t target;     /* request target */
    uint16_t fields;     /* at most the size of the fields array */
    uint32_t trailer_bytes;
};

/* A parsed head. `fields` is the caller's array of at least limits.fields. */
struct http1_head {
    /* requests */
    enum http_method method;
    struct bytes method_text, target;
    /* responses */
    int status;
    struct bytes reason;
    /* both */
    uint8_t minor; /* 1 for HTTP/1.1, 0 for HTTP/1.0; a higher 1.x counts as 1.1 */
    enum http1_framing framing;
    uint64_t content_length; /* when framing is LENGTH; for a response to HEAD what it says */
    bool has_content_length;
    bool keep_alive;      /* the sender will keep the connection (version, Connection, framing) */
    bool upgrade;         /* Upgrade is given and Connection names it, in HTTP/1.1 */
    bool expect_continue; /* Expect: 100-continue, and nothing else, in HTTP/1.1 */
    bool expect_unknown;  /* some other expectation: 417 */
    bool te_trailers;     /* TE has "trailers" */
    uint16_t field_count;
    struct http_field *fields;
};

/* Parses a request head at data[0..len). `seen` is how much of it an earlier
 * call already had (0 at first), so that bytes coming one by one do not cost a
 * scan each. Up to 1 empty line before the request line is skipped.
 *
 *   *used > 0                 a whole head of *used bytes
 *   *used == 0, HTTP1_OK      more bytes are needed
 *   an error                  refuse, then close: the stream cannot be trusted
 *
 * *head is valid only for a whole head. The answer depends on data[0..len)
 * alone, not on how it was cut into pieces: what is wrong with a line is said
 * as soon as the line ends or has a control character, or the limit is reached.
 *
 * Targets: origin, absolute, authority (CONNECT) and asterisk (OPTIONS) forms
 * are taken as they are. Host must be there exactly once in 1.1 and be
 * well-formed (at most once in 1.0); it may be empty, as the grammar allows. */
enum http1_error http1_parse_request(const char *data, size_t len, size_t seen,
                                     const struct http1_limits *, struct http1_head *,
                                     size_t *used);

/* The same for a response to a request whose method was `request`. 1xx heads
 * are returned like others (framing NONE). An upstream that sends both
 * Content-Length and Transfer-Encoding, or differing lengths, is refused; one
 * that repeats the same length is not, and whoever passes its head on writes
 * one Content-Length of its own. No empty line is skipped. */
enum http1_error http1_parse_response(const char *data, size_t len, size_t seen,
                                      enum http_method request, const struct http1_limits *,
                                      struct http1_head *, size_t *used);

/* ---- bodies ----------------------------------------------------------- */

/* Incremental and allocation-free. Trailers are collected in the caller's
 * buffer, if it gave one, as a block of "Name: value\r\n" lines. */
struct http1_body {
    enum http1_framing framing;
    uint8_t state; /* the decoder's */
    uint8_t digits;
    uint16_t extension_bytes; /* of this chunk; at most 256 */
    uint16_t extension_debt;  /* of all, less what bodies excuse: see http1_body.c */
    uint8_t error;            /* enum http1_error: the one returned for ever */
    bool done;                /* the end of the body was seen; UNTIL_CLOSE: never by itself */
    uint8_t name_len;
    char name[24];  /* the trailer's, as far as a known one can reach */
    uint64_t left;  /* bytes of body (LENGTH) or of this chunk still to come */
    char *trailers; /* caller's, may be NULL: trailers are then checked and dropped */
    uint32_t trailers_len, trailers_max;
    uint32_t trailer_bytes; /* as they came */
    uint32_t blanks;        /* white space at the end of the kept value */
};

/* The trailer section is limited to trailers_max bytes, both as it comes and as
 * it is kept. With trailers NULL, 0 stands for a limit of 8 KiB. */
void http1_body_init(struct http1_body *, enum http1_framing, uint64_t content_length,
                     char *trailers, uint32_t trailers_max);

/* Takes bytes off data[0..len): sets *payload to the next run of body bytes
 * inside data (may be empty) and *used to what was consumed. Call again with
 * the rest until it is consumed or body->done; bytes after the end belong to
 * the next message. Once it has returned an error it returns it for ever;
 * *payload is then empty and *used 0. */
enum http1_error http1_body_next(struct http1_body *, const char *data, size_t len,
                                 struct bytes *payload, size_t *used);

/* Whether a field may stand in a trailer section (RFC 9110 section 6.5.1:
 * nothing about framing, routing, authentication, or how to process). Of the
 * fields known by name only those whose definitions allow it; a body with
 * another is refused. Fields not known by name may. */
bool http1_may_be_trailer(enum http_field_id);

#endif
