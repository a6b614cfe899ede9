/* gateway.c - see gateway.h. */
#include "gateway/gateway.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "gateway/cache.h"
#include "gateway/client.h"
#include "gateway/database.h"
#include "gateway/drills.h"
#include "gateway/history.h"
#include "gateway/manager.h"
#include "gateway/metrics.h"
#include "gateway/pass_on.h"
#include "gateway/policy_history.h"
#include "gateway/queue.h"
#include "gateway/stores.h"
#include "gateway/worker.h"
#include "observe/log.h"
#include "store/sql.h"

enum { CLIENT_SLOT_BITS = 16, CACHE_SHARDS = 16 };

static int64_t unix_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

uint64_t gateway_now(const struct gateway *g) {
    return g->clock();
}

int gateway_create(struct gateway **out, struct gateway_options *o,
                   const struct gateway_environment *e) {
    *out = NULL;
    struct gateway *g = calloc(1, sizeof *g);
    if (!g)
        return -ENOMEM;
    pthread_mutex_init(&g->plan_lock, NULL);
    g->worker_count = o->workers < GATEWAY_WORKERS_MAX ? o->workers : GATEWAY_WORKERS_MAX;
    g->clock = e->clock;
    g->events = e->events;
    g->io = e->io;
    g->metrics = e->metrics;
    g->beside = e->beside;
    g->seed = e->seed;
    g->connections_max = e->connections_max ? e->connections_max : UINT32_MAX;
    g->started_ns = e->clock();
    g->listening = gateway_options_hold(o);
    g->started_unix_ms = unix_ms();
    g->workers = calloc(g->worker_count, sizeof(struct worker *));
    g->client_rates = calloc(1u << CLIENT_SLOT_BITS, sizeof *g->client_rates);
    g->client_connections = calloc(1u << CLIENT_SLOT_BITS, sizeof *g->client_connections);
    g->counters = gateway_metrics_create(g, e->metrics);
    g->drills = drills_create(g);
    int error = g->workers && g->client_rates && g->client_connections && g->counters && g->drills
                    ? 0
                    : -ENOMEM;
    if (!error)
        error = cache_create(&g->cache, o->cache_bytes, CACHE_SHARDS);
    if (!error)
        cache_limit_entries(g->cache, o->cache_entries);
    if (!error)
        error = stores_create(&g->stores, g, o);
    if (!error)
        error = manager_create(&g->manager, g);
    if (!error)
        error = plan_create(&g->plan, g, o, NULL, g->started_ns);
    if (error) {
        gateway_destroy(g);
        return error;
    }
    atomic_init(&g->generation, g->plan->generation);
    *out = g;
    return 0;
}

void gateway_destroy(struct gateway *g) {
    if (!g)
        return;
    manager_destroy(g->manager);
    g->manager = NULL;
    plan_release(g->plan);
    queue_destroy_all(g);
    drills_destroy(g->drills);
    gateway_metrics_destroy(g->counters);
    stores_destroy(g->stores); /* gives entries back */
    if (g->cache)
        cache_destroy(g->cache);
    pthread_mutex_destroy(&g->plan_lock);
    gateway_options_release(g->listening);
    free(g->client_rates);
    free(g->client_connections);
    free(g->workers);
    free(g);
}

/* ---- the store ------------------------------------------------------------------ */

/* On the outbox's thread. */
static void tell_away(const char *why) {
    struct log_line line;
    if (!log_begin(&line, why ? LOG_ERROR : LOG_INFO,
                   why ? "the outbox's server is away: no write is queued, none is sent"
                       : "the outbox's server is back"))
        return;
    if (why)
        log_str(&line, "cause", why);
    log_end(&line);
    log_flush(); /* that thread has no loop */
}

/* Nobody else's, ever: host and process are for whoever reads the table. */
static int name_replica(struct gateway *g) {
    uint64_t random[2];
    char host[40] = "";
    if (getrandom(random, sizeof random, 0) != sizeof random)
        return -EIO;
    gethostname(host, sizeof host - 1);
    snprintf(g->replica, sizeof g->replica, "%s:%d:%016" PRIx64 "%016" PRIx64, host, (int)getpid(),
             random[0], random[1]);
    return 0;
}

static void show_store(const struct gateway_options *o, char *out, size_t size) {
    if (o->store_url)
        sql_url_show(o->store_url, out, size);
    else
        snprintf(out, size, "%s", o->store_file);
}

static int open_outbox(struct gateway *g, const struct gateway_options *o, char *why,
                       size_t why_size) {
    const struct outbox_options options = {.file = o->store_file,
                                           .url = o->store_url,
                                           .secret = o->store_secret,
                                           .beside = g->beside,
                                           .tell = o->store_url ? tell_away : NULL};
    char cause[256], shown[256];
    if (g->outbox)
        return 0;
    int error = name_replica(g);
    if (!error)
        error = outbox_open(&g->outbox, &options, cause, sizeof cause);
    show_store(o, shown, sizeof shown);
    if (error)
        snprintf(why, why_size, "the outbox %s: %s", shown, cause);
    else if (*cause)
        tell_away(cause);
    g->lease_ns = o->store_lease_ns;
    return error;
}

