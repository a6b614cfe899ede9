#include "wire/http_uri.h"

#include <stdint.h>

#include "wire/chars.h"

/* Past the host of "host:port", or NULL. */
static const char *skip_host(const char *at, const char *end) {
    if (at < end && *at == '[') {
        const char *address = ++at;
        while (at < end && char_is(*at, CHAR_IPV6))
            at++;
        return at < end && *at == ']' && at - address >= 2 ? at + 1 : NULL;
    }
    for (;;) {
        while (at < end && char_is(*at, CHAR_HOST))
            at++;
        if (at == end || *at == ':')
            return at;
        if (*at != '%' || end - at < 3 || !char_is(at[1], CHAR_HEX) || !char_is(at[2], CHAR_HEX))
            return NULL;
        at += 3;
    }
}

/* ":" port, where the port may be empty but not above 65535. */
static bool port_is_valid(const char *at, const char *end) {
    unsigned port = 0;
    if (*at++ != ':' || end - at > 5)
        return false;
    for (; at < end; at++) {
        if (!char_is(*at, CHAR_DIGIT))
            return false;
        port = port * 10 + (unsigned)(*at - '0');
    }
    return port <= UINT16_MAX;
}

bool http_host_is_valid(struct bytes host) {
    const char *end = host.at + host.len;
    const char *stop = skip_host(host.at, end);
    return stop && (stop == end || (stop > host.at && port_is_valid(stop, end)));
}

bool http_target_is_authority(struct bytes target) {
    const char *end = target.at + target.len;
    const char *stop = skip_host(target.at, end);
    return stop && stop > target.at && end - stop > 1 && port_is_valid(stop, end);
}

static bool is_letter(char c) {
    return (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
}

bool http_target_is_absolute(struct bytes target) {
    const char *colon = memchr(target.at, ':', target.len);
    if (!colon || colon == target.at || colon + 1 == target.at + target.len)
        return false;
    if (!is_letter(*target.at))
        return false;
    for (const char *at = target.at + 1; at < colon; at++)
        if (!is_letter(*at) && !char_is(*at, CHAR_DIGIT) && *at != '+' && *at != '-' && *at != '.')
            return false;
    return true;
}
