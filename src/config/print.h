/* print.h - the rows of a scope as members of a JSON object. */
#ifndef SWG_CONFIG_PRINT_H
#define SWG_CONFIG_PRINT_H

#include "base/json_out.h"

/* Every directive directly in the scope, in the order of the table. */
void print_scope(struct json_out *, const char *scope, const void *base);

#endif
