/* system_json.h - what the process takes of the machine, for /health. */
#ifndef SWG_ADMIN_SYSTEM_JSON_H
#define SWG_ADMIN_SYSTEM_JSON_H

#include "admin/admin_priv.h"
#include "base/json_out.h"

/* Where files of ours grow: the store, if anything is queued, and the cache on disk. */
int system_disks_create(struct admin *);

/* Members of an object. */
void system_write(struct json_out *, struct admin *);

#endif
