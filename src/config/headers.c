/* headers.c - header fields in a configuration: of answers, and of requests that
 * go to another service. */
#include <string.h>

#include "config/expand.h"
#include "config/fill.h"
#include "config/template_fill.h"
#include "config/types.h"

enum { HEADERS_MAX = 64, VALUE_MAX = 4096 };

static bool value_is_good(struct bytes value) {
    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.at[i];
        if ((c < ' ' && c != '\t') || c == 0x7f)
            return false;
    }
    return value.len <= VALUE_MAX;
}

static bool is_one_of(struct bytes name, const char *const *names) {
    for (; *names; names++) {
        if (bytes_equal_nocase(name, bytes_of(*names)))
            return true;
    }
    return false;
}

/* Fields that tell where the message ends, or that the gateway sets. */
static bool is_reserved(struct bytes name, bool request) {
    static const char *const both[] = {
        "Connection", "Content-Length",    "Date",    "Keep-Alive", "Proxy-Connection", "TE",
        "Trailer",    "Transfer-Encoding", "Upgrade", NULL};
    static const char *const requests[] = {"Host",
                                           "Expect",
                                           "Forwarded",
                                           "X-Forwarded-For",
                                           "X-Forwarded-Host",
                                           "X-Forwarded-Proto",
                                           "X-Request-Id",
                                           "X-Correlation-Id",
                                           NULL};
    static const char *const answers[] = {"Content-Type", NULL};
    return is_one_of(name, both) || is_one_of(name, request ? requests : answers);
}

static bool name_is_free(struct fill *f, const struct node *key, bool request) {
    char shown[SHOW_SIZE];
    if (!header_name_is_good(key->text)) {
        report_error(f->report, key, "the name of a header field", NULL, "%s: %s is none", f->path,
                     report_show(shown, key->text));
        return false;
    }
    if (is_reserved(key->text, request)) {
        bool type = bytes_equal_nocase(key->text, BYTES("Content-Type"));
        report_error(f->report, key, type ? "content_type beside headers" : NULL, NULL,
                     "%s: %s is the gateway's to set", f->path, key->text.at);
        return false;
    }
    return true;
}

/* No message shows what a secret is. */
static bool read_secret(struct fill *f, const struct node *n, struct bytes path,
                        struct header_value *out) {
    struct buf content;
    char shown[SHOW_SIZE];
    buf_init(&content, (size_t)SECRET_MAX * 2);
    int error = fill_secret_file(f, path.at, &content);
    struct bytes value = {buf_cstr(&content), content.len};
    bool good = !error && value.len && value_is_good(value);
    if (error)
        report_error(f->report, n, "a regular file that can be read", NULL, "%s: %s: %s", f->path,
                     report_show(shown, path), strerror(-error));
    else if (!good)
        report_error(f->report, n, "one line of text", NULL,
                     "%s: what is in the file is no header field", f->path);
    else
        out->value = fill_copy(f, value);
    if (content.at)
        explicit_bzero(content.at, content.size);
    buf_free(&content);
    out->secret = true;
    return good;
}

static bool read_header(struct fill *f, const struct directive *d, const struct node_entry *e,
                        bool request, struct header_value *out) {
    struct bytes value;
    if (!name_is_free(f, e->key, request))
        return false;
    out->name = fill_copy(f, e->key->text);
    if (request && node_is_null(e->value))
        return true;
    if (!fill_text(f, d, e->value, &value))
        return false;
    if (request && bytes_starts(value, BYTES("file:")))
        return read_secret(f, e->value, (struct bytes){value.at + 5, value.len - 5}, out);
    if (!value_is_good(value))
        return fill_wrong_but(f, e->value, "one line of text", NULL);
    out->value = fill_copy(f, bytes_trim(value));
    if (!template_is_needed(bytes_of(out->value)))
        return true;
    out->filled = fill_template(f, e->value, bytes_of(out->value), TEMPLATE_FIELD, NULL);
    return out->filled != NULL;
}

bool fill_headers(struct fill *f, const struct directive *d, const struct node *n, bool removes,
                  const struct header_value **out, uint32_t *count) {
    if (n->kind != NODE_MAP || n->count > HEADERS_MAX)
        return fill_wrong(f, d, n, NULL);
    struct header_value *all = fill_alloc(f, n->count, sizeof *all);
    uint32_t i = 0;
    for (const struct node_entry *e = n->first; all && e; e = e->next) {
        all[i] = (struct header_value){0};
        i += read_header(f, d, e, removes, &all[i]);
    }
    *out = all;
    *count = i;
    return i == n->count;
}

/* What was written in the file itself may be a secret as well. */
static bool looks_secret(const char *name) {
    static const char *const words[] = {"authorization", "cookie", "key",
                                        "token",         "secret", "password"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcasestr(name, words[i]))
            return true;
    }
    return false;
}

void fill_headers_write(struct json_out *out, const char *key, const struct header_value *all,
                        uint32_t count) {
    if (!count)
        return;
    json_key_object(out, key);
    for (uint32_t i = 0; i < count; i++) {
        bool secret = all[i].secret || (looks_secret(all[i].name) && !all[i].filled);
        json_key_string(out, all[i].name, secret && all[i].value ? "***" : all[i].value);
    }
    json_object_end(out);
}
