/* args_test.c - options in every way they may be written, and in no other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "cli/args.h"

static const struct arg_option options[] = {
    {'c', 'c', "config", "FILE", "A file."},
    {'j', 'j', "json", NULL, "A switch."},
    {'q', 'q', "quiet", NULL, "Another."},
    {'t', 0, "timeout", "TIME", "A duration."},
    {0},
};
static const struct command page = {
    .name = "test", .synopsis = "NAME", .options = options, .operands_min = 1, .operands_max = 2};

/* What was met, as "c=x.yaml j", and the operands after a bar. */
static const char *parse(bool *good, int argc, const char **argv) {
    static char met[256];
    struct args a;
    size_t n = 0;
    args_begin(&a, &page, argc, (char **)argv);
    met[0] = '\0';
    for (int id; (id = args_next(&a)) != ARGS_END;)
        n += (size_t)snprintf(met + n, sizeof met - n, a.value ? "%c=%s " : "%c ", id, a.value);
    n += (size_t)snprintf(met + n, sizeof met - n, "|");
    for (unsigned i = 0; i < a.operand_count; i++)
        n += (size_t)snprintf(met + n, sizeof met - n, " %s", a.operand[i]);
    *good = args_done(&a);
    return met;
}

#define PARSE(good, ...)                                                               \
    parse(good, (int)(sizeof((const char *[]){"test", __VA_ARGS__}) / sizeof(char *)), \
          (const char *[]){"test", __VA_ARGS__})

static void all_spellings_are_one(void **state) {
    bool good;
    (void)state;
    assert_string_equal(PARSE(&good, "--config", "x", "shop"), "c=x | shop");
    assert_true(good);
    assert_string_equal(PARSE(&good, "--config=x", "shop"), "c=x | shop");
    assert_string_equal(PARSE(&good, "-c", "x", "shop"), "c=x | shop");
    assert_string_equal(PARSE(&good, "-cx", "shop"), "c=x | shop");
    assert_string_equal(PARSE(&good, "-c=x", "shop"), "c=x | shop");
    assert_string_equal(PARSE(&good, "-jqcx", "shop"), "j q c=x | shop");
    assert_string_equal(PARSE(&good, "--config=", "shop"), "c= | shop");
    assert_true(good);
}

static void options_and_operands_mix(void **state) {
    bool good;
    (void)state;
    assert_string_equal(PARSE(&good, "shop", "-j", "other"), "j | shop other");
    assert_true(good);
    assert_string_equal(PARSE(&good, "--", "-j", "--config"), "| -j --config");
    assert_true(good);
    assert_string_equal(PARSE(&good, "-"), "| -");
    assert_true(good);
    assert_string_equal(PARSE(&good, "-c", "--", "shop"), "c=-- | shop");
    assert_true(good);
}

static void what_is_wrong_is_refused(void **state) {
    bool good;
    (void)state;
    PARSE(&good, "--confg", "x", "shop");
    assert_false(good);
    PARSE(&good, "-x", "shop");
    assert_false(good);
    PARSE(&good, "-jx", "shop");
    assert_false(good);
    PARSE(&good, "shop", "--config");
    assert_false(good);
    PARSE(&good, "shop", "-c");
    assert_false(good);
    PARSE(&good, "--json=yes", "shop");
    assert_false(good);
    PARSE(&good, "-j"); /* an operand is missing */
    assert_false(good);
    PARSE(&good, "a", "b", "c"); /* one too many */
    assert_false(good);
    PARSE(&good, "--conf", "x", "shop"); /* no abbreviations */
    assert_false(good);
}

static void durations_are_read(void **state) {
    const char *argv[] = {"test", "--timeout", "250ms", "--timeout", "soon", "shop"};
    struct args a;
    uint64_t ns = 0;
    (void)state;
    args_begin(&a, &page, 6, (char **)argv);
    assert_int_equal(args_next(&a), 't');
    assert_true(args_duration(&a, &ns));
    assert_int_equal(ns, 250000000);
    assert_int_equal(args_next(&a), 't');
    assert_false(args_duration(&a, &ns));
    assert_int_equal(ns, 250000000);
    assert_int_equal(args_next(&a), ARGS_END);
    assert_false(args_done(&a));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_spellings_are_one),
        cmocka_unit_test(options_and_operands_mix),
        cmocka_unit_test(what_is_wrong_is_refused),
        cmocka_unit_test(durations_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
