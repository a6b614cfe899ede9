/* explain_json.c - an explanation for programs. Durations are in milliseconds;
 * null stands for "no limit". */
#include "base/json_out.h"
#include "cli/explain.h"

static void key_ms(struct json_out *j, const char *key, uint64_t ns) {
    if (ns == SWG_OFF)
        json_key_null(j, key);
    else
        json_key_double(j, key, (double)ns / 1e6);
}

static void key_bytes(struct json_out *j, const char *key, struct bytes b) {
    json_key(j, key);
    json_bytes(j, b);
}

static void write_request(const struct explanation *e, struct json_out *j) {
    const struct explain_request *r = e->request;
    json_key_object(j, "request");
    key_bytes(j, "method", r->method_text);
    key_bytes(j, "path", r->parts.path);
    if (r->parts.query.at)
        key_bytes(j, "query", r->parts.query);
    if (r->host.len)
        key_bytes(j, "host", r->host);
    json_object_end(j);
}

static void write_refusal(const struct explanation *e, struct json_out *j) {
    json_key_object(j, "refused");
    json_key_int(j, "status", e->status);
    json_key_string(j, "detail", e->refusal);
    if (e->methods) {
        json_key_array(j, "allow");
        for (unsigned m = 0; m < HTTP_METHODS; m++) {
            if (e->methods >> m & 1)
                json_string(j, http_method_name((enum http_method)m));
        }
        json_array_end(j);
    }
    json_object_end(j);
}

static void write_route(const struct explanation *e, struct json_out *j) {
    json_key_object(j, "route");
    json_key_string(j, e->match.route->prefix ? "prefix" : "path", e->match.route->pattern);
    json_key_uint(j, "number", e->match.index + 1);
    json_key_object(j, "captures");
    for (uint32_t i = 0; i < e->match.capture_count; i++) {
        json_key_bytes(j, e->match.capture[i].name);
        json_bytes(j, e->match.capture[i].value);
    }
    json_object_end(j);
    json_object_end(j);
}

static void write_sent(const struct explanation *e, struct json_out *j) {
    json_key_array(j, "sent_to");
    for (uint32_t i = 0; i < e->service->endpoint_count; i++) {
        struct buf target;
        buf_init(&target, 65536);
        explain_write_target(e, &e->service->endpoints[i], &target);
        json_object(j);
        json_key_string(j, "endpoint", e->service->endpoints[i].name);
        json_key_string(j, "target", buf_cstr(&target));
        json_object_end(j);
        buf_free(&target);
    }
    json_array_end(j);
}

static void write_cache(const struct explanation *e, struct json_out *j) {
    char key[65];
    json_key_object(j, "cache");
    json_key_bool(j, "looked_into", e->cacheable);
    if (e->not_cacheable) {
        json_key_string(j, "why_not", e->not_cacheable);
    } else {
        key_ms(j, "fresh_ms", e->service->cache.fresh_ns);
        key_ms(j, "stale_ms", e->service->cache.stale_ns);
        for (int i = 0; i < 32; i++)
            snprintf(key + 2 * (size_t)i, 3, "%02x", e->key.bytes[i]);
        if (!((e->service->cache.key & KEY_BODY) && e->request->body_bytes))
            json_key_string(j, "key", key);
    }
    json_object_end(j);
}

static void write_attempts(const struct explanation *e, struct json_out *j) {
    const struct explain_worst *w = &e->worst;
    const struct swg_timeout_options *t = &e->service->policy.timeout;
    json_key_object(j, "attempts");
    json_key_uint(j, "max", w->attempts_max);
    json_key_bool(j, "idempotent", e->idempotent);
    json_key_bool(j, "own_idempotency_key", e->own_key);
    json_key_bool(j, "retried", !e->no_retry);
    if (e->no_retry)
        json_key_string(j, "why_not", e->no_retry);
    json_key_array(j, "waits_max_ms");
    for (uint32_t i = 0; i < w->wait_count; i++)
        json_double(j, (double)w->waits_ns[i] / 1e6);
    json_array_end(j);
    json_object_end(j);
    json_key_object(j, "time");
    key_ms(j, "connect_ms", t->connect_ns);
    key_ms(j, "first_byte_ms", t->first_byte_ns ? t->first_byte_ns : SWG_OFF);
    key_ms(j, "attempt_ms", t->attempt_ns);
    key_ms(j, "total_ms", t->total_ns);
    json_object_end(j);
    json_key_object(j, "worst_case");
    json_key_uint(j, "attempts", w->attempts);
    key_ms(j, "ms", w->ns);
    json_object_end(j);
}

