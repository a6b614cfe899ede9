/* api_test.c - what each path answers. The shapes of the larger answers are
 * read with a JSON parser in tests/gateway/test_admin.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "admin/admin.h"
#include "admin/api.h"
#include "scene.h"

static struct scene s;

static int setup(void **state) {
    (void)state;
    scene_init(&s, "127.0.0.1", NULL);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    scene_free(&s);
    return 0;
}

static const char *get(const char *path) {
    return scene_ask(&s, "GET", path, "", "");
}

static const char *post(const char *path, const char *body) {
    return scene_ask(&s, "POST", path, "", body);
}

static void answers(const char *answer, int status, const char *part) {
    if (scene_status(answer) != status || !strstr(answer, part))
        fail_msg("expected %d and %s, got: %s", status, part, answer);
}

/* ---- the table ----------------------------------------------------------------- */

static void every_get_answers(void **state) {
    (void)state;
    for (const struct route *r = api_routes; r->pattern; r++) {
        char path[256];
        const char *hole = strstr(r->pattern, "{name}");
        if (r->method != HTTP_GET)
            continue;
        if (strstr(r->pattern, "{id}")) { /* there is no outbox here; see later_test.c */
            answers(get("/api/v1/outbox/0123"), 404, "unknown_write");
            continue;
        }
        snprintf(path, sizeof path, "%.*s%s%s", hole ? (int)(hole - r->pattern) : 255, r->pattern,
                 hole ? "shop" : "", hole ? hole + 6 : "");
        answers(get(path), 200, "\r\n\r\n");
    }
}

static void every_row_is_told_of(void **state) {
    char text[32768] = "";
    FILE *f = fmemopen(text, sizeof text - 1, "w");
    (void)state;
    admin_reference_write(f);
    fclose(f);
    for (const struct route *r = api_routes; r->pattern; r++) {
        char row[256];
        snprintf(row, sizeof row, "| %s | `%s` |", http_method_name(r->method), r->pattern);
        assert_non_null(strstr(text, row));
        assert_true(r->help || r->alias_of);
    }
    assert_null(strstr(text, "(null)"));
}

static void wrong_paths_and_methods(void **state) {
    (void)state;
    answers(get("/nothing"), 404, "\"reason\":\"not_found\"");
    answers(get("/health/"), 404, "not_found");
    answers(get("/api/v1/circuit-breakers/"), 404, "not_found");
    answers(get("/api/v1/circuit-breakers/a/b"), 404, "not_found");
    answers(get("/api/v1/circuit-breakers//history"), 404, "not_found");
    answers(post("/health", ""), 405, "Allow: GET, HEAD\r\n");
    answers(get("/api/v1/drain"), 405, "Allow: POST\r\n");
    answers(scene_ask(&s, "PUT", "/api/v1/services/shop", "", ""), 405,
            "Allow: GET, HEAD, PATCH\r\n");
    answers(scene_ask(&s, "OPTIONS", "*", "", ""), 400, "bad_target");
    answers(get("http://localhost"), 400, "bad_target");
}

static void names(void **state) {
    (void)state;
    answers(get("/api/v1/circuit-breakers/nope"), 404, "there is no service \\\"nope\\\"");
    answers(get("/api/v1/circuit-breakers/sh%6Fp"), 200, "\"name\":\"shop\"");
    answers(get("/api/v1/circuit-breakers/shop%2Fx"), 404, "unknown_service");
    answers(get("/api/v1/circuit-breakers/%"), 400, "bad_name");
    answers(get("/api/v1/circuit-breakers/%2"), 400, "bad_name");
    answers(get("/api/v1/circuit-breakers/%zz"), 400, "bad_name");
    answers(get("/api/v1/circuit-breakers/a%00"), 400, "bad_name");
    answers(get("/api/v1/circuit-breakers/%ff%22"), 404, "unknown_service");
}

