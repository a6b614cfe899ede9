/* template.h - text with holes that values of a request fill.
 *
 *   {{path.user_id}}   {{query.limit|10}}   {{body.user.name}}   {{header.X-Account}}
 *
 * What stands in a hole is a value's name (value.h); behind a bar, what is
 * taken where the request has none. {{{{ stands for the two characters {{.
 *
 * A template knows what it is part of, and a value goes in so that it stays a
 * value there, whatever it holds:
 *
 *   TEXT    as it is
 *   JSON    inside a string: escaped. A string that is nothing but a hole becomes
 *           the value in its own type: a number of the body stays one, what is
 *           missing is null
 *   MARKUP  & < > " ' as references (HTML, XML)
 *   FIELD   no control bytes: the whole field is left out then
 *   PATH    percent-encoded, and no segment becomes empty, "." or ".."
 *
 * Threading: immutable once compiled. Memory: the arena it is compiled into;
 * literals point into the text, which must live as long. */
#ifndef SWG_GATEWAY_TEMPLATE_H
#define SWG_GATEWAY_TEMPLATE_H

#include "base/arena.h"
#include "base/buf.h"
#include "gateway/value.h"

enum template_as { TEMPLATE_TEXT, TEMPLATE_JSON, TEMPLATE_MARKUP, TEMPLATE_FIELD, TEMPLATE_PATH };

enum {
    TEMPLATE_HOLES_MAX = 500,
    TEMPLATE_HOLE_MAX = 1024, /* bytes between the braces */
    TEMPLATE_RENDERED_MAX = 2 * 1024 * 1024,
};

struct template_piece {
    struct bytes text; /* a literal; at NULL: a hole */
    struct value_source from;
    bool whole; /* JSON: in place of the string */
};

struct template {
    enum template_as as;
    uint32_t count;
    const struct template_piece *pieces;
    bool of_caller;  /* some value is the caller's own words */
    bool needs_body; /* some value is in the request's body */
};

struct template_fault {
    size_t offset; /* of the hole, in the text */
    struct bytes hole;
    const char *expected;
};

/* Whether the text has holes at all (or doubled braces). */
bool template_is_needed(struct bytes text);
/* 0; -ENOMEM; -EINVAL: see the fault. */
int template_compile(struct template *, enum template_as, struct bytes text, struct arena *,
                     struct template_fault *);

typedef struct value template_reader(void *arg, const struct value_source *);

/* False, with anything in `to`: a value cannot stand where it would (FIELD,
 * PATH), or the result is too long for `to`. */
bool template_render(const struct template *, template_reader *, void *arg, struct buf *to);

#endif
