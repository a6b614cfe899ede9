/* Escaping runs over whole stretches of plain bytes, eight at a time, because
 * nearly every string of a log line or an answer needs no escape at all. */
#include "base/json_out.h"

#include <assert.h>
#include <math.h>

static size_t plain_run(const char *p, const char *end);
static bool is_plain_byte(unsigned char);
static bool is_plain_word(const char *p);
static void escape_byte(struct buf *, unsigned char);
static void begin_value(struct json_out *);
static void open_level(struct json_out *, bool is_object);
static void close_level(struct json_out *, bool is_object);

void json_init(struct json_out *j, struct buf *to) {
    *j = (struct json_out){.to = to};
}

bool json_done(const struct json_out *j) {
    assert(j->depth == 0 && !j->after_key);
    return !j->to->failed;
}

void json_object(struct json_out *j) {
    open_level(j, true);
}

void json_object_end(struct json_out *j) {
    close_level(j, true);
}

void json_array(struct json_out *j) {
    open_level(j, false);
}

void json_array_end(struct json_out *j) {
    close_level(j, false);
}

void json_key(struct json_out *j, const char *key) {
    json_key_bytes(j, bytes_of(key));
}

void json_key_bytes(struct json_out *j, struct bytes key) {
    assert(j->depth && (j->is_object >> (j->depth - 1) & 1) && !j->after_key);
    if (j->comma)
        buf_char(j->to, ',');
    buf_char(j->to, '"');
    json_escape(j->to, key);
    buf_literal(j->to, "\":");
    j->after_key = true;
}

void json_string(struct json_out *j, const char *s) {
    if (s)
        json_bytes(j, bytes_of(s));
    else
        json_null(j);
}

void json_bytes(struct json_out *j, struct bytes b) {
    begin_value(j);
    buf_char(j->to, '"');
    json_escape(j->to, b);
    buf_char(j->to, '"');
}

void json_int(struct json_out *j, int64_t n) {
    begin_value(j);
    buf_int(j->to, n);
}

void json_uint(struct json_out *j, uint64_t n) {
    begin_value(j);
    buf_uint(j->to, n);
}

void json_double(struct json_out *j, double n) {
    if (!isfinite(n)) {
        json_null(j);
        return;
    }
    begin_value(j);
    buf_double(j->to, n);
}

void json_fixed(struct json_out *j, double n, int decimals) {
    if (!isfinite(n)) {
        json_null(j);
        return;
    }
    begin_value(j);
    buf_printf(j->to, "%.*f", decimals, n);
}

void json_bool(struct json_out *j, bool value) {
    begin_value(j);
    buf_string(j->to, value ? "true" : "false");
}

void json_null(struct json_out *j) {
    begin_value(j);
    buf_literal(j->to, "null");
}

void json_raw(struct json_out *j, struct bytes value) {
    begin_value(j);
    buf_bytes(j->to, value);
}

void json_key_string(struct json_out *j, const char *key, const char *value) {
    json_key(j, key);
    json_string(j, value);
}

void json_key_int(struct json_out *j, const char *key, int64_t value) {
    json_key(j, key);
    json_int(j, value);
}

void json_key_uint(struct json_out *j, const char *key, uint64_t value) {
    json_key(j, key);
    json_uint(j, value);
}

void json_key_double(struct json_out *j, const char *key, double value) {
    json_key(j, key);
    json_double(j, value);
}

void json_key_bool(struct json_out *j, const char *key, bool value) {
    json_key(j, key);
    json_bool(j, value);
}

void json_key_null(struct json_out *j, const char *key) {
    json_key(j, key);
    json_null(j);
}

void json_key_object(struct json_out *j, const char *key) {
    json_key(j, key);
    json_object(j);
}

void json_key_array(struct json_out *j, const char *key) {
    json_key(j, key);
    json_array(j);
}

void json_escape(struct buf *to, struct bytes b) {
    const char *p = b.at, *end = b.at + b.len, *clean = p;
    while ((p += plain_run(p, end)) < end) {
        unsigned len = (unsigned char)*p >= 0x80 ? utf8_length(p, end) : 0;
        if (len) {
            p += len;
            continue;
        }
        buf_append(to, clean, (size_t)(p - clean));
        escape_byte(to, (unsigned char)*p);
        clean = ++p;
    }
    buf_append(to, clean, (size_t)(p - clean));
}

