/* server_priv.h - the upstream's layout, for server.c and control.c only. */
#ifndef BENCH_SERVER_PRIV_H
#define BENCH_SERVER_PRIV_H

#include "message.h"
#include "posts.h"
#include "server.h"

#include <sys/queue.h>

#define READ_SIZE (64 * 1024)
#define FILL_SIZE (256 * 1024)

enum serve_state { SERVE_READING, SERVE_WRITING, SERVE_WAITING, SERVE_SILENT };

/* What an epoll event points to; a listener's or a connection's first member. */
struct source {
    struct endpoint *endpoint; /* NULL: control */
    bool is_listener;
};

struct served {
    struct source source;
    TAILQ_ENTRY(served) entry;   /* in the server's open or closed list */
    TAILQ_ENTRY(served) delayed; /* while WAITING */
    enum serve_state state;
    int fd;
    uint64_t due_ns;
    struct message request;
    const char *out;
    size_t out_left;
    uint64_t fill_left; /* bytes of filling after `out` */
    char head[256];
    char *owned; /* a control answer */
};
TAILQ_HEAD(served_list, served);

struct server {
    struct server_options options;
    struct endpoint endpoints[SERVER_ENDPOINTS_MAX];
    struct endpoint control;
    struct source listeners[SERVER_ENDPOINTS_MAX + 1];
    int epoll;
    uint64_t start_ns, now_ns; /* start: UINT64_MAX until told */
    struct served_list open, delayed, closed;
    struct posts posts;
    char buffer[READ_SIZE];
    char fill[FILL_SIZE];
};

static inline bool server_started(const struct server *s) {
    return s->start_ns != UINT64_MAX && s->now_ns >= s->start_ns;
}

static inline uint64_t server_since_start(const struct server *s) {
    return s->now_ns > s->start_ns ? s->now_ns - s->start_ns : 0;
}

/* Answers a whole request on the control port; the connection is WRITING then. */
void control_answer(struct server *, struct served *);

#endif
