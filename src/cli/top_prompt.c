/* top_prompt.c - see top_prompt.h. */
#include "cli/top_prompt.h"

#include <stdio.h>

#include "base/json_out.h"
#include "cli/admin_client.h"
#include "config/value.h"

static const struct {
    const char *asks, *path;
    bool lasts, unprotects; /* takes protection away, and so needs an end */
} verbs[] = {
    [TOP_OPEN] = {"refuse all calls to", "force-open", true, false},
    [TOP_CLOSE] = {"let all calls through to", "force-close", true, true},
    [TOP_DISABLE] = {"disable the breaker of", "disable", true, true},
    [TOP_RESET] = {"reset", "reset", false, false},
};

/* ---- beginning -------------------------------------------------------------------- */

void top_prompt_command(struct top_prompt *p, enum top_verb verb, const char *service) {
    *p = (struct top_prompt){.step = PROMPT_REASON, .verb = verb};
    snprintf(p->service, sizeof p->service, "%s", service);
    snprintf(p->question, sizeof p->question, "%s %s (Esc: no). Reason:", verbs[verb].asks,
             service);
}

void top_prompt_filter(struct top_prompt *p, const char *filter) {
    *p = (struct top_prompt){.step = PROMPT_FILTER};
    snprintf(p->question, sizeof p->question, "show only names with:");
    snprintf(p->input, sizeof p->input, "%s", filter);
}

/* ---- a line of text ------------------------------------------------------------------ */

static void drop_last(char *text) {
    size_t len = strlen(text);
    while (len && (text[--len] & 0xc0) == 0x80)
        ;
    text[len] = '\0';
}

static void type(struct top_prompt *p, const char *text) {
    size_t max = p->step == PROMPT_REASON ? PROMPT_REASON_MAX
                 : p->step == PROMPT_FOR  ? PROMPT_FOR_MAX
                                          : 64;
    size_t len = strlen(p->input), more = strlen(text);
    if (len + more <= max)
        memcpy(p->input + len, text, more + 1);
}

/* ---- answers -------------------------------------------------------------------------- */

static void ask_duration(struct top_prompt *p) {
    snprintf(p->reason, sizeof p->reason, "%s", p->input);
    p->input[0] = '\0';
    p->step = PROMPT_FOR;
    snprintf(p->question, sizeof p->question, "for how long (%s):",
             verbs[p->verb].unprotects ? "such as 10m; at most 7d"
                                       : "such as 10m; empty: until it is reset");
}

static enum prompt_result take_duration(struct top_prompt *p) {
    uint64_t ns = 0;
    if (!*p->input && !verbs[p->verb].unprotects)
        return PROMPT_DONE;
    if (value_duration(bytes_of(p->input), &ns) && ns)
        return PROMPT_DONE;
    snprintf(p->question, sizeof p->question,
             "\"%s\" is no duration such as 30s, 10m or 2h:", p->input);
    p->input[0] = '\0';
    return PROMPT_GOES_ON;
}

static enum prompt_result enter(struct top_prompt *p) {
    if (p->step == PROMPT_FOR)
        return take_duration(p);
    if (p->step == PROMPT_FILTER)
        return PROMPT_DONE;
    if (verbs[p->verb].lasts) {
        ask_duration(p);
        return PROMPT_GOES_ON;
    }
    snprintf(p->reason, sizeof p->reason, "%s", p->input);
    p->input[0] = '\0';
    return PROMPT_DONE;
}

enum prompt_result top_prompt_key(struct top_prompt *p, const struct key_event *e) {
    switch (e->key) {
    case KEY_TEXT:
        type(p, e->text);
        return PROMPT_GOES_ON;
    case KEY_BACKSPACE:
        drop_last(p->input);
        return PROMPT_GOES_ON;
    case KEY_CLEAR:
        p->input[0] = '\0';
        return PROMPT_GOES_ON;
    case KEY_ENTER:
        return enter(p);
    case KEY_ESCAPE:
    case KEY_INTERRUPT:
        return PROMPT_GIVEN_UP;
    default:
        return PROMPT_GOES_ON;
    }
}

void top_prompt_request(const struct top_prompt *p, struct buf *path, struct buf *body) {
    struct json_out j;
    buf_literal(path, "/api/v1/circuit-breakers/");
    admin_client_escape(path, p->service);
    buf_printf(path, "/%s", verbs[p->verb].path);
    json_init(&j, body);
    json_object(&j);
    if (*p->reason)
        json_key_string(&j, "reason", p->reason);
    json_key_string(&j, "author", admin_client_user());
    if (*p->input)
        json_key_string(&j, "for", p->input);
    json_object_end(&j);
}
