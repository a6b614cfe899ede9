/* paint_test.c - lines for a terminal, of text that may be anything. */
#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/paint.h"

struct page {
    struct buf text;
    struct paint p;
};

static void begin(struct page *page, unsigned columns, bool colours) {
    buf_init(&page->text, 65536);
    page->p = (struct paint){.to = &page->text, .columns = columns, .colours = colours};
}

static void expect(struct page *page, const char *text) {
    assert_string_equal(buf_cstr(&page->text), text);
    buf_free(&page->text);
}

static void what_is_too_long_is_cut(void **state) {
    struct page page;
    begin(&page, 10, false);
    paint_text(&page.p, COLOUR_NONE, "0123456789");
    paint_end_line(&page.p);
    paint_text(&page.p, COLOUR_RED, "01234");
    paint_text(&page.p, COLOUR_RED, "567890");
    paint_text(&page.p, COLOUR_RED, "no room");
    paint_end_line(&page.p);
    expect(&page, "0123456789\n012345678…\n");
}

static void cells_are_as_wide_as_they_should_be(void **state) {
    struct page page;
    begin(&page, 20, false);
    paint_cell(&page.p, COLOUR_NONE, 6, false, "ab");
    paint_cell(&page.p, COLOUR_NONE, 6, true, "12");
    paint_cell(&page.p, COLOUR_NONE, 4, true, "12345");
    paint_cell(&page.p, COLOUR_NONE, 9, true, "x"); /* of which four are left */
    paint_end_line(&page.p);
    expect(&page, "ab        12123…   x\n");
}

static void wide_characters_take_two_columns(void **state) {
    struct page page;
    assert_int_equal(paint_width("日本"), 4);
    begin(&page, 8, false);
    paint_cell(&page.p, COLOUR_NONE, 4, false, "日本語");
    paint_text(&page.p, COLOUR_NONE, "|");
    paint_end_line(&page.p);
    expect(&page, "日… |\n");
}

static void nothing_commands_the_terminal(void **state) {
    struct page page;
    begin(&page, 200, false);
    paint_text(&page.p, COLOUR_NONE,
               "a\033[31mb\007c\r\nd\x7f"
               "e\xc2\x9b"
               "f\xff"
               "g\xe2\x80\xae"
               "h\xe2\x80\x8b"
               "i\xc0\x9b");
    paint_end_line(&page.p);
    expect(&page, "a?[31mb?c??d?e?f?ghi??\n");
}

static void colours_and_the_selected_line(void **state) {
    struct page page;
    begin(&page, 6, true);
    paint_text(&page.p, COLOUR_RED, "no");
    paint_end_line(&page.p);
    page.p.marked = true;
    paint_text(&page.p, COLOUR_NONE, "yes");
    paint_end_line(&page.p);
    expect(&page, "\033[31mno\033[0m\n\033[7myes\033[0m\033[7m   \033[0m\n");
}

/* Whatever comes: no more columns than there are, and no control character. */
static void any_text_stays_on_its_line(void **state) {
    uint32_t seed = 11;
    for (int i = 0; i < 3000; i++) {
        struct page page;
        char text[60];
        for (size_t n = 0; n < sizeof text; n++) {
            seed = seed * 1664525 + 1013904223;
            text[n] = (char)((seed >> 24) | (n + 1 < sizeof text));
        }
        text[sizeof text - 1] = '\0';
        begin(&page, 20, false);
        paint_cell(&page.p, COLOUR_NONE, seed % 25, seed & 64, text);
        paint_text(&page.p, COLOUR_NONE, text);
        assert_true(page.p.column <= 20);
        for (size_t n = 0; n < page.text.len; n++)
            assert_true((unsigned char)page.text.at[n] >= 0x20);
        buf_free(&page.text);
    }
}

int main(void) {
    setlocale(LC_CTYPE, "C.UTF-8");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_too_long_is_cut),
        cmocka_unit_test(cells_are_as_wide_as_they_should_be),
        cmocka_unit_test(wide_characters_take_two_columns),
        cmocka_unit_test(nothing_commands_the_terminal),
        cmocka_unit_test(colours_and_the_selected_line),
        cmocka_unit_test(any_text_stays_on_its_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