static void write_rules(const char *key, const struct swg_breaker_options *b, bool on,
                        struct json_out *j) {
    if (!on) {
        json_key_null(j, key);
        return;
    }
    json_key_object(j, key);
    json_key_uint(j, "consecutive", b->consecutive);
    json_key_uint(j, "failures", b->failures);
    json_key_uint(j, "failure_percent", b->failure_percent);
    json_key_uint(j, "slow_percent", b->slow_percent);
    key_ms(j, "slow_call_ms", b->slow_call_ns);
    json_key_uint(j, "min_calls", b->calls_min);
    if (b->window_calls)
        json_key_uint(j, "window_calls", b->window_calls);
    else
        key_ms(j, "window_ms", b->window_ns);
    key_ms(j, "open_ms", b->open_ns);
    key_ms(j, "open_max_ms", b->open_max_ns);
    json_key_uint(j, "half_open", b->probes);
    json_key_uint(j, "close_after", b->close_after);
    json_object_end(j);
}

static void write_breaker(const struct explanation *e, struct json_out *j) {
    const struct swg_policy_options *p = &e->service->policy;
    write_rules("breaker", &p->breaker, !p->no_breaker, j);
    write_rules("shadow", &p->shadow.breaker, p->shadow.enabled, j);
}

static void write_tier(const struct explanation *e, uint32_t i, struct json_out *j) {
    const struct tier_options *t = &e->service->tiers[i];
    const char *skipped = explain_tier_skipped(e, i);
    json_object(j);
    json_key_string(j, "name", t->name);
    json_key_string(j, "kind", tier_kind_word(t->kind));
    if (t->kind == TIER_STALE)
        key_ms(j, "max_ms", t->stale.max_ns);
    if (t->kind == TIER_SERVICE)
        json_key_string(j, "service", t->service.service);
    if (t->kind == TIER_STATIC)
        json_key_int(j, "status", t->fixed.status);
    if (t->kind == TIER_SQL)
        json_key_string(j, "database", t->sql.database);
    if (skipped)
        json_key_string(j, "passed_over", skipped);
    json_object_end(j);
}

static void write_live(const struct explanation *e, const struct node *live, struct json_out *j) {
    const struct node *b = explain_live(live, e->service->name);
    const struct node *list = json_in_get(b, "endpoints");
    json_key_object(j, "now");
    json_key_string(j, "state", json_in_text(b, "state"));
    json_key_array(j, "endpoints");
    for (struct node_entry *n = list && list->kind == NODE_LIST ? list->first : NULL; n;
         n = n->next) {
        json_object(j);
        json_key_string(j, "name", json_in_text(n->value, "name"));
        json_key_string(j, "state", json_in_text(n->value, "state"));
        json_object_end(j);
    }
    json_array_end(j);
    json_object_end(j);
}

static void write_answer(const struct explanation *e, const struct node *live, struct json_out *j) {
    write_route(e, j);
    json_key_string(j, "service", e->service->name);
    write_sent(e, j);
    write_cache(e, j);
    write_attempts(e, j);
    write_breaker(e, j);
    json_key_array(j, "fallback");
    for (uint32_t i = 0; i < e->service->tier_count; i++)
        write_tier(e, i, j);
    json_array_end(j);
    json_key_string(j, "message", e->service->message_open);
    if (live)
        write_live(e, live, j);
}

void explain_write_json(const struct explanation *e, const struct node *live, FILE *to) {
    struct buf b;
    struct json_out j;
    buf_init(&b, 4 << 20);
    json_init(&j, &b);
    json_object(&j);
    write_request(e, &j);
    if (e->status)
        write_refusal(e, &j);
    else
        write_answer(e, live, &j);
    json_object_end(&j);
    fprintf(to, "%s\n", buf_cstr(&b));
    buf_free(&b);
}
