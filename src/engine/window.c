/* window.c - see window.h.
 *
 * Why a window of calls keeps positions and not a ring of results: a ring must
 * be written by every success, which makes it the most contended line of a
 * healthy service. Positions cost a success nothing. A failure at position p
 * is in the window as long as fewer than calls_max calls came after it, that
 * is while p > position - calls_max. */
#include "engine/window.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <switchgear/time.h>

/* ---- positions ---- */

static enum swg_error positions_init(struct swg__positions *p, uint32_t capacity) {
    *p = (struct swg__positions){0};
    if (capacity == 0)
        return SWG_OK;
    p->at = calloc(capacity, sizeof(*p->at));
    if (!p->at)
        return SWG_ERR_NOMEM;
    p->capacity = capacity;
    return SWG_OK;
}

static uint64_t positions_get(const struct swg__positions *p, uint32_t i) {
    return p->at[(p->first + i) % p->capacity];
}

static void positions_drop_oldest(struct swg__positions *p) {
    p->first = (p->first + 1) % p->capacity;
    p->count--;
}

static void positions_push(struct swg__positions *p, uint64_t position) {
    if (p->capacity == 0)
        return;
    if (p->count == p->capacity)
        positions_drop_oldest(p);
    p->at[(p->first + p->count++) % p->capacity] = position;
}

static void positions_prune(struct swg__positions *p, uint64_t after) {
    while (p->count > 0 && positions_get(p, 0) <= after)
        positions_drop_oldest(p);
}

/* How many are greater than `after`: they ascend, so halve. */
static uint32_t positions_count(const struct swg__positions *p, uint64_t after) {
    uint32_t low = 0, high = p->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (positions_get(p, middle) <= after)
            low = middle + 1;
        else
            high = middle;
    }
    return p->count - low;
}

static void positions_copy(struct swg__positions *to, const struct swg__positions *from,
                           uint64_t after, uint64_t shift) {
    for (uint32_t i = 0; i < from->count; i++) {
        uint64_t position = positions_get(from, i);
        if (position > after)
            positions_push(to, position - shift);
    }
}

/* ---- windows of calls ---- */

static uint64_t calls_position(const struct swg__window *w, uint64_t successes) {
    return successes - w->base + w->others;
}

/* Positions up to this one have left the window. */
static uint64_t calls_left(const struct swg__window *w, uint64_t successes) {
    uint64_t position = calls_position(w, successes);
    return position > w->calls_max ? position - w->calls_max : 0;
}

static void calls_add(struct swg__window *w, uint64_t successes, struct swg__tally t) {
    w->others += t.calls;
    uint64_t position = calls_position(w, successes);
    /* What is marked before any call was counted belongs to the first. */
    if (position == 0)
        position = 1;
    if (t.failures)
        positions_push(&w->failures, position);
    if (t.slow)
        positions_push(&w->slow, position);
    positions_prune(&w->failures, calls_left(w, successes));
    positions_prune(&w->slow, calls_left(w, successes));
}

static struct swg__tally calls_read(const struct swg__window *w, uint64_t successes) {
    uint64_t position = calls_position(w, successes), left = calls_left(w, successes);
    return (struct swg__tally){
        .calls = position - left,
        .failures = positions_count(&w->failures, left),
        .slow = positions_count(&w->slow, left),
    };
}

/* Renumbers, so that calls the old window had already let go are not missed by
 * a larger new one: it begins with exactly what the old one held. */
static void calls_move(struct swg__window *to, const struct swg__window *from, uint64_t successes) {
    uint64_t left = calls_left(from, successes);
    to->base = successes;
    to->others = calls_position(from, successes) - left;
    positions_copy(&to->failures, &from->failures, left, left);
    positions_copy(&to->slow, &from->slow, left, left);
    positions_prune(&to->failures, calls_left(to, successes));
    positions_prune(&to->slow, calls_left(to, successes));
}

/* ---- windows of time ---- */

static void add_32(uint32_t *to, uint64_t n) {
    *to = n > UINT32_MAX - *to ? UINT32_MAX : *to + (uint32_t)n;
}

static void bucket_add(struct swg__bucket *b, uint64_t calls, uint64_t failures, uint64_t slow) {
    b->calls += calls;
    add_32(&b->failures, failures);
    add_32(&b->slow, slow);
}

/* How many buckets have ended by now. */
static uint64_t time_steps(const struct swg__window *w, uint64_t now_ns) {
    return now_ns < w->end_ns ? 0 : (now_ns - w->end_ns) / w->width_ns + 1;
}

static void time_settle(struct swg__window *w, uint64_t successes, uint64_t now_ns) {
    uint64_t steps = time_steps(w, now_ns);
    if (steps == 0)
        return;
    w->buckets[w->present].calls += successes - w->base;
    w->base = successes;
    for (uint64_t i = 0; i < steps && i < SWG__BUCKETS; i++) {
        w->present = (w->present + 1) % SWG__BUCKETS;
        w->buckets[w->present] = (struct swg__bucket){0};
    }
    w->end_ns += steps * w->width_ns;
}

