/* args.h - options and operands of a command, by a table that is also its help.
 *
 *     struct args args;
 *     args_begin(&args, &page_status, argc, argv);
 *     for (int id; (id = args_next(&args)) != ARGS_END;)
 *         switch (id) { case 'j': json = true; break; … args.value … }
 *     if (!args_done(&args))
 *         return EXIT_USAGE;
 *
 * Options may stand before and after operands; `--name value`, `--name=value`,
 * `-n value` and `-nvalue` are the same; what follows `--` is an operand. What
 * is wrong is printed as it is met, and args_done() tells. */
#ifndef SWG_CLI_ARGS_H
#define SWG_CLI_ARGS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/bytes.h"

struct arg_option {
    int id;            /* what args_next() gives; above 0 */
    char letter;       /* 0: none */
    const char *name;  /* without the dashes; NULL ends a table */
    const char *value; /* what it takes, "FILE"; NULL: nothing */
    const char *help;
};

/* A command's page. Texts are paragraphs, wrapped when they are printed, with
 * an empty line between them; a paragraph that begins with two spaces is
 * printed as it is. */
struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary;  /* one line */
    const char *synopsis; /* what follows the name; one form a line */
    const char *description;
    const struct arg_option *options;
    unsigned operands_min, operands_max;
    const char *exit_failed; /* when it exits with 1; NULL: never */
    const char *exit_usage;  /* when with 2, beside wrong usage; NULL: only then */
    const char *example;     /* as typed, with remarks after '#' */
};

enum { ARGS_END = 0, ARGS_OPERANDS = 32 };

struct args {
    const struct command *command;
    int argc, at;
    char **argv;
    const char *letters; /* rest of a word like -abc */
    const char *value;   /* of the option that args_next() gave */
    const struct arg_option *option;
    unsigned operand_count;
    const char *operand[ARGS_OPERANDS];
    bool only_operands, failed;
};

void args_begin(struct args *, const struct command *, int argc, char **argv);
/* The next option's id with args.value, or ARGS_END. */
int args_next(struct args *);
/* Whether all was right, the number of operands too; if not it has been said. */
bool args_done(struct args *);
/* Something about a value is wrong: says so, and args_done() will fail. */
void args_fail(struct args *, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Values of the present option; false after args_fail(). */
bool args_duration(struct args *, uint64_t *ns);
bool args_size(struct args *, uint64_t *bytes);
bool args_count(struct args *, uint64_t *);

/* The manual page, for a terminal `columns` wide. */
void command_help_write(const struct command *, FILE *, unsigned columns);
/* The same as a section of a Markdown page. */
void command_markdown_write(const struct command *, FILE *);

#endif
