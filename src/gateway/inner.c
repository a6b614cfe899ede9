/* inner.c - see inner.h. */
#include "gateway/inner.h"

#include <stdio.h>
#include <stdlib.h>

#include "gateway/exchange.h"
#include "gateway/plan.h"

/* The head as text, so that it passes the parser that all heads pass. */
static bool write_head(struct buf *b, const struct inner_request *r) {
    buf_bytes(b, r->method);
    buf_char(b, ' ');
    buf_bytes(b, r->target);
    buf_literal(b, " HTTP/1.1\r\nHost: ");
    buf_bytes(b, r->host);
    buf_literal(b, "\r\n");
    buf_bytes(b, r->fields);
    if (r->body.len) {
        buf_literal(b, "Content-Length: ");
        buf_uint(b, r->body.len);
        buf_literal(b, "\r\n");
    }
    buf_literal(b, "\r\n");
    return !b->failed;
}

static void begin(struct inner *in, struct worker *w, const struct inner_request *r) {
    struct buf text;
    struct http1_head head = {.fields = w->request_fields}; /* nobody's at this moment */
    struct http1_limits limits = {
        .head_bytes = UINT32_MAX, .target = UINT32_MAX, .fields = WORKER_FIELDS};
    size_t used = 0;
    buf_init(&text, WORKER_SCRATCH);
    if (write_head(&text, r) &&
        http1_parse_request(text.at, text.len, 0, &limits, &head, &used) == HTTP1_OK)
        exchange_begin_inner(in, w, r, &head, (struct bytes){text.at, used});
    else
        inner_end(in, false);
    buf_free(&text);
}

void inner_begin(struct inner *in, struct worker *w, const struct inner_request *r) {
    in->x = NULL;
    in->answer = (struct inner_answer){0};
    in->verbatim = r->verbatim;
    in->too_long = false;
    buf_init(&in->body, in->body_max);
    begin(in, w, r);
}

void inner_cancel(struct inner *in) {
    struct exchange *x = in->x;
    if (!x)
        return;
    in->x = NULL;
    x->inner = NULL;
    buf_free(&in->body);
    client_close(x->client);
}

void inner_problem(struct inner *in, const char *reason, const char *error) {
    snprintf(in->answer.reason, sizeof in->answer.reason, "%s", reason);
    snprintf(in->answer.error, sizeof in->answer.error, "%s", error);
}

void inner_head(struct inner *in, int status, uint64_t retry_after_ns, const char *source) {
    snprintf(in->answer.source, sizeof in->answer.source, "%s", source);
    in->answer.status = status;
    in->answer.retry_after_ns = retry_after_ns;
}

void inner_data(struct inner *in, struct bytes piece) {
    if (piece.len > in->body_max - in->body.len)
        in->too_long = true;
    if (!in->too_long)
        buf_bytes(&in->body, piece);
}

void inner_end(struct inner *in, bool whole) {
    struct buf body = in->body;
    struct inner_answer answer = in->answer;
    answer.whole = whole && !in->too_long && !body.failed;
    answer.body = buf_view(&body);
    in->x = NULL;
    buf_init(&in->body, 0);
    in->done(in, &answer);
    buf_free(&body);
}
