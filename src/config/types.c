/* types.c - values that are one scalar, and the groups around them.
 *
 * Each type has a pair of functions, read and write, that are each other's
 * inverse: what is written reads back to the same value. */
#include "config/types.h"

#include <errno.h>
#include <string.h>

#include "config/address.h"
#include "config/expand.h"
#include "config/fill.h"
#include "config/print.h"
#include "config/value.h"

enum { TEXT_MAX = 4096 };

static bool special(struct fill *, const struct directive *, struct bytes text, void *base);
static bool store(struct fill *, const struct directive *, const struct node *, uint64_t,
                  void *base);

/* ---- groups ------------------------------------------------------------ */

/* `retry: off` has a clear meaning, but another spelling. */
static bool refuse_group(struct fill *f, const struct directive *d, const struct node *n) {
    bool off = n->kind == NODE_SCALAR &&
               (bytes_equal(n->text, BYTES("off")) || bytes_equal(n->text, BYTES("false")));
    const char *key = directive_key(d);
    char expected[128];
    if (!off || !directive_find("services.*.enabled", bytes_of(key)))
        return fill_wrong(f, d, n, NULL);
    snprintf(expected, sizeof expected, "a mapping; enabled: {%s: false} switches it off", key);
    return fill_wrong_but(f, n, expected, NULL);
}

static bool read_group(struct fill *f, const struct directive *d, const struct node *n,
                       void *base) {
    if (node_is_null(n))
        return true;
    if (n->kind != NODE_MAP)
        return refuse_group(f, d, n);
    fill_map(f, d->path, n, base);
    return true;
}

static void write_group(struct json_out *out, const struct directive *d, const char *key,
                        const void *base) {
    json_key_object(out, key);
    print_scope(out, d->path, base);
    json_object_end(out);
}

const struct directive_type type_group = {"mapping", "a mapping", read_group, write_group};

static bool read_switched(struct fill *f, const struct directive *d, const struct node *n,
                          void *base) {
    bool off = n->kind == NODE_SCALAR && bytes_equal(n->text, BYTES("off"));
    if (!off && n->kind != NODE_MAP)
        return fill_wrong(f, d, n, NULL);
    field_set(d, base, off == (d->type == &type_unless));
    if (!off)
        fill_map(f, d->path, n, base);
    return true;
}

static void write_switched(struct json_out *out, const struct directive *d, const char *key,
                           const void *base) {
    if (field_get(d, base) == (d->type == &type_switched))
        write_group(out, d, key, base);
    else
        json_key_string(out, key, "off");
}

const struct directive_type type_switched = {"mapping", "a mapping, or off", read_switched,
                                             write_switched};
/* The field says the opposite: retry.budget: off is unlimited. */
const struct directive_type type_unless = {"mapping", "a mapping, or off", read_switched,
                                           write_switched};

/* ---- yes and no -------------------------------------------------------- */

static bool read_bool(struct fill *f, const struct directive *d, const struct node *n, void *base) {
    struct bytes text;
    bool yes;
    if (!fill_text(f, d, n, &text))
        return false;
    if (!value_bool(text, &yes))
        return fill_wrong(f, d, n, NULL);
    field_set(d, base, d->type == &type_bool ? yes : !yes);
    return true;
}

static void write_bool(struct json_out *out, const struct directive *d, const char *key,
                       const void *base) {
    json_key_bool(out, key, field_get(d, base) == (d->type == &type_bool));
}

const struct directive_type type_bool = {"true or false", NULL, read_bool, write_bool};
/* The field says the opposite: enabled.breaker: false is no_breaker. */
const struct directive_type type_not_bool = {"true or false", NULL, read_bool, write_bool};

/* ---- numbers ----------------------------------------------------------- */

/* All numbers read alike: text, special word, parse, bounds. */
static bool read_number(struct fill *f, const struct directive *d, const struct node *n,
                        bool parse(struct bytes, uint64_t *), void *base) {
    struct bytes text;
    uint64_t value;
    if (!fill_text(f, d, n, &text))
        return false;
    if (special(f, d, text, base))
        return true;
    if (!parse(text, &value))
        return fill_wrong(f, d, n, NULL);
    return store(f, d, n, value, base);
}

static bool special(struct fill *f, const struct directive *d, struct bytes text, void *base) {
    if (!d->special.word || !bytes_equal(text, bytes_of(d->special.word)))
        return false;
    field_set(d, base, d->special.value);
    return true;
}

/* Zero may be a special value however it is written: "0s", "0%". */
static bool store(struct fill *f, const struct directive *d, const struct node *n, uint64_t value,
                  void *base) {
    if (value == 0 && d->special.word && d->special.word[0] == '0') {
        field_set(d, base, d->special.value);
        return true;
    }
    uint64_t max = d->max ? d->max : UINT32_MAX - 1;
    if (value < d->min || value > max)
        return fill_wrong(f, d, n, NULL);
    field_set(d, base, value);
    return true;
}

