/* shadow.c - `switchgear shadow`: another breaker beside the live one, compared. */
#include <string.h>

#include "cli/admin_client.h"
#include "cli/assignments.h"
#include "cli/commands.h"
#include "cli/findings.h"
#include "cli/table.h"
#include "cli/terminal.h"

enum { REASON = 'r', AUTHOR = 'a', OFF = 'o', JSON = 'j' };

static const struct arg_option options[] = {
    {OFF, 0, "off", NULL, "Take the shadow away."},
    {REASON, 'r', "reason", "TEXT", "Why; kept in the history."},
    {AUTHOR, 0, "author", "NAME", "Who; kept in the history. Default: your user name."},
    {JSON, 'j', "json", NULL, "What the API answers."},
    ADMIN_OPTIONS,
    {0},
};

const struct command page_shadow = {
    .name = "shadow",
    .run = command_shadow,
    .summary = "try other settings of a breaker without letting them decide",
    .synopsis = "SERVICE KEY=VALUE… [--reason TEXT]\nSERVICE --off\nSERVICE",
    .description =
        "Puts a second breaker beside that of each of the service's endpoints. It has other "
        "settings, meets the same calls and decides nothing: what it would have refused goes on, "
        "and is counted. KEY is a key of the configuration's `breaker`; what is not named is as "
        "in the live one, but naming any trip rule replaces all.\n\n"
        "Without KEY=VALUE it prints both side by side. A shadow that is set here holds until the "
        "next reload; `shadow` in the configuration lasts.",
    .options = options,
    .operands_min = 1,
    .operands_max = ARGS_OPERANDS,
    .exit_failed = "there is no such service, or the gateway does not answer",
    .exit_usage = "the settings would not be valid",
    .example = "switchgear shadow payments failures=8 open=30s --reason 'is 5 too strict?'\n"
               "switchgear shadow payments",
};

struct shadow {
    struct admin_client client;
    struct assignments words;
    const char *service;
    bool off, json;
};

/* ---- side by side ---------------------------------------------------------------------- */

static const char *text_of(const struct node *side, const char *key) {
    return json_in_text_or(side, key, "-");
}

static void put_row(struct table *t, const char *what, const char *live, const char *shadow) {
    table_row(t);
    table_cell(t, 0, COLOUR_NONE, "%s", what);
    table_cell(t, 1, COLOUR_NONE, "%s", live);
    table_cell(t, 2, strcmp(live, shadow) != 0 ? COLOUR_YELLOW : COLOUR_NONE, "%s", shadow);
}

static void put_settings(struct table *t, const struct node *root) {
    const struct node *list = json_in_get(root, "differences");
    const struct node_entry *e = list && list->kind == NODE_LIST ? list->first : NULL;
    for (; e; e = e->next)
        put_row(t, text_of(e->value, "key"), text_of(e->value, "live"),
                text_of(e->value, "shadow"));
}

static void put_seconds(struct table *t, const char *what, const struct node *live,
                        const struct node *shadow, const char *key) {
    char a[32], b[32];
    snprintf(a, sizeof a, "%.1fs", json_in_number(live, key, 0) / 1000);
    snprintf(b, sizeof b, "%.1fs", json_in_number(shadow, key, 0) / 1000);
    put_row(t, what, a, b);
}

static void put_figures(struct table *t, const struct node *root) {
    const struct node *live = json_in_get(root, "live"), *shadow = json_in_get(root, "shadow");
    const struct node *a = json_in_get(live, "totals"), *b = json_in_get(shadow, "totals");
    put_row(t, "state", text_of(live, "state"), text_of(shadow, "state"));
    put_row(t, "since", text_of(live, "since"), text_of(shadow, "since"));
    put_row(t, "opened", text_of(live, "opened"), text_of(shadow, "opened"));
    put_seconds(t, "not closed", live, shadow, "not_closed_ms");
    put_row(t, "refused", text_of(live, "refused"), text_of(shadow, "refused"));
    put_row(t, "calls heard", text_of(a, "calls"), text_of(b, "calls"));
    put_row(t, "failures", text_of(a, "failures"), text_of(b, "failures"));
    put_row(t, "slow", text_of(a, "slow"), text_of(b, "slow"));
    put_row(t, "calls in the window", text_of(live, "calls"), text_of(shadow, "calls"));
    put_row(t, "failed of them", text_of(live, "failure_count"), text_of(shadow, "failure_count"));
}

