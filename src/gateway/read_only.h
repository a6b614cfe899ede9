/* read_only.h - a service that is degraded takes no writes meanwhile.
 *
 * Decided before the call begins, from the state of its breakers: the call is
 * then refused with SWG_REFUSED_READ_ONLY and goes to the fallback chain, where
 * a queue may still take the write. Reads go on as ever.
 *
 * So that a service that gets nothing but writes is ever tried again, the write
 * that comes when a try is due is let through, unless a queue replays writes
 * anyway. Requests of our own are not judged.
 *
 * In an emergency (manager.h) every service may be read-only, whatever it says of
 * itself; which methods and statements only read still holds. */
#ifndef SWG_GATEWAY_READ_ONLY_H
#define SWG_GATEWAY_READ_ONLY_H

#include <stdbool.h>

struct exchange;

/* Only the body tells whether it is a write. */
bool read_only_needs_body(struct exchange *);
bool read_only_refuses(struct exchange *);

#endif
