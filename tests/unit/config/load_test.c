/* load_test.c - from text to options: values, defaults, inheritance, printing. */
#include "load_scene.h"

#include <switchgear/policy.h>

#include "observe/log.h"
#include "wire/http.h"

static void the_smallest_file(void **state) {
    load_clean("services: {shop: {endpoints: [http://127.0.0.1:8001]}}");
    assert_int_equal(options->references, 1);
    assert_string_equal(options->file, "test.yaml");
    assert_true(options->workers >= 1);
    assert_int_equal(options->cache_bytes, 64 << 20);
    assert_int_equal(options->listen_count, 1);
    assert_string_equal(options->listens[0].address, "127.0.0.1:8080");
    assert_true(options->admin.enabled);
    assert_string_equal(options->admin.host, "127.0.0.1");
    assert_int_equal(options->admin.port, 9797);
    assert_null(options->admin.token);
    assert_int_equal(options->route_count, 1);
    assert_string_equal(options->routes[0].pattern, "/");
    assert_true(options->routes[0].prefix);
    assert_string_equal(options->routes[0].service, "shop");
}

static void defaults_of_the_process(void **state) {
    load_clean(ONE(""));
    const struct limit_options *l = &options->limits;
    assert_int_equal(l->headers, 100);
    assert_int_equal(l->header_bytes, 16384);
    assert_int_equal(l->url, 8192);
    assert_true(l->body == SWG_OFF);
    assert_int_equal(l->connections, 100000);
    assert_int_equal(l->connections_per_client, 0);
    assert_int_equal(l->header_timeout_ns, SWG_SECONDS(10));
    assert_int_equal(l->idle_timeout_ns, SWG_SECONDS(75));
    assert_int_equal(l->body_rate, 0);
    assert_int_equal(options->drain.delay_ns, SWG_SECONDS(5));
    assert_int_equal(options->drain.timeout_ns, SWG_SECONDS(30));
    assert_false(options->log.logfmt);
    assert_int_equal(options->log.level, LOG_INFO);
    assert_int_equal(options->log.requests, LOG_REQUESTS_OFF);
}

static void defaults_of_a_service(void **state) {
    load_clean(ONE(""));
    const struct service_options *s = service(0);
    const struct swg_policy_options *p = &s->policy;
    assert_int_equal(p->timeout.connect_ns, SWG_SECONDS(5));
    assert_true(p->timeout.first_byte_ns == SWG_OFF);
    assert_int_equal(p->timeout.attempt_ns, SWG_SECONDS(30));
    assert_int_equal(p->timeout.total_ns, SWG_SECONDS(60));
    assert_int_equal(p->retry.max, 3);
    assert_int_equal(p->retry.base_ns, SWG_MS(100));
    assert_int_equal(p->retry.cap_ns, SWG_SECONDS(10));
    assert_int_equal(p->retry.jitter, SWG_JITTER_FULL);
    assert_true(p->retry.on_connect && p->retry.on_reset && p->retry.on_timeout);
    for (int status = 400; status < 600; status++)
        assert_int_equal(swg_status_in(p->retry.on_status, status),
                         status == 500 || (status >= 502 && status <= 504));
    assert_false(p->retry.any_method);
    assert_int_equal(p->budget.percent, 20);
    assert_int_equal(p->budget.floor_per_s, 10);
    assert_false(p->budget.unlimited);
    assert_int_equal(p->breaker.failure_percent, 50);
    assert_int_equal(p->breaker.failures + p->breaker.consecutive + p->breaker.slow_percent, 0);
    assert_int_equal(p->breaker.calls_min, 20);
    assert_int_equal(p->breaker.window_ns, SWG_SECONDS(10));
    assert_int_equal(p->breaker.window_calls, 0);
    assert_int_equal(p->breaker.open_ns, SWG_SECONDS(5));
    assert_int_equal(p->breaker.open_max_ns, SWG_SECONDS(60));
    assert_int_equal(p->breaker.jitter_percent, 10);
    assert_int_equal(p->breaker.probes, 2);
    assert_int_equal(p->breaker.close_after, 2);
    assert_int_equal(p->breaker.probe_lease_ns, SWG_SECONDS(60));
    assert_int_equal(p->bulkhead.concurrent, 1024);
    assert_int_equal(p->rate.calls, 0);
    assert_int_equal(p->ejection_max_percent, 50);
    assert_false(p->cache || p->no_breaker || p->no_retry || p->no_fallback || p->no_cache);
    assert_int_equal(s->transport.idle_ns, SWG_SECONDS(60));
    assert_int_equal(s->transport.upgrade_idle_ns, SWG_HOURS(1));
    assert_int_equal(s->transport.keep_alive_ns, SWG_SECONDS(4));
    assert_int_equal(s->transport.body_keep, 65536);
    assert_true(s->transport.preserve_host);
    assert_false(s->cache.enabled || s->health.enabled || s->critical || s->rate_per_client);
    assert_string_equal(s->message_open,
                        "s is taking a short break. Please try again in a few moments.");
    assert_string_equal(s->message_timeout, "s took too long. Please try again.");
}

