/* mock_behaviour_test.c - shares are what they say, and latencies are
 * distributed as they are named. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/random.h"
#include "cli/mock_behaviour.h"

enum { DRAWS = 200000 };

static bool set(struct mock_behaviour *b, const char *key, const char *value) {
    char memory[256];
    struct buf why;
    buf_init_fixed(&why, memory, sizeof memory);
    bool good = mock_behaviour_set(b, bytes_of(key), bytes_of(value), &why);
    if (!good)
        assert_true(why.len > 0); /* and says what was expected */
    return good;
}

static void shares_are_exact(void **state) {
    static const struct {
        const char *text;
        uint32_t millionths;
    } good[] = {{"0%", 0},      {"30%", 300000},    {"100%", MOCK_ALL}, {"0.5%", 5000},
                {"0.0001%", 1}, {"12.34%", 123400}, {"007%", 70000}};
    static const char *const bad[] = {"",    "30",  "%",        "101%", "30%%", "-1%",      "0.%",
                                      ".5%", "3 %", "0.12345%", "a%",   "1e2%", "100.0001%"};
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        uint32_t share = 7;
        assert_true(mock_share_read(bytes_of(good[i].text), &share));
        assert_int_equal(share, good[i].millionths);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        uint32_t share = 7;
        assert_false(mock_share_read(bytes_of(bad[i]), &share));
        assert_int_equal(share, 7);
    }
}

static void what_is_wrong_changes_nothing(void **state) {
    static const struct {
        const char *key, *value;
    } bad[] = {{"errors", "half"},
               {"tokens", "50001"},
               {"first_token", "soon"},
               {"token_interval", "2h"},
               {"break_after", "always"},
               {"status", "99"},
               {"status", "600"},
               {"status", "5xx"},
               {"latency", "fast"},
               {"latency", "normal 1ms"},
               {"latency", "20ms 5ms"},
               {"latency", "uniform 5ms 1ms"},
               {"latency", "lognormal 0 1ms"},
               {"latency", "lognormal 5ms 1ms"},
               {"latency", "25h"},
               {"slow_body", "quick"},
               {"chunked", "perhaps"},
               {"close_after", "-1"},
               {"retry_after", "soon"},
               {"colour", "red"}};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct mock_behaviour b, before;
        memset(&b, 0, sizeof b);
        mock_behaviour_heal(&b);
        before = b;
        assert_false(set(&b, bad[i].key, bad[i].value));
        assert_memory_equal(&b, &before, sizeof b);
    }
}

static void healing_keeps_what_is_no_illness(void **state) {
    struct mock_behaviour b = {0};
    (void)state;
    assert_true(set(&b, "errors", "5%") && set(&b, "hang", "1%") && set(&b, "latency", "1s") &&
                set(&b, "slow_body", "1KiB/s") && set(&b, "retry_after", "5s") &&
                set(&b, "chunked", "yes") && set(&b, "close_after", "3") &&
                set(&b, "status", "429"));
    assert_int_equal(b.slow_body, 1024);
    assert_int_equal(b.retry_after, 5);
    b.down = true;
    mock_behaviour_heal(&b);
    assert_true(b.chunked);
    assert_int_equal(b.close_after, 3);
    assert_int_equal(b.status, 500);
    assert_false(b.down);
    assert_int_equal(b.errors | b.hang | b.slow_body | b.retry_after | b.latency.a_ns, 0);
}

/* What is written can be set again, to the same. */
static void writing_reads_back(void **state) {
    struct mock_behaviour b = {0};
    char memory[1024];
    struct buf text;
    struct json_out j;
    (void)state;
    mock_behaviour_heal(&b);
    assert_true(set(&b, "latency", "lognormal 20ms 1.5s") && set(&b, "errors", "0.25%") &&
                set(&b, "truncate", "100%") && set(&b, "slow_body", "1000"));
    buf_init_fixed(&text, memory, sizeof memory);
    json_init(&j, &text);
    mock_behaviour_write(&b, &j);
    assert_non_null(strstr(memory, "\"latency\":\"lognormal 20ms 1500ms\""));
    assert_non_null(strstr(memory, "\"errors\":\"0.25%\""));
    assert_non_null(strstr(memory, "\"truncate\":\"100%\""));
    assert_non_null(strstr(memory, "\"slow_body\":\"1000/s\""));
    struct mock_latency again;
    assert_true(mock_latency_read(BYTES("lognormal 20ms 1.5s"), &again));
    assert_memory_equal(&again, &b.latency, sizeof again);
    assert_true(set(&b, "slow_body", "1000/s"));
}

