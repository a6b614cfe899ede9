/* reference.c - `switchgear reference PAGE`: the reference pages, each made from
 * the table that the program itself works by. */
#include <stdio.h>
#include <string.h>

#include "admin/admin.h"
#include "cli/commands.h"
#include "cli/watchdog.h"
#include "config/config.h"
#include "gateway/metrics.h"
#include "observe/disk_space.h"
#include "observe/metrics.h"
#include "observe/process_metrics.h"
#include "observe/system_figures.h"

static const char *type_word(enum metric_type type) {
    switch (type) {
    case METRIC_COUNTER:
        return "counter";
    case METRIC_GAUGE:
        return "gauge";
    case METRIC_HISTOGRAM:
        return "histogram";
    }
    return "";
}

static void write_family(struct metric_family *family, void *arg) {
    const struct metric_desc *d = metric_family_desc(family);
    FILE *out = arg;
    fprintf(out, "| `%s` | %s | ", d->name, type_word(d->type));
    for (int i = 0; i < METRIC_LABELS_MAX && d->labels[i].name; i++)
        fprintf(out, "%s`%s`: %s", i ? "; " : "", d->labels[i].name, d->labels[i].meaning);
    fprintf(out, " | %s |\n", d->help);
}

static int write_metrics(FILE *out) {
    struct metrics *m;
    struct process_metrics *process = NULL;
    struct system_meter *meter = NULL;
    struct disk_space *disks = NULL;
    struct watchdog *watchdog = NULL;
    if (metrics_create(&m, 1) < 0)
        return EXIT_FAILED;
    for (const struct metric_desc *const *d = gateway_metric_table(); *d; d++)
        metrics_family(m, *d);
    int error = process_metrics_create(&process, m);
    if (!error)
        error = system_meter_create(&meter, m);
    if (!error)
        error = disk_space_create(&disks, m, NULL, 0);
    if (!error)
        error = watchdog_create(&watchdog, m);
    fputs("# Metrics\n\n"
          "`GET /metrics` on the admin address: Prometheus text format, or OpenMetrics where the\n"
          "client asks for it. Written by `switchgear reference metrics`; do not edit.\n\n"
          "| name | type | labels | what it tells |\n| --- | --- | --- | --- |\n",
          out);
    metrics_each_family(m, write_family, out);
    process_metrics_destroy(process);
    system_meter_destroy(meter);
    disk_space_destroy(disks);
    watchdog_destroy(watchdog);
    metrics_destroy(m);
    return error ? EXIT_FAILED : EXIT_DONE;
}

int command_reference(int argc, char **argv) {
    struct args args;
    int result = EXIT_DONE;
    args_begin(&args, &page_reference, argc, argv);
    while (args_next(&args) != ARGS_END)
        ; /* it has no options */
    if (!args_done(&args))
        return EXIT_USAGE;
    const char *page = args.operand[0];
    if (!strcmp(page, "configuration")) {
        config_reference_write(stdout);
    } else if (!strcmp(page, "cli")) {
        cli_reference_write(stdout);
    } else if (!strcmp(page, "man")) {
        cli_man_write(stdout);
    } else if (!strcmp(page, "admin-api")) {
        admin_reference_write(stdout);
    } else if (!strcmp(page, "metrics")) {
        result = write_metrics(stdout);
    } else if (!strcmp(page, "defaults")) {
        config_defaults_write(stdout);
    } else {
        fprintf(stderr, "switchgear reference: expected one page of configuration, defaults, cli, "
                        "man, admin-api, metrics\n");
        return EXIT_USAGE;
    }
    return fflush(stdout) == 0 ? result : EXIT_FAILED;
}

static const struct arg_option no_options[] = {{0}};

const struct command page_reference = {
    .name = "reference",
    .run = command_reference,
    .summary = "the reference pages, in Markdown",
    .synopsis = "PAGE",
    .description =
        "Writes one page to standard output, made from the tables that the program "
        "itself works by: configuration, cli, admin-api or metrics; or defaults, a whole "
        "configuration in YAML with every default; or man, the manual page switchgear(1) in roff.",
    .options = no_options,
    .operands_min = 1,
    .operands_max = 1,
    .exit_failed = "standard output could not be written",
    .exit_usage = "no such page",
    .example = "switchgear reference defaults > switchgear.yaml",
};
