/* slot.c - which thread has which slot.
 *
 * Owned slots are bits of one word. A thread takes the lowest free bit at its
 * first use and gives it back at its end, by the destructor of a thread
 * specific key. Destructors that run after ours find the thread in a shared
 * slot. The release in giving back and the acquire in taking make the counts
 * of the old thread visible to the new one, which adds to them without an
 * atomic addition. */
#include "engine/slot.h"

#include <pthread.h>

_Thread_local unsigned swg__slot_of_thread __attribute__((tls_model("initial-exec")));

/* Bit i: owned slot i is taken. Written by threads that begin and end. */
static atomic_uint slots_taken;
/* How many threads went to shared slots; only spreads them: relaxed. */
static atomic_uint slots_shared;

static pthread_once_t slot_once = PTHREAD_ONCE_INIT;
static pthread_key_t slot_key;
static int slot_key_usable;

static unsigned slot_share(void) {
    unsigned n = atomic_fetch_add_explicit(&slots_shared, 1, memory_order_relaxed);
    return SWG__SLOTS_OWN + n % (SWG__SLOTS - SWG__SLOTS_OWN);
}

static void slot_give_back(void *arg) {
    unsigned slot = (unsigned)(uintptr_t)arg - 1;
    swg__slot_of_thread = slot_share() + 1;
    atomic_fetch_and_explicit(&slots_taken, ~(1u << slot), memory_order_release);
}

static void slot_make_key(void) {
    slot_key_usable = pthread_key_create(&slot_key, slot_give_back) == 0;
}

static int slot_own(unsigned *slot) {
    unsigned taken = atomic_load_explicit(&slots_taken, memory_order_relaxed);
    do {
        unsigned bit = (unsigned)__builtin_ctz(~taken);
        if (bit >= SWG__SLOTS_OWN)
            return 0;
        *slot = bit;
    } while (!atomic_compare_exchange_weak_explicit(&slots_taken, &taken, taken | 1u << *slot,
                                                    memory_order_acquire, memory_order_relaxed));
    return 1;
}

unsigned swg__slot_take(void) {
    unsigned slot;
    pthread_once(&slot_once, slot_make_key);
    if (!slot_key_usable || !slot_own(&slot)) {
        slot = slot_share();
    } else if (pthread_setspecific(slot_key, (void *)(uintptr_t)(slot + 1)) != 0) {
        atomic_fetch_and_explicit(&slots_taken, ~(1u << slot), memory_order_release);
        slot = slot_share();
    }
    swg__slot_of_thread = slot + 1;
    return slot;
}
