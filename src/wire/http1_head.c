/* http1_head.c - request and status lines and fields. RFC 9112 sections 2 to 6.
 *
 * One pass, left to right, no copy: a field's name is looked up, and what it
 * says about framing is taken in, while the line is still in the cache.
 *
 * Bytes come in pieces, and a parser that starts again with each piece would
 * cost the square of the head's length; one that keeps its place would hold
 * pointers into a buffer that moves. So it starts again, but seldom: only when
 * the new bytes hold one that *decides* something (CHAR_DECIDES: LF, or a
 * control character that is an error anywhere). A head sent byte by byte is
 * looked at once, and parsed once a line.
 *
 * The same rule makes the answer independent of the pieces. The pass can see
 * errors in a line that is not complete yet ("G@T"); it keeps them to itself
 * until the line holds a deciding byte, or the limit is reached. Whatever the
 * pass finds up to a byte, it finds by looking at no byte after it.
 *
 * Helpers return 0, an enum http1_error, or MORE. */
#include "wire/chars.h"
#include "wire/http1.h"
#include "wire/http_uri.h"

enum { MORE = -1, METHOD_MAX = 32, LENGTH_DIGITS_MAX = 19 };

struct parser {
    const char *at, *end; /* what is left; end is cut at limits->head_bytes */
    const char *line;     /* where the line in hand starts */
    const struct http1_limits *limits;
    struct http1_head *head;
    bool is_request;
    bool host, chunked;
    size_t length_digits;                         /* of the Content-Length that came first */
    bool close, kept, names_upgrade, has_upgrade; /* from Connection and Upgrade */
};

/* ---- what fields mean --------------------------------------------------- */

/* Digits only: no sign, no space, no empty value. 19 of them stay below 10^19;
 * the bound of INT64_MAX lets callers count with signed numbers too. */
static bool read_length(struct bytes text, uint64_t *length) {
    if (text.len == 0 || text.len > LENGTH_DIGITS_MAX)
        return false;
    *length = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (!char_is(text.at[i], CHAR_DIGIT))
            return false;
        *length = *length * 10 + (uint64_t)(text.at[i] - '0');
    }
    return *length <= INT64_MAX;
}

/* The same length again must be spelt the same: of "00" and "0", another reader
 * may say that they differ, and end the message elsewhere. */
static int note_length(struct parser *p, struct bytes text) {
    struct http1_head *head = p->head;
    uint64_t length;
    if (!read_length(text, &length))
        return HTTP1_BAD_CONTENT_LENGTH;
    if (head->has_content_length &&
        (length != head->content_length || text.len != p->length_digits))
        return HTTP1_BAD_CONTENT_LENGTH;
    head->has_content_length = true;
    head->content_length = length;
    p->length_digits = text.len;
    return 0;
}

/* Repeats of one number, in a list or in several fields, are let pass in
 * responses (RFC 9112 section 6.3 rule 5): old servers behind old proxies do
 * it. A request with them is either broken or an attack. */
static int note_content_length(struct parser *p, struct bytes value) {
    if (p->is_request)
        return p->head->has_content_length ? HTTP1_BAD_CONTENT_LENGTH : note_length(p, value);
    const char *comma;
    while ((comma = memchr(value.at, ',', value.len))) {
        struct bytes part = {value.at, (size_t)(comma - value.at)};
        int error = note_length(p, bytes_trim(part));
        if (error)
            return error;
        value.len -= part.len + 1;
        value.at = comma + 1;
    }
    return note_length(p, bytes_trim(value));
}

/* 501 where the sender means well: chunked comes last if at all, and the rest
 * are codings we do not know. 400 where the list makes no sense. */
static int note_unusual_encoding(struct bytes value) {
    struct bytes coding;
    bool chunked = false, other = false;
    if (value.len && value.at[value.len - 1] == ',') /* bytes_split() would not see it */
        return HTTP1_BAD_TRANSFER_ENCODING;
    while (bytes_split(&value, ',', &coding)) {
        coding = bytes_trim(coding);
        bool token = coding.len &&
                     chars_skip_token(coding.at, coding.at + coding.len) == coding.at + coding.len;
        if (!token || chunked || bytes_equal_nocase(coding, BYTES("identity")))
            return HTTP1_BAD_TRANSFER_ENCODING;
        chunked = bytes_equal_nocase(coding, BYTES("chunked"));
        other |= !chunked;
    }
    return other ? HTTP1_UNKNOWN_TRANSFER_CODING : HTTP1_BAD_TRANSFER_ENCODING;
}

