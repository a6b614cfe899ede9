/* disk_cache.h - answers on a disk (disk_log.h), for event loops.
 *
 * One thread opens the directory and writes, two read. Nobody else ever waits for
 * the disk: questions and answers to be stored stand in queues with a limit.
 * Where the directory cannot be used (another process has it, the disk is full
 * or gone), nothing is found and nothing is stored, and it is tried again. */
#ifndef SWG_STORE_DISK_CACHE_H
#define SWG_STORE_DISK_CACHE_H

#include "store/disk_log.h"

struct disk_cache_options {
    struct disk_log_options log;
    uint64_t retry_ns; /* after a failure; default 5 s */
    /* What people should know; on a thread of the store. `error`: -errno; 0: it works
     * again, or for the first time. Not repeated while it stays the same. */
    void (*on_state)(void *arg, int error, const struct cache_store_stats *);
    void *arg;
};

enum {
    DISK_CACHE_READERS = 2,
    DISK_CACHE_QUESTIONS_MAX = 1024,
    DISK_CACHE_PUTS_MAX = 256,
    DISK_CACHE_REMOVES_MAX = 4096, /* more at once: all is forgotten */
};

/* Starts the threads; opening goes on behind. 0 or -errno. */
int disk_cache_create(struct cache_store **out, const struct disk_cache_options *);
/* Writes what waits to be written, answers what was asked (what had not begun:
 * SKIPPED), and ends the threads. From then on nothing is taken. */
void disk_cache_stop(struct cache_store *);
/* After stop(). NULL is fine. */
void disk_cache_destroy(struct cache_store *);

#endif
