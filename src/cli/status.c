/* status.c - `switchgear status`: how the services do, in one table. */
#include <math.h>
#include <time.h>

#include "cli/admin_client.h"
#include "cli/commands.h"
#include "cli/system_line.h"
#include "cli/table.h"

static const struct arg_option options[] = {
    {'j', 'j', "json", NULL, "The breakers as the API tells them, as JSON."},
    ADMIN_OPTIONS,
    {0},
};

const struct command page_status = {
    .name = "status",
    .run = command_status,
    .summary = "how the services of a running gateway do",
    .synopsis = "[NAME] [--json]",
    .description =
        "One line a service, and one for each of its endpoints where there are several: the state "
        "of the breaker and since when, the calls in its window and how many of them failed or "
        "were slow, who answers clients now (upstream, cache, or a tier of the fallback chain), "
        "and, of an open one, when the service is tried again. What makes a service impaired or "
        "down beside its breaker stands there too: a health check, an endpoint, a dependency.\n\n"
        "Drills that are on come first: what fails may be failing on purpose.\n\n"
        "Above the table, how the whole does, and what the process takes of what it may have: "
        "processors, memory, file descriptors, and the room left where the store and the cache on "
        "disk are.\n\n"
        "Where writes wait in the outbox, or are dead letters, a line a service tells how many.\n\n"
        "States are closed, open, half_open, and under manual control forced_open, forced_closed "
        "and disabled.",
    .options = options,
    .operands_max = 1,
    .exit_failed = "the gateway does not answer, or there is no such service",
    .example = "switchgear status",
};

/* ---- parts of a line ------------------------------------------------------------------ */

static enum colour state_colour(const char *state) {
    if (!strcmp(state, "closed"))
        return COLOUR_GREEN;
    if (!strcmp(state, "open") || !strcmp(state, "forced_open"))
        return COLOUR_RED;
    return COLOUR_YELLOW;
}

/* "3.2s", "4m12s", "2h03m", "5d04h" */
static const char *write_age(char out[32], double seconds) {
    unsigned long s = (unsigned long)seconds;
    if (seconds < 0)
        seconds = 0;
    if (seconds < 10)
        snprintf(out, 32, "%.1fs", seconds);
    else if (s < 60)
        snprintf(out, 32, "%lus", s);
    else if (s < 3600)
        snprintf(out, 32, "%lum%02lus", s / 60, s % 60);
    else if (s < 86400)
        snprintf(out, 32, "%luh%02lum", s / 3600, s / 60 % 60);
    else
        snprintf(out, 32, "%lud%02luh", s / 86400, s / 3600 % 24);
    return out;
}

/* Of an RFC 3339 time in UTC; -1 where there is none. */
static double seconds_since(const char *time) {
    struct tm tm = {0};
    struct timespec now;
    double fraction = 0;
    const char *rest = time ? strptime(time, "%Y-%m-%dT%H:%M:%S", &tm) : NULL;
    if (!rest)
        return -1;
    if (*rest == '.')
        sscanf(rest, "%lf", &fraction);
    clock_gettime(CLOCK_REALTIME, &now);
    double age = difftime(now.tv_sec, timegm(&tm)) + (double)now.tv_nsec / 1e9 - fraction;
    return age < 0 ? 0 : age;
}

static void put_share(struct table *t, unsigned column, const struct node *n, const char *key) {
    double share = json_in_number(n, key, NAN);
    enum colour colour = share > 0 ? COLOUR_YELLOW : COLOUR_NONE;
    if (json_in_number(n, "calls", 0) <= 0 || isnan(share))
        table_cell(t, column, COLOUR_NONE, "-");
    else
        table_cell(t, column, colour, "%.3g%%", share * 100);
}

/* "down: dependency inventory; ", where that is not what the state says already. */
static const char *write_condition(char out[160], const struct node *service) {
    const char *condition = json_in_text(service, "condition");
    const char *because = json_in_text_or(service, "because", "");
    bool plain = !condition || !strcmp(condition, "working") || !strcmp(because, "open") ||
                 !strcmp(because, "half_open") || !strcmp(because, "forced_open");
    out[0] = '\0';
    if (!plain)
        snprintf(out, 160, "%s: %s; ", condition, because);
    return out;
}

