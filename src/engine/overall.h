/* overall.h - how the whole is doing, in one word, and whether that is an emergency.
 *
 *   HEALTHY     at least healthy_percent of the services work (also where there are none)
 *   DEGRADED    at least degraded_percent
 *   CRITICAL    fewer, or a critical one is down
 *   EMERGENCY   at least `criticals` critical ones are down
 *
 * A service works unless it is down: an impaired one serves.
 *
 * What is done in an emergency outlasts it: an emergency is over when none has been
 * judged for hold_ns, or what it switched off would go off and on with every service
 * that recovers for a moment. */
#ifndef SWG_ENGINE_OVERALL_H
#define SWG_ENGINE_OVERALL_H

#include <stdbool.h>
#include <stdint.h>

enum swg__overall { SWG__HEALTHY, SWG__DEGRADED, SWG__CRITICAL, SWG__EMERGENCY };

struct swg__overall_options {
    uint32_t healthy_percent, degraded_percent; /* of the services; at or above is enough */
    uint32_t criticals;                         /* at least 1 */
    uint64_t hold_ns;
};

struct swg__overall_count {
    uint32_t services, working, impaired, critical_down; /* working: the impaired ones too */
};

enum swg__overall swg__overall_judge(const struct swg__overall_options *,
                                     const struct swg__overall_count *);

/* Zero is one that is not on. */
struct swg__emergency {
    bool on;
    uint64_t since_ns, seen_ns; /* when it began, and was judged for the last time */
};

/* Whether it is on now. now_ns never goes backwards. */
bool swg__emergency_feed(struct swg__emergency *, const struct swg__overall_options *,
                         enum swg__overall, uint64_t now_ns);

/* "HEALTHY", … */
const char *swg__overall_word(enum swg__overall);

#endif
