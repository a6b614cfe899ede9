/* model.c - see model.h. */
#include "model.h"

#include <stdlib.h>
#include <string.h>

/* ---- the window ---- */

static uint64_t bucket_of(const struct model *m, uint64_t now_ns) {
    uint64_t width_ns = (m->o.window_ns + 9) / 10;
    return now_ns < m->origin_ns ? 0 : (now_ns - m->origin_ns) / width_ns;
}

static bool in_window(const struct model *m, const struct model_result *r, uint64_t now_ns) {
    if (m->o.window_calls)
        return r->position + m->o.window_calls > m->position;
    return r->bucket + 10 > bucket_of(m, now_ns);
}

static void window_clear(struct model *m, uint64_t now_ns) {
    m->origin_ns = now_ns;
    m->position = 0;
    m->count = 0;
    m->consecutive = 0;
}

static void window_add(struct model *m, bool call, bool failure, bool slow, uint64_t now_ns) {
    size_t kept = 0;
    for (size_t i = 0; i < m->count; i++) {
        if (in_window(m, &m->results[i], now_ns))
            m->results[kept++] = m->results[i];
    }
    m->count = kept;
    if (m->count == m->room) {
        m->room = m->room ? m->room * 2 : 64;
        m->results = realloc(m->results, m->room * sizeof(*m->results));
        if (!m->results)
            abort();
    }
    m->position += call;
    m->results[m->count++] = (struct model_result){
        .bucket = bucket_of(m, now_ns),
        .position = m->position ? m->position : 1,
        .call = call,
        .failure = failure,
        .slow = slow,
    };
}

static void window_count(const struct model *m, uint64_t now_ns, uint32_t *calls,
                         uint32_t *failures, uint32_t *slow) {
    *calls = *failures = *slow = 0;
    for (size_t i = 0; i < m->count; i++) {
        const struct model_result *r = &m->results[i];
        if (!in_window(m, r, now_ns))
            continue;
        *calls += r->call;
        *failures += r->failure;
        *slow += r->slow && m->o.slow_percent;
    }
    /* a window of n calls remembers n failures */
    if (m->o.window_calls && *failures > m->o.window_calls)
        *failures = m->o.window_calls;
}

/* ---- changes of state ---- */

static void change(struct model *m, enum swg_breaker_state state, enum swg_breaker_manual manual,
                   const char *cause, uint64_t at_ns) {
    m->last_event = (struct swg_breaker_event){
        .sequence = ++m->events,
        .now_ns = at_ns,
        .from = m->state,
        .to = state,
        .manual_from = m->manual,
        .manual_to = manual,
        .cause = cause,
    };
    m->generation++;
    m->state = state;
    m->manual = manual;
    m->since_ns = at_ns;
    m->probes = NULL;
    m->probe_successes = 0;
    if (manual == SWG_AUTOMATIC)
        m->manual_until_ns = SWG_NEVER;
}

static void open_up(struct model *m, const char *cause, uint64_t retry_after_ns, uint64_t at_ns) {
    uint64_t d = m->o.open_ns;
    for (uint32_t i = 0; i < m->reopenings && d < m->o.open_max_ns; i++)
        d *= 2;
    if (d > m->o.open_max_ns)
        d = m->o.open_max_ns;
    uint64_t span = m->o.jitter_percent > 100 ? 0 : d / 100 * m->o.jitter_percent;
    uint64_t floor = retry_after_ns < m->o.open_max_ns ? retry_after_ns : m->o.open_max_ns;
    uint64_t low_ns = d - span > floor ? d - span : floor;
    uint64_t high_ns = d + span < m->o.open_max_ns ? d + span : m->o.open_max_ns;
    if (high_ns < floor)
        high_ns = floor;
    m->out_of_bounds |= m->drawn_ns < low_ns || m->drawn_ns > high_ns;
    m->last_open_ns = m->drawn_ns;
    m->opened_ns = at_ns;
    m->open_until_ns = m->o.stay_open ? SWG_NEVER : at_ns + m->drawn_ns;
    change(m, SWG_OPEN, SWG_AUTOMATIC, cause, at_ns);
}

static void reopen(struct model *m, const char *cause, uint64_t retry_after_ns, uint64_t at_ns) {
    m->reopenings++;
    open_up(m, cause, retry_after_ns, at_ns);
}

