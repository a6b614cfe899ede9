/* cache_json.c - see cache_json.h.
 *
 * jansson reads numbers into machine numbers and forgets how they were
 * written. So the body is read twice: once as it is, to know that it is JSON;
 * then with each number quoted, "n" before it, and each string marked by an
 * "s", so that the one cannot pretend to be the other. */
#include "gateway/cache_json.h"

#include <assert.h>
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { READ = JSON_DECODE_ANY | JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, INDEX_DIGITS = 9 };

struct cache_json {
    json_t *root; /* marked; NULL: the body was empty */
};

static bool is_number_char(char c) {
    return (c >= '0' && c <= '9') || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E';
}

/* After the opening quote; copies up to and with the closing one. */
static size_t copy_string(const struct bytes *in, size_t at, char **out) {
    for (; at < in->len; at++) {
        char c = *(*out)++ = in->at[at];
        if (c == '\\' && at + 1 < in->len)
            *(*out)++ = in->at[++at];
        else if (c == '"')
            return at + 1;
    }
    return at;
}

/* `in` is JSON; `out` has room for four times as much. */
static size_t mark(struct bytes in, char *out) {
    char *const begin = out;
    for (size_t at = 0; at < in.len;) {
        char c = in.at[at];
        if (c == '"') {
            *out++ = '"';
            *out++ = 's';
            at = copy_string(&in, at + 1, &out);
        } else if (c == '-' || (c >= '0' && c <= '9')) {
            *out++ = '"';
            *out++ = 'n';
            while (at < in.len && is_number_char(in.at[at]))
                *out++ = in.at[at++];
            *out++ = '"';
        } else if (c >= 'a' && c <= 'z') { /* true, false, null: an e is no number */
            while (at < in.len && in.at[at] >= 'a' && in.at[at] <= 'z')
                *out++ = in.at[at++];
        } else {
            *out++ = c;
            at++;
        }
    }
    return (size_t)(out - begin);
}

static bool is_json(struct bytes body) {
    json_t *plain = json_loadb(body.at, body.len, READ | JSON_DECODE_INT_AS_REAL, NULL);
    json_decref(plain);
    return plain != NULL;
}

int cache_json_create(struct cache_json **out, struct bytes body) {
    *out = NULL;
    if (body.len && !is_json(body))
        return -EBADMSG;
    struct cache_json *j = calloc(1, sizeof(*j));
    char *marked = j && body.len ? malloc(4 * body.len) : NULL;
    if (marked)
        j->root = json_loadb(marked, mark(body, marked), READ, NULL);
    free(marked);
    if (!j || (body.len && !j->root)) {
        free(j);
        return -ENOMEM;
    }
    *out = j;
    return 0;
}

void cache_json_destroy(struct cache_json *j) {
    if (j)
        json_decref(j->root);
    free(j);
}

/* ---- finding ------------------------------------------------------------- */

static json_t *member(json_t *object, struct bytes name) {
    char marked[CACHE_JSON_PATH_MAX + 2] = "s";
    assert(name.len <= CACHE_JSON_PATH_MAX);
    memcpy(marked + 1, name.at, name.len);
    return json_object_get(object, marked);
}

static json_t *item(json_t *array, struct bytes name) {
    size_t index = 0;
    if (!name.len || name.len > INDEX_DIGITS)
        return NULL;
    for (size_t i = 0; i < name.len; i++) {
        if (name.at[i] < '0' || name.at[i] > '9')
            return NULL;
        index = index * 10 + (size_t)(name.at[i] - '0');
    }
    return json_array_get(array, index);
}

int cache_json_text(const struct cache_json *j, const char *path, char **text) {
    struct bytes rest = bytes_of(path), name;
    json_t *at = j->root;
    *text = NULL;
    while (at && bytes_split(&rest, '.', &name))
        at = json_is_object(at) ? member(at, name) : json_is_array(at) ? item(at, name) : NULL;
    if (!at)
        return 0;
    *text = json_dumps(at, JSON_ENCODE_ANY | JSON_COMPACT | JSON_SORT_KEYS);
    return *text ? 0 : -ENOMEM;
}
