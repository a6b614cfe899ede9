/* explain.c - `switchgear explain`: the way of one request, without sending it.
 *
 * The route is found by the gateway's own router and path code, the waits by
 * the engine's own retry code, the cache key by the gateway's: what is told
 * here cannot drift from what is done. */
#include "cli/explain.h"

#include <stdlib.h>

#include "cli/admin_client.h"
#include "cli/commands.h"
#include "config/config.h"

enum { HEADER = 'H', LIVE = 'l', REHEARSE = 'r', JSON = 'j', BODY_SIZE = 'b' };

static const struct arg_option options[] = {
    {HEADER, 'H', "header", "'NAME: VALUE'", "A field of the request; may be repeated."},
    {BODY_SIZE, 0, "body-size", "SIZE", "The request has a body of that size."},
    {LIVE, 0, "live", NULL, "Asks the running gateway for the present states, too."},
    {REHEARSE, 0, "rehearse", NULL,
     "Has the running gateway try the fallback chain for this request, as if the service were "
     "gone: "
     "nothing is sent to other services, queued or counted. With --json: only what it says."},
    {JSON, 'j', "json", NULL, "As JSON."},
    ADMIN_OPTIONS,
    {0},
};

const struct command page_explain = {
    .name = "explain",
    .run = command_explain,
    .summary = "what would happen to a request",
    .synopsis = "[-c FILE] [METHOD] URL [-H 'NAME: VALUE'] [--live] [--rehearse] [--json]",
    .description =
        "Which route it takes to which service, what is sent there, whether it is cached and "
        "under which name, how often it is tried and how long that can take at worst, when the "
        "breaker opens, and which tiers of the fallback chain answer in which order. Nothing is "
        "sent. URL is a path, or a whole URL whose host then counts for routes that look at it.",
    .options = options,
    .operands_min = 1,
    .operands_max = 2,
    .exit_failed = "the request would be refused (no route, method not allowed, malformed)",
    .exit_usage = "errors in the configuration",
    .example = "switchgear explain -c shop.yaml POST /api/orders -H 'Idempotency-Key: 7'",
};

/* ---- the service ---------------------------------------------------------------------- */

const struct service_options *explain_service(const struct gateway_options *o, const char *name) {
    for (uint32_t i = 0; i < o->service_count; i++) {
        if (!strcmp(o->services[i].name, name))
            return &o->services[i];
    }
    return NULL;
}

static uint64_t add(uint64_t a, uint64_t b) {
    return a == SWG_OFF || b == SWG_OFF || a > UINT64_MAX - 1 - b ? SWG_OFF : a + b;
}

static uint64_t or_default(uint64_t ns, uint64_t otherwise) {
    return ns ? ns : otherwise;
}

/* How long an attempt that gets no answer lasts. */
static uint64_t attempt_time(const struct swg_timeout_options *t) {
    uint64_t attempt = or_default(t->attempt_ns, SWG_SECONDS(30));
    uint64_t first_byte = or_default(t->first_byte_ns, SWG_OFF);
    uint64_t phases = add(or_default(t->connect_ns, SWG_SECONDS(5)), first_byte);
    return phases < attempt ? phases : attempt;
}

static uint32_t retries_of(const struct swg_policy_options *o) {
    const struct swg_retry_options *r = &o->retry;
    if (o->no_retry || r->max == SWG_RETRY_OFF)
        return 0;
    return r->max ? r->max : 3;
}

static bool retries_timeouts(const struct swg_retry_options *r) {
    bool any = r->on_connect || r->on_reset || r->on_timeout;
    for (int i = 0; i < 10; i++)
        any = any || r->on_status[i];
    return r->on_timeout || !any;
}

