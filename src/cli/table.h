/* table.h - rows of text in columns as wide as they need to be.
 *
 * Cells are copied; a table that outgrows its bounds drops rows and says so.
 * Numbers align right where the column says so. */
#ifndef SWG_CLI_TABLE_H
#define SWG_CLI_TABLE_H

#include <stdbool.h>
#include <stdio.h>

#include "base/arena.h"
#include "cli/terminal.h"

enum { TABLE_COLUMNS = 10, TABLE_ROWS = 4096 };

struct table_cell {
    const char *text;
    enum colour colour;
};

struct table {
    struct arena arena;
    unsigned columns, rows, dropped;
    bool right[TABLE_COLUMNS];
    struct table_cell (*cells)[TABLE_COLUMNS];
};

/* Headings end with NULL; one that begins with '>' is aligned right. */
void table_init(struct table *, const char *const *headings);
void table_free(struct table *);
void table_row(struct table *);
/* Of the last row. */
void table_cell(struct table *, unsigned column, enum colour, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void table_write(const struct table *, FILE *);

#endif
