/* buf.h - bytes that grow, up to a maximum.
 *
 * A writer appends piece after piece and checks once, at the end: the first
 * append that does not fit (maximum reached, or no memory) adds nothing, sets
 * `failed`, and from then on every append is a no-op, so what is in the buffer
 * is always a clean prefix of whole pieces.
 *
 * Memory:    grown by realloc(), or, after buf_init_fixed(), the caller's own,
 *            which never grows. After any append the content is followed by a
 *            NUL that does not count in `len`.
 * Threading: the caller's. */
#ifndef SWG_BASE_BUF_H
#define SWG_BASE_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

struct buf {
    char *at;
    size_t len;
    size_t size; /* bytes behind `at`; one is kept for the NUL */
    size_t max;  /* len never exceeds it */
    bool fixed;  /* `at` is the caller's memory */
    bool failed; /* sticky: something did not fit */
};

/* Empty and without memory until the first append. */
void buf_init(struct buf *, size_t max);
/* Over the caller's memory, size >= 1: at most size - 1 bytes. */
void buf_init_fixed(struct buf *, char *memory, size_t size);
/* Empties it, clears `failed`, keeps the memory. */
void buf_clear(struct buf *);
/* Gives the memory back; the buffer is as after its init (a fixed one keeps
 * the caller's memory). */
void buf_free(struct buf *);

/* Makes room for `more` bytes (and the NUL) without adding them. */
bool buf_reserve(struct buf *, size_t more);

void buf_append_slow(struct buf *, const void *data, size_t len);
void buf_string(struct buf *, const char *string);
void buf_uint(struct buf *, uint64_t);
void buf_int(struct buf *, int64_t);
/* The shortest decimal form that reads back as the same number; finite only. */
void buf_double(struct buf *, double);
void buf_printf(struct buf *, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buf_vprintf(struct buf *, const char *format, va_list) __attribute__((format(printf, 2, 0)));

static inline void buf_append(struct buf *b, const void *data, size_t len) {
    if (b->failed || len >= b->size - b->len) {
        buf_append_slow(b, data, len);
        return;
    }
    if (len)
        memcpy(b->at + b->len, data, len);
    b->len += len;
    b->at[b->len] = '\0';
}

static inline void buf_bytes(struct buf *b, struct bytes piece) {
    buf_append(b, piece.at, piece.len);
}

static inline void buf_char(struct buf *b, char c) {
    buf_append(b, &c, 1);
}

#define buf_literal(b, literal) buf_append((b), "" literal, sizeof(literal) - 1)

/* Cuts back to an earlier length, as when a piece turned out to be unwanted.
 * Does not clear `failed`. */
void buf_truncate(struct buf *, size_t len);

static inline struct bytes buf_view(const struct buf *b) {
    return (struct bytes){b->at, b->len};
}

/* The content as a C string; "" when there is none. */
static inline const char *buf_cstr(const struct buf *b) {
    return b->len ? b->at : "";
}

#endif
