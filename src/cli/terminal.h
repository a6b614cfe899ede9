/* terminal.h - what the other end of stdout can show.
 *
 * Colours only on a terminal, and not where NO_COLOR is set or TERM is dumb. */
#ifndef SWG_CLI_TERMINAL_H
#define SWG_CLI_TERMINAL_H

#include <stdbool.h>
#include <stdio.h>

enum colour { COLOUR_NONE, COLOUR_BOLD, COLOUR_DIM, COLOUR_RED, COLOUR_GREEN, COLOUR_YELLOW };

bool terminal_has_colours(FILE *);
/* Columns of the terminal, 40 to 100; 80 where it is none. */
unsigned terminal_columns(FILE *);

/* The sequences that begin and end a colour; "" where there are none. */
const char *terminal_begin(FILE *, enum colour);
const char *terminal_end(FILE *);

/* Prints text from elsewhere with its control characters made visible, so
 * that it cannot command the terminal. */
void terminal_text(FILE *, const char *);
/* How many columns it takes: one a character. */
unsigned terminal_width(const char *);

#endif
