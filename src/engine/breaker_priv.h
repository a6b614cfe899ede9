/* breaker_priv.h - the layout of a breaker, and what its files share.
 *
 *   breaker.c          the public face: admit, record, and the paths without a lock
 *   breaker_life.c     create, configure, destroy; wide and slim
 *   breaker_state.c    the state machine, under the lock
 *   breaker_options.c  defaults and ranges
 *   breaker_stats.c    reading and checking
 *
 * Lock arrow: a breaker's lock is a leaf; nothing is called under it. */
#ifndef SWG_ENGINE_BREAKER_PRIV_H
#define SWG_ENGINE_BREAKER_PRIV_H

#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>

#include <switchgear/breaker.h>

#include "engine/slot.h"
#include "engine/window.h"

/* The control word: all that admit and record must know, in one load.
 *
 *   bits 0-1    state           bit 4    dirty
 *   bits 2-3    manual          bit 5    ramp
 *   bits 16-63  generation
 *
 * dirty: a success decides something (a run of failures ends, or the window
 * reaches calls_min with bad calls in it), so it must take the lock.
 * ramp: closed, but calls are let in gradually. */
enum {
    SWG__STATE = 3,       /* enum swg_breaker_state */
    SWG__MANUAL = 3 << 2, /* enum swg_breaker_manual */
    SWG__MANUAL_SHIFT = 2,
    SWG__DIRTY = 1 << 4,
    SWG__RAMP = 1 << 5,
    SWG__GENERATION_SHIFT = 16,
};

/* permit.flags */
enum {
    SWG__MARKED = 1,    /* counted as overdue already */
    SWG__UNCOUNTED = 2, /* admitted while disabled: leaves no trace */
    SWG__BESIDE = 4,    /* admitted past the breaker: counts in totals only */
};

/* permit.state */
enum { SWG__PERMIT_OUT = 1, SWG__PERMIT_ANSWERED = 2 };

/* The refusals a breaker makes, as indices of shard counters. */
enum {
    SWG__SHUT_OPEN,
    SWG__SHUT_FORCED,
    SWG__SHUT_FULL,
    SWG__SHUT_RAMPING,
    SWG__SHUT_COUNT,
};

/* What threads count without a lock; see slot.h for who writes. `successes`
 * are those in windows; `beside`, by outcome, all results that never were in
 * one by this number: late ones, neutral ones, failures. */
struct swg__breaker_shard {
    _Atomic uint64_t successes;
    _Atomic uint64_t last_success_ns, last_failure_ns; /* the slot's last: plain stores */
    _Atomic uint64_t beside[SWG_IGNORED + 1];
    _Atomic uint64_t slow, late;
    _Atomic uint64_t shut[SWG__SHUT_COUNT];
};

/* One a slot, each on lines of its own. */
struct swg__breaker_wide {
    alignas(2 * SWG__LINE) struct swg__breaker_shard shard;
};

enum { SWG__PROBES_MAX = 64, SWG__LEASES_FEW = 2 };

/* Options with all defaults filled in. Immutable and counted, so that the many
 * breakers of a registry share one. `options` is first: a pointer to it is one
 * to the whole. */
struct swg__rules {
    struct swg_breaker_options options;
    atomic_uint references; /* of breakers; the last release frees, so acquire-release */
};

/* A breaker has one of two shapes, and each decides the same. A wide one (by
 * swg_breaker_create()) has a shard a slot, so that threads do not meet. A
 * slim one (of a registry of many) has its one shard `home`, to which all
 * threads add atomically, and a lock that it shares with others. It may be
 * given wide shards while it runs. */
struct swg_breaker {
    /* Read by every call without a lock; written under it, rarely. `control`
     * is stored with release after the others and loaded with acquire before
     * them, so that who sees a state also sees its times, or newer ones. Newer
     * ones do no harm: whatever is decided by them without the lock is what a
     * call a moment later would have got, and all else is decided again under
     * the lock. The others are relaxed: alone, each is only a threshold. Together
     * they are a cache line, which wide breakers are aligned to. */
    _Atomic uint64_t control;
    _Atomic uint64_t bucket_end_ns; /* a success from here on takes the lock and turns the window */
    _Atomic uint64_t slow_ns;       /* slow_call_ns where set or needed by slow_percent; SWG_OFF */
    _Atomic uint64_t stale_ns;      /* a cancelled call that is older counts; SWG_OFF: never */
    _Atomic uint64_t gate_ns;       /* open: until when. Half-open: 0 with a slot free, else the
                                       earliest end of a lease. Before it, calls are refused */
    _Atomic uint64_t manual_until_ns;
    _Atomic uint64_t closed_ns; /* since when closed after an open time; 0: never was open */
    /* SWG__SLOTS shards, or NULL: all use home. Set at most once in a breaker's
     * life, with release, when the shards are zero; loaded with acquire. */
    struct swg__breaker_wide *_Atomic wide;
    _Atomic uint64_t ramp_ns; /* options.ramp_ns */

