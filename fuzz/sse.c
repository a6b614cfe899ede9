/* sse.c - event streams, whole and in pieces, in both forms: the same events,
 * and none of another kind. */
#include "wire/sse.h"
#include "fuzz.h"

struct outcome {
    uint32_t count, hash;
    enum token_shape shape;
};

static void read_stream(struct outcome *o, enum sse_form form, const uint8_t *data, size_t size,
                        size_t piece) {
    struct sse s;
    *o = (struct outcome){0};
    sse_init(&s, form);
    for (size_t at = 0; at < size;) {
        size_t have = size - at < piece ? size - at : piece;
        char *copy = fuzz_copy(data + at, have);
        for (size_t done = 0; done < have;) {
            enum token_kind kind;
            size_t used = sse_next(&s, copy + done, have - done, &kind);
            MUST(used > 0 && used <= have - done);
            MUST(kind != TOKEN_MORE || used == have - done);
            if (kind != TOKEN_MORE) {
                MUST(!s.mid_event && token_kind_word(kind));
                o->count++;
                o->hash = (o->hash ^ (uint32_t)kind) * 16777619u;
            }
            done += used;
        }
        free(copy);
        at += have;
    }
    o->shape = s.event.shape;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint32_t hash = fuzz_hash(data, size);
    for (int form = SSE_EVENTS; form <= SSE_LINES; form++) {
        struct outcome whole, pieces;
        read_stream(&whole, (enum sse_form)form, data, size, size ? size : 1);
        read_stream(&pieces, (enum sse_form)form, data, size, 1 + hash % 9);
        MUST(whole.count == pieces.count && whole.hash == pieces.hash);
        MUST(whole.shape == pieces.shape);
    }
    return 0;
}
