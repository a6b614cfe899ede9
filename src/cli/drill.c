/* drill.c - `switchgear drill`: breaks something on purpose, for a while. */
#include <math.h>
#include <stdlib.h>

#include "base/json_out.h"
#include "cli/admin_client.h"
#include "cli/commands.h"
#include "cli/table.h"

enum {
    DELAY = 'd',
    ERROR = 'E',
    ABORT = 'b',
    PERCENT = 'p',
    HEADER = 'H',
    FOR = 'f',
    ENDPOINT = 'e',
    REASON = 'r',
    AUTHOR = 'a',
    ALL = 'l',
    JSON = 'j'
};

static const struct arg_option options[] = {
    {DELAY, 0, "delay", "TIME",
     "start: hold attempts back for so long, as a slow service would. With --error or --abort: "
     "before that."},
    {ERROR, 0, "error", "STATUS",
     "start: answer attempts with this status (400 to 599) instead of asking the service."},
    {ABORT, 0, "abort", NULL, "start: reset attempts instead of asking the service."},
    {FOR, 0, "for", "TIME", "start: for so long, at most 1h. Needed: every drill ends."},
    {PERCENT, 0, "percent", "SHARE", "start: of so many attempts in a hundred, 0 to 100; 100."},
    {HEADER, 0, "header", "FIELD",
     "start: only of requests with this header field, such as 'X-Drill: yes'; without a value: "
     "whatever its value."},
    {ENDPOINT, 'e', "endpoint", "URL",
     "start: only at this endpoint of the service, as it is written in the configuration."},
    {ALL, 0, "all", NULL, "stop: every drill."},
    {REASON, 'r', "reason", "TEXT", "start, stop: why; kept in the history."},
    {AUTHOR, 0, "author", "NAME",
     "start, stop: who; kept in the history. Default: your user name."},
    {JSON, 'j', "json", NULL, "What the API answers, as JSON."},
    ADMIN_OPTIONS,
    {0},
};

const struct command page_drill = {
    .name = "drill",
    .run = command_drill,
    .summary = "inject faults on purpose, to see what protects",
    .synopsis = "[list] [--json]\n"
                "start NAME --delay TIME | --error STATUS | --abort --for TIME\n"
                "      [--percent SHARE] [--header FIELD] [--endpoint URL] [--reason TEXT]\n"
                "stop ID | --all [--reason TEXT]",
    .description =
        "A drill delays, fails or resets a share of the attempts on a service, where they would go "
        "to it; breaker, retries and the fallback chain react as in a real outage. It ends at the "
        "time it was given, and with the process; it survives a reload. While one is on, "
        "/health, `switchgear status`, metrics, events, and the Switchgear field of the answers "
        "that it hit tell so.\n\n"
        "Health checks, replays of queued writes and dry runs are left alone.\n\n"
        "Needs the admin token (admin.token), also on a loopback address.",
    .options = options,
    .operands_max = 2,
    .exit_failed = "there is no such service or drill, no token, or the gateway does not answer",
    .example =
        "switchgear drill start payments --error 503 --percent 30 --for 5m --reason 'game day'\n"
        "switchgear drill start search --delay 2s --header 'X-Drill: yes' --for 10m\n"
        "switchgear drill stop --all",
};

struct drill_command {
    struct admin_client client;
    const char *delay, *status, *percent, *header, *duration, *endpoint, *reason, *author;
    uint64_t delay_ns;
    double share;
    bool aborts, all, json;
};

/* ---- asking -------------------------------------------------------------------------- */

/* The answer is the caller's after 0; after -1 the message is printed. */
static int ask(struct drill_command *c, const char *method, const char *id, struct buf *body,
               struct buf *answer) {
    struct buf path;
    buf_init(&path, 4096);
    buf_literal(&path, "/api/v1/drills");
    if (id) {
        buf_char(&path, '/');
        admin_client_escape(&path, id);
    }
    int error =
        path.failed ? -1 : admin_client_ask(&c->client, method, path.at, buf_view(body), answer, 0);
    buf_free(&path);
    return error;
}

/* ---- list ------------------------------------------------------------------------------ */

