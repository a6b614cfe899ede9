/* manager_tell.c - what the manager has found, in history and log. */
#include <stdio.h>
#include <time.h>

#include "base/buf.h"
#include "gateway/manager_priv.h"
#include "observe/events.h"
#include "observe/log.h"

enum { TEXT_MAX = sizeof((struct event){0}.text) };

static uint64_t unix_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void describe_flapping(char text[TEXT_MAX], const struct swg__damper_options *o) {
    snprintf(text, TEXT_MAX, "changed %u times in %g s; held until it is steady for %g s",
             o->changes, (double)o->within_ns / 1e9, (double)o->hold_ns / 1e9);
}

static void tell(const struct manager *m, const struct managed *s, enum swg__condition before,
                 const char *cause, const char *text) {
    const char *from = swg__condition_word(before), *to = swg__condition_word(s->condition);
    struct log_line line;
    events_add(m->gateway->events, &(struct event_info){.unix_ms = unix_ms(),
                                                        .kind = "condition",
                                                        .service = s->name,
                                                        .from = from,
                                                        .to = to,
                                                        .cause = cause,
                                                        .text = text});
    if (!log_begin(&line, s->condition == SWG__DOWN ? LOG_WARN : LOG_INFO,
                   "service condition changed"))
        return;
    log_str(&line, "service", s->name);
    log_str(&line, "from", from);
    log_str(&line, "to", to);
    if (*s->because)
        log_str(&line, "because", s->because);
    if (*text)
        log_str(&line, "detail", text);
    log_end(&line);
}

void manager_tell_condition(const struct manager *m, const struct managed *s,
                            enum swg__condition before, const struct swg__damper_options *o) {
    char text[TEXT_MAX] = "";
    if (s->damper.holding)
        describe_flapping(text, o);
    else if (s->finding.because == SWG__BECAUSE_DEPENDENCY)
        snprintf(text, sizeof text, "it depends on %s", m->services[s->finding.dependency].name);
    tell(m, s, before, swg__because_word(s->finding.because), text);
}

void manager_tell_flapping(const struct manager *m, const struct managed *s,
                           const struct swg__damper_options *o) {
    char text[TEXT_MAX];
    describe_flapping(text, o);
    tell(m, s, s->condition, "flapping", text);
}

/* "7 of 10 services work; down: payments, ledger, …" */
static void describe_overall(const struct manager *m, char text[TEXT_MAX]) {
    struct buf b;
    bool any = false;
    buf_init_fixed(&b, text, TEXT_MAX - sizeof ", …");
    buf_printf(&b, "%u of %u services work", m->tally.working, m->tally.services);
    for (uint32_t i = 0; i < m->count; i++) {
        size_t before = b.len;
        if (m->services[i].condition != SWG__DOWN)
            continue;
        buf_printf(&b, "%s%s", any ? ", " : "; down: ", m->services[i].name);
        any = true;
        if (!b.failed)
            continue;
        snprintf(text + before, TEXT_MAX - before, ", …");
        return;
    }
    text[b.len] = '\0';
}

void manager_tell_overall(const struct manager *m, enum swg__overall before) {
    char text[TEXT_MAX];
    struct log_line line;
    const char *from = swg__overall_word(before), *to = swg__overall_word(m->overall);
    describe_overall(m, text);
    events_add(m->gateway->events,
               &(struct event_info){
                   .unix_ms = unix_ms(), .kind = "overall", .from = from, .to = to, .text = text});
    if (!log_begin(&line, m->overall >= SWG__CRITICAL ? LOG_ERROR : LOG_WARN,
                   "overall state changed"))
        return;
    log_str(&line, "from", from);
    log_str(&line, "to", to);
    log_str(&line, "detail", text);
    log_end(&line);
}

static const char *describe_actions(uint32_t actions) {
    static const char *const words[] = {"none", "read_only", "shed", "read_only, shed"};
    return words[actions & (EMERGENCY_READ_ONLY | EMERGENCY_SHED)];
}

void manager_tell_emergency(const struct manager *m, uint32_t actions) {
    char text[TEXT_MAX];
    struct log_line line;
    bool on = m->emergency.on;
    if (on)
        snprintf(text, sizeof text, "%u critical services are down; measures: %s",
                 m->tally.critical_down, describe_actions(actions));
    else
        snprintf(text, sizeof text, "measures have ended");
    events_add(m->gateway->events, &(struct event_info){.unix_ms = unix_ms(),
                                                        .kind = "emergency",
                                                        .to = on ? "on" : "off",
                                                        .text = text});
    if (!log_begin(&line, on ? LOG_ERROR : LOG_WARN,
                   on ? "there is an emergency" : "the emergency is over"))
        return;
    if (on) {
        log_uint(&line, "critical_down", m->tally.critical_down);
        log_str(&line, "measures", describe_actions(actions));
    }
    log_end(&line);
}

void manager_tell_retry(const struct manager *m, const struct managed *dependent,
                        const struct managed *back) {
    char text[TEXT_MAX];
    struct log_line line;
    snprintf(text, sizeof text, "%s is back: the breaker is tried at once", back->name);
    events_add(m->gateway->events, &(struct event_info){.unix_ms = unix_ms(),
                                                        .kind = "recovery",
                                                        .service = dependent->name,
                                                        .cause = "dependency",
                                                        .text = text});
    if (!log_begin(&line, LOG_INFO, "a dependency is back: the service is tried at once"))
        return;
    log_str(&line, "service", dependent->name);
    log_str(&line, "dependency", back->name);
    log_end(&line);
}