static void trip(struct model *m, const char *cause, uint64_t retry_after_ns, uint64_t now_ns) {
    bool forgotten = m->last_open_ns == 0 || now_ns - m->since_ns > m->last_open_ns;
    m->reopenings = forgotten ? 0 : m->reopenings + 1;
    open_up(m, cause, retry_after_ns, now_ns);
}

static void close_down(struct model *m, enum swg_breaker_manual manual, const char *cause,
                       uint64_t at_ns) {
    window_clear(m, at_ns);
    m->ramp_from_ns = 0;
    change(m, SWG_CLOSED, manual, cause, at_ns);
}

/* Expiry and leases, at their own time. */
static void pass_time(struct model *m, uint64_t now_ns) {
    if (m->ramp_from_ns && now_ns >= m->ramp_from_ns + m->o.ramp_ns)
        m->ramp_from_ns = 0;
    if (m->manual != SWG_AUTOMATIC && now_ns >= m->manual_until_ns) {
        uint64_t at_ns = m->manual_until_ns;
        if (m->manual == SWG_FORCED_OPEN)
            change(m, SWG_HALF_OPEN, SWG_AUTOMATIC, "expired", at_ns);
        else
            close_down(m, SWG_AUTOMATIC, "expired", at_ns);
        return;
    }
    uint64_t first_ns = SWG_NEVER;
    for (struct model_permit *p = m->probes; p; p = p->next) {
        if (p->lease_end_ns < first_ns)
            first_ns = p->lease_end_ns;
    }
    if (now_ns >= first_ns)
        reopen(m, "probe_lease", 0, first_ns);
}

/* ---- judging ---- */

static const char *judge(const struct model *m, uint64_t now_ns) {
    uint32_t calls, failures, slow;
    window_count(m, now_ns, &calls, &failures, &slow);
    if (m->o.consecutive && m->consecutive >= m->o.consecutive)
        return "consecutive";
    if (m->o.failures && failures >= m->o.failures)
        return "failures";
    if (calls < m->o.calls_min)
        return NULL;
    if (m->o.failure_percent && (uint64_t)failures * 100 >= (uint64_t)m->o.failure_percent * calls)
        return "failure_rate";
    if (m->o.slow_percent && (uint64_t)slow * 100 >= (uint64_t)m->o.slow_percent * calls)
        return "slow_rate";
    return NULL;
}

static void count(struct model *m, bool call, bool failure, bool slow, uint64_t retry_after_ns,
                  uint64_t now_ns) {
    window_add(m, call, failure, slow, now_ns);
    if (failure)
        m->consecutive++;
    const char *cause = m->manual == SWG_AUTOMATIC ? judge(m, now_ns) : NULL;
    if (cause)
        trip(m, cause, retry_after_ns, now_ns);
}

/* ---- calls ---- */

static enum swg_refusal refuse(struct model *m, enum swg_refusal why) {
    m->totals.refused[why]++;
    return why;
}

static bool ramp_refuses(const struct model *m, uint64_t random, uint64_t now_ns) {
    if (m->ramp_from_ns == 0 || m->state != SWG_CLOSED)
        return false;
    uint64_t permille = 100 + 900 * (now_ns - m->ramp_from_ns) / m->o.ramp_ns;
    return ((random >> 32) * 1000) >> 32 >= permille;
}

static uint32_t probes_out(const struct model *m) {
    uint32_t n = 0;
    for (struct model_permit *p = m->probes; p; p = p->next)
        n++;
    return n;
}

enum swg_refusal model_admit(struct model *m, struct model_permit *p, uint64_t random,
                             uint64_t now_ns) {
    pass_time(m, now_ns);
    if (m->manual == SWG_FORCED_OPEN)
        return refuse(m, SWG_REFUSED_FORCED_OPEN);
    if (m->state == SWG_OPEN && now_ns < m->open_until_ns)
        return refuse(m, SWG_REFUSED_OPEN);
    if (m->state == SWG_OPEN)
        change(m, SWG_HALF_OPEN, SWG_AUTOMATIC, "probe_due", now_ns);
    if (m->state == SWG_HALF_OPEN && probes_out(m) >= m->o.probes)
        return refuse(m, SWG_REFUSED_HALF_OPEN_FULL);
    if (ramp_refuses(m, random, now_ns))
        return refuse(m, SWG_REFUSED_RAMPING);
    *p = (struct model_permit){
        .generation = m->generation,
        .started_ns = now_ns,
        .probe = m->state == SWG_HALF_OPEN,
        .uncounted = m->manual == SWG_DISABLED,
    };
    if (p->probe) {
        p->lease_end_ns = now_ns + m->o.probe_lease_ns;
        p->next = m->probes;
        m->probes = p;
    }
    return SWG_ADMITTED;
}

