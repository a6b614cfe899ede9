/* upstream - the bench's upstream. See server.h for what it serves. */
#include "server.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "usage: upstream [options]\n"
    "  -e, --endpoint PORT      one more endpoint (a, b, ...); 0: a free port\n"
    "  -c, --control PORT       the control port (default: a free one)\n"
    "  -f, --fault E:MODE:S:S   endpoint E fails so from the first second to the second;\n"
    "                           killed, hung, half500, slow2s or flap\n"
    "  -a, --start-at NS        CLOCK_MONOTONIC of second 0 (default: GET /start on control)\n"
    "  -b, --body BYTES         of an answer (default 1024)\n"
    "The ports are printed as JSON when all are open, the counters at the end.\n";

static const struct option long_options[] = {
    {"endpoint", required_argument, NULL, 'e'},
    {"control", required_argument, NULL, 'c'},
    {"fault", required_argument, NULL, 'f'},
    {"start-at", required_argument, NULL, 'a'},
    {"body", required_argument, NULL, 'b'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static volatile sig_atomic_t stop;

static void on_signal(int number) {
    (void)number;
    stop = 1;
}

__attribute__((noreturn)) static void fail(const char *what, const char *value) {
    fprintf(stderr, "upstream: %s: %s\n%s", what, value, usage);
    exit(2);
}

static uint64_t whole_number(const char *text, uint64_t max) {
    char *end;

    errno = 0;
    uint64_t value = strtoull(text, &end, 10);
    if (end == text || *end != '\0' || errno != 0 || text[0] == '-' || value > max)
        fail("not a number in range", text);
    return value;
}

static void take_fault(const char *text, struct server_options *o) {
    unsigned index = (unsigned)(text[0] - 'a');

    if (index >= SERVER_ENDPOINTS_MAX || text[1] != ':' ||
        fault_window_parse(text + 2, &o->windows[index]) != 0)
        fail("not ENDPOINT:MODE:FROM:TO", text);
}

static void take_option(int option, const char *value, struct server_options *o) {
    switch (option) {
    case 'e':
        if (o->endpoints == SERVER_ENDPOINTS_MAX)
            fail("too many endpoints", value);
        o->ports[o->endpoints++] = (uint16_t)whole_number(value, 65535);
        break;
    case 'c':
        o->control_port = (uint16_t)whole_number(value, 65535);
        break;
    case 'f':
        take_fault(value, o);
        break;
    case 'a':
        o->start_at_ns = whole_number(value, UINT64_MAX);
        break;
    case 'b':
        o->body = whole_number(value, ENDPOINT_ANSWER_MAX - 1024);
        break;
    case 'h':
        fputs(usage, stdout);
        exit(0);
    default:
        fail("unknown option", "see below");
    }
}

int main(int argc, char **argv) {
    struct server_options o = {.body = 1024};
    struct sigaction action = {.sa_handler = on_signal};
    struct server *server;
    int option;

    while ((option = getopt_long(argc, argv, "e:c:f:a:b:h", long_options, NULL)) != -1)
        take_option(option, optarg, &o);
    if (o.endpoints == 0)
        o.endpoints = 1;
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    int err = server_create(&server, &o);
    if (err == 0) {
        server_ports_json(server, stdout);
        err = server_run(server, &stop);
        server_counters_json(server, stdout);
        server_destroy(server);
    }
    if (err != 0)
        fprintf(stderr, "upstream: %s\n", strerror(-err));
    return err != 0;
}
