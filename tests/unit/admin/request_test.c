/* request_test.c - what is read from a target, and how times are written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <switchgear/time.h>

#include "admin/request.h"

static void decodes(void **state) {
    char out[16];
    (void)state;
    assert_true(percent_decode(BYTES("a%20b%2f%C3%a4"), out, sizeof out));
    assert_string_equal(out, "a b/\xc3\xa4");
    assert_true(percent_decode((struct bytes){0}, out, sizeof out));
    assert_string_equal(out, "");
    assert_true(percent_decode(BYTES("a+b"), out, sizeof out)); /* a path, not a form */
    assert_string_equal(out, "a+b");
}

static void does_not_decode(void **state) {
    char out[4];
    (void)state;
    assert_false(percent_decode(BYTES("%"), out, sizeof out));
    assert_false(percent_decode(BYTES("a%4"), out, sizeof out));
    assert_false(percent_decode(BYTES("%4g"), out, sizeof out));
    assert_false(percent_decode(BYTES("%%41"), out, sizeof out));
    assert_false(percent_decode(BYTES("%00"), out, sizeof out));
    assert_true(percent_decode(BYTES("%41bc"), out, sizeof out));
    assert_false(percent_decode(BYTES("%41bcd"), out, sizeof out));
}

static void queries(void **state) {
    struct request r = {.query = BYTES("a=1&bb=%32&c&d=&a=3")};
    char out[8];
    (void)state;
    assert_true(request_query(&r, "a", out, sizeof out)); /* the first counts */
    assert_string_equal(out, "1");
    assert_true(request_query(&r, "bb", out, sizeof out));
    assert_string_equal(out, "2");
    assert_true(request_query(&r, "d", out, sizeof out));
    assert_string_equal(out, "");
    assert_false(request_query(&r, "b", out, sizeof out));
    r.query = (struct bytes){0};
    assert_false(request_query(&r, "a", out, sizeof out));
}

static void time_is(const struct moment *m, uint64_t ns, const char *expected) {
    char memory[128];
    struct buf b;
    struct json_out j;
    buf_init_fixed(&b, memory, sizeof memory);
    json_init(&j, &b);
    json_object(&j);
    json_key_time(&j, "t", m, ns);
    json_object_end(&j);
    assert_string_equal(buf_cstr(&b), expected);
}

static void times(void **state) {
    const struct moment m = {SWG_SECONDS(100), (int64_t)SWG_SECONDS(1795225042 - 100)};
    (void)state;
    time_is(&m, SWG_SECONDS(100), "{\"t\":\"2026-11-21T01:37:22.000Z\"}");
    time_is(&m, SWG_SECONDS(100) - SWG_MS(1), "{\"t\":\"2026-11-21T01:37:21.999Z\"}");
    time_is(&m, SWG_SECONDS(160), "{\"t\":\"2026-11-21T01:38:22.000Z\"}");
    time_is(&m, 0, "{\"t\":null}");
    time_is(&m, SWG_NEVER, "{\"t\":null}");
}

/* A wall clock that runs before 1970 is wrong, but no reason to fall. */
static void wrong_clock(void **state) {
    const struct moment m = {SWG_SECONDS(100), -(int64_t)SWG_SECONDS(200)};
    (void)state;
    time_is(&m, SWG_SECONDS(100), "{\"t\":\"1970-01-01T00:00:00.000Z\"}");
}

static void offsets(void **state) {
    (void)state;
    assert_int_equal(moment_offset(1000, 1000 + 4900000), 1000);
    assert_int_equal(moment_offset(1000, 1000 - 4900000), 1000);
    assert_int_equal(moment_offset(1000, 1000 + 5100000), 1000 + 5100000);
    assert_int_equal(moment_offset(1000, 1000 - 5100000), 1000 - 5100000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decodes), cmocka_unit_test(does_not_decode), cmocka_unit_test(queries),
        cmocka_unit_test(times),   cmocka_unit_test(wrong_clock),     cmocka_unit_test(offsets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
