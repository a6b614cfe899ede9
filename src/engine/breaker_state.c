/* breaker_state.c - the state machine of a breaker; all of it under the lock.
 *
 *                a rule trips              its time is over, and a call comes
 *   ┌────────┐ ──────────────▶ ┌──────┐ ──────────────────────▶ ┌───────────┐
 *   │ CLOSED │                 │ OPEN │                         │ HALF-OPEN │
 *   └────────┘                 └──────┘ ◀────────────────────── └───────────┘
 *        ▲                        a probe fails, or its lease runs out │
 *        └─────────────────────────────────────────────────────────────┘
 *                            close_after successes
 *
 *   closed → open       trip()              consecutive, failures, failure_rate, slow_rate
 *   open → half-open    admit_locked()      probe_due
 *   half-open → open    reopen()            probe_failed, probe_lease
 *   half-open → closed  close_by_probes()   probes_succeeded
 *   any → any           set_manual(), clear(), advance()   manual, reset, expired
 *   any → any           recall()            restored
 *
 * True in a state:
 *   CLOSED     no probe is out; the gate is 0. Under manual control nothing is judged.
 *   OPEN       the gate is when it ends; no permit of this generation exists.
 *   HALF-OPEN  as many probes are out as bits are set; the gate is 0 while a
 *              slot is free, else the earliest end of a lease.
 *
 * Every change of state goes through enter(): it gives the new generation, so
 * that results of calls admitted before are recognised as late, and notes the
 * event. What time alone brings about (a lease, an expiry) happens at its own
 * time, not when somebody notices: a lease that ran out an hour ago opened the
 * breaker an hour ago. */
#include "engine/breaker_priv.h"

#include <assert.h>

#include "base/random.h"
#include "engine/past.h"

static uint32_t saturate_32(uint64_t v) {
    return v > UINT32_MAX ? UINT32_MAX : (uint32_t)v;
}

static uint64_t add_time(uint64_t at_ns, uint64_t for_ns) {
    return for_ns > SWG_NEVER - at_ns ? SWG_NEVER : at_ns + for_ns;
}

uint64_t swg__breaker_successes(const struct swg_breaker *b) {
    const struct swg__breaker_wide *wide = atomic_load_explicit(&b->wide, memory_order_acquire);
    uint64_t sum = swg__get(&b->home.successes);
    for (unsigned i = 0; wide && i < SWG__SLOTS; i++)
        sum += swg__get(&wide[i].shard.successes);
    return sum;
}

/* ---- changes of state ---- */

static void note_event(struct swg_breaker *b, struct swg__events *events, uint64_t from,
                       uint64_t to, const char *cause, struct swg__tally t, uint64_t at_ns) {
    assert(events->count < sizeof(events->event) / sizeof(events->event[0]));
    events->event[events->count++] = (struct swg_breaker_event){
        .sequence = ++b->sequence,
        .now_ns = at_ns,
        .from = swg__control_state(from),
        .to = swg__control_state(to),
        .manual_from = swg__control_manual(from),
        .manual_to = swg__control_manual(to),
        .cause = cause,
        .open_until_ns = swg__control_state(to) == SWG_OPEN ? swg__get(&b->gate_ns) : 0,
        .calls = saturate_32(t.calls),
        .bad_calls = saturate_32(t.failures),
        .slow_calls = saturate_32(t.slow),
    };
}

/* What the states need; before the control word shows them. */
static void prepare_closed(struct swg_breaker *b, bool recovered, uint64_t at_ns) {
    swg__window_clear(&b->window, swg__breaker_successes(b), at_ns);
    swg__set(&b->bucket_end_ns, swg__window_end_ns(&b->window));
    swg__set(&b->gate_ns, 0);
    swg__set(&b->closed_ns, recovered ? at_ns : 0);
    b->consecutive = 0;
}

