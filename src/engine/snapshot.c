/* snapshot.c - breakers to frames and back; the format is in switchgear/snapshot.h.
 *
 * Restoring reads everything twice: once to know that all of it is good, then
 * to give it to the breakers. So a damaged file changes nothing, without having to
 * keep what it says in memory. */
#include <switchgear/snapshot.h>

#include <string.h>

#include "engine/past.h"
#include "engine/snapshot_bytes.h"

enum { VERSION = 1, KIND_BREAKER = 'b', KIND_END = 'e', FRAME_HEAD = 12, FRAME_TAIL = 4 };
static const char magic[4] = {'S', 'W', 'G', 's'};

bool swg_snapshot_to_buffer(void *arg, const void *bytes, size_t length) {
    struct swg_snapshot_buffer *b = arg;
    if (b->length < b->size) {
        size_t room = b->size - b->length;
        memcpy((char *)b->at + b->length, bytes, length < room ? length : room);
    }
    b->length += length;
    return true;
}

/* ---- write ---- */

struct snapshot {
    struct swg__writer out;
    uint64_t now_ns, wall_ns, count;
    enum swg_error error;
};

static void begin_frame(struct swg__writer *out, uint8_t kind, size_t length) {
    out->crc = 0;
    swg__write(out, magic, sizeof(magic));
    swg__write_8(out, VERSION);
    swg__write_8(out, kind);
    swg__write_16(out, 0);
    swg__write_32(out, (uint32_t)length);
}

static void end_frame(struct swg__writer *out) {
    swg__write_32(out, out->crc);
}

static void add_breaker(struct snapshot *s, const char *name, size_t name_length,
                        const struct swg_breaker *b) {
    struct swg__past past;
    if (s->error || s->out.refused)
        return;
    s->error = swg__past_take(&past, b, s->now_ns);
    if (s->error)
        return;
    begin_frame(&s->out, KIND_BREAKER, 8 + 4 + name_length + swg__past_size(&past));
    swg__write_64(&s->out, s->wall_ns);
    swg__write_32(&s->out, (uint32_t)name_length);
    swg__write(&s->out, name, name_length);
    swg__past_write(&past, &s->out);
    end_frame(&s->out);
    swg__past_free(&past);
    s->count++;
}

static enum swg_error finish(struct snapshot *s) {
    if (s->error)
        return s->error;
    begin_frame(&s->out, KIND_END, 8);
    swg__write_64(&s->out, s->count);
    end_frame(&s->out);
    return swg__write_flush(&s->out) ? SWG_OK : SWG_ERR_CANCELLED;
}

enum swg_error swg_breaker_snapshot(const struct swg_breaker *b, swg_snapshot_sink *sink, void *arg,
                                    uint64_t now_ns, uint64_t wall_ns) {
    struct snapshot s = {.out = {.sink = sink, .arg = arg}, .now_ns = now_ns, .wall_ns = wall_ns};
    add_breaker(&s, "", 0, b);
    return finish(&s);
}

enum swg_error swg_policy_snapshot(const struct swg_policy *p, swg_snapshot_sink *sink, void *arg,
                                   uint64_t now_ns, uint64_t wall_ns) {
    struct snapshot s = {.out = {.sink = sink, .arg = arg}, .now_ns = now_ns, .wall_ns = wall_ns};
    for (uint32_t i = 0; i < swg_policy_endpoint_count(p); i++) {
        const char *name = swg_policy_endpoint_name(p, i);
        add_breaker(&s, name, strlen(name), swg_policy_breaker(p, i));
    }
    return finish(&s);
}

static void add_visited(void *arg, const char *name, size_t length, struct swg_breaker *b) {
    struct snapshot *s = arg;
    if (name && !swg__breaker_is_spare(b, s->now_ns))
        add_breaker(s, name, length, b);
}

enum swg_error swg_registry_snapshot(struct swg_registry *r, swg_snapshot_sink *sink, void *arg,
                                     uint64_t now_ns, uint64_t wall_ns) {
    struct snapshot s = {.out = {.sink = sink, .arg = arg}, .now_ns = now_ns, .wall_ns = wall_ns};
    swg_registry_each(r, add_visited, &s);
    return finish(&s);
}

/* ---- read ---- */

struct restoring {
    /* What to do with one; SWG_ERR_NOT_FOUND: there is no place for it. */
    enum swg_error (*give)(struct restoring *, const char *name, size_t length, struct swg__past *,
                           uint64_t elapsed_ns);
    void *target;
    uint64_t now_ns, wall_ns;
    uint32_t given;
    bool first_only;
};

struct frame {
    uint8_t kind;
    struct swg__reader payload;
};

/* The next frame, checked; `in` stands after it. */
static enum swg_error read_frame(struct swg__reader *in, struct frame *f) {
    const unsigned char *begin = in->at;
    const void *word = swg__read(in, sizeof(magic));
    if (!word || memcmp(word, magic, sizeof(magic)) != 0)
        return SWG_ERR_CORRUPT;
    uint8_t version = swg__read_8(in);
    f->kind = swg__read_8(in);
    uint16_t zero = swg__read_16(in);
    uint32_t length = swg__read_32(in);
    if (!in->bad && version != VERSION)
        return SWG_ERR_VERSION;
    f->payload = (struct swg__reader){.at = swg__read(in, length), .left = length};
    uint32_t crc = swg__read_32(in);
    if (in->bad || zero || crc != swg__crc32c(0, begin, (size_t)FRAME_HEAD + length))
        return SWG_ERR_CORRUPT;
    return SWG_OK;
}

