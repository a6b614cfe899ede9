/* value.c - see value.h. */
#include "gateway/value.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "gateway/exchange.h"
#include "gateway/route.h"

enum { BODY_DEPTH_MAX = 64 };

/* ---- decoding --------------------------------------------------------------- */

static int hex(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool is_plain(struct bytes in, bool plus) {
    return !in.len || (!memchr(in.at, '%', in.len) && !(plus && memchr(in.at, '+', in.len)));
}

bool value_decode(struct bytes in, bool plus, struct arena *arena, struct bytes *out) {
    *out = in;
    if (is_plain(in, plus))
        return true;
    char *to = arena_alloc(arena, in.len);
    size_t n = 0;
    if (!to)
        return false;
    for (size_t i = 0; i < in.len; i++) {
        char c = in.at[i];
        if (c == '%') {
            int high = i + 2 < in.len ? hex(in.at[i + 1]) : -1;
            int low = high >= 0 ? hex(in.at[i + 2]) : -1;
            if (low < 0 || (high == 0 && low == 0))
                return false;
            c = (char)(high << 4 | low);
            i += 2;
        } else if (c == '+' && plus) {
            c = ' ';
        }
        to[n++] = c;
    }
    *out = (struct bytes){to, n};
    return true;
}

/* ---- path, query, fields ------------------------------------------------------- */

static struct value text_value(struct bytes text) {
    if (!text.at || text.len > VALUE_BYTES_MAX)
        return (struct value){VALUE_MISSING};
    return (struct value){.kind = VALUE_TEXT, .text = text};
}

static struct value decoded(struct exchange *x, struct bytes text, bool plus) {
    struct bytes out;
    if (text.len > VALUE_BYTES_MAX || !value_decode(text, plus, &x->arena, &out))
        return (struct value){VALUE_MISSING};
    return text_value(out);
}

static struct value from_path(struct exchange *x, struct bytes name) {
    for (uint32_t i = 0; i < x->route.capture_count; i++) {
        if (bytes_equal(x->route.capture[i].name, name))
            return decoded(x, x->route.capture[i].value, false);
    }
    return (struct value){VALUE_MISSING};
}

static struct value from_query(struct exchange *x, struct bytes name) {
    const char *at = x->parts.query.at, *end = at + x->parts.query.len;
    while (at && at < end) {
        const char *stop = memchr(at, '&', (size_t)(end - at));
        const char *last = stop ? stop : end;
        const char *equals = memchr(at, '=', (size_t)(last - at));
        struct bytes key = {at, (size_t)((equals ? equals : last) - at)};
        struct bytes found;
        if (value_decode(key, true, &x->arena, &found) && bytes_equal(found, name)) {
            struct bytes value =
                equals ? (struct bytes){equals + 1, (size_t)(last - equals - 1)} : BYTES("");
            return decoded(x, value, true);
        }
        at = stop ? stop + 1 : end;
    }
    return (struct value){VALUE_MISSING};
}

static struct value from_header(struct exchange *x, struct bytes name) {
    for (uint16_t i = 0; i < x->request.field_count; i++) {
        if (bytes_equal_nocase(x->request.fields[i].name, name))
            return text_value(x->request.fields[i].value);
    }
    return (struct value){VALUE_MISSING};
}

/* ---- the body ---------------------------------------------------------------------- */

static json_t *parse_body(struct exchange *x) {
    if (x->body_json || x->body_is_no_json)
        return x->body_json;
    if (x->kept_dropped || !x->upload_done)
        return NULL;
    x->body_json = json_loadb(x->kept.at ? x->kept.at : "", x->kept.len, JSON_DECODE_ANY, NULL);
    x->body_is_no_json = !x->body_json;
    return x->body_json;
}

void value_forget(struct exchange *x) {
    json_decref(x->body_json);
    x->body_json = NULL;
    x->body_is_no_json = false;
}

static json_t *element(const json_t *list, struct bytes name) {
    size_t index = 0;
    if (!name.len || name.len > 9)
        return NULL;
    for (size_t i = 0; i < name.len; i++) {
        if (name.at[i] < '0' || name.at[i] > '9')
            return NULL;
        index = index * 10 + (size_t)(name.at[i] - '0');
    }
    return json_array_get(list, index);
}

static json_t *find(json_t *at, const char *path) {
    char key[VALUE_NAME_MAX + 1];
    for (int depth = 0; at && depth < BODY_DEPTH_MAX; depth++) {
        const char *dot = strchr(path, '.');
        struct bytes name = {path, dot ? (size_t)(dot - path) : strlen(path)};
        if (name.len > VALUE_NAME_MAX)
            return NULL;
        memcpy(key, name.at, name.len);
        key[name.len] = '\0';
        at = json_is_array(at) ? element(at, name) : json_object_get(at, key);
        if (!dot)
            return at;
        path = dot + 1;
    }
    return NULL;
}

static struct value json_text(struct exchange *x, const json_t *j, enum value_kind kind) {
    size_t flags = JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY;
    size_t len = json_dumpb(j, NULL, 0, flags);
    char *text = len && len <= VALUE_BYTES_MAX ? arena_alloc(&x->arena, len) : NULL;
    if (!text)
        return (struct value){VALUE_MISSING};
    json_dumpb(j, text, len, flags);
    return (struct value){.kind = kind,
                          .text = {text, len},
                          .integer = json_is_integer(j) ? json_integer_value(j) : json_is_true(j),
                          .real = json_number_value(j)};
}

static struct value from_body(struct exchange *x, const char *path) {
    json_t *j = parse_body(x);
    j = j ? find(j, path) : NULL;
    if (!j)
        return (struct value){VALUE_MISSING};
    switch (json_typeof(j)) {
    case JSON_STRING:
        return text_value((struct bytes){json_string_value(j), json_string_length(j)});
    case JSON_INTEGER:
        return json_text(x, j, VALUE_INTEGER);
    case JSON_REAL:
        return json_text(x, j, VALUE_REAL);
    case JSON_TRUE:
    case JSON_FALSE:
        return json_text(x, j, VALUE_BOOL);
    case JSON_NULL:
        return (struct value){VALUE_NULL};
    default:
        return json_text(x, j, VALUE_JSON);
    }
}

/* ---- all ------------------------------------------------------------------------------ */

static struct value read_source(struct exchange *x, const struct value_source *s) {
    switch (s->from) {
    case VALUE_FROM_TEXT:
        return text_value(bytes_of(s->name));
    case VALUE_FROM_PATH:
        return from_path(x, bytes_of(s->name));
    case VALUE_FROM_QUERY:
        return from_query(x, bytes_of(s->name));
    case VALUE_FROM_HEADER:
        return from_header(x, bytes_of(s->name));
    case VALUE_FROM_BODY:
        return from_body(x, s->name);
    case VALUE_FROM_METHOD:
        return text_value(x->request.method_text);
    case VALUE_FROM_TARGET:
        return text_value(x->request.target);
    case VALUE_FROM_HOST:
        return text_value(x->host);
    case VALUE_FROM_SERVICE:
        return text_value(bytes_of(x->service->options->name));
    case VALUE_FROM_REQUEST_ID:
        return text_value(x->request_id);
    }
    return (struct value){VALUE_MISSING};
}

struct value value_read(struct exchange *x, const struct value_source *s) {
    struct value v = read_source(x, s);
    if (v.kind == VALUE_MISSING && s->otherwise)
        return text_value(bytes_of(s->otherwise));
    return v;
}

struct value value_of(void *exchange, const struct value_source *s) {
    return value_read(exchange, s);
}
