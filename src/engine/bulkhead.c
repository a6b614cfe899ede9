/* bulkhead.c - counts who is inside, and queues who is not yet.
 *
 * One word holds both numbers, so that they change together:
 *
 *     places = waiting << 32 | inside
 *
 * enter   waiting = 0, inside < limit     inside + 1                 no lock
 *         else, room in the queue         waiting + 1, linked        lock
 * leave   waiting = 0                     inside - 1                 no lock
 *         else, inside <= limit           waiting - 1, slot handed to the first   lock
 *         else (the limit has shrunk)     inside - 1                 lock
 * give up still linked                    waiting - 1, unlinked      lock
 *
 * True at any time: nobody waits while a slot is free, because a waiter is
 * added only by a swap that saw no free slot, and while somebody waits slots
 * are given back under the lock only. So no newcomer overtakes, the limit is
 * never overshot, and a slot handed over never passes through "free".
 *
 * Whether a waiter was granted or gave up is settled under the lock, by its
 * state: exactly one of the two happens, and a slot is never lost between. */
#include <switchgear/bulkhead.h>

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>

#define LINE 64 /* bytes of a cache line */

enum waiter_state { WAITER_OUTSIDE, WAITER_QUEUED, WAITER_GRANTED };

struct swg_bulkhead {
    /* Written by everybody who enters or leaves. Success is acquire-release:
     * who takes a slot sees what the one who gave it back did before. */
    _Alignas(LINE) _Atomic uint64_t places;
    /* Written by any thread, read by swg_bulkhead_read(): relaxed, a mere count. */
    _Atomic uint64_t admitted;

    /* Written under the lock by swg_bulkhead_configure(); read anywhere, where
     * an old value only means that the change came a moment later: relaxed.
     * Under the lock the limit is exact. */
    _Alignas(LINE) _Atomic uint32_t limit;
    _Atomic uint32_t queue;
    _Atomic uint64_t wait_ns;
    /* As admitted. */
    _Atomic uint64_t refused_full, refused_timeout;

    /* Guards the list and the states of the waiters in it. Held for a few
     * instructions; no callback runs under it. */
    pthread_mutex_t lock;
    struct swg_waiter *first, *last;
};

static uint32_t inside(uint64_t places) {
    return (uint32_t)places;
}

static uint32_t waiting(uint64_t places) {
    return (uint32_t)(places >> 32);
}

static const uint64_t one_inside = 1;
static const uint64_t one_waiting = UINT64_C(1) << 32;

static uint64_t load_places(const struct swg_bulkhead *b) {
    return atomic_load_explicit(&b->places, memory_order_relaxed);
}

static uint32_t load_limit(const struct swg_bulkhead *b) {
    return atomic_load_explicit(&b->limit, memory_order_relaxed);
}

/* False if another thread was first; *seen is then what it left. */
static bool swap_places(struct swg_bulkhead *b, uint64_t *seen, uint64_t next) {
    return atomic_compare_exchange_weak_explicit(&b->places, seen, next, memory_order_acq_rel,
                                                 memory_order_relaxed);
}

static void add_places(struct swg_bulkhead *b, uint64_t difference) {
    atomic_fetch_add_explicit(&b->places, difference, memory_order_acq_rel);
}

