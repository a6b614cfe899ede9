/* window.h - the last so many calls, or the last so much time, of one breaker.
 *
 * A window answers three numbers: how many calls it holds, how many of them
 * failed, how many were slow. Plain successes are not told to it one by one:
 * the breaker counts them elsewhere without a lock, and passes the running
 * total `successes` to every function here; the window works with differences.
 * So whoever calls must pass totals that never go down.
 *
 * Counts of calls: the window remembers at which position (calls since it was
 * cleared) each failure and each slow call stood. Exact for any size.
 * Time: ten buckets of a tenth each. Successes since the present bucket began
 * are attributed to it when it ends, so it is exact to the tenth.
 *
 * Threading: the breaker's lock. Memory: init and move allocate. */
#ifndef SWG_ENGINE_WINDOW_H
#define SWG_ENGINE_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

#include <switchgear/error.h>

enum { SWG__BUCKETS = 10 };

struct swg__tally {
    uint64_t calls, failures, slow;
};

/* Positions in ascending order, the newest `capacity` of them. */
struct swg__positions {
    uint64_t *at;
    uint32_t capacity, first, count;
};

/* A tenth of a window of time. Small, for there are ten in every breaker: more
 * than four billion failures in one are counted as that many. */
struct swg__bucket {
    uint64_t calls;
    uint32_t failures, slow;
};

struct swg__window {
    uint32_t calls_max; /* how many calls; 0: time */
    uint32_t present;   /* of time: the bucket that runs */
    uint64_t base;      /* `successes` when the window was cleared, or its bucket began */
    union {
        struct {             /* of calls */
            uint64_t others; /* calls since clear that were no plain successes */
            struct swg__positions failures, slow;
        };
        struct {                       /* of time */
            uint64_t width_ns, end_ns; /* of the present bucket */
            struct swg__bucket buckets[SWG__BUCKETS];
        };
    };
};

/* `calls_max` 0: a window of `window_ns`. Without `with_slow` slow calls are
 * not kept in a window of calls. On SWG_ERR_NOMEM nothing is to be freed. */
enum swg_error swg__window_init(struct swg__window *, uint32_t calls_max, uint64_t window_ns,
                                bool with_slow, uint64_t successes, uint64_t now_ns);
void swg__window_free(struct swg__window *);
void swg__window_clear(struct swg__window *, uint64_t successes, uint64_t now_ns);

/* Takes into `to`, just made, what of `from` fits: nothing if they are of
 * different kinds. `from` stays valid. */
void swg__window_move(struct swg__window *to, const struct swg__window *from, uint64_t successes,
                      uint64_t now_ns);

/* Lets go what is too old; to be called before a result is added. `successes`
 * without this result. */
void swg__window_settle(struct swg__window *, uint64_t successes, uint64_t now_ns);

/* Adds a result. A plain success adds {0, 0, 0} and is in `successes`; a slow
 * success {0, 0, 1} alike; a failure adds {1, 1, 0}. Each number is 0 or 1. */
void swg__window_add(struct swg__window *, uint64_t successes, struct swg__tally);

/* What it holds now; changes nothing. */
struct swg__tally swg__window_read(const struct swg__window *, uint64_t successes, uint64_t now_ns);

/* Until when a plain success needs not be told: the end of the present
 * bucket; SWG_NEVER in windows of calls. */
uint64_t swg__window_end_ns(const struct swg__window *);

void swg__window_check(const struct swg__window *, uint64_t successes);

#endif
