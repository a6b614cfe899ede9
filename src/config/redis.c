/* redis.c - where a Redis is. */
#include <string.h>

#include "config/address.h"
#include "config/fill.h"
#include "config/types.h"
#include "config/value.h"

enum { PORT_USUAL = 6379, DATABASE_MAX = 65535, PREFIX_MAX = 64 };

static bool split_url(struct bytes text, struct address *address, struct bytes *database) {
    *database = (struct bytes){0};
    if (bytes_starts(text, BYTES("unix:")))
        return address_read(text, address);
    if (!bytes_starts(text, BYTES("redis://")))
        return false;
    text = (struct bytes){text.at + 8, text.len - 8};
    const char *slash = text.len ? memchr(text.at, '/', text.len) : NULL;
    if (slash) {
        *database = (struct bytes){slash + 1, text.len - (size_t)(slash + 1 - text.at)};
        text.len = (size_t)(slash - text.at);
    }
    return address_read(text, address) && address->host.len;
}

/* A password in the URL would be shown wherever the URL is. */
static bool read_url(struct fill *f, const struct directive *d, const struct node *n, void *base) {
    struct cache_redis_options *o = (void *)((char *)base + d->offset);
    struct bytes text, database;
    struct address address;
    uint64_t number = 0;
    if (!fill_text(f, d, n, &text))
        return false;
    if (text.len && memchr(text.at, '@', text.len)) {
        report_error(f->report, n, "cache_redis.user and cache_redis.password for these", NULL,
                     "%s has a user or a password in it", f->path);
        return false;
    }
    if (!split_url(text, &address, &database) ||
        (database.len && (!value_count(database, &number) || number > DATABASE_MAX)))
        return fill_wrong(f, d, n, NULL);
    bool unix_socket = address.unix_path.len > 0;
    o->configured = true;
    o->unix_path = unix_socket ? fill_copy(f, address.unix_path) : NULL;
    o->host = unix_socket ? NULL : fill_copy(f, address.host);
    o->port = address.has_port ? address.port : PORT_USUAL;
    o->database = (uint32_t)number;
    return true;
}

static void write_url(struct json_out *out, const struct directive *d, const char *key,
                      const void *base) {
    const struct cache_redis_options *o = (const void *)((const char *)base + d->offset);
    char text[400];
    if (!o->configured)
        return;
    if (o->unix_path)
        snprintf(text, sizeof text, "unix:%s", o->unix_path);
    else
        snprintf(text, sizeof text,
                 strchr(o->host, ':') ? "redis://[%s]:%u/%u" : "redis://%s:%u/%u", o->host, o->port,
                 o->database);
    json_key_string(out, key, text);
}

const struct directive_type type_redis_url = {
    "redis:// or unix: URL", "redis://host:port/database, or unix:/path", read_url, write_url};

static bool read_prefix(struct fill *f, const struct directive *d, const struct node *n,
                        void *base) {
    struct bytes text;
    if (!fill_text(f, d, n, &text))
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] <= ' ' || text.at[i] > '~')
            return fill_wrong(f, d, n, NULL);
    }
    if (text.len > PREFIX_MAX)
        return fill_wrong(f, d, n, NULL);
    const char *copy = fill_copy(f, text);
    memcpy((char *)base + d->offset, &copy, sizeof copy);
    return true;
}

static void write_prefix(struct json_out *out, const struct directive *d, const char *key,
                         const void *base) {
    const char *text;
    memcpy(&text, (const char *)base + d->offset, sizeof text);
    if (text)
        json_key_string(out, key, text);
}

const struct directive_type type_redis_prefix = {"text", "visible ASCII, at most 64 characters",
                                                 read_prefix, write_prefix};
