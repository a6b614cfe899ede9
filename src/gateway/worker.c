/* worker.c - see worker.h. */
#include "gateway/worker.h"

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "gateway/client.h"
#include "gateway/exchange.h"
#include "gateway/gateway.h"
#include "gateway/pass_on.h"
#include "gateway/stores.h"
#include "gateway/tcp.h"
#include "gateway/upstream.h"

/* Frees what was closed in the last turn: by now nothing on the stack can
 * still look at it. */
static void reap(struct io_timer *t) {
    struct worker *w = container_of(t, struct worker, reaper);
    struct list *l;
    while ((l = list_pop_front(&w->dead_clients)))
        free(container_of(l, struct client, link));
    while ((l = list_pop_front(&w->dead_upstreams)))
        free(container_of(l, struct upstream, link));
    while ((l = list_pop_front(&w->dead_tcp_sessions)))
        free(container_of(l, struct tcp_session, link));
}

/* Where a worker's numbers begin. Beginnings that lie a multiple of the step of
 * worker_random() apart would give each worker the numbers of its neighbour. */
static uint64_t stream_of(uint64_t seed, uint32_t index) {
    uint64_t z = seed ^ (index + 1) * 0xd1342543de82ef95u;
    z = (z ^ (z >> 32)) * 0xdaba0b6eb09322e3u;
    z = (z ^ (z >> 32)) * 0xdaba0b6eb09322e3u;
    return z ^ (z >> 32);
}

struct worker *worker_create(struct gateway *g, uint32_t index, struct io *io) {
    struct worker *w = calloc(1, sizeof *w);
    if (!w)
        return NULL;
    w->scratch = malloc(WORKER_SCRATCH);
    w->request_fields = calloc(WORKER_FIELDS, sizeof *w->request_fields);
    w->response_fields = calloc(WORKER_FIELDS, sizeof *w->response_fields);
    if (!w->scratch || !w->request_fields || !w->response_fields) {
        free(w->scratch);
        free(w->request_fields);
        free(w->response_fields);
        free(w);
        return NULL;
    }
    w->io = io;
    w->gateway = g;
    w->index = index;
    list_init(&w->clients);
    list_init(&w->exchanges);
    list_init(&w->tcp_sessions);
    list_init(&w->dead_tcp_sessions);
    list_init(&w->idle_upstreams);
    list_init(&w->free_exchanges);
    list_init(&w->dead_clients);
    list_init(&w->dead_upstreams);
    io_timer_init(&w->reaper, reap);
    w->random = stream_of(g->seed, index);
    w->plan = gateway_plan(g);
    if (stores_attach(w) < 0) {
        worker_destroy(w);
        return NULL;
    }
    return w;
}

void worker_destroy(struct worker *w) {
    if (!w)
        return;
    worker_abort_all(w);
    upstream_close_parked(w, NULL);
    stores_detach(w);
    if (w->passing)
        io_timer_clear(w->io, &w->pass_timer);
    io_timer_clear(w->io, &w->reaper);
    reap(&w->reaper);
    struct list *l;
    while ((l = list_pop_front(&w->free_exchanges)))
        free(container_of(l, struct exchange, link));
    plan_release(w->plan);
    free(w->scratch);
    free(w->request_fields);
    free(w->response_fields);
    free(w);
}

void worker_accept(struct worker *w, uint32_t listen_index, int fd, const struct sockaddr *peer) {
    if (w->gateway->listening->listens[listen_index].protocol == PROTOCOL_TCP)
        tcp_accept(w, listen_index, fd, peer);
    else
        client_accept(w, listen_index, fd, peer);
}

/* ---- time and chance --------------------------------------------------------- */

int64_t worker_unix_s(struct worker *w) {
    uint64_t now = io_now(w->io);
    if (!w->unix_s || now - w->unix_read_ns > SWG_MS(100)) {
        struct timespec t;
        clock_gettime(CLOCK_REALTIME_COARSE, &t);
        w->unix_read_ns = now;
        if (w->unix_s != (int64_t)t.tv_sec) {
            w->unix_s = (int64_t)t.tv_sec;
            http_date_write(w->date, w->unix_s);
        }
    }
    return w->unix_s;
}

const char *worker_date(struct worker *w) {
    worker_unix_s(w);
    return w->date;
}

/* splitmix64 (Steele, Lea, Flood 2014) */
uint64_t worker_random(struct worker *w) {
    uint64_t z = w->random += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* ---- what the control thread asks for ------------------------------------------ */

void worker_adopt(struct worker *w, struct plan *plan) {
    if (plan->generation <= w->plan->generation)
        return; /* a request has brought a newer one already */
    plan_hold(plan);
    upstream_close_parked(w, plan);
    plan_release(w->plan);
    w->plan = plan;
}

void worker_catch_up(struct worker *w) {
    struct gateway *g = w->gateway;
    if (atomic_load_explicit(&g->generation, memory_order_acquire) == w->plan->generation)
        return;
    struct plan *plan = gateway_plan(g);
    worker_adopt(w, plan);
    plan_release(plan);
}

static bool is_idle(const struct client *c) {
    return c->state == CLIENT_IDLE && !io_pending(&c->stream) && !client_will_pass(c);
}

void worker_drain(struct worker *w, bool close_idle) {
    struct list *next;
    w->draining = true;
    w->closing |= close_idle;
    /* at an upgrade what waits for its next attempt gets it */
    for (struct list *l = w->exchanges.next; !w->passing && l != &w->exchanges; l = next) {
        next = l->next;
        struct exchange *x = container_of(l, struct exchange, link);
        if (x->leg && !x->leg->over && x->answer == ANSWER_NONE)
            leg_run(x->leg, swg_call_on_shutdown(&x->leg->call, io_now(w->io)));
    }
    for (struct list *l = w->tcp_sessions.next; !w->passing && l != &w->tcp_sessions; l = next) {
        next = l->next;
        tcp_drain(container_of(l, struct tcp_session, link));
    }
    for (struct list *l = w->clients.next; close_idle && l != &w->clients; l = next) {
        next = l->next;
        struct client *c = container_of(l, struct client, link);
        if (is_idle(c))
            client_close(c);
    }
    upstream_close_parked(w, NULL);
}

void worker_abort_all(struct worker *w) {
    while (!list_empty(&w->clients))
        client_close(container_of(w->clients.next, struct client, link));
    while (!list_empty(&w->tcp_sessions))
        tcp_cut(container_of(w->tcp_sessions.next, struct tcp_session, link), TCP_CUT);
}

enum { SHED = 16 };

void worker_shed_clients(struct worker *w) {
    struct list *next;
    uint32_t left = SHED;
    for (struct list *l = w->clients.next; left && l != &w->clients; l = next) {
        next = l->next;
        struct client *c = container_of(l, struct client, link);
        if (is_idle(c) && c->served) {
            client_close(c);
            left--;
        }
    }
}

/* Idle upstream connections first: they are only a convenience. */
void worker_shed(struct worker *w) {
    if (!list_empty(&w->idle_upstreams))
        upstream_shed(w, SHED);
    else
        worker_shed_clients(w);
}