    /* Guarded by the lock. */
    pthread_mutex_t *lock;
    const struct swg_breaker_options *options; /* of a struct swg__rules; a reference */
    struct swg__window window;
    uint64_t random;
    uint64_t sequence;         /* of the last event */
    _Atomic uint64_t since_ns; /* of the present state; written under the lock, relaxed */
    uint64_t opened_ns;
    _Atomic uint64_t left_ns; /* when it last left closed; written under the lock, relaxed */
    uint64_t last_open_ns;
    uint32_t reopenings;
    uint32_t consecutive;
    uint64_t notes; /* failures by note, which are no calls */
    uint32_t probe_successes;
    uint32_t lease_capacity;
    uint64_t probes_out;    /* bit i: slot i+1 is out */
    uint64_t *lease_end_ns; /* of lease_capacity: leases_few, or memory of its own */
    uint64_t leases_few[SWG__LEASES_FEW];

    /* Set before the first call; read without a lock. */
    swg_breaker_listener *listener;
    void *listener_arg;

    struct swg__breaker_shard home;
};

/* Where this thread counts. *slot is for swg__slot_add(): one of the shared
 * ones in a shard that others add to. */
static inline struct swg__breaker_shard *swg__breaker_place(struct swg_breaker *b, unsigned *slot) {
    struct swg__breaker_wide *wide = atomic_load_explicit(&b->wide, memory_order_acquire);
    if (__builtin_expect(wide != NULL, 1))
        return &wide[*slot = swg__slot()].shard;
    *slot = SWG__SLOTS_OWN;
    return &b->home;
}

/* Events of one operation: told after the lock is released. A state can change
 * at most thrice in one: expiry, lease, and what the operation itself does. */
struct swg__events {
    uint32_t count;
    struct swg_breaker_event event[4];
};

static inline uint64_t swg__control(const struct swg_breaker *b) {
    return atomic_load_explicit(&b->control, memory_order_acquire);
}
static inline enum swg_breaker_state swg__control_state(uint64_t control) {
    return (enum swg_breaker_state)(control & SWG__STATE);
}
static inline enum swg_breaker_manual swg__control_manual(uint64_t control) {
    return (enum swg_breaker_manual)((control & SWG__MANUAL) >> SWG__MANUAL_SHIFT);
}
static inline uint64_t swg__control_generation(uint64_t control) {
    return control >> SWG__GENERATION_SHIFT;
}
static inline uint64_t swg__get(const _Atomic uint64_t *p) {
    return atomic_load_explicit(p, memory_order_relaxed);
}
static inline void swg__set(_Atomic uint64_t *p, uint64_t v) {
    atomic_store_explicit(p, v, memory_order_relaxed);
}

/* ---- breaker_options.c ---- */

/* *out: `in` (NULL: all defaults) with defaults filled in, so that 0 means off
 * in the rules, and SWG_OFF in slow_call_ns. On SWG_ERR_RANGE *out is undefined. */
enum swg_error swg__breaker_options_fill(struct swg_breaker_options *out,
                                         const struct swg_breaker_options *in);

/* ---- breaker_state.c: with the lock held ---- */

uint64_t swg__breaker_successes(const struct swg_breaker *);
/* What time alone has changed: expiry of manual states and of leases, the end
 * of a ramp. First in every operation that takes the lock. */
void swg__breaker_advance(struct swg_breaker *, struct swg__events *, uint64_t now_ns);
enum swg_refusal swg__breaker_admit_locked(struct swg_breaker *, struct swg__events *,
                                           struct swg_permit *, uint64_t now_ns);
/* A result of the present generation. */
void swg__breaker_result(struct swg_breaker *, struct swg__events *, struct swg_permit *,
                         enum swg_outcome_kind, uint64_t retry_after_ns, uint64_t now_ns);
