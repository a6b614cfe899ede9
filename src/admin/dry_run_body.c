/* dry_run_body.c - see dry_run_body.h. */
#include "admin/dry_run_body.h"

#include <jansson.h>

static bool complain(struct buf *wrong, const char *sentence) {
    buf_string(wrong, sentence);
    return false;
}

static bool is_token(const char *text) {
    for (const char *c = text; *c; c++) {
        bool letter = (*c | 0x20) >= 'a' && (*c | 0x20) <= 'z';
        if (!letter && !(*c >= '0' && *c <= '9') && !strchr("-_.!#$%&'*+^`|~", *c))
            return false;
    }
    return *text != '\0';
}

static bool is_one_line(const char *text) {
    for (const char *c = text; *c; c++) {
        if (((unsigned char)*c < ' ' && *c != '\t') || *c == 0x7f)
            return false;
    }
    return true;
}

static bool take_text(const json_t *value, char *to, size_t size) {
    if (!json_is_string(value) || json_string_length(value) >= size ||
        !is_one_line(json_string_value(value)))
        return false;
    memcpy(to, json_string_value(value), json_string_length(value) + 1);
    return true;
}

static bool take_path(const json_t *value, struct buf *to) {
    const char *path = json_string_value(value);
    if (!path || path[0] != '/' || strlen(path) > 8192)
        return false;
    for (const char *c = path; *c; c++) {
        if ((unsigned char)*c <= ' ' || (unsigned char)*c >= 0x7f || *c == '#')
            return false;
    }
    buf_string(to, path);
    return true;
}

/* Those that frame a message are not for the caller to say. */
static bool frames(const char *name) {
    static const char *const names[] = {
        "Connection", "Content-Length", "Transfer-Encoding", "Upgrade",
        "TE",         "Expect",         "Trailer",           "Proxy-Connection"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (!strcasecmp(names[i], name))
            return true;
    }
    return false;
}

static bool take_headers(json_t *value, struct dry_run_body *out) {
    const char *name;
    json_t *text;
    if (!json_is_object(value) || json_object_size(value) > 64)
        return false;
    json_object_foreach(value, name, text) {
        const char *line = json_string_value(text);
        if (!line || !is_token(name) || !is_one_line(line) || frames(name))
            return false;
        if (!strcasecmp(name, "Host")) {
            if (!take_text(text, out->host, sizeof out->host))
                return false;
            continue;
        }
        buf_printf(&out->fields, "%s: %s\r\n", name, line);
    }
    return !out->fields.failed;
}

static bool take_body(const json_t *value, struct buf *to) {
    if (json_is_string(value)) {
        buf_append(to, json_string_value(value), json_string_length(value));
        return !to->failed;
    }
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    if (text)
        buf_string(to, text);
    free(text);
    return text && !to->failed;
}

static bool take_assume(const json_t *value, enum swg_refusal *to) {
    static const enum swg_refusal known[] = {SWG_REFUSED_OPEN, SWG_REFUSED_READ_ONLY,
                                             SWG_REFUSED_BULKHEAD_FULL, SWG_REFUSED_RATE_LIMITED,
                                             SWG_REFUSED_EMERGENCY};
    for (size_t i = 0; json_is_string(value) && i < sizeof known / sizeof known[0]; i++) {
        if (!strcmp(json_string_value(value), swg_refusal_word(known[i]))) {
            *to = known[i];
            return true;
        }
    }
    return false;
}

static bool take(struct dry_run_body *out, const char *key, json_t *value, struct buf *wrong) {
    if (!strcmp(key, "service"))
        return take_text(value, out->service, sizeof out->service) ||
               complain(wrong, "service is a name");
    if (!strcmp(key, "method"))
        return (take_text(value, out->method, sizeof out->method) && is_token(out->method)) ||
               complain(wrong, "method is one such as GET or POST");
    if (!strcmp(key, "path"))
        return take_path(value, &out->target) ||
               complain(wrong, "path is a path such as /items/7, perhaps with a query");
    if (!strcmp(key, "headers"))
        return take_headers(value, out) ||
               complain(wrong, "headers is an object of at most 64 fields, each one line, without "
                               "those that frame the message");
    if (!strcmp(key, "body"))
        return take_body(value, &out->body) || complain(wrong, "body is at most 64 KiB");
    if (!strcmp(key, "assume"))
        return take_assume(value, &out->assume) ||
               complain(wrong,
                        "assume is open, read_only, bulkhead_full, rate_limited or emergency");
    if (!strcmp(key, "ask")) {
        out->ask = json_is_true(value);
        return json_is_boolean(value) || complain(wrong, "ask is true or false");
    }
    buf_printf(wrong,
               "\"%.64s\" is not known here; expected service, method, path, headers, body, "
               "assume or ask",
               key);
    return false;
}

bool dry_run_body_read(struct bytes text, struct dry_run_body *out, struct buf *wrong) {
    const char *key;
    json_t *value;
    json_error_t error = {.text = ""};
    *out = (struct dry_run_body){.method = "GET", .assume = SWG_REFUSED_OPEN};
    buf_init(&out->target, DRY_TEXT_MAX);
    buf_init(&out->fields, DRY_TEXT_MAX);
    buf_init(&out->body, DRY_TEXT_MAX);
    json_t *root =
        text.len ? json_loadb(text.at, text.len, JSON_REJECT_DUPLICATES, &error) : json_object();
    bool ok = json_is_object(root);
    if (!ok)
        buf_printf(wrong, "the body is not a JSON object%s%s", *error.text ? ": " : "", error.text);
    if (ok) {
        json_object_foreach(root, key, value) {
            ok = ok && take(out, key, value, wrong);
        }
    }
    json_decref(root);
    if (!out->target.len)
        buf_char(&out->target, '/');
    return ok;
}

void dry_run_body_free(struct dry_run_body *b) {
    buf_free(&b->target);
    buf_free(&b->fields);
    buf_free(&b->body);
}
