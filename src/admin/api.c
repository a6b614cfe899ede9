/* api.c - see api.h. */
#include "admin/api.h"

#include <string.h>

#include "admin/accept.h"
#include "admin/admin_priv.h"
#include "admin/auth.h"
#include "admin/handlers.h"
#include "admin/problem.h"

/* ---- the table ------------------------------------------------------------- */

#define COMMAND                                                                              \
    "Body: `{reason, author, for, endpoint}`, all optional but where said otherwise; "       \
    "`endpoint` names one of the service's endpoints, else all are meant. Answers with the " \
    "breaker as it is now."
#define OUTBOX_COMMAND \
    "Body: `{reason, author}`. Answers with the write as it is now; 409 tells why not."
#define DRILLS_NEED    "Needs the token, on every address; 403 where none is configured. "
#define NEEDS_DURATION "Takes protection away, and so needs `for`, at most a week. "

const struct route api_routes[] = {
    {HTTP_GET, "/", ACCESS_PAGE, handle_page, "The panel: a page for people.", NULL},

    {HTTP_GET, "/livez", ACCESS_FREE, handle_live,
     "200 as long as every event loop turns, else 503: restart me.", NULL},
    {HTTP_GET, "/readyz", ACCESS_FREE, handle_ready,
     "200 while new requests are welcome, 503 while draining. Does not fail because a service "
     "does.",
     NULL},
    {HTTP_GET, "/startupz", ACCESS_FREE, handle_startup, "200 once the gateway listens.", NULL},
    {HTTP_GET, "/health/live", ACCESS_FREE, handle_live, NULL, "/livez"},
    {HTTP_GET, "/health/ready", ACCESS_FREE, handle_ready, NULL, "/readyz"},
    {HTTP_GET, "/health/startup", ACCESS_FREE, handle_startup, NULL, "/startupz"},

    {HTTP_GET, "/health", ACCESS_READ, handle_health,
     "The overall state. `HEALTHY`: at least 80% of the services work; `DEGRADED`: at least half; "
     "`CRITICAL`: fewer, or a critical one is down; `EMERGENCY`: several critical ones are down. "
     "503 from `CRITICAL` on. For each service its `condition` (`working`, `impaired`, `down`) and "
     "what it is so `because` of; `emergency.actions` tells what is being done (`read_only`, "
     "`shed`).",
     NULL},
    {HTTP_GET, "/health/resilience", ACCESS_READ, handle_health, NULL, "/health"},

    {HTTP_GET, "/api/v1/circuit-breakers", ACCESS_READ, handle_breakers,
     "Every service's breaker, with those of its endpoints: `{circuit_breakers: […]}`.", NULL},
    {HTTP_GET, "/api/v1/circuit-breakers/{name}", ACCESS_READ, handle_breaker, "One of them.",
     NULL},
    {HTTP_GET, "/api/v1/circuit-breakers/{name}/history", ACCESS_READ, handle_history,
     "The service's events, oldest first: `{name, events: […]}`. `?limit=` gives the latest so "
     "many, at most 500.",
     NULL},
    {HTTP_POST, "/api/v1/circuit-breakers/{name}/reset", ACCESS_CHANGE, handle_reset,
     "Clears windows and manual states, and closes. " COMMAND, NULL},
    {HTTP_POST, "/api/v1/circuit-breakers/{name}/force-open", ACCESS_CHANGE, handle_force_open,
     "Refuses all calls, `for` some time or until further notice. " COMMAND, NULL},
    {HTTP_POST, "/api/v1/circuit-breakers/{name}/force-close", ACCESS_CHANGE, handle_force_close,
     "Lets all calls through and never trips. " NEEDS_DURATION COMMAND, NULL},
    {HTTP_POST, "/api/v1/circuit-breakers/{name}/disable", ACCESS_CHANGE, handle_disable,
     "Lets all calls through and counts nothing. " NEEDS_DURATION COMMAND, NULL},
    {HTTP_GET, "/circuit-breakers", ACCESS_READ, handle_breakers, NULL, "/api/v1/circuit-breakers"},
    {HTTP_GET, "/circuit-breakers/{name}/history", ACCESS_READ, handle_history, NULL,
     "/api/v1/circuit-breakers/{name}/history"},
    {HTTP_POST, "/circuit-breakers/{name}/reset", ACCESS_CHANGE, handle_reset, NULL,
     "/api/v1/circuit-breakers/{name}/reset"},
    {HTTP_POST, "/admin/circuit-breaker/{name}/force-open", ACCESS_CHANGE, handle_force_open, NULL,
     "/api/v1/circuit-breakers/{name}/force-open"},

    {HTTP_POST, "/api/v1/resilience/force-recovery", ACCESS_CHANGE, handle_force_recovery,
     "Has every open breaker tried now instead of later, by health checks where there are any. "
     "Body: `{reason, author}`. Answers with `{probed: [names]}`.",
     NULL},
    {HTTP_POST, "/admin/resilience/force-recovery", ACCESS_CHANGE, handle_force_recovery, NULL,
     "/api/v1/resilience/force-recovery"},

    {HTTP_GET, "/api/v1/fallbacks", ACCESS_READ, handle_fallbacks,
     "For each service with a fallback chain: how often each tier was tried and answered, and who "
     "answers now.",
     NULL},
    {HTTP_POST, "/api/v1/fallbacks/{name}/test", ACCESS_CHANGE, handle_fallback_test,
     "Tries the service's chain as if the service were gone: nothing is queued, counted, or sent "
     "to other services. Body: `{method, path, headers, body, assume, ask}`, all optional; `path` "
     "is what a client would ask for, `assume` a reason such as `open` or `read_only`, `ask: true` "
     "really asks services of the chain. Answers with `{service, would_answer, tiers: [{tier, "
     "kind, result, reason, took_ms, status, preview}]}`; `result` is `answered`, `failed`, "
     "`skipped`, `would_ask`, `would_queue` or `not_reached`.",
     NULL},
    {HTTP_POST, "/fallback-chain/test", ACCESS_CHANGE, handle_fallback_test, NULL,
     "/api/v1/fallbacks/{name}/test"},
    {HTTP_GET, "/fallback-chain/stats", ACCESS_READ, handle_fallbacks, NULL, "/api/v1/fallbacks"},

    {HTTP_GET, "/api/v1/outbox", ACCESS_READ, handle_outbox,
     "Writes in the outbox, in the order of acceptance, without their contents: `{entries: […], "
     "next}`. `?service=` and `?state=` (`queued`, `dead`, `sent`, `expired`, `dropped`) select, "
     "`?limit=` (100, at most 1000) bounds; `?after=` with the `next` of one answer gives what "
     "follows, until `next` is null.",
     NULL},
    {HTTP_GET, "/api/v1/outbox/summary", ACCESS_READ, handle_outbox_summary,
     "For each service with a queue: what waits, since when, how many requests are under way, what "
     "came of the writes since the process began, and how many dead letters there are now (counted "
     "up to 1000 in all). `store` tells in how many groups, that is syncs, how many writes were "
     "appended.",
     NULL},
    {HTTP_GET, "/api/v1/outbox/{id}", ACCESS_READ, handle_outbox_entry,
     "One write, with the names of its header fields. With `?content=1` also their values and the "
     "body, which needs the token on every address; credentials are `***` all the same.",
     NULL},
    {HTTP_POST, "/api/v1/outbox/{id}/retry", ACCESS_CHANGE, handle_outbox_retry,
     "Queues a dead letter again, last in its order. " OUTBOX_COMMAND, NULL},
    {HTTP_POST, "/api/v1/outbox/{id}/drop", ACCESS_CHANGE, handle_outbox_drop,
     "Gives up a write that is queued or dead: it will not be delivered. 409 while it is being "
     "sent. " OUTBOX_COMMAND,
     NULL},

    {HTTP_GET, "/api/v1/services", ACCESS_READ, handle_services,
     "Every service: breaker, endpoints, health checks, requests and latencies, what its queue "
     "holds. A tcp service's requests are its connections, its latency that of connecting.",
     NULL},
    {HTTP_GET, "/api/v1/services/{name}", ACCESS_READ, handle_service,
     "One of them, with the policy in force, and in `patched` what of it was changed at run time. "
     "The `ETag` is that of the whole configuration.",
     NULL},
    {HTTP_PATCH, "/api/v1/services/{name}", ACCESS_CHANGE, handle_patch_service,
     "Changes the service's policy until the next reload: a merge patch (RFC 7396) with the keys "
     "and values of the configuration, such as `{\"breaker\": {\"failures\": 8}}`, and `author` "
     "and "
     "`reason`. States, windows and limits are kept. 422 with `errors` and nothing changed if the "
     "policy would not be valid; 412 if `If-Match` has another `ETag`. `?dry_run=1` only checks. "
     "Answers with `{service, generation, changed: [{key, from, to}], patched, warnings, policy}`.",
     NULL},
    {HTTP_DELETE, "/api/v1/services/{name}/patch", ACCESS_CHANGE, handle_unpatch_service,
     "Takes back all that was changed at run time: the file holds again. Body: `{reason, author}`.",
     NULL},
    {HTTP_GET, "/api/v1/services/{name}/shadow", ACCESS_READ, handle_shadow,
     "The service's breaker and its shadow side by side: `{service, enabled, begun_at, breaker, "
     "differences: [{key, live, shadow}], agrees, would_have_opened, would_have_refused, "
     "would_have_admitted, disagreements: {calls, times, ms}, live, shadow, endpoints}`. Counts "
     "are since `begun_at`.",
     NULL},
    {HTTP_PUT, "/api/v1/services/{name}/shadow", ACCESS_CHANGE, handle_shadow_set,
     "Puts a shadow beside the service's breaker, or another in its place, until the next reload. "
     "Body: `{breaker: {…}, reason, author}`; what `breaker` does not name is as in the live one. "
     "The comparison begins anew. 422, 412 and `?dry_run=1` as with `PATCH`.",
     NULL},
    {HTTP_DELETE, "/api/v1/services/{name}/shadow", ACCESS_CHANGE, handle_shadow_end,
     "Takes the shadow away, until the next reload. Body: `{reason, author}`.", NULL},

    {HTTP_GET, "/api/v1/drills", ACCESS_READ, handle_drills,
     "The drills that are on: `{drills: [{id, service, endpoint, kind, delay_ms, status, percent, "
     "header, started_at, ends_at, ends_in_ms, hits, author, reason}]}`; `hits` counts attempts.",
     NULL},
    {HTTP_POST, "/api/v1/drills", ACCESS_CHANGE, handle_drill_start,
     "Starts to inject a fault: 201 with the drill. Body: `{service, endpoint, kind, delay_ms, "
     "status, percent, header, for, reason, author}`. `kind` is `delay`, `error` (answers with "
     "`status`, 503) or `abort` (a reset); `percent` (100) is the share of attempts; `header` such "
     "as `X-Drill: yes` picks requests; `for` is needed, at most 1h. " DRILLS_NEED,
     NULL},
    {HTTP_DELETE, "/api/v1/drills/{id}", ACCESS_CHANGE, handle_drill_stop,
     "Stops one; answers with what it was. Body: `{reason, author}`. " DRILLS_NEED, NULL},
    {HTTP_DELETE, "/api/v1/drills", ACCESS_CHANGE, handle_drills_stop,
     "Stops all: `{stopped: 2}`. Body: `{reason, author}`. " DRILLS_NEED, NULL},
    {HTTP_GET, "/api/v1/series", ACCESS_READ, handle_series,
     "The last five minutes of every service, a point for each four seconds, oldest first: "
     "`{interval_seconds, first, last, ends_at, services: {name: {requests, server_errors, "
     "fallback, p50_ms, p95_ms}}}`, each a list; null where there is nothing to tell. `first` and "
     "`last` are numbers of points; `?after=` gives what follows one.",
     NULL},

    {HTTP_GET, "/api/v1/config", ACCESS_READ, handle_config,
     "The configuration in force, with all defaults; secrets are `***`.", NULL},
    {HTTP_POST, "/api/v1/config/reload", ACCESS_CHANGE, handle_reload,
     "Reads the file again, which ends what was changed at run time: `replaced` lists that. 422 "
     "with what is wrong, and nothing changed, if it has errors. "
     "Body: `{author}`.",
     NULL},
    {HTTP_POST, "/api/v1/drain", ACCESS_CHANGE, handle_drain,
     "Begins to drain, as SIGTERM does: 202. Body: `{author}`.", NULL},

    {HTTP_POST, "/api/v1/upgrade", ACCESS_CHANGE, handle_upgrade,
     "Starts the program at the path that this process was started by, and has it take over; "
     "answers when it has: `{upgraded, process}`. 500 with what is wrong, and nothing changed, if "
     "it does not become ready; 409 while draining. Body: `{author}`.",
     NULL},

    {HTTP_GET, "/api/v1/events", ACCESS_READ, handle_events,
     "Server-sent events: state changes, manual commands, refusals that begin, changes of who "
     "answers, reloads. The id is a sequence number: `Last-Event-ID`, or `?after=`, resumes; an "
     "event `gap` tells that some are lost. `?service=` selects. With `Accept: application/json` "
     "the latest (`?limit=`, 100) as a list.",
     NULL},
    {HTTP_GET, "/metrics", ACCESS_FREE, handle_metrics,
     "Prometheus text 0.0.4, or OpenMetrics 1.0 where the scraper prefers it.", NULL},
    {0, NULL, ACCESS_FREE, NULL, NULL, NULL},
};