static void head_has_no_body(void **state) {
    (void)state;
    const char *answer = scene_ask(&s, "HEAD", "/health", "", "");
    assert_int_equal(scene_status(answer), 200);
    assert_null(strstr(answer, "Content-Length: 0"));
    assert_string_equal(strstr(answer, "\r\n\r\n"), "\r\n\r\n");
}

static void every_answer_is_guarded(void **state) {
    static const char *const paths[] = {"/", "/health", "/nothing", "/metrics"};
    (void)state;
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        const char *answer = get(paths[i]);
        assert_non_null(strstr(answer, "\r\nX-Content-Type-Options: nosniff\r\n"));
        assert_non_null(strstr(answer, "\r\nCache-Control: no-store\r\n"));
        assert_non_null(strstr(answer, "\r\nContent-Security-Policy: default-src 'none'"));
        assert_non_null(strstr(answer, "frame-ancestors 'none'"));
    }
}

/* ---- probes and health ------------------------------------------------------------ */

static void probes(void **state) {
    (void)state;
    scene_break(&s, "pay", 0);
    scene_break(&s, "bank", 0);
    answers(get("/livez"), 200, "alive");
    answers(get("/readyz"), 200, "ready");
    answers(get("/startupz"), 200, "started");
    s.not_ready = s.not_alive = true;
    answers(get("/livez"), 503, "hangs");
    answers(get("/health/live"), 503, "hangs");
    answers(get("/readyz"), 503, "draining");
    answers(get("/health/ready"), 503, "draining");
    answers(get("/startupz"), 200, "started");
}

static void health(void **state) {
    (void)state;
    answers(get("/health"), 200, "{\"status\":\"HEALTHY\"");
    scene_break(&s, "shop", 0);
    answers(get("/health"), 200, "\"all_closed\":true,\"open_breakers\":[]");
    scene_break(&s, "shop", 1);
    answers(get("/health"), 200, "{\"status\":\"DEGRADED\"");
    answers(get("/health/resilience"), 200, "\"all_closed\":false,\"open_breakers\":[\"shop\"]");
    answers(get("/health"), 200,
            "\"shop\":{\"state\":\"open\",\"failure_count\":6,\"opened_at\":\"");
    scene_break(&s, "bank", 0);
    answers(get("/health"), 503, "{\"status\":\"CRITICAL\"");
    answers(get("/health"), 503, "\"dependencies\":{\"pay\":{\"bank\":\"down\"}}");
    answers(get("/health"), 503, "\"condition\":\"impaired\",\"because\":\"dependency bank\"");
    answers(get("/api/v1/services/pay"), 200,
            "\"dependencies\":[{\"service\":\"bank\",\"soft\":true,\"condition\":\"down\"}]");
    scene_break(&s, "pay", 0);
    answers(get("/health"), 503, "{\"status\":\"EMERGENCY\"");
    answers(get("/health"), 503, "\"emergency\":{\"active\":true,\"since\":\"");
}

/* ---- breakers ------------------------------------------------------------------------ */

static void an_open_breaker(void **state) {
    (void)state;
    scene_break(&s, "bank", 0);
    answers(get("/api/v1/circuit-breakers/bank"), 200, "\"state\":\"open\",\"forced\":false");
    answers(get("/api/v1/circuit-breakers/bank"), 200,
            "\"next_probe_in_ms\":5000.000,\"idle\":false");
    answers(get("/api/v1/circuit-breakers/bank"), 200,
            "\"failure_count\":3,\"calls\":3,\"failure_rate\":1.0000");
    answers(get("/api/v1/circuit-breakers/bank"), 200, "\"cause\":\"consecutive\"");
    s.io.io.now_ns += SWG_SECONDS(60);
    answers(get("/api/v1/circuit-breakers/bank"), 200, "\"next_probe_in_ms\":0.000,\"idle\":true");
}

