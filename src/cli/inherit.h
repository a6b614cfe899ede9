/* inherit.h - listening sockets that somebody else has opened for this process: a
 * service manager (socket activation, as sd_listen_fds(3) describes it), or the
 * process before this one, at an upgrade.
 *
 * With a manager the sockets outlive every process, so a restart refuses nobody:
 * who connects meanwhile waits in the queue. A listener finds its sockets by the
 * address they are bound to; at an upgrade first by how the address was written,
 * since port 0 has become another. One socket may be shared by all workers, and
 * several of one address (SO_REUSEPORT) are spread over them; each is served,
 * however many workers there are, for each has a queue of its own.
 *
 * Threading: the control thread, before any other runs. */
#ifndef SWG_CLI_INHERIT_H
#define SWG_CLI_INHERIT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

enum { INHERIT_MAX = 16384 };

struct inherited {
    int fd;              /* -1: taken */
    char *written;       /* the address, as the process before had it; NULL: of a manager */
    uint32_t from_index; /* the listener there */
    struct sockaddr_storage address;
    socklen_t len;
    bool held;     /* whoever gave it keeps it, too */
    bool own_path; /* unix: the path goes with it */
};

struct inherit {
    struct inherited *sockets;
    uint32_t count;
};

/* What a service manager has passed to this process, and clears its variables, so
 * that no child believes them. 0 also if there is none; -1 with the reason in
 * `why`: what was passed is nothing to accept on. */
int inherit_from_manager(struct inherit *, char *why, size_t why_size);
/* Takes over the descriptor. 0 or -errno. */
int inherit_add(struct inherit *, int fd, const struct inherited *);
/* All sockets that are a listener's: indices into `sockets`, which the caller takes
 * by setting fd to -1. `written` may be NULL. Returns how many. */
uint32_t inherit_find(const struct inherit *, const char *written, const struct sockaddr *,
                      socklen_t, uint32_t *found, uint32_t max);
/* The first of a manager that nobody has taken; NULL: there is none. */
const struct inherited *inherit_left(const struct inherit *);
/* Closes what was not taken. */
void inherit_free(struct inherit *);

/* "127.0.0.1:80", "[::1]:80", "unix:/path". */
void inherit_show(const struct sockaddr *, socklen_t, char *out, size_t size);

#endif
