/* The head is parsed in one go, as soon as all of it is there: in a speed run
 * that is nearly always straight out of the caller's read buffer, so nothing
 * is copied. Only a head that came in pieces is put together in `partial`. */
#include "message.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static ssize_t take_head(struct message *, const char *p, size_t n);
static ssize_t take_partial_head(struct message *, const char *p, size_t n);
static ssize_t take_counted(struct message *, size_t n, enum message_state next);
static ssize_t take_chunk_size(struct message *, const char *p, size_t n);
static ssize_t take_chunk_end(struct message *, const char *p, size_t n);
static ssize_t take_trailers(struct message *, const char *p, size_t n);
static int parse_head(struct message *, const char *head, size_t n);

void message_begin(struct message *m, enum message_kind kind) {
    char *partial = m->partial;

    memset(m, 0, sizeof(*m));
    m->kind = kind;
    m->source = '-';
    m->partial = partial; /* the buffer of a connection's last message serves again */
}

static ssize_t take_some(struct message *m, const char *p, size_t n) {
    switch (m->state) {
    case MESSAGE_HEAD:
        return m->partial_len > 0 ? take_partial_head(m, p, n) : take_head(m, p, n);
    case MESSAGE_LENGTH:
        return take_counted(m, n, MESSAGE_DONE);
    case MESSAGE_CHUNK_SIZE:
        return take_chunk_size(m, p, n);
    case MESSAGE_CHUNK_DATA:
        return take_counted(m, n, MESSAGE_CHUNK_END);
    case MESSAGE_CHUNK_END:
        return take_chunk_end(m, p, n);
    case MESSAGE_TRAILERS:
        return take_trailers(m, p, n);
    case MESSAGE_UNTIL_CLOSE:
        m->body += n;
        return (ssize_t)n;
    case MESSAGE_DONE:
        break;
    }
    return 0;
}

ssize_t message_feed(struct message *m, const char *p, size_t n) {
    size_t used = 0;

    while (used < n && m->state != MESSAGE_DONE) {
        ssize_t took = take_some(m, p + used, n - used);
        if (took < 0)
            return took;
        used += (size_t)took;
    }
    return (ssize_t)used;
}

bool message_close(struct message *m) {
    if (m->state == MESSAGE_UNTIL_CLOSE)
        m->state = MESSAGE_DONE;
    return m->state == MESSAGE_DONE;
}

void message_end(struct message *m) {
    free(m->partial);
    m->partial = NULL;
}

static ssize_t take_head(struct message *m, const char *p, size_t n) {
    const char *end = memmem(p, n, "\r\n\r\n", 4);

    if (end != NULL) {
        size_t len = (size_t)(end - p) + 4;
        int err = parse_head(m, p, len);
        return err != 0 ? err : (ssize_t)len;
    }
    if (n >= MESSAGE_HEAD_MAX)
        return -EMSGSIZE;
    if (m->partial == NULL && (m->partial = malloc(MESSAGE_HEAD_MAX)) == NULL)
        return -ENOMEM;
    memcpy(m->partial, p, n);
    m->partial_len = n;
    return (ssize_t)n;
}

static ssize_t take_partial_head(struct message *m, const char *p, size_t n) {
    size_t had = m->partial_len;
    size_t room = MESSAGE_HEAD_MAX - had;
    size_t add = n < room ? n : room;

    memcpy(m->partial + had, p, add);
    m->partial_len += add;
    /* the end may straddle the seam */
    size_t from = had > 3 ? had - 3 : 0;
    const char *end = memmem(m->partial + from, m->partial_len - from, "\r\n\r\n", 4);
    if (end == NULL)
        return m->partial_len < MESSAGE_HEAD_MAX ? (ssize_t)add : -EMSGSIZE;
    size_t len = (size_t)(end - m->partial) + 4;
    int err = parse_head(m, m->partial, len);
    m->partial_len = 0;
    return err != 0 ? err : (ssize_t)(len - had);
}

static ssize_t take_counted(struct message *m, size_t n, enum message_state next) {
    size_t took = n < m->left ? n : (size_t)m->left;

    m->left -= took;
    m->body += took;
    if (m->left == 0)
        m->state = next;
    return (ssize_t)took;
}

static int hex_value(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A size of up to 15 digits, perhaps an extension, CR LF. line_len counts the
 * digits until something else comes, and is then past 16. */
static ssize_t take_chunk_size(struct message *m, const char *p, size_t n) {
    for (size_t i = 0; i < n; i++) {
        int digit = hex_value(p[i]);
        if (p[i] == '\n') {
            if (m->line_len == 0)
                return -EBADMSG;
            m->state = m->left > 0 ? MESSAGE_CHUNK_DATA : MESSAGE_TRAILERS;
            m->line_len = 0;
            return (ssize_t)i + 1;
        }
        if (m->line_len <= 16 && digit >= 0) {
            if (++m->line_len > 15)
                return -EBADMSG;
            m->left = m->left * 16 + (unsigned)digit;
        } else if (m->line_len == 0) {
            return -EBADMSG;
        } else {
            m->line_len = 17;
        }
    }
    return (ssize_t)n;
}

static ssize_t take_chunk_end(struct message *m, const char *p, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (p[i] == '\n') {
            m->state = MESSAGE_CHUNK_SIZE;
            m->left = 0;
            m->line_len = 0;
            return (ssize_t)i + 1;
        }
        if (p[i] != '\r')
            return -EBADMSG;
    }
    return (ssize_t)n;
}

