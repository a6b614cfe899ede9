#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include <cmocka.h>

#include "wire/http.h"

static int64_t read_date(const char *text) {
    int64_t unix_s = -1;
    if (!http_date_read(bytes_of(text), &unix_s))
        fail_msg("%s", text);
    return unix_s;
}

static bool reads(const char *text) {
    int64_t unix_s;
    return http_date_read(bytes_of(text), &unix_s);
}

static void test_forms(void **state) {
    (void)state;
    assert_int_equal(read_date("Sun, 06 Nov 1994 08:49:37 GMT"), 784111777);
    assert_int_equal(read_date("Sunday, 06-Nov-94 08:49:37 GMT"), 784111777);
    assert_int_equal(read_date("Sun Nov  6 08:49:37 1994"), 784111777);
    assert_int_equal(read_date("Wed Nov 16 08:49:37 1994"), 784111777 + 10 * 86400);
    assert_int_equal(read_date(" Thu, 01 Jan 1970 00:00:00 GMT\t"), 0);
    assert_int_equal(read_date("Thursday, 01-Jan-70 00:00:00 GMT"), 0);
    assert_int_equal(read_date("Tuesday, 31-Dec-69 00:00:00 GMT"), 3155673600);
    assert_int_equal(read_date("Tue, 29 Feb 2000 12:00:00 GMT"), 951825600);
    assert_int_equal(read_date("Sat, 31 Dec 2016 23:59:60 GMT"), 1483228800);
}

static void test_malformed(void **state) {
    (void)state;
    static const char *const texts[] = {
        "",
        "0",
        "-1",
        "Sun",
        "Sun, ",
        "Sun,",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 08:49:37 GMT.",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun, 06 nov 1994 08:49:37 GMT",
        "SUN, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06-Nov-1994 08:49:37 GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 31 Nov 1994 08:49:37 GMT",
        "Wed, 29 Feb 1995 08:49:37 GMT",
        "Thu, 29 Feb 1900 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 06 Nov 1994 08:60:00 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, 06 Nov 1994 8:49:37 GMT",
        "Sun, 06 Nov 19a4 08:49:37 GMT",
        "Sun Nov 6 08:49:37 1994",
        "Sun Nov  6 08:49:37 94",
        "Sunday Nov  6 08:49:37 1994",
        "Sun, 06 Foo 1994 08:49:37 GMT",
        "Foo, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-1994 08:49:37 GMT",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (reads(texts[i]))
            fail_msg("taken for a date: %s", texts[i]);
}

/* Some three thousand years in steps that meet every second of a day, month end
 * and leap year, against the C library. */
static void test_against_library(void **state) {
    (void)state;
    for (int64_t unix_s = -62167219200; unix_s <= 253402300799; unix_s += 11 * 86400 + 4211) {
        char ours[30], theirs[64];
        struct tm tm;
        time_t seconds = (time_t)unix_s;
        assert_non_null(gmtime_r(&seconds, &tm));
        static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
        static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                             "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
        snprintf(theirs, sizeof theirs, "%s, %02d %s %04d %02d:%02d:%02d GMT", days[tm.tm_wday],
                 tm.tm_mday, months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min,
                 tm.tm_sec);
        http_date_write(ours, unix_s);
        assert_string_equal(ours, theirs);
        assert_int_equal(read_date(ours), unix_s);
    }
}

static void test_out_of_range(void **state) {
    (void)state;
    char text[30];
    http_date_write(text, INT64_MAX);
    assert_string_equal(text, "Fri, 31 Dec 9999 23:59:59 GMT");
    http_date_write(text, INT64_MIN);
    assert_string_equal(text, "Sat, 01 Jan 0000 00:00:00 GMT");
}

static void test_retry_after(void **state) {
    (void)state;
    uint32_t seconds;
    const int64_t now = 784111777;
    assert_true(http_retry_after_read(BYTES("0"), now, &seconds));
    assert_int_equal(seconds, 0);
    assert_true(http_retry_after_read(BYTES(" 120 "), now, &seconds));
    assert_int_equal(seconds, 120);
    assert_true(http_retry_after_read(BYTES("4294967295"), now, &seconds));
    assert_int_equal(seconds, UINT32_MAX);
    assert_true(http_retry_after_read(BYTES("4294967296"), now, &seconds));
    assert_int_equal(seconds, UINT32_MAX);
    assert_true(http_retry_after_read(BYTES("99999999999999999999999999"), now, &seconds));
    assert_int_equal(seconds, UINT32_MAX);
    assert_true(http_retry_after_read(BYTES("Sun, 06 Nov 1994 08:50:37 GMT"), now, &seconds));
    assert_int_equal(seconds, 60);
    assert_true(http_retry_after_read(BYTES("Sun, 06 Nov 1994 08:49:36 GMT"), now, &seconds));
    assert_int_equal(seconds, 0);
    assert_true(http_retry_after_read(BYTES("Fri, 31 Dec 9999 23:59:59 GMT"), now, &seconds));
    assert_int_equal(seconds, UINT32_MAX);
    assert_true(http_retry_after_read(BYTES("Fri, 31 Dec 9999 23:59:59 GMT"), INT64_MIN, &seconds));
    assert_int_equal(seconds, UINT32_MAX);
    assert_true(http_retry_after_read(BYTES("Fri, 31 Dec 9999 23:59:59 GMT"), INT64_MAX, &seconds));
    assert_int_equal(seconds, 0);
    assert_false(http_retry_after_read(BYTES(""), now, &seconds));
    assert_false(http_retry_after_read(BYTES("-1"), now, &seconds));
    assert_false(http_retry_after_read(BYTES("1.5"), now, &seconds));
    assert_false(http_retry_after_read(BYTES("1 2"), now, &seconds));
    assert_false(http_retry_after_read(BYTES("soon"), now, &seconds));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),           cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_against_library), cmocka_unit_test(test_out_of_range),
        cmocka_unit_test(test_retry_after),
    };
    return cmocka_run_group_tests_name("http_date", tests, NULL, NULL);
}
