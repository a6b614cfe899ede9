/* bulkhead.h - at most so many calls at once, and a bounded queue before it.
 *
 * A slot is held while an attempt is under way, never during a wait between
 * attempts. A waiter whose time is over while it is being granted has been
 * granted: no slot is ever lost between the two.
 *
 * Threading: any thread. Taking a free slot and giving one back while nobody
 * waits take no lock. Memory: waiters are the caller's. */
#ifndef SWITCHGEAR_BULKHEAD_H
#define SWITCHGEAR_BULKHEAD_H

#include <stdbool.h>
#include <stdint.h>

#include <switchgear/error.h>
#include <switchgear/export.h>
#include <switchgear/refusal.h>
#include <switchgear/time.h>

struct swg_bulkhead;

struct swg_bulkhead_options {
    uint32_t concurrent; /* 1…1,000,000; default 1024; SWG_BULKHEAD_UNLIMITED */
    uint32_t queue;      /* at most so many waiters, 0…1,000,000; default 0 */
    uint64_t wait_ns;    /* a waiter gives up after it; default 0: none may wait */
};
#define SWG_BULKHEAD_UNLIMITED UINT32_MAX

/* One who waits, embedded in the caller's object. */
struct swg_waiter {
    /* A slot is yours now; runs outside all locks, on the thread of whoever
     * gave the slot back: hand it to your own thread. */
    void (*on_grant)(struct swg_waiter *);
    struct swg_waiter *next, *prev; /* the bulkhead's */
    uint8_t state;                  /* the bulkhead's */
};

struct swg_bulkhead_stats {
    uint32_t in_use, waiting;   /* now */
    uint32_t concurrent, queue; /* the limits; concurrent may be SWG_BULKHEAD_UNLIMITED */
    /* since create: got a slot; turned away; gave up waiting */
    uint64_t admitted, refused_full, refused_timeout;
};

SWG_BEGIN_DECLS

/* `options` may be NULL for all defaults, here and below. SWG_ERR_RANGE, SWG_ERR_NOMEM: *out is
 * then NULL. */
SWG_API enum swg_error swg_bulkhead_create(struct swg_bulkhead **out,
                                           const struct swg_bulkhead_options *);
SWG_API void swg_bulkhead_destroy(struct swg_bulkhead *); /* nobody in it */
/* New limits from now on; who is inside or waits stays so. A smaller limit lets those inside
 * finish; a larger one grants waiters. On an error nothing has changed. */
SWG_API enum swg_error swg_bulkhead_configure(struct swg_bulkhead *,
                                              const struct swg_bulkhead_options *);

enum swg_entry { SWG_ENTERED, SWG_QUEUED, SWG_TURNED_AWAY };
/* SWG_QUEUED: on_grant will be called, or leave the queue with
 * swg_bulkhead_give_up(), at the latest after *wait_ns. A waiter of NULL is
 * never queued; nobody is while wait_ns or the queue is 0. */
SWG_API enum swg_entry swg_bulkhead_enter(struct swg_bulkhead *, struct swg_waiter *,
                                          uint64_t *wait_ns);
/* Gives a slot back, or hands it to the first in the queue. */
SWG_API void swg_bulkhead_leave(struct swg_bulkhead *);
/* Leaves the queue. True: done, counted as a timeout if timed_out. False: the
 * slot had already been granted and is the caller's; on_grant ran, runs, or
 * is about to, so the waiter's memory must stay until it did. */
SWG_API bool swg_bulkhead_give_up(struct swg_bulkhead *, struct swg_waiter *, bool timed_out);

SWG_API void swg_bulkhead_read(const struct swg_bulkhead *, struct swg_bulkhead_stats *);
SWG_API void swg_bulkhead_check(const struct swg_bulkhead *);

SWG_END_DECLS

#endif
