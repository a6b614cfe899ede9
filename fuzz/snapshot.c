/* snapshot.c - bytes that say what a breaker was. Once as they are, and once in
 * frames with checksums that are right, since those are hard to guess: whatever is
 * accepted must be a sound breaker that recovers when its service does. */
#include "fuzz.h"

#include <switchgear/snapshot.h>

#include "engine/snapshot_bytes.h"

#define NOW_NS SWG_SECONDS(1000)

static void live_on(struct swg_breaker *b, uint64_t now_ns) {
    struct swg_breaker_stats s;
    swg_breaker_read(b, &s, now_ns);
    if (s.manual != SWG_AUTOMATIC)
        swg_breaker_force(b, SWG_AUTOMATIC, SWG_NEVER, now_ns);
    for (int i = 0; i < 8; i++) {
        struct swg_permit p;
        now_ns += SWG_MINUTES(20);
        if (swg_breaker_admit(b, &p, 0, now_ns) == SWG_ADMITTED)
            swg_breaker_record(b, &p, SWG_SUCCESS, 0, now_ns);
        swg_breaker_check(b);
    }
    swg_breaker_read(b, &s, now_ns);
    MUST(s.state == SWG_CLOSED);
}

static bool restore(const void *bytes, size_t length, uint32_t hash) {
    const struct swg_breaker_options o = {.failures = 1 + hash % 7,
                                          .slow_percent = hash % 3 ? 50 : 0,
                                          .window_calls = hash % 2 ? 0 : 8 + hash % 50,
                                          .probes = 1 + hash % 5,
                                          .ramp_ns = hash % 5 ? 0 : SWG_SECONDS(9)};
    struct swg_breaker *b;
    MUST(swg_breaker_create(&b, &o, hash, NOW_NS) == SWG_OK);
    enum swg_error error = swg_breaker_restore(b, bytes, length, NOW_NS, NOW_NS + hash);
    swg_breaker_check(b);
    struct swg_snapshot_buffer size = {NULL, 0, 0};
    MUST(swg_breaker_snapshot(b, swg_snapshot_to_buffer, &size, NOW_NS, 1) == SWG_OK);
    live_on(b, NOW_NS);
    swg_breaker_destroy(b);
    return error == SWG_OK;
}

static void frame(struct swg__writer *w, uint8_t kind, const void *payload, size_t length) {
    w->crc = 0;
    swg__write(w, "SWGs", 4);
    swg__write_8(w, 1);
    swg__write_8(w, kind);
    swg__write_16(w, 0);
    swg__write_32(w, (uint32_t)length);
    swg__write(w, payload, length);
    swg__write_32(w, w->crc);
}

static void restore_framed(const uint8_t *data, size_t size, uint32_t hash) {
    unsigned char bytes[8192];
    struct swg_snapshot_buffer buffer = {bytes, sizeof(bytes), 0};
    struct swg__writer w = {.sink = swg_snapshot_to_buffer, .arg = &buffer};
    const unsigned char one[8] = {1};
    if (size > 8000)
        return;
    frame(&w, 'b', data, size);
    frame(&w, 'e', one, sizeof(one));
    MUST(swg__write_flush(&w));
    char *copy = fuzz_copy(bytes, buffer.length);
    restore(copy, buffer.length, hash);
    free(copy);
}

static void restore_registry(const void *bytes, size_t length, uint32_t hash) {
    const uint64_t key[2] = {1, hash};
    const struct swg_registry_options o = {.max = 1 + hash % 4};
    struct swg_registry *r;
    uint32_t count;
    MUST(swg_registry_create(&r, &o, key, NOW_NS) == SWG_OK);
    swg_registry_restore(r, bytes, length, NOW_NS, NOW_NS + hash, &count);
    swg_registry_check(r);
    MUST(swg_registry_entries(r) <= o.max);
    swg_registry_destroy(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint32_t hash = fuzz_hash(data, size);
    char *copy = fuzz_copy(data, size);
    restore(copy, size, hash);
    restore_registry(copy, size, hash);
    restore_framed(data, size, hash);
    free(copy);
    return 0;
}
