/* overall.c - see overall.h. */
#include "engine/overall.h"

static bool is_enough(const struct swg__overall_count *c, uint32_t percent) {
    return (uint64_t)c->working * 100 >= (uint64_t)c->services * percent;
}

enum swg__overall swg__overall_judge(const struct swg__overall_options *o,
                                     const struct swg__overall_count *c) {
    if (c->critical_down && c->critical_down >= o->criticals)
        return SWG__EMERGENCY;
    if (c->critical_down || !is_enough(c, o->degraded_percent))
        return SWG__CRITICAL;
    return is_enough(c, o->healthy_percent) ? SWG__HEALTHY : SWG__DEGRADED;
}

bool swg__emergency_feed(struct swg__emergency *e, const struct swg__overall_options *o,
                         enum swg__overall judged, uint64_t now_ns) {
    if (judged == SWG__EMERGENCY) {
        if (!e->on)
            e->since_ns = now_ns;
        e->on = true;
        e->seen_ns = now_ns;
    } else if (e->on && now_ns - e->seen_ns >= o->hold_ns) {
        e->on = false;
    }
    return e->on;
}

const char *swg__overall_word(enum swg__overall o) {
    static const char *const words[] = {"HEALTHY", "DEGRADED", "CRITICAL", "EMERGENCY"};
    return words[o];
}
