/* drills.h - faults injected on purpose, to see what protects: those that are on.
 *
 * A drill is about one service, or one endpoint of it, and ends by itself: its end
 * is of the monotonic clock, so setting the wall clock prolongs nothing. It goes by
 * names, so it survives a reload; it does not survive the process. Its start, its
 * end and who was behind them are events and log lines.
 *
 * Threading: start, stop, tick and get on the control thread; choosing on any
 * worker, under one short lock, and that only while there is a drill at all.
 * Memory: at most DRILLS_MAX of them. */
#ifndef SWG_GATEWAY_DRILLS_H
#define SWG_GATEWAY_DRILLS_H

#include <switchgear/time.h>

#include "engine/drill.h"
#include "gateway/gateway.h"

struct drills;
struct http1_head;
struct worker;

enum {
    DRILLS_MAX = 32,
    DRILL_ID_MAX = 8,
    DRILL_SERVICE_MAX = 64,
    DRILL_ENDPOINT_MAX = 512,
    DRILL_FIELD_MAX = 64,
    DRILL_VALUE_MAX = 256,
    DRILL_AUTHOR_MAX = 47,
    DRILL_REASON_MAX = 100,
};

/* The longest that one may be on, and hold an attempt back. */
#define DRILL_FOR_MAX_NS   SWG_HOURS(1)
#define DRILL_DELAY_MAX_NS SWG_SECONDS(600)

struct drill {
    char id[DRILL_ID_MAX + 1]; /* given at its start */
    char service[DRILL_SERVICE_MAX + 1];
    char endpoint[DRILL_ENDPOINT_MAX + 1]; /* "": all of them */
    char field[DRILL_FIELD_MAX + 1];       /* only requests with this header field; "": all */
    char value[DRILL_VALUE_MAX + 1];       /* and with this value of it */
    char author[DRILL_AUTHOR_MAX + 1], reason[DRILL_REASON_MAX + 1];
    struct swg__drill rule;
    uint64_t started_ns;
    uint64_t hits; /* attempts */
};

/* NULL: out of memory. */
struct drills *drills_create(struct gateway *);
void drills_destroy(struct drills *);

/* Gives it its id and its start; everything else is the caller's. 0, or -ENOSPC
 * when there are DRILLS_MAX already. */
int drills_start(struct drills *, struct drill *);
/* *out: as it was. -ENOENT if none has this id. */
int drills_stop(struct drills *, const char *id, const char *author, const char *reason,
                struct drill *out);
/* How many there were. */
uint32_t drills_stop_all(struct drills *, const char *author, const char *reason);
/* Those whose time is over end. Once a second or so. */
void drills_tick(struct drills *);

/* The index-th of those that are on; false: there are not so many. */
bool drills_get(const struct drills *, uint32_t index, struct drill *out);
/* How many are on for this service. Any thread. */
uint32_t drills_count(const struct drills *, const char *service);

/* Whether any is on at all: what every attempt asks. */
bool drills_any(const struct drills *);
/* An attempt that is about to begin. */
struct drill_attempt {
    const struct service *service;
    uint32_t endpoint;
    const struct http1_head *request; /* NULL: it has no header fields */
};
/* What happens to it; counts it. The worker's thread. */
void drills_choose(struct drills *, struct worker *, const struct drill_attempt *,
                   struct swg__drill_effect *out);

/* "503 after 200 ms for 30% of its attempts": for people, cut to fit. */
void drill_describe(const struct drill *, char *out, size_t size);

#endif