static void endpoints(void **state) {
    load_clean("services: {s: {endpoints: [http://a, {url: 'http://[::1]:81/base/', weight: 7}, "
               "unix:/run/x.sock]}}");
    const struct service_options *s = service(0);
    assert_int_equal(s->endpoint_count, 3);
    assert_int_equal(s->endpoints[0].port, 80);
    assert_string_equal(s->endpoints[0].authority, "a");
    assert_string_equal(s->endpoints[0].base_path, "");
    assert_string_equal(s->endpoints[1].host, "::1");
    assert_string_equal(s->endpoints[1].authority, "[::1]:81");
    assert_string_equal(s->endpoints[1].base_path, "/base");
    assert_int_equal(s->endpoints[2].scheme, SCHEME_UNIX);
    assert_string_equal(s->endpoints[2].unix_path, "/run/x.sock");
    assert_string_equal(s->endpoints[2].authority, "localhost");
    assert_int_equal(s->policy.endpoint_count, 3);
    assert_string_equal(s->policy.endpoints[1].name, "http://[::1]:81/base/");
    assert_int_equal(s->policy.endpoints[1].weight, 7);
    assert_int_equal(s->policy.endpoints[0].weight, 1);
}

static void services_inherit_key_by_key(void **state) {
    load_clean("services:\n"
               "  a: {endpoints: [http://a], timeout: {total: 1s, attempt: 500ms}}\n"
               "  b: {endpoints: [http://b]}\n"
               "routes: [{prefix: /a, service: a}, {prefix: /b, service: b}]\n"
               "defaults: {timeout: {total: 9s, attempt: 3s, connect: 200ms}, critical: true}\n");
    assert_int_equal(service(0)->policy.timeout.total_ns, SWG_SECONDS(1));
    assert_int_equal(service(0)->policy.timeout.connect_ns, SWG_MS(200));
    assert_int_equal(service(1)->policy.timeout.total_ns, SWG_SECONDS(9));
    assert_true(service(0)->critical && service(1)->critical);
}

static void naming_a_trip_rule_replaces_all(void **state) {
    load_clean("defaults: {breaker: {failures: 5, slow_rate: 80%, slow_call: 2s, window: 100}}\n"
               "services:\n"
               "  a: {endpoints: [http://a], breaker: {consecutive: 3, open: 1s}}\n"
               "  b: {endpoints: [http://b], breaker: {open: 2s}}\n"
               "routes: [{prefix: /a, service: a}, {prefix: /b, service: b}]\n");
    const struct swg_breaker_options *a = &service(0)->policy.breaker;
    const struct swg_breaker_options *b = &service(1)->policy.breaker;
    assert_int_equal(a->consecutive, 3);
    assert_int_equal(a->failures + a->slow_percent + a->failure_percent, 0);
    assert_int_equal(a->window_calls, 100); /* not a rule: inherited */
    assert_int_equal(a->slow_call_ns, SWG_SECONDS(2));
    assert_int_equal(b->failures, 5);
    assert_int_equal(b->slow_percent, 80);
    assert_int_equal(b->failure_percent, 0);
}

static void windows(void **state) {
    load_clean(ONE("breaker: {failures: 5, window: 100}"));
    assert_int_equal(service(0)->policy.breaker.window_calls, 100);
    assert_int_equal(service(0)->policy.breaker.window_ns, 0);
    load_clean(ONE("breaker: {failures: 5, window: 100s}"));
    assert_int_equal(service(0)->policy.breaker.window_calls, 0);
    assert_int_equal(service(0)->policy.breaker.window_ns, SWG_SECONDS(100));
    load_clean(ONE("breaker: {window: 10}")); /* the inherited minimum of 20 gives way */
    assert_int_equal(service(0)->policy.breaker.calls_min, 10);
    load_warning(ONE("breaker: {window: 10, min_calls: 20}"), "holds only 10");
    load_error(ONE("breaker: {window: 10, failures: 11}"), "holds only 10");
    load_error(ONE("breaker: {window: 0}"), "a number of calls from 1 to 10000");
    load_error(ONE("breaker: {window: 5ms}"), "from 10ms to 24h");
}

