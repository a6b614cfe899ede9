/* table.c - see table.h. */
#include "cli/table.h"

#include <stdarg.h>
#include <stdlib.h>

enum { ARENA_MAX = 16 << 20, CELL_MAX = 512 };

void table_init(struct table *t, const char *const *headings) {
    *t = (struct table){0};
    arena_init(&t->arena, NULL, 0, ARENA_MAX);
    t->cells = calloc(TABLE_ROWS, sizeof *t->cells);
    while (headings[t->columns] && t->columns < TABLE_COLUMNS)
        t->columns++;
    table_row(t);
    for (unsigned i = 0; i < t->columns; i++) {
        t->right[i] = headings[i][0] == '>';
        table_cell(t, i, COLOUR_DIM, "%s", headings[i] + t->right[i]);
    }
}

void table_free(struct table *t) {
    arena_reset(&t->arena);
    free(t->cells);
    t->cells = NULL;
}

void table_row(struct table *t) {
    if (!t->cells || t->rows == TABLE_ROWS)
        t->dropped++;
    else
        t->rows++;
}

void table_cell(struct table *t, unsigned column, enum colour colour, const char *format, ...) {
    char text[CELL_MAX];
    va_list list;
    if (!t->rows || t->dropped || column >= t->columns)
        return;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    t->cells[t->rows - 1][column] =
        (struct table_cell){arena_copy(&t->arena, bytes_of(text)), colour};
}

static unsigned width_of(const struct table *t, unsigned column) {
    unsigned widest = 0;
    for (unsigned r = 0; r < t->rows; r++) {
        const char *text = t->cells[r][column].text;
        unsigned width = text ? terminal_width(text) : 0;
        widest = width > widest ? width : widest;
    }
    return widest;
}

static bool is_last(const struct table *t, unsigned row, unsigned column) {
    for (unsigned c = column + 1; c < t->columns; c++) {
        const char *text = t->cells[row][c].text;
        if (text && *text)
            return false;
    }
    return true;
}

static void write_cell(const struct table *t, unsigned row, unsigned column, unsigned widest,
                       FILE *to) {
    const struct table_cell *cell = &t->cells[row][column];
    const char *text = cell->text ? cell->text : "";
    unsigned blanks = widest - terminal_width(text);
    bool last = is_last(t, row, column);
    if (t->right[column])
        fprintf(to, "%*s", (int)blanks, "");
    if (cell->colour)
        fputs(terminal_begin(to, cell->colour), to);
    terminal_text(to, text);
    if (cell->colour)
        fputs(terminal_end(to), to);
    if (!last)
        fprintf(to, "%*s  ", t->right[column] ? 0 : (int)blanks, "");
}

void table_write(const struct table *t, FILE *to) {
    unsigned widths[TABLE_COLUMNS];
    for (unsigned c = 0; c < t->columns; c++)
        widths[c] = width_of(t, c);
    for (unsigned r = 0; r < t->rows; r++) {
        for (unsigned c = 0; c < t->columns; c++) {
            write_cell(t, r, c, widths[c], to);
            if (is_last(t, r, c))
                break;
        }
        fputc('\n', to);
    }
    if (t->dropped)
        fprintf(to, "… and %u more\n", t->dropped);
}
