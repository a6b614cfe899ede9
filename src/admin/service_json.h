/* service_json.h - a service as JSON: who answers, how well, how fast. */
#ifndef SWG_ADMIN_SERVICE_JSON_H
#define SWG_ADMIN_SERVICE_JSON_H

#include "admin/admin_priv.h"
#include "admin/request.h"

/* Members of an open object; `details` adds the policy in force. */
void service_write_members(struct json_out *, const struct moment *, struct admin *,
                           const struct service *, bool details);
/* "working", "condition" and what made it so, as of the manager's last update; and what the
 * service is to the whole. */
void service_write_condition(struct json_out *, const struct moment *, struct admin *,
                             const struct service *);
/* "recent": the last half minute. */
void service_write_recent(struct json_out *, const struct moment *, const struct record *,
                          const struct service *);
/* "tiers": the fallback chain, with its counts. */
void service_write_tiers(struct json_out *, const struct service *);
/* "answering": "upstream", a tier, "nobody"; null: not known since it opened. */
void service_write_answering(struct json_out *, const struct record *, enum swg_breaker_state);

#endif
