/* explain.h - what would happen to one request, computed from the options.
 *
 * Nothing is sent. What the engine decides by time and chance is given as its
 * worst case: every wait as long as its jitter allows, every attempt until its
 * timeout. */
#ifndef SWG_CLI_EXPLAIN_H
#define SWG_CLI_EXPLAIN_H

#include "base/arena.h"
#include "cli/admin_client.h"
#include "cli/json_in.h"
#include "gateway/cache_key.h"
#include "gateway/options.h"
#include "gateway/path.h"
#include "gateway/route.h"

enum { EXPLAIN_FIELDS = 64 };

/* The request, as it was typed. */
struct explain_request {
    enum http_method method;
    struct bytes method_text, host;
    struct target_parts parts;
    struct http_field fields[EXPLAIN_FIELDS];
    uint16_t field_count;
    uint64_t body_bytes;
};

/* How the service being ill would end. */
struct explain_worst {
    uint32_t attempts_max; /* in any case */
    uint32_t attempts;     /* when each ends by a timeout */
    uint64_t ns;           /* until then; SWG_OFF: nothing bounds it */
    uint32_t wait_count;
    uint64_t waits_ns[8]; /* the longest, before the first retries */
};

struct explanation {
    const struct gateway_options *options;
    const struct explain_request *request;
    int status; /* when it is refused at once: 400, 404, 405; else 0 */
    const char *refusal;
    uint32_t methods; /* allowed, when 405 */
    struct route_match match;
    const struct service_options *service;
    struct bytes sent_path; /* without an endpoint's base path */
    bool idempotent, safe, replayable;
    bool own_key;         /* the gateway adds an Idempotency-Key: the write may be queued */
    const char *no_retry; /* why a failure is not tried again; NULL: it is */
    bool cacheable;
    const char *not_cacheable; /* why */
    struct cache_key key;
    struct explain_worst worst;
};

/* `arena` outlives the explanation. */
void explain(struct explanation *, const struct gateway_options *, const struct router *,
             const struct explain_request *, struct arena *);
void explain_worst(const struct service_options *, bool retries, struct explain_worst *);
/* Why the tier would be passed over for this request; NULL: it would not. */
const char *explain_tier_skipped(const struct explanation *, uint32_t tier);
const struct service_options *explain_service(const struct gateway_options *, const char *name);

/* `live`: what the admin API tells of the breakers, or NULL. */
void explain_write_text(const struct explanation *, const struct node *live, FILE *);
void explain_write_json(const struct explanation *, const struct node *live, FILE *);
/* What the running gateway says to POST …/fallbacks/{service}/test: as it came, or
 * for people. 0, or -1 with the message printed. */
int explain_rehearse(const struct explanation *, struct admin_client *, bool json, FILE *);
/* The breaker of that name in `live`; NULL if there is none. */
const struct node *explain_live(const struct node *live, const char *service);
/* The path of the request, or the tier's, at an endpoint. */
void explain_write_target(const struct explanation *, const struct endpoint_options *,
                          struct buf *);

#endif
