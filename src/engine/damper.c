/* damper.c - see damper.h. */
#include "engine/damper.h"

static void note_change(struct swg__damper *d, enum swg__condition to, uint64_t now_ns) {
    d->seen = to;
    d->changed_ns = now_ns;
    d->at_ns[d->next] = now_ns;
    d->to[d->next] = (uint8_t)to;
    d->next = (d->next + 1) % SWG__DAMPER_CHANGES_MAX;
    if (d->count < SWG__DAMPER_CHANGES_MAX)
        d->count++;
}

/* How many changes the time has seen, and the worst that they led to. */
static uint32_t look_back(const struct swg__damper *d, uint64_t within_ns, uint64_t now_ns,
                          enum swg__condition *worst) {
    uint32_t i = 0;
    *worst = SWG__WORKING;
    for (; i < d->count; i++) {
        uint32_t at = (d->next + SWG__DAMPER_CHANGES_MAX - 1 - i) % SWG__DAMPER_CHANGES_MAX;
        if (now_ns - d->at_ns[at] > within_ns)
            break;
        if (d->to[at] > *worst)
            *worst = (enum swg__condition)d->to[at];
    }
    return i;
}

enum swg__condition swg__damper_feed(struct swg__damper *d, const struct swg__damper_options *o,
                                     enum swg__condition seen, uint64_t now_ns) {
    enum swg__condition worst;
    bool changed = seen != d->seen;
    if (changed)
        note_change(d, seen, now_ns);
    if (!o->changes) {
        d->holding = false;
        return seen;
    }
    if (changed && !d->holding && look_back(d, o->within_ns, now_ns, &worst) >= o->changes) {
        d->holding = true;
        d->worst = worst;
    }
    if (d->holding && now_ns - d->changed_ns >= o->hold_ns) {
        d->holding = false;
        d->count = 0; /* it begins anew */
    }
    if (d->holding && seen > d->worst)
        d->worst = seen;
    return d->holding ? d->worst : seen;
}
