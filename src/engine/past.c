/* past.c - taking what a breaker knows, and giving it to another.
 *
 * Ages are subtracted from the new clock, which may have begun later than what
 * they tell of: a time before its zero is taken as its beginning, or as "never"
 * where that says less. */
#include "engine/past.h"

#include <string.h>

static uint64_t age_of(uint64_t at_ns, uint64_t now_ns) {
    return now_ns > at_ns ? now_ns - at_ns : 0;
}

/* Of times of which 0 is none. */
static uint64_t age_or_never(uint64_t at_ns, uint64_t now_ns) {
    return at_ns ? age_of(at_ns, now_ns) : SWG_NEVER;
}

static uint64_t left_until(uint64_t until_ns, uint64_t now_ns) {
    return until_ns == SWG_NEVER ? SWG_NEVER : until_ns > now_ns ? until_ns - now_ns : 0;
}

/* ---- take ---- */

static void take_totals(struct swg__past *p, const struct swg__breaker_shard *s,
                        uint64_t last_ns[2]) {
    p->beside[SWG_SUCCESS] += swg__get(&s->successes);
    for (unsigned i = 0; i <= SWG_IGNORED; i++)
        p->beside[i] += swg__get(&s->beside[i]);
    for (unsigned i = 0; i < SWG__SHUT_COUNT; i++)
        p->shut[i] += swg__get(&s->shut[i]);
    p->slow += swg__get(&s->slow);
    p->late += swg__get(&s->late);
    if (swg__get(&s->last_success_ns) > last_ns[0])
        last_ns[0] = swg__get(&s->last_success_ns);
    if (swg__get(&s->last_failure_ns) > last_ns[1])
        last_ns[1] = swg__get(&s->last_failure_ns);
}

static void take_all_totals(struct swg__past *p, const struct swg_breaker *b, uint64_t now_ns) {
    const struct swg__breaker_wide *wide = atomic_load_explicit(&b->wide, memory_order_acquire);
    uint64_t last_ns[2] = {0, 0};
    take_totals(p, &b->home, last_ns);
    for (unsigned i = 0; wide && i < SWG__SLOTS; i++)
        take_totals(p, &wide[i].shard, last_ns);
    p->age_ns[SWG__AGE_SUCCESS] = age_or_never(last_ns[0], now_ns);
    p->age_ns[SWG__AGE_FAILURE] = age_or_never(last_ns[1], now_ns);
}

static void take_state(struct swg__past *p, const struct swg_breaker *b, uint64_t now_ns) {
    uint64_t control = swg__control(b);
    p->state = swg__control_state(control);
    p->manual = swg__control_manual(control);
    p->reopenings = b->reopenings;
    p->consecutive = b->consecutive;
    p->probe_successes = b->probe_successes;
    p->age_ns[SWG__AGE_SINCE] = age_of(swg__get(&b->since_ns), now_ns);
    p->age_ns[SWG__AGE_OPENED] = age_or_never(b->opened_ns, now_ns);
    p->age_ns[SWG__AGE_CLOSED] = age_or_never(swg__get(&b->closed_ns), now_ns);
    p->age_ns[SWG__AGE_LEFT] = age_or_never(swg__get(&b->left_ns), now_ns);
    if (p->state == SWG_OPEN)
        p->open_for_ns = left_until(swg__get(&b->gate_ns), now_ns);
    p->manual_for_ns = left_until(swg__get(&b->manual_until_ns), now_ns);
    p->last_open_ns = b->last_open_ns;
    p->events = b->sequence;
    p->notes = b->notes;
}

/* So that the past stands alone: successes that threads counted are in the
 * newest tenth, and time is counted from the moment. */
static void settle(struct swg__window *w, uint64_t successes, uint64_t now_ns) {
    if (w->calls_max) {
        w->base = 0;
        return;
    }
    swg__window_settle(w, successes, now_ns);
    w->buckets[w->present].calls += successes - w->base;
    w->base = 0;
    w->end_ns = w->end_ns > now_ns ? w->end_ns - now_ns : 1;
    if (w->end_ns > w->width_ns) /* the thread that began it was a little ahead */
        w->end_ns = w->width_ns;
}

static bool is_alike(const struct swg__window *a, const struct swg__window *b) {
    if (a->calls_max || b->calls_max)
        return a->calls_max == b->calls_max && a->slow.capacity == b->slow.capacity;
    return a->width_ns == b->width_ns;
}

/* Memory is taken outside the lock, for the window there is; if somebody gives the breaker
 * another meanwhile, once more. */
enum swg_error swg__past_take(struct swg__past *p, const struct swg_breaker *b, uint64_t now_ns) {
    for (;;) {
        *p = (struct swg__past){0};
        pthread_mutex_lock(b->lock);
        struct swg_breaker_options o = *b->options;
        pthread_mutex_unlock(b->lock);
        enum swg_error error = swg__window_init(&p->window, o.window_calls, o.window_ns,
                                                o.slow_percent != 0, 0, now_ns);
        if (error)
            return error;
        pthread_mutex_lock(b->lock);
        bool alike = is_alike(&p->window, &b->window);
        uint64_t successes = swg__breaker_successes(b);
        if (alike) {
            take_state(p, b, now_ns);
            take_all_totals(p, b, now_ns);
            swg__window_move(&p->window, &b->window, successes, now_ns);
        }
        pthread_mutex_unlock(b->lock);
        if (alike) {
            settle(&p->window, successes, now_ns);
            return SWG_OK;
        }
        swg__past_free(p);
    }
}

