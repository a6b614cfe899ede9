/* http.h - what HTTP messages are made of, whatever version carries them.
 *
 * Names of methods and fields are looked up once, when a head is parsed; from
 * then on code compares small integers. RFC 9110. */
#ifndef SWG_WIRE_HTTP_H
#define SWG_WIRE_HTTP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

enum http_method {
    HTTP_METHOD_OTHER, /* a valid token that is none of these */
    HTTP_GET,
    HTTP_HEAD,
    HTTP_POST,
    HTTP_PUT,
    HTTP_DELETE,
    HTTP_CONNECT,
    HTTP_OPTIONS,
    HTTP_TRACE,
    HTTP_PATCH,
    HTTP_METHODS
};

/* "GET", …; "OTHER" for HTTP_METHOD_OTHER. */
const char *http_method_name(enum http_method);
/* Exact (methods are case-sensitive); HTTP_METHOD_OTHER if unknown. */
enum http_method http_method_of(struct bytes);
/* RFC 9110 section 9.2.2: GET HEAD PUT DELETE OPTIONS TRACE. */
bool http_method_is_idempotent(enum http_method);
/* RFC 9110 section 9.2.1: GET HEAD OPTIONS TRACE. */
bool http_method_is_safe(enum http_method);

/* Fields that some part of the program knows by name: one row each. */
#define HTTP_FIELDS(X)                            \
    X(ACCEPT, "Accept")                           \
    X(ACCEPT_ENCODING, "Accept-Encoding")         \
    X(AGE, "Age")                                 \
    X(ALLOW, "Allow")                             \
    X(AUTHORIZATION, "Authorization")             \
    X(CACHE_CONTROL, "Cache-Control")             \
    X(CACHE_STATUS, "Cache-Status")               \
    X(CONNECTION, "Connection")                   \
    X(CONTENT_ENCODING, "Content-Encoding")       \
    X(CONTENT_LENGTH, "Content-Length")           \
    X(CONTENT_RANGE, "Content-Range")             \
    X(CONTENT_TYPE, "Content-Type")               \
    X(COOKIE, "Cookie")                           \
    X(DATE, "Date")                               \
    X(ETAG, "ETag")                               \
    X(EXPECT, "Expect")                           \
    X(EXPIRES, "Expires")                         \
    X(FORWARDED, "Forwarded")                     \
    X(HOST, "Host")                               \
    X(IDEMPOTENCY_KEY, "Idempotency-Key")         \
    X(IF_MATCH, "If-Match")                       \
    X(IF_MODIFIED_SINCE, "If-Modified-Since")     \
    X(IF_NONE_MATCH, "If-None-Match")             \
    X(IF_RANGE, "If-Range")                       \
    X(IF_UNMODIFIED_SINCE, "If-Unmodified-Since") \
    X(KEEP_ALIVE, "Keep-Alive")                   \
    X(LAST_MODIFIED, "Last-Modified")             \
    X(LOCATION, "Location")                       \
    X(MAX_FORWARDS, "Max-Forwards")               \
    X(ORIGIN, "Origin")                           \
    X(PRAGMA, "Pragma")                           \
    X(PROXY_AUTHENTICATE, "Proxy-Authenticate")   \
    X(PROXY_AUTHORIZATION, "Proxy-Authorization") \
    X(PROXY_CONNECTION, "Proxy-Connection")       \
    X(PROXY_STATUS, "Proxy-Status")               \
    X(RANGE, "Range")                             \
    X(RETRY_AFTER, "Retry-After")                 \
    X(SERVER, "Server")                           \
    X(SET_COOKIE, "Set-Cookie")                   \
    X(SWITCHGEAR, "Switchgear")                   \
    X(TE, "TE")                                   \
    X(TRACEPARENT, "traceparent")                 \
    X(TRACESTATE, "tracestate")                   \
    X(TRAILER, "Trailer")                         \
    X(TRANSFER_ENCODING, "Transfer-Encoding")     \
    X(UPGRADE, "Upgrade")                         \
    X(VARY, "Vary")                               \
    X(VIA, "Via")                                 \
    X(WARNING, "Warning")                         \
    X(WWW_AUTHENTICATE, "WWW-Authenticate")       \
    X(X_CORRELATION_ID, "X-Correlation-Id")       \
    X(X_FORWARDED_FOR, "X-Forwarded-For")         \
    X(X_FORWARDED_HOST, "X-Forwarded-Host")       \
    X(X_FORWARDED_PORT, "X-Forwarded-Port")       \
    X(X_FORWARDED_PROTO, "X-Forwarded-Proto")     \
    X(X_REAL_IP, "X-Real-IP")                     \
    X(X_REQUEST_ID, "X-Request-Id")

enum http_field_id {
    HTTP_FIELD_OTHER,
#define X(id, name) HTTP_##id,
    HTTP_FIELDS(X)
#undef X
        HTTP_FIELD_IDS
};

/* Case does not matter; HTTP_FIELD_OTHER if unknown. */
enum http_field_id http_field_of(struct bytes name);
/* In the usual spelling. */
struct bytes http_field_name(enum http_field_id);

struct http_field {
    struct bytes name, value; /* value without white space around it */
    uint8_t id;               /* enum http_field_id */
};

/* The usual sentence: "Not Found"; "" for a status nobody registered. */
const char *http_status_reason(int status);

/* IMF-fixdate (RFC 9110 section 5.6.7), 29 bytes and NUL. */
void http_date_write(char out[30], int64_t unix_s);
/* All three forms of HTTP-date; false when it is none. Years of two digits turn
 * at 1970. */
bool http_date_read(struct bytes, int64_t *unix_s);

/* Retry-After: seconds or HTTP-date. Seconds from now, 0 for a date past;
 * saturates at UINT32_MAX; false when malformed. */
bool http_retry_after_read(struct bytes, int64_t unix_now_s, uint32_t *seconds);

/* Whether a comma-separated list ("Connection", "Vary") has the token; case
 * does not matter. */
bool http_list_has(struct bytes list, struct bytes token);
/* Takes the next element off a comma-separated list, empty ones skipped and
 * commas inside quotes respected. */
bool http_list_next(struct bytes *rest, struct bytes *element);

/* Cache-Control (RFC 9111 section 5.2, RFC 5861, RFC 8246); one struct serves
 * requests and responses. Seconds; -1: not given. An unparsable or negative
 * number, or none where one belongs, counts as 0 (stale); one too large as
 * INT32_MAX; of several the first. `no_cache` and `private_` are set also when
 * they come with a list of fields, which the _fields flags then tell: whoever
 * does not handle such lists is safe with the first alone. */
struct http_cache_control {
    int32_t max_age, s_maxage, stale_while_revalidate, stale_if_error;
    int32_t max_stale, min_fresh; /* requests; max_stale without a value: INT32_MAX */
    bool no_store, no_cache, private_, public_;
    bool must_revalidate, proxy_revalidate, must_understand, only_if_cached, no_transform;
    bool immutable;
    bool no_cache_fields, private_fields; /* given with a list of fields */
};
void http_cache_control_init(struct http_cache_control *);
/* Adds the directives of one field value; call once for each such field. */
void http_cache_control_add(struct http_cache_control *, struct bytes value);

#endif
