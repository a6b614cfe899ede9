/* set.c - `switchgear set`: a service's policy is changed until the next reload. */
#include "cli/admin_client.h"
#include "cli/assignments.h"
#include "cli/commands.h"
#include "cli/findings.h"
#include "cli/terminal.h"

enum { REASON = 'r', AUTHOR = 'a', DRY = 'n', UNDO = 'u', JSON = 'j' };

static const struct arg_option options[] = {
    {REASON, 'r', "reason", "TEXT", "Why; kept in the history."},
    {AUTHOR, 0, "author", "NAME", "Who; kept in the history. Default: your user name."},
    {DRY, 'n', "dry-run", NULL, "Only check, and show what would change."},
    {UNDO, 0, "undo", NULL, "Take back all that was changed: the file holds again."},
    {JSON, 'j', "json", NULL, "What the API answers."},
    ADMIN_OPTIONS,
    {0},
};

const struct command page_set = {
    .name = "set",
    .run = command_set,
    .summary = "change a service's policy while the gateway runs",
    .synopsis = "SERVICE KEY=VALUE… [--reason TEXT] [--dry-run]\nSERVICE --undo\nSERVICE",
    .description =
        "Changes keys of the service's policy, named and written as in the configuration, and "
        "checked like it: if anything is wrong, all of it is told and nothing is changed. "
        "Breakers keep their states, windows their counts, and no request is disturbed. It holds "
        "until the next reload of the configuration, which says what it replaced. KEY=null takes "
        "away what the file says about a key.\n\n"
        "Without KEY=VALUE it lists what was changed, by whom and since when. Endpoints and the "
        "fallback chain can be changed in the file only.",
    .options = options,
    .operands_min = 1,
    .operands_max = ARGS_OPERANDS,
    .exit_failed = "there is no such service, or the gateway does not answer",
    .exit_usage = "the policy would not be valid",
    .example = "switchgear set payments breaker.failures=8 timeout.attempt=2s --reason 'slow bank'",
};

struct set {
    struct admin_client client;
    struct assignments words;
    const char *service;
    bool dry, undo, json;
};

/* ---- what is printed ---------------------------------------------------------------- */

static void print_value(const struct node *n) {
    if (!n || n->kind == NODE_MAP) {
        fputs(n ? "{…}" : "none", stdout);
    } else if (n->kind == NODE_SCALAR) {
        terminal_text(stdout, node_is_null(n) ? "none" : n->text.at);
    } else {
        fputc('[', stdout);
        for (const struct node_entry *e = n->first; e; e = e->next) {
            print_value(e->value);
            fputs(e->next ? ", " : "", stdout);
        }
        fputc(']', stdout);
    }
}

static const struct node_entry *list_of(const struct node *root, const char *key) {
    const struct node *list = json_in_get(root, key);
    return list && list->kind == NODE_LIST ? list->first : NULL;
}

static void print_changes(const struct set *s, const struct node *root) {
    const struct node_entry *e = list_of(root, "changed");
    if (!e)
        printf("nothing %s\n", s->dry ? "would change" : "changes");
    for (; e; e = e->next) {
        if (s->dry)
            fputs("would change: ", stdout);
        terminal_text(stdout, json_in_text_or(e->value, "key", "?"));
        fputc(' ', stdout);
        print_value(node_get(e->value, "from"));
        fputs(" -> ", stdout);
        print_value(node_get(e->value, "to"));
        fputc('\n', stdout);
    }
    for (e = list_of(root, "warnings"); e; e = e->next) {
        fputs("warning: ", stdout);
        terminal_text(stdout, e->value->text.at);
        fputc('\n', stdout);
    }
    if (!s->dry && !s->undo && list_of(root, "changed"))
        puts("in force until the next reload; the file says nothing of it");
}