static void manual_control(void **state) {
    (void)state;
    answers(post("/api/v1/circuit-breakers/shop/force-open",
                 "{\"reason\":\"index\",\"author\":\"ada\",\"for\":\"10m\"}"),
            200, "\"state\":\"forced_open\",\"forced\":true");
    answers(get("/circuit-breakers"), 200,
            "\"author\":\"ada\",\"reason\":\"index\"},\"last_change\"");
    answers(get("/circuit-breakers/shop/history"), 200, "\"kind\":\"manual\"");
    s.io.io.now_ns += SWG_SECONDS(601);
    fake_io_run_tasks(&s.io);
    answers(get("/api/v1/circuit-breakers/shop"), 200, "\"manual\":null");
    answers(post("/api/v1/circuit-breakers/shop/reset", ""), 200, "\"state\":\"closed\"");
    answers(post("/api/v1/circuit-breakers/shop/disable", "{\"for\":\"1h\"}"), 200,
            "\"state\":\"disabled\"");
    answers(post("/api/v1/circuit-breakers/shop/force-close", "{\"for\":\"7d\"}"), 200,
            "\"state\":\"forced_closed\"");
    answers(post("/circuit-breakers/shop/reset", ""), 200, "\"state\":\"closed\"");
    answers(post("/admin/circuit-breaker/shop/force-open", ""), 200, "\"until\":null");
}

static void one_endpoint(void **state) {
    (void)state;
    answers(post("/api/v1/circuit-breakers/shop/force-open",
                 "{\"endpoint\":\"http://127.0.0.1:2\",\"author\":\"bob\"}"),
            200, "\"state\":\"closed\",\"forced\":false");
    answers(get("/api/v1/circuit-breakers/shop"), 200,
            "{\"name\":\"http://127.0.0.1:2\",\"state\":\"forced_open\"");
    answers(get("/api/v1/circuit-breakers/shop"), 200, "\"author\":\"bob\"");
    uint64_t before = events_last(s.events);
    answers(post("/api/v1/circuit-breakers/shop/force-open", "{\"endpoint\":\"http://no\"}"), 404,
            "unknown_endpoint");
    assert_int_equal(events_last(s.events), before); /* nothing was written down */
}

static void refused_commands(void **state) {
    static const struct {
        const char *verb, *body;
        int status;
        const char *part;
    } cases[] = {
        {"force-close", "", 400, "duration_needed"},
        {"disable", "{\"reason\":\"x\"}", 400, "duration_needed"},
        {"disable", "{\"for\":\"0\"}", 400, "bad_duration"},
        {"disable", "{\"for\":\"-1s\"}", 400, "bad_duration"},
        {"disable", "{\"for\":\"169h\"}", 400, "at most 7d"},
        {"disable", "{\"for\":\"10 minutes\"}", 400, "bad_duration"},
        {"force-open", "{\"for\":\"ever\"}", 400, "bad_duration"},
        {"force-open", "{\"for\":\"9000h\"}", 400, "at most 366d"},
        {"force-open", "{\"until\":\"x\"}", 400, "bad_body"},
        {"reset", "{\"for\":\"1s\"}", 400, "takes no duration"},
        {"reset", "nonsense", 400, "bad_body"},
    };
    (void)state;
    uint64_t before = events_last(s.events);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char path[128];
        snprintf(path, sizeof path, "/api/v1/circuit-breakers/shop/%s", cases[i].verb);
        answers(post(path, cases[i].body), cases[i].status, cases[i].part);
    }
    assert_int_equal(events_last(s.events), before);
    answers(get("/api/v1/circuit-breakers/shop"), 200, "\"manual\":null");
}

static void recovery(void **state) {
    (void)state;
    answers(post("/api/v1/resilience/force-recovery", ""), 200, "{\"probed\":[]}");
    scene_break(&s, "bank", 0);
    answers(post("/admin/resilience/force-recovery", "{\"author\":\"ada\"}"), 200,
            "{\"probed\":[\"bank\"]}");
    answers(get("/api/v1/circuit-breakers/bank"), 200, "\"idle\":true");
    answers(post("/api/v1/circuit-breakers/bank/force-open", ""), 200, "forced_open");
    answers(post("/api/v1/resilience/force-recovery", ""), 200, "{\"probed\":[]}");
}

