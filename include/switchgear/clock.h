/* clock.h - what the engine does not know by itself: time, sleep, and chance.
 *
 * The engine takes the time as an argument. swg_run() needs a clock to read and
 * to sleep by, and takes the real one unless it is given another, for instance
 * this, with which a test of two hours takes a moment and no luck:
 *
 *     struct swg_test_clock *t;
 *     swg_test_clock_create(&t, SWG_SECONDS(1), true);
 *     struct swg_clock *clock = swg_test_clock_interface(t);
 *     swg_policy_create(&p, NULL, 1, clock->now_ns(clock));
 *     swg_run(p, fn, arg, &(struct swg_run_options){.clock = clock, .seed = 1});
 *     swg_test_clock_advance(t, SWG_HOURS(2));
 *     …
 *     swg_test_clock_destroy(t);
 *
 * tests/unit/lib/test_clock_test.c is a whole example. */
#ifndef SWITCHGEAR_CLOCK_H
#define SWITCHGEAR_CLOCK_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <switchgear/error.h>
#include <switchgear/export.h>
#include <switchgear/time.h>

/* One thread's sleeps; made by whoever sleeps, with SWG_SLEEP_INIT. The clock that
 * it is used with may use the fields as it likes. */
struct swg_sleep {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool woken;
};
#define SWG_SLEEP_INIT \
    { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false }

/* A clock; to make one of your own, embed this in your object.
 * Threading: all three from any thread. */
struct swg_clock {
    uint64_t (*now_ns)(struct swg_clock *);
    /* Until that time (SWG_NEVER: for ever), or a wake, be it before or during the
     * sleep; true: it was a wake, which is thereby used up. */
    bool (*sleep)(struct swg_clock *, struct swg_sleep *, uint64_t until_ns);
    /* The sleep's memory may go as soon as it returned. */
    void (*wake)(struct swg_clock *, struct swg_sleep *);
};

/* A clock for tests: stands still unless told.
 *
 * Automatic: whoever sleeps moves it on to the end of his sleep at once, so a
 * program of one thread never waits. By hand: sleeping threads wait until
 * somebody advances it past their time, which a test of several threads wants:
 * it waits for them to sleep, and moves on by as much as it likes. Either way,
 * what "takes time" in a test is done by advancing the clock. */
struct swg_test_clock;

SWG_BEGIN_DECLS

/* CLOCK_MONOTONIC, nanoseconds. */
SWG_API uint64_t swg_now(void);
/* The real clock: swg_now(). Needs no release. */
SWG_API struct swg_clock *swg_real_clock(void);
/* 64 random bits from the system, for seeds and keys. */
SWG_API uint64_t swg_seed(void);

/* SWG_ERR_NOMEM: *out is then NULL. */
SWG_API enum swg_error swg_test_clock_create(struct swg_test_clock **out, uint64_t start_ns,
                                             bool automatic);
/* Nobody may sleep on it. NULL is ignored. */
SWG_API void swg_test_clock_destroy(struct swg_test_clock *);
/* To give to swg_run(); valid as long as the clock. */
SWG_API struct swg_clock *swg_test_clock_interface(struct swg_test_clock *);

SWG_API uint64_t swg_test_clock_now(struct swg_test_clock *);
/* Moves on, and wakes whose time has come; SWG_NEVER is never reached. */
SWG_API void swg_test_clock_advance(struct swg_test_clock *, uint64_t by_ns);
/* The earliest end of a sleep that is under way; SWG_NEVER: none. */
SWG_API uint64_t swg_test_clock_next_ns(struct swg_test_clock *);
/* Waits, in real time, until at least so many threads sleep on it and their time has not
 * come. Without that a test would have to guess how far its threads are. */
SWG_API void swg_test_clock_await_sleepers(struct swg_test_clock *, uint32_t count);

SWG_END_DECLS

#endif
