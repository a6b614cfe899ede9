/* outbox.c - `switchgear outbox`: the writes that were promised, and what became of them. */
#include <stdlib.h>

#include "base/json_out.h"
#include "cli/admin_client.h"
#include "cli/commands.h"
#include "cli/table.h"

enum {
    SERVICE = 's',
    STATE = 'S',
    LIMIT = 'n',
    DEAD = 'd',
    CONTENT = 'C',
    REASON = 'r',
    AUTHOR = 'a',
    JSON = 'j'
};

enum { ACT_AT_ONCE = 200 }; /* as many as are read as JSON in any case */

static const struct arg_option options[] = {
    {SERVICE, 's', "service", "NAME", "list, --all-dead: only the writes of this service."},
    {STATE, 0, "state", "STATE",
     "list: only those that are queued, dead, sent, expired or dropped. Default: queued and dead, "
     "and what was settled in the last day."},
    {LIMIT, 'n', "limit", "COUNT", "list: the first so many, 1 to 1000; 100."},
    {DEAD, 0, "all-dead", NULL, "retry, drop: every dead letter, of --service NAME."},
    {CONTENT, 0, "content", NULL,
     "show: values of header fields and the body as well. Needs the admin token, and may show "
     "what is your customers'."},
    {REASON, 'r', "reason", "TEXT", "retry, drop: why; kept in the history."},
    {AUTHOR, 0, "author", "NAME",
     "retry, drop: who; kept in the history. Default: your user name."},
    {JSON, 'j', "json", NULL, "What the API answers, as JSON."},
    ADMIN_OPTIONS,
    {0},
};

const struct command page_outbox = {
    .name = "outbox",
    .run = command_outbox,
    .summary = "writes that wait for their service, and dead letters",
    .synopsis = "[list] [--service NAME] [--state STATE] [--limit COUNT] [--json]\n"
                "show ID [--content] [--json]\n"
                "retry ID | --all-dead --service NAME [--reason TEXT]\n"
                "drop ID | --all-dead --service NAME [--reason TEXT]",
    .description =
        "`list` has a line a write, in the order of acceptance; `show` tells all about one, but "
        "for "
        "the values of its header fields and its body.\n\n"
        "A dead letter is a write that its service refused for what it is (most of 4xx), or that "
        "failed again and again while others succeeded. It waits for somebody to decide: `retry` "
        "queues it again, last in its order; `drop` gives it up. `drop` takes a queued write out "
        "as "
        "well, unless it is being sent right now. What is sent cannot be taken back.",
    .options = options,
    .operands_max = 2,
    .exit_failed =
        "there is no such write, it cannot be done to it, or the gateway does not answer",
    .example = "switchgear outbox list --state dead\n"
               "switchgear outbox retry --all-dead --service payments --reason 'the bug is fixed'",
};

struct outbox_command {
    struct admin_client client;
    const char *service, *state, *reason, *author;
    uint64_t limit;
    bool all_dead, content, json;
};

/* ---- asking -------------------------------------------------------------------------- */

/* -1 with the message printed. The answer is the caller's. */
static int ask(struct outbox_command *c, const char *method, const struct buf *path,
               struct bytes body, struct buf *answer) {
    if (!path->failed)
        return admin_client_ask(&c->client, method, path->at, body, answer, 0);
    fprintf(stderr, "switchgear outbox: a name is too long\n");
    return -1;
}

static int ask_list(struct outbox_command *c, const char *after, struct buf *answer) {
    struct buf path;
    buf_init(&path, 4096);
    buf_printf(&path, "/api/v1/outbox?limit=%llu&after=%s", (unsigned long long)c->limit, after);
    if (c->service) {
        buf_literal(&path, "&service=");
        admin_client_escape(&path, c->service);
    }
    if (c->state) {
        buf_literal(&path, "&state=");
        admin_client_escape(&path, c->state);
    }
    int error = ask(c, "GET", &path, (struct bytes){0}, answer);
    buf_free(&path);
    return error;
}

/* ---- list ------------------------------------------------------------------------------ */

static enum colour state_colour(const char *state) {
    if (!strcmp(state, "dead"))
        return COLOUR_RED;
    return !strcmp(state, "sent")     ? COLOUR_GREEN
           : !strcmp(state, "queued") ? COLOUR_YELLOW
                                      : COLOUR_NONE;
}

static void put_entry(struct table *t, const struct node *e) {
    const char *state = json_in_text_or(e, "state", "");
    table_row(t);
    table_cell(t, 0, COLOUR_NONE, "%s", json_in_text_or(e, "id", ""));
    table_cell(t, 1, COLOUR_NONE, "%s", json_in_text_or(e, "service", ""));
    table_cell(t, 2, state_colour(state), "%s", state);
    table_cell(t, 3, COLOUR_NONE, "%s", json_in_text_or(e, "accepted_at", ""));
    table_cell(t, 4, COLOUR_NONE, "%.0f", json_in_number(e, "attempts", 0));
    table_cell(t, 5, COLOUR_NONE, "%.60s", json_in_text_or(e, "order_key", ""));
    table_cell(t, 6, COLOUR_NONE, "%.100s", json_in_text_or(e, "note", ""));
}