static void open_max_follows_open(void **state) {
    load_clean(ONE("breaker: {open: 5m}"));
    assert_int_equal(service(0)->policy.breaker.open_max_ns, SWG_MINUTES(5));
    load_error(ONE("breaker: {open: 5m, open_max: 1m}"), "open_max is less");
    load_clean("defaults: {breaker: {open_max: 1m}}\n" ONE("breaker: {open: 5m}"));
    assert_int_equal(service(0)->policy.breaker.open_max_ns, SWG_MINUTES(5));
    load_error("defaults: {breaker: {open: 5m}}\n" ONE("breaker: {open_max: 1m}"), "open_max");
}

static void words_for_none(void **state) {
    load_clean(ONE("retry: {max: 0, budget: {ratio: 0%, floor: 0/s}}, breaker: {jitter: 0%, "
                   "slow_call: off}, bulkhead: {concurrent: unlimited}, timeout: {total: off}"));
    const struct swg_policy_options *p = &service(0)->policy;
    assert_true(p->retry.max == SWG_RETRY_OFF);
    assert_true(p->budget.percent == SWG_BUDGET_NONE && p->budget.floor_per_s == SWG_BUDGET_NONE);
    assert_int_equal(p->breaker.jitter_percent, 101);
    assert_true(p->breaker.slow_call_ns == SWG_OFF);
    assert_true(p->bulkhead.concurrent == SWG_BULKHEAD_UNLIMITED);
    assert_true(p->timeout.total_ns == SWG_OFF);
    load_clean(ONE("retry: {budget: off}"));
    assert_true(service(0)->policy.budget.unlimited);
    load_clean(ONE("enabled: {breaker: false, retry: false, fallback: false, cache: false}"));
    p = &service(0)->policy;
    assert_true(p->no_breaker && p->no_retry && p->no_fallback && p->no_cache);
}

static void retries(void **state) {
    load_clean(ONE("retry: {on: [reset, 429], methods: any, jitter: decorrelated, body: 1MiB}"));
    const struct swg_retry_options *r = &service(0)->policy.retry;
    assert_true(r->on_reset && !r->on_connect && !r->on_timeout);
    assert_true(swg_status_in(r->on_status, 429) && !swg_status_in(r->on_status, 503));
    assert_true(r->any_method);
    assert_int_equal(r->jitter, SWG_JITTER_DECORRELATED);
    assert_int_equal(service(0)->transport.body_keep, 1 << 20);
    load_clean(ONE("retry: {on: timeout}"));
    assert_true(service(0)->policy.retry.on_timeout && !service(0)->policy.retry.on_reset);
    load_error(ONE("retry: {on: []}"), "at least one reason");
    load_error(ONE("retry: {on: [200]}"), "statuses from 400 to 599");
}

static void rate_limits(void **state) {
    load_clean(ONE("rate_limit: {rate: 90/m, per: client}"));
    const struct swg_rate_options *r = &service(0)->policy.rate;
    assert_int_equal(r->calls, 90);
    assert_int_equal(r->per_ns, SWG_MINUTES(1));
    assert_int_equal(r->burst, 1);
    assert_true(service(0)->rate_per_client);
    load_clean(ONE("rate_limit: {rate: 100/s}"));
    assert_int_equal(service(0)->policy.rate.burst, 100);
    load_clean(ONE("rate_limit: {rate: 1/h, burst: 7}"));
    assert_int_equal(service(0)->policy.rate.burst, 7);
    load_error(ONE("rate_limit: {burst: 7}"), "alone limits nothing");
    load_error(ONE("retry: {budget: {floor: 1/m}}"), "a whole number a second");
    load_clean(ONE("retry: {budget: {floor: 600/m}}"));
    assert_int_equal(service(0)->policy.budget.floor_per_s, 10);
}

static void caches(void **state) {
    load_clean(ONE("cache: {}"));
    assert_true(service(0)->cache.enabled && service(0)->policy.cache);
    assert_int_equal(service(0)->cache.fresh_ns, 0);
    assert_int_equal(service(0)->cache.stale_ns, SWG_HOURS(24));
    assert_int_equal(service(0)->cache.key, KEY_METHOD | KEY_HOST | KEY_PATH | KEY_QUERY);
    load_clean(ONE("cache: {fresh: 1m, key: [path, header.Accept, header.X-Tenant, body]}"));
    assert_int_equal(service(0)->cache.key, KEY_PATH | KEY_BODY);
    assert_int_equal(service(0)->cache.header_count, 2);
    assert_string_equal(service(0)->cache.headers[1], "X-Tenant");
    load_clean("defaults: {cache: {fresh: 1m}}\n" ONE("cache: off"));
    assert_false(service(0)->cache.enabled || service(0)->policy.cache);
    load_error(ONE("cache: {key: [method, 'header.X Y']}"), "header.NAME");
    load_error(ONE("cache: {store: redis}"), "no Redis is configured");
}

