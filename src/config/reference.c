/* reference.c - the reference page and the printed defaults, from the table. */
#include <string.h>

#include "base/buf.h"
#include "config/config.h"
#include "config/directives.h"
#include "config/fill.h"
#include "config/types.h"

static const char introduction[] =
    "# Configuration reference\n"
    "\n"
    "<!-- Generated from the directive table in src/config/directives.c; do not edit. -->\n"
    "\n"
    "One YAML file says everything. `switchgear check FILE` finds all mistakes in it at once;\n"
    "a key that is not on this page is one. SIGHUP, or `switchgear reload`, reads the file again\n"
    "and keeps the old configuration if the new one has an error.\n"
    "\n"
    "| value | written as |\n"
    "| --- | --- |\n"
    "| duration | `250ms`, `5s`, `1.5s`, `1m`, `1h`, `7d`; also `us`, `ns`; `0` needs no unit |\n"
    "| size | `64KiB`, `1MiB`, `2GiB` (powers of 1024), `64KB`, `1MB` (powers of 1000), or bytes "
    "|\n"
    "| percentage | `50%` |\n"
    "| rate | `100/s`, `10/m`, `5/h`, `1/d` |\n"
    "\n"
    "In every value `${NAME}` stands for an environment variable, which must be set, and\n"
    "`${NAME:-default}` for the same with a default; `$${` stands for the characters `${`. Inside\n"
    "`{ }` and `[ ]` such a value needs quotes. A secret can also be `file:/path`. Anchors, "
    "aliases\n"
    "and merge keys (`<<`) work; keys at the top that begin with `x-` are ignored and a good "
    "place\n"
    "for anchors.\n"
    "\n"
    "A service starts from `defaults` and overrides key by key, with one exception: as soon as it\n"
    "names a trip rule (`consecutive`, `failures`, `failure_rate`, `slow_rate`), all inherited "
    "trip\n"
    "rules are gone.\n"
    "\n"
    "\"Restart\" marks what a reload does not change.\n";

static bool has_keys(const struct directive *);
static void scope_of(const struct directive *, char *out, size_t size);
static void write_section(FILE *, const struct directive *);
static void write_table(FILE *, const char *scope);
static void write_row(FILE *, const struct directive *);
static void write_value(FILE *, const struct directive *);
static void write_defaults(FILE *, const char *scope, int indent);
static void write_quoted(FILE *, const char *text);

/* ---- the page ---------------------------------------------------------- */

void config_reference_write(FILE *out) {
    fputs(introduction, out);
    fputs("\n## Top level\n\n", out);
    write_table(out, "");
    for (uint32_t i = 0; i < directive_count; i++) {
        if (has_keys(&directives[i]))
            write_section(out, &directives[i]);
    }
}

/* Where the keys of a container stand: below itself, in its items, or under
 * its names. */
static void scope_of(const struct directive *d, char *out, size_t size) {
    const char *below = d->type == &type_services || d->type == &type_databases ? ".*"
                        : d->type == &type_listens || d->type == &type_endpoints ||
                                d->type == &type_fallback || d->type == &type_routes
                            ? "[]"
                            : "";
    snprintf(out, size, "%s%s", d->path, below);
}

static bool has_keys(const struct directive *d) {
    char scope[FILL_PATH_MAX];
    scope_of(d, scope, sizeof scope);
    for (uint32_t i = 0; i < directive_count; i++) {
        if (directive_in(&directives[i], scope))
            return true;
    }
    return false;
}

static void write_section(FILE *out, const struct directive *d) {
    char scope[FILL_PATH_MAX];
    scope_of(d, scope, sizeof scope);
    fprintf(out, "\n## `%s`\n\n%s\n", scope, d->help);
    if (d->example)
        fprintf(out, "\nFor example `%s: %s`.\n", directive_key(d), d->example);
    fputc('\n', out);
    write_table(out, scope);
}

static void write_table(FILE *out, const char *scope) {
    fputs("| key | value | default | meaning |\n| --- | --- | --- | --- |\n", out);
    for (uint32_t i = 0; i < directive_count; i++) {
        const struct directive *d = &directives[i];
        if (directive_in(d, scope) && !(d->flags & DIRECTIVE_LATER))
            write_row(out, d);
    }
}

static void write_row(FILE *out, const struct directive *d) {
    fprintf(out, "| `%s` | ", directive_key(d));
    write_value(out, d);
    if (d->default_text)
        fprintf(out, " | `%s` | ", d->default_text);
    else
        fputs(d->flags & DIRECTIVE_REQUIRED ? " | required | " : " | | ", out);
    fputs(d->help, out);
    if (d->flags & DIRECTIVE_RESTART)
        fputs(" *Restart.*", out);
    if (d->example && !has_keys(d))
        fprintf(out, " Example: `%s`.", d->example);
    fputs(" |\n", out);
}

static void write_value(FILE *out, const struct directive *d) {
    char text[256];
    struct buf to;
    buf_init_fixed(&to, text, sizeof text);
    for (const struct choice *c = d->choices; c && c->word; c++) {
        if (!c->later)
            buf_printf(&to, "%s`%s`", to.len ? ", " : "", c->word);
    }
    if (!d->choices) {
        buf_string(&to, d->type->name);
        directive_bounds(d, &to);
    } else if (d->type->expected) {
        buf_printf(&to, ", or %s", d->type->expected);
    }
    if (d->special.word)
        buf_printf(&to, ", or `%s`", d->special.word);
    fputs(buf_cstr(&to), out);
}

/* ---- the defaults ------------------------------------------------------ */

void config_defaults_write(FILE *out) {
    fputs("# Every default, as one would write it. What is switched off has no line.\n"
          "listen:\n  - address: 127.0.0.1:8080\n",
          out);
    write_defaults(out, "listen[]", 4);
    write_defaults(out, "", 0);
    fputs("defaults:\n", out);
    write_defaults(out, "services.*", 2);
    fputs("services:\n  example:\n    endpoints:\n      - url: http://127.0.0.1:8001\n", out);
    write_defaults(out, "services.*.endpoints[]", 8);
}

static void write_defaults(FILE *out, const char *scope, int indent) {
    for (uint32_t i = 0; i < directive_count; i++) {
        const struct directive *d = &directives[i];
        bool off = d->type == &type_switched && strcmp(d->path, "admin") != 0;
        if (!directive_in(d, scope) || (d->flags & DIRECTIVE_LATER) || off)
            continue;
        if (d->type == &type_group || d->type == &type_switched || d->type == &type_unless) {
            fprintf(out, "%*s%s:\n", indent, "", directive_key(d));
            write_defaults(out, d->path, indent + 2);
        } else if (d->default_text) {
            fprintf(out, "%*s%s: ", indent, "", directive_key(d));
            write_quoted(out, d->default_text);
        }
    }
}

/* Only a sentence with {service} in front needs quotes; none has quotes inside. */
static void write_quoted(FILE *out, const char *text) {
    fprintf(out, text[0] == '{' ? "\"%s\"\n" : "%s\n", text);
}