void swg__past_free(struct swg__past *p) {
    swg__window_free(&p->window);
}

/* ---- give ---- */

static uint64_t subtract(uint64_t left_ns, uint64_t elapsed_ns) {
    return left_ns == SWG_NEVER ? SWG_NEVER : left_ns > elapsed_ns ? left_ns - elapsed_ns : 0;
}

static uint64_t add(uint64_t a, uint64_t b) {
    return b > SWG_NEVER - a ? SWG_NEVER : a + b;
}

/* Tenths that have ended meanwhile; what is left of the newest. */
static void age_window(struct swg__window *w, uint64_t elapsed_ns, uint64_t now_ns) {
    if (w->calls_max)
        return;
    uint64_t left_ns = w->end_ns;
    uint64_t steps = elapsed_ns < left_ns ? 0 : (elapsed_ns - left_ns) / w->width_ns + 1;
    for (uint64_t i = 0; i < steps && i < SWG__BUCKETS; i++) {
        w->present = (w->present + 1) % SWG__BUCKETS;
        w->buckets[w->present] = (struct swg__bucket){0};
    }
    if (steps > SWG__BUCKETS) /* empty: as good as new */
        w->end_ns = now_ns + w->width_ns;
    else
        w->end_ns = now_ns + left_ns + steps * w->width_ns - elapsed_ns;
}

static void age_past(struct swg__past *p, uint64_t elapsed_ns, uint64_t now_ns) {
    for (unsigned i = 0; i < SWG__AGES; i++)
        p->age_ns[i] = add(p->age_ns[i], elapsed_ns);
    p->open_for_ns = subtract(p->open_for_ns, elapsed_ns);
    p->manual_for_ns = subtract(p->manual_for_ns, elapsed_ns);
    age_window(&p->window, elapsed_ns, now_ns);
}

/* All threads may add to home; see slot.h. */
static void give_totals(const struct swg__past *p, struct swg_breaker *b, uint64_t now_ns) {
    struct swg__breaker_shard *s = &b->home;
    for (unsigned i = 0; i <= SWG_IGNORED; i++)
        swg__slot_add(&s->beside[i], SWG__SLOTS_OWN, p->beside[i]);
    for (unsigned i = 0; i < SWG__SHUT_COUNT; i++)
        swg__slot_add(&s->shut[i], SWG__SLOTS_OWN, p->shut[i]);
    swg__slot_add(&s->slow, SWG__SLOTS_OWN, p->slow);
    swg__slot_add(&s->late, SWG__SLOTS_OWN, p->late);
    b->notes += p->notes;
    if (p->age_ns[SWG__AGE_SUCCESS] < now_ns && !swg__get(&s->last_success_ns))
        swg__set(&s->last_success_ns, now_ns - p->age_ns[SWG__AGE_SUCCESS]);
    if (p->age_ns[SWG__AGE_FAILURE] < now_ns && !swg__get(&s->last_failure_ns))
        swg__set(&s->last_failure_ns, now_ns - p->age_ns[SWG__AGE_FAILURE]);
}

/* Makes a window like the breaker's, and moves the past's into it. */
static bool give_window(struct swg__past *p, struct swg_breaker *b, struct swg__window *fresh,
                        uint64_t now_ns) {
    if (!is_alike(fresh, &b->window))
        return false;
    struct swg__window old = b->window;
    uint64_t successes = swg__breaker_successes(b);
    p->window.base = successes;
    swg__window_move(fresh, &p->window, successes, now_ns);
    b->window = *fresh;
    *fresh = old;
    return true;
}

enum swg_error swg__past_give(struct swg__past *p, struct swg_breaker *b, uint64_t elapsed_ns,
                              uint64_t now_ns) {
    age_past(p, elapsed_ns, now_ns);
    for (;;) {
        struct swg__events events = {0};
        struct swg__window fresh;
        pthread_mutex_lock(b->lock);
        struct swg_breaker_options o = *b->options;
        pthread_mutex_unlock(b->lock);
        enum swg_error error =
            swg__window_init(&fresh, o.window_calls, o.window_ns, o.slow_percent != 0, 0, now_ns);
        if (error)
            return error;
        pthread_mutex_lock(b->lock);
        swg__breaker_advance(b, &events, now_ns);
        bool given = give_window(p, b, &fresh, now_ns);
        if (given) {
            give_totals(p, b, now_ns);
            swg__breaker_recall(b, &events, p, now_ns);
        }
        swg__breaker_unlock_and_tell(b, &events);
        swg__window_free(&fresh);
        if (given)
            return SWG_OK;
    }
}
