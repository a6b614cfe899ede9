/* value_source.c - the names of values (value.h), which the configuration reads
 * too: apart from the reading of values, so that it needs no gateway. */
#include <stdio.h>
#include <string.h>

#include "gateway/value.h"

static const struct {
    const char *word;
    enum value_from from;
    bool named;
} sources[] = {
    {"path", VALUE_FROM_PATH, true},
    {"query", VALUE_FROM_QUERY, true},
    {"header", VALUE_FROM_HEADER, true},
    {"body", VALUE_FROM_BODY, true},
    {"method", VALUE_FROM_METHOD, false},
    {"target", VALUE_FROM_TARGET, false},
    {"host", VALUE_FROM_HOST, false},
    {"service", VALUE_FROM_SERVICE, false},
    {"request_id", VALUE_FROM_REQUEST_ID, false},
};

bool value_source_parse(struct value_source *out, const char *text) {
    const char *dot = strchr(text, '.');
    size_t len = dot ? (size_t)(dot - text) : strlen(text);
    for (size_t i = 0; i < sizeof sources / sizeof sources[0]; i++) {
        if (strlen(sources[i].word) != len || memcmp(sources[i].word, text, len) != 0)
            continue;
        if (sources[i].named != (dot && dot[1]) || strlen(text) > VALUE_NAME_MAX)
            return false;
        *out = (struct value_source){.from = sources[i].from, .name = dot ? dot + 1 : ""};
        return true;
    }
    return false;
}

const char *value_source_text(const struct value_source *s, char out[VALUE_NAME_SIZE]) {
    snprintf(out, VALUE_NAME_SIZE, "%s", s->name);
    for (size_t i = 0; i < sizeof sources / sizeof sources[0]; i++) {
        if (sources[i].from == s->from)
            snprintf(out, VALUE_NAME_SIZE, "%s%s%s", sources[i].word, sources[i].named ? "." : "",
                     s->name);
    }
    return out;
}

bool value_source_is_callers(const struct value_source *s) {
    return s->from != VALUE_FROM_TEXT && s->from != VALUE_FROM_METHOD &&
           s->from != VALUE_FROM_SERVICE;
}