/* "5m12s" */
static void put_left(struct table *t, unsigned column, const struct node *drill) {
    unsigned long s = (unsigned long)(json_in_number(drill, "ends_in_ms", 0) / 1000);
    if (s < 60)
        table_cell(t, column, COLOUR_NONE, "%lus", s);
    else
        table_cell(t, column, COLOUR_NONE, "%lum%02lus", s / 60, s % 60);
}

static void put_what(struct table *t, unsigned column, const struct node *drill) {
    const char *kind = json_in_text_or(drill, "kind", "?"), *status = json_in_text(drill, "status");
    double delay_ms = json_in_number(drill, "delay_ms", 0);
    char delay[40] = "";
    if (delay_ms > 0)
        snprintf(delay, sizeof delay, "%s%.6gms", strcmp(kind, "delay") != 0 ? " after " : " ",
                 delay_ms);
    table_cell(t, column, COLOUR_YELLOW, "%s%s%s%s", kind, status ? " " : "", status ? status : "",
               delay);
}

static void put_drill(struct table *t, const struct node *drill) {
    table_row(t);
    table_cell(t, 0, COLOUR_NONE, "%s", json_in_text_or(drill, "id", ""));
    table_cell(t, 1, COLOUR_BOLD, "%s",
               json_in_text_or(drill, "endpoint", json_in_text_or(drill, "service", "")));
    put_what(t, 2, drill);
    table_cell(t, 3, COLOUR_NONE, "%s%%", json_in_text_or(drill, "percent", "?"));
    table_cell(t, 4, COLOUR_NONE, "%s", json_in_text_or(drill, "hits", "0"));
    put_left(t, 5, drill);
    table_cell(t, 6, COLOUR_NONE, "%s", json_in_text_or(drill, "header", ""));
    table_cell(t, 7, COLOUR_NONE, "%s", json_in_text_or(drill, "author", ""));
    table_cell(t, 8, COLOUR_NONE, "%s", json_in_text_or(drill, "reason", ""));
}

/* One drill, or {drills: […]}. */
static void print_drills(const struct node *root) {
    static const char *const headings[] = {"ID",    "OF",   "WHAT", ">SHARE", ">HITS",
                                           ">LEFT", "ONLY", "BY",   "REASON", NULL};
    const struct node *list = json_in_get(root, "drills");
    struct table t;
    table_init(&t, headings);
    if (list && list->kind == NODE_LIST) {
        for (const struct node_entry *e = list->first; e; e = e->next)
            put_drill(&t, e->value);
    } else if (json_in_text(root, "id")) {
        put_drill(&t, root);
    }
    if (t.rows > 1)
        table_write(&t, stdout);
    else
        puts("no drill is on");
    table_free(&t);
}

static int show(const struct drill_command *c, struct buf *answer) {
    struct json_in in;
    if (c->json) {
        printf("%s\n", buf_cstr(answer));
    } else {
        if (json_in_read(&in, buf_view(answer)))
            print_drills(in.root);
        json_in_free(&in);
    }
    buf_free(answer);
    return EXIT_DONE;
}

static int list(struct drill_command *c) {
    struct buf answer, none = {0};
    return ask(c, "GET", NULL, &none, &answer) < 0 ? EXIT_FAILED : show(c, &answer);
}

/* ---- start and stop -------------------------------------------------------------------- */

static void write_who(const struct drill_command *c, struct json_out *j) {
    if (c->reason)
        json_key_string(j, "reason", c->reason);
    json_key_string(j, "author", c->author ? c->author : admin_client_user());
}

static void write_start(const struct drill_command *c, const char *service, struct buf *to) {
    struct json_out j;
    json_init(&j, to);
    json_object(&j);
    json_key_string(&j, "service", service);
    json_key_string(&j, "kind", c->aborts ? "abort" : c->status ? "error" : "delay");
    if (c->delay)
        json_key_double(&j, "delay_ms", (double)c->delay_ns / 1e6);
    if (c->status)
        json_key_int(&j, "status", strtol(c->status, NULL, 10));
    if (c->percent)
        json_key_double(&j, "percent", c->share);
    if (c->header)
        json_key_string(&j, "header", c->header);
    if (c->endpoint)
        json_key_string(&j, "endpoint", c->endpoint);
    json_key_string(&j, "for", c->duration);
    write_who(c, &j);
    json_object_end(&j);
}

