/* terminal.c - see terminal.h. */
#include "cli/terminal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

bool terminal_has_colours(FILE *to) {
    const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
    if ((no && *no) || !term || !strcmp(term, "dumb"))
        return false;
    return isatty(fileno(to));
}

unsigned terminal_columns(FILE *to) {
    struct winsize size;
    if (!isatty(fileno(to)) || ioctl(fileno(to), TIOCGWINSZ, &size) < 0 || !size.ws_col)
        return 80;
    return size.ws_col < 40 ? 40 : size.ws_col > 100 ? 100 : size.ws_col;
}

const char *terminal_begin(FILE *to, enum colour colour) {
    static const char *const sequences[] = {
        [COLOUR_NONE] = "",        [COLOUR_BOLD] = "\033[1m",   [COLOUR_DIM] = "\033[2m",
        [COLOUR_RED] = "\033[31m", [COLOUR_GREEN] = "\033[32m", [COLOUR_YELLOW] = "\033[33m",
    };
    return terminal_has_colours(to) ? sequences[colour] : "";
}

const char *terminal_end(FILE *to) {
    return terminal_has_colours(to) ? "\033[0m" : "";
}

/* The C1 controls, U+0080 to U+009F, are C2 80 to C2 9F in UTF-8. */
void terminal_text(FILE *to, const char *text) {
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        if (*p < 0x20 || *p == 0x7f)
            fprintf(to, "\\x%02x", *p);
        else if (*p == 0xc2 && p[1] >= 0x80 && p[1] <= 0x9f)
            fprintf(to, "\\x%02x", *++p);
        else
            fputc(*p, to);
    }
}

unsigned terminal_width(const char *text) {
    unsigned width = 0;
    for (; *text; text++)
        width += (*text & 0xc0) != 0x80;
    return width;
}
