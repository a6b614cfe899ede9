/* client.h - many HTTP clients in one epoll loop.
 *
 * Three ways to load a server:
 *   closed  each connection sends its next request when it has its answer;
 *           what the server can do at most
 *   open    requests fall due on a schedule fixed before the run; one that
 *           finds no idle connection gets a new one. Times run from the due
 *           time, so a stall is charged to every request that fell due in it
 *           (no coordinated omission)
 *   idle    one request on each connection, then all are held open
 *
 * Ownership: the caller's options and stats outlive the call.
 * Threading: one thread; a signal handler may set *stop. */
#ifndef BENCH_CLIENT_H
#define BENCH_CLIENT_H

#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "load_stats.h"

struct client_options {
    struct sockaddr_in address;
    const char *host; /* for Host */
    const char *path;
    unsigned connections;     /* opened before the run starts */
    unsigned connections_max; /* open mode: at most this many */
    double rate;              /* open mode: requests a second; 0: closed mode */
    bool idle;                /* idle mode */
    unsigned at_once;         /* idle mode: requests under way at once */
    uint64_t duration_ns;     /* 0: until `requests` */
    uint64_t requests;        /* 0: until `duration_ns` */
    uint64_t warmup_ns;       /* requests due before this are not in the stats */
    uint64_t start_at_ns;     /* CLOCK_MONOTONIC; 0: at once */
    uint64_t patience_ns;     /* the client closes after this; 0: 30 s */
    unsigned post_every;      /* each n-th request is a POST; 0: none */
    unsigned post_body;       /* bytes in it */
    uint64_t first_number;    /* X-Request-Number of the first request */
};

/* Runs to the end. 0, or a negative errno where it could not start. */
int client_run(const struct client_options *, struct load_stats *,
               const volatile sig_atomic_t *stop);

#endif
