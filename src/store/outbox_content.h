/* outbox_content.h - what an entry says, as bytes to be kept; for outbox_*.c.
 *
 * Fields and body are one piece, sealed where there is a secret, and bound to the
 * entry by its id. Threading: one thread. */
#ifndef SWG_STORE_OUTBOX_CONTENT_H
#define SWG_STORE_OUTBOX_CONTENT_H

#include <stddef.h>

#include "store/outbox.h"
#include "store/seal.h"

enum { OUTBOX_PRINT_LEN = 32 };

/* `secret` may be NULL: *out is NULL then. 0, or -errno with the reason in `why`. */
int outbox_open_sealer(struct sealer **out, const char *secret, char *why, size_t why_size);

/* `sealer` may be NULL. 0, -E2BIG, -ENOMEM, -EIO. */
int outbox_pack(struct sealer *, const struct outbox_entry *, struct arena *, struct bytes *out);
/* Sets fields and body; content_len is known. 0, -EBADMSG, -ENOMEM. */
int outbox_unpack(struct sealer *, struct bytes in, bool sealed, struct arena *,
                  struct outbox_entry *);
/* Tells whether two requests under one key are the same. 0 or -ENOMEM. */
int outbox_fingerprint(const struct outbox_entry *, unsigned char out[OUTBOX_PRINT_LEN]);
/* 0 or -EIO. */
int outbox_make_id(char id[OUTBOX_ID_LEN + 1], int64_t now_ms);

#endif