static int start(struct drill_command *c, const char *service) {
    struct buf body, answer;
    buf_init(&body, 65536);
    write_start(c, service, &body);
    int error = ask(c, "POST", NULL, &body, &answer);
    buf_free(&body);
    return error ? EXIT_FAILED : show(c, &answer);
}

static int stop(struct drill_command *c, const char *id) {
    struct buf body, answer;
    struct json_in in;
    struct json_out j;
    buf_init(&body, 65536);
    json_init(&j, &body);
    json_object(&j);
    write_who(c, &j);
    json_object_end(&j);
    int error = ask(c, "DELETE", id, &body, &answer);
    buf_free(&body);
    if (error)
        return EXIT_FAILED;
    if (c->json)
        return show(c, &answer);
    if (json_in_read(&in, buf_view(&answer)) && id)
        printf("%s: stopped after %.0f hits\n", id, json_in_number(in.root, "hits", 0));
    else if (in.root)
        printf("%.0f stopped\n", json_in_number(in.root, "stopped", 0));
    json_in_free(&in);
    buf_free(&answer);
    return EXIT_DONE;
}

/* ---- the command ------------------------------------------------------------------------- */

static void read_share(struct drill_command *c, struct args *args) {
    char *end;
    c->percent = args->value;
    c->share = strtod(args->value, &end);
    if (*end == '%')
        end++;
    if (end == args->value || *end || !(c->share >= 0 && c->share <= 100))
        args_fail(args, "--percent: a number from 0 to 100 is expected");
}

static void read_status(struct drill_command *c, struct args *args) {
    uint64_t status;
    c->status = args->value;
    if (args_count(args, &status) && (status < 400 || status > 599))
        args_fail(args, "--error: an HTTP status from 400 to 599 is expected");
}

static void read_option(struct drill_command *c, struct args *args, int id) {
    uint64_t ns;
    switch (id) {
    case DELAY:
        if (args_duration(args, &c->delay_ns))
            c->delay = args->value;
        break;
    case ERROR:
        read_status(c, args);
        break;
    case ABORT:
        c->aborts = true;
        break;
    case PERCENT:
        read_share(c, args);
        break;
    case HEADER:
        c->header = args->value;
        break;
    case FOR:
        if (args_duration(args, &ns))
            c->duration = args->value;
        break;
    case ENDPOINT:
        c->endpoint = args->value;
        break;
    case REASON:
        c->reason = args->value;
        break;
    case AUTHOR:
        c->author = args->value;
        break;
    case ALL:
        c->all = true;
        break;
    case JSON:
        c->json = true;
        break;
    default:
        admin_client_option(&c->client, args, id);
    }
}

static void check_start(const struct drill_command *c, struct args *args, bool named) {
    if (!named)
        args_fail(args, "start: the name of a service is expected");
    else if (c->status && c->aborts)
        args_fail(args, "either --error or --abort");
    else if (!c->status && !c->aborts && !c->delay)
        args_fail(args, "one of --delay, --error and --abort is needed");
    else if (!c->duration)
        args_fail(args, "--for is needed: every drill ends, after how long?");
}

static void check_operands(const struct drill_command *c, struct args *args, const char *verb) {
    bool named = args->operand_count > 1;
    if (!strcmp(verb, "start"))
        check_start(c, args, named);
    else if (!strcmp(verb, "stop") && c->all == named)
        args_fail(args, "stop: either the ID of a drill is expected, or --all");
    else if (!strcmp(verb, "list") && named)
        args_fail(args, "list takes no name");
    else if (strcmp(verb, "stop") != 0 && strcmp(verb, "list") != 0)
        args_fail(args, "\"%s\" is none of list, start and stop", verb);
}

int command_drill(int argc, char **argv) {
    struct drill_command c = {0};
    struct args args;
    admin_client_init(&c.client, page_drill.name);
    args_begin(&args, &page_drill, argc, argv);
    for (int id; (id = args_next(&args)) != ARGS_END;)
        read_option(&c, &args, id);
    const char *verb = args.operand_count ? args.operand[0] : "list";
    if (!args.failed)
        check_operands(&c, &args, verb);
    if (!args_done(&args) || !admin_client_settle(&c.client))
        return EXIT_USAGE;
    if (!strcmp(verb, "start"))
        return start(&c, args.operand[1]);
    if (!strcmp(verb, "stop"))
        return stop(&c, c.all ? NULL : args.operand[1]);
    return list(&c);
}