/* ---- finding -------------------------------------------------------------------- */

/* What stands in the place of {name} must be one segment, and not empty. */
static bool matches(const char *pattern, struct bytes path, struct bytes *name) {
    const char *at = strchr(pattern, '{'), *end = at ? strchr(at, '}') : NULL;
    *name = (struct bytes){0};
    if (!end)
        return bytes_equal(path, bytes_of(pattern));
    struct bytes before = {pattern, (size_t)(at - pattern)};
    struct bytes after = bytes_of(end + 1);
    if (path.len <= before.len + after.len || !bytes_starts(path, before) ||
        !bytes_equal((struct bytes){path.at + path.len - after.len, after.len}, after))
        return false;
    *name = (struct bytes){path.at + before.len, path.len - before.len - after.len};
    return !memchr(name->at, '/', name->len);
}

static bool method_fits(enum http_method method, enum http_method wanted) {
    return method == wanted || (method == HTTP_HEAD && wanted == HTTP_GET);
}

/* NULL: no path is like that, or *allowed has the methods that it knows. */
static const struct route *find_route(const struct request *r, struct bytes *name,
                                      unsigned *allowed) {
    *allowed = 0;
    for (const struct route *route = api_routes; route->pattern; route++) {
        if (!matches(route->pattern, r->path, name))
            continue;
        if (method_fits(r->head->method, route->method))
            return route;
        *allowed |= 1u << route->method;
        if (route->method == HTTP_GET)
            *allowed |= 1u << HTTP_HEAD;
    }
    return NULL;
}

