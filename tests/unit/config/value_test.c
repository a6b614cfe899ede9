/* value_test.c - text to number and back, suggestions, addresses, variables. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "config/address.h"
#include "config/expand.h"
#include "config/suggest.h"
#include "config/value.h"
#include "switchgear/time.h"

static void durations(void **state) {
    static const struct {
        const char *text;
        uint64_t ns;
    } good[] = {
        {"0", 0},
        {"250ms", SWG_MS(250)},
        {"5s", SWG_SECONDS(5)},
        {"1.5s", SWG_MS(1500)},
        {"1m", SWG_MINUTES(1)},
        {"1h", SWG_HOURS(1)},
        {"7d", SWG_HOURS(168)},
        {"10us", 10000},
        {"3ns", 3},
        {"0.000000001s", 1},
        {"0s", 0},
    };
    static const char *const bad[] = {"",
                                      "5",
                                      "s",
                                      "-5s",
                                      "5 s",
                                      "5S",
                                      "1.s",
                                      ".5s",
                                      "0.5ns",
                                      "1e3s",
                                      "5sec",
                                      "1s ",
                                      "99999999999999999999s",
                                      "600000h1",
                                      "0x5s",
                                      "5124096h",
                                      "1.0000000001s"};
    uint64_t ns;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        ns = 77;
        assert_true(value_duration(bytes_of(good[i].text), &ns));
        assert_int_equal(ns, good[i].ns);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        ns = 77;
        if (value_duration(bytes_of(bad[i]), &ns))
            fail_msg("\"%s\" was read as a duration", bad[i]);
        assert_int_equal(ns, 77);
    }
}

static void sizes(void **state) {
    uint64_t bytes;
    assert_true(value_size(BYTES("64KiB"), &bytes) && bytes == 65536);
    assert_true(value_size(BYTES("64KB"), &bytes) && bytes == 64000);
    assert_true(value_size(BYTES("64kB"), &bytes) && bytes == 64000);
    assert_true(value_size(BYTES("1.5MiB"), &bytes) && bytes == 1572864);
    assert_true(value_size(BYTES("4096"), &bytes) && bytes == 4096);
    assert_true(value_size(BYTES("0"), &bytes) && bytes == 0);
    assert_false(value_size(BYTES("64k"), &bytes));
    assert_false(value_size(BYTES("64kib"), &bytes));
    assert_false(value_size(BYTES("16777216TiB"), &bytes)); /* 2^64 */
    assert_false(value_size(BYTES("-1"), &bytes));
}

static void rates_and_percentages(void **state) {
    uint64_t calls, per_ns, percent;
    assert_true(value_rate(BYTES("100/s"), &calls, &per_ns));
    assert_true(calls == 100 && per_ns == SWG_SECONDS(1));
    assert_true(value_rate(BYTES("5/h"), &calls, &per_ns) && per_ns == SWG_HOURS(1));
    assert_false(value_rate(BYTES("5/ms"), &calls, &per_ns));
    assert_false(value_rate(BYTES("5"), &calls, &per_ns));
    assert_false(value_rate(BYTES("/s"), &calls, &per_ns));
    assert_false(value_rate(BYTES("5/s/s"), &calls, &per_ns));
    assert_true(value_percent(BYTES("50%"), &percent) && percent == 50);
    assert_false(value_percent(BYTES("50"), &percent));
    assert_false(value_percent(BYTES("12.5%"), &percent));
    assert_false(value_percent(BYTES("%"), &percent));
}

/* Whatever is written reads back to the same. */
static void writing_reads_back(void **state) {
    static const uint64_t values[] = {0,
                                      1,
                                      999,
                                      1000,
                                      1024,
                                      1500,
                                      60000000000,
                                      86400000000000,
                                      172800000000000,
                                      1ULL << 40,
                                      3600000000001,
                                      UINT64_MAX - 1};
    char memory[64];
    struct buf text;
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        uint64_t back = 77;
        buf_init_fixed(&text, memory, sizeof memory);
        value_write_duration(&text, values[i]);
        assert_true(value_duration(buf_view(&text), &back) && back == values[i]);
        buf_clear(&text);
        value_write_size(&text, values[i]);
        assert_true(value_size(buf_view(&text), &back) && back == values[i]);
    }
    buf_clear(&text);
    value_write_duration(&text, SWG_HOURS(24));
    assert_string_equal(text.at, "24h");
    buf_clear(&text);
    value_write_duration(&text, SWG_SECONDS(90));
    assert_string_equal(text.at, "90s");
}