static void health_checks(void **state) {
    load_clean(ONE("health: {path: /up, interval: 3s}"));
    assert_true(service(0)->health.enabled);
    assert_string_equal(service(0)->health.path, "/up");
    assert_int_equal(service(0)->health.interval_ns, SWG_SECONDS(3));
    assert_int_equal(service(0)->health.timeout_ns, SWG_SECONDS(2));
}

static void tiers(void **state) {
    load_clean(
        "services:\n"
        "  a:\n"
        "    endpoints: [http://a]\n"
        "    cache: {stale: 2h}\n"
        "    fallback:\n"
        "      - stale: {max: 1h}\n"
        "      - service: {name: b, path: /other}\n"
        "      - static: {status: 203, json: {n: 1, t: '1', x: [null, true, 1.50, ~]},\n"
        "                 headers: {X-Degraded: yes}}\n"
        "  b: {endpoints: [http://b], fallback: [{static: {body: <p>, content_type: t/h}}]}\n"
        "routes: [{prefix: /, service: a}]\n");
    const struct service_options *a = service(0);
    assert_int_equal(a->tier_count, 3);
    assert_string_equal(a->tiers[0].name, "1-stale");
    assert_int_equal(a->tiers[0].stale.max_ns, SWG_HOURS(1));
    assert_string_equal(a->tiers[1].name, "2-service");
    assert_string_equal(a->tiers[1].service.service, "b");
    assert_string_equal(a->tiers[1].service.path, "/other");
    assert_string_equal(a->tiers[2].name, "3-static");
    assert_int_equal(a->tiers[2].fixed.status, 203);
    assert_string_equal(a->tiers[2].fixed.body.at,
                        "{\"n\":1,\"t\":\"1\",\"x\":[null,true,1.50,null]}");
    assert_string_equal(a->tiers[2].fixed.content_type, "application/json");
    assert_string_equal(a->tiers[2].fixed.headers[0].value, "yes");
    assert_int_equal(a->policy.tier_count, 3);
    assert_true(a->policy.tiers[0].instant && a->policy.tiers[2].instant);
    assert_false(a->policy.tiers[1].instant);
    assert_string_equal(service(1)->tiers[0].fixed.content_type, "t/h");
    assert_int_equal(service(1)->tiers[0].fixed.status, 200);
    load_clean("services: {a: {endpoints: [http://a], fallback: [{service: b}]}, "
               "b: {endpoints: [http://b]}}\nroutes: [{prefix: /, service: a}]");
    assert_string_equal(service(0)->tiers[0].service.service, "b");
    assert_null(service(0)->tiers[0].service.path);
}

static void routes(void **state) {
    load_clean("services: {a: {endpoints: [http://a]}, b: {endpoints: [http://b]}}\n"
               "routes:\n"
               "  - {path: '/u/{id}', service: b, match: {method: [GET, HEAD], host: '*.X.org'}}\n"
               "  - {prefix: /api/b/, service: b, strip_prefix: /api}\n"
               "  - {prefix: /, service: a}\n");
    const struct route_options *r = options->routes;
    assert_int_equal(options->route_count, 3);
    assert_string_equal(r[0].pattern, "/u/{id}");
    assert_false(r[0].prefix);
    assert_int_equal(r[0].method_mask, 1 << HTTP_GET | 1 << HTTP_HEAD);
    assert_string_equal(r[0].host, "*.x.org");
    assert_int_equal(r[0].service_index, 1);
    assert_string_equal(r[1].pattern, "/api/b");
    assert_string_equal(r[1].strip_prefix, "/api");
    assert_int_equal(r[2].service_index, 0);
    assert_string_equal(r[2].pattern, "/");
}

static void listens(void **state) {
    load_clean("listen:\n"
               "  - {address: '0.0.0.0:80', expose: full, trust: [10.0.0.0/8, ::1]}\n"
               "  - {address: 'unix:/run/gate.sock'}\n"
               "  - {address: 'localhost:0'}\n"
               "  - {address: 'localhost:0'}\n" ONE(""));
    assert_int_equal(options->listen_count, 4);
    assert_int_equal(options->listens[0].port, 80);
    assert_int_equal(options->listens[0].expose, EXPOSE_FULL);
    assert_int_equal(options->listens[0].trusted_count, 2);
    assert_int_equal(options->listens[0].trusted[0].bits, 104);
    assert_int_equal(options->listens[0].trusted[1].bits, 128);
    assert_null(options->listens[1].host);
    assert_string_equal(options->listens[1].unix_path, "/run/gate.sock");
    assert_string_equal(options->listens[2].host, "127.0.0.1");
    assert_int_equal(options->listens[2].expose, EXPOSE_AUTO);
}

