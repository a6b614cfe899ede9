/* demo.c - `switchgear demo`: a gateway, the services behind it, and what to
 * try with them.
 *
 * Every service is a mock in a process of its own, so that it can be killed
 * like a real one. */
#include "cli/demo.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/terminal.h"

static const struct arg_option options[] = {
    {'c', 'c', "config", "FILE",
     "Another configuration than examples/demo.yaml, which is built in; it finds its ports in the "
     "same environment variables."},
    {0},
};

const struct command page_demo = {
    .name = "demo",
    .run = command_demo,
    .summary = "services to kill, and a gateway that goes on answering",
    .synopsis = "[-c FILE]",
    .description =
        "Starts four mock services and a gateway before them, and prints what to try with curl: "
        "send requests, kill a service, watch its breaker open and the fallback answer, start it "
        "again and watch it recover. Takes the ports 8080, 9797 and 8001 to 8004 of 127.0.0.1; "
        "where one is taken another, which it says.\n\n"
        "Ctrl-C (SIGINT or SIGTERM) ends everything. On a terminal, Enter starts again what has "
        "been killed.",
    .options = options,
    .exit_failed = "something did not start, or the gateway ended",
    .example = "switchgear demo",
};

enum { CATALOG_1, CATALOG_2, RECOMMENDATIONS, PAYMENTS };

#define CATALOG(name, variable, port)                                               \
    {                                                                               \
        name, variable, port, 0, {                                                  \
            "--latency", "normal 10ms 3ms", "--type", "application/json", "--body", \
                "{\"items\": [\"kettle\", \"lamp\", \"rug\"]}\n"                    \
        }                                                                           \
    }

struct demo {
    struct demo_child gateway, services[DEMO_SERVICES];
    uint16_t port, admin_port;
    char folder[64], path[128];
    const char *config;
    int signals; /* a signalfd */
};

/* ---- ports --------------------------------------------------------------------------- */

static uint16_t take_port(const char *what, const char *variable, uint16_t wanted) {
    char text[8];
    uint16_t port = demo_free_port(wanted);
    if (port && port != wanted)
        printf("Port %u is taken; %s has %u instead.\n", wanted, what, port);
    snprintf(text, sizeof text, "%u", port);
    setenv(variable, text, 1);
    return port;
}

static int take_ports(struct demo *d) {
    d->port = take_port("the gateway", "DEMO_GATEWAY", 8080);
    d->admin_port = take_port("the admin API", "DEMO_ADMIN", 9797);
    bool good = d->port && d->admin_port;
    for (int i = 0; i < DEMO_SERVICES; i++) {
        struct demo_child *c = &d->services[i];
        c->port = take_port(c->name, c->variable, c->port);
        good = good && c->port;
    }
    if (!good)
        fprintf(stderr, "switchgear demo: there is no free port\n");
    return good ? 0 : -1;
}

/* ---- the configuration ------------------------------------------------------------------ */

static int write_config(struct demo *d) {
    const char *tmp = getenv("TMPDIR");
    if (d->config)
        return 0;
    snprintf(d->folder, sizeof d->folder, "%.40s/switchgear-demo-XXXXXX",
             tmp && *tmp && strlen(tmp) <= 40 ? tmp : "/tmp");
    if (!mkdtemp(d->folder)) {
        fprintf(stderr, "switchgear demo: %s: %s\n", d->folder, strerror(errno));
        d->folder[0] = '\0';
        return -1;
    }
    snprintf(d->path, sizeof d->path, "%s/demo.yaml", d->folder);
    FILE *f = fopen(d->path, "we");
    bool good = f && fputs(demo_config, f) >= 0;
    good = (!f || fclose(f) == 0) && good;
    if (!good)
        fprintf(stderr, "switchgear demo: %s: %s\n", d->path, strerror(errno));
    d->config = d->path;
    return good ? 0 : -1;
}

