/* types_policy.c - values of a policy that fill more than one field, or a set. */
#include <string.h>

#include "config/fill.h"
#include "config/suggest.h"
#include "config/types.h"
#include "config/value.h"

enum { HEADERS_IN_KEY_MAX = 32, FIELDS_IN_KEY_MAX = 32, FIELD_BYTES_MAX = 256 };

/* ---- breaker.window: a number is calls, a duration is time ------------- */

static const uint64_t window_calls_max = 10000;

static bool read_window(struct fill *f, const struct directive *d, const struct node *n,
                        void *base) {
    struct swg_breaker_options *breaker = (void *)((char *)base + d->offset);
    struct bytes text;
    uint64_t calls, ns;
    if (!fill_text(f, d, n, &text))
        return false;
    if (value_count(text, &calls)) {
        if (calls < 1 || calls > window_calls_max)
            return fill_wrong(f, d, n, NULL);
        breaker->window_calls = (uint32_t)calls;
        breaker->window_ns = 0;
        return true;
    }
    if (!value_duration(text, &ns) || ns < d->min || ns > d->max)
        return fill_wrong(f, d, n, NULL);
    breaker->window_calls = 0;
    breaker->window_ns = ns;
    return true;
}

static void write_window(struct json_out *out, const struct directive *d, const char *key,
                         const void *base) {
    const struct swg_breaker_options *breaker = (const void *)((const char *)base + d->offset);
    char text[64];
    struct buf to;
    if (breaker->window_calls) {
        json_key_uint(out, key, breaker->window_calls);
        return;
    }
    buf_init_fixed(&to, text, sizeof text);
    value_write_duration(&to, breaker->window_ns);
    json_key_string(out, key, text);
}

const struct directive_type type_window = {
    "number or duration", "a number of calls from 1 to 10000, or a duration from 10ms to 24h",
    read_window, write_window};

/* ---- retry.on ---------------------------------------------------------- */

static bool add_retry_reason(struct fill *f, const struct directive *d, const struct node *n,
                             struct swg_retry_options *retry) {
    struct bytes text;
    uint64_t status;
    if (!fill_text(f, d, n, &text))
        return false;
    if (bytes_equal(text, BYTES("connect"))) {
        retry->on_connect = true;
    } else if (bytes_equal(text, BYTES("reset"))) {
        retry->on_reset = true;
    } else if (bytes_equal(text, BYTES("timeout"))) {
        retry->on_timeout = true;
    } else if (value_count(text, &status) && status >= 400 && status <= 599) {
        swg_status_set(retry->on_status, (int)status);
    } else {
        struct suggestion s;
        suggest_begin(&s, text);
        suggest_offer(&s, "connect");
        suggest_offer(&s, "reset");
        suggest_offer(&s, "timeout");
        return fill_wrong_but(f, n, d->type->expected, s.best);
    }
    return true;
}

static bool read_retry_on(struct fill *f, const struct directive *d, const struct node *n,
                          void *base) {
    struct swg_retry_options *retry = (void *)((char *)base + d->offset);
    if (n->kind == NODE_MAP)
        return fill_wrong(f, d, n, NULL);
    if (!items_count(n))
        return fill_wrong_but(f, n, "at least one reason; max: 0 switches retries off", NULL);
    retry->on_connect = retry->on_reset = retry->on_timeout = false;
    memset(retry->on_status, 0, sizeof retry->on_status);
    struct items items = items_of(n);
    const struct node *item;
    bool good = true;
    while ((item = items_next(&items)) != NULL)
        good = add_retry_reason(f, d, item, retry) && good;
    return good;
}

static void write_retry_on(struct json_out *out, const struct directive *d, const char *key,
                           const void *base) {
    const struct swg_retry_options *retry = (const void *)((const char *)base + d->offset);
    json_key_array(out, key);
    if (retry->on_connect)
        json_string(out, "connect");
    if (retry->on_reset)
        json_string(out, "reset");
    if (retry->on_timeout)
        json_string(out, "timeout");
    for (int status = 400; status < 600; status++) {
        if (swg_status_in(retry->on_status, status))
            json_int(out, status);
    }
    json_array_end(out);
}

const struct directive_type type_retry_on = {
    "list of connect, reset, timeout and statuses",
    "a list of connect, reset, timeout and statuses from 400 to 599", read_retry_on,
    write_retry_on};

/* ---- cache.key --------------------------------------------------------- */

static const struct {
    const char *word;
    enum cache_key_part part;
} key_parts[] = {
    {"method", KEY_METHOD}, {"host", KEY_HOST}, {"path", KEY_PATH},
    {"query", KEY_QUERY},   {"body", KEY_BODY},
};
enum { KEY_PARTS = 5 };

static bool is_token(struct bytes text) {
    for (size_t i = 0; i < text.len; i++) {
        char c = text.at[i];
        bool good = ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || (c >= '0' && c <= '9') ||
                    (c && strchr("!#$%&'*+-.^_`|~", c));
        if (!good)
            return false;
    }
    return text.len > 0 && text.len <= 256;
}

bool header_name_is_good(struct bytes name) {
    return is_token(name);
}