static void admin(void **state) {
    setenv("SWG_TEST_TOKEN", "0123456789abcdef", 1);
    unsetenv("SWG_TEST_NONE");
    load_clean("admin: {address: '0.0.0.0:1', token: '${SWG_TEST_TOKEN}'}\n" ONE(""));
    assert_string_equal(options->admin.token, "0123456789abcdef");
    load_clean("admin: off\n" ONE(""));
    assert_false(options->admin.enabled);
    load_clean("admin: {token: '${SWG_TEST_NONE:-}'}\n" ONE(""));
    assert_null(options->admin.token);
    load_error("admin: {address: '[::]:1'}\n" ONE(""), "could be changed by anyone");
    load_error("admin: {token: 'a b'}\n" ONE(""), "cannot carry");
    load_error("admin: {token: file:/nonexistent}\n" ONE(""), "No such file");
    load_warning("admin: {token: short}\n" ONE(""), "short enough to be guessed");
}

static void resilience(void **state) {
    load_clean(ONE(""));
    assert_int_equal(options->resilience.overall.healthy_percent, 80);
    assert_int_equal(options->resilience.overall.criticals, 2);
    assert_int_equal(options->resilience.flap.changes, 6);
    assert_false(options->resilience.flap_off);
    assert_false(service(0)->policy.breaker.stay_open);
    assert_true(service(0)->essential);
    load_clean("resilience: {recovery: manual, flap: off}\n" ONE("essential: false"));
    assert_true(options->resilience.flap_off);
    assert_true(service(0)->policy.breaker.stay_open);
    assert_false(service(0)->essential);
    load_warning("resilience: {healthy: 60%, degraded: 70%}\n" ONE(""), "nothing is DEGRADED");
    load_error(ONE("essential: false, critical: true"), "may be switched off");
    load_error("resilience: {flap: {changes: 65}}\n" ONE(""), "from 2 to 64");
}

static void dependencies(void **state) {
    static const char both[] =
        "services: {a: {endpoints: [http://h], depends_on: [b, {service: c, soft: true}]}, "
        "b: {endpoints: [http://h]}, c: {endpoints: [http://h]}}\n"
        "routes: [{prefix: /, service: a}]\n";
    load_clean(both);
    assert_int_equal(service(0)->depends_count, 2);
    assert_string_equal(service(0)->depends_on[0].service, "b");
    assert_false(service(0)->depends_on[0].soft);
    assert_string_equal(service(0)->depends_on[1].service, "c");
    assert_true(service(0)->depends_on[1].soft);
    char *json = printed(options);
    assert_non_null(strstr(json, "\"depends_on\":[\"b\",{\"service\":\"c\",\"soft\":true}]"));
    free(json);
    load_error(ONE("depends_on: [{soft: true}]"), "has no service");
    load_error(ONE("depends_on: [{service: s, soft: true}]"), "leads back to s");
    load_error(ONE("depends_on: [{service: x}]"), "there is no service \"x\"");
}

static void no_message_shows_a_secret(void **state) {
    struct buf text;
    load("admin: {token: 'very secret token', address: nowhere}\n" ONE(""));
    buf_init(&text, 8192);
    config_report_write(&report, &text);
    assert_true(report.error_count >= 2);
    assert_null(strstr(buf_cstr(&text), "very"));
    buf_free(&text);
    load_clean("admin: {token: 'a-very-secret-token'}\n" ONE(""));
    char *json = printed(options);
    assert_null(strstr(json, "very-secret"));
    assert_non_null(strstr(json, "\"token\":\"***\""));
    free(json);
}

static void log_levels_are_those_of_the_log(void **state) {
    static const char *const words[] = {"debug", "info", "warn", "error"};
    static const int levels[] = {LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR};
    for (int i = 0; i < 4; i++) {
        char text[200];
        snprintf(text, sizeof text, "log: {level: %s, requests: 1/100, format: logfmt}\n%s",
                 words[i], ONE(""));
        load_clean(text);
        assert_int_equal(options->log.level, levels[i]);
        assert_int_equal(options->log.requests, LOG_REQUESTS_SAMPLED);
        assert_int_equal(options->log.sample, 100);
        assert_true(options->log.logfmt);
    }
}

static void variables_in_values(void **state) {
    setenv("SWG_TEST_PORT", "8099", 1);
    setenv("SWG_TEST_OFF", "false", 1);
    load_clean("services: {s: {endpoints: ['http://h:${SWG_TEST_PORT}'], "
               "enabled: {retry: '${SWG_TEST_OFF}'}, "
               "fallback: [{static: {json: {port: '${SWG_TEST_PORT}', t: 'a$${b}'}}}]}}");
    assert_int_equal(service(0)->endpoints[0].port, 8099);
    assert_true(service(0)->policy.no_retry);
    assert_string_equal(service(0)->tiers[0].fixed.body.at, "{\"port\":\"8099\",\"t\":\"a${b}\"}");
}

