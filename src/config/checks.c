/* checks.c - what no single value shows: how the parts go together.
 *
 * An error is what cannot work or would do something else than it says. A
 * warning is what works and is most likely not what was meant. */
#include <string.h>

#include "config/address.h"
#include "config/fill.h"

enum { CHAIN_MAX = 4, TOKEN_SHORT = 16 };

static void check_admin(struct fill *);
static void check_limits(struct fill *);
static void check_resilience(struct fill *);
static void check_service(struct fill *, const struct draft *);
static void check_timeouts(struct fill *, const struct draft *, const char *name);
static void check_retry(struct fill *, const struct draft *, const char *name);
static void check_bulkhead(struct fill *, const struct draft *, const char *name);
static void check_tiers(struct fill *, const struct draft *, const char *name);
static void check_store(struct fill *, const struct draft *, const char *name);
static void check_depends(struct fill *);
static void check_chains(struct fill *);
static void check_wanted(struct fill *);
static uint32_t chain_length(struct fill *, uint32_t service, uint8_t *state, uint32_t *length);

void check_whole(struct fill *f) {
    check_trace(f);
    check_admin(f);
    check_limits(f);
    check_resilience(f);
    if (!f->draft_count)
        return; /* reported as missing or empty */
    for (uint32_t i = 0; i < f->draft_count; i++)
        check_service(f, &f->drafts[i]);
    check_depends(f);
    check_chains(f);
    check_wanted(f);
}

/* ---- admin and limits -------------------------------------------------- */

static void check_admin(struct fill *f) {
    const struct admin_options *a = &f->options->admin;
    const struct node *address = named_at(&f->top, "admin.address");
    const struct node *token = named_at(&f->top, "admin.token");
    if (!a->enabled || !a->host)
        return;
    if (!a->token && !address_is_loopback(bytes_of(a->host)))
        report_error(f->report, address, "admin.token, or a loopback address such as 127.0.0.1",
                     NULL, "the admin interface on %s could be changed by anyone", a->host);
    if (a->token && strlen(a->token) < TOKEN_SHORT)
        report_warning(f->report, token, "at least 16 characters, from a random source",
                       "admin.token is short enough to be guessed");
}

static void check_resilience(struct fill *f) {
    const struct swg__overall_options *o = &f->options->resilience.overall;
    const struct node *degraded = named_at(&f->top, "resilience.degraded");
    if (o->degraded_percent > o->healthy_percent)
        report_warning(f->report, degraded ? degraded : named_at(&f->top, "resilience.healthy"),
                       "degraded to be the smaller one",
                       "resilience.degraded is more than resilience.healthy: nothing is DEGRADED");
}

static void check_limits(struct fill *f) {
    const struct limit_options *l = &f->options->limits;
    const struct node *url = named_at(&f->top, "limits.url");
    if (l->url > l->header_bytes)
        report_warning(f->report, url ? url : named_at(&f->top, "limits.header_bytes"),
                       "at most limits.header_bytes",
                       "limits.url is larger than a whole head may be");
    if (l->connections_per_client > l->connections)
        report_warning(f->report, named_at(&f->top, "limits.connections_per_client"),
                       "at most limits.connections",
                       "limits.connections_per_client is larger than what all clients may have");
}

/* ---- one service ------------------------------------------------------- */

static void check_service(struct fill *f, const struct draft *draft) {
    const char *name = draft->options.name;
    check_timeouts(f, draft, name);
    check_retry(f, draft, name);
    check_bulkhead(f, draft, name);
    check_tiers(f, draft, name);
    check_store(f, draft, name);
    if (draft->options.critical && !draft->options.essential)
        report_error(f->report, named_at(&draft->named, "services.*.essential"),
                     "true of a critical service", NULL,
                     "services.%s is critical, and may be switched off in an emergency", name);
}

static void check_timeouts(struct fill *f, const struct draft *draft, const char *name) {
    const struct swg_timeout_options *t = &draft->options.policy.timeout;
    const struct node *attempt = named_at(&draft->named, "services.*.timeout.attempt");
    const struct node *total = named_at(&draft->named, "services.*.timeout.total");
    if (attempt && t->total_ns < t->attempt_ns && t->attempt_ns != SWG_OFF)
        report_warning(f->report, total ? total : attempt, "total to leave room for an attempt",
                       "services.%s.timeout.total is less than timeout.attempt", name);
    if (t->attempt_ns == SWG_OFF && t->total_ns == SWG_OFF)
        report_warning(
            f->report, attempt, "attempt or total",
            "services.%s has no timeout: a service that hangs holds its callers for ever", name);
    const struct node *connect = named_at(&draft->named, "services.*.timeout.connect");
    if (connect && t->connect_ns != SWG_OFF && t->connect_ns > t->attempt_ns)
        report_warning(f->report, connect, "connect to be the smaller one",
                       "services.%s.timeout.connect is more than timeout.attempt, which ends first",
                       name);
}

