/* explain_text.c - an explanation for people: a label, then what it says. */
#include "cli/explain.h"
#include "cli/terminal.h"
#include "config/value.h"

enum { LABEL = 11 };

static void label(FILE *to, const char *text) {
    fprintf(to, "%s%-*s%s ", terminal_begin(to, COLOUR_BOLD), LABEL, text, terminal_end(to));
}

static void text_of(FILE *to, struct bytes b) {
    char text[2048];
    snprintf(text, sizeof text, "%.*s", (int)(b.len < sizeof text ? b.len : sizeof text - 1), b.at);
    terminal_text(to, text);
}

/* Several durations may stand in one call. */
struct duration {
    char text[48];
};

static struct duration duration(uint64_t ns) {
    struct duration d;
    struct buf b;
    buf_init_fixed(&b, d.text, sizeof d.text);
    if (ns == SWG_OFF)
        buf_literal(&b, "no limit");
    else
        value_write_duration(&b, ns);
    return d;
}

#define D(ns) duration(ns).text

/* ---- where it goes ------------------------------------------------------------------------ */

static void write_request(const struct explanation *e, FILE *to) {
    const struct explain_request *r = e->request;
    label(to, "request");
    text_of(to, r->method_text);
    fputc(' ', to);
    text_of(to, r->parts.path);
    if (r->parts.query.at) {
        fputc('?', to);
        text_of(to, r->parts.query);
    }
    if (r->host.len) {
        fputs(" for ", to);
        text_of(to, r->host);
    }
    fputc('\n', to);
}

static void write_refusal(const struct explanation *e, FILE *to) {
    label(to, "refused");
    fprintf(to, "%d: %s", e->status, e->refusal);
    const char *comma = "; it takes ";
    for (unsigned m = 0; m < HTTP_METHODS; m++) {
        if (e->methods >> m & 1) {
            fprintf(to, "%s%s", comma, http_method_name((enum http_method)m));
            comma = ", ";
        }
    }
    fputc('\n', to);
}

static void write_route(const struct explanation *e, FILE *to) {
    const struct route_options *r = e->match.route;
    label(to, "route");
    fprintf(to, "%s %s, number %u of %u\n", r->prefix ? "prefix" : "path", r->pattern,
            e->match.index + 1, e->options->route_count);
    for (uint32_t i = 0; i < e->match.capture_count; i++) {
        label(to, "");
        text_of(to, e->match.capture[i].name);
        fputs(" = ", to);
        text_of(to, e->match.capture[i].value);
        fputc('\n', to);
    }
}

static const char *balance_word(enum swg_balance b) {
    return b == SWG_LEAST_REQUEST ? "the one with the fewest requests"
           : b == SWG_ROUND_ROBIN ? "one after the other"
                                  : "any";
}

static void write_service(const struct explanation *e, FILE *to) {
    const struct service_options *s = e->service;
    struct buf target;
    label(to, "service");
    fprintf(to, "%s", s->name);
    if (s->endpoint_count > 1)
        fprintf(to, ", %u endpoints: %s", s->endpoint_count, balance_word(s->policy.balance));
    fputc('\n', to);
    for (uint32_t i = 0; i < s->endpoint_count; i++) {
        buf_init(&target, 65536);
        explain_write_target(e, &s->endpoints[i], &target);
        label(to, i ? "" : "sent");
        text_of(to, e->request->method_text);
        fputc(' ', to);
        terminal_text(to, buf_cstr(&target));
        fprintf(to, " to %s\n", s->endpoints[i].name);
        buf_free(&target);
    }
    if (e->own_key) {
        label(to, "");
        fputs("with an Idempotency-Key of the gateway's, as the write may be queued\n", to);
    }
}

/* ---- before an attempt -------------------------------------------------------------------- */

