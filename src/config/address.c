/* address.c - see address.h. */
#include "config/address.h"

#include <arpa/inet.h>
#include <stdio.h>

enum { HOST_MAX = 253, UNIX_PATH_MAX_LEN = 107 };

static bool read_port(struct bytes, uint16_t *);
static bool host_is_good(struct bytes);
static bool is_ipv6(struct bytes);
static bool to_numeric(struct bytes host, struct in6_addr *out, bool *v4);
static bool is_hex(char);
static bool segment_is_good(struct bytes);
static bool prefix_is_clean(const struct in6_addr *, unsigned bits);

static const struct bytes unix_scheme = {"unix:", 5};

bool address_read(struct bytes text, struct address *out) {
    *out = (struct address){.host = BYTES(""), .unix_path = BYTES("")};
    if (bytes_starts(text, unix_scheme)) {
        out->unix_path = (struct bytes){text.at + 5, text.len - 5};
        return out->unix_path.len > 1 && out->unix_path.len <= UNIX_PATH_MAX_LEN &&
               out->unix_path.at[0] == '/' && !memchr(out->unix_path.at, 0, out->unix_path.len);
    }
    struct bytes port;
    if (text.len && text.at[0] == '[') {
        const char *close = memchr(text.at, ']', text.len);
        if (!close)
            return false;
        out->host = (struct bytes){text.at + 1, (size_t)(close - text.at) - 1};
        port = (struct bytes){close + 1, text.len - (size_t)(close - text.at) - 1};
        out->ipv6 = true;
        if (!is_ipv6(out->host) || (port.len && port.at[0] != ':'))
            return false;
    } else {
        const char *colon = memchr(text.at, ':', text.len);
        out->host = (struct bytes){text.at, colon ? (size_t)(colon - text.at) : text.len};
        port = (struct bytes){text.at + out->host.len, text.len - out->host.len};
        if (!host_is_good(out->host))
            return false;
    }
    out->has_port = port.len > 0;
    return !port.len || read_port((struct bytes){port.at + 1, port.len - 1}, &out->port);
}

bool address_is_numeric(struct bytes host) {
    struct in6_addr ignored;
    bool v4;
    return to_numeric(host, &ignored, &v4);
}

bool address_is_loopback(struct bytes host) {
    struct in6_addr a;
    bool v4;
    if (bytes_equal_nocase(host, BYTES("localhost")))
        return true;
    if (!to_numeric(host, &a, &v4))
        return false;
    return IN6_IS_ADDR_V4MAPPED(&a) ? a.s6_addr[12] == 127 : IN6_IS_ADDR_LOOPBACK(&a);
}

bool cidr_read(struct bytes text, struct cidr *out) {
    const char *slash = text.len ? memchr(text.at, '/', text.len) : NULL;
    struct bytes host = {text.at, slash ? (size_t)(slash - text.at) : text.len};
    bool v4;
    unsigned bits = 0;
    if (!to_numeric(host, &out->address, &v4))
        return false;
    if (slash) {
        struct bytes digits = {slash + 1, text.len - host.len - 1};
        if (!digits.len || digits.len > 3 || (digits.len > 1 && digits.at[0] == '0'))
            return false;
        for (size_t i = 0; i < digits.len; i++) {
            if (digits.at[i] < '0' || digits.at[i] > '9')
                return false;
            bits = bits * 10 + (unsigned)(digits.at[i] - '0');
        }
        if (bits > (v4 ? 32U : 128U))
            return false;
    }
    out->bits = (uint8_t)(slash ? bits + (v4 ? 96 : 0) : 128);
    return prefix_is_clean(&out->address, out->bits);
}

const char *cidr_write(char out[CIDR_SIZE], const struct cidr *c) {
    char host[INET6_ADDRSTRLEN] = "";
    bool v4 = IN6_IS_ADDR_V4MAPPED(&c->address) && c->bits >= 96;
    if (v4)
        inet_ntop(AF_INET, &c->address.s6_addr[12], host, sizeof host);
    else
        inet_ntop(AF_INET6, &c->address, host, sizeof host);
    snprintf(out, CIDR_SIZE, "%s/%d", host, v4 ? c->bits - 96 : c->bits);
    return out;
}

static enum url_problem read_tcp(struct bytes rest, struct url *out) {
    out->tcp = true;
    if (rest.len && memchr(rest.at, '@', rest.len))
        return URL_USERINFO;
    bool good = address_read(rest, &out->address) && !out->address.unix_path.len &&
                out->address.has_port && out->address.port;
    return good ? URL_GOOD : URL_TCP;
}

