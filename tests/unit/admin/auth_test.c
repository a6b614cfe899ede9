/* auth_test.c - who may do what: the table of auth.h, cell by cell. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "admin/auth.h"
#include "scene.h"

#define TOKEN "Authorization: Bearer correct-horse\r\n"

static int get(struct scene *s, const char *path, const char *fields) {
    return scene_status(scene_ask(s, "GET", path, fields, ""));
}

static int reset(struct scene *s, const char *fields) {
    return scene_status(scene_ask(s, "POST", "/api/v1/circuit-breakers/shop/reset", fields, ""));
}

static void tokens(void **state) {
    (void)state;
    assert_true(auth_token_is("abc", BYTES("abc")));
    assert_false(auth_token_is("abc", BYTES("abd")));
    assert_false(auth_token_is("abc", BYTES("ab")));
    assert_false(auth_token_is("abc", BYTES("abca")));
    assert_false(auth_token_is("abc", BYTES("abcabc")));
    assert_false(auth_token_is("abc", BYTES("")));
    assert_false(auth_token_is("", BYTES("")));
    assert_false(auth_token_is("", BYTES("a")));
}

static void loopback_names(void **state) {
    static const char *const good[] = {"localhost",    "localhost:9797", "LOCALHOST:1", "127.0.0.1",
                                       "127.1.2.3:80", "[::1]",          "[::1]:9797"};
    static const char *const bad[] = {
        "",          "example.org",     "localhost.evil.org",    "127.0.0.1.evil.org",
        "10.0.0.1",  "[::2]",           "evil.org:127",          "127.0.0.1@evil.org",
        "0.0.0.0",   "localhost:99999", "unix:/run/x",           "1.127.0.0:80",
        "128.0.0.1", "localhost:",      "[::ffff:8.8.8.8]:9797", "localhost evil.org"};
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        if (!auth_is_loopback_authority(bytes_of(good[i])))
            fail_msg("%s", good[i]);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (auth_is_loopback_authority(bytes_of(bad[i])))
            fail_msg("%s", bad[i]);
    }
}

static void free_paths_are_free(void **state) {
    static const char *const paths[] = {"/livez",       "/readyz",       "/startupz",
                                        "/health/live", "/health/ready", "/health/startup",
                                        "/metrics"};
    struct scene s;
    (void)state;
    scene_init(&s, "0.0.0.0", "correct-horse");
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        assert_int_equal(get(&s, paths[i], "Host: anything.example\r\n"), 200);
    scene_free(&s);
}

/* Not the loopback: everything else needs the token. */
static void outside(void **state) {
    static const char *const paths[] = {"/",
                                        "/health",
                                        "/health/resilience",
                                        "/api/v1/circuit-breakers",
                                        "/api/v1/fallbacks",
                                        "/api/v1/services",
                                        "/api/v1/config",
                                        "/api/v1/events?limit=1",
                                        "/circuit-breakers",
                                        "/fallback-chain/stats"};
    struct scene s;
    (void)state;
    scene_init(&s, "0.0.0.0", "correct-horse");
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        assert_int_equal(get(&s, paths[i], "Accept: application/json\r\n"), 401);
        assert_int_equal(
            get(&s, paths[i], "Accept: application/json\r\nAuthorization: Bearer x\r\n"), 401);
        assert_int_equal(get(&s, paths[i],
                             "Accept: application/json\r\n"
                             "Host: gw.example:9797\r\n" TOKEN),
                         200);
    }
    assert_int_equal(reset(&s, ""), 401);
    assert_int_equal(reset(&s, "Host: gw.example:9797\r\n" TOKEN), 200);
    scene_free(&s);
}

static void without_a_token_outside_nothing(void **state) {
    struct scene s;
    (void)state;
    scene_init(&s, "0.0.0.0", NULL);
    assert_int_equal(get(&s, "/health", ""), 401);
    assert_int_equal(get(&s, "/health", "Authorization: Bearer \r\n"), 401);
    assert_int_equal(reset(&s, ""), 401);
    scene_free(&s);
}