static void remove_config(const struct demo *d) {
    if (!d->folder[0])
        return;
    unlink(d->path);
    rmdir(d->folder);
}

/* ---- what to try -------------------------------------------------------------------------- */

static void heading(const char *text) {
    printf("\n%s%s%s\n", terminal_begin(stdout, COLOUR_BOLD), text, terminal_end(stdout));
}

static void print_addresses(const struct demo *d) {
    heading("Running");
    printf("  gateway          http://127.0.0.1:%u\n", d->port);
    printf("  panel            http://127.0.0.1:%u/\n", d->admin_port);
    for (int i = 0; i < DEMO_SERVICES; i++)
        printf("  %-16s http://127.0.0.1:%u   (pid %d)\n", d->services[i].name, d->services[i].port,
               d->services[i].pid);
    printf("  configuration    %s\n", d->config);
}

static void print_requests(const struct demo *d) {
    printf("  for i in 1 2 3 4 5; do curl -si http://127.0.0.1:%u/recommendations/42 | "
           "grep -i ^switchgear; done\n",
           d->port);
}

static void print_tour(const struct demo *d) {
    const struct demo_child *r = &d->services[RECOMMENDATIONS];
    const char *self = demo_program();
    char admin[40] = "";
    if (d->admin_port != 9797) /* where it is looked for anyway */
        snprintf(admin, sizeof admin, " --admin 127.0.0.1:%u", d->admin_port);
    heading("1. Requests through the gateway");
    printf("  curl -i http://127.0.0.1:%u/recommendations/42\n", d->port);
    printf("  curl -i http://127.0.0.1:%u/catalog/items\n", d->port);
    heading("2. Kill a service, and ask again: the breaker opens, the fallback answers");
    printf("  kill %d\n", r->pid);
    print_requests(d);
    printf("  %s status%s\n", self, admin);
    heading("3. Start it again, and ask again: within 5 seconds it is tried, and serves");
    printf("  %s mock --listen 127.0.0.1:%u --name %s &%s\n", self, r->port, r->name,
           isatty(STDIN_FILENO) ? "     (or press Enter here)" : "");
    print_requests(d);
    printf("  %s history recommendations%s\n", self, admin);
    heading("4. What would happen to a request, and why");
    printf("  %s explain -c %s --live /recommendations/42\n", self, d->config);
    heading("5. Illnesses that are not death");
    printf("  curl -X PUT http://127.0.0.1:%u/__mock/behaviour -d '{\"hang\": \"100%%\"}'\n",
           d->services[PAYMENTS].port);
    printf("  curl -X PUT http://127.0.0.1:%u/__mock/behaviour -d '{\"errors\": \"50%%\"}'\n",
           d->services[CATALOG_1].port);
    printf("  curl -X PUT http://127.0.0.1:%u/__mock/behaviour -d '{}'     (well again)\n",
           d->services[CATALOG_1].port);
    printf("\nCtrl-C ends all of it.\n\n");
    fflush(stdout);
}

/* ---- while it runs ----------------------------------------------------------------------------
 */

static struct demo_child *child_of(struct demo *d, pid_t pid) {
    if (d->gateway.pid == pid)
        return &d->gateway;
    for (int i = 0; i < DEMO_SERVICES; i++) {
        if (d->services[i].pid == pid)
            return &d->services[i];
    }
    return NULL;
}

/* False when the gateway itself is gone. */
static bool see_ends(struct demo *d) {
    pid_t pid;
    while ((pid = waitpid(-1, NULL, WNOHANG)) > 0) {
        struct demo_child *c = child_of(d, pid);
        if (!c)
            continue;
        c->pid = 0;
        if (c == &d->gateway) {
            fprintf(stderr, "switchgear demo: the gateway has ended\n");
            return false;
        }
        printf("-- %s (pid %d) is gone.%s\n", c->name, pid,
               isatty(STDIN_FILENO) ? " Enter starts it again." : "");
        fflush(stdout);
    }
    return true;
}

