/* template_fill.h - text with holes (gateway/template.h) in a configuration. */
#ifndef SWG_CONFIG_TEMPLATE_FILL_H
#define SWG_CONFIG_TEMPLATE_FILL_H

#include "config/fill.h"
#include "gateway/template.h"

/* `text` lives in the options. NULL: what is wrong was reported, at the scalar
 * in `n` that has it, or at its place in `file`. */
const struct template *fill_template(struct fill *, const struct node *n, struct bytes text,
                                     enum template_as, const char *file);

/* A path and perhaps a query, with holes. False: reported. *filled is NULL
 * where there are none. */
bool fill_target(struct fill *, const struct directive *, const struct node *, const char **text,
                 const struct template **filled);

#endif