static const char *guessed(bool guess(struct bytes, struct buf *), const char *text) {
    static char memory[64];
    struct buf to;
    buf_init_fixed(&to, memory, sizeof memory);
    return guess(bytes_of(text), &to) ? buf_cstr(&to) : NULL;
}

static void guesses(void **state) {
    assert_string_equal(guessed(value_guess_duration, "5"), "5s");
    assert_string_equal(guessed(value_guess_duration, "5 sec"), "5s");
    assert_string_equal(guessed(value_guess_duration, "2 minutes"), "2m");
    assert_null(guessed(value_guess_duration, "soon"));
    assert_null(guessed(value_guess_duration, "5 parsecs"));
    assert_string_equal(guessed(value_guess_size, "64k"), "64KiB");
    assert_string_equal(guessed(value_guess_size, "64 mb"), "64MiB");
    assert_null(guessed(value_guess_size, "64 x"));
    assert_string_equal(guessed(value_guess_percent, "50"), "50%");
    assert_string_equal(guessed(value_guess_percent, "0.5"), "50%");
    assert_string_equal(guessed(value_guess_percent, "12.5%"), "12%");
    assert_null(guessed(value_guess_percent, "half"));
    assert_string_equal(guessed(value_guess_rate, "100"), "100/s");
    assert_string_equal(guessed(value_guess_rate, "100 per second"), "100/s");
    assert_null(guessed(value_guess_rate, "100/fortnight"));
    assert_string_equal(guessed(value_guess_bool, "YES"), "true");
    assert_string_equal(guessed(value_guess_bool, "off"), "false");
    assert_null(guessed(value_guess_bool, "maybe"));
}

static const char *nearest(const char *word) {
    static const char *const words[] = {"breaker", "retry", "timeout", "cache", "open", "open_max"};
    struct suggestion s;
    suggest_begin(&s, bytes_of(word));
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        suggest_offer(&s, words[i]);
    return s.best;
}

static void suggestions(void **state) {
    assert_string_equal(nearest("braeker"), "breaker");
    assert_string_equal(nearest("retyr"), "retry");
    assert_string_equal(nearest("time-out"), "timeout");
    assert_string_equal(nearest("OPEN-MAX"), "open_max");
    assert_string_equal(nearest("opn"), "open");
    assert_string_equal(nearest("retrying"), "retry");
    assert_string_equal(nearest("time"), "timeout");
    assert_null(nearest("x"));
    assert_null(nearest(""));
    assert_null(nearest("hedge"));
    assert_null(nearest("something_quite_different_and_much_longer_than_any_key"));
}

static void addresses(void **state) {
    struct address a;
    assert_true(address_read(BYTES("127.0.0.1:8080"), &a));
    assert_true(bytes_equal(a.host, BYTES("127.0.0.1")) && a.has_port && a.port == 8080);
    assert_true(address_read(BYTES("[::1]:80"), &a));
    assert_true(bytes_equal(a.host, BYTES("::1")) && a.ipv6 && a.port == 80);
    assert_true(address_read(BYTES("shop.local"), &a) && !a.has_port);
    assert_true(address_read(BYTES("unix:/run/x.sock"), &a));
    assert_true(bytes_equal(a.unix_path, BYTES("/run/x.sock")));
    static const char *const bad[] = {
        "",        ":80",     "a:",      "a:65536",      "a:8x",           "[::1",
        "[zz]:80", "::1",     "a b:80",  "10.0.0:80",    "unix:rel",       "unix:/",
        "-a:80",   "a..b:80", "a:80:80", "256.1.1.1:80", "[127.0.0.1]:80", "[::1]80"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (address_read(bytes_of(bad[i]), &a))
            fail_msg("\"%s\" was read as an address", bad[i]);
    }
    assert_true(address_is_loopback(BYTES("127.9.9.9")));
    assert_true(address_is_loopback(BYTES("::1")));
    assert_true(address_is_loopback(BYTES("::ffff:127.0.0.1")));
    assert_true(address_is_loopback(BYTES("localhost")));
    assert_false(address_is_loopback(BYTES("0.0.0.0")));
    assert_false(address_is_loopback(BYTES("127.0.0.1.example.com")));
}