/* Before the plan is anybody's. */
static int open_queues(struct gateway *g, struct plan *p, char *why, size_t why_size) {
    char shown[256];
    for (uint32_t i = 0; i < p->service_count; i++) {
        struct service *s = &p->services[i];
        if (!s->queue_options)
            continue;
        int error = open_outbox(g, p->options, why, why_size);
        if (error)
            return error;
        s->queue = queue_get(g, s->options->name);
        if (!s->queue) {
            show_store(p->options, shown, sizeof shown);
            snprintf(why, why_size, "what waits for %s in %s could not be read", s->options->name,
                     shown);
            return -EIO;
        }
        queue_configure(s->queue, s->queue_options);
    }
    return 0;
}

int gateway_open_store(struct gateway *g, char *why, size_t why_size) {
    return open_queues(g, g->plan, why, why_size);
}

void gateway_close_store(struct gateway *g) {
    queue_settle_all(g);
    if (g->outbox)
        queue_give_back_all(g);
    outbox_close(g->outbox);
    g->outbox = NULL;
}

struct plan *gateway_plan(struct gateway *g) {
    pthread_mutex_lock(&g->plan_lock);
    struct plan *plan = g->plan ? plan_hold(g->plan) : NULL;
    pthread_mutex_unlock(&g->plan_lock);
    return plan;
}

/* ---- orders to the workers --------------------------------------------------- */

enum order_kind { ORDER_ADOPT, ORDER_DRAIN, ORDER_CLOSE_IDLE, ORDER_PASS_ON, ORDER_ABORT };

struct order {
    struct io_task task;
    struct worker *worker;
    enum order_kind kind;
    struct plan *plan;
    const struct pass_on *passing;
};

static void carry_out(struct io_task *task) {
    struct order *o = container_of(task, struct order, task);
    switch (o->kind) {
    case ORDER_ADOPT:
        worker_adopt(o->worker, o->plan);
        plan_release(o->plan);
        break;
    case ORDER_DRAIN:
        worker_drain(o->worker, false);
        break;
    case ORDER_CLOSE_IDLE:
        worker_drain(o->worker, true);
        break;
    case ORDER_PASS_ON:
        worker_pass_on(o->worker, o->passing);
        break;
    case ORDER_ABORT:
        worker_abort_all(o->worker);
        break;
    }
    free(o);
}

/* All orders of one command are made before the first is given, so that it
 * reaches every worker or none. */
static int order_all(struct gateway *g, enum order_kind kind, struct plan *plan,
                     const struct pass_on *passing) {
    struct order **orders = calloc(g->worker_count, sizeof(struct order *));
    bool ok = orders != NULL;
    for (uint32_t i = 0; ok && i < g->worker_count; i++)
        ok = (orders[i] = calloc(1, sizeof **orders)) != NULL;
    for (uint32_t i = 0; orders && i < g->worker_count; i++) {
        if (!ok || !g->workers[i]) {
            free(orders[i]);
            continue;
        }
        *orders[i] = (struct order){{NULL, carry_out}, g->workers[i], kind, NULL, passing};
        if (plan)
            orders[i]->plan = plan_hold(plan);
        io_post(g->workers[i]->io, &orders[i]->task);
    }
    free(orders);
    return ok ? 0 : -ENOMEM;
}

int gateway_reload(struct gateway *g, struct gateway_options *o) {
    struct plan *old = gateway_plan(g);
    struct plan *fresh;
    char why[400];
    int error = plan_create(&fresh, g, o, old, gateway_now(g));
    if (!error && (error = open_queues(g, fresh, why, sizeof why)) < 0)
        log_message(LOG_ERROR, "the reload fails: %s", why);
    if (!error)
        error = order_all(g, ORDER_ADOPT, fresh, NULL);
    if (error) {
        plan_release(fresh);
        plan_release(old);
        return error;
    }
    pthread_mutex_lock(&g->plan_lock);
    struct plan *before = g->plan;
    g->plan = fresh;
    pthread_mutex_unlock(&g->plan_lock);
    atomic_store_explicit(&g->generation, fresh->generation, memory_order_release);
    cache_resize(g->cache, o->cache_bytes);
    cache_limit_entries(g->cache, o->cache_entries);
    plan_release(before);
    plan_release(old);
    for (struct queue *q = queue_first(g); q; q = queue_next(q))
        queue_wake(q); /* its service may be another now */
    return 0;
}

void gateway_drain(struct gateway *g, bool close_idle) {
    atomic_store_explicit(&g->draining, true, memory_order_relaxed);
    order_all(g, close_idle ? ORDER_CLOSE_IDLE : ORDER_DRAIN, NULL, NULL);
}