static bool write_special(struct json_out *out, const struct directive *d, const char *key,
                          const void *base) {
    if (!d->special.word || field_get(d, base) != d->special.value)
        return false;
    uint64_t number;
    if (value_count(bytes_of(d->special.word), &number))
        json_key_uint(out, key, number);
    else
        json_key_string(out, key, d->special.word);
    return true;
}

static bool read_count(struct fill *f, const struct directive *d, const struct node *n,
                       void *base) {
    return read_number(f, d, n, value_count, base);
}

/* A count that is not given, like consecutive, is 0 and below its bounds: it
 * is left out, since it could not be read back. */
static void write_count(struct json_out *out, const struct directive *d, const char *key,
                        const void *base) {
    uint64_t value = field_get(d, base);
    if (!write_special(out, d, key, base) && value >= d->min)
        json_key_uint(out, key, value);
}

static bool read_duration(struct fill *f, const struct directive *d, const struct node *n,
                          void *base) {
    return read_number(f, d, n, value_duration, base);
}

static bool read_size(struct fill *f, const struct directive *d, const struct node *n, void *base) {
    return read_number(f, d, n, value_size, base);
}

static bool read_percent(struct fill *f, const struct directive *d, const struct node *n,
                         void *base) {
    return read_number(f, d, n, value_percent, base);
}

static void write_measured(struct json_out *out, const struct directive *d, const char *key,
                           const void *base) {
    char text[64];
    struct buf to;
    uint64_t value = field_get(d, base);
    if (write_special(out, d, key, base) || value < d->min)
        return;
    buf_init_fixed(&to, text, sizeof text);
    if (d->type == &type_duration)
        value_write_duration(&to, value);
    else if (d->type == &type_size)
        value_write_size(&to, value);
    else
        buf_printf(&to, "%llu%s", (unsigned long long)value, d->type == &type_percent ? "%" : "/s");
    json_key_string(out, key, text);
}

const struct directive_type type_count = {"number", "a whole number", read_count, write_count};
const struct directive_type type_duration = {"duration", "a duration such as 250ms, 5s or 1h",
                                             read_duration, write_measured};
const struct directive_type type_size = {"size", "a size such as 64KiB", read_size, write_measured};
const struct directive_type type_percent = {"percentage", "a whole percentage such as 50%",
                                            read_percent, write_measured};

/* ---- rates ------------------------------------------------------------- */

static bool read_rate(struct fill *f, const struct directive *d, const struct node *n, void *base) {
    struct swg_rate_options *rate = (void *)((char *)base + d->offset);
    struct bytes text;
    uint64_t calls, per_ns;
    if (!fill_text(f, d, n, &text))
        return false;
    if (!value_rate(text, &calls, &per_ns) || calls < d->min || calls > d->max)
        return fill_wrong(f, d, n, NULL);
    rate->calls = calls;
    rate->per_ns = per_ns;
    return true;
}

static void write_rate(struct json_out *out, const struct directive *d, const char *key,
                       const void *base) {
    const struct swg_rate_options *rate = (const void *)((const char *)base + d->offset);
    char text[64];
    struct buf to;
    if (!rate->calls)
        return;
    buf_init_fixed(&to, text, sizeof text);
    value_write_rate(&to, rate->calls, rate->per_ns);
    json_key_string(out, key, text);
}

const struct directive_type type_rate = {"rate", "a rate such as 100/s or 10/m", read_rate,
                                         write_rate};

static bool parse_per_second(struct bytes text, uint64_t *out) {
    uint64_t calls, per_ns;
    if (!value_rate(text, &calls, &per_ns))
        return false;
    uint64_t seconds = per_ns / SWG_SECONDS(1);
    *out = calls / seconds;
    return calls % seconds == 0;
}

static bool read_per_second(struct fill *f, const struct directive *d, const struct node *n,
                            void *base) {
    return read_number(f, d, n, parse_per_second, base);
}

const struct directive_type type_per_second = {"rate", "a whole number a second, such as 10/s",
                                               read_per_second, write_measured};

/* ---- words ------------------------------------------------------------- */

static bool read_choice(struct fill *f, const struct directive *d, const struct node *n,
                        void *base) {
    struct bytes text;
    if (!fill_text(f, d, n, &text))
        return false;
    for (const struct choice *c = d->choices; c->word; c++) {
        if (!bytes_equal(text, bytes_of(c->word)))
            continue;
        if (c->later)
            return fill_later(f, n, c->word);
        if (d->width)
            field_set(d, base, c->value);
        return true;
    }
    return fill_wrong(f, d, n, NULL);
}

/* A field of width 0 has only one choice, the one that is supported so far. */
static void write_choice(struct json_out *out, const struct directive *d, const char *key,
                         const void *base) {
    for (const struct choice *c = d->choices; c->word; c++) {
        if (!c->later && (!d->width || field_get(d, base) == c->value)) {
            json_key_string(out, key, c->word);
            return;
        }
    }
}

const struct directive_type type_choice = {"word", NULL, read_choice, write_choice};

