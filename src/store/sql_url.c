/* sql_url.c - whose a URL is, and how it is shown. Pure; the configuration links
 * it without the databases. */
#include "store/sql.h"

#include <string.h>

/* No database in memory, no URI of SQLite's own, which could say what we say. */
static bool is_path(struct bytes path) {
    return path.len && path.at[0] != ':' && !bytes_starts(path, BYTES("//")) &&
           !bytes_starts(path, BYTES("file:"));
}

bool sql_dialect_of(const char *url, enum sql_dialect *dialect) {
    struct bytes all = bytes_of(url);
    *dialect = bytes_starts(all, BYTES("sqlite:")) ? SQL_SQLITE : SQL_POSTGRES;
    if (*dialect == SQL_SQLITE)
        return is_path((struct bytes){all.at + 7, all.len - 7});
    return bytes_starts(all, BYTES("postgresql://")) || bytes_starts(all, BYTES("postgres://"));
}

/* ---- the URL, for people ----------------------------------------------------------- */

/* The value of a password= among the parameters. */
static bool is_secret(struct bytes pair) {
    return bytes_starts(pair, BYTES("password=")) || bytes_starts(pair, BYTES("sslpassword="));
}

static void show_parameters(struct buf *to, struct bytes rest) {
    struct bytes pair;
    char before = '?';
    while (bytes_split(&rest, '&', &pair)) {
        buf_char(to, before);
        before = '&';
        if (is_secret(pair)) {
            buf_append(to, pair.at, (size_t)((char *)memchr(pair.at, '=', pair.len) - pair.at));
            buf_literal(to, "=***");
        } else {
            buf_bytes(to, pair);
        }
    }
}

void sql_url_show(const char *url, char *out, size_t size) {
    enum sql_dialect dialect;
    struct buf to;
    buf_init_fixed(&to, out, size);
    out[0] = '\0';
    if (!sql_dialect_of(url, &dialect) || dialect == SQL_SQLITE) {
        buf_append(&to, url, strlen(url) < size ? strlen(url) : size - 1);
        return;
    }
    const char *host = strstr(url, "://") + 3;
    const char *question = strchr(host, '?');
    const char *end = question ? question : host + strlen(host);
    /* The last @ before the path: libpq takes the first, so a password with an
     * @ of its own is wrong; it is not shown all the same. */
    const char *at = memrchr(host, '@', (size_t)(end - host));
    const char *colon = at ? memchr(host, ':', (size_t)(at - host)) : NULL;
    const char *shown = colon ? colon : end;
    buf_append(&to, url, (size_t)(shown - url));
    if (colon) {
        buf_literal(&to, ":***");
        buf_append(&to, at, (size_t)(end - at));
    }
    if (question)
        show_parameters(&to, bytes_of(question + 1));
}