/* Either clock unknown, or one that stepped back: no time has passed. */
static uint64_t elapsed_since(uint64_t then_ns, uint64_t wall_ns) {
    return then_ns && wall_ns > then_ns ? wall_ns - then_ns : 0;
}

static enum swg_error read_breaker(struct swg__reader *in, struct restoring *r, bool give) {
    struct swg__past past;
    uint64_t then_ns = swg__read_64(in);
    uint32_t length = swg__read_32(in);
    const char *name = swg__read(in, length);
    if (in->bad)
        return SWG_ERR_CORRUPT;
    enum swg_error error = swg__past_read(&past, in);
    if (error)
        return error;
    if (give) {
        error = r->give(r, name, length, &past, elapsed_since(then_ns, r->wall_ns));
        r->given += !error;
    }
    swg__past_free(&past);
    return error == SWG_ERR_NOT_FOUND ? SWG_OK : error;
}

static enum swg_error read_end(struct swg__reader *payload, const struct swg__reader *in,
                               uint64_t count) {
    bool good = swg__read_64(payload) == count && !payload->bad && payload->left == 0;
    return good && in->left == 0 ? SWG_OK : SWG_ERR_CORRUPT;
}

static enum swg_error read_all(const void *bytes, size_t length, struct restoring *r, bool give) {
    struct swg__reader in = {.at = bytes, .left = length};
    for (uint64_t count = 0;; count++) {
        struct frame f;
        enum swg_error error = read_frame(&in, &f);
        if (error)
            return error;
        if (f.kind == KIND_END)
            return read_end(&f.payload, &in, count);
        if (f.kind != KIND_BREAKER)
            return SWG_ERR_CORRUPT;
        error = read_breaker(&f.payload, r, give && !(r->first_only && count > 0));
        if (error)
            return error;
    }
}

static enum swg_error restore(struct restoring *r, const void *bytes, size_t length,
                              uint32_t *count) {
    if (count)
        *count = 0;
    if (!bytes)
        return SWG_ERR_INVALID;
    enum swg_error error = read_all(bytes, length, r, false);
    if (!error)
        error = read_all(bytes, length, r, true);
    if (count)
        *count = r->given;
    return error;
}

static enum swg_error give_to_breaker(struct restoring *r, const char *name, size_t length,
                                      struct swg__past *past, uint64_t elapsed_ns) {
    (void)name, (void)length;
    return swg__past_give(past, r->target, elapsed_ns, r->now_ns);
}

enum swg_error swg_breaker_restore(struct swg_breaker *b, const void *bytes, size_t length,
                                   uint64_t now_ns, uint64_t wall_ns) {
    struct restoring r = {give_to_breaker, b, now_ns, wall_ns, 0, true};
    uint32_t count;
    enum swg_error error = restore(&r, bytes, length, &count);
    return error ? error : count ? SWG_OK : SWG_ERR_NOT_FOUND;
}

static enum swg_error give_to_policy(struct restoring *r, const char *name, size_t length,
                                     struct swg__past *past, uint64_t elapsed_ns) {
    const struct swg_policy *p = r->target;
    for (uint32_t i = 0; i < swg_policy_endpoint_count(p); i++) {
        const char *endpoint = swg_policy_endpoint_name(p, i);
        if (strlen(endpoint) == length && memcmp(endpoint, name, length) == 0)
            return swg__past_give(past, swg_policy_breaker(p, i), elapsed_ns, r->now_ns);
    }
    return SWG_ERR_NOT_FOUND;
}

enum swg_error swg_policy_restore(struct swg_policy *p, const void *bytes, size_t length,
                                  uint64_t now_ns, uint64_t wall_ns, uint32_t *count) {
    struct restoring r = {give_to_policy, p, now_ns, wall_ns, 0, false};
    return restore(&r, bytes, length, count);
}

static enum swg_error give_to_registry(struct restoring *r, const char *name, size_t length,
                                       struct swg__past *past, uint64_t elapsed_ns) {
    struct swg_breaker *b;
    enum swg_error error = swg_registry_hold(r->target, name, length, r->now_ns, &b);
    if (error == SWG_ERR_NOMEM)
        return error;
    if (error) /* full, or the name is longer than they may be here */
        return SWG_ERR_NOT_FOUND;
    error = swg_registry_name(b, NULL) ? swg__past_give(past, b, elapsed_ns, r->now_ns)
                                       : SWG_ERR_NOT_FOUND;
    swg_registry_release(b);
    return error;
}

enum swg_error swg_registry_restore(struct swg_registry *registry, const void *bytes, size_t length,
                                    uint64_t now_ns, uint64_t wall_ns, uint32_t *count) {
    struct restoring r = {give_to_registry, registry, now_ns, wall_ns, 0, false};
    return restore(&r, bytes, length, count);
}