static void write_key(const struct explanation *e, FILE *to) {
    static const struct {
        uint32_t part;
        const char *word;
    } parts[] = {{KEY_METHOD, "method"},
                 {KEY_HOST, "host"},
                 {KEY_PATH, "path"},
                 {KEY_QUERY, "query"},
                 {KEY_BODY, "body"}};
    const struct cache_options *c = &e->service->cache;
    const char *comma = "";
    label(to, "");
    fputs("key of ", to);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (c->key & parts[i].part) {
            fprintf(to, "%s%s", comma, parts[i].word);
            comma = ", ";
        }
    }
    for (uint32_t i = 0; i < c->header_count; i++, comma = ", ")
        fprintf(to, "%sheader %s", comma, c->headers[i]);
    if (c->key & KEY_BODY && e->request->body_bytes) {
        fputc('\n', to);
        return;
    }
    fputs(": ", to);
    for (int i = 0; i < 8; i++)
        fprintf(to, "%02x", e->key.bytes[i]);
    fputs("…\n", to);
}

static void write_cache(const struct explanation *e, FILE *to) {
    const struct cache_options *c = &e->service->cache;
    label(to, "cache");
    if (!e->cacheable) {
        fprintf(to, "not looked into: %s\n", e->not_cacheable);
        return;
    }
    fprintf(to,
            "looked into first; an answer that says nothing itself is fresh for %s, and kept "
            "for %s after that\n",
            D(c->fresh_ns), D(c->stale_ns));
    write_key(e, to);
}

static void write_limits(const struct explanation *e, FILE *to) {
    const struct swg_policy_options *p = &e->service->policy;
    struct buf rate;
    char memory[64];
    if (p->rate.calls) {
        buf_init_fixed(&rate, memory, sizeof memory);
        value_write_rate(&rate, p->rate.calls, p->rate.per_ns ? p->rate.per_ns : SWG_SECONDS(1));
        label(to, "rate limit");
        fprintf(to, "%s for %s; beyond it 429\n", memory,
                e->service->rate_per_client ? "each client" : "all clients together");
    }
    label(to, "bulkhead");
    if (p->bulkhead.concurrent == SWG_BULKHEAD_UNLIMITED)
        fputs("no limit\n", to);
    else
        fprintf(to, "%u attempts at once, %u may wait for up to %s\n", p->bulkhead.concurrent,
                p->bulkhead.queue, D(p->bulkhead.wait_ns));
}

/* ---- attempts -------------------------------------------------------------------------------- */

static void write_retry_on(const struct swg_retry_options *r, FILE *to) {
    const char *comma = "";
    const struct {
        bool on;
        const char *word;
    } kinds[] = {{r->on_connect, "connect"}, {r->on_reset, "reset"}, {r->on_timeout, "timeout"}};
    for (int i = 0; i < 3; i++) {
        if (kinds[i].on) {
            fprintf(to, "%s%s", comma, kinds[i].word);
            comma = ", ";
        }
    }
    for (int status = 400; status < 600; status++) {
        if (swg_status_in(r->on_status, status)) {
            fprintf(to, "%s%d", comma, status);
            comma = ", ";
        }
    }
}

static void write_budget(const struct swg_budget_options *b, FILE *to) {
    label(to, "");
    if (b->unlimited)
        fputs("no retry budget\n", to);
    else
        fprintf(to, "retry budget: %u%% of the calls, and %u a second\n",
                b->percent == SWG_BUDGET_NONE ? 0 : b->percent,
                b->floor_per_s == SWG_BUDGET_NONE ? 0 : b->floor_per_s);
}