/* What one should know beside the figures; `before` begins the line. */
static void put_remark(struct table *t, unsigned column, const struct node *breaker,
                       const char *before) {
    const struct node *manual = json_in_get(breaker, "manual");
    const char *until = json_in_text(manual, "until"), *reason = json_in_text(manual, "reason");
    const char *author = json_in_text(manual, "author");
    double probe_ms = json_in_number(breaker, "next_probe_in_ms", -1);
    if (manual)
        table_cell(t, column, COLOUR_NONE, "%s%s%s%s%s%s%s", before, author ? "by " : "",
                   author ? author : "", until ? " until " : "", until ? until : "",
                   reason ? ": " : "", reason ? reason : "");
    else if (json_in_true(breaker, "idle"))
        table_cell(t, column, COLOUR_NONE, "%sthe next call tries it", before);
    else if (probe_ms >= 0)
        table_cell(t, column, COLOUR_NONE, "%stried again in %.1fs", before, probe_ms / 1000);
    else if (!strcmp(json_in_text_or(breaker, "state", ""), "open"))
        table_cell(t, column, COLOUR_NONE, "%sstays open until an operator tries it", before);
    else if (*before)
        table_cell(t, column, COLOUR_NONE, "%.*s", (int)strlen(before) - 2, before);
}

static void put_breaker(struct table *t, const struct node *breaker, const char *before) {
    char age[32];
    const char *state = json_in_text_or(breaker, "state", "unknown");
    double since = seconds_since(json_in_text(breaker, "since"));
    table_cell(t, 1, state_colour(state), "%s", state);
    if (since >= 0)
        table_cell(t, 2, COLOUR_NONE, "%s", write_age(age, since));
    table_cell(t, 3, COLOUR_NONE, "%.0f", json_in_number(breaker, "calls", 0));
    put_share(t, 4, breaker, "failure_rate");
    put_share(t, 5, breaker, "slow_rate");
    put_remark(t, 7, breaker, before);
}

static const struct node_entry *items(const struct node *n, const char *key) {
    const struct node *list = json_in_get(n, key);
    return list && list->kind == NODE_LIST ? list->first : NULL;
}

static void put_service(struct table *t, const struct node *service) {
    const struct node *breaker = json_in_get(service, "breaker");
    const struct node *what = breaker ? breaker : service;
    const struct node_entry *e = items(what, "endpoints");
    char condition[160];
    table_row(t);
    table_cell(t, 0, COLOUR_BOLD, "%s", json_in_text_or(service, "name", "?"));
    put_breaker(t, what, write_condition(condition, service));
    table_cell(t, 6, COLOUR_NONE, "%s", json_in_text_or(service, "answering", ""));
    for (bool several = e && e->next; several && e; e = e->next) {
        table_row(t);
        table_cell(t, 0, COLOUR_NONE, "  %s", json_in_text_or(e->value, "name", "?"));
        put_breaker(t, e->value, "");
    }
}

/* Whoever looks must not take a drill for an outage. */
static void print_drills(const struct node *health, const char *name) {
    bool any = false;
    for (const struct node_entry *e = items(json_in_get(health, "details"), "drills"); e;
         e = e->next) {
        const char *service = json_in_text_or(e->value, "service", "?");
        const char *author = json_in_text(e->value, "author");
        const char *reason = json_in_text(e->value, "reason");
        if (name && strcmp(name, service) != 0)
            continue;
        printf("%sdrill:%s ", terminal_begin(stdout, COLOUR_YELLOW), terminal_end(stdout));
        terminal_text(stdout, service);
        fputs(": ", stdout);
        terminal_text(stdout, json_in_text_or(e->value, "kind", "?"));
        printf(" for %.6g%% of attempts, until ", json_in_number(e->value, "percent", 100));
        terminal_text(stdout, json_in_text_or(e->value, "ends_at", "?"));
        fputs(author ? ", by " : "", stdout);
        terminal_text(stdout, author ? author : "");
        fputs(reason ? ": " : "", stdout);
        terminal_text(stdout, reason ? reason : "");
        fputc('\n', stdout);
        any = true;
    }
    if (any)
        fputc('\n', stdout);
}

/* ---- the whole --------------------------------------------------------------------------- */

/* "emergency for 12s: read_only, shed" */
static void print_emergency(const struct node *emergency) {
    char age[32];
    double since = seconds_since(json_in_text(emergency, "since"));
    const char *separator = ": ";
    if (!json_in_true(emergency, "active"))
        return;
    printf("emergency for %s", write_age(age, since));
    for (const struct node_entry *e = items(emergency, "actions"); e; e = e->next) {
        fputs(separator, stdout);
        if (e->value->kind == NODE_SCALAR)
            terminal_text(stdout, e->value->text.at);
        separator = ", ";
    }
    fputc('\n', stdout);
}

static void print_overall(const struct node *health) {
    char age[32];
    const char *status = json_in_text_or(health, "status", "unknown");
    const struct node *system = json_in_get(json_in_get(health, "details"), "system");
    double uptime = json_in_number(system, "uptime_seconds", -1);
    enum colour colour = !strcmp(status, "HEALTHY")    ? COLOUR_GREEN
                         : !strcmp(status, "DEGRADED") ? COLOUR_YELLOW
                                                       : COLOUR_RED;
    fputs(terminal_begin(stdout, colour), stdout);
    terminal_text(stdout, status);
    fputs(terminal_end(stdout), stdout);
    if (uptime >= 0)
        printf(", up %s", write_age(age, uptime));
    if (json_in_true(system, "draining"))
        fputs(", draining", stdout);
    fputc('\n', stdout);
    system_line_print(system);
    print_emergency(json_in_get(json_in_get(health, "details"), "emergency"));
    fputc('\n', stdout);
}

