/* run.c - `switchgear run`: the gateway, until it is told to drain. */
#include <stdio.h>

#include "cli/commands.h"
#include "cli/server.h"

static int load(const char *path, struct gateway_options **out) {
    struct config_report report;
    config_report_init(&report);
    int error = config_load(path, out, &report);
    config_report_print(&report, stderr);
    if (error)
        fprintf(stderr, "switchgear: not started: %u error%s in %s\n", report.error_count,
                report.error_count == 1 ? "" : "s", path);
    config_report_free(&report);
    return error;
}

int command_run(int argc, char **argv) {
    const char *path = NULL;
    struct args args;
    args_begin(&args, &page_run, argc, argv);
    while (args_next(&args) != ARGS_END)
        path = args.value;
    if (!args_done(&args))
        return EXIT_USAGE;
    struct gateway_options *options;
    struct server *server;
    if (load(path ? path : config_default_path(), &options) < 0)
        return EXIT_USAGE;
    int error = server_create(&server, options);
    gateway_options_release(options);
    if (error)
        return EXIT_FAILED;
    int result = server_run(server);
    server_destroy(server);
    return result;
}