static void write_attempts(const struct explanation *e, FILE *to) {
    const struct explain_worst *w = &e->worst;
    const struct swg_policy_options *p = &e->service->policy;
    label(to, "attempts");
    if (e->no_retry) {
        fprintf(to, "1: %s\n", e->no_retry);
        if (!e->idempotent && p->retry.on_connect && !p->no_retry && e->replayable &&
            p->retry.max != SWG_RETRY_OFF) {
            label(to, "");
            fputs("but what could not be sent at all (no connection) is tried again\n", to);
        }
        return;
    }
    fprintf(to, "at most %u; again on ", w->attempts_max);
    write_retry_on(&p->retry, to);
    fputc('\n', to);
    label(to, "");
    fputs("after up to ", to);
    for (uint32_t i = 0; i < w->wait_count; i++)
        fprintf(to, "%s%s", i ? ", " : "", D(w->waits_ns[i]));
    fprintf(to, "%s; at once at another endpoint, when one cannot be reached\n",
            w->attempts_max - 1 > w->wait_count ? ", …" : "");
    write_budget(&p->budget, to);
}

static void write_time(const struct explanation *e, FILE *to) {
    const struct swg_timeout_options *t = &e->service->policy.timeout;
    const struct explain_worst *w = &e->worst;
    label(to, "time");
    fprintf(to, "connect %s, ", D(t->connect_ns));
    if (t->first_byte_ns && t->first_byte_ns != SWG_OFF)
        fprintf(to, "first byte %s, ", D(t->first_byte_ns));
    fprintf(to, "attempt %s, total %s\n", D(t->attempt_ns), D(t->total_ns));
    label(to, "worst case");
    if (w->ns == SWG_OFF)
        fputs("nothing bounds a service that does not answer\n", to);
    else
        fprintf(to, "%s with %u attempt%s, where each ends by a timeout; then the fallback\n",
                D(w->ns), w->attempts, w->attempts == 1 ? "" : "s");
}

/* ---- the breaker --------------------------------------------------------------------------------
 */

static void write_rules(const struct swg_breaker_options *b, FILE *to) {
    const char *comma = "";
    char window[64];
    if (b->window_calls)
        snprintf(window, sizeof window, "of the last %u calls", b->window_calls);
    else
        snprintf(window, sizeof window, "of the calls of %s", D(b->window_ns));
    if (b->consecutive) {
        fprintf(to, "%u failures in a row", b->consecutive);
        comma = ", or ";
    }
    if (b->failures) {
        fprintf(to, "%s%u failures %s", comma, b->failures, window);
        comma = ", or ";
    }
    if (b->failure_percent) {
        fprintf(to, "%s%u%% failures %s", comma, b->failure_percent, window);
        comma = ", or ";
    }
    if (b->slow_percent)
        fprintf(to, "%s%u%% slower than %s %s", comma, b->slow_percent, D(b->slow_call_ns), window);
    if (b->failure_percent || b->slow_percent)
        fprintf(to, " (once there are %u)", b->calls_min);
}

static void write_shadow(const struct swg_shadow_options *s, FILE *to) {
    if (!s->enabled)
        return;
    label(to, "");
    fputs("beside it a shadow, which decides nothing: opens at ", to);
    write_rules(&s->breaker, to);
    fputc('\n', to);
}

static void write_breaker(const struct explanation *e, FILE *to) {
    const struct swg_policy_options *p = &e->service->policy;
    const struct swg_breaker_options *b = &p->breaker;
    label(to, "breaker");
    if (p->no_breaker) {
        fputs("switched off\n", to);
        return;
    }
    fputs(e->service->endpoint_count > 1 ? "one an endpoint; opens at " : "opens at ", to);
    write_rules(b, to);
    fputc('\n', to);
    label(to, "");
    fprintf(to,
            "then open for %s, doubled each time up to %s; tried by %u at once, closed after "
            "%u in a row that succeed\n",
            D(b->open_ns), D(b->open_max_ns), b->probes, b->close_after);
    write_shadow(&p->shadow, to);
}

/* ---- the fallback chain
 * ---------------------------------------------------------------------------- */

