/* damper.h - holds the word about a service that changes too often.
 *
 * A service that goes up and down every few seconds is of no use to anybody, and the word
 * about it neither: people are called, dependents are tried, emergencies begin and end.
 * So after `changes` changes within `within_ns` the word is held at the worst of them,
 * until the service has not changed for hold_ns. What gets worse meanwhile is told at
 * once: damping never makes a service look better than it is.
 *
 * Routers do this by penalties that decay (RFC 2439), to weigh many changes against
 * their age. Here a change is rare, and whoever was called wants to see from the history
 * why the word is held: "six changes in a minute" can be counted there, a penalty of 2,300
 * cannot. */
#ifndef SWG_ENGINE_DAMPER_H
#define SWG_ENGINE_DAMPER_H

#include "engine/condition.h"

enum { SWG__DAMPER_CHANGES_MAX = 64 };

struct swg__damper_options {
    uint32_t changes; /* 2…SWG__DAMPER_CHANGES_MAX; 0: nothing is held */
    uint64_t within_ns, hold_ns;
};

/* Zero is one that has seen a working service. */
struct swg__damper {
    enum swg__condition seen, worst; /* worst: while holding */
    bool holding;
    uint64_t changed_ns; /* last time that `seen` did */
    uint32_t count, next;
    uint64_t at_ns[SWG__DAMPER_CHANGES_MAX];
    uint8_t to[SWG__DAMPER_CHANGES_MAX];
};

/* What is seen now; answers with the word to be told. now_ns never goes backwards. */
enum swg__condition swg__damper_feed(struct swg__damper *, const struct swg__damper_options *,
                                     enum swg__condition seen, uint64_t now_ns);

#endif
