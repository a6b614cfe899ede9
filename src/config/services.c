/* services.c - the defaults, and the services that inherit from them.
 *
 * Inheritance is by key, not by block: a service that names breaker.open keeps
 * every other key of the inherited breaker. One exception, so that nobody gets
 * a rule that he did not ask for: as soon as a block names any trip rule
 * (consecutive, failures, failure_rate, slow_rate), the inherited trip rules
 * are gone. */
#include <string.h>

#include "config/address.h"
#include "config/fill.h"
#include "config/print.h"
#include "config/types.h"

enum { SERVICE_NAME_MAX = 64, DEPENDS_MAX = 64 };

static void fill_policy(struct fill *, const struct node *, struct draft *);
static void fill_service(struct fill *, const struct node_entry *, struct draft *);
static void finish(struct fill *, struct draft *);
static void finish_rate(struct fill *, struct draft *);
static struct swg_tier_options tier_policy(const struct tier_options *o) {
    struct swg_tier_options t = {.share_percent = o->share_percent, .floor_ns = o->floor_ns};
    switch (o->kind) {
    case TIER_SERVICE:
        t.asks_again = true;
        break;
    case TIER_SQL:
        break;
    case TIER_QUEUE:
        t.for_writes_only = true;
        break;
    case TIER_STALE:
    case TIER_STATIC:
        t.instant = true;
        break;
    }
    return t;
}

static void finish_lists(struct fill *, struct draft *);
static const char *finish_message(struct fill *, const char *message, const char *name);
static void finish_tiers(struct fill *, struct service_options *);

/* ---- the blocks -------------------------------------------------------- */

/* Taken down only: services need the defaults, routes the services, in
 * whatever order the file has them. */
static bool read_defaults(struct fill *f, const struct directive *d, const struct node *n,
                          void *base) {
    f->defaults = n;
    return true;
}

static bool read_services(struct fill *f, const struct directive *d, const struct node *n,
                          void *base) {
    f->services = n;
    return true;
}

static void write_defaults(struct json_out *out, const struct directive *d, const char *key,
                           const void *base) {
}

static void write_services(struct json_out *out, const struct directive *d, const char *key,
                           const void *base) {
    const struct gateway_options *o = base;
    json_key_object(out, key);
    for (uint32_t i = 0; i < o->service_count; i++) {
        json_key_object(out, o->services[i].name);
        print_scope(out, "services.*", &o->services[i]);
        json_object_end(out);
    }
    json_object_end(out);
}

const struct directive_type type_defaults = {"policy", "a mapping", read_defaults, write_defaults};
const struct directive_type type_services = {"mapping of name to service", "a mapping",
                                             read_services, write_services};

void fill_policies(struct fill *f) {
    size_t path = fill_enter(f, "defaults");
    f->named = &f->base.named;
    fill_defaults(f, "services.*", &f->base.options);
    f->in_defaults = true;
    if (f->defaults)
        fill_policy(f, f->defaults, &f->base);
    f->in_defaults = false;
    fill_leave(f, path);
    if (!f->services)
        return;
    path = fill_enter(f, "services");
    if (f->services->kind != NODE_MAP || f->services->count == 0) {
        fill_wrong_but(f, f->services, "a mapping with at least one service", NULL);
    } else if (f->services->count > SERVICES_MAX) {
        fill_too_many(f, f->services, "at most 1000 services");
    } else {
        f->drafts = fill_scratch(f, f->services->count, sizeof *f->drafts);
        for (const struct node_entry *e = f->services->first; f->drafts && e && !f->starved;
             e = e->next)
            fill_service(f, e, &f->drafts[f->draft_count++]);
    }
    fill_leave(f, path);
}

static void fill_service(struct fill *f, const struct node_entry *e, struct draft *draft) {
    bool good = name_is_good(e->key->text);
    char shown[SHOW_SIZE];
    size_t path = fill_enter(f, ".%s", good ? e->key->text.at : "?"); /* messages stay readable */
    *draft = f->base;
    draft->key = e->key;
    draft->options.name = good ? fill_copy(f, e->key->text) : "?";
    if (!good)
        report_error(f->report, e->key,
                     "letters, digits, '-', '_' and '.', at most 64, a letter or digit first", NULL,
                     "%s is not a service name", report_show(shown, e->key->text));
    fill_policy(f, e->value, draft);
    finish(f, draft);
    fill_leave(f, path);
}

static void fill_policy(struct fill *f, const struct node *n, struct draft *draft) {
    f->named = &draft->named;
    fill_trip_rules(n, "services.*.breaker", draft);
    fill_map(f, "services.*", n, &draft->options);
}