void explain_worst(const struct service_options *s, bool retries, struct explain_worst *w) {
    const struct swg_policy_options *o = &s->policy;
    uint64_t total = or_default(o->timeout.total_ns, SWG_SECONDS(60));
    uint64_t each = add(attempt_time(&o->timeout), o->bulkhead.queue ? o->bulkhead.wait_ns : 0);
    uint64_t previous = 0, ns = 0;
    uint32_t max = retries ? retries_of(o) : 0;
    *w = (struct explain_worst){.attempts_max = 1 + max};
    for (uint32_t i = 0; i < max && i < 8; i++)
        w->waits_ns[w->wait_count++] = previous =
            swg_retry_wait_ns(&o->retry, i, previous, 0, UINT64_MAX);
    previous = 0;
    for (;;) {
        w->attempts++;
        ns = add(ns, each);
        if (ns >= total) {
            ns = total;
            break;
        }
        if (w->attempts > max || !retries_timeouts(&o->retry))
            break;
        previous = swg_retry_wait_ns(&o->retry, w->attempts - 1, previous, 0, UINT64_MAX);
        if (add(ns, previous) >= total)
            break; /* a retry that would come too late is not waited for */
        ns = add(ns, previous);
    }
    w->ns = ns;
}

/* ---- the request ------------------------------------------------------------------------ */

static struct bytes field(const struct explain_request *r, enum http_field_id id) {
    for (uint16_t i = 0; i < r->field_count; i++) {
        if (r->fields[i].id == id)
            return r->fields[i].value;
    }
    return (struct bytes){0};
}

/* The same conditions as the gateway's, each with its reason. */
static const char *why_not_cacheable(const struct explanation *e) {
    const struct cache_options *o = &e->service->cache;
    const struct explain_request *r = e->request;
    bool key_has_body = o->key & KEY_BODY;
    if (!o->enabled)
        return "the service has no cache";
    if (e->service->policy.no_cache)
        return "the cache is switched off";
    if (field(r, HTTP_UPGRADE).at)
        return "it is an upgrade";
    if (field(r, HTTP_IF_MATCH).at || field(r, HTTP_IF_UNMODIFIED_SINCE).at)
        return "it has a condition that only the service can judge";
    if (r->method == HTTP_POST)
        return key_has_body ? NULL : "it is a POST, and the body is no part of the key";
    if (r->method != HTTP_GET && r->method != HTTP_HEAD)
        return "only GET and HEAD are";
    if (r->body_bytes && (r->method == HTTP_HEAD || !key_has_body))
        return "it has a body, which is no part of the key";
    return NULL;
}

static const char *why_no_retry(const struct explanation *e) {
    const struct swg_policy_options *o = &e->service->policy;
    if (!retries_of(o))
        return "retries are switched off";
    if (!e->idempotent && !o->retry.any_method)
        return "the method is not idempotent and there is no Idempotency-Key";
    if (!e->replayable)
        return "the body is longer than retry.body keeps";
    return NULL;
}

static void make_key(struct explanation *e) {
    const struct explain_request *r = e->request;
    struct cache_key_parts parts = {
        .service = bytes_of(e->service->name),
        .scheme = BYTES("http"),
        .method = r->method == HTTP_HEAD ? BYTES("GET") : r->method_text,
        .host = r->host,
        .path = e->sent_path,
        .query = r->parts.query,
        .fields = r->fields,
        .field_count = r->field_count,
    };
    if (cache_key_make(&e->key, &parts, &e->service->cache) < 0)
        e->not_cacheable = "out of memory";
}

static bool refuse(struct explanation *e, int status, const char *why) {
    e->status = status;
    e->refusal = why;
    return false;
}

static struct bytes without_port(struct bytes host) {
    const char *colon = host.len ? memrchr(host.at, ':', host.len) : NULL;
    bool bracket = host.len && host.at[host.len - 1] == ']';
    return colon && !bracket ? (struct bytes){host.at, (size_t)(colon - host.at)} : host;
}

static bool find_route(struct explanation *e, const struct router *router) {
    const struct explain_request *r = e->request;
    if (r->parts.path.at[0] != '/')
        return refuse(e, 400, "the target is malformed");
    if (e->options->limits.body != SWG_OFF && r->body_bytes > e->options->limits.body)
        return refuse(e, 413, "the body is larger than limits.body");
    if (router_match(router, r->method, without_port(r->host), r->parts.path, &e->match))
        return true;
    e->methods = e->match.methods;
    return e->methods ? refuse(e, 405, "the path does not take this method")
                      : refuse(e, 404, "no route leads from this path to a service");
}

