/* json_in.h - reads JSON that came over HTTP.
 *
 * JSON is YAML, so the reader of configurations serves; its bounds hold here
 * too (1 MiB, 100,000 values). Accessors are tolerant: what is not there, or
 * of another kind, reads as the fallback.
 *
 * Memory: everything that was read goes with json_in_free(). */
#ifndef SWG_CLI_JSON_IN_H
#define SWG_CLI_JSON_IN_H

#include "config/document.h"
#include "config/report.h"

struct json_in {
    struct arena arena;
    struct config_report report;
    const struct node *root; /* NULL: not JSON */
};

/* False, with what is wrong in the report, when it is not JSON. Call
 * json_in_free() in any case. */
bool json_in_read(struct json_in *, struct bytes text);
void json_in_free(struct json_in *);

/* The member of an object; NULL if there is none, or null. `map` may be NULL. */
const struct node *json_in_get(const struct node *map, const char *key);
/* Its text (numbers and true too); NULL if it is none. */
const char *json_in_text(const struct node *map, const char *key);
const char *json_in_text_or(const struct node *map, const char *key, const char *fallback);
double json_in_number(const struct node *map, const char *key, double fallback);
bool json_in_true(const struct node *map, const char *key);

#endif
