/* notify.c - see notify.h. */
#include "cli/notify.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "observe/log.h"

enum { MESSAGE_MAX = 512 };

/* "/run/systemd/notify", or "@name" in the abstract namespace; false: another kind. */
static bool set_address(struct notify *n, const char *path) {
    size_t len = strlen(path);
    if ((path[0] != '/' && path[0] != '@') || len < 2 || len >= sizeof n->to.sun_path)
        return false;
    n->to.sun_family = AF_UNIX;
    memcpy(n->to.sun_path, path, len + 1);
    n->to_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + 1);
    if (path[0] == '@') {
        n->to.sun_path[0] = '\0';
        n->to_len--; /* there the length tells where the name ends */
    }
    return true;
}

/* Meant for the process whose number is named, if one is. */
static uint64_t read_watchdog(void) {
    const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
    if (!usec || (pid && strtol(pid, NULL, 10) != (long)getpid()))
        return 0;
    char *end;
    errno = 0;
    unsigned long long value = strtoull(usec, &end, 10);
    return errno || end == usec || *end || value > UINT64_MAX / 1000 ? 0 : value * 1000;
}

void notify_open(struct notify *n) {
    const struct timeval limit = {.tv_sec = 1};
    const char *path = getenv("NOTIFY_SOCKET");
    *n = (struct notify){.fd = -1};
    if (!path || !set_address(n, path))
        return;
    n->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (n->fd < 0)
        return;
    setsockopt(n->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    n->watchdog_ns = read_watchdog();
}

void notify_close(struct notify *n) {
    if (n->fd >= 0)
        close(n->fd);
    n->fd = -1;
}

void notify_say(const struct notify *n, const char *format, ...) {
    char text[MESSAGE_MAX];
    va_list args;
    if (n->fd < 0)
        return;
    va_start(args, format);
    int len = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (len <= 0 || (size_t)len >= sizeof text)
        return;
    if (sendto(n->fd, text, (size_t)len, MSG_NOSIGNAL, (const struct sockaddr *)&n->to, n->to_len) <
        0)
        log_message(LOG_DEBUG, "NOTIFY_SOCKET: %s", strerror(errno));
}
