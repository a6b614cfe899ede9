/* policy_history.c - see policy_history.h. */
#include "gateway/policy_history.h"

#include <stdio.h>
#include <time.h>

#include "observe/events.h"
#include "observe/log.h"

enum { TEXT_SIZE = 1024 };

static uint64_t unix_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

void history_policy_changed(struct gateway *g, const struct policy_note *n) {
    char text[TEXT_SIZE];
    snprintf(text, sizeof text, "%s%s%s", n->reason, *n->reason ? ": " : "", n->changes);
    events_add(g->events, &(struct event_info){.unix_ms = unix_ms(),
                                               .kind = "policy",
                                               .service = n->service,
                                               .to = n->verb,
                                               .cause = "manual",
                                               .author = n->author,
                                               .text = text});
    struct log_line line;
    if (!log_begin(&line, LOG_WARN, "policy changed at run time"))
        return;
    log_str(&line, "service", n->service);
    log_str(&line, "what", n->verb);
    log_str(&line, "changes", n->changes);
    log_str(&line, "author", n->author);
    log_str(&line, "reason", n->reason);
    log_uint(&line, "generation", n->generation);
    log_end(&line);
}

/* "breaker.failures (8 by ada), …" of one service, from the i-th on. */
static void list_patches(const struct gateway_options *o, uint32_t i, struct buf *text) {
    const char *service = o->patches[i].service, *comma = "";
    for (; i < o->patch_count && !text->failed; i++) {
        const struct policy_patch *p = &o->patches[i];
        if (strcmp(p->service, service) != 0)
            continue;
        buf_printf(text, "%s%s (%s by %s)", comma, p->key, p->value, p->author);
        comma = ", ";
    }
}

static bool told_before(const struct gateway_options *o, uint32_t i) {
    for (uint32_t k = 0; k < i; k++) {
        if (!strcmp(o->patches[k].service, o->patches[i].service))
            return true;
    }
    return false;
}

static void tell_ended(struct gateway *g, const char *service, const char *cause,
                       const char *author, const char *text) {
    events_add(g->events, &(struct event_info){.unix_ms = unix_ms(),
                                               .kind = "policy",
                                               .service = service,
                                               .to = "ended",
                                               .cause = cause,
                                               .author = author,
                                               .text = text});
    struct log_line line;
    if (!log_begin(&line, LOG_WARN, "changes at run time have ended"))
        return;
    log_str(&line, "service", service);
    log_str(&line, "cause", cause);
    log_str(&line, "changes", text);
    log_str(&line, "author", author);
    log_end(&line);
}

void history_patches_ended(struct gateway *g, const struct gateway_options *o, const char *cause,
                           const char *author) {
    for (uint32_t i = 0; i < o->patch_count; i++) {
        char memory[TEXT_SIZE];
        struct buf text;
        if (told_before(o, i))
            continue;
        buf_init_fixed(&text, memory, sizeof memory);
        list_patches(o, i, &text);
        tell_ended(g, o->patches[i].service, cause, author, buf_cstr(&text));
    }
}

static void describe(char *text, size_t size, const struct swg_breaker_event *e) {
    if (e->to == SWG_OPEN)
        snprintf(text, size, "would have opened: %u of %u calls failed, %u slow", e->bad_calls,
                 e->calls, e->slow_calls);
    else
        snprintf(text, size, "would have %s",
                 e->to == SWG_HALF_OPEN ? "tried the service" : "closed");
}

void history_shadow_changed(struct gateway *g, const char *service, const char *endpoint,
                            const struct swg_breaker_event *e) {
    char text[128];
    describe(text, sizeof text, e);
    events_add(g->events, &(struct event_info){.unix_ms = unix_ms(),
                                               .kind = "shadow",
                                               .service = service,
                                               .endpoint = endpoint,
                                               .from = swg_breaker_state_word(e->from),
                                               .to = swg_breaker_state_word(e->to),
                                               .cause = e->cause,
                                               .text = text});
    struct log_line line;
    if (!log_begin(&line, LOG_INFO, "shadow breaker changed"))
        return;
    log_str(&line, "service", service);
    log_str(&line, "endpoint", endpoint);
    log_str(&line, "from", swg_breaker_state_word(e->from));
    log_str(&line, "to", swg_breaker_state_word(e->to));
    log_str(&line, "cause", e->cause);
    log_str(&line, "detail", text);
    log_end(&line);
}
