/* breaker.h - refuses calls to a dependency that keeps failing.
 *
 * States: closed (calls pass and are judged), open (calls are refused until
 * some time has passed), half-open (a few probes pass and decide). Operators
 * can override: forced open, forced closed, disabled.
 *
 * Threading: any thread, any time. Admit while closed, record of a success while
 * closed (but the first after a failure or at the end of a tenth of the
 * window), and every refusal take no lock. No callback runs under a lock.
 * Memory: only create and configure allocate.
 * Time: now_ns as in time.h; threads may be slightly apart. What time alone
 * changes (the end of a lease or of manual control) is noticed by the next call
 * or tick, but counts from when it was due. */
#ifndef SWITCHGEAR_BREAKER_H
#define SWITCHGEAR_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

#include <switchgear/error.h>
#include <switchgear/export.h>
#include <switchgear/refusal.h>
#include <switchgear/time.h>

struct swg_breaker;

/* Zero means the default; the trip rules combine, and with none given at all
 * the default is failure_percent 50 with calls_min 20 over 10 s. A rule that
 * is 0 while another is given is off. All are judged at each result that counts,
 * successes too, and trip at their value, not only above it. */
struct swg_breaker_options {
    /* trip rules */
    uint32_t consecutive;     /* failures in a row, 1…1,000,000 */
    uint32_t failures;        /* failures in the window, 1…10,000 */
    uint32_t failure_percent; /* of the calls in the window, 1…100; at or above trips */
    uint32_t slow_percent;    /* of the calls in the window that were slow, 1…100 */
    uint64_t slow_call_ns;    /* from when on a call is slow; default 1 s with slow_percent, else
                                 not set; SWG_OFF: never. See the outcomes and overdue() */
    uint32_t calls_min;       /* rates are judged only from so many calls on; default 20; at most
                                 window_calls */
    /* the window: calls, or time; default 10 s */
    uint32_t window_calls; /* the last so many calls, 1…10,000; 0: time */
    uint64_t window_ns;    /* the last so much time, 10 ms…24 h, kept in tenths */
    /* open */
    uint64_t open_ns;        /* first open time; default 5 s */
    uint64_t open_max_ns;    /* doubled at each reopening up to this; default 60 s, or open_ns */
    uint32_t jitter_percent; /* open times vary by so much at most; default 10; 101: none */
    bool stay_open;          /* open times do not end by themselves, but by probe_now, reset or
                                force. A change of it also holds for what is open */
    /* half-open */
    uint32_t probes;         /* at most so many calls at once, 1…64; default 2 */
    uint32_t close_after;    /* successes in a row that close it, any failure opens; default 2 */
    uint64_t probe_lease_ns; /* a probe not answered by then counts as failed; default 60 s */
    /* closed again */
    uint64_t ramp_ns; /* traffic comes back from 10% to all over this time; default 0: at once */
};

/* What became of an attempt. A caller that went away, or whose own deadline
 * was shorter than the policy's, is CANCELLED: nothing if younger than
 * slow_call_ns (1 s where none is set), slow if older (a failure, where no
 * slow rule is set). */
enum swg_outcome_kind {
    SWG_SUCCESS,
    SWG_FAILURE,   /* the service's fault */
    SWG_OVERLOAD,  /* 429: counted by itself, decides nothing */
    SWG_CANCELLED, /* the caller's doing */
    SWG_IGNORED,   /* neither: gives the slot back */
};

enum swg_breaker_state { SWG_CLOSED, SWG_OPEN, SWG_HALF_OPEN };

enum swg_breaker_manual {
    SWG_AUTOMATIC,
    SWG_FORCED_OPEN,   /* refuses everything */
    SWG_FORCED_CLOSED, /* admits everything, counts, never trips */
    SWG_DISABLED,      /* admits everything, counts nothing */
};

/* A token for one admitted attempt; the caller's memory, filled by admit.
 * Answered by exactly one record; builds with assertions abort otherwise.
 * started_ns may be moved on while the attempt stands still for reasons of the
 * caller; the other fields are the breaker's. */
struct swg_permit {
    uint64_t generation;
    uint64_t started_ns;
    uint32_t probe; /* slot of a half-open probe, counted from 1; 0: none */
    uint8_t state;  /* 0 none, 1 under way, 2 answered */
    uint8_t flags;
};

/* One change, for logs and history. Sequence numbers of one breaker have no
 * gaps; a reader that sees one has missed something. */
struct swg_breaker_event {
    uint64_t sequence;
    uint64_t now_ns;
    enum swg_breaker_state from, to;
    enum swg_breaker_manual manual_from, manual_to;
    const char *cause;      /* static word: "consecutive", "failures", "failure_rate", "slow_rate",
                               "probe_failed", "probe_lease", "probe_due", "probes_succeeded",
                               "manual", "expired", "reset", "restored" */
    uint64_t open_until_ns; /* when to is open */
    uint32_t calls, bad_calls, slow_calls; /* in the window, or of the probes, that decided */
};

/* Called after each change, outside all locks, on the thread that caused it;
 * events of one breaker may therefore arrive out of order: see sequence. It may do to
 * the breaker whatever it likes (read, force, reset, admit, configure; what that changes
 * is told in turn, from inside), but destroy it. A reader that joined later, or whose
 * listener lost one, finds out by stats.events: the number of the last. */
typedef void swg_breaker_listener(void *arg, const struct swg_breaker_event *);

