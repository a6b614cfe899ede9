/* Growth doubles, so n appends cost O(n) copies; the last step is cut to the
 * maximum. A fixed buffer takes the same path and simply cannot grow. */
#include "base/buf.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

enum { FIRST_SIZE = 256 };

static bool grow(struct buf *, size_t wanted);

void buf_init(struct buf *b, size_t max) {
    if (max > SIZE_MAX / 2) /* so that doubling and the NUL cannot overflow */
        max = SIZE_MAX / 2;
    *b = (struct buf){.max = max};
}

void buf_init_fixed(struct buf *b, char *memory, size_t size) {
    assert(size >= 1);
    *b = (struct buf){.at = memory, .size = size, .max = size - 1, .fixed = true};
    memory[0] = '\0';
}

void buf_clear(struct buf *b) {
    b->failed = false;
    buf_truncate(b, 0);
}

void buf_free(struct buf *b) {
    if (!b->fixed) {
        free(b->at);
        b->at = NULL;
        b->size = 0;
    }
    buf_clear(b);
}

bool buf_reserve(struct buf *b, size_t more) {
    if (b->failed)
        return false;
    if (more > b->max - b->len || (more >= b->size - b->len && !grow(b, b->len + more + 1))) {
        b->failed = true;
        return false;
    }
    return true;
}

void buf_append_slow(struct buf *b, const void *data, size_t len) {
    if (len == 0 || !buf_reserve(b, len))
        return;
    memcpy(b->at + b->len, data, len);
    b->len += len;
    b->at[b->len] = '\0';
}

void buf_string(struct buf *b, const char *string) {
    buf_append(b, string, strlen(string));
}

/* By hand, because log lines and metrics are mostly integers and snprintf is
 * an order of magnitude slower. */
void buf_uint(struct buf *b, uint64_t n) {
    char digits[20];
    size_t at = sizeof(digits);
    do
        digits[--at] = (char)('0' + n % 10);
    while (n /= 10);
    buf_append(b, digits + at, sizeof(digits) - at);
}

void buf_int(struct buf *b, int64_t n) {
    char digits[21];
    size_t at = sizeof(digits);
    uint64_t rest = n < 0 ? -(uint64_t)n : (uint64_t)n;
    do
        digits[--at] = (char)('0' + rest % 10);
    while (rest /= 10);
    if (n < 0)
        digits[--at] = '-';
    buf_append(b, digits + at, sizeof(digits) - at); /* one piece: whole or not at all */
}

/* 15 digits are enough for most numbers people write (0.1 stays 0.1), 17 are
 * enough for all. The program never leaves the C locale. */
void buf_double(struct buf *b, double n) {
    char text[32];
    snprintf(text, sizeof(text), "%.15g", n);
    if (strtod(text, NULL) != n)
        snprintf(text, sizeof(text), "%.17g", n);
    buf_string(b, text);
}

void buf_printf(struct buf *b, const char *format, ...) {
    va_list args;
    va_start(args, format);
    buf_vprintf(b, format, args);
    va_end(args);
}

void buf_vprintf(struct buf *b, const char *format, va_list args) {
    if (b->failed)
        return;
    va_list again;
    va_copy(again, args);
    size_t room = b->size - b->len;
    int len = vsnprintf(room ? b->at + b->len : NULL, room, format, args);
    if (len < 0) {
        b->failed = true;
    } else if ((size_t)len < room) {
        b->len += (size_t)len;
    } else if (buf_reserve(b, (size_t)len)) {
        vsnprintf(b->at + b->len, b->size - b->len, format, again);
        b->len += (size_t)len;
    }
    va_end(again);
    if (b->failed && b->size)
        b->at[b->len] = '\0'; /* the first try may have written a part */
}

void buf_truncate(struct buf *b, size_t len) {
    assert(len <= b->len);
    b->len = len;
    if (b->size)
        b->at[len] = '\0';
}

static bool grow(struct buf *b, size_t wanted) {
    if (b->fixed)
        return false;
    size_t size = b->size ? b->size * 2 : FIRST_SIZE;
    if (size < wanted)
        size = wanted;
    if (size > b->max + 1)
        size = b->max + 1; /* wanted <= max + 1, which the caller checked */
    char *at = realloc(b->at, size);
    if (!at)
        return false;
    b->at = at;
    b->size = size;
    return true;
}
