/* inherit.c - see inherit.h. */
#include "cli/inherit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

enum { FIRST = 3 /* SD_LISTEN_FDS_START */ };

void inherit_show(const struct sockaddr *address, socklen_t len, char *out, size_t size) {
    char host[INET6_ADDRSTRLEN] = "";
    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;
        inet_ntop(AF_INET, &v4->sin_addr, host, sizeof host);
        snprintf(out, size, "%s:%u", host, ntohs(v4->sin_port));
    } else if (address->sa_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;
        inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof host);
        snprintf(out, size, "[%s]:%u", host, ntohs(v6->sin6_port));
    } else {
        const struct sockaddr_un *un = (const struct sockaddr_un *)address;
        size_t begin = offsetof(struct sockaddr_un, sun_path);
        int max = len > begin ? (int)(len - begin) : 0;
        snprintf(out, size, "unix:%.*s", max, un->sun_path);
    }
}

/* ---- the same address? ----------------------------------------------------- */

static bool same_unix(const struct sockaddr_un *a, socklen_t a_len, const struct sockaddr_un *b,
                      socklen_t b_len) {
    char left[sizeof *a + 8], right[sizeof *b + 8];
    inherit_show((const struct sockaddr *)a, a_len, left, sizeof left);
    inherit_show((const struct sockaddr *)b, b_len, right, sizeof right);
    return !strcmp(left, right);
}

static bool same(const struct sockaddr *a, socklen_t a_len, const struct sockaddr *b,
                 socklen_t b_len) {
    if (a->sa_family != b->sa_family)
        return false;
    if (a->sa_family == AF_INET) {
        const struct sockaddr_in *l = (const struct sockaddr_in *)a;
        const struct sockaddr_in *r = (const struct sockaddr_in *)b;
        return l->sin_port == r->sin_port && l->sin_addr.s_addr == r->sin_addr.s_addr;
    }
    if (a->sa_family == AF_INET6) {
        const struct sockaddr_in6 *l = (const struct sockaddr_in6 *)a;
        const struct sockaddr_in6 *r = (const struct sockaddr_in6 *)b;
        return l->sin6_port == r->sin6_port &&
               !memcmp(&l->sin6_addr, &r->sin6_addr, sizeof l->sin6_addr);
    }
    return a->sa_family == AF_UNIX &&
           same_unix((const struct sockaddr_un *)a, a_len, (const struct sockaddr_un *)b, b_len);
}

/* ---- coming in --------------------------------------------------------------- */

int inherit_add(struct inherit *all, int fd, const struct inherited *like) {
    struct inherited s = *like;
    if (all->count == INHERIT_MAX)
        return -E2BIG;
    struct inherited *grown = realloc(all->sockets, (all->count + 1) * sizeof *grown);
    if (!grown)
        return -ENOMEM;
    all->sockets = grown;
    s.fd = fd;
    s.len = sizeof s.address;
    int on = 0;
    socklen_t size = sizeof on;
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &size) < 0)
        return -errno;
    if (!on)
        return -EINVAL;
    if (getsockname(fd, (struct sockaddr *)&s.address, &s.len) < 0)
        return -errno;
    if (like->written && !(s.written = strdup(like->written)))
        return -ENOMEM;
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    all->sockets[all->count++] = s;
    return 0;
}

static void forget_variables(void) {
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
}

/* A number and nothing else; -1: it is none. */
static long number(const char *text) {
    char *end;
    if (!text || !*text)
        return -1;
    errno = 0;
    long n = strtol(text, &end, 10);
    return errno || *end || n < 0 ? -1 : n;
}

/* The names are for people: which socket it is that is wrong. */
static void name_of(const char *names, uint32_t index, char *out, size_t size) {
    for (uint32_t i = 0; names && i < index; i++) {
        names = strchr(names, ':');
        names = names ? names + 1 : NULL;
    }
    size_t len = names ? strcspn(names, ":") : 0;
    snprintf(out, size, "%.*s", (int)len, names ? names : "");
}

int inherit_from_manager(struct inherit *all, char *why, size_t why_size) {
    static const struct inherited of_manager = {.held = true};
    const char *names = getenv("LISTEN_FDNAMES");
    long count = number(getenv("LISTEN_FDS"));
    int error = 0;
    if (number(getenv("LISTEN_PID")) != getpid() || count <= 0)
        count = 0; /* nothing, or meant for somebody else */
    if (count > INHERIT_MAX) {
        snprintf(why, why_size, "LISTEN_FDS says %ld sockets", count);
        error = -1;
    }
    for (long i = 0; !error && i < count; i++) {
        error = inherit_add(all, FIRST + (int)i, &of_manager);
        if (error) {
            char name[64];
            name_of(names, (uint32_t)i, name, sizeof name);
            snprintf(why, why_size,
                     "descriptor %ld%s%s, passed by the service manager (LISTEN_FDS), is no "
                     "listening stream socket; use ListenStream=, with Accept=no",
                     FIRST + i, *name ? ", " : "", name);
            error = -1;
        }
    }
    forget_variables();
    return error;
}

/* ---- finding ------------------------------------------------------------------- */

/* Of several listeners that were written alike (port 0) each finds those of one. */
static uint32_t find_written(const struct inherit *all, const char *written, uint32_t *found,
                             uint32_t max) {
    uint32_t count = 0, index = 0;
    for (uint32_t i = 0; i < all->count && count < max; i++) {
        const struct inherited *s = &all->sockets[i];
        if (s->fd < 0 || !s->written || strcmp(s->written, written) != 0)
            continue;
        if (count && s->from_index != index)
            continue;
        index = s->from_index;
        found[count++] = i;
    }
    return count;
}

uint32_t inherit_find(const struct inherit *all, const char *written,
                      const struct sockaddr *address, socklen_t len, uint32_t *found,
                      uint32_t max) {
    uint32_t count = written ? find_written(all, written, found, max) : 0;
    for (uint32_t i = 0; !count && i < all->count; i++) {
        const struct inherited *first = &all->sockets[i];
        if (first->fd < 0 ||
            !same((const struct sockaddr *)&first->address, first->len, address, len))
            continue;
        for (uint32_t k = i; k < all->count && count < max; k++) {
            const struct inherited *s = &all->sockets[k];
            if (s->fd >= 0 && same((const struct sockaddr *)&s->address, s->len, address, len))
                found[count++] = k;
        }
    }
    return count;
}

const struct inherited *inherit_left(const struct inherit *all) {
    for (uint32_t i = 0; i < all->count; i++) {
        if (all->sockets[i].fd >= 0 && !all->sockets[i].written)
            return &all->sockets[i];
    }
    return NULL;
}

void inherit_free(struct inherit *all) {
    for (uint32_t i = 0; i < all->count; i++) {
        if (all->sockets[i].fd >= 0)
            close(all->sockets[i].fd);
        free(all->sockets[i].written);
    }
    free(all->sockets);
    *all = (struct inherit){0};
}
