/* upstream.h - a connection to a target: from the pool or new, carrying one
 * leg's attempt at a time, and back to the pool when its answer is whole.
 *
 * Threading: the worker's. */
#ifndef SWG_GATEWAY_UPSTREAM_H
#define SWG_GATEWAY_UPSTREAM_H

#include "gateway/worker.h"

struct leg;

enum upstream_state {
    UPSTREAM_CONNECTING,
    UPSTREAM_HEAD,    /* waiting for, or in, a head */
    UPSTREAM_BODY,    /* relaying */
    UPSTREAM_WAITING, /* for the first token: what came is in `in` (token_stream.h) */
    UPSTREAM_HELD,    /* a whole head is in `in`; nothing is read */
    UPSTREAM_TUNNEL,
    UPSTREAM_PARKED, /* in the pool */
    UPSTREAM_DEAD,
};

struct upstream {
    struct io_stream stream;
    struct list link;      /* target->idle[worker], or worker->dead_upstreams */
    struct list idle;      /* worker->idle_upstreams */
    struct io_timer timer; /* end of the time in the pool */
    struct worker *worker;
    struct target *target;
    struct leg *leg;
    struct http1_body body;
    char *in; /* a part of a head, or a held answer */
    uint32_t in_len, in_size, in_seen;
    uint32_t served;
    uint64_t keep_alive_ns; /* how long it may be parked */
    uint64_t parked_ns;
    uint8_t state;
    bool reused;    /* an earlier request was answered on it */
    bool got_bytes; /* of the present answer */
    bool keep;      /* may go back to the pool after this answer */
    bool eof;
    bool paused; /* not read: the client is slower */
};

/* A parked connection, or a new one on its way; NULL with *os_error set when
 * not even that (ENETUNREACH: no address known; EMFILE …). `young_only`: not
 * one that was parked for long, whose other end may be closing. */
struct upstream *upstream_get(struct worker *, struct target *, struct leg *, bool young_only,
                              int *os_error);
/* The same on a connected socket, which is taken over: a connection that no service
 * is behind (drilling.h). It does not go to the pool. */
struct upstream *upstream_adopt(struct worker *, struct target *, struct leg *, int fd,
                                int *os_error);
/* After a whole answer: back to the pool, or closed if it cannot be reused. */
void upstream_put(struct upstream *);
void upstream_close(struct upstream *);
/* Keeps a whole head and what follows for later (UPSTREAM_HELD). False: no
 * memory. */
bool upstream_hold(struct upstream *, struct bytes head_and_rest);
/* Reads the held answer as if it came now. */
void upstream_release_held(struct upstream *);
/* What an answer says in Retry-After; 0: nothing. */
uint64_t upstream_retry_after(struct upstream *, const struct http1_head *);
/* Closes what is parked longest, at most `count`. */
void upstream_shed(struct worker *, uint32_t count);
/* Closes parked connections to targets that `plan` does not have (NULL: all). */
void upstream_close_parked(struct worker *, const struct plan *);

#endif
