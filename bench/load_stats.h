/* load_stats.h - what a load run saw, and how it is told.
 *
 * One call for each request that ended, however it ended. A request's second
 * in the timeline is the one it was *due* in, not the one it ended in.
 * Threading: one thread.  Units: nanoseconds inside, milliseconds or
 * microseconds in the reports, each name saying which. */
#ifndef BENCH_LOAD_STATS_H
#define BENCH_LOAD_STATS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "histogram.h"

/* kind, name in the report */
#define LOAD_ENDS(X)                                                                 \
    X(ANSWERED, "answered")                                                          \
    X(CONNECT_FAILED, "connect_failed")                                              \
    X(RESET, "reset")           /* the connection was reset */                       \
    X(NO_ANSWER, "no_answer")   /* closed in order before the answer's first byte */ \
    X(TRUNCATED, "truncated")   /* closed in the middle of the answer */             \
    X(MALFORMED, "malformed")   /* not HTTP, or bytes after the end of the answer */ \
    X(GAVE_UP, "gave_up")       /* the client's patience ended */                    \
    X(NO_CONNECTION, "no_slot") /* all --connections-max were in use */

enum load_end {
#define X(code, name) LOAD_##code,
    LOAD_ENDS(X)
#undef X
        LOAD_END_KINDS
};

#define LOAD_SECONDS_MAX  900
#define LOAD_STATUS_MAX   600
#define LOAD_SLOW_NS      250000000ull
#define LOAD_VERY_SLOW_NS 1000000000ull

struct load_result {
    enum load_end end;
    int status;  /* where answered */
    char source; /* the upstream's letter, '-' where the answer was made on the way */
    bool is_post;
    uint64_t due_ns;  /* since the start of the run; when the request should have been sent */
    uint64_t took_ns; /* from then to its end */
};

struct load_method {
    uint64_t requests, good, bad, errors, local, slow, very_slow;
};

struct load_second {
    uint32_t requests, good, bad, errors, local, slow, very_slow;
    uint64_t max_ns;
};

struct load_stats {
    uint64_t requests; /* all that ended, the warm-up's too: what CPU time is divided by */
    struct load_method methods[2]; /* GET, POST */
    uint64_t ends[LOAD_END_KINDS];
    uint64_t statuses[LOAD_STATUS_MAX];
    uint64_t sources[128];
    uint64_t connects;    /* connections opened */
    uint64_t late_max_ns; /* the generator's own lateness; charged to the request all the same */
    uint64_t held, lost;  /* idle mode: connections held open, and those of them lost since */
    uint64_t measured_ns;
    int64_t first_local_ns; /* when the first answer made on the way came; -1: none */
    struct histogram took;
    unsigned seconds;
    struct load_second timeline[LOAD_SECONDS_MAX];
};

/* NULL where there is no memory. */
struct load_stats *load_stats_create(void);
void load_stats_add(struct load_stats *, const struct load_result *);
void load_stats_text(const struct load_stats *, FILE *);
void load_stats_json(const struct load_stats *, FILE *);
void load_stats_destroy(struct load_stats *);

#endif
