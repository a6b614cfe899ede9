/* breaker.c - the public face of a breaker, and its paths without a lock.
 *
 * How a healthy call costs next to nothing. Admit is one load of the control
 * word: closed, not under manual control, no ramp: go. Record of a plain
 * success is the same load, two comparisons (is the bucket over, was the call
 * slow), and an increment of the thread's own counter. That is enough, because
 * a success can only change a decision if a run of failures is under way, if
 * the window is still too small to be judged and holds bad calls, or if old
 * calls leave the window: the first two set the dirty bit, the third is the
 * end of a bucket. In all these cases, and for every failure, the success goes
 * the long way: lock, add, judge. A refusal is the same load and one
 * comparison with the gate.
 *
 * What that trades away. A success that has seen the clean word and is then
 * overtaken by another thread's failure, or by a change of state, is counted
 * after it without being judged with it; the next result is judged with both.
 * With threads in step everything is exact; a model checks it step by step.
 *
 * Locks: one short mutex a breaker, a leaf; listeners are called after it. */
#include "engine/breaker_priv.h"

#include <assert.h>

void swg__breaker_unlock_and_tell(struct swg_breaker *b, const struct swg__events *events) {
    pthread_mutex_unlock(b->lock);
    if (!b->listener)
        return;
    for (uint32_t i = 0; i < events->count; i++)
        b->listener(b->listener_arg, &events->event[i]);
}

void swg_breaker_listen(struct swg_breaker *b, swg_breaker_listener *listener, void *arg) {
    b->listener = listener;
    b->listener_arg = arg;
}

/* ---- admit ---- */

static enum swg_refusal grant(struct swg_permit *permit, uint64_t control, uint8_t flags,
                              uint64_t now_ns) {
    *permit = (struct swg_permit){
        .generation = swg__control_generation(control),
        .started_ns = now_ns,
        .state = SWG__PERMIT_OUT,
        .flags = flags,
    };
    return SWG_ADMITTED;
}

static enum swg_refusal refuse(struct swg_breaker *b, struct swg_permit *permit,
                               enum swg_refusal why) {
    static const uint8_t index[SWG_REFUSAL_COUNT] = {
        [SWG_REFUSED_OPEN] = SWG__SHUT_OPEN,
        [SWG_REFUSED_FORCED_OPEN] = SWG__SHUT_FORCED,
        [SWG_REFUSED_HALF_OPEN_FULL] = SWG__SHUT_FULL,
        [SWG_REFUSED_RAMPING] = SWG__SHUT_RAMPING,
    };
    unsigned slot;
    struct swg__breaker_shard *s = swg__breaker_place(b, &slot);
    swg__slot_add(&s->shut[index[why]], slot, 1);
    permit->state = 0;
    return why;
}

/* From 10% at once to all at the end; 32 of the random bits are plenty. */
static bool ramp_admits(const struct swg_breaker *b, uint64_t random, uint64_t elapsed_ns) {
    uint64_t permille = 100 + 900 * elapsed_ns / swg__get(&b->ramp_ns);
    return ((random >> 32) * 1000) >> 32 < permille;
}

static enum swg_refusal admit_locked(struct swg_breaker *b, struct swg_permit *permit,
                                     uint64_t now_ns) {
    struct swg__events events = {0};
    pthread_mutex_lock(b->lock);
    enum swg_refusal refusal = swg__breaker_admit_locked(b, &events, permit, now_ns);
    swg__breaker_unlock_and_tell(b, &events);
    if (refusal)
        return refuse(b, permit, refusal);
    permit->started_ns = now_ns;
    permit->state = SWG__PERMIT_OUT;
    return SWG_ADMITTED;
}

static enum swg_refusal admit_manual(struct swg_breaker *b, struct swg_permit *permit,
                                     uint64_t control, uint64_t now_ns) {
    if (now_ns >= swg__get(&b->manual_until_ns))
        return admit_locked(b, permit, now_ns);
    if (swg__control_manual(control) == SWG_FORCED_OPEN)
        return refuse(b, permit, SWG_REFUSED_FORCED_OPEN);
    bool disabled = swg__control_manual(control) == SWG_DISABLED;
    return grant(permit, control, disabled ? SWG__UNCOUNTED : 0, now_ns);
}