static void json_of(const char *yaml, const char *json) {
    char text[512];
    snprintf(text, sizeof text, ONE("fallback: [{static: {json: %s}}]"), yaml);
    load_clean(text);
    assert_string_equal(service(0)->tiers[0].fixed.body.at, json);
}

static void scalars_as_json(void **state) {
    json_of("[0, -1, +5, 1.50, 1.5e-3, 2E+10, 12345678901234567890123]",
            "[0,-1,5,1.50,1.5e-3,2E+10,12345678901234567890123]");
    json_of("[01, 1., .5, 1e, 0x1F, 1_000, 1.2.3]",
            "[\"01\",\"1.\",\".5\",\"1e\",\"0x1F\",\"1_000\",\"1.2.3\"]");
    json_of("[true, True, FALSE, tRue, null, ~, NULL, nUll, yes]",
            "[true,true,false,\"tRue\",null,null,null,\"nUll\",\"yes\"]");
    json_of("{a: {}, b: [], c: '', d: \"\\0\"}",
            "{\"a\":{},\"b\":[],\"c\":\"\",\"d\":\"\\u0000\"}");
    setenv("SWG_TEST_N", "17", 1);
    load_clean("services:\n  s:\n    endpoints: [http://h]\n    fallback:\n"
               "      - static:\n          json:\n            n: ${SWG_TEST_N}\n");
    assert_string_equal(service(0)->tiers[0].fixed.body.at, "{\"n\":17}");
}

/* A variable cannot change the structure, whatever it holds. */
static void variables_are_only_values(void **state) {
    setenv("SWG_TEST_EVIL", "x\n  admin: off", 1);
    load_error(ONE("message: {open: '${SWG_TEST_EVIL}'}"), "one line of text");
}

static void anchors(void **state) {
    load_clean("x-common: &common\n  timeout: {total: 2s, attempt: 1s}\n"
               "services:\n  a: {<<: *common, endpoints: [http://a]}\n");
    assert_int_equal(service(0)->policy.timeout.total_ns, SWG_SECONDS(2));
}

static void bodies_are_bounded(void **state) {
    struct buf b;
    buf_init(&b, 1 << 20);
    buf_string(&b, "x-0: &a0 [lol, lol]\n");
    for (int i = 1; i < 25; i++)
        buf_printf(&b, "x-%d: &a%d [*a%d, *a%d]\n", i, i, i - 1, i - 1);
    buf_string(&b, "services: {s: {endpoints: [http://h], fallback: [{static: {json: *a24}}]}}");
    assert_int_equal(load(b.at), -1);
    buf_free(&b);
}

static void all_memory_is_bounded(void **state) {
    struct buf b;
    buf_init(&b, 1 << 20);
    buf_string(&b, "x-body: &body \"");
    for (int i = 0; i < 60000; i++)
        buf_string(&b, "0123456789");
    buf_string(&b, "\"\nservices:\n");
    for (int i = 0; i < 500; i++)
        buf_printf(&b, "  s%d: {endpoints: [http://h], fallback: [{static: {text: *body}}]}\n", i);
    assert_int_equal(load(b.at), -1);
    struct buf text;
    buf_init(&text, 1 << 20);
    config_report_write(&report, &text);
    assert_non_null(strstr(buf_cstr(&text), "too large for memory"));
    buf_free(&text);
    buf_free(&b);
}

/* What is printed loads again and prints the same. */
static void printing_is_loading(void **state) {
    load_clean("listen: [{address: '[::1]:80', trust: [10.0.0.0/8]}]\n"
               "admin: {address: '[::1]:1'}\n"
               "limits: {body: 10MB, connections_per_client: 7, body_rate: 1KiB}\n"
               "log: {requests: 1/10}\nworkers: 3\n"
               "defaults: {cache: {key: [path, header.A], fresh: 1s}}\n"
               "services:\n"
               "  a: {endpoints: [{url: 'http://a/b', weight: 3}, unix:/x], depends_on: b,\n"
               "      retry: {max: 0, on: [timeout, 418], budget: off, methods: any},\n"
               "      breaker: {consecutive: 2, slow_rate: 10%, slow_call: 90ms, window: 77,\n"
               "                min_calls: 5, jitter: 0%, ramp: 3s}, balance: random,\n"
               "      bulkhead: {concurrent: unlimited}, rate_limit: {rate: 7/m, per: client},\n"
               "      message: {open: \"quote \\\" and \\u00e4\"}, timeout: {first_byte: 1500ms},\n"
               "      fallback: [{stale: {}}, {service: {name: b, path: /p}},\n"
               "                 {static: {status: 503, text: \"a\\nb\", headers: {A: b}}}]}\n"
               "  b: {endpoints: [http://b], cache: off, health: {path: /h}, critical: true}\n"
               "routes: [{path: '/{x}', service: b, match: {method: PUT, host: h.org}},\n"
               "         {prefix: /p, strip_prefix: /p, service: a}]\n");
    char *first = printed(options);
    load_clean(first);
    char *second = printed(options);
    assert_string_equal(first, second);
    free(first);
    free(second);
}

