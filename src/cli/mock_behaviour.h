/* mock_behaviour.h - how ill the mock is, and how slow.
 *
 * One table of settings serves the options of `switchgear mock`, the keys of
 * its control API, and its steps over time; values are text everywhere. Pure:
 * randomness comes in as an argument. */
#ifndef SWG_CLI_MOCK_BEHAVIOUR_H
#define SWG_CLI_MOCK_BEHAVIOUR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "base/json_out.h"

enum mock_latency_kind {
    MOCK_LATENCY_FIXED,     /* a */
    MOCK_LATENCY_NORMAL,    /* mean a, standard deviation b; never below 0 */
    MOCK_LATENCY_LOGNORMAL, /* median a, 99th percentile b */
    MOCK_LATENCY_UNIFORM,   /* a to b */
};

struct mock_latency {
    enum mock_latency_kind kind;
    uint64_t a_ns, b_ns;
};

/* Shares of requests are in millionths. */
enum { MOCK_ALL = 1000000 };

struct mock_behaviour {
    struct mock_latency latency;
    uint32_t errors, hang, reset, truncate;
    uint16_t status;      /* of errors */
    uint32_t retry_after; /* seconds, sent with errors; 0: not */
    uint64_t slow_body;   /* bytes a second; 0: as fast as it goes */
    uint32_t close_after; /* answers on one connection, then it is closed unannounced; 0: never */
    /* of the language model; tokens are counted from the first one */
    uint32_t tokens; /* 0: as many as the reply has words */
    uint64_t first_token_ns, token_interval_ns;
    uint32_t break_after, silence_after, error_after; /* so many tokens; UINT32_MAX: never */
    bool chunked;
    bool down; /* does not even listen */
};

/* "latency", "errors", …; as an option --slow-body for slow_body. Ends with NULL. */
extern const char *const mock_settings[];

/* True, or false with what was expected in *why, and nothing changed. */
bool mock_behaviour_set(struct mock_behaviour *, struct bytes key, struct bytes value,
                        struct buf *why);
/* Healthy and fast; what is no illness (chunked, close_after) is kept. */
void mock_behaviour_heal(struct mock_behaviour *);
/* An object of all settings, in the form that can be set. */
void mock_behaviour_write(const struct mock_behaviour *, struct json_out *);

/* "30%" or "0.5%" to millionths. */
bool mock_share_read(struct bytes, uint32_t *);
bool mock_latency_read(struct bytes, struct mock_latency *);
void mock_latency_write(const struct mock_latency *, struct buf *);

enum mock_fate { MOCK_ANSWER, MOCK_ERROR, MOCK_TRUNCATE, MOCK_RESET, MOCK_HANG, MOCK_FATES };
extern const char *const mock_fate_words[MOCK_FATES];

/* What becomes of one request. Where shares add up to more than all, hanging
 * goes first, then reset, truncated, error. */
enum mock_fate mock_behaviour_fate(const struct mock_behaviour *, uint64_t random);
uint64_t mock_latency_draw(const struct mock_latency *, uint64_t *random_state);

#endif
