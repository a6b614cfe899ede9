/* admin.c - see admin.h: life, accepting, and the bell that wakes followers. */
#include "admin/admin.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "admin/admin_priv.h"
#include "admin/connection.h"
#include "admin/handlers.h"
#include "admin/system_json.h"
#include "config/address.h"
#include "observe/events.h"

/* ---- the bell ------------------------------------------------------------------ */

/* Any thread. Many rings before the first is answered are one. */
static void ring(void *arg) {
    struct bell *b = arg;
    if (!atomic_exchange_explicit(&b->rung, true, memory_order_acq_rel))
        io_post(b->io, &b->task);
}

static void feed_followers(struct admin *a) {
    struct list *next;
    for (struct list *l = a->connections.next; l != &a->connections; l = next) {
        struct connection *c = container_of(l, struct connection, link);
        next = l->next;
        if (c->state == STREAMING)
            follower_feed(c);
    }
}

static void on_ring(struct io_task *task) {
    struct bell *b = container_of(task, struct bell, task);
    if (!b->admin) {
        free(b);
        return;
    }
    atomic_exchange_explicit(&b->rung, false, memory_order_acq_rel);
    records_listen(b->admin->records);
    feed_followers(b->admin);
}

static struct bell *bell_create(struct admin *a) {
    struct bell *b = calloc(1, sizeof *b);
    if (!b)
        return NULL;
    b->task.run = on_ring;
    b->io = a->io;
    b->admin = a;
    atomic_init(&b->rung, false);
    events_watch(a->gateway->events, ring, b);
    return b;
}

/* The workers have ended: nobody rings any more. */
static void bell_destroy(struct admin *a) {
    events_watch(a->gateway->events, NULL, NULL);
    a->bell->admin = NULL;
    if (!atomic_load_explicit(&a->bell->rung, memory_order_acquire))
        free(a->bell);
}

/* ---- life ------------------------------------------------------------------------- */

static void on_pulse(struct io_timer *t) {
    struct admin *a = container_of(t, struct admin, pulse);
    records_sample(a->records);
    system_meter_sample(a->meter);
    io_timer_set(a->io, t, io_now(a->io) + RECORD_INTERVAL_NS);
}

static int create(struct admin *a, const struct admin_options *o) {
    if (o->token && *o->token && !(a->token = strdup(o->token)))
        return -ENOMEM;
    int error = process_metrics_create(&a->process, a->gateway->metrics);
    if (!error)
        error = system_meter_create(&a->meter, a->gateway->metrics);
    if (!error)
        error = system_disks_create(a);
    if (!error)
        error = records_create(&a->records, a->gateway);
    if (!error && !(a->bell = bell_create(a)))
        error = -ENOMEM;
    return error;
}

int admin_create(struct admin **out, struct gateway *g, struct health *health, struct io *io,
                 const struct admin_options *o, const struct admin_host *host) {
    *out = NULL;
    struct admin *a = calloc(1, sizeof *a);
    if (!a)
        return -ENOMEM;
    a->gateway = g;
    a->health = health;
    a->io = io;
    a->host = *host;
    a->loopback = address_is_loopback(bytes_of(o->host));
    list_init(&a->connections);
    io_timer_init(&a->pulse, on_pulse);
    int error = create(a, o);
    if (error) {
        admin_destroy(a);
        return error;
    }
    io_timer_set(io, &a->pulse, io_now(io) + RECORD_INTERVAL_NS);
    *out = a;
    return 0;
}

void admin_destroy(struct admin *a) {
    if (!a)
        return;
    while (!list_empty(&a->connections))
        connection_close(container_of(a->connections.next, struct connection, link));
    io_timer_clear(a->io, &a->pulse);
    if (a->bell)
        bell_destroy(a);
    records_destroy(a->records);
    disk_space_destroy(a->disks);
    system_meter_destroy(a->meter);
    process_metrics_destroy(a->process);
    if (a->token)
        explicit_bzero(a->token, strlen(a->token));
    free(a->token);
    free(a);
}

/* ---- accepting -------------------------------------------------------------------- */

/* Of those who only keep their connection open, the one who has waited longest
 * gives way. */
static void make_room(struct admin *a) {
    for (struct list *l = a->connections.next; l != &a->connections; l = l->next) {
        struct connection *c = container_of(l, struct connection, link);
        if (connection_is_idle(c)) {
            connection_close(c);
            return;
        }
    }
}

static void turn_away(int fd) {
    static const char body[] = "{\"type\":\"urn:switchgear:reason:too_many_connections\",\"title\":"
                               "\"Service Unavailable\","
                               "\"status\":503,\"reason\":\"too_many_connections\",\"detail\":"
                               "\"try again in a second\"}\n";
    char answer[1024];
    int len = snprintf(answer, sizeof answer,
                       "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\n"
                       "Content-Type: application/problem+json\r\nContent-Length: %zu\r\n\r\n%s",
                       sizeof body - 1, body);
    (void)!send(fd, answer, (size_t)len, MSG_NOSIGNAL | MSG_DONTWAIT);
    close(fd);
}

void admin_hold_changes(struct admin *a, bool hold) {
    if (a)
        a->holds_changes = hold;
}

void admin_leave(struct admin *a) {
    struct list *next;
    if (!a)
        return;
    a->holds_changes = a->has_left = true;
    for (struct list *l = a->connections.next; l != &a->connections; l = next) {
        struct connection *c = container_of(l, struct connection, link);
        next = l->next;
        if (c->state == STREAMING || connection_is_idle(c))
            connection_close(c);
        else
            c->keep_alive = false;
    }
}

void admin_accept(struct admin *a, int fd, const struct sockaddr *peer) {
    if (a->connection_count >= ADMIN_CONNECTIONS_MAX)
        make_room(a);
    if (a->connection_count >= ADMIN_CONNECTIONS_MAX || !connection_open(a, fd, peer))
        turn_away(fd);
}