static void prepare_open(struct swg_breaker *b, uint64_t until_ns, uint64_t at_ns) {
    b->opened_ns = at_ns;
    swg__set(&b->gate_ns, until_ns);
}

static void enter(struct swg_breaker *b, struct swg__events *events, enum swg_breaker_state state,
                  enum swg_breaker_manual manual, const char *cause, struct swg__tally t,
                  uint64_t at_ns) {
    uint64_t old = swg__control(b);
    uint64_t control = (swg__control_generation(old) + 1) << SWG__GENERATION_SHIFT |
                       (uint64_t)manual << SWG__MANUAL_SHIFT | (uint64_t)state;
    if (state == SWG_HALF_OPEN)
        swg__set(&b->gate_ns, 0);
    if (state == SWG_CLOSED && swg__get(&b->closed_ns) && b->options->ramp_ns)
        control |= SWG__RAMP;
    if (swg__control_state(old) == SWG_CLOSED && state != SWG_CLOSED)
        swg__set(&b->left_ns, at_ns);
    if (manual == SWG_AUTOMATIC)
        swg__set(&b->manual_until_ns, SWG_NEVER);
    b->probes_out = 0;
    b->probe_successes = 0;
    swg__set(&b->since_ns, at_ns);
    atomic_store_explicit(&b->control, control, memory_order_release);
    note_event(b, events, old, control, cause, t, at_ns);
}

/* open_ns doubled as often as it reopened, varied, and at least what the
 * service asked for; never over open_max_ns: an absurd wish of the service
 * must not shut it out for years. At the cap the variation goes downwards
 * only, or half of all breakers would end together. */
static uint64_t next_open_ns(struct swg_breaker *b, uint64_t retry_after_ns) {
    const struct swg_breaker_options *o = b->options;
    uint64_t d = o->open_ns;
    for (uint32_t i = 0; i < b->reopenings && d < o->open_max_ns; i++)
        d *= 2;
    if (d > o->open_max_ns)
        d = o->open_max_ns;
    if (o->jitter_percent <= 100) {
        uint64_t span = d / 100 * o->jitter_percent;
        uint64_t high = d + span > o->open_max_ns ? o->open_max_ns : d + span;
        d = d - span + random_up_to(random_next(&b->random), high - (d - span));
    }
    if (retry_after_ns > o->open_max_ns)
        retry_after_ns = o->open_max_ns;
    if (d < retry_after_ns)
        d = retry_after_ns;
    return d ? d : 1;
}

static uint64_t open_end_ns(const struct swg_breaker *b, uint64_t since_ns) {
    return b->options->stay_open ? SWG_NEVER : add_time(since_ns, b->last_open_ns);
}

static void open_for_next(struct swg_breaker *b, struct swg__events *events, const char *cause,
                          struct swg__tally t, uint64_t retry_after_ns, uint64_t at_ns) {
    b->last_open_ns = next_open_ns(b, retry_after_ns);
    prepare_open(b, open_end_ns(b, at_ns), at_ns);
    enter(b, events, SWG_OPEN, SWG_AUTOMATIC, cause, t, at_ns);
}

/* Closed for longer than it had been open: the trouble before is forgotten. */
static void trip(struct swg_breaker *b, struct swg__events *events, const char *cause,
                 struct swg__tally t, uint64_t retry_after_ns, uint64_t now_ns) {
    uint64_t since_ns = swg__get(&b->since_ns);
    uint64_t closed_for = now_ns > since_ns ? now_ns - since_ns : 0;
    if (b->last_open_ns == 0 || closed_for > b->last_open_ns)
        b->reopenings = 0;
    else
        b->reopenings++;
    open_for_next(b, events, cause, t, retry_after_ns, now_ns);
}

static void reopen(struct swg_breaker *b, struct swg__events *events, const char *cause, bool slow,
                   uint64_t retry_after_ns, uint64_t at_ns) {
    struct swg__tally t = {b->probe_successes + UINT64_C(1), 1, slow};
    b->reopenings++;
    open_for_next(b, events, cause, t, retry_after_ns, at_ns);
}

