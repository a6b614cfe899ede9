/* drill.h - whether a drill hits an attempt, and what it does to it.
 *
 * A drill injects a fault on purpose: for a share of the attempts, until an end
 * that it was given at its start. Which attempts it is about (of which service,
 * with which header field) is the driver's to know; whether one of those is hit
 * is decided here, by chance that comes in as an argument. Each drill draws for
 * itself, so that its share is right on average however many there are.
 *
 * Several that hit the same attempt: delays add up, and of the faults the
 * earliest drill's is the one that happens.
 *
 * Pure. Threading: none needed. */
#ifndef SWG_ENGINE_DRILL_H
#define SWG_ENGINE_DRILL_H

#include <stdbool.h>
#include <stdint.h>

enum swg__drill_kind { SWG__DRILL_DELAY, SWG__DRILL_ERROR, SWG__DRILL_ABORT, SWG__DRILL_KINDS };

enum { SWG__DRILL_ALWAYS = 1000000 };

struct swg__drill {
    enum swg__drill_kind kind;
    uint32_t share;    /* of the attempts, in millionths: 0…SWG__DRILL_ALWAYS */
    uint64_t delay_ns; /* a delay's; of the others, what goes before the fault */
    int status;        /* an error's */
    uint64_t until_ns; /* hits nothing from then on */
};

/* What happens to one attempt; zero: nothing. */
struct swg__drill_effect {
    bool hit;
    enum swg__drill_kind kind; /* of the fault, or, where there is none, a delay */
    uint64_t delay_ns;         /* goes before it */
    int status;
};

/* Whether it is one of the drill's share. `random`: another for each drill and attempt. */
bool swg__drill_hits(const struct swg__drill *, uint64_t random, uint64_t now_ns);
/* Adds what a drill that hit does to what earlier ones do. False: it does nothing more. */
bool swg__drill_add(struct swg__drill_effect *, const struct swg__drill *);

/* "delay", "error", "abort". */
const char *swg__drill_word(enum swg__drill_kind);

#endif
