/* replay.c - see replay.h. A lane is in one place at a time:
 *
 *   NOWHERE   no writes
 *   READY     its next write may go
 *   WAITING   it pauses after a failure
 *   OUT       writes of it are out, and it waits for their results
 *   BATCH     the same, and the request that has them still takes more */
#include "engine/replay.h"

#include <assert.h>

#include "base/random.h"

enum { NOWHERE, READY, WAITING, OUT, BATCH };

/* Answers of a round, at least: the mean of fewer says too little. */
enum { ROUND_MIN = 16 };

/* The shortest mean is that of the last one to two of these. */
#define SHORTEST_NS SWG_SECONDS(30)

/* ---- lanes --------------------------------------------------------------------- */

static struct swg__replay_lane *lane_of(struct heap_node *node) {
    return container_of(node, struct swg__replay_lane, order);
}

static struct heap *heap_of(struct swg__replay *r, uint8_t place) {
    return place == READY ? &r->ready : place == WAITING ? &r->waiting : &r->batch;
}

static void move(struct swg__replay *r, struct swg__replay_lane *lane, uint8_t place,
                 uint64_t key) {
    if (lane->order.in)
        heap_remove(heap_of(r, lane->place), &lane->order);
    lane->place = place;
    if (place == READY || place == WAITING || place == BATCH)
        heap_insert(heap_of(r, place), &lane->order, key);
}

static void close_batch(struct swg__replay *r) {
    for (struct heap_node *n; (n = heap_first(&r->batch));)
        move(r, lane_of(n), OUT, 0);
}

/* The first one that is not out; NULL: all are. */
static struct swg__replay_write *next_of(const struct swg__replay_lane *lane) {
    const struct list *at = lane->writes.next;
    for (uint32_t i = 0; i < lane->out; i++)
        at = at->next;
    return at == &lane->writes ? NULL : container_of(at, struct swg__replay_write, link);
}

static uint64_t full_jitter(struct swg__replay *r, uint64_t max) {
    return 1 + random_up_to(random_next(&r->random), max);
}

/* After a failure: half of it is sure, the rest is chance. */
static uint64_t backoff_ns(struct swg__replay *r, uint32_t failures) {
    uint64_t ns = r->o.base_ns;
    for (uint32_t i = 1; i < failures && ns < r->o.cap_ns; i++)
        ns *= 2;
    ns = ns < r->o.cap_ns ? ns : r->o.cap_ns;
    return ns / 2 + full_jitter(r, ns / 2);
}

/* Nothing of the lane is out any more. */
static void settle_lane(struct swg__replay *r, struct swg__replay_lane *lane, uint64_t now_ns) {
    const struct swg__replay_write *next = next_of(lane);
    if (!next)
        move(r, lane, NOWHERE, 0);
    else if (lane->pause_ns)
        move(r, lane, WAITING, now_ns + lane->pause_ns);
    else
        move(r, lane, READY, next->sequence);
    lane->pause_ns = 0;
}

static void take_out(struct swg__replay *r, struct swg__replay_write *w) {
    struct swg__replay_lane *lane = w->lane;
    list_remove(&w->link);
    if (w->expiry.in)
        heap_remove(&r->expiries, &w->expiry);
    w->lane = NULL;
    lane->count--;
    r->queued--;
}

void swg__replay_add(struct swg__replay *r, struct swg__replay_lane *lane,
                     struct swg__replay_write *w, uint64_t sequence, uint64_t expires_ns,
                     uint64_t now_ns) {
    if (!lane->writes.next)
        list_init(&lane->writes);
    w->lane = lane;
    w->sequence = sequence;
    w->expires_ns = expires_ns;
    list_push_back(&lane->writes, &w->link);
    lane->count++;
    r->queued++;
    if (expires_ns != SWG_NEVER)
        heap_insert(&r->expiries, &w->expiry, expires_ns);
    if (lane->place == NOWHERE)
        settle_lane(r, lane, now_ns);
}

void swg__replay_remove(struct swg__replay *r, struct swg__replay_write *w, uint64_t now_ns) {
    struct swg__replay_lane *lane = w->lane;
    assert(!w->out);
    close_batch(r); /* its keys are of writes that may go now */
    bool was_next = lane->place == READY && next_of(lane) == w;
    take_out(r, w);
    if (!lane->count || was_next)
        settle_lane(r, lane, now_ns);
}

struct swg__replay_write *swg__replay_expired(struct swg__replay *r, uint64_t now_ns) {
    struct heap_node *first = heap_first(&r->expiries);
    if (!first || first->key > now_ns)
        return NULL;
    struct swg__replay_write *w = container_of(first, struct swg__replay_write, expiry);
    swg__replay_remove(r, w, now_ns);
    return w;
}

/* ---- the window ------------------------------------------------------------------- */