static enum swg_refusal admit_ramping(struct swg_breaker *b, struct swg_permit *permit,
                                      uint64_t control, uint64_t random, uint64_t now_ns) {
    uint64_t closed_ns = swg__get(&b->closed_ns);
    uint64_t elapsed_ns = now_ns > closed_ns ? now_ns - closed_ns : 0;
    if (elapsed_ns >= swg__get(&b->ramp_ns))
        return admit_locked(b, permit, now_ns);
    if (ramp_admits(b, random, elapsed_ns))
        return grant(permit, control, 0, now_ns);
    return refuse(b, permit, SWG_REFUSED_RAMPING);
}

enum swg_refusal swg_breaker_admit(struct swg_breaker *b, struct swg_permit *permit,
                                   uint64_t random, uint64_t now_ns) {
    uint64_t control = swg__control(b);
    if (__builtin_expect(!(control & (SWG__STATE | SWG__MANUAL | SWG__RAMP)), 1))
        return grant(permit, control, 0, now_ns);
    if (control & SWG__MANUAL)
        return admit_manual(b, permit, control, now_ns);
    if (control & SWG__RAMP)
        return admit_ramping(b, permit, control, random, now_ns);
    if (now_ns >= swg__get(&b->gate_ns))
        return admit_locked(b, permit, now_ns);
    bool open = swg__control_state(control) == SWG_OPEN;
    return refuse(b, permit, open ? SWG_REFUSED_OPEN : SWG_REFUSED_HALF_OPEN_FULL);
}

enum swg_refusal swg__breaker_admit_beside(struct swg_breaker *b, struct swg_permit *permit,
                                           uint64_t now_ns) {
    uint64_t control = swg__control(b);
    if (swg__control_manual(control) == SWG_FORCED_OPEN && now_ns < swg__get(&b->manual_until_ns))
        return refuse(b, permit, SWG_REFUSED_FORCED_OPEN);
    return grant(permit, control, SWG__BESIDE, now_ns);
}

enum swg__standing swg__breaker_standing(const struct swg_breaker *b, uint64_t now_ns) {
    uint64_t control = swg__control(b);
    if (control & SWG__MANUAL) {
        bool over = now_ns >= swg__get(&b->manual_until_ns);
        if (swg__control_manual(control) == SWG_FORCED_OPEN)
            return over ? SWG__PROBING : SWG__FORCED;
        return SWG__SERVING;
    }
    if (swg__control_state(control) == SWG_CLOSED)
        return SWG__SERVING;
    return now_ns >= swg__get(&b->gate_ns) ? SWG__PROBING : SWG__SHUT;
}

uint64_t swg__breaker_due_ns(const struct swg_breaker *b) {
    uint64_t control = swg__control(b);
    if (control & SWG__MANUAL)
        return swg__get(&b->manual_until_ns);
    return swg__get(swg__control_state(control) == SWG_OPEN ? &b->gate_ns : &b->since_ns);
}

/* A probe that is out may come back at any time; who waits for it should ask
 * again soon, not when its lease ends. */
static uint64_t probe_patience(uint64_t left_ns) {
    return left_ns < SWG_SECONDS(1) ? left_ns : SWG_SECONDS(1);
}

static enum swg_refusal peek_shut(const struct swg_breaker *b, uint64_t control, uint64_t now_ns,
                                  uint64_t *wait_ns) {
    uint64_t until_ns = swg__get(control & SWG__MANUAL ? &b->manual_until_ns : &b->gate_ns);
    *wait_ns = until_ns == SWG_NEVER ? SWG_NEVER : until_ns > now_ns ? until_ns - now_ns : 0;
    if (control & SWG__MANUAL)
        return SWG_REFUSED_FORCED_OPEN;
    if (swg__control_state(control) == SWG_OPEN)
        return SWG_REFUSED_OPEN;
    *wait_ns = probe_patience(*wait_ns);
    return SWG_REFUSED_HALF_OPEN_FULL;
}

