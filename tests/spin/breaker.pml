/* breaker.pml - the breaker's concurrent transitions, for the model checker Spin.
 *
 * What is modelled is src/engine/breaker.c and breaker_state.c: admit and record
 * without the lock where they do so, the lock where they take it, and each write
 * that a reader without the lock can see as a step of its own, in the order of
 * the code. Time is chance: an open time or a lease may be over at any moment.
 * A caller may also never come back, as one that hangs. README.md says what this
 * covers and what not.
 *
 * Variants that must fail, so that the check itself is known to bite:
 *   -DBROKEN_GENERATION  a late result decides
 *   -DBROKEN_PROBES      looks whether a slot is free, and takes it later
 *   -DBROKEN_LEASE       a probe that never comes back keeps its slot
 *   -DBROKEN_DIRTY       a failure does not send the next success the long way */

#ifndef CALLERS
#define CALLERS 2
#endif
#ifndef CALLS
#define CALLS 2
#endif
#define PROBES      1 /* at most so many at once */
#define TRIP        2 /* failures in a row */
#define CLOSE_AFTER 1
#define GENERATIONS 24

mtype = { CLOSED, OPEN, HALF_OPEN };

/* The control word: read and written in one step, always all three. */
mtype state = CLOSED;
byte generation = 0;
bool dirty = false;
#define LOAD(s, g, d)  d_step { s = state; g = generation; d = dirty }
#define STORE(s, g, d) d_step { state = s; generation = g; dirty = d }

bool gate = false; /* half-open: no slot is free */

/* Under the lock. */
bool locked = false;
byte probes_out = 0, probe_successes = 0, consecutive = 0;
#define LOCK   atomic { !locked -> locked = true }
#define UNLOCK locked = false

/* What is true, whatever the breaker believes. */
byte running = CALLERS + 1; /* processes */
byte real_probes = 0;    /* under way, of the present generation */
byte admitted = 0, answered = 0, lost = 0;

/* enter(): the gate first, the word last; a new generation has no probes. */
inline enter(to) {
    if
    :: to == HALF_OPEN -> gate = false
    :: else
    fi;
    probes_out = 0;
    probe_successes = 0;
    assert(generation < GENERATIONS);
    d_step {
        state = to;
        generation++;
        dirty = false;
        real_probes = 0
    }
}

inline close() {
    consecutive = 0;
    gate = false;
    enter(CLOSED)
}

inline update_gate() {
    gate = (probes_out >= PROBES)
}

/* What time alone changes. A lease may be over; only probes that were taken have one. */
inline advance() {
    if
#ifndef BROKEN_LEASE
    :: state == HALF_OPEN && probes_out > 0 -> enter(OPEN)
#endif
    :: true
    fi
}

/* With the lock. */
inline admit_locked() {
    advance();
    permit_probe = false;
    allowed = true;
    if
    :: state == OPEN ->
        if
        :: enter(HALF_OPEN)   /* its time is over */
        :: allowed = false
        fi
    :: else
    fi;
    if
    :: allowed && state == HALF_OPEN ->
        if
        :: probes_out >= PROBES -> allowed = false
        :: else ->
            probes_out++;
            real_probes++;
            permit_probe = true;
            update_gate()
        fi
    :: else
    fi;
    permit_generation = generation;
    assert(real_probes <= PROBES)
}

/* With the lock, and of this generation. */
inline result(success) {
    if
    :: state == CLOSED ->
        if
        :: success ->
            consecutive = 0;
            STORE(state, generation, false)
        :: else ->
            consecutive++;
            if
            :: consecutive >= TRIP -> enter(OPEN)
            :: else ->
#ifndef BROKEN_DIRTY
                STORE(state, generation, true)
#else
                skip
#endif
            fi
        fi
    :: state == HALF_OPEN ->
        assert(permit_probe);        /* nobody else decides here */
        assert(probes_out > 0);
        probes_out--;
        real_probes--;
        update_gate();
        if
        :: success ->
            probe_successes++;
            if
            :: probe_successes >= CLOSE_AFTER -> close()
            :: else
            fi
        :: else -> enter(OPEN)
        fi
    :: state == OPEN -> assert(false) /* no permit is of an open generation */
    fi
}

proctype caller() {
    mtype seen_state;
    byte seen_generation, permit_generation, left = CALLS;
    bool seen_dirty, permit_probe, allowed, success, after_failure;
    do
    :: left == 0 -> break
    :: left > 0 ->
        left--;
        /* ---- admit ---- */
        LOAD(seen_state, seen_generation, seen_dirty);
        permit_probe = false;
        if
        :: seen_state == CLOSED ->
            permit_generation = seen_generation;
            allowed = true
        :: seen_state == OPEN ->
            if
            :: LOCK; admit_locked(); UNLOCK
            :: allowed = false      /* its time is not over */
            fi
        :: seen_state == HALF_OPEN ->
            if
            :: !gate ->
#ifndef BROKEN_PROBES
                LOCK; admit_locked(); UNLOCK
#else
                probes_out++;
                real_probes++;
                permit_probe = true;
                permit_generation = seen_generation;
                allowed = true;
                update_gate();
                assert(real_probes <= PROBES)
#endif
            :: gate -> allowed = false
            :: gate -> LOCK; admit_locked(); UNLOCK  /* a lease is over by its clock */
            fi
        fi;
        if
        :: !allowed
        :: allowed ->
            admitted++;
            if
            :: lost++               /* never comes back */
            :: true ->
                if
                :: success = true
                :: success = false
                fi;
                /* ---- record ---- */
                d_step {
                    seen_state = state;
                    seen_generation = generation;
                    seen_dirty = dirty;
                    after_failure = (consecutive > 0 && !locked)
                };
                if
                :: success && seen_state == CLOSED && !seen_dirty &&
                   seen_generation == permit_generation ->
                    assert(!after_failure); /* it would have ended the row */
                    answered++              /* its own counter, and nothing else */
                :: else ->
                    if
#ifndef BROKEN_GENERATION
                    :: seen_generation != permit_generation ->
                        answered++  /* late: counted beside */
                    :: seen_generation == permit_generation ->
#else
                    :: true ->
#endif
                        LOCK;
                        advance();
                        if
#ifndef BROKEN_GENERATION
                        :: generation != permit_generation -> skip
                        :: generation == permit_generation ->
#else
                        :: true ->
#endif
                            result(success)
                        fi;
                        answered++;
                        UNLOCK
                    fi
                fi
            fi
        fi
    od;
    running--
}

/* An operator resets, once, at any time. */
proctype operator() {
    LOCK;
    advance();
    close();
    UNLOCK;
    running--
}

/* When all is over: every answer was counted once, and the breaker still lets
 * somebody in, however many never came back. */
proctype last() {
    byte permit_generation;
    bool permit_probe, allowed;
    (running == 0);
    assert(answered + lost == admitted);
    assert(consecutive < TRIP || state != CLOSED);
    assert(probes_out <= PROBES);
    if
    :: state == HALF_OPEN && probes_out >= PROBES ->
        LOCK;
#ifndef BROKEN_LEASE
        enter(OPEN);    /* all leases are over by now */
#endif
        UNLOCK
    :: else
    fi;
    LOCK;
    if
    :: state == OPEN -> enter(HALF_OPEN)
    :: else
    fi;
    assert(state == CLOSED || probes_out < PROBES); /* not wedged */
    UNLOCK
}

init {
    byte i = 0;
    atomic {
        do
        :: i < CALLERS -> run caller(); i++
        :: else -> break
        od;
        run operator();
        run last()
    }
}
