/* sse.h - event streams, in pieces: where each event ends, and what it means.
 *
 * The format is the one that WHATWG's HTML standard gives (section 9.2): lines
 * end with CR, LF or CR LF, a byte order mark may stand at the start, a line
 * that begins with a colon is a comment, an empty line ends the event. The
 * other form is a JSON text a line (application/x-ndjson), each line an event.
 *
 * No allocation, nothing kept but how a few fields begin: events may be of any
 * length. Nothing is refused, because browsers refuse nothing either. */
#ifndef SWG_WIRE_SSE_H
#define SWG_WIRE_SSE_H

#include "wire/token_event.h"

enum sse_form { SSE_EVENTS, SSE_LINES };

struct sse {
    struct token_event event;
    enum sse_form form;
    uint8_t state;
    uint8_t field;  /* what the line is about */
    uint8_t mark;   /* bytes of a byte order mark that have been seen */
    bool after_cr;  /* an LF that follows belongs to the line before */
    bool had_data;  /* the event has had a line of data */
    bool mid_event; /* bytes have come since the last event ended */
    uint8_t name_len;
    char name[6]; /* of the field, as it begins */
};

void sse_init(struct sse *, enum sse_form);
/* Whether a Content-Type is one of the two forms. */
bool sse_form_of(struct bytes content_type, enum sse_form *);

/* Goes to the end of the next event and returns what has been taken: up to and
 * with the event's last byte, *kind telling what it was; or everything, and
 * *kind is TOKEN_MORE. (Of CR LF only the CR may have come by then.) */
size_t sse_next(struct sse *, const char *data, size_t len, enum token_kind *kind);

#endif
