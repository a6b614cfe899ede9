/* breaker_stats.c - reading a breaker, and checking that it is sound. */
#include "engine/breaker_priv.h"

#include <assert.h>

static uint32_t saturate_32(uint64_t v) {
    return v > UINT32_MAX ? UINT32_MAX : (uint32_t)v;
}

static uint64_t later(uint64_t a, uint64_t b) {
    return a > b ? a : b;
}

static void read_shard(const struct swg__breaker_shard *s, struct swg_breaker_stats *out) {
    out->successes += swg__get(&s->successes) + swg__get(&s->beside[SWG_SUCCESS]);
    out->failures += swg__get(&s->beside[SWG_FAILURE]);
    out->overloads += swg__get(&s->beside[SWG_OVERLOAD]);
    out->cancelled += swg__get(&s->beside[SWG_CANCELLED]);
    out->ignored += swg__get(&s->beside[SWG_IGNORED]);
    out->slow += swg__get(&s->slow);
    out->late += swg__get(&s->late);
    out->refused[SWG_REFUSED_OPEN] += swg__get(&s->shut[SWG__SHUT_OPEN]);
    out->refused[SWG_REFUSED_FORCED_OPEN] += swg__get(&s->shut[SWG__SHUT_FORCED]);
    out->refused[SWG_REFUSED_HALF_OPEN_FULL] += swg__get(&s->shut[SWG__SHUT_FULL]);
    out->refused[SWG_REFUSED_RAMPING] += swg__get(&s->shut[SWG__SHUT_RAMPING]);
    out->last_success_ns = later(out->last_success_ns, swg__get(&s->last_success_ns));
    out->last_failure_ns = later(out->last_failure_ns, swg__get(&s->last_failure_ns));
}

/* A manual state whose time is over reads as what it expires into. */
static void read_state(const struct swg_breaker *b, struct swg_breaker_stats *out,
                       uint64_t now_ns) {
    uint64_t control = swg__control(b);
    out->state = swg__control_state(control);
    out->manual = swg__control_manual(control);
    out->since_ns = swg__get(&b->since_ns);
    out->manual_until_ns = swg__get(&b->manual_until_ns);
    if (out->manual != SWG_AUTOMATIC && now_ns >= out->manual_until_ns) {
        out->state = out->manual == SWG_FORCED_OPEN ? SWG_HALF_OPEN : SWG_CLOSED;
        out->manual = SWG_AUTOMATIC;
        out->since_ns = out->manual_until_ns;
        out->manual_until_ns = SWG_NEVER;
    }
    out->probe_due =
        out->state == SWG_OPEN && out->manual == SWG_AUTOMATIC && now_ns >= swg__get(&b->gate_ns);
    out->open_until_ns = out->state == SWG_OPEN ? swg__get(&b->gate_ns) : 0;
}

void swg_breaker_read(const struct swg_breaker *b, struct swg_breaker_stats *out, uint64_t now_ns) {
    pthread_mutex_t *lock = b->lock;
    *out = (struct swg_breaker_stats){0};
    pthread_mutex_lock(lock);
    read_state(b, out, now_ns);
    out->generation = swg__control_generation(swg__control(b));
    out->events = b->sequence;
    out->opened_ns = b->opened_ns;
    out->reopenings = b->reopenings;
    out->probes_out = (uint32_t)__builtin_popcountll(b->probes_out);
    out->consecutive = b->consecutive;
    struct swg__tally t = swg__window_read(&b->window, swg__breaker_successes(b), now_ns);
    out->window_calls = saturate_32(t.calls);
    out->window_failures = saturate_32(t.failures);
    out->window_slow = saturate_32(t.slow);
    read_shard(&b->home, out);
    const struct swg__breaker_wide *wide = atomic_load_explicit(&b->wide, memory_order_acquire);
    for (unsigned i = 0; wide && i < SWG__SLOTS; i++)
        read_shard(&wide[i].shard, out);
    out->calls = out->successes + out->failures + out->overloads + out->cancelled + out->ignored;
    out->failures += b->notes;
    pthread_mutex_unlock(lock);
}

/* The earlier of two times of which 0 is none. */
static uint64_t earlier(uint64_t a, uint64_t b) {
    return b && (!a || b < a) ? b : a;
}

void swg__stats_add_totals(struct swg_breaker_stats *sum, const struct swg_breaker_stats *s) {
    sum->events += s->events;
    sum->calls += s->calls;
    sum->successes += s->successes;
    sum->failures += s->failures;
    sum->slow += s->slow;
    sum->overloads += s->overloads;
    sum->cancelled += s->cancelled;
    sum->ignored += s->ignored;
    sum->late += s->late;
    sum->last_success_ns = later(sum->last_success_ns, s->last_success_ns);
    sum->last_failure_ns = later(sum->last_failure_ns, s->last_failure_ns);
    for (unsigned i = 0; i < SWG_REFUSAL_COUNT; i++)
        sum->refused[i] += s->refused[i];
}

