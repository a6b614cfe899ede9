/* man.c - switchgear(1), from the pages of the commands: what `switchgear help`
 * says, as roff. */
#include <string.h>

#include "base/bytes.h"
#include "cli/commands.h"

/* As roff wants text: a hyphen is one that can be copied, a backslash is none of
 * its own, and a line that begins with a dot is no request. */
static void write_escaped(FILE *to, struct bytes text) {
    for (size_t i = 0; i < text.len; i++) {
        char c = text.at[i];
        if ((i == 0 || text.at[i - 1] == '\n') && (c == '.' || c == '\''))
            fputs("\\&", to);
        if (c == '\\')
            fputs("\\e", to);
        else if (c == '-')
            fputs("\\-", to);
        else
            fputc(c, to);
    }
}

static void write_text(FILE *to, const char *text) {
    write_escaped(to, bytes_of(text));
}

static void write_verbatim(FILE *to, struct bytes text) {
    fputs(".nf\n", to);
    write_escaped(to, text);
    fputs("\n.fi\n", to);
}

/* What is indented stays as it is; the rest is filled. */
static void write_paragraphs(FILE *to, const char *all) {
    struct bytes rest = bytes_of(all);
    while (rest.len) {
        const char *end = memmem(rest.at, rest.len, "\n\n", 2);
        struct bytes paragraph = {rest.at, end ? (size_t)(end - rest.at) : rest.len};
        fputs(".PP\n", to);
        if (bytes_starts(paragraph, BYTES("  "))) {
            write_verbatim(to, paragraph);
        } else {
            write_escaped(to, paragraph);
            fputc('\n', to);
        }
        rest.at += paragraph.len + (end ? 2 : 0);
        rest.len -= paragraph.len + (end ? 2 : 0);
    }
}

static void write_option(FILE *to, const struct arg_option *o) {
    fputs(".TP\n\\fB", to);
    if (o->letter)
        fprintf(to, "\\-%c\\fR, \\fB", o->letter);
    fputs("\\-\\-", to);
    write_text(to, o->name);
    fputs("\\fR", to);
    if (o->value) {
        fputs(" \\fI", to);
        write_text(to, o->value);
        fputs("\\fR", to);
    }
    fputc('\n', to);
    write_text(to, o->help);
    fputc('\n', to);
}

static void write_synopsis(FILE *to, const struct command *c) {
    struct bytes rest = *c->synopsis ? bytes_of(c->synopsis) : BYTES(" "), form;
    fputs(".nf\n", to);
    while (bytes_split(&rest, '\n', &form)) {
        fprintf(to, "\\fBswitchgear %s\\fR ", c->name);
        write_escaped(to, form);
        fputc('\n', to);
    }
    fputs(".fi\n", to);
}

static void write_command(FILE *to, const struct command *c) {
    fprintf(to, ".SS %s\n", c->name);
    write_synopsis(to, c);
    write_paragraphs(to, c->description);
    for (const struct arg_option *o = c->options; o && o->name; o++)
        write_option(to, o);
    fputs(".PP\nExits with 0", to);
    if (c->exit_failed) {
        fputs("; with 1: ", to);
        write_text(to, c->exit_failed);
    }
    fputs("; with 2: wrong usage", to);
    if (c->exit_usage) {
        fputs(", or ", to);
        write_text(to, c->exit_usage);
    }
    fputs(". Example:\n.PP\n.RS 4\n", to);
    write_verbatim(to, bytes_of(c->example));
    fputs(".RE\n", to);
}

void cli_man_write(FILE *to) {
    fputs(".\\\" Written by `switchgear reference man'; do not edit.\n"
          ".TH SWITCHGEAR 1 \"\" \"switchgear\" \"User commands\"\n"
          ".SH NAME\n"
          "switchgear \\- keeps a program useful while the things it calls are failing\n"
          ".SH SYNOPSIS\n"
          ".B switchgear\n.I COMMAND\n.RI [ OPTIONS ]\n"
          ".SH DESCRIPTION\n"
          "A gateway between programs and the services they call: circuit breakers, retries\n"
          "with a budget, deadlines, bulkheads, caches, and fallback chains that answer while a\n"
          "service cannot. The other commands look at a gateway that runs, and control it.\n"
          ".SH COMMANDS\n",
          to);
    for (const struct command *const *c = commands; *c; c++)
        write_command(to, *c);
    fputs(".SH ENVIRONMENT\n"
          ".TP\n.B SWITCHGEAR_ADMIN\nWhere the admin API is, for commands that ask it.\n"
          ".TP\n.B SWITCHGEAR_ADMIN_TOKEN\nThe admin token, for the same.\n"
          ".TP\n.B NO_COLOR\nNo colours.\n"
          ".SH FILES\n"
          ".TP\n.I switchgear.yaml\nThe configuration, in the working directory; else\n"
          ".TP\n.I /etc/switchgear/switchgear.yaml\n"
          ".SH SEE ALSO\n.BR libswitchgear (3)\n",
          to);
}
