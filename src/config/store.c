/* store.c - where that is kept which must last. */
#include <ctype.h>
#include <string.h>

#include "config/expand.h"
#include "config/fill.h"
#include "config/types.h"
#include "store/sql.h"

enum { KEY_DIGITS = 64, KEYS_MAX = 8, KEY_FILE_MAX = 4096 };

/* ---- store: sqlite:FILE, postgresql://… ------------------------------------------ */

static bool read_store(struct fill *f, const struct directive *d, const struct node *n,
                       void *base) {
    struct gateway_options *o = base;
    struct bytes text, before = BYTES("sqlite:");
    if (!fill_text(f, d, n, &text))
        return false;
    if (!text.len) /* what "${STORE:-}" gives: the default stays */
        return true;
    bool good = !memchr(text.at, 0, text.len);
    if (good &&
        (bytes_starts(text, BYTES("postgresql://")) || bytes_starts(text, BYTES("postgres://")))) {
        o->store_url = fill_copy(f, text);
        return true;
    }
    if (good && memmem(text.at, text.len, "://", 3)) { /* it may have a password in it */
        report_error(f->report, n, d->type->expected, NULL, "%s: there is no such store", f->path);
        return false;
    }
    if (!good || !bytes_starts(text, before) || text.len == before.len)
        return fill_wrong(f, d, n, NULL);
    o->store_file = fill_copy(f, (struct bytes){text.at + before.len, text.len - before.len});
    return true;
}

static void write_store(struct json_out *out, const struct directive *d, const char *key,
                        const void *base) {
    const struct gateway_options *o = base;
    char text[4200];
    if (o->store_url)
        sql_url_show(o->store_url, text, sizeof text);
    else
        snprintf(text, sizeof text, "sqlite:%s", o->store_file);
    json_key_string(out, key, text);
}

const struct directive_type type_store = {
    "sqlite:FILE or postgresql://…",
    "sqlite:FILE, such as sqlite:switchgear.db, or postgresql://user@host/database", read_store,
    write_store};

/* ---- store_key --------------------------------------------------------------- */

/* Keys apart by white space, each of 64 digits. */
static bool keys_are_good(struct bytes text) {
    size_t digits = 0, keys = 0;
    for (size_t i = 0; i <= text.len; i++) {
        unsigned char c = i < text.len ? (unsigned char)text.at[i] : ' ';
        if (isxdigit(c)) {
            digits++;
        } else if (!isspace(c)) {
            return false;
        } else if (digits) {
            if (digits != KEY_DIGITS || ++keys > KEYS_MAX)
                return false;
            digits = 0;
        }
    }
    return true;
}

static bool read_key_file(struct fill *f, const struct node *n, struct bytes *text) {
    char memory[KEY_FILE_MAX], shown[SHOW_SIZE];
    struct buf content;
    buf_init_fixed(&content, memory, sizeof memory);
    int error = fill_secret_file(f, text->at, &content);
    if (error)
        report_error(f->report, n, "a regular file that can be read", NULL, "%s: %s: %s", f->path,
                     report_show(shown, *text), strerror(-error));
    *text = (struct bytes){error ? "" : fill_copy(f, buf_view(&content)), content.len};
    explicit_bzero(memory, sizeof memory);
    return !error;
}

static bool read_store_key(struct fill *f, const struct directive *d, const struct node *n,
                           void *base) {
    struct gateway_options *o = base;
    struct bytes text;
    if (!fill_text(f, d, n, &text))
        return false;
    if (bytes_starts(text, BYTES("file:"))) {
        text = (struct bytes){text.at + 5, text.len - 5};
        if (!read_key_file(f, n, &text))
            return false;
    }
    if (!keys_are_good(text)) {
        report_error(f->report, n, "64 hexadecimal digits, as of openssl rand -hex 32", NULL,
                     "%s is no key", f->path);
        return false;
    }
    o->store_secret = bytes_trim(text).len ? fill_copy(f, text) : NULL;
    return true;
}

static void write_store_key(struct json_out *out, const struct directive *d, const char *key,
                            const void *base) {
    const struct gateway_options *o = base;
    if (o->store_secret)
        json_key_string(out, key, "***");
}

const struct directive_type type_store_key = {
    "secret", "64 hexadecimal digits, ${VARIABLE} or file:/path", read_store_key, write_store_key};