static void address_ranges(void **state) {
    struct cidr c;
    char text[CIDR_SIZE];
    assert_true(cidr_read(BYTES("10.0.0.0/8"), &c) && c.bits == 104);
    assert_string_equal(cidr_write(text, &c), "10.0.0.0/8");
    assert_true(cidr_read(BYTES("10.1.2.3"), &c) && c.bits == 128);
    assert_string_equal(cidr_write(text, &c), "10.1.2.3/32");
    assert_true(cidr_read(BYTES("2001:db8::/32"), &c) && c.bits == 32);
    assert_string_equal(cidr_write(text, &c), "2001:db8::/32");
    assert_true(cidr_read(BYTES("0.0.0.0/0"), &c) && c.bits == 96);
    assert_true(cidr_read(BYTES("::/0"), &c) && c.bits == 0);
    assert_string_equal(cidr_write(text, &c), "::/0");
    assert_false(cidr_read(BYTES("10.0.0.1/8"), &c));
    assert_false(cidr_read(BYTES("10.0.0.0/33"), &c));
    assert_false(cidr_read(BYTES("10.0.0.0/"), &c));
    assert_false(cidr_read(BYTES("10.0.0.0/08"), &c));
    assert_false(cidr_read(BYTES("::/129"), &c));
    assert_false(cidr_read(BYTES("/8"), &c));
    assert_false(cidr_read(BYTES(""), &c));
}

static void urls(void **state) {
    struct url u;
    assert_int_equal(url_read(BYTES("http://h:81/base/"), &u), URL_GOOD);
    assert_true(u.address.port == 81 && bytes_equal(u.base_path, BYTES("/base")));
    assert_int_equal(url_read(BYTES("http://h/"), &u), URL_GOOD);
    assert_true(u.address.port == 80 && u.base_path.len == 0);
    assert_int_equal(url_read(BYTES("unix:/run/a.sock"), &u), URL_GOOD);
    assert_int_equal(url_read(BYTES("https://h"), &u), URL_LATER_SCHEME);
    assert_int_equal(url_read(BYTES("ftp://h"), &u), URL_OTHER_SCHEME);
    assert_false(u.tcp);
    assert_int_equal(url_read(BYTES("tcp://[::1]:5432"), &u), URL_GOOD);
    assert_true(u.tcp && u.address.ipv6 && u.address.port == 5432);
    assert_int_equal(url_read(BYTES("tcp://h"), &u), URL_TCP);
    assert_int_equal(url_read(BYTES("tcp://h:0"), &u), URL_TCP);
    assert_int_equal(url_read(BYTES("tcp://h:1/"), &u), URL_TCP);
    assert_int_equal(url_read(BYTES("tcp://u:p@h:1"), &u), URL_USERINFO);
    assert_int_equal(url_read(BYTES("tcp://unix:/x"), &u), URL_TCP);
    assert_int_equal(url_read(BYTES("h:81"), &u), URL_NO_SCHEME);
    assert_int_equal(url_read(BYTES("http://u:p@h"), &u), URL_USERINFO);
    assert_int_equal(url_read(BYTES("http://h/?x"), &u), URL_QUERY);
    assert_int_equal(url_read(BYTES("http://h:0"), &u), URL_HOST);
    assert_int_equal(url_read(BYTES("http://unix:/x"), &u), URL_HOST);
    assert_int_equal(url_read(BYTES("http://h/a/../b"), &u), URL_PATH);
    assert_int_equal(url_read(BYTES("http://h/%zz"), &u), URL_PATH);
    assert_int_equal(url_read(BYTES("http://h/a b"), &u), URL_PATH);
    assert_true(url_path_is_good(BYTES("/a/%2F/{b}")));
    assert_false(url_path_is_good(BYTES("a")));
    assert_false(url_path_is_good(BYTES("/a//b")));
    assert_false(url_path_is_good(BYTES("/a%2")));
}

