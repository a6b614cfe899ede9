/* outbox_json.h - entries of the outbox as the API shows them. */
#ifndef SWG_ADMIN_OUTBOX_JSON_H
#define SWG_ADMIN_OUTBOX_JSON_H

#include "admin/request.h"
#include "gateway/queue.h"

/* How much of an entry is told. Target and fields may name customers, values and
 * body may be their data. */
enum outbox_detail { OUTBOX_BRIEF, OUTBOX_NAMES, OUTBOX_CONTENT };

/* From OUTBOX_NAMES on the entry has its content, or `content_error`: -ENOENT where
 * it is no longer kept. */
void outbox_write_entry(struct json_out *, const struct outbox_entry *, enum outbox_detail,
                        int content_error);
void outbox_write_queue(struct json_out *, struct queue *, uint32_t dead_letters);

/* Whether a field carries what lets somebody in. */
bool outbox_is_credential(struct bytes name);

#endif
