/* document_test.c - YAML as a tree, its bounds, and hostile files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "config/document.h"
#include "config/report.h"

static struct arena arena;
static struct config_report report;

static const struct node *read_text(struct bytes text) {
    return document_read(&arena, text, &report);
}

static const struct node *read(const char *text) {
    return read_text(bytes_of(text));
}

static int setup(void **state) {
    arena_init(&arena, NULL, 0, 64 << 20);
    config_report_init(&report);
    return 0;
}

static int teardown(void **state) {
    arena_reset(&arena);
    config_report_free(&report);
    return 0;
}

static void only_finding(uint32_t line, uint32_t column, const char *part) {
    assert_int_equal(report.count, 1);
    assert_int_equal(report.findings[0].line, line);
    assert_int_equal(report.findings[0].column, column);
    if (!strstr(report.findings[0].what, part))
        fail_msg("\"%s\" does not tell of \"%s\"", report.findings[0].what, part);
}

static void text_is(const struct node *n, const char *text, uint32_t line, uint32_t column) {
    assert_non_null(n);
    assert_string_equal(n->text.at, text);
    assert_int_equal(n->line, line);
    assert_int_equal(n->column, column);
}

static void tree_and_places(void **state) {
    const struct node *root = read("a: 1\nb:\n  - x\n  - 'y'\nc: {d: \"5\", e: }\n");
    assert_int_equal(report.count, 0);
    text_is(node_get(root, "a"), "1", 1, 4);
    const struct node *list = node_get(root, "b");
    assert_int_equal(list->kind, NODE_LIST);
    assert_int_equal(list->count, 2);
    text_is(list->first->value, "x", 3, 5);
    text_is(list->last->value, "y", 4, 5);
    const struct node *map = node_get(root, "c");
    text_is(node_get(map, "d"), "5", 5, 8);
    assert_false(node_get(map, "d")->plain);
    assert_true(node_is_null(node_get(map, "e")));
    assert_null(node_get(map, "f"));
    assert_null(node_get(list, "x"));
}

static void empty_files_are_empty_maps(void **state) {
    static const char *const empty[] = {"", "\n\n", "# only a comment\n", "---\n", "\xef\xbb\xbf"};
    for (size_t i = 0; i < sizeof empty / sizeof empty[0]; i++) {
        const struct node *root = read(empty[i]);
        assert_non_null(root);
        assert_true(root->kind == NODE_MAP ? root->count == 0 : node_is_null(root));
    }
    assert_int_equal(report.count, 0);
}

static void anchors_and_merges(void **state) {
    const struct node *root = read("x: &x {a: 1, b: 2}\ny: &y {b: 3, c: 4}\n"
                                   "z:\n  b: 9\n  <<: [*x, *y]\n  c: 8\nw: *x\n");
    assert_int_equal(report.count, 0);
    const struct node *z = node_get(root, "z");
    assert_int_equal(z->count, 3);
    text_is(node_get(z, "a"), "1", 1, 11);
    text_is(node_get(z, "b"), "9", 4, 6);
    text_is(node_get(z, "c"), "8", 6, 6);
    assert_ptr_equal(node_get(root, "w"), node_get(root, "x"));
}

static void an_anchor_can_be_named_anew(void **state) {
    const struct node *root = read("a: &x 1\nb: &x 2\nc: *x\n");
    text_is(node_get(root, "c"), "2", 2, 7);
}

static void unknown_alias(void **state) {
    assert_null(read("a: *nothing\n"));
    only_finding(1, 4, "*nothing");
}

static void alias_of_itself(void **state) {
    assert_null(read("a: &a\n  b: [1, *a]\n"));
    only_finding(2, 10, "inside the value");
}

static void merge_of_a_scalar(void **state) {
    assert_non_null(read("a: &a 5\nb:\n  <<: *a\n"));
    only_finding(1, 7, "cannot merge");
}

static void duplicate_keys(void **state) {
    const struct node *root = read("a: 1\n\"a\": 2\n");
    assert_non_null(root); /* reading goes on */
    only_finding(2, 1, "second time");
    text_is(node_get(root, "a"), "1", 1, 4);
}

static void syntax_errors(void **state) {
    assert_null(read("a: [1, 2\nb: 3\n"));
    assert_int_equal(report.count, 1);
    assert_true(report.findings[0].line >= 1);
}

static void variables_in_braces_get_a_hint(void **state) {
    assert_null(read("ok: 1\na: {b: ${X}}\n"));
    assert_int_equal(report.findings[0].line, 2);
    assert_non_null(strstr(report.findings[0].expected, "quotes"));
}

static void keys_are_names(void **state) {
    assert_null(read("? [a, b]\n: c\n"));
    only_finding(1, 3, "cannot be a key");
}

static void one_document_only(void **state) {
    assert_null(read("a: 1\n---\nb: 2\n"));
    only_finding(3, 1, "second document");
}

static void tags_are_refused(void **state) {
    assert_null(read("a: !!python/object:os.system ls\n"));
    assert_non_null(strstr(report.findings[0].what, "tags"));
}

static void bytes_that_are_no_text(void **state) {
    assert_null(read_text(BYTES("a: b\nc: \xc0\x80\n")));
    only_finding(2, 4, "0xc0");
    assert_null(read_text(BYTES("a: \0b\n")));
    assert_null(read_text(BYTES("\xff\xfe"
                                "a\0")));
    assert_int_equal(report.error_count, 3);
}

/* Columns count characters. */
static void columns_after_umlauts(void **state) {
    const struct node *root = read("{\xc3\xa4: \xc3\xb6, b: c}");
    text_is(node_get(root, "b"), "c", 1, 11);
}

