/* events.h - what has happened, for people: state changes, manual control,
 * reloads, tiers taking over. With a history, and a number to follow it by.
 *
 * Events are for what is rare and worth reading; what happens once a request
 * is a metric. Each service has a history of its own, so a service that flaps
 * does not push out what the others have to tell.
 *
 * Threading: any thread; one short lock. The watcher runs under none.
 * Memory:    per_service events for each of so many services (allocated as
 *            they come); all further services, and what belongs to none, share
 *            one more. The oldest is overwritten, and a reader that still
 *            lacked it is told so. */
#ifndef SWG_OBSERVE_EVENTS_H
#define SWG_OBSERVE_EVENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/json_out.h"

/* What cannot be longer is cut, at a whole UTF-8 character; no field is ever
 * missing its NUL. Unused fields are "". */
struct event {
    uint64_t sequence; /* 1, 2, 3 … over all services, since the process began */
    uint64_t unix_ms;
    char kind[24];    /* "state_change", "manual", "reload" … */
    char service[65]; /* a name has 64 bytes at most */
    char endpoint[64];
    char from[24], to[24];
    char cause[32];  /* "failure_rate", "probe_succeeded" … */
    char author[48]; /* of manual control */
    char text[152];  /* the reason in the author's words, or a sentence */
};

/* What an event is made from; what is NULL stays empty. */
struct event_info {
    uint64_t unix_ms;
    const char *kind, *service, *endpoint, *from, *to, *cause, *author, *text;
};

struct events_options {
    uint32_t per_service; /* default 128 */
    uint32_t services;    /* default 256 */
};

struct events;

int events_create(struct events **out, const struct events_options *); /* NULL: defaults */
void events_destroy(struct events *);

/* Has fn called after every event, on the thread that added it: a bell for
 * those who read. Set once, before there are other threads. */
void events_watch(struct events *, void (*fn)(void *arg), void *arg);

/* The event's number. Never fails: without memory an older event of the same
 * service goes, or this one, and readers are told of the gap. */
uint64_t events_add(struct events *, const struct event_info *);

/* Copies up to `max` events later than `after`, oldest first, of one service
 * or (NULL) of all; "" is what belongs to no service. Returns how many. *gap
 * tells whether some in between are lost; it is set too when `after` was never
 * given out, as by a reader who followed the process before a restart, and the
 * reading then begins at the beginning. */
size_t events_read(struct events *, uint64_t after, const char *service, struct event *out,
                   size_t max, bool *gap);
/* Copies the `max` latest events, oldest first. */
size_t events_read_latest(struct events *, const char *service, struct event *out, size_t max);

/* The number of the latest event: where to begin following. */
uint64_t events_last(struct events *);

/* One object; empty fields are left out. */
void event_write_json(struct json_out *, const struct event *);

#endif
