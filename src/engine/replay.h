/* replay.h - which queued write goes to its service next, and how fast.
 *
 * Writes that could not be delivered wait in lanes. Within a lane they go in
 * the order they came, one after the other: the next one only when the one
 * before it has succeeded or is given up. Lanes go side by side, the oldest
 * write first.
 *
 *   add ─▶ lane ─▶ next ─▶ out ─▶ result ─▶ GONE
 *            ▲                       ├───▶ DEAD      its own fault
 *            └──────── AGAIN ────────┘     after a pause, which grows
 *
 * How fast. As many requests are out at once as the window allows. The window
 * starts at one and doubles each round, until answers take longer than they did
 * or the service refuses; from then on it keeps a few requests waiting at the
 * service and no more (the idea of TCP Vegas, Brakmo and Peterson 1995: with a
 * window w, and the shortest mean time of a round known, w * (1 - shortest /
 * mean) are waiting). A refusal (429, 503) takes a tenth of it, a failure half,
 * at most once a round. So a backlog finds and uses what the service has to
 * spare, while other requests meet a short queue at most. While the service's
 * breaker lets nothing through, nothing goes; when it may be tried, one goes: a
 * write that may be repeated is a good probe.
 *
 * Whose fault. An answer that refuses the write itself (most of 4xx) makes it
 * dead at once. A failure never does while the service is failing for others too;
 * only when it has failed `blame_max` times, and between each time and the
 * next the service has answered others well, is it the write's own.
 *
 * Threading: the caller's: one thread at a time. Memory: the caller's, no
 * allocation; lanes and writes are embedded in its objects. */
#ifndef SWG_ENGINE_REPLAY_H
#define SWG_ENGINE_REPLAY_H

#include <stdbool.h>
#include <stdint.h>

#include <switchgear/time.h>

#include "base/heap.h"
#include "base/list.h"

struct swg__replay_options {
    uint32_t window_max; /* out at once; default 64 */
    uint64_t base_ns;    /* pause of a lane after a failure, doubled each time; default 1 s */
    uint64_t cap_ns;     /* its longest; default 100 s */
    uint32_t blame_max;  /* default 8 */
};

/* Zeroed by the caller before its first write. */
struct swg__replay_lane {
    struct list writes; /* in order; those that are out come first */
    struct heap_node order;
    uint32_t count, out; /* writes; how many of them are out */
    uint32_t failures;   /* in a row */
    uint64_t pause_ns;   /* to be made when nothing of it is out any more; 0: none */
    uint8_t place;
};

/* Zeroed by the caller before it is added. */
struct swg__replay_write {
    struct list link;
    struct swg__replay_lane *lane;
    struct heap_node expiry;
    uint64_t sequence, expires_ns, sent_ns;
    uint64_t proof;  /* what the service had answered well when it last failed */
    uint32_t round;  /* of the window in which it was sent */
    uint32_t blamed; /* failures while the service was well */
    bool out, counted;
};

struct swg__replay {
    struct swg__replay_options o;
    struct heap ready, waiting; /* lanes, by sequence of their next write; by time */
    struct heap batch;          /* lanes with writes in the request that is being filled */
    struct heap expiries;
    uint64_t random, successes, queued;
    uint32_t out; /* requests */
    uint64_t pause_until_ns;
    /* the window */
    uint32_t window, round, round_left, cut_round;
    uint32_t timed;        /* good answers of this round */
    uint64_t timed_ns;     /* their times, together */
    bool starting, filled; /* it still doubles; it was full in this round */
    uint64_t shortest_ns, shortest_next_ns, shortest_until_ns;
};

/* What the service's breaker would say. */
enum swg__replay_gate { SWG__GATE_OPEN, SWG__GATE_PROBE, SWG__GATE_SHUT };

enum swg__replay_result {
    SWG__REPLAY_DELIVERED,
    SWG__REPLAY_FAILED,   /* no answer, or 5xx */
    SWG__REPLAY_OVERLOAD, /* 429, 503: asked to slow down */
    SWG__REPLAY_REFUSED,  /* the write itself is not acceptable */
    SWG__REPLAY_NOT_SENT, /* we did not try after all: nobody's fault */
};

enum swg__replay_fate { SWG__REPLAY_GONE, SWG__REPLAY_AGAIN, SWG__REPLAY_DEAD };

/* Zero options are defaults; `o` may be NULL. */
void swg__replay_init(struct swg__replay *, const struct swg__replay_options *, uint64_t seed);

/* `sequence` is larger than all in the lane. expires_ns: SWG_NEVER. */
void swg__replay_add(struct swg__replay *, struct swg__replay_lane *, struct swg__replay_write *,
                     uint64_t sequence, uint64_t expires_ns, uint64_t now_ns);
/* Takes out a write that is not out: dropped by hand. */
void swg__replay_remove(struct swg__replay *, struct swg__replay_write *, uint64_t now_ns);
/* A write whose time is over and that is not out, taken out; NULL: none. */
struct swg__replay_write *swg__replay_expired(struct swg__replay *, uint64_t now_ns);

/* The next write, which is out from now on, or NULL; *wake_ns: when to ask
 * again if nothing else happens. Ask until it says NULL. */
struct swg__replay_write *swg__replay_next(struct swg__replay *, enum swg__replay_gate,
                                           uint64_t now_ns, uint64_t *wake_ns);
/* One more for the request that next() began, where one takes several: the oldest
 * of those that may go, also of lanes that are in it already; NULL: none. It does
 * not count in the window. */
struct swg__replay_write *swg__replay_more(struct swg__replay *, uint64_t now_ns);

/* How it went. `retry_after_ns`: the service's wish (0: none). After GONE and DEAD
 * the write is the caller's. */
enum swg__replay_fate swg__replay_result(struct swg__replay *, struct swg__replay_write *,
                                         enum swg__replay_result, uint64_t retry_after_ns,
                                         uint64_t now_ns);
/* The service has answered somebody else well, or has refused somebody (429, 503):
 * live requests come first, so the window loses a fifth. */
void swg__replay_service_is_well(struct swg__replay *);
void swg__replay_service_is_busy(struct swg__replay *);
/* Writes in lanes; how many of them are out. */
uint64_t swg__replay_queued(const struct swg__replay *);
uint64_t swg__replay_out(const struct swg__replay *);
/* Whether a new write for this lane must wait behind others. */
bool swg__replay_is_behind(const struct swg__replay_lane *);
/* Aborts if an invariant does not hold; for tests. */
void swg__replay_check(const struct swg__replay *);

#endif