/* Only queues with something in them. */
static void print_queues(const struct json_in *in, const char *name) {
    bool first = true;
    for (const struct node_entry *e = items(in->root, "queues"); e; e = e->next) {
        const char *service = json_in_text_or(e->value, "service", "?");
        double queued = json_in_number(e->value, "entries", 0);
        double dead = json_in_number(e->value, "dead_letters", 0);
        double age = seconds_since(json_in_text(e->value, "oldest_at"));
        char text[32];
        if ((name && strcmp(name, service) != 0) || (queued <= 0 && dead <= 0))
            continue;
        fputs(first ? "\noutbox: " : "outbox: ", stdout);
        terminal_text(stdout, service);
        printf(": %.0f queued", queued);
        if (queued > 0 && age >= 0)
            printf(", the oldest for %s", write_age(text, age));
        if (dead > 0)
            printf("; %s%.0f dead%s", terminal_begin(stdout, COLOUR_RED), dead,
                   terminal_end(stdout));
        fputc('\n', stdout);
        first = false;
    }
}

/* Beside the figures of the breaker that decides: what another would have done. */
static void print_shadows(const struct node *root, const char *name) {
    bool first = true;
    for (const struct node_entry *e = items(root, "services"); e; e = e->next) {
        const struct node *shadow = json_in_get(e->value, "shadow");
        const char *service = json_in_text_or(e->value, "name", "?");
        char age[32];
        if (!shadow || (name && strcmp(name, service) != 0))
            continue;
        fputs(first ? "\nshadow: " : "shadow: ", stdout);
        terminal_text(stdout, service);
        printf(": ");
        terminal_text(stdout, json_in_text_or(shadow, "state", "?"));
        printf("%s; for %s, would have opened %.0f times and refused %.0f calls\n",
               json_in_true(shadow, "agrees") ? "" : ", unlike the breaker",
               write_age(age, seconds_since(json_in_text(shadow, "begun_at"))),
               json_in_number(shadow, "would_have_opened", 0),
               json_in_number(shadow, "would_have_refused", 0));
        first = false;
    }
}

static int print_table(struct admin_client *client, const char *name) {
    static const char *const headings[] = {"SERVICE", "STATE",   "SINCE", ">CALLS", ">FAILED",
                                           ">SLOW",   "ANSWERS", "",      NULL};
    struct json_in health, services;
    struct table t;
    unsigned found = 0;
    if (admin_client_read(client, "/health", 503, &health) < 0)
        return EXIT_FAILED;
    if (!name)
        print_overall(health.root);
    print_drills(health.root, name);
    json_in_free(&health);
    if (admin_client_read(client, "/api/v1/services", 0, &services) < 0)
        return EXIT_FAILED;
    table_init(&t, headings);
    for (const struct node_entry *e = items(services.root, "services"); e; e = e->next) {
        if (name && strcmp(json_in_text_or(e->value, "name", ""), name) != 0)
            continue;
        put_service(&t, e->value);
        found++;
    }
    if (found)
        table_write(&t, stdout);
    else if (name)
        fprintf(stderr, "switchgear status: there is no service \"%s\"\n", name);
    print_shadows(services.root, name);
    table_free(&t);
    json_in_free(&services);
    if (admin_client_read(client, "/api/v1/outbox/summary", 503, &services) == 0) {
        print_queues(&services, name);
        json_in_free(&services);
    }
    return name && !found ? EXIT_FAILED : EXIT_DONE;
}

static int print_json(struct admin_client *client, const char *name) {
    struct buf path, answer;
    buf_init(&path, 4096);
    buf_literal(&path, "/api/v1/circuit-breakers");
    if (name) {
        buf_char(&path, '/');
        admin_client_escape(&path, name);
    }
    int error =
        path.failed ? -1 : admin_client_ask(client, "GET", path.at, (struct bytes){0}, &answer, 0);
    buf_free(&path);
    if (error)
        return EXIT_FAILED;
    printf("%s\n", buf_cstr(&answer));
    buf_free(&answer);
    return EXIT_DONE;
}

int command_status(int argc, char **argv) {
    struct admin_client client;
    struct args args;
    bool json = false;
    admin_client_init(&client, page_status.name);
    args_begin(&args, &page_status, argc, argv);
    for (int id; (id = args_next(&args)) != ARGS_END;) {
        if (!admin_client_option(&client, &args, id))
            json = true;
    }
    if (!args_done(&args) || !admin_client_settle(&client))
        return EXIT_USAGE;
    const char *name = args.operand_count ? args.operand[0] : NULL;
    return json ? print_json(&client, name) : print_table(&client, name);
}
