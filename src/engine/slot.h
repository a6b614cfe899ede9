/* slot.h - gives each thread a place of its own in sharded counters.
 *
 * A counter that every call increments must not be one shared cache line. It
 * is an array of SWG__SLOTS lines instead, and a thread adds to the line of
 * its slot; a reader sums all lines. The first SWG__SLOTS_OWN slots belong to
 * one living thread each, so adding is a plain load and store; they go back
 * when the thread ends. Threads beyond that share the other slots evenly, by
 * atomic addition.
 *
 * Threading: any thread. Memory: none. */
#ifndef SWG_ENGINE_SLOT_H
#define SWG_ENGINE_SLOT_H

#include <stdatomic.h>
#include <stdint.h>

enum {
    SWG__SLOTS = 16,
    SWG__SLOTS_OWN = 8,
    SWG__LINE = 64, /* bytes of a cache line */
};

/* This thread's slot plus one; 0: none taken yet. Local-exec or initial-exec
 * access is one instruction, where the general model calls a function. */
extern _Thread_local unsigned swg__slot_of_thread __attribute__((tls_model("initial-exec")));

/* Takes a slot for this thread, and returns it. */
unsigned swg__slot_take(void);

static inline unsigned swg__slot(void) {
    unsigned s = swg__slot_of_thread;
    return __builtin_expect(s != 0, 1) ? s - 1 : swg__slot_take();
}

/* Adds to a counter of this thread's slot. Written by the slot's thread (or
 * threads), read by whoever sums: relaxed, because a sum promises only that
 * what happened before, by some other synchronisation, is in it. */
static inline void swg__slot_add(_Atomic uint64_t *counter, unsigned slot, uint64_t n) {
    if (__builtin_expect(slot < SWG__SLOTS_OWN, 1)) {
        uint64_t v = atomic_load_explicit(counter, memory_order_relaxed);
        atomic_store_explicit(counter, v + n, memory_order_relaxed);
    } else {
        atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
    }
}

#endif
