/* history.c - see history.h. */
#include "gateway/history.h"

#include <stdio.h>
#include <time.h>

#include "gateway/drills.h"
#include "observe/events.h"
#include "observe/log.h"

static uint64_t unix_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void describe(char *text, size_t size, const struct swg_breaker_event *e) {
    if (e->to == SWG_OPEN && e->manual_to == SWG_AUTOMATIC && e->open_until_ns != SWG_NEVER)
        snprintf(text, size, "%u of %u calls failed, %u slow; refusing for %llu ms", e->bad_calls,
                 e->calls, e->slow_calls,
                 (unsigned long long)((e->open_until_ns - e->now_ns) / 1000000));
    else
        text[0] = '\0';
}

void history_breaker_changed(struct gateway *g, const char *service, const char *endpoint,
                             const struct swg_breaker_event *e) {
    char text[128];
    describe(text, sizeof text, e);
    const char *from = swg_breaker_word(e->from, e->manual_from);
    const char *to = swg_breaker_word(e->to, e->manual_to);
    events_add(g->events, &(struct event_info){.unix_ms = unix_ms(),
                                               .kind = "state_change",
                                               .service = service,
                                               .endpoint = endpoint,
                                               .from = from,
                                               .to = to,
                                               .cause = e->cause,
                                               .text = text});
    struct log_line line;
    if (!log_begin(&line, e->to == SWG_OPEN ? LOG_WARN : LOG_INFO, "breaker changed"))
        return;
    log_str(&line, "service", service);
    log_str(&line, "endpoint", endpoint);
    log_str(&line, "from", from);
    log_str(&line, "to", to);
    log_str(&line, "cause", e->cause);
    if (text[0])
        log_str(&line, "detail", text);
    log_end(&line);
}

static const char *verb_word(enum gateway_verb verb) {
    switch (verb) {
    case GATEWAY_FORCE_OPEN:
        return "force-open";
    case GATEWAY_FORCE_CLOSE:
        return "force-close";
    case GATEWAY_DISABLE:
        return "disable";
    case GATEWAY_RESET:
        return "reset";
    case GATEWAY_PROBE_NOW:
        return "probe-now";
    }
    return "";
}

void history_commanded(struct gateway *g, const struct gateway_command *c) {
    events_add(g->events, &(struct event_info){.unix_ms = unix_ms(),
                                               .kind = "manual",
                                               .service = c->service,
                                               .endpoint = c->endpoint,
                                               .to = verb_word(c->verb),
                                               .cause = "manual",
                                               .author = c->author,
                                               .text = c->reason});
    struct log_line line;
    if (!log_begin(&line, LOG_WARN, "breaker controlled by hand"))
        return;
    log_str(&line, "service", c->service);
    log_str(&line, "endpoint", c->endpoint);
    log_str(&line, "command", verb_word(c->verb));
    if (c->for_ns != SWG_NEVER)
        log_dur(&line, "for_ms", c->for_ns);
    log_str(&line, "author", c->author);
    log_str(&line, "reason", c->reason);
    log_end(&line);
}

void history_write_commanded(struct gateway *g, struct bytes service, const char *id,
                             const char *verb, const char *author, const char *reason) {
    char name[65], text[152];
    snprintf(name, sizeof name, "%.*s", (int)service.len, service.at);
    snprintf(text, sizeof text, "%s%s%s", id, *reason ? ": " : "", reason);
    events_add(g->events, &(struct event_info){.unix_ms = unix_ms(),
                                               .kind = "outbox",
                                               .service = name,
                                               .to = verb,
                                               .cause = "manual",
                                               .author = author,
                                               .text = text});
    struct log_line line;
    if (!log_begin(&line, LOG_WARN, "queued write controlled by hand"))
        return;
    log_str(&line, "service", name);
    log_str(&line, "id", id);
    log_str(&line, "command", verb);
    log_str(&line, "author", author);
    log_str(&line, "reason", reason);
    log_end(&line);
}

void history_drill(struct gateway *g, const struct drill *d, const char *what, const char *author,
                   const char *reason) {
    char effect[128], text[256];
    drill_describe(d, effect, sizeof effect);
    snprintf(text, sizeof text, "%s%s%s", effect, *reason ? ": " : "", reason);
    events_add(g->events, &(struct event_info){.unix_ms = unix_ms(),
                                               .kind = "drill",
                                               .service = d->service,
                                               .endpoint = d->endpoint,
                                               .to = what,
                                               .cause = swg__drill_word(d->rule.kind),
                                               .author = author,
                                               .text = text});
    struct log_line line;
    if (!log_begin(&line, LOG_WARN, "drill"))
        return;
    log_str(&line, "what", what);
    log_str(&line, "id", d->id);
    log_str(&line, "service", d->service);
    log_str(&line, "endpoint", *d->endpoint ? d->endpoint : NULL);
    log_str(&line, "effect", effect);
    log_dur(&line, "for_ms", d->rule.until_ns - d->started_ns);
    log_uint(&line, "hits", d->hits);
    log_str(&line, "author", author);
    log_str(&line, "reason", *reason ? reason : NULL);
    log_end(&line);
}

void history_note(struct gateway *g, const char *kind, const char *author, const char *text) {
    events_add(g->events, &(struct event_info){
                              .unix_ms = unix_ms(), .kind = kind, .author = author, .text = text});
}
