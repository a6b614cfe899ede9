/* condition.c - see condition.h. */
#include "engine/condition.h"

static bool is_recent(uint64_t at_ns, uint64_t now_ns) {
    return at_ns && (at_ns >= now_ns || now_ns - at_ns <= SWG__RECENT_NS);
}

/* The tries that closed a breaker may have been a health check's; what came after them
 * is real. */
static bool serves(const struct swg_breaker_stats *s, uint64_t now_ns) {
    return s->last_success_ns > s->since_ns && is_recent(s->last_success_ns, now_ns) &&
           s->consecutive < SWG__FAILING;
}

struct swg__finding swg__condition_of_endpoint(const struct swg_breaker_stats *s,
                                               enum swg__check check, uint64_t now_ns) {
    struct swg__finding f = {0};
    if (s->state == SWG_OPEN) {
        f.condition = SWG__DOWN;
        f.because = s->manual == SWG_FORCED_OPEN ? SWG__BECAUSE_FORCED_OPEN : SWG__BECAUSE_OPEN;
        return f;
    }
    if (s->state == SWG_HALF_OPEN) {
        f.condition = SWG__DOWN;
        f.because = SWG__BECAUSE_HALF_OPEN;
        return f;
    }
    f.serves = serves(s, now_ns);
    if (check == SWG__CHECK_BAD) {
        f.condition = f.serves ? SWG__IMPAIRED : SWG__DOWN;
        f.because = SWG__BECAUSE_CHECK;
    } else if (s->consecutive >= SWG__FAILING && is_recent(s->last_failure_ns, now_ns)) {
        f.condition = SWG__IMPAIRED;
        f.because = SWG__BECAUSE_FAILING;
    }
    return f;
}

struct swg__finding swg__condition_of_service(const struct swg__finding *endpoints,
                                              uint32_t count) {
    struct swg__finding all = {0};
    uint32_t down = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct swg__finding *f = &endpoints[i];
        down += f->condition == SWG__DOWN;
        all.serves |= f->serves;
        if (f->condition > all.condition ||
            (f->condition == all.condition && f->because < all.because)) {
            all.condition = f->condition;
            all.because = f->because;
        }
    }
    if (down && down < count) {
        all.condition = SWG__IMPAIRED;
        all.because = SWG__BECAUSE_ENDPOINT;
    }
    return all;
}

void swg__condition_depend(struct swg__finding *f, uint32_t dependency, enum swg__condition of_it,
                           bool soft) {
    enum swg__condition without = soft || f->serves ? SWG__IMPAIRED : SWG__DOWN;
    if (of_it != SWG__DOWN || f->condition >= without)
        return;
    f->condition = without;
    f->because = SWG__BECAUSE_DEPENDENCY;
    f->dependency = dependency;
}

const char *swg__condition_word(enum swg__condition c) {
    static const char *const words[] = {"working", "impaired", "down"};
    return words[c];
}

const char *swg__because_word(enum swg__because b) {
    static const char *const words[] = {
        [SWG__BECAUSE_NOTHING] = "",
        [SWG__BECAUSE_CHECK] = "check",
        [SWG__BECAUSE_HALF_OPEN] = "half_open",
        [SWG__BECAUSE_OPEN] = "open",
        [SWG__BECAUSE_FORCED_OPEN] = "forced_open",
        [SWG__BECAUSE_ENDPOINT] = "endpoint",
        [SWG__BECAUSE_FAILING] = "failing",
        [SWG__BECAUSE_DEPENDENCY] = "dependency",
    };
    return words[b];
}
