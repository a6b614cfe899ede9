/* trace.c - see trace.h. */
#include "observe/trace.h"

#include <stdlib.h>

#include "base/json_out.h"

struct trace_parcel *trace_parcel_create(const struct trace_context *c, struct bytes state,
                                         int64_t to_unix_ns) {
    struct trace_parcel *p = malloc(sizeof *p);
    if (!p)
        return NULL;
    memset(p, 0, offsetof(struct trace_parcel, arena));
    list_init(&p->link);
    arena_init(&p->arena, p->first_block, sizeof p->first_block, TRACE_PARCEL_MAX);
    p->trace = c->trace;
    p->flags = c->flags;
    p->to_unix_ns = to_unix_ns;
    const char *copy = state.len ? arena_copy(&p->arena, state) : NULL;
    if (copy)
        p->state = (struct bytes){copy, state.len};
    return p;
}

void trace_parcel_destroy(struct trace_parcel *p) {
    if (!p)
        return;
    arena_reset(&p->arena);
    free(p);
}

/* ---- values ------------------------------------------------------------------ */

static bool init_attributes(struct trace_attributes *a, struct trace_parcel *p, uint32_t max) {
    a->parcel = p;
    a->max = max;
    a->at = arena_alloc(&p->arena, max * sizeof *a->at);
    return a->at != NULL;
}

static struct bytes copy_text(struct trace_parcel *p, struct bytes text) {
    char memory[TRACE_TEXT_MAX + 1];
    if (text.len > TRACE_TEXT_MAX) { /* utf8_cut() looks at the byte behind the cut */
        memcpy(memory, text.at, sizeof memory);
        text = (struct bytes){memory, utf8_cut(memory, TRACE_TEXT_MAX)};
    }
    const char *copy = arena_copy(&p->arena, text);
    return (struct bytes){copy, copy ? text.len : 0};
}

static void add(struct trace_attributes *a, struct trace_attribute attribute) {
    if (a->count < a->max)
        a->at[a->count++] = attribute;
    else
        a->dropped++;
}

void trace_text(struct trace_attributes *a, const char *key, struct bytes text) {
    if (!text.len)
        return;
    struct bytes copy = copy_text(a->parcel, text);
    if (copy.at)
        add(a, (struct trace_attribute){.key = key, .type = TRACE_TEXT, .text = copy});
    else
        a->dropped++;
}

void trace_word(struct trace_attributes *a, const char *key, const char *static_word) {
    if (static_word && *static_word)
        add(a, (struct trace_attribute){
                   .key = key, .type = TRACE_TEXT, .text = bytes_of(static_word)});
}

void trace_number(struct trace_attributes *a, const char *key, int64_t number) {
    add(a, (struct trace_attribute){.key = key, .type = TRACE_NUMBER, .number = number});
}

void trace_yes_or_no(struct trace_attributes *a, const char *key, bool yes) {
    add(a, (struct trace_attribute){.key = key, .type = TRACE_YES_OR_NO, .number = yes});
}

/* ---- spans and events ----------------------------------------------------------- */

static struct trace_span *make_span(struct trace_parcel *p, struct bytes name) {
    if (p->span_count == TRACE_SPANS_MAX)
        return NULL;
    struct trace_span *s = arena_zalloc(&p->arena, sizeof *s);
    if (!s || !init_attributes(&s->attributes, p, TRACE_SPAN_ATTRIBUTES))
        return NULL;
    s->name = copy_text(p, name);
    return s->name.at ? s : NULL;
}

struct trace_span *trace_span_add(struct trace_parcel *p, enum trace_kind kind, uint64_t id,
                                  uint64_t parent, struct bytes name, uint64_t now_ns) {
    struct trace_span *s = make_span(p, name);
    if (!s) {
        p->dropped_spans++;
        return NULL;
    }
    s->id = id;
    s->parent = parent;
    s->kind = kind;
    s->started_ns = s->ended_ns = now_ns;
    if (p->last)
        p->last->next = s;
    else
        p->first = s;
    p->last = s;
    p->span_count++;
    return s;
}

struct trace_event *trace_event_add(struct trace_parcel *p, struct trace_span *s,
                                    const char *static_name, uint64_t now_ns) {
    struct trace_event *e =
        s->event_count < TRACE_EVENTS_MAX ? arena_zalloc(&p->arena, sizeof *e) : NULL;
    if (!e || !init_attributes(&e->attributes, p, TRACE_EVENT_ATTRIBUTES)) {
        s->dropped_events++;
        return NULL;
    }
    e->name = static_name;
    e->at_ns = now_ns;
    if (s->last)
        s->last->next = e;
    else
        s->first = e;
    s->last = e;
    s->event_count++;
    return e;
}