/* Names stand in metrics, in paths of the admin API and in header fields. */
bool name_is_good(struct bytes name) {
    for (size_t i = 0; i < name.len; i++) {
        char c = name.at[i];
        bool plain = ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || (c >= '0' && c <= '9');
        if (!plain && (i == 0 || (c != '-' && c != '_' && c != '.')))
            return false;
    }
    return name.len > 0 && name.len <= SERVICE_NAME_MAX;
}

static const struct directive *key_of(const char *scope, const char *key) {
    char path[FILL_PATH_MAX];
    snprintf(path, sizeof path, "%s.%s", scope, key);
    return directive_at(path);
}

void fill_trip_rules(const struct node *policy, const char *scope, struct draft *draft) {
    static const char *const rules[] = {"consecutive", "failures", "failure_rate", "slow_rate"};
    const struct node *breaker = node_get(policy, "breaker");
    bool named = false;
    for (int i = 0; i < 4; i++)
        named = named || (breaker && node_get(breaker, rules[i]));
    for (int i = 0; named && i < 4; i++) {
        const struct directive *d = key_of(scope, rules[i]);
        field_set(d, &draft->options, 0);
        draft->named.at[directive_index(d)] = NULL;
    }
}

/* ---- endpoints --------------------------------------------------------- */

static const char *const url_expected[] = {
    [URL_NO_SCHEME] = "http://host:port, tcp://host:port or unix:/path",
    [URL_OTHER_SCHEME] = "http://, tcp:// or unix:",
    [URL_USERINFO] = "no user and password in it",
    [URL_QUERY] = "no '?' and '#' in it",
    [URL_HOST] = "a host name or address, and a port from 1 to 65535",
    [URL_PATH] = "a path of at most 107 bytes, without '..' and spaces",
    [URL_TCP] = "tcp://host:port and nothing behind it",
};

static bool read_url(struct fill *f, const struct directive *d, const struct node *n, void *base) {
    struct endpoint_options *e = base;
    struct bytes text;
    struct url url;
    char guess[SHOW_SIZE];
    if (!fill_text(f, d, n, &text))
        return false;
    enum url_problem problem = url_read(text, &url);
    if (problem == URL_LATER_SCHEME) {
        const char *colon = memchr(text.at, ':', text.len);
        snprintf(guess, sizeof guess, "%.*s", (int)(colon - text.at), text.at);
        return fill_later(f, n, guess);
    }
    if (problem) {
        struct address plain;
        bool missing = problem == URL_NO_SCHEME && address_read(text, &plain);
        snprintf(guess, sizeof guess, "http://%.*s", (int)text.len, text.at);
        return fill_wrong_but(f, n, url_expected[problem], missing ? guess : NULL);
    }
    const struct address *a = &url.address;
    e->name = fill_copy(f, text);
    e->scheme = a->unix_path.len ? SCHEME_UNIX : url.tcp ? SCHEME_TCP : SCHEME_HTTP;
    e->unix_path = a->unix_path.len ? fill_copy(f, a->unix_path) : NULL;
    e->host = a->unix_path.len ? NULL : fill_copy(f, a->host);
    e->port = a->port;
    e->base_path = fill_copy(f, url.base_path);
    snprintf(guess, sizeof guess, a->ipv6 ? "[%s]" : "%s", e->host ? e->host : "localhost");
    if (e->host && a->port != 80)
        snprintf(guess + strlen(guess), sizeof guess - strlen(guess), ":%u", a->port);
    e->authority = fill_copy(f, bytes_of(guess));
    return true;
}

static void write_url(struct json_out *out, const struct directive *d, const char *key,
                      const void *base) {
    json_key_string(out, key, ((const struct endpoint_options *)base)->name);
}

const struct directive_type type_url = {
    "URL", "http://host:port/base, tcp://host:port or unix:/path", read_url, write_url};

static void fill_endpoint(struct fill *f, const struct node *n, struct endpoint_options *all,
                          uint32_t index) {
    struct endpoint_options *e = &all[index];
    struct named *outer = f->named;
    struct named named = {{NULL}};
    f->named = &named;
    fill_defaults(f, "services.*.endpoints[]", e);
    if (n->kind == NODE_SCALAR)
        read_url(f, directive_at("services.*.endpoints[].url"), n, e);
    else
        fill_map(f, "services.*.endpoints[]", n, e);
    f->named = outer;
    for (uint32_t i = 0; e->name && i < index; i++) {
        if (all[i].name && !strcmp(all[i].name, e->name))
            report_error(f->report, n, "each endpoint once", NULL, "%s: %s is there twice", f->path,
                         e->name);
    }
}

