/* drain.c - `switchgear drain`. */
#include <time.h>

#include "cli/admin_client.h"
#include "cli/commands.h"

static const struct arg_option options[] = {
    {'w', 'w', "wait", NULL, "Returns only when the gateway has ended."},
    ADMIN_OPTIONS,
    {0},
};

const struct command page_drain = {
    .name = "drain",
    .run = command_drain,
    .summary = "have the running gateway finish its requests and end",
    .synopsis = "[--wait]",
    .description =
        "The same as SIGTERM: readiness fails, clients are told to close, after drain.delay "
        "nothing new is accepted, and running requests get drain.timeout to finish.",
    .options = options,
    .exit_failed = "the gateway does not answer",
    .example = "switchgear drain --wait",
};

/* Until nobody answers any more. The gateway itself sees to it that this does
 * not last for ever: drain.timeout. */
static void wait_for_end(struct admin_client *client) {
    const struct timespec pause = {.tv_nsec = 100000000};
    while (admin_client_is_there(client))
        nanosleep(&pause, NULL);
}

static int drain(struct admin_client *client, bool wait) {
    struct buf body, answer;
    buf_init(&body, 1024);
    admin_client_author(&body);
    int error = admin_client_ask(client, "POST", "/api/v1/drain", buf_view(&body), &answer, 0);
    buf_free(&body);
    if (error)
        return EXIT_FAILED;
    buf_free(&answer);
    if (wait)
        wait_for_end(client);
    puts(wait ? "drained" : "draining");
    return EXIT_DONE;
}

int command_drain(int argc, char **argv) {
    struct admin_client client;
    struct args args;
    bool wait = false;
    admin_client_init(&client, page_drain.name);
    args_begin(&args, &page_drain, argc, argv);
    for (int id; (id = args_next(&args)) != ARGS_END;) {
        if (!admin_client_option(&client, &args, id))
            wait = true;
    }
    if (!args_done(&args) || !admin_client_settle(&client))
        return EXIT_USAGE;
    return drain(&client, wait);
}
