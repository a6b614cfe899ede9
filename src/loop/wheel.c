/* wheel.c - see wheel.h.
 *
 * Where a timer lies follows from the highest bit in which its tick differs
 * from `elapsed`: that bit's group of six is the level, the tick's own six bits
 * there the slot. Three things follow, and wheel_check() holds them:
 *
 *   - all slots in use at a level lie ahead of elapsed's own index there, so
 *     the first set bit of `occupied` is the next one, with no wrap-around;
 *   - everything at a level comes before everything at a higher one, so the
 *     next event is the first slot of the lowest level in use;
 *   - a timer keeps its place while `elapsed` moves, until its slot is reached;
 *     then the slot's timers are placed again, each at a lower level.
 *
 * So a timer moves at most seven times in its life, and one that is cleared
 * before (nearly all are, in a gateway) never moves. Rejected: a heap, O(log n)
 * for the two operations that each request does several times; and a wheel
 * without cascade as in Linux, which is up to 12% late for far timers. */
#include "loop/wheel.h"

#include <stdbool.h>
#include <stdlib.h>

#define TICK_NS 1000000u

static void place(struct wheel *, struct io_timer *);
static void reach(struct wheel *, int level);
static int lowest_level(const struct wheel *);
static uint64_t first_tick(const struct wheel *, int level);

void wheel_init(struct wheel *w, uint64_t now_ns) {
    w->now_ns = now_ns;
    w->elapsed = now_ns / TICK_NS;
    list_init(&w->due);
    for (int level = 0; level < WHEEL_LEVELS; level++) {
        w->occupied[level] = 0;
        for (int slot = 0; slot < WHEEL_SLOTS; slot++)
            list_init(&w->slots[level][slot]);
    }
}

void wheel_set(struct wheel *w, struct io_timer *t, uint64_t due_ns) {
    wheel_clear(w, t);
    if (due_ns == UINT64_MAX)
        return;
    t->due_ns = due_ns;
    place(w, t);
}

void wheel_clear(struct wheel *w, struct io_timer *t) {
    struct list *other = t->link.next;
    if (other == t->link.prev && other != &t->link) {
        /* The only member: `other` is the head, and if it is a slot's, the slot
         * is empty now. It may as well be `due` or a list being fired. */
        uintptr_t at = (uintptr_t)other - (uintptr_t)w->slots;
        if (at < sizeof w->slots) {
            size_t slot = at / sizeof w->slots[0][0];
            w->occupied[slot / WHEEL_SLOTS] &= ~(UINT64_C(1) << (slot % WHEEL_SLOTS));
        }
    }
    list_remove(&t->link);
    t->due_ns = UINT64_MAX;
}

uint64_t wheel_next(const struct wheel *w) {
    if (!list_empty(&w->due))
        return 0;
    int level = lowest_level(w);
    if (level == WHEEL_LEVELS)
        return UINT64_MAX;
    uint64_t tick = first_tick(w, level);
    return tick > UINT64_MAX / TICK_NS ? UINT64_MAX : tick * TICK_NS;
}

unsigned wheel_fire(struct wheel *w, uint64_t now_ns) {
    uint64_t now = now_ns / TICK_NS;
    unsigned fired = 0;
    struct list firing;
    struct list *link;

    for (int level; (level = lowest_level(w)) < WHEEL_LEVELS && first_tick(w, level) <= now;)
        reach(w, level);
    if (now > w->elapsed)
        w->elapsed = now;
    if (now_ns > w->now_ns)
        w->now_ns = now_ns;
    list_init(&firing);
    list_splice_back(&firing, &w->due);
    while ((link = list_pop_front(&firing))) {
        struct io_timer *t = container_of(link, struct io_timer, link);
        t->due_ns = UINT64_MAX;
        t->on_due(t);
        fired++;
    }
    return fired;
}

static uint64_t tick_of(const struct io_timer *t) {
    return t->due_ns / TICK_NS + (t->due_ns % TICK_NS != 0);
}

static int level_of(const struct wheel *w, uint64_t tick) {
    return (63 - __builtin_clzll(tick ^ w->elapsed)) / WHEEL_SLOT_BITS;
}

static int slot_of(uint64_t tick, int level) {
    return (int)(tick >> (level * WHEEL_SLOT_BITS)) & (WHEEL_SLOTS - 1);
}

/* Puts a timer that is in no list where its due_ns belongs. */
static void place(struct wheel *w, struct io_timer *t) {
    uint64_t tick = tick_of(t);
    if (t->due_ns <= w->now_ns || tick <= w->elapsed) {
        list_push_back(&w->due, &t->link);
        return;
    }
    int level = level_of(w, tick);
    int slot = slot_of(tick, level);
    w->occupied[level] |= UINT64_C(1) << slot;
    list_push_back(&w->slots[level][slot], &t->link);
}

static int lowest_level(const struct wheel *w) {
    int level = 0;
    while (level < WHEEL_LEVELS && !w->occupied[level])
        level++;
    return level;
}

/* The tick at which the first slot in use of this level begins. */
static uint64_t first_tick(const struct wheel *w, int level) {
    int shift = level * WHEEL_SLOT_BITS;
    uint64_t slot = (uint64_t)__builtin_ctzll(w->occupied[level]);
    uint64_t above = w->elapsed >> (shift + WHEEL_SLOT_BITS) << (shift + WHEEL_SLOT_BITS);
    return above | slot << shift;
}

/* Moves `elapsed` to the first slot of the level and places its timers again:
 * at a lower level, or in `due`. */
static void reach(struct wheel *w, int level) {
    int slot = __builtin_ctzll(w->occupied[level]);
    struct list moving;
    struct list *link;

    w->elapsed = first_tick(w, level);
    w->occupied[level] &= ~(UINT64_C(1) << slot);
    list_init(&moving);
    list_splice_back(&moving, &w->slots[level][slot]);
    while ((link = list_pop_front(&moving)))
        place(w, container_of(link, struct io_timer, link));
}

static void require(bool holds) {
    if (!holds)
        abort();
}

static void check_slot(const struct wheel *w, int level, int slot) {
    const struct list *head = &w->slots[level][slot];
    require(list_empty(head) == !(w->occupied[level] >> slot & 1));
    for (const struct list *link = head->next; link != head; link = link->next) {
        uint64_t tick = tick_of(container_of(link, struct io_timer, link));
        require(link->next->prev == link && link->prev->next == link);
        require(tick > w->elapsed);
        require(level_of(w, tick) == level && slot_of(tick, level) == slot);
    }
}

void wheel_check(const struct wheel *w) {
    for (int level = 0; level < WHEEL_LEVELS; level++)
        for (int slot = 0; slot < WHEEL_SLOTS; slot++)
            check_slot(w, level, slot);
}
