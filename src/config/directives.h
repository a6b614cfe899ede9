/* directives.h - the one table of everything a configuration can say.
 *
 * One row a directive: where it stands, what type of value it has, within
 * which bounds, what it is when nobody says anything, when a change takes
 * effect, and a sentence of help. Reading, checking, printing and the
 * reference page all go by the table; whatever is not in it is a mistake.
 *
 * A path names the place: "services.*.breaker.open" is the key `open` in the
 * mapping `breaker` of any service, "listen[].address" a key of any item of
 * the list `listen`. Keys below a group fill the same struct as the group. */
#ifndef SWG_CONFIG_DIRECTIVES_H
#define SWG_CONFIG_DIRECTIVES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/json_out.h"

struct directive;
struct fill;
struct node;

/* What a kind of value can do. `base` is the struct that the directive's
 * offset belongs to. */
struct directive_type {
    const char *name;     /* "duration", for the reference page */
    const char *expected; /* "a duration such as 250ms, 5s or 1h"; NULL: says it itself */
    /* False: what is wrong was reported. */
    bool (*read)(struct fill *, const struct directive *, const struct node *, void *base);
    /* Key and value, or nothing where there is nothing to tell. */
    void (*write)(struct json_out *, const struct directive *, const char *key, const void *base);
};

/* A word that may be given, and what it stands for. */
struct choice {
    const char *word; /* NULL ends a list of choices */
    uint64_t value;
    bool later; /* understood, but not supported by this version */
};

enum directive_flag {
    DIRECTIVE_RESTART = 1 << 0,      /* a change takes effect at the next start, not at reload */
    DIRECTIVE_REQUIRED = 1 << 1,     /* must be given */
    DIRECTIVE_SERVICE_ONLY = 1 << 2, /* of services, not of defaults */
    DIRECTIVE_LATER = 1 << 3,        /* not in the reference page: for a later version */
    DIRECTIVE_FILE_ONLY = 1 << 4,    /* of services: cannot be changed at run time (patch.h) */
};

struct directive {
    const char *path;
    const struct directive_type *type;
    uint32_t offset, width;   /* of the field; width 0: none of its own */
    uint64_t min, max;        /* both 0: the type's own bounds */
    const char *default_text; /* as one would write it; NULL: none */
    struct choice special;    /* a word, or a number, with a value outside the bounds */
    const struct choice *choices;
    uint32_t flags; /* enum directive_flag */
    const char *help;
    const char *example; /* NULL: the default is example enough */
};

enum { DIRECTIVES_MAX = 512 };

extern const struct directive directives[];
extern const uint32_t directive_count;

/* The row of `key` in `scope` ("" is the top); NULL if there is none. */
const struct directive *directive_find(const char *scope, struct bytes key);
/* The row with just this path, which must exist. */
const struct directive *directive_at(const char *path);
/* The last part of the path: "open". */
const char *directive_key(const struct directive *);
/* Whether it stands directly in `scope`. */
bool directive_in(const struct directive *, const char *scope);
uint32_t directive_index(const struct directive *);

#endif