static void begin_round(struct swg__replay *r) {
    r->round++;
    r->round_left = r->window > ROUND_MIN ? r->window : ROUND_MIN;
    r->timed = 0;
    r->timed_ns = 0;
    r->filled = false;
}

static void note_mean(struct swg__replay *r, uint64_t mean_ns, uint64_t now_ns) {
    if (now_ns >= r->shortest_until_ns) {
        r->shortest_ns = r->shortest_next_ns;
        r->shortest_next_ns = SWG_NEVER;
        r->shortest_until_ns = now_ns + SHORTEST_NS;
    }
    if (mean_ns < r->shortest_ns)
        r->shortest_ns = mean_ns;
    if (mean_ns < r->shortest_next_ns)
        r->shortest_next_ns = mean_ns;
}

/* At the end of a round: how many of the window's requests were waiting? Answer
 * times vary, so means are compared, and some of the window counts as noise. */
static void adapt(struct swg__replay *r, uint64_t now_ns) {
    if (!r->timed || !r->filled)
        return;
    uint64_t mean_ns = r->timed_ns / r->timed;
    note_mean(r, mean_ns, now_ns);
    uint64_t waiting = mean_ns ? r->window * (mean_ns - r->shortest_ns) / mean_ns : 0;
    if (waiting > 4 + r->window / 4) {
        r->starting = false;
        r->window--;
    } else if (r->starting) {
        r->window *= 2;
    } else if (waiting < 2 + r->window / 8) {
        r->window++;
    }
    if (r->window > r->o.window_max)
        r->window = r->o.window_max;
}

/* What was sent before the last cut says nothing about the window since. */
static void cut(struct swg__replay *r, uint32_t round, uint32_t percent) {
    if (round <= r->cut_round)
        return;
    uint32_t less = (r->window * percent + 99) / 100;
    r->window = r->window > less ? r->window - less : 1;
    r->starting = false;
    r->cut_round = r->round;
    begin_round(r);
}

static void count_result(struct swg__replay *r, const struct swg__replay_write *w,
                         enum swg__replay_result result, uint64_t now_ns) {
    if (result == SWG__REPLAY_DELIVERED) {
        r->timed++;
        r->timed_ns += now_ns - w->sent_ns;
    } else if (result == SWG__REPLAY_OVERLOAD || result == SWG__REPLAY_FAILED) {
        cut(r, w->round, result == SWG__REPLAY_OVERLOAD ? 10 : 50);
    }
    if (w->round == r->round && --r->round_left == 0) {
        adapt(r, now_ns);
        begin_round(r);
    }
}

void swg__replay_init(struct swg__replay *r, const struct swg__replay_options *o, uint64_t seed) {
    *r = (struct swg__replay){.random = seed, .window = 1, .starting = true};
    if (o)
        r->o = *o;
    r->o.window_max = r->o.window_max ? r->o.window_max : 64;
    r->o.base_ns = r->o.base_ns ? r->o.base_ns : SWG_SECONDS(1);
    r->o.cap_ns = r->o.cap_ns ? r->o.cap_ns : SWG_SECONDS(100);
    r->o.blame_max = r->o.blame_max ? r->o.blame_max : 8;
    begin_round(r);
    r->shortest_ns = r->shortest_next_ns = SWG_NEVER;
}

/* ---- going out ---------------------------------------------------------------------- */

static struct swg__replay_write *send(struct swg__replay *r, struct swg__replay_lane *lane,
                                      uint64_t now_ns) {
    struct swg__replay_write *w = next_of(lane);
    lane->out++;
    w->out = true;
    w->sent_ns = now_ns;
    w->round = r->round;
    if (w->expiry.in)
        heap_remove(&r->expiries, &w->expiry);
    const struct swg__replay_write *after = next_of(lane);
    move(r, lane, after ? BATCH : OUT, after ? after->sequence : 0);
    return w;
}

static void wake_lanes(struct swg__replay *r, uint64_t now_ns) {
    for (struct heap_node *n; (n = heap_first(&r->waiting)) && n->key <= now_ns;)
        move(r, lane_of(n), READY, next_of(lane_of(n))->sequence);
}

static uint64_t wake_ns(const struct swg__replay *r, bool may_go, uint64_t now_ns) {
    const struct heap_node *waiting = heap_first(&r->waiting), *expiry = heap_first(&r->expiries);
    uint64_t wake = SWG_NEVER;
    if (may_go && r->pause_until_ns > now_ns)
        wake = r->pause_until_ns;
    else if (may_go && waiting)
        wake = waiting->key;
    return expiry && expiry->key < wake ? expiry->key : wake;
}

