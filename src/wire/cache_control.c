/* cache_control.c - Cache-Control, RFC 9111 section 5.2.
 *
 * Whoever cannot be understood errs towards not reusing: a number that is none
 * counts as 0, `private` and `no-cache` with a list of fields count as the
 * whole directive unless the caller looks at the _fields flags. Of a number
 * given twice the first counts (section 4.2.1). */
#include <limits.h>
#include <stddef.h>

#include "wire/chars.h"
#include "wire/http.h"

enum directive_kind { FLAG, SECONDS, SECONDS_OR_ANY, FLAG_OR_FIELDS };

/* `at` is where in the struct the directive goes; `fields_at` where a flag that
 * may have a list of fields notes that it had one. */
struct directive {
    const char *name;
    enum directive_kind kind;
    size_t at, fields_at;
};

#define AT(member) offsetof(struct http_cache_control, member)
static const struct directive directives[] = {
    {"max-age", SECONDS, AT(max_age), 0},
    {"no-cache", FLAG_OR_FIELDS, AT(no_cache), AT(no_cache_fields)},
    {"no-store", FLAG, AT(no_store), 0},
    {"public", FLAG, AT(public_), 0},
    {"private", FLAG_OR_FIELDS, AT(private_), AT(private_fields)},
    {"must-revalidate", FLAG, AT(must_revalidate), 0},
    {"s-maxage", SECONDS, AT(s_maxage), 0},
    {"stale-while-revalidate", SECONDS, AT(stale_while_revalidate), 0},
    {"stale-if-error", SECONDS, AT(stale_if_error), 0},
    {"max-stale", SECONDS_OR_ANY, AT(max_stale), 0},
    {"min-fresh", SECONDS, AT(min_fresh), 0},
    {"proxy-revalidate", FLAG, AT(proxy_revalidate), 0},
    {"must-understand", FLAG, AT(must_understand), 0},
    {"only-if-cached", FLAG, AT(only_if_cached), 0},
    {"no-transform", FLAG, AT(no_transform), 0},
    {"immutable", FLAG, AT(immutable), 0},
};
#undef AT

void http_cache_control_init(struct http_cache_control *control) {
    *control = (struct http_cache_control){
        .max_age = -1,
        .s_maxage = -1,
        .stale_while_revalidate = -1,
        .stale_if_error = -1,
        .max_stale = -1,
        .min_fresh = -1,
    };
}

/* RFC 9111 section 5.2: token or quoted-string, whichever the grammar says. */
static struct bytes unquoted(struct bytes text) {
    if (text.len < 2 || text.at[0] != '"' || text.at[text.len - 1] != '"')
        return text;
    return (struct bytes){text.at + 1, text.len - 2};
}

static int32_t read_seconds(struct bytes text) {
    int64_t number = 0;
    text = unquoted(text);
    for (size_t i = 0; i < text.len; i++) {
        if (!char_is(text.at[i], CHAR_DIGIT))
            return 0;
        if (number <= INT32_MAX)
            number = number * 10 + (text.at[i] - '0');
    }
    return number > INT32_MAX ? INT32_MAX : (int32_t)number;
}

static void set(struct http_cache_control *control, const struct directive *directive,
                const struct bytes *value) {
    char *at = (char *)control + directive->at;
    switch (directive->kind) {
    case FLAG_OR_FIELDS:
        if (value)
            *((bool *)((char *)control + directive->fields_at)) = true;
        *(bool *)at = true;
        break;
    case FLAG:
        *(bool *)at = true;
        break;
    case SECONDS:
    case SECONDS_OR_ANY:
        if (*(int32_t *)(void *)at >= 0)
            break;
        *(int32_t *)(void *)at = value                               ? read_seconds(*value)
                                 : directive->kind == SECONDS_OR_ANY ? INT32_MAX
                                                                     : 0;
        break;
    }
}

static void add_element(struct http_cache_control *control, struct bytes element) {
    const char *equals = memchr(element.at, '=', element.len);
    struct bytes name = element, value = {NULL, 0};
    if (equals) {
        name.len = (size_t)(equals - element.at);
        value = (struct bytes){equals + 1, element.len - name.len - 1};
    }
    for (size_t i = 0; i < sizeof directives / sizeof directives[0]; i++)
        if (bytes_equal_nocase(name, bytes_of(directives[i].name))) {
            set(control, &directives[i], equals ? &value : NULL);
            return;
        }
}

void http_cache_control_add(struct http_cache_control *control, struct bytes value) {
    struct bytes element;
    while (http_list_next(&value, &element))
        add_element(control, element);
}
