/* breaker_json.h - a service's breaker as JSON, in the one shape that all
 * answers use. */
#ifndef SWG_ADMIN_BREAKER_JSON_H
#define SWG_ADMIN_BREAKER_JSON_H

#include "admin/admin_priv.h"
#include "admin/request.h"

/* One object. */
void breaker_write_json(struct json_out *, const struct moment *, struct admin *,
                        const struct service *);

#endif
