/* request_log.c - see request_log.h. */
#include "gateway/request_log.h"

#include "gateway/tracing.h"
#include "observe/log.h"

static bool is_wanted(struct exchange *x, int status) {
    const struct log_options *o = &x->plan->options->log;
    switch (o->requests) {
    case LOG_REQUESTS_OFF:
        return false;
    case LOG_REQUESTS_ALL:
        return true;
    case LOG_REQUESTS_ERRORS:
        return status >= 400;
    case LOG_REQUESTS_SAMPLED:
        return o->sample && worker_random(x->worker) % o->sample == 0;
    }
    return false;
}

static const char *source_word(const struct exchange *x, const struct swg_story *s) {
    switch (s->source) {
    case SWG_FROM_SERVICE:
        return "upstream";
    case SWG_FROM_CACHE:
        return "cache";
    case SWG_FROM_TIER:
        return x->service->options->tiers[s->tier].name;
    case SWG_FROM_NOWHERE:
        break;
    }
    return "error";
}

static void add_story(struct log_line *line, struct exchange *x) {
    const struct swg_story *s = swg_call_story(&x->root.call);
    log_str(line, "service", x->service->options->name);
    log_str(line, "source", source_word(x, s));
    log_uint(line, "attempts", s->attempts);
    if (s->attempts)
        log_str(line, "endpoint", x->service->options->endpoints[s->endpoint].name);
    log_str(line, "breaker", swg_breaker_state_word(s->breaker));
    if (s->reason != SWG_ADMITTED)
        log_str(line, "reason", swg_refusal_word(s->reason));
    if (s->no_retry != SWG_ADMITTED)
        log_str(line, "no_retry", swg_refusal_word(s->no_retry));
    log_str(line, "drill", x->drill);
}

static void add_trace(struct log_line *line, const struct exchange *x) {
    char trace[TRACE_ID_LEN + 1], span[SPAN_ID_LEN + 1];
    if (!tracing_ids(x, trace, span))
        return;
    log_str(line, "trace_id", trace);
    log_str(line, "span_id", span);
}

void request_log(struct exchange *x, int status, uint64_t took_ns, bool whole) {
    struct log_line line;
    if (!is_wanted(x, status) || !log_begin(&line, LOG_INFO, "request"))
        return;
    char address[64];
    size_t len = client_address_text(x->client, address, true);
    log_bytes(&line, "client", (struct bytes){address, len});
    log_bytes(&line, "method", x->request.method_text);
    log_bytes(&line, "host", x->host);
    log_bytes(&line, "path", x->parts.path);
    log_int(&line, "status", status);
    log_dur(&line, "took_ms", took_ns);
    log_uint(&line, "bytes_in", x->in_bytes);
    log_uint(&line, "bytes_out", x->out_bytes);
    if (!whole)
        log_bool(&line, "whole", false);
    if (x->service)
        add_story(&line, x);
    add_trace(&line, x);
    log_bytes(&line, "request_id", x->request_id);
    log_bytes(&line, "correlation_id", x->correlation_id);
    log_end(&line);
}
