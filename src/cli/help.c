/* help.c - the manual pages: for a terminal, and as Markdown. */
#include <stdlib.h>

#include "cli/commands.h"
#include "cli/terminal.h"

enum { INDENT = 7 };

/* ---- text ------------------------------------------------------------------ */

static void pad(FILE *to, unsigned columns) {
    fprintf(to, "%*s", (int)columns, "");
}

/* One paragraph, filled; the first line begins at `column` already. */
static void write_filled(FILE *to, struct bytes text, unsigned indent, unsigned columns) {
    unsigned column = indent;
    struct bytes word;
    bool first = true;
    for (size_t i = 0; i < text.len; first = false) {
        word = (struct bytes){text.at + i, 0};
        while (i + word.len < text.len && !strchr(" \n", text.at[i + word.len]))
            word.len++;
        unsigned width = 0;
        for (size_t k = 0; k < word.len; k++)
            width += (word.at[k] & 0xc0) != 0x80;
        if (!first && column + 1 + width > columns) {
            fputc('\n', to);
            pad(to, indent);
            column = indent;
        } else if (!first) {
            fputc(' ', to);
            column++;
        }
        fwrite(word.at, 1, word.len, to);
        column += width;
        i += word.len;
        while (i < text.len && strchr(" \n", text.at[i]))
            i++;
    }
    fputc('\n', to);
}

static void write_lines(FILE *to, struct bytes text, unsigned indent, const char *before) {
    struct bytes line;
    while (bytes_split(&text, '\n', &line)) {
        pad(to, indent);
        fprintf(to, "%s%.*s\n", before, (int)line.len, line.at);
    }
}

/* The next paragraph off the front of *text. */
static bool next_paragraph(struct bytes *text, struct bytes *paragraph) {
    if (!text->len)
        return false;
    const char *end = memmem(text->at, text->len, "\n\n", 2);
    paragraph->at = text->at;
    paragraph->len = end ? (size_t)(end - text->at) : text->len;
    text->at += paragraph->len + (end ? 2 : 0);
    text->len -= paragraph->len + (end ? 2 : 0);
    return true;
}

static void write_paragraphs(FILE *to, const char *all, unsigned columns) {
    struct bytes rest = bytes_of(all), paragraph;
    for (bool first = true; next_paragraph(&rest, &paragraph); first = false) {
        if (!first)
            fputc('\n', to);
        if (bytes_starts(paragraph, BYTES("  "))) {
            write_lines(to, paragraph, INDENT, "");
        } else {
            pad(to, INDENT);
            write_filled(to, paragraph, INDENT, columns);
        }
    }
}

/* ---- a page on a terminal --------------------------------------------------- */

static void write_heading(FILE *to, const char *heading) {
    fprintf(to, "\n%s%s%s\n", terminal_begin(to, COLOUR_BOLD), heading, terminal_end(to));
}

static void write_option(FILE *to, const struct arg_option *o, unsigned columns) {
    pad(to, INDENT);
    fputs(terminal_begin(to, COLOUR_BOLD), to);
    if (o->letter)
        fprintf(to, "-%c, ", o->letter);
    fprintf(to, "--%s%s%s%s\n", o->name, terminal_end(to), o->value ? " " : "",
            o->value ? o->value : "");
    pad(to, 2 * INDENT);
    write_filled(to, bytes_of(o->help), 2 * INDENT, columns);
}

static void write_exit_codes(FILE *to, const struct command *c) {
    fprintf(to, "%*s0  done\n", INDENT, "");
    if (c->exit_failed)
        fprintf(to, "%*s1  %s\n", INDENT, "", c->exit_failed);
    fprintf(to, "%*s2  wrong usage%s%s\n", INDENT, "", c->exit_usage ? ", or " : "",
            c->exit_usage ? c->exit_usage : "");
}

void command_help_write(const struct command *c, FILE *to, unsigned columns) {
    char before[64];
    snprintf(before, sizeof before, "switchgear %s ", c->name);
    fprintf(to, "%sNAME%s\n%*sswitchgear %s - %s\n", terminal_begin(to, COLOUR_BOLD),
            terminal_end(to), INDENT, "", c->name, c->summary);
    write_heading(to, "SYNOPSIS");
    write_lines(to, *c->synopsis ? bytes_of(c->synopsis) : BYTES(" "), INDENT, before);
    write_heading(to, "DESCRIPTION");
    write_paragraphs(to, c->description, columns);
    if (c->options && c->options->name) {
        write_heading(to, "OPTIONS");
        for (const struct arg_option *o = c->options; o->name; o++)
            write_option(to, o, columns);
    }
    write_heading(to, "EXIT CODES");
    write_exit_codes(to, c);
    write_heading(to, "EXAMPLE");
    write_lines(to, bytes_of(c->example), INDENT, "");
}

