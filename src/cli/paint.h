/* paint.h - lines of text for a terminal: in columns, cut where they end, coloured.
 *
 * What is painted may come from anywhere: control characters, and those that turn
 * the direction of writing or take no room, never reach the terminal. Widths are
 * those of wcwidth(), so LC_CTYPE must be a UTF-8 locale. */
#ifndef SWG_CLI_PAINT_H
#define SWG_CLI_PAINT_H

#include "base/buf.h"
#include "cli/terminal.h"

struct paint {
    struct buf *to;
    unsigned columns; /* of a line */
    unsigned column;  /* reached on this line */
    bool colours;     /* whether any are wanted */
    bool marked;      /* this line is the selected one */
};

/* As far as the line goes. */
void paint_text(struct paint *, enum colour, const char *);
void paint_format(struct paint *, enum colour, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* In exactly `width` columns: cut, with an ellipsis, or filled up, on the left where
 * `right`. */
void paint_cell(struct paint *, enum colour, unsigned width, bool right, const char *);
/* Blanks up to this column. */
void paint_until(struct paint *, unsigned column);
void paint_end_line(struct paint *);

/* Columns that the text takes. */
unsigned paint_width(const char *);

#endif
