#include "http1_log.h"

#include <stdlib.h>

enum stage { IN_HEAD, IN_BODY, IN_TUNNEL, STOPPED };

struct replay {
    FILE *out;
    const struct http1_log_options *options;
    enum stage stage;
    const char *data;
    size_t at, have; /* consumed; arrived so far */
    size_t seen;     /* of what arrived, shown to the head parser before */
    char *copy;      /* data[at..have) in a buffer of exactly that size */
    struct http1_body body;
    char *payload; /* all of this body's */
    size_t payload_len;
    char *trailers; /* limits.trailer_bytes of room */
};

void http1_log_defaults(struct http1_log_options *options) {
    *options = (struct http1_log_options){
        .request = HTTP_GET,
        .limits = {.head_bytes = 8192, .target = 2048, .fields = 32, .trailer_bytes = 512}};
}

void http1_log_escaped(FILE *out, struct bytes text) {
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.at[i];
        if (c == '\r')
            fputs("\\r", out);
        else if (c == '\n')
            fputs("\\n", out);
        else if (c == '\t')
            fputs("\\t", out);
        else if (c == '\0')
            fputs("\\0", out);
        else if (c == '\\')
            fputs("\\\\", out);
        else if (c < 0x20 || c >= 0x7f)
            fprintf(out, "\\x%02x", c);
        else
            fputc(c, out);
    }
}

/* ---- heads -------------------------------------------------------------- */

static void log_flags(FILE *out, const struct http1_head *head) {
    static const char *const framings[] = {[HTTP1_BODY_NONE] = "NONE",
                                           [HTTP1_BODY_LENGTH] = "LENGTH",
                                           [HTTP1_BODY_CHUNKED] = "CHUNKED",
                                           [HTTP1_BODY_UNTIL_CLOSE] = "UNTIL_CLOSE"};
    fprintf(out, " version=1.%u framing=%s", head->minor, framings[head->framing]);
    if (head->has_content_length)
        fprintf(out, " length=%llu", (unsigned long long)head->content_length);
    fputs(head->keep_alive ? " keep-alive" : " close", out);
    fputs(head->upgrade ? " upgrade" : "", out);
    fputs(head->expect_continue ? " expect-continue" : "", out);
    fputs(head->expect_unknown ? " expect-unknown" : "", out);
    fputs(head->te_trailers ? " te-trailers" : "", out);
}

static void log_head(const struct replay *r, const struct http1_head *head) {
    if (r->options->response) {
        fprintf(r->out, "response status=%d", head->status);
        log_flags(r->out, head);
        fputs(" reason=", r->out);
        http1_log_escaped(r->out, head->reason);
    } else {
        fputs("request method=", r->out);
        http1_log_escaped(r->out, head->method_text);
        fputs(" target=", r->out);
        http1_log_escaped(r->out, head->target);
        log_flags(r->out, head);
    }
    fputc('\n', r->out);
    for (unsigned i = 0; i < head->field_count; i++) {
        fputs("field ", r->out);
        http1_log_escaped(r->out, head->fields[i].name);
        fputc('=', r->out);
        http1_log_escaped(r->out, head->fields[i].value);
        fputc('\n', r->out);
    }
}

static void log_error(struct replay *r, enum http1_error error) {
    fprintf(r->out, "error %s\n", http1_error_name(error));
    r->stage = STOPPED;
}

static void log_done(struct replay *r) {
    if (r->options->offsets)
        fprintf(r->out, "done %zu\n", r->at);
    else
        fputs("done\n", r->out);
    r->stage = IN_HEAD;
    r->seen = 0;
}

static bool starts_tunnel(const struct replay *r, const struct http1_head *head) {
    if (!r->options->response)
        return false;
    return head->status == 101 ||
           (r->options->request == HTTP_CONNECT && head->status >= 200 && head->status < 300);
}

