/* commands.h - the commands of the program, and the table that lists them.
 *
 * A command gets its own arguments, argv[0] being its name, and returns the
 * exit code. What is said about it (help, the reference page, the check of its
 * options) stands in its page, a struct command beside its code. */
#ifndef SWG_CLI_COMMANDS_H
#define SWG_CLI_COMMANDS_H

#include "cli/args.h"

enum exit_code {
    EXIT_DONE = 0,
    EXIT_FAILED = 1,
    EXIT_USAGE = 2, /* wrong usage or configuration */
};

int command_run(int argc, char **argv);
int command_check(int argc, char **argv);
int command_demo(int argc, char **argv);
int command_status(int argc, char **argv);
int command_top(int argc, char **argv);
int command_history(int argc, char **argv);
int command_open(int argc, char **argv);
int command_close(int argc, char **argv);
int command_disable(int argc, char **argv);
int command_reset(int argc, char **argv);
int command_recover(int argc, char **argv);
int command_set(int argc, char **argv);
int command_shadow(int argc, char **argv);
int command_outbox(int argc, char **argv);
int command_drill(int argc, char **argv);
int command_reload(int argc, char **argv);
int command_upgrade(int argc, char **argv);
int command_drain(int argc, char **argv);
int command_mock(int argc, char **argv);
int command_explain(int argc, char **argv);
int command_version(int argc, char **argv);
int command_reference(int argc, char **argv);
int command_help(int argc, char **argv);

extern const struct command page_run, page_check, page_demo, page_status, page_top, page_history,
    page_open, page_close, page_disable, page_reset, page_recover, page_set, page_shadow,
    page_outbox, page_drill, page_reload, page_upgrade, page_drain, page_mock, page_explain,
    page_version, page_reference, page_help;

/* All of them, in the order of the help; ends with NULL. */
extern const struct command *const commands[];

/* NULL if there is none. */
const struct command *command_find(const char *name);
/* The nearest name, for "did you mean"; NULL if none is near. */
const char *command_suggest(const char *name);

/* docs/reference/cli.md and switchgear(1), from the pages. */
void cli_reference_write(FILE *);
void cli_man_write(FILE *);

#endif
