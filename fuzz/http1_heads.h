/* http1_heads.h - what must hold of every head that is parsed, request or not. */
#ifndef SWG_FUZZ_HTTP1_HEADS_H
#define SWG_FUZZ_HTTP1_HEADS_H

#include "fuzz.h"
#include "wire/http1.h"

enum { FIELDS_MAX = 16 };

static const struct http1_limits limits = {
    .head_bytes = 512, .target = 128, .fields = FIELDS_MAX, .trailer_bytes = 64};

struct outcome {
    enum http1_error error;
    size_t used;
    struct http1_head head;
    struct http_field fields[FIELDS_MAX];
};

/* Parses data[0..len) of which `seen` is known already. */
typedef void parse_function(struct outcome *, const char *data, size_t len, size_t seen);

static inline void check_inside(struct bytes part, const char *data, size_t len) {
    if (part.len)
        MUST(part.at >= data && part.len <= len && part.at + part.len <= data + len);
}

static inline void check_text(struct bytes part) {
    for (size_t i = 0; i < part.len; i++)
        MUST(part.at[i] != '\0' && part.at[i] != '\r' && part.at[i] != '\n');
}

static inline void check_head(const struct outcome *o, const char *data, size_t len) {
    const struct http1_head *head = &o->head;
    MUST(o->used <= len && o->used <= limits.head_bytes);
    MUST(!o->error || o->used == 0);
    if (!o->used)
        return;
    MUST(memcmp(data + o->used - 4, "\r\n\r\n", 4) == 0);
    MUST(head->fields == o->fields && head->field_count <= FIELDS_MAX);
    check_inside(head->target, data, o->used);
    check_inside(head->method_text, data, o->used);
    check_inside(head->reason, data, o->used);
    check_text(head->target);
    check_text(head->reason);
    for (unsigned i = 0; i < head->field_count; i++) {
        const struct http_field *field = &o->fields[i];
        check_inside(field->name, data, o->used);
        check_inside(field->value, data, o->used);
        check_text(field->name);
        check_text(field->value);
        MUST(field->name.len > 0 && field->id == http_field_of(field->name));
        MUST(bytes_equal(bytes_trim(field->value), field->value));
    }
    MUST(head->framing != HTTP1_BODY_LENGTH || head->has_content_length);
    MUST(head->framing != HTTP1_BODY_CHUNKED || (!head->has_content_length && head->minor == 1));
    MUST(head->framing != HTTP1_BODY_UNTIL_CLOSE || !head->keep_alive);
}

static inline void check_same(const struct outcome *a, const struct outcome *b) {
    MUST(a->error == b->error && a->used == b->used);
    if (!a->used)
        return;
    MUST(a->head.framing == b->head.framing && a->head.keep_alive == b->head.keep_alive);
    MUST(a->head.content_length == b->head.content_length);
    MUST(a->head.field_count == b->head.field_count);
    for (unsigned i = 0; i < a->head.field_count; i++)
        MUST(bytes_equal(a->fields[i].value, b->fields[i].value));
}

/* Whole, and as a connection gets it: up to a cut, then the rest. What is known
 * at the cut stays true, and what is not becomes what it was for the whole. */
static inline void check_parse(parse_function *parse, const uint8_t *data, size_t size) {
    struct outcome whole, first, second;
    size_t cut = size ? fuzz_hash(data, size) % size : 0;
    char *all = fuzz_copy(data, size), *part = fuzz_copy(data, cut);
    parse(&whole, all, size, 0);
    check_head(&whole, all, size);
    parse(&first, part, cut, 0);
    check_head(&first, part, cut);
    if (first.error || first.used) {
        check_same(&whole, &first);
    } else {
        parse(&second, all, size, cut);
        check_same(&whole, &second);
    }
    free(all);
    free(part);
}

#endif
