/* launch.h - starts the next process of an upgrade: the program at the path that this
 * one was started by, with the same arguments.
 *
 * The path is never taken from a request: what the gateway runs is decided by who
 * may write that file, and by nobody who can reach the admin API.
 *
 * Threading: the control thread. */
#ifndef SWG_CLI_LAUNCH_H
#define SWG_CLI_LAUNCH_H

#include <sys/types.h>

struct launch {
    char *path;
    char *const *argv; /* argv[0] is the program's name; ends with NULL */
};

/* Notes how this process was started; before the working directory changes. 0 or
 * -errno. */
int launch_init(struct launch *, char *const *argv);
void launch_free(struct launch *);

/* The new process has `channel` as descriptor 3, which HANDOVER_CHANNEL tells it, and
 * `errors` as standard error. Its id, or -errno. */
pid_t launch_start(const struct launch *, int channel, int errors);

#endif
