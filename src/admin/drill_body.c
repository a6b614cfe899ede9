/* drill_body.c - see drill_body.h. */
#include "admin/drill_body.h"

#include <jansson.h>
#include <string.h>

#include "config/value.h"
#include "wire/chars.h"

struct reading {
    struct drill *drill;
    uint64_t for_ns;
    bool has_kind, has_status;
};

/* ---- values ---------------------------------------------------------------------- */

static bool take_text(const json_t *value, char *to, size_t size) {
    size_t len = json_string_length(value);
    if (!json_is_string(value) || len >= size)
        return false;
    memcpy(to, json_string_value(value), len + 1);
    return true;
}

static bool take_kind(const json_t *value, struct reading *r) {
    const char *word = json_string_value(value);
    for (int k = 0; word && k < SWG__DRILL_KINDS; k++) {
        if (strcmp(word, swg__drill_word((enum swg__drill_kind)k)) != 0)
            continue;
        r->drill->rule.kind = (enum swg__drill_kind)k;
        return r->has_kind = true;
    }
    return false;
}

static bool take_delay(const json_t *value, struct drill *d) {
    double ms = json_number_value(value);
    if (!json_is_number(value) || !(ms > 0) || ms > (double)DRILL_DELAY_MAX_NS / 1e6)
        return false;
    d->rule.delay_ns = (uint64_t)(ms * 1e6);
    return true;
}

static bool take_status(const json_t *value, struct reading *r) {
    json_int_t status = json_integer_value(value);
    r->has_status = json_is_integer(value) && status >= 400 && status <= 599;
    r->drill->rule.status = (int)status;
    return r->has_status;
}

static bool take_percent(const json_t *value, struct drill *d) {
    double percent = json_number_value(value);
    if (!json_is_number(value) || !(percent >= 0 && percent <= 100))
        return false;
    d->rule.share = (uint32_t)(percent * (SWG__DRILL_ALWAYS / 100.0) + 0.5);
    return true;
}

static bool copy(struct bytes from, char *to, size_t size) {
    if (from.len >= size)
        return false;
    memcpy(to, from.at, from.len);
    to[from.len] = '\0';
    return true;
}

/* "X-Drill: yes", or "X-Drill" for any value. */
static bool take_field(const json_t *value, struct drill *d) {
    struct bytes text = {json_string_value(value), json_string_length(value)}, name;
    if (!json_is_string(value) || !bytes_split(&text, ':', &name) || !name.len)
        return false;
    for (size_t i = 0; i < name.len; i++) {
        if (!char_is(name.at[i], CHAR_TOKEN))
            return false;
    }
    struct bytes wanted = bytes_trim(text);
    for (size_t i = 0; i < wanted.len; i++) {
        if (!char_is(wanted.at[i], CHAR_VALUE))
            return false;
    }
    return copy(name, d->field, sizeof d->field) && copy(wanted, d->value, sizeof d->value);
}

static bool take_duration(const json_t *value, struct reading *r) {
    struct bytes text = {json_string_value(value), json_string_length(value)};
    return json_is_string(value) && value_duration(text, &r->for_ns) && r->for_ns > 0 &&
           r->for_ns <= DRILL_FOR_MAX_NS;
}

/* ---- members --------------------------------------------------------------------- */

/* NULL: it was read; else what would be right. */
static const char *take(const char *key, const json_t *value, struct reading *r) {
    struct drill *d = r->drill;
    if (!strcmp(key, "service"))
        return take_text(value, d->service, sizeof d->service) ? NULL : "the name of a service";
    if (!strcmp(key, "endpoint"))
        return take_text(value, d->endpoint, sizeof d->endpoint)
                   ? NULL
                   : "the URL of an endpoint, as the configuration has it";
    if (!strcmp(key, "kind"))
        return take_kind(value, r) ? NULL : "delay, error or abort";
    if (!strcmp(key, "delay_ms"))
        return take_delay(value, d) ? NULL : "a number of milliseconds, above 0 and at most 600000";
    if (!strcmp(key, "status"))
        return take_status(value, r) ? NULL : "an HTTP status from 400 to 599";
    if (!strcmp(key, "percent"))
        return take_percent(value, d) ? NULL : "a number from 0 to 100";
    if (!strcmp(key, "header"))
        return take_field(value, d) ? NULL : "a header field such as \"X-Drill: yes\"";
    if (!strcmp(key, "for"))
        return take_duration(value, r) ? NULL : "a duration such as 30s or 5m, at most 1h";
    if (!strcmp(key, "reason"))
        return take_text(value, d->reason, sizeof d->reason) ? NULL
                                                             : "a string of at most 100 bytes";
    if (!strcmp(key, "author"))
        return take_text(value, d->author, sizeof d->author) ? NULL
                                                             : "a string of at most 47 bytes";
    return "not known here; expected service, endpoint, kind, delay_ms, status, percent, header, "
           "for, reason or author";
}

static bool complain(struct buf *wrong, const char *sentence) {
    buf_string(wrong, sentence);
    return false;
}

/* What must be there, and what does not go together. */
static bool check(struct reading *r, struct buf *wrong) {
    struct swg__drill *rule = &r->drill->rule;
    if (!*r->drill->service)
        return complain(wrong, "service is missing: the name of a service");
    if (!r->has_kind)
        return complain(wrong, "kind is missing: delay, error or abort");
    if (!r->for_ns)
        return complain(wrong, "for is missing: every drill ends, after at most 1h");
    if (rule->kind == SWG__DRILL_DELAY && !rule->delay_ns)
        return complain(wrong, "delay_ms is missing: how long the delay is");
    if (rule->kind != SWG__DRILL_ERROR && r->has_status)
        return complain(wrong, "status is for kind \"error\" only");
    if (rule->kind == SWG__DRILL_ERROR && !r->has_status)
        rule->status = 503;
    return true;
}

bool drill_body_read(struct bytes text, struct drill *out, uint64_t *for_ns, struct buf *wrong) {
    struct reading r = {.drill = out};
    json_error_t error = {.text = ""};
    const char *key, *expected;
    json_t *value;
    *out = (struct drill){.rule.share = SWG__DRILL_ALWAYS};
    json_t *root = json_loadb(text.at, text.len, JSON_REJECT_DUPLICATES, &error);
    bool ok = json_is_object(root);
    if (!ok)
        buf_printf(wrong, "the body is not a JSON object%s%s", *error.text ? ": " : "", error.text);
    if (ok) {
        json_object_foreach(root, key, value) {
            if (!ok || !(expected = take(key, value, &r)))
                continue;
            buf_printf(wrong, "\"%.64s\": %s", key, expected);
            ok = false;
        }
    }
    ok = ok && check(&r, wrong);
    json_decref(root);
    *for_ns = r.for_ns;
    return ok;
}
