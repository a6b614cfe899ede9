/* handover.c - see handover.h. */
#include "cli/handover.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

union control {
    char bytes[CMSG_SPACE(HANDOVER_FDS * sizeof(int))];
    struct cmsghdr align;
};

int handover_send(int channel, const struct handover_message *m, const struct handover_fds *fds,
                  bool wait) {
    union control control = {0};
    struct iovec iov = {(void *)m, sizeof *m};
    struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};
    if (fds && fds->count) {
        size_t size = fds->count * sizeof(int);
        h.msg_control = control.bytes;
        h.msg_controllen = CMSG_SPACE(size);
        struct cmsghdr *c = CMSG_FIRSTHDR(&h);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(size);
        memcpy(CMSG_DATA(c), fds->fd, size);
    }
    ssize_t n;
    do
        n = sendmsg(channel, &h, MSG_NOSIGNAL | (wait ? 0 : MSG_DONTWAIT));
    while (n < 0 && errno == EINTR);
    /* too many descriptors on their way: they become fewer as they are received */
    return n >= 0 ? 0 : errno == ETOOMANYREFS ? -EAGAIN : -errno;
}

static void take_fds(struct msghdr *h, struct handover_fds *fds) {
    for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        uint32_t count = (uint32_t)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        for (uint32_t i = 0; i < count && fds->count < HANDOVER_FDS; i++)
            memcpy(&fds->fd[fds->count++], CMSG_DATA(c) + i * sizeof(int), sizeof(int));
    }
}

int handover_receive(int channel, struct handover_message *m, struct handover_fds *fds, bool wait) {
    union control control;
    struct iovec iov = {m, sizeof *m};
    struct msghdr h = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = control.bytes,
                       .msg_controllen = sizeof control.bytes};
    fds->count = 0;
    ssize_t n;
    do
        n = recvmsg(channel, &h, MSG_CMSG_CLOEXEC | (wait ? 0 : MSG_DONTWAIT));
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno == ECONNRESET ? -EPIPE : -errno;
    take_fds(&h, fds);
    if (n == 0)
        return -EPIPE;
    if (n == sizeof *m && m->count <= HANDOVER_FDS && !(h.msg_flags & (MSG_TRUNC | MSG_CTRUNC))) {
        m->text[sizeof m->text - 1] = '\0';
        return 0;
    }
    handover_close(fds);
    return -EPROTO;
}

void handover_close(struct handover_fds *fds) {
    while (fds->count)
        close(fds->fd[--fds->count]);
}
