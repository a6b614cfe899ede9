/* control.c - `open`, `close`, `disable`, `reset`: an operator takes over.
 *
 * Who did it and why is kept in the history; what takes protection away must
 * say for how long. */
#include "base/json_out.h"
#include "cli/admin_client.h"
#include "cli/commands.h"
#include "cli/terminal.h"

enum { REASON = 'r', AUTHOR = 'a', FOR = 'f', ENDPOINT = 'e', ALL = 'l', JSON = 'j' };

#define COMMON_OPTIONS                                                                         \
    {REASON, 'r', "reason", "TEXT", "Why; kept in the history."},                              \
        {AUTHOR, 0, "author", "NAME", "Who; kept in the history. Default: your user name."}, { \
        ENDPOINT, 'e', "endpoint", "URL",                                                      \
            "Only this endpoint of the service, as it is written "                             \
            "in the configuration."                                                            \
    }
#define JSON_OPTION \
    { JSON, 'j', "json", NULL, "The breaker as it is then, as JSON." }

static const struct arg_option open_options[] = {
    COMMON_OPTIONS,
    {FOR, 0, "for", "TIME", "For so long (10m, 2h); then it is tried again. Default: until reset."},
    JSON_OPTION,
    ADMIN_OPTIONS,
    {0},
};

static const struct arg_option unprotect_options[] = {
    COMMON_OPTIONS,
    {FOR, 0, "for", "TIME", "For so long, at most 7d. Needed: this takes protection away."},
    JSON_OPTION,
    ADMIN_OPTIONS,
    {0},
};

static const struct arg_option reset_options[] = {
    COMMON_OPTIONS, {ALL, 0, "all", NULL, "All services."}, JSON_OPTION, ADMIN_OPTIONS, {0},
};

const struct command page_open = {
    .name = "open",
    .run = command_open,
    .summary = "refuse all calls to a service",
    .synopsis = "NAME [--reason TEXT] [--for TIME] [--endpoint URL]",
    .description =
        "Forces the service's breaker open: no call reaches it, the fallback chain answers. "
        "Survives a reload of the configuration. `switchgear reset NAME` ends it.",
    .options = open_options,
    .operands_min = 1,
    .operands_max = 1,
    .exit_failed = "there is no such service, or the gateway does not answer",
    .example = "switchgear open search --reason 'index is being rebuilt' --for 10m",
};

const struct command page_close = {
    .name = "close",
    .run = command_close,
    .summary = "let all calls to a service through, whatever happens",
    .synopsis = "NAME --for TIME [--reason TEXT] [--endpoint URL]",
    .description = "Forces the service's breaker closed: calls are counted, but it does not trip. "
                   "This takes protection away and therefore ends by itself.",
    .options = unprotect_options,
    .operands_min = 1,
    .operands_max = 1,
    .exit_failed = "there is no such service, or the gateway does not answer",
    .example = "switchgear close search --for 5m --reason 'probes fail, users do not'",
};

const struct command page_disable = {
    .name = "disable",
    .run = command_disable,
    .summary = "take a service's breaker out of use for a while",
    .synopsis = "NAME --for TIME [--reason TEXT] [--endpoint URL]",
    .description = "Lets all calls through and counts none of them: after it the breaker begins "
                   "with an empty window. For tests of a service that are meant to fail.",
    .options = unprotect_options,
    .operands_min = 1,
    .operands_max = 1,
    .exit_failed = "there is no such service, or the gateway does not answer",
    .example = "switchgear disable search --for 15m --reason 'load test'",
};

const struct command page_reset = {
    .name = "reset",
    .run = command_reset,
    .summary = "end manual control, clear what was counted, and close",
    .synopsis = "NAME [--reason TEXT] [--endpoint URL]\n--all [--reason TEXT]",
    .description = "The breaker is closed, its window empty, and decides by itself again.",
    .options = reset_options,
    .operands_max = 1,
    .exit_failed = "there is no such service, or the gateway does not answer",
    .example = "switchgear reset search --reason 'index is back'",
};

struct control {
    const char *verb; /* of the API */
    struct admin_client client;
    const char *reason, *author, *duration, *endpoint, *name;
    bool all, json;
};

/* ---- one service ------------------------------------------------------------------- */

