/* run.c - `switchgear run`: the gateway, until it is told to drain. */
#include <stdio.h>
#include <string.h>

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
    for (int i = 1; i < argc; i++) {
        if ((!strcmp(argv[i], "-c") || !strcmp(argv[i], "--config")) && i + 1 < argc)
            path = argv[++i];
        else if (!strncmp(argv[i], "--config=", 9))
            path = argv[i] + 9;
        else {
            fprintf(stderr, "switchgear run: unexpected argument \"%s\"\n", argv[i]);
            return 2;
        }
    }
    struct gateway_options *options;
    struct server *server;
    if (load(path ? path : config_default_path(), &options) < 0)
        return 2;
    int error = server_create(&server, options);
    gateway_options_release(options);
    if (error)
        return 1;
    int result = server_run(server);
    server_destroy(server);
    return result;
}