static const struct node_entry *entries_of(const struct json_in *in) {
    const struct node *list = json_in_get(in->root, "entries");
    return list && list->kind == NODE_LIST ? list->first : NULL;
}

static int print_list(struct bytes answer) {
    static const char *const headings[] = {"ID",     "SERVICE",  "STATE", "ACCEPTED",
                                           ">TRIES", "ORDER BY", "LAST",  NULL};
    struct json_in in;
    struct table t;
    int result = EXIT_DONE;
    table_init(&t, headings);
    if (!json_in_read(&in, answer)) {
        fprintf(stderr,
                "switchgear outbox: that is too much to show; a smaller --limit, or --json\n");
        result = EXIT_FAILED;
    }
    for (const struct node_entry *e = entries_of(&in); e; e = e->next)
        put_entry(&t, e->value);
    if (t.rows > 1)
        table_write(&t, stdout);
    else if (result == EXIT_DONE)
        puts("no such writes");
    if (json_in_text(in.root, "next"))
        printf("There are more: --limit, --service and --state select.\n");
    table_free(&t);
    json_in_free(&in);
    return result;
}

static int list(struct outbox_command *c) {
    struct buf answer;
    if (ask_list(c, "0", &answer) < 0)
        return EXIT_FAILED;
    int result = EXIT_DONE;
    if (c->json)
        printf("%s", buf_cstr(&answer));
    else
        result = print_list(buf_view(&answer));
    buf_free(&answer);
    return result;
}

/* ---- show -------------------------------------------------------------------------------- */

static void print_member(const struct node *root, const char *key, const char *label) {
    const char *text = json_in_text(root, key);
    if (!text || !*text)
        return;
    printf("%-16s ", label);
    terminal_text(stdout, text);
    fputc('\n', stdout);
}

static void print_fields(const struct node *root) {
    const struct node *fields = json_in_get(root, "headers");
    const char *label = "header fields";
    for (const struct node_entry *e = fields && fields->kind == NODE_LIST ? fields->first : NULL; e;
         e = e->next) {
        bool plain = e->value->kind == NODE_SCALAR;
        printf("%-16s ", label);
        terminal_text(stdout, plain ? e->value->text.at : json_in_text_or(e->value, "name", ""));
        if (!plain) {
            fputs(": ", stdout);
            terminal_text(stdout, json_in_text_or(e->value, "value", ""));
        }
        fputc('\n', stdout);
        label = "";
    }
}

static void print_entry(const struct node *root) {
    static const struct {
        const char *key, *label;
    } members[] = {{"id", "id"},
                   {"service", "service"},
                   {"state", "state"},
                   {"sequence", "sequence"},
                   {"accepted_at", "accepted"},
                   {"expires_at", "expires"},
                   {"settled_at", "settled"},
                   {"attempts", "attempts"},
                   {"last_status", "last status"},
                   {"note", "last said"},
                   {"order_key", "order by"},
                   {"idempotency_key", "idempotency key"},
                   {"method", "method"},
                   {"target", "target"},
                   {"content_bytes", "bytes"},
                   {"content", "content"}};
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        print_member(root, members[i].key, members[i].label);
    print_fields(root);
    print_member(root, "body", "body");
    print_member(root, "body_base64", "body (base64)");
}

static int show(struct outbox_command *c, const char *id) {
    struct buf path, answer;
    struct json_in in;
    buf_init(&path, 4096);
    buf_literal(&path, "/api/v1/outbox/");
    admin_client_escape(&path, id);
    if (c->content)
        buf_literal(&path, "?content=1");
    int error = ask(c, "GET", &path, (struct bytes){0}, &answer);
    buf_free(&path);
    if (error)
        return EXIT_FAILED;
    if (c->json) {
        printf("%s", buf_cstr(&answer));
    } else if (json_in_read(&in, buf_view(&answer))) {
        print_entry(in.root);
        json_in_free(&in);
    } else { /* larger than is read here */
        json_in_free(&in);
        fprintf(stderr, "switchgear outbox: it is too large to show; --json gives it as it is\n");
        error = -1;
    }
    buf_free(&answer);
    return error ? EXIT_FAILED : EXIT_DONE;
}

/* ---- retry and drop ------------------------------------------------------------------------ */

static void write_body(const struct outbox_command *c, struct buf *to) {
    struct json_out j;
    json_init(&j, to);
    json_object(&j);
    if (c->reason)
        json_key_string(&j, "reason", c->reason);
    json_key_string(&j, "author", c->author ? c->author : admin_client_user());
    json_object_end(&j);
}

