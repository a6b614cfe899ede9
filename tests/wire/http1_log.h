/* http1_log.h - replays bytes through the HTTP/1 parsers as a connection would
 * and writes down what they say, a line an event.
 *
 *   request method=POST target=/a version=1.1 framing=LENGTH length=5 keep-alive
 *   response status=200 version=1.1 framing=CHUNKED keep-alive reason=OK
 *     after these: upgrade, expect-continue, expect-unknown, te-trailers
 *   field Host=example
 *   body 5 hello            all payload of a body together
 *   trailer Digest=abc
 *   done                    the message is whole; the next one may follow
 *   error BAD_HOST          nothing follows
 *   incomplete head|body    the bytes ended inside a message
 *   closed                  the bytes ended, and with them a body until close
 *   tunnel 12               so many bytes after an upgrade or CONNECT
 *
 * Bytes that would spoil a line are written as \r \n \t \0 \\ \xNN. */
#ifndef SWG_TESTS_WIRE_HTTP1_LOG_H
#define SWG_TESTS_WIRE_HTTP1_LOG_H

#include <stdbool.h>
#include <stdio.h>

#include "wire/http1.h"

enum { HTTP1_LOG_FIELDS_MAX = 256 }; /* limits.fields is at most this */

struct http1_log_options {
    bool response;
    enum http_method request; /* what a response answers */
    bool offsets;             /* "done 42": how many bytes were consumed so far */
    bool drop_trailers;       /* gives the body no buffer */
    struct http1_limits limits;
};

/* 8 KiB of head, 2 KiB of target, 32 fields, 512 bytes of trailers. */
void http1_log_defaults(struct http1_log_options *);

/* Feeds `first` bytes, then pieces of `piece` bytes (at least 1). Each piece is
 * parsed in a buffer of exactly its size, so that a sanitizer sees a parser that
 * looks too far. */
void http1_log_replay(FILE *out, const struct http1_log_options *, const char *data, size_t len,
                      size_t first, size_t piece);

/* Writes bytes with escapes. */
void http1_log_escaped(FILE *out, struct bytes);

#endif
