/* tcp.c - services that take connections instead of requests, and the listeners that
 * lead to them.
 *
 * A service is one of these where its endpoints are tcp://host:port; or where all of
 * them are unix:/path and a listener with `protocol: tcp` names it. What it inherits
 * from the defaults and cannot have (a cache, fallbacks) is left out; what it says
 * itself and cannot have is an error. */
#include <string.h>

#include "config/fill.h"
#include "config/print.h"

/* A pool of connections to a database rests longer than a request takes. */
#define IDLE_DEFAULT_NS SWG_HOURS(1)

/* What only requests have. */
static const struct {
    const char *path, *instead;
} foreign[] = {
    {"services.*.cache", "no cache: a tcp service passes bytes on and knows no answers"},
    {"services.*.fallback", "no fallback: only a request can be answered by something else"},
    {"services.*.first_token", "none: a tcp service knows no streams of tokens"},
    {"services.*.token_idle", "timeout.idle: a tcp service knows no streams of tokens"},
    {"services.*.read_only", "none: a tcp service cannot tell reads from writes"},
    {"services.*.preserve_host", "none: a tcp service knows no Host field"},
    {"services.*.message", "no message: a refused connection is closed, nobody reads anything"},
    {"services.*.timeout.upgrade_idle", "timeout.idle"},
    {"services.*.timeout.keep_alive", "none: a connection is used by one client only"},
    {"services.*.retry.on", "none: connecting is what is tried again; retry.max: 0 for never"},
    {"services.*.retry.methods", "none: connecting can always be tried again"},
    {"services.*.retry.retry_after_max", "none: there is no Retry-After"},
    {"services.*.retry.body", "none: nothing is sent before the connection stands"},
};
enum { FOREIGN = sizeof foreign / sizeof foreign[0] };

static const char *const foreign_to_listeners[] = {"listen[].expose", "listen[].trust"};
enum { FOREIGN_TO_LISTENERS = 2 };

bool tcp_has_not(const struct directive *d, const void *base) {
    for (int i = 0; i < FOREIGN_TO_LISTENERS; i++) {
        if (!strcmp(d->path, foreign_to_listeners[i]))
            return ((const struct listen_options *)base)->protocol == PROTOCOL_TCP;
    }
    for (int i = 0; i < FOREIGN; i++) {
        if (!strcmp(d->path, foreign[i].path))
            return ((const struct service_options *)base)->tcp;
    }
    return false;
}

/* ---- services ------------------------------------------------------------ */

static const struct node *own_node(const struct fill *f, const struct draft *draft,
                                   const char *path) {
    const struct node *at = named_at(&draft->named, path);
    return at && at != named_at(&f->base.named, path) ? at : NULL;
}

static bool is_off(const struct node *n) {
    return n->kind == NODE_SCALAR && bytes_equal(n->text, BYTES("off"));
}

static void decide(struct fill *f, struct draft *draft) {
    struct service_options *s = &draft->options;
    const struct node *http = NULL, *tcp = NULL;
    for (uint32_t i = 0; i < s->endpoint_count; i++) {
        if (s->endpoints[i].scheme == SCHEME_TCP)
            tcp = draft->endpoint_at[i];
        else if (s->endpoints[i].scheme == SCHEME_HTTP && s->endpoints[i].name)
            http = draft->endpoint_at[i];
    }
    s->tcp = tcp != NULL;
    if (tcp && http)
        report_error(f->report, http, "tcp:// for all of them, or for none", NULL,
                     "services.%s.endpoints are of two kinds", s->name);
}

static bool is_local(const struct service_options *s) {
    for (uint32_t i = 0; i < s->endpoint_count; i++) {
        if (s->endpoints[i].scheme != SCHEME_UNIX)
            return false;
    }
    return s->endpoint_count > 0;
}

static void settle(struct fill *f, struct draft *draft) {
    struct service_options *s = &draft->options;
    for (int i = 0; i < FOREIGN; i++) {
        const struct node *at = own_node(f, draft, foreign[i].path);
        if (at && !is_off(at))
            report_error(f->report, at, foreign[i].instead, NULL,
                         "services.%s.%s has no meaning for tcp", s->name,
                         foreign[i].path + strlen("services.*."));
    }
    if (!named_at(&draft->named, "services.*.timeout.idle"))
        s->transport.idle_ns = IDLE_DEFAULT_NS;
    s->transport.first_token_ns = s->transport.token_idle_ns = SWG_OFF;
    s->policy.retry.on_connect = true;
    if (s->health.check == HEALTH_CHECK_AUTO)
        s->health.check = HEALTH_CHECK_TCP;
    s->cache.enabled = s->policy.cache = s->read_only.enabled = false;
    s->tier_count = s->policy.tier_count = 0;
}

/* ---- listeners ------------------------------------------------------------- */

static void lead(struct fill *f, const struct listen_options *l, const struct node *n) {
    const struct node *at = node_get(n, "service");
    int index = fill_service_index(f, bytes_of(l->service));
    if (index < 0) {
        fill_unknown_service(f, at, bytes_of(l->service));
        return;
    }
    struct draft *draft = &f->drafts[index];
    draft->wanted = true;
    draft->options.tcp |= is_local(&draft->options);
    if (!draft->options.tcp)
        report_error(f->report, at, "a service whose endpoints are tcp://host:port or unix:/path",
                     NULL, "%s: %s takes requests (http), not connections", f->path, l->service);
}

static void check_listen(struct fill *f, const struct listen_options *l, const struct node *n) {
    const struct node *service = node_get(n, "service");
    if (l->protocol != PROTOCOL_TCP) {
        if (service)
            report_error(f->report, service, "routes, which tell where requests go", NULL,
                         "%s.service is for protocol: tcp", f->path);
        return;
    }
    for (int i = 0; i < FOREIGN_TO_LISTENERS; i++) {
        const char *key = foreign_to_listeners[i] + strlen("listen[].");
        if (node_get(n, key))
            report_error(f->report, node_get(n, key), "none: tcp has no header fields", NULL,
                         "%s.%s has no meaning for tcp", f->path, key);
    }
    if (!service)
        report_error(f->report, n, "service: the one that its connections go to", NULL,
                     "%s has no service", f->path);
    else if (l->service && f->draft_count)
        lead(f, l, n);
}

void fill_tcp(struct fill *f) {
    uint32_t index = 0;
    for (uint32_t i = 0; i < f->draft_count; i++)
        decide(f, &f->drafts[i]);
    const struct node_entry *e = f->listens ? f->listens->first : NULL;
    for (; e && index < f->options->listen_count; e = e->next, index++) {
        size_t path = fill_enter(f, "listen[%u]", index);
        check_listen(f, &f->options->listens[index], e->value);
        fill_leave(f, path);
    }
    for (uint32_t i = 0; i < f->draft_count; i++) {
        if (f->drafts[i].options.tcp)
            settle(f, &f->drafts[i]);
    }
}

/* ---- what leads a request ----------------------------------------------------- */

bool fill_takes_requests(struct fill *f, const struct node *at, int service) {
    const struct service_options *s = &f->drafts[service].options;
    if (!s->tcp)
        return true;
    report_error(
        f->report, at,
        "a service with http:// endpoints; a listener with protocol: tcp leads to this one", NULL,
        "%s: %s takes connections (tcp), not requests", f->path, s->name);
    return false;
}

bool fill_has_http_listener(const struct fill *f) {
    for (uint32_t i = 0; i < f->options->listen_count; i++) {
        if (f->options->listens[i].protocol == PROTOCOL_HTTP)
            return true;
    }
    return f->options->listen_count == 0; /* the default is one */
}
