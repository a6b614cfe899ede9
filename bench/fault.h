/* fault.h - what is wrong with an endpoint, and when.
 *
 * Pure: the schedule is asked with a time, and answers. Units: nanoseconds
 * since the common start. */
#ifndef BENCH_FAULT_H
#define BENCH_FAULT_H

#include <stdbool.h>
#include <stdint.h>

/* code, name on the command line */
#define FAULTS(X)                                                            \
    X(OK, "ok")                                                              \
    X(KILLED, "killed")   /* no listener, and what was connected is reset */ \
    X(HUNG, "hung")       /* accepts and reads, never answers */             \
    X(HALF500, "half500") /* every second answer is a 500 */                 \
    X(SLOW2S, "slow2s")   /* answers after 2 s */                            \
    X(FLAP, "flap")       /* killed and ok in turn, a second each */

enum fault {
#define X(code, name) FAULT_##code,
    FAULTS(X)
#undef X
        FAULT_KINDS
};

struct fault_window {
    enum fault fault;
    uint64_t from_ns, to_ns;
};

const char *fault_name(enum fault);
/* 0, or -EINVAL for no such name. */
int fault_parse(const char *name, enum fault *);
/* "hung:5:20": from second 5 to 20. 0 or -EINVAL. */
int fault_window_parse(const char *text, struct fault_window *);
bool fault_window_holds(const struct fault_window *, uint64_t ns);
/* What to do at that time; FLAP is resolved into KILLED or OK. */
enum fault fault_now(const struct fault_window *, uint64_t ns);
/* When fault_now() may next answer otherwise; UINT64_MAX: never. */
uint64_t fault_next_change(const struct fault_window *, uint64_t ns);

#endif
