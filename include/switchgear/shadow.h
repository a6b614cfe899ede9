/* shadow.h - a second breaker beside that of each endpoint, which decides nothing.
 *
 * It has other settings, meets the same calls and hears the same outcomes, and
 * counts what it would have done: so two configurations can be compared on real
 * traffic before one of them decides.
 *
 * A shadow is asked about each call that the live breaker lets through. What it
 * would have refused goes on all the same, is counted, and its outcome is not
 * told to the shadow, since a breaker does not learn from what it refuses. When
 * its open time is over it takes the next calls as its probes: they are calls
 * that were made anyway, so trying costs nobody anything, and of the live
 * breaker's probes it takes none. What it cannot know is what never happened:
 *
 * - While the live breaker refuses, the shadow hears nothing, and its state
 *   stands still but for its own times. It cannot tell that it would have opened
 *   later, or not at all.
 * - A service that would have been spared by the shadow was not, and so may have
 *   recovered later than it would have.
 * - Results of attempts made past the live breaker (no_breaker, ejection) count
 *   in the shadow as any others.
 *
 * It begins closed, with an empty window, whenever it is switched on or gets
 * other options; a renewal with the same options keeps all of it.
 *
 * Threading and cost: as the live breaker; a call that both find healthy takes
 * no lock. Memory: one more breaker an endpoint, from the first time on. */
#ifndef SWITCHGEAR_SHADOW_H
#define SWITCHGEAR_SHADOW_H

#include <stdbool.h>
#include <stdint.h>

#include <switchgear/breaker.h>

struct swg_policy;

struct swg_shadow_options {
    bool enabled;
    struct swg_breaker_options breaker; /* zero means its default, not the live one's */
};

/* One of the two, since the comparison began. Times in sums of all endpoints. */
struct swg_shadow_side {
    struct swg_breaker_stats now; /* calls and what follows only since it began */
    uint64_t opened;              /* how often */
    uint64_t out_ns;              /* how long it was not closed */
};

struct swg_shadow_stats {
    bool enabled;
    uint64_t begun_ns;
    struct swg_shadow_side live, shadow;
    bool agrees;           /* now: on every endpoint both are closed, or neither is */
    uint64_t would_refuse; /* calls that the live one let through */
    uint64_t would_admit;  /* calls that the live one refused */
    uint64_t differences;  /* how often they came to differ */
    uint64_t differed_ns;  /* how long they did */
    /* Since the policy was created, whatever was switched meanwhile. */
    uint64_t opened_total, would_refuse_total, would_admit_total;
};

SWG_BEGIN_DECLS

/* Of one endpoint, or of all (SWG_ALL_ENDPOINTS). All zero where there never was one. */
enum { SWG_ALL_ENDPOINTS = UINT32_MAX };
SWG_API void swg_policy_read_shadow(const struct swg_policy *, uint32_t endpoint,
                                    struct swg_shadow_stats *, uint64_t now_ns);
/* Changes of the shadows' states; as swg_policy_listen(). */
typedef void swg_shadow_listener(void *arg, const char *endpoint, const struct swg_breaker_event *);
SWG_API void swg_policy_listen_shadow(struct swg_policy *, swg_shadow_listener *, void *arg);

SWG_END_DECLS

#endif