static int act_on(struct outbox_command *c, const char *verb, const char *id) {
    struct buf path, body, answer;
    buf_init(&path, 4096);
    buf_init(&body, 65536);
    buf_literal(&path, "/api/v1/outbox/");
    admin_client_escape(&path, id);
    buf_printf(&path, "/%s", verb);
    write_body(c, &body);
    int error = ask(c, "POST", &path, buf_view(&body), &answer);
    if (!error) {
        struct json_in in;
        if (c->json)
            printf("%s", buf_cstr(&answer));
        else if (json_in_read(&in, buf_view(&answer)))
            printf("%s: %s\n", id, json_in_text_or(in.root, "state", "unknown"));
        if (!c->json)
            json_in_free(&in);
        buf_free(&answer);
    }
    buf_free(&path);
    buf_free(&body);
    return error ? EXIT_FAILED : EXIT_DONE;
}

/* Those that were dead when it began, page by page: a retried one may die again
 * meanwhile, with a higher number. */
static int act_on_dead(struct outbox_command *c, const char *verb) {
    char after[32] = "0";
    unsigned long long count = 0, last = 0;
    int result = EXIT_DONE;
    c->state = "dead";
    c->limit = ACT_AT_ONCE;
    for (bool more = true; more;) {
        struct buf answer;
        struct json_in in;
        if (ask_list(c, after, &answer) < 0)
            return EXIT_FAILED;
        more = json_in_read(&in, buf_view(&answer));
        result = more ? result : EXIT_FAILED;
        for (const struct node_entry *e = entries_of(&in); e; e = e->next) {
            if (act_on(c, verb, json_in_text_or(e->value, "id", "")) != EXIT_DONE)
                result = EXIT_FAILED;
            count++;
        }
        snprintf(after, sizeof after, "%s", json_in_text_or(in.root, "next", ""));
        unsigned long long at = strtoull(after, NULL, 10);
        more = more && at > last;
        last = at;
        json_in_free(&in);
        buf_free(&answer);
    }
    if (!c->json)
        printf("%llu dead letter%s\n", count, count == 1 ? "" : "s");
    return result;
}

/* ---- the command ----------------------------------------------------------------------------- */

static void read_option(struct outbox_command *c, struct args *args, int id) {
    switch (id) {
    case SERVICE:
        c->service = args->value;
        break;
    case STATE:
        c->state = args->value;
        break;
    case LIMIT:
        if (args_count(args, &c->limit) && (c->limit < 1 || c->limit > 1000))
            args_fail(args, "--limit: a number from 1 to 1000 is expected");
        break;
    case DEAD:
        c->all_dead = true;
        break;
    case CONTENT:
        c->content = true;
        break;
    case REASON:
        c->reason = args->value;
        break;
    case AUTHOR:
        c->author = args->value;
        break;
    case JSON:
        c->json = true;
        break;
    default:
        admin_client_option(&c->client, args, id);
    }
}

/* What the verb needs beside it. */
static void check_operands(struct outbox_command *c, struct args *args, const char *verb) {
    bool acts = !strcmp(verb, "retry") || !strcmp(verb, "drop"), has_id = args->operand_count > 1;
    if (!acts && strcmp(verb, "list") != 0 && strcmp(verb, "show") != 0)
        args_fail(args, "\"%s\" is none of list, show, retry and drop", verb);
    else if (!strcmp(verb, "list") && has_id)
        args_fail(args, "list takes no ID; show does");
    else if (!strcmp(verb, "show") && !has_id)
        args_fail(args, "the ID of a write is expected");
    else if (acts && c->all_dead == has_id)
        args_fail(args, "either the ID of a write is expected, or --all-dead");
    else if (acts && c->all_dead && !c->service)
        args_fail(args, "--all-dead: of which service? --service NAME");
    else if (!acts && c->all_dead)
        args_fail(args, "--all-dead: only for retry and drop");
}

int command_outbox(int argc, char **argv) {
    struct outbox_command c = {.limit = 100};
    struct args args;
    admin_client_init(&c.client, page_outbox.name);
    args_begin(&args, &page_outbox, argc, argv);
    for (int id; (id = args_next(&args)) != ARGS_END;)
        read_option(&c, &args, id);
    const char *verb = args.operand_count ? args.operand[0] : "list";
    if (!args.failed)
        check_operands(&c, &args, verb);
    if (!args_done(&args) || !admin_client_settle(&c.client))
        return EXIT_USAGE;
    if (!strcmp(verb, "list"))
        return list(&c);
    if (!strcmp(verb, "show"))
        return show(&c, args.operand[1]);
    return c.all_dead ? act_on_dead(&c, verb) : act_on(&c, verb, args.operand[1]);
}
