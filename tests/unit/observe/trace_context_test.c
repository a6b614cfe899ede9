#include "observe/trace_context.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/random.h"

#define GOOD "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

static bool reads(const char *text) {
    struct trace_context c = {{1, 2}, 3, 4};
    bool good = traceparent_read(bytes_of(text), &c);
    if (!good) /* untouched */
        assert_true(c.trace.high == 1 && c.trace.low == 2 && c.span == 3 && c.flags == 4);
    return good;
}

static void reads_what_is_well_formed(void **state) {
    struct trace_context c;
    assert_true(traceparent_read(BYTES(GOOD), &c));
    assert_true(c.trace.high == 0x4bf92f3577b34da6u && c.trace.low == 0xa3ce929d0e0e4736u);
    assert_true(c.span == 0x00f067aa0ba902b7u && c.flags == TRACE_SAMPLED);
    assert_true(
        traceparent_read(BYTES("00-00000000000000000000000000000001-0000000000000001-fe"), &c));
    assert_int_equal(c.flags, TRACE_RANDOM); /* what nobody knows is not passed on */
    assert_true(reads("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"));
    assert_true(reads("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what.the"));
}

static void refuses_all_else(void **state) {
    static const char *const bad[] = {
        "",
        "00",
        GOOD "-",
        GOOD "-00",
        GOOD " ",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "FE-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7_01",
        "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b71-01",
        "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.x",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(reads(bad[i]));
    for (size_t len = 0; len < sizeof GOOD - 1; len++) {
        struct trace_context c;
        assert_false(traceparent_read((struct bytes){GOOD, len}, &c));
    }
}

/* Whatever one byte is replaced by: read, it says what it is; written, it reads back. */
static void one_byte_never_means_another(void **state) {
    for (size_t at = 0; at < TRACEPARENT_LEN; at++) {
        for (int c = 0; c < 256; c++) {
            char text[] = GOOD, written[TRACEPARENT_LEN + 1];
            struct trace_context read, again;
            text[at] = (char)c;
            if (!traceparent_read((struct bytes){text, TRACEPARENT_LEN}, &read))
                continue;
            traceparent_write(written, &read);
            assert_true(traceparent_read((struct bytes){written, TRACEPARENT_LEN}, &again));
            assert_memory_equal(&read.trace, &again.trace, sizeof read.trace);
            assert_memory_equal(written + 3, text + 3, 50); /* but for version and flags */
            assert_true(read.span == again.span && read.flags == again.flags);
        }
    }
}

static void judges_lists(void **state) {
    static const char *const good[] = {"a=1",
                                       "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE",
                                       "a=1,  b=2\t, c=3",
                                       "a=1,,b=2,",
                                       "tenant@vendor=x y",
                                       "1a-_*/@b=!\"#$%&'()*+-./:;<>?@[]^`{|}~"};
    static const char *const bad[] = {
        "",     ",",     "a",       "=1",     "a=",         "a=1=2", "A=1",
        "-a=1", "a b=1", "a=1,a=2", "a=\x7f", "a=\xc3\xbc", "a =1"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(tracestate_is_good(bytes_of(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(tracestate_is_good(bytes_of(bad[i])));
}

static void bounds_lists(void **state) {
    char text[1024] = "";
    for (int i = 0; i < TRACESTATE_MEMBERS; i++)
        sprintf(text + strlen(text), "%sk%d=v", i ? "," : "", i);
    assert_true(tracestate_is_good(bytes_of(text)));
    strcat(text, ",more=v");
    assert_false(tracestate_is_good(bytes_of(text)));
    memset(text, 'v', sizeof text);
    memcpy(text, "a=", 2);
    assert_true(tracestate_is_good((struct bytes){text, 258}));
    assert_false(tracestate_is_good((struct bytes){text, 259}));
    assert_false(tracestate_is_good((struct bytes){text, TRACESTATE_MAX + 1}));
}

static void chooses_the_share_that_is_wanted(void **state) {
    static const uint32_t shares[] = {0, 1000, 10000, 500000, TRACE_PER_MILLION};
    enum { MANY = 200000 };
    for (size_t i = 0; i < sizeof shares / sizeof *shares; i++) {
        uint64_t random = 7, chosen = 0;
        for (int n = 0; n < MANY; n++) {
            struct trace_id id = {random_next(&random), random_next(&random)};
            bool yes = trace_is_chosen(id, shares[i]);
            assert_true(trace_is_chosen(id, shares[i]) == yes);
            assert_true(!yes || trace_is_chosen(id, TRACE_PER_MILLION)); /* and of any larger */
            chosen += yes;
        }
        uint64_t expected = (uint64_t)MANY * shares[i] / TRACE_PER_MILLION;
        assert_in_range(chosen, expected - expected / 5, expected + expected / 5);
    }
    assert_true(trace_is_chosen((struct trace_id){0, UINT64_MAX}, TRACE_PER_MILLION));
    assert_false(trace_is_chosen((struct trace_id){1, 0}, 0));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_is_well_formed),
        cmocka_unit_test(refuses_all_else),
        cmocka_unit_test(one_byte_never_means_another),
        cmocka_unit_test(judges_lists),
        cmocka_unit_test(bounds_lists),
        cmocka_unit_test(chooses_the_share_that_is_wanted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
