/* trace_json.c - see trace_json.h. */
#include "observe/trace_json.h"

#include <inttypes.h>
#include <stdio.h>

/* ---- values ------------------------------------------------------------------ */

/* JSON's numbers do not hold 64 bits everywhere, so OTLP has them as strings. */
static void key_wide(struct json_out *j, const char *key, int64_t number) {
    char text[24];
    snprintf(text, sizeof text, "%" PRId64, number);
    json_key_string(j, key, text);
}

static void write_attribute(struct json_out *j, const struct trace_attribute *a) {
    json_object(j);
    json_key_string(j, "key", a->key);
    json_key_object(j, "value");
    switch (a->type) {
    case TRACE_TEXT:
        json_key(j, "stringValue");
        json_bytes(j, a->text);
        break;
    case TRACE_NUMBER:
        key_wide(j, "intValue", a->number);
        break;
    case TRACE_YES_OR_NO:
        json_key_bool(j, "boolValue", a->number);
        break;
    }
    json_object_end(j);
    json_object_end(j);
}

static void write_attributes(struct json_out *j, const struct trace_attributes *a) {
    json_key_array(j, "attributes");
    for (uint32_t i = 0; i < a->count; i++)
        write_attribute(j, &a->at[i]);
    json_array_end(j);
    if (a->dropped)
        json_key_uint(j, "droppedAttributesCount", a->dropped);
}

static void key_word(struct json_out *j, const char *key, const char *word) {
    const struct trace_attribute a = {.key = key, .type = TRACE_TEXT, .text = bytes_of(word)};
    if (a.text.len)
        write_attribute(j, &a);
}

/* ---- spans --------------------------------------------------------------------- */

static void key_time(struct json_out *j, const char *key, const struct trace_parcel *p,
                     uint64_t ns) {
    key_wide(j, key, (int64_t)ns + p->to_unix_ns);
}

static void key_span(struct json_out *j, const char *key, uint64_t id) {
    char text[SPAN_ID_LEN + 1];
    span_id_write(text, id);
    json_key_string(j, key, text);
}

static void key_trace(struct json_out *j, struct trace_id id) {
    char text[TRACE_ID_LEN + 1];
    trace_id_write(text, id);
    json_key_string(j, "traceId", text);
}

static void write_events(struct json_out *j, const struct trace_parcel *p,
                         const struct trace_span *s) {
    if (s->first) {
        json_key_array(j, "events");
        for (const struct trace_event *e = s->first; e; e = e->next) {
            json_object(j);
            key_time(j, "timeUnixNano", p, e->at_ns);
            json_key_string(j, "name", e->name);
            write_attributes(j, &e->attributes);
            json_object_end(j);
        }
        json_array_end(j);
    }
    if (s->dropped_events)
        json_key_uint(j, "droppedEventsCount", s->dropped_events);
}

static void write_link(struct json_out *j, const struct trace_context *link) {
    if (!link->span)
        return;
    json_key_array(j, "links");
    json_object(j);
    key_trace(j, link->trace);
    key_span(j, "spanId", link->span);
    json_object_end(j);
    json_array_end(j);
}

static void write_span(struct json_out *j, const struct trace_parcel *p,
                       const struct trace_span *s) {
    json_object(j);
    key_trace(j, p->trace);
    key_span(j, "spanId", s->id);
    if (p->state.len) {
        json_key(j, "traceState");
        json_bytes(j, p->state);
    }
    if (s->parent)
        key_span(j, "parentSpanId", s->parent);
    json_key_uint(j, "flags", p->flags);
    json_key(j, "name");
    json_bytes(j, s->name);
    json_key_uint(j, "kind", s->kind);
    key_time(j, "startTimeUnixNano", p, s->started_ns);
    key_time(j, "endTimeUnixNano", p, s->ended_ns);
    write_attributes(j, &s->attributes);
    write_events(j, p, s);
    write_link(j, &s->link);
    json_key_object(j, "status");
    if (s->failed)
        json_key_uint(j, "code", 2); /* STATUS_CODE_ERROR */
    json_object_end(j);
    json_object_end(j);
}

void trace_json_parcel(struct json_out *j, const struct trace_parcel *p) {
    for (const struct trace_span *s = p->first; s; s = s->next)
        write_span(j, p, s);
}

/* ---- around them ------------------------------------------------------------------ */

void trace_json_begin(struct json_out *j, const struct trace_resource *r) {
    json_object(j);
    json_key_array(j, "resourceSpans");
    json_object(j);
    json_key_object(j, "resource");
    json_key_array(j, "attributes");
    key_word(j, "service.name", r->service_name);
    key_word(j, "service.version", r->version);
    key_word(j, "service.instance.id", r->instance);
    key_word(j, "host.name", r->host);
    json_array_end(j);
    json_object_end(j);
    json_key_array(j, "scopeSpans");
    json_object(j);
    json_key_object(j, "scope");
    json_key_string(j, "name", "switchgear");
    if (r->version && *r->version)
        json_key_string(j, "version", r->version);
    json_object_end(j);
    json_key_array(j, "spans");
}

void trace_json_end(struct json_out *j) {
    json_array_end(j); /* spans */
    json_object_end(j);
    json_array_end(j); /* scopeSpans */
    json_object_end(j);
    json_array_end(j); /* resourceSpans */
    json_object_end(j);
}
