/* launch.h - starts the next process of an upgrade: the program at the path that this
 * one was started by, with the same arguments.
 *
 * The path is never taken from a request: what the gateway runs is decided by who
 * may write that file, and by nobody who can reach the admin API.
 *
 * Threading: the control thread. */
#ifndef SWG_CLI_LAUNCH_H
#define SWG_CLI_LAUNCH_H

#include <stdbool.h>
#include <sys/types.h>

struct launch {
    char *path;
    char *const *argv; /* argv[0] is the program's name; ends with NULL */
    int helper;        /* a socket to who starts it for us; -1: nobody, we can */
};

/* Notes how this process was started; before the working directory changes. 0 or
 * -errno. */
int launch_init(struct launch *, char *const *argv);
void launch_free(struct launch *);

/* Where the process will not be able to start anything any more (confine.h): forks a
 * helper that can, and does nothing else. What it starts, and when it ends, is known
 * before anything of the network has been read. It ends with this process. Before any
 * thread and any loop. 0 or -errno. */
int launch_fork_helper(struct launch *);

/* The new process has `channel` as descriptor 3, which HANDOVER_CHANNEL tells it, and
 * `errors` as standard error. Its id, or -errno. */
pid_t launch_start(const struct launch *, int channel, int errors);
/* As waitpid() with WNOHANG, or without; what was started may be the helper's child. */
pid_t launch_wait(const struct launch *, pid_t, int *status, bool block);
void launch_kill(const struct launch *, pid_t);

#endif
