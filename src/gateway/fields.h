/* fields.h - which fields of a message go on to the other side.
 *
 * Field lines that are kept are copied in runs, as they stand in the head that
 * was parsed: a run of lines costs one memcpy. The parser has refused folded
 * lines and bare CR or LF, so what is copied is well-formed. */
#ifndef SWG_GATEWAY_FIELDS_H
#define SWG_GATEWAY_FIELDS_H

#include "base/buf.h"
#include "wire/http1.h"

/* A set of enum http_field_id. */
struct field_set {
    uint64_t bits[(HTTP_FIELD_IDS + 63) / 64];
};

static inline void field_set_add(struct field_set *s, enum http_field_id id) {
    s->bits[id / 64] |= UINT64_C(1) << (id % 64);
}
static inline bool field_set_has(const struct field_set *s, unsigned id) {
    return s->bits[id / 64] >> (id % 64) & 1;
}

/* Fields that belong to one connection only (RFC 9110 section 7.6.1), plus
 * those a gateway writes anew. */
const struct field_set *fields_dropped_from_requests(void);
const struct field_set *fields_dropped_from_responses(void);
/* The same for OPTIONS, whose Max-Forwards every hop lowers. */
const struct field_set *fields_dropped_from_options(void);
/* The same for a request whose answer is fetched for the cache: conditions of
 * this client would bring a 304 that says nothing to the others. */
const struct field_set *fields_dropped_from_fetches(void);
/* For a request that is sent as it was before: only what frames it is new. */
const struct field_set *fields_dropped_from_repeats(void);

/* Whether Connection names fields besides keep-alive, close, upgrade, te. */
bool fields_are_nominated(const struct http1_head *);
/* Whether Connection names this one. */
bool fields_is_nominated(const struct http1_head *, struct bytes name);

/* Appends all lines of `head` but those in `drop` and, if `nominated`, those
 * that Connection names. `head_end` points behind the last line. */
void fields_copy(struct buf *, const struct http1_head *, const char *head_end,
                 const struct field_set *drop, bool nominated);

struct header_value;
/* The same without those that have one of these names. */
void fields_copy_but(struct buf *, const struct http1_head *, const struct field_set *drop,
                     bool nominated, const struct header_value *but, uint32_t count);

/* The first field with this id; at NULL if there is none. */
struct bytes fields_find(const struct http1_head *, enum http_field_id);

#endif