static void print_patched(const struct node *root) {
    const struct node_entry *e = list_of(root, "patched");
    if (!e)
        puts("nothing was changed at run time: the policy is that of the file");
    for (; e; e = e->next) {
        const char *reason = json_in_text(e->value, "reason");
        terminal_text(stdout, json_in_text_or(e->value, "key", "?"));
        fputs(" = ", stdout);
        print_value(node_get(e->value, "value"));
        fputs(", by ", stdout);
        terminal_text(stdout, json_in_text_or(e->value, "author", "?"));
        fputs(" since ", stdout);
        terminal_text(stdout, json_in_text_or(e->value, "since", "?"));
        if (reason) {
            fputs(": ", stdout);
            terminal_text(stdout, reason);
        }
        fputc('\n', stdout);
    }
}

/* ---- asking --------------------------------------------------------------------------- */

static int show(const struct set *s, bool only_list, int status, struct bytes answer) {
    struct json_in in;
    int result = status < 300 ? EXIT_DONE : status == 422 ? EXIT_USAGE : EXIT_FAILED;
    if (s->json) {
        printf("%s\n", answer.at);
        return result;
    }
    if (result == EXIT_FAILED) {
        admin_client_problem(&s->client, status, answer);
        return result;
    }
    if (!json_in_read(&in, answer))
        fprintf(stderr, "switchgear set: what was answered is no JSON\n");
    else if (result == EXIT_USAGE)
        findings_print(s->client.command, in.root);
    else if (only_list)
        print_patched(in.root);
    else
        print_changes(s, in.root);
    json_in_free(&in);
    return result;
}

static int ask(struct set *s, struct bytes body) {
    bool list = !s->undo && !s->words.count;
    struct buf path, answer;
    int status;
    buf_init(&path, 4096);
    buf_literal(&path, "/api/v1/services/");
    admin_client_escape(&path, s->service);
    if (s->undo)
        buf_literal(&path, "/patch");
    if (s->dry)
        buf_literal(&path, "?dry_run=1");
    int error = path.failed
                    ? -1
                    : admin_client_send(&s->client,
                                        list      ? "GET"
                                        : s->undo ? "DELETE"
                                                  : "PATCH",
                                        path.at, list ? (struct bytes){0} : body, &answer, &status);
    buf_free(&path);
    if (error)
        return EXIT_FAILED;
    int result = show(s, list, status, buf_view(&answer));
    buf_free(&answer);
    return result;
}

static int set(struct set *s) {
    char memory[512];
    struct buf body, wrong;
    buf_init(&body, 1 << 16);
    buf_init_fixed(&wrong, memory, sizeof memory);
    int result = EXIT_USAGE;
    if (assignments_write(&s->words, &body, &wrong))
        result = ask(s, buf_view(&body));
    else
        fprintf(stderr, "switchgear set: %s\n", buf_cstr(&wrong));
    buf_free(&body);
    return result;
}

static void read_option(struct set *s, struct args *args, int id) {
    switch (id) {
    case REASON:
        s->words.reason = args->value;
        break;
    case AUTHOR:
        s->words.author = args->value;
        break;
    case DRY:
        s->dry = true;
        break;
    case UNDO:
        s->undo = true;
        break;
    case JSON:
        s->json = true;
        break;
    default:
        admin_client_option(&s->client, args, id);
    }
}

int command_set(int argc, char **argv) {
    struct set s = {.words.author = admin_client_user()};
    struct args args;
    admin_client_init(&s.client, page_set.name);
    args_begin(&args, &page_set, argc, argv);
    for (int id; (id = args_next(&args)) != ARGS_END;)
        read_option(&s, &args, id);
    if (!args.failed && s.undo && args.operand_count > 1)
        args_fail(&args, "--undo takes back all: no KEY=VALUE goes with it");
    if (!args_done(&args) || !admin_client_settle(&s.client))
        return EXIT_USAGE;
    s.service = args.operand[0];
    s.words.words = args.operand + 1;
    s.words.count = args.operand_count - 1;
    return set(&s);
}
