/* disk_log.h - stored answers in segment files, found by an index in memory.
 *
 *   PATH/lock             held (flock) by the one process that uses the directory
 *   PATH/00000001.swg     segments: records one behind the other (cache_record.h),
 *   PATH/00000002.swg     written at the end of the newest only, read anywhere
 *
 * Nothing is ever synced: a cache may lose what it has. What it must not do is
 * serve what is damaged, or what was removed; disk_log.c tells how.
 *
 * When the files or the entries reach their limit, the oldest segment goes; what
 * was read since it was written there is written again, at the end, up to half
 * a segment of it. So what is asked for stays, a scan passes through, and each
 * byte is written twice at most on the way through the directory.
 *
 * Threading: read() and read_stats() from any thread; everything else from one
 * at a time, and it may wait for the disk. */
#ifndef SWG_STORE_DISK_LOG_H
#define SWG_STORE_DISK_LOG_H

#include <sys/types.h>
#include <sys/uio.h>

#include "store/cache_store.h"

struct disk_log;

struct disk_log_options {
    const char *path;
    uint64_t bytes_max, entries_max;
    /* For tests: instead of pwritev() and the wall clock. */
    ssize_t (*write)(int fd, const struct iovec *, int count, off_t at);
    int64_t (*wall_ms)(void);
};

enum {
    DISK_LOG_SEGMENTS_MAX = 64,
    DISK_LOG_SEGMENT_MIN = 64 * 1024, /* so at least 4 MiB altogether */
    DISK_LOG_SEGMENT_MAX = 1 << 30,
};

/* Touches no file. 0 or -ENOMEM. */
int disk_log_create(struct disk_log **out, const struct disk_log_options *);
void disk_log_destroy(struct disk_log *); /* NULL is fine */

/* Makes the directory where it is missing, takes it, and reads what is there.
 * 0, -EWOULDBLOCK (another process has it), -errno. Also when it is open
 * already, or was: begins anew. Meanwhile nothing is found. */
int disk_log_open(struct disk_log *);

/* 0; -E2BIG: longer than a segment; -errno of the write, and then nothing is
 * there under this key. */
int disk_log_append(struct disk_log *, const struct cache_record *);
/* Also where it cannot be written down: then what might come back is deleted. */
void disk_log_remove(struct disk_log *, const uint8_t key[CACHE_RECORD_KEY]);
/* Everything. */
void disk_log_clear(struct disk_log *);

/* HIT with *record and *data (to be freed), MISS, DAMAGED or ERROR. */
enum cache_store_result disk_log_read(struct disk_log *, const uint8_t key[CACHE_RECORD_KEY],
                                      struct cache_record *, char **data);
/* ready, entries and bytes. */
void disk_log_read_stats(struct disk_log *, struct cache_store_stats *);
/* Asserts that files and index agree; for tests. */
void disk_log_check(struct disk_log *);

#endif