static const struct queue_options *queue_of(const struct service_options *s) {
    for (uint32_t i = 0; i < s->tier_count; i++) {
        if (s->tiers[i].kind == TIER_QUEUE)
            return &s->tiers[i].queue;
    }
    return NULL;
}

/* As queueing_begin() and queueing_body_max() do it. */
static void look_for_own_key(struct explanation *e) {
    const struct queue_options *queue = queue_of(e->service);
    if (!queue || e->safe || field(e->request, HTTP_UPGRADE).at)
        return;
    e->own_key = !field(e->request, HTTP_IDEMPOTENCY_KEY).at;
    e->idempotent |= e->own_key;
    e->replayable |= e->request->body_bytes <= queue->body_max;
}

void explain(struct explanation *e, const struct gateway_options *o, const struct router *router,
             const struct explain_request *r, struct arena *arena) {
    *e = (struct explanation){.options = o, .request = r};
    if (!find_route(e, router))
        return;
    if (e->match.route->part_count)
        return; /* each part is a request of its own */
    e->service = &o->services[e->match.route->service_index];
    e->sent_path = route_path(e->match.route, e->request->parts.path);
    e->idempotent = http_method_is_idempotent(r->method) || field(r, HTTP_IDEMPOTENCY_KEY).len;
    e->safe = http_method_is_safe(r->method);
    e->replayable = r->body_bytes <= e->service->transport.body_keep;
    look_for_own_key(e);
    e->no_retry = why_no_retry(e);
    e->not_cacheable = why_not_cacheable(e);
    if (!e->not_cacheable)
        make_key(e);
    e->cacheable = !e->not_cacheable;
    explain_worst(e->service, !e->no_retry, &e->worst);
}

const char *explain_tier_skipped(const struct explanation *e, uint32_t tier) {
    const struct tier_options *t = &e->service->tiers[tier];
    const struct swg_policy_options *p = &e->service->policy;
    if (p->no_fallback)
        return "fallbacks are switched off";
    if (t->kind == TIER_STALE && !e->cacheable)
        return "this request is not cached";
    if (tier < p->tier_count && p->tiers[tier].for_reads_only && !e->safe)
        return "only for requests that read";
    if (tier < p->tier_count && p->tiers[tier].for_writes_only && e->safe)
        return "only for requests that write";
    if (tier < p->tier_count && p->tiers[tier].asks_again && !e->idempotent && !p->retry.any_method)
        return "only if the service has not seen the request, which may not be done twice";
    return NULL;
}

const struct node *explain_live(const struct node *live, const char *service) {
    const struct node *list = json_in_get(live, "circuit_breakers");
    for (struct node_entry *e = list && list->kind == NODE_LIST ? list->first : NULL; e;
         e = e->next) {
        if (!strcmp(json_in_text_or(e->value, "name", ""), service))
            return e->value;
    }
    return NULL;
}

void explain_write_target(const struct explanation *e, const struct endpoint_options *endpoint,
                          struct buf *to) {
    buf_string(to, endpoint->base_path);
    buf_bytes(to, e->sent_path);
    if (e->request->parts.query.at) {
        buf_char(to, '?');
        buf_bytes(to, e->request->parts.query);
    }
}

/* ---- the command ------------------------------------------------------------------------- */

struct typed {
    struct explain_request request;
    struct admin_client client;
    bool live, rehearse, json;
};

static void add_field(struct args *args, struct explain_request *r, const char *line) {
    const char *colon = strchr(line, ':');
    if (!colon || colon == line || r->field_count == EXPLAIN_FIELDS) {
        args_fail(args, "--header: \"%s\"; expected 'Name: value'", line);
        return;
    }
    struct http_field *f = &r->fields[r->field_count++];
    f->name = (struct bytes){line, (size_t)(colon - line)};
    f->value = bytes_trim(bytes_of(colon + 1));
    f->id = (uint8_t)http_field_of(f->name);
    if (f->id == HTTP_HOST)
        r->host = f->value;
}

static void read_option(struct args *args, int id, struct typed *t) {
    switch (id) {
    case HEADER:
        add_field(args, &t->request, args->value);
        break;
    case BODY_SIZE:
        args_size(args, &t->request.body_bytes);
        break;
    case LIVE:
        t->live = true;
        break;
    case REHEARSE:
        t->rehearse = true;
        break;
    case JSON:
        t->json = true;
        break;
    default:
        admin_client_option(&t->client, args, id);
    }
}

