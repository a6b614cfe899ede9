/* disk_space.h - how much room there is left where files of ours grow.
 *
 * A file system may not answer at all: a network disk whose server is gone keeps
 * whoever asks, for good and beyond signals. So a thread of its own asks, every few
 * seconds, and everybody else reads what it found last, and how old that is. A thread
 * that hangs there holds up neither an event loop nor the end of the process: it is
 * left behind.
 *
 * Threading: create and destroy on one thread; read on any. */
#ifndef SWG_OBSERVE_DISK_SPACE_H
#define SWG_OBSERVE_DISK_SPACE_H

#include <stdbool.h>
#include <stdint.h>

#include "observe/metrics.h"

enum { DISK_PLACES_MAX = 4 };

struct disk_space;

struct disk_place {
    const char *name; /* "store", "cache": a static word, the label of the metrics */
    const char *path; /* of the directory, or of a file in it; is copied */
};

struct disk_reading {
    const char *name;
    const char *path;                /* valid as long as the disk_space */
    bool known;                      /* it has answered once */
    uint64_t free_bytes, size_bytes; /* free: what an ordinary user may still fill */
    uint64_t age_ns;                 /* since it answered */
};

/* Registers the families gateway_disk_free_bytes and gateway_disk_size_bytes, and, where
 * there are places, starts the thread. Destroy after the last scrape. 0 or -errno. */
int disk_space_create(struct disk_space **out, struct metrics *, const struct disk_place *,
                      uint32_t count);
/* Waits half a second at most for the thread. */
void disk_space_destroy(struct disk_space *);
/* How many there are. */
uint32_t disk_space_read(struct disk_space *, struct disk_reading out[DISK_PLACES_MAX]);

#endif