/* ---- a section in Markdown --------------------------------------------------- */

/* In a table a bar would end the cell, also inside of code. */
static void write_cell(FILE *to, const char *text) {
    for (; *text; text++) {
        if (*text == '|')
            fputs("\\|", to);
        else
            fputc(*text == '\n' ? ' ' : *text, to);
    }
}

static void write_markdown_text(FILE *to, const char *text) {
    struct bytes rest = bytes_of(text), paragraph;
    while (next_paragraph(&rest, &paragraph)) {
        if (bytes_starts(paragraph, BYTES("  "))) {
            fputs("```\n", to);
            write_lines(to, paragraph, 0, "");
            fputs("```\n\n", to);
        } else {
            write_filled(to, paragraph, 0, UINT32_MAX);
            fputc('\n', to);
        }
    }
}

void command_markdown_write(const struct command *c, FILE *to) {
    char before[64];
    snprintf(before, sizeof before, "switchgear %s ", c->name);
    fprintf(to, "## switchgear %s\n\n%s.\n\n```\n", c->name, c->summary);
    write_lines(to, *c->synopsis ? bytes_of(c->synopsis) : BYTES(" "), 0, before);
    fputs("```\n\n", to);
    write_markdown_text(to, c->description);
    if (c->options && c->options->name) {
        fputs("| option | |\n| --- | --- |\n", to);
        for (const struct arg_option *o = c->options; o->name; o++) {
            fputs("| `", to);
            if (o->letter)
                fprintf(to, "-%c`, `", o->letter);
            fprintf(to, "--%s%s", o->name, o->value ? " " : "");
            write_cell(to, o->value ? o->value : "");
            fputs("` | ", to);
            write_cell(to, o->help);
            fputs(" |\n", to);
        }
        fputc('\n', to);
    }
    fputs("Exit codes:\n\n```\n", to);
    write_exit_codes(to, c);
    fputs("```\n\nExample:\n\n```sh\n", to);
    write_lines(to, bytes_of(c->example), 0, "");
    fputs("```\n", to);
}

/* ---- the command ---------------------------------------------------------------- */

const struct command page_help = {
    .name = "help",
    .run = command_help,
    .summary = "what the commands are, and what each of them does",
    .synopsis = "[COMMAND]",
    .description = "Without a command, the list of all. `switchgear COMMAND --help` is the same "
                   "as `switchgear help COMMAND`.",
    .operands_max = 1,
    .example = "switchgear help mock",
};

static void write_overview(FILE *to) {
    fputs("switchgear keeps a program useful while the things it calls are failing.\n\n"
          "Usage: switchgear COMMAND [OPTIONS]\n\nCommands:\n",
          to);
    for (const struct command *const *c = commands; *c; c++)
        fprintf(to, "  %s%-9s%s %s\n", terminal_begin(to, COLOUR_BOLD), (*c)->name,
                terminal_end(to), (*c)->summary);
    fputs("\nMore about a command: switchgear help COMMAND. A first look: switchgear demo.\n", to);
}

void cli_reference_write(FILE *to) {
    fputs("# Command line\n\n<!-- Written by `switchgear reference cli`; do not edit. -->\n\n"
          "Exit codes are the same everywhere: 0 done, 1 failed, 2 wrong usage or "
          "configuration. Where a program may read the answer there is `--json`. Colours are used "
          "only on a terminal, and not with `NO_COLOR` set.\n\n",
          to);
    for (const struct command *const *c = commands; *c; c++)
        fprintf(to, "- [`%s`](#switchgear-%s): %s\n", (*c)->name, (*c)->name, (*c)->summary);
    for (const struct command *const *c = commands; *c; c++) {
        fputc('\n', to);
        command_markdown_write(*c, to);
    }
}

int command_help(int argc, char **argv) {
    struct args args;
    args_begin(&args, &page_help, argc, argv);
    while (args_next(&args) != ARGS_END)
        ; /* it has no options */
    if (!args_done(&args))
        return EXIT_USAGE;
    if (!args.operand_count) {
        write_overview(stdout);
    } else {
        const struct command *c = command_find(args.operand[0]);
        if (!c) {
            const char *near = command_suggest(args.operand[0]);
            fprintf(stderr, "switchgear: no command \"%s\"%s%s%s\n", args.operand[0],
                    near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
            return EXIT_USAGE;
        }
        command_help_write(c, stdout, terminal_columns(stdout));
    }
    return fflush(stdout) == 0 && !ferror(stdout) ? EXIT_DONE : EXIT_FAILED;
}