/* It takes what it can have of the defaults, and nothing that only requests have. */
static void a_tcp_service(void **state) {
    load_clean("listen: [{address: '127.0.0.1:1', protocol: tcp, service: a},\n"
               "         {address: 'unix:/x', protocol: tcp, service: b}]\n"
               "defaults: {cache: {fresh: 1s}, fallback: [{static: {text: x}}], first_token: 1s,\n"
               "           retry: {on: [500]}, timeout: {connect: 70ms}}\n"
               "services: {a: {endpoints: ['tcp://h:1', unix:/a]}, b: {endpoints: [unix:/b],\n"
               "           timeout: {idle: 9s}}}\n");
    assert_int_equal(options->route_count, 0);
    assert_int_equal(options->listens[0].protocol, PROTOCOL_TCP);
    for (uint32_t i = 0; i < 2; i++) {
        const struct service_options *s = service(i);
        assert_true(s->tcp && s->policy.retry.on_connect && !s->cache.enabled && !s->policy.cache);
        assert_true(s->tier_count == 0 && s->policy.tier_count == 0);
        assert_true(s->transport.first_token_ns == SWG_OFF);
        assert_true(s->policy.timeout.connect_ns == SWG_MS(70));
        assert_true(s->transport.idle_ns == (i ? SWG_SECONDS(9) : SWG_HOURS(1)));
    }
    char *first = printed(options);
    load_clean(first);
    char *second = printed(options);
    assert_string_equal(first, second);
    free(first);
    free(second);
    /* the only one that takes requests gets them all */
    load_clean("listen: [{address: '127.0.0.1:1'}, {address: 'unix:/x', protocol: tcp,\n"
               "         service: a}]\n"
               "services: {a: {endpoints: [unix:/a]}, web: {endpoints: [http://h]}}\n");
    assert_true(options->route_count == 1 && options->routes[0].service_index == 1);
    load_warning("services: {a: {endpoints: ['tcp://h:1']}}\n", "protocol: tcp");
    load_warning("listen: [{address: '127.0.0.1:1', protocol: tcp, service: a}]\n"
                 "services: {a: {endpoints: ['tcp://h:1']}, web: {endpoints: [http://h]}}\n",
                 "no listener takes requests");
}

static void what_only_a_restart_changes(void **state) {
    load_clean("workers: 3\n" ONE(""));
    struct gateway_options *old = gateway_options_hold(options);
    struct buf text;
    buf_init(&text, 1000);
    load_clean("workers: 3\n" ONE("timeout: {total: 3s}"));
    config_write_restart_keys(old, options, &text);
    assert_int_equal(text.len, 0);
    load_clean("workers: 3\nadmin: {token: 0123456789abcdef, address: '127.0.0.1:1'}\n" ONE(""));
    config_write_restart_keys(old, options, &text);
    assert_string_equal(buf_cstr(&text), "admin.address, admin.token");
    buf_clear(&text);
    load_clean("workers: 4\nlisten: [{address: '127.0.0.1:1'}]\nlog: {level: warn}\n"
               "admin: off\n" ONE(""));
    config_write_restart_keys(old, options, &text);
    assert_string_equal(buf_cstr(&text), "listen, admin, workers");
    buf_free(&text);
    gateway_options_release(old);
}

static void options_are_counted(void **state) {
    load_clean(ONE(""));
    assert_ptr_equal(gateway_options_hold(options), options);
    assert_int_equal(options->references, 2);
    gateway_options_release(options);
    assert_string_equal(service(0)->name, "s");
    gateway_options_release(NULL);
    struct gateway_options by_hand = {.references = 1};
    gateway_options_release(&by_hand);
}

static void a_file_that_is_not_there(void **state) {
    assert_int_equal(config_load("/nonexistent/x.yaml", &options, &report), -1);
    assert_null(options);
    assert_string_equal(report.findings[0].file, "/nonexistent/x.yaml");
    assert_non_null(strstr(report.findings[0].what, "No such file"));
    config_report_free(&report);
    assert_int_equal(config_load("/tmp", &options, &report), -1);
    assert_non_null(strstr(report.findings[0].what, "Is a directory"));
    config_report_free(&report);
    assert_int_equal(config_load("/dev/zero", &options, &report), -1);
    assert_non_null(strstr(report.findings[0].what, "too large"));
}

