/* policy_diff.c - in which keys two policies differ. Values are compared as they
 * are printed, so that a type need not know more than reading and writing. */
#include <string.h>

#include "config/config.h"
#include "config/directives.h"
#include "config/types.h"

enum { VALUE_MAX = 1 << 20 };

static const char policy[] = "services.*.";

/* What is compared alone: no group (its keys are rows), nothing of an item. */
static bool is_value(const struct directive *d) {
    return !strncmp(d->path, policy, sizeof policy - 1) && !strchr(d->path, '[') &&
           !(d->flags & (DIRECTIVE_LATER | DIRECTIVE_FILE_ONLY)) && d->type != &type_group;
}

static bool is_switch(const struct directive *d) {
    return d->type == &type_switched || d->type == &type_unless || d->type == &type_shadow;
}

/* {"key": value}; of a switch "on" or "off". */
static void print_value(struct buf *to, const struct directive *d, const struct service_options *s,
                        const char *key) {
    struct json_out out;
    struct buf whole;
    buf_init(&whole, VALUE_MAX);
    json_init(&out, &whole);
    json_object(&out);
    d->type->write(&out, d, key, s);
    json_object_end(&out);
    struct bytes text = buf_view(&whole);
    size_t before = strlen(key) + 4; /* {"key": */
    bool off = text.len > before + 1 && !memcmp(text.at + before, "\"off\"", 5);
    if (is_switch(d))
        buf_string(to, off ? "\"off\"" : "\"on\"");
    else if (text.len > before + 1)
        buf_append(to, text.at + before, text.len - before - 1);
    else
        buf_literal(to, "null");
    buf_free(&whole);
}

static struct bytes for_people(const struct buf *value) {
    struct bytes v = buf_view(value);
    if (bytes_equal(v, BYTES("null")))
        return BYTES("none");
    bool quoted = v.len > 1 && v.at[0] == '"' && v.at[v.len - 1] == '"';
    return quoted ? (struct bytes){v.at + 1, v.len - 2} : v;
}

static void add_words(struct buf *words, const char *key, const struct buf *from,
                      const struct buf *to) {
    buf_printf(words, "%s%s ", words->len ? ", " : "", key);
    buf_bytes(words, for_people(from));
    buf_literal(words, " -> ");
    buf_bytes(words, for_people(to));
}

/* Whether they differ. */
static bool compare(const struct directive *d, const struct service_options *before,
                    const struct service_options *after, struct json_out *out, struct buf *words) {
    struct buf from, to;
    const char *key = d->path + sizeof policy - 1;
    buf_init(&from, VALUE_MAX);
    buf_init(&to, VALUE_MAX);
    print_value(&from, d, before, "v");
    print_value(&to, d, after, "v");
    bool differs = !bytes_equal(buf_view(&from), buf_view(&to));
    if (differs) {
        json_object(out);
        json_key_string(out, "key", key);
        json_key(out, "from");
        json_raw(out, buf_view(&from));
        json_key(out, "to");
        json_raw(out, buf_view(&to));
        json_object_end(out);
        add_words(words, key, &from, &to);
    }
    buf_free(&from);
    buf_free(&to);
    return differs;
}

uint32_t config_write_policy_diff(const struct service_options *before,
                                  const struct service_options *after, struct json_out *out,
                                  struct buf *words) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < directive_count; i++) {
        if (is_value(&directives[i]))
            count += compare(&directives[i], before, after, out, words);
    }
    return count;
}

void config_write_shadow_diff(const struct service_options *s, struct json_out *out) {
    static const char scope[] = "services.*.shadow.breaker";
    for (uint32_t i = 0; i < directive_count; i++) {
        const struct directive *shadow = &directives[i];
        if (!directive_in(shadow, scope))
            continue;
        const char *key = directive_key(shadow);
        const struct directive *live = directive_find("services.*.breaker", bytes_of(key));
        struct buf a, b;
        buf_init(&a, VALUE_MAX);
        buf_init(&b, VALUE_MAX);
        print_value(&a, live, s, "v");
        print_value(&b, shadow, s, "v");
        if (!bytes_equal(buf_view(&a), buf_view(&b))) {
            json_object(out);
            json_key_string(out, "key", key);
            json_key(out, "live");
            json_raw(out, buf_view(&a));
            json_key(out, "shadow");
            json_raw(out, buf_view(&b));
            json_object_end(out);
        }
        buf_free(&a);
        buf_free(&b);
    }
}
