/* admin_request.c - whatever a client says to the admin side, whole and in
 * pieces: head, body, routing, rights, commands, and the answers. */
#include "../tests/unit/admin/scene.h"
#include "fuzz.h"

/* Whole, or in pieces of at most `step` bytes; the client is slow now and then. */
static int converse(struct scene *s, const char *data, size_t size, size_t step) {
    struct fake_stream *c = scene_connect(s);
    MUST(c != NULL);
    for (size_t at = 0; at < size; at += step) {
        fake_io_receive(c, data + at, size - at < step ? size - at : step);
        if (step < size)
            fake_io_drain(c);
    }
    fake_io_run_tasks(&s->io);
    if (c->sent.len)
        MUST(c->sent.len > 12 && !memcmp(c->sent.at, "HTTP/1.1 ", 9));
    int status = c->sent.len ? scene_status(c->sent.at) : 0;
    fake_io_finish(c);
    fake_io_pass(&s->io, SWG_SECONDS(61)); /* nobody stays for ever */
    MUST(c->closed);
    MUST(s->admin->connection_count == 0 && s->admin->follower_count == 0);
    return status;
}

/* Both begin with the same gateway, as a command changes what the next finds. */
static int tell(const char *data, size_t size, size_t step, uint32_t hash) {
    struct scene s;
    scene_init(&s, hash & 1 ? "127.0.0.1" : "0.0.0.0", hash & 2 ? "token" : NULL);
    if (hash & 4)
        scene_break(&s, "bank", 0);
    s.io.stuck = hash & 8;
    int status = converse(&s, data, size, step);
    scene_free(&s);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint32_t hash = fuzz_hash(data, size);
    char *copy = fuzz_copy(data, size);
    int whole = tell(copy, size, size ? size : 1, hash);
    int pieces = tell(copy, size, 1 + (hash >> 8) % 64, hash);
    /* interim answers may differ: 100 comes only while a body is waited for */
    MUST(whole == pieces || whole == 100 || pieces == 100);
    free(copy);
    return 0;
}