static void history_limits(void **state) {
    (void)state;
    scene_break(&s, "bank", 0);
    post("/api/v1/circuit-breakers/bank/reset", "");
    const char *answer = get("/api/v1/circuit-breakers/bank/history?limit=1");
    answers(answer, 200, "\"to\":\"closed\",\"cause\":\"reset\"");
    assert_null(strstr(answer, "\"cause\":\"consecutive\""));
    answers(get("/api/v1/circuit-breakers/bank/history?limit=0"), 400, "bad_limit");
    answers(get("/api/v1/circuit-breakers/bank/history?limit=501"), 400, "bad_limit");
    answers(get("/api/v1/circuit-breakers/bank/history?limit=x"), 400, "bad_limit");
    answers(get("/api/v1/circuit-breakers/nope/history"), 404, "unknown_service");
}

/* ---- the rest --------------------------------------------------------------------------- */

static void services_and_fallbacks(void **state) {
    (void)state;
    answers(get("/api/v1/services"), 200,
            "{\"services\":[{\"name\":\"shop\",\"working\":true,\"condition\":\"working\"");
    answers(get("/api/v1/services/shop"), 200, "\"policy\":{\"endpoints\":[");
    answers(get("/api/v1/services/nope"), 404, "unknown_service");
    answers(get("/api/v1/fallbacks"), 200, "\"tiers\":[{\"name\":\"1-stale\",\"kind\":\"stale\"");
    const char *answer = get("/fallback-chain/stats");
    answers(answer, 200, "{\"service\":\"shop\"");
    assert_null(strstr(answer, "bank")); /* has no chain */
}

static void configuration(void **state) {
    (void)state;
    answers(get("/api/v1/config"), 200, "{\"file\":\"test.yaml\",\"generation\":1,\"config\":{");
    answers(get("/api/v1/config"), 200, "\"token\":\"***\"");
    assert_null(strstr(get("/api/v1/config"), "a-token-of-some-length"));
    answers(post("/api/v1/config/reload", "{\"author\":\"ada\"}"), 200,
            "{\"reloaded\":true,\"generation\":7,\"needs_restart\":null,\"replaced\":[]}");
    assert_string_equal(s.author, "ada");
    s.reload_fails = true;
    answers(post("/api/v1/config/reload", ""), 422,
            "\"errors\":[\"a.yaml:1:2: what is wrong\",\"a.yaml:3:4: and more\"]}");
    assert_int_equal(s.reloads, 2);
    answers(post("/api/v1/drain", "{"), 400, "bad_body");
    assert_int_equal(s.drains, 0);
    answers(post("/api/v1/drain", ""), 202, "{\"draining\":true}");
    assert_int_equal(s.drains, 1);
    assert_string_equal(s.author, "admin API");
}

static void metrics(void **state) {
    (void)state;
    answers(get("/metrics"), 200, "Content-Type: text/plain; version=0.0.4");
    answers(get("/metrics"), 200, "\ncircuit_breaker_state{service=\"shop\"} 0\n");
    answers(get("/metrics"), 200, "\nprocess_open_fds ");
    answers(scene_ask(&s, "GET", "/metrics",
                      "Accept: application/openmetrics-text;q=0.8,text/plain;q=0.5\r\n", ""),
            200, "\n# EOF\n");
    answers(scene_ask(&s, "GET", "/metrics",
                      "Accept: application/openmetrics-text;q=0.2,text/plain;q=0.5\r\n", ""),
            200, "Content-Type: text/plain");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(every_get_answers),
        TEST(every_row_is_told_of),
        TEST(wrong_paths_and_methods),
        TEST(names),
        TEST(head_has_no_body),
        TEST(every_answer_is_guarded),
        TEST(probes),
        TEST(health),
        TEST(an_open_breaker),
        TEST(manual_control),
        TEST(one_endpoint),
        TEST(refused_commands),
        TEST(recovery),
        TEST(history_limits),
        TEST(services_and_fallbacks),
        TEST(configuration),
        TEST(metrics),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
