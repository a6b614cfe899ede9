/* seal.h - bytes at rest that only who has the secret can read.
 *
 * AES-256-GCM (NIST SP 800-38D) with a random nonce each: sealed bytes can neither
 * be read, nor changed, nor put in another's place, as `about` (who they belong
 * to) is a part of the seal. One secret is good for 2^32 seals.
 *
 *   version 1 (1 byte) | name of the secret (8) | nonce (12) | sealed | tag (16)
 *
 * Threading: a sealer belongs to one thread. */
#ifndef SWG_STORE_SEAL_H
#define SWG_STORE_SEAL_H

#include <stddef.h>

#include "base/bytes.h"

struct sealer;

enum { SEAL_EXTRA = 1 + 8 + 12 + 16, SEAL_SECRETS_MAX = 8 };

/* `secrets`: one or more of 64 hexadecimal digits, apart by white space. The first
 * seals, all open: a new one is put in front, the old ones stay until nothing
 * is sealed with them. 0, -EINVAL (none, too many, other characters), -ENOMEM. */
int sealer_create(struct sealer **out, const char *secrets);
/* Wipes the secrets. NULL is fine. */
void sealer_destroy(struct sealer *);

/* `out` has room for plain.len + SEAL_EXTRA, which is what it gets. 0 or -EIO. */
int seal(struct sealer *, struct bytes about, struct bytes plain, unsigned char *out);
/* `out` has room for sealed.len; *len is what it got. -EBADMSG: damaged, from
 * elsewhere, or sealed with a secret that is not here. */
int unseal(struct sealer *, struct bytes about, struct bytes sealed, unsigned char *out,
           size_t *len);

#endif
