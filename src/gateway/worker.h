/* worker.h - one event-loop thread's share of the gateway.
 *
 * Everything here belongs to the worker's own thread; other threads reach it
 * by worker_post_*() only. */
#ifndef SWG_GATEWAY_WORKER_H
#define SWG_GATEWAY_WORKER_H

#include "base/io.h"
#include "gateway/plan.h"
#include "wire/http1.h"

struct gateway;
struct exchange;
struct pass_on;
struct cache_store;

enum {
    WORKER_SCRATCH = 96 * 1024, /* a head as it is sent; larger than any that is taken in */
    WORKER_FIELDS = 1024,
};

struct worker {
    struct io *io;
    struct gateway *gateway;
    uint32_t index;
    struct plan *plan;             /* for requests that begin now */
    bool draining;                 /* the process will end: connections to upstreams are not kept */
    bool closing;                  /* soon: neither are clients */
    const struct pass_on *passing; /* clients go to the next process; NULL: they do not */
    struct io_timer pass_timer;
    struct list clients, exchanges, tcp_sessions;
    struct list idle_upstreams; /* all pools together, least recently parked first */
    struct list free_exchanges;
    uint32_t free_exchange_count;
    /* closed; their memory goes in the next turn, when nothing is on the stack */
    struct list dead_clients, dead_upstreams, dead_tcp_sessions;
    struct io_timer reaper;
    struct cache_store *stores[CACHE_STORE_KINDS]; /* NULL: there is none; see stores.h */
    uint64_t random;
    int64_t unix_s; /* wall clock, looked at once a turn at most */
    uint64_t unix_read_ns;
    char date[30];
    char *scratch;
    struct http_field *request_fields, *response_fields;
    uint64_t idle_log_ns;
    uint64_t homeless_ns; /* when it was last told that a tcp listener leads nowhere */
};

/* NULL: out of memory. */
struct worker *worker_create(struct gateway *, uint32_t index, struct io *);
/* After its loop has stopped. */
void worker_destroy(struct worker *);

/* Takes over an accepted connection (on the worker's thread); on error the
 * descriptor is closed. */
void worker_accept(struct worker *, uint32_t listen_index, int fd, const struct sockaddr *peer);

/* Seconds since 1970, and the same as HTTP-date. */
int64_t worker_unix_s(struct worker *);
const char *worker_date(struct worker *);
uint64_t worker_random(struct worker *);

/* New plan for new requests; connections to endpoints that are gone are
 * closed when idle. */
void worker_adopt(struct worker *, struct plan *);
/* The plan in force, for a request that begins: once a reload has been told as
 * done, nothing begins on the old plan, though the order is still on its way. */
void worker_catch_up(struct worker *);
/* Tells clients to close; idle ones are closed when `now`. */
void worker_drain(struct worker *, bool close_idle);
/* Ends everything at once. */
void worker_abort_all(struct worker *);
/* Descriptors have run out: closes some idle connections. */
void worker_shed(struct worker *);
/* Closes some clients that are idle after an answer, the oldest first: they
 * will come again, and others are waiting. */
void worker_shed_clients(struct worker *);

#endif
