/* http1_body.c - chunked bodies, whole and in pieces, with and without room for
 * trailers. */
#include "fuzz.h"
#include "wire/http1.h"

struct outcome {
    enum http1_error error;
    size_t used;
    char *payload;
    size_t payload_len;
    char *trailers;
    struct http1_body body;
};

/* Feeds data in pieces; each in a buffer of its own size. */
static void decode(struct outcome *o, const uint8_t *data, size_t size, size_t piece,
                   uint32_t trailers_max) {
    *o = (struct outcome){.payload = fuzz_copy("", 0)};
    o->trailers = trailers_max ? malloc(trailers_max) : NULL;
    o->payload = realloc(o->payload, size + 1);
    MUST(o->payload != NULL);
    http1_body_init(&o->body, HTTP1_BODY_CHUNKED, 0, o->trailers, trailers_max);
    while (o->used < size && !o->error && !o->body.done) {
        size_t have = size - o->used < piece ? size - o->used : piece, used;
        char *copy = fuzz_copy(data + o->used, have);
        struct bytes payload;
        o->error = http1_body_next(&o->body, copy, have, &payload, &used);
        MUST(used <= have && (o->error || used > 0));
        MUST(payload.len <= used && (!o->error || (used == 0 && payload.len == 0)));
        if (payload.len) {
            MUST(payload.at >= copy && payload.at + payload.len <= copy + have);
            memcpy(o->payload + o->payload_len, payload.at, payload.len);
            o->payload_len += payload.len;
        }
        o->used += used;
        free(copy);
    }
    MUST(!o->body.done || !o->error);
    MUST(o->body.trailers_len <= o->body.trailers_max);
}

/* The lines kept are whole once the body is, and none may frame a message. */
static void check_trailers(const struct outcome *o) {
    if (!o->trailers || !o->body.done)
        return;
    struct bytes rest = {o->trailers, o->body.trailers_len}, line, name;
    while (bytes_split(&rest, '\n', &line)) {
        MUST(line.len >= 4 && line.at[line.len - 1] == '\r');
        MUST(bytes_split(&line, ':', &name) && name.len > 0 && line.at[0] == ' ');
        MUST(http1_may_be_trailer(http_field_of(name)));
    }
}

static void release(struct outcome *o) {
    free(o->payload);
    free(o->trailers);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const uint32_t maxima[] = {0, 8, 64, 512};
    uint32_t hash = fuzz_hash(data, size), max = maxima[hash % 4];
    struct outcome whole, pieces;
    decode(&whole, data, size, size, max);
    decode(&pieces, data, size, 1 + hash / 4 % 7, max);
    check_trailers(&whole);
    MUST(whole.error == pieces.error && whole.body.done == pieces.body.done);
    MUST(whole.payload_len == pieces.payload_len);
    MUST(memcmp(whole.payload, pieces.payload, whole.payload_len) == 0);
    if (!whole.error) {
        MUST(whole.used == pieces.used);
        MUST(whole.body.trailers_len == pieces.body.trailers_len);
        if (whole.trailers)
            MUST(memcmp(whole.trailers, pieces.trailers, whole.body.trailers_len) == 0);
    }
    release(&whole);
    release(&pieces);
    return 0;
}
