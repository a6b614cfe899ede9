/* disk_priv.h - the layout of a disk_log, for its own files. */
#ifndef SWG_STORE_DISK_PRIV_H
#define SWG_STORE_DISK_PRIV_H

#include <pthread.h>

#include "store/disk_index.h"
#include "store/disk_log.h"

struct disk_segment {
    struct list link;
    uint32_t number;
    int fd;
    uint32_t size; /* of its whole records; the writer's, others read it under the lock */
    uint32_t readers;
    bool gone; /* unlinked: closed by its last reader */
};

struct disk_log {
    struct disk_log_options options;
    char *path;
    uint32_t segment_bytes, segments_max;
    int lock_fd;          /* -1: not open */
    pthread_mutex_t lock; /* guards all below; never held over a read or a write */
    struct disk_index index;
    struct list segments; /* oldest first */
    uint32_t segment_count, last_number;
    struct disk_segment *newest; /* being written; NULL: none yet */
    bool ready;
};

/* ---- disk_segment.c: the files ---------------------------------------------- */

/* The caller has no lock. NULL with *error set. */
struct disk_segment *disk_segment_create(struct disk_log *, int *error);
/* Out of the list, off the disk, out of the index. */
void disk_segment_drop(struct disk_log *, struct disk_segment *);
void disk_segment_hold(struct disk_segment *); /* under the lock */
void disk_segment_release(struct disk_log *, struct disk_segment *);
/* Reads all `len` bytes: 0, -EBADMSG (the file is shorter), -errno. */
int disk_segment_read(const struct disk_segment *, void *, size_t len, uint64_t at);

/* Finds the segments in the directory and fills the index from them. 0 or -errno. */
int disk_scan(struct disk_log *);

int64_t disk_wall_ms(const struct disk_log *);
uint32_t disk_over_s(const struct cache_record *);

#endif
