/* freshness.c - RFC 9111 section 3, 4.2 and 5.2, and RFC 5861, as decisions.
 *
 * The life of a stored answer, from left to right:
 *
 *   came            lifetime          + revalidate        + stale
 *    |---- fresh -----|--- usable while it is refreshed ---|
 *                     |----- usable instead of an error ----------|
 *                     |....... and where the operator forces it .........|
 *
 * Where RFC 9111 leaves a choice:
 *
 * - Age is the Age field plus the time since we asked, without comparing the
 *   answer's Date with our wall clock (section 4.2.3 allows it): a wrong clock
 *   at either end must not empty or freeze the cache.
 * - Without explicit lifetime only the operator's `fresh` counts; there is no
 *   guess from Last-Modified. Answers that say "not so" (404, 405, 414, 501)
 *   get at most NEGATIVE_MAX of it, so that a mistake heals soon.
 * - Failures (5xx but 501) and "not now" (408, 425, 429) are never stored,
 *   whatever they say: one stored failure would replace the good answer that
 *   the stale tier lives on.
 * - An answer with Set-Cookie is never stored: the RFC permits it, every
 *   second application gets it wrong.
 * - s-maxage forbids staleness as the RFC has it, unless the answer itself
 *   gives a stale window (RFC 5861): then it said both, and the window is the
 *   more precise. must-revalidate, proxy-revalidate and no-cache always forbid.
 * - stale-if-error of the answer replaces the operator's window, in both
 *   directions; only force_stale takes the larger of the two. */
#include "engine/freshness.h"

#include <stddef.h>

#include <switchgear/time.h>

static const uint64_t NEGATIVE_MAX = SWG_SECONDS(5);

const char *swg__storable_name(enum swg__storable s) {
    static const char *const names[] = {
#define X(code, name, sentence) name,
        SWG__STORABLES(X)
#undef X
    };
    return (unsigned)s < SWG__STORABLE_COUNT ? names[s] : "?";
}

const char *swg__storable_sentence(enum swg__storable s) {
    static const char *const sentences[] = {
#define X(code, name, sentence) sentence,
        SWG__STORABLES(X)
#undef X
    };
    return (unsigned)s < SWG__STORABLE_COUNT ? sentences[s] : "?";
}

/* ---- arithmetic -------------------------------------------------------- */

