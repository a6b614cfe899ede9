/* check.c - `switchgear check`: what is wrong with a configuration, all of it. */
#include "base/json_out.h"
#include "cli/check_sql.h"
#include "cli/commands.h"
#include "config/config.h"

enum { JSON = 'j', PRINT = 'p', CONFIG = 'c' };

static const struct arg_option options[] = {
    {CONFIG, 'c', "config", "FILE", "The same as FILE."},
    {PRINT, 'p', "print", NULL,
     "Prints what is in force with this file, as JSON: all defaults filled in, secrets hidden."},
    {JSON, 'j', "json", NULL, "The findings as JSON."},
    {0},
};

const struct command page_check = {
    .name = "check",
    .run = command_check,
    .summary = "what is wrong with a configuration, all of it at once",
    .synopsis = "[FILE] [--json]\n[FILE] --print",
    .description =
        "Reads the file as `switchgear run` would and prints every error as `file:line:col: what "
        "is wrong; what was expected`, with a suggestion for a word that is misspelt. Warnings do "
        "not make it fail. Nothing is started, but an SQLite file that a fallback asks is opened, "
        "where it exists, to see whether the statement fits it. Without FILE: switchgear.yaml, "
        "then "
        "/etc/switchgear/switchgear.yaml; `/dev/stdin` reads the standard input.",
    .options = options,
    .operands_max = 1,
    .exit_usage = "errors in the configuration",
    .example = "switchgear check shop.yaml && switchgear reload",
};

struct check {
    const char *path;
    bool json, print;
};

/* ---- as JSON ----------------------------------------------------------------------- */

static void write_finding(struct json_out *j, const struct config_finding *f) {
    json_object(j);
    json_key_string(j, "severity", f->severity == CONFIG_ERROR ? "error" : "warning");
    json_key_string(j, "file", f->file);
    if (f->line) {
        json_key_uint(j, "line", f->line);
        json_key_uint(j, "column", f->column);
    }
    json_key_string(j, "what", f->what);
    if (f->expected)
        json_key_string(j, "expected", f->expected);
    if (f->suggestion)
        json_key_string(j, "suggestion", f->suggestion);
    json_object_end(j);
}

static void print_json(const struct config_report *report, const char *path, bool valid) {
    struct buf b;
    struct json_out j;
    buf_init(&b, 16 << 20);
    json_init(&j, &b);
    json_object(&j);
    json_key_string(&j, "file", path);
    json_key_bool(&j, "valid", valid);
    json_key_uint(&j, "errors", report->error_count);
    json_key_uint(&j, "warnings", report->warning_count);
    json_key_array(&j, "findings");
    for (uint32_t i = 0; i < report->count; i++)
        write_finding(&j, &report->findings[i]);
    json_array_end(&j);
    json_object_end(&j);
    printf("%s\n", buf_cstr(&b));
    buf_free(&b);
}

static void print_options(const struct gateway_options *o) {
    struct buf b;
    struct json_out j;
    buf_init(&b, 64 << 20);
    json_init(&j, &b);
    config_write_json(o, &j);
    printf("%s\n", buf_cstr(&b));
    buf_free(&b);
}

/* ---- as sentences -------------------------------------------------------------------- */

static void print_summary(const char *path, const struct gateway_options *o) {
    uint32_t endpoints = 0;
    for (uint32_t i = 0; i < o->service_count; i++)
        endpoints += o->services[i].endpoint_count;
    printf("%s: good; %u service%s, %u endpoint%s, %u route%s\n", path, o->service_count,
           o->service_count == 1 ? "" : "s", endpoints, endpoints == 1 ? "" : "s", o->route_count,
           o->route_count == 1 ? "" : "s");
}

static int check(const struct check *c) {
    struct config_report report;
    struct gateway_options *o = NULL;
    config_report_init(&report);
    bool valid = config_load(c->path, &o, &report) == 0;
    if (valid)
        check_sql(o, &report);
    valid = valid && report.error_count == 0;
    if (c->json)
        print_json(&report, c->path, valid);
    else
        config_report_print(&report, stderr);
    if (valid && c->print)
        print_options(o);
    else if (valid && !c->json)
        print_summary(c->path, o);
    else if (!valid && !c->json)
        fprintf(stderr, "switchgear check: %u error%s in %s\n", report.error_count,
                report.error_count == 1 ? "" : "s", c->path);
    if (o)
        gateway_options_release(o);
    config_report_free(&report);
    return valid ? EXIT_DONE : EXIT_USAGE;
}

int command_check(int argc, char **argv) {
    struct check c = {0};
    struct args args;
    args_begin(&args, &page_check, argc, argv);
    for (int id; (id = args_next(&args)) != ARGS_END;) {
        if (id == CONFIG)
            c.path = args.value;
        c.json |= id == JSON;
        c.print |= id == PRINT;
    }
    if (c.path && args.operand_count)
        args_fail(&args, "one file is expected");
    if (c.json && c.print)
        args_fail(&args, "--json and --print do not go together");
    if (!args_done(&args))
        return EXIT_USAGE;
    if (!c.path)
        c.path = args.operand_count ? args.operand[0] : config_default_path();
    return check(&c);
}