static bool is_one_line(struct bytes text) {
    for (size_t i = 0; i < text.len; i++) {
        if ((unsigned char)text.at[i] < 0x20 || text.at[i] == 0x7f)
            return false;
    }
    return text.len > 0 && text.len <= TEXT_MAX;
}

static bool read_text(struct fill *f, const struct directive *d, const struct node *n, void *base) {
    struct bytes text;
    if (!fill_text(f, d, n, &text))
        return false;
    if (!is_one_line(text) || (d->type == &type_path && !url_path_is_good(text)))
        return fill_wrong(f, d, n, NULL);
    const char *copy = fill_copy(f, text);
    memcpy((char *)base + d->offset, &copy, sizeof copy);
    return true;
}

static void write_text(struct json_out *out, const struct directive *d, const char *key,
                       const void *base) {
    const char *text;
    memcpy(&text, (const char *)base + d->offset, sizeof text);
    if (text)
        json_key_string(out, key, text);
}

const struct directive_type type_text = {"text", "one line of text", read_text, write_text};
const struct directive_type type_path = {"path", "a path such as /v1/items", read_text, write_text};

/* ---- secrets ----------------------------------------------------------- */

/* No message ever shows what a secret is, only where. */
static bool secret_is_good(struct bytes text) {
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] <= ' ' || text.at[i] >= 0x7f)
            return false;
    }
    return text.len <= TEXT_MAX;
}

static bool read_secret_file(struct fill *f, const struct node *n, struct bytes *text) {
    struct buf content;
    buf_init(&content, (size_t)SECRET_MAX * 2);
    int error = fill_secret_file(f, text->at, &content);
    const char *copy =
        error ? NULL : arena_copy(f->scratch, (struct bytes){buf_cstr(&content), content.len});
    size_t len = content.len;
    if (content.at)
        explicit_bzero(content.at, content.size);
    buf_free(&content);
    char shown[SHOW_SIZE];
    if (error)
        report_error(f->report, n, "a regular file that can be read", NULL, "%s: %s: %s", f->path,
                     report_show(shown, *text), strerror(-error));
    if (!copy)
        return false;
    *text = (struct bytes){copy, len};
    return true;
}

static bool read_secret(struct fill *f, const struct directive *d, const struct node *n,
                        void *base) {
    struct bytes text;
    if (n->kind != NODE_SCALAR)
        return fill_wrong(f, d, n, NULL);
    if (!fill_text(f, d, n, &text))
        return false;
    if (bytes_starts(text, BYTES("file:"))) {
        text = (struct bytes){text.at + 5, text.len - 5};
        if (!read_secret_file(f, n, &text))
            return false;
    }
    if (!secret_is_good(text)) {
        report_error(f->report, n, "visible ASCII without spaces, at most 4096 characters", NULL,
                     "%s has characters that a header field cannot carry", f->path);
        return false;
    }
    /* Empty is none: what "${TOKEN:-}" gives when nobody set it. */
    const char *copy = text.len ? fill_copy(f, text) : NULL;
    memcpy((char *)base + d->offset, &copy, sizeof copy);
    return true;
}

static void write_secret(struct json_out *out, const struct directive *d, const char *key,
                         const void *base) {
    const char *text;
    memcpy(&text, (const char *)base + d->offset, sizeof text);
    if (text)
        json_key_string(out, key, "***");
}

const struct directive_type type_secret = {"secret", "text, ${VARIABLE} or file:/path", read_secret,
                                           write_secret};

/* ---- later versions ---------------------------------------------------- */

static bool read_later(struct fill *f, const struct directive *d, const struct node *n,
                       void *base) {
    return fill_later(f, n, NULL);
}

static void write_nothing(struct json_out *out, const struct directive *d, const char *key,
                          const void *base) {
}

const struct directive_type type_later = {"later", NULL, read_later, write_nothing};

static bool read_empty(struct fill *f, const struct directive *d, const struct node *n,
                       void *base) {
    struct bytes text;
    if (n->kind != NODE_SCALAR)
        return fill_later(f, n, NULL);
    return fill_text(f, d, n, &text) && (text.len == 0 || fill_later(f, n, NULL));
}

const struct directive_type type_empty = {"text", NULL, read_empty, write_nothing};

/* ---- bounds, in words -------------------------------------------------- */

static void write_bound(const struct directive *d, uint64_t value, struct buf *to) {
    if (d->type == &type_duration)
        value_write_duration(to, value);
    else if (d->type == &type_size)
        value_write_size(to, value);
    else
        buf_printf(to, "%llu%s", (unsigned long long)value,
                   d->type == &type_percent      ? "%"
                   : d->type == &type_per_second ? "/s"
                                                 : "");
}

void directive_bounds(const struct directive *d, struct buf *to) {
    if (!d->max || d->type == &type_rate)
        return;
    buf_literal(to, " from ");
    write_bound(d, d->min, to);
    buf_literal(to, " to ");
    write_bound(d, d->max, to);
}