enum swg_refusal swg_breaker_peek(const struct swg_breaker *b, uint64_t now_ns,
                                  uint64_t *retry_in_ns) {
    uint64_t wait_ns = 0;
    enum swg_refusal refusal = SWG_ADMITTED;
    enum swg__standing standing = swg__breaker_standing(b, now_ns);
    if (standing == SWG__FORCED || standing == SWG__SHUT)
        refusal = peek_shut(b, swg__control(b), now_ns, &wait_ns);
    if (retry_in_ns)
        *retry_in_ns = wait_ns;
    return refusal;
}

/* ---- record ---- */

/* A result that decides nothing: late, neutral, or admitted past the breaker. */
static void count_beside(struct swg_breaker *b, const struct swg_permit *permit,
                         enum swg_outcome_kind kind, bool late, uint64_t now_ns) {
    unsigned slot;
    struct swg__breaker_shard *s = swg__breaker_place(b, &slot);
    uint64_t latency_ns = now_ns > permit->started_ns ? now_ns - permit->started_ns : 0;
    bool slow = !(permit->flags & SWG__MARKED) && kind != SWG_OVERLOAD && kind != SWG_IGNORED &&
                latency_ns >= swg__get(&b->slow_ns);
    swg__slot_add(&s->beside[kind], slot, 1);
    if (slow)
        swg__slot_add(&s->slow, slot, 1);
    if (late)
        swg__slot_add(&s->late, slot, 1);
    if (kind == SWG_SUCCESS)
        swg__set(&s->last_success_ns, now_ns);
    else if (kind == SWG_FAILURE)
        swg__set(&s->last_failure_ns, now_ns);
}

static void record_locked(struct swg_breaker *b, struct swg_permit *permit,
                          enum swg_outcome_kind kind, uint64_t retry_after_ns, uint64_t now_ns) {
    struct swg__events events = {0};
    pthread_mutex_lock(b->lock);
    swg__breaker_advance(b, &events, now_ns);
    if (swg__control_generation(swg__control(b)) == permit->generation)
        swg__breaker_result(b, &events, permit, kind, retry_after_ns, now_ns);
    else
        count_beside(b, permit, kind, true, now_ns);
    swg__breaker_unlock_and_tell(b, &events);
}

/* Neutral outcomes while closed: a cancelled call that is not old, and what
 * says nothing about the service. Nobody's state changes, so no lock. */
static bool is_neutral(const struct swg_breaker *b, const struct swg_permit *permit,
                       enum swg_outcome_kind kind, uint64_t now_ns) {
    if (kind == SWG_OVERLOAD || kind == SWG_IGNORED)
        return true;
    uint64_t latency_ns = now_ns > permit->started_ns ? now_ns - permit->started_ns : 0;
    return kind == SWG_CANCELLED &&
           (permit->flags & SWG__MARKED || latency_ns < swg__get(&b->stale_ns));
}

static void record_rest(struct swg_breaker *b, struct swg_permit *permit,
                        enum swg_outcome_kind kind, uint64_t retry_after_ns, uint64_t now_ns) {
    uint64_t control = swg__control(b);
    if (permit->flags & SWG__UNCOUNTED)
        return;
    if (permit->flags & SWG__BESIDE)
        count_beside(b, permit, kind, false, now_ns);
    else if (swg__control_generation(control) != permit->generation)
        count_beside(b, permit, kind, true, now_ns);
    else if (!(control & (SWG__STATE | SWG__MANUAL)) && is_neutral(b, permit, kind, now_ns))
        count_beside(b, permit, kind, false, now_ns);
    else
        record_locked(b, permit, kind, retry_after_ns, now_ns);
}