static void close_by_probes(struct swg_breaker *b, struct swg__events *events, uint64_t now_ns) {
    struct swg__tally t = {b->probe_successes, 0, 0};
    prepare_closed(b, true, now_ns);
    enter(b, events, SWG_CLOSED, SWG_AUTOMATIC, "probes_succeeded", t, now_ns);
}

void swg__breaker_set_manual(struct swg_breaker *b, struct swg__events *events,
                             enum swg_breaker_manual manual, uint64_t for_ns, uint64_t now_ns) {
    enum swg_breaker_manual old = swg__control_manual(swg__control(b));
    struct swg__tally none = {0};
    if (manual == SWG_AUTOMATIC && old == SWG_AUTOMATIC)
        return;
    uint64_t until_ns = add_time(now_ns, for_ns);
    if (manual == SWG_FORCED_OPEN) {
        prepare_open(b, until_ns, now_ns);
        swg__set(&b->manual_until_ns, until_ns);
        enter(b, events, SWG_OPEN, manual, "manual", none, now_ns);
    } else if (manual == SWG_AUTOMATIC && old == SWG_FORCED_OPEN) {
        enter(b, events, SWG_HALF_OPEN, manual, "manual", none, now_ns);
    } else {
        prepare_closed(b, false, now_ns);
        swg__set(&b->manual_until_ns, until_ns);
        enter(b, events, SWG_CLOSED, manual, "manual", none, now_ns);
    }
}

void swg__breaker_clear(struct swg_breaker *b, struct swg__events *events, uint64_t now_ns) {
    b->reopenings = 0;
    b->last_open_ns = 0;
    prepare_closed(b, false, now_ns);
    enter(b, events, SWG_CLOSED, SWG_AUTOMATIC, "reset", (struct swg__tally){0}, now_ns);
}

/* ---- what time alone changes ---- */

uint64_t swg__breaker_lease_min(const struct swg_breaker *b) {
    uint64_t min_ns = SWG_NEVER;
    for (uint64_t left = b->probes_out; left; left &= left - 1) {
        uint64_t end_ns = b->lease_end_ns[__builtin_ctzll(left)];
        if (end_ns < min_ns)
            min_ns = end_ns;
    }
    return min_ns;
}

static void expire(struct swg_breaker *b, struct swg__events *events, uint64_t at_ns) {
    struct swg__tally none = {0};
    if (swg__control_manual(swg__control(b)) == SWG_FORCED_OPEN) {
        enter(b, events, SWG_HALF_OPEN, SWG_AUTOMATIC, "expired", none, at_ns);
    } else {
        prepare_closed(b, false, at_ns);
        enter(b, events, SWG_CLOSED, SWG_AUTOMATIC, "expired", none, at_ns);
    }
}

void swg__breaker_advance(struct swg_breaker *b, struct swg__events *events, uint64_t now_ns) {
    uint64_t control = swg__control(b);
    if ((control & SWG__MANUAL) && now_ns >= swg__get(&b->manual_until_ns))
        expire(b, events, swg__get(&b->manual_until_ns));
    else if (swg__control_state(control) == SWG_HALF_OPEN && now_ns >= swg__breaker_lease_min(b))
        reopen(b, events, "probe_lease", false, 0, swg__breaker_lease_min(b));
    control = swg__control(b);
    if ((control & SWG__RAMP) && now_ns >= add_time(swg__get(&b->closed_ns), b->options->ramp_ns))
        atomic_store_explicit(&b->control, control & ~(uint64_t)SWG__RAMP, memory_order_release);
}

/* ---- half-open ---- */

static void update_gate(struct swg_breaker *b) {
    bool free_slot = (uint32_t)__builtin_popcountll(b->probes_out) < b->options->probes;
    swg__set(&b->gate_ns, free_slot ? 0 : swg__breaker_lease_min(b));
}

