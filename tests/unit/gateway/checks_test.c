/* What checks make of what they are told, cut at every byte: nothing is judged before
 * it is all there, and nothing is read beyond its end. */
#include "gateway/checks/check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <switchgear/retry.h>

#include <cmocka.h>

static const struct health_options plain = {.path = "/health", .expect = {0, 0, 0, 1 << 8}},
                                   locked = {.user = "me", .password = "sesame"};
static const struct endpoint_options endpoint = {.authority = "shop:81", .base_path = "/base"};

struct answer {
    const struct check_wire *wire;
    const struct health_options *options;
    enum health_state state;
    const char *cause;
    struct bytes text;
};

/* In memory of just that size, so that a sanitizer sees a byte too many. */
static struct check_verdict judge(const struct answer *a, size_t len, size_t seen) {
    const struct check_subject subject = {.options = a->options, .endpoint = &endpoint};
    char *exact = malloc(len ? len : 1);
    memcpy(exact, a->text.at, len);
    struct check_verdict v = a->wire->read(&subject, (struct bytes){exact, len}, seen);
    free(exact);
    return v;
}

#define PG_AUTH_OK "R\0\0\0\x08\0\0\0\0"
#define PG_SCRAM   "R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0"
#define PG_SETTING \
    "S\0\0\0\x0c"  \
    "a\0b\0cde\0"
#define PG_KEY         "K\0\0\0\x0c\0\0\0\1\0\0\0\2"
#define PG_READY       "Z\0\0\0\5I"
#define PG_ERROR(code) "E\0\0\0\x17SFATAL\0C" code "\0Mno\0\0"

static const struct answer answers[] = {
    {&check_redis, &plain, HEALTH_GOOD, "", BYTES("+PONG\r\n")},
    {&check_redis, &locked, HEALTH_GOOD, "", BYTES("+OK\r\n+PONG\r\n")},
    {&check_redis, &locked, HEALTH_BAD, "loading", BYTES("+OK\r\n-LOADING Redis is\r\n")},
    {&check_redis, &plain, HEALTH_BAD, "noauth", BYTES("-NOAUTH Authentication\r\n")},
    {&check_redis, &locked, HEALTH_BAD, "wrongpass", BYTES("-WRONGPASS no\r\n-NOAUTH\r\n")},
    {&check_redis, &plain, HEALTH_BAD, "error", BYTES("-\r\n")},
    {&check_redis, &plain, HEALTH_BAD, "garbled", BYTES("HTTP/1.1 400 Bad\r\n")},
    {&check_redis, &plain, HEALTH_BAD, "garbled", BYTES("+OK\r\n")},
    {&check_postgres, &plain, HEALTH_GOOD, "",
     BYTES(PG_AUTH_OK PG_SETTING PG_SETTING PG_KEY PG_READY)},
    {&check_postgres, &plain, HEALTH_GOOD, "", BYTES(PG_SCRAM)},
    {&check_postgres, &plain, HEALTH_GOOD, "", BYTES(PG_ERROR("28000"))},
    {&check_postgres, &plain, HEALTH_GOOD, "", BYTES(PG_AUTH_OK PG_ERROR("3D000"))},
    {&check_postgres, &plain, HEALTH_BAD, "not_ready", BYTES(PG_ERROR("57P03"))},
    {&check_postgres, &plain, HEALTH_BAD, "shutting_down", BYTES(PG_ERROR("57P01"))},
    {&check_postgres, &plain, HEALTH_BAD, "too_many_connections", BYTES(PG_ERROR("53300"))},
    {&check_postgres, &plain, HEALTH_BAD, "garbled",
     BYTES("E\0\0\0\x09"
           "CXX\0\0")},
    {&check_postgres, &plain, HEALTH_BAD, "garbled", BYTES("R\0\0\0\4")},
    {&check_postgres, &plain, HEALTH_BAD, "garbled", BYTES("S\xff\xff\xff\xff")},
    {&check_postgres, &plain, HEALTH_BAD, "garbled", BYTES("Z\0\0\0\3")},
    {&check_postgres, &plain, HEALTH_BAD, "garbled", BYTES("H")},
    {&check_http, &plain, HEALTH_GOOD, "", BYTES("HTTP/1.1 200 OK\r\n\r\n")},
    {&check_http, &plain, HEALTH_GOOD, "",
     BYTES("HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nA: b\r\n\r\n")},
    {&check_http, &plain, HEALTH_BAD, "status", BYTES("HTTP/1.1 201 OK\r\n\r\n")},
    {&check_http, &plain, HEALTH_BAD, "garbled", BYTES("+PONG\r\n")},
};

static void every_prefix_asks_for_more_or_says_the_same(void **state) {
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        const struct answer *a = &answers[i];
        bool decided = false;
        for (size_t len = 0, seen = 0; len <= a->text.len; seen = len++) {
            struct check_verdict v = judge(a, len, seen);
            if (v.state == HEALTH_UNKNOWN) {
                assert_false(decided);
                continue;
            }
            decided = true;
            assert_int_equal(v.state, a->state);
            assert_string_equal(v.cause, a->cause);
            assert_true(len == a->text.len || a->state == HEALTH_BAD);
        }
        assert_true(decided);
    }
}

/* Any single byte changed: nothing but a verdict, or waiting for more. */
static void a_changed_byte_does_no_harm(void **state) {
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        struct answer a = answers[i];
        char text[256];
        assert_true(a.text.len <= sizeof text);
        for (size_t at = 0; at < a.text.len; at++) {
            for (int byte = 0; byte < 256; byte += 5) {
                memcpy(text, answers[i].text.at, a.text.len);
                text[at] = (char)byte;
                a.text.at = text;
                struct check_verdict v = judge(&a, a.text.len, 0);
                assert_true(v.state == HEALTH_UNKNOWN || v.cause);
            }
        }
    }
}

static void what_is_asked(void **state) {
    char memory[1024];
    struct buf b;
    struct check_subject subject = {.options = &locked, .endpoint = &endpoint};
    buf_init_fixed(&b, memory, sizeof memory);
    check_redis.ask(&subject, &b);
    assert_string_equal(b.at,
                        "*3\r\n$4\r\nAUTH\r\n$2\r\nme\r\n$6\r\nsesame\r\n*1\r\n$4\r\nPING\r\n");
    buf_clear(&b);
    check_postgres.ask(&subject, &b);
    static const char startup[] = "\0\0\0\x3e\0\3\0\0user\0me\0database\0postgres\0"
                                  "application_name\0switchgear-health\0";
    assert_int_equal(b.len, sizeof startup);
    assert_memory_equal(b.at + 4, startup + 4, sizeof startup - 4);
    assert_int_equal(b.at[3], sizeof startup);
    buf_clear(&b);
    subject.options = &plain;
    check_http.ask(&subject, &b);
    assert_non_null(strstr(b.at, "GET /base/health HTTP/1.1\r\nHost: shop:81\r\n"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_prefix_asks_for_more_or_says_the_same),
        cmocka_unit_test(a_changed_byte_does_no_harm),
        cmocka_unit_test(what_is_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