static void write_body(const struct control *c, struct buf *to) {
    struct json_out j;
    json_init(&j, to);
    json_object(&j);
    if (c->reason)
        json_key_string(&j, "reason", c->reason);
    json_key_string(&j, "author", c->author ? c->author : admin_client_user());
    if (c->duration)
        json_key_string(&j, "for", c->duration);
    if (c->endpoint)
        json_key_string(&j, "endpoint", c->endpoint);
    json_object_end(&j);
}

static const struct node *named_endpoint(const struct node *breaker, const char *name) {
    const struct node *list = json_in_get(breaker, "endpoints");
    for (struct node_entry *e = list && list->kind == NODE_LIST ? list->first : NULL; e;
         e = e->next) {
        if (!strcmp(json_in_text_or(e->value, "name", ""), name))
            return e->value;
    }
    return breaker;
}

static void print_state(const struct control *c, const char *name, struct bytes answer) {
    struct json_in in;
    if (json_in_read(&in, answer)) {
        const struct node *what = c->endpoint ? named_endpoint(in.root, c->endpoint) : in.root;
        const char *until = json_in_text(json_in_get(what, "manual"), "until");
        terminal_text(stdout, c->endpoint ? c->endpoint : name);
        fputs(": ", stdout);
        terminal_text(stdout, json_in_text_or(what, "state", "unknown"));
        if (until) {
            fputs(" until ", stdout);
            terminal_text(stdout, until);
        }
        fputc('\n', stdout);
    }
    json_in_free(&in);
}

static int act_on(struct control *c, const char *name) {
    struct buf path, body, answer;
    buf_init(&path, 4096);
    buf_init(&body, 65536);
    buf_literal(&path, "/api/v1/circuit-breakers/");
    admin_client_escape(&path, name);
    buf_printf(&path, "/%s", c->verb);
    write_body(c, &body);
    int error = path.failed || body.failed ? -1 : 0;
    if (error)
        fprintf(stderr, "switchgear %s: a name or reason is too long\n", c->client.command);
    else
        error = admin_client_ask(&c->client, "POST", path.at, buf_view(&body), &answer, 0);
    if (!error) {
        if (c->json)
            printf("%s\n", buf_cstr(&answer));
        else
            print_state(c, name, buf_view(&answer));
        buf_free(&answer);
    }
    buf_free(&path);
    buf_free(&body);
    return error ? EXIT_FAILED : EXIT_DONE;
}

static int act_on_all(struct control *c) {
    struct json_in in;
    int result = EXIT_DONE;
    if (admin_client_read(&c->client, "/api/v1/circuit-breakers", 0, &in) < 0)
        return EXIT_FAILED;
    const struct node *list = json_in_get(in.root, "circuit_breakers");
    for (struct node_entry *e = list && list->kind == NODE_LIST ? list->first : NULL; e;
         e = e->next) {
        const char *name = json_in_text(e->value, "name");
        if (name && act_on(c, name) != EXIT_DONE)
            result = EXIT_FAILED;
    }
    json_in_free(&in);
    return result;
}

/* ---- the commands ------------------------------------------------------------------- */

static void read_option(struct control *c, struct args *args, int id) {
    uint64_t ns;
    switch (id) {
    case REASON:
        c->reason = args->value;
        break;
    case AUTHOR:
        c->author = args->value;
        break;
    case FOR:
        if (args_duration(args, &ns))
            c->duration = args->value;
        break;
    case ENDPOINT:
        c->endpoint = args->value;
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

static int control(const struct command *page, const char *verb, bool unprotects, int argc,
                   char **argv) {
    struct control c = {.verb = verb};
    struct args args;
    admin_client_init(&c.client, page->name);
    args_begin(&args, page, argc, argv);
    for (int id; (id = args_next(&args)) != ARGS_END;)
        read_option(&c, &args, id);
    if (!args.failed && unprotects && !c.duration)
        args_fail(&args, "--for is needed: this takes protection away, for how long?");
    if (!args.failed && c.all == (args.operand_count > 0))
        args_fail(&args, "either the name of a service is expected, or --all");
    if (!args_done(&args) || !admin_client_settle(&c.client))
        return EXIT_USAGE;
    return c.all ? act_on_all(&c) : act_on(&c, args.operand[0]);
}

int command_open(int argc, char **argv) {
    return control(&page_open, "force-open", false, argc, argv);
}

int command_close(int argc, char **argv) {
    return control(&page_close, "force-close", true, argc, argv);
}

int command_disable(int argc, char **argv) {
    return control(&page_disable, "disable", true, argc, argv);
}

int command_reset(int argc, char **argv) {
    return control(&page_reset, "reset", false, argc, argv);
}
