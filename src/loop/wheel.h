/* wheel.h - timers by the million, all operations O(1).
 *
 * A hierarchical timing wheel: eight levels of 64 slots; a slot of the lowest
 * level is 1 ms, one of the next 64 ms, and so on, so that every uint64_t
 * nanosecond has a place. A timer fires at or after its due time, never
 * before, and less than 1 ms after the first wheel_fire() could have done it.
 *
 * Pure: time comes in as an argument. Threading: the caller's. Memory: none
 * beyond the struct; timers belong to whoever embeds them. Unit: ns. */
#ifndef SWG_LOOP_WHEEL_H
#define SWG_LOOP_WHEEL_H

#include <stdint.h>

#include "base/io.h"
#include "base/list.h"

#define WHEEL_LEVELS    8
#define WHEEL_SLOT_BITS 6
#define WHEEL_SLOTS     (1 << WHEEL_SLOT_BITS)

struct wheel {
    uint64_t now_ns;                 /* of the last wheel_fire() */
    uint64_t elapsed;                /* ticks of 1 ms that are dealt with */
    struct list due;                 /* to fire at the next wheel_fire() */
    uint64_t occupied[WHEEL_LEVELS]; /* bit i: slot i is not empty */
    struct list slots[WHEEL_LEVELS][WHEEL_SLOTS];
};

void wheel_init(struct wheel *, uint64_t now_ns);

/* Arms the timer, or moves it. UINT64_MAX clears it. A time that is past fires
 * at the next wheel_fire(), never inside this call. */
void wheel_set(struct wheel *, struct io_timer *, uint64_t due_ns);

/* Harmless on a timer that is not armed. */
void wheel_clear(struct wheel *, struct io_timer *);

/* When wheel_fire() should be called next: 0 for at once, UINT64_MAX for never.
 * May be earlier than the first timer, by a slot's beginning, never later. */
uint64_t wheel_next(const struct wheel *);

/* Runs on_due of every timer due by now, those of earlier milliseconds first.
 * A callback may set, clear or free any timer, its own too; what it sets for
 * now or earlier waits for the next call, so a timer cannot starve the loop.
 * Returns how many fired. */
unsigned wheel_fire(struct wheel *, uint64_t now_ns);

/* Aborts unless every timer is where it must be. For tests. */
void wheel_check(const struct wheel *);

#endif
