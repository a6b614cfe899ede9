/* command_body.c - see command_body.h. */
#include "admin/command_body.h"

#include <jansson.h>
#include <string.h>

struct member {
    const char *key;
    size_t max;
    char *to;
};

static bool take(const struct member *members, size_t count, const char *key, const json_t *value,
                 struct buf *wrong) {
    for (size_t i = 0; i < count; i++) {
        const struct member *m = &members[i];
        if (strcmp(m->key, key) != 0)
            continue;
        if (!json_is_string(value) || json_string_length(value) > m->max) {
            buf_printf(wrong, "%s is a string of at most %zu bytes", key, m->max);
            return false;
        }
        memcpy(m->to, json_string_value(value), json_string_length(value) + 1);
        return true;
    }
    buf_printf(wrong, "\"%.64s\" is not known here; expected reason, author, for or endpoint", key);
    return false;
}

bool command_body_read(struct bytes text, struct command_body *out, struct buf *wrong) {
    const struct member members[] = {{"reason", BODY_REASON_MAX, out->reason},
                                     {"author", BODY_AUTHOR_MAX, out->author},
                                     {"for", BODY_FOR_MAX, out->duration},
                                     {"endpoint", BODY_ENDPOINT_MAX, out->endpoint}};
    const char *key;
    json_t *value;
    json_error_t error = {.text = ""};
    *out = (struct command_body){0};
    if (!text.len)
        return true;
    json_t *root = json_loadb(text.at, text.len, JSON_REJECT_DUPLICATES, &error);
    bool ok = json_is_object(root);
    if (!ok)
        buf_printf(wrong, "the body is not a JSON object%s%s", *error.text ? ": " : "", error.text);
    if (ok) {
        json_object_foreach(root, key, value) {
            ok = ok && take(members, sizeof members / sizeof *members, key, value, wrong);
        }
    }
    json_decref(root);
    return ok;
}