unsigned utf8_length(const char *at, const char *end) {
    const unsigned char *p = (const unsigned char *)at;
    size_t left = (size_t)(end - at);
    if (left == 0)
        return 0;
    if (p[0] < 0x80)
        return 1;
    /* The second byte's range excludes overlong forms, surrogates and what is
     * beyond U+10FFFF (RFC 3629, section 4). */
    unsigned len = p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : p[0] < 0xf5 ? 4 : 0;
    if (!len || left < len)
        return 0;
    unsigned char low = p[0] == 0xe0 ? 0xa0 : p[0] == 0xf0 ? 0x90 : 0x80;
    unsigned char high = p[0] == 0xed ? 0x9f : p[0] == 0xf4 ? 0x8f : 0xbf;
    if (p[1] < low || p[1] > high)
        return 0;
    for (unsigned i = 2; i < len; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    return len;
}

/* The first byte left out must not be a continuation, which 10xxxxxx is; a
 * character has at most three. */
size_t utf8_cut(const char *text, size_t len) {
    for (size_t back = 0; back <= 3 && back <= len; back++)
        if (((unsigned char)text[len - back] & 0xc0) != 0x80)
            return len - back;
    return len;
}

/* How many bytes from p on stand for themselves: printable ASCII but for the
 * quote and the backslash. */
static size_t plain_run(const char *p, const char *end) {
    const char *start = p;
    while (end - p >= 8 && is_plain_word(p))
        p += 8;
    while (p < end && is_plain_byte((unsigned char)*p))
        p++;
    return (size_t)(p - start);
}

static bool is_plain_byte(unsigned char c) {
    return c >= ' ' && c < 0x7f && c != '"' && c != '\\';
}

/* Eight bytes at once. The high bit of a byte is set, in what is or-ed, when
 * the byte is above 0x7f, below 0x20, 0x7f, a quote or a backslash; a borrow
 * from the byte below may set one too many, and never one too few. */
static bool is_plain_word(const char *p) {
    const uint64_t ones = UINT64_MAX / 0xff;
    uint64_t w;
    memcpy(&w, p, sizeof(w));
    uint64_t quote = w ^ ones * '"', backslash = w ^ ones * '\\', del = w ^ ones * 0x7f;
    uint64_t found = w | (w - ones * ' ') | (quote - ones) | (backslash - ones) | (del - ones);
    return !(found & ones * 0x80);
}

static void escape_byte(struct buf *to, unsigned char c) {
    static const char hex[] = "0123456789abcdef";
    const char *at = c ? strchr("\"\"\\\\\nn\rr\tt\bb\ff", c) : NULL;
    char text[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
    if (c >= 0x80) {
        buf_literal(to, "\\ufffd");
    } else if (at) {
        text[1] = at[1];
        buf_append(to, text, 2);
    } else {
        buf_append(to, text, sizeof(text));
    }
}

static void begin_value(struct json_out *j) {
    bool in_object = j->depth && (j->is_object >> (j->depth - 1) & 1);
    assert(j->after_key == in_object); /* a member needs a key, an element none */
    assert(j->depth || !j->comma);     /* one value at the top */
    if (j->comma && !j->after_key)
        buf_char(j->to, ',');
    j->after_key = false;
    j->comma = true;
}

static void open_level(struct json_out *j, bool is_object) {
    begin_value(j);
    assert(j->depth < JSON_DEPTH_MAX);
    if (is_object)
        j->is_object |= UINT32_C(1) << j->depth;
    else
        j->is_object &= ~(UINT32_C(1) << j->depth);
    j->depth++;
    j->comma = false;
    buf_char(j->to, is_object ? '{' : '[');
}

static void close_level(struct json_out *j, bool is_object) {
    assert(j->depth && (j->is_object >> (j->depth - 1) & 1) == is_object && !j->after_key);
    j->depth--;
    j->comma = true;
    buf_char(j->to, is_object ? '}' : ']');
}