/* Whether something was consumed. */
static bool step_head(struct replay *r) {
    struct http_field fields[HTTP1_LOG_FIELDS_MAX];
    struct http1_head head = {.fields = fields};
    size_t used, len = r->have - r->at;
    enum http1_error error =
        r->options->response
            ? http1_parse_response(r->copy, len, r->seen, r->options->request, &r->options->limits,
                                   &head, &used)
            : http1_parse_request(r->copy, len, r->seen, &r->options->limits, &head, &used);
    if (error) {
        log_error(r, error);
        return false;
    }
    if (!used) {
        r->seen = len;
        return false;
    }
    log_head(r, &head);
    r->at += used;
    r->stage = starts_tunnel(r, &head) ? IN_TUNNEL : IN_BODY;
    r->payload_len = 0;
    http1_body_init(&r->body, head.framing, head.content_length,
                    r->options->drop_trailers ? NULL : r->trailers,
                    r->options->limits.trailer_bytes);
    return true;
}

/* ---- bodies ------------------------------------------------------------- */

static void log_payload(struct replay *r) {
    if (r->payload_len) {
        fprintf(r->out, "body %zu ", r->payload_len);
        http1_log_escaped(r->out, (struct bytes){r->payload, r->payload_len});
        fputc('\n', r->out);
    }
    r->payload_len = 0;
}

static void log_trailers(const struct replay *r) {
    if (!r->body.trailers)
        return;
    struct bytes rest = {r->body.trailers, r->body.trailers_len}, name, value;
    while (bytes_split(&rest, '\n', &value)) {
        bytes_split(&value, ':', &name);
        fputs("trailer ", r->out);
        http1_log_escaped(r->out, name);
        fputc('=', r->out); /* without the space in front and the CR behind */
        http1_log_escaped(r->out, (struct bytes){value.at + 1, value.len - 2});
        fputc('\n', r->out);
    }
}

static bool step_body(struct replay *r) {
    struct bytes payload;
    size_t used;
    if (!r->body.done) {
        enum http1_error error =
            http1_body_next(&r->body, r->copy, r->have - r->at, &payload, &used);
        if (payload.len) {
            memcpy(r->payload + r->payload_len, payload.at, payload.len);
            r->payload_len += payload.len;
        }
        if (error) {
            log_payload(r);
            log_error(r, error);
            return false;
        }
        r->at += used;
        if (!r->body.done)
            return used > 0;
    }
    log_payload(r);
    log_trailers(r);
    log_done(r);
    return true;
}

/* ---- the whole ---------------------------------------------------------- */

static bool step(struct replay *r) {
    size_t len = r->have - r->at;
    if (len == 0 && !(r->stage == IN_BODY && r->body.done))
        return false;
    if (r->stage != IN_HEAD && r->stage != IN_BODY)
        return false;
    r->copy = malloc(len ? len : 1);
    if (!r->copy)
        abort();
    memcpy(r->copy, r->data + r->at, len);
    bool more = r->stage == IN_HEAD ? step_head(r) : step_body(r);
    free(r->copy);
    return more;
}

static void log_end(struct replay *r) {
    size_t left = r->have - r->at;
    if (r->stage == IN_HEAD && left)
        fputs("incomplete head\n", r->out);
    if (r->stage == IN_TUNNEL)
        fprintf(r->out, "tunnel %zu\n", left);
    if (r->stage == IN_BODY) {
        log_payload(r);
        fputs(r->body.framing == HTTP1_BODY_UNTIL_CLOSE ? "closed\n" : "incomplete body\n", r->out);
    }
}

void http1_log_replay(FILE *out, const struct http1_log_options *options, const char *data,
                      size_t len, size_t first, size_t piece) {
    struct replay *r = calloc(1, sizeof *r);
    char *payload = malloc(len + 1), *trailers = malloc(options->limits.trailer_bytes + 1);
    if (!r || !payload || !trailers)
        abort();
    r->out = out;
    r->options = options;
    r->data = data;
    r->payload = payload;
    r->trailers = trailers;
    for (r->have = first < len ? first : len;;) {
        while (step(r))
            ;
        if (r->have == len)
            break;
        r->have = len - r->have < piece ? len : r->have + piece;
    }
    log_end(r);
    free(trailers);
    free(payload);
    free(r);
}
