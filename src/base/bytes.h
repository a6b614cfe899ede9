/* bytes.h - a view of bytes that somebody else owns.
 *
 * Passed by value. Not terminated by NUL; may hold any byte. */
#ifndef SWG_BASE_BYTES_H
#define SWG_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

struct bytes {
    const char *at;
    size_t len;
};

/* A view of a string literal. */
#define BYTES(literal) ((struct bytes){"" literal, sizeof(literal) - 1})

static inline struct bytes bytes_of(const char *string) {
    return (struct bytes){string, string ? strlen(string) : 0};
}

static inline bool bytes_equal(struct bytes a, struct bytes b) {
    return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

/* Equal but for the case of ASCII letters. */
static inline bool bytes_equal_nocase(struct bytes a, struct bytes b) {
    return a.len == b.len && (a.len == 0 || strncasecmp(a.at, b.at, a.len) == 0);
}

static inline bool bytes_starts(struct bytes all, struct bytes prefix) {
    return all.len >= prefix.len && (prefix.len == 0 || memcmp(all.at, prefix.at, prefix.len) == 0);
}

/* Without spaces and tabs at both ends. */
static inline struct bytes bytes_trim(struct bytes b) {
    while (b.len && (b.at[0] == ' ' || b.at[0] == '\t')) {
        b.at++;
        b.len--;
    }
    while (b.len && (b.at[b.len - 1] == ' ' || b.at[b.len - 1] == '\t'))
        b.len--;
    return b;
}

/* Takes the part before the first `separator` off the front of *rest; false
 * when *rest is empty. "a,b" gives "a" then "b"; "" gives nothing. */
static inline bool bytes_split(struct bytes *rest, char separator, struct bytes *part) {
    if (!rest->len)
        return false;
    const char *end = memchr(rest->at, separator, rest->len);
    size_t len = end ? (size_t)(end - rest->at) : rest->len;
    *part = (struct bytes){rest->at, len};
    rest->at += len + (end != NULL);
    rest->len -= len + (end != NULL);
    return true;
}

#endif
