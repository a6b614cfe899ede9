/* expand.h - ${VAR}, ${VAR:-default} and file:/path in values.
 *
 * Replaced in values only, after YAML has been read, so that no variable can
 * change the structure of the file. "$${" stands for "${". */
#ifndef SWG_CONFIG_EXPAND_H
#define SWG_CONFIG_EXPAND_H

#include "base/buf.h"
#include "base/bytes.h"

enum { EXPANDED_MAX = 1 << 20, SECRET_MAX = 64 << 10 };

enum expand_problem {
    EXPAND_GOOD,
    EXPAND_UNSET,     /* the variable is not in the environment; `name` tells which */
    EXPAND_MALFORMED, /* no closing brace, or no name */
    EXPAND_TOO_LARGE,
};
/* Appends to `to`. `name` gets the variable that a problem is about. */
enum expand_problem expand_variables(struct bytes, struct buf *to, struct bytes *name);

/* The content of a regular file without the line end at its end. 0, or a
 * negative errno (-EFBIG: larger than SECRET_MAX). */
int expand_file(const char *path, struct buf *to);

#endif
