/* past_bytes.c - a past as bytes; the format is in switchgear/snapshot.h.
 *
 * Reading believes nothing: what a sound breaker could not have written is
 * corrupt, whatever the checksum says. Ages and times left may be any number; past.c
 * and the breaker bound them where they are used. */
#include "engine/past.h"
#include "engine/snapshot_bytes.h"

/* More of anything is not counted in a lifetime; sums of them do not overflow. */
#define COUNT_MAX     (UINT64_C(1) << 52)
#define CALLS_MAX     10000u /* in a window */
#define WIDTH_MAX_NS  (SWG_HOURS(24) / SWG__BUCKETS)
#define MANY          1000000u /* reopenings, failures in a row */
#define LAST_OPEN_MAX SWG_HOURS(24 * 365)

enum { FIXED_BYTES = 4 + 3 * 4 + SWG__AGES * 8 + 3 * 8 + 2 * 8 + 7 * 8 + SWG__SHUT_COUNT * 8 + 4 };

size_t swg__past_size(const struct swg__past *p) {
    if (p->window.calls_max == 0)
        return FIXED_BYTES + 16 + SWG__BUCKETS * 16;
    return FIXED_BYTES + 12 +
           sizeof(uint32_t) * ((size_t)p->window.failures.count + p->window.slow.count);
}

/* ---- write ---- */

static void write_time_window(const struct swg__window *w, struct swg__writer *out) {
    swg__write_64(out, w->width_ns);
    swg__write_64(out, w->end_ns);
    for (uint32_t age = 0; age < SWG__BUCKETS; age++) {
        const struct swg__bucket *b = &w->buckets[(w->present + SWG__BUCKETS - age) % SWG__BUCKETS];
        swg__write_64(out, b->calls);
        swg__write_32(out, b->failures);
        swg__write_32(out, b->slow);
    }
}

static void write_positions(const struct swg__positions *p, struct swg__writer *out) {
    for (uint32_t i = 0; i < p->count; i++)
        swg__write_32(out, (uint32_t)p->at[(p->first + i) % p->capacity]);
}

/* The window was moved into this one, so its positions begin at 1. */
static void write_calls_window(const struct swg__window *w, struct swg__writer *out) {
    swg__write_32(out, (uint32_t)w->others);
    swg__write_32(out, w->failures.count);
    swg__write_32(out, w->slow.count);
    write_positions(&w->failures, out);
    write_positions(&w->slow, out);
}

void swg__past_write(const struct swg__past *p, struct swg__writer *out) {
    swg__write_8(out, (uint8_t)p->state);
    swg__write_8(out, (uint8_t)p->manual);
    swg__write_16(out, 0);
    swg__write_32(out, p->reopenings < MANY ? p->reopenings : MANY);
    swg__write_32(out, p->consecutive < MANY ? p->consecutive : MANY);
    swg__write_32(out, p->probe_successes);
    for (unsigned i = 0; i < SWG__AGES; i++)
        swg__write_64(out, p->age_ns[i]);
    swg__write_64(out, p->open_for_ns);
    swg__write_64(out, p->manual_for_ns);
    swg__write_64(out, p->last_open_ns);
    swg__write_64(out, p->events);
    swg__write_64(out, p->notes);
    for (unsigned i = 0; i <= SWG_IGNORED; i++)
        swg__write_64(out, p->beside[i]);
    swg__write_64(out, p->slow);
    swg__write_64(out, p->late);
    for (unsigned i = 0; i < SWG__SHUT_COUNT; i++)
        swg__write_64(out, p->shut[i]);
    swg__write_32(out, p->window.calls_max);
    if (p->window.calls_max)
        write_calls_window(&p->window, out);
    else
        write_time_window(&p->window, out);
}

/* ---- read ---- */

static bool read_states(struct swg__past *p, struct swg__reader *in) {
    uint8_t state = swg__read_8(in), manual = swg__read_8(in);
    uint16_t zero = swg__read_16(in);
    if (state > SWG_HALF_OPEN || manual > SWG_DISABLED || zero)
        return false;
    p->state = (enum swg_breaker_state)state;
    p->manual = (enum swg_breaker_manual)manual;
    if (p->manual == SWG_AUTOMATIC)
        return true;
    return p->state == (p->manual == SWG_FORCED_OPEN ? SWG_OPEN : SWG_CLOSED);
}