void swg__breaker_mark(struct swg_breaker *, struct swg__events *, struct swg_permit *,
                       uint64_t now_ns);
void swg__breaker_note(struct swg_breaker *, struct swg__events *, uint64_t now_ns);
void swg__breaker_set_manual(struct swg_breaker *, struct swg__events *, enum swg_breaker_manual,
                             uint64_t for_ns, uint64_t now_ns);
void swg__breaker_clear(struct swg_breaker *, struct swg__events *, uint64_t now_ns);
/* Becomes what the past tells of (past.h), aged already. */
struct swg__past;
void swg__breaker_recall(struct swg_breaker *, struct swg__events *, const struct swg__past *,
                         uint64_t now_ns);
/* After options or the window were replaced. */
void swg__breaker_publish(struct swg_breaker *, uint64_t now_ns);
/* After stay_open has changed. */
void swg__breaker_follow_stay_open(struct swg_breaker *);
uint64_t swg__breaker_lease_min(const struct swg_breaker *);

/* ---- breaker_life.c ---- */

enum swg_error swg__rules_create(struct swg__rules **out, const struct swg_breaker_options *);
struct swg__rules *swg__rules_hold(struct swg__rules *);
void swg__rules_release(struct swg__rules *);

/* A configure in two steps, so that several breakers change all or none. A
 * discard also after the commit: it frees what the breaker had before. */
struct swg__breaker_change {
    struct swg__rules *rules;
    struct swg__window window;
    uint64_t *leases; /* NULL: few are enough */
};
enum swg_error swg__breaker_prepare(struct swg__breaker_change *,
                                    const struct swg_breaker_options *);
/* The same with rules that are shared; takes a reference. */
enum swg_error swg__breaker_prepare_shared(struct swg__breaker_change *, struct swg__rules *);
void swg__breaker_commit(struct swg_breaker *, struct swg__breaker_change *, uint64_t now_ns);
void swg__breaker_discard(struct swg__breaker_change *);

/* Makes a slim breaker in memory that is the caller's; takes over `change`. No permit of
 * an earlier life of this memory has `generation` or a later one. */
void swg__breaker_init(struct swg_breaker *, struct swg__breaker_change *change,
                       pthread_mutex_t *lock, uint64_t generation, uint64_t seed, uint64_t now_ns);
void swg__breaker_deinit(struct swg_breaker *);
/* Gives it a shard a slot; nothing if it has them, or if memory is short. */
void swg__breaker_widen(struct swg_breaker *);

static inline bool swg__is_wide(const struct swg_breaker *b) {
    return atomic_load_explicit(&b->wide, memory_order_relaxed) != NULL;
}

/* ---- breaker_stats.c ---- */

/* Adds what is counted since create; and the rest too, as a service's state has
 * it: sums, earliest and latest. */
void swg__stats_add_totals(struct swg_breaker_stats *sum, const struct swg_breaker_stats *);
void swg__stats_add(struct swg_breaker_stats *sum, const struct swg_breaker_stats *);
/* Closed, and no trouble in window or memory, no manual control: nothing is
 * lost with it but successes. Takes the lock. */
bool swg__breaker_is_spare(const struct swg_breaker *, uint64_t now_ns);
bool swg__breaker_is_manual(const struct swg_breaker *, uint64_t now_ns);

/* ---- breaker.c: for its other files, and for the policy ---- */

void swg__breaker_unlock_and_tell(struct swg_breaker *, const struct swg__events *);

/* Admits past the breaker: the result counts in totals only. Refuses only
 * FORCED_OPEN. */
enum swg_refusal swg__breaker_admit_beside(struct swg_breaker *, struct swg_permit *,
                                           uint64_t now_ns);

/* What the breaker would let through now, without a lock. */
enum swg__standing {
    SWG__SERVING, /* all calls (some, while ramping) */
    SWG__PROBING, /* a probe */
    SWG__SHUT,    /* nothing: open, or all probes out */
    SWG__FORCED,  /* nothing: forced open */
};
enum swg__standing swg__breaker_standing(const struct swg_breaker *, uint64_t now_ns);
/* Of a probing one: since when a probe would be let through. */
uint64_t swg__breaker_due_ns(const struct swg_breaker *);

#endif