static uint64_t sum(uint64_t a, uint64_t b) {
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static uint64_t larger(uint64_t a, uint64_t b) {
    return a > b ? a : b;
}

static uint64_t smaller(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

/* Of a directive; not given is 0. */
static uint64_t seconds(int32_t s) {
    return s > 0 ? SWG_SECONDS(s) : 0;
}

static uint64_t option(uint64_t ns) {
    return ns == SWG_OFF ? 0 : ns;
}

/* ---- may it be stored -------------------------------------------------- */

static bool says_not_now(int status) {
    return status == 408 || status == 425 || status == 429 || (status >= 500 && status != 501);
}

/* RFC 9110 section 15.1, without 206: stored also where nothing is said. */
static bool storable_unsaid(int status) {
    static const short list[] = {200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501};
    for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++)
        if (list[i] == status)
            return true;
    return false;
}

static bool negative(int status) {
    return status == 404 || status == 405 || status == 414 || status == 501;
}

/* must-understand (RFC 9111 section 5.2.2.3) lets a cache that understands the
 * status disregard no-store, and forbids storing to all others. */
static bool forbids_storing(const struct swg__answer *a) {
    bool understood = storable_unsaid(a->status) || a->status == 302 || a->status == 307;
    if (a->control.must_understand)
        return !understood;
    return a->control.no_store;
}

/* RFC 9111 section 3.5. */
static bool may_share_authorized(const struct swg__directives *c) {
    return c->public_ || c->s_maxage >= 0 || c->must_revalidate;
}

static enum swg__storable may_store(const struct swg__answer *a) {
    if (a->status < 200 || a->status > 999 || a->status == 304)
        return SWG__STORE_STATUS;
    if (a->ranged || a->status == 206)
        return SWG__STORE_PARTIAL;
    if (says_not_now(a->status))
        return SWG__STORE_FAILURE;
    if (a->request_no_store)
        return SWG__STORE_REQUEST;
    if (forbids_storing(a))
        return SWG__STORE_NO_STORE;
    if (a->control.private_)
        return SWG__STORE_PRIVATE;
    if (a->sets_cookie)
        return SWG__STORE_SET_COOKIE;
    if (a->varies_on_all)
        return SWG__STORE_VARIES;
    if (a->endless)
        return SWG__STORE_ENDLESS;
    if (a->authorized && !may_share_authorized(&a->control))
        return SWG__STORE_AUTHORIZED;
    return SWG__STORE_OK;
}

/* ---- how long ---------------------------------------------------------- */

static uint64_t expires_after(const struct swg__answer *a) {
    int64_t date_s = a->has_date ? a->date_s : a->wall_s;
    if (a->expires_s <= date_s)
        return 0;
    uint64_t s = (uint64_t)a->expires_s - (uint64_t)date_s;
    return s > INT32_MAX ? seconds(INT32_MAX) : SWG_SECONDS(s);
}

/* Of an answer that says nothing itself. Where it is kept only for when the
 * service fails, it is stale from the start; a "not found" is not kept for that. */
static bool lifetime_unsaid(const struct swg__answer *a, const struct swg__cache_terms *terms,
                            uint64_t *lifetime_ns) {
    uint64_t fresh_ns = option(terms->fresh_ns);
    if (!storable_unsaid(a->status) && !a->control.public_)
        return false;
    *lifetime_ns = negative(a->status) ? smaller(fresh_ns, NEGATIVE_MAX) : fresh_ns;
    return fresh_ns || (option(terms->stale_ns) && !negative(a->status));
}

/* RFC 9111 section 4.2.1. False: neither answer nor operator say. */
static bool lifetime_of(const struct swg__answer *a, const struct swg__cache_terms *terms,
                        uint64_t *lifetime_ns) {
    const struct swg__directives *c = &a->control;
    if (c->s_maxage >= 0)
        *lifetime_ns = seconds(c->s_maxage);
    else if (c->max_age >= 0)
        *lifetime_ns = seconds(c->max_age);
    else if (a->has_expires)
        *lifetime_ns = expires_after(a);
    else if (c->no_cache)
        *lifetime_ns = 0;
    else if (!lifetime_unsaid(a, terms, lifetime_ns))
        return false;
    if (c->no_cache)
        *lifetime_ns = 0;
    return true;
}

static void set_stale(const struct swg__directives *c, const struct swg__cache_terms *terms,
                      struct swg__freshness *f) {
    bool windows = c->stale_while_revalidate >= 0 || c->stale_if_error >= 0;
    uint64_t configured = option(terms->stale_ns);
    uint64_t said = seconds(c->stale_if_error);

    f->stale_forbidden =
        c->must_revalidate || c->proxy_revalidate || c->no_cache || (c->s_maxage >= 0 && !windows);
    f->stale_forced_ns = terms->force_stale ? larger(configured, said) : 0;
    if (f->stale_forbidden)
        return;
    f->revalidate_ns = seconds(c->stale_while_revalidate);
    if (c->stale_if_error >= 0)
        f->stale_ns = said;
    else if (c->s_maxage < 0)
        f->stale_ns = configured;
}

enum swg__storable swg__freshness_of(const struct swg__answer *a,
                                     const struct swg__cache_terms *terms,
                                     struct swg__freshness *out) {
    enum swg__storable refused = may_store(a);
    if (refused)
        return refused;
    struct swg__freshness f = {.at_ns = a->came_ns};
    if (!lifetime_of(a, terms, &f.lifetime_ns))
        return SWG__STORE_NO_LIFETIME;
    /* The answer may have been made at any time since we asked. */
    uint64_t under_way = a->came_ns > a->asked_ns ? a->came_ns - a->asked_ns : 0;
    f.age_ns = sum(SWG_SECONDS(a->age_s), under_way);
    set_stale(&a->control, terms, &f);

    if (swg__freshness_over(&f, f.at_ns))
        return SWG__STORE_EXPIRED;
    *out = f;
    return SWG__STORE_OK;
}

/* ---- may it be used ---------------------------------------------------- */

uint64_t swg__freshness_age(const struct swg__freshness *f, uint64_t now_ns) {
    return sum(f->age_ns, now_ns > f->at_ns ? now_ns - f->at_ns : 0);
}

int64_t swg__freshness_left(const struct swg__freshness *f, uint64_t now_ns) {
    uint64_t age = swg__freshness_age(f, now_ns);
    if (age < f->lifetime_ns)
        return (int64_t)smaller(f->lifetime_ns - age, INT64_MAX);
    return -(int64_t)smaller(age - f->lifetime_ns, INT64_MAX);
}

enum swg__usable swg__freshness_judge(const struct swg__freshness *f,
                                      const struct swg__directives *wish, uint64_t now_ns) {
    if (wish->no_cache)
        return SWG__UNUSABLE;
    uint64_t age = swg__freshness_age(f, now_ns);
    if (wish->min_fresh > 0 && sum(age, seconds(wish->min_fresh)) > f->lifetime_ns)
        return SWG__UNUSABLE;
    /* To a client with max-age the answer lives no longer than that. */
    uint64_t lifetime = f->lifetime_ns;
    if (wish->max_age >= 0)
        lifetime = smaller(lifetime, seconds(wish->max_age));
    if (age < lifetime)
        return SWG__FRESH;

    if (wish->max_stale >= 0 && !f->stale_forbidden &&
        (wish->max_stale == INT32_MAX || age - lifetime <= seconds(wish->max_stale)))
        return SWG__STALE_ACCEPTED;
    if (wish->max_age < 0 && age - lifetime < f->revalidate_ns)
        return SWG__STALE_REFRESHED;
    return SWG__UNUSABLE;
}

bool swg__freshness_on_error(const struct swg__freshness *f, uint64_t max_stale_ns, bool force,
                             uint64_t now_ns) {
    uint64_t age = swg__freshness_age(f, now_ns);
    if (age < f->lifetime_ns)
        return true;
    uint64_t window = force ? larger(f->stale_ns, f->stale_forced_ns) : f->stale_ns;
    return age - f->lifetime_ns < smaller(window, max_stale_ns);
}

bool swg__freshness_over(const struct swg__freshness *f, uint64_t now_ns) {
    uint64_t age = swg__freshness_age(f, now_ns);
    uint64_t window = larger(larger(f->revalidate_ns, f->stale_ns), f->stale_forced_ns);
    return age >= sum(f->lifetime_ns, window);
}
