/* server.h - the bench's upstream: endpoints that answer fast, or fail on schedule.
 *
 *   GET /health                    a health check, counted apart
 *   any /size/N                    an answer of N bytes
 *   any other                      the endpoint's answer (1 KiB)
 *
 * and on the control port
 *
 *   GET /counters                  everything counted, as JSON
 *   GET /reset                     counters to zero
 *   GET /start?at=NS               the schedules' common start (CLOCK_MONOTONIC; default now)
 *   GET /fault?endpoint=a&mode=M   at once and until mode=ok
 *
 * Threading: one thread; a signal handler may set *stop. */
#ifndef BENCH_SERVER_H
#define BENCH_SERVER_H

#include <signal.h>
#include <stdint.h>
#include <stdio.h>

#include "endpoint.h"

#define SERVER_ENDPOINTS_MAX 4

struct server_options {
    unsigned endpoints;
    uint16_t ports[SERVER_ENDPOINTS_MAX]; /* 0: a free one */
    uint16_t control_port;
    struct fault_window windows[SERVER_ENDPOINTS_MAX];
    uint64_t start_at_ns; /* 0: when told */
    size_t body;
};

struct server;

/* 0 or a negative errno; nothing is left open then. */
int server_create(struct server **out, const struct server_options *);
/* {"a": port, ..., "control": port} on one line. */
void server_ports_json(const struct server *, FILE *);
int server_run(struct server *, const volatile sig_atomic_t *stop);
void server_counters_json(struct server *, FILE *);
void server_destroy(struct server *);

#endif
