/* paint.c - see paint.h. */
#include "cli/paint.h"

#include <stdarg.h>
#include <stdint.h>
#include <wchar.h>

#include "base/json_out.h"

/* ---- characters ------------------------------------------------------------------ */

static uint32_t decode(const char *p, unsigned len) {
    static const unsigned char lead[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    uint32_t c = (unsigned char)p[0] & lead[len];
    for (unsigned i = 1; i < len; i++)
        c = c << 6 | ((unsigned char)p[i] & 0x3f);
    return c;
}

static bool is_invisible(uint32_t c) {
    return (c >= 0x200b && c <= 0x200f) || (c >= 0x202a && c <= 0x202e) ||
           (c >= 0x2060 && c <= 0x206f) || c == 0xfeff || c == 0xad;
}

/* The next character as it is shown; returns its bytes in the text. */
static unsigned next(const char *at, const char *end, struct bytes *shown, unsigned *width) {
    unsigned len = utf8_length(at, end);
    uint32_t c = len ? decode(at, len) : 0;
    *width = 1;
    *shown = BYTES("?");
    if (!len)
        return 1;
    if (is_invisible(c)) {
        *width = 0;
        *shown = (struct bytes){0};
        return len;
    }
    int columns = c < 0x20 || (c >= 0x7f && c < 0xa0) ? -1 : wcwidth((wchar_t)c);
    if (columns >= 0) {
        *width = (unsigned)columns;
        *shown = (struct bytes){at, len};
    }
    return len;
}

unsigned paint_width(const char *text) {
    const char *end = text + strlen(text);
    unsigned sum = 0;
    while (text < end) {
        struct bytes shown;
        unsigned width;
        text += next(text, end, &shown, &width);
        sum += width;
    }
    return sum;
}

/* ---- pieces of a line -------------------------------------------------------------- */

static void begin_colour(struct paint *p, enum colour colour) {
    static const char *const sequences[] = {
        [COLOUR_NONE] = "",        [COLOUR_BOLD] = "\033[1m",   [COLOUR_DIM] = "\033[2m",
        [COLOUR_RED] = "\033[31m", [COLOUR_GREEN] = "\033[32m", [COLOUR_YELLOW] = "\033[33m",
    };
    if (!p->colours)
        return;
    if (p->marked)
        buf_literal(p->to, "\033[7m");
    buf_string(p->to, sequences[colour]);
}

static void end_colour(struct paint *p, enum colour colour) {
    if (p->colours && (colour || p->marked))
        buf_literal(p->to, "\033[0m");
}

static void blanks(struct paint *p, unsigned count) {
    for (; count && p->column < p->columns; count--, p->column++)
        buf_char(p->to, ' ');
}

/* What fits into `room`, with an ellipsis where that is not all. */
static void characters(struct paint *p, const char *text, unsigned room) {
    const char *end = text + strlen(text);
    bool cut = paint_width(text) > room;
    unsigned left = cut && room ? room - 1 : room;
    while (text < end) {
        struct bytes shown;
        unsigned width, len = next(text, end, &shown, &width);
        if (width > left)
            break;
        buf_bytes(p->to, shown);
        p->column += width;
        left -= width;
        text += len;
    }
    if (cut && room) {
        buf_literal(p->to, "…");
        p->column++;
    }
}

static unsigned room_of(const struct paint *p) {
    return p->columns > p->column ? p->columns - p->column : 0;
}

void paint_text(struct paint *p, enum colour colour, const char *text) {
    begin_colour(p, colour);
    characters(p, text, room_of(p));
    end_colour(p, colour);
}

void paint_format(struct paint *p, enum colour colour, const char *format, ...) {
    char text[1024];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    paint_text(p, colour, text);
}

void paint_cell(struct paint *p, enum colour colour, unsigned width, bool right, const char *text) {
    unsigned room = room_of(p), taken = paint_width(text);
    width = width < room ? width : room;
    unsigned fill = taken < width ? width - taken : 0;
    begin_colour(p, colour);
    blanks(p, right ? fill : 0);
    unsigned until = p->column + width - (right ? fill : 0);
    characters(p, text, until - p->column);
    blanks(p, until > p->column ? until - p->column : 0);
    end_colour(p, colour);
}

void paint_until(struct paint *p, unsigned column) {
    begin_colour(p, COLOUR_NONE);
    blanks(p, column > p->column ? column - p->column : 0);
    end_colour(p, COLOUR_NONE);
}

void paint_end_line(struct paint *p) {
    if (p->marked)
        paint_until(p, p->columns);
    while (!p->marked && p->to->len && p->to->at[p->to->len - 1] == ' ')
        buf_truncate(p->to, p->to->len - 1);
    buf_char(p->to, '\n');
    p->column = 0;
    p->marked = false;
}
