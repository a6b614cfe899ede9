/* shadow.c - see shadow.h.
 *
 * The two breakers are never locked together. That they differ is found after
 * each change of either, by a look at both: two changes at once may be looked at
 * in either order, and the last look sees both. */
#include "engine/shadow.h"

#include <stdlib.h>
#include <string.h>

#include "engine/endpoint.h"
#include "engine/policy_priv.h"

/* ---- meters ---------------------------------------------------------------------- */

static void meter_set(struct swg__meter *m, bool so, uint64_t now_ns) {
    bool was = m->since_ns != SWG_NEVER;
    if (so == was)
        return;
    if (so) {
        m->count++;
        m->since_ns = now_ns;
    } else {
        m->total_ns += now_ns > m->since_ns ? now_ns - m->since_ns : 0;
        m->since_ns = SWG_NEVER;
    }
}

static uint64_t meter_read(const struct swg__meter *m, uint64_t now_ns) {
    return m->total_ns +
           (m->since_ns != SWG_NEVER && now_ns > m->since_ns ? now_ns - m->since_ns : 0);
}

/* ---- comparing ---------------------------------------------------------------------- */

static bool is_out(const struct swg_breaker *b) {
    return swg__control_state(swg__control(b)) != SWG_CLOSED;
}

/* With the lock held. */
static void compare(struct swg__shadow *s, uint64_t now_ns) {
    bool on = atomic_load_explicit(&s->on, memory_order_relaxed);
    bool live = is_out(s->endpoint->breaker), shadow = is_out(s->breaker);
    meter_set(&s->live_out, on && live, now_ns);
    meter_set(&s->out, on && shadow, now_ns);
    meter_set(&s->differs, on && live != shadow, now_ns);
}

static bool opens(const struct swg_breaker_event *e) {
    return e->to == SWG_OPEN && e->from != SWG_OPEN;
}

void swg__shadow_live_changed(struct swg__shadow *s, const struct swg_breaker_event *e) {
    pthread_mutex_lock(&s->lock);
    if (atomic_load_explicit(&s->on, memory_order_relaxed)) {
        s->live_opened += opens(e);
        compare(s, e->now_ns);
    }
    pthread_mutex_unlock(&s->lock);
}

/* The shadow's own listener. What happens while it is off is its end, or a
 * beginning, and nobody's news. */
static void on_change(void *arg, const struct swg_breaker_event *e) {
    struct swg__shadow *s = arg;
    pthread_mutex_lock(&s->lock);
    bool on = atomic_load_explicit(&s->on, memory_order_relaxed);
    if (on) {
        s->opened += opens(e);
        s->opened_total += opens(e);
        compare(s, e->now_ns);
    }
    pthread_mutex_unlock(&s->lock);
    if (on)
        swg__endpoint_tell_shadow(s->endpoint, e);
}

bool swg__shadow_refused(struct swg__shadow *s, uint64_t now_ns) {
    enum swg__standing standing = swg__breaker_standing(s->breaker, now_ns);
    if (standing != SWG__SERVING && standing != SWG__PROBING)
        return false;
    unsigned slot = swg__slot();
    swg__slot_add(&s->shards[slot].would_admit, slot, 1);
    return true;
}

/* ---- life --------------------------------------------------------------------------- */

static enum swg_error create(struct swg__shadow **out, struct swg__endpoint *e,
                             const struct swg_breaker_options *options, uint64_t seed,
                             uint64_t now_ns) {
    struct swg__shadow *s = NULL;
    *out = NULL;
    if (posix_memalign((void **)&s, alignof(struct swg__shadow), sizeof(*s)) != 0)
        return SWG_ERR_NOMEM;
    memset(s, 0, sizeof(*s));
    enum swg_error error = swg_breaker_create(&s->breaker, options, seed, now_ns);
    if (error) {
        free(s);
        return error;
    }
    s->endpoint = e;
    s->live_out.since_ns = s->out.since_ns = s->differs.since_ns = SWG_NEVER;
    pthread_mutex_init(&s->lock, NULL);
    swg_breaker_listen(s->breaker, on_change, s);
    *out = s;
    return SWG_OK;
}

