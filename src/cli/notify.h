/* notify.h - tells systemd, or whoever else set NOTIFY_SOCKET, how we are: ready,
 * reloading, stopping, alive (sd_notify(3)). It is one datagram of lines to a unix
 * socket, so libsystemd is not needed for it.
 *
 * Threading: open and close on one thread, say() on any. */
#ifndef SWG_CLI_NOTIFY_H
#define SWG_CLI_NOTIFY_H

#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

struct notify {
    int fd; /* -1: nobody listens */
    struct sockaddr_un to;
    socklen_t to_len;
    uint64_t watchdog_ns; /* WatchdogSec: WATCHDOG=1 is due more often than this; 0: it is not */
};

/* By the environment; what is wrong there counts as nobody listening. */
void notify_open(struct notify *);
void notify_close(struct notify *);
/* Lines such as "READY=1\nSTATUS=…". Waits a second at most; that it did not arrive is
 * logged, and nothing else. */
void notify_say(const struct notify *, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
