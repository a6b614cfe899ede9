/* resolve.c - see resolve.h.
 *
 * c-ares cannot take back a single question, and answers some inside the very
 * call that asks. So a lookup of our own stands between: it outlives the
 * question that was cancelled or ran out of time, until c-ares has answered,
 * and hands every answer over from its timer, never from within c-ares, whose
 * channel a callback may therefore destroy.
 *
 *     asked ──c-ares answers──▶ answered (timer: now) ──▶ on_done, freed
 *       │──limit──▶ on_done, abandoned ──c-ares answers──▶ freed
 *       └──cancel──▶ abandoned ──c-ares answers──▶ freed                     */
#include "loop/resolve.h"

#include <ares.h>
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/time.h>

enum {
    TRY_MS_DEFAULT = 2000,
    TRIES_DEFAULT = 3,
    NAME_MAX_LEN = 253, /* RFC 1035, in text */
};

struct loop_resolver {
    struct loop *loop;
    ares_channel channel;
    struct io_timer timer; /* c-ares' own time-outs */
    struct list sockets;   /* of struct server_socket */
    struct list lookups;   /* those whose question waits */
};

/* A socket of c-ares' that the loop watches. */
struct server_socket {
    struct list link;
    struct io_watch watch;
    struct loop_resolver *resolver;
};

struct loop_lookup {
    struct list link;
    struct loop_resolve *question; /* NULL: abandoned */
    struct loop_resolver *resolver;
    struct io_timer timer; /* the limit; then, at once, the hand-over */
    bool asked;            /* c-ares has still to answer */
    int status;
    in_port_t port; /* in network order */
};

static void on_socket_state(void *arg, ares_socket_t fd, int readable, int writable);
static void on_socket_ready(struct io_watch *, uint32_t events);
static void on_channel_timer(struct io_timer *);
static void on_lookup_timer(struct io_timer *);
static void on_answer(void *arg, int status, int timeouts, struct ares_addrinfo *);
static void abandon(struct loop_lookup *);
static bool answer_number(struct loop_lookup *, const char *name);

/* ---- the resolver -------------------------------------------------------- */

static int errno_of(int ares_status) {
    switch (ares_status) {
    case ARES_SUCCESS:
        return 0;
    case ARES_ENOTFOUND:
    case ARES_ENODATA:
    case ARES_ENONAME:
    case ARES_EBADNAME:
    case ARES_EBADSTR:
        return -ENOENT;
    case ARES_ETIMEOUT:
        return -ETIMEDOUT;
    case ARES_ENOMEM:
        return -ENOMEM;
    default:
        return -EAGAIN;
    }
}

static void init_library(void) {
    ares_library_init(ARES_LIB_INIT_ALL);
}

static int open_channel(struct loop_resolver *r, const struct loop_resolver_options *options) {
    struct ares_options chosen = {
        .timeout = options->try_ms ? options->try_ms : TRY_MS_DEFAULT,
        .tries = options->tries ? options->tries : TRIES_DEFAULT,
        .sock_state_cb = on_socket_state,
        .sock_state_cb_data = r,
    };
    int status = ares_init_options(&r->channel, &chosen,
                                   ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB);
    if (status != ARES_SUCCESS)
        return errno_of(status);
    if (!options->servers)
        return 0;
    status = ares_set_servers_ports_csv(r->channel, options->servers);
    if (status == ARES_SUCCESS)
        return 0;
    ares_destroy(r->channel);
    return status == ARES_ENOMEM ? -ENOMEM : -EINVAL;
}

int loop_resolver_create(struct loop_resolver **out, struct loop *loop,
                         const struct loop_resolver_options *options) {
    /* Its counter is not atomic, and it keeps nothing that would need an end. */
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, init_library);

    struct loop_resolver *r = calloc(1, sizeof *r);
    if (!r)
        return -ENOMEM;
    r->loop = loop;
    list_init(&r->sockets);
    list_init(&r->lookups);
    io_timer_init(&r->timer, on_channel_timer);
    int error = open_channel(r, options);
    if (error) {
        free(r);
        return error;
    }
    *out = r;
    return 0;
}

static void free_socket(struct server_socket *s) {
    io_watch_stop(&s->watch);
    list_remove(&s->link);
    free(s);
}

/* ares_destroy() answers all that is under way (which frees the lookups) and
 * closes its sockets. */
