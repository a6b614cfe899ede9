/* history.c - `switchgear history`: what has happened to one service. */
#include "cli/admin_client.h"
#include "cli/commands.h"
#include "cli/table.h"

static const struct arg_option options[] = {
    {'n', 'n', "limit", "COUNT", "The latest so many, 1 to 500; 128."},
    {'j', 'j', "json", NULL, "What the API tells, as JSON."},
    ADMIN_OPTIONS,
    {0},
};

const struct command page_history = {
    .name = "history",
    .run = command_history,
    .summary = "what has happened to a service: state changes, manual control, tiers",
    .synopsis = "NAME [--limit COUNT] [--json]",
    .description = "The events of the service, oldest first: when its breakers changed state and "
                   "why, who took control and with what reason, which tier began to answer.",
    .options = options,
    .operands_min = 1,
    .operands_max = 1,
    .exit_failed = "the gateway does not answer, or there is no such service",
    .example = "switchgear history search --limit 20",
};

static enum colour kind_colour(const struct node *event) {
    const char *to = json_in_text_or(event, "to", "");
    if (!strcmp(to, "open") || !strcmp(to, "forced_open") || !strcmp(to, "down"))
        return COLOUR_RED;
    return !strcmp(to, "closed") || !strcmp(to, "working") ? COLOUR_GREEN : COLOUR_NONE;
}

static void put_event(struct table *t, const struct node *e) {
    const char *from = json_in_text(e, "from"), *to = json_in_text(e, "to");
    const char *author = json_in_text(e, "author"), *text = json_in_text(e, "text");
    table_row(t);
    table_cell(t, 0, COLOUR_NONE, "%s", json_in_text_or(e, "time", ""));
    table_cell(t, 1, COLOUR_NONE, "%s", json_in_text_or(e, "kind", ""));
    if (from || to)
        table_cell(t, 2, kind_colour(e), "%s%s%s", from ? from : "", from && to ? " -> " : "",
                   to ? to : "");
    table_cell(t, 3, COLOUR_NONE, "%s", json_in_text_or(e, "cause", ""));
    table_cell(t, 4, COLOUR_NONE, "%s", json_in_text_or(e, "endpoint", ""));
    table_cell(t, 5, COLOUR_NONE, "%s%s%s%s", author ? "by " : "", author ? author : "",
               author && text ? ": " : "", text ? text : "");
}

static void print_events(struct bytes answer) {
    static const char *const headings[] = {"TIME", "EVENT", "", "CAUSE", "ENDPOINT", "", NULL};
    struct json_in in;
    struct table t;
    table_init(&t, headings);
    if (json_in_read(&in, answer)) {
        const struct node *list = json_in_get(in.root, "events");
        for (struct node_entry *e = list && list->kind == NODE_LIST ? list->first : NULL; e;
             e = e->next)
            put_event(&t, e->value);
    }
    if (t.rows > 1)
        table_write(&t, stdout);
    else
        puts("nothing has happened yet");
    json_in_free(&in);
    table_free(&t);
}

static int history(struct admin_client *client, const char *name, uint64_t limit, bool json) {
    struct buf path, answer;
    buf_init(&path, 4096);
    buf_literal(&path, "/api/v1/circuit-breakers/");
    admin_client_escape(&path, name);
    buf_printf(&path, "/history?limit=%llu", (unsigned long long)limit);
    int error =
        path.failed ? -1 : admin_client_ask(client, "GET", path.at, (struct bytes){0}, &answer, 0);
    buf_free(&path);
    if (error)
        return EXIT_FAILED;
    if (json)
        printf("%s\n", buf_cstr(&answer));
    else
        print_events(buf_view(&answer));
    buf_free(&answer);
    return EXIT_DONE;
}

int command_history(int argc, char **argv) {
    struct admin_client client;
    struct args args;
    uint64_t limit = 128;
    bool json = false;
    admin_client_init(&client, page_history.name);
    args_begin(&args, &page_history, argc, argv);
    for (int id; (id = args_next(&args)) != ARGS_END;) {
        if (admin_client_option(&client, &args, id))
            continue;
        json |= id == 'j';
        if (id == 'n' && args_count(&args, &limit) && (limit < 1 || limit > 500))
            args_fail(&args, "--limit: a number from 1 to 500 is expected");
    }
    if (!args_done(&args) || !admin_client_settle(&client))
        return EXIT_USAGE;
    return history(&client, args.operand[0], limit, json);
}
