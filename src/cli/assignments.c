/* assignments.c - see assignments.h. */
#include "cli/assignments.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static json_t *read_value(const char *text) {
    json_t *value = json_loads(text, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
    return value ? value : json_string(text);
}

/* The object that has the last key of the path, which is made where it is not
 * there; NULL: something of another kind is in the way. */
static json_t *walk(json_t *object, char *path, char **last) {
    char *dot;
    while (object && (dot = strchr(path, '.')) != NULL) {
        *dot = '\0';
        json_t *inner = json_object_get(object, path);
        if (!inner) {
            inner = json_object();
            if (json_object_set_new(object, path, inner) < 0)
                return NULL;
        }
        object = json_is_object(inner) ? inner : NULL;
        path = dot + 1;
    }
    *last = path;
    return object;
}

static bool assign(json_t *root, const char *word, struct buf *wrong) {
    const char *equals = strchr(word, '=');
    if (!equals || equals == word) {
        buf_printf(wrong, "\"%s\" is not key=value, as in breaker.failures=8", word);
        return false;
    }
    char *path = strndup(word, (size_t)(equals - word)), *last = NULL;
    json_t *object = path ? walk(root, path, &last) : NULL;
    json_t *value = read_value(equals + 1);
    bool ok = value != NULL && object && *last && !json_object_get(object, last) &&
              json_object_set(object, last, value) == 0;
    if (!value)
        buf_printf(wrong, "\"%s\" is not UTF-8", word);
    else if (!ok)
        buf_printf(wrong, "\"%s\" does not go together with the others", word);
    json_decref(value);
    free(path);
    return ok;
}

static bool finish(const struct assignments *a, json_t *root, struct buf *body) {
    bool ok = json_object_set_new(root, "author", json_string(a->author)) == 0;
    if (a->reason)
        ok = json_object_set_new(root, "reason", json_string(a->reason)) == 0 && ok;
    char *text = ok ? json_dumps(root, JSON_COMPACT) : NULL;
    if (text)
        buf_string(body, text);
    free(text);
    return text != NULL && !body->failed;
}

bool assignments_write(const struct assignments *a, struct buf *body, struct buf *wrong) {
    json_t *root = json_object();
    json_t *inner = a->below ? json_object() : json_incref(root);
    bool ok = root && inner;
    if (ok && a->below)
        ok = json_object_set(root, a->below, inner) == 0;
    for (unsigned i = 0; ok && i < a->count; i++)
        ok = assign(inner, a->words[i], wrong);
    if (ok && !finish(a, root, body)) {
        buf_string(wrong, "an author or reason is not UTF-8");
        ok = false;
    }
    json_decref(inner);
    json_decref(root);
    return ok;
}
