/* reply.c - answers of our own: refusals, failures, tiers that need nobody.
 *
 * A local failure says what a person needs (the service's own message), what a
 * program needs (type, reason, Retry-After), and what an operator needs
 * (Proxy-Status, RFC 9209). Bodies are problem+json, RFC 9457, with `error` on
 * top for clients that look only there. */
#include <stdio.h>
#include <sys/socket.h>

#include "base/json_out.h"
#include "gateway/exchange.h"
#include "gateway/fields.h"
#include "gateway/gateway.h"
#include "gateway/pass_on.h"
#include "gateway/queueing.h"

enum { BODY_MAX = 4096 };

/* ---- what every answer has ----------------------------------------------- */

/* Unless told otherwise, only who sits on the same machine sees the story. */
static bool is_exposed(const struct exchange *x) {
    const struct gateway_options *o = x->plan->options;
    uint32_t i = x->client->listen_index;
    if (i >= o->listen_count)
        return false;
    const struct listen_options *l = &o->listens[i];
    if (l->expose != EXPOSE_AUTO)
        return l->expose == EXPOSE_FULL;
    return l->unix_path || !strncmp(l->host, "127.", 4) || !strcmp(l->host, "::1") ||
           !strcmp(l->host, "localhost");
}

/* Switchgear: sql;service=recommendation;breaker=open;attempts=0;reason=open;took=0.4
 * (a structured field, RFC 8941; took in milliseconds). */
static void write_story(struct exchange *x, struct buf *b, const char *source) {
    const struct swg_story *s = swg_call_story(&x->root.call);
    buf_literal(b, "Switchgear: ");
    buf_string(b, source);
    if (x->service) {
        buf_literal(b, ";service=");
        buf_bytes(b, x->service->proxy_name);
        buf_literal(b, ";breaker=");
        buf_string(b, swg_breaker_state_word(s->breaker));
        buf_literal(b, ";attempts=");
        buf_uint(b, s->attempts);
        if (s->reason != SWG_ADMITTED) {
            buf_literal(b, ";reason=");
            buf_string(b, swg_refusal_word(s->reason));
        }
        if (s->no_retry != SWG_ADMITTED) {
            buf_literal(b, ";no_retry=");
            buf_string(b, swg_refusal_word(s->no_retry));
        }
    }
    if (x->drill) {
        buf_literal(b, ";drill=");
        buf_string(b, x->drill);
    }
    uint64_t tenths = (exchange_now(x) - x->started_ns) / 100000;
    buf_literal(b, ";took=");
    buf_uint(b, tenths / 10);
    buf_char(b, '.');
    buf_uint(b, tenths % 10);
    buf_literal(b, "\r\n");
}

static void write_connection(struct exchange *x, struct buf *b) {
    if (x->tunnel)
        return;
    bool draining = atomic_load_explicit(&x->worker->gateway->draining, memory_order_relaxed) ||
                    x->worker->passing;
    draining = draining && !client_will_pass(x->client);
    bool keep = !x->close_client && x->request.keep_alive && !draining;
    if (!keep) {
        x->close_client = true;
        buf_literal(b, "Connection: close\r\n");
    } else if (!x->request.minor) {
        buf_literal(b, "Connection: keep-alive\r\n");
    }
}

void reply_common_fields(struct exchange *x, struct buf *b, bool has_date, const char *source) {
    if (!has_date) {
        buf_literal(b, "Date: ");
        buf_append(b, worker_date(x->worker), 29);
        buf_literal(b, "\r\n");
    }
    buf_literal(b, "Via: 1.1 switchgear\r\nX-Request-Id: ");
    buf_bytes(b, x->request_id);
    buf_literal(b, "\r\nX-Correlation-Id: ");
    buf_bytes(b, x->correlation_id);
    buf_literal(b, "\r\n");
    if (x->cache_status) {
        buf_literal(b, "Cache-Status: switchgear; ");
        buf_string(b, x->cache_status);
        buf_literal(b, "\r\n");
    }
    if (is_exposed(x))
        write_story(x, b, source);
    write_connection(x, b);
}

/* ---- sending -------------------------------------------------------------- */