static void loopback_without_a_token(void **state) {
    struct scene s;
    (void)state;
    scene_init(&s, "127.0.0.1", NULL);
    assert_int_equal(get(&s, "/health", ""), 200);
    assert_int_equal(get(&s, "/health", "Host: evil.example\r\n"), 403);
    assert_int_equal(get(&s, "/", "Host: evil.example:9797\r\n"), 403);
    assert_int_equal(reset(&s, ""), 200);
    assert_int_equal(reset(&s, "Host: [::1]:9797\r\n"), 200);
    assert_int_equal(reset(&s, "Host: evil.example:9797\r\n"), 403);
    assert_int_equal(reset(&s, "Origin: http://localhost:9797\r\n"), 200);
    assert_int_equal(reset(&s, "Origin: http://localhost:9797\r\nSec-Fetch-Site: same-origin\r\n"),
                     200);
    assert_int_equal(reset(&s, "Origin: http://evil.example\r\n"), 403);
    assert_int_equal(reset(&s, "Origin: http://localhost:9798\r\n"), 403);
    assert_int_equal(reset(&s, "Origin: null\r\n"), 403);
    assert_int_equal(reset(&s, "Sec-Fetch-Site: cross-site\r\n"), 403);
    assert_int_equal(reset(&s, "Sec-Fetch-Site: same-site\r\n"), 403);
    scene_free(&s);
}

static void loopback_with_a_token(void **state) {
    struct scene s;
    (void)state;
    scene_init(&s, "::1", "correct-horse");
    assert_int_equal(get(&s, "/health", ""), 200);
    assert_int_equal(get(&s, "/health", "Host: evil.example\r\n"), 403);
    assert_int_equal(get(&s, "/health", "Host: evil.example\r\n" TOKEN), 200);
    assert_int_equal(reset(&s, ""), 401);
    assert_int_equal(reset(&s, "Authorization: Bearer wrong\r\n"), 401);
    assert_int_equal(reset(&s, "Authorization: Basic correct-horse\r\n"), 401);
    assert_int_equal(reset(&s, "Authorization: bearer correct-horse\r\n"), 200);
    assert_int_equal(reset(&s, TOKEN "Origin: http://evil.example\r\n"), 403);
    scene_free(&s);
}

/* An absolute target's authority counts, not Host. */
static void absolute_target(void **state) {
    struct scene s;
    (void)state;
    scene_init(&s, "127.0.0.1", NULL);
    assert_int_equal(get(&s, "http://evil.example/health", ""), 403);
    assert_int_equal(get(&s, "http://localhost:9797/health", "Host: evil.example\r\n"), 200);
    scene_free(&s);
}

/* A browser is shown the page that asks for the token; still a 401. */
static void the_page_asks(void **state) {
    struct scene s;
    (void)state;
    scene_init(&s, "0.0.0.0", "correct-horse");
    const char *answer = scene_ask(&s, "GET", "/", "Accept: text/html,*/*\r\n", "");
    assert_int_equal(scene_status(answer), 401);
    assert_non_null(strstr(answer, "WWW-Authenticate: Bearer"));
    assert_non_null(
        strstr(answer, "Content-Security-Policy: default-src 'none'; style-src 'sha256-"));
    assert_non_null(strstr(answer, "<title>Switchgear</title>"));
    answer = scene_ask(&s, "GET", "/", "Accept: */*\r\n", "");
    assert_non_null(strstr(answer, "\"reason\":\"token_needed\""));
    answer = scene_ask(&s, "GET", "/health", "Accept: text/html,*/*\r\n", "");
    assert_int_equal(scene_status(answer), 401);
    assert_non_null(strstr(answer, "\"reason\":\"token_needed\""));
    scene_free(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokens),
        cmocka_unit_test(loopback_names),
        cmocka_unit_test(free_paths_are_free),
        cmocka_unit_test(outside),
        cmocka_unit_test(without_a_token_outside_nothing),
        cmocka_unit_test(loopback_without_a_token),
        cmocka_unit_test(loopback_with_a_token),
        cmocka_unit_test(absolute_target),
        cmocka_unit_test(the_page_asks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
