/* drills.c - see drills.h. */
#include "gateway/drills.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/random.h"
#include "gateway/history.h"
#include "gateway/metrics.h"
#include "gateway/worker.h"

struct drills {
    struct gateway *gateway;
    uint64_t random; /* ids */
    /* How many are in `all`. Written by the control thread under the lock, read by
     * workers without it. Relaxed: who sees a drill a moment late, or looks for one
     * that has just gone, does no harm, and all else is read under the lock. */
    _Atomic uint32_t count;
    pthread_mutex_t lock;         /* guards `all`; held for a copy, or to look through it */
    struct drill all[DRILLS_MAX]; /* in the order of their start */
};

struct drills *drills_create(struct gateway *g) {
    struct drills *ds = calloc(1, sizeof *ds);
    if (!ds)
        return NULL;
    ds->gateway = g;
    ds->random = g->seed ^ g->started_ns;
    pthread_mutex_init(&ds->lock, NULL);
    return ds;
}

void drills_destroy(struct drills *ds) {
    if (!ds)
        return;
    pthread_mutex_destroy(&ds->lock);
    free(ds);
}

/* ---- for people ------------------------------------------------------------------ */

void drill_describe(const struct drill *d, char *out, size_t size) {
    char what[32] = "", delay[40] = "";
    const double ms = (double)d->rule.delay_ns / 1e6;
    if (d->rule.kind == SWG__DRILL_ERROR)
        snprintf(what, sizeof what, "%d", d->rule.status);
    else if (d->rule.kind == SWG__DRILL_ABORT)
        snprintf(what, sizeof what, "reset");
    if (d->rule.delay_ns)
        snprintf(delay, sizeof delay, "%s%.6g ms", *what ? " after " : "delay of ", ms);
    snprintf(out, size, "%s%s for %.6g%%%s%s", what, delay, d->rule.share / 1e4,
             *d->field ? " with " : "", d->field);
}

/* ---- start and end ---------------------------------------------------------------- */

static uint32_t count_of(const struct drills *ds) {
    return atomic_load_explicit(&ds->count, memory_order_relaxed);
}

static void set_count(struct drills *ds, uint32_t count) {
    atomic_store_explicit(&ds->count, count, memory_order_relaxed);
}

/* Random, so that who stops one by an id of an earlier process stops nothing. */
static void give_id(struct drills *ds, struct drill *d) {
    snprintf(d->id, sizeof d->id, "%08x", (unsigned)random_next(&ds->random));
}

int drills_start(struct drills *ds, struct drill *d) {
    uint32_t count = count_of(ds);
    if (count == DRILLS_MAX)
        return -ENOSPC;
    give_id(ds, d);
    d->hits = 0;
    d->started_ns = gateway_now(ds->gateway);
    pthread_mutex_lock(&ds->lock);
    ds->all[count] = *d;
    set_count(ds, count + 1);
    pthread_mutex_unlock(&ds->lock);
    history_drill(ds->gateway, d, "started", d->author, d->reason);
    return 0;
}

/* The others keep their order: the earliest fault is the one that happens. */
static struct drill take_out(struct drills *ds, uint32_t at) {
    pthread_mutex_lock(&ds->lock);
    struct drill taken = ds->all[at];
    uint32_t count = count_of(ds) - 1;
    memmove(&ds->all[at], &ds->all[at + 1], (count - at) * sizeof ds->all[0]);
    set_count(ds, count);
    pthread_mutex_unlock(&ds->lock);
    return taken;
}

int drills_stop(struct drills *ds, const char *id, const char *author, const char *reason,
                struct drill *out) {
    for (uint32_t i = 0; i < count_of(ds); i++) {
        if (strcmp(ds->all[i].id, id) != 0)
            continue;
        *out = take_out(ds, i);
        history_drill(ds->gateway, out, "stopped", author, reason);
        return 0;
    }
    return -ENOENT;
}

uint32_t drills_stop_all(struct drills *ds, const char *author, const char *reason) {
    uint32_t stopped = 0;
    for (; count_of(ds); stopped++) {
        struct drill d = take_out(ds, 0);
        history_drill(ds->gateway, &d, "stopped", author, reason);
    }
    return stopped;
}

static bool is_over(const struct drill *d, uint64_t now_ns) {
    return now_ns >= d->rule.until_ns;
}

void drills_tick(struct drills *ds) {
    uint64_t now_ns = gateway_now(ds->gateway);
    for (uint32_t i = count_of(ds); i-- > 0;) {
        if (!is_over(&ds->all[i], now_ns))
            continue;
        struct drill d = take_out(ds, i);
        history_drill(ds->gateway, &d, "expired", d.author, d.reason);
    }
}

/* ---- looking ---------------------------------------------------------------------- */

bool drills_get(const struct drills *ds, uint32_t index, struct drill *out) {
    uint64_t now_ns = gateway_now(ds->gateway);
    bool found = false;
    pthread_mutex_lock((pthread_mutex_t *)&ds->lock);
    for (uint32_t i = 0; !found && i < count_of(ds); i++) {
        if (is_over(&ds->all[i], now_ns) || index--)
            continue;
        *out = ds->all[i];
        found = true;
    }
    pthread_mutex_unlock((pthread_mutex_t *)&ds->lock);
    return found;
}

uint32_t drills_count(const struct drills *ds, const char *service) {
    uint64_t now_ns = gateway_now(ds->gateway);
    uint32_t count = 0;
    if (!drills_any(ds))
        return 0;
    pthread_mutex_lock((pthread_mutex_t *)&ds->lock);
    for (uint32_t i = 0; i < count_of(ds); i++)
        count += !is_over(&ds->all[i], now_ns) && !strcmp(ds->all[i].service, service);
    pthread_mutex_unlock((pthread_mutex_t *)&ds->lock);
    return count;
}

bool drills_any(const struct drills *ds) {
    return count_of(ds) != 0;
}

/* ---- choosing ---------------------------------------------------------------------- */

/* Any field of that name with the value, or, where none was asked for, just there. */
static bool has_field(const struct http1_head *r, const struct drill *d) {
    for (uint16_t i = 0; r && i < r->field_count; i++) {
        if (bytes_equal_nocase(r->fields[i].name, bytes_of(d->field)) &&
            (!*d->value || bytes_equal(r->fields[i].value, bytes_of(d->value))))
            return true;
    }
    return false;
}

static bool is_about(const struct drill *d, const struct drill_attempt *a) {
    const struct service_options *o = a->service->options;
    return !strcmp(d->service, o->name) &&
           (!*d->endpoint || !strcmp(d->endpoint, o->endpoints[a->endpoint].name)) &&
           (!*d->field || has_field(a->request, d));
}

void drills_choose(struct drills *ds, struct worker *w, const struct drill_attempt *a,
                   struct swg__drill_effect *out) {
    bool kinds[SWG__DRILL_KINDS] = {false};
    *out = (struct swg__drill_effect){0};
    pthread_mutex_lock(&ds->lock);
    for (uint32_t i = 0; i < count_of(ds); i++) {
        struct drill *d = &ds->all[i];
        if (!is_about(d, a) || !swg__drill_hits(&d->rule, worker_random(w), io_now(w->io)) ||
            !swg__drill_add(out, &d->rule))
            continue;
        d->hits++;
        kinds[d->rule.kind] = true;
    }
    pthread_mutex_unlock(&ds->lock);
    for (int k = 0; k < SWG__DRILL_KINDS; k++) {
        if (kinds[k])
            metrics_of_drill(a->service, swg__drill_word((enum swg__drill_kind)k), w->index);
    }
}