struct swg__replay_write *swg__replay_next(struct swg__replay *r, enum swg__replay_gate gate,
                                           uint64_t now_ns, uint64_t *wake) {
    close_batch(r);
    wake_lanes(r, now_ns);
    uint32_t window = gate == SWG__GATE_OPEN ? r->window : gate == SWG__GATE_PROBE ? 1 : 0;
    bool may_go = r->out < window;
    r->filled |= gate == SWG__GATE_OPEN && r->out + 1 >= window;
    struct heap_node *first = heap_first(&r->ready);
    if (!may_go || !first || r->pause_until_ns > now_ns) {
        *wake = wake_ns(r, may_go, now_ns);
        return NULL;
    }
    struct swg__replay_write *w = send(r, lane_of(first), now_ns);
    w->counted = true;
    r->out++;
    *wake = now_ns;
    return w;
}

struct swg__replay_write *swg__replay_more(struct swg__replay *r, uint64_t now_ns) {
    struct heap_node *ready = heap_first(&r->ready), *batch = heap_first(&r->batch);
    if (!ready && !batch)
        return NULL;
    struct heap_node *first = !batch || (ready && ready->key < batch->key) ? ready : batch;
    struct swg__replay_write *w = send(r, lane_of(first), now_ns);
    w->counted = false;
    return w;
}

/* ---- coming back ---------------------------------------------------------------------- */

/* Whether a failure was the write's own: see replay.h. */
static bool is_to_blame(struct swg__replay *r, struct swg__replay_write *w) {
    if (!w->blamed || r->successes > w->proof)
        w->blamed++;
    w->proof = r->successes;
    return w->blamed >= r->o.blame_max;
}

static enum swg__replay_fate fate_of(struct swg__replay *r, struct swg__replay_write *w,
                                     enum swg__replay_result result) {
    switch (result) {
    case SWG__REPLAY_DELIVERED:
        return SWG__REPLAY_GONE;
    case SWG__REPLAY_REFUSED:
        return SWG__REPLAY_DEAD;
    case SWG__REPLAY_FAILED:
        return is_to_blame(r, w) ? SWG__REPLAY_DEAD : SWG__REPLAY_AGAIN;
    case SWG__REPLAY_OVERLOAD:
    case SWG__REPLAY_NOT_SENT:
        break;
    }
    return SWG__REPLAY_AGAIN;
}

static void plan_pause(struct swg__replay *r, struct swg__replay_lane *lane,
                       enum swg__replay_result result) {
    if (lane->pause_ns) /* another of the same request has planned it */
        return;
    if (result == SWG__REPLAY_NOT_SENT)
        lane->pause_ns = full_jitter(r, r->o.base_ns / 10);
    else
        lane->pause_ns = backoff_ns(r, ++lane->failures);
}

enum swg__replay_fate swg__replay_result(struct swg__replay *r, struct swg__replay_write *w,
                                         enum swg__replay_result result, uint64_t retry_after_ns,
                                         uint64_t now_ns) {
    struct swg__replay_lane *lane = w->lane;
    assert(w->out);
    enum swg__replay_fate fate = fate_of(r, w, result);
    if (w->counted) {
        r->out--;
        count_result(r, w, result, now_ns);
    }
    if (retry_after_ns && fate == SWG__REPLAY_AGAIN) {
        uint64_t wish = retry_after_ns < r->o.cap_ns ? retry_after_ns : r->o.cap_ns;
        if (now_ns + wish > r->pause_until_ns)
            r->pause_until_ns = now_ns + wish;
    }
    w->out = false;
    lane->out--;
    if (fate == SWG__REPLAY_AGAIN) {
        plan_pause(r, lane, result);
        if (w->expires_ns != SWG_NEVER)
            heap_insert(&r->expiries, &w->expiry, w->expires_ns);
    } else {
        take_out(r, w);
        r->successes += result == SWG__REPLAY_DELIVERED || result == SWG__REPLAY_REFUSED;
        lane->failures = 0;
    }
    if (!lane->out)
        settle_lane(r, lane, now_ns);
    return fate;
}

/* ---- the rest --------------------------------------------------------------------------- */

void swg__replay_service_is_well(struct swg__replay *r) {
    r->successes++;
}

void swg__replay_service_is_busy(struct swg__replay *r) {
    cut(r, r->round - 1, 20);
}

uint64_t swg__replay_queued(const struct swg__replay *r) {
    return r->queued;
}

uint64_t swg__replay_out(const struct swg__replay *r) {
    return r->out;
}

bool swg__replay_is_behind(const struct swg__replay_lane *lane) {
    return lane->count > 0;
}

void swg__replay_check(const struct swg__replay *r) {
    assert(r->window >= 1 && r->window <= r->o.window_max);
    assert(r->round_left >= 1 && r->cut_round <= r->round);
    assert(!r->ready.first || lane_of(r->ready.first)->place == READY);
    assert(!r->waiting.first || lane_of(r->waiting.first)->place == WAITING);
    assert(!r->batch.first || lane_of(r->batch.first)->place == BATCH);
    assert(r->out <= r->queued);
}
