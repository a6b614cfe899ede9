/* config_tool.c - the room's functions on a command line, for the scripts that
 * check files and pages: check FILE | print FILE | reference | defaults. */
#include <stdio.h>
#include <string.h>

#include "config/config.h"

static int load(const char *path, bool print) {
    struct config_report report;
    struct gateway_options *options;
    config_report_init(&report);
    int result = config_load(path, &options, &report);
    config_report_print(&report, stdout);
    config_report_free(&report);
    if (result == 0 && print) {
        struct buf text;
        struct json_out out;
        buf_init(&text, 16 << 20);
        json_init(&out, &text);
        config_write_json(options, &out);
        puts(json_done(&out) ? buf_cstr(&text) : "too large");
        buf_free(&text);
    }
    gateway_options_release(options);
    return result ? 2 : 0;
}

int main(int argc, char **argv) {
    if (argc == 3 && !strcmp(argv[1], "check"))
        return load(argv[2], false);
    if (argc == 3 && !strcmp(argv[1], "print"))
        return load(argv[2], true);
    if (argc == 2 && !strcmp(argv[1], "reference"))
        config_reference_write(stdout);
    else if (argc == 2 && !strcmp(argv[1], "defaults"))
        config_defaults_write(stdout);
    else
        return fprintf(stderr, "config_tool check|print FILE, reference, defaults\n"), 2;
    return 0;
}