static void count(_Atomic uint64_t *counter) {
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

/* ---- the queue; all under the lock ------------------------------------- */

static void link_last(struct swg_bulkhead *b, struct swg_waiter *w) {
    w->next = NULL;
    w->prev = b->last;
    if (b->last)
        b->last->next = w;
    else
        b->first = w;
    b->last = w;
    w->state = WAITER_QUEUED;
}

static void unlink_waiter(struct swg_bulkhead *b, struct swg_waiter *w, enum waiter_state state) {
    if (w->prev)
        w->prev->next = w->next;
    else
        b->first = w->next;
    if (w->next)
        w->next->prev = w->prev;
    else
        b->last = w->prev;
    w->next = w->prev = NULL;
    w->state = (uint8_t)state;
}

/* ---- create ------------------------------------------------------------- */

static enum swg_error check_options(const struct swg_bulkhead_options *o) {
    if (o->concurrent > 1000000 && o->concurrent != SWG_BULKHEAD_UNLIMITED)
        return SWG_ERR_RANGE;
    return o->queue > 1000000 ? SWG_ERR_RANGE : SWG_OK;
}

static void take_options(struct swg_bulkhead *b, const struct swg_bulkhead_options *o) {
    uint32_t limit = o->concurrent ? o->concurrent : 1024;
    uint64_t wait_ns = o->wait_ns == SWG_OFF ? 0 : o->wait_ns;
    atomic_store_explicit(&b->limit, limit, memory_order_relaxed);
    atomic_store_explicit(&b->queue, o->queue, memory_order_relaxed);
    atomic_store_explicit(&b->wait_ns, wait_ns, memory_order_relaxed);
}

static const struct swg_bulkhead_options defaults;

enum swg_error swg_bulkhead_create(struct swg_bulkhead **out,
                                   const struct swg_bulkhead_options *options) {
    *out = NULL;
    if (!options)
        options = &defaults;
    enum swg_error e = check_options(options);
    if (e)
        return e;
    struct swg_bulkhead *b = aligned_alloc(LINE, sizeof *b);
    if (!b)
        return SWG_ERR_NOMEM;
    *b = (struct swg_bulkhead){0};
    if (pthread_mutex_init(&b->lock, NULL)) {
        free(b);
        return SWG_ERR_NOMEM;
    }
    take_options(b, options);
    *out = b;
    return SWG_OK;
}

void swg_bulkhead_destroy(struct swg_bulkhead *b) {
    if (!b)
        return;
    assert(load_places(b) == 0);
    pthread_mutex_destroy(&b->lock);
    free(b);
}

/* Hands free slots to those who wait: they come off the queue under the lock,
 * and are called after it. Returns them linked by next. */
static struct swg_waiter *grant_free_slots(struct swg_bulkhead *b) {
    struct swg_waiter *granted = NULL, **end = &granted;
    while (b->first && inside(load_places(b)) < load_limit(b)) {
        struct swg_waiter *w = b->first;
        unlink_waiter(b, w, WAITER_GRANTED);
        add_places(b, one_inside - one_waiting);
        count(&b->admitted);
        *end = w;
        end = &w->next;
    }
    return granted;
}

enum swg_error swg_bulkhead_configure(struct swg_bulkhead *b,
                                      const struct swg_bulkhead_options *options) {
    if (!options)
        options = &defaults;
    enum swg_error e = check_options(options);
    if (e)
        return e;
    pthread_mutex_lock(&b->lock);
    take_options(b, options);
    struct swg_waiter *granted = grant_free_slots(b);
    pthread_mutex_unlock(&b->lock);
    while (granted) {
        struct swg_waiter *w = granted;
        granted = w->next; /* once called, w is not ours any more */
        w->on_grant(w);
    }
    return SWG_OK;
}

/* ---- enter --------------------------------------------------------------- */

static bool take_free_slot(struct swg_bulkhead *b) {
    uint64_t seen = load_places(b);
    while (!waiting(seen) && inside(seen) < load_limit(b)) {
        if (swap_places(b, &seen, seen + one_inside)) {
            count(&b->admitted);
            return true;
        }
    }
    return false;
}

/* Under the lock: a slot may have become free since, or the queue be full. */
static enum swg_entry queue_up(struct swg_bulkhead *b, struct swg_waiter *w) {
    uint64_t seen = load_places(b);
    for (;;) {
        bool free_slot = !waiting(seen) && inside(seen) < load_limit(b);
        if (!free_slot && waiting(seen) >= atomic_load_explicit(&b->queue, memory_order_relaxed))
            return SWG_TURNED_AWAY;
        if (!swap_places(b, &seen, seen + (free_slot ? one_inside : one_waiting)))
            continue;
        if (free_slot)
            return SWG_ENTERED;
        link_last(b, w);
        return SWG_QUEUED;
    }
}

enum swg_entry swg_bulkhead_enter(struct swg_bulkhead *b, struct swg_waiter *w, uint64_t *wait_ns) {
    if (take_free_slot(b))
        return SWG_ENTERED;
    uint64_t wait = atomic_load_explicit(&b->wait_ns, memory_order_relaxed);
    enum swg_entry entry = SWG_TURNED_AWAY;
    if (w && wait && atomic_load_explicit(&b->queue, memory_order_relaxed)) {
        pthread_mutex_lock(&b->lock);
        entry = queue_up(b, w);
        pthread_mutex_unlock(&b->lock);
        *wait_ns = wait;
    }
    if (entry != SWG_QUEUED)
        count(entry == SWG_ENTERED ? &b->admitted : &b->refused_full);
    return entry;
}

/* ---- leave --------------------------------------------------------------- */

static bool give_back_unwanted_slot(struct swg_bulkhead *b) {
    uint64_t seen = load_places(b);
    assert(inside(seen) > 0);
    while (!waiting(seen)) {
        if (swap_places(b, &seen, seen - one_inside))
            return true;
    }
    return false;
}

/* Under the lock. Returns who has the slot now; NULL: nobody. With waiters the
 * word can change only under the lock, but until then the last of them may
 * have given up. */
static struct swg_waiter *hand_over(struct swg_bulkhead *b) {
    struct swg_waiter *heir = b->first;
    if (!heir || inside(load_places(b)) > load_limit(b)) {
        add_places(b, -one_inside);
        return NULL;
    }
    unlink_waiter(b, heir, WAITER_GRANTED);
    add_places(b, -one_waiting);
    count(&b->admitted);
    return heir;
}

void swg_bulkhead_leave(struct swg_bulkhead *b) {
    if (give_back_unwanted_slot(b))
        return;
    pthread_mutex_lock(&b->lock);
    struct swg_waiter *heir = hand_over(b);
    pthread_mutex_unlock(&b->lock);
    if (heir)
        heir->on_grant(heir);
}

bool swg_bulkhead_give_up(struct swg_bulkhead *b, struct swg_waiter *w, bool timed_out) {
    pthread_mutex_lock(&b->lock);
    bool queued = w->state == WAITER_QUEUED;
    if (queued) {
        unlink_waiter(b, w, WAITER_OUTSIDE);
        add_places(b, -one_waiting);
    }
    pthread_mutex_unlock(&b->lock);
    if (queued && timed_out)
        count(&b->refused_timeout);
    return queued;
}

/* ---- look ---------------------------------------------------------------- */

void swg_bulkhead_read(const struct swg_bulkhead *b, struct swg_bulkhead_stats *out) {
    uint64_t places = load_places(b);
    *out = (struct swg_bulkhead_stats){
        .in_use = inside(places),
        .waiting = waiting(places),
        .concurrent = load_limit(b),
        .queue = atomic_load_explicit(&b->queue, memory_order_relaxed),
        .admitted = atomic_load_explicit(&b->admitted, memory_order_relaxed),
        .refused_full = atomic_load_explicit(&b->refused_full, memory_order_relaxed),
        .refused_timeout = atomic_load_explicit(&b->refused_timeout, memory_order_relaxed),
    };
}

/* An invariant that does not hold ends the program also where assert() is off:
 * whoever calls check wants to know. */
static void must(bool holds) {
    if (!holds)
        abort();
}

void swg_bulkhead_check(const struct swg_bulkhead *b) {
    pthread_mutex_t *lock = (pthread_mutex_t *)&b->lock; /* looking changes only the lock */
    pthread_mutex_lock(lock);
    uint64_t places = load_places(b);
    uint32_t linked = 0;
    const struct swg_waiter *before = NULL;
    for (const struct swg_waiter *w = b->first; w; before = w, w = w->next, linked++) {
        must(w->prev == before);
        must(w->state == WAITER_QUEUED);
    }
    must(b->last == before);
    must(waiting(places) == linked);
    must(!linked || inside(places) >= load_limit(b));
    pthread_mutex_unlock(lock);
}
