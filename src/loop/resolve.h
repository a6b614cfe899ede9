/* resolve.h - names to addresses without blocking: numbers, /etc/hosts, DNS.
 *
 * Over c-ares, driven by a loop. The system's own configuration applies
 * (/etc/resolv.conf, /etc/nsswitch.conf, /etc/hosts); it is read once, by
 * loop_resolver_create(), except /etc/hosts, which is read for each question.
 *
 * Threading: the loop's thread; one resolver a loop. Units: ns; TTL in s. */
#ifndef SWG_LOOP_RESOLVE_H
#define SWG_LOOP_RESOLVE_H

#include <netinet/in.h>
#include <stdint.h>
#include <sys/socket.h>

#include "loop/loop.h"

#define LOOP_RESOLVE_MAX 16

struct loop_resolver;
struct loop_lookup;

union loop_address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static inline socklen_t loop_address_len(const union loop_address *a) {
    return a->any.sa_family == AF_INET6 ? sizeof a->v6 : sizeof a->v4;
}

/* One question and its answer. Embedded by who asks; begins zeroed but for
 * on_done. */
struct loop_resolve {
    /* Once for each question, never inside loop_resolve_start(). 0 with at
     * least one address, best first (RFC 6724), or
     *   -ENOENT     there is no such name, or it has no address
     *   -ETIMEDOUT  the limit passed
     *   -EAGAIN     no server answered properly; later it may be otherwise
     *   -ENOMEM
     * May ask again with the same struct, or free it. */
    void (*on_done)(struct loop_resolve *, int status);
    const char *reason; /* of a failure, in words; static */
    unsigned count;
    uint32_t ttl_s; /* the least of the records'; 0 where none is known (a number,
                     * /etc/hosts), or where the server said 0 */
    union loop_address addresses[LOOP_RESOLVE_MAX]; /* with the port */

    struct loop_lookup *lookup; /* the implementation's; NULL: not asking */
};

struct loop_resolver_options {
    const char *servers; /* "127.0.0.1:5353,[::1]:53"; default: the system's */
    int try_ms;          /* for the first answer of a server; default 2000 */
    int tries;           /* of each server; default 3 */
};

/* 0 or -errno; -EINVAL for `servers` that cannot be read. */
int loop_resolver_create(struct loop_resolver **out, struct loop *,
                         const struct loop_resolver_options *);

/* What is still asked gets no answer; its structs are free at once. */
void loop_resolver_destroy(struct loop_resolver *);

/* Asks for the addresses of `name` (copied; "[::1]" is understood too) with
 * port `port`, for at most limit_ns. 0, or -EINVAL for what can be no name, or
 * -ENOMEM; then no callback comes. */
int loop_resolve_start(struct loop_resolver *, struct loop_resolve *, const char *name,
                       uint16_t port, uint64_t limit_ns);

/* No callback comes any more. Harmless when not asking. */
void loop_resolve_cancel(struct loop_resolve *);

#endif