static enum swg_refusal take_probe(struct swg_breaker *b, struct swg_permit *permit,
                                   uint64_t now_ns) {
    if ((uint32_t)__builtin_popcountll(b->probes_out) >= b->options->probes)
        return SWG_REFUSED_HALF_OPEN_FULL;
    uint32_t slot = (uint32_t)__builtin_ctzll(~b->probes_out);
    b->probes_out |= UINT64_C(1) << slot;
    b->lease_end_ns[slot] = add_time(now_ns, b->options->probe_lease_ns);
    update_gate(b);
    permit->probe = slot + 1;
    return SWG_ADMITTED;
}

static void give_back_probe(struct swg_breaker *b, const struct swg_permit *permit) {
    assert(permit->probe >= 1 && permit->probe <= SWG__PROBES_MAX);
    assert(b->probes_out >> (permit->probe - 1) & 1);
    b->probes_out &= ~(UINT64_C(1) << (permit->probe - 1));
    update_gate(b);
}

enum swg_refusal swg__breaker_admit_locked(struct swg_breaker *b, struct swg__events *events,
                                           struct swg_permit *permit, uint64_t now_ns) {
    enum swg_refusal refusal = SWG_ADMITTED;
    struct swg__tally none = {0};
    swg__breaker_advance(b, events, now_ns);
    uint64_t control = swg__control(b);
    permit->probe = 0;
    permit->flags = 0;
    if (swg__control_manual(control) == SWG_FORCED_OPEN)
        return SWG_REFUSED_FORCED_OPEN;
    if (swg__control_manual(control) == SWG_DISABLED)
        permit->flags = SWG__UNCOUNTED;
    if (swg__control_state(control) == SWG_OPEN) {
        if (now_ns < swg__get(&b->gate_ns))
            return SWG_REFUSED_OPEN;
        enter(b, events, SWG_HALF_OPEN, SWG_AUTOMATIC, "probe_due", none, now_ns);
    }
    if (swg__control_state(swg__control(b)) == SWG_HALF_OPEN)
        refusal = take_probe(b, permit, now_ns);
    permit->generation = swg__control_generation(swg__control(b));
    return refusal;
}

static void probe_failed(struct swg_breaker *b, struct swg__events *events, bool slow,
                         uint64_t retry_after_ns, uint64_t now_ns) {
    reopen(b, events, "probe_failed", slow, retry_after_ns, now_ns);
}

/* ---- results ---- */

static void count_result(struct swg_breaker *b, enum swg_outcome_kind kind, bool slow,
                         uint64_t now_ns) {
    unsigned slot;
    struct swg__breaker_shard *s = swg__breaker_place(b, &slot);
    swg__slot_add(&s->beside[kind], slot, 1);
    if (slow)
        swg__slot_add(&s->slow, slot, 1);
    if (kind == SWG_SUCCESS)
        swg__set(&s->last_success_ns, now_ns);
    else if (kind == SWG_FAILURE)
        swg__set(&s->last_failure_ns, now_ns);
}

static const char *trip_cause(const struct swg_breaker *b, struct swg__tally t) {
    const struct swg_breaker_options *o = b->options;
    if (o->consecutive && b->consecutive >= o->consecutive)
        return "consecutive";
    if (o->failures && t.failures >= o->failures)
        return "failures";
    if (t.calls < o->calls_min)
        return NULL;
    if (o->failure_percent && t.failures * 100 >= o->failure_percent * t.calls)
        return "failure_rate";
    if (o->slow_percent && t.slow * 100 >= o->slow_percent * t.calls)
        return "slow_rate";
    return NULL;
}

/* A run of failures is ended by the next success; and while the window holds
 * bad calls but is too small to be judged, a success can complete it. Once it
 * is large enough a success only lowers the rates, until the bucket turns. */
