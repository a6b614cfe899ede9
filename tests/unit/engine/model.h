/* model.h - a breaker written for clarity alone: what the fast one must do.
 *
 * It keeps every result of the window in a list and counts the list anew for
 * each judgement; it has no shards, bits or gates. One thread; time must not
 * step back. The open time is not drawn: the model is told beforehand what the
 * fast one drew, in drawn_ns, and says whether that is within its bounds. */
#ifndef SWG_TEST_MODEL_H
#define SWG_TEST_MODEL_H

#include <stddef.h>

#include <switchgear/breaker.h>

struct model_permit {
    uint64_t generation, started_ns;
    bool probe, marked, uncounted;
    struct model_permit *next; /* of the probes that are out */
    uint64_t lease_end_ns;
};

struct model_result {
    uint64_t bucket, position;
    bool call, failure, slow;
};

struct model {
    struct swg_breaker_options o; /* complete: no defaults, 0 is off */

    enum swg_breaker_state state;
    enum swg_breaker_manual manual;
    uint64_t manual_until_ns, generation, since_ns;
    uint64_t opened_ns, open_until_ns, last_open_ns;
    uint64_t drawn_ns;
    bool out_of_bounds;
    uint32_t reopenings, consecutive, probe_successes;
    struct model_permit *probes;
    uint64_t ramp_from_ns; /* 0: no ramp */

    uint64_t origin_ns, position; /* of the window: when cleared, calls since */
    struct model_result *results;
    size_t count, room;

    uint64_t events;
    struct swg_breaker_event last_event;
    struct swg_breaker_stats totals; /* only the sums */
};

void model_init(struct model *, const struct swg_breaker_options *, uint64_t now_ns);
void model_free(struct model *);
void model_configure(struct model *, const struct swg_breaker_options *);

enum swg_refusal model_admit(struct model *, struct model_permit *, uint64_t random,
                             uint64_t now_ns);
void model_record(struct model *, struct model_permit *, enum swg_outcome_kind,
                  uint64_t retry_after_ns, uint64_t now_ns);
void model_overdue(struct model *, struct model_permit *, uint64_t now_ns);
void model_note(struct model *, uint64_t generation, uint64_t now_ns);
void model_force(struct model *, enum swg_breaker_manual, uint64_t for_ns, uint64_t now_ns);
void model_reset(struct model *, uint64_t now_ns);
void model_probe_now(struct model *, uint64_t now_ns);
void model_tick(struct model *, uint64_t now_ns);
void model_read(const struct model *, struct swg_breaker_stats *, uint64_t now_ns);

#endif