static bool read_count(uint64_t *count, struct swg__reader *in) {
    *count = swg__read_64(in);
    return *count <= COUNT_MAX;
}

static bool read_counts(struct swg__past *p, struct swg__reader *in) {
    bool good = read_count(&p->events, in) && read_count(&p->notes, in);
    for (unsigned i = 0; i <= SWG_IGNORED; i++)
        good = good && read_count(&p->beside[i], in);
    good = good && read_count(&p->slow, in) && read_count(&p->late, in);
    for (unsigned i = 0; i < SWG__SHUT_COUNT; i++)
        good = good && read_count(&p->shut[i], in);
    return good;
}

static bool read_scalars(struct swg__past *p, struct swg__reader *in) {
    if (!read_states(p, in))
        return false;
    p->reopenings = swg__read_32(in);
    p->consecutive = swg__read_32(in);
    p->probe_successes = swg__read_32(in);
    for (unsigned i = 0; i < SWG__AGES; i++)
        p->age_ns[i] = swg__read_64(in);
    p->open_for_ns = swg__read_64(in);
    p->manual_for_ns = swg__read_64(in);
    p->last_open_ns = swg__read_64(in);
    return read_counts(p, in) && p->reopenings <= MANY && p->consecutive <= MANY &&
           p->last_open_ns <= LAST_OPEN_MAX;
}

static enum swg_error read_time_window(struct swg__window *w, struct swg__reader *in) {
    uint64_t width_ns = swg__read_64(in), left_ns = swg__read_64(in);
    if (width_ns == 0 || width_ns > WIDTH_MAX_NS || left_ns == 0 || left_ns > width_ns)
        return SWG_ERR_CORRUPT;
    enum swg_error error = swg__window_init(w, 0, width_ns * SWG__BUCKETS, false, 0, 0);
    if (error)
        return error;
    w->end_ns = left_ns;
    for (uint32_t age = 0; age < SWG__BUCKETS; age++) {
        struct swg__bucket *b = &w->buckets[(w->present + SWG__BUCKETS - age) % SWG__BUCKETS];
        if (!read_count(&b->calls, in))
            return SWG_ERR_CORRUPT;
        b->failures = swg__read_32(in);
        b->slow = swg__read_32(in);
    }
    return SWG_OK;
}

/* Ascending, and within the window. */
static bool read_positions(struct swg__positions *p, uint32_t count, uint32_t calls,
                           struct swg__reader *in) {
    uint32_t last = 1;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t position = swg__read_32(in);
        if (position < last || position > (calls ? calls : 1))
            return false;
        p->at[i] = last = position;
    }
    p->count = count;
    return true;
}

static enum swg_error read_calls_window(struct swg__window *w, uint32_t calls_max,
                                        struct swg__reader *in) {
    uint32_t calls = swg__read_32(in), failures = swg__read_32(in), slow = swg__read_32(in);
    if (calls_max > CALLS_MAX || calls > calls_max || failures > calls_max || slow > calls_max)
        return SWG_ERR_CORRUPT;
    if ((uint64_t)failures + slow > in->left / sizeof(uint32_t))
        return SWG_ERR_CORRUPT;
    enum swg_error error = swg__window_init(w, calls_max, 0, slow > 0, 0, 0);
    if (error)
        return error;
    w->others = calls;
    if (read_positions(&w->failures, failures, calls, in) &&
        read_positions(&w->slow, slow, calls, in))
        return SWG_OK;
    swg__window_free(w);
    return SWG_ERR_CORRUPT;
}

enum swg_error swg__past_read(struct swg__past *p, struct swg__reader *in) {
    *p = (struct swg__past){0};
    if (!read_scalars(p, in))
        return SWG_ERR_CORRUPT;
    uint32_t calls_max = swg__read_32(in);
    enum swg_error error =
        calls_max ? read_calls_window(&p->window, calls_max, in) : read_time_window(&p->window, in);
    if (!error && (in->bad || in->left > 0)) {
        swg__past_free(p);
        error = SWG_ERR_CORRUPT;
    }
    return error;
}
