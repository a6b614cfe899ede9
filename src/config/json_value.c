/* json_value.c - see json_value.h.
 *
 * The graph behind aliases can unfold to far more than the file holds; what
 * ends that is the bound of the buffer and a bound on the number of values. */
#include "config/json_value.h"

#include <string.h>

#include "base/json_out.h"

enum { VALUES_MAX = 200000, NESTED_MAX = JSON_DEPTH_MAX - 2 };

struct writer {
    struct fill *fill;
    struct json_out out;
    uint32_t values, depth;
};

static bool write_value(struct writer *, const struct node *);
static bool write_scalar(struct writer *, const struct node *);
static bool write_number(struct writer *, const struct node *, struct bytes);
static bool is_json_number(struct bytes);
static bool is_word(struct bytes, const char *lower);

bool json_value_write(struct fill *f, const struct node *n, struct buf *to) {
    struct writer w = {.fill = f};
    json_init(&w.out, to);
    if (!write_value(&w, n))
        return false;
    if (to->failed)
        return fill_wrong_but(f, n, "at most 1 MiB as JSON", NULL);
    return json_done(&w.out);
}

static bool write_value(struct writer *w, const struct node *n) {
    if (w->depth == NESTED_MAX || w->values == VALUES_MAX || w->out.to->failed)
        return fill_wrong_but(w->fill, n, "at most 1 MiB as JSON, and at most 30 levels", NULL);
    w->values++;
    if (n->kind == NODE_SCALAR)
        return write_scalar(w, n);
    bool good = true;
    w->depth++;
    if (n->kind == NODE_MAP)
        json_object(&w->out);
    else
        json_array(&w->out);
    for (const struct node_entry *e = n->first; good && e; e = e->next) {
        if (e->key)
            json_key_bytes(&w->out, e->key->text);
        good = write_value(w, e->value);
    }
    if (good && n->kind == NODE_MAP)
        json_object_end(&w->out);
    else if (good)
        json_array_end(&w->out);
    w->depth--;
    return good;
}

static bool write_scalar(struct writer *w, const struct node *n) {
    struct bytes text;
    if (!fill_text(w->fill, NULL, n, &text))
        return false;
    if (!n->plain)
        json_bytes(&w->out, text);
    else if (node_is_null(n))
        json_null(&w->out);
    else if (is_word(text, "true") || is_word(text, "false"))
        json_bool(&w->out, (text.at[0] | 0x20) == 't');
    else
        return write_number(w, n, text);
    return true;
}

/* Numbers keep the digits that they were written with: 0.10 stays 0.10, and
 * one beyond 2^53 keeps them all. */
static bool write_number(struct writer *w, const struct node *n, struct bytes text) {
    struct bytes digits = text;
    if (digits.len > 1 && digits.at[0] == '+')
        digits = (struct bytes){text.at + 1, text.len - 1};
    if (is_json_number(digits)) {
        json_raw(&w->out, digits);
        return true;
    }
    if (is_word(digits, ".inf") || is_word(digits, "-.inf") || is_word(digits, ".nan"))
        return fill_wrong_but(w->fill, n, "a number that JSON has, or text in quotes", NULL);
    json_bytes(&w->out, text);
    return true;
}

static size_t skip_digits(struct bytes text, size_t at) {
    while (at < text.len && text.at[at] >= '0' && text.at[at] <= '9')
        at++;
    return at;
}

/* RFC 8259 section 6 */
static bool is_json_number(struct bytes text) {
    size_t at = text.len && text.at[0] == '-';
    size_t whole = skip_digits(text, at);
    if (whole == at || (text.at[at] == '0' && whole > at + 1))
        return false;
    at = whole;
    if (at < text.len && text.at[at] == '.') {
        size_t end = skip_digits(text, at + 1);
        if (end == at + 1)
            return false;
        at = end;
    }
    if (at < text.len && (text.at[at] | 0x20) == 'e') {
        at++;
        if (at < text.len && (text.at[at] == '+' || text.at[at] == '-'))
            at++;
        size_t end = skip_digits(text, at);
        if (end == at)
            return false;
        at = end;
    }
    return at == text.len;
}

/* "true", "True", "TRUE", as YAML's core schema has them. */
static bool is_word(struct bytes text, const char *lower) {
    if (text.len != strlen(lower) || !bytes_equal_nocase(text, bytes_of(lower)))
        return false;
    size_t upper = 0, letters = 0;
    for (size_t i = 0; i < text.len; i++) {
        letters += (text.at[i] | 0x20) >= 'a' && (text.at[i] | 0x20) <= 'z';
        upper += text.at[i] >= 'A' && text.at[i] <= 'Z';
    }
    bool first = (text.at[0] >= 'A' && text.at[0] <= 'Z');
    return upper == 0 || upper == letters || (upper == 1 && first);
}