static struct swg__tally time_read(const struct swg__window *w, uint64_t successes,
                                   uint64_t now_ns) {
    struct swg__tally sum = {0};
    uint64_t steps = time_steps(w, now_ns);
    for (uint64_t age = 0; age + steps < SWG__BUCKETS; age++) {
        const struct swg__bucket *b = &w->buckets[(w->present + SWG__BUCKETS - age) % SWG__BUCKETS];
        sum.calls += b->calls + (age == 0 ? successes - w->base : 0);
        sum.failures += b->failures;
        sum.slow += b->slow;
    }
    return sum;
}

/* A bucket goes where its end falls; what is older than the new window is gone. */
static void time_move(struct swg__window *to, const struct swg__window *from, uint64_t successes,
                      uint64_t now_ns) {
    for (uint64_t age = 0; age < SWG__BUCKETS; age++) {
        struct swg__bucket b = from->buckets[(from->present + SWG__BUCKETS - age) % SWG__BUCKETS];
        if (age == 0)
            b.calls += successes - from->base;
        uint64_t back = age * from->width_ns;
        uint64_t end = from->end_ns > back ? from->end_ns - back : 0;
        uint64_t steps = end >= now_ns ? 0 : (now_ns - end) / to->width_ns + 1;
        if (steps >= SWG__BUCKETS)
            continue;
        bucket_add(&to->buckets[(to->present + SWG__BUCKETS - steps) % SWG__BUCKETS], b.calls,
                   b.failures, b.slow);
    }
}

/* ---- both ---- */

enum swg_error swg__window_init(struct swg__window *w, uint32_t calls_max, uint64_t window_ns,
                                bool with_slow, uint64_t successes, uint64_t now_ns) {
    *w = (struct swg__window){.calls_max = calls_max};
    if (calls_max == 0) {
        w->width_ns = (window_ns + SWG__BUCKETS - 1) / SWG__BUCKETS;
        if (w->width_ns == 0)
            w->width_ns = 1;
    } else if (positions_init(&w->failures, calls_max) != SWG_OK) {
        return SWG_ERR_NOMEM;
    } else if (positions_init(&w->slow, with_slow ? calls_max : 0) != SWG_OK) {
        free(w->failures.at);
        return SWG_ERR_NOMEM;
    }
    swg__window_clear(w, successes, now_ns);
    return SWG_OK;
}

void swg__window_free(struct swg__window *w) {
    if (w->calls_max == 0)
        return;
    free(w->failures.at);
    free(w->slow.at);
    w->failures.at = w->slow.at = NULL;
}

void swg__window_clear(struct swg__window *w, uint64_t successes, uint64_t now_ns) {
    w->base = successes;
    if (w->calls_max) {
        w->others = 0;
        w->failures.count = w->slow.count = 0;
        return;
    }
    w->present = 0;
    memset(w->buckets, 0, sizeof(w->buckets));
    w->end_ns = now_ns + w->width_ns;
}

/* Buckets of the same width are taken as they are, so that a reload that does
 * not touch the window does not blur it. */
void swg__window_move(struct swg__window *to, const struct swg__window *from, uint64_t successes,
                      uint64_t now_ns) {
    swg__window_clear(to, successes, now_ns);
    if ((to->calls_max == 0) != (from->calls_max == 0))
        return;
    if (to->calls_max) {
        calls_move(to, from, successes);
    } else if (to->width_ns == from->width_ns) {
        to->base = from->base;
        to->end_ns = from->end_ns;
        to->present = from->present;
        memcpy(to->buckets, from->buckets, sizeof(to->buckets));
    } else {
        time_move(to, from, successes, now_ns);
    }
}

void swg__window_settle(struct swg__window *w, uint64_t successes, uint64_t now_ns) {
    if (!w->calls_max)
        time_settle(w, successes, now_ns);
}

void swg__window_add(struct swg__window *w, uint64_t successes, struct swg__tally t) {
    if (w->calls_max) {
        calls_add(w, successes, t);
        return;
    }
    bucket_add(&w->buckets[w->present], t.calls, t.failures, t.slow);
}

struct swg__tally swg__window_read(const struct swg__window *w, uint64_t successes,
                                   uint64_t now_ns) {
    return w->calls_max ? calls_read(w, successes) : time_read(w, successes, now_ns);
}

uint64_t swg__window_end_ns(const struct swg__window *w) {
    return w->calls_max ? SWG_NEVER : w->end_ns;
}

static void positions_check(const struct swg__positions *p, uint64_t position) {
    assert(p->count <= p->capacity);
    assert(p->capacity == 0 || p->first < p->capacity);
    for (uint32_t i = 0; i < p->count; i++) {
        assert(positions_get(p, i) > 0);
        assert(positions_get(p, i) <= (position ? position : 1));
        assert(i == 0 || positions_get(p, i - 1) <= positions_get(p, i));
    }
}

void swg__window_check(const struct swg__window *w, uint64_t successes) {
    assert(successes >= w->base);
    if (w->calls_max) {
        positions_check(&w->failures, calls_position(w, successes));
        positions_check(&w->slow, calls_position(w, successes));
    } else {
        assert(w->width_ns > 0);
        assert(w->present < SWG__BUCKETS);
    }
}