/* ---- shadows ---- */

static void a_shadow_is_as_the_breaker_but_for_what_it_names(void **state) {
    load_clean(ONE("shadow: {breaker: {open: 9s, ramp: 0, window: 50}},\n"
                   "  breaker: {failures: 4, open: 7s, ramp: 3s, jitter: 0%}"));
    const struct swg_policy_options *p = &service(0)->policy;
    assert_true(p->shadow.enabled);
    assert_int_equal(p->shadow.breaker.failures, 4);
    assert_int_equal(p->shadow.breaker.failure_percent, 0);
    assert_int_equal(p->shadow.breaker.open_ns, SWG_SECONDS(9));
    assert_int_equal(p->shadow.breaker.ramp_ns, 0);
    assert_int_equal(p->shadow.breaker.window_calls, 50);
    assert_int_equal(p->shadow.breaker.jitter_percent, 101);
    assert_int_equal(p->breaker.open_ns, SWG_SECONDS(7));
    load_clean(ONE("shadow: {breaker: {slow_rate: 50%}}, breaker: {failures: 4}"));
    assert_int_equal(service(0)->policy.shadow.breaker.failures, 0);
    assert_int_equal(service(0)->policy.shadow.breaker.slow_percent, 50);
    load_clean(ONE("retry: {max: 1}"));
    assert_false(service(0)->policy.shadow.enabled);
}

static void a_shadow_is_inherited_as_a_whole(void **state) {
    load_clean(
        "defaults: {shadow: {breaker: {open: 9s}}}\n"
        "services:\n"
        "  a: {endpoints: [http://h], breaker: {failures: 3}}\n"
        "  b: {endpoints: [http://h], shadow: {breaker: {half_open: 7}}}\n"
        "  c: {endpoints: [http://h], shadow: off}\n"
        "routes: [{path: /a, service: a}, {path: /b, service: b}, {path: /c, service: c}]\n");
    assert_int_equal(service(0)->policy.shadow.breaker.open_ns, SWG_SECONDS(9));
    assert_int_equal(service(0)->policy.shadow.breaker.failures, 3);
    assert_int_equal(service(1)->policy.shadow.breaker.open_ns, SWG_SECONDS(5));
    assert_int_equal(service(1)->policy.shadow.breaker.probes, 7);
    assert_false(service(2)->policy.shadow.enabled);
}

static void a_shadow_that_cannot_be(void **state) {
    load_error(ONE("shadow: {}"), "services.s.shadow has no breaker");
    load_error(ONE("shadow: on"), "services.s.shadow is \"on\"");
    load_error(ONE("shadow: {breaker: {open: 2m, open_max: 1m}}"),
               "services.s.shadow.breaker.open_max is less than breaker.open");
    load_error(ONE("shadow: {breaker: {failures: 9, window: 5}}"),
               "services.s.shadow.breaker.failures is 9, but the window holds only 5");
    load_error(ONE("shadow: {breaker: {slow_rate: 9%, slow_call: off}}"), "slow_call: off");
    load_error(ONE("shadow: {breaker: {brake: 1}}"), "unknown key \"brake\"");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        SCENE(the_smallest_file),
        SCENE(defaults_of_the_process),
        SCENE(defaults_of_a_service),
        SCENE(endpoints),
        SCENE(services_inherit_key_by_key),
        SCENE(naming_a_trip_rule_replaces_all),
        SCENE(windows),
        SCENE(open_max_follows_open),
        SCENE(words_for_none),
        SCENE(retries),
        SCENE(rate_limits),
        SCENE(caches),
        SCENE(health_checks),
        SCENE(tiers),
        SCENE(routes),
        SCENE(listens),
        SCENE(admin),
        SCENE(resilience),
        SCENE(dependencies),
        SCENE(no_message_shows_a_secret),
        SCENE(log_levels_are_those_of_the_log),
        SCENE(variables_in_values),
        SCENE(scalars_as_json),
        SCENE(variables_are_only_values),
        SCENE(anchors),
        SCENE(bodies_are_bounded),
        SCENE(all_memory_is_bounded),
        SCENE(printing_is_loading),
        SCENE(a_tcp_service),
        SCENE(what_only_a_restart_changes),
        SCENE(options_are_counted),
        SCENE(a_file_that_is_not_there),
        SCENE(a_shadow_is_as_the_breaker_but_for_what_it_names),
        SCENE(a_shadow_is_inherited_as_a_whole),
        SCENE(a_shadow_that_cannot_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
