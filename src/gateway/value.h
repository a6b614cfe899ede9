/* value.h - values that come out of a request, by a short name.
 *
 *   path.user_id     what a route's {user_id} matched, decoded
 *   query.limit      the first such parameter, decoded
 *   header.X-Account the first such field
 *   body.user.id     of a JSON body: keys, and places in lists, apart by dots
 *   method, target, host, service, request_id
 *
 * Whoever puts a value into something else (a query, JSON, HTML) must do that
 * in the way that keeps it a value there: by binding, by escaping. Nothing is
 * trusted here, all of it is the caller's own words.
 *
 * Threading: the exchange's. Memory: the exchange's arena. */
#ifndef SWG_GATEWAY_VALUE_H
#define SWG_GATEWAY_VALUE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/bytes.h"

struct exchange;

enum value_from {
    VALUE_FROM_TEXT, /* `name` itself */
    VALUE_FROM_PATH,
    VALUE_FROM_QUERY,
    VALUE_FROM_HEADER,
    VALUE_FROM_BODY,
    VALUE_FROM_METHOD,
    VALUE_FROM_TARGET, /* path and query as the client sent them */
    VALUE_FROM_HOST,
    VALUE_FROM_SERVICE,
    VALUE_FROM_REQUEST_ID,
};

struct value_source {
    enum value_from from;
    const char *name;      /* of the capture, the parameter, the field; a path in the body */
    const char *otherwise; /* taken where the request has none; NULL: there is none then */
};

enum value_kind {
    VALUE_MISSING,
    VALUE_NULL, /* JSON's */
    VALUE_TEXT,
    VALUE_INTEGER, /* JSON's, as the three below */
    VALUE_REAL,
    VALUE_BOOL,
    VALUE_JSON, /* an object or a list, as text */
};

struct value {
    enum value_kind kind;
    struct bytes text; /* of all kinds but MISSING and NULL */
    int64_t integer;   /* INTEGER, and BOOL as 0 or 1 */
    double real;
};

/* What a request has is never longer; a longer one is MISSING. */
enum { VALUE_BYTES_MAX = 256 * 1024, VALUE_NAME_MAX = 256 };

/* "path.user_id" and so on. False: it is none of those. The name is kept as a
 * pointer into `text`, which ends with a NUL. */
bool value_source_parse(struct value_source *, const char *text);
/* The same as text again, in `out`. */
enum { VALUE_NAME_SIZE = VALUE_NAME_MAX + 16 };
const char *value_source_text(const struct value_source *, char out[VALUE_NAME_SIZE]);
/* Whether it comes from what a client can choose. */
bool value_source_is_callers(const struct value_source *);

/* Body values need the whole body: they are MISSING while it is not here, where
 * it was too long to be kept, and where it is no JSON. */
struct value value_read(struct exchange *, const struct value_source *);
/* The same for templates (template_reader). */
struct value value_of(void *exchange, const struct value_source *);
/* What reading has parsed. */
void value_forget(struct exchange *);

/* Percent-decoding; `plus` is a blank in queries. False: a broken escape, a NUL,
 * or no memory. */
bool value_decode(struct bytes, bool plus, struct arena *, struct bytes *out);

#endif
