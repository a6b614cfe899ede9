/* listener.c - see listener.h.
 *
 * Draining. close() resets whoever is still in the queue, and also whoever has
 * sent the last packet of the handshake but is not in the queue yet: a client
 * that believes it is connected, and whose first request is lost. So the
 * listener first stops new handshakes, by a socket filter that drops packets
 * with SYN and without ACK (a client so dropped tries again a second later and
 * meets the next process, or a refusal), and closes only when those under way
 * have had time to end. Where filters are not allowed the queue is emptied all
 * the same. Of a unix socket the path is removed first, with the same effect. */
#include "loop/listener.h"

#include <errno.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/un.h>
#include <unistd.h>

#define PAUSE_NS  UINT64_C(100000000)
#define PATH_SIZE sizeof(struct sockaddr_un)

enum {
    BACKLOG_DEFAULT = 4096,
    BATCH_DEFAULT = 64,
    DRAIN_MS_DEFAULT = 250,
};

static int open_socket(const struct sockaddr *, socklen_t, const struct loop_listener_options *);
static int bind_unix(int fd, const struct sockaddr *, socklen_t, mode_t);
static int start(struct loop_listener *);
static void on_ready(struct io_watch *, uint32_t events);
static void on_timer(struct io_timer *);
static bool accept_batch(struct loop_listener *, unsigned limit);
static void remove_path(struct loop_listener *);
static bool is_path(const struct sockaddr *, socklen_t);
static void path_of(const struct sockaddr *, socklen_t, char path[static PATH_SIZE]);

void loop_listener_init(struct loop_listener *l, const struct loop_listener_ops *ops) {
    *l = (struct loop_listener){.ops = ops, .fd = -1};
    io_watch_init(&l->watch, on_ready);
    io_timer_init(&l->timer, on_timer);
}

/* ---- opening ------------------------------------------------------------- */

/* Undoes open_socket(). */
static void abandon(int fd, const struct sockaddr *address, socklen_t len) {
    char path[PATH_SIZE];
    close(fd);
    if (!is_path(address, len))
        return;
    path_of(address, len, path);
    unlink(path);
}

int loop_listener_bind(const struct sockaddr *address, socklen_t len,
                       const struct loop_listener_options *options) {
    if (options->claim && options->reuse_port) {
        struct loop_listener_options alone = *options;
        alone.reuse_port = false;
        int fd = is_path(address, len) ? -1 : open_socket(address, len, &alone);
        if (fd == -EADDRINUSE)
            return fd;
        if (fd >= 0)
            close(fd);
    }
    int fd = open_socket(address, len, options);
    if (fd < 0)
        return fd;
    if (listen(fd, options->backlog ? options->backlog : BACKLOG_DEFAULT)) {
        int error = -errno;
        abandon(fd, address, len);
        return error;
    }
    return fd;
}

int loop_listener_open(struct loop_listener *l, struct loop *loop, const struct sockaddr *address,
                       socklen_t len, const struct loop_listener_options *options) {
    int fd = loop_listener_bind(address, len, options);
    if (fd < 0)
        return fd;
    int error = loop_listener_adopt(l, loop, fd, options);
    if (error)
        abandon(fd, address, len);
    else
        l->bound_path = is_path(address, len);
    return error;
}

int loop_listener_adopt(struct loop_listener *l, struct loop *loop, int fd,
                        const struct loop_listener_options *options) {
    l->address_len = sizeof l->address;
    if (getsockname(fd, (struct sockaddr *)&l->address, &l->address_len))
        return -errno;
    l->loop = loop;
    l->fd = fd;
    l->batch = options->batch ? options->batch : BATCH_DEFAULT;
    l->drain_ns = options->drain_ns ? options->drain_ns : DRAIN_MS_DEFAULT * UINT64_C(1000000);
    l->paused = l->draining = false;
    l->held = options->held;
    l->bound_path = options->own_path;
    int error = start(l);
    if (error)
        l->fd = -1;
    return error;
}

