/* options.c - the life of a gateway_options: counted, and freed as a whole. */
#include "gateway/options.h"

#include <assert.h>
#include <stdlib.h>

#include "base/arena.h"

/* `references` is written by any thread that holds or releases. Holding needs
 * no order (whoever holds has a reference already); the release that takes
 * the last one must see all that others did before theirs: acquire-release. */
struct gateway_options *gateway_options_hold(struct gateway_options *o) {
    uint32_t before = __atomic_fetch_add(&o->references, 1, __ATOMIC_RELAXED);
    assert(before > 0 && before < UINT32_MAX);
    (void)before;
    return o;
}

/* The struct lies in its own arena. Options made by hand have none and are
 * their maker's to free. */
void gateway_options_release(struct gateway_options *o) {
    if (!o || __atomic_fetch_sub(&o->references, 1, __ATOMIC_ACQ_REL) != 1)
        return;
    struct arena *arena = o->arena;
    if (!arena)
        return;
    arena_reset(arena);
    free(arena);
}

const char *tier_kind_word(enum tier_kind kind) {
    switch (kind) {
    case TIER_STALE:
        return "stale";
    case TIER_SERVICE:
        return "service";
    case TIER_STATIC:
        return "static";
    case TIER_QUEUE:
        return "queue";
    case TIER_SQL:
        return "sql";
    }
    return "";
}
