/* mock_schedule.h - a behaviour that changes over time.
 *
 *     ok 30s, errors 50% 10s, hang 5s, down 5s, ok
 *
 * Steps are separated by commas, each with its duration at the end. A last
 * step without one lasts for ever; where all have one it begins anew. What is
 * wrong in a step comes on top of the base behaviour; `+` joins several:
 * `errors 50% + latency 1s 10s`.
 *
 *     ok | errors [SHARE] [STATUS] | hang [SHARE] | reset [SHARE] |
 *     truncate [SHARE] | latency TIME | slow TIME | slow-body RATE |
 *     status CODE | retry-after SECONDS | down */
#ifndef SWG_CLI_MOCK_SCHEDULE_H
#define SWG_CLI_MOCK_SCHEDULE_H

#include "cli/mock_behaviour.h"

enum { MOCK_STEPS_MAX = 64, MOCK_STEP_TEXT = 96 };

struct mock_step {
    uint64_t for_ns;           /* UINT64_MAX: for ever */
    char text[MOCK_STEP_TEXT]; /* without the duration */
};

struct mock_schedule {
    uint32_t count; /* 0: no schedule */
    struct mock_step steps[MOCK_STEPS_MAX];
};

/* "" is none. False with what is wrong in *why, and the schedule unchanged. */
bool mock_schedule_read(struct mock_schedule *, struct bytes text, struct buf *why);

/* The step at `elapsed_ns` after the start, and when it ends, counted alike
 * (UINT64_MAX: never). NULL without a schedule. */
const struct mock_step *mock_schedule_at(const struct mock_schedule *, uint64_t elapsed_ns,
                                         uint64_t *ends_ns);
/* What the step does to the behaviour. */
void mock_step_apply(const struct mock_step *, struct mock_behaviour *);

#endif