static bool read_endpoints(struct fill *f, const struct directive *d, const struct node *n,
                           void *base) {
    struct draft *draft = base; /* options are its first member */
    if (n->kind != NODE_LIST || n->count == 0)
        return fill_wrong(f, d, n, NULL);
    if (n->count > SWG_ENDPOINTS_MAX)
        return fill_too_many(f, n, "at most 64 endpoints");
    struct endpoint_options *all = fill_alloc(f, n->count, sizeof *all);
    uint32_t i = 0;
    for (const struct node_entry *e = n->first; all && e; e = e->next, i++) {
        size_t path = fill_enter(f, "[%u]", i);
        draft->endpoint_at[i] = e->value;
        fill_endpoint(f, e->value, all, i);
        fill_leave(f, path);
    }
    draft->options.endpoints = all;
    draft->options.endpoint_count = i;
    return true;
}

static void write_endpoints(struct json_out *out, const struct directive *d, const char *key,
                            const void *base) {
    const struct service_options *s = base;
    json_key_array(out, key);
    for (uint32_t i = 0; i < s->endpoint_count; i++) {
        json_object(out);
        print_scope(out, "services.*.endpoints[]", &s->endpoints[i]);
        json_object_end(out);
    }
    json_array_end(out);
}

const struct directive_type type_endpoints = {"list of URLs, or of {url, weight}",
                                              "a list such as [http://127.0.0.1:8001]",
                                              read_endpoints, write_endpoints};

/* ---- depends_on -------------------------------------------------------- */

static const char depends_scope[] = "services.*.depends_on[]";

static void fill_dependency(struct fill *f, const struct node *n, struct dependency_options *o) {
    struct named *outer = f->named;
    struct named named = {{NULL}};
    f->named = &named;
    fill_defaults(f, depends_scope, o);
    if (n->kind == NODE_MAP)
        fill_map(f, depends_scope, n, o);
    else
        directive_at("services.*.depends_on[].service")
            ->type->read(f, directive_at("services.*.depends_on[].service"), n, o);
    f->named = outer;
}

static bool read_depends(struct fill *f, const struct directive *d, const struct node *n,
                         void *base) {
    struct draft *draft = base;
    uint32_t count = items_count(n), i = 0;
    if (n->kind == NODE_MAP || count > DEPENDS_MAX)
        return fill_wrong(f, d, n, NULL);
    struct dependency_options *all = fill_alloc(f, count, sizeof *all);
    const struct node **at = fill_scratch(f, count, sizeof *at);
    struct items items = items_of(n);
    const struct node *item;
    while (all && at && (item = items_next(&items)) != NULL) {
        at[i] = item;
        fill_dependency(f, item, &all[i]);
        i += all[i].service != NULL; /* what is wrong has been reported */
    }
    draft->options.depends_on = all;
    draft->options.depends_count = i;
    draft->depends_at = at;
    return true;
}

static void write_depends(struct json_out *out, const struct directive *d, const char *key,
                          const void *base) {
    const struct service_options *s = base;
    json_key_array(out, key);
    for (uint32_t i = 0; i < s->depends_count; i++) {
        if (!s->depends_on[i].soft) {
            json_string(out, s->depends_on[i].service);
            continue;
        }
        json_object(out);
        print_scope(out, depends_scope, &s->depends_on[i]);
        json_object_end(out);
    }
    json_array_end(out);
}

const struct directive_type type_depends = {"list of services, or of {service, soft}",
                                            "a list of services", read_depends, write_depends};

/* ---- what follows from what was filled --------------------------------- */

static void finish(struct fill *f, struct draft *draft) {
    struct service_options *s = &draft->options;
    finish_breaker(f, draft, "services.*.breaker", &s->policy.breaker);
    fill_shadow(f, draft);
    finish_rate(f, draft);
    finish_lists(f, draft);
    finish_health(f, draft);
    s->policy.cache = s->cache.enabled;
    s->policy.breaker.stay_open = f->options->resilience.manual_recovery;
    s->message_open = finish_message(f, s->message_open, s->name);
    s->message_timeout = finish_message(f, s->message_timeout, s->name);
    s->message_read_only = finish_message(f, s->message_read_only, s->name);
    s->message_emergency = finish_message(f, s->message_emergency, s->name);
    finish_tiers(f, s);
}

/* Where a key of the breaker was named; NULL: nowhere. */
static const struct node *named_in(const struct named *named, const char *scope, const char *key) {
    return named->at[directive_index(key_of(scope, key))];
}

/* Named in the service itself, not only inherited. */
static bool own(const struct fill *f, const struct draft *draft, const char *scope,
                const char *key) {
    const struct node *at = named_in(&draft->named, scope, key);
    return at && at != named_in(&f->base.named, scope, key);
}

