/* tcp_tally.c - what is counted of a session, and its line in the log. */
#include "gateway/client.h"
#include "gateway/gateway.h"
#include "gateway/metrics.h"
#include "gateway/tcp.h"
#include "observe/log.h"

static const struct {
    const char *word;
    bool error;
} results[TCP_RESULTS] = {
#define X(name, text, is_error) [TCP_##name] = {text, is_error},
    TCP_RESULTS_LIST(X)
#undef X
};

const char *tcp_result_word(enum tcp_result result) {
    return results[result].word;
}

/* ---- counts ------------------------------------------------------------------ */

static struct tcp_tally *tally_of(const struct tcp_session *s) {
    return service_metrics_tcp(s->service->metrics);
}

static void count_result(const struct service *service, unsigned worker, enum tcp_result result) {
    struct tcp_tally *t = service_metrics_tcp(service->metrics);
    counter_add(service_metrics_series(service->metrics, SERVICE_TCP_RESULT, results[result].word,
                                       &t->results[result]),
                worker, 1);
}

void tcp_count_began(const struct tcp_session *s) {
    atomic_fetch_add_explicit(&tally_of(s)->open, 1, memory_order_relaxed);
}

void tcp_count_connected(const struct tcp_session *s) {
    struct tcp_tally *t = tally_of(s);
    atomic_fetch_add_explicit(&t->connected, 1, memory_order_relaxed);
    histogram_observe(
        service_metrics_series(s->service->metrics, SERVICE_TCP_CONNECT, NULL, &t->connecting),
        s->worker->index, s->connected_ns - s->started_ns);
}

void tcp_count_ended(const struct tcp_session *s) {
    struct tcp_tally *t = tally_of(s);
    enum tcp_result result = (enum tcp_result)s->result;
    atomic_fetch_sub_explicit(&t->open, 1, memory_order_relaxed);
    if (!s->connected_ns && result != TCP_LEFT)
        atomic_fetch_add_explicit(&t->turned_away, 1, memory_order_relaxed);
    count_result(s->service, s->worker->index, result);
}

void tcp_count_limited(const struct worker *w, const struct service *service) {
    struct tcp_tally *t = service_metrics_tcp(service->metrics);
    atomic_fetch_add_explicit(&t->turned_away, 1, memory_order_relaxed);
    count_result(service, w->index, TCP_LIMITED);
}

void tcp_count_bytes(const struct tcp_session *s, bool to_client, size_t len) {
    struct tcp_tally *t = tally_of(s);
    counter_add(service_metrics_series(s->service->metrics, SERVICE_TCP_BYTES,
                                       to_client ? "out" : "in", &t->bytes[to_client]),
                s->worker->index, len);
}

/* ---- the log ------------------------------------------------------------------ */

static bool is_wanted(const struct tcp_session *s) {
    const struct log_options *o = &s->plan->options->log;
    switch (o->requests) {
    case LOG_REQUESTS_OFF:
        return false;
    case LOG_REQUESTS_ALL:
        return true;
    case LOG_REQUESTS_ERRORS:
        return results[s->result].error;
    case LOG_REQUESTS_SAMPLED:
        return o->sample && worker_random(s->worker) % o->sample == 0;
    }
    return false;
}

void tcp_log(const struct tcp_session *s) {
    const struct swg_story *story = swg_call_story(&s->call);
    uint64_t now_ns = io_now(s->worker->io);
    struct log_line line;
    char address[64];
    if (!is_wanted(s) || !log_begin(&line, LOG_INFO, "connection"))
        return;
    size_t len = client_write_address(&s->address, address, true);
    log_bytes(&line, "client", (struct bytes){address, len});
    log_str(&line, "listener", s->worker->gateway->listening->listens[s->listen_index].address);
    log_str(&line, "service", s->service->options->name);
    log_str(&line, "result", results[s->result].word);
    log_uint(&line, "attempts", story->attempts);
    if (story->attempts)
        log_str(&line, "endpoint", s->service->options->endpoints[story->endpoint].name);
    log_str(&line, "breaker", swg_breaker_state_word(story->breaker));
    if (story->reason != SWG_ADMITTED)
        log_str(&line, "reason", swg_refusal_word(story->reason));
    if (story->no_retry != SWG_ADMITTED)
        log_str(&line, "no_retry", swg_refusal_word(story->no_retry));
    log_str(&line, "drill", s->drilled);
    if (s->connected_ns)
        log_dur(&line, "connect_ms", s->connected_ns - s->started_ns);
    log_dur(&line, "took_ms", now_ns - s->started_ns);
    log_uint(&line, "bytes_in", s->bytes_in);
    log_uint(&line, "bytes_out", s->bytes_out);
    log_end(&line);
}
