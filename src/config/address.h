/* address.h - how a configuration writes where something listens or is found.
 *
 * Pure: the results are views of the text that was read. */
#ifndef SWG_CONFIG_ADDRESS_H
#define SWG_CONFIG_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "gateway/options.h"

/* "127.0.0.1:8080", "[::1]:80", "shop.local", "unix:/run/app.sock" */
struct address {
    struct bytes host; /* without brackets; empty for unix */
    bool ipv6;
    bool has_port;
    uint16_t port;
    struct bytes unix_path;
};

/* False when malformed. A host alone is well-formed: see has_port. */
bool address_read(struct bytes, struct address *);
/* A numeric address, v4 or v6. */
bool address_is_numeric(struct bytes host);
/* 127.0.0.0/8, ::1, or localhost. */
bool address_is_loopback(struct bytes host);

/* "10.0.0.0/8", "::1", "2001:db8::/32"; no bits may be set behind the prefix. */
bool cidr_read(struct bytes, struct cidr *);
/* "10.0.0.0/8", as it was meant. */
enum { CIDR_SIZE = 56 };
const char *cidr_write(char out[CIDR_SIZE], const struct cidr *);

/* "http://host[:port][/base]", "tcp://host:port" or "unix:/path" */
struct url {
    struct address address;
    bool tcp;
    struct bytes base_path; /* no slash at its end: "" for "/" */
};

enum url_problem {
    URL_GOOD,
    URL_NO_SCHEME,    /* "127.0.0.1:8001" */
    URL_LATER_SCHEME, /* https, h2c: later versions */
    URL_OTHER_SCHEME,
    URL_USERINFO,
    URL_QUERY, /* '?' or '#' */
    URL_HOST,
    URL_PATH,
    URL_TCP, /* without a port, or with something behind it */
};
enum url_problem url_read(struct bytes, struct url *);

/* A path as it may stand in a request: begins with '/', visible ASCII, no '?'
 * or '#', '%' only before two hex digits, no "." or ".." and no empty segment
 * but the last. */
bool url_path_is_good(struct bytes);

#endif
