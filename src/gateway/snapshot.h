/* snapshot.h - what the gateway knows of its services, as bytes, for the process
 * that takes over: states, windows and manual control of all breakers, of
 * services and databases (switchgear/snapshot.h).
 *
 * Format: pieces of kind u8 ('s' service, 'd' database), length of the name u32,
 * the name, length of the snapshot u32, the snapshot; numbers are little-endian.
 *
 * Threading: the control thread. */
#ifndef SWG_GATEWAY_SNAPSHOT_H
#define SWG_GATEWAY_SNAPSHOT_H

#include "base/buf.h"
#include "gateway/gateway.h"

enum { GATEWAY_SNAPSHOT_MAX = 256 << 20 };

/* Appends to `out`; 0 or -ENOMEM. */
int gateway_snapshot(struct gateway *, struct buf *out);
/* What the bytes know of services that there are; the rest is passed over. How many
 * breakers were restored, or -EBADMSG when the bytes are damaged: those before the
 * damage have been. */
int gateway_restore(struct gateway *, struct bytes);

#endif
