/* http_uri.h - the parts of URIs that a parser of heads must judge. RFC 3986. */
#ifndef SWG_WIRE_HTTP_URI_H
#define SWG_WIRE_HTTP_URI_H

#include <stdbool.h>

#include "base/bytes.h"

/* uri-host [":" port], less what nobody needs and parsers disagree about:
 * commas, a port without a host or above 65535, zones and future versions of
 * addresses. Empty is valid: a target without authority has such a Host. */
bool http_host_is_valid(struct bytes);

/* The same with both given, as CONNECT has it. */
bool http_target_is_authority(struct bytes);

/* scheme ":" and something (section 4.3); what follows is not looked at. */
bool http_target_is_absolute(struct bytes);

#endif