static bool is_dirty(const struct swg_breaker *b, struct swg__tally t) {
    bool rates = b->options->failure_percent || b->options->slow_percent;
    return b->consecutive > 0 || (rates && t.calls < b->options->calls_min && t.failures + t.slow);
}

static void set_dirty(struct swg_breaker *b, bool dirty) {
    uint64_t control = swg__control(b);
    uint64_t wanted = dirty ? control | SWG__DIRTY : control & ~(uint64_t)SWG__DIRTY;
    if (wanted != control)
        atomic_store_explicit(&b->control, wanted, memory_order_release);
}

/* Puts one result into the window and judges: always both, also on success,
 * since the window that turned here will not turn again for the next one. */
static void count_and_judge(struct swg_breaker *b, struct swg__events *events, bool success,
                            struct swg__tally result, uint64_t retry_after_ns, uint64_t now_ns) {
    uint64_t successes = swg__breaker_successes(b);
    swg__window_settle(&b->window, successes, now_ns);
    swg__set(&b->bucket_end_ns, swg__window_end_ns(&b->window));
    if (success) {
        unsigned slot;
        struct swg__breaker_shard *s = swg__breaker_place(b, &slot);
        swg__slot_add(&s->successes, slot, 1);
        successes++;
    }
    swg__window_add(&b->window, successes, result);
    if (swg__control_manual(swg__control(b)) != SWG_AUTOMATIC)
        return;
    struct swg__tally t = swg__window_read(&b->window, successes, now_ns);
    const char *cause = trip_cause(b, t);
    if (cause)
        trip(b, events, cause, t, retry_after_ns, now_ns);
    else
        set_dirty(b, is_dirty(b, t));
}

static void closed_success(struct swg_breaker *b, struct swg__events *events, bool slow,
                           uint64_t now_ns) {
    unsigned slot;
    struct swg__breaker_shard *s = swg__breaker_place(b, &slot);
    struct swg__tally result = {0, 0, slow && b->options->slow_percent};
    b->consecutive = 0;
    if (slow)
        swg__slot_add(&s->slow, slot, 1);
    swg__set(&s->last_success_ns, now_ns);
    count_and_judge(b, events, true, result, 0, now_ns);
}

static void closed_bad(struct swg_breaker *b, struct swg__events *events, struct swg__tally result,
                       uint64_t retry_after_ns, uint64_t now_ns) {
    b->consecutive += result.failures && b->consecutive < UINT32_MAX;
    count_and_judge(b, events, false, result, retry_after_ns, now_ns);
}

static void closed_result(struct swg_breaker *b, struct swg__events *events, bool marked,
                          enum swg_outcome_kind kind, uint64_t latency_ns, uint64_t retry_after_ns,
                          uint64_t now_ns) {
    bool slow_rule = b->options->slow_percent != 0;
    bool slow = !marked && kind <= SWG_CANCELLED && kind != SWG_OVERLOAD &&
                latency_ns >= swg__get(&b->slow_ns);
    bool stale = !marked && latency_ns >= swg__get(&b->stale_ns);
    if (kind == SWG_SUCCESS && !marked) {
        closed_success(b, events, slow, now_ns);
        return;
    }
    count_result(b, kind, slow, now_ns);
    if (kind == SWG_FAILURE && !marked)
        closed_bad(b, events, (struct swg__tally){1, 1, slow && slow_rule}, retry_after_ns, now_ns);
    else if (kind == SWG_FAILURE && slow_rule) /* the mark counted the call as slow only */
        closed_bad(b, events, (struct swg__tally){0, 1, 0}, retry_after_ns, now_ns);
    else if (kind == SWG_CANCELLED && stale)
        closed_bad(b, events, (struct swg__tally){1, !slow_rule, slow_rule}, 0, now_ns);
}

