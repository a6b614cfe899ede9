/* overall.c - see overall.h. */
#include "admin/overall.h"

#include "gateway/health.h"

enum overall overall_judge(const struct overall_count *c) {
    if (c->critical_down > 1)
        return OVERALL_EMERGENCY;
    if (c->critical_down || (uint64_t)c->working * 100 < (uint64_t)c->services * 50)
        return OVERALL_CRITICAL;
    if ((uint64_t)c->working * 100 < (uint64_t)c->services * 80)
        return OVERALL_DEGRADED;
    return OVERALL_HEALTHY;
}

const char *overall_word(enum overall o) {
    static const char *const words[] = {"HEALTHY", "DEGRADED", "CRITICAL", "EMERGENCY"};
    return words[o];
}

static bool all_checks_fail(struct admin *a, const struct service *s) {
    if (!s->options->health.enabled)
        return false;
    for (uint32_t i = 0; i < s->target_count; i++) {
        struct health_reading r;
        health_read(a->health, s, i, &r);
        if (r.state != HEALTH_BAD)
            return false;
    }
    return true;
}

bool service_works(struct admin *a, const struct service *s, uint64_t now_ns) {
    return swg_policy_state(s->policy, now_ns, NULL) == SWG_CLOSED && !all_checks_fail(a, s);
}

void overall_count(struct admin *a, struct plan *plan, uint64_t now_ns, struct overall_count *c) {
    *c = (struct overall_count){.services = plan->service_count};
    for (uint32_t i = 0; i < plan->service_count; i++) {
        const struct service *s = &plan->services[i];
        bool works = service_works(a, s, now_ns);
        c->working += works;
        c->critical_down += !works && s->options->critical;
    }
}
