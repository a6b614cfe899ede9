/* main.c - which command, and what to say when there is none such. */
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/terminal.h"
#include "config/suggest.h"

const struct command *const commands[] = {
    &page_run,     &page_check,   &page_explain, &page_demo,      &page_mock,    &page_status,
    &page_top,     &page_history, &page_open,    &page_close,     &page_disable, &page_reset,
    &page_recover, &page_set,     &page_shadow,  &page_outbox,    &page_drill,   &page_reload,
    &page_upgrade, &page_drain,   &page_version, &page_reference, &page_help,    NULL,
};

/* run.c is the process itself; what is said about it stands here. */
static const struct arg_option run_options[] = {
    {'c', 'c', "config", "FILE",
     "The configuration. Default: switchgear.yaml in the working directory, then "
     "/etc/switchgear/switchgear.yaml."},
    {'p', 0, "pid-file", "FILE",
     "Where to write the number of the process that serves; after an upgrade the new one's."},
    {0},
};

const struct command page_run = {
    .name = "run",
    .run = command_run,
    .summary = "the gateway",
    .synopsis = "[-c FILE] [--pid-file FILE]",
    .description =
        "Listens where the configuration says, passes requests on to the services, and protects "
        "them. Logs go to standard error, a JSON object a line.\n\n"
        "SIGHUP reloads the configuration (a bad file changes nothing and says why) and reopens "
        "the log. SIGTERM drains: it goes on accepting for drain.delay, tells clients to close, "
        "lets running requests finish for drain.timeout, and exits. SIGINT does the same without "
        "the delay. A second signal quits at once. SIGUSR2 upgrades, as `switchgear upgrade` "
        "does.\n\n"
        "Sockets that a service manager has opened (LISTEN_FDS) are taken by the listeners of the "
        "same address.",
    .options = run_options,
    .exit_failed = "it could not listen, or could not go on",
    .exit_usage = "errors in the configuration",
    .example = "switchgear check shop.yaml && switchgear run -c shop.yaml",
};

const struct command *command_find(const char *name) {
    for (const struct command *const *c = commands; *c; c++) {
        if (!strcmp((*c)->name, name))
            return *c;
    }
    return NULL;
}

const char *command_suggest(const char *name) {
    struct suggestion s;
    suggest_begin(&s, bytes_of(name));
    for (const struct command *const *c = commands; *c; c++)
        suggest_offer(&s, (*c)->name);
    return s.best;
}

/* --help anywhere before "--" asks for the page, whatever else is wrong. */
static bool wants_help(int argc, char **argv) {
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))
            return true;
    }
    return false;
}

/* The demo's processes end with it, also when it is killed: the kernel sees to
 * that, unless the demo had ended before it could be asked. */
static void follow_parent(void) {
    const char *parent = getenv("SWITCHGEAR_PARENT");
    if (!parent)
        return;
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != atoi(parent))
        exit(EXIT_FAILED);
}

static int usage(const char *word) {
    if (word) {
        const char *near = command_suggest(word);
        fprintf(stderr, "switchgear: no command \"%s\"%s%s%s\n", word,
                near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
    }
    fputs("Usage: switchgear COMMAND [OPTIONS]. The commands: switchgear help\n", stderr);
    return EXIT_USAGE;
}

int main(int argc, char **argv) {
    static char help[] = "help", version[] = "version";
    char *alone[] = {help, NULL};
    follow_parent();
    if (argc < 2)
        return command_help(1, alone);
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))
        argv[1] = help;
    else if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V"))
        argv[1] = version;
    const struct command *c = command_find(argv[1]);
    if (!c)
        return usage(argv[1]);
    if (wants_help(argc - 1, argv + 1)) {
        command_help_write(c, stdout, terminal_columns(stdout));
        return fflush(stdout) == 0 ? EXIT_DONE : EXIT_FAILED;
    }
    return c->run(argc - 1, argv + 1);
}