/* Exclusive: of several loops that share the socket (a unix socket's dup) only
 * one or some wake for a connection. */
static int start(struct loop_listener *l) {
    return io_watch_start(loop_io(l->loop), &l->watch, l->fd, EPOLLIN | EPOLLEXCLUSIVE);
}

static void set_option(int fd, int level, int name, int value) {
    setsockopt(fd, level, name, &value, sizeof value);
}

static int bind_any(int fd, const struct sockaddr *address, socklen_t len,
                    const struct loop_listener_options *options) {
    if (is_path(address, len))
        return bind_unix(fd, address, len, options->unix_mode);
    return bind(fd, address, len) ? -errno : 0;
}

/* A bound socket, or -errno. What is set here the accepted sockets inherit. */
static int open_socket(const struct sockaddr *address, socklen_t len,
                       const struct loop_listener_options *options) {
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (address->sa_family != AF_UNIX) {
        set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
        set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
        if (options->reuse_port)
            set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    }
    if (address->sa_family == AF_INET6)
        set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, !options->dual_stack);
    int error = bind_any(fd, address, len, options);
    if (error) {
        close(fd);
        return error;
    }
    return fd;
}

/* A unix address with a name in the file system: neither unnamed nor abstract. */
static bool is_path(const struct sockaddr *address, socklen_t len) {
    return address->sa_family == AF_UNIX && len > offsetof(struct sockaddr_un, sun_path) &&
           ((const struct sockaddr_un *)address)->sun_path[0] != '\0';
}

/* sun_path need not end with NUL. */
static void path_of(const struct sockaddr *address, socklen_t len, char path[static PATH_SIZE]) {
    size_t begin = offsetof(struct sockaddr_un, sun_path);
    size_t path_len =
        len < sizeof(struct sockaddr_un) ? len - begin : sizeof(struct sockaddr_un) - begin;
    memcpy(path, ((const struct sockaddr_un *)address)->sun_path, path_len);
    path[path_len] = '\0';
}

/* Whether the path is a socket that nobody listens on. */
static bool is_stale(const struct sockaddr *address, socklen_t len, const char *path) {
    struct stat file;
    if (lstat(path, &file) || !S_ISSOCK(file.st_mode))
        return false;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    bool stale = connect(fd, address, len) && errno == ECONNREFUSED;
    close(fd);
    return stale;
}

/* The mode is set before, so that no moment is more open than asked for, and
 * after, because bind() applies the umask. */
static int bind_unix(int fd, const struct sockaddr *address, socklen_t len, mode_t mode) {
    char path[PATH_SIZE];

    path_of(address, len, path);
    if (mode)
        fchmod(fd, mode);
    if (bind(fd, address, len)) {
        if (errno != EADDRINUSE || !is_stale(address, len, path))
            return -errno;
        if (unlink(path) || bind(fd, address, len))
            return -errno;
    }
    if (!mode || chmod(path, mode) == 0)
        return 0;
    int error = -errno;
    unlink(path);
    return error;
}

/* ---- accepting ----------------------------------------------------------- */

static void on_ready(struct io_watch *w, uint32_t events) {
    struct loop_listener *l = container_of(w, struct loop_listener, watch);
    (void)events;
    accept_batch(l, l->batch);
}

/* Errors of the connection that was about to be accepted, not of ours
 * (accept(2)): go on with the next. */
static bool is_peers_error(int error) {
    switch (error) {
    case ECONNABORTED:
    case EINTR:
    case EPROTO:
    case EPERM:
    case ENETDOWN:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case EOPNOTSUPP:
    case ENETUNREACH:
        return true;
    default:
        return false;
    }
}

