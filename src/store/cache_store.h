/* cache_store.h - where answers are kept behind the cache in memory: on a disk,
 * in a Redis.
 *
 * A store may lose anything at any time, and the gateway goes on; it never
 * makes anybody wait: what it is asked is answered later, on the loop of who
 * asked, and what it is given is written behind, or dropped when too much is
 * waiting already. What comes out of it was checked against accidents
 * (cache_record.h), and is from outside nevertheless.
 *
 * Threading: a disk's may be used by any thread, a Redis's belongs to the
 * thread of its loop. */
#ifndef SWG_STORE_CACHE_STORE_H
#define SWG_STORE_CACHE_STORE_H

#include <stdatomic.h>

#include "base/io.h"
#include "base/list.h"
#include "store/cache_record.h"

struct cache_store;

enum cache_store_result {
    CACHE_STORE_HIT,
    CACHE_STORE_MISS,
    CACHE_STORE_DAMAGED, /* something was there, and is no more */
    CACHE_STORE_ERROR,   /* the store failed */
    CACHE_STORE_TIMEOUT,
    CACHE_STORE_SKIPPED, /* was not asked: stopping, or given up before its turn */
};

/* One question, the asker's memory until on_answer. */
struct cache_question {
    uint8_t key[CACHE_RECORD_KEY];
    struct io *io; /* the asker's loop */
    /* Once, on that loop, never inside ask(). */
    void (*on_answer)(struct cache_question *);
    /* The asker sets it (relaxed) when the answer is of no use any more; the
     * store reads it to save itself the work. on_answer comes anyway. */
    atomic_bool dropped;
    /* the answer */
    enum cache_store_result result;
    struct cache_record record; /* of a hit; views into data */
    char *data;                 /* malloc()ed, the asker's to free; NULL: none */
    /* the store's */
    struct io_task task;
    struct list link;
};

struct cache_store_stats {
    bool ready; /* it can be asked */
    uint64_t entries, bytes;
    uint64_t damaged; /* records found that were none */
    uint64_t unsaved; /* answers that could not be written, or were not waited for */
};

struct cache_store_ops {
    /* 0, or -EAGAIN (not ready, or too many questions are waiting): then
     * on_answer does not come. */
    int (*ask)(struct cache_store *, struct cache_question *);
    /* The record's views stay valid until `release(owner)`, which is called
     * once, in any case, on any thread. */
    void (*put)(struct cache_store *, const struct cache_record *, void *owner,
                void (*release)(void *owner));
    /* What is kept under the key, and what was put before and is still on its
     * way, is forgotten. */
    void (*remove)(struct cache_store *, const uint8_t key[CACHE_RECORD_KEY]);
    void (*read)(struct cache_store *, struct cache_store_stats *);
};

struct cache_store {
    const struct cache_store_ops *ops;
};

#endif
