/* reload.c - `switchgear reload`. */
#include "cli/admin_client.h"
#include "cli/commands.h"
#include "cli/findings.h"
#include "cli/terminal.h"

static const struct arg_option options[] = {
    {'j', 'j', "json", NULL, "What the API answers."},
    ADMIN_OPTIONS,
    {0},
};

const struct command page_reload = {
    .name = "reload",
    .run = command_reload,
    .summary = "have the running gateway read its configuration again",
    .synopsis = "[--json]",
    .description =
        "The gateway reads the file it was started with. Requests under way go on as they began; "
        "breakers keep their state. What was changed at run time (`switchgear set`) ends and is "
        "named. A file with errors changes nothing: they are printed, and the "
        "old configuration stays in force. What takes effect only at the next start is named.",
    .options = options,
    .exit_failed = "the gateway does not answer",
    .exit_usage = "errors in the file",
    .example = "switchgear reload",
};

static void print_replaced(const struct node *root) {
    const struct node *list = json_in_get(root, "replaced");
    for (struct node_entry *e = list && list->kind == NODE_LIST ? list->first : NULL; e;
         e = e->next) {
        fputs("ended: ", stdout);
        terminal_text(stdout, json_in_text_or(e->value, "service", "?"));
        fputc(' ', stdout);
        terminal_text(stdout, json_in_text_or(e->value, "key", "?"));
        fputs(", changed at run time by ", stdout);
        terminal_text(stdout, json_in_text_or(e->value, "author", "?"));
        fputc('\n', stdout);
    }
}

static int print_result(int status, struct bytes answer) {
    struct json_in in;
    if (!json_in_read(&in, answer)) {
        fprintf(stderr, "switchgear reload: what was answered is no JSON\n");
    } else if (status == 422) {
        findings_print(page_reload.name, in.root);
    } else {
        const char *later = json_in_text(in.root, "needs_restart");
        printf("reloaded; generation %s\n", json_in_text_or(in.root, "generation", "unknown"));
        if (later) {
            fputs("takes effect only at the next start: ", stdout);
            terminal_text(stdout, later);
            fputc('\n', stdout);
        }
        print_replaced(in.root);
    }
    json_in_free(&in);
    return status == 422 ? EXIT_USAGE : EXIT_DONE;
}

static int reload(struct admin_client *client, bool json) {
    struct buf body, answer;
    buf_init(&body, 1024);
    admin_client_author(&body);
    int status = 0;
    int error = admin_client_send(client, "POST", "/api/v1/config/reload", buf_view(&body), &answer,
                                  &status);
    buf_free(&body);
    if (error)
        return EXIT_FAILED;
    int result = EXIT_FAILED;
    if (json) {
        printf("%s\n", buf_cstr(&answer));
        result = status == 422 ? EXIT_USAGE : status < 300 ? EXIT_DONE : EXIT_FAILED;
    } else if (status < 300 || status == 422) {
        result = print_result(status, buf_view(&answer));
    } else {
        admin_client_problem(client, status, buf_view(&answer));
    }
    buf_free(&answer);
    return result;
}

int command_reload(int argc, char **argv) {
    struct admin_client client;
    struct args args;
    bool json = false;
    admin_client_init(&client, page_reload.name);
    args_begin(&args, &page_reload, argc, argv);
    for (int id; (id = args_next(&args)) != ARGS_END;) {
        if (!admin_client_option(&client, &args, id))
            json = true;
    }
    if (!args_done(&args) || !admin_client_settle(&client))
        return EXIT_USAGE;
    return reload(&client, json);
}
