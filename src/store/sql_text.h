/* sql_text.h - the named parameters of a statement, and what it begins with.
 *
 * A configuration writes `… WHERE id = :user`; databases count: ?1, $1. What
 * stands in quotes and comments is left alone, as is ::type, so a value never
 * becomes part of the text. A name may come twice and is one parameter.
 *
 * Pure; memory is the caller's arena. */
#ifndef SWG_STORE_SQL_TEXT_H
#define SWG_STORE_SQL_TEXT_H

#include "base/arena.h"
#include "base/bytes.h"
#include "store/sql.h"

enum { SQL_TEXT_MAX = 64 * 1024, SQL_NAME_MAX = 64 };

struct sql_text {
    struct bytes text; /* for the database; followed by a NUL */
    uint32_t count;
    const char *names[SQL_PARAMETERS_MAX]; /* in the order of their numbers */
};

/* Exactly one statement, that reads (SELECT, WITH, VALUES, TABLE), or, where
 * `writable`, that changes rows. 0, -ENOMEM, or -EINVAL with the reason and
 * the place, a byte of `text`. */
int sql_text_read(struct sql_text *out, struct arena *, enum sql_dialect, bool writable,
                  struct bytes text, size_t *at, char *why, size_t why_size);

#endif