void swg__stats_add(struct swg_breaker_stats *sum, const struct swg_breaker_stats *s) {
    swg__stats_add_totals(sum, s);
    sum->probe_due |= s->probe_due;
    sum->generation += s->generation;
    sum->opened_ns = later(sum->opened_ns, s->opened_ns);
    sum->open_until_ns = earlier(sum->open_until_ns, s->open_until_ns);
    sum->manual_until_ns = later(sum->manual_until_ns, s->manual_until_ns);
    sum->reopenings = s->reopenings > sum->reopenings ? s->reopenings : sum->reopenings;
    sum->probes_out += s->probes_out;
    sum->consecutive = s->consecutive > sum->consecutive ? s->consecutive : sum->consecutive;
    sum->window_calls += s->window_calls;
    sum->window_failures += s->window_failures;
    sum->window_slow += s->window_slow;
}

/* ---- for the registry ---- */

bool swg__breaker_is_spare(const struct swg_breaker *b, uint64_t now_ns) {
    if (swg__control(b) & (SWG__STATE | SWG__MANUAL | SWG__RAMP))
        return false;
    pthread_mutex_lock(b->lock);
    struct swg__tally t = swg__window_read(&b->window, swg__breaker_successes(b), now_ns);
    uint64_t since_ns = swg__get(&b->since_ns);
    uint64_t closed_for_ns = now_ns > since_ns ? now_ns - since_ns : 0;
    bool forgotten = b->last_open_ns == 0 || closed_for_ns > b->last_open_ns;
    bool closed = !(swg__control(b) & (SWG__STATE | SWG__MANUAL | SWG__RAMP));
    bool clean = b->consecutive == 0 && t.failures == 0 && t.slow == 0;
    pthread_mutex_unlock(b->lock);
    return closed && forgotten && clean;
}

bool swg__breaker_is_manual(const struct swg_breaker *b, uint64_t now_ns) {
    return swg__control(b) & SWG__MANUAL && now_ns < swg__get(&b->manual_until_ns);
}

static void check_half_open(const struct swg_breaker *b) {
    bool free_slot = (uint32_t)__builtin_popcountll(b->probes_out) < b->options->probes;
    assert(swg__get(&b->gate_ns) == (free_slot ? 0 : swg__breaker_lease_min(b)));
    assert(b->probe_successes < b->options->close_after);
}

static void check_state(const struct swg_breaker *b) {
    uint64_t control = swg__control(b);
    enum swg_breaker_state state = swg__control_state(control);
    enum swg_breaker_manual manual = swg__control_manual(control);
    assert(state <= SWG_HALF_OPEN);
    assert(state == SWG_HALF_OPEN || b->probes_out == 0);
    assert(state == SWG_CLOSED || !(control & (SWG__DIRTY | SWG__RAMP)));
    assert(manual != SWG_FORCED_OPEN || state == SWG_OPEN);
    assert((manual != SWG_FORCED_CLOSED && manual != SWG_DISABLED) || state == SWG_CLOSED);
    assert(manual != SWG_AUTOMATIC || swg__get(&b->manual_until_ns) == SWG_NEVER);
    if (state == SWG_CLOSED)
        assert(swg__get(&b->gate_ns) == 0);
    else if (state == SWG_HALF_OPEN)
        check_half_open(b);
    assert(b->lease_capacity >= b->options->probes && b->lease_capacity <= SWG__PROBES_MAX);
    assert(b->lease_capacity == SWG__PROBES_MAX || b->probes_out >> b->lease_capacity == 0);
}

/* The dirty bit may not be missing where a success decides something. Asked
 * for the time the present bucket began, as later its end takes the lock. */
static void check_dirty(const struct swg_breaker *b) {
    uint64_t control = swg__control(b);
    bool dirty = (control & SWG__DIRTY) != 0;
    assert(!dirty || !(control & (SWG__STATE | SWG__MANUAL)));
    assert(b->consecutive == 0 || dirty || (control & (SWG__STATE | SWG__MANUAL)));
}

void swg_breaker_check(const struct swg_breaker *b) {
    pthread_mutex_t *lock = b->lock;
    pthread_mutex_lock(lock);
    uint64_t successes = swg__breaker_successes(b);
    check_state(b);
    check_dirty(b);
    swg__window_check(&b->window, successes);
    assert(swg__get(&b->bucket_end_ns) == swg__window_end_ns(&b->window));
    assert(b->options->slow_percent == 0 || swg__get(&b->slow_ns) != SWG_OFF);
    pthread_mutex_unlock(lock);
}

const char *swg_breaker_state_word(enum swg_breaker_state state) {
    switch (state) {
    case SWG_CLOSED:
        return "closed";
    case SWG_OPEN:
        return "open";
    case SWG_HALF_OPEN:
        return "half_open";
    }
    return "unknown";
}

const char *swg_breaker_word(enum swg_breaker_state state, enum swg_breaker_manual manual) {
    switch (manual) {
    case SWG_FORCED_OPEN:
        return "forced_open";
    case SWG_FORCED_CLOSED:
        return "forced_closed";
    case SWG_DISABLED:
        return "disabled";
    case SWG_AUTOMATIC:
        break;
    }
    return swg_breaker_state_word(state);
}
