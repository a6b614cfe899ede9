/* flight.c - who fetches, who waits, and who goes on when a leader ends. */
#include "engine/flight.h"

#include <assert.h>

enum { BATCH_BITS_MAX = 16 };

enum swg__flight_role swg__flight_role(const struct swg__flight_facts *f) {
    if (f->unshared)
        return SWG__FLIGHT_ALONE;
    if (!f->under_way)
        return f->may_lead ? SWG__FLIGHT_LEAD : SWG__FLIGHT_ALONE;
    return f->may_wait ? SWG__FLIGHT_WAIT : SWG__FLIGHT_ALONE;
}

/* How many go on after this end. */
static uint32_t batch(struct swg__flight *f, enum swg__flight_end end) {
    switch (end) {
    case SWG__FLIGHT_STORED:
    case SWG__FLIGHT_UNSHARED:
        return UINT32_MAX;
    case SWG__FLIGHT_CANCELLED:
        return 1;
    case SWG__FLIGHT_FAILED:
        break;
    }
    uint32_t bits = f->failures < BATCH_BITS_MAX ? f->failures : BATCH_BITS_MAX;
    f->failures++;
    return UINT32_C(1) << bits;
}

bool swg__flight_end(struct swg__flight *f, enum swg__flight_end end, struct list *woken) {
    uint32_t left = batch(f, end);
    struct list *one;
    bool any = false;
    while (left-- && (one = list_pop_front(&f->waiters)) != NULL) {
        list_push_back(woken, one);
        any = true;
    }
    return any && (end == SWG__FLIGHT_FAILED || end == SWG__FLIGHT_CANCELLED);
}

/* ---- marks ------------------------------------------------------------- */

static struct swg__flight_mark *place_of(const struct swg__flight_marks *m, uint64_t hash) {
    return &m->marks[(uint32_t)(hash >> 32) & m->mask];
}

void swg__flight_marks_init(struct swg__flight_marks *m, struct swg__flight_mark *marks,
                            uint32_t count) {
    assert(count && (count & (count - 1)) == 0);
    *m = (struct swg__flight_marks){.marks = marks, .mask = count - 1};
}

void swg__flight_mark(struct swg__flight_marks *m, uint64_t hash, uint64_t until_ns) {
    *place_of(m, hash) = (struct swg__flight_mark){.hash = hash, .until_ns = until_ns};
}

void swg__flight_unmark(struct swg__flight_marks *m, uint64_t hash) {
    struct swg__flight_mark *mark = place_of(m, hash);
    if (mark->hash == hash)
        mark->until_ns = 0;
}

bool swg__flight_marked(const struct swg__flight_marks *m, uint64_t hash, uint64_t now_ns) {
    const struct swg__flight_mark *mark = place_of(m, hash);
    return mark->hash == hash && now_ns < mark->until_ns;
}
