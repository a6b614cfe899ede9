/* read_only.c - see read_only.h. */
#include "gateway/read_only.h"

#include "gateway/exchange.h"
#include "gateway/fields.h"
#include "gateway/gateway.h"
#include "gateway/manager.h"
#include "gateway/sql_verb.h"
#include "gateway/value.h"

/* ---- the service ----------------------------------------------------------- */

struct health_of_all {
    bool any_closed, all_closed;
    bool try_due; /* an endpoint waits for a call to try it */
};

static struct health_of_all look(const struct service *s, uint64_t now_ns) {
    struct health_of_all all = {.all_closed = true};
    for (uint32_t i = 0; i < swg_policy_endpoint_count(s->policy); i++) {
        struct swg_breaker_stats b;
        swg_breaker_read(swg_policy_breaker(s->policy, i), &b, now_ns);
        bool closed = b.state == SWG_CLOSED;
        all.any_closed |= closed;
        all.all_closed &= closed;
        all.try_due |= b.manual == SWG_AUTOMATIC &&
                       (b.probe_due || (b.state == SWG_HALF_OPEN && !b.probes_out));
    }
    return all;
}

static bool is_read_only(const struct service *s, uint64_t now_ns) {
    const struct read_only_options *o = &s->options->read_only;
    if (!o->enabled || o->when == READ_ONLY_OFF)
        return false;
    if (o->when == READ_ONLY_ALWAYS)
        return true;
    struct health_of_all all = look(s, now_ns);
    if (all.try_due && !s->queue)
        return false;
    return o->when == READ_ONLY_OPEN ? !all.any_closed : !all.all_closed;
}

static bool takes_no_writes(struct exchange *x) {
    x->in_emergency = emergency_forbids_writes(x->worker->gateway);
    return x->in_emergency || is_read_only(x->service, exchange_now(x));
}

/* ---- the request ------------------------------------------------------------- */

static bool may_write(const struct exchange *x) {
    enum http_method m = x->request.method;
    return !http_method_is_safe(m) && !(x->service->options->read_only.allow >> m & 1);
}

static bool has_multipart(const struct exchange *x) {
    struct bytes type = fields_find(&x->request, HTTP_CONTENT_TYPE);
    return type.len >= 10 && !strncasecmp(type.at, "multipart/", 10);
}

/* As ClickHouse takes them: the parameter, and what the body adds to it. Data
 * beside a query (multipart) is no part of it. */
static bool statement_reads(struct exchange *x) {
    struct value_source source = {.from = VALUE_FROM_QUERY, .name = "query"};
    struct value query = value_read(x, &source);
    struct bytes body = {x->kept.at, x->kept.len};
    if (x->kept_dropped || !x->upload_done || fields_find(&x->request, HTTP_CONTENT_ENCODING).len)
        return false;
    if (query.kind == VALUE_MISSING)
        return sql_only_reads(body);
    if (!body.len || has_multipart(x))
        return sql_only_reads(query.text);
    char *both = arena_alloc(&x->arena, query.text.len + 1 + body.len);
    if (!both)
        return false;
    memcpy(both, query.text.at, query.text.len);
    both[query.text.len] = '\n';
    memcpy(both + query.text.len + 1, body.at, body.len);
    return sql_only_reads((struct bytes){both, query.text.len + 1 + body.len});
}

bool read_only_needs_body(struct exchange *x) {
    return x->service->options->read_only.sql && !x->inner && may_write(x) && takes_no_writes(x);
}

bool read_only_refuses(struct exchange *x) {
    if (x->inner || !may_write(x) || !takes_no_writes(x))
        return false;
    return !x->service->options->read_only.sql || !statement_reads(x);
}