static void probe_result(struct swg_breaker *b, struct swg__events *events,
                         const struct swg_permit *permit, enum swg_outcome_kind kind,
                         uint64_t latency_ns, uint64_t retry_after_ns, uint64_t now_ns) {
    bool slow =
        kind <= SWG_CANCELLED && kind != SWG_OVERLOAD && latency_ns >= swg__get(&b->slow_ns);
    bool bad = kind == SWG_FAILURE || (kind == SWG_SUCCESS && slow && b->options->slow_percent) ||
               (kind == SWG_CANCELLED && latency_ns >= swg__get(&b->stale_ns));
    give_back_probe(b, permit);
    count_result(b, kind, slow, now_ns);
    if (bad)
        probe_failed(b, events, slow, retry_after_ns, now_ns);
    else if (kind == SWG_SUCCESS && ++b->probe_successes >= b->options->close_after)
        close_by_probes(b, events, now_ns);
}

void swg__breaker_result(struct swg_breaker *b, struct swg__events *events,
                         struct swg_permit *permit, enum swg_outcome_kind kind,
                         uint64_t retry_after_ns, uint64_t now_ns) {
    uint64_t latency_ns = now_ns > permit->started_ns ? now_ns - permit->started_ns : 0;
    if (swg__control_state(swg__control(b)) == SWG_HALF_OPEN)
        probe_result(b, events, permit, kind, latency_ns, retry_after_ns, now_ns);
    else
        closed_result(b, events, permit->flags & SWG__MARKED, kind, latency_ns, retry_after_ns,
                      now_ns);
}

void swg__breaker_mark(struct swg_breaker *b, struct swg__events *events, struct swg_permit *permit,
                       uint64_t now_ns) {
    unsigned slot;
    struct swg__breaker_shard *s = swg__breaker_place(b, &slot);
    bool slow_rule = b->options->slow_percent != 0;
    permit->flags |= SWG__MARKED;
    swg__slot_add(&s->slow, slot, 1);
    if (swg__control_state(swg__control(b)) == SWG_HALF_OPEN)
        probe_failed(b, events, true, 0, now_ns);
    else
        closed_bad(b, events, (struct swg__tally){1, !slow_rule, slow_rule}, 0, now_ns);
}

void swg__breaker_note(struct swg_breaker *b, struct swg__events *events, uint64_t now_ns) {
    unsigned slot;
    b->notes++;
    swg__set(&swg__breaker_place(b, &slot)->last_failure_ns, now_ns);
    if (swg__control_state(swg__control(b)) == SWG_HALF_OPEN)
        probe_failed(b, events, false, 0, now_ns);
    else if (swg__control_state(swg__control(b)) == SWG_CLOSED)
        closed_bad(b, events, (struct swg__tally){0, 1, 0}, 0, now_ns);
}

/* ---- restored ---- */

/* The time so long ago; one before the clock began is `before`. */
static uint64_t ago(uint64_t age_ns, uint64_t before, uint64_t now_ns) {
    return age_ns < now_ns ? now_ns - age_ns : before;
}

/* How often it reopened is worth knowing as long as trip() would ask for it. */
static void recall_reopenings(struct swg_breaker *b, const struct swg__past *p) {
    bool forgotten = p->state == SWG_CLOSED && p->age_ns[SWG__AGE_SINCE] > p->last_open_ns;
    b->reopenings = forgotten ? 0 : p->reopenings;
    b->last_open_ns = forgotten ? 0 : p->last_open_ns;
}

static void recall_automatic(struct swg_breaker *b, struct swg__events *events,
                             enum swg_breaker_state state, const struct swg__past *p,
                             uint64_t now_ns) {
    uint64_t open_for_ns = p->open_for_ns;
    if (b->options->stay_open && open_for_ns > 0) /* 0: it was to be tried */
        open_for_ns = SWG_NEVER;
    else if (open_for_ns > b->options->open_max_ns)
        open_for_ns = b->options->open_max_ns;
    swg__set(&b->gate_ns, state == SWG_OPEN ? add_time(now_ns, open_for_ns) : 0);
    b->consecutive = state == SWG_CLOSED ? p->consecutive : 0;
    enter(b, events, state, SWG_AUTOMATIC, "restored", (struct swg__tally){0}, now_ns);
    if (state == SWG_HALF_OPEN && p->state == SWG_HALF_OPEN)
        b->probe_successes = p->probe_successes;
}