static void wrong_method(struct response *a, unsigned allowed) {
    const char *comma = "";
    buf_literal(&a->fields, "Allow: ");
    for (int m = HTTP_GET; m < HTTP_METHODS; m++) {
        if (allowed >> m & 1) {
            buf_printf(&a->fields, "%s%s", comma, http_method_name((enum http_method)m));
            comma = ", ";
        }
    }
    buf_literal(&a->fields, "\r\n");
    problem(a, 405, "method_not_allowed", "this path knows other methods only; see Allow");
}

/* ---- the target ------------------------------------------------------------------ */

/* Origin form, or absolute form, which every server must take and whose
 * authority counts instead of Host (RFC 9112 section 3.2.2). */
static bool split_target(struct request *r) {
    struct bytes target = r->head->target;
    r->authority = request_field(r, HTTP_HOST);
    if (target.len > 7 && !strncasecmp(target.at, "http://", 7)) {
        struct bytes rest = {target.at + 7, target.len - 7};
        const char *slash = memchr(rest.at, '/', rest.len);
        if (!slash)
            return false;
        r->authority = (struct bytes){rest.at, (size_t)(slash - rest.at)};
        target = (struct bytes){slash, rest.len - r->authority.len};
    }
    if (!target.len || target.at[0] != '/')
        return false;
    const char *mark = memchr(target.at, '?', target.len);
    r->path = (struct bytes){target.at, mark ? (size_t)(mark - target.at) : target.len};
    if (mark)
        r->query = (struct bytes){mark + 1, target.len - r->path.len - 1};
    return true;
}

/* A browser, where somebody can be asked for the token: the page is nobody's
 * secret, and shows nothing until it has it. */
static bool wants_page(const struct request *r) {
    return accept_quality(request_field(r, HTTP_ACCEPT), BYTES("text/html")) > 0;
}

void api_handle(struct request *r, struct response *a) {
    struct bytes name;
    unsigned allowed;
    if (!split_target(r)) {
        problem(a, 400, "bad_target", "the target is not a path");
        return;
    }
    const struct route *route = find_route(r, &name, &allowed);
    if (!route) {
        if (allowed)
            wrong_method(a, allowed);
        else
            problem(a, 404, "not_found", "there is no such path; the list is in the reference");
        return;
    }
    if (!auth_permits(r, route->access, a)) {
        if (route->access == ACCESS_PAGE && a->status == 401 && wants_page(r))
            page_write(a);
        return;
    }
    if (route->access == ACCESS_CHANGE && r->admin->holds_changes) {
        problem(a, 409, "upgrading", "another process takes over: ask again in a moment");
        return;
    }
    if (!percent_decode(name, r->name, sizeof r->name)) {
        problem(a, 400, "bad_name", "the name in the path is not well-formed");
        return;
    }
    records_listen(r->admin->records);
    route->handle(r, a);
}