void loop_resolver_destroy(struct loop_resolver *r) {
    struct list *link;
    if (!r)
        return;
    while (!list_empty(&r->lookups))
        abandon(container_of(r->lookups.next, struct loop_lookup, link));
    ares_destroy(r->channel);
    io_timer_clear(loop_io(r->loop), &r->timer);
    while ((link = list_pop_front(&r->sockets)))
        free_socket(container_of(link, struct server_socket, link));
    free(r);
}

/* ---- driving c-ares ------------------------------------------------------ */

static void arm_channel(struct loop_resolver *r) {
    struct io *io = loop_io(r->loop);
    struct timeval buffer, *left = ares_timeout(r->channel, NULL, &buffer);
    uint64_t due_ns = UINT64_MAX;
    if (left)
        due_ns = io_now(io) + (uint64_t)left->tv_sec * UINT64_C(1000000000) +
                 (uint64_t)left->tv_usec * 1000;
    io_timer_set(io, &r->timer, due_ns);
}

static struct server_socket *find_socket(struct loop_resolver *r, int fd) {
    for (struct list *link = r->sockets.next; link != &r->sockets; link = link->next) {
        struct server_socket *s = container_of(link, struct server_socket, link);
        if (s->watch.fd == fd)
            return s;
    }
    return NULL;
}

/* c-ares wants to know of the socket, or (neither) is about to close it. What
 * cannot be watched times out. */
static void on_socket_state(void *arg, ares_socket_t fd, int readable, int writable) {
    struct loop_resolver *r = arg;
    struct server_socket *s = find_socket(r, fd);
    uint32_t events = (readable ? EPOLLIN : 0u) | (writable ? EPOLLOUT : 0u);

    if (!events) {
        if (s)
            free_socket(s);
        return;
    }
    if (s) {
        io_watch_change(&s->watch, events);
        return;
    }
    s = malloc(sizeof *s);
    if (!s)
        return;
    s->resolver = r;
    io_watch_init(&s->watch, on_socket_ready);
    list_push_back(&r->sockets, &s->link);
    if (io_watch_start(loop_io(r->loop), &s->watch, fd, events))
        free_socket(s);
}

static void on_socket_ready(struct io_watch *w, uint32_t events) {
    struct server_socket *s = container_of(w, struct server_socket, watch);
    struct loop_resolver *r = s->resolver;
    int fd = w->fd; /* `s` may be freed by what follows */
    bool in = events & (EPOLLIN | EPOLLERR | EPOLLHUP);
    bool out = events & (EPOLLOUT | EPOLLERR | EPOLLHUP);
    ares_process_fd(r->channel, in ? fd : ARES_SOCKET_BAD, out ? fd : ARES_SOCKET_BAD);
    arm_channel(r);
}

