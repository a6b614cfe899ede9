/* drill.c - see drill.h. */
#include "engine/drill.h"

#include "base/random.h"

bool swg__drill_hits(const struct swg__drill *d, uint64_t random, uint64_t now_ns) {
    return now_ns < d->until_ns && random_up_to(random, SWG__DRILL_ALWAYS - 1) < d->share;
}

static uint64_t sum(uint64_t a, uint64_t b) {
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

bool swg__drill_add(struct swg__drill_effect *e, const struct swg__drill *d) {
    bool faulty = e->hit && e->kind != SWG__DRILL_DELAY;
    if (faulty && d->kind != SWG__DRILL_DELAY)
        return false;
    e->delay_ns = sum(e->delay_ns, d->delay_ns);
    if (!faulty) {
        e->kind = d->kind;
        e->status = d->status;
    }
    e->hit = true;
    return true;
}

const char *swg__drill_word(enum swg__drill_kind kind) {
    switch (kind) {
    case SWG__DRILL_DELAY:
        return "delay";
    case SWG__DRILL_ERROR:
        return "error";
    case SWG__DRILL_ABORT:
        return "abort";
    case SWG__DRILL_KINDS:
        break;
    }
    return "";
}