static void read_operands(struct args *args, struct explain_request *r, struct arena *arena) {
    if (!args->operand_count)
        return;
    const char *url = args->operand[args->operand_count - 1];
    r->method_text = args->operand_count == 2 ? bytes_of(args->operand[0]) : BYTES("GET");
    r->method = http_method_of(r->method_text);
    if (!path_split(bytes_of(url), arena, &r->parts)) {
        args_fail(args, "\"%s\" is no URL; expected a path such as /api/x, or http://host/path",
                  url);
        return;
    }
    if (r->parts.authority.at)
        r->host = r->parts.authority;
}

static void tell_parts(const struct explanation *e, bool json) {
    const struct route_options *r = e->match.route;
    struct buf text;
    struct json_out j;
    buf_init(&text, 1 << 20);
    json_init(&j, &text);
    json_object(&j);
    json_key_string(&j, r->prefix ? "prefix" : "path", r->pattern);
    json_key_object(&j, "aggregate");
    for (uint32_t i = 0; i < r->part_count; i++) {
        json_key_object(&j, r->parts[i].name);
        json_key_string(&j, "service", r->parts[i].service);
        json_key_string(&j, "path", r->parts[i].path);
        json_key_bool(&j, "required", r->parts[i].required);
        json_object_end(&j);
        if (!json)
            printf("%-10s %s: %s of %s%s\n", i ? "" : "parts", r->parts[i].name, r->parts[i].path,
                   r->parts[i].service, r->parts[i].required ? ", required" : "");
    }
    json_object_end(&j);
    json_object_end(&j);
    if (json)
        puts(buf_cstr(&text));
    buf_free(&text);
}

static int tell(struct typed *t, const struct gateway_options *o, struct arena *arena) {
    struct explanation e;
    struct json_in live;
    struct router *router = router_create(o);
    bool has_live = false;
    if (!router)
        return EXIT_FAILED;
    explain(&e, o, router, &t->request, arena);
    if (e.match.route && e.match.route->part_count && !e.status) {
        tell_parts(&e, t->json);
        router_destroy(router);
        return EXIT_DONE;
    }
    if (t->live) {
        has_live = admin_client_settle(&t->client) &&
                   admin_client_read(&t->client, "/api/v1/circuit-breakers", 0, &live) == 0;
        if (!has_live) {
            router_destroy(router);
            return EXIT_FAILED;
        }
    }
    bool alone = t->json && t->rehearse && !e.status; /* what the gateway says is JSON of its own */
    if (!alone && t->json)
        explain_write_json(&e, has_live ? live.root : NULL, stdout);
    else if (!alone)
        explain_write_text(&e, has_live ? live.root : NULL, stdout);
    if (has_live)
        json_in_free(&live);
    router_destroy(router);
    if (t->rehearse && !e.status &&
        (!admin_client_settle(&t->client) || explain_rehearse(&e, &t->client, t->json, stdout) < 0))
        return EXIT_FAILED;
    return e.status ? EXIT_FAILED : EXIT_DONE;
}

static int load_and_tell(struct typed *t, struct arena *arena) {
    const char *path = t->client.config ? t->client.config : config_default_path();
    struct config_report report;
    struct gateway_options *o;
    int result = EXIT_USAGE;
    config_report_init(&report);
    if (config_load(path, &o, &report) == 0) {
        result = tell(t, o, arena);
        gateway_options_release(o);
    } else {
        config_report_print(&report, stderr);
    }
    config_report_free(&report);
    return result;
}

int command_explain(int argc, char **argv) {
    struct typed t = {0};
    struct args args;
    struct arena arena;
    arena_init(&arena, NULL, 0, 1 << 20);
    admin_client_init(&t.client, page_explain.name);
    args_begin(&args, &page_explain, argc, argv);
    for (int id; (id = args_next(&args)) != ARGS_END;)
        read_option(&args, id, &t);
    read_operands(&args, &t.request, &arena);
    int result = args_done(&args) ? load_and_tell(&t, &arena) : EXIT_USAGE;
    arena_reset(&arena);
    return result;
}
