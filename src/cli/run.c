/* run.c - `switchgear run`: the gateway, until it is told to drain. */
#include <stdio.h>

#include "cli/commands.h"
#include "cli/confine.h"
#include "cli/pid_file.h"
#include "cli/server.h"
#include "observe/log.h"

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

static int serve(struct gateway_options *options, const char *pid_file, struct heir *heir,
                 const struct launch *launch) {
    struct server *server;
    if (server_create(&server, options, heir, launch, pid_file) < 0)
        return EXIT_FAILED;
    int error = pid_file_write(pid_file);
    if (error)
        log_message(LOG_ERROR, "%s cannot be written: %s", pid_file, strerror(-error));
    int result = server_run(server);
    server_destroy(server);
    pid_file_remove(pid_file);
    return result;
}

static int run(const char *path, const char *pid_file, struct heir *heir) {
    /* as the next process will be started */
    char name[] = "switchgear", command[] = "run", config[] = "-c", pid[] = "--pid-file";
    char *const arguments[] = {
        name, command, config, (char *)path, pid_file ? pid : NULL, (char *)pid_file, NULL};
    struct gateway_options *options;
    struct launch launch;
    if (load(path, &options) < 0)
        return EXIT_USAGE;
    int result = EXIT_FAILED;
    int error = launch_init(&launch, arguments);
    if (!error && confine_is_wanted(options))
        error = launch_fork_helper(&launch);
    if (error)
        fprintf(stderr, "switchgear: cannot start: %s\n", strerror(-error));
    else
        result = serve(options, pid_file, heir, &launch);
    gateway_options_release(options);
    launch_free(&launch);
    return result;
}

int command_run(int argc, char **argv) {
    const char *path = NULL, *pid_file = NULL;
    struct args args;
    args_begin(&args, &page_run, argc, argv);
    for (int id; (id = args_next(&args)) != ARGS_END;)
        *(id == 'p' ? &pid_file : &path) = args.value;
    if (!args_done(&args))
        return EXIT_USAGE;
    struct heir heir;
    int result = EXIT_FAILED;
    if (heir_begin(&heir) == 0)
        result = run(path ? path : config_default_path(), pid_file, &heir);
    heir_free(&heir);
    return result;
}
