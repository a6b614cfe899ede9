/* json_value.h - a value of the file as JSON text: `static: {json: …}`. */
#ifndef SWG_CONFIG_JSON_VALUE_H
#define SWG_CONFIG_JSON_VALUE_H

#include "base/buf.h"
#include "config/fill.h"

/* Scalars without quotes are null, booleans or decimal numbers as in YAML's
 * core schema, and text otherwise. False: reported. */
bool json_value_write(struct fill *, const struct node *, struct buf *to);

#endif