/* A consistent reading for people; not for decisions. */
struct swg_breaker_stats {
    enum swg_breaker_state state; /* as it would be for a call now: an open time that is over
                                     still reads open, with probe_due */
    enum swg_breaker_manual manual;
    bool probe_due; /* open, its time is over, and no call came yet to try */
    uint64_t generation, events;
    uint64_t since_ns;        /* of the present state */
    uint64_t opened_ns;       /* last time it opened; 0: never */
    uint64_t open_until_ns;   /* when open; SWG_NEVER: stays so, see stay_open */
    uint64_t manual_until_ns; /* SWG_NEVER: no expiry */
    uint32_t reopenings;      /* how often in a row, what doubles the open time */
    uint32_t probes_out;
    uint32_t consecutive;
    uint32_t window_calls, window_failures, window_slow;
    /* Since create. calls is the sum of the five outcomes; failures also has those by
     * note_failure(). slow and late are in the others as well. */
    uint64_t calls, successes, failures, slow, overloads, cancelled, ignored, late;
    uint64_t last_success_ns, last_failure_ns; /* 0: never */
    uint64_t refused[SWG_REFUSAL_COUNT];
};

SWG_BEGIN_DECLS

/* `options` may be NULL for all defaults; it is copied. SWG_ERR_RANGE,
 * SWG_ERR_NOMEM: *out is then NULL. `seed` makes the jitter; any value. */
SWG_API enum swg_error swg_breaker_create(struct swg_breaker **out,
                                          const struct swg_breaker_options *options, uint64_t seed,
                                          uint64_t now_ns);
/* No permit may be outstanding. NULL is ignored. */
SWG_API void swg_breaker_destroy(struct swg_breaker *);

/* New options from now on; state, window and totals are kept. A window of another
 * size begins with what of the old one fits, one of another kind (calls, time)
 * empty. What is open stays so for the time it was given. On an error nothing
 * has changed. */
SWG_API enum swg_error swg_breaker_configure(struct swg_breaker *,
                                             const struct swg_breaker_options *, uint64_t now_ns);

/* Set before the first admit. NULL: none. */
SWG_API void swg_breaker_listen(struct swg_breaker *, swg_breaker_listener *, void *arg);

/* SWG_ADMITTED with *permit filled, or the reason: OPEN, FORCED_OPEN,
 * HALF_OPEN_FULL, RAMPING. `random` decides only while ramping. */
SWG_API enum swg_refusal swg_breaker_admit(struct swg_breaker *, struct swg_permit *,
                                           uint64_t random, uint64_t now_ns);

/* What admit would say, without side effect or lock; retry_in_ns (may be NULL) is
 * how long until it is worth asking again, SWG_NEVER under forced open without
 * expiry. A ramp is not looked at; neither is a lease that has run out beside a
 * free slot. */
SWG_API enum swg_refusal swg_breaker_peek(const struct swg_breaker *, uint64_t now_ns,
                                          uint64_t *retry_in_ns);

/* Answers the permit. `retry_after_ns`: the service's own wish (0: none), a
 * floor for the open time if this result opens the breaker, up to open_max_ns. A
 * result of an older generation counts in totals (`late`) and decides nothing.
 * What was admitted while disabled is not counted at all. */
SWG_API void swg_breaker_record(struct swg_breaker *, struct swg_permit *, enum swg_outcome_kind,
                                uint64_t retry_after_ns, uint64_t now_ns);

/* Tells that an attempt is still under way although it is older than
 * slow_call_ns: it counts as slow from now on (as a failure, where no slow
 * rule is set), and its later record adds nothing to the window but, if it
 * fails, the failure. Harmless if too early or repeated. When to call:
 * permit.started_ns + swg_breaker_slow_call_ns(), unless that is SWG_OFF.
 * Without slow_call_ns and slow_percent nothing is ever overdue: nobody has said
 * that this service has to be fast. */
SWG_API void swg_breaker_overdue(struct swg_breaker *, struct swg_permit *, uint64_t now_ns);

/* slow_call_ns in force: 1 s where only slow_percent is set; SWG_OFF where
 * neither is. */
SWG_API uint64_t swg_breaker_slow_call_ns(const struct swg_breaker *);

/* Makes a call that was recorded as a success a failure after all: a stream that
 * broke off late. Adds a failure, but no call, to window and totals. Ignored
 * unless `generation`, that of its permit, is current. */
SWG_API void swg_breaker_note_failure(struct swg_breaker *, uint64_t generation, uint64_t now_ns);

/* Operators. `for_ns`: SWG_NEVER for no expiry. Forced open expires into
 * half-open, the others into closed, each with an empty window. SWG_AUTOMATIC
 * ends manual control at once, in the same way. */
SWG_API void swg_breaker_force(struct swg_breaker *, enum swg_breaker_manual, uint64_t for_ns,
                               uint64_t now_ns);
/* Clears window and manual state, and closes. */
SWG_API void swg_breaker_reset(struct swg_breaker *, uint64_t now_ns);
/* Ends the open time now: the next admit is a probe. Nothing if not open. */
SWG_API void swg_breaker_probe_now(struct swg_breaker *, uint64_t now_ns);

/* Also makes due what time alone has changed (expiry of manual states and of
 * leases), so that it is told to the listener without traffic. */
SWG_API void swg_breaker_tick(struct swg_breaker *, uint64_t now_ns);

SWG_API void swg_breaker_read(const struct swg_breaker *, struct swg_breaker_stats *,
                              uint64_t now_ns);
/* Aborts if an invariant does not hold; for tests. Takes the lock. */
SWG_API void swg_breaker_check(const struct swg_breaker *);

/* "closed", "open", "half_open". */
SWG_API const char *swg_breaker_state_word(enum swg_breaker_state);
/* The same, or "forced_open", "forced_closed", "disabled". */
SWG_API const char *swg_breaker_word(enum swg_breaker_state, enum swg_breaker_manual);

SWG_END_DECLS

#endif
