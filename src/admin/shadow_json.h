/* shadow_json.h - a service's breaker and its shadow, side by side, as JSON. */
#ifndef SWG_ADMIN_SHADOW_JSON_H
#define SWG_ADMIN_SHADOW_JSON_H

#include "admin/request.h"
#include "gateway/plan.h"

/* All members but `service`. */
void shadow_write_members(struct json_out *, const struct moment *, const struct service *);
/* "shadow": a few figures, or null where there is none. */
void shadow_write_summary(struct json_out *, const struct moment *, const struct service *);

#endif
