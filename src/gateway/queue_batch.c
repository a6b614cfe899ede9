/* queue_batch.c - see queue_batch.h. */
#include "gateway/queue_batch.h"

#include <jansson.h>
#include <stdlib.h>

/* ---- who goes with whom ---------------------------------------------------------- */

/* The next line of a block of "Name: value\r\n" lines. */
static bool next_line(struct bytes *lines, struct bytes *line) {
    const char *end = lines->len ? memchr(lines->at, '\n', lines->len) : NULL;
    if (!end)
        return false;
    *line = (struct bytes){lines->at, (size_t)(end + 1 - lines->at)};
    *lines = (struct bytes){end + 1, lines->len - line->len};
    return true;
}

static bool is_named(struct bytes line, const char *name) {
    struct bytes want = bytes_of(name);
    return line.len > want.len && line.at[want.len] == ':' &&
           bytes_equal_nocase((struct bytes){line.at, want.len}, want);
}

static struct bytes find_line(struct bytes lines, const char *name) {
    struct bytes line;
    while (next_line(&lines, &line)) {
        if (is_named(line, name))
            return line;
    }
    return (struct bytes){0};
}

/* Nobody's write is sent under somebody else's name. */
bool batch_agrees(const struct outbox_entry *a, const struct outbox_entry *b) {
    static const char *const credentials[] = {"Authorization", "Cookie", "Host",
                                              "Content-Encoding"};
    if (!bytes_equal(a->method, b->method) || !bytes_equal(a->target, b->target))
        return false;
    for (size_t i = 0; i < sizeof credentials / sizeof credentials[0]; i++) {
        if (!bytes_equal(find_line(a->fields, credentials[i]),
                         find_line(b->fields, credentials[i])))
            return false;
    }
    return !find_line(a->fields, "Content-Encoding").len;
}

/* ---- the body --------------------------------------------------------------------- */

static int append(const char *data, size_t len, void *to) {
    buf_append(to, data, len);
    return ((struct buf *)to)->failed ? -1 : 0;
}

static bool dump(struct buf *body, const json_t *j) {
    return json_dump_callback(j, append, body, JSON_COMPACT | JSON_ENCODE_ANY) == 0;
}

static bool add_writes(struct buf *body, json_t *j, bool first, uint32_t *parts) {
    json_t *writes = json_object_get(j, "writes"), *write;
    size_t i;
    if (!json_array_size(writes) || *parts + json_array_size(writes) > BATCH_MAX)
        return false;
    json_array_foreach(writes, i, write) {
        buf_string(body, first && !i ? "{\"writes\":[" : ",");
        if (!dump(body, write))
            return false;
    }
    *parts += (uint32_t)json_array_size(writes);
    return true;
}

/* As it came where that will do: numbers keep every digit. */
static bool add_text(struct buf *body, const struct queue_options *o, json_t *j,
                     const struct outbox_entry *e) {
    struct bytes text = bytes_trim(e->body);
    if (o->batch_key) {
        json_t *key = json_stringn(e->key.at, e->key.len);
        return json_is_object(j) && json_object_set_new(j, o->batch_key, key) == 0 && dump(body, j);
    }
    if (o->batch_form == BATCH_NDJSON && memchr(text.at, '\n', text.len))
        return dump(body, j);
    buf_bytes(body, text);
    return true;
}

static bool add_item(struct buf *body, const struct queue_options *o, json_t *j,
                     const struct outbox_entry *e, bool first, uint32_t *parts) {
    if (o->batch_form == BATCH_FIRESTORE)
        return add_writes(body, j, first, parts);
    if (o->batch_form == BATCH_JSON_ARRAY)
        buf_char(body, first ? '[' : ',');
    if (!add_text(body, o, j, e))
        return false;
    if (o->batch_form == BATCH_NDJSON)
        buf_char(body, '\n');
    ++*parts;
    return true;
}

