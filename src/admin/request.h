/* request.h - one request to the control side, and the answer being made.
 *
 * Threading: the control thread. Memory: everything a request shows belongs to
 * its connection and lives until the handler returns. */
#ifndef SWG_ADMIN_REQUEST_H
#define SWG_ADMIN_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/json_out.h"
#include "wire/http1.h"

struct admin;
struct connection;

enum { NAME_MAX_BYTES = 512, ANSWER_MAX = 64 * 1024 * 1024 };

/* Now, and what to add to a monotonic time to have that of the wall clock. Read
 * once a request, so that all times in one answer fit together although the
 * wall clock may be set meanwhile. */
struct moment {
    uint64_t now_ns;
    int64_t offset_ns;
};

struct request {
    struct admin *admin;
    struct connection *connection;
    const struct http1_head *head;
    struct bytes authority; /* of the target, or else of Host; at NULL: none */
    struct bytes path;      /* as it came: percent-encoded */
    struct bytes query;     /* without '?'; at NULL: none */
    struct bytes body;
    char name[NAME_MAX_BYTES]; /* what stands in the place of {name}, decoded */
    struct moment moment;
};

struct response {
    int status;
    const char *content_type;
    const char *policy; /* Content-Security-Policy; NULL: the strictest */
    struct bytes fixed; /* the body, where it is constant; else at NULL */
    struct buf body;
    struct buf fields; /* further lines of the head */
    struct json_out json;
    bool stream; /* events follow the head for as long as the client stays */
    bool later;  /* this one is not it: see later.h */
};

/* ---- reading --------------------------------------------------------------- */

/* The first field with this id; at NULL: there is none. */
struct bytes request_field(const struct request *, enum http_field_id);
/* The same for a field that the parser does not know by name. */
struct bytes request_field_named(const struct request *, struct bytes name);
/* The parameter of the query, decoded, as a C string: false when it is not
 * there, or does not fit, or has a broken escape. */
bool request_query(const struct request *, const char *key, char *out, size_t size);
/* Undoes percent-encoding. False: broken escape, NUL, or it does not fit. */
bool percent_decode(struct bytes, char *out, size_t size);

/* ---- answering -------------------------------------------------------------- */

void response_init(struct response *);
void response_free(struct response *);
/* Begins a JSON body, which response_end_json() ends. */
struct json_out *response_json(struct response *, int status);
void response_end_json(struct response *);
void response_text(struct response *, int status, const char *content_type);

/* ---- times in JSON ----------------------------------------------------------- */

/* Which distance between the clocks to go by: the known one, as long as the
 * difference is no more than reading two clocks one after the other explains,
 * so that the same event has the same time in every answer. */
int64_t moment_offset(int64_t known_ns, int64_t measured_ns);
/* A monotonic time as RFC 3339; 0 and SWG_NEVER, which are none, as null. */
void json_key_time(struct json_out *, const char *key, const struct moment *, uint64_t ns);
/* Nanoseconds as milliseconds with three decimals. */
void json_key_ms(struct json_out *, const char *key, uint64_t ns);
/* part / whole with four decimals; null where whole is 0. */
void json_key_ratio(struct json_out *, const char *key, uint64_t part, uint64_t whole);

#endif
