/* flight.h - one upstream request for many equal ones: who asks, who waits.
 *
 * A flight is one fetch that others may wait for. Its leader fetches; how the
 * leader ends decides what happens to those who wait. Pure: no lock, no
 * callback, no clock; the caller wakes whom it is told to wake. */
#ifndef SWG_ENGINE_FLIGHT_H
#define SWG_ENGINE_FLIGHT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

/* ---- joining ----------------------------------------------------------- */

enum swg__flight_role {
    SWG__FLIGHT_LEAD,  /* nobody is under way: fetch, for the others too */
    SWG__FLIGHT_WAIT,  /* somebody is: wait for it */
    SWG__FLIGHT_ALONE, /* fetch for yourself only */
};

struct swg__flight_facts {
    bool under_way; /* somebody is fetching it */
    bool unshared;  /* its answer was lately of a kind that nobody else can have */
    bool may_lead;  /* its answer may be for others */
    bool may_wait;  /* somebody else's answer may be for it, and it has not waited yet */
};
enum swg__flight_role swg__flight_role(const struct swg__flight_facts *);

/* ---- ending ------------------------------------------------------------ */

enum swg__flight_end {
    SWG__FLIGHT_STORED,    /* the answer is there for all */
    SWG__FLIGHT_UNSHARED,  /* the answer is for the leader alone */
    SWG__FLIGHT_FAILED,    /* there was no good answer */
    SWG__FLIGHT_CANCELLED, /* the leader went away; nothing is known about the service */
};

/* Zeroed but for the list. */
struct swg__flight {
    struct list waiters; /* longest waiting first; links of the caller's */
    uint32_t failures;   /* leaders that failed so far */
};

static inline void swg__flight_init(struct swg__flight *f) {
    list_init(&f->waiters);
    f->failures = 0;
}

/* Moves those who are to be woken, in order, to `woken`. True: the flight goes
 * on, and the first of them is its next leader; the others fetch for
 * themselves. False: it is over, nobody waits any more, and all look again.
 *
 *   stored      all are woken, and find it
 *   unshared    all are woken, and fetch for themselves
 *   cancelled   one is woken and leads; the others keep waiting
 *   failed      1, then 2, 4, 8 … are woken; the first of them leads, so that
 *               neither does one failure fail all, nor do all storm a service
 *               that is down, nor does the last wait for more than a few */
bool swg__flight_end(struct swg__flight *, enum swg__flight_end, struct list *woken);

/* ---- what is known to be unshared -------------------------------------- */

/* A table of fixed size; a newcomer displaces whoever has its place. That two
 * keys share a mark costs only that one is not coalesced for a while. */
struct swg__flight_mark {
    uint64_t hash, until_ns; /* zeroed: none */
};
struct swg__flight_marks {
    struct swg__flight_mark *marks;
    uint32_t mask;
};

/* `marks`: zeroed, a power of two of them. */
void swg__flight_marks_init(struct swg__flight_marks *, struct swg__flight_mark *marks,
                            uint32_t count);
void swg__flight_mark(struct swg__flight_marks *, uint64_t hash, uint64_t until_ns);
void swg__flight_unmark(struct swg__flight_marks *, uint64_t hash);
bool swg__flight_marked(const struct swg__flight_marks *, uint64_t hash, uint64_t now_ns);

#endif