static enum expand_problem expand(const char *text, const char *expected) {
    struct buf to;
    struct bytes name;
    buf_init(&to, 1000);
    enum expand_problem problem = expand_variables(bytes_of(text), &to, &name);
    if (expected)
        assert_string_equal(buf_cstr(&to), expected);
    buf_free(&to);
    return problem;
}

static void variables(void **state) {
    setenv("SWG_TEST_A", "alpha", 1);
    setenv("SWG_TEST_EMPTY", "", 1);
    unsetenv("SWG_TEST_NONE");
    assert_int_equal(expand("x${SWG_TEST_A}y", "xalphay"), EXPAND_GOOD);
    assert_int_equal(expand("${SWG_TEST_A}${SWG_TEST_A}", "alphaalpha"), EXPAND_GOOD);
    assert_int_equal(expand("${SWG_TEST_NONE:-d:e}", "d:e"), EXPAND_GOOD);
    assert_int_equal(expand("${SWG_TEST_EMPTY:-d}", "d"), EXPAND_GOOD);
    assert_int_equal(expand("${SWG_TEST_EMPTY}", ""), EXPAND_GOOD);
    assert_int_equal(expand("${SWG_TEST_NONE:-}", ""), EXPAND_GOOD);
    assert_int_equal(expand("$${SWG_TEST_A} $ {", "${SWG_TEST_A} $ {"), EXPAND_GOOD);
    assert_int_equal(expand("${SWG_TEST_NONE}", NULL), EXPAND_UNSET);
    assert_int_equal(expand("${SWG_TEST_A", NULL), EXPAND_MALFORMED);
    assert_int_equal(expand("${}", NULL), EXPAND_MALFORMED);
    assert_int_equal(expand("${1A}", NULL), EXPAND_MALFORMED);
    assert_int_equal(expand("${SWG_TEST_A:?x}", NULL), EXPAND_MALFORMED);
}

/* A value that looks like a variable is not expanded again. */
static void variables_are_replaced_once(void **state) {
    setenv("SWG_TEST_A", "${SWG_TEST_B}", 1);
    setenv("SWG_TEST_B", "secret", 1);
    assert_int_equal(expand("${SWG_TEST_A}", "${SWG_TEST_B}"), EXPAND_GOOD);
}

static void files(void **state) {
    char path[] = "/tmp/swg_config_XXXXXX";
    int fd = mkstemp(path);
    struct buf to;
    assert_true(fd >= 0 && write(fd, "token\r\n", 7) == 7);
    buf_init(&to, 200000);
    assert_int_equal(expand_file(path, &to), 0);
    assert_string_equal(buf_cstr(&to), "token");
    buf_clear(&to);
    assert_int_equal(ftruncate(fd, 70000), 0);
    assert_true(expand_file(path, &to) < 0);
    close(fd);
    unlink(path);
    buf_clear(&to);
    assert_true(expand_file(path, &to) < 0);
    assert_true(expand_file("/tmp", &to) < 0);
    assert_true(expand_file("/dev/zero", &to) < 0);
    buf_free(&to);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations),
        cmocka_unit_test(sizes),
        cmocka_unit_test(rates_and_percentages),
        cmocka_unit_test(writing_reads_back),
        cmocka_unit_test(guesses),
        cmocka_unit_test(suggestions),
        cmocka_unit_test(addresses),
        cmocka_unit_test(address_ranges),
        cmocka_unit_test(urls),
        cmocka_unit_test(variables),
        cmocka_unit_test(variables_are_replaced_once),
        cmocka_unit_test(files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