static void send_whole(struct exchange *x, int status, struct bytes fields, struct bytes body,
                       const char *source, bool dated) {
    struct buf b;
    buf_init_fixed(&b, x->worker->scratch, WORKER_SCRATCH);
    x->status = status;
    if (!x->upload_done)
        x->close_client = true; /* what still comes is not waited for */
    bool bodyless = status == 204 || status == 304;
    buf_literal(&b, "HTTP/1.1 ");
    buf_uint(&b, (uint64_t)status);
    buf_char(&b, ' ');
    buf_string(&b, http_status_reason(status));
    buf_literal(&b, "\r\n");
    buf_bytes(&b, fields);
    if (!bodyless) {
        buf_literal(&b, "Content-Length: ");
        buf_uint(&b, body.len);
        buf_literal(&b, "\r\n");
    }
    reply_common_fields(x, &b, dated, source);
    buf_literal(&b, "\r\n");
    struct iovec iov[2] = {{b.at, b.len}, {(void *)body.at, body.len}};
    bool with_body = body.len && !x->head_only && !bodyless;
    bool sent = !b.failed && io_send(&x->client->stream, iov, with_body ? 2 : 1) == 0;
    x->out_framing = HTTP1_BODY_LENGTH;
    x->out_bytes = with_body ? body.len : 0;
    x->answer = sent ? ANSWER_WHOLE : ANSWER_BODY;
    if (x->inner) {
        inner_head(x->inner, status, x->root.call.story.retry_in_ns, source);
        inner_data(x->inner, body);
    }
    exchange_finish(x, sent);
}

void reply_whole(struct exchange *x, int status, struct bytes fields, struct bytes body,
                 const char *source) {
    send_whole(x, status, fields, body, source, false);
}

void reply_dated(struct exchange *x, int status, struct bytes fields, struct bytes body,
                 const char *source) {
    send_whole(x, status, fields, body, source, true);
}

/* ---- failures of the service ----------------------------------------------- */

struct failure {
    int status;
    const char *reason;      /* the word in our JSON */
    const char *proxy_error; /* RFC 9209 section 2.3 */
    bool timed_out;
};

static struct failure refused(enum swg_refusal why) {
    struct failure f = {503, swg_refusal_word(why), "destination_unavailable", false};
    switch (why) {
    case SWG_REFUSED_RATE_LIMITED:
        f.status = 429;
        f.proxy_error = "http_request_denied";
        break;
    case SWG_REFUSED_DEADLINE:
        f.status = 504;
        f.proxy_error = "connection_timeout";
        f.timed_out = true;
        break;
    case SWG_REFUSED_BULKHEAD_FULL:
    case SWG_REFUSED_QUEUE_TIMEOUT:
        f.proxy_error = "connection_limit_reached";
        break;
    default:
        break;
    }
    return f;
}

static struct failure failed(const struct swg_story *s) {
    if (s->timed_out)
        return (struct failure){504, "timeout", "connection_read_timeout", true};
    switch (s->last.kind) {
    case SWG_TIMED_OUT:
        return (struct failure){504, "timeout", "connection_read_timeout", true};
    case SWG_CONNECT_FAILED:
        return (struct failure){502, "connect", "connection_refused", false};
    case SWG_GARBLED:
        return (struct failure){502, "garbled", "http_protocol_error", false};
    case SWG_UNAVAILABLE_LOCALLY:
        return (struct failure){503, "local_resources", "proxy_internal_error", false};
    case SWG_RESET:
    case SWG_RESET_IDLE:
    case SWG_ANSWERED:
        break;
    }
    return (struct failure){502, "reset", "connection_terminated", false};
}

static void write_problem(struct buf *to, const struct exchange *x, const struct failure *f,
                          const char *message, uint64_t retry_after_s) {
    struct json_out j;
    char type[96];
    snprintf(type, sizeof type, "urn:switchgear:reason:%s", f->reason);
    json_init(&j, to);
    json_object(&j);
    json_key_string(&j, "error", message);
    json_key_string(&j, "type", type);
    json_key_string(&j, "title", http_status_reason(f->status));
    json_key_int(&j, "status", f->status);
    if (x->service)
        json_key_string(&j, "service", x->service->options->name);
    json_key_string(&j, "reason", f->reason);
    if (retry_after_s)
        json_key_uint(&j, "retry_after", retry_after_s);
    json_key(&j, "request_id");
    json_bytes(&j, x->request_id);
    json_object_end(&j);
    buf_char(to, '\n');
}

