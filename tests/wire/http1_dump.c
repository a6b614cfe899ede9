/* http1_dump.c - prints what the HTTP/1 parsers make of bytes.
 *
 *   http1_dump request < bytes
 *   http1_dump response [METHOD] < bytes
 *   http1_dump --batch     records "request|response METHOD LENGTH PIECE\n" and
 *                          LENGTH bytes; each answered by its log and "."
 *
 * For people who wonder, and for test_h11.py, which asks some ten thousand
 * questions and wants one process. */
#include <stdlib.h>

#include "http1_log.h"

static void set_side(struct http1_log_options *options, const char *side, const char *method) {
    options->response = strcmp(side, "response") == 0;
    options->request = http_method_of(bytes_of(method));
}

static int dump_batch(void) {
    char side[16], method[33];
    size_t len, piece;
    while (scanf("%15s %32s %zu %zu", side, method, &len, &piece) == 4 && getchar() == '\n') {
        struct http1_log_options options;
        http1_log_defaults(&options);
        set_side(&options, side, method);
        options.offsets = true;
        char *data = malloc(len + 1);
        if (!data || piece == 0 || fread(data, 1, len, stdin) != len) {
            free(data);
            return 1;
        }
        http1_log_replay(stdout, &options, data, len, piece, piece);
        free(data);
        puts(".");
        fflush(stdout);
    }
    return feof(stdin) ? 0 : 1;
}

static int dump_one(const char *side, const char *method) {
    static char data[1 << 20];
    struct http1_log_options options;
    http1_log_defaults(&options);
    set_side(&options, side, method);
    size_t len = fread(data, 1, sizeof data, stdin);
    http1_log_replay(stdout, &options, data, len, len, 1);
    return 0;
}

int main(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], "--batch") == 0)
        return dump_batch();
    if (argc >= 2 && (strcmp(argv[1], "request") == 0 || strcmp(argv[1], "response") == 0))
        return dump_one(argv[1], argc > 2 ? argv[2] : "GET");
    fputs("usage: http1_dump request | response [METHOD] | --batch\n", stderr);
    return 2;
}
