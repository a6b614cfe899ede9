/* disk_index.c - see disk_index.h. */
#include "store/disk_index.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/random.h"

enum { FIRST = 1024 };

int disk_index_init(struct disk_index *x) {
    *x = (struct disk_index){.places = calloc(FIRST, sizeof(*x->places)), .mask = FIRST - 1};
    /* Where the kernel gives no secret, places can be guessed: that costs time. */
    if (getrandom(x->seed, sizeof(x->seed), GRND_NONBLOCK) != sizeof(x->seed))
        x->seed[0] = x->seed[1] = (uint64_t)(uintptr_t)x->places;
    return x->places ? 0 : -ENOMEM;
}

void disk_index_free(struct disk_index *x) {
    free(x->places);
    x->places = NULL;
}

/* Keys are SHA-256 of what clients send, so a client could look for keys that
 * lie side by side; it cannot where a secret has its part in the place. */
uint64_t disk_index_hash(const struct disk_index *x, const uint8_t key[32]) {
    uint64_t words[2];
    memcpy(words, key, sizeof(words));
    unsigned __int128 product =
        (unsigned __int128)(words[0] ^ x->seed[0]) * (words[1] ^ x->seed[1]);
    uint64_t hash = random_mix((uint64_t)(product >> 64) ^ (uint64_t)product ^ words[1]);
    return hash ? hash : 1;
}

static struct disk_place *place_of(const struct disk_index *x, uint64_t hash) {
    size_t at = (size_t)hash & x->mask;
    while (x->places[at].hash && x->places[at].hash != hash)
        at = (at + 1) & x->mask;
    return &x->places[at];
}

struct disk_place *disk_index_find(const struct disk_index *x, uint64_t hash) {
    struct disk_place *p = place_of(x, hash);
    return p->hash ? p : NULL;
}

static int grow(struct disk_index *x) {
    struct disk_place *old = x->places;
    size_t before = x->mask + 1;
    struct disk_place *fresh = calloc(2 * before, sizeof(*fresh));
    if (!fresh)
        return -ENOMEM;
    x->places = fresh;
    x->mask = 2 * before - 1;
    for (size_t i = 0; i < before; i++)
        if (old[i].hash)
            *place_of(x, old[i].hash) = old[i];
    free(old);
    return 0;
}

int disk_index_put(struct disk_index *x, const struct disk_place *place) {
    struct disk_place *p = place_of(x, place->hash);
    if (!p->hash && x->count >= (x->mask + 1) / 2) {
        if (grow(x) < 0)
            return -ENOMEM;
        p = place_of(x, place->hash);
    }
    x->count += !p->hash;
    *p = *place;
    return 0;
}

/* Moves back what stands behind and would not be found over a gap. */
void disk_index_remove(struct disk_index *x, struct disk_place *p) {
    size_t gap = (size_t)(p - x->places);
    for (size_t at = (gap + 1) & x->mask; x->places[at].hash; at = (at + 1) & x->mask) {
        size_t home = (size_t)x->places[at].hash & x->mask;
        if (((at - home) & x->mask) < ((at - gap) & x->mask))
            continue;
        x->places[gap] = x->places[at];
        gap = at;
    }
    x->places[gap].hash = 0;
    x->count--;
}

void disk_index_remove_segment(struct disk_index *x, uint32_t segment) {
    for (size_t i = 0; i <= x->mask;) {
        if (x->places[i].hash && x->places[i].segment == segment)
            disk_index_remove(x, &x->places[i]); /* another may stand here now */
        else
            i++;
    }
}

void disk_index_clear(struct disk_index *x) {
    memset(x->places, 0, (x->mask + 1) * sizeof(*x->places));
    x->count = 0;
}
