/* health.c - see health.h. */
#include "gateway/health.h"

#include <errno.h>
#include <stdlib.h>

#include "base/buf.h"
#include "gateway/plan.h"
#include "wire/http1.h"

enum { HEAD_MAX = 16 * 1024, FIELDS = 128 };

/* How often a breaker is looked at whether its time to be probed has come. */
#define LOOK_NS SWG_MS(250)

struct check {
    struct list link;
    struct health *all;
    struct plan *plan; /* held: keeps the service and its options */
    struct service *service;
    uint32_t endpoint;
    struct io_stream stream;
    struct io_timer next, limit;
    struct swg_permit permit;
    bool probing; /* the permit is to be recorded */
    bool under_way;
    uint64_t due_ns, began_ns;
    struct buf in;
    struct health_reading reading;
};

struct health {
    struct gateway *gateway;
    struct io *io;
    uint64_t random;
    struct list checks;
};

static const struct io_stream_ops check_ops;

/* ---- one check ------------------------------------------------------------------ */

static struct swg_breaker *breaker_of(const struct check *c) {
    return swg_policy_breaker(c->service->policy, c->endpoint);
}

static uint64_t next_random(struct health *h) {
    h->random = h->random * 6364136223846793005u + 1442695040888963407u;
    return h->random >> 33;
}

/* A tenth more or less, so that checks of many gateways spread out. */
static uint64_t jittered(struct health *h, uint64_t ns) {
    uint64_t tenth = ns / 10 + 1;
    return ns - tenth + next_random(h) % (2 * tenth);
}

static void finish(struct check *c, enum health_state state, int status, const char *cause) {
    struct io *io = c->all->io;
    struct health_reading *r = &c->reading;
    io_close(&c->stream);
    io_timer_clear(io, &c->limit);
    buf_free(&c->in);
    c->under_way = false;
    r->state = state;
    r->status = status;
    r->cause = cause;
    r->checked_ns = io_now(io);
    r->took_ns = io_now(io) - c->began_ns;
    r->checks++;
    r->failures += state == HEALTH_BAD;
    if (c->probing)
        swg_breaker_record(breaker_of(c), &c->permit,
                           state == HEALTH_GOOD ? SWG_SUCCESS : SWG_FAILURE, 0, io_now(io));
    c->probing = false;
}

static void send_request(struct check *c) {
    const struct endpoint_options *e = &c->service->options->endpoints[c->endpoint];
    char memory[2048];
    struct buf b;
    buf_init_fixed(&b, memory, sizeof memory);
    buf_printf(&b,
               "GET %s%s HTTP/1.1\r\nHost: %s\r\nUser-Agent: switchgear-health\r\n"
               "Accept: */*\r\nConnection: close\r\n\r\n",
               e->base_path, c->service->options->health.path, e->authority);
    struct iovec iov = {b.at, b.len};
    if (b.failed || io_send(&c->stream, &iov, 1) < 0)
        finish(c, HEALTH_UNKNOWN, 0, "local");
}

static void begin(struct check *c) {
    struct io *io = c->all->io;
    struct sockaddr_storage address;
    socklen_t len;
    c->under_way = true;
    c->began_ns = io_now(io);
    c->due_ns = io_now(io) + jittered(c->all, c->service->options->health.interval_ns);
    buf_init(&c->in, HEAD_MAX);
    io_timer_set(io, &c->limit, io_now(io) + c->service->options->health.timeout_ns);
    if (!target_pick_address(c->service->targets[c->endpoint], &address, &len)) {
        finish(c, HEALTH_BAD, 0, "no_address");
        return;
    }
    io_stream_init(&c->stream, &check_ops);
    if (io_connect(io, &c->stream, (struct sockaddr *)&address, len) < 0) {
        finish(c, HEALTH_UNKNOWN, 0, "local");
        return;
    }
    io_want_data(&c->stream, true);
    send_request(c);
}

static void on_data(struct io_stream *s, const char *data, size_t len) {
    struct check *c = container_of(s, struct check, stream);
    struct http_field fields[FIELDS];
    struct http1_head head = {.fields = fields};
    const struct http1_limits limits = {HEAD_MAX, HEAD_MAX, FIELDS, 0};
    size_t used = 0;
    buf_append(&c->in, data, len);
    if (c->in.failed ||
        http1_parse_response(c->in.at, c->in.len, 0, HTTP_GET, &limits, &head, &used) != HTTP1_OK) {
        finish(c, HEALTH_BAD, 0, "garbled");
        return;
    }
    if (!used || head.status < 200)
        return;
    bool good = head.status < 400;
    finish(c, good ? HEALTH_GOOD : HEALTH_BAD, head.status, good ? "" : "status");
}

