/* json_out.h - writes JSON into a buf, piece by piece.
 *
 * Commas, colons and escaping are the writer's; the caller opens and closes
 * objects and arrays in order, which is asserted (a wrong order is a bug of
 * the program, never of its input). Strings may hold any bytes: what is not
 * UTF-8 becomes U+FFFD. Errors are the buf's: look at its `failed` once, at
 * the end. Threading: the caller's. No memory of its own. */
#ifndef SWG_BASE_JSON_OUT_H
#define SWG_BASE_JSON_OUT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/bytes.h"

enum { JSON_DEPTH_MAX = 32 };

/* libjansson, which reads JSON, has functions of these names too. The linker
 * sees other ones for ours, so that nobody calls the wrong one; a file still
 * cannot include both headers. */
#define JSON_SYMBOL(name) __asm__("swg_json_" name)

struct json_out {
    struct buf *to;
    unsigned depth;
    uint32_t is_object; /* bit d: level d is an object */
    bool comma;         /* the next member needs one before it */
    bool after_key;     /* a key was written; its value must follow */
};

void json_init(struct json_out *, struct buf *to);
/* Everything that was opened is closed; asserts it. False if the buf failed. */
bool json_done(const struct json_out *);

void json_object(struct json_out *) JSON_SYMBOL("object");
void json_object_end(struct json_out *);
void json_array(struct json_out *) JSON_SYMBOL("array");
void json_array_end(struct json_out *);

/* Inside an object: the key of the value that comes next. */
void json_key(struct json_out *, const char *key);
void json_key_bytes(struct json_out *, struct bytes key);

/* Values: in an array, after a key, or once at the top. */
void json_string(struct json_out *, const char *) JSON_SYMBOL("string"); /* NULL writes null */
void json_bytes(struct json_out *, struct bytes);
void json_int(struct json_out *, int64_t);
void json_uint(struct json_out *, uint64_t);
void json_double(struct json_out *, double); /* shortest form that reads back; NaN, inf: null */
void json_fixed(struct json_out *, double, int decimals); /* 0.25 with 3: 0.250 */
void json_bool(struct json_out *, bool);
void json_null(struct json_out *) JSON_SYMBOL("null");
/* Already JSON, one value, taken on trust. */
void json_raw(struct json_out *, struct bytes);

/* Key and value in one. */
void json_key_string(struct json_out *, const char *key, const char *);
void json_key_int(struct json_out *, const char *key, int64_t);
void json_key_uint(struct json_out *, const char *key, uint64_t);
void json_key_double(struct json_out *, const char *key, double);
void json_key_bool(struct json_out *, const char *key, bool);
void json_key_null(struct json_out *, const char *key);
void json_key_object(struct json_out *, const char *key);
void json_key_array(struct json_out *, const char *key);

/* The inside of a JSON string, without its quotes. */
void json_escape(struct buf *to, struct bytes);

/* How many bytes at p (up to end) are one well-formed UTF-8 character
 * (RFC 3629: no overlong forms, no surrogates, at most U+10FFFF); 0 if none. */
unsigned utf8_length(const char *p, const char *end);
/* Where to cut a longer text to at most `len` bytes without splitting a
 * character; text[len] must be readable. */
size_t utf8_cut(const char *text, size_t len);

#endif
