/* launch.c - see launch.h. */
#include "cli/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/handover.h"

enum { CHANNEL = 3 };

/* As it was written to execve(): a symbolic link stays one, and leads to the new
 * version when that is there. /proc/self/exe would name the old file. */
static char *own_path(void) {
    const char *path = (const char *)getauxval(AT_EXECFN);
    char here[PATH_MAX];
    char *whole = NULL;
    if (!path || !*path)
        path = "/proc/self/exe";
    if (*path == '/')
        return strdup(path);
    if (!getcwd(here, sizeof here) || asprintf(&whole, "%s/%s", here, path) < 0)
        return NULL;
    return whole;
}

int launch_init(struct launch *l, char *const *argv) {
    l->path = own_path();
    l->argv = argv;
    l->helper = -1;
    return l->path ? 0 : -ENOMEM;
}

void launch_free(struct launch *l) {
    if (l->helper >= 0)
        close(l->helper);
    l->helper = -1;
    free(l->path);
    l->path = NULL;
}

/* ---- the environment --------------------------------------------------------- */

/* What was meant for this process alone. */
static bool is_ours(const char *variable) {
    static const char channel[] = HANDOVER_CHANNEL "=";
    static const char *const names[] = {
        "LISTEN_PID=", "LISTEN_FDS=", "LISTEN_FDNAMES=", "WATCHDOG_PID=", channel};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (!strncmp(variable, names[i], strlen(names[i])))
            return true;
    }
    return false;
}

static char **make_environment(char *channel) {
    size_t count = 0, kept = 0;
    while (environ[count])
        count++;
    char **out = calloc(count + 2, sizeof *out);
    for (size_t i = 0; out && i < count; i++) {
        if (!is_ours(environ[i]))
            out[kept++] = environ[i];
    }
    if (out)
        out[kept] = channel;
    return out;
}

/* ---- starting ------------------------------------------------------------------ */

static pid_t start(const struct launch *l, int channel, int errors) {
    char variable[] = HANDOVER_CHANNEL "=3";
    char **environment = make_environment(variable);
    posix_spawn_file_actions_t files;
    posix_spawnattr_t how;
    sigset_t none, all;
    pid_t pid = 0;
    if (!environment)
        return -ENOMEM;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&how);
    posix_spawn_file_actions_adddup2(&files, errors, STDERR_FILENO);
    posix_spawn_file_actions_adddup2(&files, channel, CHANNEL);
    posix_spawn_file_actions_addclosefrom_np(&files, CHANNEL + 1);
    posix_spawnattr_setflags(&how, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setsigmask(&how, &none);
    posix_spawnattr_setsigdefault(&how, &all);
    int error = posix_spawn(&pid, l->path, &files, &how, l->argv, environment);
    posix_spawnattr_destroy(&how);
    posix_spawn_file_actions_destroy(&files);
    free(environment);
    return error ? -error : pid;
}

/* ---- the helper ------------------------------------------------------------------ */

enum order_kind { ORDER_START = 1, ORDER_WAIT, ORDER_BLOCK, ORDER_KILL };

/* Over the same messages as an upgrade: value: a process, then its status. */
static struct handover_message carry_out(const struct launch *l, const struct handover_message *m,
                                         const struct handover_fds *fds, pid_t *child) {
    struct handover_message told = {.count = 2};
    int status = 0;
    pid_t result = -EINVAL;
    if (m->kind == ORDER_START && fds->count == 2) {
        result = start(l, fds->fd[0], fds->fd[1]);
        *child = result > 0 ? result : *child;
    } else if ((m->kind == ORDER_WAIT || m->kind == ORDER_BLOCK) && *child > 0) {
        result = waitpid(*child, &status, m->kind == ORDER_WAIT ? WNOHANG : 0);
        *child = result == *child ? 0 : *child;
    } else if (m->kind == ORDER_KILL && *child > 0) {
        result = kill(*child, SIGKILL);
    }
    told.value[0] = (uint32_t)result;
    told.value[1] = (uint32_t)status;
    return told;
}

/* The only process it ever names is its own child. */
static void help(const struct launch *l, int channel) {
    struct handover_message m;
    struct handover_fds fds;
    pid_t child = 0;
    while (handover_receive(channel, &m, &fds, true) == 0) {
        const struct handover_message told = carry_out(l, &m, &fds, &child);
        handover_close(&fds);
        if (handover_send(channel, &told, NULL, true) < 0)
            return;
    }
}

/* It ends when the gateway has, and not by a signal that is meant for that. */
static void be_helper(const struct launch *l, int channel) {
    static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGPIPE};
    for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
        signal(ignored[i], SIG_IGN);
    prctl(PR_SET_NAME, "sg-launcher");
    if (dup2(channel, CHANNEL) < 0)
        _exit(1);
    closefrom(CHANNEL + 1);
    fcntl(CHANNEL, F_SETFD, FD_CLOEXEC);
    help(l, CHANNEL);
    _exit(0);
}

int launch_fork_helper(struct launch *l) {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    pid_t pid = fork();
    int error = pid < 0 ? -errno : 0;
    if (pid == 0) {
        close(pair[0]);
        be_helper(l, pair[1]);
    }
    close(pair[1]);
    if (error)
        close(pair[0]);
    else
        l->helper = pair[0];
    return error;
}

static pid_t ask(const struct launch *l, uint32_t kind, const struct handover_fds *fds,
                 int *status) {
    const struct handover_message order = {.kind = kind};
    struct handover_message told;
    struct handover_fds none;
    int error = handover_send(l->helper, &order, fds, true);
    if (!error)
        error = handover_receive(l->helper, &told, &none, true);
    if (error)
        return error;
    handover_close(&none);
    if (status)
        *status = (int)told.value[1];
    return (pid_t)told.value[0];
}

pid_t launch_start(const struct launch *l, int channel, int errors) {
    const struct handover_fds fds = {2, {channel, errors}};
    return l->helper >= 0 ? ask(l, ORDER_START, &fds, NULL) : start(l, channel, errors);
}

pid_t launch_wait(const struct launch *l, pid_t pid, int *status, bool block) {
    if (l->helper >= 0)
        return ask(l, block ? ORDER_BLOCK : ORDER_WAIT, NULL, status);
    return waitpid(pid, status, block ? 0 : WNOHANG);
}

void launch_kill(const struct launch *l, pid_t pid) {
    if (l->helper >= 0)
        ask(l, ORDER_KILL, NULL, NULL);
    else
        kill(pid, SIGKILL);
}
