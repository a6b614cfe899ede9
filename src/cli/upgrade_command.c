/* upgrade_command.c - `switchgear upgrade`. */
#include "cli/admin_client.h"
#include "cli/commands.h"

/* Longer than the running process lets the new one take. */
#define PATIENCE_NS UINT64_C(40000000000)

static const struct arg_option options[] = {
    {'j', 'j', "json", NULL, "What the API answers."},
    ADMIN_OPTIONS,
    {0},
};

const struct command page_upgrade = {
    .name = "upgrade",
    .run = command_upgrade,
    .summary = "have a new process take over from the running one, losing no request",
    .synopsis = "[--json]",
    .description =
        "Install the new version first. The running gateway starts the program at the path it was "
        "started by itself, and gives it its listening sockets. When that has read its "
        "configuration and opened everything, it takes over: breakers stay as they are, "
        "connections between two requests go along, and requests under way are finished by the "
        "old process, which then ends. If the new process does not become ready, the old one goes "
        "on as if nothing had happened, and says why. SIGUSR2 does the same.",
    .options = options,
    .exit_failed = "the upgrade failed, and the old process goes on; or the gateway does not "
                   "answer",
    .example = "install -m 755 build/switchgear /usr/bin/switchgear.new\n"
               "mv /usr/bin/switchgear.new /usr/bin/switchgear && switchgear upgrade",
};

static int print_result(struct bytes answer) {
    struct json_in in;
    bool good = json_in_read(&in, answer);
    if (good)
        printf("upgraded; process %s has taken over\n",
               json_in_text_or(in.root, "process", "unknown"));
    else
        fprintf(stderr, "switchgear upgrade: what was answered is no JSON\n");
    json_in_free(&in);
    return good ? EXIT_DONE : EXIT_FAILED;
}

static int upgrade(struct admin_client *client, bool json) {
    struct buf body, answer;
    int status = 0;
    buf_init(&body, 1024);
    admin_client_author(&body);
    int error =
        admin_client_send(client, "POST", "/api/v1/upgrade", buf_view(&body), &answer, &status);
    buf_free(&body);
    if (error)
        return EXIT_FAILED;
    int result = status < 300 ? EXIT_DONE : EXIT_FAILED;
    if (json)
        printf("%s\n", buf_cstr(&answer));
    else if (result == EXIT_DONE)
        result = print_result(buf_view(&answer));
    else
        admin_client_problem(client, status, buf_view(&answer));
    buf_free(&answer);
    return result;
}

int command_upgrade(int argc, char **argv) {
    struct admin_client client;
    struct args args;
    bool json = false;
    admin_client_init(&client, page_upgrade.name);
    client.timeout_ns = PATIENCE_NS;
    args_begin(&args, &page_upgrade, argc, argv);
    for (int id; (id = args_next(&args)) != ARGS_END;) {
        if (!admin_client_option(&client, &args, id))
            json = true;
    }
    if (!args_done(&args) || !admin_client_settle(&client))
        return EXIT_USAGE;
    return upgrade(&client, json);
}
