/* budget.c - how many retries the calls of the last ten seconds pay for.
 *
 *     retries * 100 <= percent * calls + floor_per_s * 10 * 100
 *
 * Time is cut into ticks of 100 ms; a ring keeps the counts of the last 128.
 * Calls are summed over the 100 newest ticks, retries over 101: both round in
 * the direction of fewer retries, so the promise holds for every ten seconds,
 * not only for those that begin with a tick.
 *
 * A call is counted by one compare-and-swap on the slot of its tick. Retries
 * are only written under the lock, which makes check and count one step. */
#include <switchgear/retry.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#define TICK_NS      SWG_MS(100)
#define WINDOW_TICKS 100
#define WINDOW_S     10
#define SLOTS        128
#define COUNT_BITS   28 /* 2.6e9 calls a second; leaves ticks for 200 years */
#define COUNT_MASK   ((UINT64_C(1) << COUNT_BITS) - 1)

struct swg_budget {
    /* Guards the options and makes a withdrawal one step. Held for a sum over
     * two rings; nothing is called under it. */
    pthread_mutex_t lock;
    uint64_t created_ns;
    uint32_t percent, floor_per_s; /* 0: none */
    bool unlimited;

    uint64_t latest_tick; /* of any withdrawal: a thread whose now is behind sees all others' */

    /* Each slot is tick << COUNT_BITS | count, of the latest tick that fell on
     * it; the two change together. calls: written by any thread in
     * swg_budget_count_call(), read under the lock and by swg_budget_read().
     * retries: written under the lock, read by swg_budget_read() without it.
     * Relaxed: a count carries no other data with it; a call that a withdrawal
     * on another thread does not see yet only makes that one stricter. */
    _Atomic uint64_t calls[SLOTS], retries[SLOTS];
};

/* The first tick is WINDOW_TICKS, so that a window never begins before 0. */
static uint64_t tick_of(const struct swg_budget *b, uint64_t now_ns) {
    return WINDOW_TICKS + (now_ns > b->created_ns ? (now_ns - b->created_ns) / TICK_NS : 0);
}

/* A slot that holds an older tick starts again; one that holds a newer one
 * belongs to a thread ahead of us by a whole ring, and is left alone. */
static void add_one(_Atomic uint64_t *ring, uint64_t tick) {
    _Atomic uint64_t *slot = &ring[tick % SLOTS];
    uint64_t seen = atomic_load_explicit(slot, memory_order_relaxed), next;
    do {
        uint64_t held = seen >> COUNT_BITS;
        if (held > tick)
            return;
        next = held == tick ? seen + 1 : tick << COUNT_BITS | 1;
    } while (!atomic_compare_exchange_weak_explicit(slot, &seen, next, memory_order_relaxed,
                                                    memory_order_relaxed));
}

static uint64_t sum(const _Atomic uint64_t *ring, uint64_t tick, uint32_t ticks) {
    uint64_t total = 0;
    for (uint32_t i = 0; i < ticks; i++) {
        uint64_t seen = atomic_load_explicit(&ring[(tick - i) % SLOTS], memory_order_relaxed);
        if (seen >> COUNT_BITS == tick - i)
            total += seen & COUNT_MASK;
    }
    return total;
}

static uint32_t or_default(uint32_t value, uint32_t standard) {
    return value == SWG_BUDGET_NONE ? 0 : value ? value : standard;
}

static enum swg_error check_options(const struct swg_budget_options *o) {
    if (o->percent != SWG_BUDGET_NONE && o->percent > 1000)
        return SWG_ERR_RANGE;
    if (o->floor_per_s != SWG_BUDGET_NONE && o->floor_per_s > 1000000)
        return SWG_ERR_RANGE;
    return SWG_OK;
}

static void take_options(struct swg_budget *b, const struct swg_budget_options *o) {
    b->percent = or_default(o->percent, 20);
    b->floor_per_s = or_default(o->floor_per_s, 10);
    b->unlimited = o->unlimited;
}

static const struct swg_budget_options defaults;

enum swg_error swg_budget_create(struct swg_budget **out, const struct swg_budget_options *options,
                                 uint64_t now_ns) {
    *out = NULL;
    if (!options)
        options = &defaults;
    enum swg_error e = check_options(options);
    if (e)
        return e;
    struct swg_budget *b = calloc(1, sizeof *b);
    if (!b)
        return SWG_ERR_NOMEM;
    if (pthread_mutex_init(&b->lock, NULL)) {
        free(b);
        return SWG_ERR_NOMEM;
    }
    b->created_ns = now_ns;
    take_options(b, options);
    *out = b;
    return SWG_OK;
}

void swg_budget_destroy(struct swg_budget *b) {
    if (!b)
        return;
    pthread_mutex_destroy(&b->lock);
    free(b);
}

enum swg_error swg_budget_configure(struct swg_budget *b, const struct swg_budget_options *o) {
    if (!o)
        o = &defaults;
    enum swg_error e = check_options(o);
    if (e)
        return e;
    pthread_mutex_lock(&b->lock);
    take_options(b, o);
    pthread_mutex_unlock(&b->lock);
    return SWG_OK;
}

void swg_budget_count_call(struct swg_budget *b, uint64_t now_ns) {
    add_one(b->calls, tick_of(b, now_ns));
}

/* The caller holds the lock. */
static bool fits(const struct swg_budget *b, uint64_t tick) {
    if (b->unlimited)
        return true;
    uint64_t calls = sum(b->calls, tick, WINDOW_TICKS);
    uint64_t retries = sum(b->retries, tick, WINDOW_TICKS + 1);
    uint64_t paid = calls * b->percent + (uint64_t)b->floor_per_s * WINDOW_S * 100;
    return (retries + 1) * 100 <= paid;
}

bool swg_budget_withdraw(struct swg_budget *b, uint64_t now_ns) {
    uint64_t tick = tick_of(b, now_ns);
    pthread_mutex_lock(&b->lock);
    if (tick < b->latest_tick)
        tick = b->latest_tick;
    b->latest_tick = tick;
    bool granted = fits(b, tick);
    if (granted)
        add_one(b->retries, tick);
    pthread_mutex_unlock(&b->lock);
    return granted;
}

void swg_budget_read(const struct swg_budget *b, uint64_t *calls, uint64_t *retries,
                     uint64_t now_ns) {
    uint64_t tick = tick_of(b, now_ns);
    *calls = sum(b->calls, tick, WINDOW_TICKS);
    *retries = sum(b->retries, tick, WINDOW_TICKS);
}
