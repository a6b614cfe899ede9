/* pick.c - chooses the endpoint of an attempt.
 *
 * Endpoints stand in four groups (see swg__breaker_standing): serving, probing
 * (a probe would be let through), shut, and forced open. The order:
 *
 *   1. A first attempt goes to an endpoint that wants a probe: without traffic
 *      it would never come back, the breaker lets only a few through, and a
 *      failed probe still has its retries. What cannot be sent twice leaves
 *      that to others, unless none came for PROBE_GRACE_NS.
 *   2. A serving endpoint that this call has not tried, by balance.
 *   3. A probe where this call has not been.
 *   4. and 5. The same among those it has tried already.
 *
 * Retries skip 1: they have no attempt to spare for finding out.
 *
 * Ejection has a limit. When more than ejection_max_percent of the endpoints
 * are out and others serve, those over the limit that left last are used all
 * the same, since the few that are left might not carry the load of all; the
 * fault may also lie with us. Such calls pass the breaker by and count in its
 * totals only. With nobody serving there is nobody to protect from overload,
 * and the service is simply open. Endpoints that an operator opened are no
 * part of this sum. */
#include "base/random.h"
#include "engine/balance.h"
#include "engine/breaker_priv.h"
#include "engine/endpoint.h"
#include "engine/policy_priv.h"

/* So many are compared all; of more, CANDIDATES_DRAWN at random, as looking at
 * the load of each would cost a cache miss each. */
enum { CANDIDATES_ALL = 16, CANDIDATES_DRAWN = 3 };

#define PROBE_GRACE_NS SWG_SECONDS(1)

/* Sets of endpoints, a bit each. */
struct survey {
    uint64_t serving, probing, shut, forced;
    uint64_t waiting; /* of probing: for longer than the grace */
    uint64_t beside;  /* of shut: over the limit of ejection */
};

/* One attempt's wishes and findings. */
struct choice {
    struct swg_policy *policy;
    uint64_t random, now_ns;
    struct swg_permit *permit;
    uint64_t beside;   /* admit these past their breakers */
    uint64_t refusals; /* met on the way, a bit each */
};

static struct swg_breaker *breaker_of(const struct swg_policy *p, uint32_t i) {
    return p->endpoints[i]->breaker;
}

/* How many of the set left closed after endpoint i did. */
static uint32_t count_later(const struct swg_policy *p, uint64_t set, uint32_t i) {
    uint64_t left_ns = swg__get(&breaker_of(p, i)->left_ns);
    uint32_t later = 0;
    for (; set; set &= set - 1) {
        uint32_t j = (uint32_t)__builtin_ctzll(set);
        uint64_t other_ns = swg__get(&breaker_of(p, j)->left_ns);
        later += other_ns > left_ns || (other_ns == left_ns && j > i);
    }
    return later;
}

/* Of those that are shut, while some serve. */
static uint64_t over_ejection_limit(const struct swg_policy *p, const struct survey *s) {
    uint64_t out = s->shut | s->probing, over = 0;
    uint32_t out_count = (uint32_t)__builtin_popcountll(out);
    uint32_t all = out_count + (uint32_t)__builtin_popcountll(s->serving);
    uint32_t allowed = all * p->options.ejection_max_percent / 100;
    if (allowed == 0)
        allowed = 1;
    if (out_count <= allowed)
        return 0;
    for (uint64_t set = s->shut; set; set &= set - 1) {
        uint32_t i = (uint32_t)__builtin_ctzll(set);
        if (count_later(p, out, i) < out_count - allowed)
            over |= UINT64_C(1) << i;
    }
    return over;
}

static void note_probing(struct survey *s, uint64_t bit, uint64_t due_ns, uint64_t now_ns) {
    s->probing |= bit;
    if (now_ns > due_ns && now_ns - due_ns >= PROBE_GRACE_NS)
        s->waiting |= bit;
}

static struct survey look_around(const struct swg_policy *p, uint64_t now_ns) {
    struct survey s = {0};
    for (uint32_t i = 0; i < p->endpoint_count; i++) {
        uint64_t bit = UINT64_C(1) << i;
        enum swg__standing standing = swg__breaker_standing(breaker_of(p, i), now_ns);
        if (standing == SWG__FORCED)
            s.forced |= bit;
        else if (p->options.no_breaker)
            s.beside |= bit;
        else if (standing == SWG__SERVING)
            s.serving |= bit;
        else if (standing == SWG__PROBING)
            note_probing(&s, bit, swg__breaker_due_ns(breaker_of(p, i)), now_ns);
        else
            s.shut |= bit;
    }
    if (s.shut && s.serving)
        s.beside |= over_ejection_limit(p, &s);
    return s;
}

/* Keeps `wanted` of the n candidates, drawn evenly. */
static uint32_t draw_some(struct swg__candidate *c, uint32_t n, uint32_t wanted, uint64_t random) {
    if (n <= CANDIDATES_ALL)
        return n;
    for (uint32_t i = 0; i < wanted; i++) {
        random = random_mix(random + i + 1);
        uint32_t j = i + (uint32_t)random_up_to(random, n - 1 - i);
        struct swg__candidate drawn = c[j];
        c[j] = c[i];
        c[i] = drawn;
    }
    return wanted;
}