static void pause_full(struct loop_listener *l, int error) {
    l->full++;
    io_watch_stop(&l->watch);
    if (!l->draining) {
        struct io *io = loop_io(l->loop);
        io_timer_set(io, &l->timer, io_now(io) + PAUSE_NS);
    }
    if (l->ops->on_full)
        l->ops->on_full(l, error);
}

/* Accepts up to `limit` connections. False when a callback closed the listener,
 * whose memory may be gone. */
static bool accept_batch(struct loop_listener *l, unsigned limit) {
    bool gone = false;

    l->gone = &gone;
    while (limit-- && !gone && !l->paused) {
        struct sockaddr_storage peer;
        socklen_t len = sizeof peer;
        int fd = accept4(l->fd, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            l->accepted++;
            l->ops->on_accept(l, fd, &peer, len);
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            break;
        } else if (!is_peers_error(errno)) {
            pause_full(l, errno);
            break;
        }
    }
    if (!gone)
        l->gone = NULL;
    return !gone;
}

static void on_timer(struct io_timer *t) {
    struct loop_listener *l = container_of(t, struct loop_listener, timer);
    if (!l->draining) {
        if (!l->paused && start(l))
            pause_full(l, ENOMEM);
        return;
    }
    uint64_t full = l->full;
    if (!l->held && !accept_batch(l, UINT32_MAX))
        return;
    if (!l->held && l->full != full) { /* somebody still waits; the owner may give up, not we */
        io_timer_set(loop_io(l->loop), t, io_now(loop_io(l->loop)) + PAUSE_NS);
        return;
    }
    loop_listener_close(l);
    if (l->ops->on_drained)
        l->ops->on_drained(l);
}

void loop_listener_pause(struct loop_listener *l) {
    if (l->fd < 0 || l->paused || l->draining)
        return;
    l->paused = true;
    io_timer_clear(loop_io(l->loop), &l->timer);
    io_watch_stop(&l->watch);
}

void loop_listener_resume(struct loop_listener *l) {
    if (l->fd < 0 || !l->paused)
        return;
    l->paused = false;
    if (!l->draining && start(l))
        pause_full(l, ENOMEM);
}

/* ---- closing ------------------------------------------------------------- */

/* Lets everything pass but the first packet of a handshake. Byte 13 of the TCP
 * header holds the flags: SYN is 0x02, ACK 0x10. */
static void refuse_handshakes(int fd) {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 13),          BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0x12),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x02, 0, 1), BPF_STMT(BPF_RET | BPF_K, 0),
        BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
    };
    const struct sock_fprog program = {.len = sizeof code / sizeof code[0], .filter = code};
    setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
}

void loop_listener_drain(struct loop_listener *l) {
    if (l->fd < 0 || l->draining)
        return;
    struct io *io = loop_io(l->loop);
    l->draining = true;
    if (l->held) {
        io_watch_stop(&l->watch);
        io_timer_set(io, &l->timer, io_now(io) + l->drain_ns);
        return;
    }
    if (l->address.ss_family == AF_UNIX)
        remove_path(l);
    else
        refuse_handshakes(l->fd);
    if (l->paused) {
        l->paused = false;
        start(l); /* if it fails, on_timer() still empties the queue */
    }
    io_timer_set(io, &l->timer, io_now(io) + l->drain_ns);
}

void loop_listener_close(struct loop_listener *l) {
    if (l->fd < 0)
        return;
    if (l->gone)
        *l->gone = true;
    l->gone = NULL;
    io_timer_clear(loop_io(l->loop), &l->timer);
    io_watch_stop(&l->watch);
    remove_path(l);
    close(l->fd);
    l->fd = -1;
}

void loop_listener_leave(struct loop_listener *l) {
    l->bound_path = false;
    loop_listener_close(l);
}

static void remove_path(struct loop_listener *l) {
    char path[PATH_SIZE];
    if (!l->bound_path)
        return;
    l->bound_path = false;
    path_of((const struct sockaddr *)&l->address, l->address_len, path);
    unlink(path);
}