bool batch_add(struct buf *body, const struct queue_options *o, const struct outbox_entry *e,
               bool first, uint32_t *parts) {
    size_t before = body->len;
    uint32_t parts_before = *parts;
    json_t *j = json_loadb(e->body.at ? e->body.at : "", e->body.len,
                           JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
    bool good = j && add_item(body, o, j, e, first, parts) && !body->failed;
    json_decref(j);
    if (!good) {
        body->len = before;
        body->failed = false;
        *parts = parts_before;
    }
    return good;
}

bool batch_end(struct buf *body, const struct queue_options *o) {
    if (o->batch_form == BATCH_JSON_ARRAY)
        buf_char(body, ']');
    else if (o->batch_form == BATCH_FIRESTORE)
        buf_literal(body, "]}");
    return !body->failed;
}

/* ---- the lines ---------------------------------------------------------------------- */

/* FNV-1a, twice with different beginnings: the same writes give the same key,
 * and it need not withstand anybody, as the keys do. */
static void write_key(struct buf *b, const struct outbox_entry *const *entries, uint32_t count) {
    uint64_t one = 0xcbf29ce484222325u, other = 0x84222325cbf29ce4u;
    for (uint32_t i = 0; i < count; i++) {
        for (size_t k = 0; k <= entries[i]->key.len; k++) {
            uint8_t c = k < entries[i]->key.len ? (uint8_t)entries[i]->key.at[k] : 0;
            one = (one ^ c) * 0x100000001b3u;
            other = (other ^ (c + i)) * 0x100000001b3u;
        }
    }
    buf_printf(b, "Idempotency-Key: %016llx%016llx\r\n", (unsigned long long)one,
               (unsigned long long)other);
}

void batch_fields(struct buf *b, const struct queue_options *o,
                  const struct outbox_entry *const *entries, uint32_t count) {
    struct bytes lines = entries[0]->fields, line;
    while (next_line(&lines, &line)) {
        if (!is_named(line, "Content-Type") && !is_named(line, "Idempotency-Key"))
            buf_bytes(b, line);
    }
    buf_string(b, o->batch_form == BATCH_NDJSON ? "Content-Type: application/x-ndjson\r\n"
                                                : "Content-Type: application/json\r\n");
    write_key(b, entries, count);
}

/* ---- the answer ----------------------------------------------------------------------- */

/* google.rpc.Code: what may pass, and what is the write's own. */
static enum swg__replay_result of_code(json_int_t code) {
    switch (code) {
    case 0:
        return SWG__REPLAY_DELIVERED;
    case 8: /* RESOURCE_EXHAUSTED */
        return SWG__REPLAY_OVERLOAD;
    case 3:  /* INVALID_ARGUMENT */
    case 6:  /* ALREADY_EXISTS */
    case 9:  /* FAILED_PRECONDITION */
    case 11: /* OUT_OF_RANGE */
    case 12: /* UNIMPLEMENTED */
        return SWG__REPLAY_REFUSED;
    default:
        return SWG__REPLAY_FAILED;
    }
}

/* The worst of its parts: what was done of it is done again. */
enum swg__replay_result batch_result(const struct queue_options *o, struct bytes answer,
                                     uint32_t from, uint32_t count) {
    enum swg__replay_result worst = SWG__REPLAY_DELIVERED;
    if (o->batch_form != BATCH_FIRESTORE)
        return worst;
    json_t *j = json_loadb(answer.at ? answer.at : "", answer.len, 0, NULL);
    json_t *status = json_object_get(j, "status");
    if (!json_is_array(status) || json_array_size(status) < from + count)
        worst = SWG__REPLAY_FAILED; /* it does not say what became of it */
    for (uint32_t i = 0; i < count && worst == SWG__REPLAY_DELIVERED; i++) {
        json_t *one = json_array_get(status, from + i);
        worst = of_code(json_integer_value(json_object_get(one, "code")));
    }
    json_decref(j);
    return worst;
}
