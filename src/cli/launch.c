/* launch.c - see launch.h. */
#include "cli/launch.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
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
    return l->path ? 0 : -ENOMEM;
}

void launch_free(struct launch *l) {
    free(l->path);
    l->path = NULL;
}

/* ---- the environment --------------------------------------------------------- */

/* What was meant for this process alone. */
static bool is_ours(const char *variable) {
    static const char *const names[] = {
        "LISTEN_PID=", "LISTEN_FDS=", "LISTEN_FDNAMES=", "WATCHDOG_PID=", HANDOVER_CHANNEL "="};
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

pid_t launch_start(const struct launch *l, int channel, int errors) {
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
