#include "base/rfc3339.h"

#include <time.h>

static const uint64_t LAST_MS = UINT64_C(253402300799999); /* 9999-12-31T23:59:59.999Z */

static char *put_digits(char *at, unsigned n, int count) {
    for (int i = count; i-- > 0; n /= 10)
        at[i] = (char)('0' + n % 10);
    return at + count;
}

static char *put_char(char *at, char c) {
    *at = c;
    return at + 1;
}

void rfc3339_ms(char out[RFC3339_SIZE], uint64_t unix_ms) {
    if (unix_ms > LAST_MS)
        unix_ms = LAST_MS;
    time_t seconds = (time_t)(unix_ms / 1000);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    char *at = put_char(put_digits(out, (unsigned)tm.tm_year + 1900, 4), '-');
    at = put_char(put_digits(at, (unsigned)tm.tm_mon + 1, 2), '-');
    at = put_char(put_digits(at, (unsigned)tm.tm_mday, 2), 'T');
    at = put_char(put_digits(at, (unsigned)tm.tm_hour, 2), ':');
    at = put_char(put_digits(at, (unsigned)tm.tm_min, 2), ':');
    at = put_char(put_digits(at, (unsigned)tm.tm_sec, 2), '.');
    put_char(put_char(put_digits(at, (unsigned)(unix_ms % 1000), 3), 'Z'), '\0');
}
