/* screen.h - the terminal as a page that is drawn over and over.
 *
 * Plain sequences that every terminal of today knows (ECMA-48, and xterm's
 * alternate screen), no library: what is needed are a dozen of them, and the same
 * program is the gateway, which should not load a terminal library to serve.
 *
 * There is one a process. Whatever ends the process gives the terminal back as it
 * was: exit(), and signals that kill, crashes too. */
#ifndef SWG_CLI_SCREEN_H
#define SWG_CLI_SCREEN_H

#include <stdbool.h>

#include "base/bytes.h"

/* Raw, alternate, without cursor. False, with errno, where stdin or stdout is no
 * terminal; ENOTSUP: a terminal that can only print lines. */
bool screen_begin(void);
/* As it was. Harmless when it is not begun; may be called from a signal handler. */
void screen_end(void);
/* Stops the process as ctrl-Z does; returns when it goes on. */
void screen_suspend(void);

void screen_size(unsigned *columns, unsigned *lines);
/* Text of lines, each with its end; at most as many as the screen has. `cursor`: shown
 * at the end of the last line. Nothing is written where nothing has changed. */
void screen_draw(struct bytes text, bool cursor);
/* The next draw writes everything. */
void screen_forget(void);

#endif
