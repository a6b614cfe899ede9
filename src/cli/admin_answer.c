/* admin_answer.c - see admin_answer.h. */
#include "cli/admin_answer.h"

#include <errno.h>

enum { HEAD_MAX = 64 << 10, FIELDS_MAX = 100 };

void admin_answer_init(struct admin_answer *a, enum http_method method, struct buf *content) {
    *a = (struct admin_answer){.method = method, .content = content};
    buf_init(&a->raw, HEAD_MAX + 32768);
}

void admin_answer_free(struct admin_answer *a) {
    buf_free(&a->raw);
}

/* -EPROTO, or 0 with *at moved behind the head, if that is whole. */
static int take_head(struct admin_answer *a, const char **at, const char *end) {
    const struct http1_limits limits = {HEAD_MAX, HEAD_MAX, FIELDS_MAX, HEAD_MAX};
    struct http_field fields[FIELDS_MAX];
    struct http1_head head = {.fields = fields};
    while (!a->status) {
        size_t len = (size_t)(end - *at), used;
        if (http1_parse_response(*at, len, a->seen, a->method, &limits, &head, &used))
            return -EPROTO;
        a->seen = used ? 0 : len;
        if (!used)
            break;
        *at += used;
        if (head.status >= 200) {
            a->status = head.status;
            http1_body_init(&a->body, head.framing, head.content_length, NULL, 0);
        }
    }
    return 0;
}

int admin_answer_take(struct admin_answer *a) {
    const char *at = a->raw.at, *end = a->raw.at + a->raw.len;
    int error = a->raw.failed ? -EMSGSIZE : take_head(a, &at, end);
    while (!error && a->status && at < end && !a->body.done) {
        struct bytes piece;
        size_t used;
        if (http1_body_next(&a->body, at, (size_t)(end - at), &piece, &used))
            return -EPROTO;
        buf_bytes(a->content, piece);
        at += used;
    }
    if (error)
        return error;
    size_t rest = (size_t)(end - at);
    if (rest)
        memmove(a->raw.at, at, rest);
    buf_truncate(&a->raw, rest);
    return a->content->failed ? -EMSGSIZE : 0;
}

bool admin_answer_is_whole(const struct admin_answer *a, bool closed) {
    if (!a->status)
        return false;
    return a->body.done || a->body.framing == HTTP1_BODY_NONE ||
           (a->body.framing == HTTP1_BODY_LENGTH && !a->body.left) ||
           (closed && a->body.framing == HTTP1_BODY_UNTIL_CLOSE);
}