static void finish_open(struct fill *f, struct draft *draft, const char *scope,
                        struct swg_breaker_options *b) {
    const struct node *at = named_in(&draft->named, scope, "open_max");
    if (b->open_max_ns >= b->open_ns)
        return;
    if (at && (own(f, draft, scope, "open_max") || !own(f, draft, scope, "open")))
        report_error(f->report, at, "at least the first open time", NULL,
                     "%s.breaker.open_max is less than breaker.open", f->path);
    b->open_max_ns = b->open_ns;
}

static void finish_window(struct fill *f, struct draft *draft, const char *scope,
                          struct swg_breaker_options *b) {
    if (b->window_calls && b->calls_min > b->window_calls) {
        if (own(f, draft, scope, "min_calls"))
            report_warning(f->report, named_in(&draft->named, scope, "min_calls"),
                           "at most as many as the window holds",
                           "%s.breaker.min_calls is %u, but the window holds only %u calls; rates "
                           "are judged when it is full",
                           f->path, b->calls_min, b->window_calls);
        b->calls_min = b->window_calls;
    }
    if (b->window_calls && b->failures > b->window_calls)
        report_error(f->report, named_in(&draft->named, scope, "failures"),
                     "at most as many as the window holds", NULL,
                     "%s.breaker.failures is %u, but the window holds only %u calls", f->path,
                     b->failures, b->window_calls);
}

void finish_breaker(struct fill *f, struct draft *draft, const char *scope,
                    struct swg_breaker_options *b) {
    finish_open(f, draft, scope, b);
    finish_window(f, draft, scope, b);
    if (b->slow_percent && b->slow_call_ns == SWG_OFF)
        report_error(f->report, named_in(&draft->named, scope, "slow_rate"),
                     "slow_call to tell from when on a call is slow", NULL,
                     "%s.breaker.slow_rate cannot be judged with slow_call: off", f->path);
}

static void finish_rate(struct fill *f, struct draft *draft) {
    struct swg_rate_options *r = &draft->options.policy.rate;
    const struct node *burst = named_at(&draft->named, "services.*.rate_limit.burst");
    if (!r->calls && burst)
        report_error(f->report, burst, "rate too", NULL, "%s.rate_limit.burst alone limits nothing",
                     f->path);
    if (r->calls && !r->burst) {
        unsigned __int128 second = (unsigned __int128)r->calls * SWG_SECONDS(1) / r->per_ns;
        r->burst = second ? (uint64_t)second : 1;
    }
}

static void finish_lists(struct fill *f, struct draft *draft) {
    struct service_options *s = &draft->options;
    struct swg_endpoint_options *endpoints = fill_alloc(f, s->endpoint_count, sizeof *endpoints);
    struct swg_tier_options *tiers = fill_alloc(f, s->tier_count, sizeof *tiers);
    for (uint32_t i = 0; endpoints && i < s->endpoint_count; i++)
        endpoints[i] = (struct swg_endpoint_options){s->endpoints[i].name, s->endpoints[i].weight};
    for (uint32_t i = 0; tiers && i < s->tier_count; i++)
        tiers[i] = tier_policy(&s->tiers[i]);
    s->policy.endpoints = endpoints;
    s->policy.endpoint_count = endpoints ? s->endpoint_count : 0;
    s->policy.tiers = tiers;
    s->policy.tier_count = tiers ? s->tier_count : 0;
}

/* {service} stands for the service's name, so that one inherited sentence
 * fits all. */
static const char *finish_message(struct fill *f, const char *message, const char *name) {
    static const char mark[] = "{service}";
    const char *at = message ? strstr(message, mark) : NULL;
    if (!at)
        return message ? message : "";
    struct buf text;
    char memory[4096 + SERVICE_NAME_MAX];
    buf_init_fixed(&text, memory, sizeof memory);
    buf_append(&text, message, (size_t)(at - message));
    buf_string(&text, name);
    buf_string(&text, at + sizeof mark - 1);
    return fill_copy(f, buf_view(&text));
}

/* A chain may be inherited: each service has tiers of its own. */
static void finish_tiers(struct fill *f, struct service_options *s) {
    struct tier_options *own = fill_alloc(f, s->tier_count, sizeof *own);
    for (uint32_t i = 0; own && i < s->tier_count; i++) {
        own[i] = s->tiers[i];
        if (own[i].kind == TIER_QUEUE)
            own[i].queue.message = finish_message(f, own[i].queue.message, s->name);
    }
    s->tiers = own;
    s->tier_count = own ? s->tier_count : 0;
}