void swg__shadow_destroy(struct swg__shadow *s) {
    if (!s)
        return;
    swg_breaker_destroy(s->breaker);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

static bool same_rules(const struct swg_breaker_options *a, const struct swg_breaker_options *b) {
    return a->consecutive == b->consecutive && a->failures == b->failures &&
           a->failure_percent == b->failure_percent && a->slow_percent == b->slow_percent &&
           a->slow_call_ns == b->slow_call_ns && a->calls_min == b->calls_min &&
           a->window_calls == b->window_calls && a->window_ns == b->window_ns;
}

static bool same_times(const struct swg_breaker_options *a, const struct swg_breaker_options *b) {
    return a->open_ns == b->open_ns && a->open_max_ns == b->open_max_ns &&
           a->jitter_percent == b->jitter_percent && a->probes == b->probes &&
           a->close_after == b->close_after && a->probe_lease_ns == b->probe_lease_ns &&
           a->ramp_ns == b->ramp_ns;
}

static bool is_as_wanted(struct swg__shadow *s, const struct swg_breaker_options *o) {
    pthread_mutex_lock(&s->lock);
    bool same = atomic_load_explicit(&s->on, memory_order_relaxed) && same_rules(&s->options, o) &&
                same_times(&s->options, o);
    pthread_mutex_unlock(&s->lock);
    return same;
}

enum swg_error swg__shadow_prepare(struct swg__shadow_change *c, struct swg__endpoint *e,
                                   const struct swg_shadow_options *o, uint64_t seed,
                                   uint64_t now_ns) {
    *c = (struct swg__shadow_change){.options = o};
    struct swg__shadow *s = swg__endpoint_shadow(e);
    if (!o->enabled)
        return SWG_OK;
    if (!s)
        return create(&c->fresh, e, &o->breaker, seed, now_ns);
    return is_as_wanted(s, &o->breaker) ? SWG_OK : swg__breaker_prepare(&c->breaker, &o->breaker);
}

static uint64_t sum_would_admit(const struct swg__shadow *s) {
    uint64_t sum = 0;
    for (unsigned i = 0; i < SWG__SLOTS; i++)
        sum += swg__get(&s->shards[i].would_admit);
    return sum;
}

/* Off, or off for the moment: nobody is told of what follows. */
static void stop(struct swg__shadow *s, uint64_t now_ns) {
    pthread_mutex_lock(&s->lock);
    atomic_store_explicit(&s->on, false, memory_order_relaxed);
    compare(s, now_ns);
    pthread_mutex_unlock(&s->lock);
}

/* All that is counted counts from here. */
static void begin(struct swg__shadow *s, const struct swg_breaker_options *o, uint64_t now_ns) {
    struct swg__shadow_base base = {.would_admit = sum_would_admit(s)};
    swg_breaker_read(s->endpoint->breaker, &base.live, now_ns);
    swg_breaker_read(s->breaker, &base.shadow, now_ns);
    pthread_mutex_lock(&s->lock);
    s->options = *o;
    s->base = base;
    s->begun_ns = now_ns;
    s->live_opened = s->opened = 0;
    s->live_out = s->out = s->differs = (struct swg__meter){.since_ns = SWG_NEVER};
    atomic_store_explicit(&s->on, true, memory_order_relaxed);
    compare(s, now_ns);
    pthread_mutex_unlock(&s->lock);
}

void swg__shadow_commit(struct swg__shadow_change *c, struct swg__endpoint *e, uint64_t now_ns) {
    struct swg__shadow *s = swg__endpoint_shadow(e), *none = NULL;
    if (c->fresh && atomic_compare_exchange_strong_explicit(
                        &e->shadow, &none, c->fresh, memory_order_release, memory_order_relaxed)) {
        s = c->fresh;
        c->fresh = NULL;
        begin(s, &c->options->breaker, now_ns);
    } else if (s && !c->options->enabled) {
        stop(s, now_ns);
    } else if (s && c->breaker.rules) {
        stop(s, now_ns);
        swg__breaker_commit(s->breaker, &c->breaker, now_ns);
        swg_breaker_reset(s->breaker, now_ns);
        begin(s, &c->options->breaker, now_ns);
    }
}

void swg__shadow_discard(struct swg__shadow_change *c) {
    swg__shadow_destroy(c->fresh);
    if (c->breaker.rules)
        swg__breaker_discard(&c->breaker);
    c->fresh = NULL;
    c->breaker.rules = NULL;
}

/* ---- reading ------------------------------------------------------------------------- */

static uint64_t refused(const struct swg_breaker_stats *s) {
    return s->refused[SWG_REFUSED_OPEN] + s->refused[SWG_REFUSED_HALF_OPEN_FULL] +
           s->refused[SWG_REFUSED_RAMPING];
}

static void subtract(struct swg_breaker_stats *s, const struct swg_breaker_stats *base) {
    s->calls -= base->calls;
    s->successes -= base->successes;
    s->failures -= base->failures;
    s->slow -= base->slow;
    s->overloads -= base->overloads;
    s->cancelled -= base->cancelled;
    s->ignored -= base->ignored;
    s->late -= base->late;
    for (unsigned i = 0; i < SWG_REFUSAL_COUNT; i++)
        s->refused[i] -= base->refused[i];
}

void swg__shadow_read(struct swg__shadow *s, struct swg_shadow_stats *out, uint64_t now_ns) {
    struct swg_breaker_stats live, shadow;
    pthread_mutex_lock(&s->lock);
    swg_breaker_read(s->endpoint->breaker, &live, now_ns);
    swg_breaker_read(s->breaker, &shadow, now_ns);
    uint64_t would_admit = sum_would_admit(s);
    *out = (struct swg_shadow_stats){
        .enabled = atomic_load_explicit(&s->on, memory_order_relaxed),
        .begun_ns = s->begun_ns,
        .agrees = (live.state == SWG_CLOSED) == (shadow.state == SWG_CLOSED),
        .would_refuse = refused(&shadow) - refused(&s->base.shadow),
        .would_admit = would_admit - s->base.would_admit,
        .differences = s->differs.count,
        .differed_ns = meter_read(&s->differs, now_ns),
        .opened_total = s->opened_total,
        .would_refuse_total = refused(&shadow),
        .would_admit_total = would_admit,
    };
    subtract(&live, &s->base.live);
    subtract(&shadow, &s->base.shadow);
    out->live = (struct swg_shadow_side){live, s->live_opened, meter_read(&s->live_out, now_ns)};
    out->shadow = (struct swg_shadow_side){shadow, s->opened, meter_read(&s->out, now_ns)};
    pthread_mutex_unlock(&s->lock);
}
