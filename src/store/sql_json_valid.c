/* sql_json_valid.c - whether text is JSON. libjansson's word on it; a file of
 * its own, since its header and base/json_out.h cannot be in one. */
#include <jansson.h>

#include "base/bytes.h"

bool sql_json_is_valid(struct bytes);

bool sql_json_is_valid(struct bytes text) {
    json_t *value = json_loadb(text.at, text.len,
                               JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, NULL);
    json_decref(value);
    return value;
}