static void give_back(struct model *m, struct model_permit *p) {
    for (struct model_permit **at = &m->probes; *at; at = &(*at)->next) {
        if (*at == p) {
            *at = p->next;
            return;
        }
    }
    abort();
}

static void count_total(struct model *m, const struct model_permit *p, enum swg_outcome_kind kind,
                        bool slow, uint64_t now_ns) {
    uint64_t *const totals[] = {&m->totals.successes, &m->totals.failures, &m->totals.overloads,
                                &m->totals.cancelled, &m->totals.ignored};
    ++*totals[kind];
    m->totals.calls++;
    m->totals.slow += slow && !p->marked && kind != SWG_OVERLOAD && kind != SWG_IGNORED;
    if (kind == SWG_SUCCESS)
        m->totals.last_success_ns = now_ns;
    if (kind == SWG_FAILURE)
        m->totals.last_failure_ns = now_ns;
}

static bool is_slow(const struct model *m, const struct model_permit *p, uint64_t now_ns) {
    return m->o.slow_call_ns && m->o.slow_call_ns != SWG_OFF &&
           now_ns - p->started_ns >= m->o.slow_call_ns;
}

static bool is_stale(const struct model *m, const struct model_permit *p, uint64_t now_ns) {
    uint64_t limit_ns = m->o.slow_call_ns ? m->o.slow_call_ns : SWG_SECONDS(1);
    return limit_ns != SWG_OFF && now_ns - p->started_ns >= limit_ns;
}

static void record_probe(struct model *m, struct model_permit *p, enum swg_outcome_kind kind,
                         uint64_t retry_after_ns, uint64_t now_ns) {
    bool slow_rule = m->o.slow_percent;
    give_back(m, p);
    if (kind == SWG_FAILURE || (kind == SWG_SUCCESS && slow_rule && is_slow(m, p, now_ns)) ||
        (kind == SWG_CANCELLED && is_stale(m, p, now_ns))) {
        reopen(m, "probe_failed", retry_after_ns, now_ns);
    } else if (kind == SWG_SUCCESS && ++m->probe_successes >= m->o.close_after) {
        close_down(m, SWG_AUTOMATIC, "probes_succeeded", now_ns);
        m->ramp_from_ns = m->o.ramp_ns ? now_ns : 0;
    }
}

static void record_closed(struct model *m, struct model_permit *p, enum swg_outcome_kind kind,
                          uint64_t retry_after_ns, uint64_t now_ns) {
    bool slow_rule = m->o.slow_percent, slow = is_slow(m, p, now_ns);
    if (p->marked) {
        if (kind == SWG_FAILURE && slow_rule)
            count(m, false, true, false, retry_after_ns, now_ns);
    } else if (kind == SWG_SUCCESS) {
        m->consecutive = 0;
        count(m, true, false, slow, 0, now_ns);
    } else if (kind == SWG_FAILURE) {
        count(m, true, true, slow, retry_after_ns, now_ns);
    } else if (kind == SWG_CANCELLED && is_stale(m, p, now_ns)) {
        count(m, true, !slow_rule, slow_rule, 0, now_ns);
    }
}

void model_record(struct model *m, struct model_permit *p, enum swg_outcome_kind kind,
                  uint64_t retry_after_ns, uint64_t now_ns) {
    if (p->uncounted)
        return;
    /* who is late already does not look at the clock */
    if (p->generation == m->generation)
        pass_time(m, now_ns);
    count_total(m, p, kind, is_slow(m, p, now_ns), now_ns);
    if (p->generation != m->generation)
        m->totals.late++;
    else if (m->state == SWG_HALF_OPEN)
        record_probe(m, p, kind, retry_after_ns, now_ns);
    else
        record_closed(m, p, kind, retry_after_ns, now_ns);
}

