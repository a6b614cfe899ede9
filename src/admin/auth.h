/* auth.h - who may do what.
 *
 *                       loopback address            any other address
 *                    no token     a token
 *   probes, /metrics    free         free                 free
 *   reading             free¹        free¹, or token      token
 *   changing            free²        token²               token²
 *
 * ¹ unless a web page of somewhere else had its own name lead to us (DNS
 *   rebinding): the request's Host must then be a loopback name or address.
 * ² and no web page of another origin may be behind it: Origin must be our own
 *   and Sec-Fetch-Site same-origin, where a browser says them; without a token
 *   the rule of ¹ holds too. */
#ifndef SWG_ADMIN_AUTH_H
#define SWG_ADMIN_AUTH_H

#include "admin/api.h"

/* False, with the problem in the response: 401 or 403. */
bool auth_permits(struct request *, enum access, struct response *);

/* For what even those on a loopback address may see only with the token: false,
 * with the problem in the response. */
bool auth_demands_token(struct request *, struct response *);

/* For tests. In time that depends on `given` alone. */
bool auth_token_is(const char *token, struct bytes given);
/* "localhost", "localhost:9797", "127.0.0.1", "[::1]:9797" … */
bool auth_is_loopback_authority(struct bytes);

#endif