static void send_problem(struct exchange *x, const struct failure *f, const char *message,
                         uint64_t retry_after_s) {
    char body_memory[BODY_MAX], field_memory[512];
    struct buf body, fields;
    buf_init_fixed(&body, body_memory, sizeof body_memory);
    buf_init_fixed(&fields, field_memory, sizeof field_memory);
    write_problem(&body, x, f, message, retry_after_s);
    buf_literal(&fields, "Content-Type: application/problem+json\r\nCache-Control: no-store\r\n");
    buf_printf(&fields, "Proxy-Status: switchgear; error=%s; details=\"%s\"\r\n", f->proxy_error,
               f->reason);
    if (retry_after_s)
        buf_printf(&fields, "Retry-After: %llu\r\n", (unsigned long long)retry_after_s);
    if (f->status == 405 && x->route.methods) {
        buf_literal(&fields, "Allow: ");
        const char *comma = "";
        for (int m = HTTP_GET; m < HTTP_METHODS; m++) {
            if (x->route.methods >> m & 1) {
                buf_printf(&fields, "%s%s", comma, http_method_name((enum http_method)m));
                comma = ", ";
            }
        }
        buf_literal(&fields, "\r\n");
    }
    if (x->inner)
        inner_problem(x->inner, f->reason, message);
    reply_whole(x, f->status, buf_view(&fields), buf_view(&body), "error");
}

void reply_failure(struct exchange *x, const struct swg_story *s) {
    struct failure f = s->reason != SWG_ADMITTED && !(s->timed_out && s->attempts)
                           ? refused(s->reason)
                           : failed(s);
    const struct service_options *o = x->service->options;
    bool no_writes = s->reason == SWG_REFUSED_READ_ONLY;
    bool emergency = s->reason == SWG_REFUSED_EMERGENCY || (no_writes && x->in_emergency);
    /* an emergency ends so long after the last moment of it, not earlier */
    uint64_t retry_in_ns =
        emergency ? x->plan->options->resilience.overall.hold_ns : s->retry_in_ns;
    uint64_t seconds = (retry_in_ns + SWG_SECONDS(1) - 1) / SWG_SECONDS(1);
    if (f.status == 429 || f.status == 503)
        seconds = seconds && retry_in_ns != SWG_NEVER ? seconds : 1;
    else
        seconds = 0;
    if (queueing_refusal(x)) /* the last hope */
        f.reason = queueing_refusal(x);
    const char *message = f.timed_out ? o->message_timeout
                          : emergency ? o->message_emergency
                          : no_writes ? o->message_read_only
                                      : o->message_open;
    send_problem(x, &f, message, seconds);
}

/* The parser's errors have names in capitals; reasons are words. */
static void lower(char *out, size_t size, const char *name) {
    size_t n = 0;
    for (; name[n] && n + 1 < size; n++)
        out[n] = (char)(name[n] >= 'A' && name[n] <= 'Z' ? name[n] + 32 : name[n]);
    out[n] = '\0';
}

void reply_error(struct exchange *x, int status, const char *reason, const char *detail) {
    char word[48];
    lower(word, sizeof word, reason);
    struct failure f = {status, word,
                        status == 404   ? "destination_not_found"
                        : status >= 500 ? "proxy_internal_error"
                                        : "http_request_error",
                        false};
    send_problem(x, &f, detail, 0);
}

void reply_options(struct exchange *x) {
    reply_whole(x, 204, BYTES("Allow: GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH\r\n"),
                (struct bytes){0}, "gateway");
}

/* ---- before there is an exchange -------------------------------------------- */

void reply_bad_head(struct client *c, enum http1_error e) {
    int status = e == HTTP1_OK ? 408 : http1_error_status(e);
    const char *sentence =
        e == HTTP1_OK ? "the request's head did not come in time" : http1_error_sentence(e);
    char memory[1024], body[512], word[48];
    struct buf b;
    buf_init_fixed(&b, memory, sizeof memory);
    lower(word, sizeof word, e == HTTP1_OK ? "request_timeout" : http1_error_name(e));
    int len = snprintf(body, sizeof body,
                       "{\"error\":\"%s\",\"type\":\"urn:switchgear:reason:%s\","
                       "\"title\":\"%s\",\"status\":%d,\"reason\":\"%s\"}\n",
                       sentence, word, http_status_reason(status), status, word);
    buf_printf(&b,
               "HTTP/1.1 %d %s\r\nContent-Type: application/problem+json\r\n"
               "Content-Length: %d\r\nDate: %s\r\nConnection: close\r\n"
               "Proxy-Status: switchgear; error=http_request_error\r\n\r\n%s",
               status, http_status_reason(status), len, worker_date(c->worker), body);
    struct iovec iov = {b.at, b.len};
    io_send(&c->stream, &iov, 1);
}