static void repeat(struct buf *b, const char *text, int times) {
    while (times--)
        buf_string(b, text);
}

static void read_repeated(const char *head, const char *text, int times, const char *tail) {
    struct buf b;
    buf_init(&b, 8 << 20);
    buf_string(&b, head);
    repeat(&b, text, times);
    buf_string(&b, tail);
    assert_null(read_text(buf_view(&b)));
    assert_true(report.error_count > 0);
    buf_free(&b);
}

static void too_large(void **state) {
    read_repeated("# ", "0123456789", DOCUMENT_BYTES_MAX / 10 + 1, "\n");
}

static void too_deep(void **state) {
    read_repeated("", "[", 100000, "");
}

static void too_deep_in_blocks(void **state) {
    read_repeated("", "- ", 100000, "x");
}

static void too_many_values(void **state) {
    read_repeated("[", "a,", DOCUMENT_NODES_MAX + 1, "a]");
}

static void too_many_anchors(void **state) {
    read_repeated("[", "&a a,", 1001, "a]");
}

static void too_many_keys(void **state) {
    struct buf b;
    buf_init(&b, 8 << 20);
    for (int i = 0; i <= DOCUMENT_KEYS_MAX; i++)
        buf_printf(&b, "k%d: v\n", i);
    assert_null(read_text(buf_view(&b)));
    only_finding(DOCUMENT_KEYS_MAX + 1, 1, "too many keys");
    buf_free(&b);
}

/* A billion laughs: each level names the one below nine times. As a graph this
 * is small, and reading it is no problem; whoever unfolds it has a bound. */
static void billion_laughs_stay_small(void **state) {
    struct buf b;
    buf_init(&b, 1 << 20);
    buf_string(&b, "a0: &a0 [lol]\n");
    for (int i = 1; i < 10; i++) {
        buf_printf(&b, "a%d: &a%d [", i, i);
        for (int j = 0; j < 9; j++)
            buf_printf(&b, "*a%d%s", i - 1, j < 8 ? "," : "]\n");
    }
    size_t before = arena.used;
    assert_non_null(read_text(buf_view(&b)));
    assert_true(arena.used - before < 64 * 1024);
    buf_free(&b);
}

/* Merging copies: a tower of merges is bounded by the number of values. */
static void tower_of_merges(void **state) {
    struct buf b;
    buf_init(&b, 1 << 20);
    buf_string(&b, "a: &a {");
    for (int i = 0; i < 500; i++)
        buf_printf(&b, "k%d: v,", i);
    buf_string(&b, "}\n");
    for (int i = 0; i < 1000; i++)
        buf_printf(&b, "m%d: {<<: *a}\n", i);
    assert_null(read_text(buf_view(&b)));
    assert_non_null(strstr(report.findings[0].what, "too many values"));
    buf_free(&b);
}

static void the_report_is_bounded_and_sorted(void **state) {
    for (uint32_t i = 0; i < CONFIG_FINDINGS_MAX + 5; i++)
        report_error_at(&report, 1000 - i, 1, NULL, "finding %u", i);
    assert_int_equal(report.count, CONFIG_FINDINGS_MAX);
    assert_int_equal(report.error_count, CONFIG_FINDINGS_MAX + 5);
    for (uint32_t i = 1; i < report.count; i++)
        assert_true(report.findings[i - 1].line < report.findings[i].line);
    struct buf text;
    buf_init(&text, 1 << 20);
    config_report_write(&report, &text);
    assert_non_null(strstr(buf_cstr(&text), "and 5 more\n"));
    buf_free(&text);
}

static void no_warning_hides_an_error(void **state) {
    for (uint32_t i = 0; i < CONFIG_FINDINGS_MAX; i++)
        report_warning(&report, NULL, NULL, "warning %u", i);
    report_error_at(&report, 7, 1, NULL, "an error");
    report_warning(&report, NULL, NULL, "one too many");
    assert_int_equal(report.count, CONFIG_FINDINGS_MAX);
    assert_string_equal(report.findings[0].what, "an error");
    assert_string_equal(report.findings[1].what, "warning 0");
    assert_string_equal(report.findings[CONFIG_FINDINGS_MAX - 1].what, "warning 198");
}

static void shown_text_is_harmless(void **state) {
    char shown[SHOW_SIZE];
    assert_string_equal(report_show(shown, BYTES("a\x1b[2J\n\xff")), "\"a\\x1b[2J\\x0a\\xff\"");
    struct buf b;
    buf_init(&b, 1 << 20);
    repeat(&b, "\xf0\x9f\x98\x80", 1000);
    report_show(shown, buf_view(&b));
    assert_true(strlen(shown) < SHOW_SIZE && shown[strlen(shown) - 1] == '"');
    buf_free(&b);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(tree_and_places),
        TEST(empty_files_are_empty_maps),
        TEST(anchors_and_merges),
        TEST(an_anchor_can_be_named_anew),
        TEST(unknown_alias),
        TEST(alias_of_itself),
        TEST(merge_of_a_scalar),
        TEST(duplicate_keys),
        TEST(syntax_errors),
        TEST(variables_in_braces_get_a_hint),
        TEST(keys_are_names),
        TEST(one_document_only),
        TEST(tags_are_refused),
        TEST(bytes_that_are_no_text),
        TEST(columns_after_umlauts),
        TEST(too_large),
        TEST(too_deep),
        TEST(too_deep_in_blocks),
        TEST(too_many_values),
        TEST(too_many_anchors),
        TEST(too_many_keys),
        TEST(billion_laughs_stay_small),
        TEST(tower_of_merges),
        TEST(the_report_is_bounded_and_sorted),
        TEST(no_warning_hides_an_error),
        TEST(shown_text_is_harmless),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
