/* version.c - `switchgear version`. */
#include <openssl/crypto.h>

#include <ares.h>
#include <libfyaml.h>

#include "base/json_out.h"
#include "cli/commands.h"

static const struct arg_option options[] = {
    {'j', 'j', "json", NULL, "As JSON."},
    {0},
};

const struct command page_version = {
    .name = "version",
    .run = command_version,
    .summary = "which version this is, and of which libraries",
    .synopsis = "[--json]",
    .description = "Prints the version of switchgear, the compiler it was built with, and the "
                   "versions of the libraries that it runs with.",
    .options = options,
    .example = "switchgear version --json",
};

static const char *openssl_version(void) {
    return OpenSSL_version(OPENSSL_VERSION_STRING);
}

static const char *cares_version(void) {
    return ares_version(NULL);
}

static const char *yaml_version(void) {
    return fy_library_version();
}

static const struct {
    const char *name;
    const char *(*version)(void);
} libraries[] = {
    {"c-ares", cares_version}, {"libfyaml", yaml_version}, {"openssl", openssl_version}};

enum { LIBRARIES = sizeof libraries / sizeof libraries[0] };

static void write_json(FILE *to) {
    struct buf b;
    struct json_out j;
    buf_init(&b, 4096);
    json_init(&j, &b);
    json_object(&j);
    json_key_string(&j, "version", SWG_VERSION);
    json_key_string(&j, "compiler", __VERSION__);
    json_key_object(&j, "libraries");
    for (int i = 0; i < LIBRARIES; i++)
        json_key_string(&j, libraries[i].name, libraries[i].version());
    json_object_end(&j);
    json_object_end(&j);
    fprintf(to, "%s\n", buf_cstr(&b));
    buf_free(&b);
}

int command_version(int argc, char **argv) {
    struct args args;
    bool json = false;
    args_begin(&args, &page_version, argc, argv);
    while (args_next(&args) != ARGS_END)
        json = true;
    if (!args_done(&args))
        return EXIT_USAGE;
    if (json) {
        write_json(stdout);
        return EXIT_DONE;
    }
    printf("switchgear %s\n", SWG_VERSION);
    for (int i = 0; i < LIBRARIES; i++)
        printf("  %-9s %s\n", libraries[i].name, libraries[i].version());
    return EXIT_DONE;
}