static void recall_manual(struct swg_breaker *b, struct swg__events *events,
                          const struct swg__past *p, uint64_t now_ns) {
    uint64_t until_ns = add_time(now_ns, p->manual_for_ns);
    bool open = p->manual == SWG_FORCED_OPEN;
    swg__set(&b->manual_until_ns, until_ns);
    swg__set(&b->gate_ns, open ? until_ns : 0);
    b->consecutive = 0;
    enter(b, events, open ? SWG_OPEN : SWG_CLOSED, p->manual, "restored", (struct swg__tally){0},
          now_ns);
}

/* The window is given already. Manual control that ended meanwhile ended as it would
 * have here. */
void swg__breaker_recall(struct swg_breaker *b, struct swg__events *events,
                         const struct swg__past *p, uint64_t now_ns) {
    if (b->sequence == 0)
        b->sequence = p->events; /* a history that is kept goes on */
    recall_reopenings(b, p);
    swg__set(&b->closed_ns, ago(p->age_ns[SWG__AGE_CLOSED], 0, now_ns));
    if (p->manual != SWG_AUTOMATIC && p->manual_for_ns > 0) {
        recall_manual(b, events, p, now_ns);
    } else if (p->manual == SWG_AUTOMATIC) {
        recall_automatic(b, events, p->state, p, now_ns);
    } else {
        bool open = p->manual == SWG_FORCED_OPEN;
        if (!open)
            prepare_closed(b, false, now_ns);
        recall_automatic(b, events, open ? SWG_HALF_OPEN : SWG_CLOSED, p, now_ns);
    }
    b->opened_ns = ago(p->age_ns[SWG__AGE_OPENED], p->age_ns[SWG__AGE_OPENED] != SWG_NEVER, now_ns);
    swg__set(&b->left_ns, ago(p->age_ns[SWG__AGE_LEFT], 0, now_ns));
    if (p->manual == SWG_AUTOMATIC || p->manual_for_ns > 0)
        swg__set(&b->since_ns, ago(p->age_ns[SWG__AGE_SINCE], 0, now_ns));
    swg__breaker_publish(b, now_ns);
}

/* ---- after options changed ---- */

void swg__breaker_follow_stay_open(struct swg_breaker *b) {
    uint64_t control = swg__control(b);
    if (swg__control_state(control) == SWG_OPEN && !(control & SWG__MANUAL))
        swg__set(&b->gate_ns, open_end_ns(b, swg__get(&b->since_ns)));
}

void swg__breaker_publish(struct swg_breaker *b, uint64_t now_ns) {
    const struct swg_breaker_options *o = b->options;
    uint64_t set_ns = o->slow_call_ns;
    swg__set(&b->slow_ns, set_ns ? set_ns : SWG_OFF);
    swg__set(&b->stale_ns, set_ns ? set_ns : SWG_SECONDS(1));
    swg__set(&b->ramp_ns, o->ramp_ns);
    swg__set(&b->bucket_end_ns, swg__window_end_ns(&b->window));
    if (b->probe_successes >= o->close_after)
        b->probe_successes = o->close_after - 1; /* one more will close it */
    if (swg__control_state(swg__control(b)) == SWG_HALF_OPEN)
        update_gate(b);
    /* By the new rules the window may be bad enough already: whatever comes
     * next is judged. */
    if (!(swg__control(b) & (SWG__STATE | SWG__MANUAL))) {
        uint64_t successes = swg__breaker_successes(b);
        struct swg__tally t = swg__window_read(&b->window, successes, now_ns);
        set_dirty(b, b->consecutive || t.failures || t.slow);
    }
}