enum url_problem url_read(struct bytes text, struct url *out) {
    *out = (struct url){.base_path = BYTES("")};
    if (bytes_starts(text, unix_scheme))
        return address_read(text, &out->address) ? URL_GOOD : URL_PATH;
    const char *mark = memmem(text.at, text.len, "://", 3);
    if (!mark)
        return URL_NO_SCHEME;
    struct bytes scheme = {text.at, (size_t)(mark - text.at)};
    if (bytes_equal(scheme, BYTES("https")) || bytes_equal(scheme, BYTES("h2c")))
        return URL_LATER_SCHEME;
    struct bytes rest = {mark + 3, text.len - scheme.len - 3};
    if (bytes_equal(scheme, BYTES("tcp")))
        return read_tcp(rest, out);
    if (!bytes_equal(scheme, BYTES("http")))
        return URL_OTHER_SCHEME;
    if (memchr(rest.at, '?', rest.len) || memchr(rest.at, '#', rest.len))
        return URL_QUERY;
    const char *slash = memchr(rest.at, '/', rest.len);
    struct bytes authority = {rest.at, slash ? (size_t)(slash - rest.at) : rest.len};
    struct bytes path = {rest.at + authority.len, rest.len - authority.len};
    if (memchr(authority.at, '@', authority.len))
        return URL_USERINFO;
    if (!address_read(authority, &out->address) || out->address.unix_path.len ||
        (out->address.has_port && !out->address.port))
        return URL_HOST;
    if (!out->address.has_port)
        out->address.port = 80;
    if (path.len && !url_path_is_good(path))
        return URL_PATH;
    if (path.len && path.at[path.len - 1] == '/')
        path.len--;
    out->base_path = path;
    return URL_GOOD;
}

bool url_path_is_good(struct bytes path) {
    if (!path.len || path.at[0] != '/')
        return false;
    struct bytes rest = {path.at + 1, path.len - 1}, segment;
    while (bytes_split(&rest, '/', &segment)) {
        if (!segment.len || !segment_is_good(segment))
            return false;
    }
    return true;
}

static bool segment_is_good(struct bytes s) {
    if (bytes_equal(s, BYTES(".")) || bytes_equal(s, BYTES("..")))
        return false;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.at[i];
        if (c <= ' ' || c >= 0x7f || strchr("?#\"<>\\^`", c))
            return false;
        if (c == '%' && (s.len - i < 3 || !is_hex(s.at[i + 1]) || !is_hex(s.at[i + 2])))
            return false;
    }
    return true;
}

static bool is_hex(char c) {
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}

static bool read_port(struct bytes digits, uint16_t *out) {
    unsigned port = 0;
    if (!digits.len || digits.len > 5)
        return false;
    for (size_t i = 0; i < digits.len; i++) {
        if (digits.at[i] < '0' || digits.at[i] > '9')
            return false;
        port = port * 10 + (unsigned)(digits.at[i] - '0');
    }
    *out = (uint16_t)port;
    return port <= 65535;
}

/* A name or a v4 address: what DNS and /etc/hosts can hold, not more. */
static bool host_is_good(struct bytes host) {
    if (!host.len || host.len > HOST_MAX || host.at[0] == '-' || host.at[0] == '.')
        return false;
    for (size_t i = 0; i < host.len; i++) {
        char c = host.at[i];
        bool letter = (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
        if (!letter && !(c >= '0' && c <= '9') && c != '-' && c != '.' && c != '_')
            return false;
        if (c == '.' && i + 1 < host.len && host.at[i + 1] == '.')
            return false;
    }
    /* All digits and dots, but no address: "10.0.0" is a slip, not a name. */
    char last = host.at[host.len - 1];
    return !(last >= '0' && last <= '9' && strspn(host.at, "0123456789.") >= host.len) ||
           address_is_numeric(host);
}

static bool is_ipv6(struct bytes host) {
    struct in6_addr ignored;
    bool v4;
    return to_numeric(host, &ignored, &v4) && !v4;
}

static bool to_numeric(struct bytes host, struct in6_addr *out, bool *v4) {
    char text[INET6_ADDRSTRLEN];
    struct in_addr four;
    if (!host.len || host.len >= sizeof text || memchr(host.at, 0, host.len))
        return false;
    memcpy(text, host.at, host.len);
    text[host.len] = '\0';
    *v4 = inet_pton(AF_INET, text, &four) == 1;
    if (!*v4)
        return inet_pton(AF_INET6, text, out) == 1;
    *out = (struct in6_addr){.s6_addr = {[10] = 0xff, [11] = 0xff}};
    memcpy(&out->s6_addr[12], &four, sizeof four);
    return true;
}

static bool prefix_is_clean(const struct in6_addr *a, unsigned bits) {
    for (unsigned i = bits; i < 128; i++) {
        if (a->s6_addr[i / 8] >> (7 - i % 8) & 1)
            return false;
    }
    return true;
}
