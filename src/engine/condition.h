/* condition.h - how a service is, in one of three words, out of what is known of it.
 *
 *   working    nothing speaks against it
 *   impaired   it serves, but not as it should
 *   down       it does not serve, or nothing shows that it does
 *
 * What is known comes from several sides, and they are not believed alike:
 *
 *   1. The breaker. What it keeps shut is down, whatever a health check says: the check
 *      asks for one page, real calls for all of them. What is being tried is down until
 *      the tries have closed it, or the word would flap with them.
 *   2. Real calls that came through lately. They outweigh a check that fails: the service
 *      is then impaired at worst. So do they outweigh what it depends on: somebody who
 *      goes on serving without his database has shown that he can.
 *   3. The check's word, where no real call has anything to say.
 *   4. What it depends on: without a hard dependency it is down, without a soft one
 *      impaired.
 *
 * Pure, and without state; see damper.h for what flaps. */
#ifndef SWG_ENGINE_CONDITION_H
#define SWG_ENGINE_CONDITION_H

#include <stdbool.h>
#include <stdint.h>

#include <switchgear/breaker.h>

/* In the order of how bad they are. */
enum swg__condition { SWG__WORKING, SWG__IMPAIRED, SWG__DOWN };

/* What a health check says of an endpoint. */
enum swg__check { SWG__CHECK_NONE, SWG__CHECK_GOOD, SWG__CHECK_BAD };

/* What made it so. Of several that are down, the first in this order is told. */
enum swg__because {
    SWG__BECAUSE_NOTHING,
    SWG__BECAUSE_CHECK,
    SWG__BECAUSE_HALF_OPEN,
    SWG__BECAUSE_OPEN,
    SWG__BECAUSE_FORCED_OPEN,
    SWG__BECAUSE_ENDPOINT,   /* some endpoints are down, others serve */
    SWG__BECAUSE_FAILING,    /* nothing but failures, although no rule has opened the breaker */
    SWG__BECAUSE_DEPENDENCY, /* see finding.dependency */
};

struct swg__finding {
    enum swg__condition condition;
    enum swg__because because;
    uint32_t dependency; /* as told to swg__condition_depend() */
    bool serves;         /* real calls have come through lately */
};

/* A success counts as recent for so long, a row of failures from so many on. */
#define SWG__RECENT_NS SWG_SECONDS(30)
enum { SWG__FAILING = 5 };

struct swg__finding swg__condition_of_endpoint(const struct swg_breaker_stats *, enum swg__check,
                                               uint64_t now_ns);
/* Of a service, from its endpoints' findings; count is never 0. */
struct swg__finding swg__condition_of_service(const struct swg__finding *endpoints, uint32_t count);
/* Adds what the condition of one service means for another that depends on it. */
void swg__condition_depend(struct swg__finding *, uint32_t dependency, enum swg__condition of_it,
                           bool soft);

/* "working", "impaired", "down". */
const char *swg__condition_word(enum swg__condition);
/* "open", "check", "dependency", …; "" for nothing. */
const char *swg__because_word(enum swg__because);

#endif
