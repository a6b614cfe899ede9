/* json_walk.h - goes through JSON that comes in pieces, and tells of each value
 * where it stands. For looking into messages that pass by: nothing is kept but
 * the path, and a text that is no JSON does no harm, only what is found in it
 * means nothing.
 *
 * A path is made of the keys that were named in advance; elements of an array
 * stand where the array stands: in {"a": [{"b": 1}]} the 1 is at a, b.
 *
 * No allocation; memory is bounded whatever comes. */
#ifndef SWG_WIRE_JSON_WALK_H
#define SWG_WIRE_JSON_WALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

enum {
    JSON_WALK_KEYS = 8,   /* objects in each other whose keys are told */
    JSON_WALK_DEPTH = 64, /* deeper than that nothing is told any more */
    JSON_WALK_TEXT = 32,
};

enum json_walk_kind {
    JSON_WALK_STRING,
    JSON_WALK_WORD,      /* a number, true, false, null */
    JSON_WALK_CONTAINER, /* an object or array with something in it */
    JSON_WALK_EMPTY,     /* one with nothing in it */
};

/* `text`: how a string or word begins, as it is written; empty only if it is.
 * `path` is 8 bits a key, the outermost lowest; see json_walk_path(). */
typedef void json_walk_fn(void *who, uint64_t path, enum json_walk_kind, struct bytes text);

struct json_walk {
    const char *const *keys; /* known ones; NULL ends; a key's number is its place, from 1 */
    json_walk_fn *on_value;
    void *who;
    uint8_t state;
    bool lost;                     /* too deep, or no JSON */
    bool is_key;                   /* the string that is read */
    bool fresh;                    /* the container has had nothing yet */
    uint8_t depth;                 /* containers that are open */
    uint8_t objects;               /* of them objects */
    uint64_t arrays;               /* a bit for each open container: it is an array */
    uint8_t path[JSON_WALK_DEPTH]; /* the key under way in each open object */
    uint8_t text_len;
    char text[JSON_WALK_TEXT];
};

void json_walk_init(struct json_walk *, const char *const *keys, json_walk_fn *, void *who);
/* Forgets what came; a new text begins. */
void json_walk_reset(struct json_walk *);
void json_walk_take(struct json_walk *, const char *data, size_t len);
/* The text ends here: a word that stands alone is told. */
void json_walk_end(struct json_walk *);

/* The path of these keys, 0 for "none any more". */
static inline uint64_t json_walk_path(uint8_t a, uint8_t b, uint8_t c, uint8_t d) {
    return a | (uint64_t)b << 8 | (uint64_t)c << 16 | (uint64_t)d << 24;
}

#endif