/* Names and indices, joined by dots; none of them empty. */
static bool is_body_field(struct bytes text) {
    bool good = text.len > 0 && text.len <= FIELD_BYTES_MAX && !memchr(text.at, '\0', text.len);
    for (size_t i = 0; good && i < text.len; i++) {
        bool ends = i + 1 == text.len || text.at[i + 1] == '.';
        good = text.at[i] != '.' || (i > 0 && !ends);
    }
    return good;
}

static bool add_body_field(struct fill *f, const struct node *n, struct bytes field,
                           struct cache_options *cache, const char **fields) {
    if (!is_body_field(field))
        return fill_wrong_but(f, n, "a field such as body.model or body.filter.0.id", NULL);
    if (cache->body_field_count == FIELDS_IN_KEY_MAX)
        return fill_wrong_but(f, n, "at most 32 fields of the body", NULL);
    fields[cache->body_field_count++] = fill_copy(f, field);
    cache->key |= KEY_BODY_FIELDS;
    return true;
}

static bool add_key_part(struct fill *f, const struct directive *d, const struct node *n,
                         struct cache_options *cache, const char **headers, const char **fields) {
    struct bytes text;
    struct suggestion s;
    if (!fill_text(f, d, n, &text))
        return false;
    if (bytes_starts(text, BYTES("header.")) &&
        is_token((struct bytes){text.at + 7, text.len - 7})) {
        if (cache->header_count == HEADERS_IN_KEY_MAX)
            return fill_wrong_but(f, n, "at most 32 header fields", NULL);
        headers[cache->header_count++] = fill_copy(f, (struct bytes){text.at + 7, text.len - 7});
        return true;
    }
    if (bytes_starts(text, BYTES("body.")))
        return add_body_field(f, n, (struct bytes){text.at + 5, text.len - 5}, cache, fields);
    suggest_begin(&s, text);
    for (int i = 0; i < KEY_PARTS; i++) {
        if (bytes_equal(text, bytes_of(key_parts[i].word))) {
            cache->key |= key_parts[i].part;
            return true;
        }
        suggest_offer(&s, key_parts[i].word);
    }
    return fill_wrong_but(f, n, d->type->expected, s.best);
}

static bool read_cache_key(struct fill *f, const struct directive *d, const struct node *n,
                           void *base) {
    struct cache_options *cache = (void *)((char *)base + d->offset);
    if (n->kind == NODE_MAP || !items_count(n))
        return fill_wrong(f, d, n, NULL);
    const char **headers = fill_alloc(f, HEADERS_IN_KEY_MAX, sizeof *headers);
    const char **fields = fill_alloc(f, FIELDS_IN_KEY_MAX, sizeof *fields);
    if (!headers || !fields)
        return false;
    cache->key = 0;
    cache->header_count = cache->body_field_count = 0;
    cache->headers = headers;
    cache->body_fields = fields;
    struct items items = items_of(n);
    const struct node *item;
    bool good = true;
    while ((item = items_next(&items)) != NULL)
        good = add_key_part(f, d, item, cache, headers, fields) && good;
    return good;
}

static void write_cache_key(struct json_out *out, const struct directive *d, const char *key,
                            const void *base) {
    const struct cache_options *cache = (const void *)((const char *)base + d->offset);
    char text[300];
    json_key_array(out, key);
    for (int i = 0; i < KEY_PARTS; i++) {
        if (cache->key & key_parts[i].part)
            json_string(out, key_parts[i].word);
    }
    for (uint32_t i = 0; i < cache->header_count; i++) {
        snprintf(text, sizeof text, "header.%s", cache->headers[i]);
        json_string(out, text);
    }
    for (uint32_t i = 0; i < cache->body_field_count; i++) {
        snprintf(text, sizeof text, "body.%s", cache->body_fields[i]);
        json_string(out, text);
    }
    json_array_end(out);
}

const struct directive_type type_cache_key = {
    "list of method, host, path, query, body, body.FIELD and header.NAME",
    "a list of method, host, path, query, body, body.FIELD and header.NAME", read_cache_key,
    write_cache_key};

/* ---- log.requests ------------------------------------------------------ */

static bool read_requests(struct fill *f, const struct directive *d, const struct node *n,
                          void *base) {
    struct log_options *log = (void *)((char *)base + d->offset);
    struct bytes text, one;
    uint64_t sample;
    if (!fill_text(f, d, n, &text))
        return false;
    for (const struct choice *c = d->choices; c->word; c++) {
        if (bytes_equal(text, bytes_of(c->word))) {
            log->requests = (enum log_requests)c->value;
            log->sample = 1;
            return true;
        }
    }
    if (!bytes_split(&text, '/', &one) || !bytes_equal(one, BYTES("1")) ||
        !value_count(text, &sample) || sample < 1 || sample > 1000000)
        return fill_wrong(f, d, n, NULL);
    log->requests = LOG_REQUESTS_SAMPLED;
    log->sample = (uint32_t)sample;
    return true;
}

static void write_requests(struct json_out *out, const struct directive *d, const char *key,
                           const void *base) {
    const struct log_options *log = (const void *)((const char *)base + d->offset);
    char text[32];
    for (const struct choice *c = d->choices; c->word; c++) {
        if (log->requests == (enum log_requests)c->value) {
            json_key_string(out, key, c->word);
            return;
        }
    }
    snprintf(text, sizeof text, "1/%u", log->sample);
    json_key_string(out, key, text);
}

const struct directive_type type_requests = {"word or share", "a share such as 1/100",
                                             read_requests, write_requests};
