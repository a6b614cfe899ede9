/* loop_watch.h - judges from outside whether an event loop turns. Pure: what is seen
 * of the loop, and the time, come in; what is to be said comes out.
 *
 * A loop is in a turn or waits for something to happen. While it waits all is well,
 * for however long. A turn is short, or nobody else is served: from LOOP_SLOW_NS on it
 * is worth a line in the log, and from the limit on the loop hangs.
 *
 * The time of a turn is that which the watchdog has seen pass, not what clocks say. A
 * process that was stopped, or a machine that stood still, ages no turn: nothing hangs
 * that was not let run. */
#ifndef SWG_CLI_LOOP_WATCH_H
#define SWG_CLI_LOOP_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#define LOOP_SLOW_NS      UINT64_C(1000000000)
#define LOOP_SAY_EVERY_NS UINT64_C(10000000000) /* a loop that is slow all the time */

struct loop_watch {
    uint64_t turn_ns;  /* how long it has been in its present turn; 0: in none */
    uint64_t begun_ns; /* when that turn began, as the loop told: tells turns apart */
    uint64_t hung_ns;  /* how long it has hung, at the last look */
    bool hangs;
    bool slow_told;   /* of the present turn */
    uint64_t said_ns; /* last line about a slow turn; 0: none */
    uint32_t unsaid;  /* slow turns since then that got none */
};

/* What is seen at one look. */
struct loop_sight {
    uint64_t busy_since_ns; /* of the turn that it is in; 0: it waits */
    uint64_t longest_ns;    /* of the turns that have ended since the last look */
};

enum loop_finding {
    LOOP_WELL,
    LOOP_SLOW,  /* a turn took, or takes, LOOP_SLOW_NS and more: worth a line */
    LOOP_HANGS, /* from now on */
    LOOP_BACK,  /* no longer */
};

/* passed_ns: since the last look, cut to what a look late by little would make it.
 * limit_ns: UINT64_MAX for none. `slowest_ns` gets how long the turn in question took. */
enum loop_finding loop_watch_look(struct loop_watch *, const struct loop_sight *, uint64_t now_ns,
                                  uint64_t passed_ns, uint64_t limit_ns, uint64_t *slowest_ns);

#endif
