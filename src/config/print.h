/* print.h - the rows of a scope as members of a JSON object. */
#ifndef SWG_CONFIG_PRINT_H
#define SWG_CONFIG_PRINT_H

#include "base/json_out.h"

struct directive;

/* Every directive directly in the scope, in the order of the table. */
void print_scope(struct json_out *, const char *scope, const void *base);

/* Whether the directive is left out because `base`, the service or the listener that it
 * is a key of, is a tcp one; see tcp.c. */
bool tcp_has_not(const struct directive *, const void *base);

#endif