void model_overdue(struct model *m, struct model_permit *p, uint64_t now_ns) {
    bool slow_rule = m->o.slow_percent;
    if (p->uncounted || p->marked || !is_slow(m, p, now_ns))
        return;
    pass_time(m, now_ns);
    if (p->generation != m->generation)
        return;
    p->marked = true;
    m->totals.slow++;
    if (m->state == SWG_HALF_OPEN)
        reopen(m, "probe_failed", 0, now_ns);
    else
        count(m, true, !slow_rule, slow_rule, 0, now_ns);
}

void model_note(struct model *m, uint64_t generation, uint64_t now_ns) {
    pass_time(m, now_ns);
    if (generation != m->generation || m->manual == SWG_DISABLED)
        return;
    m->totals.failures++;
    m->totals.last_failure_ns = now_ns;
    if (m->state == SWG_HALF_OPEN)
        reopen(m, "probe_failed", 0, now_ns);
    else if (m->state == SWG_CLOSED)
        count(m, false, true, false, 0, now_ns);
}

/* ---- operators ---- */

void model_force(struct model *m, enum swg_breaker_manual manual, uint64_t for_ns,
                 uint64_t now_ns) {
    pass_time(m, now_ns);
    uint64_t until_ns = for_ns == SWG_NEVER ? SWG_NEVER : now_ns + for_ns;
    if (manual == SWG_AUTOMATIC && m->manual == SWG_AUTOMATIC)
        return;
    if (manual == SWG_AUTOMATIC && m->manual == SWG_FORCED_OPEN) {
        change(m, SWG_HALF_OPEN, manual, "manual", now_ns);
    } else if (manual == SWG_FORCED_OPEN) {
        m->opened_ns = now_ns;
        m->open_until_ns = until_ns;
        change(m, SWG_OPEN, manual, "manual", now_ns);
    } else {
        close_down(m, manual, "manual", now_ns);
    }
    if (manual != SWG_AUTOMATIC)
        m->manual_until_ns = until_ns;
}

void model_reset(struct model *m, uint64_t now_ns) {
    pass_time(m, now_ns);
    m->reopenings = 0;
    m->last_open_ns = 0;
    close_down(m, SWG_AUTOMATIC, "reset", now_ns);
}

void model_probe_now(struct model *m, uint64_t now_ns) {
    pass_time(m, now_ns);
    if (m->state == SWG_OPEN && m->manual == SWG_AUTOMATIC && now_ns < m->open_until_ns)
        m->open_until_ns = now_ns;
}

void model_tick(struct model *m, uint64_t now_ns) {
    pass_time(m, now_ns);
}

/* ---- life ---- */

void model_init(struct model *m, const struct swg_breaker_options *o, uint64_t now_ns) {
    *m = (struct model){.o = *o, .generation = 1, .since_ns = now_ns, .origin_ns = now_ns};
    m->manual_until_ns = SWG_NEVER;
}

void model_free(struct model *m) {
    free(m->results);
    m->results = NULL;
}

void model_configure(struct model *m, const struct swg_breaker_options *o) {
    bool open = m->state == SWG_OPEN && m->manual == SWG_AUTOMATIC;
    if (open && o->stay_open != m->o.stay_open)
        m->open_until_ns = o->stay_open ? SWG_NEVER : m->since_ns + m->last_open_ns;
    m->o = *o;
    if (m->probe_successes >= o->close_after)
        m->probe_successes = o->close_after - 1;
}

void model_read(const struct model *m, struct swg_breaker_stats *s, uint64_t now_ns) {
    *s = m->totals;
    s->state = m->state;
    s->manual = m->manual;
    s->since_ns = m->since_ns;
    s->manual_until_ns = m->manual_until_ns;
    if (m->manual != SWG_AUTOMATIC && now_ns >= m->manual_until_ns) {
        s->state = m->manual == SWG_FORCED_OPEN ? SWG_HALF_OPEN : SWG_CLOSED;
        s->manual = SWG_AUTOMATIC;
        s->since_ns = m->manual_until_ns;
        s->manual_until_ns = SWG_NEVER;
    }
    s->probe_due = s->state == SWG_OPEN && s->manual == SWG_AUTOMATIC && now_ns >= m->open_until_ns;
    s->open_until_ns = s->state == SWG_OPEN ? m->open_until_ns : 0;
    s->generation = m->generation;
    s->events = m->events;
    s->opened_ns = m->opened_ns;
    s->reopenings = m->reopenings;
    s->probes_out = probes_out(m);
    s->consecutive = m->consecutive;
    window_count(m, now_ns, &s->window_calls, &s->window_failures, &s->window_slow);
}
