/* demo_child.c - see demo.h. */
#include "cli/demo.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { START_MS = 15000, END_MS = 5000, STEP_MS = 20 };

/* ---- ports and names ------------------------------------------------------------------- */

static int loopback_socket(uint16_t port, struct sockaddr_in *a) {
    *a = (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static uint16_t try_port(uint16_t port) {
    struct sockaddr_in a;
    socklen_t len = sizeof a;
    const int on = 1;
    int fd = loopback_socket(port, &a);
    uint16_t got = 0;
    if (fd < 0)
        return 0;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&a, sizeof a) == 0 && listen(fd, 1) == 0 &&
        getsockname(fd, (struct sockaddr *)&a, &len) == 0)
        got = ntohs(a.sin_port);
    close(fd);
    return got;
}

uint16_t demo_free_port(uint16_t wanted) {
    uint16_t port = try_port(wanted);
    return port ? port : try_port(0);
}

static bool takes_connections(uint16_t port) {
    struct sockaddr_in a;
    int fd = loopback_socket(port, &a);
    bool yes = fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof a) == 0;
    if (fd >= 0)
        close(fd);
    return yes;
}

static const char *own_path(void) {
    static char path[4096];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    path[n > 0 ? n : 0] = '\0';
    return path;
}

/* Relative where it lies below the working directory. */
const char *demo_program(void) {
    char here[4096];
    const char *path = own_path();
    size_t len = getcwd(here, sizeof here) ? strlen(here) : 0;
    if (len && !strncmp(path, here, len) && path[len] == '/')
        return path + len + 1;
    return path;
}

/* ---- starting ------------------------------------------------------------------------------- */

/* In a process group of its own, so that Ctrl-C reaches the demo alone, which
 * then ends them in order; with no signal blocked, whatever the demo blocks. */
static int spawn(struct demo_child *c, char *const *argv, int out) {
    posix_spawn_file_actions_t files;
    posix_spawnattr_t how;
    sigset_t none;
    sigemptyset(&none);
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&how);
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    if (out >= 0)
        posix_spawn_file_actions_adddup2(&files, out, 1);
    posix_spawnattr_setflags(&how, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK);
    posix_spawnattr_setpgroup(&how, 0);
    posix_spawnattr_setsigmask(&how, &none);
    int error = posix_spawn(&c->pid, own_path(), &files, &how, argv, environ);
    posix_spawnattr_destroy(&how);
    posix_spawn_file_actions_destroy(&files);
    if (error) {
        c->pid = 0;
        fprintf(stderr, "switchgear demo: cannot start %s: %s\n", c->name, strerror(error));
    }
    return error ? -1 : 0;
}

/* Its first line says that it listens. */
static bool says_something(int fd) {
    char line[256];
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, START_MS) > 0 && read(fd, line, sizeof line) > 0;
}

int demo_start_mock(struct demo_child *c) {
    char address[32];
    char *argv[DEMO_ARGUMENTS] = {(char *)"switchgear", (char *)"mock", (char *)"--listen", address,
                                  (char *)"--name",     (char *)c->name};
    int pipes[2], argc = 6;
    snprintf(address, sizeof address, "127.0.0.1:%u", c->port);
    for (int i = 0; c->options[i] && argc < DEMO_ARGUMENTS - 1; i++)
        argv[argc++] = (char *)c->options[i];
    if (pipe2(pipes, O_CLOEXEC) < 0)
        return -1;
    int error = spawn(c, argv, pipes[1]);
    close(pipes[1]);
    if (!error && !says_something(pipes[0])) {
        fprintf(stderr, "switchgear demo: %s did not start\n", c->name);
        demo_end(c, SIGTERM);
        error = -1;
    }
    close(pipes[0]);
    return error;
}

static void pause_ms(long ms) {
    const struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&t, NULL);
}

/* True once the child has ended, and was taken note of. */
static bool has_ended(struct demo_child *c) {
    if (c->pid && waitpid(c->pid, NULL, WNOHANG) != 0)
        c->pid = 0;
    return !c->pid;
}

int demo_start_gateway(struct demo_child *c, const char *path, uint16_t admin_port) {
    char *argv[] = {(char *)"switchgear", (char *)"run", (char *)"-c", (char *)path, NULL};
    if (spawn(c, argv, -1) < 0)
        return -1;
    for (int ms = 0; ms < START_MS; ms += STEP_MS) {
        if (takes_connections(admin_port))
            return 0;
        if (has_ended(c))
            break;
        pause_ms(STEP_MS);
    }
    fprintf(stderr, "switchgear demo: the gateway did not start\n");
    return -1;
}

void demo_end(struct demo_child *c, int signal) {
    if (!c->pid)
        return;
    kill(c->pid, signal);
    for (int ms = 0; ms < END_MS; ms += STEP_MS) {
        if (has_ended(c))
            return;
        pause_ms(STEP_MS);
    }
    kill(c->pid, SIGKILL);
    waitpid(c->pid, NULL, 0);
    c->pid = 0;
}
