/* sse.c - see sse.h. */
#include "wire/sse.h"

enum { AT_START, AT_LINE, IN_NAME, AFTER_COLON, IN_VALUE };
enum { FIELD_OTHER, FIELD_DATA, FIELD_EVENT };

void sse_init(struct sse *s, enum sse_form form) {
    *s = (struct sse){.form = form, .state = form == SSE_EVENTS ? AT_START : AT_LINE};
    token_event_init(&s->event);
}

bool sse_form_of(struct bytes type, enum sse_form *form) {
    const char *end = type.len ? memchr(type.at, ';', type.len) : NULL;
    if (end)
        type.len = (size_t)(end - type.at);
    type = bytes_trim(type);
    if (bytes_equal_nocase(type, BYTES("text/event-stream")))
        *form = SSE_EVENTS;
    else if (bytes_equal_nocase(type, BYTES("application/x-ndjson")) ||
             bytes_equal_nocase(type, BYTES("application/jsonl")))
        *form = SSE_LINES;
    else
        return false;
    return true;
}

/* ---- lines ----------------------------------------------------------------- */

/* The name of the field is whole. Lines of data are joined by a line end. */
static void begin_value(struct sse *s) {
    struct bytes name = {s->name, s->name_len};
    s->field = FIELD_OTHER;
    if (bytes_equal(name, BYTES("data"))) {
        s->field = FIELD_DATA;
        if (s->had_data)
            token_event_data(&s->event, BYTES("\n"));
        s->had_data = true;
    } else if (bytes_equal(name, BYTES("event"))) {
        s->field = FIELD_EVENT;
        s->event.name_len = 0; /* the last one counts */
    }
}

/* True: an empty line, which ends the event. */
static bool end_line(struct sse *s) {
    bool empty = s->state == AT_LINE || (s->state == AT_START && !s->mark);
    if (s->state == IN_NAME)
        begin_value(s);
    s->state = AT_LINE;
    s->name_len = 0;
    return empty;
}

static enum token_kind end_event(struct sse *s) {
    s->had_data = s->mid_event = false;
    return token_event_end(&s->event);
}

/* A byte order mark is passed over; what only begins like one is a name. */
static bool is_mark(struct sse *s, char c) {
    static const char mark[3] = {'\xef', '\xbb', '\xbf'};
    if (s->state != AT_START || c != mark[s->mark]) {
        if (s->state == AT_START && s->mark) {
            memcpy(s->name, mark, s->mark);
            s->name_len = s->mark;
        }
        s->state = s->state == AT_START ? AT_LINE : s->state;
        return false;
    }
    if (++s->mark == sizeof mark)
        s->state = AT_LINE;
    return true;
}

static void take_name(struct sse *s, char c) {
    s->state = c == ':' ? AFTER_COLON : IN_NAME;
    if (c == ':')
        begin_value(s);
    else if (s->name_len < sizeof s->name)
        s->name[s->name_len++] = c;
}

/* A run of value bytes up to the end of the line; how many. */
static size_t take_value(struct sse *s, const char *data, size_t len) {
    size_t n = 0;
    while (n < len && data[n] != '\n' && data[n] != '\r')
        n++;
    struct bytes piece = {data, n};
    if (s->field == FIELD_DATA)
        token_event_data(&s->event, piece);
    else if (s->field == FIELD_EVENT)
        token_event_name(&s->event, piece);
    return n;
}

/* ---- the two forms ------------------------------------------------------------ */

static size_t next_event(struct sse *s, const char *data, size_t len, enum token_kind *kind) {
    size_t i = 0;
    while (i < len) {
        char c = data[i];
        bool late_lf = s->after_cr && c == '\n';
        s->after_cr = c == '\r';
        if (late_lf) {
            i++;
            continue;
        }
        s->mid_event = true;
        if (c == '\n' || c == '\r') {
            i++;
            if (!end_line(s))
                continue;
            if (s->after_cr && i < len && data[i] == '\n') {
                s->after_cr = false;
                i++;
            }
            *kind = end_event(s);
            return i;
        }
        if (is_mark(s, c)) {
            i++;
        } else if (s->state == AFTER_COLON) {
            i += c == ' ';
            s->state = IN_VALUE;
        } else if (s->state == IN_VALUE) {
            i += take_value(s, data + i, len - i);
        } else {
            take_name(s, c);
            i++;
        }
    }
    return len;
}

static size_t next_line(struct sse *s, const char *data, size_t len, enum token_kind *kind) {
    const char *end = len ? memchr(data, '\n', len) : NULL;
    size_t n = end ? (size_t)(end - data) : len;
    s->mid_event |= n > 0;
    token_event_data(&s->event, (struct bytes){data, n}); /* a CR at its end is white space */
    if (!end)
        return len;
    *kind = end_event(s);
    return n + 1;
}

size_t sse_next(struct sse *s, const char *data, size_t len, enum token_kind *kind) {
    *kind = TOKEN_MORE;
    return s->form == SSE_EVENTS ? next_event(s, data, len, kind) : next_line(s, data, len, kind);
}
