/* confine.h - the running process gives up what it does not need, so that a hole in it is
 * worth less to whoever finds it.
 *
 *   user, group   started as root: listening sockets are opened first, then it is another
 *                 user for good, without capabilities
 *   landlock      only the directories it works with can be opened, for reading or writing
 *   seccomp       only the system calls it needs; no program can be started
 *
 * Starting programs is what an upgrade does. So a helper is forked before all this
 * (launch.h), which has no other business than to start the program at one path.
 *
 * Threading: the main thread. confine_begin() before any other thread exists: what it
 * does holds for threads that are made later. confine_end() reaches all threads. */
#ifndef SWG_CLI_CONFINE_H
#define SWG_CLI_CONFINE_H

#include <stdbool.h>

#include "gateway/options.h"

/* Whether anything is configured, and so whether programs can be started later. */
bool confine_is_wanted(const struct gateway_options *);
/* Whether it will be another user, who cannot open ports below 1024. */
bool confine_changes_user(const struct gateway_options *);
/* User and files. `pid_file` may be NULL. 0, or -1 with the reason printed. */
int confine_begin(const struct gateway_options *, const char *pid_file);
/* System calls; when everything is open. 0, or -1 with the reason printed. */
int confine_end(const struct gateway_options *);

/* ---- confine_user.c ---- */

int confine_user(const struct confine_options *);

/* ---- confine_landlock.c ---- */

/* The kernel's version of it; 0: it has none. */
int confine_landlock_version(void);
struct confine_files {
    int ruleset; /* descriptor */
    int error;   /* the first; 0 */
};
int confine_files_begin(struct confine_files *);
/* What is not there is passed over. */
void confine_files_allow(struct confine_files *, const char *path, bool write);
/* The directory that a file is in. */
void confine_files_allow_beside(struct confine_files *, const char *file, bool write);
/* For this thread, and those it makes. 0 or -errno. */
int confine_files_end(struct confine_files *);

/* ---- confine_seccomp.c ---- */

/* All threads. 0 or -errno; -ENOSYS where this processor's calls are not known. */
int confine_calls(void);

#endif
