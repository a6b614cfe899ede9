/* json_walk.c - see json_walk.h. */
#include "wire/json_walk.h"

enum { BETWEEN, IN_STRING, ESCAPED, IN_WORD };

enum { OTHER_KEY = 0xff };

void json_walk_init(struct json_walk *w, const char *const *keys, json_walk_fn *on_value,
                    void *who) {
    w->keys = keys;
    w->on_value = on_value;
    w->who = who;
    json_walk_reset(w);
}

void json_walk_reset(struct json_walk *w) {
    w->state = BETWEEN;
    w->lost = w->is_key = w->fresh = false;
    w->depth = w->objects = w->text_len = 0;
    w->arrays = 0;
}

static bool in_array(const struct json_walk *w) {
    return w->depth && w->arrays >> (w->depth - 1) & 1;
}

static void tell(struct json_walk *w, enum json_walk_kind kind) {
    uint64_t path = 0;
    if (w->objects > JSON_WALK_KEYS)
        return;
    for (uint8_t i = 0; i < w->objects; i++)
        path |= (uint64_t)w->path[i] << (8 * i);
    w->on_value(w->who, path, kind, (struct bytes){w->text, w->text_len});
}

/* Something stands in the container: it is told once, before that. */
static void note_content(struct json_walk *w) {
    if (!w->fresh)
        return;
    w->fresh = false;
    w->text_len = 0;
    uint8_t inner = !in_array(w);
    w->objects = (uint8_t)(w->objects - inner);
    if (w->depth > 1) /* the text itself stands nowhere */
        tell(w, JSON_WALK_CONTAINER);
    w->objects = (uint8_t)(w->objects + inner);
}

static void open_container(struct json_walk *w, bool array) {
    note_content(w);
    if (w->depth == JSON_WALK_DEPTH) {
        w->lost = true;
        return;
    }
    uint64_t bit = UINT64_C(1) << w->depth++;
    w->arrays = array ? w->arrays | bit : w->arrays & ~bit;
    w->fresh = true;
    w->is_key = !array;
    if (!array)
        w->path[w->objects++] = OTHER_KEY;
}

static void close_container(struct json_walk *w, bool array) {
    if (!w->depth || in_array(w) != array) {
        w->lost = true;
        return;
    }
    w->objects = (uint8_t)(w->objects - !array);
    w->text_len = 0;
    if (w->fresh && w->depth > 1)
        tell(w, JSON_WALK_EMPTY);
    w->fresh = false;
    w->is_key = false;
    w->depth--;
}

static uint8_t number_of_key(const struct json_walk *w) {
    for (uint8_t i = 0; w->keys[i]; i++) {
        if (bytes_equal(bytes_of(w->keys[i]), (struct bytes){w->text, w->text_len}))
            return (uint8_t)(i + 1);
    }
    return OTHER_KEY;
}

static void end_string(struct json_walk *w) {
    w->state = BETWEEN;
    if (w->is_key && w->objects)
        w->path[w->objects - 1] = number_of_key(w);
    else
        tell(w, JSON_WALK_STRING);
    w->is_key = false;
}

/* The first bytes; a longer key is none that is known. */
static void keep(struct json_walk *w, char c) {
    if (w->text_len < JSON_WALK_TEXT)
        w->text[w->text_len++] = c;
}

static void between(struct json_walk *w, char c) {
    switch (c) {
    case ' ':
    case '\t':
    case '\n':
    case '\r':
    case ':':
        return;
    case '{':
    case '[':
        open_container(w, c == '[');
        return;
    case '}':
    case ']':
        close_container(w, c == ']');
        return;
    case ',':
        w->is_key = w->depth && !in_array(w);
        return;
    default:
        break;
    }
    note_content(w);
    w->text_len = 0;
    w->state = c == '"' ? IN_STRING : IN_WORD;
    if (c != '"')
        keep(w, c);
}

static void take(struct json_walk *w, char c) {
    switch (w->state) {
    case IN_STRING:
        if (c == '"') {
            end_string(w);
            return;
        }
        keep(w, c);
        if (c == '\\')
            w->state = ESCAPED;
        return;
    case ESCAPED:
        keep(w, c);
        w->state = IN_STRING;
        return;
    case IN_WORD:
        if (!strchr(",]} \t\r\n", c) || !c) {
            keep(w, c);
            return;
        }
        json_walk_end(w);
        break;
    default:
        break;
    }
    between(w, c);
}

void json_walk_take(struct json_walk *w, const char *data, size_t len) {
    for (size_t i = 0; i < len && !w->lost; i++)
        take(w, data[i]);
}

void json_walk_end(struct json_walk *w) {
    if (w->lost || w->state != IN_WORD)
        return;
    w->state = BETWEEN;
    tell(w, JSON_WALK_WORD);
}