static void check_retry(struct fill *f, const struct draft *draft, const char *name) {
    const struct swg_retry_options *r = &draft->options.policy.retry;
    const struct node *body = named_at(&draft->named, "services.*.retry.body");
    const struct node *base = named_at(&draft->named, "services.*.retry.base");
    if (r->max == SWG_RETRY_OFF || draft->options.policy.no_retry)
        return;
    if (body && draft->options.transport.body_keep == 0)
        report_warning(f->report, body, "a size such as 64KiB",
                       "services.%s.retry.body is 0: requests with a body are never retried", name);
    if (r->base_ns > r->cap_ns)
        report_warning(f->report, base ? base : named_at(&draft->named, "services.*.retry.cap"),
                       "base to be the smaller one",
                       "services.%s.retry.base is more than retry.cap: every wait is cut to cap",
                       name);
}

static void check_bulkhead(struct fill *f, const struct draft *draft, const char *name) {
    const struct swg_bulkhead_options *b = &draft->options.policy.bulkhead;
    const struct node *queue = named_at(&draft->named, "services.*.bulkhead.queue");
    const struct node *wait = named_at(&draft->named, "services.*.bulkhead.wait");
    if (queue && b->queue && !b->wait_ns)
        report_warning(f->report, queue, "wait too, such as 100ms",
                       "services.%s.bulkhead.queue is %u, but wait is 0: nobody may wait in it",
                       name, b->queue);
    if (wait && b->wait_ns && !b->queue)
        report_warning(f->report, wait, "queue too",
                       "services.%s.bulkhead.wait is set, but queue is 0: there is nowhere to wait",
                       name);
}

static void check_store(struct fill *f, const struct draft *draft, const char *name) {
    const struct cache_options *c = &draft->options.cache;
    const struct node *at = named_at(&draft->named, "services.*.cache.store");
    if (!c->enabled)
        return;
    if (c->store == CACHE_STORE_DISK && !f->options->cache_disk.path)
        report_error(f->report, at, "cache_disk, as in cache_disk: {path: /var/cache/switchgear}",
                     NULL, "services.%s.cache.store is disk, and no disk is configured", name);
    if (c->store == CACHE_STORE_REDIS && !f->options->cache_redis.configured)
        report_error(f->report, at,
                     "cache_redis, as in cache_redis: {url: \"redis://127.0.0.1:6379\"}", NULL,
                     "services.%s.cache.store is redis, and no Redis is configured", name);
}

static void check_tiers(struct fill *f, const struct draft *draft, const char *name) {
    const struct service_options *s = &draft->options;
    int answers_always = -1, queue = -1;
    for (uint32_t i = 0; i < s->tier_count; i++) {
        const struct tier_options *t = &s->tiers[i];
        const struct node *at = draft->tier_at[i];
        if (answers_always >= 0 && t->name)
            report_warning(f->report, at, "static last",
                           "services.%s.fallback[%u] is never reached: tier %s always answers",
                           name, i, s->tiers[answers_always].name);
        else if (t->kind == TIER_STATIC && t->name)
            answers_always = (int)i;
        if (t->kind == TIER_QUEUE && queue >= 0)
            report_error(f->report, at, "one queue", NULL,
                         "services.%s.fallback[%u] is a second queue beside %s", name, i,
                         s->tiers[queue].name);
        else if (t->kind == TIER_QUEUE && t->name)
            queue = (int)i;
        if (t->kind == TIER_QUEUE && t->queue.batch_max > 1 && !t->queue.batch_key &&
            t->queue.batch_form != BATCH_FIRESTORE)
            report_warning(f->report, at, "batch.key, such as idempotency_key",
                           "services.%s.fallback[%u].queue.batch without a key: the service cannot "
                           "tell a write that comes again from a new one",
                           name, i);
        if (t->kind != TIER_STALE || !t->name)
            continue;
        if (s->cache.enabled && s->policy.no_cache)
            report_warning(
                f->report, at, "enabled: {cache: true}",
                "services.%s.fallback[%u] has no answers while the cache is switched off", name, i);
        else if (!s->cache.enabled)
            report_error(f->report, at, "cache, as in cache: {fresh: 60s, stale: 24h}", NULL,
                         "services.%s.fallback[%u] needs answers that nobody keeps", name, i);
        else if (t->stale.max_ns > s->cache.stale_ns && node_get(node_get(at, "stale"), "max"))
            report_warning(f->report, at, "at most cache.stale",
                           "services.%s.fallback[%u].stale.max is longer than answers are kept",
                           name, i);
    }
}