int gateway_pass_on(struct gateway *g, const struct pass_on *passing) {
    return order_all(g, ORDER_PASS_ON, NULL, passing);
}

bool gateway_is_idle(const struct gateway *g) {
    return atomic_load_explicit(&g->clients, memory_order_relaxed) == 0;
}

void gateway_abort(struct gateway *g) {
    order_all(g, ORDER_ABORT, NULL, NULL);
}

void gateway_tick(struct gateway *g) {
    struct plan *plan = gateway_plan(g);
    for (uint32_t i = 0; plan && i < plan->service_count; i++)
        swg_policy_tick(plan->services[i].policy, gateway_now(g));
    for (uint32_t i = 0; plan && i < plan->database_count; i++)
        swg_policy_tick(plan->databases[i].policy, gateway_now(g));
    plan_release(plan);
    drills_tick(g->drills);
    manager_update(g->manager);
}

/* ---- breakers -------------------------------------------------------------------- */

/* The argument is the service's metrics, which live as long as the gateway; a
 * service of a plan does not. */
static void on_breaker(void *arg, const char *endpoint, const struct swg_breaker_event *e) {
    struct service_metrics *s = arg;
    if (e->from != e->to)
        service_metrics_state_changed(s, e->to);
    history_breaker_changed(service_metrics_gateway(s), service_metrics_name(s), endpoint, e);
    manager_wake(service_metrics_gateway(s)->manager);
}

static void on_shadow(void *arg, const char *endpoint, const struct swg_breaker_event *e) {
    struct service_metrics *s = arg;
    history_shadow_changed(service_metrics_gateway(s), service_metrics_name(s), endpoint, e);
}

void gateway_listen(struct gateway *g, struct swg_policy *policy, struct service_metrics *metrics) {
    (void)g;
    swg_policy_listen(policy, on_breaker, metrics);
    swg_policy_listen_shadow(policy, on_shadow, metrics);
}

static void command_breaker(struct swg_breaker *b, const struct gateway_command *c,
                            uint64_t now_ns) {
    switch (c->verb) {
    case GATEWAY_FORCE_OPEN:
        swg_breaker_force(b, SWG_FORCED_OPEN, c->for_ns, now_ns);
        break;
    case GATEWAY_FORCE_CLOSE:
        swg_breaker_force(b, SWG_FORCED_CLOSED, c->for_ns, now_ns);
        break;
    case GATEWAY_DISABLE:
        swg_breaker_force(b, SWG_DISABLED, c->for_ns, now_ns);
        break;
    case GATEWAY_RESET:
        swg_breaker_reset(b, now_ns);
        break;
    case GATEWAY_PROBE_NOW:
        swg_breaker_probe_now(b, now_ns);
        break;
    }
}

int gateway_control(struct gateway *g, const struct gateway_command *c) {
    struct plan *plan = gateway_plan(g);
    struct service *s = plan ? plan_service(plan, bytes_of(c->service)) : NULL;
    int found = -ENOENT;
    if (s)
        history_commanded(g, c);
    for (uint32_t i = 0; s && i < swg_policy_endpoint_count(s->policy); i++) {
        if (c->endpoint && strcmp(c->endpoint, swg_policy_endpoint_name(s->policy, i)) != 0)
            continue;
        command_breaker(swg_policy_breaker(s->policy, i), c, gateway_now(g));
        found = 0;
    }
    plan_release(plan);
    return found;
}

/* ---- what one client may --------------------------------------------------------------- */

/* Seeded, so that nobody can look for a neighbour to starve. */
static uint64_t hash_bytes(uint64_t hash, const void *data, size_t len) {
    const uint8_t *p = data;
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ p[i]) * 0x100000001b3u;
    return hash;
}

static uint32_t slot_of(uint64_t hash) {
    return (uint32_t)((hash ^ hash >> 29) * 0x9e3779b97f4a7c15u >> (64 - CLIENT_SLOT_BITS));
}

struct swg_rate_limiter *gateway_client_limiter(struct gateway *g, const struct service *s,
                                                const struct in6_addr *client) {
    uint64_t hash = hash_bytes(g->seed, s->options->name, strlen(s->options->name));
    return &g->client_rates[slot_of(hash_bytes(hash, client, sizeof *client))];
}

bool gateway_client_enter(struct gateway *g, const struct in6_addr *address, uint32_t limit) {
    uint32_t slot = slot_of(hash_bytes(g->seed, address, sizeof *address));
    uint32_t before =
        atomic_fetch_add_explicit(&g->client_connections[slot], 1, memory_order_relaxed);
    if (!limit || before < limit)
        return true;
    atomic_fetch_sub_explicit(&g->client_connections[slot], 1, memory_order_relaxed);
    return false;
}

void gateway_client_leave(struct gateway *g, const struct in6_addr *address) {
    uint32_t slot = slot_of(hash_bytes(g->seed, address, sizeof *address));
    atomic_fetch_sub_explicit(&g->client_connections[slot], 1, memory_order_relaxed);
}