static uint32_t choose_least(const struct choice *ch, struct swg__candidate *c, uint32_t n) {
    n = draw_some(c, n, CANDIDATES_DRAWN, ch->random);
    for (uint32_t i = 0; i < n; i++)
        c[i].in_flight = atomic_load_explicit(&ch->policy->endpoints[c[i].endpoint]->in_flight,
                                              memory_order_relaxed);
    return swg__balance_least_request(c, n, ch->random);
}

static uint32_t take_turn(const struct choice *ch, const struct swg__candidate *c, uint32_t n) {
    _Atomic uint64_t *turn = &ch->policy->core->turn;
    return swg__balance_round_robin(c, n, atomic_fetch_add_explicit(turn, 1, memory_order_relaxed));
}

/* The best of a set that is not empty. */
static uint32_t choose(const struct choice *ch, uint64_t set) {
    const struct swg_policy *p = ch->policy;
    struct swg__candidate c[SWG_ENDPOINTS_MAX];
    uint32_t n = 0;
    if ((set & (set - 1)) == 0)
        return (uint32_t)__builtin_ctzll(set);
    for (; set; set &= set - 1) {
        uint32_t i = (uint32_t)__builtin_ctzll(set);
        c[n].endpoint = i;
        c[n++].weight = swg__endpoint_weight(p->endpoints[i], p->weights[i],
                                             p->options.slow_start_ns, ch->now_ns);
    }
    switch (p->options.balance) {
    case SWG_ROUND_ROBIN:
        return c[take_turn(ch, c, n)].endpoint;
    case SWG_RANDOM:
        return c[swg__balance_weighted(c, n, ch->random)].endpoint;
    case SWG_LEAST_REQUEST:
        break;
    }
    return c[choose_least(ch, c, n)].endpoint;
}

static bool admit_one(struct choice *ch, uint32_t i) {
    struct swg_breaker *b = breaker_of(ch->policy, i);
    /* mixed, or the number that chose the endpoint would decide its ramp too */
    uint64_t random = random_mix(ch->random);
    enum swg_refusal refusal = ch->beside >> i & 1
                                   ? swg__breaker_admit_beside(b, ch->permit, ch->now_ns)
                                   : swg_breaker_admit(b, ch->permit, random, ch->now_ns);
    ch->refusals |= UINT64_C(1) << refusal;
    return refusal == SWG_ADMITTED;
}

/* The first of the set that admits, best first. */
static bool admit_from(struct choice *ch, uint64_t set, uint32_t *endpoint) {
    while (set) {
        uint32_t i = choose(ch, set);
        if (admit_one(ch, i)) {
            *endpoint = i;
            return true;
        }
        set &= ~(UINT64_C(1) << i);
        ch->random = random_mix(ch->random + 1);
    }
    return false;
}

/* Asks those that would refuse, so that they count it and say why. One may
 * have changed its mind meanwhile. */
static bool ask_the_rest(struct choice *ch, uint64_t set, uint32_t *endpoint) {
    for (; set; set &= set - 1) {
        *endpoint = (uint32_t)__builtin_ctzll(set);
        if (admit_one(ch, *endpoint))
            return true;
    }
    return false;
}

static bool admit_in_order(struct choice *ch, bool repeatable, uint64_t tried, uint32_t *endpoint) {
    struct survey s = look_around(ch->policy, ch->now_ns);
    uint64_t useful = s.serving | s.beside;
    uint64_t first = tried ? 0 : repeatable ? s.probing : s.waiting;
    uint64_t later = s.probing & ~first;
    ch->beside = s.beside;
    return admit_from(ch, first, endpoint) || admit_from(ch, useful & ~tried, endpoint) ||
           admit_from(ch, later & ~tried, endpoint) || admit_from(ch, useful & tried, endpoint) ||
           admit_from(ch, later & tried, endpoint) ||
           ask_the_rest(ch, (s.shut & ~s.beside) | s.forced, endpoint);
}

/* The mildest reason that any endpoint had. */
static enum swg_refusal mildest(uint64_t refusals) {
    static const enum swg_refusal order[] = {SWG_REFUSED_RAMPING, SWG_REFUSED_HALF_OPEN_FULL,
                                             SWG_REFUSED_OPEN};
    for (unsigned i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
        if (refusals >> order[i] & 1)
            return order[i];
    }
    return SWG_REFUSED_FORCED_OPEN;
}

enum swg_refusal swg__policy_pick(struct swg_policy *p, uint64_t *tried, bool repeatable,
                                  uint64_t random, uint64_t now_ns, struct swg_permit *permit,
                                  uint32_t *endpoint, bool *probe) {
    struct choice ch = {.policy = p, .random = random, .now_ns = now_ns, .permit = permit};
    uint32_t chosen = 0;
    bool alone = p->endpoint_count == 1 && !p->options.no_breaker;
    if (!(alone ? admit_one(&ch, 0) : admit_in_order(&ch, repeatable, *tried, &chosen)))
        return mildest(ch.refusals);
    atomic_fetch_add_explicit(&p->endpoints[chosen]->in_flight, 1, memory_order_relaxed);
    *tried |= UINT64_C(1) << chosen;
    *endpoint = chosen;
    *probe = permit->probe != 0;
    return SWG_ADMITTED;
}

void swg__policy_leave(struct swg_policy *p, uint32_t endpoint) {
    atomic_fetch_sub_explicit(&p->endpoints[endpoint]->in_flight, 1, memory_order_relaxed);
}
