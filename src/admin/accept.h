/* accept.h - what a client would rather have: the Accept field.
 *
 * RFC 9110 section 12.5.1, as far as a server with two formats needs it:
 * ranges with wildcards are not looked at, so that a client gets the unusual
 * format only by its name. */
#ifndef SWG_ADMIN_ACCEPT_H
#define SWG_ADMIN_ACCEPT_H

#include "base/bytes.h"

/* The weight of this media type, 0…1000; 0: not named, or not wanted. */
unsigned accept_quality(struct bytes accept, struct bytes type);

#endif