static int note_transfer_encoding(struct parser *p, struct bytes value) {
    if (p->head->minor == 0)
        return HTTP1_CHUNKED_IN_HTTP10;
    if (p->chunked)
        return HTTP1_BAD_TRANSFER_ENCODING;
    if (!bytes_equal_nocase(value, BYTES("chunked")))
        return note_unusual_encoding(value);
    p->chunked = true;
    return 0;
}

static void note_option(struct parser *p, struct bytes option) {
    switch (option.len) {
    case 5:
        p->close |= bytes_equal_nocase(option, BYTES("close"));
        break;
    case 7:
        p->names_upgrade |= bytes_equal_nocase(option, BYTES("upgrade"));
        break;
    case 10:
        p->kept |= bytes_equal_nocase(option, BYTES("keep-alive"));
        break;
    }
}

static void note_connection(struct parser *p, struct bytes value) {
    struct bytes option;
    if (!memchr(value.at, ',', value.len)) /* nearly always */
        note_option(p, value);
    else
        while (http_list_next(&value, &option))
            note_option(p, option);
}

static void note_expect(struct http1_head *head, struct bytes value) {
    struct bytes expectation;
    while (http_list_next(&value, &expectation)) {
        if (!bytes_equal_nocase(expectation, BYTES("100-continue")))
            head->expect_unknown = true;
        else if (head->minor > 0) /* RFC 9110 section 10.1.1: ignored in 1.0 */
            head->expect_continue = true;
    }
}

static int note_field(struct parser *p, const struct http_field *field) {
    switch (field->id) {
    case HTTP_HOST:
        if (p->is_request && (p->host || !http_host_is_valid(field->value)))
            return HTTP1_BAD_HOST;
        p->host = true;
        return 0;
    case HTTP_CONTENT_LENGTH:
        return note_content_length(p, field->value);
    case HTTP_TRANSFER_ENCODING:
        return note_transfer_encoding(p, field->value);
    case HTTP_CONNECTION:
        note_connection(p, field->value);
        return 0;
    case HTTP_UPGRADE:
        p->has_upgrade |= field->value.len > 0;
        return 0;
    case HTTP_EXPECT:
        note_expect(p->head, field->value);
        return 0;
    case HTTP_TE:
        p->head->te_trailers |= http_list_has(field->value, BYTES("trailers"));
        return 0;
    default:
        return 0;
    }
}

/* ---- lines -------------------------------------------------------------- */

/* What a byte that should not be where it is makes of its line. A CR says no
 * more than that something is missing before it. */
static int error_at(const char *at, int error) {
    return *at == '\n' ? HTTP1_BAD_LINE_END : error;
}

/* CR LF at p->at, and past it; `error` for any byte that is neither. */
static inline int end_line(struct parser *p, int error) {
    if (p->at == p->end)
        return MORE;
    if (*p->at != '\r')
        return error_at(p->at, error);
    if (p->end - p->at < 2)
        return MORE;
    if (p->at[1] != '\n')
        return HTTP1_BAD_LINE_END;
    p->at += 2;
    p->line = p->at;
    return 0;
}

/* A line that is not a token and a colon. It may be one still, if it has no
 * colon yet. */
static int no_name(const struct parser *p) {
    const char *stop = chars_skip_token(p->line, p->end);
    if (stop == p->end)
        return MORE;
    if (stop == p->line && (*stop == ' ' || *stop == '\t'))
        return HTTP1_FOLDED_FIELD;
    return error_at(stop, HTTP1_BAD_FIELD_NAME);
}

/* "name:" at p->at, and past it. A name that is found in the table need not be
 * looked at byte by byte: it is a token. */
static inline int parse_name(struct parser *p, struct http_field *field) {
    const char *name = p->at, *colon = chars_find_colon(name, p->end);
    if (colon == p->end)
        return no_name(p);
    field->name = (struct bytes){name, (size_t)(colon - name)};
    field->id = (uint8_t)http_field_of(field->name);
    if (field->id == HTTP_FIELD_OTHER && (colon == name || chars_skip_token(name, colon) != colon))
        return no_name(p);
    p->at = colon + 1;
    return 0;
}

/* The rest of the line, and past it. */
static inline int parse_value(struct parser *p, struct http_field *field) {
    const char *value = p->at;
    while (value < p->end && (*value == ' ' || *value == '\t'))
        value++;
    const char *last = p->at = chars_skip_value(value, p->end);
    while (last > value && (last[-1] == ' ' || last[-1] == '\t'))
        last--;
    field->value = (struct bytes){value, (size_t)(last - value)};
    return end_line(p, HTTP1_BAD_FIELD_VALUE);
}