/* ---- between services -------------------------------------------------- */

enum { UNSEEN, ON_THE_WAY, DONE };

static void walk_depends(struct fill *f, uint32_t service, uint8_t *state) {
    const struct draft *draft = &f->drafts[service];
    const struct service_options *s = &draft->options;
    state[service] = ON_THE_WAY;
    for (uint32_t i = 0; i < s->depends_count; i++) {
        const struct node *at = draft->depends_at[i];
        int next = fill_service_index(f, bytes_of(s->depends_on[i].service));
        size_t path = fill_enter(f, "services.%s.depends_on", s->name);
        if (next < 0) {
            fill_unknown_service(f, at, bytes_of(s->depends_on[i].service));
        } else if (state[next] == ON_THE_WAY) {
            report_error(f->report, at, "a service that does not need this one", NULL,
                         "%s leads back to %s", f->path, s->depends_on[i].service);
        } else {
            f->drafts[next].wanted = true;
        }
        fill_leave(f, path);
        if (next >= 0 && state[next] == UNSEEN)
            walk_depends(f, (uint32_t)next, state);
    }
    state[service] = DONE;
}

static void check_depends(struct fill *f) {
    uint8_t *state = fill_scratch(f, f->draft_count, 1);
    for (uint32_t i = 0; state && i < f->draft_count; i++) {
        if (state[i] == UNSEEN)
            walk_depends(f, i, state);
    }
}

/* A service tier may not lead back to its own service, and a chain of them is
 * bounded: a request that walks through many services has no time left. */
static void check_chains(struct fill *f) {
    uint8_t *state = fill_scratch(f, f->draft_count, 1);
    uint32_t *length = fill_scratch(f, f->draft_count, sizeof *length);
    for (uint32_t i = 0; state && length && i < f->draft_count; i++) {
        if (chain_length(f, i, state, length) > CHAIN_MAX)
            report_error(f->report, f->drafts[i].key, "at most 4 services one behind the other",
                         NULL, "the fallback of services.%s leads through too many services",
                         f->drafts[i].options.name);
    }
}

static uint32_t chain_length(struct fill *f, uint32_t service, uint8_t *state, uint32_t *length) {
    const struct draft *draft = &f->drafts[service];
    const struct service_options *s = &draft->options;
    if (state[service] == DONE)
        return length[service];
    state[service] = ON_THE_WAY;
    uint32_t longest = 0;
    for (uint32_t i = 0; i < s->tier_count; i++) {
        if (s->tiers[i].kind != TIER_SERVICE || !s->tiers[i].service.service)
            continue;
        struct bytes name = bytes_of(s->tiers[i].service.service);
        int next = fill_service_index(f, name);
        size_t path = fill_enter(f, "services.%s.fallback[%u].service", s->name, i);
        if (next < 0) {
            fill_unknown_service(f, draft->tier_at[i], name);
        } else if (state[next] == ON_THE_WAY) {
            report_error(f->report, draft->tier_at[i], "a service that does not need this one",
                         NULL, "%s leads back to %s", f->path, name.at);
        } else if (fill_takes_requests(f, draft->tier_at[i], next)) {
            f->drafts[next].wanted = true;
        }
        fill_leave(f, path);
        if (next >= 0 && state[next] != ON_THE_WAY) {
            uint32_t its = chain_length(f, (uint32_t)next, state, length);
            longest = its > longest ? its : longest;
        }
    }
    state[service] = DONE;
    return length[service] = longest + 1;
}

static void check_wanted(struct fill *f) {
    uint32_t of_requests = 0;
    for (uint32_t i = 0; i < f->draft_count; i++)
        of_requests += !f->drafts[i].options.tcp;
    if (!f->routes && of_requests > 1) {
        report_error(f->report, NULL, "routes: that tell which request goes where", NULL,
                     "there are %u services and no routes", of_requests);
        return;
    }
    if (f->report->error_count)
        return; /* whoever leads to it may be among what is wrong */
    if (of_requests && !fill_has_http_listener(f))
        report_warning(f->report, f->listens, "one with protocol: http too",
                       "no listener takes requests: what takes no tcp is never used");
    for (uint32_t i = 0; i < f->draft_count; i++) {
        bool tcp = f->drafts[i].options.tcp;
        if (!f->drafts[i].wanted)
            report_warning(f->report, f->drafts[i].key,
                           tcp ? "a listener such as {address: \"127.0.0.1:5432\", protocol: tcp, "
                                 "service: …}"
                               : "a route or a fallback that leads to it",
                           "service %s is never used", f->drafts[i].options.name);
    }
}
