/* load - the bench's load generator. See README.md for the modes. */
#include "client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "usage: load [options] http://ADDRESS:PORT/PATH\n"
    "  -c, --connections N      opened before the run (default 64)\n"
    "  -m, --connections-max N  open loop: at most this many (default 4000)\n"
    "  -s, --seconds S          how long (default 5)\n"
    "  -n, --requests N         how many, instead of how long\n"
    "  -r, --rate R             open loop: requests a second (default: closed loop)\n"
    "  -i, --idle               one request on each connection, then hold them all;\n"
    "                           prints \"ready N\" and waits for SIGTERM or --seconds\n"
    "  -o, --at-once N          with --idle: so many requests under way at once (default 64)\n"
    "  -w, --warmup S           not counted (default 0)\n"
    "  -a, --start-at NS        CLOCK_MONOTONIC at which the run starts\n"
    "  -p, --patience MS        the client gives up and closes (default 30000)\n"
    "  -P, --posts N            every Nth request is a POST (default 0: none)\n"
    "  -b, --post-body BYTES    (default 64)\n"
    "  -f, --first-number N     X-Request-Number of the first request (default 0)\n"
    "  -j, --json FILE          the report as JSON; - is standard output\n";

static const struct option long_options[] = {
    {"connections", required_argument, NULL, 'c'},
    {"connections-max", required_argument, NULL, 'm'},
    {"seconds", required_argument, NULL, 's'},
    {"requests", required_argument, NULL, 'n'},
    {"rate", required_argument, NULL, 'r'},
    {"idle", no_argument, NULL, 'i'},
    {"at-once", required_argument, NULL, 'o'},
    {"warmup", required_argument, NULL, 'w'},
    {"start-at", required_argument, NULL, 'a'},
    {"patience", required_argument, NULL, 'p'},
    {"posts", required_argument, NULL, 'P'},
    {"post-body", required_argument, NULL, 'b'},
    {"first-number", required_argument, NULL, 'f'},
    {"json", required_argument, NULL, 'j'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static volatile sig_atomic_t stop;

static void on_signal(int number) {
    (void)number;
    stop = 1;
}

__attribute__((noreturn)) static void fail(const char *what, const char *value) {
    fprintf(stderr, "load: %s%s%s\n%s", what, value != NULL ? ": " : "", value != NULL ? value : "",
            usage);
    exit(2);
}

static double number(const char *text, double max) {
    char *end;
    double value = strtod(text, &end);

    if (end == text || *end != '\0' || !(value >= 0) || value > max)
        fail("not a number in range", text);
    return value;
}

/* A start time has more digits than a double keeps. */
static uint64_t whole_number(const char *text) {
    char *end;

    errno = 0;
    uint64_t value = strtoull(text, &end, 10);
    if (end == text || *end != '\0' || errno != 0 || text[0] == '-')
        fail("not a whole number", text);
    return value;
}

static uint64_t seconds(const char *text) {
    return (uint64_t)(number(text, 1e6) * 1e9);
}

/* http://127.0.0.1:8080/path; addresses only, so nothing is looked up. */
static void parse_url(const char *url, struct client_options *o) {
    static char host[64], path[512], address[64];
    const char *rest = strncmp(url, "http://", 7) == 0 ? url + 7 : NULL;
    const char *slash = rest != NULL ? strchr(rest, '/') : NULL;
    size_t len = slash != NULL ? (size_t)(slash - rest) : rest != NULL ? strlen(rest) : 0;

    if (len == 0 || len >= sizeof(host))
        fail("not http://ADDRESS:PORT/PATH", url);
    memcpy(host, rest, len);
    snprintf(address, sizeof(address), "%s", host);
    char *colon = strchr(address, ':');
    if (colon == NULL)
        fail("no port", url);
    *colon = '\0';
    o->address.sin_family = AF_INET;
    o->address.sin_port = htons((uint16_t)number(colon + 1, 65535));
    if (inet_pton(AF_INET, address, &o->address.sin_addr) != 1)
        fail("not an IPv4 address", address);
    if (slash != NULL && strlen(slash) >= sizeof(path))
        fail("path too long", url);
    snprintf(path, sizeof(path), "%s", slash != NULL ? slash : "/");
    o->host = host;
    o->path = path;
}

static void take_option(int option, const char *value, struct client_options *o,
                        const char **json) {
    switch (option) {
    case 'c':
        o->connections = (unsigned)number(value, 100000);
        break;
    case 'm':
        o->connections_max = (unsigned)number(value, 100000);
        break;
    case 's':
        o->duration_ns = seconds(value);
        break;
    case 'n':
        o->requests = whole_number(value);
        break;
    case 'r':
        o->rate = number(value, 1e7);
        break;
    case 'i':
        o->idle = true;
        break;
    case 'o':
        o->at_once = (unsigned)number(value, 100000);
        break;
    case 'w':
        o->warmup_ns = seconds(value);
        break;
    case 'a':
        o->start_at_ns = whole_number(value);
        break;
    case 'p':
        o->patience_ns = (uint64_t)(number(value, 1e7) * 1e6);
        break;
    case 'P':
        o->post_every = (unsigned)number(value, 1e6);
        break;
    case 'b':
        o->post_body = (unsigned)number(value, 1 << 20);
        break;
    case 'f':
        o->first_number = whole_number(value);
        break;
    case 'j':
        *json = value;
        break;
    case 'h':
        fputs(usage, stdout);
        exit(0);
    default:
        fail("unknown option", NULL);
    }
}

static int write_json(const struct load_stats *stats, const char *name) {
    FILE *out = strcmp(name, "-") == 0 ? stdout : fopen(name, "w");

    if (out == NULL)
        return -errno;
    load_stats_json(stats, out);
    int err = ferror(out) != 0 ? -EIO : 0;
    if (out != stdout && fclose(out) != 0)
        err = -errno;
    return err;
}

static int run_and_report(const struct client_options *o, const char *json) {
    struct load_stats *stats = load_stats_create();
    int err = stats != NULL ? client_run(o, stats, &stop) : -ENOMEM;

    if (err == 0 && (json == NULL || strcmp(json, "-") != 0))
        load_stats_text(stats, stdout);
    if (err == 0 && json != NULL)
        err = write_json(stats, json);
    if (err != 0)
        fprintf(stderr, "load: %s\n", strerror(-err));
    if (stats != NULL)
        load_stats_destroy(stats);
    return err != 0;
}

int main(int argc, char **argv) {
    struct client_options o = {
        .connections = 64, .connections_max = 4000, .at_once = 64, .post_body = 64};
    struct sigaction action = {.sa_handler = on_signal};
    const char *json = NULL;
    int option;

    while ((option = getopt_long(argc, argv, "c:m:s:n:r:io:w:a:p:P:b:f:j:h", long_options, NULL)) !=
           -1)
        take_option(option, optarg, &o, &json);
    if (optind + 1 != argc)
        fail("one URL is needed", NULL);
    parse_url(argv[optind], &o);
    if (o.duration_ns == 0 && o.requests == 0 && !o.idle)
        o.duration_ns = 5000000000ull;
    if (o.rate > 0 && o.connections > o.connections_max)
        o.connections_max = o.connections;
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    return run_and_report(&o, json);
}