static void write_service_tier(const struct explanation *e, const struct tier_options *t,
                               FILE *to) {
    const struct service_options *s = explain_service(e->options, t->service.service);
    struct explain_worst w;
    fprintf(to, "the service %s", t->service.service);
    if (t->service.path)
        fprintf(to, " at %s", t->service.path);
    if (!s)
        return;
    explain_worst(s, !e->no_retry, &w);
    fprintf(to, ", by its own policy: at most %u attempt%s", w.attempts_max,
            w.attempts_max == 1 ? "" : "s");
    if (w.ns != SWG_OFF)
        fprintf(to, ", %s", D(w.ns));
}

static void write_tier(const struct explanation *e, uint32_t i, FILE *to) {
    const struct tier_options *t = &e->service->tiers[i];
    const char *skipped = explain_tier_skipped(e, i);
    label(to, i ? "" : "fallback");
    fprintf(to, "%s: ", t->name);
    switch (t->kind) {
    case TIER_STALE:
        fprintf(to, "the last good answer, up to %s past its freshness", D(t->stale.max_ns));
        break;
    case TIER_SERVICE:
        write_service_tier(e, t, to);
        break;
    case TIER_QUEUE:
        fprintf(to, "202, once the write is on stable storage; at most %u wait",
                t->queue.max_entries);
        break;
    case TIER_STATIC:
        fprintf(to, "a fixed answer: %d, %zu bytes of %s", t->fixed.status, t->fixed.body.len,
                t->fixed.content_type ? t->fixed.content_type : "no type");
        break;
    case TIER_SQL:
        fprintf(to, "a query of the database %s", t->sql.database);
        break;
    }
    if (skipped)
        fprintf(to, " (passed over: %s)", skipped);
    fputc('\n', to);
}

static bool has_fixed_tier(const struct explanation *e) {
    for (uint32_t i = 0; i < e->service->tier_count; i++) {
        if (e->service->tiers[i].kind == TIER_STATIC && !explain_tier_skipped(e, i))
            return true;
    }
    return false;
}

static void write_fallback(const struct explanation *e, FILE *to) {
    for (uint32_t i = 0; i < e->service->tier_count; i++)
        write_tier(e, i, to);
    if (has_fixed_tier(e))
        return;
    label(to, e->service->tier_count ? "" : "fallback");
    fprintf(to, "%sthe service's own error answer, where there is one; or 503 or 504 with\n",
            e->service->tier_count ? "else " : "none: ");
    label(to, "");
    fputc('"', to);
    terminal_text(to, e->service->message_open);
    fputs("\"\n", to);
}

/* ---- now
 * --------------------------------------------------------------------------------------------- */

static void write_state(const struct node *breaker, const char *name, FILE *to) {
    double probe = json_in_number(breaker, "next_probe_in_ms", -1);
    terminal_text(to, name);
    fputs(": ", to);
    terminal_text(to, json_in_text_or(breaker, "state", "unknown"));
    if (probe >= 0)
        fprintf(to, ", tried again in %.1fs", probe / 1000);
    fputc('\n', to);
}

static void write_live(const struct explanation *e, const struct node *live, FILE *to) {
    const struct node *b = explain_live(live, e->service->name);
    const struct node *list = json_in_get(b, "endpoints");
    label(to, "now");
    if (!b) {
        fputs("the running gateway knows no such service\n", to);
        return;
    }
    write_state(b, e->service->name, to);
    for (struct node_entry *n = list && list->kind == NODE_LIST ? list->first : NULL; n;
         n = n->next) {
        label(to, "");
        write_state(n->value, json_in_text_or(n->value, "name", "?"), to);
    }
}

void explain_write_text(const struct explanation *e, const struct node *live, FILE *to) {
    write_request(e, to);
    if (e->status) {
        write_refusal(e, to);
        return;
    }
    write_route(e, to);
    write_service(e, to);
    write_cache(e, to);
    write_limits(e, to);
    write_attempts(e, to);
    write_time(e, to);
    write_breaker(e, to);
    write_fallback(e, to);
    if (live)
        write_live(e, live, to);
}
