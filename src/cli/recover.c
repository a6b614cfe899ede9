/* recover.c - `switchgear recover`: every open breaker is tried now. */
#include "base/json_out.h"
#include "cli/admin_client.h"
#include "cli/commands.h"
#include "cli/terminal.h"

enum { REASON = 'r', AUTHOR = 'a', JSON = 'j' };

static const struct arg_option options[] = {
    {REASON, 'r', "reason", "TEXT", "Why; kept in the history."},
    {AUTHOR, 0, "author", "NAME", "Who; kept in the history. Default: your user name."},
    {JSON, 'j', "json", NULL, "What the API answers."},
    ADMIN_OPTIONS,
    {0},
};

const struct command page_recover = {
    .name = "recover",
    .run = command_recover,
    .summary = "have every open breaker tried now instead of later",
    .synopsis = "[--reason TEXT] [--json]",
    .description =
        "For the moment when what was down is back. Each open breaker lets its next call through "
        "as a try, or its health check tries at once; it closes as soon as that goes well, and "
        "stays open if it does not. Nothing is forgotten, and what somebody forced open stays so: "
        "`switchgear reset` ends that.",
    .options = options,
    .exit_failed = "the gateway does not answer",
    .example = "switchgear recover --reason 'the database is back'",
};

static void print_result(struct bytes answer) {
    struct json_in in;
    if (!json_in_read(&in, answer)) {
        fprintf(stderr, "switchgear recover: what was answered is no JSON\n");
        json_in_free(&in);
        return;
    }
    const struct node *list = json_in_get(in.root, "probed");
    struct node_entry *e = list && list->kind == NODE_LIST ? list->first : NULL;
    if (!e)
        puts("no breaker is open");
    for (; e; e = e->next) {
        if (e->value->kind != NODE_SCALAR)
            continue;
        terminal_text(stdout, e->value->text.at);
        puts(": tried now");
    }
    json_in_free(&in);
}

static int recover(struct admin_client *client, const char *reason, const char *author, bool json) {
    struct buf body, answer;
    struct json_out j;
    buf_init(&body, 4096);
    json_init(&j, &body);
    json_object(&j);
    if (reason)
        json_key_string(&j, "reason", reason);
    json_key_string(&j, "author", author ? author : admin_client_user());
    json_object_end(&j);
    int error = admin_client_ask(client, "POST", "/api/v1/resilience/force-recovery",
                                 buf_view(&body), &answer, 0);
    buf_free(&body);
    if (error)
        return EXIT_FAILED;
    if (json)
        printf("%s\n", buf_cstr(&answer));
    else
        print_result(buf_view(&answer));
    buf_free(&answer);
    return EXIT_DONE;
}

int command_recover(int argc, char **argv) {
    struct admin_client client;
    struct args args;
    const char *reason = NULL, *author = NULL;
    bool json = false;
    admin_client_init(&client, page_recover.name);
    args_begin(&args, &page_recover, argc, argv);
    for (int id; (id = args_next(&args)) != ARGS_END;) {
        if (admin_client_option(&client, &args, id))
            continue;
        if (id == REASON)
            reason = args.value;
        else if (id == AUTHOR)
            author = args.value;
        else
            json = true;
    }
    if (!args_done(&args) || !admin_client_settle(&client))
        return EXIT_USAGE;
    return recover(&client, reason, author, json);
}
