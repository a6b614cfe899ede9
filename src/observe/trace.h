/* trace.h - spans: what a request did, as it is told to a trace collector.
 *
 * The spans of one request are made in one parcel, by one thread, and handed on
 * as a whole. Everything in it is the parcel's, bounded, and goes with it; what
 * does not fit (spans, attributes, events, or memory) is left out and counted,
 * so no function here fails in a way that a request would notice.
 *
 * Times are monotonic nanoseconds; the parcel knows how far they are from 1970. */
#ifndef SWG_OBSERVE_TRACE_H
#define SWG_OBSERVE_TRACE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/list.h"
#include "observe/trace_context.h"

enum {
    TRACE_PARCEL_FIRST = 4096,    /* bytes of a parcel's first block */
    TRACE_PARCEL_MAX = 64 * 1024, /* of all of it */
    TRACE_SPANS_MAX = 64,         /* of one parcel */
    TRACE_EVENTS_MAX = 64,        /* of one span */
    TRACE_SPAN_ATTRIBUTES = 20,   /* of one span */
    TRACE_EVENT_ATTRIBUTES = 6,   /* of one event */
    TRACE_TEXT_MAX = 512,         /* of one value; longer ones are cut */
};

/* As OTLP numbers them. */
enum trace_kind { TRACE_INTERNAL = 1, TRACE_SERVER, TRACE_CLIENT, TRACE_PRODUCER, TRACE_CONSUMER };

enum trace_type { TRACE_TEXT, TRACE_NUMBER, TRACE_YES_OR_NO };

struct trace_attribute {
    const char *key; /* static */
    enum trace_type type;
    struct bytes text;
    int64_t number;
};

struct trace_attributes {
    struct trace_parcel *parcel;
    uint32_t count, max, dropped;
    struct trace_attribute *at;
};

struct trace_event {
    struct trace_event *next;
    const char *name; /* static */
    uint64_t at_ns;
    struct trace_attributes attributes;
};

struct trace_span {
    struct trace_span *next;
    uint64_t id, parent;       /* parent 0: none */
    struct trace_context link; /* another trace that this has to do with; span 0: none */
    enum trace_kind kind;
    struct bytes name;
    uint64_t started_ns, ended_ns;
    bool failed;
    struct trace_attributes attributes;
    struct trace_event *first, *last;
    uint32_t event_count, dropped_events;
};

struct trace_parcel {
    struct list link; /* whoever holds it */
    struct trace_id trace;
    uint8_t flags;
    struct bytes state;
    int64_t to_unix_ns; /* what is added to a time of a span */
    uint32_t span_count, dropped_spans;
    struct trace_span *first, *last;
    struct arena arena;
    _Alignas(16) char first_block[TRACE_PARCEL_FIRST];
};

/* Who tells. NULL or "" leaves one out. */
struct trace_resource {
    const char *service_name, *version, *host, *instance;
};

/* NULL: out of memory. `state` is copied. */
struct trace_parcel *trace_parcel_create(const struct trace_context *, struct bytes state,
                                         int64_t to_unix_ns);
void trace_parcel_destroy(struct trace_parcel *);

/* NULL: there are too many. `name` is copied. */
struct trace_span *trace_span_add(struct trace_parcel *, enum trace_kind, uint64_t id,
                                  uint64_t parent, struct bytes name, uint64_t now_ns);
/* NULL: there are too many. */
struct trace_event *trace_event_add(struct trace_parcel *, struct trace_span *,
                                    const char *static_name, uint64_t now_ns);

/* Values of spans and events. Text is copied, but for static words. An empty or missing
 * text is no attribute. */
void trace_text(struct trace_attributes *, const char *key, struct bytes);
void trace_word(struct trace_attributes *, const char *key, const char *static_word);
void trace_number(struct trace_attributes *, const char *key, int64_t);
void trace_yes_or_no(struct trace_attributes *, const char *key, bool);

#endif