void swg_breaker_record(struct swg_breaker *b, struct swg_permit *permit,
                        enum swg_outcome_kind kind, uint64_t retry_after_ns, uint64_t now_ns) {
    assert(permit->state == SWG__PERMIT_OUT && "a permit is answered exactly once");
    if (permit->state != SWG__PERMIT_OUT)
        return;
    permit->state = SWG__PERMIT_ANSWERED;
    uint64_t control = swg__control(b);
    uint64_t plain = permit->generation << SWG__GENERATION_SHIFT;
    uint64_t latency_ns = now_ns > permit->started_ns ? now_ns - permit->started_ns : 0;
    /* closed, automatic, clean, of this generation; a ramp does not matter */
    if (__builtin_expect(kind == SWG_SUCCESS && permit->flags == 0 &&
                             (control & ~(uint64_t)SWG__RAMP) == plain &&
                             now_ns < swg__get(&b->bucket_end_ns) &&
                             latency_ns < swg__get(&b->slow_ns),
                         1)) {
        unsigned slot;
        struct swg__breaker_shard *s = swg__breaker_place(b, &slot);
        swg__slot_add(&s->successes, slot, 1);
        swg__set(&s->last_success_ns, now_ns);
        return;
    }
    record_rest(b, permit, kind, retry_after_ns, now_ns);
}

void swg_breaker_overdue(struct swg_breaker *b, struct swg_permit *permit, uint64_t now_ns) {
    struct swg__events events = {0};
    uint64_t latency_ns = now_ns > permit->started_ns ? now_ns - permit->started_ns : 0;
    if (permit->state != SWG__PERMIT_OUT || permit->flags || latency_ns < swg__get(&b->slow_ns))
        return;
    pthread_mutex_lock(b->lock);
    swg__breaker_advance(b, &events, now_ns);
    if (swg__control_generation(swg__control(b)) == permit->generation)
        swg__breaker_mark(b, &events, permit, now_ns);
    swg__breaker_unlock_and_tell(b, &events);
}

uint64_t swg_breaker_slow_call_ns(const struct swg_breaker *b) {
    return swg__get(&b->slow_ns);
}

void swg_breaker_note_failure(struct swg_breaker *b, uint64_t generation, uint64_t now_ns) {
    struct swg__events events = {0};
    pthread_mutex_lock(b->lock);
    swg__breaker_advance(b, &events, now_ns);
    uint64_t control = swg__control(b);
    if (swg__control_generation(control) == generation &&
        swg__control_manual(control) != SWG_DISABLED)
        swg__breaker_note(b, &events, now_ns);
    swg__breaker_unlock_and_tell(b, &events);
}

/* ---- operators ---- */

void swg_breaker_force(struct swg_breaker *b, enum swg_breaker_manual manual, uint64_t for_ns,
                       uint64_t now_ns) {
    struct swg__events events = {0};
    pthread_mutex_lock(b->lock);
    swg__breaker_advance(b, &events, now_ns);
    swg__breaker_set_manual(b, &events, manual, for_ns, now_ns);
    swg__breaker_unlock_and_tell(b, &events);
}

void swg_breaker_reset(struct swg_breaker *b, uint64_t now_ns) {
    struct swg__events events = {0};
    pthread_mutex_lock(b->lock);
    swg__breaker_advance(b, &events, now_ns);
    swg__breaker_clear(b, &events, now_ns);
    swg__breaker_unlock_and_tell(b, &events);
}

void swg_breaker_probe_now(struct swg_breaker *b, uint64_t now_ns) {
    struct swg__events events = {0};
    pthread_mutex_lock(b->lock);
    swg__breaker_advance(b, &events, now_ns);
    uint64_t control = swg__control(b);
    bool open = swg__control_state(control) == SWG_OPEN && !(control & SWG__MANUAL);
    if (open && now_ns < swg__get(&b->gate_ns))
        swg__set(&b->gate_ns, now_ns);
    swg__breaker_unlock_and_tell(b, &events);
}

void swg_breaker_tick(struct swg_breaker *b, uint64_t now_ns) {
    struct swg__events events = {0};
    pthread_mutex_lock(b->lock);
    swg__breaker_advance(b, &events, now_ns);
    swg__breaker_unlock_and_tell(b, &events);
}