/* All fields, and the empty line after them. */
static int parse_fields(struct parser *p) {
    struct http1_head *head = p->head;
    while (p->at < p->end) {
        if (*p->at == '\r')
            return end_line(p, 0);
        struct http_field field;
        int error = parse_name(p, &field);
        if (error)
            return error;
        if (head->field_count == p->limits->fields)
            return HTTP1_TOO_MANY_FIELDS;
        const char *line = p->line;
        error = parse_value(p, &field);
        if (error)
            return error;
        head->fields[head->field_count++] = field;
        error = note_field(p, &field);
        if (error) {
            p->line = line; /* it is this line's error, and the line is complete */
            return error;
        }
    }
    return MORE;
}

/* "HTTP/1.x". A byte that does not fit is `error`; another version is its own. */
static int parse_version(struct parser *p, int error) {
    static const char pattern[] = "HTTP/0.0";
    const char *at = p->at;
    if (p->end - at >= 8 && memcmp(at, "HTTP/1.1", 8) == 0) {
        p->head->minor = 1;
        p->at += 8;
        return 0;
    }
    for (int i = 0; i < 8; i++) {
        if (at + i == p->end)
            return MORE;
        if (pattern[i] == '0' ? !char_is(at[i], CHAR_DIGIT) : at[i] != pattern[i])
            return error_at(at + i, error);
    }
    if (at[5] != '1')
        return HTTP1_BAD_VERSION;
    p->head->minor = at[7] != '0';
    p->at += 8;
    return 0;
}

static int parse_method(struct parser *p) {
    const char *start = p->at;
    const char *stop = chars_skip_token(start, p->end);
    if (stop - start > METHOD_MAX)
        return HTTP1_BAD_METHOD;
    if (stop == p->end)
        return MORE;
    if (*stop != ' ')
        return error_at(stop, *stop == '\r' ? HTTP1_BAD_REQUEST_LINE : HTTP1_BAD_METHOD);
    if (stop == start)
        return HTTP1_BAD_METHOD;
    p->head->method_text = (struct bytes){start, (size_t)(stop - start)};
    p->head->method = http_method_of(p->head->method_text);
    p->at = stop + 1;
    return 0;
}

static int parse_target(struct parser *p) {
    const char *start = p->at;
    const char *stop = chars_skip_target(start, p->end);
    if ((size_t)(stop - start) > p->limits->target)
        return HTTP1_TARGET_TOO_LONG;
    if (stop == p->end)
        return MORE;
    if (*stop != ' ') /* "GET /" and the line's end is HTTP/0.9 */
        return error_at(stop, *stop == '\r' ? HTTP1_BAD_REQUEST_LINE : HTTP1_BAD_TARGET);
    if (stop == start)
        return HTTP1_BAD_REQUEST_LINE;
    p->head->target = (struct bytes){start, (size_t)(stop - start)};
    p->at = stop + 1;
    return 0;
}

/* RFC 9112 section 3.2: one of four forms, and none for the wrong method. */
static bool target_has_form(const struct http1_head *head) {
    if (head->method == HTTP_CONNECT)
        return http_target_is_authority(head->target);
    if (head->target.at[0] == '/')
        return true;
    if (head->target.at[0] == '*')
        return head->target.len == 1 && head->method == HTTP_OPTIONS;
    return http_target_is_absolute(head->target);
}

/* RFC 9112 section 2.2: one empty line before a request is forgiven. */
static int skip_empty_line(struct parser *p) {
    if (p->at < p->end && (*p->at == '\r' || *p->at == '\n'))
        return end_line(p, 0);
    return 0;
}

static int parse_request_line(struct parser *p) {
    const char *start = p->at;
    int error = parse_method(p);
    if (!error)
        error = parse_target(p);
    if (!error)
        error = parse_version(p, HTTP1_BAD_REQUEST_LINE);
    if (!error)
        error = end_line(p, HTTP1_BAD_REQUEST_LINE);
    if (!error && !target_has_form(p->head)) {
        p->line = start;
        error = HTTP1_BAD_TARGET;
    }
    return error;
}

/* SP status, and SP reason or nothing: many servers leave out the last space
 * with the reason, and nobody reads that differently. */
static int parse_status(struct parser *p) {
    int status = 0;
    for (int i = 0; i < 4; i++) {
        if (p->at + i == p->end)
            return MORE;
        char c = p->at[i];
        if (i == 0 ? c != ' ' : !char_is(c, CHAR_DIGIT))
            return error_at(p->at + i, HTTP1_BAD_STATUS_LINE);
        status = i == 0 ? 0 : status * 10 + (c - '0');
    }
    if (status < 100)
        return HTTP1_BAD_STATUS_LINE;
    p->head->status = status;
    p->at += 4;
    return 0;
}