static ssize_t take_trailers(struct message *m, const char *p, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (p[i] == '\n') {
            if (m->line_len == 0) {
                m->state = MESSAGE_DONE;
                return (ssize_t)i + 1;
            }
            m->line_len = 0;
        } else if (p[i] != '\r') {
            m->line_len++;
        }
    }
    return (ssize_t)n;
}

static int parse_decimal(const char *p, size_t n, uint64_t *out) {
    uint64_t value = 0;

    if (n == 0 || n > 18)
        return -EBADMSG;
    for (size_t i = 0; i < n; i++) {
        if (p[i] < '0' || p[i] > '9')
            return -EBADMSG;
        value = value * 10 + (unsigned)(p[i] - '0');
    }
    *out = value;
    return 0;
}

static bool name_is(const char *name, size_t n, const char *wanted, size_t wanted_len) {
    return n == wanted_len && strncasecmp(name, wanted, n) == 0;
}
#define NAME_IS(name, n, wanted) name_is(name, n, wanted, sizeof(wanted) - 1)

struct framing {
    bool chunked, counted;
};

static int take_field(struct message *m, struct framing *f, const char *name, size_t name_len,
                      const char *value, size_t len) {
    if (NAME_IS(name, name_len, "Content-Length")) {
        f->counted = true;
        return parse_decimal(value, len, &m->left);
    }
    if (NAME_IS(name, name_len, "Transfer-Encoding")) {
        f->chunked = len == 7 && strncasecmp(value, "chunked", 7) == 0;
        return f->chunked ? 0 : -EBADMSG;
    }
    if (NAME_IS(name, name_len, "Connection")) {
        if (len == 5 && strncasecmp(value, "close", 5) == 0)
            m->close = true;
        else if (len == 10 && strncasecmp(value, "keep-alive", 10) == 0)
            m->close = false;
    } else if (NAME_IS(name, name_len, "X-Upstream") && len > 0) {
        m->source = value[0];
    } else if (NAME_IS(name, name_len, "X-Request-Number")) {
        m->numbered = true;
        return parse_decimal(value, len, &m->number);
    }
    return 0;
}

static int parse_fields(struct message *m, struct framing *f, const char *p, const char *end) {
    while (p < end) {
        const char *eol = memchr(p, '\r', (size_t)(end - p));
        if (eol == NULL || eol == p)
            break;
        const char *colon = memchr(p, ':', (size_t)(eol - p));
        if (colon == NULL)
            return -EBADMSG;
        const char *value = colon + 1;
        while (value < eol && (*value == ' ' || *value == '\t'))
            value++;
        int err = take_field(m, f, p, (size_t)(colon - p), value, (size_t)(eol - value));
        if (err != 0)
            return err;
        p = eol + 2;
    }
    return 0;
}

/* "HTTP/1.1 200 OK" */
static int parse_status_line(struct message *m, const char *p, size_t n) {
    uint64_t status;

    if (n < 12 || memcmp(p, "HTTP/1.", 7) != 0 || p[8] != ' ')
        return -EBADMSG;
    if (parse_decimal(p + 9, 3, &status) != 0)
        return -EBADMSG;
    m->status = (int)status;
    m->close = p[7] == '0';
    return 0;
}

static void copy_cut(char *to, size_t size, const char *from, size_t n) {
    size_t len = n < size - 1 ? n : size - 1;

    memcpy(to, from, len);
    to[len] = '\0';
}

/* "POST /path HTTP/1.1" */
static int parse_request_line(struct message *m, const char *p, size_t n) {
    const char *sp = memchr(p, ' ', n);
    const char *last = sp != NULL ? memchr(sp + 1, ' ', (size_t)(p + n - sp - 1)) : NULL;

    if (last == NULL || p + n - last != 9 || memcmp(last + 1, "HTTP/1.", 7) != 0)
        return -EBADMSG;
    copy_cut(m->method, sizeof(m->method), p, (size_t)(sp - p));
    copy_cut(m->path, sizeof(m->path), sp + 1, (size_t)(last - sp - 1));
    m->close = last[8] == '0';
    return 0;
}

static void choose_framing(struct message *m, const struct framing *f) {
    bool bodiless = m->kind == MESSAGE_RESPONSE && (m->status == 204 || m->status == 304);

    if (m->kind == MESSAGE_RESPONSE && m->status < 200) { /* 1xx: the real head follows */
        message_begin(m, m->kind);
    } else if (bodiless) {
        m->state = MESSAGE_DONE;
    } else if (f->chunked) {
        m->left = 0;
        m->line_len = 0;
        m->state = MESSAGE_CHUNK_SIZE;
    } else if (f->counted) {
        m->state = m->left > 0 ? MESSAGE_LENGTH : MESSAGE_DONE;
    } else if (m->kind == MESSAGE_REQUEST) {
        m->state = MESSAGE_DONE;
    } else {
        m->state = MESSAGE_UNTIL_CLOSE;
        m->close = true;
    }
}

static int parse_head(struct message *m, const char *head, size_t n) {
    const char *eol = memchr(head, '\r', n);
    size_t line = (size_t)(eol - head); /* there is one: the head ends with CR LF CR LF */
    struct framing f = {false, false};
    int err;

    if (m->kind == MESSAGE_RESPONSE)
        err = parse_status_line(m, head, line);
    else
        err = parse_request_line(m, head, line);
    if (err == 0)
        err = parse_fields(m, &f, eol + 2, head + n);
    if (err == 0 && f.chunked && f.counted)
        err = -EBADMSG;
    if (err == 0)
        choose_framing(m, &f);
    return err;
}
