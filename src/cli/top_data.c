/* top_data.c - see top_data.h. */
#include "cli/top_data.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* ---- JSON ------------------------------------------------------------------------- */

static const char *text_of(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static double number_of(const json_t *object, const char *key, double fallback) {
    const json_t *n = json_object_get(object, key);
    return json_is_number(n) ? json_number_value(n) : fallback;
}

static unsigned long count_of(const json_t *object, const char *key) {
    double n = number_of(object, key, 0);
    return n > 0 && n < 1e15 ? (unsigned long)n : 0;
}

static bool truth_of(const json_t *object, const char *key) {
    return json_is_true(json_object_get(object, key));
}

/* Cut where it is too long; what is half of a character then is shown as such. */
#define COPY(to, from) snprintf((to), sizeof(to), "%s", (from))

/* ---- rounds ------------------------------------------------------------------------ */

bool top_round_take(struct top_round *r, enum top_answer which, struct bytes body) {
    json_decref(r->answers[which]);
    r->answers[which] = json_loadb(body.at, body.len, 0, NULL);
    if (json_is_object(r->answers[which]))
        return true;
    json_decref(r->answers[which]);
    r->answers[which] = NULL;
    return false;
}

void top_round_free(struct top_round *r) {
    for (int i = 0; i < TOP_ANSWERS; i++)
        json_decref(r->answers[i]);
    *r = (struct top_round){0};
}

char *top_round_text(const struct top_round *r) {
    json_t *all = json_pack("{s:O*,s:O*,s:O*,s:O*}", "health", r->answers[TOP_HEALTH], "services",
                            json_object_get(r->answers[TOP_SERVICES], "services"), "queues",
                            json_object_get(r->answers[TOP_QUEUES], "queues"), "events",
                            json_object_get(r->answers[TOP_RECENT], "events"));
    char *text = all ? json_dumps(all, JSON_COMPACT) : NULL;
    json_decref(all);
    return text;
}

/* ---- a service ---------------------------------------------------------------------- */

/* "2026-11-21T12:30:05.123Z" as seconds since 1970; 0: it is none. */
static time_t seconds_of(const char *time) {
    struct tm tm = {0};
    return strptime(time, "%Y-%m-%dT%H:%M:%S", &tm) ? timegm(&tm) : 0;
}

/* "2026-11-21T12:30:05.123Z" as local time of day; "" where it is none. */
static void local_time(char out[9], const char *time) {
    struct tm local;
    time_t seconds = seconds_of(time);
    out[0] = '\0';
    if (seconds && localtime_r(&seconds, &local))
        strftime(out, 9, "%H:%M:%S", &local);
}

static void note_manual(struct top_service *s, const json_t *manual) {
    const char *author = text_of(manual, "author"), *reason = text_of(manual, "reason");
    char until[9];
    local_time(until, text_of(manual, "until"));
    snprintf(s->note, sizeof s->note, "%s%s%s%s%s%s", *author ? "by " : "", author,
             *until ? " until " : "", until, *reason ? ": " : "", reason);
}

static void note(struct top_service *s, const json_t *breaker) {
    const json_t *manual = json_object_get(breaker, "manual");
    double probe_ms = number_of(breaker, "next_probe_in_ms", -1);
    if (json_is_object(manual))
        note_manual(s, manual);
    else if (truth_of(breaker, "idle"))
        COPY(s->note, "the next call tries it");
    else if (probe_ms >= 0)
        snprintf(s->note, sizeof s->note, "tried again in %.1fs", probe_ms / 1000);
    else if (*s->because)
        COPY(s->note, s->because);
}

/* Both times are the gateway's, so it does not matter what clock we have. */
static void describe_calls(struct top_service *s, const json_t *breaker, time_t now) {
    time_t last = seconds_of(text_of(breaker, "last_success_at"));
    int n = snprintf(s->calls, sizeof s->calls, "%lu of %lu calls failed",
                     count_of(breaker, "failure_count"), count_of(breaker, "calls"));
    if (last && now >= last)
        snprintf(s->calls + n, sizeof s->calls - (size_t)n, ", the last success %llds ago",
                 (long long)(now - last));
    else if (now && !last)
        snprintf(s->calls + n, sizeof s->calls - (size_t)n, ", none has succeeded yet");
}

static void take_service(struct top_service *s, const json_t *j) {
    const json_t *breaker = json_object_get(j, "breaker"), *recent = json_object_get(j, "recent");
    *s = (struct top_service){.critical = truth_of(j, "critical"), .works = truth_of(j, "working")};
    COPY(s->name, text_of(j, "name"));
    COPY(s->state, text_of(breaker, "state"));
    COPY(s->answering, text_of(j, "answering"));
    s->per_second = number_of(recent, "per_second", 0);
    s->success = number_of(recent, "success_rate", -1);
    s->p50_ms = number_of(recent, "p50_ms", -1);
    s->p99_ms = number_of(recent, "p99_ms", -1);
}

/* What only /health knows. */
static void take_condition(struct top_service *s, const json_t *details) {
    const json_t *j = json_object_get(json_object_get(details, "services"), s->name);
    const char *condition = text_of(j, "condition");
    COPY(s->condition, *condition ? condition : s->works ? "working" : "down");
    COPY(s->because, text_of(j, "because"));
}

static void take_queue(struct top_service *s, const json_t *queues) {
    size_t i;
    json_t *q;
    json_array_foreach(queues, i, q) {
        if (strcmp(text_of(q, "service"), s->name) != 0)
            continue;
        s->queued = count_of(q, "entries");
        s->dead = count_of(q, "dead_letters");
    }
}

static bool take_services(struct top_data *d, const struct top_round *r) {
    const json_t *list = json_object_get(r->answers[TOP_SERVICES], "services");
    const json_t *details = json_object_get(r->answers[TOP_HEALTH], "details");
    const json_t *queues = json_object_get(r->answers[TOP_QUEUES], "queues");
    time_t now = seconds_of(text_of(r->answers[TOP_HEALTH], "timestamp"));
    size_t count = json_array_size(list);
    count = count < TOP_SERVICES_MAX ? count : TOP_SERVICES_MAX;
    struct top_service *all = calloc(count + 1, sizeof *all);
    if (!all)
        return false;
    for (size_t i = 0; i < count; i++) {
        const json_t *j = json_array_get(list, i);
        take_service(&all[i], j);
        take_condition(&all[i], details);
        take_queue(&all[i], queues);
        note(&all[i], json_object_get(j, "breaker"));
        describe_calls(&all[i], json_object_get(j, "breaker"), now);
    }
    free(d->services);
    d->services = all;
    d->service_count = (uint32_t)count;
    return true;
}

/* ---- drills --------------------------------------------------------------------------- */

static void take_drill(struct top_drill *d, const json_t *j) {
    const char *kind = text_of(j, "kind"), *author = text_of(j, "author");
    const char *reason = text_of(j, "reason");
    double status = number_of(j, "status", 0), delay_ms = number_of(j, "delay_ms", 0);
    unsigned long left_s = count_of(j, "ends_in_ms") / 1000;
    char what[80];
    int n = snprintf(what, sizeof what, "%s", kind);
    if (status > 0)
        n += snprintf(what + n, sizeof what - (size_t)n, " %.0f", status);
    if (delay_ms > 0)
        snprintf(what + n, sizeof what - (size_t)n, " %.6gms", delay_ms);
    snprintf(d->text, sizeof d->text, "%s: %s for %.6g%%, %lum%02lus left, %lu hits%s%s%s%s",
             text_of(j, "service"), what, number_of(j, "percent", 100), left_s / 60, left_s % 60,
             count_of(j, "hits"), *author ? ", by " : "", author, *reason ? ": " : "", reason);
}

static void take_drills(struct top_data *d, const json_t *list) {
    size_t i;
    json_t *j;
    d->drill_count = 0;
    json_array_foreach(list, i, j) {
        if (d->drill_count < TOP_DRILLS)
            take_drill(&d->drills[d->drill_count++], j);
    }
}

/* ---- an emergency ---------------------------------------------------------------------- */

static void take_emergency(struct top_data *d, const json_t *j) {
    const json_t *actions = json_object_get(j, "actions");
    char since[9];
    size_t i, used;
    json_t *action;
    d->emergency[0] = '\0';
    if (!truth_of(j, "active"))
        return;
    local_time(since, text_of(j, "since"));
    snprintf(d->emergency, sizeof d->emergency, "emergency since %s: %s", since,
             json_array_size(actions) ? "" : "nothing is switched off");
    json_array_foreach(actions, i, action) {
        const char *word = json_string_value(action);
        used = strlen(d->emergency);
        snprintf(d->emergency + used, sizeof d->emergency - used, "%s%s", i ? ", " : "",
                 word ? word : "?");
    }
}

/* ---- events ---------------------------------------------------------------------------- */

/* "http://10.0.0.7 open to half_open, probe_due: a text (ada)" */
static void describe(struct top_event *e, const json_t *j) {
    const char *from = text_of(j, "from"), *to = text_of(j, "to"), *cause = text_of(j, "cause");
    const char *text = text_of(j, "text"), *author = text_of(j, "author");
    const char *endpoint = text_of(j, "endpoint");
    snprintf(e->text, sizeof e->text, "%s%s%s%s%s%s%s%s%s%s%s%s", endpoint, *endpoint ? " " : "",
             from, *from ? " to " : "", to, *cause && *to ? ", " : "", cause,
             *text && (*to || *cause) ? ": " : "", text, *author ? " (" : "", author,
             *author ? ")" : "");
}

static void take_event(struct top_data *d, const json_t *j) {
    uint64_t sequence = (uint64_t)json_integer_value(json_object_get(j, "sequence"));
    if (d->event_count && sequence <= d->events[d->event_count - 1].sequence)
        return;
    if (d->event_count == TOP_EVENTS)
        memmove(&d->events[0], &d->events[1], --d->event_count * sizeof d->events[0]);
    struct top_event *e = &d->events[d->event_count++];
    *e = (struct top_event){.sequence = sequence};
    local_time(e->time, text_of(j, "time"));
    COPY(e->kind, text_of(j, "kind"));
    COPY(e->service, text_of(j, "service"));
    describe(e, j);
}

void top_data_event(struct top_data *d, struct bytes json) {
    json_t *j = json_loadb(json.at, json.len, 0, NULL);
    if (json_is_object(j) && json_object_get(j, "kind"))
        take_event(d, j);
    json_decref(j);
}

/* ---- all of it --------------------------------------------------------------------------- */

/* A gateway that was started again numbers from the beginning. */
static void take_recent(struct top_data *d, const json_t *answer) {
    size_t i;
    json_t *j;
    if (!answer)
        return;
    d->event_count = 0;
    json_array_foreach(json_object_get(answer, "events"), i, j) {
        take_event(d, j);
    }
}

bool top_data_follow(struct top_data *d, const struct top_round *r) {
    const json_t *health = r->answers[TOP_HEALTH];
    const json_t *details = json_object_get(health, "details");
    const json_t *system = json_object_get(details, "system");
    if (!take_services(d, r))
        return false;
    COPY(d->status, text_of(health, "status"));
    COPY(d->version, text_of(system, "version"));
    d->uptime_s = number_of(system, "uptime_seconds", -1);
    d->draining = truth_of(system, "draining");
    d->working = (uint32_t)count_of(json_object_get(details, "count"), "working");
    take_emergency(d, json_object_get(details, "emergency"));
    take_drills(d, json_object_get(details, "drills"));
    take_recent(d, r->answers[TOP_RECENT]);
    d->known = true;
    return true;
}

void top_data_free(struct top_data *d) {
    free(d->services);
    *d = (struct top_data){0};
}

bool top_answer_text(struct bytes body, const char *key, char *out, size_t size) {
    json_t *j = json_loadb(body.at, body.len, 0, NULL);
    const char *text = text_of(j, key);
    bool found = *text != '\0';
    if (found)
        snprintf(out, size, "%s", text);
    json_decref(j);
    return found;
}