static void on_channel_timer(struct io_timer *t) {
    struct loop_resolver *r = container_of(t, struct loop_resolver, timer);
    ares_process_fd(r->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    arm_channel(r);
}

/* ---- questions ----------------------------------------------------------- */

/* The name without brackets, as c-ares wants it. */
static int copy_name(char out[static NAME_MAX_LEN + 2], const char *name) {
    size_t len = strlen(name);
    if (len >= 2 && name[0] == '[' && name[len - 1] == ']') {
        name++;
        len -= 2;
    }
    if (len == 0 || len > NAME_MAX_LEN + 1 || (len == NAME_MAX_LEN + 1 && name[len - 1] != '.'))
        return -EINVAL;
    memcpy(out, name, len);
    out[len] = '\0';
    return 0;
}

static void ask(struct loop_lookup *lookup, const char *name) {
    const struct ares_addrinfo_hints hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct loop_resolver *r = lookup->resolver;
    lookup->asked = true;
    ares_getaddrinfo(r->channel, name, NULL, &hints, on_answer, lookup);
    arm_channel(r);
}

int loop_resolve_start(struct loop_resolver *r, struct loop_resolve *q, const char *name,
                       uint16_t port, uint64_t limit_ns) {
    struct io *io = loop_io(r->loop);
    char bare[NAME_MAX_LEN + 2];
    int error = copy_name(bare, name);
    if (error)
        return error;
    struct loop_lookup *lookup = calloc(1, sizeof *lookup);
    if (!lookup)
        return -ENOMEM;
    lookup->question = q;
    lookup->resolver = r;
    lookup->status = -ETIMEDOUT;
    lookup->port = htons(port);
    list_push_back(&r->lookups, &lookup->link);
    io_timer_init(&lookup->timer, on_lookup_timer);
    q->lookup = lookup;
    q->reason = "no answer within the limit";
    q->count = 0;
    q->ttl_s = 0;
    uint64_t due_ns;
    if (__builtin_add_overflow(io_now(io), limit_ns, &due_ns))
        due_ns = UINT64_MAX;
    io_timer_set(io, &lookup->timer, due_ns);
    if (answer_number(lookup, bare)) {
        lookup->status = 0;
        io_timer_set(io, &lookup->timer, io_now(io));
    } else {
        ask(lookup, bare);
    }
    return 0;
}

/* Frees the lookup, or leaves it to c-ares. */
static void abandon(struct loop_lookup *lookup) {
    if (lookup->question)
        lookup->question->lookup = NULL;
    lookup->question = NULL;
    list_remove(&lookup->link);
    io_timer_clear(loop_io(lookup->resolver->loop), &lookup->timer);
    if (!lookup->asked)
        free(lookup);
}

void loop_resolve_cancel(struct loop_resolve *q) {
    if (q->lookup)
        abandon(q->lookup);
}

static void on_lookup_timer(struct io_timer *t) {
    struct loop_lookup *lookup = container_of(t, struct loop_lookup, timer);
    struct loop_resolve *q = lookup->question;
    int status = lookup->status;
    abandon(lookup);
    q->on_done(q, status);
}

/* ---- answers ------------------------------------------------------------- */

static void add_address(struct loop_lookup *lookup, const struct sockaddr *address) {
    struct loop_resolve *q = lookup->question;
    if (q->count == LOOP_RESOLVE_MAX)
        return;
    union loop_address *to = &q->addresses[q->count];
    if (address->sa_family == AF_INET) {
        memcpy(&to->v4, address, sizeof to->v4);
        to->v4.sin_port = lookup->port;
    } else if (address->sa_family == AF_INET6) {
        memcpy(&to->v6, address, sizeof to->v6);
        to->v6.sin6_port = lookup->port;
    } else {
        return;
    }
    q->count++;
}

/* "127.0.0.1", "::1", "fe80::1%eth0": nobody has to be asked. Not by libc where
 * there is no colon: it would take "1" for 0.0.0.1. */
static bool answer_number(struct loop_lookup *lookup, const char *name) {
    const struct addrinfo hints = {.ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM};
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct addrinfo *found;

    if (inet_pton(AF_INET, name, &v4.sin_addr) == 1) {
        add_address(lookup, (struct sockaddr *)&v4);
    } else if (strchr(name, ':') && getaddrinfo(name, NULL, &hints, &found) == 0) {
        add_address(lookup, found->ai_addr);
        freeaddrinfo(found);
    }
    return lookup->question->count > 0;
}

static uint32_t least_ttl(const struct ares_addrinfo *found) {
    int least = INT32_MAX;
    for (const struct ares_addrinfo_node *n = found->nodes; n; n = n->ai_next)
        if (n->ai_ttl < least)
            least = n->ai_ttl;
    for (const struct ares_addrinfo_cname *c = found->cnames; c; c = c->next)
        if (c->ttl < least)
            least = c->ttl;
    return least > 0 && least < INT32_MAX ? (uint32_t)least : 0;
}

static void take_answer(struct loop_lookup *lookup, int status, struct ares_addrinfo *found) {
    struct loop_resolve *q = lookup->question;

    lookup->status = errno_of(status);
    q->reason = ares_strerror(status);
    if (found) {
        for (struct ares_addrinfo_node *n = found->nodes; n; n = n->ai_next)
            add_address(lookup, n->ai_addr);
        q->ttl_s = least_ttl(found);
    }
    if (status == ARES_SUCCESS && !q->count)
        lookup->status = -ENOENT;
    struct io *io = loop_io(lookup->resolver->loop);
    io_timer_set(io, &lookup->timer, io_now(io));
}

static void on_answer(void *arg, int status, int timeouts, struct ares_addrinfo *found) {
    struct loop_lookup *lookup = arg;
    (void)timeouts;
    lookup->asked = false;
    if (!lookup->question || status == ARES_EDESTRUCTION)
        abandon(lookup);
    else
        take_answer(lookup, status, found);
    if (found)
        ares_freeaddrinfo(found);
}
