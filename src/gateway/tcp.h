/* tcp.h - connections that are passed on as they are (`protocol: tcp`).
 *
 * A session is a client's connection and one to an endpoint of the listener's
 * service. The attempt that the engine decides about is connecting; once that
 * has succeeded bytes go both ways until both sides have ended.
 *
 *   accept ─▶ CALLING ──connected──▶ PASSING ──both have ended──▶ DEAD
 *                │                      └── one has broken ─▶ CUTTING ─▶ DEAD
 *                └── refused, failed: a reset ─▶ DEAD
 *
 * True in these states
 *   CALLING   the client is not read; the kernel keeps what it sends. Its slot of
 *             the bulkhead is waited for, or a connection is being made
 *   PASSING   both streams are open; what one does not take is kept by its
 *             stream, and the other is not read meanwhile: at most one read of the
 *             loop in each direction
 *   CUTTING   one stream is left; it gets what was on its way, then a reset
 *
 * Where the service has `timeout.first_byte`, the attempt goes on: from the client's first
 * bytes being passed on to the service's first byte. A client that says nothing within a
 * second is not waited for, and the connection alone is the answer.
 *
 * What counts for the breaker: a connection that could not be made, or has no first byte in
 * time; and one that
 * the service ends within a second, by itself, without having sent a byte, though
 * the client had not ended, if it ended by a reset or took nothing: so does a
 * forwarder whose own target is away. Everything else that becomes of a
 * connection that was made is no failure.
 *
 * Whatever we end ourselves ends with a reset, so that nobody takes a part for the
 * whole; an orderly end is only ever passed on.
 *
 * Threading: the worker's. Memory: freed by the worker's reaper, when nothing on
 * the stack can look at it. */
#ifndef SWG_GATEWAY_TCP_H
#define SWG_GATEWAY_TCP_H

#include <stdatomic.h>

#include <switchgear/call.h>

#include "engine/drill.h"
#include "gateway/worker.h"

enum tcp_state { TCP_CALLING, TCP_PASSING, TCP_CUTTING, TCP_DEAD };

/* How a connection went: name, word users see, whether the log counts it as an error. */
#define TCP_RESULTS_LIST(X)                                                         \
    X(DONE, "done", false)                  /* both sides have ended */             \
    X(CLIENT_RESET, "client_reset", false)  /* the client's was reset */            \
    X(SERVICE_RESET, "service_reset", true) /* the service's was */                 \
    X(CLOSED_EARLY, "closed_early", true)   /* see above */                         \
    X(IDLE, "idle", false)                  /* nothing moved for timeout.idle */    \
    X(CUT, "cut", true)                     /* by us: the drain's time was over */  \
    X(REFUSED, "refused", true)             /* by the policy, which has a reason */ \
    X(FAILED, "failed", true)               /* no endpoint could be connected to */ \
    X(TIMED_OUT, "timed_out", true)         /* none in time */                      \
    X(LEFT, "left", false)                  /* the client went before that */       \
    X(LIMITED, "limited", true)             /* limits.connections, _per_client */

enum tcp_result {
#define X(name, word, error) TCP_##name,
    TCP_RESULTS_LIST(X)
#undef X
        TCP_RESULTS
};

struct tcp_session {
    struct io_stream client, upstream;
    struct list link; /* worker->tcp_sessions, then worker->dead_tcp_sessions */
    struct io_timer timer;
    struct io_task granted; /* a bulkhead slot came, perhaps from another thread */
    struct worker *worker;
    struct plan *plan; /* that it began on; held */
    struct service *service;
    struct swg_call call;
    uint64_t wake_ns;               /* when the call wants to be woken */
    struct swg__drill_effect drill; /* what a drill does to the attempt (drills.h) */
    uint64_t held_until_ns;         /* it does not begin before; 0: it has */
    const char *drilled;            /* the kind that hit one last; NULL: none did */
    uint64_t started_ns, connected_ns;
    uint64_t moved_ns;            /* last time a byte moved, or was seen to have been taken */
    size_t unsent_seen;           /* what a slow reader had not taken at the last look */
    uint64_t bytes_in, bytes_out; /* from the client; to it */
    struct in6_addr address;      /* the client's, v4 as ::ffff:…; zero for unix sockets */
    uint32_t listen_index;
    uint8_t state, result;
    bool client_ended, upstream_ended;
    bool upstream_first;                 /* it ended before the client did */
    bool client_paused, upstream_paused; /* not read: the other side is slower */
    bool awaited;                        /* connected, and its first byte is yet to come */
    bool over;                           /* the call has finished */
    bool grant_due;                      /* its memory waits for a slot that is on its way */
};

/* Takes over an accepted connection; on error, or where it is one too many, the
 * descriptor is closed with a reset. */
void tcp_accept(struct worker *, uint32_t listen_index, int fd, const struct sockaddr *peer);
/* Ends at once, by a reset on both sides. */
void tcp_cut(struct tcp_session *, enum tcp_result);
/* The process is draining: nobody waits for a slot or a retry any more. */
void tcp_drain(struct tcp_session *);

/* ---- tcp_relay.c: bytes, and their ends ---- */

/* The connection is the answer, or has given one: bytes go both ways, from now on if they
 * did not before. */
void tcp_pass(struct tcp_session *);
/* Time has passed while the first byte was awaited; may end the session. */
void tcp_await(struct tcp_session *);
/* When the idle limit has something to do; SWG_NEVER: never. */
uint64_t tcp_idle_due_ns(const struct tcp_session *);
/* Whether nothing has moved for too long; looks what a slow reader has taken. */
bool tcp_is_idle(struct tcp_session *);
/* What was on its way to the one that is left has gone, or never will. */
void tcp_look_at_cut(struct tcp_session *);
extern const struct io_stream_ops tcp_client_ops, tcp_upstream_ops;

/* ---- for tcp_relay.c ---- */

void tcp_set_timer(struct tcp_session *);
/* Carries out what the call said; may end the session. */
void tcp_run(struct tcp_session *, struct swg_step);
/* Tells the call how the connection ended; once. */
void tcp_tell_end(struct tcp_session *, bool whole);
/* Closes what is still open, and is done: one line of the log, counts, memory. */
void tcp_bury(struct tcp_session *, enum tcp_result);

/* ---- tcp_tally.c: what is counted, and told ---- */

/* Of one service; part of its service_metrics, so it survives reloads. */
struct tcp_tally {
    /* Any worker adds, anyone reads; relaxed: figures by themselves. */
    _Atomic uint32_t open;
    _Atomic uint64_t connected, turned_away;
    /* Made at first use: release, acquire. */
    _Atomic(struct metric_series *) results[TCP_RESULTS], bytes[2], connecting;
};

void tcp_count_began(const struct tcp_session *);
void tcp_count_connected(const struct tcp_session *);
void tcp_count_ended(const struct tcp_session *);
/* One too many for limits.connections; there is no session. */
void tcp_count_limited(const struct worker *, const struct service *);
void tcp_count_bytes(const struct tcp_session *, bool to_client, size_t);
/* One line, when it has ended. */
void tcp_log(const struct tcp_session *);
const char *tcp_result_word(enum tcp_result);

#endif
