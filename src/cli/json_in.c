/* json_in.c - see json_in.h. */
#include "cli/json_in.h"

#include <stdlib.h>

bool json_in_read(struct json_in *in, struct bytes text) {
    arena_init(&in->arena, NULL, 0, (size_t)64 << 20);
    config_report_init(&in->report);
    in->root = document_read(&in->arena, text, &in->report);
    if (in->report.error_count)
        in->root = NULL;
    return in->root != NULL;
}

void json_in_free(struct json_in *in) {
    arena_reset(&in->arena);
    config_report_free(&in->report);
    in->root = NULL;
}

const struct node *json_in_get(const struct node *map, const char *key) {
    const struct node *found = map && map->kind == NODE_MAP ? node_get(map, key) : NULL;
    return found && !node_is_null(found) ? found : NULL;
}

const char *json_in_text(const struct node *map, const char *key) {
    const struct node *n = json_in_get(map, key);
    return n && n->kind == NODE_SCALAR ? n->text.at : NULL;
}

const char *json_in_text_or(const struct node *map, const char *key, const char *fallback) {
    const char *text = json_in_text(map, key);
    return text ? text : fallback;
}

double json_in_number(const struct node *map, const char *key, double fallback) {
    const char *text = json_in_text(map, key);
    char *end;
    if (!text || !*text)
        return fallback;
    double number = strtod(text, &end);
    return *end ? fallback : number;
}

bool json_in_true(const struct node *map, const char *key) {
    const char *text = json_in_text(map, key);
    return text && !strcmp(text, "true");
}