static int parse_status_line(struct parser *p) {
    int error = parse_version(p, HTTP1_BAD_STATUS_LINE);
    if (!error)
        error = parse_status(p);
    if (error)
        return error;
    if (p->at < p->end && *p->at == ' ') {
        const char *start = ++p->at;
        p->at = chars_skip_value(start, p->end);
        p->head->reason = (struct bytes){start, (size_t)(p->at - start)};
    }
    return end_line(p, HTTP1_BAD_STATUS_LINE);
}

/* ---- whole heads -------------------------------------------------------- */

static bool has_deciding(const char *at, const char *end) {
    while (at < end)
        if (char_is(*at++, CHAR_DECIDES))
            return true;
    return false;
}

static int finish_common(struct parser *p) {
    struct http1_head *head = p->head;
    if (p->chunked && head->has_content_length)
        return HTTP1_LENGTH_AND_CHUNKED;
    head->framing = p->chunked                 ? HTTP1_BODY_CHUNKED
                    : head->has_content_length ? HTTP1_BODY_LENGTH
                                               : HTTP1_BODY_NONE;
    head->keep_alive = !p->close && (head->minor > 0 || p->kept);
    head->upgrade = p->has_upgrade && p->names_upgrade && head->minor > 0;
    return 0;
}

static int finish_request(struct parser *p) {
    if (!p->host && p->head->minor > 0)
        return HTTP1_BAD_HOST;
    if (p->head->expect_unknown)
        p->head->expect_continue = false;
    return finish_common(p);
}

/* RFC 9112 section 6.3. */
static int finish_response(struct parser *p, enum http_method request) {
    struct http1_head *head = p->head;
    int error = finish_common(p);
    if (error)
        return error;
    if (request == HTTP_HEAD || head->status < 200 || head->status == 204 || head->status == 304 ||
        (request == HTTP_CONNECT && head->status < 300)) {
        head->framing = HTTP1_BODY_NONE;
    } else if (head->framing == HTTP1_BODY_NONE) {
        head->framing = HTTP1_BODY_UNTIL_CLOSE;
        head->keep_alive = false;
    }
    return 0;
}

/* Sets up *p and *head. False when the new bytes cannot change the answer from
 * "more": that is what `seen` is for. */
static bool begin(struct parser *p, bool is_request, const char *data, size_t len, size_t seen,
                  const struct http1_limits *limits, struct http1_head *head) {
    size_t have = len < limits->head_bytes ? len : limits->head_bytes;
    if (len == 0)
        return false;
    if (seen > 0 && len < limits->head_bytes && seen <= len &&
        !has_deciding(data + seen, data + len))
        return false;
    struct http_field *fields = head->fields;
    *head = (struct http1_head){.fields = fields};
    *p = (struct parser){.at = data,
                         .end = data + have,
                         .line = data,
                         .limits = limits,
                         .head = head,
                         .is_request = is_request};
    return true;
}

/* Turns what the pass found into what the caller is told. */
static enum http1_error conclude(const struct parser *p, int error, const char *data,
                                 size_t *used) {
    bool full = (size_t)(p->end - data) >= p->limits->head_bytes;
    if (error == 0) {
        *used = (size_t)(p->at - data);
        return HTTP1_OK;
    }
    if (error == MORE)
        return full ? HTTP1_HEAD_TOO_LARGE : HTTP1_OK;
    return full || has_deciding(p->line, p->end) ? (enum http1_error)error : HTTP1_OK;
}

enum http1_error http1_parse_request(const char *data, size_t len, size_t seen,
                                     const struct http1_limits *limits, struct http1_head *head,
                                     size_t *used) {
    struct parser p;
    *used = 0;
    if (!begin(&p, true, data, len, seen, limits, head))
        return HTTP1_OK;
    int error = skip_empty_line(&p);
    if (!error)
        error = parse_request_line(&p);
    if (!error)
        error = parse_fields(&p);
    if (!error && (error = finish_request(&p)))
        p.line = data; /* the head is complete, and the error is the whole head's */
    return conclude(&p, error, data, used);
}

enum http1_error http1_parse_response(const char *data, size_t len, size_t seen,
                                      enum http_method request, const struct http1_limits *limits,
                                      struct http1_head *head, size_t *used) {
    struct parser p;
    *used = 0;
    if (!begin(&p, false, data, len, seen, limits, head))
        return HTTP1_OK;
    int error = parse_status_line(&p);
    if (!error)
        error = parse_fields(&p);
    if (!error && (error = finish_response(&p, request)))
        p.line = data;
    return conclude(&p, error, data, used);
}
