/* patch_body.c - see patch_body.h. */
#include "admin/patch_body.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEY_MAX = 64, PATH_MAX_BYTES = 96, VALUE_DEPTH_MAX = 16 };

static bool take_object(struct patch_body *, const json_t *, const char *path, unsigned depth,
                        struct buf *wrong);

/* ---- what anybody may have sent ------------------------------------------------ */

static bool key_is_good(const char *key) {
    size_t len = strlen(key);
    for (size_t i = 0; i < len; i++) {
        char c = key[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-'))
            return false;
    }
    return len > 0 && len <= KEY_MAX;
}

static unsigned depth_of(const json_t *value, unsigned limit) {
    unsigned deepest = 0;
    size_t i;
    const char *key;
    json_t *member;
    if (!limit)
        return 1;
    if (json_is_array(value)) {
        json_array_foreach(value, i, member) {
            unsigned d = depth_of(member, limit - 1);
            deepest = d > deepest ? d : deepest;
        }
    } else if (json_is_object(value)) {
        json_object_foreach((json_t *)value, key, member) {
            unsigned d = depth_of(member, limit - 1);
            deepest = d > deepest ? d : deepest;
        }
    }
    return deepest + 1;
}

/* ---- members --------------------------------------------------------------------- */

static bool add(struct patch_body *b, const char *path, const json_t *value, struct buf *wrong) {
    struct patch_member *m = &b->members[b->count];
    if (b->count == PATCH_BODY_KEYS_MAX) {
        buf_printf(wrong, "too many keys; at most %d", PATCH_BODY_KEYS_MAX);
        return false;
    }
    if (depth_of(value, VALUE_DEPTH_MAX) > VALUE_DEPTH_MAX) {
        buf_printf(wrong, "%s is nested too deeply", path);
        return false;
    }
    m->key = strdup(path);
    m->value = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    b->count++; /* whatever is there is freed */
    if (!m->key || !m->value) {
        buf_string(wrong, "out of memory");
        return false;
    }
    return true;
}

/* An empty object is a value: it makes a mapping of what was none. */
static bool take(struct patch_body *b, const char *path, const json_t *value, unsigned depth,
                 struct buf *wrong) {
    if (!json_is_object(value) || json_object_size(value) == 0)
        return add(b, path, value, wrong);
    if (depth == PATCH_BODY_DEPTH_MAX) {
        buf_printf(wrong, "%s is nested too deeply", path);
        return false;
    }
    return take_object(b, value, path, depth + 1, wrong);
}

static bool take_object(struct patch_body *b, const json_t *object, const char *path,
                        unsigned depth, struct buf *wrong) {
    const char *key;
    json_t *value;
    bool ok = true;
    json_object_foreach((json_t *)object, key, value) {
        char inner[PATH_MAX_BYTES];
        if (ok && !key_is_good(key)) {
            buf_printf(wrong, "\"%.64s\"%s%s is no key", key, *path ? " in " : "", path);
            ok = false;
        }
        int len = snprintf(inner, sizeof inner, "%s%s%s", path, *path ? "." : "", key);
        if (ok && (len < 0 || (size_t)len >= sizeof inner)) {
            buf_printf(wrong, "the keys below %s are too long", path);
            ok = false;
        }
        ok = ok && take(b, inner, value, depth, wrong);
    }
    return ok;
}

static bool take_word(json_t *root, const char *key, size_t max, char *to, struct buf *wrong) {
    const json_t *value = json_object_get(root, key);
    if (!value)
        return true;
    if (!json_is_string(value) || json_string_length(value) > max) {
        buf_printf(wrong, "%s is a string of at most %zu bytes", key, max);
        return false;
    }
    memcpy(to, json_string_value(value), json_string_length(value) + 1);
    json_object_del(root, key);
    return true;
}

/* The object without author and reason; NULL: something is wrong. */
static json_t *open_body(struct bytes text, struct patch_body *b, struct buf *wrong) {
    json_error_t error = {.text = ""};
    *b = (struct patch_body){.count = 0};
    json_t *root = json_loadb(text.len ? text.at : "", text.len, JSON_REJECT_DUPLICATES, &error);
    if (!json_is_object(root)) {
        buf_printf(wrong, "the body is not a JSON object%s%s", *error.text ? ": " : "", error.text);
    } else if (take_word(root, "author", BODY_AUTHOR_MAX, b->author, wrong) &&
               take_word(root, "reason", BODY_REASON_MAX, b->reason, wrong)) {
        return root;
    }
    json_decref(root);
    return NULL;
}

bool patch_body_read(struct bytes text, struct patch_body *b, struct buf *wrong) {
    json_t *root = open_body(text, b, wrong);
    bool ok = root && take_object(b, root, "", 0, wrong);
    json_decref(root);
    return ok;
}

bool patch_body_read_whole(struct bytes text, const char *key, const char *needed,
                           struct patch_body *b, struct buf *wrong) {
    json_t *root = open_body(text, b, wrong);
    bool ok = root != NULL;
    if (ok && !json_is_object(json_object_get(root, needed))) {
        buf_printf(wrong, "the body has no object \"%s\"", needed);
        ok = false;
    }
    ok = ok && add(b, key, root, wrong);
    json_decref(root);
    return ok;
}

void patch_body_free(struct patch_body *b) {
    for (uint32_t i = 0; i < b->count; i++) {
        free(b->members[i].key);
        free(b->members[i].value);
    }
    b->count = 0;
}