static void print_both(const struct node *root) {
    static const char *const headings[] = {"", "LIVE", "SHADOW", NULL};
    const struct node *d = json_in_get(root, "disagreements");
    struct table t;
    if (!json_in_true(root, "enabled")) {
        puts("there is no shadow beside this service's breaker");
        return;
    }
    table_init(&t, headings);
    put_settings(&t, root);
    put_figures(&t, root);
    table_write(&t, stdout);
    table_free(&t);
    printf("\nthey %s; since ", json_in_true(root, "agrees") ? "agree" : "differ");
    terminal_text(stdout, text_of(root, "begun_at"));
    printf(" they differed for %.1fs, and of %s calls: the shadow would have refused %s that went "
           "through, and let through %s that were refused\n",
           json_in_number(d, "ms", 0) / 1000, text_of(d, "calls"),
           text_of(root, "would_have_refused"), text_of(root, "would_have_admitted"));
}

/* ---- asking ------------------------------------------------------------------------------ */

static int show(const struct shadow *s, int status, struct bytes answer) {
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
        fprintf(stderr, "switchgear shadow: what was answered is no JSON\n");
    else if (result == EXIT_USAGE)
        findings_print(s->client.command, in.root);
    else
        print_both(in.root);
    json_in_free(&in);
    return result;
}

static int ask(struct shadow *s, struct bytes body) {
    const char *method = s->off ? "DELETE" : s->words.count ? "PUT" : "GET";
    struct buf path, answer;
    int status;
    buf_init(&path, 4096);
    buf_literal(&path, "/api/v1/services/");
    admin_client_escape(&path, s->service);
    buf_literal(&path, "/shadow");
    if (!s->off && !s->words.count)
        body = (struct bytes){0};
    int error =
        path.failed ? -1 : admin_client_send(&s->client, method, path.at, body, &answer, &status);
    buf_free(&path);
    if (error)
        return EXIT_FAILED;
    int result = show(s, status, buf_view(&answer));
    buf_free(&answer);
    return result;
}

static int run(struct shadow *s) {
    char memory[512];
    struct buf body, wrong;
    buf_init(&body, 1 << 16);
    buf_init_fixed(&wrong, memory, sizeof memory);
    int result = EXIT_USAGE;
    s->words.below = s->off ? NULL : "breaker";
    if (assignments_write(&s->words, &body, &wrong))
        result = ask(s, buf_view(&body));
    else
        fprintf(stderr, "switchgear shadow: %s\n", buf_cstr(&wrong));
    buf_free(&body);
    return result;
}

static void read_option(struct shadow *s, struct args *args, int id) {
    switch (id) {
    case REASON:
        s->words.reason = args->value;
        break;
    case AUTHOR:
        s->words.author = args->value;
        break;
    case OFF:
        s->off = true;
        break;
    case JSON:
        s->json = true;
        break;
    default:
        admin_client_option(&s->client, args, id);
    }
}

/* `breaker.failures=8`, as `set` has it, is the same as `failures=8`. */
static void strip_prefix(struct args *args) {
    static const char prefix[] = "breaker.";
    for (unsigned i = 1; i < args->operand_count; i++) {
        if (!strncmp(args->operand[i], prefix, sizeof prefix - 1))
            args->operand[i] += sizeof prefix - 1;
    }
}

int command_shadow(int argc, char **argv) {
    struct shadow s = {.words.author = admin_client_user()};
    struct args args;
    admin_client_init(&s.client, page_shadow.name);
    args_begin(&args, &page_shadow, argc, argv);
    for (int id; (id = args_next(&args)) != ARGS_END;)
        read_option(&s, &args, id);
    if (!args.failed && s.off && args.operand_count > 1)
        args_fail(&args, "--off takes the shadow away: no KEY=VALUE goes with it");
    if (!args_done(&args) || !admin_client_settle(&s.client))
        return EXIT_USAGE;
    strip_prefix(&args);
    s.service = args.operand[0];
    s.words.words = args.operand + 1;
    s.words.count = args.operand_count - 1;
    return run(&s);
}