static void fates_come_in_their_shares(void **state) {
    struct mock_behaviour b = {0};
    uint32_t seen[MOCK_FATES] = {0};
    uint64_t random = 1;
    (void)state;
    assert_true(set(&b, "errors", "30%") && set(&b, "hang", "5%") && set(&b, "reset", "2%") &&
                set(&b, "truncate", "1%"));
    for (int i = 0; i < DRAWS; i++)
        seen[mock_behaviour_fate(&b, random_next(&random))]++;
    assert_in_range(seen[MOCK_ERROR], DRAWS * 29 / 100, DRAWS * 31 / 100);
    assert_in_range(seen[MOCK_HANG], DRAWS * 48 / 1000, DRAWS * 52 / 1000);
    assert_in_range(seen[MOCK_RESET], DRAWS * 18 / 1000, DRAWS * 22 / 1000);
    assert_in_range(seen[MOCK_TRUNCATE], DRAWS * 8 / 1000, DRAWS * 12 / 1000);
}

static void shares_beyond_all_have_an_order(void **state) {
    struct mock_behaviour b = {.errors = MOCK_ALL, .reset = MOCK_ALL, .hang = MOCK_ALL / 2};
    uint32_t seen[MOCK_FATES] = {0};
    uint64_t random = 2;
    (void)state;
    for (int i = 0; i < 1000; i++)
        seen[mock_behaviour_fate(&b, random_next(&random))]++;
    assert_int_equal(seen[MOCK_ERROR] + seen[MOCK_ANSWER], 0);
    assert_true(seen[MOCK_HANG] > 400 && seen[MOCK_RESET] > 400);
    b = (struct mock_behaviour){.errors = MOCK_ALL};
    assert_int_equal(mock_behaviour_fate(&b, UINT64_MAX), MOCK_ERROR);
    b = (struct mock_behaviour){0};
    assert_int_equal(mock_behaviour_fate(&b, 0), MOCK_ANSWER);
}

static int compare(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void draw(const char *text, uint64_t *out) {
    struct mock_latency l;
    uint64_t random = 3;
    assert_true(mock_latency_read(bytes_of(text), &l));
    for (int i = 0; i < DRAWS; i++)
        out[i] = mock_latency_draw(&l, &random);
    qsort(out, DRAWS, sizeof *out, compare);
}

static void near(uint64_t ns, double ms, double tolerance) {
    assert_true(fabs((double)ns / 1e6 - ms) <= ms * tolerance);
}

static void latencies_are_distributed_as_named(void **state) {
    uint64_t *v = malloc(DRAWS * sizeof *v);
    (void)state;
    assert_non_null(v);
    draw("20ms", v);
    assert_true(v[0] == 20000000 && v[DRAWS - 1] == 20000000);
    draw("uniform 10ms 30ms", v);
    near(v[0], 10, 0.01);
    near(v[DRAWS / 2], 20, 0.02);
    near(v[DRAWS - 1], 30, 0.01);
    draw("normal 100ms 10ms", v);
    near(v[DRAWS / 2], 100, 0.01);
    near(v[DRAWS * 84 / 100], 110, 0.01); /* one deviation up */
    draw("lognormal 20ms 200ms", v);
    near(v[DRAWS / 2], 20, 0.03);
    near(v[DRAWS * 99 / 100], 200, 0.06);
    draw("normal 1ms 100ms", v); /* never below nothing */
    assert_int_equal(v[0], 0);
    free(v);
}

static void the_same_seed_draws_the_same(void **state) {
    struct mock_latency l = {MOCK_LATENCY_NORMAL, 50000000, 5000000};
    uint64_t a = 42, b = 42, c = 43;
    (void)state;
    uint64_t first = mock_latency_draw(&l, &a);
    assert_true(first == mock_latency_draw(&l, &b));
    assert_true(first != mock_latency_draw(&l, &c));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shares_are_exact),
        cmocka_unit_test(what_is_wrong_changes_nothing),
        cmocka_unit_test(healing_keeps_what_is_no_illness),
        cmocka_unit_test(writing_reads_back),
        cmocka_unit_test(fates_come_in_their_shares),
        cmocka_unit_test(shares_beyond_all_have_an_order),
        cmocka_unit_test(latencies_are_distributed_as_named),
        cmocka_unit_test(the_same_seed_draws_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