/* Who has been started by hand meanwhile has the port already. */
static void start_again(struct demo *d) {
    for (int i = 0; i < DEMO_SERVICES; i++) {
        struct demo_child *c = &d->services[i];
        if (c->pid || demo_free_port(c->port) != c->port)
            continue;
        if (demo_start_mock(c) == 0)
            printf("-- %s is back (pid %d).\n", c->name, c->pid);
    }
    fflush(stdout);
}

/* Returns when it is to end: true, or false when the gateway ended by itself. */
static bool watch(struct demo *d) {
    struct pollfd p[2] = {{.fd = d->signals, .events = POLLIN},
                          {.fd = isatty(STDIN_FILENO) ? STDIN_FILENO : -1, .events = POLLIN}};
    for (;;) {
        struct signalfd_siginfo info;
        char line[256];
        if (poll(p, 2, -1) < 0 && errno != EINTR)
            return false;
        if (p[0].revents && read(d->signals, &info, sizeof info) == sizeof info) {
            if (info.ssi_signo != SIGCHLD)
                return true;
            if (!see_ends(d))
                return false;
        }
        if (p[1].revents && read(STDIN_FILENO, line, sizeof line) > 0)
            start_again(d);
        else if (p[1].revents)
            p[1].fd = -1;
    }
}

/* ---- life
 * ---------------------------------------------------------------------------------------- */

static int start(struct demo *d) {
    char parent[16];
    sigset_t wanted;
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGINT);
    sigaddset(&wanted, SIGTERM);
    sigaddset(&wanted, SIGHUP);
    sigaddset(&wanted, SIGCHLD);
    sigprocmask(SIG_BLOCK, &wanted, NULL);
    d->signals = signalfd(-1, &wanted, SFD_CLOEXEC);
    snprintf(parent, sizeof parent, "%d", getpid());
    setenv("SWITCHGEAR_PARENT", parent, 1);
    if (d->signals < 0 || take_ports(d) < 0 || write_config(d) < 0)
        return -1;
    for (int i = 0; i < DEMO_SERVICES; i++) {
        if (demo_start_mock(&d->services[i]) < 0)
            return -1;
    }
    return demo_start_gateway(&d->gateway, d->config, d->admin_port);
}

/* The gateway first: it still has requests to finish. */
static void end(struct demo *d) {
    demo_end(&d->gateway, SIGINT);
    for (int i = 0; i < DEMO_SERVICES; i++)
        demo_end(&d->services[i], SIGTERM);
    remove_config(d);
    if (d->signals >= 0)
        close(d->signals);
}

int command_demo(int argc, char **argv) {
    struct demo d = {
        .gateway = {.name = "gateway"},
        .services = {CATALOG("catalog-1", "DEMO_CATALOG_1", 8001),
                     CATALOG("catalog-2", "DEMO_CATALOG_2", 8002),
                     {"recommendations",
                      "DEMO_RECOMMENDATIONS",
                      8003,
                      0,
                      {"--latency", "lognormal 40ms 200ms", "--type", "application/json", "--body",
                       "{\"for\": \"you\", \"items\": [\"lamp\", \"rug\"]}\n"}},
                     {"payments",
                      "DEMO_PAYMENTS",
                      8004,
                      0,
                      {"--latency", "20ms", "--type", "application/json", "--body",
                       "{\"paid\": true}\n"}}},
        .signals = -1,
    };
    struct args args;
    bool good = false;
    args_begin(&args, &page_demo, argc, argv);
    while (args_next(&args) != ARGS_END)
        d.config = args.value;
    if (!args_done(&args))
        return EXIT_USAGE;
    if (start(&d) == 0) {
        print_addresses(&d);
        print_tour(&d);
        good = watch(&d);
        puts("\nEnding.");
    }
    end(&d);
    return good ? EXIT_DONE : EXIT_FAILED;
}