static void on_end(struct io_stream *s, enum io_end end, int os_error) {
    struct check *c = container_of(s, struct check, stream);
    (void)os_error;
    finish(c, HEALTH_BAD, 0, end == IO_END_REFUSED ? "refused" : "reset");
}

static void on_connect(struct io_stream *s) {
    (void)s;
}

static void on_drain(struct io_stream *s) {
    (void)s;
}

static const struct io_stream_ops check_ops = {
    .on_connect = on_connect, .on_data = on_data, .on_drain = on_drain, .on_end = on_end};

static void on_limit(struct io_timer *t) {
    finish(container_of(t, struct check, limit), HEALTH_BAD, 0, "timeout");
}

/* ---- when ------------------------------------------------------------------------ */

/* An open breaker whose time is over, or a half-open one, is probed as soon as
 * it admits; otherwise a check comes at its interval and only looks. */
static void on_next(struct io_timer *t) {
    struct check *c = container_of(t, struct check, next);
    struct io *io = c->all->io;
    struct swg_breaker_stats stats;
    if (!c->under_way) {
        swg_breaker_read(breaker_of(c), &stats, io_now(io));
        bool recovering =
            stats.manual == SWG_AUTOMATIC &&
            ((stats.state == SWG_OPEN && stats.probe_due) || stats.state == SWG_HALF_OPEN);
        c->probing = recovering && swg_breaker_admit(breaker_of(c), &c->permit, next_random(c->all),
                                                     io_now(io)) == SWG_ADMITTED;
        if (c->probing || io_now(io) >= c->due_ns)
            begin(c);
    }
    io_timer_set(io, t, io_now(io) + jittered(c->all, LOOK_NS));
}

/* ---- life -------------------------------------------------------------------------- */

int health_create(struct health **out, struct gateway *g, struct io *io) {
    struct health *h = calloc(1, sizeof *h);
    *out = h;
    if (!h)
        return -ENOMEM;
    h->gateway = g;
    h->io = io;
    h->random = g->seed;
    list_init(&h->checks);
    g->health = h;
    return 0;
}

static void check_free(struct check *c) {
    if (c->under_way) {
        io_close(&c->stream);
        buf_free(&c->in);
        if (c->probing)
            swg_breaker_record(breaker_of(c), &c->permit, SWG_IGNORED, 0, io_now(c->all->io));
    }
    io_timer_clear(c->all->io, &c->next);
    io_timer_clear(c->all->io, &c->limit);
    list_remove(&c->link);
    plan_release(c->plan);
    free(c);
}

static struct check *find(const struct list *list, const char *service, const char *endpoint) {
    for (struct list *l = list->next; l != list; l = l->next) {
        struct check *c = container_of(l, struct check, link);
        if (!strcmp(c->service->options->name, service) &&
            !strcmp(c->service->options->endpoints[c->endpoint].name, endpoint))
            return c;
    }
    return NULL;
}

static void add(struct health *h, const struct list *old, struct plan *plan, struct service *s,
                uint32_t endpoint) {
    struct check *c = calloc(1, sizeof *c);
    if (!c)
        return;
    c->all = h;
    c->plan = plan_hold(plan);
    c->service = s;
    c->endpoint = endpoint;
    io_stream_init(&c->stream, &check_ops);
    c->reading.cause = "";
    const struct check *before = find(old, s->options->name, s->options->endpoints[endpoint].name);
    if (before)
        c->reading = before->reading;
    io_timer_init(&c->next, on_next);
    io_timer_init(&c->limit, on_limit);
    list_push_back(&h->checks, &c->link);
    io_timer_set(h->io, &c->next, io_now(h->io) + next_random(h) % LOOK_NS);
}

void health_follow(struct health *h, struct plan *plan) {
    struct list old;
    list_init(&old);
    list_splice_back(&old, &h->checks);
    for (uint32_t i = 0; i < plan->service_count; i++) {
        struct service *s = &plan->services[i];
        for (uint32_t e = 0; s->options->health.enabled && e < s->target_count; e++)
            add(h, &old, plan, s, e);
    }
    while (!list_empty(&old))
        check_free(container_of(old.next, struct check, link));
}

void health_destroy(struct health *h) {
    if (!h)
        return;
    while (!list_empty(&h->checks))
        check_free(container_of(h->checks.next, struct check, link));
    h->gateway->health = NULL;
    free(h);
}

void health_read(const struct health *h, const struct service *s, uint32_t endpoint,
                 struct health_reading *out) {
    const struct check *c =
        find(&h->checks, s->options->name, s->options->endpoints[endpoint].name);
    *out = c ? c->reading : (struct health_reading){.cause = ""};
}

void health_probe_now(struct health *h) {
    for (struct list *l = h->checks.next; l != &h->checks; l = l->next) {
        struct check *c = container_of(l, struct check, link);
        c->due_ns = 0;
        io_timer_set(h->io, &c->next, io_now(h->io));
    }
}
